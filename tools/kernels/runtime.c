/* What machine code made by numba needs while it runs, without numba and without Python: arrays that count their
 * owners. The layout is that of MemInfo in numba/core/runtime/nrt.cpp; entries.py writes the rest of the library. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

typedef void destroy(void *data, size_t size, void *info);

typedef struct {
    size_t owners; /* counted by NRT_incref and NRT_decref, which numba brings along */
    destroy *destroy;
    void *info, *data;
    size_t size;
    void *allocator;
} MemInfo;

void NRT_decref(MemInfo *owner);

/* What the library was built from: see dsp.mode.digest. */
const char *const dsp_sources = DSP_SOURCES;

void dsp_release(MemInfo *owner) { NRT_decref(owner); }

void *NRT_Allocate(size_t size) { return malloc(size); }

void NRT_Free(void *data) { free(data); }

MemInfo *NRT_MemInfo_alloc_aligned(size_t size, unsigned align) {
    MemInfo *made = size > SIZE_MAX / 2 ? NULL : malloc(sizeof *made + size + align);
    if (made != NULL) {
        uintptr_t data = ((uintptr_t)(made + 1) + align - 1) / align * align;
        *made = (MemInfo){1, NULL, NULL, (void *)data, size, NULL};
    }
    return made;
}

MemInfo *NRT_MemInfo_alloc(size_t size) { return NRT_MemInfo_alloc_aligned(size, 16); }

/* Of the last owner. Arrays of numbers, all there are here, have nothing else to destroy. */
void NRT_MemInfo_call_dtor(MemInfo *made) { free(made); }

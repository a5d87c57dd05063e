"""C text of a library's entries: from the plain ABI that `dsp.compiled` calls to numba's calling convention.

The plain ABI is `int entry(out, arguments...)`, 0 = done. A float is a double, an array its address and shape. Results
go to `out`: doubles, or of each array owner, address and shape, 8 bytes each; `dsp_release` frees an owner.
Numba's is `int kernel(result *, error **, arguments...)`, where an array is its owner, its parent, the number and size
of its elements, address, shape and strides, one after the other, as arguments and in results alike.
"""

from collections.abc import Iterable

from dsp.compiled import Kernel, symbol

HEAD = """#include <stdint.h>
typedef struct { void *owner, *parent; int64_t count, size; double *data; int64_t shape[1], stride[1]; } array1;
typedef struct { void *owner, *parent; int64_t count, size; double *data; int64_t shape[2], stride[2]; } array2;
"""
RETURNED = (0, -2)  # numba's codes for a value, and for None


def native(name: str) -> str:
    """What the machine code of a kernel is called."""
    return f"kernel_{symbol(name)}"


def text(kernels: Iterable[Kernel]) -> str:
    """One C source of all entries."""
    return HEAD + "".join(map(_entry, kernels))


def _entry(kernel: Kernel) -> str:
    _, _, (takes, gives, _), _ = kernel
    of_arrays = any(gives)
    declared, passed, types = [f"{'int64_t' if of_arrays else 'double'} *out"], [], ["void *", "void **"]
    for k, of in enumerate(takes):
        shape = [f"n{k}_{axis}" for axis in range(of)]
        if of:
            declared += [f"double *a{k}", *(f"int64_t {n}" for n in shape)]
            strides = [" * ".join(["8", *shape[axis + 1 :]]) for axis in range(of)]
            passed += ["0", "0", " * ".join(shape), "8", f"a{k}", *shape, *strides]
            types += ["void *", "void *", "int64_t", "int64_t", "double *", *["int64_t"] * (2 * of)]
        else:
            declared.append(f"double a{k}")
            passed.append(f"a{k}")
            types.append("double")
    fields = "".join(f"array{of} r{k}; " for k, of in enumerate(gives)) if of_arrays else ""
    copies = [
        f"(int64_t)r.r{k}.{part}"
        for k, of in enumerate(gives)
        for part in ("owner", "data", *(f"shape[{axis}]" for axis in range(of)))
        if of_arrays
    ]
    lines = [
        f"int {native(kernel.name)}({', '.join(types)});",
        f"int {symbol(kernel.name)}({', '.join(declared)}) {{",
        f"    struct {{ {fields}}} r;" if of_arrays else "",
        "    void *error;",
        f"    int code = {native(kernel.name)}({', '.join(['&r' if of_arrays else 'out', '&error', *passed])});",
        f"    if ({' && '.join(f'code != {code}' for code in RETURNED)}) return 1;",
        *(f"    out[{k}] = {part};" for k, part in enumerate(copies)),
        "    return 0;",
        "}",
    ]
    return "\n".join(line for line in lines if line) + "\n"

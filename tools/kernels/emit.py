"""Machine code of every public kernel of `dsp`, for this machine and others, by numba. `tools.build_kernels` runs this
in a process of its own, because numba reads its settings when it is imported.

It leans on numba's insides, so the version is pinned. Numba compiles and optimises once, on the machine at hand but
without anything that only its processor has; from that, LLVM makes the code of each machine.
"""

import importlib
import pkgutil
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import numba
from numba import float64, types

import dsp
from dsp.compiled import KERNELS, symbol
from dsp.mode import digest
from tools.kernels import entries

NUMBA: Final = "0.68.1"
TRIPLES: Final = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}
# What would be one machine's own in code that is to run on another.
ONE_MACHINES = re.compile(r'@llvm\.(?:x86|aarch64)\.[\w.]+|"target-(?:cpu|features)"|x86_fp80')


def load_kernels() -> dict[str, Any]:
    """Every public kernel, by name."""
    if numba.__version__ != NUMBA:
        raise SystemExit(f"kernels are built by numba {NUMBA}; this is {numba.__version__}")
    for module in pkgutil.walk_packages(dsp.__path__, "dsp."):
        importlib.import_module(module.name)
    return dict(sorted(KERNELS.items()))


def numba_types(takes: tuple[int, ...]) -> tuple[Any, ...]:
    """A signature's arguments as numba has them."""
    return tuple(types.Array(float64, of, "C") if of else float64 for of in takes)


def given_back(result: Any) -> tuple[int, ...]:
    """What numba found a kernel to give, as `Signature.gives` has it; refuses what a caller could not be handed."""
    if result == types.none:
        return ()
    parts = getattr(result, "types", (result,))  # of a tuple
    for part in parts:
        is_array = isinstance(part, types.Array) and part.layout == "C" and part.dtype == float64
        if part != float64 and not is_array:
            raise SystemExit(
                f"a kernel gives {result}; it can only give floats, and contiguous arrays of them"
            )
    return tuple(getattr(part, "ndim", 0) for part in parts)


def optimised(kernels: dict[str, Any]) -> str:
    """LLVM's intermediate code of all kernels, optimised."""
    core = partial(importlib.import_module, package="numba.core")
    compiler: Any = core(".compiler")
    cpu_target: Any = core(".registry").cpu_target
    flags = compiler.Flags()
    flags.nrt = flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    context = cpu_target.target_context.with_aot_codegen("dsp")
    library = context.codegen().create_library("dsp")
    library.add_ir_module(core(".runtime.nrtdynmod").create_nrt_module(context)[0])
    with core(".compiler_lock").global_compiler_lock:
        for name, kernel in kernels.items():
            takes = numba_types(kernel.signature.takes)
            made = compiler.compile_extra(
                cpu_target.typing_context, context, kernel.function, takes, None, flags, {}, library=library
            )
            result = made.signature.return_type
            if given_back(result) != kernel.signature.gives:
                raise SystemExit(f"{name} gives {result}, which is not what it is annotated with")
            library.get_function(made.fndesc.llvm_func_name).name = entries.native(name)
        library.finalize()
    text = str(library._final_module)
    if found := ONE_MACHINES.search(text):
        raise SystemExit(f"the kernels hold code for one machine only: {found[0]}")
    return text


def machine_code(text: str, machine: str) -> bytes:
    """An object file."""
    binding: Any = importlib.import_module("llvmlite.binding")
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    triple = TRIPLES[machine]
    target = binding.Target.from_triple(triple).create_target_machine(
        cpu="generic" if machine == "aarch64" else "x86-64", opt=3, reloc="pic", codemodel="default"
    )
    text = re.sub(r"^target triple = .*$", f'target triple = "{triple}"', text, flags=re.M)
    text = re.sub(
        r"^target datalayout = .*$", f'target datalayout = "{target.target_data}"', text, flags=re.M
    )
    module = binding.parse_assembly(text)
    module.verify()
    return bytes(target.emit_object(module))


def main(place: Path, *machines: str) -> None:
    """Writes the objects, the entries, the symbols they offer, and the digest of the sources."""
    kernels = load_kernels()
    text = optimised(kernels)
    for machine in machines:
        (place / f"{machine}.o").write_bytes(machine_code(text, machine))
    (place / "entries.c").write_text(entries.text(kernels.values()))
    (place / "symbols").write_text("\n".join(map(symbol, kernels)))
    (place / "digest").write_text(digest())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

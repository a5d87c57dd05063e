"""Builds the library that lets a gateway run the kernels of `dsp` without a compiler.

    python -P -m tools.build_kernels                            for this machine, beside dsp/, where it is found
    python -P -m tools.build_kernels --machine x86_64 --machine aarch64 --out DIR

It needs a set-up .venv and a C compiler: zig, which `pip install -r tools/locks/kernels.txt` brings, builds for every
machine with glibc 2.28 or newer, always the same bytes from the same sources; without it `cc` serves, for this machine.
It takes about a minute and 500 MB of memory.

A library serves every Python. It is not used any more as soon as a source of dsp/ changes: build it anew.
"""

import argparse
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.kernels import elf

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = Path(__file__).parent / "kernels/runtime.c"
MACHINES = ("x86_64", "aarch64")
GLIBC = (2, 28)
ENVIRONMENT = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "PYTHONHASHSEED": "0",  # nothing is known to depend on the order of sets; nothing shall
    "VITALGATE_KERNELS": "jit",
}
FLAGS = (
    "-std=c11 -O2 -fPIC -shared -s -Wall -Wextra -Werror -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,now"
)
EXPORTS = "{ global: dsp_*; local: *; };\n"
# fmt: off
LIBRARIES = frozenset({"libc.so.6", "libm.so.6", "ld-linux-aarch64.so.1"})
LIBC = frozenset({
    "cos", "exp", "floor", "fmod", "log", "log10", "pow", "rint", "sin", "sincos",
    "free", "malloc", "memcpy", "memmove", "memset", "__stack_chk_fail",
    "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__cxa_finalize", "__gmon_start__", # start and end
})
# fmt: on


def library_name(machine: str) -> str:
    """What `dsp.compiled` looks for."""
    return f"kernels-{machine}.so"


def compiler(machine: str) -> list[str]:
    """A C compiler for a machine: zig if it is installed, else that of the system."""
    if importlib.util.find_spec("ziglang"):
        target = f"{machine}-linux-gnu.{'.'.join(map(str, GLIBC))}"
        return [sys.executable, "-m", "ziglang", "cc", "-target", target]
    if machine == platform.machine() and (found := shutil.which("cc")):
        return [found]
    if machine != platform.machine():
        raise SystemExit(f"only zig builds for {machine}: pip install -r tools/locks/kernels.txt")
    raise SystemExit("no C compiler (cc); sudo apt install gcc, or: pip install -r tools/locks/kernels.txt")


def faults(path: Path, machine: str, symbols: frozenset[str], glibc: tuple[int, int] | None) -> list[str]:
    """What keeps a library from being loaded on every machine of its kind."""
    found = elf.wants(path)
    odd = found.defined ^ symbols ^ {"dsp_sources", "dsp_release"}
    checks = [
        (found.machine == machine, f"is for {found.machine}"),
        (found.undefined <= LIBC, f"needs {', '.join(sorted(found.undefined - LIBC))}"),
        (found.libraries <= LIBRARIES, f"loads {', '.join(sorted(found.libraries - LIBRARIES))}"),
        (not odd, f"offers too much, or lacks: {', '.join(sorted(odd))}"),
        (glibc is None or found.glibc <= glibc, f"needs glibc {found.glibc}"),
        (not found.executable_stack, "has an executable stack"),
    ]
    return [f"{path.name} {fault}" for passed, fault in checks if not passed]


def link(place: Path, machine: str, command: list[str]) -> Path:
    """A library from what `emit` left, checked."""
    name = library_name(machine)
    define = f'-DDSP_SOURCES="{(place / "digest").read_text()}"'
    (place / "exports").write_text(EXPORTS)
    shutil.copy(RUNTIME, place)
    files = [f"{machine}.o", "entries.c", RUNTIME.name, "-Wl,--version-script=exports", "-lm"]
    linking = [*command, *FLAGS.split(), define, "-o", name, *files]
    subprocess.run(linking, cwd=place, check=True)  # noqa: S603
    symbols = frozenset((place / "symbols").read_text().split())
    if found := faults(place / name, machine, symbols, GLIBC if "-target" in command else None):
        raise SystemExit("\n".join(found))
    return place / name


def build(machines: Sequence[str], out: Path, command: list[str] | None) -> list[Path]:
    """A library for each machine, moved into place whole: a process that has the old one open keeps it."""
    commands = {machine: command or compiler(machine) for machine in machines}
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        environment = {**os.environ, **ENVIRONMENT, "NUMBA_CACHE_DIR": str(place / "numba")}
        emitting = [sys.executable, "-P", "-m", "tools.kernels.emit", str(place), *commands]
        subprocess.run(emitting, env=environment, check=True)  # noqa: S603
        for machine, cc in commands.items():
            library = link(place, machine, cc)
            shutil.copy(library, out / f".{library.name}")
            (out / f".{library.name}").replace(out / library.name)
    return [out / library_name(machine) for machine in commands]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machine", action="append", choices=MACHINES, help="this one's unless given")
    parser.add_argument("--out", type=Path, default=ROOT / "dsp", help="where the libraries go (dsp/)")
    parser.add_argument("--cc", help="another C compiler, with its arguments")
    given = parser.parse_args()
    command = shlex.split(given.cc) if given.cc else None
    try:
        made = build(given.machine or [platform.machine()], given.out.resolve(), command)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{shlex.join(error.cmd[:5])} ... failed, see above") from None
    for path in made:
        print(f"{path}: {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()

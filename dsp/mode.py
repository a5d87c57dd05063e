"""How this process runs the kernels of `dsp`: from a library, compiled by numba, or as they stand.

It is decided once, when this module is imported, and neither numpy nor numba is loaded for it. The library is taken if
it lies beside this file, is for this machine and was built from these very sources; else numba, where it is installed
and not switched off; else Python runs the kernels, a hundred times slower.

For tests, `VITALGATE_KERNELS` forces a mode, and `VITALGATE_KERNEL_LIBRARY` names the library to take.
What a kernel is and how it is called stands in `dsp.compiled`.
"""

import ctypes
import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MODES: Final = ("library", "jit", "plain")
_HERE = Path(__file__).parent
LIBRARY_FILE: Final = Path(
    os.environ.get("VITALGATE_KERNEL_LIBRARY", _HERE / f"kernels-{os.uname().machine}.so")
)


def digest() -> str:
    """Of all that kernels are made of. A library that was built from anything else is not used."""
    seen = hashlib.sha256()
    for path in sorted(_HERE.rglob("*.py")):
        source = path.read_bytes()
        seen.update(f"{path.relative_to(_HERE)}\0{len(source)}\0".encode() + source)
    return seen.hexdigest()


def _open_library() -> tuple[ctypes.CDLL | None, str]:
    """The library for this machine and these sources, or why there is none."""
    if not LIBRARY_FILE.is_file():
        return None, f"{LIBRARY_FILE} does not exist"
    try:
        library = ctypes.CDLL(str(LIBRARY_FILE))
        built_from = ctypes.c_char_p.in_dll(library, "dsp_sources").value
    except (OSError, ValueError) as error:
        return None, f"{LIBRARY_FILE} is no library of kernels for this machine: {error}"
    if built_from != digest().encode():
        return None, f"{LIBRARY_FILE} was built from other sources"
    return library, ""


def _choose() -> tuple[str, str, ctypes.CDLL | None]:
    """Mode, what is wrong that it is not a better one, and the library."""
    forced = os.environ.get("VITALGATE_KERNELS", "")
    if forced not in ("", *MODES):
        raise ImportError(f"VITALGATE_KERNELS is {forced!r}; there are {', '.join(MODES)}")
    reason = ""
    if forced in ("", "library"):
        library, reason = _open_library()
        if library is not None:
            return "library", "", library
        if forced:
            raise ImportError(reason)
    if forced == "plain":
        return "plain", "VITALGATE_KERNELS is plain", None
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "plain", "NUMBA_DISABLE_JIT is set", None
    if find_spec("numba") is None and not forced:
        return "plain", f"{reason}; numba is not installed", None
    # That no library lies there is not wrong: it is not shipped everywhere.
    return "jit", reason if LIBRARY_FILE.exists() else "", None


MODE, REASON, LIBRARY = _choose()

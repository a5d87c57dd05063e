"""`njit`, the one door to every kernel of `dsp`.

A kernel comes from the library that was built ahead of time for this machine; else numba compiles it at its first
call; else Python runs it as it stands. Which of them it is has been decided in `dsp.mode`; a caller cannot tell.

The annotations of a public kernel are its one signature. It takes contiguous, writable float64 arrays (`F64`, `F64x2`)
and floats, by position; it gives floats or arrays, one or a tuple or NamedTuple of them, or None. Whatever else it is
called with is a TypeError at the call, and nothing else ever raises: what is not defined is NaN. A kernel that only
kernels of its own file call begins with an underscore.

No kernel is written here, and no other module of `dsp` knows how kernels are run.
"""

import ctypes
import importlib
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin, overload

import numpy as np

from dsp.arrays import F64, F64x2
from dsp.mode import LIBRARY, MODE

Function = TypeVar("Function", bound=Callable[..., Any])

_DIMENSIONS = {float: 0, F64: 1, F64x2: 2}
_DTYPE = np.dtype(np.float64)


class Signature(NamedTuple):
    """What a kernel takes and gives: of each part the number of its dimensions, 0 for a float."""

    takes: tuple[int, ...]
    gives: tuple[int, ...]  # floats only, or arrays only
    make: Callable[[Iterable[Any]], Any]  # the result, from its parts


class Kernel(NamedTuple):
    """A public kernel."""

    name: str  # dotted
    function: Callable[..., Any]  # as it is written
    signature: Signature
    run: Callable[..., Any]  # what a caller calls


KERNELS: Final[dict[str, Kernel]] = {}  # by name, as far as their modules are imported


def symbol(name: str) -> str:
    """What a kernel is called in a library."""
    return name.replace(".", "_")


def _signature(function: Callable[..., Any]) -> Signature:
    annotations = dict(function.__annotations__)
    result = annotations.pop("return")
    parts: Iterable[Any]
    make: Callable[[Iterable[Any]], Any]
    if result is None:
        parts, make = (), lambda _: None
    elif result in _DIMENSIONS:
        parts, make = (result,), lambda parts: next(iter(parts))
    elif get_origin(result) is tuple:
        parts, make = get_args(result), tuple
    else:
        parts, make = result.__annotations__.values(), result._make
    takes, gives = (tuple(_DIMENSIONS[of] for of in some) for some in (annotations.values(), parts))
    assert not any(gives) or all(gives), f"{function.__qualname__} gives floats and arrays"
    return Signature(takes, gives, make)


def _fits(of: int, x: object) -> bool:
    if of == 0:
        return isinstance(x, float)
    return isinstance(x, np.ndarray) and x.dtype == _DTYPE and x.ndim == of and x.flags.carray


def _misfit(name: str, takes: tuple[int, ...], given: tuple[Any, ...]) -> TypeError:
    """Says what a kernel cannot take."""
    if len(given) != len(takes):
        return TypeError(f"{name} takes {len(takes)} arguments, not {len(given)}")
    first = next(k for k, (of, x) in enumerate(zip(takes, given, strict=True)) if not _fits(of, x))
    of, x = takes[first], given[first]
    wanted = f"a contiguous, writable float64 array, dimensions: {of}" if of else "a float"
    found = type(x).__name__
    if isinstance(x, np.ndarray):
        found += f" of {x.dtype}, dimensions: {x.ndim}\n{x.flags}"
    return TypeError(f"{name} takes as argument {first + 1} {wanted}; not {found}")


def _plain(name: str, function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """The kernel as it stands, its arithmetic without warnings, its results Python's own floats."""
    takes, gives, make = signature

    @wraps(function)
    def run(*given: Any) -> Any:
        if len(given) != len(takes) or not all(map(_fits, takes, given)):
            raise _misfit(name, takes, given)
        with np.errstate(all="ignore"):
            found = function(*given)
        parts = found if isinstance(found, tuple) else (found,)[: len(gives)]
        return make([part if of else float(part) for of, part in zip(gives, parts, strict=True)])

    return run


def _native(name: str, signature: Signature, library: ctypes.CDLL) -> Callable[..., Any]:
    """The kernel in a library.

    Its entry takes first where results go: doubles, or of each array its owner, address and shape, 8 bytes each. Then
    come the arguments, a double for a float, address and shape for an array. The interpreter is free meanwhile.
    """
    takes, gives, make = signature
    entry = library[symbol(name)]
    entry.argtypes = [ctypes.c_void_p]
    for of in takes:
        entry.argtypes += [ctypes.c_void_p, *[ctypes.c_int64] * of] if of else [ctypes.c_double]
    room = ctypes.c_int64 * (2 * len(gives) + sum(gives)) if any(gives) else ctypes.c_double * len(gives)
    buffer: Callable[[Any], Any] = (ctypes.c_double * 0).from_buffer

    def arrays(raw: Iterable[int]) -> Iterable[F64]:
        numbers = iter(raw)
        for of in gives:
            owner, address = next(numbers), next(numbers)
            found = np.empty([next(numbers) for _ in range(of)])
            ctypes.memmove(buffer(found), address, found.nbytes)
            library.dsp_release(ctypes.c_void_p(owner))
            yield found

    def run(*given: Any) -> Any:
        if len(given) != len(takes):
            raise _misfit(name, takes, given)
        raw = room()
        flat = [raw]
        for of, x in zip(takes, given, strict=True):
            if not _fits(of, x):
                raise _misfit(name, takes, given)
            if of:
                flat.append(buffer(x))
                flat += x.shape
            else:
                flat.append(x)
        if entry(*flat):
            raise MemoryError(name)
        return make(arrays(raw) if any(gives) else raw)

    return run


def _jit(function: Callable[..., Any], fastmath: Iterable[str]) -> Any:
    """By numba when it is first called, and kept for the next process where there is a place for that."""
    options = {"error_model": "numpy", "fastmath": set(fastmath)}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no directory that could be written
        return numba.njit(**options)(function)


def _refuse_others(name: str, takes: tuple[int, ...], dispatcher: Any) -> None:
    """Without this, whatever array came along would be compiled for anew, for a second and at the caller's cost."""
    own = tuple(numba.types.Array(numba.float64, of, "C") if of else numba.float64 for of in takes)
    compile_it = dispatcher.compile

    def compile_own(types: Any) -> Any:
        if tuple(types) != own:
            raise TypeError(f"{name} takes {own}; not {tuple(types)}")
        return compile_it(types)

    dispatcher.compile = compile_own


numba: Any = importlib.import_module("numba") if MODE == "jit" else None


@overload
def njit(function: Function, /) -> Function: ...
@overload
def njit(*, fastmath: Iterable[str]) -> Callable[[Function], Function]: ...
def njit(function: Any = None, /, *, fastmath: Iterable[str] = ()) -> Any:
    """Decorator of kernels.

    Args:
        function: the kernel.
        fastmath: what numba's option of this name allows besides; only of kernels that others call.
    """
    if function is None:
        return lambda function: njit(function) if not fastmath else _kernel(function, fastmath)
    return _kernel(function, fastmath)


def _kernel(function: Callable[..., Any], fastmath: Iterable[str]) -> Any:
    run: Any = function if numba is None else _jit(function, fastmath)
    if function.__name__.startswith("_"):
        return run
    name, signature = f"{function.__module__}.{function.__name__}", _signature(function)
    if numba is not None:
        _refuse_others(name, signature.takes, run)
    elif LIBRARY is not None:
        run = wraps(function)(_native(name, signature, LIBRARY))
    else:
        run = _plain(name, function, signature)
    KERNELS[name] = Kernel(name, function, signature, run)
    return run

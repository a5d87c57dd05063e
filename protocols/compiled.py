"""`njit`, the one door to the kernels of `protocols`: numba compiles them at their first call.

Contract: a compiled kernel is kept for the next process beside its file, in the user's cache or in `NUMBA_CACHE_DIR`;
where none of them can be written to, each process compiles anew. numba takes a second to load: only what runs kernels
imports this module. No kernel is written here.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def njit(function: Function) -> Function:
    """Decorator of kernels."""
    try:
        return cast("Function", numba.njit(cache=True)(function))
    except RuntimeError:  # no directory that could be written to
        return cast("Function", numba.njit(function))

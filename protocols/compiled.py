"""The one door to the kernels of `protocols`: numba compiles each at its first call.

Contract: importing this loads no compiler. A compiled kernel is kept for the next process, beside its file, in the
user's cache or in `NUMBA_CACHE_DIR`; where none of them can be written to, each process compiles anew. No kernel is
written here.
"""

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """What numba makes of a kernel.

    Raises:
        ModuleNotFoundError: numba is not installed.
    """
    import numba

    try:
        return cast("Function", numba.njit(cache=True)(function))
    except RuntimeError:  # no directory that could be written to
        return cast("Function", numba.njit(function))


class Kernel(Generic[P, R]):
    """A function that is compiled at its first call; where numba is not installed, Python runs it as it stands."""

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        update_wrapper(self, function)

    @cached_property
    def compiled(self) -> Callable[P, R]:
        """The function itself where numba is not installed."""
        try:
            return compiled(self.function)
        except ModuleNotFoundError:
            return self.function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.compiled(*args, **kwargs)

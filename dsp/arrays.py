"""The one door to every kernel: one array type, hence one compiled signature each.

A read-only, strided or float32 array would silently compile a second variant of a kernel, which stalls the
caller for about a second; `as_f64` makes that impossible.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

F64: TypeAlias = npt.NDArray[np.float64]

# For numba's `fastmath`: a kernel's sums may be taken in any order, so that they become vector code; NaN stays NaN.
SUMS_IN_ANY_ORDER: Final = {"reassoc", "contract"}


def as_f64(values: npt.ArrayLike) -> F64:
    """Contiguous, writable float64 copy or view of `values`, of one dimension."""
    array = np.array(values, dtype=np.float64, ndmin=1, copy=None, order="C")
    return array if array.flags.writeable else array.copy()

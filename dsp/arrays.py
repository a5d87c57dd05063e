"""The one door for arrays: one array type, hence one signature of each kernel.

What a kernel takes is contiguous, writable float64: `as_f64` makes it so, and copies nothing that fits.
"""

from typing import Annotated, Final, TypeAlias

import numpy as np
import numpy.typing as npt

F64: TypeAlias = npt.NDArray[np.float64]  # of one dimension, where a kernel takes or gives it
F64x2: TypeAlias = Annotated[npt.NDArray[np.float64], 2]  # of two

# For `njit`: a kernel's sums may be taken in any order, so that they become vector code; NaN stays NaN.
SUMS_IN_ANY_ORDER: Final = frozenset({"reassoc", "contract"})


def as_f64(values: npt.ArrayLike) -> F64:
    """Contiguous, writable float64 copy or view of `values`, of one dimension."""
    array = np.array(values, dtype=np.float64, ndmin=1, copy=None, order="C")
    return array if array.flags.writeable else array.copy()

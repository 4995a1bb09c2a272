"""Arrays as compiled kernels take them."""

from __future__ import annotations

import numpy as np

from ..._arrays.namespace import Array, readonly


def operand(x: Array, dtype: np.dtype | None = None) -> Array:
    """
    The array, contiguous, aligned, of the given dtype, and read-only; copied only if necessary.

    Read-only and writable arrays are different types to Numba, which would compile each kernel for both.
    """
    flags = x.flags
    if not (flags.c_contiguous and flags.aligned and (dtype is None or x.dtype == dtype)):
        x = np.require(x, dtype=dtype, requirements=("C_CONTIGUOUS", "ALIGNED"))
    return readonly(x)

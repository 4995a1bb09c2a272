"""Arrays as compiled kernels take them."""

from __future__ import annotations

import numpy as np

from ..._arrays.namespace import Array, readonly


def contiguous(x: Array, dtype: np.dtype | None = None) -> Array:
    """The array, aligned and contiguous, of the dtype, and read-only, so that each kernel is compiled once for it."""
    flags = x.flags
    if not (flags.c_contiguous and flags.aligned and (dtype is None or x.dtype == dtype)):
        x = np.require(x, dtype=dtype, requirements=("C_CONTIGUOUS", "ALIGNED"))
    return readonly(x)

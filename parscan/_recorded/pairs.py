"""Complex arrays as recorded functions and machine code see them: pairs of real numbers, side by side in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import PARTS


def as_pairs(array: Any) -> Any:
    """A view of a complex array of a shape as a real one of the shape `(*shape, 2)`; real arrays as they are."""
    own = PARTS.get(array.dtype.char)
    return array if own is None else array[..., None].view(own)


def from_pairs(array: Any, dtype: Any) -> Any:
    """The reverse, for a dtype that may be complex."""
    return array if np.dtype(dtype).kind != "c" else np.ascontiguousarray(array).view(dtype)[..., 0]

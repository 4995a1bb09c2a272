"""Complex states as machine code has them: real numbers, the real part of each component before its imaginary part."""

from __future__ import annotations

from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import Array, array_namespace, contiguous


def wide(states: Array) -> Array:
    """States in double precision."""
    xp = array_namespace(states)
    return xp.astype(states, xp.complex128 if is_complex(states) else xp.float64, copy=False)


def as_parts(states: Array) -> Array:
    """States `(..., n)` in double precision as real numbers: `(..., 2n)` of complex ones, otherwise the same."""
    return contiguous(states).view(array_namespace(states).float64) if is_complex(states) else states


def from_parts(numbers: Array, like: Array) -> Array:
    """States of real numbers, which are complex if those `like` them are; the inverse of `as_parts`."""
    return contiguous(numbers).view(array_namespace(numbers).complex128) if is_complex(like) else numbers


def of_parts(tolerance: Array | float, like: Array) -> Array | float:
    """Tolerances `()` or `(n,)` of states as those of their parts."""
    if isinstance(tolerance, float) or not tolerance.ndim or not is_complex(like):
        return tolerance
    return array_namespace(tolerance).repeat(tolerance, 2)

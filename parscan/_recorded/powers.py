"""Powers of recording arrays: products and roots, where the exponent is a small number."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from .array import ABOVE, QUICK, RecordingArray, apply
from .results import equals

np: Any = numpy  # whose types do not know recording arrays


def power(base: RecordingArray, exponent: Any) -> RecordingArray:
    """`base ** exponent`; small whole exponents and one half as products and roots, as NumPy and C do or nearly do."""
    kind = type(exponent)
    value = exponent.constants if kind is RecordingArray else exponent
    of_base = base.dtype.kind if type(base) is RecordingArray else ""
    if of_base == "c":
        is_inverse = base.ndim and np.ndim(exponent) == 0 and equals(value, -1)
        return np.reciprocal(base) if is_inverse else apply("power", base, exponent)
    if of_base == "f":
        if kind is float or kind is int:
            found = POWERS[exponent](base) if exponent in POWERS else None
        else:
            is_one = value is not None and not np.ndim(value) and np.result_type(base.dtype, exponent) == base.dtype
            found = POWERS[float(value)](base) if is_one and float(value) in POWERS else None
        if found is not None:
            return found
        if base.form is not None:
            return QUICK["power"][0](base, exponent)
    return apply("power", base, exponent)


def _small_power(base: RecordingArray, exponent: int) -> RecordingArray:
    """Products of one to four factors."""
    found = base.copy() if exponent == 1 else base * base
    return found * base if exponent == 3 else found * found if exponent == 4 else found


def _reciprocal_of_power(base: RecordingArray, exponent: int) -> RecordingArray:
    """`1 / base**exponent`; the power of `1 / base` where that overflows, but its reciprocal is a denormal number."""
    if exponent == 1:
        return 1.0 / base
    powered = _small_power(base, exponent)
    is_finite = abs(powered) <= np.finfo(base.dtype).max
    return apply("where", is_finite, 1.0 / powered, _small_power(1.0 / base, exponent))


POWERS: dict[float, Callable[[RecordingArray], RecordingArray]] = {
    0.5: QUICK["sqrt"][0],
    **{whole: partial(_small_power, exponent=whole) for whole in (1, 2, 3, 4)},
    **{-whole: partial(_reciprocal_of_power, exponent=whole) for whole in (1, 2, 3, 4)},
}
"""Powers of floating-point numbers that are products and roots."""

ABOVE["power"] = power

"""Dtypes that are recorded, and those that NumPy gives the results of operations."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy

from .operations import OPERATIONS
from .refusal import BITS, Refused

np: Any = numpy  # whose types do not know recording arrays

FLOAT64, FLOAT32, BOOL, INTEGER = map(np.dtype, (np.float64, np.float32, bool, np.intp))

NUMBERS = frozenset([float, int, np.float64])
"""Types of numbers that become double-precision ones beside double-precision arrays."""

WEAK = frozenset([float, int])
"""Types of numbers that take the dtype of any floating-point array."""

CHARS = "bdfilq?BHILQhpFD"
"""Characters of the dtypes that are recorded."""

OF_PYTHON: Any = {float: 0.0, int: 0, complex: 0j}
"""Types of numbers of Python that take the precision of arrays, and a number of each."""


@cache
def resolved(name: str, kinds: tuple[Any, ...]) -> tuple[tuple[numpy.dtype[Any], ...], numpy.dtype[Any]]:
    """Dtypes in which NumPy evaluates an operation on operands of these kinds, and the dtype of the result."""
    value = OPERATIONS[name].value
    if isinstance(value, np.ufunc):
        if name in ("logical_and", "logical_or", "logical_xor") and set(kinds) != {np.dtype(bool)}:
            raise Refused(BITS)
        try:
            *given, found = value.resolve_dtypes((*kinds, None))
        except TypeError as error:
            raise Refused(f"calls `{name}` on {', '.join(map(_words, kinds))}: {error}") from None
        if {dtype.kind for dtype in given} == {"i", "u"}:
            raise Refused("compares integers with and without sign")
    elif name == "where":
        found = np.result_type(*(OF_PYTHON.get(one, one) for one in kinds[1:]))
        given = [np.dtype(bool), found, found]
    else:
        found = np.result_type(*(one for one in kinds if isinstance(one, np.dtype)), np.float32)
        given = [found] * len(kinds)
    if any(dtype.char not in CHARS for dtype in (*given, found)):
        raise Refused(f"calculates with {found if found.char not in CHARS else given[0]}")
    return tuple(given), found


def _words(one: Any) -> str:
    return one.__name__ if isinstance(one, type) else str(one)

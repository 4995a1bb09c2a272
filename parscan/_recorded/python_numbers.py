"""
Python numbers among recorded values: results of `float(y[0])`, `y[0].item()` and functions of the module `math`.

Operations on them raise exceptions where NumPy gives infinity or NaN: `1.0 / float(y[0])` for a zero. Machine code
raises none. Therefore the conditions under which the function would raise are recorded, too. If one of them holds, the
result of the whole function is NaN, and the user's own function is called.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy

from .array import ABOVE, RecordingArray, apply, kind
from .graph import Graph
from .powers import power
from .refusal import Refused

np: Any = numpy

DIVISIONS = ("divide", "floor_divide", "remainder")
"""Operations that raise an exception if the second operand is zero."""


def number(value: RecordingArray) -> RecordingArray:
    """A value as a number of Python."""
    found = value.with_ids(value.ids)
    found.form = None
    return found


def item(value: RecordingArray) -> RecordingArray:
    """The only entry of an array as a number of Python."""
    if value.dtype == bool:
        value = value.astype(np.float64)
    if value.dtype.char not in "dD":
        raise Refused(f"makes a number of Python of a value of {value.dtype}")
    return number(value.reshape(()))


def is_number(value: Any) -> bool:
    """Whether a value is a number of Python, recorded or not."""
    return type(value) in (float, int, bool, complex) or (type(value) is RecordingArray and value.is_python)


def operation(name: str, one: Any, other: Any) -> RecordingArray:
    """An operation on two numbers of Python."""
    if name in DIVISIONS:
        if type(other) is not RecordingArray and other == 0:
            raise ZeroDivisionError("division by zero")
        if type(other) is RecordingArray:
            raises(other.graph, apply("equal", other, 0.0))
    if name == "power":
        if isinstance(one, complex) or isinstance(other, complex):
            return _complex_power(one, other)
        base = one if type(one) is RecordingArray else other.filled(float(one))
        return checked(power(base, other), one, other)
    found = apply(name, one, other)
    return number(found) if found.dtype.char in "dD" else found


def _complex_power(one: Any, other: Any) -> RecordingArray:
    """A power of a complex number, of which the small whole ones are products in Python, too."""
    if type(other) in (int, float) and 0 < other < MOST and other == int(other):
        return checked(apply("power", one, other), one)
    raise Refused("raises a complex number of Python to a power that is not small and whole")


MOST = 100
"""Powers of complex numbers below this one are products."""


def complex_number(real: Any = 0.0, imaginary: Any = 0.0) -> RecordingArray:
    """`complex(real, imaginary)`."""
    given = [value.reshape(()) if type(value) is RecordingArray else value for value in (real, imaginary)]
    for value in given:
        if type(value) is RecordingArray and value.dtype.char in "fF":
            raise Refused(f"calls complex() on a value of {value.dtype}")
    if all(kind(value) is not complex and np.dtype(kind(value)).kind != "c" for value in given):
        return number(ABOVE["paired"](*given, np.complex128))
    one, other = given
    if type(one) is RecordingArray and type(other) is not RecordingArray and not other:
        return number(one.astype(np.complex128))
    return number(ABOVE["paired"](np.real(one) - np.imag(other), np.imag(one) + np.real(other), np.complex128))


def checked(found: RecordingArray, *operands: Any) -> RecordingArray:
    """The result, as a Python number, of a function that raises if the result is not finite and no operand is NaN."""
    bad = ~np.isfinite(found)
    for operand in operands:
        if type(operand) is RecordingArray:
            bad = bad & ~np.isnan(operand)
    raises(found.graph, bad)
    return number(found)


def whole(found: RecordingArray) -> RecordingArray:
    """An integer of Python, as a floating-point number: it is never -0.0, and making it of NaN or infinity raises."""
    return checked(found + 0.0)


def raises(graph: Graph, condition: RecordingArray) -> None:
    """Note a condition under which the function raises an exception."""
    known = condition.constants
    if known is None or known:
        graph.exceptions[condition.ids] = None


def guarded(graph: Graph, result: RecordingArray) -> RecordingArray:
    """The result of a function: NaN where it raises an exception instead."""
    conditions = [RecordingArray(graph, node, bool) for node in graph.exceptions]
    if not conditions:
        return result
    if result.dtype.kind not in "fc":
        raise Refused("raises exceptions on some values")
    unknown = complex(np.nan, np.nan) if result.dtype.kind == "c" else np.nan
    return apply("where", reduce(lambda one, other: one | other, conditions), unknown, result)


ABOVE.update(
    raises=raises, is_number=is_number, operation=operation, item=item, whole=whole, number=number, checked=checked
)

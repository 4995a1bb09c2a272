"""The types `float`, `int`, `complex` and NumPy's scalars, `type`, `max` and `min`, in recorded functions."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any

import numpy

from .array import RecordingArray
from .calls import holds
from .math_functions import only_entry
from .python_numbers import complex_number, is_number, number, raises
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays


class _Converter(type):
    """The type of `float`, `int`, `complex` and NumPy's scalars in the copy: they change dtypes of recorded values."""

    real: Any

    def __call__(cls, *args: Any) -> Any:
        if cls.real is complex and holds(args):
            return complex_number(*args)
        if len(args) == 1 and isinstance(args[0], RecordingArray):
            return OF_ONE[cls.real](args[0]) if cls.real in OF_ONE else args[0].astype(cls.dtype)
        return cls.real(*args)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.real)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass.real if type(subclass) is _Converter else subclass, cls.real)

    def __eq__(cls, other: object) -> bool:
        return cls is other or cls.real == other

    def __hash__(cls) -> int:
        return hash(cls.real)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.real, name)


class Unrecorded(_Converter):
    """The type of the classes of arrays that are not recorded."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """Refuse to make an array."""
        raise Refused(f"makes an array of the type `{cls.__name__}`")


def _converter(real: Any) -> Any:
    return _Converter(real.__name__, (), {"real": real, "dtype": np.dtype(real)})


def _integer(value: RecordingArray) -> RecordingArray:
    """`int(value)`: the fraction is dropped; NaN and infinity raise an exception."""
    found = value.reshape(()) if value.dtype.kind in "iub" else only_entry(value)
    if found.dtype.kind == "f":
        raises(found.graph, ~np.isfinite(found))
    return found.astype(np.int64)


OF_ONE = {float: only_entry, int: _integer}
"""How numbers of Python are made of arrays with one entry."""

FLOAT, INT, COMPLEX = _converter(float), _converter(int), _converter(complex)

SCALARS = {one: _converter(one) for one in (np.float64, np.float32, np.int64, np.int32, np.bool_, np.complex128,
                                            np.complex64)}  # fmt: skip


class _TypeOf(_Converter):
    """The type of `type` in the copy: functions may compare types with what is `float` or `np.float64` there."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        found = type(*args, **options)
        if len(args) == 1:
            found = _replaced(args[0]) if found is RecordingArray else found
            return CONVERTERS.get(found, found)
        return found


def _replaced(value: RecordingArray) -> Any:
    """The type of the value that a recorded one stands for."""
    if value.ndim:
        return np.ndarray
    if value.dtype.kind in "iu":
        raise Refused("asks for the type of an integer made of a value")  # NumPy's or Python's
    if not value.is_python:
        return value.dtype.type
    return complex if value.dtype.kind == "c" else float


CONVERTERS: dict[type, Any] = {float: FLOAT, int: INT, complex: COMPLEX, **SCALARS}
"""What the copy has in place of types of numbers."""

TYPE: Any = _TypeOf("type", (), {"real": type})
CONVERTERS |= dict.fromkeys((type, _Converter, _TypeOf), TYPE)


def largest_by(name: str) -> Callable[..., Any]:
    """Python's `max` and `min`: a later value replaces an earlier one only if it is larger, also if one is NaN."""
    real = getattr(builtins, name)

    def choose(one: Any, other: Any) -> Any:
        return np.where(other > one if name == "max" else other < one, other, one)

    def largest(*args: Any, **options: Any) -> Any:
        values = list(args[0]) if len(args) == 1 else args
        recorded = [value for value in values if isinstance(value, RecordingArray)]
        if options or not recorded or any(value.size != 1 for value in recorded):
            return real(*(values,) if len(args) == 1 else args, **options)
        found = functools.reduce(choose, values)
        is_python = any(map(is_number, values)) and found.dtype == np.float64 and not found.ndim
        return number(found) if is_python else found

    return largest

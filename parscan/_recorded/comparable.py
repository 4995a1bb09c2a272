"""
What can be compared exactly: which object it is, the bytes of an array, and values that cannot change.

What cannot be compared exactly has no witness: objects of other libraries, files, the clock.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from struct import Struct
from typing import Any

import numpy

from .origins import root_of

np: Any = numpy  # whose scalar types mypy would tell apart


class Unknown(Exception):  # noqa: N818 - it says what happened
    """An object that cannot be compared exactly."""


class Same:
    """A fact that holds for one object only. The object is not kept alive if that can be avoided."""

    __slots__ = ("_reference",)

    def __init__(self, given: Any) -> None:
        try:
            self._reference: Any = weakref.ref(given)
        except TypeError:
            self._reference = lambda: given

    def holds(self, given: Any) -> bool:
        """Whether this is the object."""
        return self._reference() is given

    def __eq__(self, other: object) -> bool:
        found = self._reference()
        return isinstance(other, Same) and found is other._reference() and found is not None

    __hash__ = None  # type: ignore[assignment]


class Each:
    """A fact that holds for these objects only, in this order; they are kept alive."""

    __slots__ = ("_objects",)

    def __init__(self, given: Any) -> None:
        self._objects = tuple(given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Each) and len(self._objects) == len(other._objects) and all(
            map(operator.is_, self._objects, other._objects))  # fmt: skip

    __hash__ = None  # type: ignore[assignment]


class Contents:
    """A fact that holds for arrays of equal bytes."""

    __slots__ = ("_array",)

    def __init__(self, given: Any) -> None:
        self._array = given

    def copy(self) -> Contents:
        """The same bytes, which do not change with the array."""
        return Contents(self._array.copy("K"))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Contents):
            return False
        one, two = self._array, other._array
        if one.nbytes <= FEW_BYTES or one.strides != two.strides or not _in_one_piece(one):
            return bool(one.tobytes() == two.tobytes())
        # Words are compared without copies, as integers: a NaN is equal to itself.
        return all(map(np.array_equal, _words(one), _words(two)))

    __hash__ = None  # type: ignore[assignment]


FEW_BYTES = 1 << 16
"""Of arrays that small, copies are compared."""


def _in_one_piece(array: Any) -> bool:
    return bool(array.flags.c_contiguous or array.flags.f_contiguous)


def _words(array: Any) -> tuple[Any, Any]:
    """The bytes of an array in one piece, eight at a time, and the rest."""
    flat = array.ravel("K").view(np.uint8)
    cut = flat.size - flat.size % 8
    return flat[:cut].view(np.uint64), flat[cut:]


# Values without parts

_bits, _pair = Struct("d").pack, Struct("dd").pack


def _itself(value: Any) -> Any:
    return value


def _of_scalar(value: Any) -> Any:
    if value.dtype.kind not in "biufc":
        raise Unknown
    return value.tobytes()


def _of_dtype(value: Any) -> Any:
    if value.kind not in "biufc":
        raise Unknown
    return value.str


def _of_frozenset(value: frozenset[Any]) -> Any:
    return tuple(map(token, value))  # in the order in which a loop meets them


def _of_slice(value: slice) -> Any:
    return tuple(map(token, (value.start, value.stop, value.step)))


TOKENS: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((int, bool, str, bytes, type(None), type(...), type(NotImplemented)), _itself),
    float: _bits,
    complex: lambda value: _pair(value.real, value.imag),
    range: lambda value: (value.start, value.stop, value.step),
    slice: _of_slice,
    frozenset: _of_frozenset,
}
"""Values that cannot change, by their types, as something to compare: equal ones are the same to the last bit."""


def token(value: Any) -> tuple[type, Any]:
    """A value that cannot change, as something to compare."""
    kind = type(value)
    make = TOKENS.get(kind)
    if make is None:
        if isinstance(value, np.generic):
            make = TOKENS[kind] = _of_scalar
        elif isinstance(value, np.dtype):
            make = TOKENS[kind] = _of_dtype
        else:
            raise Unknown
    return kind, make(value)


NOTHING = token(None)


def is_atom(value: Any) -> bool:
    return type(value) in TOKENS or (
        isinstance(value, np.generic | np.dtype) and root_of(type(value).__module__) == "numpy"
    )

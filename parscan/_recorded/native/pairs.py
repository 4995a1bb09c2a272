"""Complex numbers in drivers, each of two real numbers: what is written for real numbers is then done for complex ones.

In memory, the imaginary parts of an array are at the same distance behind its real parts, whatever the array is: two
planes. So are vectors of neighbouring components loaded as those of real arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from .expressions import FLOAT, Array, Code, Number, Value
from .text import Register


@dataclass(frozen=True, eq=False)
class Pair(Value):
    """A complex number, or several of them; as a value it is its real part."""

    imaginary: Value

    @property
    def real(self) -> Value:
        """The real part."""
        return Value(self.code, self.register, self.dtype, self.width)

    def __neg__(self) -> Pair:
        return _pair(-self.real, -self.imaginary)

    def element(self, place: int) -> Pair:
        """One element of a vector."""
        return _pair(self.real.element(place), self.imaginary.element(place))


def _pair(real: Value, imaginary: Value) -> Pair:
    return Pair(real.code, real.register, real.dtype, real.width, imaginary)


def pair(pairs: Pairs, real: Value, imaginary: Value) -> Pair:
    """A complex number with these parts, which were written beside."""
    return _pair(*(Value(pairs, part.register, part.dtype, part.width) for part in (real, imaginary)))


@dataclass(frozen=True, eq=False)
class PairArray(Array):
    """Complex numbers in memory."""

    plane: int = 0
    """Bytes from real to imaginary parts."""

    def _plane(self, place: Value | int, plane: int) -> Register:
        return self.code.pointer(self.at(place), plane)

    def __getitem__(self, place: Value | int) -> Pair:
        parts = [self.code.load(self._plane(place, plane), self.dtype, self.width) for plane in (0, self.plane)]
        return _pair(*parts)

    def __setitem__(self, place: Value | int, value: Number | complex) -> None:
        found = cast("Pairs", self.code).pair(value, self.dtype, self.width)
        self.code.store(found.real.wide(self.width), self._plane(place, 0))
        self.code.store(found.imaginary.wide(self.width), self._plane(place, self.plane))

    def after(self, place: Value | int) -> PairArray:
        """The array from an item on."""
        return PairArray(self.code, self.at(place), self.dtype, self.width, self.stride, self.plane)

    def of(self, width: int, stride: int = 0) -> PairArray:
        """The same memory in items of another width."""
        return PairArray(self.code, self.pointer, self.dtype, width, stride, self.plane)


class Pairs(Code):
    """
    Writes a function whose floating-point numbers in memory are complex, but for those of `reals`.

    Parameters
    ----------
    plane : int
        Bytes from real to imaginary parts.
    """

    def __init__(self, plane: int) -> None:
        super().__init__()
        self._plane = plane

    @staticmethod
    def beside(code: Code, plane: int) -> Pairs:
        """For further lines of a function that is being written."""
        found = Pairs(plane)
        found.text, found.variables, found._pointers, found._bases = (
            code.text, code.variables, code._pointers, code._bases
        )  # fmt: skip
        return found

    def pair(self, value: Number | complex, dtype: Any = FLOAT, width: int = 1) -> Pair:
        """A number as a complex one."""
        if isinstance(value, Pair):
            return value
        if isinstance(value, Value):
            return _pair(Value(self, value.register, value.dtype, value.width), self.number(0.0, value.dtype, width))
        return _pair(self.number(value.real, dtype, width), self.number(value.imag, dtype, width))

    def constants(self, values: Sequence[complex], dtype: Any) -> Pair:
        """A vector of numbers known beforehand."""
        real, imaginary = (self.vector([part(one) for one in values], dtype) for part in (_real, _imaginary))
        return _pair(real, imaginary)

    def array(self, pointer: Register, dtype: Any, width: int = 1, stride: int = 0) -> Array:
        """An array in memory, of complex numbers unless it has integers."""
        if np.dtype(dtype).kind != "f":
            return self.reals(pointer, dtype, width, stride)
        return PairArray(self, pointer, np.dtype(dtype), width, stride, self._plane)

    def _pairs(self, *given: Number) -> list[Pair] | None:
        """All as complex numbers, if one is."""
        found = [one for one in given if isinstance(one, Pair)]
        return [self.pair(one, found[0].dtype, found[0].width) for one in given] if found else None

    def binary(self, operator: str, one: Number, other: Number) -> Value:
        """The value of an operator."""
        if not isinstance(one, Pair) and not isinstance(other, Pair):
            return super().binary(operator, one, other)
        if operator == "*":
            return self._product(one, other)
        if operator == "/":
            return self._product(one, self._inverse(other) if isinstance(other, Pair) else 1.0 / other)
        both = self._pairs(one, other)
        assert both is not None
        return _pair(*(super(Pairs, self).binary(operator, x, y) for x, y in zip(*map(_parts, both), strict=True)))

    def _product(self, one: Number, other: Number) -> Pair:
        if not isinstance(one, Pair):
            one, other = other, one
        assert isinstance(one, Pair)
        if not isinstance(other, Pair):
            return _pair(*(super(Pairs, self).binary("*", part, other) for part in _parts(one)))
        real = super().fma(one.real, other.real, -(one.imaginary * other.imaginary))
        return _pair(real, super().fma(one.real, other.imaginary, one.imaginary * other.real))

    def _inverse(self, value: Pair) -> Pair:
        factor = 1.0 / super().fma(value.real, value.real, value.imaginary * value.imaginary)
        return _pair(value.real * factor, -value.imaginary * factor)

    def fma(self, one: Number, other: Number, more: Number) -> Value:
        """`one * other + more`."""
        if not any(isinstance(value, Pair) for value in (one, other, more)):
            return super().fma(one, other, more)
        if isinstance(other, Pair):
            one, other = other, one
        found = self.pair(more, one.dtype if isinstance(one, Value) else FLOAT)
        if not isinstance(one, Pair):
            return _pair(super().fma(one, other, found.real), found.imaginary)
        factor = other.real if isinstance(other, Pair) else other
        real, imaginary = super().fma(one.real, factor, found.real), super().fma(one.imaginary, factor, found.imaginary)
        if isinstance(other, Pair):
            real = super().fma(-one.imaginary, other.imaginary, real)
            imaginary = super().fma(one.real, other.imaginary, imaginary)
        return _pair(real, imaginary)

    def abs(self, value: Value) -> Value:
        """Sum of the absolute values of the parts."""
        if isinstance(value, Pair):
            return super().abs(value.real) + super().abs(value.imaginary)
        return super().abs(value)

    def where(self, condition: Value, one: Number, other: Number) -> Value:
        """The first number where a condition holds, the second one elsewhere."""
        both = self._pairs(one, other)
        if both is None:
            return super().where(condition, one, other)
        parts = zip(*map(_parts, both), strict=True)
        return _pair(*(super(Pairs, self).where(condition, x, y) for x, y in parts))

    def joined(self, values: Sequence[Value]) -> Value:
        """A vector of scalars."""
        pairs = self._pairs(*values)
        if pairs is None:
            return super().joined(values)
        return _pair(*(super(Pairs, self).joined(parts) for parts in zip(*map(_parts, pairs), strict=True)))


def _parts(value: Pair) -> tuple[Value, Value]:
    return value.real, value.imaginary


def _real(value: complex) -> float:
    return value.real


def _imaginary(value: complex) -> float:
    return value.imag

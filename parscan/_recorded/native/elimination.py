"""Linear systems in drivers: elimination with partial pivoting, for one matrix or for one in each lane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .expressions import WHOLE, Array, Code, Value
from .text import Register

IN_REGISTERS = 4
"""Rows up to which a single matrix is worked on row by row, with its right-hand sides in registers."""

VECTORS = 2
"""Vectors of a column up to which right-hand sides are in registers."""


class Shape:
    """
    How vectors of `n` numbers lie in memory, and in which pieces they are worked on.

    With lanes, a piece is one row in all lanes. Without, it is some rows side by side, if there are enough; zeros
    behind the end of vectors then fill the last piece.

    Attributes
    ----------
    n : int
        Rows.
    lanes : int
    most : int
        Most rows of a piece, a power of two.
    rows : int
        Rows of a piece.
    padded : int
        Rows of all pieces.
    """

    def __init__(self, n: int, lanes: int, most: int, dtype: np.dtype[Any]) -> None:
        self.n, self.lanes, self.dtype = n, lanes, dtype
        self.rows = 1 if lanes > 1 or n <= IN_REGISTERS else most
        self.padded = -(-n // self.rows) * self.rows

    @property
    def is_short(self) -> bool:
        """Whether vectors are kept in registers, and loops over pieces are written out."""
        return self.padded // self.rows <= (IN_REGISTERS if self.rows == 1 else VECTORS)

    @property
    def width(self) -> int:
        """Numbers of a piece."""
        return self.rows * self.lanes

    @property
    def size(self) -> int:
        """Numbers of a vector in memory."""
        return self.padded * self.lanes

    def pieces(self, code: Code, pointer: Register) -> Array:
        """A vector or columns in memory; item `r` is the piece that begins at row `r`."""
        return code.array(pointer, self.dtype, self.width, self.lanes)

    def elements(self, code: Code, pointer: Register) -> Array:
        """The same memory; item `r` is row `r` alone."""
        return code.array(pointer, self.dtype, self.lanes, self.lanes)

    def each(self, code: Code, end: Value | int | None = None, first: Value | int = 0) -> Iterator[Any]:
        """The first rows of pieces, in a loop that is written out if vectors are short."""
        return each(code, self.padded if end is None else end, first, self.rows, self.is_short)


def each(code: Code, end: Value | int, first: Value | int, step: int, written_out: bool) -> Iterator[Any]:
    """Numbers from `first` to below `end`: Python's, one after the other, or the variable of a loop."""
    if written_out:
        yield from range(first, end, step)  # type: ignore[arg-type]
    else:
        with code.for_(end, first, step) as place:
            yield place


class Held:
    """
    A vector whose pieces are also kept in registers, for lines without branches that use it again.

    Parameters
    ----------
    array : Array
        The vector in memory, in pieces.
    holds : bool
        Whether to keep pieces; else this is the array.
    """

    def __init__(self, array: Array, holds: bool) -> None:
        self._array, self._holds = array, holds
        self._values: dict[int, Value] = {}

    @property
    def pointer(self) -> Register:
        """To the vector in memory."""
        return self._array.pointer

    def __getitem__(self, row: Any) -> Value:
        if not self._holds:
            return self._array[row]
        if row not in self._values:
            self._values[row] = self._array[row]
        return self._values[row]

    def __setitem__(self, row: Any, value: Value) -> None:
        self._array[row] = value
        if self._holds:
            self._values[row] = value

    def hold(self, row: int, value: Value) -> None:
        """Set a piece, not in memory."""
        self._values[row] = value

    def forget(self) -> None:
        """After memory was written by others."""
        self._values = {}


class Elimination:
    """
    Text that factorises a matrix and solves systems.

    A matrix is in memory column by column. It becomes `L D U`: columns of `L` and `U`, without their diagonals of ones
    and with zeros elsewhere, and the inverse of `D`. A zero pivot leads to values that are not finite.

    Golub and Van Loan, Matrix Computations (2013), section 3.4. A row changes places with the pivot's as soon as a
    larger element is met, so that lanes may choose different rows.

    Parameters
    ----------
    code : Code
    shape : Shape
    upper, lower : pointers
        To the matrix, which becomes `U`, and to memory for `L`.
    inverse : pointer
        To memory for a vector.
    order : pointer
        To memory for `n` integers in each lane: the rows' numbers before they changed places.
    """

    def __init__(
        self, code: Code, shape: Shape, upper: Register, lower: Register, inverse: Register, order: Register
    ) -> None:
        self._code, self._shape = code, shape
        self._upper, self._lower, self._inverse = (shape.pieces(code, one) for one in (upper, lower, inverse))
        self._elements, self._multipliers = shape.elements(code, upper), shape.elements(code, lower)
        self._inverses = shape.elements(code, inverse)
        self._order = code.array(order, WHOLE, shape.lanes)

    def factorise(self) -> None:
        """Factorise the matrix."""
        code, n = self._code, self._shape.n
        padded, written_out = self._shape.padded, n <= IN_REGISTERS and self._shape.is_short
        for row in each(code, n, 0, 1, written_out):
            self._order[row] = code.value(row, WHOLE, 1).wide(self._shape.lanes)
        for k in each(code, n, 0, 1, written_out):
            for row in each(code, n, k + 1, 1, written_out):
                self._exchange(k, row)
            inverse = 1.0 / self._elements[k * padded + k]
            self._inverses[k] = inverse
            for row in each(code, padded, self._from(k), self._shape.rows, written_out):
                self._split(k * padded, row, k, inverse)
            for other in each(code, n, k + 1, 1, written_out):
                factor = -self._elements[other * padded + k]
                for row in each(code, padded, self._from(k), self._shape.rows, written_out):
                    place = other * padded + row
                    self._upper[place] = code.fma(factor, self._lower[k * padded + row], self._upper[place])
        for k in each(code, n, 0, 1, written_out):
            for row in each(code, self._to(k), 0, self._shape.rows, written_out):
                self._upper[k * padded + row] = self._upper[k * padded + row] * self._inverse[row]

    def _split(self, column: Value | int, row: Value | int, k: Value | int, inverse: Value) -> None:
        """Divide a piece of a column into parts of `L` and `U`."""
        values = self._upper[column + row]
        lower = values * inverse
        if self._shape.rows > 1:
            rows = self._rows(row)
            lower = self._code.where(rows > k, lower, 0.0)
            self._upper[column + row] = self._code.where(rows < k, values, 0.0)
        self._lower[column + row] = lower

    def _exchange(self, k: Value | int, row: Value | int) -> None:
        """Let a row change places with the row of a pivot, if its element is larger."""
        code, padded = self._code, self._shape.padded
        column = k * padded
        larger = code.abs(self._elements[column + row]) > code.abs(self._elements[column + k])
        with code.if_(code.any(larger)):
            self._swap(self._order, k, row, larger)
            with code.for_(self._shape.n) as other:
                for array in (self._elements, self._multipliers):
                    self._swap(array, other * padded + k, other * padded + row, larger)

    def _swap(self, array: Array, one: Value | int, other: Value | int, condition: Value) -> None:
        before, after = array[one], array[other]
        array[one] = self._code.where(condition, after, before)
        array[other] = self._code.where(condition, before, after)

    def _from(self, k: Any) -> Any:
        """First row of the pieces with rows below a pivot."""
        return k + 1 if self._shape.rows == 1 else k & -self._shape.rows

    def _to(self, k: Any) -> Any:
        """End of the pieces with rows above a pivot."""
        rows = self._shape.rows
        return k if rows == 1 else (k + (rows - 1)) & -rows

    def _rows(self, row: Value | int) -> Value:
        """Numbers of the rows of a piece."""
        places = ", ".join(f"i64 {place}" for place in range(self._shape.rows))
        return Value(self._code, f"<{places}>", WHOLE, self._shape.width) + row

    def solve(self, right: Register, result: Register) -> None:
        """Solve a system with a right-hand side in memory; the result is written elsewhere."""
        code, shape = self._code, self._shape
        given, written_out = shape.elements(code, right), shape.is_short
        if shape.rows > 1 or not written_out:
            x: Any = shape.pieces(code, result)
            places = shape.elements(code, result)
            for row in each(code, shape.n, 0, 1, False):
                places[row] = self._at(right, given, row)
            for row in range(shape.n, shape.padded):
                places[row] = 0.0
            if written_out:
                x = {row: x[row] for row in shape.each(code)}
        else:
            x = {row: self._at(right, given, row) for row in range(shape.n)}
        for k in each(code, shape.n, 0, 1, written_out):
            factor = -self._element(x, result, k)
            for row in each(code, shape.padded, self._from(k), shape.rows, written_out):
                x[row] = code.fma(factor, self._lower[k * shape.padded + row], x[row])
        for row in shape.each(code):
            x[row] = x[row] * self._inverse[row]
        for place in each(code, shape.n, 0, 1, written_out):
            k = shape.n - 1 - place
            factor = -self._element(x, result, k)
            for row in each(code, self._to(k), 0, shape.rows, written_out):
                x[row] = code.fma(factor, self._upper[k * shape.padded + row], x[row])
        if written_out:
            to = shape.pieces(code, result)
            for row, value in x.items():
                to[row] = value

    def _element(self, x: Any, result: Register, k: Any) -> Value:
        """One row of a vector in registers or in memory."""
        if not isinstance(x, dict):
            return self._shape.elements(self._code, result)[k]
        return x[self._to_piece(k)].element(k % self._shape.rows) if self._shape.rows > 1 else x[k]

    def _to_piece(self, k: int) -> int:
        return k // self._shape.rows * self._shape.rows

    def _at(self, right: Register, given: Array, row: Value | int) -> Value:
        """Element of the right-hand side in the row that came to a place."""
        place, lanes = self._order[row], self._shape.lanes
        if lanes == 1:
            return given[place]
        return self._gathered(right, place)

    def _gathered(self, right: Register, place: Value) -> Value:
        """A row per lane."""
        code, lanes, numbers = self._code, self._shape.lanes, self._code.array(right, self._shape.dtype)
        return code.joined([numbers[place.element(lane) * lanes + lane] for lane in range(lanes)])

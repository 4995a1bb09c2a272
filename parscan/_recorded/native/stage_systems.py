"""The systems `(I/γ - hJ) k = r`, or `(M/γ + hJ) k = r`, of a step, in drivers: full ones, or by the pattern of `J`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

import numpy as np

from .driver import Fields, Module
from .elimination import IN_REGISTERS, Elimination, Held, Shape, each
from .expressions import WHOLE, Array, Code, Value
from .numbers_of_systems import Numbers
from .routine import Routine
from .small_inverse import inverse, product
from .sparse_elimination import CHECK, FACTORISE, SOLVE, Plan, Systems, Tables, internal, planned
from .text import Register, UnsupportedError

WRITTEN_OUT = 64
"""Entries of a Jacobian up to which no loop writes them into a full matrix."""

SHARE, OF_LOOPS = 0.85, 0.25
"""Operations of sparse systems, divided by those of full ones, below which they are faster; and where loops over single
rows compete with loops over vectors of rows."""

MOST_PLANNED = 2_000_000
"""Operations of an elimination up to which it is planned: planning takes about a third of a microsecond for each, and a
number in memory."""

LARGEST = 1500
"""Rows of a full matrix."""

SOLVES = 8
"""Systems with the same matrix."""

DOUBTFUL = 2 / 3
"""The power of the rounding unit above which a backward error means that rows should have changed places."""

MATRIX = "upper", "lower", "inverse", "order"
"""Fields with the factors of a full matrix."""


class StageSystems(ABC):
    """
    Writes what solves the systems. The field "entries" holds those of the Jacobian, "masses" those of `M`.

    Parameters
    ----------
    shape : Shape
        Of the vectors.
    rows, columns : arrays of int
        Places of the entries.
    numbers : Numbers
        What the matrices consist of, with the diagonal `1/γ`.
    """

    def __init__(self, shape: Shape, rows: Any, columns: Any, numbers: Numbers) -> None:
        self.shape, self.rows, self.columns, self.numbers = shape, rows, columns, numbers
        self.module: Module

    def elements(self, name: str) -> Array:
        """Numbers in memory, in each lane."""
        return self.module.fields.array(self.module.code, name, self.shape.lanes, self.shape.lanes)

    def pointers(self, *names: str) -> list[Register]:
        """Of fields."""
        return [self.elements(name).pointer for name in names]

    @abstractmethod
    def extend(self, fields: Fields) -> None:
        """Add memory."""

    @abstractmethod
    def routines(self) -> list[Routine]:
        """The functions that will be called, when all memory is known."""

    def _given(self, code: Code) -> list[Array]:
        """Entries of the Jacobian, their factor and entries of `M`, the same in all lanes of complex matrices."""
        lanes = self.numbers.shared_lanes(self.shape.lanes)
        return [code.reals(f"%{name}", self.shape.dtype, lanes) for name in self.numbers.given]

    @abstractmethod
    def factorise(self, h: Value) -> None:
        """Factorise the matrix of a step of length `h`, in the dtype of states."""

    @abstractmethod
    def solve(self, right: Held, result: Held) -> None:
        """Solve a system."""

    def fails(self, right: Held, result: Held) -> Value:
        """Whether a solution that was just found is not one, per lane."""
        return self.module.code.number(False, bool, self.shape.lanes)


def stage_systems(shape: Shape, rows: Any, columns: Any, numbers: Numbers, *, by_pattern: bool = True) -> StageSystems:
    """
    The faster way for a pattern of entries; rows must be able to change places unless it may be solved `by_pattern`.

    Raises
    ------
    UnsupportedError
        If neither way is for so large a system.
    """
    if shape.n <= IN_REGISTERS:
        return Small(shape, rows, columns, numbers)
    plan = plan_of(rows.tobytes(), columns.tobytes(), shape.n) if by_pattern else None
    if plan:
        share = OF_LOOPS if shape.rows > 1 and not plan.is_written_out else SHARE
        if plan.operations + SOLVES * plan.size < share * _full(shape.n):
            return Sparse(shape, plan, numbers)
    if shape.n > LARGEST:
        raise UnsupportedError(f"has {shape.n} components, and too many entries in its Jacobian")
    return Full(shape, rows, columns, numbers)


def work(rows: Any, columns: Any, n: int) -> tuple[int, int, bool]:
    """Operations of a factorisation, and of a solution with its factors, of real matrices; whether they are sparse."""
    plan = plan_of(rows.tobytes(), columns.tobytes(), n)
    if plan and plan.operations + SOLVES * plan.size < SHARE * _full(n):
        return plan.operations, plan.size, True
    return n**3 // 3, n * n, False


def _full(n: int) -> int:
    """Operations of a step with a full matrix."""
    return n**3 // 3 + SOLVES * n**2


@lru_cache(maxsize=8)
def plan_of(rows: bytes, columns: bytes, n: int) -> Plan | None:
    """The plan of an elimination, by the bytes of the places of the entries; None if there is nothing to gain."""
    return planned(np.frombuffer(rows, np.intp), np.frombuffer(columns, np.intp), n, min(_full(n), MOST_PLANNED))


class Full(StageSystems):
    """Elimination with partial pivoting."""

    def extend(self, fields: Fields) -> None:
        """Memory of the factors."""
        shape = self.shape
        for name in ("upper", "lower"):
            fields.add(name, shape.dtype, shape.n * shape.size)
        fields.add("inverse", shape.dtype, shape.size)
        fields.add("order", WHOLE, shape.n, shape.lanes)

    def routines(self) -> list[Routine]:
        """Functions that factorise and solve."""
        return [self._factoriser(), self._solver()]

    def factorise(self, h: Value) -> None:
        """Fill and factorise the matrix."""
        self.elements("factor")[0] = self.numbers.factor(h)
        self.module.call(FACTORISE, *self.pointers(*self.numbers.given, *MATRIX))

    def solve(self, right: Held, result: Held) -> None:
        """Solve a system."""
        self.module.call(SOLVE, *self.pointers(*MATRIX), right.pointer, result.pointer)
        result.forget()

    def _fill(self, code: Code, given: list[Array], upper: Array) -> Tables:
        """Write the matrix, column by column."""
        shape, count = self.shape, len(self.rows)
        tables = Tables(code, count <= WRITTEN_OUT)
        places = tables.add(self.columns * shape.padded + self.rows)
        pieces, size = upper.of(shape.width, shape.lanes), shape.n * shape.padded
        for row in each(code, size, 0, shape.rows, size <= WRITTEN_OUT):
            pieces[row] = 0.0
        entries = self.numbers.entries(code, shape, given)
        for k in each(code, count, 0, 1, count <= WRITTEN_OUT):
            upper[places[k]] = entries(k)
        for k in () if self.numbers.has_mass else each(code, shape.n, 0, 1, shape.n <= IN_REGISTERS):
            place = k * (shape.padded + 1)
            upper[place] = upper[place] + self.numbers.diagonal(code, self.shape)
        return tables

    def _factoriser(self) -> Routine:
        code, names = self.numbers.code(), (*self.numbers.given, *MATRIX)
        upper = code.array(f"%{MATRIX[0]}", self.shape.dtype, self.shape.lanes)
        tables = self._fill(code, self._given(code), upper)
        Elimination(code, self.shape, *(f"%{name}" for name in MATRIX)).factorise()
        return internal(code, FACTORISE, names, tables.bytes())

    def _solver(self) -> Routine:
        code, names = self.numbers.code(), (*MATRIX, "right", "result")
        pointers = [f"%{name}" for name in names]
        Elimination(code, self.shape, *pointers[:4]).solve(*pointers[4:])
        return internal(code, SOLVE, names)


class Small(StageSystems):
    """The inverse, in registers."""

    def extend(self, fields: Fields) -> None:
        """No memory."""

    def routines(self) -> list[Routine]:
        """No functions."""
        return []

    def factorise(self, h: Value) -> None:
        """Fill and invert the matrix."""
        code, n, shape, numbers = self.numbers.code(self.module.code), self.shape.n, self.shape, self.numbers
        entries, *masses = (
            self.module.fields.array(self.module.code, name, numbers.shared_lanes(shape.lanes))
            for name in numbers.given
            if name != "factor"
        )
        zero, diagonal = code.number(0.0, shape.dtype, shape.lanes), numbers.diagonal(code, shape)
        matrix = [[diagonal if r == c and not masses else zero for c in range(n)] for r in range(n)]
        for k, (row, column) in enumerate(zip(self.rows.tolist(), self.columns.tolist(), strict=True)):
            more = diagonal * masses[0][k].wide(shape.lanes) if masses else matrix[row][column]
            matrix[row][column] = code.fma(numbers.factor(h), entries[k], more)
        self._inverse = inverse(code, matrix)

    def solve(self, right: Held, result: Held) -> None:
        """Solve a system."""
        code = self.numbers.code(self.module.code)
        found = product(code, self._inverse, [right[k] for k in range(self.shape.n)])
        for row, value in enumerate(found):
            result[row] = value


class Sparse(StageSystems):
    """
    Elimination by a plan, without change of rows.

    The first solution of each step is checked.
    """

    def __init__(self, shape: Shape, plan: Plan, numbers: Numbers) -> None:
        super().__init__(shape, plan.rows, plan.columns, numbers)
        self._plan = plan

    def extend(self, fields: Fields) -> None:
        """Memory of the factors."""
        lanes, dtype = self.shape.lanes, self.shape.dtype
        fields.add("values", dtype, self._plan.size, lanes)
        fields.add("found", dtype, lanes)

    def routines(self) -> list[Routine]:
        """Functions that factorise, solve and check."""
        limit = float(np.finfo(self.shape.dtype).eps) ** DOUBTFUL
        return Systems(self._plan, self.shape, self.numbers, limit).routines()

    def factorise(self, h: Value) -> None:
        """Fill and factorise the matrix."""
        self.elements("factor")[0] = self.numbers.factor(h)
        self.module.call(FACTORISE, *self.pointers(*self.numbers.given, "values"))

    def solve(self, right: Held, result: Held) -> None:
        """Solve a system."""
        self.module.call(SOLVE, *self.pointers("values"), right.pointer, result.pointer)
        result.forget()

    def fails(self, right: Held, result: Held) -> Value:
        """Whether the residual is large."""
        given = [*self.pointers("entries", "factor"), right.pointer, result.pointer, *self.pointers("found")]
        self.module.call(CHECK, *given)
        return self.elements("found")[0] > 0.0

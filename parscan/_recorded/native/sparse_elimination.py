"""Systems with few entries in drivers: elimination by a pattern that is known beforehand, without change of rows.

The matrix is `I/γ + factor J`, or `M/γ + factor J`, where J and M have entries at known places. Rows and columns are
eliminated in an order that keeps the factors sparse. No rows change places: for steps that are short enough, the
diagonal dominates. So it has to be checked afterwards that a solution satisfies its system.

Davis, "Direct Methods for Sparse Linear Systems", SIAM 2006, chapters 6 and 7.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .elimination import Shape
from .expressions import WHOLE, Array, Code, Value
from .numbers_of_systems import Numbers
from .routine import Routine

WRITTEN_OUT, OF_PAIRS = 300, 60
"""Operations of an elimination up to which it has no loops; and of complex numbers, for matrices with two parts: more
take LLVM seconds."""

FACTORISE, SOLVE, CHECK = "factorise", "solve", "check"
"""Names of the routines."""


@dataclass(frozen=True)
class Plan:
    """
    Order and places of an elimination.

    Attributes
    ----------
    n : int
        Unknowns. The inverse of the diagonal `D` of the factors `L D U` comes first in memory, by their numbers; then
        `L`, column by column, and `U`, row by row, in the order of elimination, both without their diagonals of ones.
    rows, columns : arrays of int
        Of the entries of J.
    places : array of int
        Where the entries belong in memory.
    order : array of int, shape (n,)
        Unknowns in the order in which they are eliminated.
    starts : array of int, shape (n + 1,)
        For each unknown in this order, where its neighbours begin.
    neighbours : array of int
        Of each unknown, those of its row and of its column that are eliminated later.
    first_targets : array of int, shape (n,)
        For each unknown in this order, where its targets begin.
    targets : array of int
        Places that change when it is eliminated: for each neighbour's row, one for each neighbour's column.
    above_starts, above, above_places : arrays of int
        The columns of `U`: the unknowns that are eliminated earlier, and where their entries are.
    """

    n: int
    rows: Any
    columns: Any
    places: Any
    order: Any
    starts: Any
    neighbours: Any
    first_targets: Any
    targets: Any
    above_starts: Any
    above: Any
    above_places: Any

    @property
    def size(self) -> int:
        """Numbers of the factors."""
        return self.n + 2 * len(self.neighbours)

    @property
    def operations(self) -> int:
        """Multiplications of a factorisation."""
        return len(self.targets) + len(self.neighbours)

    @property
    def is_written_out(self) -> bool:
        """Whether its text has no loops."""
        return self.operations <= WRITTEN_OUT


def planned(rows: Any, columns: Any, n: int, most: int) -> Plan | None:
    """The plan for a matrix with these entries; None if it takes more than `most` operations."""
    found = _eliminated(rows, columns, n, most)
    if found is None:
        return None
    order, counts = np.array(found[0]), np.array([len(some) for some in found[1]])
    others = np.array([other for some in found[1] for other in some], dtype=np.int64)
    rank = np.argsort(order)
    starts, total = np.append(0, np.cumsum(counts)), len(others)
    earlier = np.repeat(np.arange(n), counts)
    keys = earlier * n + others  # in ascending order

    def place(some: Any, other: Any) -> Any:
        is_upper = rank[some] < rank[other]
        first, last = np.where(is_upper, some, other), np.where(is_upper, other, some)
        found = n + np.searchsorted(keys, rank[first] * n + last) + np.where(is_upper, total, 0)
        return np.where(some == other, some, found)

    targets = [place(some[:, None], some).ravel() for some in np.split(others, starts[1:-1])]
    above = np.lexsort((earlier, rank[others]))
    return Plan(
        n, np.asarray(rows), np.asarray(columns), place(np.asarray(rows), np.asarray(columns)), order, starts, others,
        np.append(0, np.cumsum(counts**2)[:-1]), np.concatenate(targets),
        np.append(0, np.cumsum(np.bincount(rank[others], minlength=n))), order[earlier[above]], n + total + above,
    )  # fmt: skip


def _eliminated(rows: Any, columns: Any, n: int, most: int) -> tuple[list[int], list[list[int]]] | None:
    """An order in which each unknown has the fewest neighbours of those that are left, and these neighbours."""
    near: list[set[int]] = [set() for _ in range(n)]
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if row != column:
            near[row].add(column)
            near[column].add(row)
    queue = [(len(some), node) for node, some in enumerate(near)]
    heapq.heapify(queue)
    order, neighbours, done, operations = list[int](), list[list[int]](), [False] * n, 0
    while queue:
        count, node = heapq.heappop(queue)
        if done[node] or count != len(near[node]):
            continue
        done[node], some = True, sorted(near[node])
        order.append(node)
        neighbours.append(some)
        operations += count * (count + 1)
        if operations > most:
            return None
        for one in some:
            near[one] |= near[node]
            near[one] -= {one, node}
            heapq.heappush(queue, (len(near[one]), one))
    return order, neighbours


def internal(code: Code, name: str, names: Sequence[str], table: Any = None, scratch: int = 0) -> Routine:
    """What was written as a function of pointers that are called so."""
    given = ["ptr noalias readonly %table", "ptr noalias %scratch", *(f"ptr noalias %{one}" for one in names)]
    text = code.function(name, given).replace("define ", "define internal ", 1)
    table = np.zeros(0, dtype=np.uint8) if table is None else table
    return Routine(name, text, code.text.declarations, code.text.external, table, scratch, ())


class Tables:
    """Integers of a plan: Python's if the text has no loops, else at the beginning of the table of a routine."""

    def __init__(self, code: Code, written_out: bool) -> None:
        self._code, self._written_out, self._parts, self._size = code, written_out, list[Any](), 0

    def add(self, numbers: Any) -> Any:
        """Numbers that can be read at a place."""
        if self._written_out:
            return numbers.tolist()
        self._parts.append(numbers.astype(np.int64))
        pointer = self._code.pointer("%table", 8 * self._size)
        self._size += numbers.size
        return self._code.array(pointer, WHOLE)

    def bytes(self) -> Any:
        """All of them."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self._parts]).view(np.uint8)


class Systems:
    """
    Writes the routines of a plan.

    Parameters
    ----------
    plan : Plan
    shape : Shape
        Of the vectors.
    numbers : Numbers
        What the matrices consist of, with the diagonal `1/γ`.
    limit : float
        Largest ratio of the residual of a row to the sum of the sizes of its terms.
    """

    def __init__(self, plan: Plan, shape: Shape, numbers: Numbers, limit: float) -> None:
        self._plan, self._shape, self._lanes, self._dtype = plan, shape, shape.lanes, shape.dtype
        self._rows, self._limit, self._numbers = shape.rows, limit, numbers
        self._is_written_out = plan.is_written_out and not (numbers.has_mass and plan.operations > OF_PAIRS)

    def routines(self) -> list[Routine]:
        """
        The routines.

        `factorise(entries, factor, values)` writes the factors to `values`; `solve(values, right, result)` solves a
        system; `check(entries, factor, right, result, found)` writes 0 if the residual is as small as it should be,
        and 1 if it is not.
        """
        return [self._factorise(), self._solve(), *([] if self._numbers.is_complex else [self._check()])]

    def _begin(self, *names: str) -> tuple[Code, list[Array]]:
        code = self._numbers.code()
        return code, [code.array(f"%{name}", self._dtype, self._lanes) for name in names]

    def _factorise(self) -> Routine:
        plan, names = self._plan, (*self._numbers.given, "values")
        code, (values,) = self._begin(names[-1])
        lanes = self._numbers.shared_lanes(self._lanes)
        given = [code.reals(f"%{name}", self._dtype, lanes) for name in names[:-1]]
        tables, diagonal = Tables(code, self._is_written_out), self._numbers.diagonal(code, self._shape)
        if self._is_written_out:
            self._factorise_in_registers(code, given, diagonal, values)
            return internal(code, FACTORISE, names, tables.bytes())
        places, order, starts, first, targets = map(
            tables.add, (plan.places, plan.order, plan.starts, plan.first_targets, plan.targets)
        )
        total, entries = len(plan.neighbours), self._numbers.entries(code, self._shape, given)
        with code.for_(plan.size) as k:
            values[k] = 0.0
        with code.for_(len(plan.places)) as k:
            values[places[k]] = entries(k)
        if not self._numbers.has_mass:
            with code.for_(plan.n) as k:
                values[k] = values[k] + diagonal
        with code.for_(plan.n) as k:
            pivot = order[k]
            inverse = 1.0 / values[pivot]
            values[pivot] = inverse
            start, end, target = starts[k], starts[k + 1], first[k]
            with code.for_(end, start) as row:
                lower = values[row + plan.n] * inverse
                values[row + plan.n] = lower
                here = target + (row - start) * (end - start) - start
                with code.for_(end, start) as column:
                    place = targets[here + column]
                    values[place] = code.fma(-lower, values[column + (plan.n + total)], values[place])
            with code.for_(end, start) as column:
                place = column + (plan.n + total)
                values[place] = values[place] * inverse
        return internal(code, FACTORISE, names, tables.bytes())

    def _factorise_in_registers(
        self, code: Code, given: Sequence[Array], diagonal: Value, values: Array
    ) -> None:  # fmt: skip
        plan, total, numbers = self._plan, len(self._plan.neighbours), self._numbers
        entries = numbers.entries(code, self._shape, given)
        found = {place: entries(k) for k, place in enumerate(plan.places.tolist())}
        for k in () if numbers.has_mass else range(plan.n):
            found[k] = found[k] + diagonal if k in found else diagonal
        zero, targets = code.number(0.0, self._dtype, self._lanes), iter(plan.targets.tolist())
        for k, pivot in enumerate(plan.order.tolist()):
            found[pivot] = inverse = 1.0 / found[pivot]
            places = range(plan.n + int(plan.starts[k]), plan.n + int(plan.starts[k + 1]))
            for row in places:
                lower = found[row] = found[row] * inverse if row in found else zero
                for column in places:
                    target, upper = next(targets), found.get(column + total)
                    if upper is not None and lower is not zero:
                        found[target] = code.fma(-lower, upper, found.get(target, zero))
            for column in places:
                if column + total in found:
                    found[column + total] = found[column + total] * inverse
        for place in range(plan.size):
            values[place] = found.get(place, zero)

    def _solve(self) -> Routine:
        plan, names = self._plan, ("values", "right", "result")
        code, (values, right, result) = self._begin(*names)
        written_out = self._is_written_out
        tables = Tables(code, written_out)
        order, starts, neighbours, above_starts, above, above_places = map(
            tables.add, (plan.order, plan.starts, plan.neighbours, plan.above_starts, plan.above, plan.above_places)
        )
        x: Any = {k: right[k] for k in range(plan.n)} if written_out else result
        if not written_out:
            with code.for_(plan.n) as row:
                result[row] = right[row]
        for k in _each(code, plan.n, 0, written_out):
            known = -x[order[k]]
            for one in _each(code, starts[k + 1], starts[k], written_out):
                x[neighbours[one]] = code.fma(values[one + plan.n], known, x[neighbours[one]])
        for k in _each(code, plan.n, 0, written_out):
            x[k] = x[k] * values[k]
        for place in _each(code, plan.n, 0, written_out):
            k = plan.n - 1 - place
            known = -x[order[k]]
            for one in _each(code, above_starts[k + 1], above_starts[k], written_out):
                x[above[one]] = code.fma(values[above_places[one]], known, x[above[one]])
        if written_out:
            self._write(code, [x[place] for place in range(plan.n)], result)
        return internal(code, SOLVE, names, tables.bytes())

    def _write(self, code: Code, values: list[Value], result: Array) -> None:
        """Write a solution in the pieces in which it is read."""
        values = values + [code.number(0.0, self._dtype, self._lanes)] * (-len(values) % self._rows)
        for row in range(0, len(values), self._rows):
            some = values[row : row + self._rows]
            piece = code.joined(some) if self._rows > 1 else some[0]
            result.of(self._rows * self._lanes, self._lanes)[row] = piece

    def _check(self) -> Routine:
        """Compares backward errors, entry by entry, with the limit (Oettli and Prager 1964)."""
        plan, names = self._plan, ("entries", "factor", "right", "result", "found")
        code, (entries, factor, right, result, found) = self._begin(*names)
        written_out = self._is_written_out
        tables = Tables(code, written_out)
        rows, columns = map(tables.add, (plan.rows, plan.columns))
        diagonal = self._numbers.diagonal(code, self._shape)
        size, memory = factor[0], code.array("%scratch", self._dtype, self._lanes)
        residual: Any = {} if written_out else memory
        sizes: Any = {} if written_out else memory.after(plan.n)
        for k in _each(code, plan.n, 0, written_out):
            residual[k] = code.fma(result[k], diagonal, -right[k])
            sizes[k] = code.fma(code.abs(result[k]), diagonal, code.abs(right[k]))
        for k in _each(code, len(plan.rows), 0, written_out):
            term = entries[k] * size * result[columns[k]]
            residual[rows[k]] = residual[rows[k]] + term
            sizes[rows[k]] = sizes[rows[k]] + code.abs(term)
        number = np.finfo(self._dtype)
        least = float(number.tiny / number.eps)  # products of numbers near underflow are rounded coarsely
        verdict: Any = {} if written_out else found
        verdict[0] = code.number(0.0, self._dtype, self._lanes)
        for k in _each(code, plan.n, 0, written_out):
            fits = code.abs(residual[k]) <= code.fma(sizes[k], self._limit, least)
            verdict[0] = code.where(fits, verdict[0], 1.0)
        found[0] = verdict[0]
        scratch = 2 * plan.n * self._lanes * self._dtype.itemsize
        return internal(code, CHECK, names, tables.bytes(), scratch)


def _each(code: Code, end: Any, first: Any, written_out: bool) -> Any:
    """Numbers from `first` to below `end`: Python's, or the variable of a loop."""
    if written_out:
        yield from range(first, end)
    else:
        with code.for_(end, first) as place:
            yield place

"""Products of vectors with derivatives of a recorded function by its parameters, summed over many calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .array import RecordingArray, recorded
from .differentiate import Cotangents
from .graph import CONVERT, GATHER, INPUT, Graph
from .misses import limits_and_values, miss
from .program import Argument, Program, any_of, extract
from .record import Recording
from .switches import JUMPY
from .tangents import replayed

WORTH = 16
"""Entries from which on an outer product is summed over many calls as a product of matrices."""

AT_ONCE = 1 << 18
"""Multiplications of a product of matrices, about, for which no other thread of a library of linear algebra starts."""

TOGETHER = 64
"""Rows whose sums are formed together."""

JUMPS = JUMPY | {GATHER, "copysign", "remainder", "fmod", "floor_divide"}
"""Operations that jump, and lookups in tables."""


@dataclass(frozen=True)
class Outer:
    """
    Terms that are products of each of some results with each of others.

    Attributes
    ----------
    left, right : slice
        Places in the results of this name.
    targets : array of int, shape (left, right)
        Places in the parameters, all of them in a row.
    """

    left: slice
    right: slice
    targets: Any


@dataclass(frozen=True, eq=False)
class Pullback:
    """
    The program `(*arguments, bar) -> (left, right, alone)`, whose results say what `bar ∂f/∂θ` is.

    Attributes
    ----------
    program : Program
    outer : tuple of Outer
        Terms that are products of `left` and `right` results.
    targets : array of int
        Places in the parameters, all of them in a row, to which the results `alone` are added.
    size : int
        Number of the parameters.
    """

    program: Program
    outer: tuple[Outer, ...]
    targets: Any
    size: int

    def nothing(self) -> Any:
        """Sums over no calls."""
        return np.zeros(self.size)

    def summed(self, left: Any, right: Any, alone: Any) -> Any:
        """Sums `(size,)` over calls of their results `(m, ...)`."""
        total = self.nothing()
        np.add.at(total, self.targets, _column_sums(alone))
        for one in self.outer:
            most = max(1, AT_ONCE // one.targets.size)
            for begin in range(0, len(alone), most):
                rows = slice(begin, begin + most)
                total[one.targets] += left[rows, one.left].T @ right[rows, one.right]
        return total

    def gathered(self, terms: Any) -> Any:
        """Sums `(size,)` of terms: of all that are `alone`, then of the products of each block."""
        total, count = self.nothing(), self.targets.size
        np.add.at(total, self.targets, terms[:count])
        for one in self.outer:
            size = one.targets.size
            total[one.targets] += terms[count : count + size].reshape(one.targets.shape)
            count += size
        return total


def pullback(recording: Recording, parameters: Sequence[int]) -> Pullback:
    """
    Derive a recorded function by some of its arguments, given by their numbers, which come last.

    Terms that parameters get by operations on themselves are not added up call by call: those that are products of the
    same factors with each other, as for `y @ W`, become one product of matrices for many calls.

    Raises
    ------
    TooLarge
        If the derivatives have too many operations.
    """
    found, arguments = _collected(recording, parameters)
    return _pullback(recording, found, arguments, [], WORTH)


def summing(recording: Recording, parameters: Sequence[int]) -> Pullback:
    """
    The same with the program `(bar, y, ..., limits, g, after) -> (g + bar ∂f/∂y, left, right, alone)`, `f` like `y`.

    One more sum, the last one, counts the calls that miss the values `after`: the function is evaluated anyway. Limits
    are the distance that is no miss, and one in units of the values.

    Raises
    ------
    TooLarge
        If the derivatives have too many operations.
    """
    found, arguments = _collected(recording, parameters)
    state = _as_array(recording, recording.arguments[0], found)
    pulled = _pullback(recording, found, arguments, [state, recording.result], 2)
    program = _with_misses(_steps_back(pulled.program))
    return replace(pulled, program=program, targets=np.append(pulled.targets, pulled.size), size=pulled.size + 1)


def _with_misses(program: Program) -> Program:
    """The program `(..., limits, g, after) -> (u, ..., alone)` of a program `(..., g) -> (u, value, ..., alone)`."""
    last = len(program.arguments) - 1
    graph, given, (found, value, *others, alone) = replayed(program, [*range(last), last + 1])
    limits, after = limits_and_values(value, last, last + 2)
    terms = alone.with_ids(np.append(np.ravel(alone.ids), miss(value, limits, after)))
    every = [*given[:last], limits, given[last], after]
    return extract(graph, [found, *others, terms], [Argument(one.shape, one.dtype) for one in every])


def _collected(recording: Recording, parameters: Sequence[int]) -> tuple[_Collected, list[Argument]]:
    """Derivatives by all arguments, with the terms of parameters collected, and the arguments that they need."""
    bar, arguments = _with_vector(recording)
    nodes = np.concatenate([np.ravel(recording.arguments[k].ids) for k in parameters])
    return _Collected(recording.graph, np.ravel(recording.result.ids), np.ravel(bar.ids), nodes), arguments


def _pullback(
    recording: Recording, found: _Collected, arguments: list[Argument], before: list[RecordingArray], worth: int
) -> Pullback:
    """Terms sorted out: outer products from so many entries on, and all others; `before` are results before them."""
    graph, result, terms, targets = recording.graph, recording.result, found.terms, found.targets
    factors = _factors(graph, terms)
    outer: list[tuple[Any, Any, Any]] = []
    is_alone = np.ones(terms.shape, dtype=bool)
    for some in _products(factors, targets):
        left, right = factors[0][some], factors[1][some]
        rows, columns = np.unique(left), np.unique(right)
        if rows.size * columns.size == some.size >= worth:
            places = np.empty((rows.size, columns.size), dtype=np.intp)
            places[np.searchsorted(rows, left), np.searchsorted(columns, right)] = targets[some]
            outer.append((rows, columns, places))
            is_alone[some] = False
    lefts, rights = (_in_a_row([one[side] for one in outer]) for side in (0, 1))
    alone = terms[is_alone]
    results = [*before, *(result.with_ids(ids) for ids in (lefts[0], rights[0], alone))]
    blocks = tuple(Outer(left, right, one[2]) for left, right, one in zip(lefts[1], rights[1], outer, strict=True))
    return Pullback(extract(graph, results, arguments), blocks, targets[is_alone], found.size)


def pulled_back(recording: Recording, numbers: Sequence[int]) -> Program:
    """
    The program `(*arguments, bar) -> (bar ∂f/∂a, ...)` for some arguments `a`, given by their numbers.

    Raises
    ------
    TooLarge
        If the derivatives have too many operations.
    """
    graph, result = recording.graph, recording.result
    bar, arguments = _with_vector(recording)
    found = Cotangents(graph, np.ravel(result.ids), np.ravel(bar.ids))
    results = [_as_array(recording, recording.arguments[number], found) for number in numbers]
    return extract(graph, results, arguments)


def _as_array(recording: Recording, argument: RecordingArray, found: Cotangents) -> RecordingArray:
    """The cotangents of an argument."""
    ids = np.array(found.of(np.ravel(argument.ids)))
    ids[ids < 0] = recording.graph.constant(np.asarray(0, argument.dtype))
    return RecordingArray(recording.graph, ids.reshape(argument.shape), argument.dtype)


def moves_jumps(recording: Recording, parameters: Sequence[int]) -> bool:
    """Whether an operation that jumps depends on some arguments, given by their numbers."""
    program = recording.program
    flags = np.zeros(program.size, dtype=bool)
    for block in program.blocks:
        if block.operation == INPUT:
            found: Any = block.data[0] in parameters
        else:
            found = any_of(block, flags)
        flags[block.first : block.first + block.count] = found
        if (block.operation in JUMPS or block.dtype.kind != "f") and flags[
            block.first : block.first + block.count
        ].any():
            return True
    return False


def _with_vector(recording: Recording) -> tuple[RecordingArray, list[Argument]]:
    """One more argument, of the shape of the result, and all arguments."""
    graph, result, number = recording.graph, recording.result, len(recording.arguments)
    bar = RecordingArray(graph, graph.argument(number, result.shape, result.dtype), result.dtype)
    return bar, [Argument(one.shape, one.dtype) for one in (*recording.arguments, bar)]


class _Collected(Cotangents):
    """
    Reverse mode that collects the terms of parameters, without adding them.

    Attributes
    ----------
    terms, targets : arrays of int
        Nodes of the terms, and the places in the parameters to which they belong.
    size : int
        Number of the parameters.
    """

    def __init__(self, graph: Graph, outputs: Any, seeds: Any, parameters: Any) -> None:
        self.size = parameters.size
        self._place = np.full(graph.size, -1, dtype=np.intp)
        self._place[parameters] = np.arange(parameters.size)
        self._dtype = graph.dtype(int(seeds[0])) if seeds.size else np.dtype(float)
        self._found: list[tuple[Any, Any]] = []
        super().__init__(graph, outputs, seeds)
        self.terms, self.targets = (
            np.concatenate([np.empty(0, dtype=np.intp), *some])
            for some in (zip(*self._found, strict=True) if self._found else ((), ()))
        )

    def _as_result(self, ids: Any, dtype: Any) -> Any:
        """Terms in the precision of the result."""
        return ids if dtype == self._dtype else np.asarray(recorded(self._graph, CONVERT, self._dtype, [ids]))

    def _add_one(self, dtype: Any, target: int, term: int, part: int) -> None:
        place = int(self._place[target])
        if place < 0:
            super()._add_one(dtype, target, term, part)
        else:
            self._found.append((self._as_result(np.array([term]), dtype), np.array([place])))

    def _add(self, dtype: Any, targets: Any, ids: Any, parts: Any) -> None:
        place = self._place[targets]
        some = place >= 0
        if some.any():
            self._found.append((self._as_result(np.broadcast_to(ids, targets.shape)[some], dtype), place[some]))
        if not some.all():
            super()._add(dtype, targets[~some], ids[~some], parts[~some])


def _column_sums(rows: Any) -> Any:
    """Sums over the first of two axes; short rows are taken together, since each takes as long as a longer one."""
    count, width = rows.shape
    groups = count // TOGETHER
    if width >= TOGETHER or not groups:
        return rows.sum(axis=0)
    even = rows[: groups * TOGETHER].reshape(groups, TOGETHER * width).sum(axis=0)
    return even.reshape(TOGETHER, width).sum(axis=0) + rows[groups * TOGETHER :].sum(axis=0)


def _factors(graph: Graph, terms: Any) -> Any:
    """Both factors of terms that are products, -1 for others; shape (2, terms)."""
    found = np.full((2, graph.size), -1, dtype=np.intp)
    for block in graph.blocks:
        if block.operation == "multiply":
            for side, ids in enumerate(block.operands):
                found[side, block.first : block.first + block.count] = ids
    return found[:, terms]


def _products(factors: Any, targets: Any) -> list[Any]:
    """Terms whose left factors are multiplied by the same right ones, for distinct parameters."""
    are_products = np.flatnonzero(factors[0] >= 0)
    groups: dict[Any, list[Any]] = {}
    order = are_products[np.argsort(factors[0, are_products], kind="stable")]
    cuts = np.flatnonzero(np.diff(factors[0, order])) + 1
    for some in np.split(order, cuts):
        if some.size > 1:
            groups.setdefault(np.sort(factors[1, some]).tobytes(), []).append(some)
    joined = [np.concatenate(some) for some in groups.values()]
    return [some for some in joined if np.unique(targets[some]).size == some.size]


def _in_a_row(parts: list[Any]) -> tuple[Any, list[slice]]:
    """Parts joined, and where each of them is."""
    ends = np.cumsum([0, *map(len, parts)]).tolist()
    joined = np.concatenate([np.empty(0, dtype=np.intp), *parts])
    return joined, [slice(first, last) for first, last in pairwise(ends)]


def backwards(recording: Recording) -> Program:
    """
    The program `(bar, y, ..., g) -> g + bar ∂f/∂y` of a recorded function `f(y, ...)` whose result is like `y`.

    Raises
    ------
    TooLarge
        If the derivatives have too many operations.
    """
    return _steps_back(pulled_back(recording, [0]))


def _steps_back(program: Program) -> Program:
    """The program `(bar, y, ..., g) -> (g + u, ...)` of a program `(y, ..., bar) -> (u, ...)`."""
    last = len(program.arguments)
    graph, given, (found, *others) = replayed(program, [*range(1, last), 0])
    state = program.arguments[0]
    added = graph.argument(last, state.shape, state.dtype)
    ids = recorded(graph, "add", state.dtype, [np.ravel(found.ids), np.ravel(added)])
    arguments = [Argument(one.shape, one.dtype) for one in (given[-1], *given[:-1])]
    result = RecordingArray(graph, np.reshape(ids, state.shape), state.dtype)
    return extract(graph, [result, *others], [*arguments, state])

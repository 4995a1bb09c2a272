"""A recorded step that carries its derivative along: the product of the Jacobians of all steps so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .array import RecordingArray, recorded
from .differentiate import Tangents
from .graph import CONSTANT, INPUT, PRODUCT, Graph
from .program import Argument, Program, extract
from .results import product

WRITTEN_OUT = 1024
"""Multiplications up to which a product of matrices is written out, entry by entry."""

TRACED = 128
"""Components of a state up to which entries of the product that stay zero are found."""


def replayed(program: Program, numbers: Sequence[int]) -> tuple[Graph, list[RecordingArray], list[RecordingArray]]:
    """A graph with the operations of a program, its arguments, which have these numbers there, and its results."""
    graph = Graph()
    arguments = [
        RecordingArray(graph, graph.argument(number, one.shape, one.dtype), one.dtype)
        for number, one in zip(numbers, program.arguments, strict=True)
    ]
    return graph, arguments, replayed_on(program, arguments)


def replayed_on(program: Program, arguments: Sequence[RecordingArray]) -> list[RecordingArray]:
    """The results of a program of these arguments, in their graph."""
    graph, found = arguments[0].graph, np.zeros(program.size, dtype=np.intp)
    for block in program.blocks:
        own = slice(block.first, block.first + block.count)
        if block.operation == INPUT:
            found[own] = np.ravel(arguments[block.data[0]].ids)[block.data[1]]
        elif block.operation == CONSTANT:
            found[own] = graph.constants(block.data, block.dtype)
        elif block.operation == PRODUCT:
            matrix, vector = block.operands
            found[own] = product(graph, found[matrix], found[vector], block.dtype)
        else:
            operands = [found[ids] for ids in block.operands]
            found[own] = recorded(graph, block.operation, block.dtype, operands, block.data)
    return [
        RecordingArray(graph, found[ids], dtype) for ids, dtype in zip(program.results, program.dtypes, strict=True)
    ]


def with_tangents(program: Program, places: Any, *, of_complex: bool = False) -> Program:
    """
    The program `(y, S, *x) -> (y', J S)` of a step `(y, *x) -> y'` with the Jacobian `J` with respect to `y`.

    Matrices have the entries of a family that is closed under products; other entries of `J` are left out. Entries of
    `S` that are zero in all products of such `J` are taken to be zero: `S` begins as the identity.

    Complex numbers are pairs of real ones. The columns of `S` are then derivatives by the real parts of the first
    state, which are the complex derivatives if there are such.

    Parameters
    ----------
    program : Program
        Its first argument is the state, which the first result follows.
    places : array of int
        Entries of a matrix of the family in the layout of `S`: the entry in row `i` and column `j` of an n×n matrix has
        the number `i n + j`.
    of_complex : bool
        Whether the state consists of pairs.

    Raises
    ------
    TooLarge
        If the program would have too many operations.
    """
    graph, (state, *inputs), (after, *_) = replayed(program, [0, *range(2, len(program.arguments) + 1)])
    numbers = 2 if of_complex else 1
    n, dtype = state.size // numbers, state.dtype
    nodes = np.ravel(after.ids)
    rows, columns, ids = Tangents(graph, np.ravel(state.ids), nodes).entries(nodes)
    inside = np.isin(rows // numbers * n + columns // numbers, places)
    jacobian = _Sparse(rows[inside], columns[inside], np.asarray(ids)[inside], state.size, n)
    if of_complex:  # as real numbers, the matrix has twice as many rows
        places = np.stack([(2 * (places // n) + part) * n + places % n for part in range(2)], axis=-1)
    before = RecordingArray(graph, graph.argument(1, places.shape, dtype), dtype)
    products = _product(graph, jacobian, places.ravel(), np.ravel(before.ids), dtype)
    tangents = RecordingArray(graph, products.reshape(places.shape), dtype)
    arguments = [Argument(one.shape, one.dtype) for one in (state, before, *inputs)]
    return extract(graph, [after, tangents], arguments)


def along(program: Program, columns: int) -> Program:
    """
    The program `(y, S, *x) -> (y', J S)` of a step `(y, *x) -> y'` on real numbers, where `S` has a few columns.

    `J S` is derived along the columns, without the Jacobian: that is the product with its diagonal, too, if there is
    nothing else in it and `S` is the diagonal of a matrix.

    Raises
    ------
    TooLarge
        If the program would have too many operations.
    """
    graph, (state, *inputs), (after, *_) = replayed(program, [0, *range(2, len(program.arguments) + 1)])
    n, dtype = state.size, state.dtype
    before = RecordingArray(graph, graph.argument(1, (n, columns), dtype), dtype)
    nodes = np.ravel(after.ids)
    rows, places, ids = Tangents(graph, np.ravel(state.ids), nodes, before.ids).entries(nodes)
    products = np.full((n, columns), graph.constant(np.asarray(0, dtype)))
    products[rows, places] = ids
    arguments = [Argument(one.shape, one.dtype) for one in (state, before, *inputs)]
    return extract(graph, [after, RecordingArray(graph, products, dtype)], arguments)


def is_diagonal(program: Program) -> bool:
    """Whether no component of the first result of a step on real numbers depends on another one of the state."""
    graph, (state, *_), (after, *_) = replayed(program, range(len(program.arguments)))
    nodes = np.ravel(after.ids)
    rows, columns, _ = Tangents(graph, np.ravel(state.ids), nodes).entries(nodes)
    return bool((rows == columns).all())


class _Sparse:
    """
    Entries of a Jacobian, a factor of matrices with as many rows.

    Attributes
    ----------
    rows, columns, ids : arrays of int
        Places of the entries, row by row, and their nodes.
    n : int
        Number of rows and columns.
    width : int
        Number of columns of the other matrices: `n`, or half as many.
    """

    def __init__(self, rows: Any, columns: Any, ids: Any, n: int, width: int) -> None:
        self.rows, self.columns, self.ids, self.n, self.width = rows, columns, ids, n, width

    def reached(self, places: Any) -> Any:
        """Which entries of a product of such matrices, times the identity, may differ from zero."""
        if self.n > TRACED:
            return np.ones(places.shape, dtype=bool)
        paths = np.eye(self.n, dtype=bool)
        paths[self.rows, self.columns] = True
        for _ in range(self.n.bit_length()):
            paths = paths @ paths
        return paths[:, :: self.n // self.width].ravel()[places]

    def terms(self, places: Any, reached: Any) -> tuple[Any, Any, Any]:
        """
        Terms `J[i, k] S[k, j]` of the entries `(i, j)` of `J S`, in the order of `k`.

        Returned are three arrays: the place of `(i, j)` in the layout, the number of the entry of `J`, and the place of
        `(k, j)`.
        """
        place = dict(zip(places[reached].tolist(), np.flatnonzero(reached).tolist(), strict=True))
        entries: dict[int, list[tuple[int, int]]] = {}
        for number, (row, column) in enumerate(zip(self.rows.tolist(), self.columns.tolist(), strict=True)):
            entries.setdefault(row, []).append((column, number))
        found = [
            (target, number, factor)
            for entry, target in place.items()
            for column, number in entries.get(entry // self.width, ())
            if (factor := place.get(column * self.width + entry % self.width)) is not None
        ]
        return tuple(np.array(found, dtype=np.intp).reshape(-1, 3).T)  # type: ignore[return-value]


def _product(graph: Graph, jacobian: _Sparse, places: Any, matrix: Any, dtype: np.dtype[Any]) -> Any:
    """Nodes of `J S` in the layout of `S`."""
    reached = jacobian.reached(places)
    targets, entries, factors = jacobian.terms(places, reached)
    found = np.full(places.shape, graph.constant(np.asarray(0, dtype)))
    if not targets.size:
        return found
    most = np.bincount(targets).max()
    if most > 1 and targets.size > WRITTEN_OUT and places.size == jacobian.n * jacobian.width:
        return _by_columns(graph, jacobian, places, matrix, dtype)
    one_by_one = most > 1 and targets.size <= WRITTEN_OUT
    order = np.arange(targets.size) - np.searchsorted(targets, targets)  # of a term among those of its entry
    for k in range(most):
        some = order == k
        own = targets[some]
        operands = [jacobian.ids[entries[some]], matrix[factors[some]]]
        terms = recorded_together(graph, "multiply", dtype, operands, one_by_one=one_by_one)
        if k:
            terms = recorded_together(graph, "add", dtype, [found[own], terms], one_by_one=one_by_one)
        found[own] = terms
    return found


def recorded_together(
    graph: Graph, name: str, dtype: np.dtype[Any], operands: list[Any], *, one_by_one: bool
) -> Any:  # fmt: skip
    """Nodes of an operation on arrays of nodes, as one block or as a block for each element."""
    if not one_by_one:
        return recorded(graph, name, dtype, operands)
    pairs = zip(*(ids.tolist() for ids in operands), strict=True)
    return np.array([recorded(graph, name, dtype, list(pair)) for pair in pairs], dtype=np.intp)


def _by_columns(graph: Graph, jacobian: _Sparse, places: Any, matrix: Any, dtype: np.dtype[Any]) -> Any:
    """The product of dense matrices, column by column."""
    n, width = jacobian.n, jacobian.width
    dense = np.full((n, n), graph.constant(np.asarray(0, dtype)))
    dense[jacobian.rows, jacobian.columns] = jacobian.ids
    columns = np.empty((n, width), dtype=np.intp)
    columns.ravel()[places] = matrix
    found = np.stack([product(graph, dense, column, dtype) for column in columns.T], axis=1)
    return found.ravel()[places]

"""Derivatives of recorded operations, recorded in the same graph: forward with their sparsity, and reverse."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .array import RecordingArray, Refused, apply, recorded
from .graph import CONSTANT, CONVERT, GATHER, INPUT, PRODUCT, SEARCH_LEFT, SEARCH_RIGHT, Block, Graph, Ids
from .operations import OPERATIONS

FLAT = (INPUT, CONSTANT, GATHER, SEARCH_LEFT, SEARCH_RIGHT)
"""Blocks through which no derivative goes."""


class Tangents:
    """
    Derivatives of all nodes of a graph with respect to some of them, entries that are not zero by structure.

    Griewank & Walther, Evaluating Derivatives (2008), chapters 3 and 7: forward mode with sparse vectors.

    Parameters
    ----------
    graph : Graph
        New operations are recorded in it.
    seeds : array of int, shape (n,)
        The nodes with respect to which derivatives are taken; the columns of the Jacobian.
    """

    def __init__(self, graph: Graph, seeds: Ids) -> None:
        self._graph, self._width = graph, max(int(np.size(seeds)), 1)
        blocks, size = list(graph.blocks), graph.size
        self._start = np.zeros(size, dtype=np.intp)
        self._count = np.zeros(size, dtype=np.intp)
        self._columns: Any = np.empty(0, dtype=np.intp)
        self._ids: Any = np.empty(0, dtype=np.intp)
        column = np.full(size, -1, dtype=np.intp)
        column[np.ravel(seeds)] = np.arange(np.size(seeds))
        for block in blocks:
            own = column[block.first : block.first + block.count]
            if (own >= 0).any():
                places = np.flatnonzero(own >= 0)
                ones = np.full(places.shape, graph.constant(np.asarray(1, block.dtype)))
                self._store(block, places * self._width + own[places], ones)
            elif block.operation not in FLAT and block.dtype.kind == "f":
                self._store(block, *self._of_block(block))

    def entries(self, nodes: Ids) -> tuple[Any, Any, Any]:
        """Derivatives of some nodes `(m,)`: rows, columns and nodes of the entries, row by row."""
        keys, ids = self._of_nodes(np.ravel(nodes))
        return keys // self._width, keys % self._width, ids

    def _store(self, block: Block, keys: Any, ids: Any) -> None:
        rows = keys // self._width
        count = np.bincount(rows, minlength=block.count)
        begin = self._ids.shape[0]
        self._start[block.first : block.first + block.count] = begin + np.cumsum(count) - count
        self._count[block.first : block.first + block.count] = count
        self._columns = np.concatenate([self._columns, keys % self._width])
        self._ids = np.concatenate([self._ids, ids])

    def _of_nodes(self, nodes: Any) -> tuple[Any, Any]:
        """Entries of some nodes, with keys `row * width + column` in ascending order."""
        count = self._count[nodes]
        rows = np.repeat(np.arange(nodes.shape[0]), count)
        offsets = np.arange(rows.shape[0]) - np.repeat(np.cumsum(count) - count, count)
        places = self._start[nodes][rows] + offsets
        return rows * self._width + self._columns[places], self._ids[places]

    def _of_block(self, block: Block) -> tuple[Any, Any]:
        """Entries of the nodes of a block, by the chain rule."""
        if block.operation == PRODUCT:
            return self._of_product(block)
        nodes = [np.atleast_1d(np.asarray(ids)) for ids in block.operands]
        parts = [self._of_nodes(ids) for ids in nodes]
        if not any(keys.size for keys, _ in parts):
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        if block.operation == CONVERT:
            keys, ids = parts[0]
            return keys, recorded(self._graph, CONVERT, block.dtype, [ids])
        operation = OPERATIONS[block.operation]
        if operation.chooses is not None:
            return self._of_choice(block, operation.chooses, nodes, parts)
        found: tuple[Any, Any] | None = None
        for (keys, ids), factor in zip(parts, partials(self._graph, block, parts), strict=True):
            if factor is not None and keys.size:
                factors = np.broadcast_to(factor.ids, (block.count,))[keys // self._width]
                term = keys, recorded(self._graph, "multiply", block.dtype, [factors, ids])
                found = term if found is None else self._sum(block, found, term)
        return (np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)) if found is None else found

    def _sum(self, block: Block, one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[Any, Any]:
        """Entries of a sum: where both have one, an addition."""
        keys = np.union1d(one[0], other[0])
        found = np.full(keys.shape, -1, dtype=np.intp)
        found[np.searchsorted(keys, one[0])] = one[1]
        places = np.searchsorted(keys, other[0])
        both = found[places] >= 0
        found[places[~both]] = other[1][~both]
        if both.any():
            added = recorded(self._graph, "add", block.dtype, [found[places[both]], other[1][both]])
            found[places[both]] = added
        return keys, found

    def _of_choice(
        self, block: Block, chooses: Callable[..., Any], nodes: list[Any], parts: list[tuple[Any, Any]]
    ) -> tuple[Any, Any]:
        """Derivatives of the operand that is chosen."""
        first, second = parts[-2:]
        keys = np.union1d(first[0], second[0])
        zero = self._graph.constant(np.asarray(0, block.dtype))
        sides = []
        for side in (first, second):
            ids = np.full(keys.shape, zero, dtype=np.intp)
            ids[np.searchsorted(keys, side[0])] = side[1]
            sides.append(ids)
        condition = chooses(*(self._array(ids) for ids in nodes), self._array(_nodes(block)))
        conditions = np.broadcast_to(condition.ids, (block.count,))[keys // self._width]
        return keys, recorded(self._graph, "where", block.dtype, [conditions, *sides])

    def _array(self, ids: Any) -> RecordingArray:
        return RecordingArray(self._graph, ids, dtype_of(self._graph, int(np.ravel(ids)[0])))

    def _of_product(self, block: Block) -> tuple[Any, Any]:
        """`(A x)' = A x' + A' x`, a product per column."""
        matrix, vector = block.operands
        parts: list[tuple[Any, Any]] = []
        keys, ids = self._of_nodes(vector)
        rows, columns = keys // self._width, keys % self._width
        for column in np.unique(columns).tolist():
            some = columns == column
            product = self._graph.product(matrix[:, rows[some]], ids[some], block.dtype)
            parts.append((np.arange(block.count) * self._width + column, product))
        found: tuple[Any, Any] = (np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
        if parts:
            together = np.concatenate([keys for keys, _ in parts])
            order = np.argsort(together)
            found = together[order], np.concatenate([ids for _, ids in parts])[order]
        for place in range(matrix.shape[1]):
            keys, ids = self._of_nodes(matrix[:, place])
            if keys.size:
                factors = np.broadcast_to(vector[place], ids.shape)
                found = self._sum(block, found, (keys, recorded(self._graph, "multiply", block.dtype, [ids, factors])))
        return found


def _nodes(block: Block) -> Any:
    return np.arange(block.first, block.first + block.count)


def dtype_of(graph: Graph, node: int) -> np.dtype[Any]:
    """Dtype of a node."""
    from bisect import bisect_right  # noqa: PLC0415

    return graph.blocks[bisect_right(graph.blocks, node, key=lambda block: block.first) - 1].dtype


def partials(graph: Graph, block: Block, wanted: Any) -> list[RecordingArray | None]:
    """Partial derivatives of the nodes of a block; None for those that are zero, or not wanted."""
    operation = OPERATIONS[block.operation]
    if operation.partials is None:
        return [None] * len(block.operands)
    arrays = [
        RecordingArray(graph, ids if isinstance(ids, int) else np.asarray(ids), dtype_of(graph, int(np.ravel(ids)[0])))
        for ids in block.operands
    ]
    result = RecordingArray(graph, block.first if block.count == 1 else _nodes(block), block.dtype)
    found = operation.partials(*arrays, result)
    return [
        None if one is None or not np.size(keep[0]) else result.cast(one)
        for one, keep in zip(found, wanted, strict=True)
    ]


def cotangents(graph: Graph, outputs: Ids, seeds: Ids) -> Callable[[Ids], Any]:
    """
    Record the product of a vector with the Jacobian of `outputs` with respect to any node, by reverse mode.

    `seeds` are the nodes of the vector. Returned is a function of nodes that gives those of their cotangents, -1 for
    those that are zero by structure.
    """
    blocks, size = list(graph.blocks), graph.size
    found = np.full(size, -1, dtype=np.intp)
    chosen = np.zeros(size, dtype=bool)  # whether a cotangent is zero where its node is not chosen

    def add(dtype: Any, targets: Any, ids: Any, *, choice: bool) -> None:
        targets, ids = np.ravel(targets), np.ravel(ids)
        chosen[targets] |= choice
        while targets.size:
            _, first = np.unique(targets, return_index=True)
            known = found[targets[first]]
            fresh = known < 0
            found[targets[first[fresh]]] = ids[first[fresh]]
            if not fresh.all():
                old = first[~fresh]
                found[targets[old]] = recorded(graph, "add", dtype, [known[~fresh], ids[old]])
            rest = np.ones(targets.shape, dtype=bool)
            rest[first] = False
            targets, ids = targets[rest], ids[rest]

    for output, seed in zip(np.ravel(outputs).tolist(), np.ravel(seeds).tolist(), strict=True):
        add(dtype_of(graph, seed), [output], [seed], choice=False)
    for block in reversed(blocks):
        own = found[block.first : block.first + block.count]
        if block.operation in FLAT or block.dtype.kind != "f" or not (own >= 0).any():
            continue
        choice = bool(chosen[block.first : block.first + block.count].any())
        _pull_back(graph, block, own, partial(add, choice=choice), partial(add, choice=True), choice=choice)
    return lambda nodes: found[nodes]


Add = Callable[[Any, Any, Any], None]
"""Adds to the cotangents of some nodes: their dtype, the nodes, the terms."""


def _pull_back(graph: Graph, block: Block, own: Any, add: Add, add_choice: Add, *, choice: bool) -> None:
    """
    Add the cotangents of the nodes of a block to those of its operands.

    Where an operand is not chosen, its partial derivatives may be infinite; its cotangent is 0, and so is the product.
    """
    some = np.flatnonzero(own >= 0)
    bars, dtype = own[some], block.dtype
    if block.operation == PRODUCT:
        matrix, vector = block.operands
        add(dtype, vector, graph.product(matrix[some].T, bars, dtype))
        movable = np.asarray([graph.value(int(node)) is None for node in matrix[some].ravel()])
        if movable.any():
            terms = recorded(graph, "multiply", dtype, [bars[:, None], vector[None, :]])
            add(dtype, matrix[some].ravel()[movable], np.broadcast_to(terms, matrix[some].shape).ravel()[movable])
        return
    operands = [np.atleast_1d(np.asarray(ids))[some] for ids in block.operands]
    arrays = [RecordingArray(graph, ids, dtype_of(graph, int(ids[0]))) for ids in operands]
    bar = RecordingArray(graph, bars, dtype)
    if block.operation == CONVERT:
        if arrays[0].dtype.kind == "f":
            add(arrays[0].dtype, operands[0], arrays[0].cast(bar).ids)
        return
    operation, result = OPERATIONS[block.operation], RecordingArray(graph, _nodes(block)[some], dtype)
    if operation.chooses is not None:
        condition = operation.chooses(*arrays, result)
        add_choice(dtype, operands[-2], apply("where", condition, bar, 0.0).ids)
        add_choice(dtype, operands[-1], apply("where", condition, 0.0, bar).ids)
        return
    factors = operation.partials(*arrays, result) if operation.partials else ()
    for ids, factor in zip(operands, factors, strict=False):
        if factor is not None:
            movable = [graph.value(int(node)) is None for node in ids]
            if any(movable):
                product = bar * result.cast(factor)
                terms = apply("where", apply("equal", bar, 0.0), 0.0, product).ids if choice else product.ids
                add(dtype, ids[movable], np.broadcast_to(terms, ids.shape)[movable])


def jacobian(graph: Graph, outputs: RecordingArray, inputs: RecordingArray) -> tuple[Any, Any, RecordingArray]:
    """Rows, columns and values of the Jacobian's entries that are not zero by structure."""
    if outputs.dtype.kind != "f":
        raise Refused("has results that are not real numbers")
    rows, columns, ids = Tangents(graph, np.ravel(inputs.ids)).entries(np.ravel(outputs.ids))
    return rows, columns, RecordingArray(graph, np.asarray(ids), outputs.dtype)

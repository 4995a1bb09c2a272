"""Derivatives of recorded operations, recorded in the same graph: forward with their sparsity, and reverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .array import RecordingArray, recorded
from .graph import CONSTANT, CONVERT, GATHER, INPUT, PRODUCT, SEARCH_LEFT, SEARCH_RIGHT, Block, Graph, Ids, distinct
from .operations import OPERATIONS
from .program import needed
from .refusal import Refused
from .results import product

FLAT = (INPUT, CONSTANT, GATHER, SEARCH_LEFT, SEARCH_RIGHT)
"""Blocks whose derivatives are zero."""

NONE: Any = np.empty(0, dtype=np.intp)

Entries = tuple[Any, Any]
"""
Entries of some rows of a Jacobian: keys `row * width + column`, ascending, and nodes.
"""


def jacobian(graph: Graph, outputs: RecordingArray, inputs: RecordingArray) -> tuple[Any, Any, RecordingArray]:
    """Rows, columns and values of the Jacobian's entries, row by row, without those that are zero by structure."""
    if outputs.dtype.kind != "f":
        raise Refused("has results that are not real numbers")
    nodes = np.ravel(outputs.ids)
    rows, columns, ids = Tangents(graph, np.ravel(inputs.ids), nodes).entries(nodes)
    return rows, columns, RecordingArray(graph, np.asarray(ids), outputs.dtype)


class Tangents:
    """
    Derivatives of the nodes that lead to some outputs; entries that are zero by structure are not stored.

    Griewank & Walther, Evaluating Derivatives (2008), chapters 3 and 7: forward mode with sparse vectors.

    Parameters
    ----------
    graph : Graph
        New operations are recorded in it.
    seeds : array of int, shape (n,)
        Elements of arguments with respect to which derivatives are taken; the columns of the Jacobian.
    outputs : array of int
        Nodes whose derivatives are wanted.
    directions : array of int, shape (n, k), optional
        Nodes: the columns are then derivatives along these directions, without a Jacobian in between.
    """

    def __init__(self, graph: Graph, seeds: Ids, outputs: Ids, directions: Ids | None = None) -> None:
        self._graph = graph
        self._width = max(int(np.size(seeds)), 1) if directions is None else int(directions.shape[1])
        blocks, wanted = list(graph.blocks), needed(graph, [outputs])
        # The entries of a node that is a block of its own are in a dictionary by column. Those of nodes of larger
        # blocks are in the arrays `_columns` and `_ids`, where `_start` and `_count` say which are a node's.
        self._rows: dict[int, dict[int, int]] = {}
        self._start = np.zeros(graph.size, dtype=np.intp)
        self._count = np.zeros(graph.size, dtype=np.intp)
        self._used = 0
        self._columns: Any = NONE
        self._ids: Any = NONE
        self._pending: list[int] = []  # nodes whose entries are in a dictionary, but not yet in the arrays
        column = np.full(graph.size, -1, dtype=np.intp)
        column[np.ravel(seeds)] = np.arange(np.size(seeds))
        flags = wanted.tobytes()
        for block in blocks:
            if block.dtype.kind != "f" or not any(flags[block.first : block.first + block.count]):
                continue
            if block.operation == INPUT:
                own = column[block.first : block.first + block.count]
                places = np.flatnonzero(own >= 0)
                if directions is not None:
                    keys = places[:, None] * self._width + np.arange(self._width)
                    self._store(block, keys.ravel(), directions[own[places]].ravel())
                    continue
                ones = np.full(places.shape, graph.constant(np.asarray(1, block.dtype)))
                self._store(block, places * self._width + own[places], ones)
            elif block.operation not in FLAT:
                if block.count == 1 and block.operation != PRODUCT:
                    self._scalar(block)
                else:
                    self._store(block, *self._of_block(block))

    def entries(self, nodes: Ids) -> tuple[Any, Any, Any]:
        """Derivatives of some nodes `(m,)`: rows, columns and nodes of the entries, row by row."""
        keys, ids = self._of_nodes(np.ravel(nodes))
        return keys // self._width, keys % self._width, ids

    # Blocks of one

    def _row(self, node: int) -> dict[int, int]:
        """Entries of a node by column."""
        found = self._rows.get(node)
        if found is None:
            start = int(self._start[node])
            end = start + int(self._count[node])
            found = dict(zip(self._columns[start:end].tolist(), self._ids[start:end].tolist(), strict=True))
            self._rows[node] = found
        return found

    def _scalar(self, block: Block) -> None:
        nodes = tuple(int(ids) for ids in block.operands)
        rows = [self._row(node) for node in nodes]
        if any(rows) and (found := self._of_scalar(block, nodes, rows)):
            self._rows[block.first] = found
            self._pending.append(block.first)

    def _of_scalar(self, block: Block, nodes: tuple[int, ...], rows: list[dict[int, int]]) -> dict[int, int]:
        """Entries of a block of one, by the chain rule."""
        graph, dtype = self._graph, block.dtype

        def record(name: str, *ids: int) -> int:
            return int(recorded(graph, name, dtype, list(ids)))

        if block.operation == CONVERT:
            return {column: record(CONVERT, node) for column, node in rows[0].items()}
        operation = OPERATIONS[block.operation]
        operands = [RecordingArray(graph, node, graph.dtype(node)) for node in nodes]
        result = RecordingArray(graph, block.first, dtype)
        if operation.chooses is not None:
            one, other = rows[-2:]
            condition, zero = operation.chooses(*operands, result).ids, graph.constant(np.asarray(0, dtype))
            columns = sorted({*one, *other})
            return {c: record("where", condition, one.get(c, zero), other.get(c, zero)) for c in columns}
        found: dict[int, int] = {}
        for row, partial in zip(rows, operation.partials, strict=False):
            if row and partial is not None:
                factor, direct = partial(*operands, result), not found
                for column, node in row.items():
                    known = None if direct else found.get(column)
                    found[column] = _plus(record, result, known, factor, node)
        return found if len(found) < 2 or not any(rows[1:]) else dict(sorted(found.items()))

    # Larger blocks

    def _store(self, block: Block, keys: Any, ids: Any) -> None:
        rows = keys // self._width
        count = np.bincount(rows, minlength=block.count)
        self._start[block.first : block.first + block.count] = self._used + np.cumsum(count) - count
        self._count[block.first : block.first + block.count] = count
        self._extend(keys - rows * self._width, ids)

    def _extend(self, columns: Any, ids: Any) -> None:
        used, end = self._used, self._used + len(ids)
        if end > len(self._ids):
            more = np.empty(end, dtype=np.intp)
            self._columns = np.concatenate([self._columns[:used], more])
            self._ids = np.concatenate([self._ids[:used], more])
        self._columns[used:end] = columns
        self._ids[used:end] = ids
        self._used = end

    def _flush(self) -> None:
        """Bring the entries of blocks of one into the arrays."""
        if not self._pending:
            return
        rows = [self._rows[node] for node in self._pending]
        count = np.array([len(row) for row in rows], dtype=np.intp)
        self._start[self._pending] = self._used + np.cumsum(count) - count
        self._count[self._pending] = count
        self._extend([c for row in rows for c in row], [node for row in rows for node in row.values()])
        self._pending = []

    def _of_nodes(self, nodes: Any) -> Entries:
        """Entries of some nodes."""
        self._flush()
        count = self._count[nodes]
        rows = np.repeat(np.arange(nodes.shape[0]), count)
        places = np.arange(rows.shape[0]) + np.repeat(self._start[nodes] - np.cumsum(count) + count, count)
        return rows * self._width + self._columns[places], self._ids[places]

    def _of_block(self, block: Block) -> Entries:
        """Entries of the nodes of a block, by the chain rule."""
        if block.operation == PRODUCT:
            return self._of_product(block)
        parts = [self._of_nodes(np.asarray(ids)) for ids in block.operands]
        if not any(keys.size for keys, _ in parts):
            return NONE, NONE
        if block.operation == CONVERT:
            keys, ids = parts[0]
            return keys, np.ravel(recorded(self._graph, CONVERT, block.dtype, [ids]))
        operation = OPERATIONS[block.operation]
        operands = [_array(self._graph, ids) for ids in block.operands]
        result = RecordingArray(self._graph, _nodes(block), block.dtype)
        if operation.chooses is not None:
            return self._of_choice(block, operation.chooses(*operands, result), *parts[-2:])
        found: Entries = NONE, NONE
        for (keys, ids), partial in zip(parts, operation.partials, strict=False):
            if partial is not None and keys.size:
                found = self._sum(block, found, (keys, ids), partial(*operands, result))
        return found

    def _sum(self, block: Block, found: Entries, term: Entries, factor: Any) -> Entries:
        """Entries of a sum `found + factor * term`: where both have one, an addition."""
        result = RecordingArray(self._graph, _nodes(block), block.dtype)
        rows = term[0] // self._width if type(factor) is RecordingArray and factor.ndim else None
        if rows is not None:
            factor = factor.with_ids(factor.ids[rows])

        def record(name: str, *ids: Any) -> Any:
            return recorded(self._graph, name, block.dtype, list(ids))

        if not found[0].size:
            return term[0], _plus(record, result, None, factor, term[1])
        if found[0].shape == term[0].shape and (found[0] == term[0]).all():
            return term[0], _plus(record, result, found[1], factor, term[1])
        keys = np.union1d(found[0], term[0])
        ids: Any = np.full(keys.shape, -1, dtype=np.intp)
        ids[np.searchsorted(keys, found[0])] = found[1]
        places: Any = np.searchsorted(keys, term[0])
        both: Any = ids[places] >= 0
        for some in (both, ~both):
            if some.any():
                known = ids[places[some]] if some is both else None
                part = factor if rows is None else factor.with_ids(factor.ids[some])
                ids[places[some]] = _plus(record, result, known, part, term[1][some])
        return keys, ids

    def _of_choice(self, block: Block, condition: RecordingArray, one: Entries, other: Entries) -> Entries:
        """Derivatives of the operand that is chosen."""
        keys, sides = one[0], list[Any]([one[1], other[1]])
        if one[0].shape != other[0].shape or (one[0] != other[0]).any():
            keys = np.union1d(one[0], other[0])
            zero = self._graph.constant(np.asarray(0, block.dtype))
            sides = [np.full(keys.shape, zero, dtype=np.intp) for _ in range(2)]
            for side, (own, ids) in zip(sides, (one, other), strict=True):
                side[np.searchsorted(keys, own)] = ids
        conditions = np.broadcast_to(condition.ids, (block.count,))[keys // self._width]
        return keys, recorded(self._graph, "where", block.dtype, [conditions, *sides])

    def _of_product(self, block: Block) -> Entries:
        """`(A x)' = A x' + A' x`, a product per column."""
        matrix, vector = block.operands
        keys, ids = self._of_nodes(vector)
        rows, columns = keys // self._width, keys % self._width
        parts: list[Entries] = []
        for column in distinct(columns):
            some = columns == column
            nodes = product(self._graph, matrix[:, rows[some]], ids[some], block.dtype)
            parts.append((np.arange(block.count) * self._width + column, nodes))
        found: Entries = NONE, NONE
        if parts:
            together = np.concatenate([keys for keys, _ in parts])
            order = np.argsort(together)
            found = together[order], np.concatenate([ids for _, ids in parts])[order]
        keys, ids = self._of_nodes(matrix.ravel())
        if not keys.size:
            return found
        entries, columns = keys // self._width, keys % self._width
        keys, factors = entries // matrix.shape[1] * self._width + columns, vector[entries % matrix.shape[1]]
        terms = np.ravel(recorded(self._graph, "multiply", block.dtype, [ids, factors]))
        keys, terms = np.concatenate([found[0], keys]), np.concatenate([found[1], terms])
        order = np.argsort(keys, kind="stable")
        keys, terms = keys[order], terms[order]
        while (pairs := _pairs(keys)) is not None:
            left, keep = pairs
            terms[left] = recorded(self._graph, "add", block.dtype, [terms[left], terms[left + 1]])
            keys, terms = keys[keep], terms[keep]
        return keys, terms


def _plus(record: Callable[..., Any], result: RecordingArray, known: Any, factor: Any, ids: Any) -> Any:
    """Nodes of `known + factor * ids`, without a multiplication if the factor is 1 or -1."""
    if type(factor) is not RecordingArray:
        if factor > 0:
            return ids if known is None else record("add", known, ids)
        return record("negative", ids) if known is None else record("subtract", known, ids)
    factors = result.cast(factor).ids
    one = result.graph.constant(np.asarray(1, result.dtype))
    if (ids == one) if type(ids) is int else (ids == one).all():
        term = factors if type(ids) is int else np.array(np.broadcast_to(factors, ids.shape))
    else:
        term = record("multiply", factors, ids)
    return term if known is None else record("add", known, term)


def _pairs(keys: Any) -> tuple[Any, Any] | None:
    """
    Pairs of equal neighbours among sorted keys, as a step of a sum of the terms of each key.

    Returned are the places of the first terms of the pairs, and which terms are left once the second terms are added
    to the first; None if all keys differ.
    """
    repeated = keys[1:] == keys[:-1]
    if not repeated.any():
        return None
    begins = np.flatnonzero(np.concatenate([[True], ~repeated]))
    place = np.arange(keys.shape[0]) - np.repeat(begins, np.diff(np.append(begins, keys.shape[0])))
    keep = place % 2 == 0
    return np.flatnonzero(keep & np.append(repeated, False)), keep


def _nodes(block: Block) -> Any:
    return np.arange(block.first, block.first + block.count)


def _array(graph: Graph, ids: Any) -> RecordingArray:
    """Nodes of one dtype as an array; if all are the same node, as for a number that was broadcast, as a number."""
    first = int(ids[0])
    return RecordingArray(graph, first if (ids == first).all() else ids, graph.dtype(first))


def cotangents(graph: Graph, outputs: Ids, seeds: Ids) -> Callable[[Ids], Any]:
    """
    Record the product of a vector with the Jacobian of `outputs` with respect to any node, by reverse mode.

    `seeds` are the nodes of the vector. Returned is a function from nodes to the nodes of their cotangents, or -1 for
    cotangents that are zero by structure.
    """
    return Cotangents(graph, np.ravel(outputs), np.ravel(seeds)).of


class Cotangents:
    """
    Derivatives of `seeds @ outputs` with respect to all nodes that lead to the outputs.

    Griewank & Walther, Evaluating Derivatives (2008), chapter 3: reverse mode.

    An operand that is not chosen does not contribute to the result, but its partial derivatives may be infinite.
    Therefore the condition under which a node contributes is recorded, too; otherwise its terms are 0, not products
    with 0.
    """

    def __init__(self, graph: Graph, outputs: Any, seeds: Any) -> None:
        self._graph = graph
        size = int(outputs.max(initial=-1)) + 1
        flags = needed(graph, [outputs]).tobytes()
        blocks = [block for block in graph.blocks if block.first < size]
        self._bars = np.full(graph.size, -1, dtype=np.intp)
        self._parts = np.full(graph.size, -1, dtype=np.intp)  # nodes of the conditions, -1 for one that always holds
        always = np.full(outputs.shape, -1, dtype=np.intp)
        if outputs.size:
            self._add(graph.dtype(int(seeds[0])), outputs, seeds, always)
        for block in reversed(blocks):
            end = block.first + block.count
            if block.operation in FLAT or block.dtype.kind != "f" or not any(flags[block.first : end]):
                continue
            if block.count == 1 and block.operation != PRODUCT:
                if self._bars[block.first] >= 0:
                    self._pull_scalar_back(block)
            elif (some := np.flatnonzero(self._bars[block.first : end] >= 0)).size:
                self._pull_back(block, some)

    def of(self, nodes: Ids) -> Any:
        """Cotangents of nodes."""
        return self._bars[nodes]

    # Blocks of one

    def _pull_scalar_back(self, block: Block) -> None:
        """Add the cotangent of a block of one to those of its operands."""
        graph, dtype = self._graph, block.dtype
        bar, part = int(self._bars[block.first]), int(self._parts[block.first])
        nodes = [int(ids) for ids in block.operands]
        if block.operation == CONVERT:
            if (own := graph.dtype(nodes[0])).kind == "f":
                self._add_one(own, nodes[0], self._one(CONVERT, own, bar), part)
            return
        operation, result = OPERATIONS[block.operation], RecordingArray(graph, block.first, dtype)
        operands = [RecordingArray(graph, node, graph.dtype(node)) for node in nodes]
        zero, truth = graph.constant(np.asarray(0, dtype)), np.dtype(bool)
        if operation.chooses is not None:
            condition = operation.chooses(*operands, result).ids
            for node, first in ((nodes[-2], True), (nodes[-1], False)):
                if graph.value(node) is None:
                    holds = condition if first else self._one("logical_not", truth, condition)
                    holds = holds if part < 0 else self._one("logical_and", truth, part, holds)
                    sides = (bar, zero) if first else (zero, bar)
                    self._add_one(dtype, node, self._one("where", dtype, condition, *sides), holds)
            return
        for node, partial in zip(nodes, operation.partials, strict=False):
            if partial is not None and graph.value(node) is None:
                factor = partial(*operands, result)
                if type(factor) is not RecordingArray:
                    term = bar if factor > 0 else self._one("negative", dtype, bar)
                else:
                    term = self._one("multiply", dtype, bar, result.cast(factor).ids)
                    term = term if part < 0 else self._one("where", dtype, part, term, zero)
                self._add_one(dtype, node, term, part)

    def _one(self, name: str, dtype: Any, *ids: int) -> int:
        return int(recorded(self._graph, name, dtype, list(ids)))

    def _add_one(self, dtype: Any, target: int, term: int, part: int) -> None:
        """Add a term to the cotangent of a node."""
        known, own = int(self._bars[target]), int(self._parts[target])
        if known >= 0:
            term = self._one("add", dtype, known, term)
            if own != part:
                part = -1 if min(own, part) < 0 else self._one("logical_or", np.dtype(bool), own, part)
        self._bars[target], self._parts[target] = term, part

    # Larger blocks

    def _add(self, dtype: Any, targets: Any, ids: Any, parts: Any) -> None:
        """Add terms to the cotangents of some nodes, which may occur several times."""
        order = np.argsort(targets, kind="stable")
        targets, ids, parts = targets[order], ids[order], parts[order]
        while (pairs := _pairs(targets)) is not None:
            left, keep = pairs
            ids[left] = recorded(self._graph, "add", dtype, [ids[left], ids[left + 1]])
            parts[left] = self._either(parts[left], parts[left + 1])
            targets, ids, parts = targets[keep], ids[keep], parts[keep]
        old = self._bars[targets] >= 0
        if old.any():
            own = targets[old]
            ids[old] = recorded(self._graph, "add", dtype, [self._bars[own], ids[old]])
            parts[old] = self._either(self._parts[own], parts[old])
        self._bars[targets], self._parts[targets] = ids, parts

    def _either(self, one: Any, other: Any) -> Any:
        """Nodes of `one or other`; -1 is a condition that always holds."""
        found, both = np.full(one.shape, -1, dtype=np.intp), (one >= 0) & (other >= 0)
        same = both & (one == other)
        found[same] = one[same]
        some = both & ~same
        if some.any():
            found[some] = recorded(self._graph, "logical_or", np.dtype(bool), [one[some], other[some]])
        return found

    def _masked(self, parts: Any, ids: Any, dtype: Any) -> Any:
        """Terms, with 0 for nodes that do not contribute."""
        some = np.flatnonzero(parts >= 0)
        if not some.size:
            return ids
        found, zero = np.array(np.broadcast_to(ids, parts.shape)), self._graph.constant(np.asarray(0, dtype))
        found[some] = recorded(self._graph, "where", dtype, [parts[some], found[some], zero])
        return found

    def _pull_back(self, block: Block, some: Any) -> None:
        """Add the cotangents of some nodes of a block to those of its operands."""
        nodes, dtype = block.first + some, block.dtype
        bars, parts = self._bars[nodes], self._parts[nodes]
        if block.operation == PRODUCT:
            self._pull_product_back(block, some, bars, parts)
            return
        operands = [ids[some] for ids in block.operands]
        arrays, bar = [_array(self._graph, ids) for ids in operands], RecordingArray(self._graph, bars, dtype)
        if block.operation == CONVERT:
            if arrays[0].dtype.kind == "f":
                self._add(arrays[0].dtype, operands[0], np.asarray(arrays[0].cast(bar).ids), parts)
            return
        operation, result = OPERATIONS[block.operation], RecordingArray(self._graph, nodes, dtype)
        if operation.chooses is not None:
            condition = np.asarray(operation.chooses(*arrays, result).ids)
            for ids, holds in ((operands[-2], condition), (operands[-1], None)):
                self._add_choice(ids, bar, parts, condition, holds is not None)
            return
        for ids, partial in zip(operands, operation.partials, strict=False):
            if partial is not None and not (fixed := self._graph.are_constant(ids)).all():
                move = ~fixed
                factor = partial(*arrays, result)
                if type(factor) is not RecordingArray:
                    terms = bars if factor > 0 else recorded(self._graph, "negative", dtype, [bars])
                else:
                    terms = recorded(self._graph, "multiply", dtype, [bars, result.cast(factor).ids])
                    terms = self._masked(parts, terms, dtype)
                self._add(dtype, ids[move], terms[move], parts[move])

    def _add_choice(self, ids: Any, bar: RecordingArray, parts: Any, condition: Any, first: bool) -> None:
        """Add the cotangents of a choice to those of its first or second operand."""
        move = ~self._graph.are_constant(ids)
        if not move.any():
            return
        own, truth = np.broadcast_to(condition, ids.shape)[move], np.dtype(bool)
        holds = own if first else recorded(self._graph, "logical_not", truth, [own])
        above = parts[move]
        inner = np.flatnonzero(above >= 0)
        conditions = np.array(holds)
        if inner.size:
            conditions[inner] = recorded(self._graph, "logical_and", truth, [above[inner], conditions[inner]])
        zero = self._graph.constant(np.asarray(0, bar.dtype))
        bars = np.asarray(bar.ids)[move]
        sides = (bars, zero) if first else (zero, bars)
        self._add(bar.dtype, ids[move], recorded(self._graph, "where", bar.dtype, [own, *sides]), conditions)

    def _pull_product_back(self, block: Block, some: Any, bars: Any, parts: Any) -> None:
        """`A' bar` for the vector, and the outer product of `bar` and the vector for the matrix."""
        graph, dtype, (matrix, vector) = self._graph, block.dtype, block.operands
        matrix = matrix[some]
        move = ~graph.are_constant(vector)
        if move.any():
            terms = product(graph, matrix[:, move].T, bars, dtype)
            conditions = np.unique(parts)
            part = conditions[:1]
            for other in conditions[1:]:
                part = self._either(part, np.full(1, other))
            self._add(dtype, vector[move], terms, np.broadcast_to(part, terms.shape))
        move = ~graph.are_constant(matrix)
        if move.any():
            row, column = np.nonzero(move)
            terms = recorded(graph, "multiply", dtype, [bars[row], vector[column]])
            self._add(dtype, matrix[move], self._masked(parts[row], terms, dtype), parts[row])

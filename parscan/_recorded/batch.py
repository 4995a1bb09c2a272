"""Batches whose members do not depend on each other: finds the program of one member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .array import RecordingArray, recorded
from .graph import CONSTANT, INPUT, PRODUCT, Block, Graph, distinct
from .program import Argument, Program, extract

NEUTRAL: dict[str, tuple[int, tuple[int, ...]]] = {"multiply": (1, (0, 1)), "divide": (1, (1,)), "subtract": (0, (1,))}
"""Constants with which an operation is left out when it is recorded, and the operands that they may be."""


@dataclass(frozen=True)
class Part:
    """
    The elements of an argument that a member needs: `size` of them, from the place `first + stride * member` on.

    If there is no such rule, `places` are those of each member, (members, size).
    """

    argument: int
    first: int
    stride: int
    size: int
    places: Any = None

    def of(self, array: Any, members: int, dtype: Any) -> Any:
        """These elements of rows of the argument, shape (rows, members, size); a view where that can be."""
        flat = np.reshape(array, (array.shape[0], -1)).astype(dtype, copy=False)
        if self.places is not None:
            return flat[:, self.places]
        if flat.shape[1] > 1 and flat.strides[1] != flat.itemsize:  # a view, too
            flat = np.ascontiguousarray(flat)
        strides = (flat.strides[0], self.stride * flat.itemsize, flat.itemsize)
        shape = (flat.shape[0], members, self.size)
        return np.lib.stride_tricks.as_strided(flat[:, self.first :], shape, strides, writeable=False)


@dataclass(frozen=True)
class Member:
    """
    One member of a batch.

    Attributes
    ----------
    program : Program
        Its arguments are those of the whole without their batch axes, then one of shape `(size,)` for each part, then
        one for each table: the member's row, `(k,)`.
    tables : tuple of arrays, shape (members, k)
        Constants that differ between the members, a table per dtype.
    parts : tuple of Part
        Of arguments whose batch axes were not given.
    places : tuple of pairs
        For each table, its dtype as a character and the nodes of the whole program whose values it has.
    known : tuple of triples
        For each dtype, its character, the nodes of all other constants and the bytes of their values.
    """

    program: Program
    tables: tuple[Any, ...]
    parts: tuple[Part, ...] = ()
    places: tuple[tuple[str, Any], ...] = ()
    known: tuple[tuple[str, Any, bytes], ...] = ()

    def of(self, whole: Program) -> Member | None:
        """
        A member of another batch, whose program has the skeleton of the batch of this one: it has other tables.

        None if another constant than those in the tables has another value.
        """
        values = _values([*_neutral(whole), *whole.blocks])
        if any(values[char][nodes].tobytes() != expected for char, nodes, expected in self.known):
            return None
        return replace(self, tables=tuple(values[char][nodes] for char, nodes in self.places))

    def inputs(self, arrays: Sequence[Any], members: int) -> list[Any]:
        """
        The arguments after those whose batch axes were given, for some calls: arrays of shape (calls, members, size).

        `arrays` are the arguments of the whole, stacked.
        """
        count = len(self.program.arguments) - len(self.parts) - len(self.tables)
        dtypes = [argument.dtype for argument in self.program.arguments[count:]]
        found = [part.of(arrays[part.argument], members, dtype)
                 for part, dtype in zip(self.parts, dtypes, strict=False)]  # fmt: skip
        return found + [np.broadcast_to(table, (arrays[0].shape[0], *table.shape)) for table in self.tables]

    @property
    def copied(self) -> int:
        """Numbers that `inputs` copies per call."""
        return sum(part.places.size for part in self.parts if part.places is not None)


Axes = tuple[int, ...]


def decoupled(program: Program, axes: Sequence[Axes | None], result_axes: Sequence[Axes]) -> Member | None:
    """
    Find the program of one member of a batch, if the members do not depend on each other and do the same.

    Parameters
    ----------
    program : Program
        Of the whole batch.
    axes : sequence of tuples of int, or None
        The batch axes of each argument, in the same order for all; an empty tuple for an argument that all members
        share; None for an argument of which a member may need any elements.
    result_axes : sequence of tuples of int
        The batch axes of each result.

    Returns
    -------
    Member or None
        None if a member depends on another, or if their operations differ in more than constants.
    """
    nodes = _Nodes(program, axes)
    walk = _Walk(nodes)
    roots = []
    for ids, some in zip(program.results, result_axes, strict=True):
        of_members = _by_member(ids, some)
        if of_members.shape[0] != nodes.members:
            return None
        roots.append(walk.enter(np.ascontiguousarray(of_members.T)))
    if not walk.run():
        return None
    shapes = [_without(ids.shape, some) for ids, some in zip(program.results, result_axes, strict=True)]
    return _Emission(walk, program, axes).member([np.reshape(r, s) for r, s in zip(roots, shapes, strict=True)])


def _by_member(array: Any, axes: Axes) -> Any:
    """An array as a matrix (members, elements): the first axis joins its batch axes, the second all other axes."""
    moved = np.moveaxis(array, axes, range(len(axes)))
    members = int(np.prod(moved.shape[: len(axes)], dtype=int))
    return moved.reshape(members, int(np.prod(moved.shape[len(axes) :], dtype=int)))


def _without(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    gone = {axis % len(shape) for axis in axes}
    return tuple(length for axis, length in enumerate(shape) if axis not in gone)


def _neutral(program: Program) -> list[Block]:
    """Two more nodes per dtype: the constants 0 and 1 of operations that were left out when they were recorded."""
    chars = sorted({block.dtype.char for block in program.blocks})
    return [
        Block(CONSTANT, program.size + 2 * k + value, 1, np.dtype(char), (), np.array([value], char))
        for k, char in enumerate(chars)
        for value in (0, 1)
    ]


def _values(blocks: Sequence[Block]) -> dict[str, Any]:
    """Values of constants, an array over the nodes per dtype; those of other nodes are zero."""
    size = sum(block.count for block in blocks)
    found: dict[str, Any] = {char: np.zeros(size, char) for char in {block.dtype.char for block in blocks}}
    for block in blocks:
        if block.operation == CONSTANT:
            found[block.dtype.char][block.first : block.first + block.count] = block.data
    return found


class _Nodes:
    """
    Properties of the nodes of a program, in arrays over the nodes.

    Attributes
    ----------
    kinds : list of Block
        Per code, a block with nodes of this code.
    codes : array of int
        Equal for nodes of the same operation, dtype and table.
    order : array of int
        Numbers of the nodes' blocks: operands have smaller ones.
    operands : array of int, shape (3, size)
    first, second : array of int
        Where the operands of a product begin in `flat`.
    member, place : array of int
        Member to which an element of an argument belongs, -1 for none, and its place among the member's elements; -2,
        and its place among all, where members may need any.
    values : dict
        Values of the constants, an array over the nodes per dtype.
    """

    def __init__(self, program: Program, axes: Sequence[Axes | None]) -> None:
        neutral = _neutral(program)
        self.neutral = {(block.dtype.char, int(block.data[0])): block.first for block in neutral}
        self.blocks, self.size = [*neutral, *program.blocks], program.size + len(neutral)
        self.kinds: list[Block] = []
        self.codes, self.order, self.first, self.second, self.place = np.zeros((5, self.size), dtype=np.intp)
        self.member = np.full(self.size, -1, dtype=np.intp)
        self.operands = np.zeros((3, self.size), dtype=np.intp)
        self.values = _values(self.blocks)
        self.members, elements = 1, []
        for argument, some in zip(program.arguments, axes, strict=True):
            elements.append(_elements(argument.shape, some))
            self.members = max(self.members, int(elements[-1][0].max(initial=0)) + 1)
        self.flat = self._enter(elements)
        self.is_constant = np.array([kind.operation == CONSTANT for kind in self.kinds])[self.codes]

    def _enter(self, elements: list[Any]) -> Any:
        """Enter all blocks; returns the operands of all products, one after the other."""
        codes: dict[Any, int] = {}
        flat: list[Any] = []
        used = 0
        for number, block in enumerate(self.blocks):
            own = slice(block.first, block.first + block.count)
            self.order[own] = number
            key: tuple[Any, ...] = (block.operation, block.dtype.char)
            if block.operation == INPUT:
                argument, places = block.data
                self.member[own], self.place[own] = (part[places] for part in elements[argument])
                key = (*key, argument)
            elif block.operation == PRODUCT:
                matrix, vector = block.operands
                self.first[own] = used + matrix.shape[1] * np.arange(block.count)
                self.second[own] = used + matrix.size
                used += matrix.size + vector.size
                flat += [matrix.ravel(), vector]
                key = (*key, vector.size)
            elif block.operation != CONSTANT:
                for k, ids in enumerate(block.operands):
                    self.operands[k, own] = ids
                if block.data is not None:
                    key = (*key, block.data.dtype.char, block.data.tobytes())
            if key not in codes:
                codes[key] = len(self.kinds)
                self.kinds.append(block)
            self.codes[own] = codes[key]
        return np.concatenate(flat) if flat else np.empty(0, dtype=np.intp)


def _elements(shape: tuple[int, ...], axes: Axes | None) -> tuple[Any, Any]:
    """The member to which each element of an argument belongs, and its place: see `_Nodes`."""
    if axes is None:
        return np.full(int(np.prod(shape, dtype=int)), -2), np.arange(int(np.prod(shape, dtype=int)))
    places = _by_member(np.arange(int(np.prod(shape, dtype=int))).reshape(shape), axes)
    member, place = np.empty((2, places.size), dtype=np.intp)
    member[places] = np.arange(places.shape[0])[:, None] if axes else -1
    place[places] = np.arange(places.shape[1])
    return member, place


class _Walk:
    """
    Walks from the results to the arguments, for all members at the same time.

    A vector has one node per member, or a single one that all members share. Vectors are taken in the order of the last
    blocks that they have nodes in, so that those of a block are nearly always handled together.
    """

    def __init__(self, nodes: _Nodes) -> None:
        self.nodes = nodes
        self.vectors: list[Any] = []
        self.codes: list[int] = []
        self.operands: list[list[int]] = []
        self._numbers: dict[Any, int] = {}
        self._waiting: list[list[int]] = [[] for _ in nodes.blocks]

    def enter(self, vectors: Any) -> Any:
        """Numbers of vectors `(count, members)`, new ones and known ones."""
        shared = (vectors == vectors[:, :1]).all(axis=1).tolist()
        orders = self.nodes.order[vectors].max(axis=1).tolist()
        found = np.empty(vectors.shape[0], dtype=np.intp)
        for k, vector in enumerate(vectors):
            key = int(vector[0]) if shared[k] else vector.tobytes()
            number = self._numbers.get(key)
            if number is None:
                number = self._numbers[key] = len(self.vectors)
                self.vectors.append(vector[:1] if shared[k] else vector)
                self.codes.append(-1)
                self.operands.append([])
                self._waiting[orders[k]].append(number)
            found[k] = number
        return found

    def run(self) -> bool:
        """Walk; return whether all members do the same."""
        limit = 4 * self.nodes.size  # in programs that mix their members, there is no end of new vectors
        for order in reversed(range(len(self._waiting))):
            while some := self._waiting[order]:
                self._waiting[order] = []
                for length in {1, self.nodes.members}:
                    group = [k for k in some if self.vectors[k].shape[0] == length]
                    if group and not self._step(group):
                        return False
                if len(self.vectors) > limit:
                    return False
        return True

    def _step(self, group: list[int]) -> bool:
        """Enter the operands of some vectors; return whether the members do the same in each."""
        nodes, vectors = self.nodes, np.stack([self.vectors[k] for k in group])
        codes = nodes.codes[vectors]
        alike = (codes == codes[:, :1]).all(axis=1)
        for k in np.flatnonzero(~alike).tolist():
            if not self._mend(group[k], vectors[k], codes[k]):
                return False
        for k in np.flatnonzero(alike & self._are_uneven(vectors, codes[:, 0])).tolist():
            alike[k] = not self._unwrap(group[k], vectors[k], int(codes[k, 0]))
        for code in distinct(codes[alike, 0]):
            some = np.flatnonzero(alike & (codes[:, 0] == code))
            operands = self._operands(nodes.kinds[code], vectors[some])
            if operands is None:
                return False
            for k, row in zip(some.tolist(), operands, strict=True):
                self.codes[group[k]], self.operands[group[k]] = code, row
        return True

    def _operands(self, kind: Block, vectors: Any) -> list[list[int]] | None:
        """Numbers of the operands of vectors of the same operation; None if they are inputs of other members."""
        nodes = self.nodes
        if kind.operation == CONSTANT:
            return [[]] * vectors.shape[0]
        if kind.operation == INPUT:
            member, place = nodes.member[vectors], nodes.place[vectors]
            if member.size and member.flat[0] == -2:  # all are of one argument
                return [[]] * vectors.shape[0]
            own = np.arange(nodes.members) if vectors.shape[1] == nodes.members else -1
            if ((member != own) & (member >= 0)).any() or (place != place[:, :1]).any():
                return None
            return [[]] * vectors.shape[0]
        if kind.operation == PRODUCT:
            width = np.arange(kind.operands[1].size)[None, :, None]
            found = np.concatenate(
                [nodes.flat[begin[vectors][:, None] + width] for begin in (nodes.first, nodes.second)], 1
            )
        else:
            found = np.moveaxis(nodes.operands[: len(kind.operands), vectors], 0, 1)
        numbers = self.enter(found.reshape(-1, vectors.shape[1])).reshape(found.shape[:2])
        return numbers.tolist()

    def _mend(self, number: int, vector: Any, codes: Any) -> bool:
        """
        Complete an operation that some members lack, for example because their product with 1 was left out.

        Returns whether that is possible.
        """
        nodes = self.nodes
        for code in sorted(set(codes.tolist()), key=lambda code: -np.count_nonzero(codes == code)):
            kind = nodes.kinds[code]
            _, places = NEUTRAL.get(kind.operation, (0, ()))
            for place in places:
                has = (codes == code) & nodes.is_constant[nodes.operands[place, vector]]
                if has.any() and all(nodes.kinds[one].dtype == kind.dtype for one in codes[~has].tolist()):
                    self._complete(number, vector, code, place, has)
                    return True
        return False

    def _are_uneven(self, vectors: Any, codes: Any) -> Any:
        """
        Which vectors have, for some members only, a constant as an operand that might have been left out.

        `(a * y) * b` is another product than `a * y` for a member whose `b` is 1.
        """
        nodes = self.nodes
        found = np.array([nodes.kinds[code].operation in NEUTRAL for code in codes.tolist()])
        if vectors.shape[1] > 1 and found.any():
            constant = nodes.is_constant[nodes.operands[:2, vectors[found]]]
            found[found] = (constant != constant[..., :1]).any(axis=(0, 2))
            return found
        return np.zeros_like(found)

    def _unwrap(self, number: int, vector: Any, code: int) -> bool:
        """
        Take the outermost operation with a constant from those members that have it, which leaves what all have.

        The others get a neutral constant. Returns whether that is possible.
        """
        nodes = self.nodes
        _, places = NEUTRAL[nodes.kinds[code].operation]
        constant = nodes.is_constant[nodes.operands[:2, vector]]
        found = [(place, constant[place] & ~constant[1 - place]) for place in places]
        found = [(place, has) for place, has in found if has.any() and not has.all()]
        if not found:
            return False
        place, has = max(found, key=lambda one: int(nodes.order[vector[one[1]]].max()))  # recorded last
        self._complete(number, vector, code, place, has)
        return True

    def _complete(self, number: int, vector: Any, code: int, place: int, has: Any) -> None:
        """Enter an operation that some members have, with a constant at a place, and a neutral one for the others."""
        nodes, kind = self.nodes, self.nodes.kinds[code]
        neutral, _ = NEUTRAL[kind.operation]
        constant = np.where(has, nodes.operands[place, vector], nodes.neutral[kind.dtype.char, neutral])
        other = np.where(has, nodes.operands[1 - place, vector], vector)
        pair = (constant, other) if place == 0 else (other, constant)
        self.codes[number], self.operands[number] = code, self.enter(np.stack(pair)).tolist()


class _Emission:
    """Records the vectors of a walk as nodes of one member."""

    def __init__(self, walk: _Walk, program: Program, axes: Sequence[Axes | None]) -> None:
        self._walk, self._program, self._graph = walk, program, Graph()
        self._found = np.zeros(len(walk.vectors), dtype=np.intp)
        self._arguments: list[Argument] = []
        self._own: dict[int, Any] = {}
        for number, (argument, some) in enumerate(zip(program.arguments, axes, strict=True)):
            if some is not None:
                self._own[number] = self._argument(_without(argument.shape, some), argument.dtype)

    def member(self, roots: list[Any]) -> Member:
        """The program with the results that are the vectors of these numbers."""
        parts, (places, known) = self._inputs(), self._constants()
        groups: dict[Any, list[int]] = {}
        for number, level in self._levels().items():
            code, vector = self._walk.codes[number], self._walk.vectors[number]
            is_product = self._walk.nodes.kinds[code].operation == PRODUCT
            groups.setdefault((level, code, 0 if is_product else self._walk.nodes.order[vector[0]]), []).append(number)
        for (_, code, _), numbers in sorted(groups.items(), key=lambda item: item[0]):
            self._record(self._walk.nodes.kinds[code], numbers)
        results = [
            RecordingArray(self._graph, self._found[numbers], dtype)
            for numbers, dtype in zip(roots, self._program.dtypes, strict=True)
        ]
        tables = tuple(self._walk.nodes.values[char][nodes] for char, nodes in places)
        return Member(extract(self._graph, results, self._arguments), tables, parts, places, known)

    def _argument(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Nodes of a further argument."""
        self._arguments.append(Argument(shape, np.dtype(dtype)))
        return np.ravel(self._graph.argument(len(self._arguments) - 1, shape, dtype))

    def _leaves(self, operation: str) -> list[int]:
        """Numbers of the vectors of inputs, or of constants."""
        kinds = self._walk.nodes.kinds
        return [k for k, code in enumerate(self._walk.codes) if kinds[code].operation == operation]

    def _inputs(self) -> tuple[Part, ...]:
        """Record elements of arguments; returns the parts of arguments whose batch axes were not given."""
        nodes = self._walk.nodes
        groups: dict[tuple[int, int | None], list[int]] = {}
        for number in self._leaves(INPUT):
            argument = nodes.kinds[self._walk.codes[number]].data[0]
            places = nodes.place[self._walk.vectors[number]]
            if argument in self._own:
                self._found[number] = self._own[argument][places[0]]
                continue
            steps = np.diff(places)
            is_even = bool((steps == steps[:1]).all())
            stride = None if not is_even else int(steps[0]) if steps.size else 0
            groups.setdefault((argument, stride), []).append(number)
        parts = []
        for (argument, stride), numbers in groups.items():
            dtype = self._program.arguments[argument].dtype
            if stride is None:
                places = np.stack([nodes.place[self._walk.vectors[k]] for k in numbers], axis=1)
                self._found[numbers] = self._argument((len(numbers),), dtype)
                parts.append(Part(argument, 0, 0, len(numbers), places))
            else:
                own = np.array([nodes.place[self._walk.vectors[k][0]] for k in numbers])
                first = int(own.min())
                size = int(own.max()) - first + 1
                self._found[numbers] = self._argument((size,), dtype)[own - first]
                parts.append(Part(argument, first, stride, size))
        return tuple(parts)

    def _constants(self) -> tuple[tuple[tuple[str, Any], ...], tuple[tuple[str, Any, bytes], ...]]:
        """Record constants; returns `places` and `known` of a `Member`."""
        nodes, graph = self._walk.nodes, self._graph
        char: str
        differ: dict[str, list[int]] = {}
        same: dict[str, dict[int, list[int]]] = {}
        for number in self._leaves(CONSTANT):
            vector, char = self._walk.vectors[number], nodes.kinds[self._walk.codes[number]].dtype.char
            values = nodes.values[char][vector]
            if values.tobytes() == values[:1].tobytes() * values.shape[0]:
                same.setdefault(char, {}).setdefault(int(nodes.order[vector[0]]), []).append(number)
            else:
                differ.setdefault(char, []).append(number)
        known = []
        for char, groups in same.items():
            for numbers in groups.values():  # a block of constants stays one
                first = [self._walk.vectors[k][0] for k in numbers]
                self._found[numbers] = graph.constants(nodes.values[char][first], char)
            every = np.concatenate([self._walk.vectors[k] for numbers in groups.values() for k in numbers])
            known.append((char, every, nodes.values[char][every].tobytes()))
        places = []
        for char, numbers in differ.items():
            self._found[numbers] = self._argument((len(numbers),), char)
            places.append((char, np.stack([self._walk.vectors[k] for k in numbers], axis=1)))
        return tuple(places), tuple(known)

    def _levels(self) -> dict[int, int]:
        """For each operation, its distance from the leaves. Nodes have larger numbers than their operands."""
        vectors, operands = self._walk.vectors, self._walk.operands
        found: dict[int, int] = {}
        sums = [vector.mean() for vector in vectors]
        for number in sorted((k for k, some in enumerate(operands) if some), key=sums.__getitem__):
            found[number] = 1 + max(found.get(k, 0) for k in operands[number])
        return found

    def _record(self, kind: Block, numbers: list[int]) -> None:
        operands = [self._walk.operands[k] for k in numbers]
        if kind.operation == PRODUCT:
            self._record_products(kind, numbers, np.array(operands).reshape(len(numbers), 2, -1))
        else:
            ids = [self._found[list(some)] for some in zip(*operands, strict=True)]
            self._found[numbers] = recorded(self._graph, kind.operation, kind.dtype, ids, kind.data)

    def _record_products(self, kind: Block, numbers: list[int], operands: Any) -> None:
        """Products that share a factor are recorded as one product of a matrix with a vector."""
        rest = list(range(len(numbers)))
        for vector, least in ((1, 2), (0, 1)):
            groups: dict[bytes, list[int]] = {}
            for k in rest:
                groups.setdefault(operands[k, vector].tobytes(), []).append(k)
            for some in groups.values():
                if len(some) >= least:
                    matrix, factor = self._found[operands[some, 1 - vector]], self._found[operands[some[0], vector]]
                    self._found[[numbers[k] for k in some]] = self._graph.product(matrix, factor, kind.dtype)
            rest = [k for some in groups.values() if len(some) < least for k in some]

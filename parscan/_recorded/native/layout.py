"""The parts of a program's code, in order, and the places of its values: in registers, or in memory for loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import addressof, c_char
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..graph import CONSTANT, GATHER, INPUT, PRODUCT, SEARCH_LEFT, SEARCH_RIGHT, Block, distinct
from ..program import Program
from .text import UnsupportedError

UNROLLED = 16
"""A block of at most this many elements is unrolled, with its values in registers."""

FEWEST = 4
"""Least number of elements of a vector."""

RUNS = 8
"""An operand of at most this many runs of consecutive addresses is copied run by run."""

FINISHING, SIMPLE = 4, frozenset({"add", "subtract", "multiply", "negative"})
"""Most operations on the rows of a product that are evaluated together with it, and which ones."""

ALIGNED = 64
"""Bytes at which blocks of memory begin."""

TABLE, SCRATCH, ARGUMENT = 0, 1, 2
"""Numbers of the spaces of memory: constants, intermediate values, the first argument; the other arguments follow."""


@dataclass(eq=False)
class Scalars:
    """Blocks that are written out."""

    blocks: list[Block] = field(default_factory=list)


@dataclass(eq=False)
class Fused:
    """
    Blocks of the same number of elements, evaluated in one loop.

    With `after`, that is the loop over the rows of this product: its values are taken from registers.
    """

    blocks: list[Block] = field(default_factory=list)
    after: Block | None = None


@dataclass(eq=False)
class Multiplied:
    """A product of a matrix with a vector, and blocks that are evaluated together with it."""

    block: Block
    then: Fused | None = None


@dataclass(frozen=True)
class Run:
    """Elements one after the other in a space of memory, from the byte `start` on."""

    space: int
    start: int


@dataclass(frozen=True)
class Same:
    """An operand that is one node for all elements."""

    node: int


@dataclass(frozen=True)
class Inside:
    """An operand that is a block of the same loop, element by element."""

    first: int


@dataclass
class Copied:
    """An operand that is gathered in memory at `start` first, by copies to it."""

    start: int
    copies: list[Copy]


@dataclass
class Copy:
    """
    Copy elements of a space, from the byte `source` on, to the element `target` and the following ones.

    With `places`, bytes in the table, the numbers of the elements to copy from and to are read there.
    """

    space: int
    source: int
    target: int
    count: int
    places: tuple[int, int] | None = None


class Layout:
    """
    The parts of a program and the places of its values.

    Parameters
    ----------
    program : Program
    lanes : int
        Values of an intermediate node that lie beside each other in memory, one per lane.
    width : int
        Elements that a loop takes at a time, without lanes.
    chain : int
        Number of the first results that are the first arguments of the next step.
    """

    def __init__(self, program: Program, lanes: int, width: int, chain: int = 0) -> None:
        self.program, self.loops = (program, set()) if lanes > 1 else _merged(program, width)
        """`loops` are small blocks that are evaluated as loops, by their first nodes."""
        self.lanes, program = lanes, self.program
        self.block_of = np.empty(program.size, dtype=np.intp)
        for number, block in enumerate(program.blocks):
            self.block_of[block.first : block.first + block.count] = number
        self._numbers = self.block_of.tolist()
        self.offsets = np.full(program.size, -1, dtype=np.int64)
        self.spaces = np.full(program.size, -1, dtype=np.int64)
        self.table: list[tuple[int, Any, Any]] = []
        """Places of constants, their values, and their sources: nodes, the data of a block, or None for numbers that
        only the code needs."""
        self.table_bytes, self.scratch_bytes = 0, 0
        self.parts = _parts(program, self.block_of, self.is_scalar)
        self._copies: dict[bytes, Copied] = {}
        self.sinks: dict[int, tuple[int, int]] = {}
        """Blocks that loops write directly to a result: by their first nodes, the result and the place in it."""
        if lanes == 1:
            self._find_sinks()
        self.stored = np.zeros(program.size, dtype=bool)
        """Nodes whose values are written to memory for loops that read them."""
        self._group = np.full(len(program.blocks), -1, dtype=np.intp)
        for number, part in enumerate(self.parts):
            if isinstance(part, Fused):
                for block in part.blocks:
                    self._group[self.block_of[block.first]] = number
        self._join_products()
        self.heirs = self._heirs(chain) if lanes > 1 else {}
        """Blocks of new states that take the place of the old ones, and the blocks of those, by their first nodes."""
        self._place()

    def is_scalar(self, block: Block) -> bool:
        """Whether a block is written out, its values in registers."""
        return is_small(block) and block.first not in self.loops

    def block(self, node: int) -> Block:
        """The block of a node."""
        return self.program.blocks[self._numbers[node]]

    def dtype(self, node: int) -> np.dtype[Any]:
        """Dtype of a node."""
        return self.block(node).dtype

    def address(self, node: int) -> tuple[int, int]:
        """The space of memory that holds a node, and the byte there."""
        if self.spaces[node] < 0:
            assert self.block(node).operation == CONSTANT, self.block(node)
            self._place_constants(self.block(node))
        return int(self.spaces[node]), int(self.offsets[node])

    def operand(self, ids: Any, part: Fused | Multiplied) -> Same | Inside | Run | Copied:
        """Where an operand of a loop comes from."""
        if ids.shape[0] == 1 or (isinstance(part, Fused) and (ids == ids[0]).all()):
            return Same(int(ids[0])) if isinstance(part, Fused) else self._in_memory(ids)
        first = self.block(int(ids[0]))
        if isinstance(part, Fused) and self._group[self.block_of[ids[0]]] == self.parts.index(part):
            return Inside(first.first)
        return self._in_memory(ids)

    def _in_memory(self, ids: Any) -> Run | Copied:
        for number in distinct(self.block_of[ids]):
            if self.program.blocks[number].operation == CONSTANT:
                self._place_constants(self.program.blocks[number])
        spaces, offsets = self.spaces[ids], self.offsets[ids]
        assert (spaces >= 0).all()
        size = self.dtype(int(ids[0])).itemsize
        steps = size * np.where(spaces == SCRATCH, self.lanes, 1)
        if (spaces == spaces[0]).all() and (np.diff(offsets) == steps[0]).all():
            return Run(int(spaces[0]), int(offsets[0]))
        key = ids.tobytes()
        if (spaces == TABLE).all():
            return Run(TABLE, self.constant(self.values(ids), ids))
        if key not in self._copies:
            start = self.scratch(ids.shape[0] * size * self.lanes)
            self._copies[key] = Copied(start, self.copies(ids, np.arange(ids.shape[0])))
        return self._copies[key]

    def _copied(self, spaces: Any, offsets: Any, places: Any, ends: Any, size: int) -> list[Copy]:
        count = offsets.shape[0]
        if ends.shape[0] < max(RUNS, count // 64):
            bounds = [0, *ends.tolist(), count]
            return [Copy(int(spaces[a]), int(offsets[a]), int(places[a]), b - a) for a, b in pairwise(bounds)]
        found = []
        for space in distinct(spaces):
            some = np.flatnonzero(spaces == space)
            unit = size * (self.lanes if space == SCRATCH else 1)
            low = int(offsets[some].min())
            numbers = (self.constant((offsets[some] - low) // unit), self.constant(places[some].astype(np.int64)))
            found.append(Copy(space, low, 0, some.shape[0], numbers))
        return found

    # Memory

    def scratch(self, size: int) -> int:
        """Place of some bytes for intermediate values."""
        start = self.scratch_bytes
        self.scratch_bytes = _aligned(start + size)
        return start

    def constant(self, values: Any, source: Any = None) -> int:
        """Place of constants in the table; `source` are the nodes that have these values, or the data of a block."""
        values = np.ascontiguousarray(values)
        start = self.table_bytes
        self.table.append((start, values, source))
        self.table_bytes = _aligned(start + values.nbytes) if values.size > 1 else start + 8
        return start

    def the_table(self) -> Any:
        """The table of constants, as bytes in aligned memory."""
        found = aligned(self.table_bytes)
        for start, values, _ in self.table:
            found[start : start + values.nbytes] = values.reshape(-1).view(np.uint8)
        return found

    def _place_constants(self, block: Block) -> None:
        if self.spaces[block.first] < 0:
            size = block.dtype.itemsize
            if size * block.count > 8:
                self.table_bytes = _aligned(self.table_bytes)
            start = self.constant(np.asarray(block.data, dtype=block.dtype), block.data)
            nodes = slice(block.first, block.first + block.count)
            self.spaces[nodes], self.offsets[nodes] = TABLE, start + size * np.arange(block.count)

    def _place(self) -> None:
        """Give places to inputs, and to all values that loops read or write."""
        program = self.program
        needed = np.zeros(program.size, dtype=bool)
        for number, part in enumerate(self.parts):
            for block in _blocks(part):
                if isinstance(part, Scalars):
                    continue
                for ids in block.operands:
                    ids = np.ravel(ids)  # noqa: PLW2901
                    same = isinstance(part, Fused) and (ids == ids[0]).all()
                    inside = self._group[self.block_of[ids]] == number
                    needed[ids[~inside]] = True
                    if not same:
                        self.stored[ids[~inside]] = True
        scalar = [
            ids for part in self.parts if isinstance(part, Scalars) for block in part.blocks for ids in block.operands
        ]
        needed[np.concatenate([*scalar, np.empty(0, np.intp)])] = True
        for number in range(len(program.results)):
            needed[self.loose(number)[1]] = True
        in_memory = self.stored.tolist()
        for block in program.blocks:
            if (old := self.heirs.get(block.first)) is not None and self.stored[old]:
                nodes, place = slice(block.first, block.first + block.count), slice(old, old + block.count)
                self.stored[nodes] = True
                self.spaces[nodes], self.offsets[nodes] = self.spaces[place], self.offsets[place]
                continue
            if block.count == 1 and block.operation != INPUT and not in_memory[block.first] and self.is_scalar(block):
                continue
            nodes, size = slice(block.first, block.first + block.count), block.dtype.itemsize
            if block.operation == INPUT and self.lanes == 1:
                self.spaces[nodes], self.offsets[nodes] = ARGUMENT + block.data[0], size * np.asarray(block.data[1])
            elif block.operation != CONSTANT and (self.stored[nodes] if self.is_scalar(block) else needed[nodes]).any():
                unit = size * self.lanes
                start = _aligned(self.scratch_bytes, max(unit, ALIGNED) if block.count > 1 else unit)
                self.stored[nodes] = True
                self.spaces[nodes] = SCRATCH
                self.offsets[nodes] = start + unit * np.arange(block.count)  # all of a dtype are whole units apart
                self.scratch_bytes = start + unit * block.count

    def _join_products(self) -> None:
        """Let products evaluate short loops over their rows, such as the sum with an offset."""
        numbers = np.full(len(self.program.blocks), -1, dtype=np.intp)
        for number, part in enumerate(self.parts):
            for block in _blocks(part):
                numbers[self.block_of[block.first]] = number
        last = {int(self.block_of[node]) for ids in self.program.results for node in distinct(np.ravel(ids))}
        for number, part in enumerate(self.parts):
            if not isinstance(part, Fused) or len(part.blocks) > FINISHING:
                continue
            if any(block.operation not in SIMPLE or int(self.block_of[block.first]) in last for block in part.blocks):
                continue
            operands = [ids for block in part.blocks for ids in block.operands]
            before = numbers[self.block_of[np.concatenate(operands)]]
            latest = int(before[before != number].max(initial=-1))
            product = self.parts[latest] if latest >= 0 else None
            if isinstance(product, Multiplied) and self._fits(product, operands, part.blocks[0].count):
                product.then, part.after = part, product.block
                self._group[self.block_of[product.block.first]] = number

    def _fits(self, product: Multiplied, operands: Sequence[Any], count: int) -> bool:
        """Whether a loop with these operands can be evaluated together with a product: it needs its rows in order."""
        block, own = product.block, product.block.first + np.arange(product.block.count)
        if block.count != count or product.then is not None or (self.lanes == 1 and count < FEWEST):
            return False
        return all(np.array_equal(ids, own) for ids in operands if np.isin(ids, own).any())

    def _heirs(self, chain: int) -> dict[int, int]:
        """
        Loops that may write new states to the memory of the old ones.

        Nothing reads an old element after the new one is written, and a new one needs of the old ones only its own.
        """
        program, found = self.program, dict[int, int]()
        results = [np.ravel(ids) for ids in program.results]
        for old in program.blocks:
            if old.operation != INPUT or old.data[0] >= chain or is_small(old):
                continue
            nodes = results[old.data[0]][np.asarray(old.data[1])]
            new, own = self.block(int(nodes[0])), old.first + np.arange(old.count)
            if new.count != old.count or (nodes != new.first + np.arange(new.count)).any():
                continue
            group = self._group[self.block_of[new.first]]
            if new.operation == PRODUCT or group < 0 or any(np.isin(ids, own).any() for ids in results):
                continue
            if not self._is_read_later(old, new, int(group)):
                found[new.first] = old.first
        return found

    def _is_read_later(self, old: Block, new: Block, group: int) -> bool:
        """Whether an element of a block is read after the element of another one, in some loop, was written."""
        own = old.first + np.arange(old.count)
        for number, part in enumerate(self.parts[group:], start=group):
            for block in _blocks(part):
                for ids in map(np.ravel, block.operands):
                    reads = bool(((ids >= old.first) & (ids < old.first + old.count)).any())
                    in_order = number == group and block.first <= new.first and np.array_equal(ids, own)
                    if reads and not in_order:
                        return True
        return False

    def _find_sinks(self) -> None:
        for number, ids in enumerate(self.program.results):
            flat = np.ravel(ids)
            for place in np.flatnonzero(np.diff(self.block_of[flat], prepend=-1)).tolist():
                block = self.block(int(flat[place]))
                nodes = flat[place : place + block.count]
                if block.operation in (INPUT, CONSTANT) or self.is_scalar(block) or block.first in self.sinks:
                    continue
                if nodes.shape[0] == block.count and (nodes == block.first + np.arange(block.count)).all():
                    self.sinks[block.first] = (number, place)

    def loose(self, number: int) -> tuple[Any, Any]:
        """Places in a result, and their nodes, that no loop writes there."""
        flat = np.ravel(self.program.results[number])
        left = np.ones(flat.shape[0], dtype=bool)
        for first, (result, place) in self.sinks.items():
            if result == number:
                left[place : place + self.block(first).count] = False
        return np.flatnonzero(left), flat[left]

    def matrix(self, matrix: Any, order: Callable[[Any], Any] | None = None) -> tuple[Run | Copied, bool]:
        """
        The matrix of a product in memory, and whether it is in some order.

        A constant one is in this order, any other one column after column; without an order, all are row after row.
        """
        if not self.is_constant(matrix):
            return self._in_memory(np.ravel(matrix.T if order else matrix)), False
        ids = order(matrix) if order else np.ravel(matrix)
        return Run(TABLE, self.constant(self.values(ids), ids)), True

    def is_constant(self, ids: Any) -> bool:
        """Whether all of some nodes are constants."""
        return all(self.program.blocks[k].operation == CONSTANT for k in distinct(self.block_of[ids]))

    def values(self, ids: Any) -> Any:
        """Values of constants."""
        if ids.shape[0] == 1:
            block = self.block(int(ids[0]))
            return block.data[ids - block.first]
        found = np.empty(self.program.size, dtype=self.dtype(int(ids[0])))
        for block in (self.program.blocks[k] for k in distinct(self.block_of[ids])):
            found[block.first : block.first + block.count] = block.data
        return found[ids]

    def copies(self, ids: Any, places: Any) -> list[Copy]:
        """Copies of nodes in memory to places in a result; targets are in elements."""
        for number in distinct(self.block_of[ids]):
            if self.program.blocks[number].operation == CONSTANT:
                self._place_constants(self.program.blocks[number])
        spaces, offsets, size = self.spaces[ids], self.offsets[ids], self.dtype(int(ids[0])).itemsize
        steps = size * np.where(spaces == SCRATCH, self.lanes, 1)
        breaks = (np.diff(offsets) != steps[1:]) | (np.diff(spaces) != 0) | (np.diff(places) != 1)
        return self._copied(spaces, offsets, places, np.flatnonzero(breaks) + 1, size)


def is_small(block: Block) -> bool:
    """Whether a block is an operation on few elements, or few inputs."""
    return block.operation not in (CONSTANT, PRODUCT) and block.count <= UNROLLED


def address(array: Any) -> int:
    """Where an array begins in memory."""
    return int(array.__array_interface__["data"][0])


def own_address(memory: Any) -> int:
    """Where some memory begins that may be written and is not empty; four times faster than `address`."""
    return addressof(c_char.from_buffer(memory))


def where(array: Any) -> int:
    """Where an array begins in memory; quickly, if its rows are in one piece and may be written."""
    flags = array.flags
    if flags.writeable and array.size:
        if flags.c_contiguous:
            return own_address(array)
        first = array[:1]
        if first.flags.c_contiguous:
            return own_address(first)
    return address(array)


def aligned(size: int) -> Any:
    """Zeroed bytes that begin at a multiple of 64."""
    memory = np.zeros(size + ALIGNED, dtype=np.uint8)
    start = -own_address(memory) % ALIGNED
    return memory[start : start + size]


def _aligned(size: int, unit: int = ALIGNED) -> int:
    return -(-size // unit) * unit


def _blocks(part: Scalars | Fused | Multiplied) -> Sequence[Block]:
    return [part.block] if isinstance(part, Multiplied) else part.blocks


def _merged(program: Program, width: int) -> tuple[Program, set[int]]:
    """
    Join runs of small blocks of the same operation. Returns the program and the first nodes of the joined blocks.

    An operation on an array of few elements is recorded as such a run. It can be evaluated in vectors if each operand
    is one node, or elements that lie side by side in memory, where they were written as vectors. Unless nearly all
    elements of a program can be joined so, it is left as it is.
    """
    blocks: list[Block] = []
    vectors: dict[int, tuple[int, int]] = {}
    """Where vectors may begin: for a node, the first node of its block, and the place of that in its argument."""
    alone = together = 0
    loops: set[int] = set()
    run: list[Block] = []

    def close() -> None:
        nonlocal alone, together
        count = sum(block.count for block in run)
        if count < FEWEST:
            blocks.extend(run)
            alone += count
            run.clear()
            return
        first = run[0].first
        operands = tuple(np.concatenate([block.operands[k] for block in run]) for k in range(len(run[0].operands)))
        if (size := vector_width(count, width)) >= FEWEST and all(_in_vectors(ids, size, vectors) for ids in operands):
            blocks.append(run[0]._replace(count=count, operands=operands))
            vectors.update(dict.fromkeys(range(first, first + count), (first, 0)))
            loops.add(first)
            together += count
        else:
            blocks.extend(run)
            alone += count
        run.clear()

    dtypes: list[Any] = []
    for block in program.blocks:
        dtypes += [block.dtype] * block.count
        if run and (
            block[0] != run[0].operation or block.first != run[-1].first + run[-1].count
            or block.dtype is not run[0].dtype or block.data is not run[0].data
            or dtypes[block.operands[-1][0]] is not dtypes[run[0].operands[-1][0]]
            or any(int(ids.max()) >= run[0].first for ids in block.operands)
            or (len(run) > 1 and _pattern(run[-1], block, vectors) != _pattern(run[0], run[1], vectors))
        ):  # fmt: skip
            close()
        if is_small(block) and block.operation != INPUT:
            run.append(block)
            continue
        close()
        blocks.append(block)
        nodes = range(block.first, block.first + block.count)
        if block.operation != INPUT:
            place = 0
        elif (np.diff(block.data[1]) == 1).all():
            place = int(block.data[1][0])
        else:
            continue
        vectors.update(dict.fromkeys(nodes, (block.first if block.operation != CONSTANT else -1, place)))
    close()
    if alone * 8 > together:
        return program, set()
    return Program(tuple(blocks), program.size, program.arguments, program.results, program.dtypes), loops


def _pattern(one: Block, other: Block, vectors: dict[int, tuple[int, int]]) -> tuple[int, ...]:
    """How the operands of a block follow those of the block before; constants may follow in any way."""
    steps = (int(b[0]) - int(a[-1]) for a, b in zip(one.operands, other.operands, strict=True))
    known = (vectors.get(int(ids[0]), (0, 0))[0] < 0 for ids in other.operands)
    return tuple(step if step == 0 or not constant else 1 for step, constant in zip(steps, known, strict=True))


def _in_vectors(ids: Any, size: int, vectors: dict[int, tuple[int, int]]) -> bool:
    """Whether an operand is one node, constants, or vectors as they are in memory."""
    first = int(ids[0])
    if first not in vectors:
        return bool((ids == first).all())
    begin, place = vectors[first]
    if begin < 0:
        return all(vectors.get(node, (0, 0))[0] < 0 for node in ids.tolist())
    if (ids == first).all():
        return True
    return bool((np.diff(ids) == 1).all()) and (first - begin + place) % size == 0 and vectors.get(
        int(ids[-1]), (-1, 0))[0] == begin  # fmt: skip


def vector_width(count: int, width: int) -> int:
    """Number of elements of the vectors in which an operation on `count` elements is evaluated."""
    return width if count > UNROLLED else min(count & -count, width)


def _parts(program: Program, block_of: Any, is_scalar: Callable[[Block], bool]) -> list[Scalars | Fused | Multiplied]:
    """
    The blocks in an order in which each needs earlier ones only, as many as possible in common loops.

    One loop at a time is open; blocks that do not depend on it are evaluated before it.
    """
    found: list[Scalars | Fused | Multiplied] = []
    group: list[Block] = []
    open_blocks: set[int] = set()

    def close() -> None:
        if group:
            found.append(Fused(list(group)))
            group.clear()
            open_blocks.clear()

    for number, block in enumerate(program.blocks):
        if block.operation in (INPUT, CONSTANT):
            continue
        _check(block)
        if is_scalar(block) or block.operation == PRODUCT:
            if open_blocks and any(
                not open_blocks.isdisjoint(block_of[np.ravel(ids)].tolist()) for ids in block.operands
            ):
                close()
            if block.operation == PRODUCT:
                found.append(Multiplied(block))
            elif found and isinstance(found[-1], Scalars):
                found[-1].blocks.append(block)
            else:
                found.append(Scalars([block]))
            continue
        if group and (
            block.count != group[0].count or not all(_fits(ids, group, open_blocks, block_of) for ids in block.operands)
        ):
            close()
        group.append(block)
        open_blocks.add(number)
    close()
    return found


def _fits(ids: Any, group: list[Block], open_blocks: set[int], block_of: Any) -> bool:
    """Whether an operand can be read in the loop of a group: it is outside of it, or a block of it in order."""
    numbers = block_of[ids]
    if open_blocks.isdisjoint(numbers[:1].tolist()):
        return open_blocks.isdisjoint(distinct(numbers))
    first = next(block.first for block in group if block.first <= ids[0] < block.first + block.count)
    return bool(ids[0] == first and (np.diff(ids) == 1).all() and ids.shape[0] == group[0].count)


def _check(block: Block) -> None:
    if block.dtype.char not in "?fdbhilqBHILQ":
        raise UnsupportedError(f"calculates with {block.dtype}")
    if block.data is None:
        return
    if block.operation in (SEARCH_LEFT, SEARCH_RIGHT) and block.data.dtype.kind == "f" and np.isnan(block.data).any():
        raise UnsupportedError("searches a table with NaN")
    if block.operation == GATHER and len(block.data) == 0:
        raise UnsupportedError("indexes an empty table")

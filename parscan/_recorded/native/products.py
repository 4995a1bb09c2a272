"""Text of products of a matrix with a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..graph import Block
from . import libm
from .blocks import Blocks, Evaluated
from .layout import FEWEST, SCRATCH, TABLE, Copied, Multiplied, Run
from .target import is_thread
from .text import Register, literal, vector, word

LATENCY = 8
"""Number of sums in registers at the same time that hides how long an addition takes."""

SUMS = 24 if libm.vector_bytes() == 64 else 12
"""Largest number of registers for sums: the more there are, the less often the vector is read."""

NEAR, FAR, FEW = 3 << 13, 5 << 15, 3
"""Bytes of matrices that do not fit into the nearest cache, but of which a good part does; and most registers for the
sums of a tile of theirs."""

SCALED = 1024
"""Size of a matrix from which on vectors of tiny numbers are scaled."""


class Tiny(NamedTuple):
    """Which numbers are tiny, and what they are multiplied by."""

    exponent: int
    """Upper limit of their exponents as they are in memory, a power of two."""
    factor: float
    """Its products with them are not the smallest numbers, nor are those with a matrix too large ones."""


TINY = {"d": Tiny(64, 2.0**300), "f": Tiny(16, 2.0**60)}


@dataclass(frozen=True)
class Tiles:
    """
    How the rows of a matrix are shared out.

    Attributes
    ----------
    each : int
        Rows that a register holds.
    count : int
        Registers that are summed up together.
    starts : array
        First row of each register; one line for each such tile. Some rows of the last one may be in others as well.
    """

    each: int
    count: int
    starts: Any

    @classmethod
    def of(cls, rows: int, each: int, most: int) -> Tiles:
        """Those that read fewest numbers, with at most so many registers."""
        registers = -(-rows // each)
        counts = [registers] if registers <= most else range(most // 2, most + 1)
        count = min(counts, key=lambda count: -(-registers // count) * (count + 1))
        first = np.minimum(count * each * np.arange(-(-registers // count)), max(rows - count * each, 0))
        return cls(each, count, np.minimum(first[:, None] + each * np.arange(count), rows - each))

    def entries(self, matrix: Any) -> Any:
        """The matrix in the order in which it is read: tile after tile, column after column."""
        rows = np.reshape(self.starts[..., None] + np.arange(self.each), (len(self.starts), -1))
        return np.ravel(np.swapaxes(matrix[rows], 1, 2))


class _Columns(NamedTuple):
    """A part of the rows of a matrix, column after column."""

    base: Register
    where: int
    """Space of memory."""
    size: int
    """Numbers from a column to the next."""
    places: list[int]
    """Of registers in a column."""


class _Finish(NamedTuple):
    """What is done with the sums of rows: where they are stored, what follows, and a factor before; "" if none."""

    targets: Sequence[Register]
    then: list[Evaluated]
    factor: Register


class Products(Blocks):
    """
    Products, besides all other blocks.

    Attributes
    ----------
    turns : str
        Register with the number of the step; "" without steps, or with several lanes.
    """

    turns: Register = ""

    def _product(self, part: Multiplied) -> None:
        """A matrix times a vector."""
        block, lanes = part.block, self.lanes
        (rows, terms), dtype = block.operands[0].shape, block.dtype
        operand = self.layout.operand(block.operands[1], part)
        assert isinstance(operand, Run | Copied)
        space = operand.space if isinstance(operand, Run) else SCRATCH
        x = self._prepared(operand, dtype)
        if lanes == 1 and rows < FEWEST <= terms and dtype.kind == "f":
            self._by_rows(block, x)
            return
        scale = ""
        if self._is_scaled(block) and (lanes == 1 or space == SCRATCH):
            x, scale = self._scaled(x, terms * lanes, dtype)
        self._by_columns(part, x, space, scale)

    def _is_scaled(self, block: Block) -> bool:
        """Whether tiny numbers are looked for: where they take longer than others, and the matrix is large."""
        return block.dtype.kind == "f" and block.operands[0].size >= SCALED and not is_thread()

    def _scaled(self, x: Register, count: int, dtype: np.dtype[Any]) -> tuple[Register, Register]:
        """
        A vector, times a power of two if all its numbers are tiny, and the factor that undoes it.

        Processors take a hundred times longer for numbers near the smallest one. Nothing is rounded but the result.
        """
        text, limits = self.text, TINY[dtype.char]
        whole, fraction = np.dtype(f"int{8 * dtype.itemsize}"), np.finfo(dtype).nmant
        width = min(self.width, 1 << (count.bit_length() - 1))
        kind, found = vector(word(whole), width), f"%{text.name('bits')}"
        loop = self._for(count, width)
        after = text.new(f"or {kind} {found}, {self._load(self._at(x, TABLE, loop[0], whole), whole, width)}")
        self._next(loop, [(found, kind, literal(0, whole, width), after)])
        bits = text.any_bits(after, whole, width)
        size = text.new(f"shl {word(whole)} {bits}, 1")  # without the sign
        below = text.new(f"icmp ult {word(whole)} {size}, {limits.exponent << (fraction + 1)}")
        some = text.new(f"icmp ne {word(whole)} {size}, 0")
        before, scaled, done = text.label, text.name("scaled"), text.name("done")
        text.do(f"br i1 {text.new(f'and i1 {below}, {some}')}, label %{scaled}, label %{done}")
        text.begin(scaled)
        buffer = self._pointer(SCRATCH, self.layout.scratch(count * dtype.itemsize))
        loop = self._for(count, width)
        value = self._load(self._at(x, TABLE, loop[0], dtype), dtype, width)
        value = text.new(f"fmul {vector(word(dtype), width)} {value}, {literal(limits.factor, dtype, width)}")
        self._store(value, self._at(buffer, TABLE, loop[0], dtype), dtype, width)
        self._next(loop)
        after = text.label
        text.do(f"br label %{done}")
        text.begin(done)
        chosen = text.new(f"phi ptr [ {x}, %{before} ], [ {buffer}, %{after} ]")
        one, inverse = literal(1.0, dtype), literal(1 / limits.factor, dtype)
        return chosen, text.new(f"phi {word(dtype)} [ {one}, %{before} ], [ {inverse}, %{after} ]")

    def _times(self, dtype: np.dtype[Any], width: int, total: Register, a: Register, x: Register) -> Register:
        if dtype.kind != "f":
            return self._sum(dtype, width, total, self.text.operation("multiply", dtype, dtype, width, [a, x]))
        return self._sum(dtype, width, total, self.text.term("multiply", vector(word(dtype), width), a, x))

    def _sum(self, dtype: np.dtype[Any], width: int, one: Register, other: Register) -> Register:
        if dtype.kind != "f":
            return self.text.operation("add", dtype, dtype, width, [one, other])
        return self.text.term("add", vector(word(dtype), width), one, other)

    def _by_columns(self, part: Multiplied, x: Register, space: int, scale: Register) -> None:
        """A sum of columns, times `scale` unless that is empty."""
        block, lanes = part.block, self.lanes
        (rows, terms), dtype = block.operands[0].shape, block.dtype
        width = lanes if lanes > 1 else 1 << (min(self.width, rows).bit_length() - 1)
        finishing = self._prepared_loop(part.then, width) if part.then else []
        finish = _Finish(self._targets(block), finishing, self._splat(scale, dtype, width) if scale else "")
        if self.turns and NEAR < rows * terms * dtype.itemsize <= FAR and self.layout.is_constant(block.operands[0]):
            self._there_and_back(block, x, space, finish, width)
            return
        tiles = Tiles.of(rows, 1 if lanes > 1 else width, self._most_sums(dtype))
        entries, is_tiled = self.layout.matrix(block.operands[0], tiles.entries)
        matrix, where = self._prepared(entries, dtype), entries.space if isinstance(entries, Run) else SCRATCH
        count, each, starts = tiles.count, tiles.each, tiles.starts[0].tolist()
        size = count * each if is_tiled else rows  # of a column
        outer = self._for(rows, count * each) if len(tiles.starts) > 1 else None
        first, tile = (outer[0], f"%{self.text.name('tile')}") if outer else ("0", "0")
        base = self._at(matrix, where, tile if is_tiled else first, dtype) if outer else matrix
        places = [k * each for k in range(count)] if is_tiled else starts
        totals = self._sums(block, _Columns(base, where, size, places), x, space, width)
        for start, total in zip(starts, totals, strict=True):
            self._finish(
                block, finish, total, self.text.new(f"add i64 {first}, {start}") if outer else str(start), width
            )
        if outer:
            self._next(outer, [(tile, "i64", "0", self.text.new(f"add i64 {tile}, {size * terms}"))])

    def _there_and_back(self, block: Block, x: Register, space: int, finish: _Finish, width: int) -> None:
        """
        The tiles in turn, of a matrix that does not fit into the nearest cache: from step to step the other way round.

        What was read last is still near then. The sums of each row are the same either way.
        """
        (rows, terms), dtype, text = block.operands[0].shape, block.dtype, self.text
        registers = -(-rows // width)
        tiles = -(-registers // FEW)
        small, larger = divmod(registers, tiles)  # registers of a tile, and number of tiles that have one more
        ends = [small * k + min(k, larger) for k in range(tiles + 1)]
        starts = np.minimum(width * np.arange(registers), rows - width)

        def entries(matrix: Any) -> Any:
            parts = [starts[a:b, None] + np.arange(width) for a, b in pairwise(ends)]
            return np.concatenate([np.ravel(matrix[np.ravel(one)].T) for one in parts])

        matrix = self._prepared(self.layout.matrix(block.operands[0], entries)[0], dtype)
        outer = self._for(tiles, 1)
        back = text.new(f"trunc i64 {self.turns} to i1")
        last = text.new(f"sub i64 {tiles - 1}, {outer[0]}")
        tile = text.new(f"select i1 {back}, i64 {last}, i64 {outer[0]}")
        more = text.smaller(tile, str(larger))
        first = text.new(f"mul i64 {tile}, {small}")
        first = text.new(f"add i64 {first}, {more}")
        first = text.new(f"mul i64 {first}, {width}")
        base = self._at(matrix, TABLE, text.new(f"mul i64 {first}, {terms}"), dtype)

        def one(count: int) -> None:
            places = [width * k for k in range(count)]
            totals = self._sums(block, _Columns(base, TABLE, width * count, places), x, space, width)
            for place, total in zip(places, totals, strict=True):
                at = text.new(f"add i64 {first}, {place}")
                self._finish(block, finish, total, text.smaller(at, str(rows - width)) if rows % width else at, width)

        if not larger:
            one(small)
        else:
            labels, done = [text.name("larger"), text.name("smaller")], text.name("done")
            is_larger = text.new(f"icmp ult i64 {tile}, {larger}")
            text.do(f"br i1 {is_larger}, label %{labels[0]}, label %{labels[1]}")
            for label, count in zip(labels, (small + 1, small), strict=True):
                text.begin(label)
                one(count)
                text.do(f"br label %{done}")
            text.begin(done)
        self._next(outer)

    def _sums(self, block: Block, columns: _Columns, x: Register, space: int, width: int) -> list[Register]:
        """
        Sums of a part of the rows.

        They are in registers while a loop passes over the columns; where they are few, there are several per row,
        because an addition waits for the one before.
        """
        (_, terms), dtype, lanes, where = block.operands[0].shape, block.dtype, self.lanes, columns.where
        count = len(columns.places)
        sums = min(max(1, LATENCY // count), terms)

        def add(totals: list[Register], column: Register) -> list[Register]:
            one = self._one(self._at(x, space, column, dtype), space, dtype)
            one = self._splat(one, dtype, width) if lanes == 1 else one
            offset = self.text.new(f"mul i64 {column}, {columns.size}")
            base, found = self._at(columns.base, where, offset, dtype), []
            for place, total in zip(columns.places, totals, strict=True):
                at = self._at(base, where, str(place), dtype)
                entry = self._load(at, dtype, width) if lanes == 1 else self._one(at, where, dtype)
                found.append(self._times(dtype, width, total, entry, one))
            return found

        inner = self._for(terms // sums * sums, sums)
        kept = [[f"%{self.text.name('sum')}" for _ in range(count)] for _ in range(sums)]
        after = [add(kept[k], self.text.new(f"add i64 {inner[0]}, {k}")) for k in range(sums)]
        kind, zero = vector(word(dtype), width), literal(0, dtype, width)
        phis = [(a, kind, zero, b) for some, following in zip(kept, after, strict=True)
                for a, b in zip(some, following, strict=True)]  # fmt: skip
        self._next(inner, phis)
        for k, column in enumerate(range(terms // sums * sums, terms)):
            after[k] = add(after[k], str(column))
        return [self._total([some[k] for some in after], dtype, width) for k in range(count)]

    def _finish(self, block: Block, finish: _Finish, total: Register, place: Register, width: int) -> None:
        """Store the sums of some rows, and evaluate what follows."""
        dtype = block.dtype
        if finish.factor:
            total = self.text.new(f"fmul {vector(word(dtype), width)} {total}, {finish.factor}")
        for target in finish.targets:
            self._store(total, self._at(target, SCRATCH, place, dtype), dtype, width)
        self._evaluate(finish.then, place, width, {block.first: total})

    def _most_sums(self, dtype: np.dtype[Any]) -> int:
        """Sums that are kept in registers."""
        return max(SUMS * libm.vector_bytes() // max(self.lanes * dtype.itemsize, libm.vector_bytes()), 1)

    def _total(self, parts: list[Register], dtype: np.dtype[Any], width: int) -> Register:
        """The sum of some values."""
        while len(parts) > 1:
            pairs = [self._sum(dtype, width, *parts[k : k + 2]) for k in range(0, len(parts) - 1, 2)]
            parts = pairs + parts[len(parts) // 2 * 2 :]
        return parts[0]

    def _by_rows(self, block: Block, x: Register) -> None:
        """Few rows: sums of products of neighbours, several at a time."""
        (rows, terms), dtype = block.operands[0].shape, block.dtype
        matrix = self._prepared(self.layout.matrix(block.operands[0])[0], dtype)
        width = 1 << (min(self.width, terms).bit_length() - 1)
        sums = min(max(1, LATENCY // rows), terms // width)
        kind, chunk = vector(word(dtype), width), width * sums

        def add(totals: list[Register], place: Register) -> list[Register]:
            factor = self._load(self._at(x, TABLE, place, dtype), dtype, width)
            base = self._at(matrix, TABLE, place, dtype)
            entries = [self._load(self._at(base, TABLE, str(row * terms), dtype), dtype, width) for row in range(rows)]
            return [self._times(dtype, width, *both, factor) for both in zip(totals, entries, strict=True)]

        loop = self._for(terms // chunk * chunk, chunk)
        kept = [[f"%{self.text.name('sum')}" for _ in range(rows)] for _ in range(sums)]
        after = [add(kept[k], self.text.new(f"add i64 {loop[0]}, {k * width}")) for k in range(sums)]
        phis = [(a, kind, literal(0, dtype, width), b) for some, following in zip(kept, after, strict=True)
                for a, b in zip(some, following, strict=True)]  # fmt: skip
        self._next(loop, phis)
        for k, place in enumerate(range(terms // chunk * chunk, terms - width + 1, width)):
            after[k] = add(after[k], str(place))
        targets = self._targets(block)
        for row in range(rows):
            total = self._total([some[row] for some in after], dtype, width)
            total = self.text.total(total, dtype, width)
            for place in range(terms // width * width, terms):
                entry = self._load(self._at(matrix, TABLE, str(row * terms + place), dtype), dtype, 1)
                total = self._times(dtype, 1, total, entry, self._load(self._at(x, TABLE, str(place), dtype), dtype, 1))
            for target in targets:
                self._store(total, self._at(target, SCRATCH, str(row), dtype), dtype, 1)

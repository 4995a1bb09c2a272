"""Text of products of a matrix with a vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..graph import Block
from . import libm
from .blocks import Blocks
from .layout import FEWEST, SCRATCH, TABLE, Copied, Multiplied, Run
from .text import Register, literal, vector, word

LATENCY = 8
"""Number of sums in registers at the same time that hides how long an addition takes."""

SUMS = 24 if libm.vector_bytes() == 64 else 12
"""Largest number of registers for sums: the more there are, the less often the vector is read."""

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


class Products(Blocks):
    """Products, besides all other blocks."""

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
        if dtype.kind == "f" and rows * terms >= SCALED and (lanes == 1 or space == SCRATCH):
            x, scale = self._scaled(x, terms * lanes, dtype)
        self._by_columns(part, x, space, scale)

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
        """
        A sum of columns, times `scale` unless that is empty.

        The sums of some rows are in registers while a loop passes over the columns; where these are few, several sums
        per row, because an addition waits for the one before.
        """
        block, lanes = part.block, self.lanes
        (rows, terms), dtype = block.operands[0].shape, block.dtype
        width = lanes if lanes > 1 else 1 << (min(self.width, rows).bit_length() - 1)
        finishing = self._prepared_loop(part.then, width) if part.then else []
        tiles = Tiles.of(rows, 1 if lanes > 1 else width, self._most_sums(dtype))
        entries, is_tiled = self.layout.matrix(block.operands[0], tiles.entries)
        matrix, where = self._prepared(entries, dtype), entries.space if isinstance(entries, Run) else SCRATCH
        count, each, starts = tiles.count, tiles.each, tiles.starts[0].tolist()
        size = count * each if is_tiled else rows  # of a column
        outer = self._for(rows, count * each) if len(tiles.starts) > 1 else None
        first, tile = (outer[0], f"%{self.text.name('tile')}") if outer else ("0", "0")
        base = self._at(matrix, where, tile if is_tiled else first, dtype) if outer else matrix
        sums = min(max(1, LATENCY // count), terms)
        factor = self._splat(scale, dtype, width) if scale else ""

        def add(totals: list[Register], column: Register) -> list[Register]:
            one = self._one(self._at(x, space, column, dtype), space, dtype)
            one = self._splat(one, dtype, width) if lanes == 1 else one
            place, found = self._at(base, where, self.text.new(f"mul i64 {column}, {size}"), dtype), []
            for k, total in enumerate(totals):
                at = self._at(place, where, str(k * each if is_tiled else starts[k]), dtype)
                entry = self._load(at, dtype, width) if lanes == 1 else self._one(at, where, dtype)
                found.append(self._times(dtype, width, total, entry, one))
            return found

        inner = self._for(terms // sums * sums, sums)
        kept = [[f"%{self.text.name('sum')}" for _ in starts] for _ in range(sums)]
        after = [add(kept[k], self.text.new(f"add i64 {inner[0]}, {k}")) for k in range(sums)]
        kind, zero = vector(word(dtype), width), literal(0, dtype, width)
        phis = [(a, kind, zero, b) for some, following in zip(kept, after, strict=True)
                for a, b in zip(some, following, strict=True)]  # fmt: skip
        self._next(inner, phis)
        for k, column in enumerate(range(terms // sums * sums, terms)):
            after[k] = add(after[k], str(column))
        targets = self._targets(block)
        for k, start in enumerate(starts):
            total = self._total([some[k] for some in after], dtype, width)
            total = self.text.new(f"fmul {kind} {total}, {factor}") if factor else total
            place = self.text.new(f"add i64 {first}, {start}") if outer else str(start)
            for target in targets:
                self._store(total, self._at(target, SCRATCH, place, dtype), dtype, width)
            self._evaluate(finishing, place, width, {block.first: total})
        if outer:
            self._next(outer, [(tile, "i64", "0", self.text.new(f"add i64 {tile}, {size * terms}"))])

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

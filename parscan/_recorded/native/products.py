"""Text of products of a matrix with a vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Block
from .blocks import Blocks
from .layout import SCRATCH, TABLE, Copied, Multiplied, Run
from .text import Register, literal, vector, word

ACCUMULATORS = 8
"""Number of sums that a product keeps in registers at the same time; more would not hide more latency."""


class Products(Blocks):
    """Products, besides all other blocks."""

    def _product(self, part: Multiplied) -> None:
        """A matrix times a vector."""
        block = part.block
        rows, terms = block.operands[0].shape
        factor = self.layout.operand(block.operands[1], part)
        assert isinstance(factor, Run | Copied)
        by_rows = self.lanes == 1 and rows < 4 <= terms and block.dtype.kind == "f"
        entries = self.layout.matrix(block, by_columns=not by_rows)
        matrix, x = self._prepared(entries, block.dtype), self._prepared(factor, block.dtype)
        spaces = [one.space if isinstance(one, Run) else SCRATCH for one in (entries, factor)]
        if by_rows:
            self._by_rows(block, matrix, x)
        else:
            self._by_columns(block, matrix, x, spaces)

    def _times(self, dtype: np.dtype[Any], width: int, total: Register, a: Register, x: Register) -> Register:
        if dtype.kind != "f":
            return self._sum(dtype, width, total, self.text.operation("multiply", dtype, dtype, width, [a, x]))
        return self._sum(dtype, width, total, self.text.term("multiply", vector(word(dtype), width), a, x))

    def _sum(self, dtype: np.dtype[Any], width: int, one: Register, other: Register) -> Register:
        if dtype.kind != "f":
            return self.text.operation("add", dtype, dtype, width, [one, other])
        return self.text.term("add", vector(word(dtype), width), one, other)

    def _by_columns(self, block: Block, matrix: Register, x: Register, spaces: list[int]) -> None:
        """
        A sum of columns.

        The sums of some rows are in registers while a loop passes over the columns; where these are few, several sums
        per row, because an addition waits for the one before.
        """
        (rows, terms), dtype, lanes = block.operands[0].shape, block.dtype, self.lanes
        width = lanes if lanes > 1 else 1 << (min(self.width, rows).bit_length() - 1)
        each = 1 if lanes > 1 else width
        count = -(-rows // each)
        groups = -(-count // ACCUMULATORS)
        count = -(-count // groups)
        outer = self._for(rows, count * each) if groups > 1 else None
        first = outer[0] if outer else "0"
        starts = [k * each if outer else min(k * each, rows - each) for k in range(count)]
        sums = min(max(1, ACCUMULATORS // count), terms)
        zero = literal(0, dtype, width)

        def add(totals: list[Register], column: Register) -> list[Register]:
            factor = self._one(self._at(x, spaces[1], column, dtype), spaces[1], dtype)
            factor = self._splat(factor, dtype, width) if lanes == 1 else factor
            place = self.text.new(f"mul i64 {column}, {rows}")
            place = self.text.new(f"add i64 {place}, {first}") if outer else place
            base, found = self._at(matrix, spaces[0], place, dtype), []
            for start, total in zip(starts, totals, strict=True):
                at = self._at(base, spaces[0], str(start), dtype)
                entry = self._load(at, dtype, width) if lanes == 1 else self._one(at, spaces[0], dtype)
                found.append(self._times(dtype, width, total, entry, factor))
            return found

        inner = self._for(terms // sums * sums, sums)
        kept = [[f"%{self.text.name('sum')}" for _ in starts] for _ in range(sums)]
        after = [add(kept[k], self.text.new(f"add i64 {inner[0]}, {k}")) for k in range(sums)]
        kind = vector(word(dtype), width)
        phis = [(a, kind, zero, b) for some, following in zip(kept, after, strict=True)
                for a, b in zip(some, following, strict=True)]  # fmt: skip
        self._next(inner, phis)
        for k, column in enumerate(range(terms // sums * sums, terms)):
            after[k] = add(after[k], str(column))
        targets = self._targets(block)
        for k, start in enumerate(starts):
            total = self._total([some[k] for some in after], dtype, width)
            place = self.text.new(f"add i64 {first}, {start}") if outer else str(start)
            for target in targets:
                self._store(total, self._at(target, SCRATCH, place, dtype), dtype, width)
        if outer:
            self._next(outer)

    def _total(self, parts: list[Register], dtype: np.dtype[Any], width: int) -> Register:
        """The sum of some values."""
        while len(parts) > 1:
            pairs = [self._sum(dtype, width, *parts[k : k + 2]) for k in range(0, len(parts) - 1, 2)]
            parts = pairs + parts[len(parts) // 2 * 2 :]
        return parts[0]

    def _by_rows(self, block: Block, matrix: Register, x: Register) -> None:
        """Few rows: sums of products of neighbours, several at a time."""
        (rows, terms), dtype = block.operands[0].shape, block.dtype
        width = 1 << (min(self.width, terms).bit_length() - 1)
        sums = min(max(1, ACCUMULATORS // rows), terms // width)
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

"""Text that reads and writes memory, and loops inside a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from ..program import Program
from . import libm
from .layout import ARGUMENT, SCRATCH, TABLE, Layout
from .text import Register, Text, in_memory, literal, vector, word

SHARED, UNIT, ADJACENT, STRIDED = "shared", "unit", "adjacent", "strided"
"""
How an argument or result of several lanes lies in memory: all lanes read the same, the lanes of each element are
neighbours, the rows of lanes are neighbours, or lanes have a distance.
"""

APART = ADJACENT, STRIDED
"""With these, each lane has a pointer of its own."""


class Memory:
    """
    Where values lie, for one sequence or several lanes.

    Attributes
    ----------
    layout : Layout
        Parts of the program and places of its values.
    lanes : int
        Sequences at a time.
    width : int
        Elements of the widest vectors.
    text : Text
        What is written, of a step or, inside of `_before_steps`, before them.
    """

    def __init__(self, program: Program, lanes: int, modes: Sequence[str], chain: int = 0) -> None:
        floats = [block.dtype.itemsize for block in program.blocks if block.dtype.kind == "f"]
        self.width = lanes if lanes > 1 else libm.vector_bytes() // max(floats, default=8)
        self.layout, self.lanes = Layout(program, lanes, self.width, chain), lanes
        self.program = self.layout.program
        self.modes = list(modes) or [UNIT] * (len(program.arguments) + len(program.results))
        self.text = Text()
        self.entry: list[str] = []
        self.entry_label = "entry"
        self.lane_offsets: list[list[Register]] = []

    @contextmanager
    def _before_steps(self) -> Iterator[None]:
        """Write lines that are executed once, before the first step."""
        text, step = self.text, (self.text.lines, self.text.label)
        text.lines, text.label = self.entry, self.entry_label
        yield
        self.entry_label = text.label
        text.lines, text.label = step

    def _first(self, expression: str) -> Register:
        """Assign an expression to a register before the steps begin."""
        name = f"%{self.text.name('e')}"
        self.entry.append(f"  {name} = {expression}")
        return name

    def _pointer(self, space: int, offset: int) -> Register:
        base = "%table" if space == TABLE else "%scratch" if space == SCRATCH else f"%argument{space - ARGUMENT}"
        return self.text.new(f"getelementptr i8, ptr {base}, i64 {offset}") if offset else base

    def _load(self, pointer: Register, dtype: np.dtype[Any], width: int) -> Register:
        found = self.text.new(f"load {vector(in_memory(dtype), width)}, ptr {pointer}, align {dtype.itemsize}")
        return self._truth(found, dtype, width)

    def _store(self, value: Register, pointer: Register, dtype: np.dtype[Any], width: int) -> None:
        value = self._bytes(value, dtype, width)
        self.text.do(f"store {vector(in_memory(dtype), width)} {value}, ptr {pointer}, align {dtype.itemsize}")

    def _truth(self, value: Register, dtype: np.dtype[Any], width: int) -> Register:
        """A value as it is in registers, of one in memory: Booleans are bytes there."""
        if dtype.kind != "b":
            return value
        return self.text.new(f"icmp ne {vector('i8', width)} {value}, {literal(0, np.dtype(np.int8), width)}")

    def _bytes(self, value: Register, dtype: np.dtype[Any], width: int) -> Register:
        """A value as it is in memory, of one in a register."""
        if dtype.kind != "b":
            return value
        return self.text.new(f"zext {vector('i1', width)} {value} to {vector('i8', width)}")

    def _splat(self, value: Register, dtype: np.dtype[Any], width: int) -> Register:
        return self.text.splat(value, word(dtype), width)

    def _at(self, pointer: Register, space: int, place: Register, dtype: np.dtype[Any]) -> Register:
        """Pointer to the element at a computed place after a pointer."""
        kind = vector(in_memory(dtype), self.lanes if space == SCRATCH else 1)
        return self.text.new(f"getelementptr {kind}, ptr {pointer}, i64 {place}")

    def _after(self, base: Register, first: Register, place: int, dtype: np.dtype[Any], apart: int = 1) -> Register:
        """Pointer to an element of an argument or result, whose elements are so many numbers apart."""
        size = apart * dtype.itemsize
        if first != "0":
            base = self.text.new(f"getelementptr {vector(in_memory(dtype), apart)}, ptr {base}, i64 {first}")
        return self.text.new(f"getelementptr i8, ptr {base}, i64 {place * size}") if place else base

    def _apart(self, number: int) -> int:
        """How many numbers the elements of an argument or result are apart."""
        return self.lanes if self.lanes > 1 and self.modes[number] == UNIT else 1

    def _one(self, pointer: Register, space: int, dtype: np.dtype[Any]) -> Register:
        """One element in memory, for all lanes."""
        if self.lanes > 1 and space != SCRATCH:
            return self._splat(self._load(pointer, dtype, 1), dtype, self.lanes)
        return self._load(pointer, dtype, self.lanes)

    def _move(self, target: Register, source: Register, size: int) -> None:
        """Copy bytes."""
        self.text.declarations.setdefault("memcpy", "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        self.text.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")

    def _for(self, count: int, step: int) -> tuple[Register, str, str, str]:
        """
        Begin a loop over `count` elements, `step` at a time; the last ones may be taken twice.

        Returns the element, and what `_next` wants.
        """
        assert 0 < step <= count, (step, count)  # more would be beyond the elements
        before, label, place = self.text.label, self.text.name("loop"), f"%{self.text.name('i')}"
        self.text.do(f"br label %{label}")
        self.text.begin(label)
        self.text.lines.append("")  # where the phi function will be
        return place, label, before, f"{len(self.text.lines) - 1} {count} {step}"

    def _next(self, loop: tuple[Register, str, str, str], phis: Sequence[tuple[Register, str, str, str]] = ()) -> None:
        """End a loop; `phis` are further values that it carries, each with its type, first and following value."""
        place, label, before, rest = loop
        line, count, step = map(int, rest.split())
        following = self.text.new(f"add i64 {place}, {step}")
        if count % step:
            more = self.text.new(f"icmp ult i64 {following}, {count}")
            clipped = self.text.smaller(following, str(count - step))
        else:
            more, clipped = self.text.new(f"icmp ult i64 {following}, {count}"), following
        everything = [(place, "i64", "0", clipped), *phis]
        self.text.lines[line] = "\n".join(
            f"  {name} = phi {kind} [ {first}, %{before} ], [ {after}, %{self.text.label} ]"
            for name, kind, first, after in everything
        )
        done = self.text.name("done")
        self.text.do(f"br i1 {more}, label %{label}, label %{done}")
        self.text.begin(done)

    def _bases(self, number: int, pointer: Register) -> list[Register]:
        """Where lanes have the first element of an argument or result: a pointer per lane, or one for all."""
        if self.lanes == 1 or self.modes[number] not in APART:
            return [pointer]
        return [self.text.new(f"getelementptr i8, ptr {pointer}, i64 {one}") for one in self.lane_offsets[number]]

    def _read(
        self, number: int, bases: list[Register], first: Register, count: int, dtype: np.dtype[Any]
    ) -> list[Register]:
        """Elements `first` to `first + count - 1` of an argument, for all lanes."""
        found: list[Register] = []
        if len(bases) == 1:
            shared, apart = self.lanes > 1 and self.modes[number] == SHARED, self._apart(number)
            for k in range(count):
                value = self._load(self._after(bases[0], first, k, dtype, apart), dtype, 1 if shared else self.lanes)
                found.append(self._splat(value, dtype, self.lanes) if shared else value)
            return found
        if self._is_block(number, count):
            for k in range(count):
                place = self._after(bases[0], first, k * self.lanes, dtype)
                found.append(self.text.new(f"load {vector(in_memory(dtype), self.lanes)}, ptr {place}, "
                                           f"align {dtype.itemsize}"))  # fmt: skip
            columns = self.text.separated(found, in_memory(dtype), self.lanes)
            return [self._truth(column, dtype, self.lanes) for column in columns]
        for start, size in _chunks(count, self.lanes):
            kind = vector(in_memory(dtype), size)
            rows = [self.text.new(f"load {kind}, ptr {self._after(base, first, start, dtype)}, align {dtype.itemsize}")
                    for base in bases]  # fmt: skip
            columns = self.text.transposed(self._joined(rows, dtype, size), in_memory(dtype), self.lanes)
            found += [self._truth(column, dtype, self.lanes) for column in columns[len(found) - start :]]
        return found

    def _write(
        self, number: int, bases: list[Register], first: Register, values: list[Register], dtype: np.dtype[Any]
    ) -> None:
        """Store values of all lanes as consecutive elements of a result."""
        if len(bases) == 1:
            for k, value in enumerate(values):
                self._store(value, self._after(bases[0], first, k, dtype, self._apart(number)), dtype, self.lanes)
            return
        scalar, done = in_memory(dtype), 0
        values = [self._bytes(value, dtype, self.lanes) for value in values]
        if self._is_block(number, len(values)):
            for k, value in enumerate(self.text.interleaved(values, scalar, self.lanes)):
                place = self._after(bases[0], first, k * self.lanes, dtype)
                self.text.do(f"store {vector(scalar, self.lanes)} {value}, ptr {place}, align {dtype.itemsize}")
            return
        for start, size in _chunks(len(values), self.lanes):
            rows = self.text.transposed(values[start : start + size], scalar, self.lanes)
            for lane, base in enumerate(bases):
                row = self.text.part(rows[lane % size], scalar, self.lanes, lane // size * size, size)
                place = self._after(base, first, start, dtype)
                self.text.do(f"store {vector(scalar, size)} {row}, ptr {place}, align {dtype.itemsize}")
            done = start + size
        assert done == len(values)

    def _is_block(self, number: int, count: int) -> bool:
        """Whether some elements of all lanes, a power of two for each, fill a piece of memory without gaps."""
        if self.modes[number] != ADJACENT or count & (count - 1) or count > self.lanes:
            return False
        arguments, results = self.program.arguments, self.program.results
        shape = arguments[number].shape if number < len(arguments) else results[number - len(arguments)].shape
        return count == prod(shape)

    def _joined(self, rows: list[Register], dtype: np.dtype[Any], size: int) -> list[Register]:
        """Vectors as wide as there are lanes: the `k`-th has the elements of the lanes `k`, `k + size`, and so on."""
        return [self.text.chained(rows[k::size], in_memory(dtype), size) for k in range(size)]


def _chunks(count: int, lanes: int) -> list[tuple[int, int]]:
    """Beginnings and sizes, powers of two, of parts that cover some elements; the last may overlap."""
    size = min(1 << (count.bit_length() - 1), lanes)
    return [(min(start, count - size), size) for start in range(0, count, size)]

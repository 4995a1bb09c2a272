"""Machine code's text: steps of a recurrence, or a program evaluated for many arguments, one or several at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np

from ..graph import CONSTANT, GATHER, INPUT, SEARCH_LEFT, SEARCH_RIGHT, Block
from ..program import Program
from . import libm
from .layout import (
    ARGUMENT,
    SCRATCH,
    TABLE,
    Copied,
    Copy,
    Fused,
    Inside,
    Layout,
    Multiplied,
    Run,
    Same,
    Scalars,
    vector_width,
)
from .text import CALLED, LIMITS, Operand, Register, Text, in_memory, limited, literal, vector, word

NAME = "parscan_kernel"
"""Name of the function."""

PACKED = {name: name for name in CALLED} | {"expit": "exp", "logaddexp": "exp"}
"""Operations of which several elements are evaluated together where the C library has the function on vectors."""

ACCUMULATORS = 8
"""Sums that a product keeps in registers at the same time; more hide no more latency."""

SHARED, UNIT, STRIDED = "shared", "unit", "strided"
"""
How an argument or result of several lanes lies in memory: all lanes read the same, lanes are neighbours, or have a
distance.
"""


@dataclass(frozen=True)
class Kernel:
    """
    Text of a function and what it needs.

    The function is `void (table, scratch, arrays, steps)`. The integers `arrays` are, for each argument and each
    result, its address, the bytes from a step to the next, and the bytes from a lane to the next.

    Attributes
    ----------
    text : str
        In LLVM's language.
    external : dict
        Addresses of functions that it calls, by name.
    table : array of bytes
        Constants.
    scratch : int
        Bytes of memory that it works in.
    """

    text: str
    external: dict[str, int]
    table: Any
    scratch: int


def part_ids(part: Fused, key: tuple[int, int]) -> Any:
    """Nodes of an operand, by its block's first node and its number."""
    first, number = key
    return next(block for block in part.blocks if block.first == first).operands[number]


def kernel(program: Program, *, chain: bool, lanes: int = 1, modes: Sequence[str] = ()) -> Kernel:
    """
    Write the code of a program.

    Parameters
    ----------
    program : Program
    chain : bool
        Whether the first result is the first argument of the next step; the distance of the first argument from step to
        step is not used then.
    lanes : int
        Independent sequences, or calls, at a time.
    modes : sequence of str
        With lanes, how each argument and each result lies in memory.
    """
    return _Writer(program, chain, lanes, modes).kernel()


def _chunks(count: int, lanes: int) -> list[tuple[int, int]]:
    """Beginnings and sizes, powers of two, of parts that cover some elements; the last may overlap."""
    size = min(1 << (count.bit_length() - 1), lanes)
    return [(min(start, count - size), size) for start in range(0, count, size)]


class _Writer:
    def __init__(self, program: Program, chain: bool, lanes: int, modes: Sequence[str]) -> None:
        self.program, self.chain, self.lanes = program, chain, lanes
        self.modes = list(modes) or [UNIT] * (len(program.arguments) + len(program.results))
        self.text = Text()
        self.entry: list[str] = []
        self.entry_label = "entry"
        self.values: dict[int, Register] = {}
        floats = [block.dtype.itemsize for block in program.blocks if block.dtype.kind == "f"]
        self.width = lanes if lanes > 1 else libm.vector_bytes() // max(floats, default=8)
        """Elements of the widest vectors."""
        self.layout = Layout(program, lanes, self.width)
        self.program = program = self.layout.program
        self.phis: list[tuple[Register, str, str, str]] = []
        """Values that a step takes from the one before: name, type, first value, following value."""
        self.tables: dict[tuple[int, str], int] = {}
        self.copied: set[int] = set()

    # The whole

    def kernel(self) -> Kernel:
        text = self.text
        text.label = "step"
        self._load_arrays()
        count = len(self.program.arguments)
        self.bases = [
            self._bases(k, f"%argument{k}" if k < count else f"%result{k - count}") for k in range(len(self.pointers))
        ]
        """Pointers to the elements of a step."""
        feedback = self._states() if self.chain else []
        for argument in range(1 if self.chain else 0, len(self.program.arguments)):
            for block in self._inputs(argument):
                self._fill(block, self.bases[argument])
        for part in self.layout.parts:
            if isinstance(part, Scalars):
                self._scalars(part)
            elif isinstance(part, Fused):
                self._loop(part)
            else:
                self._product(part)
        for number in range(len(self.program.results)):
            self._store_result(number)
        for phi, kind, first, node in feedback:
            self.phis.append((phi, kind, first, self.value(node)))
        if self.lanes > 1 and self.chain:
            self._keep_state()
        self._advance()
        phis = [
            f"  {name} = phi {kind} [ {first}, %{self.entry_label} ], [ {following}, %{text.label} ]"
            for name, kind, first, following in self.phis
        ]
        lines = [
            *text.declarations.values(),
            f"define void @{NAME}(ptr noalias readonly %table, ptr noalias %scratch, ptr readonly %arrays, i64 %steps) "
            "nounwind {",
            "entry:",
            *self.entry,
            "  br label %step",
            "step:",
            *phis,
            *text.lines,
            "exit:",
            "  ret void",
            "}",
        ]
        return Kernel("\n".join(lines) + "\n", text.external, self.layout.the_table(), self.layout.scratch_bytes)

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

    def _load_arrays(self) -> None:
        """Load addresses and distances of arguments and results."""
        self.pointers: list[Register] = []
        self.lane_offsets: list[list[Register]] = []
        self.steps: list[Register] = []
        count = len(self.program.arguments)
        for k in range(count + len(self.program.results)):
            first, step, lane = (self._first(f"load {kind}, ptr {self._array(3 * k + j)}")
                                 for j, kind in enumerate(("ptr", "i64", "i64")))  # fmt: skip
            self.pointers.append(first)
            self.steps.append(step)
            offsets = [self._first(f"mul i64 {lane}, {j}") for j in range(self.lanes)]
            self.lane_offsets.append(offsets if self.lanes > 1 and self.modes[k] == STRIDED else [])

    def _array(self, place: int) -> Register:
        return self._first(f"getelementptr i64, ptr %arrays, i64 {place}")

    def _advance(self) -> None:
        """Move the pointers to the next step."""
        count = len(self.program.arguments)
        for k, first in enumerate(self.pointers):
            name = f"%argument{k}" if k < count else f"%result{k - count}"
            following = "%result0"
            if k or not self.chain:
                following = self.text.new(f"getelementptr i8, ptr {name}, i64 {self.steps[k]}")
            self.phis.append((name, "ptr", first, following))
        after = self.text.new("add i64 %time, 1")
        self.phis.append(("%time", "i64", "0", after))
        more = self.text.new(f"icmp ult i64 {after}, %steps")
        self.text.do(f"br i1 {more}, label %step, label %exit")

    # Values in registers: of one element, for all lanes

    def value(self, node: int) -> Register:
        """The value of a node, loaded where it is in memory; only where each step passes."""
        found = self.values.get(node)
        if found is None:
            block = self.layout.block(node)
            if block.operation == CONSTANT:
                found = self._constant(node, block.dtype)
            elif block.operation == INPUT and (self.lanes == 1 or not self.layout.stored[node]):
                number = block.data[0]
                if self.lanes > 1:
                    self.values.update(enumerate(self._block(block, self.bases[number]), start=block.first))
                    return self.values[node]
                place = int(block.data[1][node - block.first])
                found = self._load(self._after(f"%argument{number}", "0", place, block.dtype), block.dtype, 1)
            else:
                space, offset = self.layout.address(node)
                found = self._load(self._pointer(space, offset), block.dtype, self.lanes)
            self.values[node] = found
        return found

    def _constant(self, node: int, dtype: np.dtype[Any]) -> Register:
        """Load a constant before the steps begin."""
        with self._before_steps():
            value = self._load(self._pointer(*self.layout.address(node)), dtype, 1)
            return self._splat(value, dtype, self.lanes)

    def _bases(self, number: int, pointer: Register) -> list[Register]:
        """Where lanes have the first element of an argument or result: a pointer per lane, or one for all."""
        if self.lanes == 1 or self.modes[number] != STRIDED:
            return [pointer]
        return [self.text.new(f"getelementptr i8, ptr {pointer}, i64 {one}") for one in self.lane_offsets[number]]

    def _read(
        self, number: int, bases: list[Register], first: Register, count: int, dtype: np.dtype[Any]
    ) -> list[Register]:
        """Elements `first` to `first + count - 1` of an argument, for all lanes."""
        found: list[Register] = []
        if len(bases) == 1:
            shared = self.lanes > 1 and self.modes[number] == SHARED
            for k in range(count):
                value = self._load(self._after(bases[0], first, k, dtype), dtype, 1 if shared else self.lanes)
                found.append(self._splat(value, dtype, self.lanes) if shared else value)
            return found
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
                self._store(value, self._after(bases[0], first, k, dtype), dtype, self.lanes)
            return
        scalar, done = in_memory(dtype), 0
        values = [self._bytes(value, dtype, self.lanes) for value in values]
        for start, size in _chunks(len(values), self.lanes):
            rows = self.text.transposed(values[start : start + size], scalar, self.lanes)
            for lane, base in enumerate(bases):
                row = self.text.part(rows[lane % size], scalar, self.lanes, lane // size * size, size)
                place = self._after(base, first, start, dtype)
                self.text.do(f"store {vector(scalar, size)} {row}, ptr {place}, align {dtype.itemsize}")
            done = start + size
        assert done == len(values)

    def _joined(self, rows: list[Register], dtype: np.dtype[Any], size: int) -> list[Register]:
        """Vectors as wide as there are lanes: the `k`-th has the elements of the lanes `k`, `k + size`, and so on."""
        return [self.text.chained(rows[k::size], in_memory(dtype), size) for k in range(size)]

    def _after(self, base: Register, first: Register, place: int, dtype: np.dtype[Any]) -> Register:
        """Pointer to an element of an argument or result."""
        if first == "0":
            return self.text.new(f"getelementptr i8, ptr {base}, i64 {place * dtype.itemsize}") if place else base
        found = self.text.new(f"getelementptr {in_memory(dtype)}, ptr {base}, i64 {first}")
        return self.text.new(f"getelementptr i8, ptr {found}, i64 {place * dtype.itemsize}") if place else found

    def _block(self, block: Block, bases: list[Register]) -> list[Register]:
        """All elements of a small block of inputs."""
        places = np.asarray(block.data[1])
        ends = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), block.count]
        found: list[Register] = []
        for a, b in pairwise(ends):
            found += self._read(
                block.data[0],
                [self._after(base, "0", int(places[a]), block.dtype) for base in bases],
                "0",
                b - a,
                block.dtype,
            )
        return found

    def _splat(self, value: Register, dtype: np.dtype[Any], width: int) -> Register:
        return self.text.splat(value, word(dtype), width)

    # Memory

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

    def _at(self, pointer: Register, space: int, place: Register, dtype: np.dtype[Any]) -> Register:
        """Pointer to the element at a computed place after a pointer."""
        kind = vector(in_memory(dtype), self.lanes if space == SCRATCH else 1)
        return self.text.new(f"getelementptr {kind}, ptr {pointer}, i64 {place}")

    # Loops inside a step

    def _for(self, count: int, step: int) -> tuple[Register, str, str, str]:
        """
        Begin a loop over `count` elements, `step` at a time; the last ones may be taken twice.

        Returns the element, and what `_next` wants.
        """
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

    # Parts

    def _scalars(self, part: Scalars) -> None:
        """Blocks in registers; of calls of one function that do not need each other, several at a time."""
        levels = [0] * self.program.size
        """Calls on the way to a node."""
        items: list[tuple[int, bool, int, Block, tuple[int, ...]]] = []
        for block in part.blocks:
            packed = block.operation in PACKED and self.lanes == 1 and block.dtype.kind == "f"
            columns = [ids.tolist() for ids in block.operands]
            for node, operands in enumerate(zip(*columns, strict=True), start=block.first):
                level = levels[node] = max([levels[one] for one in operands]) + packed
                items.append((level, not packed, node, block, operands))
        items.sort(key=itemgetter(0, 1))
        at = 0
        while at < len(items):
            level, single, node, block, operands = items[at]
            if single:
                self._define(node, self._operation(block, [self.value(one) for one in operands], self.lanes), block)
                at += 1
                continue
            end = at
            while end < len(items) and items[end][:2] == (level, False):
                end += 1
            self._calls(items[at:end])
            at = end

    def _calls(self, items: list[Any]) -> None:
        """Calls of functions that do not need each other."""
        alike: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for item in items:
            alike[item[3].operation, item[3].dtype.char].append(item)
        for (name, _), some in alike.items():
            at = 0
            while at < len(some):
                block = some[at][3]
                width = self._pack(PACKED[name], block.dtype, len(some) - at, len(some[at][4]))
                now = some[at : at + width]
                at += width
                given = []
                for nodes in zip(*(item[4] for item in now), strict=True):
                    column = [self.value(node) for node in nodes]
                    given.append(self.text.joined(column + column[-1:] * (width - len(now)), word(block.dtype)))
                found = self._operation(block, given, width)
                for k, item in enumerate(now):
                    kind = vector(word(block.dtype), width)
                    self._define(item[2], self.text.element(found, kind, k) if width > 1 else found, block)

    def _pack(self, function: str, dtype: np.dtype[Any], count: int, arity: int) -> int:
        """Elements that a call evaluates, of `count` that can be evaluated together."""
        suffixed = function if dtype.char == "d" else function + "f"
        width = 1 << (count - 1).bit_length()
        while width > 1 and not libm.vector_symbol(suffixed, dtype.itemsize, width, arity):
            width //= 2
        return width

    def _define(self, node: int, value: Register, block: Block) -> None:
        self.values[node] = value
        if self.layout.stored[node]:
            self._store(value, self._pointer(*self.layout.address(node)), block.dtype, self.lanes)

    def _operation(self, block: Block, given: list[Register], width: int) -> Register:
        """An operation on values in registers."""
        dtype = self.layout.dtype(int(block.operands[-1][0]))
        if block.operation == GATHER:
            return self._gather(block, given[0], dtype, width)
        if block.operation in (SEARCH_LEFT, SEARCH_RIGHT):
            return self._search(block, given[0], dtype, width)
        if block.operation in LIMITS and dtype.kind == "f":
            for k in (1, 0):
                if self._are_numbers(block.operands[k]):
                    return limited(Operand(self.text, dtype, width), block.operation, given[1 - k], given[k])
        return self.text.operation(block.operation, dtype, block.dtype, width, given)

    def _are_numbers(self, ids: Any) -> bool:
        """Whether nodes are constants, none of them NaN."""
        blocks = (self.layout.block(node) for node in (ids[:1] if (ids == ids[0]).all() else ids).tolist())
        if not all(block.operation == CONSTANT for block in blocks):
            return False
        return not np.isnan(self.layout.values(ids)).any()

    def _gather(self, block: Block, index: Register, dtype: np.dtype[Any], width: int) -> Register:
        """Entries of a table; NaN for indices outside of it, and the last entries for negative ones."""
        text, whole, kind = self.text, np.dtype(np.int64), vector("i64", width)
        index = text.converted(index, dtype, whole, width)
        count = literal(len(block.data), whole, width)
        negative = text.new(f"icmp slt {kind} {index}, {literal(0, whole, width)}")
        index = text.select(negative, text.new(f"add {kind} {index}, {count}"), index, kind, width)
        inside = text.new(f"icmp ult {kind} {index}, {count}")
        index = text.select(inside, index, literal(0, whole, width), kind, width)
        found = self._entries(self._table(block, block.dtype), index, block.dtype, width)
        outside = literal(np.nan if block.dtype.kind == "f" else 0, block.dtype, width)
        return text.select(inside, found, outside, vector(word(block.dtype), width), width)

    def _entries(self, table: int, index: Register, dtype: np.dtype[Any], width: int) -> Register:
        """Entries of a table at places inside of it."""
        base, kind, found = self._pointer(TABLE, table), vector("i64", width), []
        for k in range(width):
            one = index if width == 1 else self.text.element(index, kind, k)
            found.append(self._load(self._at(base, TABLE, one, dtype), dtype, 1))
        return self.text.joined(found, word(dtype))

    def _table(self, block: Block, dtype: np.dtype[Any]) -> int:
        key = (id(block.data), dtype.char)
        if key not in self.tables:
            self.tables[key] = self.layout.constant(np.asarray(block.data, dtype=dtype))
        return self.tables[key]

    def _search(self, block: Block, value: Register, dtype: np.dtype[Any], width: int) -> Register:
        """
        Place of a value in a sorted table, by bisection: the number of entries below it (or not above it).

        A value of NaN is above all.
        """
        text, whole, count = self.text, np.dtype(np.int64), len(block.data)
        table, kind, scalar = self._table(block, dtype), vector("i64", width), vector(word(dtype), width)
        left = block.operation == SEARCH_LEFT
        test = f"fcmp {'ult' if left else 'ule'}" if dtype.kind == "f" else (
            f"icmp {'s' if dtype.kind == 'i' else 'u'}{'lt' if left else 'le'}")  # fmt: skip
        place = literal(0, whole, width)
        step = 1 << max(count.bit_length() - 1, 0)
        while step and count:
            tried = text.new(f"add {kind} {place}, {literal(step, whole, width)}")
            inside = text.new(f"icmp ule {kind} {tried}, {literal(count, whole, width)}")
            last = text.new(f"add {kind} {tried}, {literal(-1, whole, width)}")
            last = text.select(inside, last, literal(0, whole, width), kind, width)
            entry = self._entries(table, last, dtype, width)
            below = text.new(f"{test} {scalar} {entry}, {value}")
            taken = text.new(f"and {vector('i1', width)} {inside}, {below}")
            place = text.select(taken, tried, place, kind, width)
            step //= 2
        return text.converted(place, whole, block.dtype, width)

    def _loop(self, part: Fused) -> None:
        """Blocks of the same length in one loop, whose values stay in registers inside of it."""
        lanes, count = self.lanes, part.blocks[0].count
        width = lanes if lanes > 1 else vector_width(count, self.width)
        operands = {
            (block.first, k): self.layout.operand(ids, part)
            for block in part.blocks
            for k, ids in enumerate(block.operands)
        }
        given: dict[tuple[int, int], Register] = {}
        for key, operand in operands.items():
            if isinstance(operand, Same):
                found = self.value(operand.node)
                dtype = self.layout.dtype(operand.node)
                given[key] = self._splat(found, dtype, width) if lanes == 1 else found
            elif isinstance(operand, Run | Copied):
                given[key] = self._prepared(operand, self.layout.dtype(int(part_ids(part, key)[0])))
        targets = [(block, self._targets(block)) for block in part.blocks]
        loop = self._for(count, 1 if lanes > 1 else width)
        inside: dict[int, Register] = {}
        for block, pointers in targets:
            values = []
            for k, ids in enumerate(block.operands):
                operand, dtype = operands[block.first, k], self.layout.dtype(int(ids[0]))
                if isinstance(operand, Same):
                    values.append(given[block.first, k])
                elif isinstance(operand, Inside):
                    values.append(inside[operand.first])
                else:
                    space = operand.space if isinstance(operand, Run) else SCRATCH
                    place = self._at(given[block.first, k], space, loop[0], dtype)
                    values.append(self._one(place, space, dtype) if lanes > 1 else self._load(place, dtype, width))
            found = inside[block.first] = self._operation(block, values, width)
            for pointer in pointers:
                self._store(found, self._at(pointer, SCRATCH, loop[0], block.dtype), block.dtype, width)
        self._next(loop)

    def _targets(self, block: Block) -> list[Register]:
        """Where a loop writes a block."""
        found = []
        if self.layout.stored[block.first : block.first + block.count].any():
            found.append(self._pointer(*self.layout.address(block.first)))
        if block.first in self.layout.sinks:
            result, place = self.layout.sinks[block.first]
            found.append(self.text.new(f"getelementptr i8, ptr %result{result}, i64 {place * block.dtype.itemsize}"))
        return found

    def _prepared(self, operand: Run | Copied, dtype: np.dtype[Any]) -> Register:
        """Pointer to the first element of an operand in memory, after its copies."""
        if isinstance(operand, Run):
            return self._pointer(operand.space, operand.start)
        pointer = self._pointer(SCRATCH, operand.start)
        if operand.start not in self.copied:
            self.copied.add(operand.start)
            for copy in operand.copies:
                self._copy(copy, pointer, dtype)
        return pointer

    def _copy(self, copy: Copy, target: Register, dtype: np.dtype[Any]) -> None:
        """Copy elements to memory of intermediate values, or, without lanes, to a result."""
        source = self._pointer(copy.space, copy.source)
        if copy.places is None and self.lanes == 1:
            self._move(self._after(target, "0", copy.target, dtype), source, copy.count * dtype.itemsize)
            return
        loop = self._for(copy.count, 1)
        origin, place = self._places(copy, loop[0])
        value = self._one(self._at(source, copy.space, origin, dtype), copy.space, dtype)
        self._store(value, self._at(target, SCRATCH, place, dtype), dtype, self.lanes)
        self._next(loop)

    def _places(self, copy: Copy, place: Register) -> list[Register]:
        """Which element to copy, and where to, of the one at a place among those that are copied."""
        if copy.places is None:
            return [place, self.text.new(f"add i64 {place}, {copy.target}")]
        whole = np.dtype(np.int64)
        tables = [self._pointer(TABLE, one) for one in copy.places]
        return [self._load(self._at(table, TABLE, place, whole), whole, 1) for table in tables]

    def _copy_out(self, copy: Copy, number: int, bases: list[Register], dtype: np.dtype[Any]) -> None:
        """Copy elements of all lanes to a result."""
        source = self._pointer(copy.space, copy.source)
        several = self.lanes if copy.places is None and len(bases) > 1 and copy.count >= self.lanes else 1
        loop = self._for(copy.count, several)
        origin, place = self._places(copy, loop[0])
        source = self._at(source, copy.space, origin, dtype)
        values = [self._one(self._at(source, copy.space, str(k), dtype), copy.space, dtype) for k in range(several)]
        self._write(number, bases, place, values, dtype)
        self._next(loop)

    def _move(self, target: Register, source: Register, size: int) -> None:
        """Copy bytes."""
        self.text.declarations.setdefault("memcpy", "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        self.text.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")

    def _one(self, pointer: Register, space: int, dtype: np.dtype[Any]) -> Register:
        """One element in memory, for all lanes."""
        if self.lanes > 1 and space != SCRATCH:
            return self._splat(self._load(pointer, dtype, 1), dtype, self.lanes)
        return self._load(pointer, dtype, self.lanes)

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

    # Arguments and results of several elements

    def _states(self) -> list[tuple[Register, str, Register, int]]:
        """Elements of the state that steps hand over in registers: phi function, its type, first value, last node."""
        found, results, layout = [], np.ravel(self.program.results[0]), self.layout
        for block in self._inputs(0):
            with self._before_steps():
                bases = self._bases(0, self.pointers[0])
                if not self.layout.is_scalar(block):
                    self._fill(block, bases)
                    continue
                first = self._block(block, bases)
            for k, place in enumerate(np.asarray(block.data[1]).tolist()):
                node, after = block.first + k, int(results[place])
                if self.lanes > 1 or layout.is_scalar(layout.block(after)):
                    self.values[node] = f"%state{node}"
                    found.append((self.values[node], vector(word(block.dtype), self.lanes), first[k], after))
            self._fill(block, bases)
        return found

    def _inputs(self, argument: int) -> list[Block]:
        return [block for block in self.program.blocks if block.operation == INPUT and block.data[0] == argument]

    def _fill(self, block: Block, bases: list[Register]) -> None:
        """Write inputs of lanes that loops read to memory, where the values of lanes are neighbours."""
        nodes = slice(block.first, block.first + block.count)
        if self.lanes == 1 or not self.layout.stored[nodes].any():
            return
        number, places, dtype = block.data[0], np.asarray(block.data[1]), block.dtype
        target = self._pointer(*self.layout.address(block.first))
        if self.layout.is_scalar(block):
            if block.first not in self.values:
                self.values.update(enumerate(self._block(block, bases), start=block.first))
            for k in range(block.count):
                self._store(self.values[block.first + k], self._at(target, SCRATCH, str(k), dtype), dtype, self.lanes)
            return
        in_a_row = bool((np.diff(places) == 1).all())
        several, place = self.lanes if in_a_row else 1, ""
        table = -1 if in_a_row else self.layout.constant(places.astype(np.int64))
        loop = self._for(block.count, several)
        if in_a_row:
            place = self.text.new(f"add i64 {loop[0]}, {int(places[0])}")
        else:
            whole = np.dtype(np.int64)
            place = self._load(self._at(self._pointer(TABLE, table), TABLE, loop[0], whole), whole, 1)
        to = self._at(target, SCRATCH, loop[0], dtype)
        for k, value in enumerate(self._read(number, bases, place, several, dtype)):
            self._store(value, self._at(to, SCRATCH, str(k), dtype), dtype, self.lanes)
        self._next(loop)

    def _keep_state(self) -> None:
        """Write the new state of lanes to memory for the loops of the next step."""
        results = np.ravel(self.program.results[0])
        for block in self._inputs(0):
            if self.layout.is_scalar(block) or not self.layout.stored[block.first]:
                continue
            nodes = results[np.asarray(block.data[1])]
            target = self._pointer(*self.layout.address(block.first))
            in_memory_ = np.array([self._is_in_memory(node) for node in nodes.tolist()], dtype=bool)
            moves = any(self.layout.block(node) is block for node in nodes.tolist())
            size = block.count * block.dtype.itemsize * self.lanes
            buffer = self._pointer(SCRATCH, self.layout.scratch(size)) if moves else target
            if in_memory_.any():
                for copy in self.layout.copies(nodes[in_memory_], np.flatnonzero(in_memory_)):
                    self._copy(copy, buffer, block.dtype)
            for place in np.flatnonzero(~in_memory_).tolist():
                to = self._at(buffer, SCRATCH, str(place), block.dtype)
                self._store(self.value(int(nodes[place])), to, block.dtype, self.lanes)
            if moves:
                self._move(target, buffer, size)

    def _store_result(self, result: int) -> None:
        places, nodes = self.layout.loose(result)
        in_memory_ = np.array([self._is_in_memory(node) for node in nodes.tolist()], dtype=bool)
        number, dtype = len(self.program.arguments) + result, self.program.dtypes[result]
        bases = self.bases[number]
        for copy in self.layout.copies(nodes[in_memory_], places[in_memory_]) if in_memory_.any() else []:
            if self.lanes == 1 and copy.places is None:
                self._copy(copy, bases[0], dtype)
            else:
                self._copy_out(copy, number, bases, dtype)
        places, nodes = places[~in_memory_], nodes[~in_memory_]
        for a, b in pairwise([0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]):
            values = [self.value(node) for node in nodes[a:b].tolist()]
            if values:
                first = [self._after(base, "0", int(places[a]), dtype) for base in bases]
                self._write(number, first, "0", values, dtype)

    def _is_in_memory(self, node: int) -> bool:
        """Whether a node is one of many in memory, which results copy in loops."""
        block = self.layout.block(node)
        return (
            not self.layout.is_scalar(block)
            and block.count > 1
            and (block.operation != INPUT or self.layout.spaces[node] >= 0)
        )

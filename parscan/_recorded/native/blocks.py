"""Text of blocks: operations on values in registers, and loops over many elements."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..graph import CONSTANT, GATHER, INPUT, SEARCH_LEFT, SEARCH_RIGHT, Block
from ..program import Program
from .layout import SCRATCH, TABLE, Copied, Copy, Fused, Inside, Run, Same, vector_width
from .memory import Memory
from .text import ADDITIONS, LIMITS, Operand, Register, inverse, limited, literal, of_zeros, root_power, vector, word


class Evaluated(NamedTuple):
    """A block of a loop: where its operands come from, registers with them or pointers to them, and its targets."""

    block: Block
    operands: list[Same | Inside | Run | Copied]
    given: list[Register]
    targets: Sequence[Register] = ()


class Blocks(Memory):
    """
    Operations, one by one and in loops.

    Attributes
    ----------
    values : dict
        Registers of nodes, by their numbers.
    bases : list of lists of registers
        Pointers to the elements of a step: for each argument and each result, one per lane or one for all.
    watched : set
        First nodes of blocks in loops whose values are watched.
    zeros : dict
        Sums of zero times the watched values so far, NaN if one was not finite: by names in the step before, widths of
        these vectors and registers.
    """

    def __init__(self, program: Program, lanes: int, modes: Sequence[str], chain: int = 0) -> None:
        super().__init__(program, lanes, modes, chain)
        self.values: dict[int, Register] = {}
        self.bases: list[list[Register]] = []
        self.tables: dict[tuple[int, str], int] = {}
        self.copied: set[int] = set()
        self.watched: set[int] = set()
        self.zeros: dict[str, tuple[int, Register]] = {}

    def value(self, node: int) -> Register:
        """The value of a node, loaded if it is in memory. To be called only in code that every step runs through."""
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

    def _block(self, block: Block, bases: list[Register]) -> list[Register]:
        """All elements of a small block of inputs."""
        places = np.asarray(block.data[1])
        ends, apart = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), block.count], self._apart(block.data[0])
        found: list[Register] = []
        for a, b in pairwise(ends):
            found += self._read(
                block.data[0],
                [self._after(base, "0", int(places[a]), block.dtype, apart) for base in bases],
                "0",
                b - a,
                block.dtype,
            )
        return found

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
                    return self._limited(block, given, k, dtype, width)
        if block.operation in ("power", "divide") and dtype.kind == "f" and self._are_numbers(block.operands[1]):
            numbers = set(np.ravel(self.layout.values(block.operands[1])).tolist())
            number, write = numbers.pop(), Operand(self.text, dtype, width)
            if block.operation == "power" and not numbers and number in (1.5, 2.5):
                return root_power(write, given[0], number)
            if block.operation == "divide" and not numbers and (factor := inverse(number, dtype)):
                found = write.do("fmul", given[0], write.number(factor))
                self.text.scaled[found] = given[0], factor
                return found
        found = self.text.operation(block.operation, dtype, block.dtype, width, given)
        if block.operation in ADDITIONS and dtype.char == "d" and width == 1:
            if self._are_numbers(block.operands[1]):
                self.text.sums[found] = given[0], given[1], 1.0 if block.operation == "add" else -1.0
            elif block.operation == "add" and self._are_numbers(block.operands[0]):
                self.text.sums[found] = given[1], given[0], 1.0
        return found

    def _limited(self, block: Block, given: list[Register], k: int, dtype: np.dtype[Any], width: int) -> Register:
        """The larger or the smaller one of a value and a limit, which is the operand `k`."""
        zeros = self._of_zeros(block) if k else ""
        write = Operand(self.text, dtype, width)
        if zeros == "others":
            return self.text.operation(block.operation, dtype, block.dtype, width, given)
        found = self._limit(write, block, given[1 - k], given[k])
        return write.llvm("fabs", found) if zeros else found

    def _limit(self, write: Operand, block: Block, x: Register, limit: Register) -> Register:
        """The larger or the smaller one of a value and a limit that is not NaN."""
        return limited(write, block.operation, x, limit)

    def _of_zeros(self, block: Block) -> str:
        """What becomes of zeros: see `of_zeros`; nothing if no value that is limited is -0.0."""
        found = of_zeros(block.operation, self.layout.values(block.operands[1]))
        return "" if found == "absolute" and self._have_plain_zeros(block.operands[0]) else found

    def _have_plain_zeros(self, ids: Any) -> bool:
        """Whether no value is -0.0: of sums of two numbers, only that of zeros is."""
        for block in {block.first: block for block in map(self.layout.block, ids.tolist())}.values():
            if block.operation not in ADDITIONS or not any(
                self._are_numbers(terms) and np.all(self.layout.values(terms)) for terms in block.operands
            ):
                return False
        return True

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
            self.tables[key] = self.layout.constant(np.asarray(block.data, dtype=dtype), block.data)
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
        prepared = self._prepared_loop(part, width)
        loop = self._for(count, 1 if lanes > 1 else width)
        inside: dict[int, Register] = {}
        self._evaluate(prepared, loop[0], width, inside)
        seen = [inside[block.first] for block in part.blocks if block.first in self.watched]
        self._next(loop, [self._watch_loop(seen, self.program.dtypes[0], width)] if seen else [])

    def _prepared_loop(self, part: Fused, width: int) -> list[Evaluated]:
        """What the blocks of a loop need, before it begins."""
        found = []
        for block in part.blocks:
            operands, given = [self.layout.operand(ids, part) for ids in block.operands], []
            for operand, ids in zip(operands, block.operands, strict=True):
                dtype = self.layout.dtype(int(ids[0]))
                if isinstance(operand, Same):
                    value = self.value(operand.node)
                    given.append(self._splat(value, dtype, width) if self.lanes == 1 else value)
                else:
                    given.append("" if isinstance(operand, Inside) else self._prepared(operand, dtype))
            found.append(Evaluated(block, operands, given))
        return [one._replace(targets=self._targets(one.block)) for one in found]

    def _evaluate(self, prepared: list[Evaluated], place: Register, width: int, inside: dict[int, Register]) -> None:
        """Evaluate blocks at a place, `width` elements; values of blocks are found, and entered, in `inside`."""
        for block, operands, given, pointers in prepared:
            values = []
            for operand, register, ids in zip(operands, given, block.operands, strict=True):
                if isinstance(operand, Same):
                    values.append(register)
                elif isinstance(operand, Inside):
                    values.append(inside[operand.first])
                else:
                    space, dtype = (
                        operand.space if isinstance(operand, Run) else SCRATCH,
                        self.layout.dtype(int(ids[0])),
                    )
                    at = self._at(register, space, place, dtype)
                    values.append(self._one(at, space, dtype) if self.lanes > 1 else self._load(at, dtype, width))
            found = inside[block.first] = self._operation(block, values, width)
            for pointer in pointers:
                self._store(found, self._at(pointer, SCRATCH, place, block.dtype), block.dtype, width)

    def _watch_loop(self, values: list[Register], dtype: np.dtype[Any], width: int) -> tuple[Register, str, str, str]:
        """Add zero times values in a loop to a sum, which the loop carries."""
        kind, name, inside = vector(word(dtype), width), f"%zeros{len(self.zeros)}", f"%{self.text.name('zero')}"
        total = self._with_zeros(inside, values, dtype, width)
        self.zeros[name] = (width, total)
        return inside, kind, name, total

    def _with_zeros(self, total: Register, values: list[Register], dtype: np.dtype[Any], width: int) -> Register:
        kind, none = vector(word(dtype), width), literal(0.0, dtype, width)
        for value in values:
            zero = self.text.new(f"fmul contract {kind} {value}, {none}")
            total = self.text.new(f"fadd contract {kind} {total}, {zero}")
        return total

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
        """Copy elements to the memory of intermediate values or, without lanes, to a result."""
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
        """For the element at a place among those that are copied: from which element, and to which."""
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

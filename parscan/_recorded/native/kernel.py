"""Machine code's text: steps of a recurrence, or a program evaluated for many arguments, one or several at a time."""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from operator import attrgetter
from typing import Any, cast

import numpy as np

from ..graph import CONSTANT, INPUT, Block, distinct
from ..program import Program
from . import elementary, libm, scalar  # noqa: F401 - two of them enter their functions
from .branches import Branch, Branches, Item, latency
from .carried import Carried, carried
from .handed import Handed
from .in_a_row import in_a_row, is_short
from .layout import (
    SCRATCH,
    TABLE,
    Fused,
    Multiplied,
    Scalars,
    aligned,
)
from .memory import APART, STRIDED
from .plain_numbers import is_plain, plain_numbers
from .same_text import structure
from .text import CALLED, LIMITS, Operand, Register, literal, vector, word

NAME = "parscan_kernel"
"""Name of the function."""

JUMPS = '"parscan_jumps"'
"""Attribute of a function whose text leaves it to LLVM to pass over conditions that are known by the way to them."""

SUMS = 4
"""Sums that are added to beside each other: each addition waits for the one before."""

LONG = 40
"""Cycles of a step from which on it branches at limits, too: shorter ones are begun long before they are due anyway."""

BESIDE = {"ogt": "ule", "olt": "uge"}
"""Orders that hold where others do not, also of NaN."""

PACKED = {name: name for name in CALLED} | {"expit": "exp", "logaddexp": "exp"}
"""Operations that call a function of the C library, whose name is given: on vectors, if the library has it for them."""


Sums = tuple[tuple[tuple[int, int], tuple[int, int]], ...]
"""
Of a program with the results (state, left, right, alone): ranges of `left` and `right` whose products, each with each,
are added up, after the terms `alone`.
"""

EARLY = 8
"""Steps before which rows are asked for."""

FEW_CALLS = 4
"""Of functions, in steps that wait for each other, up to which they are written out: it takes LLVM 2 ms for each."""


@dataclass(frozen=True)
class Kernel:
    """
    Text of a function and what it needs.

    The function is `void (table, scratch, arrays, steps)`. The integers `arrays` are, for each argument and each
    result, its address, the bytes from a step to the next, and the bytes from a lane to the next. If states are
    watched, one more integer becomes 1 if all of them were found to be finite, and is not 1 otherwise.

    Attributes
    ----------
    text : str
        In LLVM's language.
    external : dict
        Addresses of functions that it calls, by name.
    table : array of bytes
        Constants. The text does not depend on them, apart from exponents, divisors that are powers of two, and limits
        that are NaN.
    scratch : int
        Bytes of memory that it works in.
    """

    text: str
    external: dict[str, int]
    table: Any
    scratch: int
    sources: tuple[Any, ...] = ()
    """Places in the table, the dtypes there, and the nodes or the block of the program with these constants."""
    forks: int = 0
    """Branches in a step."""

    def of(self, program: Program) -> Kernel:
        """The kernel of a program that has the same structure and other constants."""
        table = aligned(self.table.shape[0])
        table[...] = self.table
        fill(table, self.sources, program)
        return replace(self, table=table)


def fill(table: Any, sources: tuple[Any, ...], program: Program) -> None:
    """Write the constants of a program to a table; see `Kernel.sources`."""
    values = dict[str, Any]()
    for start, dtype, source in sources:
        if isinstance(source, int):
            found = np.ascontiguousarray(program.blocks[source].data, dtype=dtype)
        else:
            if dtype.char not in values:
                values[dtype.char] = _constants(program, dtype)
            found = values[dtype.char][source]
        table[start : start + found.nbytes] = found.reshape(-1).view(np.uint8)


def calls(program: Program) -> int:
    """Number of calls of functions of the C library."""
    return sum(block.count for block in program.blocks if block.operation in PACKED)


def _constants(program: Program, dtype: Any) -> Any:
    """Values of the constants of a dtype, by their nodes."""
    found = np.zeros(program.size, dtype=dtype)
    for block in program.blocks:
        if block.operation == CONSTANT and block.dtype == dtype:
            found[block.first : block.first + block.count] = block.data
    return found


KEPT, LARGEST = 64, 1 << 20
"""Number of kernels that are kept for programs of the same structure, and bytes of a table that is kept."""

_lock = threading.Lock()
_kept: OrderedDict[Any, Kernel] = OrderedDict()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def kernel(
    program: Program, *, chain: int, lanes: int = 1, modes: Sequence[str] = (), fixed: Sequence[int] = (),
    watched: bool = False, branches: bool = True, sums: Sums | None = None,
) -> Kernel:  # fmt: skip
    """
    Write the code of a program.

    Parameters
    ----------
    program : Program
    chain : int
        Number of the first results that are the first arguments of the next step; the distances of these arguments from
        step to step are not used. The first result is written after every step, the others of them after the last step
        only. Several need several lanes.
    lanes : int
        Independent sequences, or calls, at a time.
    modes : sequence of str
        With lanes, how each argument and each result lies in memory.
    fixed : sequence of int
        With lanes, arguments that are the same in all steps: few elements are read before the steps.
    watched : bool
        Whether to find out if the states of all steps are finite.
    branches : bool
        Whether to branch where that pays if branches are predicted well.
    sums : Sums, optional
        With lanes and a state of one array, results that are added up over the steps: they are three, and all sums are
        where the first of them would be.
    """
    plain = plain_numbers(program) if chain == lanes == 1 and branches else ()
    key = structure(program), plain, chain, lanes, tuple(modes), tuple(fixed), watched, branches, sums
    with _lock:
        known = _kept.get(key)
        if known is not None:
            _kept.move_to_end(key)
    if known is not None:
        return known.of(program)
    known = _written(program, chain, lanes, modes, fixed, watched, branches, sums)
    if known.table.nbytes > LARGEST:
        return known
    with _lock:
        _kept[key] = known
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return known


def _written(
    program: Program, chain: int, lanes: int, modes: Sequence[str], fixed: Sequence[int], watched: bool, branches: bool,
    sums: Sums | None,
) -> Kernel:  # fmt: skip
    """The code of a program, written anew."""
    found = carried(program) if chain == 1 and sums is None else None
    if found:
        writer = Writer(found.program, chain, lanes, modes, fixed, watched, found, original=program, branches=branches)
        if not writer.layout.loops and all(isinstance(part, Scalars) for part in writer.layout.parts):
            return writer.kernel()
    return Writer(program, chain, lanes, modes, fixed, watched, branches=branches, sums=sums).kernel()


class Writer(Handed):
    """Writes the steps of a program."""

    def __init__(
        self, program: Program, chain: int, lanes: int, modes: Sequence[str], fixed: Sequence[int], watched: bool,
        carried: Carried | None = None, original: Program | None = None, branches: bool = True,
        sums: Sums | None = None,
    ) -> None:  # fmt: skip
        super().__init__(program, lanes, modes, chain)
        self.original = original or program
        self.chain, self.fixed, self.carried, self.is_watched = chain, fixed, carried, watched
        self.sums = sums
        self.turns = "%time" if chain and lanes == 1 else ""
        self.is_literal = bool(plain_numbers(self.original)) and chain == 1 and lanes == 1 and branches
        """Whether numbers as 0 and 1 stand in the text."""
        self.text.waits = chain > 0 and lanes == 1 and calls(program) <= FEW_CALLS
        self.handed: dict[int, Register] = {}
        self.following = set(np.ravel(program.results[0]).tolist()) if chain == 1 and lanes == 1 else set()
        self.forks = 0
        """Branches in the code of a step."""
        self.doubled: set[int] = set()
        """Nodes whose registers have twice their values."""
        self.branches: Branches | None = None
        if branches and chain and lanes == 1 and any(block.operation == "where" for block in program.blocks):
            following = carried.following if carried else {}
            kept = {*np.flatnonzero(self.layout.stored).tolist(), *following.values()}
            self.branches = Branches(self.program, kept, set(following))
        self.is_long = self.branches is not None and latency(self.original) >= LONG
        self.phis: list[tuple[Register, str, str, str]] = []
        """Values that a step takes from the one before: name, type, first value, following value."""
        self.pointers: list[Register] = []
        self.steps: list[Register] = []
        self.again = ""
        """The block in which a step ends."""

    def kernel(self) -> Kernel:
        text = self.text
        text.label = "step"
        self._load_arrays()
        count = len(self.program.arguments)
        self.bases = [
            [] if self._is_last(k - count) else self._bases(k, self._name(k)) for k in range(len(self.pointers))
        ]
        """Pointers to the elements of a step."""
        feedback = [one for argument in range(self.chain) for one in self._states(argument)]
        if self.carried:
            feedback += self._handed_over(self.carried, feedback)
        for argument in range(self.chain, count):
            for block in self._inputs(argument):
                if argument in self.fixed:
                    self._read_once(block)
                else:
                    self._fill(block, self.bases[argument])
        if self.sums is not None:
            self._fetch_early()
        nodes = self._watched()
        self._parts()
        for number in range(len(self.program.results)):
            if not self._is_last(number) and (self.sums is None or not number):
                self._store_result(number)
        if self.sums is not None:
            self._add_up(self.sums)
        for phi, kind, first, node in feedback:
            self.phis.append((phi, kind, first, self._handed(node)))
        self._watch(nodes)
        self._advance()
        steps, is_copied = self._steps()
        lines = [
            *text.declarations.values(),
            f"define void @{NAME}(ptr noalias readonly %table, ptr noalias %scratch, ptr %arrays, i64 %steps) "
            f"nounwind {f'{JUMPS} ' if is_copied else ''}{{",
            "entry:",
            *self.entry,
            *steps,
            "  ret void",
            "}",
        ]
        return Kernel(
            "\n".join(lines) + "\n", text.external, self.layout.the_table(), self.layout.scratch_bytes, self._sources(),
            self.forks,
        )  # fmt: skip

    def _steps(self) -> tuple[list[str], bool]:
        """
        Lines of all steps, and of what follows them; True: several in a row, where that pays.

        No value of a step is needed after the last one then.
        """
        end = self.text.lines.index("exit:")
        lines, rest = self.text.lines[:end], self.text.lines[end:]
        if self.following and not self.zeros and is_short(lines, self.forks):
            return [*in_a_row(lines, self.phis, self.again, self.entry_label), *rest], True
        phis = [
            f"  {name} = phi {kind} [ {first}, %{self.entry_label} ], [ {following}, %{self.again} ]"
            for name, kind, first, following in self.phis
        ]
        return ["  br label %step", "step:", *phis, *lines, *rest], False

    def _constant(self, node: int, dtype: np.dtype[Any]) -> Register:
        if self.is_literal and dtype.kind == "f":
            value = self.layout.values(np.array([node]))[0]
            if is_plain(value):
                return literal(value, dtype)
        return super()._constant(node, dtype)

    def _limit(self, write: Operand, block: Block, x: Register, limit: Register) -> Register:
        """In long steps that branch, the next one does not wait for a comparison with a limit that is rarely met."""
        order, keeps_nan = LIMITS[block.operation]
        if not self.forks or not self.is_long or self.branches is None or not self.branches.depends(block):
            return super()._limit(write, block, x, limit)
        inside = write.compare(BESIDE[order], limit, x) if keeps_nan else write.compare(order, x, limit)
        return scalar.either(write, inside, lambda: x, lambda: limit, likely=True)

    def _parts(self) -> None:
        """All operations."""
        for part in self.layout.parts:
            if isinstance(part, Scalars):
                self._scalars(part)
            elif isinstance(part, Multiplied):
                self._product(part)
            elif part.after is None:
                self._loop(part)

    def _sources(self) -> tuple[Any, ...]:
        """Where the constants of the table come from: see `Kernel`."""
        numbers = {id(block.data): k for k, block in enumerate(self.original.blocks) if block.data is not None}
        return tuple(
            (start, values.dtype, numbers.get(id(source), source))
            for start, values, source in self.layout.table
            if source is not None
        )

    def _load_arrays(self) -> None:
        """Load addresses and distances of arguments and results."""
        count = len(self.program.arguments)
        for k in range(count + len(self.program.results)):
            first, step, lane = (self._first(f"load {kind}, ptr {self._array(3 * k + j)}")
                                 for j, kind in enumerate(("ptr", "i64", "i64")))  # fmt: skip
            self.pointers.append(first)
            self.steps.append(step)
            offsets = [self._first(f"mul i64 {lane}, {j}") for j in range(self.lanes)]
            self.lane_offsets.append(offsets if self.lanes > 1 and self.modes[k] in APART else [])

    def _array(self, place: int) -> Register:
        return self._first(f"getelementptr i64, ptr %arrays, i64 {place}")

    def _name(self, k: int) -> Register:
        """Pointer to the first element, at a step, of argument `k`; numbers of results follow those of arguments."""
        count = len(self.program.arguments)
        return f"%argument{k}" if k < count else f"%result{k - count}"

    def _is_last(self, result: int) -> bool:
        """Whether a result is written after the last step only."""
        return 0 < result < self.chain

    def _advance(self) -> None:
        """Go on to the next step, or write the last results."""
        count, text = len(self.program.arguments), self.text
        last = [number for number in range(len(self.program.results)) if self._is_last(number)]
        for node in (one for number in last for one in np.ravel(self.program.results[number]).tolist()):
            if not self._is_in_memory(node):
                self.value(node)  # here, so that it is known in the next step and behind the last
        for k, first in enumerate(self.pointers):
            following = name = self._name(k)
            if k == 0 and self.chain:
                following = "%result0"
            elif k >= self.chain and not self._is_last(k - count):
                following = text.new(f"getelementptr i8, ptr {name}, i64 {self.steps[k]}")
            self.phis.append((name, "ptr", first, following))
        after = text.new("add i64 %time, 1")
        self.phis.append(("%time", "i64", "0", after))
        more = text.new(f"icmp ult i64 {after}, %steps")
        moves = self.lanes > 1 and self.chain > 0
        text.do(f"br i1 {more}, label %{'again' if moves else 'step'}, label %exit")
        self.again = text.label
        if moves:
            text.begin("again")
            self._keep_states()
            self.again = text.label
            text.do("br label %step")
        text.begin("exit")
        for number in last:
            self.bases[count + number] = self._bases(count + number, self._name(count + number))
            self._store_result(number)
        if self.zeros:
            self._store_verdict()

    def _watched(self) -> list[int]:
        """Nodes of the new state in registers, if it is watched; those in loops are entered into `watched`."""
        nodes, dtype = distinct(self.program.results[0]), self.program.dtypes[0]
        if not self.is_watched or dtype.kind != "f":
            return []
        kept = [node for node in nodes if not self._is_in_memory(node)]
        loops = {block.first for part in self.layout.parts if isinstance(part, Fused) for block in part.blocks}
        firsts = {self.layout.block(node).first for node in {*nodes} - {*kept}}
        if not firsts <= loops:
            return []
        self.watched = firsts
        return kept

    def _watch(self, nodes: list[int]) -> None:
        """Add zero times values in registers to sums."""
        dtype = self.program.dtypes[0]
        for some in (nodes[k::SUMS] for k in range(min(len(nodes), SUMS))):
            name = f"%zeros{len(self.zeros)}"
            self.zeros[name] = self.lanes, self._with_zeros(name, list(map(self.value, some)), dtype, self.lanes)
        for name, (width, total) in self.zeros.items():
            self.phis.append((name, vector(word(dtype), width), literal(0.0, dtype, width), total))

    def _store_verdict(self) -> None:
        """Store whether all states were finite."""
        text, dtype, found = self.text, self.program.dtypes[0], list[Register]()
        for width, total in self.zeros.values():
            is_bad = text.new(f"fcmp uno {vector(word(dtype), width)} {total}, {total}")
            if width > 1:
                is_bad = text.call(f"llvm.vector.reduce.or.v{width}i1", "i1", [(vector("i1", width), is_bad)])
            found.append(is_bad if not found else text.new(f"or i1 {found[-1]}, {is_bad}"))
        verdict = text.new(f"select i1 {found[-1]}, i64 0, i64 1")
        place = 3 * (len(self.program.arguments) + len(self.program.results))
        text.do(f"store i64 {verdict}, ptr {text.new(f'getelementptr i64, ptr %arrays, i64 {place}')}")

    def _scalars(self, part: Scalars) -> None:
        """Blocks in registers; independent calls of one function are evaluated several at a time."""
        levels = [0] * self.program.size
        """For each node, the largest number of calls on a way from the arguments to it."""
        items: list[Item] = []
        for block in part.blocks:
            packed = block.operation in PACKED and self.lanes == 1 and block.dtype.kind == "f"
            columns = [ids.tolist() for ids in block.operands]
            for node, operands in enumerate(zip(*columns, strict=True), start=block.first):
                if self.carried and (node not in self.carried.needed or node in self.carried.following):
                    continue
                level = levels[node] = max([levels[one] for one in operands]) + packed
                items.append(Item(node, block, operands, level, packed))
        items.sort(key=attrgetter("level", "single", "node"))
        self._items(items)

    def _items(self, items: list[Item]) -> None:
        entries = items if self.branches is None else self.branches.found(items)
        at = 0
        while at < len(entries):
            item = entries[at]
            if isinstance(item, Branch):
                self._branch(item)
            elif item.single and (twice := next((one for one in item.operands if one in self.doubled), None)):
                self._define(item.node, self.value(twice), item.block)
            elif item.single:
                given = [self.value(one) for one in item.operands]
                self._define(item.node, self._operation(item.block, given, self.lanes), item.block)
            else:
                some = cast("list[Item]", list(takewhile(item.is_beside, entries[at:])))
                self._calls(some)
                at += len(some) - 1
            at += 1

    def _branch(self, branch: Branch) -> None:
        """Evaluate the values that a condition chooses, and only these."""
        text = self.text
        self.forks += 1
        inside = branch.nodes
        for item in branch.items:
            for node in item.operands:
                if node not in inside:
                    self.value(node)  # loaded here, so that later items find it
        labels, done = [text.name("then"), text.name("else")], text.name("done")
        text.do(f"br i1 {self.value(branch.condition)}, label %{labels[0]}, label %{labels[1]}")
        ends: list[list[tuple[Register, Register]]] = []
        """For each arm, what is stored and what is handed over."""
        for number, label in enumerate(labels):
            text.begin(label)
            before = dict(self.handed)
            self._items(branch.arms[number])
            ends.append([self._end(item.operands[number + 1], item.node) for item in branch.wheres])
            self.handed = before
            labels[number] = text.label
            text.do(f"br label %{done}")
        text.begin(done)
        found = [self._met(word(item.block.dtype), labels, *pairs)
                 for item, *pairs in zip(branch.wheres, *ends, strict=True)]  # fmt: skip
        for item, (value, handed) in zip(branch.wheres, found, strict=True):
            self.handed[item.node] = handed
            self._define(item.node, value, item.block)

    def _end(self, node: int, where: int) -> tuple[Register, Register]:
        """What is stored and what is handed over if a `where` has the value of a node."""
        value = self.value(node)
        return value, self._handed(node) if where in self.following else value

    def _met(
        self, kind: str, labels: list[str], one: tuple[Register, Register], other: tuple[Register, Register]
    ) -> list[Register]:
        """What is stored and what is handed over after a branch."""
        pairs = list(zip(one, other, strict=True))
        made = {pair: self.text.new(f"phi {kind} [ {pair[0]}, %{labels[0]} ], [ {pair[1]}, %{labels[1]} ]")
                for pair in dict.fromkeys(pairs)}  # fmt: skip
        return [made[pair] for pair in pairs]

    def _calls(self, items: list[Item]) -> None:
        """Calls of functions, none of which needs the result of another."""
        alike: dict[tuple[str, str], list[Item]] = defaultdict(list)
        for item in items:
            alike[item.block.operation, item.block.dtype.char].append(item)
        for (name, _), some in alike.items():
            at = 0
            while at < len(some):
                block = some[at].block
                width = self._pack(PACKED[name], block.dtype, len(some) - at, len(some[at].operands))
                now = some[at : at + width]
                at += width
                given = []
                for nodes in zip(*(item.operands for item in now), strict=True):
                    column = [self.value(node) for node in nodes]
                    given.append(self.text.joined(column + column[-1:] * (width - len(now)), word(block.dtype)))
                if width == 1 and self._is_doubled(now[0]):
                    self.doubled.add(now[0].node)
                    found = scalar.twice_exp(Operand(self.text, block.dtype, 1), given[0])
                else:
                    found = self._operation(block, given, width)
                for k, item in enumerate(now):
                    kind = vector(word(block.dtype), width)
                    self._define(item.node, self.text.element(found, kind, k) if width > 1 else found, block)

    def _is_doubled(self, item: Item) -> bool:
        """Whether an exponential function is written out and all that is done with it is to double it."""
        if item.block.operation != "exp" or item.block.dtype.char != "d" or not (self.text.waits and libm.has_fma()):
            return False
        if self.branches is None or not self.is_literal:
            return False
        users = self.branches.users(item.node)
        products = [node for node in users if self.layout.block(node).operation == "multiply"]
        others = [next((one for one in self._operands(node, self.layout.block(node)) if one != item.node), -1)
                  for node in products]  # fmt: skip
        numbers = [self.layout.block(one).data[one - self.layout.block(one).first]
                   for one in others if one >= 0 and self.layout.block(one).operation == CONSTANT]  # fmt: skip
        return len(numbers) == len(users) > 0 and set(numbers) == {2.0}

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

    def _states(self, argument: int) -> list[tuple[Register, str, Register, int]]:
        """Elements of a state that steps hand over in registers: phi function, its type, first value, last node."""
        found, results, layout = [], np.ravel(self.program.results[argument]), self.layout
        for block in self._inputs(argument):
            in_registers = layout.is_scalar(block) or (self.lanes > 1 and not layout.stored[block.first])
            with self._before_steps():
                bases = self._bases(argument, self.pointers[argument])
                if not in_registers:
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

    def _handed_over(
        self, carried: Carried, states: list[tuple[Register, str, Register, int]]
    ) -> list[tuple[Register, str, Register, int]]:
        """Values that steps hand over besides the state, as `_states` returns them."""
        firsts = {phi: first for phi, _, first, _ in states}
        values = {node: firsts.get(value, value) for node, value in self.values.items()}
        with self._before_steps():
            for node in carried.first:
                block = self.layout.block(node)
                operands = [int(ids[node - block.first]) for ids in map(np.ravel, block.operands)]
                given = [values[one] if one in values else self.value(one) for one in operands]
                values[node] = self._operation(block, given, self.lanes)
        found = []
        for node, after in carried.following.items():
            self.values[node] = f"%carried{node}"
            kind = vector(word(self.layout.dtype(node)), self.lanes)
            found.append((self.values[node], kind, values[node], after))
        return found

    def _inputs(self, argument: int) -> list[Block]:
        return [block for block in self.program.blocks if block.operation == INPUT and block.data[0] == argument]

    def _read_once(self, block: Block) -> None:
        """Read inputs that are the same in all steps."""
        with self._before_steps():
            bases = self._bases(block.data[0], self.pointers[block.data[0]])
            if self.layout.is_scalar(block):
                self.values.update(enumerate(self._block(block, bases), start=block.first))
            self._fill(block, bases)

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
        several, place = min(self.lanes, 1 << (block.count.bit_length() - 1)) if in_a_row else 1, ""
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

    def _keep_states(self) -> None:
        """Write new states of lanes to memory for the loops of the next step."""
        kept = [(argument, block) for argument in range(self.chain) for block in self._inputs(argument)
                if not self.layout.is_scalar(block) and self.layout.stored[block.first]]  # fmt: skip
        results = np.concatenate([np.ravel(self.program.results[k]) for k in range(self.chain)])
        read = {self.layout.block(node).first for node in results.tolist()}
        moves = []
        for argument, block in kept:
            nodes = np.ravel(self.program.results[argument])[np.asarray(block.data[1])]
            if self.layout.heirs.get(int(nodes[0])) == block.first:
                continue
            target = self._pointer(*self.layout.address(block.first))
            in_memory_ = np.array([self._is_in_memory(node) for node in nodes.tolist()], dtype=bool)
            size = block.count * block.dtype.itemsize * self.lanes
            buffer = target
            if block.first in read:
                buffer = self._pointer(SCRATCH, self.layout.scratch(size))
                moves.append((target, buffer, size))
            if in_memory_.any():
                for copy in self.layout.copies(nodes[in_memory_], np.flatnonzero(in_memory_)):
                    self._copy(copy, buffer, block.dtype)
            for place in np.flatnonzero(~in_memory_).tolist():
                to = self._at(buffer, SCRATCH, str(place), block.dtype)
                self._store(self.value(int(nodes[place])), to, block.dtype, self.lanes)
        for move in moves:
            self._move(*move)

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
                first = [self._after(base, "0", int(places[a]), dtype, self._apart(number)) for base in bases]
                self._write(number, first, "0", values, dtype)

    def _fetch_early(self) -> None:
        """Ask for rows of later steps: processors do so unasked for some streams of memory, not for one per lane."""
        text = self.text
        text.declarations.setdefault("prefetch", "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        for number in range(len(self.program.arguments)):
            if self.modes[number] == STRIDED:
                ahead = self._first(f"mul i64 {self.steps[number]}, {EARLY}")
                for base in self.bases[number]:
                    place = text.new(f"getelementptr i8, ptr {base}, i64 {ahead}")
                    text.do(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")

    def _add_up(self, sums: Sums) -> None:
        """Add terms to sums in memory: single ones, then products of all of some values with all of others."""
        number, dtype, lanes = len(self.program.arguments) + 1, self.program.dtypes[1], self.lanes
        kind, places = vector(word(dtype), lanes), itertools.count()
        left, right, alone = (np.ravel(ids).tolist() for ids in self.program.results[1:])

        def add(term: Register) -> None:
            pointer = self._after(self.bases[number][0], "0", next(places), dtype, lanes)
            self._store(self.text.term("add", kind, self._load(pointer, dtype, lanes), term), pointer, dtype, lanes)

        for node in alone:
            add(self.value(node))
        for (a, b), (c, d) in sums:
            for one in left[a:b]:
                for other in right[c:d]:
                    add(self.text.term("multiply", kind, self.value(one), self.value(other)))

    def _is_in_memory(self, node: int) -> bool:
        """Whether a node is one of many in memory, which results copy in loops."""
        block = self.layout.block(node)
        return (
            not self.layout.is_scalar(block)
            and block.count > 1
            and (block.operation != INPUT or self.layout.spaces[node] >= 0)
        )

"""
Steps that replace a state by a value that does not depend on it, or keep it: a latch, a switch with hysteresis.

Which of both, and by what, is known of eight steps at a time. A step that keeps the state has the value of the last one
that did not: a table has the places of these steps, for each set of steps that keep it. It takes a processor that
permutes vectors by computed places. Passes that look at twice as many steps each (W. D. Hillis, G. L. Steele, "Data
parallel algorithms", Communications of the ACM 29, 1986), for other processors, took as long as single steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT
from ..program import Program
from . import libm
from .branches import MOST
from .kernel import NAME, Kernel, Writer
from .layout import UNROLLED, Scalars, address, aligned, is_small
from .memory import ADJACENT, UNIT
from .text import TRUTH, Register, literal, vector, word

LANES = 8
"""Steps at a time."""

PERMUTATIONS = {"d": ("llvm.x86.avx512.vpermi2var.pd.512", "i64"), "f": ("llvm.x86.avx512.vpermi2var.ps.256", "i32")}
"""Operations that choose numbers of two vectors by their places in both, and types of places, by types of numbers."""


def _last_changes() -> Any:
    """For each set of steps that keep the state, the last step up to each that does not; at the end, the one before."""
    stays = (np.arange(1 << LANES)[:, None] >> np.arange(LANES)) & 1
    places = np.where(stays, -1, np.arange(LANES))
    last = np.maximum.accumulate(places, axis=1)
    return np.where(last < 0, 2 * LANES - 1, last).astype(np.uint8)


LAST, LAST_CHANGES = _last_changes(), "parscan_last_changes"
"""That, and its name in code."""


def has_permutations() -> bool:
    """Whether the processor has them."""
    features = libm.features()
    return features.get("avx512f", False) and features.get("avx512vl", False)


@dataclass(frozen=True)
class Held:
    """
    How steps replace their state or keep it.

    Attributes
    ----------
    choices : dict
        Nodes that may have the value of a number of the state, in order: the condition and the values of a `where`.
    following : dict
        Nodes of the state that may be kept, by those of the new state.
    """

    choices: dict[int, tuple[int, ...]]
    following: dict[int, int]


def how_held(program: Program) -> Held | None:
    """How each number of the state is kept or replaced, by conditions that do not depend on the state; None if not."""
    few = all(is_small(block) or (block.operation == CONSTANT and block.count <= UNROLLED) for block in program.blocks)
    dtype = program.dtypes[0]
    if not few or program.size > MOST or dtype.char not in PERMUTATIONS or program.arguments[0].dtype != dtype:
        return None
    depends, old, choices = np.zeros(program.size, dtype=bool), dict[int, int](), dict[int, tuple[int, ...]]()
    keeps: dict[int, int] = {}
    """Of nodes that are kept or replaced: which number of the state they are if it is kept."""
    for block in program.blocks:
        nodes = range(block.first, block.first + block.count)
        if block.operation == INPUT and block.data[0] == 0:
            depends[nodes.start : nodes.stop] = True
            old |= zip(np.asarray(block.data[1]).tolist(), nodes, strict=True)
            keeps |= {node: place for place, node in old.items()}
        columns = [np.ravel(ids) for ids in block.operands]
        for ids in columns:
            depends[nodes.start : nodes.stop] |= depends[ids]
        if block.operation == "where":
            for node, operands in zip(nodes, zip(*(ids.tolist() for ids in columns), strict=True), strict=True):
                kept = {keeps.get(one, -1) for one in operands[1:] if depends[one]}
                if not depends[operands[0]] and len(kept) == 1 and -1 not in kept:
                    choices[node], keeps[node] = operands, kept.pop()
    after = {place: node for place, node in enumerate(np.ravel(program.results[0]).tolist()) if depends[node]}
    if not after or any(keeps.get(node) != place for place, node in after.items()):
        return None
    return Held(choices, {node: old[place] for place, node in after.items()})


class HeldWriter(Writer):
    """Writes several steps at a time of a program."""

    def __init__(self, program: Program) -> None:
        sizes = [int(np.prod(one.shape)) for one in program.arguments] + [ids.size for ids in program.results]
        super().__init__(program, 0, LANES, [UNIT if size == 1 else ADJACENT for size in sizes], (), watched=False)
        found = how_held(self.program)
        assert found is not None, program
        self.held = found

    def _parts(self) -> None:
        """All operations that do not depend on the state, then the states."""
        for old in self.held.following.values():
            self.values[old] = literal(0.0, self.program.dtypes[0], self.lanes)  # it is chosen nowhere
        super()._parts()
        stays = self._stays()
        for new, old in self.held.following.items():
            self.values[new] = self._filled(old, self.value(new), stays[new])

    def _stays(self) -> dict[int, Register]:
        """For nodes that may have the value of a number of the state: in which steps they have it."""
        truths, (none, every) = vector("i1", self.lanes), (literal(one, TRUTH, self.lanes) for one in (False, True))
        found = dict.fromkeys(self.held.following.values(), every)
        for node, (condition, *values) in self.held.choices.items():
            one, other = (found.get(value, none) for value in values)
            found[node] = self.text.select(self.value(condition), one, other, truths, self.lanes)
        return found

    def _filled(self, old: int, values: Register, stays: Register) -> Register:
        """New values of a number of the state, of those by which it is replaced."""
        text, dtype, block = self.text, self.program.dtypes[0], self.layout.block(old)
        name, kind, (choose, place) = f"%held{old}", vector(word(dtype), LANES), PERMUTATIONS[dtype.char]
        with self._before_steps():
            start = self._after(self.pointers[0], "0", int(np.asarray(block.data[1])[old - block.first]), dtype)
            first = text.splat(self._load(start, dtype, 1), word(dtype), LANES)
        text.external[LAST_CHANGES] = address(LAST)
        text.declarations[LAST_CHANGES] = f"@{LAST_CHANGES} = external constant [{len(LAST)} x [{LANES} x i8]]"
        row = text.new(f"zext i{LANES} {text.new(f'bitcast <{LANES} x i1> {stays} to i{LANES}')} to i64")
        row = text.new(f"getelementptr [{LANES} x i8], ptr @{LAST_CHANGES}, i64 {row}")
        places = text.new(f"load <{LANES} x i8>, ptr {row}, align 1")
        places = text.new(f"zext <{LANES} x i8> {places} to <{LANES} x {place}>")
        after = text.call(choose, kind, [(kind, values), (f"<{LANES} x {place}>", places), (kind, name)])
        self.phis.append((name, kind, first, after))
        return after


def held(program: Program, single: Kernel) -> Kernel | None:
    """
    A kernel for contiguous arrays that evaluates several steps at a time, and the last ones by another kernel.

    None if there is none, or none that pays.
    """
    if not has_permutations() or how_held(program) is None:
        return None
    writer = HeldWriter(program)
    if writer.layout.loops or not all(isinstance(part, Scalars) for part in writer.layout.parts):
        return None
    several, count = writer.kernel(), len(program.arguments) + len(program.results)
    start = -(-several.table.shape[0] // 64) * 64
    table = aligned(start + single.table.shape[0])
    table[: several.table.shape[0]] = several.table
    table[start:] = single.table
    heads, bodies = zip(*(one.text.split(f"define void @{NAME}(") for one in (several, single)), strict=True)
    declared = dict.fromkeys(line for head in heads for line in head.splitlines())
    texts = [f"define internal void @{name}({body}" for name, body in zip(("several", "single"), bodies, strict=True)]
    text = "\n".join([*declared, *texts, _both(count, start)])
    return Kernel(text, several.external | single.external, table, max(several.scratch, single.scratch))


def _both(count: int, start: int) -> str:
    """
    A function that calls both kernels, whose tables lie behind each other, with `count` arrays.

    The first array is the state, the last one takes the new states.
    """
    lines = [
        f"define void @{NAME}(ptr %table, ptr %scratch, ptr %arrays, i64 %steps) nounwind {{",
        "entry:",
        f"  %rest = and i64 %steps, {LANES - 1}",
        "  %done = sub i64 %steps, %rest",
        f"  %times = udiv i64 %done, {LANES}",
        f"  %places = alloca [{3 * count} x i64]",
    ]
    for k in range(count):
        for j, name in enumerate(("place", "step")):
            lines += [
                f"  %{name}{k}_ = getelementptr i64, ptr %arrays, i64 {3 * k + j}",
                f"  %{name}{k} = load i64, ptr %{name}{k}_",
                f"  %{name}{k}_to = getelementptr i64, ptr %places, i64 {3 * k + j}",
            ]
        lines += [
            f"  %lane{k}_to = getelementptr i64, ptr %places, i64 {3 * k + 2}",
            f"  %wide{k} = mul i64 %step{k}, {LANES}",
            f"  %distance{k} = mul i64 %step{k}, %done",
            f"  %after{k} = add i64 %place{k}, %distance{k}",
            f"  store i64 %place{k}, ptr %place{k}_to",
            f"  store i64 %wide{k}, ptr %step{k}_to",
            f"  store i64 %step{k}, ptr %lane{k}_to",
        ]
    last = count - 1
    lines += [
        "  %some = icmp ne i64 %times, 0",
        "  br i1 %some, label %many, label %few",
        "many:",
        "  call void @several(ptr %table, ptr %scratch, ptr %places, i64 %times)",
        f"  %state = sub i64 %after{last}, %step{last}",
        "  br label %few",
        "few:",
        "  %from = phi i64 [ %place0, %entry ], [ %state, %many ]",
        "  %more = icmp ne i64 %rest, 0",
        "  br i1 %more, label %one, label %exit",
        "one:",
        *(f"  store i64 %after{k}, ptr %place{k}_to" for k in range(1, count)),
        *(f"  store i64 %step{k}, ptr %step{k}_to" for k in range(1, count)),
        "  store i64 %from, ptr %place0_to",
        f"  %own = getelementptr i8, ptr %table, i64 {start}",
        "  call void @single(ptr %own, ptr %scratch, ptr %places, i64 %rest)",
        "  br label %exit",
        "exit:",
        "  ret void",
        "}",
    ]
    return "\n".join(lines) + "\n"

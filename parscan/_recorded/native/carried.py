"""
Values of a step that the step before has computed already.

The force at the end of a leapfrog step is the force at the beginning of the next one; a chain that accepts or rejects
knows the density of either state. Such values are handed over as the state is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import CONSTANT, INPUT, Block
from ..program import Program
from .branches import MOST, WAITING, cycles
from .layout import UNROLLED, is_small


@dataclass(frozen=True)
class Carried:
    """
    A program, and which of its values are handed over.

    Attributes
    ----------
    program : Program
        With operations `where` after those of the step, which choose between old and new values.
    following : dict
        For each value that is handed over, the node that has it for the next step.
    first : list of int
        Nodes from which these values are computed before the first step, in order.
    needed : set of int
        Nodes that steps need; those handed over are among them.
    """

    program: Program
    following: dict[int, int]
    first: list[int]
    needed: set[int]


def carried(program: Program) -> Carried | None:
    """Values that steps may hand over, if that saves something; the first result is the next step's first argument."""
    few = all(is_small(block) or (block.operation == CONSTANT and block.count <= UNROLLED) for block in program.blocks)
    return _Search(program).found() if few and program.size <= MOST else None


class _Search:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.blocks: list[Block] = []
        """Per node, as its operands are."""
        self.operands: list[tuple[int, ...]] = []
        self.following: dict[int, int] = {}
        results = np.ravel(program.results[0]).tolist()
        fixed = {node for block in program.blocks if block.operation == CONSTANT
                 for node in range(block.first, block.first + block.count)}  # fmt: skip
        for block in program.blocks:
            nodes = range(block.first, block.first + block.count)
            self.blocks += [block] * block.count
            if block.operation in (INPUT, CONSTANT):
                self.operands += [()] * block.count
            else:
                self.operands += zip(*(np.ravel(ids).tolist() for ids in block.operands), strict=True)
            if block.operation == CONSTANT:
                self.following.update(zip(nodes, nodes, strict=True))
            elif block.operation == INPUT and block.data[0] == 0:
                pairs = ((node, results[place]) for node, place in zip(nodes, block.data[1], strict=True))
                self.following.update(pair for pair in pairs if pair[1] not in fixed)
        self.known = {self._key(node, operands): node for node, operands in enumerate(self.operands) if operands}

    def found(self) -> Carried | None:
        size = self.program.size
        for node in range(size):
            operands = self.operands[node]
            if operands and all(one in self.following for one in operands):
                self._follow(node, operands)
        cone = {node: self.following[node] for node in range(size) if self.operands[node] and node in self.following}
        needed = self._needed(cone)
        saved = sum(cycles(self.blocks[node]) for node in cone)
        if saved - sum(cycles(self.blocks[node]) for node in needed if node >= size) < WAITING:
            return None
        following = {node: after for node, after in cone.items() if node in needed}
        first, tried = set(following), list(following)
        while tried:
            for node in self.operands[tried.pop()]:
                if self.operands[node] and node not in first:
                    first.add(node)
                    tried.append(node)
        program = replace(self.program, blocks=(*self.program.blocks, *self.blocks[size:]), size=len(self.blocks))
        return Carried(program, following, sorted(first), needed)

    def _key(self, node: int, operands: Sequence[int]) -> tuple[Any, ...]:
        """Nodes with the same key have the same value."""
        block = self.blocks[node]
        return (block.operation, block.dtype.char, id(block.data), *operands)

    def _follow(self, node: int, operands: tuple[int, ...]) -> None:
        """Find the node that has the value of a node in the next step, or make one."""
        after = self.known.get(self._key(node, [self.following[one] for one in operands]))
        if after is not None:
            self.following[node] = after
            return
        choices = [self._choice(one) for one in operands if self.following[one] != one]
        conditions = {choice[:2] for choice in choices if choice}
        if len(conditions) != 1 or None in choices:
            return
        condition, place = conditions.pop()
        changed = iter(choices)
        given = [one if self.following[one] == one else next(changed)[2] for one in operands]  # type: ignore[index]
        new = self.known.get(self._key(node, given))
        if new is not None:
            chosen = (condition, new, node) if place == 1 else (condition, node, new)
            block, ids = self.blocks[node], tuple(np.array([one]) for one in chosen)
            self.following[node] = len(self.blocks)
            self.operands.append(chosen)
            self.blocks.append(Block("where", len(self.blocks), 1, block.dtype, ids))

    def _choice(self, node: int) -> tuple[int, int, int] | None:
        """Where a value stays, or changes, by a condition: that, which operand of `where` the new one is, and that."""
        after = self.following[node]
        if self.blocks[after].operation != "where" or node not in self.operands[after][1:]:
            return None
        condition, one, other = self.operands[after]
        return (condition, 2, other) if one == node else (condition, 1, one)

    def _needed(self, cone: dict[int, int]) -> set[int]:
        """Nodes that lead to the results where those of the cone are handed over."""
        found: set[int] = set()
        tried = [node for ids in self.program.results for node in np.ravel(ids).tolist()]
        while tried:
            node = tried.pop()
            if node not in found:
                found.add(node)
                tried += [cone[node]] if node in cone else self.operands[node]
        return found

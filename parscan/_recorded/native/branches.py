"""
Decides where code branches instead of evaluating both values of a `where`.

A processor predicts branches. The next step begins with the predicted value while the condition of the present step is
still being computed, and operations that only the other value needs are not executed. A wrong prediction costs the time
of some operations. Therefore code branches if values wait long for their condition, or if it saves many operations.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._arrays.cached import cached_property
from ..graph import CONSTANT, INPUT, PRODUCT, Block
from ..program import Program
from .text import CALLED

CYCLES = {"divide": 13, "sqrt": 15, "where": 2, "negative": 1, "absolute": 1, "copysign": 1, "logical_and": 1,
          "logical_or": 1, "logical_xor": 1, "logical_not": 1, "remainder": 40, "floor_divide": 40, "fmod": 40,
          "expit": 50, "hypot": 30, "logaddexp": 80} | dict.fromkeys(CALLED, 40)  # fmt: skip
"""Approximate times of operations, in cycles; other operations take `USUAL`."""

USUAL = 4

WAITING, SAVED = 8, 40
"""Cycles for which values wait for a condition, or which a value alone needs, from which on code branches."""

CONDITIONS = 8
"""Conditions for which values wait, up to which code branches: any of many is often predicted wrongly."""

MOST = 3000
"""Operations up to which branches are looked for: of a step of many, a branch saves little."""


@dataclass(frozen=True)
class Item:
    """
    An operation on one element.

    Attributes
    ----------
    node : int
    block : Block
        That it belongs to.
    operands : tuple of int
    level : int
        Packed calls on the way to it.
    packed : bool
        Whether it is evaluated together with others of its level.
    """

    node: int
    block: Block
    operands: tuple[int, ...]
    level: int
    packed: bool

    @property
    def single(self) -> bool:
        return not self.packed

    def is_beside(self, other: Any) -> bool:
        """Whether another entry is packed and of the same level."""
        return isinstance(other, Item) and other.packed and other.level == self.level


@dataclass
class Branch:
    """
    Items `where` with the same condition, and those that only one of their values needs.

    Attributes
    ----------
    wheres : list of Item
    arms : pair of lists of Item
        What the first values need, and what the second ones need, in order.
    """

    wheres: list[Item]
    arms: tuple[list[Item], ...]

    @property
    def condition(self) -> int:
        return self.wheres[0].operands[0]

    @property
    def items(self) -> list[Item]:
        return [*self.wheres, *self.arms[0], *self.arms[1]]

    @cached_property
    def nodes(self) -> set[int]:
        return {item.node for item in self.items}

    @property
    def cycles(self) -> int:
        """Of the items of the more expensive arm."""
        return max(sum(cycles(item.block) for item in arm) for arm in self.arms)

    def needs(self, node: int) -> bool:
        """Whether a node is an operand."""
        return any(node in item.operands for item in self.items)


def cycles(block: Block) -> int:
    """Approximate cycles of an operation of a block."""
    return CYCLES.get(block.operation, USUAL)


class Branches:
    """
    Finds the branches of a step's code.

    Parameters
    ----------
    program : Program
        Of the step; its first argument is the state.
    kept : set of int
        Nodes that are needed elsewhere than in operations on one element.
    carried : set of int
        Nodes that the step before hands over, as it does the state.
    """

    def __init__(self, program: Program, kept: set[int], carried: set[int]) -> None:
        self._users: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """Nodes that a node is an operand of, and which one."""
        for block in program.blocks:
            for place, ids in enumerate(block.operands):
                for k, node in enumerate(np.ravel(ids).tolist()):
                    self._users[node].append((block.first + min(k, block.count - 1), place))
        self._kept = kept.union(*(np.ravel(ids).tolist() for ids in program.results))
        self._waiting, self._since = _waiting(program, carried)

    def depends(self, block: Block) -> bool:
        """Whether a block depends on the state."""
        return min(self._since[block.first : block.first + block.count]) >= 0

    def users(self, node: int) -> list[int]:
        """Nodes that a node is an operand of; none if it is needed elsewhere, too."""
        return [] if node in self._kept else [user for user, _ in self._users[node]]

    def found(self, items: Sequence[Item]) -> list[Item | Branch]:
        """Items in order, with branches where they pay; those in the arms of a branch are left out."""
        if not 1 < len(items) <= MOST:
            return list(items)
        kinds = Counter(map(_kind, items))
        places = {item.node: k for k, item in enumerate(items) if not item.packed or kinds[_kind(item)] == 1}
        entries: list[Item | Branch] = []
        gone: set[int] = set()
        for place in range(len(items) - 1, -1, -1):
            item = items[place]
            if item.node in gone:
                continue
            branch = self._ending(items, place, places, gone) if item.block.operation == "where" else None
            entries.append(branch or item)
            if branch:
                gone |= branch.nodes
        return entries[::-1]

    def _ending(self, items: Sequence[Item], place: int, places: dict[int, int], gone: set[int]) -> Branch | None:
        """The branch that ends with the `where` at a place, with earlier ones of its condition; None if none pays."""
        branch = self._armed(items, [items[place]], places)
        for at in range(place - 1, -1, -1):
            item = items[at]
            if item.node in branch.nodes or item.node in gone:
                continue
            if item.block.operation == "where" and item.operands[0] == branch.condition:
                wider = self._armed(items, [item, *branch.wheres], places)
                inside = wider.nodes | gone
                if all(one.node in inside for one in items[at:place]) and not wider.needs(item.node):
                    branch = wider
                    continue
                break
        if branch.cycles >= SAVED or any(item.node in self._waiting for item in branch.wheres):
            return branch
        return None

    def _armed(self, items: Sequence[Item], wheres: list[Item], places: dict[int, int]) -> Branch:
        """A branch of some items, with what only one of their values needs."""
        sides = {(item.node, k): k for item in wheres for k in (1, 2)}
        tried = [(item.operands[k], k) for item in wheres for k in (1, 2)]
        arms: tuple[set[int], set[int]] = set(), set()
        while tried:
            node, side = tried.pop()
            if node not in places or node in self._kept:
                continue
            if all(sides.get(user) == side for user in self._users[node]):
                item = items[places[node]]
                arms[side - 1].add(places[node])
                sides |= {(node, k): side for k in range(len(item.operands))}
                tried += [(operand, side) for operand in item.operands]
        return Branch(wheres, tuple([items[k] for k in sorted(arm)] for arm in arms))


def _kind(item: Item) -> tuple[Any, ...]:
    """Items of the same kind, if they are packed, are evaluated together."""
    return (item.packed, item.level, item.block.operation, item.block.dtype.char)


_known: OrderedDict[bytes, int] = OrderedDict()

KEPT = 64
"""Programs that differ in more than their constants whose latencies are known."""


def latency(program: Program) -> int:
    """Cycles from a state to the next one where nothing branches, about."""
    found = _known.get(program.skeleton)
    if found is None:
        found = _known[program.skeleton] = _latency(program)
        while len(_known) > KEPT:
            _known.popitem(last=False)
    return found


def _latency(program: Program) -> int:
    since = np.full(program.size, -1)
    for block in program.blocks:
        nodes = slice(block.first, block.first + block.count)
        if block.operation == INPUT and block.data[0] == 0:
            since[nodes] = 0
        elif block.operation == PRODUCT:
            latest = max(since[ids].max() for ids in block.operands)
            since[nodes] = latest if latest < 0 else latest + 4 * USUAL
        elif block.operands:
            latest = np.max([np.broadcast_to(since[ids], block.count) for ids in block.operands], axis=0)
            since[nodes] = np.where(latest < 0, -1, latest + cycles(block))
    return int(max(since[program.results[0]].max(), 0))


def _waiting(program: Program, carried: set[int]) -> tuple[set[int], list[int]]:
    """
    Nodes of `where` whose values wait long for one of few conditions, counted from the state.

    And for all nodes, cycles from the state to them; -1 if they do not depend on it.
    """
    since = [-1] * program.size
    found: dict[int, int] = {}
    for block in program.blocks:
        if block.operation == INPUT and block.data[0] == 0:
            since[block.first : block.first + block.count] = [0] * block.count
        if block.operation in (INPUT, CONSTANT):
            continue
        columns = [np.ravel(ids).tolist() for ids in block.operands]
        if block.operation == PRODUCT:
            latest = max(since[node] for column in columns for node in column)
            after = latest if latest < 0 else latest + 4 * USUAL
            since[block.first : block.first + block.count] = [after] * block.count
            continue
        for node, operands in enumerate(zip(*columns, strict=True), start=block.first):
            given = [0 if one in carried else since[one] for one in operands]
            latest = max(given)
            if latest < 0:
                continue
            since[node] = latest + cycles(block)
            if block.operation == "where":
                one, other = (max(cycle, 0) for cycle in given[1:])
                if since[node] - (one + other) / 2 >= WAITING:
                    found[node] = operands[0]
                    since[node] = max(one, other)
    return set(found) if len(set(found.values())) <= CONDITIONS else set(), since

"""
Ways through a function that branches on values: it is called once for each of them, and `where` chooses the results.

This is the symbolic execution of King, "Symbolic execution and program testing", Communications of the ACM 19 (1976),
for functions of few branches. A branch has one outcome only where earlier ones on the same way imply it: a loop over
`k` doses that compares the time with each has `k + 1` ways, not two to the power of `k`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dis import opmap
from itertools import product
from math import inf, isfinite, isnan
from operator import attrgetter
from types import TracebackType
from typing import Any

import numpy

from .array import RecordingArray, apply, as_recording
from .graph import CONSTANT, INPUT, Block, Graph
from .limits import limits
from .python_numbers import guarded
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays

MOST = 64
"""Ways through a function; a way has fewer branches than that."""

CROSSED = 8
"""Ways of which each is gone after each other one, where they leave different contents of objects."""

FEW_WAYS = 5
"""Ways of which each is gone after any two."""

MANY = f"branches on values in more than {MOST} ways"

INTEGERS = 16
"""Indices, from 0 on, of which each has a way of its own if it is within the known limits."""

FEW = 16
"""Entries of conditions on the time that select entries of arrays."""


class Elsewhere(Exception):  # noqa: N818 - it says what happened
    """An integer is none of those that have a way."""


ENDS = (LookupError, ArithmeticError, StopIteration, Elsewhere)
"""Exceptions that end a way; Python would raise all but the last one as well."""

RAISES = opmap["RAISE_VARARGS"]

SWAPPED = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}
"""Comparisons that are the same for operands in the other order."""

Plan = tuple[tuple[int, bool], ...]
"""Conditions, and whether they hold."""

Result = RecordingArray | None
"""What a function returns on some ways; None if it raises an exception on all of them."""


@dataclass(frozen=True)
class Way:
    """Branches, as conditions and whether they held, and the result after them."""

    branches: Plan
    result: Result


class Branches:
    """
    The branches of a function in one call.

    Parameters
    ----------
    graph : Graph
    arguments : sequence of int
        Numbers of arguments: a condition must depend on one of them.
    """

    def __init__(self, graph: Graph, arguments: Sequence[int]) -> None:
        self._graph, self._arguments = graph, frozenset(arguments)
        self.begin(())

    def begin(self, plan: Plan) -> None:
        """Begin a call in which the first conditions and their outcomes are those of a plan."""
        self._plan = plan
        self.taken: list[tuple[int, bool]] = []
        self._known: dict[int, bool] = {}
        self._limits: dict[int, _Limits] = {}

    def outcome(self, value: RecordingArray) -> bool:
        """Whether a value is true on this way."""
        condition = value if value.dtype == bool else apply("not_equal", value, 0)
        node = int(np.ravel(condition.ids)[0])
        if node not in self._known:
            known = self._implied(node)
            self._known[node] = self._chosen(node) if known is None else known
        return self._known[node]

    def integer(self, value: RecordingArray) -> int:
        """An integer on this way, to be used as an index or a key."""
        low, high = limits(self._graph, value.ids)
        for number in range(int(max(low, 0)), int(min(high, INTEGERS - 1)) + 1):
            if self.outcome(apply("equal", value, number)):
                return number
        raise Elsewhere

    def mask(self, conditions: RecordingArray) -> Any:
        """Which of some conditions hold on this way; None if they are many, or depend on more than the time."""
        nodes = np.ravel(conditions.ids).tolist()
        if len(nodes) > FEW or not all(self._read(node) <= {0} for node in nodes):
            return None
        held = [self.outcome(RecordingArray(self._graph, node, bool)) for node in nodes]
        return np.asarray(held, bool).reshape(conditions.shape)

    def _chosen(self, node: int) -> bool:
        """The outcome of the plan; True after its end."""
        if not self._read(node) & self._arguments:
            raise Refused("branches on a value")
        place = len(self.taken)
        if place == MOST:
            raise Refused(MANY)
        planned, holds = self._plan[place] if place < len(self._plan) else (node, True)
        if planned != node:
            raise Refused("does something else when it is called again")
        self.taken.append((node, holds))
        if (compared := self._compared(node)) is not None:
            one, name, number = compared
            self._limits[one] = self._limits.get(one, self._none(one)).narrowed(name, number, holds=holds)
        return holds

    def _implied(self, node: int) -> bool | None:
        """The outcome of a comparison with a number that earlier ones imply; None if they do not."""
        compared = self._compared(node)
        if compared is None or compared[0] not in self._limits:
            return None
        return self._limits[compared[0]].implied(*compared[1:])

    def _none(self, node: int) -> _Limits:
        """No limits; arguments of functions are no NaN where the result matters, nor is the time."""
        block = self._block(node)
        return _Limits(is_number=block.operation == INPUT and block.data[0] == 0)

    def _compared(self, node: int) -> tuple[int, str, float] | None:
        """A node, a comparison and the number with which it is compared; None for other conditions."""
        block = self._block(node)
        if block.operation not in SWAPPED:
            return None
        row = node - block.first
        one, other = (int(ids if isinstance(ids, int) else ids[row]) for ids in block.operands)
        name, fixed = block.operation, self._graph.fixed
        if fixed[one]:
            one, other, name = other, one, SWAPPED[name]
        if not fixed[other]:
            return None
        number = self._graph.value(other)
        if number.dtype.kind == "c" or isnan(number):
            return None
        return self._without_difference(one, name) if number == 0 else (one, name, float(number))

    def _without_difference(self, node: int, name: str) -> tuple[int, str, float]:
        """A comparison with zero; that of a difference `x - number` compares `x` with the number, which is exact."""
        block = self._block(node)
        if block.operation == "subtract":
            one, other = _operands(block, node - block.first)
            if self._graph.fixed[one]:
                one, other, name = other, one, SWAPPED[name]
            number = float(self._graph.value(other)) if self._graph.fixed[other] else inf
            if isfinite(number):
                return one, name, number
        return node, name, 0.0

    def _read(self, node: int) -> set[int]:
        """Numbers of the arguments on which a node depends."""
        open_, seen, found = [node], set[int](), set[int]()
        while open_:
            one = open_.pop()
            if one in seen or self._graph.fixed[one]:
                continue
            seen.add(one)
            block = self._block(one)
            if block.operation == INPUT:
                found.add(int(block.data[0]))
            else:
                open_ += _operands(block, one - block.first)
        return found

    def _block(self, node: int) -> Block:
        blocks = self._graph.blocks
        return blocks[bisect_right(blocks, node, key=attrgetter("first")) - 1]


def _operands(block: Block, row: int) -> list[int]:
    """Operands of one node of a block."""
    if block.operation == CONSTANT:
        return []
    found: list[int] = []
    for ids in block.operands:
        own = ids if isinstance(ids, int) or np.shape(ids) != (block.count,) else ids[row]
        found += np.ravel(own).tolist()
    return found


@dataclass(frozen=True)
class _Limits:
    """
    What comparisons say about a value: it is above `low`, or equal to it if that is allowed, and below `high`.

    `is_number`: whether it is known not to be NaN, which compares with nothing.
    """

    low: float = -inf
    has_low: bool = True
    high: float = inf
    has_high: bool = True
    is_number: bool = False

    def implied(self, name: str, number: float) -> bool | None:
        """The outcome of a comparison, if it is known."""
        if not self.is_number:
            return None
        above = self.low > number or (self.low == number and not self.has_low)
        below = self.high < number or (self.high == number and not self.has_high)
        at_least, at_most = above or self.low >= number, below or self.high <= number
        holds = {"less": below, "less_equal": at_most, "greater": above, "greater_equal": at_least}
        fails = {"less": at_least, "less_equal": above, "greater": at_most, "greater_equal": below}
        return True if holds[name] else False if fails[name] else None

    def narrowed(self, name: str, number: float, *, holds: bool) -> _Limits:
        """The limits after a comparison."""
        is_number = self.is_number or holds
        is_upper = (name in ("less", "less_equal")) == holds
        is_closed = (name in ("less_equal", "greater_equal")) == holds
        low, has_low, high, has_high = self.low, self.has_low, self.high, self.has_high
        if is_upper and (number, is_closed) < (high, has_high):
            high, has_high = number, is_closed
        if not is_upper and (-number, is_closed) < (-low, has_low):
            low, has_low = number, is_closed
        return _Limits(low, has_low, high, has_high, is_number)


class Paths:
    """
    All ways through a function.

    Parameters
    ----------
    graph : Graph
    call : callable
        Calls the function once.
    arguments : sequence of int
        Conditions must depend on one of these arguments.
    dtype : dtype or None
        Results that it can hold are cast to it.
    """

    def __init__(self, graph: Graph, call: Callable[[], RecordingArray], arguments: Sequence[int], dtype: Any) -> None:
        self._graph, self._call, self._dtype = graph, call, dtype
        self._branches, self._may_branch = Branches(graph, arguments), bool(arguments)
        self._error: Exception | None = None
        self.ways: list[Way] = []

    def explored(self) -> RecordingArray:
        """The result on all ways."""
        plans: list[Plan] = [()]
        self.ways = []
        while plans:
            plan = plans.pop()
            way = self._gone(plan)
            if len(way.branches) < len(plan):
                raise Refused("does something else when it is called again")
            self.ways.append(way)
            taken = way.branches
            plans += [(*taken[:k], (taken[k][0], False)) for k in range(len(plan), len(taken))]
            if len(self.ways) + len(plans) > MOST:
                raise Refused(MANY)
        merged = _merged(self._graph, self.ways, 0)
        if merged is None:
            raise self._error or Refused("returns None")
        return merged

    def are_independent(self, memory: Callable[[], Any]) -> bool:
        """
        Whether no result depends on the way before, and a way leaves the same when it is gone again.

        So a function may write to objects what it computed on a way, if it reads none of it later.
        """
        if not 1 < len(self.ways) <= CROSSED:
            return False
        for one in self.ways:
            self._gone(one.branches)
            before = memory()
            for other in (one, *self.ways):
                if not _are_equal(self._gone(other.branches), other):
                    return False
                if other is one and memory() != before:
                    return False
                self._gone(one.branches)
        return True

    def are_same_in_a_row(self, renew: Callable[[], None]) -> bool:
        """Whether all ways give the same after one or two others, from a new copy of the function on."""
        if len(self.ways) > CROSSED:
            return True
        for some in product(self.ways, repeat=3 if len(self.ways) <= FEW_WAYS else 2):
            renew()
            if not all(_are_equal(self._gone(way.branches), way) for way in some):
                return False
        return True

    def _gone(self, plan: Plan) -> Way:
        """One way, which begins with the branches of a plan."""
        graph, branches = self._graph, self._branches
        branches.begin(plan)
        graph.branches, graph.exceptions = branches if self._may_branch else None, {}
        found: Result = None
        try:
            found = guarded(graph, _cast(self._call(), self._dtype))
        except Exception as error:
            if not _ends_a_way(error) or not branches.taken:
                raise
            self._error = self._error or error
        finally:
            graph.branches, graph.exceptions = None, {}
        return Way(tuple(branches.taken), found)


def _are_equal(one: Way, other: Way) -> bool:
    if one.result is None or other.result is None:
        return one.result is other.result and one.branches == other.branches
    return one.branches == other.branches and np.array_equal(one.result.ids, other.result.ids)


def _cast(found: RecordingArray, dtype: Any) -> RecordingArray:
    is_safe = dtype is not None and found.dtype != dtype and np.can_cast(found.dtype, dtype, "safe")
    return found.astype(dtype) if is_safe else found


def _merged(graph: Graph, ways: list[Way], depth: int) -> Result:
    """The result of ways whose first branches, as many as `depth`, are the same."""
    if len(ways) == 1:
        return ways[0].result
    node = ways[0].branches[depth][0]
    one, other = (
        _merged(graph, [way for way in ways if way.branches[depth][1] is holds], depth + 1) for holds in (True, False)
    )
    if one is None or other is None:
        known = other if one is None else one
        if known is None:
            return None
        if known.dtype.kind not in "fc":
            raise Refused("raises exceptions on some values")
        nothing = as_recording(graph, np.full(known.shape, np.nan, known.dtype))
        one, other = (nothing, known) if one is None else (known, nothing)
    if one.shape != other.shape:
        raise Refused(f"returns the shapes {one.shape} and {other.shape}, depending on values")
    dtype = np.result_type(one.dtype, other.dtype)
    one, other = one.astype(dtype), other.astype(dtype)
    ids, others = np.array(one.ids), np.asarray(other.ids)
    differ = ids != others
    if differ.any():
        condition = RecordingArray(graph, node, bool)
        sides = (RecordingArray(graph, nodes[differ], dtype) for nodes in (ids, others))
        ids[differ] = apply("where", condition, *sides).ids
    return RecordingArray(graph, ids, dtype)


def _ends_a_way(error: Exception) -> bool:
    """Whether the user's function raises this exception, not our recording."""
    if isinstance(error, Refused):
        return False
    if isinstance(error, ENDS):
        return True
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_code[trace.tb_lasti] == RAISES

"""
Recorded functions with their branches frozen: what states are compared with decides by modes, not by the state.

In every mode, the function is smooth where only these comparisons make it not smooth. A solver may then take whole
steps in a mode, and end them where a comparison changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .array import RecordingArray, recorded
from .graph import CONSTANT, INPUT, LIMIT, PRODUCT, Block, Graph
from .narrow import narrow
from .program import Argument, Program, any_of
from .record import Recording
from .switches import STATE

MOST = 12
"""Largest number of comparisons."""

EDGES = 2
"""Comparisons of a stair: of its operand with both edges of the step that it is on."""

BOOL = np.dtype(bool)

OTHER = -1.0
"""Mode where a comparison does not hold."""

LIMITED = frozenset(["sqrt", "log", "log2", "log10", "log1p", "power", "arcsin", "arccos", "arctanh", "arccosh"])
"""Operations with a domain: a branch that is frozen beyond where it is taken may leave it."""

EITHER = ("where", "maximum", "minimum", "fmax", "fmin")
"""Operations whose result is one of their operands."""


class Frozen(NamedTuple):
    """
    A function in modes.

    Attributes
    ----------
    recording : Recording
        `(t, y, *numbers, modes) -> slopes`; a mode is positive where a comparison holds. Behind those of all
        comparisons are the levels of stairs: `floor` of their operands.
    switches : Program
        `(t, y, *numbers, modes)` to as many numbers as there are comparisons, which hold where they are positive, and
        to the levels of stairs at the state. The first comparisons are those of stairs: the operand is below the level,
        which holds on no step, and it is below the next level, which holds on all of them.
    both : Program
        Slopes, and the numbers of the comparisons.
    is_nested : bool
        Whether what is compared depends on modes: on those of earlier comparisons.
    partners : dict
        Comparisons of the same numbers the other way round, by their numbers.
    """

    recording: Recording
    switches: Program
    both: Program
    is_nested: bool
    partners: dict[int, int]

    @property
    def stairs(self) -> int:
        """Number of stairs."""
        return int(self.switches.results[1].size)

    @property
    def comparisons(self) -> int:
        """Number of comparisons."""
        return int(self.switches.results[0].size)


class _Modes:
    """Conditions on the state, which are modes from now on."""

    def __init__(self, graph: Graph, ids: Any, stairs: int) -> None:
        self._graph, self._ids = graph, ids
        self._known: dict[tuple[int, int], int] = {}
        self._pairs: dict[tuple[int, int], int] = {}
        self._stairs: dict[int, int] = {}
        """Levels, by their operands."""
        self.partners: dict[int, int] = {}
        below, within = self._constant(OTHER), self._constant(1.0)
        self.switches, self.levels = [below, within] * stairs, [self._constant(0.0)] * stairs
        """Numbers of comparisons, and levels; there may be more stairs than are needed."""

    def _constant(self, value: float) -> int:
        return int(self._graph.constants(np.array([value]), np.dtype(np.float64))[0])

    def above(self, one: Any, other: Any) -> Any:
        """Whether numbers are larger than others: nodes of conditions."""
        return np.array([self._above(*pair) for pair in zip(one.tolist(), other.tolist(), strict=True)], np.intp)

    def _above(self, one: int, other: int) -> int:
        if (one, other) not in self._known:
            number, double = len(self.switches), np.dtype(np.float64)
            self._pairs[one, other] = number
            partner = self._pairs.get((other, one))
            if partner is not None and one != other:
                self.partners[number], self.partners[partner] = partner, number
            nodes = np.array([[one], [other]])
            if self._graph.value(other) == 0:
                found = one
            elif self._graph.value(one) == 0:
                found = int(recorded(self._graph, "negative", double, [nodes[1]])[0])
            else:
                found = int(recorded(self._graph, "subtract", double, list(nodes))[0])
            self.switches.append(found)
            zero = self._graph.constants(np.zeros(1), double)
            condition = recorded(self._graph, "greater", BOOL, [self._ids[number : number + 1], zero])
            self._known[one, other] = int(np.ravel(condition)[0])
        return self._known[one, other]

    def floor(self, x: Any) -> Any:
        """Levels of numbers."""
        return np.array([self._floor(one) for one in np.ravel(x).tolist()], np.intp)

    def _floor(self, one: int) -> int:
        if one not in self._stairs:
            number, double, node = len(self._stairs), np.dtype(np.float64), np.array([one])
            level = self._ids[len(self._ids) - len(self.levels) + number :][:1]
            after = recorded(self._graph, "add", double, [level, self.number(1.0, level)])
            for k, edge in enumerate((level, after)):
                self.switches[EDGES * number + k] = int(recorded(self._graph, "subtract", double, [edge, node])[0])
            self.levels[number] = int(recorded(self._graph, "floor", double, [node])[0])
            self._stairs[one] = int(level[0])
        return self._stairs[one]

    def apply(self, name: str, *nodes: Any) -> Any:
        """Nodes of an operation on numbers."""
        return recorded(self._graph, name, np.dtype(np.float64), list(nodes))

    def not_(self, conditions: Any) -> Any:
        """Where conditions do not hold."""
        return recorded(self._graph, "logical_not", BOOL, [conditions])

    def where(self, conditions: Any, one: Any, other: Any) -> Any:
        """Nodes of one or the other."""
        return recorded(self._graph, "where", np.dtype(np.float64), [conditions, one, other])

    def number(self, value: float, like: Any) -> Any:
        """Constants, as many as some nodes."""
        return np.broadcast_to(self._graph.constants(np.array([value]), np.dtype(np.float64)), like.shape)

    def negative(self, nodes: Any) -> Any:
        """Negative numbers."""
        return recorded(self._graph, "negative", np.dtype(np.float64), [nodes])


def _greater(modes: _Modes, one: Any, other: Any) -> Any:
    return modes.above(one, other)


def _absolute(modes: _Modes, x: Any) -> Any:
    return modes.where(modes.above(modes.number(0.0, x), x), modes.negative(x), x)


def _maximum(modes: _Modes, one: Any, other: Any) -> Any:
    return modes.where(modes.above(other, one), other, one)


def _minimum(modes: _Modes, one: Any, other: Any) -> Any:
    return modes.where(modes.above(one, other), other, one)


def _sign(modes: _Modes, x: Any) -> Any:
    return _heaviside(modes, x, modes.number(0.0, x), low=-1.0)


def _heaviside(modes: _Modes, x: Any, at_zero: Any, low: float = 0.0) -> Any:
    rest = modes.where(modes.above(modes.number(0.0, x), x), modes.number(low, x), at_zero)
    return modes.where(modes.above(x, modes.number(0.0, x)), modes.number(1.0, x), rest)


def _ceil(modes: _Modes, x: Any) -> Any:
    return modes.negative(modes.floor(modes.negative(x)))


def _rint(modes: _Modes, x: Any) -> Any:
    return modes.floor(modes.apply("add", x, modes.number(0.5, x)))


def _trunc(modes: _Modes, x: Any) -> Any:
    is_negative = modes.above(modes.number(0.0, x), x)
    size = modes.floor(modes.where(is_negative, modes.negative(x), x))
    return modes.where(is_negative, modes.negative(size), size)


def _floor_divide(modes: _Modes, x: Any, y: Any) -> Any:
    return modes.floor(modes.apply("divide", x, y))


def _remainder(modes: _Modes, x: Any, y: Any) -> Any:
    return modes.apply("subtract", x, modes.apply("multiply", y, _floor_divide(modes, x, y)))


def _fmod(modes: _Modes, x: Any, y: Any) -> Any:
    return modes.apply("subtract", x, modes.apply("multiply", y, _trunc(modes, modes.apply("divide", x, y))))


STAIRS: dict[str, Callable[..., Any]] = {
    "floor": lambda modes, x: modes.floor(x), "ceil": _ceil, "rint": _rint, "trunc": _trunc,
    "floor_divide": _floor_divide, "remainder": _remainder, "fmod": _fmod,
}  # fmt: skip
"""How stairs, and what has them, are written in modes: each has one level."""

RULES: dict[str, tuple[Callable[..., Any], int]] = {
    "greater": (_greater, 1),
    "less": (lambda modes, one, other: modes.above(other, one), 1),
    "greater_equal": (lambda modes, one, other: modes.not_(modes.above(other, one)), 1),
    "less_equal": (lambda modes, one, other: modes.not_(modes.above(one, other)), 1),
    "absolute": (_absolute, 1),
    **dict.fromkeys(("maximum", "fmax"), (_maximum, 1)),
    **dict.fromkeys(("minimum", "fmin"), (_minimum, 1)),
    "sign": (_sign, 2),
    "heaviside": (_heaviside, 2),
    "signbit": (lambda modes, x: modes.above(modes.number(0.0, x), x), 1),
    **{name: (rule, 1 if name in ("trunc", "fmod") else 0) for name, rule in STAIRS.items()},
}
"""How operations are written in modes, and how many comparisons they need at most, besides those of stairs."""


def frozen(program: Program, limit: int = LIMIT) -> Frozen | None:
    """
    A function of `t`, `y` and numbers in modes; None if there is nothing that modes would help.

    Whatever is not in `RULES`, what guards an operation with a domain, and branches of removable singularities, still
    decide by the state.

    Raises
    ------
    TooLarge
        If it has more nodes than the limit.
    """
    marks = _marks(program)
    uses = {k: int(np.count_nonzero(some)) for k, some in marks.items()}
    stairs = sum(one for k, one in uses.items() if program.blocks[k].operation in STAIRS)
    count = EDGES * stairs + sum(one * RULES[program.blocks[k].operation][1] for k, one in uses.items())
    if not 0 < count <= MOST:
        return None
    graph, double = Graph(limit), np.dtype(np.float64)
    every = [*program.arguments, Argument((count + stairs,), double)]
    given = [graph.argument(k, one.shape, one.dtype) for k, one in enumerate(every)]
    modes, nodes = _Modes(graph, np.ravel(given[-1]), stairs), np.zeros(program.size, dtype=np.intp)
    for number, block in enumerate(program.blocks):
        nodes[block.first : block.first + block.count] = _replayed(graph, given, nodes, block)
        if number in marks:
            some, (rule, _) = np.flatnonzero(marks[number]), RULES[block.operation]
            nodes[block.first + some] = rule(modes, *[nodes[np.asarray(ids)][some] for ids in block.operands])
    arguments = tuple(RecordingArray(graph, ids, one.dtype) for ids, one in zip(given, every, strict=True))
    dtypes, (ids,), (dtype,) = tuple(one.dtype for one in every), program.results, program.dtypes
    recording = Recording(graph, arguments, RecordingArray(graph, nodes[ids], dtype), dtypes, dtype)
    padded = modes.switches + [int(graph.constants(np.array([OTHER]), double)[0])] * (count - len(modes.switches))
    compared = RecordingArray(graph, np.array(padded), double)
    switches = recording.extract(compared, RecordingArray(graph, np.array(modes.levels, np.intp), double))
    both, is_nested = recording.extract(recording.result, compared), switches.reads(len(every) - 1)
    return Frozen(recording, switches, both, is_nested, modes.partners)


def copied(graph: Graph, program: Program, given: list[Any]) -> list[Any]:
    """Nodes of the results of a program, in a graph with these nodes as arguments."""
    nodes = np.zeros(program.size, dtype=np.intp)
    for block in program.blocks:
        nodes[block.first : block.first + block.count] = _replayed(graph, given, nodes, block)
    return [nodes[ids] for ids in program.results]


def _replayed(graph: Graph, given: list[Any], nodes: Any, block: Block) -> Any:
    """Nodes of a block as it was recorded."""
    operands = [nodes[np.asarray(ids)] for ids in block.operands]
    if block.operation == INPUT:
        return np.ravel(given[block.data[0]])[block.data[1]]
    if block.operation == CONSTANT:
        return graph.constants(block.data, block.dtype)
    if block.operation == PRODUCT:
        return graph.product(operands[0], operands[1], block.dtype)
    return recorded(graph, block.operation, block.dtype, operands, block.data)


def _marks(program: Program) -> dict[int, Any]:
    """Numbers of the blocks with operations that modes replace, and which of their elements."""
    by_state, chars = np.zeros(program.size, bool), np.empty(program.size, "U1")
    limited, guards = np.zeros(program.size, bool), np.zeros(program.size, bool)
    fixed = {node: value for block in program.blocks if block.operation == CONSTANT
             for node, value in enumerate(block.data.tolist(), block.first)}  # fmt: skip
    for block in program.blocks:
        here = slice(block.first, block.first + block.count)
        chars[here] = block.dtype.char
        by_state[here] = block.data[0] == STATE if block.operation == INPUT else any_of(block, by_state)
        limited[here] = any_of(block, limited) | _is_limited(block, by_state, fixed)
    found, passed = {}, narrow(program)
    for number, block in reversed(list(enumerate(program.blocks))):
        here = slice(block.first, block.first + block.count)
        own = guards[here] | _is_limited(block, by_state, fixed)
        if block.operation in EITHER:
            own = own | (limited[here] & _decides(block, by_state))
        if block.operation in RULES:
            some = by_state[here] & ~own & ~passed[here] & (chars[np.asarray(block.operands[0])] == "d")
            if some.any():
                found[number] = some
        _pass_on(block, own, guards)
    return found


def _decides(block: Block, by_state: Any) -> Any:
    """Whether the state decides which operand is the result."""
    return by_state[np.asarray(block.operands[0])] if block.operation == "where" else any_of(block, by_state)


def _is_limited(block: Block, by_state: Any, fixed: dict[int, Any]) -> Any:
    """Which elements of a block are operations with a domain, on what depends on the state."""
    none = np.zeros(block.count, bool)
    if block.operation not in LIMITED:
        return none
    some = none | any_of(block, by_state)
    if block.operation == "power":
        exponents = [fixed.get(int(node), 0.5) for node in np.ravel(block.operands[1])]
        some = some & np.array([float(one) != int(one) for one in exponents])
    return some


def _pass_on(block: Block, own: Any, guards: Any) -> None:
    """Mark what leads to marked nodes."""
    if not own.any():
        return
    for ids in block.operands:
        whole = block.operation == PRODUCT and ids is block.operands[1]
        guards[ids if whole or isinstance(ids, int) else ids[own]] = True

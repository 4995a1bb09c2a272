"""Modes of a recorded function: the results of its comparisons and other jumps, and the function with these fixed.

With its modes fixed, a function is smooth, beyond the places where it jumps as well. A guard is the number that passes
a level where a mode changes: `x - y` of `x < y`, `x` of `floor(x)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .array import RecordingArray, recorded
from .differentiate import jacobian
from .graph import CONSTANT, CONVERT, INPUT, PRODUCT, SEARCH_LEFT, SEARCH_RIGHT, Block, Graph
from .program import Program, any_of
from .record import Recording
from .results import product
from .switches import COMPARISONS, EITHER, TABLE, WHOLE, ZERO

TIME, STATE, MODES = 0, 1, 2
"""Numbers of the arguments; parameters follow. Without fixed modes, parameters come after the state."""

REAL, BOOL = np.dtype(np.float64), np.dtype(np.bool_)

Node = Callable[..., Any]
"""Records an operation in double precision, given its name and operands, and returns its nodes."""


def _difference(node: Node, x: Any, y: Any) -> Any:
    return node("subtract", x, y)


def _ratio(node: Node, x: Any, y: Any) -> Any:
    return node("divide", x, y)


def _first(node: Node, x: Any, *_: Any) -> Any:
    return x


def _second(node: Node, x: Any, y: Any) -> Any:
    return y


GUARDS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(COMPARISONS, _difference),
    **dict.fromkeys(("remainder", "fmod", "floor_divide"), _ratio),
    **dict.fromkeys(("sign", "signbit", "heaviside", "floor", "ceil", "trunc", "rint"), _first),
    **dict.fromkeys((SEARCH_LEFT, SEARCH_RIGHT, CONVERT), _first),
    **dict.fromkeys(EITHER, _difference),
    "absolute": _first,
    "copysign": _second,
}
"""What passes a level where an operation jumps, from its operands. Conversions jump from real numbers to integers."""

LEVELS = {
    **dict.fromkeys(("remainder", "fmod", "floor_divide", "floor", "ceil", "trunc", CONVERT), WHOLE),
    **dict.fromkeys((SEARCH_LEFT, SEARCH_RIGHT, "rint"), TABLE),
}
"""Levels of guards, if they are not zero."""

PARTLY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "remainder": (
        lambda node, x, y: node("floor", node("divide", x, y)),
        lambda node, mode, x, y: node("subtract", x, node("multiply", mode, y)),
    ),
    "fmod": (
        lambda node, x, y: node("trunc", node("divide", x, y)),
        lambda node, mode, x, y: node("subtract", x, node("multiply", mode, y)),
    ),
    "copysign": (
        lambda node, x, y: node("sign", y),
        lambda node, mode, x, y: node("multiply", mode, node("absolute", x)),
    ),
}
"""Operations that are smooth between jumps, and not constant: their modes, and their results with these."""

KINKED: dict[str, tuple[str, Callable[..., tuple[Any, Any]]]] = {
    **dict.fromkeys(("maximum", "fmax"), ("less", lambda node, x, y: (y, x))),
    **dict.fromkeys(("minimum", "fmin"), ("less", lambda node, x, y: (x, y))),
    "absolute": ("signbit", lambda node, x: (node("negative", x), x)),
}
"""Operations that are continuous, with a kink: the comparison that is their mode, and their results where it holds and
where it does not."""

MOVING = {*PARTLY, *KINKED}
"""Operations whose results still depend on their operands while their modes are fixed."""


@dataclass(frozen=True)
class Modes:
    """
    The modes of a recorded function `f(t, y, *parameters)`.

    Attributes
    ----------
    program : Program
        The modes `(k,)`, of the function's own arguments.
    fixed : Recording
        The function `f(t, y, modes, *parameters)`.
    own : Program
        `(t, y, modes, *parameters) -> (k,)`: what each mode is with the others fixed.
    values : Program
        `(t, y, modes, *parameters) -> (k,)`: the guards.
    by_state, by_parameters : arrays of bool, shape (k,)
        On what the guards depend, while modes are fixed.
    levels : array of int, shape (k,)
        `ZERO`, `WHOLE` for whole numbers, or `TABLE` for the entries of one.
    kinks : array of bool, shape (k,)
        Which are of operations that have kinks and no jumps: maxima, minima, absolute values.
    """

    program: Program
    fixed: Recording
    own: Program
    values: Program
    by_state: Any
    by_parameters: Any
    levels: Any
    kinks: Any
    nodes: Any = field(repr=False)

    @property
    def width(self) -> int:
        """Number of elements of time, state and parameters."""
        return sum(one.size for k, one in enumerate(self.fixed.arguments) if k != MODES)

    def slopes(self, guards: list[int]) -> tuple[Program, Any, Any]:
        """
        The program `(t, y, modes, *parameters) -> entries` of the derivatives of guards, and their rows and columns.

        The elements of time, state and parameters are counted one after the other.

        Raises
        ------
        Refused
            If there are no derivatives.
        """
        graph = self.fixed.graph
        others = [np.ravel(one.ids) for k, one in enumerate(self.fixed.arguments) if k != MODES]
        inputs = RecordingArray(graph, np.concatenate(others), REAL)
        rows, columns, entries = jacobian(graph, RecordingArray(graph, self.nodes[guards], REAL), inputs)
        return self.fixed.extract(entries), rows, columns


def modes(recording: Recording, chosen: Any = None) -> Modes | None:
    """The modes of a recorded function, or some of them, given by flags; None if there are none."""
    free = _Replay(recording, fixes=False, chosen=chosen)
    if not free.modes:
        return None
    fixed = _Replay(recording, fixes=True, chosen=chosen)
    function = Recording(
        fixed.graph,
        tuple(fixed.arguments),
        fixed.result,
        (*recording.dtypes[:MODES], REAL, *recording.dtypes[MODES:]),
        recording.dtype,
    )
    values = RecordingArray(free.graph, np.array(free.modes), REAL)
    plain = Recording(free.graph, tuple(free.arguments), values, recording.dtypes, REAL)
    nodes = np.array(fixed.guards)
    own, guards = (RecordingArray(fixed.graph, ids, REAL) for ids in (np.array(fixed.own), nodes))
    return Modes(
        plain.program,
        function,
        function.extract(own),
        function.extract(guards),
        _depending(recording.program, lambda number: number == STATE, chosen),
        _depending(recording.program, lambda number: number > STATE, chosen),
        np.array(fixed.levels),
        np.array(fixed.kinks),
        nodes,
    )


def with_modes(recording: Recording) -> Program | None:
    """The function with its modes, `(t, y, *parameters) -> slopes, modes`; None if it has none."""
    free = _Replay(recording, fixes=False, chosen=None)
    if not free.modes:
        return None
    function = Recording(free.graph, tuple(free.arguments), free.result, recording.dtypes, recording.dtype)
    return function.extract(free.result, RecordingArray(free.graph, np.array(free.modes), REAL))


class _Replay:
    """
    A graph with the operations of a recorded function, whose modes are arguments if it `fixes` them.

    Attributes
    ----------
    modes, own, guards, levels, kinks : list
        Nodes, one for each jump or kink: the mode, what it is with the others as they are here, the guard, its
        levels, and whether it is a kink.
    """

    def __init__(self, recording: Recording, *, fixes: bool, chosen: Any) -> None:
        program = recording.program
        self.graph, self._found, self._fixes, self._chosen = Graph(), np.zeros(program.size, np.intp), fixes, chosen
        self.modes, self.own, self.guards = list[int](), list[int](), list[int]()
        self.levels, self.kinks = list[int](), list[bool]()
        self._count = 0
        flagged = _jumping(program)
        numbers = [k + (fixes and k >= MODES) for k in range(len(program.arguments))]
        self._own = [self._argument(number, one) for number, one in zip(numbers, program.arguments, strict=True)]
        self._given: Any = None
        self.arguments = list(self._own)
        if fixes:
            count = int(np.sum(flagged if chosen is None else flagged[flagged] & chosen))
            self._given = RecordingArray(self.graph, self.graph.argument(MODES, (count,), REAL), REAL)
            self.arguments.insert(MODES, self._given)
        self._flagged = flagged
        for block in program.blocks:
            self._enter(block)
        (ids,), (dtype,) = program.results, program.dtypes
        self.result = RecordingArray(self.graph, self._found[ids], dtype)

    def _argument(self, number: int, one: Any) -> RecordingArray:
        return RecordingArray(self.graph, self.graph.argument(number, one.shape, one.dtype), one.dtype)

    def _enter(self, block: Block) -> None:
        own = slice(block.first, block.first + block.count)
        self._found[own] = self._replayed(block)
        for row in np.flatnonzero(self._flagged[own]).tolist():
            number, self._count = self._count, self._count + 1
            if self._chosen is None or self._chosen[number]:
                self._found[block.first + row] = self._jump(block, row)

    def _replayed(self, block: Block) -> Any:
        if block.operation == INPUT:
            return np.ravel(self._own[block.data[0]].ids)[block.data[1]]
        if block.operation == CONSTANT:
            return self.graph.constants(block.data, block.dtype)
        operands = [self._found[ids] for ids in block.operands]
        if block.operation == PRODUCT:
            return product(self.graph, operands[0], operands[1], block.dtype)
        return recorded(self.graph, block.operation, block.dtype, operands, block.data)

    def _jump(self, block: Block, row: int) -> int:
        """Enter a jump or kink; returns the node of its result."""
        operands = [self._real(int(self._found[ids[row]])) for ids in block.operands]
        self.guards.append(int(GUARDS[block.operation](self._node, *operands)))
        self.levels.append(LEVELS.get(block.operation, ZERO))
        self.kinks.append(block.operation in KINKED)
        own = int(self._found[block.first + row])
        self.own.append(self._mode(block.operation, own, operands))
        if not self._fixes:
            self.modes.append(self.own[-1])
            return own
        given = int(self._given.ids[len(self.modes)])
        self.modes.append(given)
        return self._as(self._result(block.operation, given, operands), block.dtype)

    def _mode(self, name: str, own: int, operands: list[int]) -> int:
        if name in KINKED:
            return self._real(self._node(KINKED[name][0], *operands, dtype=BOOL))
        return int(PARTLY[name][0](self._node, *operands)) if name in PARTLY else self._real(own)

    def _result(self, name: str, given: int, operands: list[int]) -> int:
        """The result of an operation whose mode is given."""
        if name in KINKED:
            return self._node("where", self._as(given, BOOL), *KINKED[name][1](self._node, *operands))
        return int(PARTLY[name][1](self._node, given, *operands)) if name in PARTLY else given

    def _node(self, name: str, *operands: Any, dtype: np.dtype[Any] = REAL) -> int:
        return int(np.ravel(recorded(self.graph, name, dtype, [np.asarray(one) for one in operands]))[0])

    def _real(self, node: int) -> int:
        return self._as(node, REAL)

    def _as(self, node: int, dtype: np.dtype[Any]) -> int:
        if self.graph.dtype(node) == dtype:
            return node
        if dtype.kind == "b":
            zero = self.graph.constant(np.asarray(0.0))
            return int(np.ravel(recorded(self.graph, "not_equal", dtype, [np.asarray(node), np.asarray(zero)]))[0])
        return int(np.ravel(recorded(self.graph, CONVERT, dtype, [np.asarray(node)]))[0])


def _jumping(program: Program) -> Any:
    """Which nodes jump as time and state change, or have kinks as the state does; not those that follow from others."""
    moves, jumps = np.zeros(program.size, dtype=bool), np.zeros(program.size, dtype=bool)
    real, by_state = np.zeros(program.size, dtype=bool), np.zeros(program.size, dtype=bool)
    for block in program.blocks:
        own = slice(block.first, block.first + block.count)
        real[own] = block.dtype.kind == "f"
        for flags, inputs in ((moves, (TIME, STATE)), (by_state, (STATE,))):
            found: Any = block.data[0] in inputs if block.operation == INPUT else any_of(block, flags)
            flags[own] = found
        if block.operation in GUARDS and (block.operation != CONVERT or block.dtype.kind in "iub"):
            depends = by_state if block.operation in KINKED else moves
            jumps[own] = depends[own] & np.all([real[ids] for ids in block.operands], axis=0)
            moves[own] &= block.operation in MOVING
            by_state[own] &= block.operation in MOVING
    return jumps


def _depending(program: Program, counts: Callable[[int], bool], chosen: Any) -> Any:
    """Flags of the jumps whose guards depend on some arguments while modes are fixed."""
    jumps, flags = _jumping(program), np.zeros(program.size, dtype=bool)
    found = np.zeros(program.size, dtype=bool)
    for block in program.blocks:
        own = slice(block.first, block.first + block.count)
        if block.operation == INPUT:
            flags[own] = counts(block.data[0])
        elif block.operands:
            found[own] = any_of(block, flags)
            flags[own] = found[own] & (~jumps[own] | (block.operation in MOVING))
    every = found[jumps]
    return every if chosen is None else every[chosen]

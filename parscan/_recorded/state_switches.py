"""Jumps and kinks of a recorded function that the state triggers: on which sides of them states are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .graph import INPUT, Block
from .program import Program, any_of, extract
from .switches import COMPARISONS, EITHER, STATE, Wanted

SIGNS = {"sign": 0, "signbit": 0, "heaviside": 0, "copysign": 1}
"""Operations that jump where an operand is zero, and its number."""

STAIRS = ("floor", "ceil", "trunc", "rint", "floor_divide")
"""Operations that jump from one value to the next one."""

REMAINDERS = ("remainder", "fmod")
"""Operations that subtract a stair of the ratio of their operands, times the second one, from the first one."""


def state_switches(program: Program) -> Program | None:
    """
    The program of what jumps compare, of those that the state triggers; None if there are none.

    Its results are the first operands of comparisons, the second ones, the operands of signs, the values of stairs, and
    the operands and values of remainders.
    """
    nodes: list[list[Any]] = [[] for _ in range(7)]
    for block, some in _by_state(program, (*COMPARISONS, *SIGNS, *STAIRS, *REMAINDERS)):
        if block.operation in SIGNS:
            nodes[2].append(block.operands[SIGNS[block.operation]][some])
        elif block.operation in STAIRS:
            nodes[3].append(block.first + np.flatnonzero(some))
        elif block.operation in REMAINDERS:
            for column, ids in zip(nodes[4:6], block.operands, strict=True):
                column.append(ids[some])
            nodes[6].append(block.first + np.flatnonzero(some))
        else:
            for column, ids in zip(nodes, block.operands, strict=False):
                column.append(ids[some])
    return _extracted(program, nodes)


def state_kinks(program: Program) -> Program | None:
    """
    The program of what decides on which side of a kink a state is; None if it has none.

    Its results are the first operands of maxima and minima, the second ones, and the numbers whose sizes are taken.
    """
    nodes: list[list[Any]] = [[], [], []]
    for block, some in _by_state(program, (*EITHER, "absolute")):
        for column, ids in zip(nodes[2:] if block.operation == "absolute" else nodes, block.operands, strict=False):
            column.append(ids[some])
    return _extracted(program, nodes)


def passes_kinks(kinks: Program, numbers: Sequence[Any], t: Any, states: Any) -> bool:
    """Whether states `(m, …)` at times `(m,)` are on different sides of a kink."""
    first, second, sizes = _at_points(kinks, numbers, t, states)
    sides = np.concatenate([first > second, sizes > 0], axis=1)
    return bool((sides[1:] != sides[:-1]).any())


def _at_points(program: Program, numbers: Sequence[Any], t: Any, states: Any) -> Any:
    """Results of a program at several points, with the same further arguments at all of them."""
    constants = [np.broadcast_to(one, (*t.shape, *np.shape(one))) for one in map(np.asarray, numbers)]
    return program(t, np.reshape(states, (*t.shape, *program.arguments[1].shape)), *constants)


def _by_state(program: Program, operations: Sequence[str]) -> Iterator[tuple[Block, Any]]:
    """Blocks of some operations, and which of their nodes the state triggers."""
    by_state, chars = np.zeros(program.size, bool), np.empty(program.size, "U1")
    for block in program.blocks:
        here = slice(block.first, block.first + block.count)
        chars[here] = block.dtype.char
        by_state[here] = block.data[0] == STATE if block.operation == INPUT else any_of(block, by_state)
        if block.operation in operations:
            yield block, by_state[here] & (chars[block.operands[0]] == "d")


def _extracted(program: Program, nodes: list[list[Any]]) -> Program | None:
    found = [np.concatenate([np.zeros(0, np.intp), *column]) for column in nodes]
    if not any(ids.size for ids in found):
        return None
    graph: Any = program  # it has blocks and a size, as a graph has
    wanted: Any = [Wanted(ids, np.dtype(np.float64)) for ids in found]
    return extract(graph, wanted, program.arguments)


def flips(switches: Program, numbers: Sequence[Any], t: Any, states: Any, slopes: Any) -> Any:
    """
    Whether steps between states `(m, …)` at times `(m,)`, with slopes `(m, …)` there, cross a jump: `(m - 1,)`.

    Their ends are on different sides of it, or the begin and the end of the tangent there: where a solution stays on a
    jump, the ends of steps may all be on one side, while the method evaluates the function on both.
    """

    def sides(t: Any, states: Any) -> Any:
        first, second, signs, stairs, dividends, divisors, rests = _at_points(switches, numbers, t, states)
        with np.errstate(all="ignore"):
            ratios = np.rint((dividends - rests) / divisors)
        return np.concatenate([first > second, signs > 0, stairs, ratios], axis=1)

    ends, lengths = sides(t, states), (t[1:] - t[:-1])[:, None]
    tangents = sides(t[1:], states[:-1] + lengths * slopes[:-1])
    return ((ends[1:] != ends[:-1]) | (tangents != ends[:-1])).any(axis=1)

"""
Solutions that stay on a switch: the slopes of Filippov, which lead along it.

Where the slopes on both sides of a comparison lead back to it, the solution stays there. Its slope is the mean of both
that is tangent to the switch: A. F. Filippov, "Differential Equations with Discontinuous Righthand Sides", Kluwer 1988.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .array import RecordingArray, recorded
from .differentiate import jacobian
from .frozen import EDGES, OTHER, Frozen, copied
from .graph import Graph
from .program import Argument
from .record import Recording

EXITS = 2
"""Numbers that are positive where the solution leaves the switch: to the side where it holds, and to the other one."""


def sliding(modes: Frozen, number: int, way: float, limit: int) -> Frozen | None:
    """
    The function on one of its switches, in the modes of the others; None if the others depend on its mode.

    What is compared has two more numbers than without it: see `EXITS`. They are those of solutions forwards in time if
    the `way` is 1, backwards if it is -1.

    Raises
    ------
    Refused
        If what is compared has no derivative.
    TooLarge
        If it has more nodes than the limit.
    """
    program, graph, double = modes.both, Graph(limit), np.dtype(np.float64)
    *others, last = program.arguments
    count = modes.comparisons
    every = [*others, Argument((last.shape[0] + EXITS,), last.dtype)]
    given = [graph.argument(k, one.shape, one.dtype) for k, one in enumerate(every)]
    own = np.delete(given[-1], np.arange(count, count + EXITS))
    is_stair = number < EDGES * modes.stairs
    sides = (_of_stair if is_stair else _of_comparison)(graph, modes, number, own)
    (above, compared), (below, again) = (copied(graph, program, [*given[:-1], one]) for one in sides.modes)
    others_too = np.delete(np.arange(count), sides.padded)
    if not np.array_equal(compared[others_too], again[others_too]):
        return None
    arguments = tuple(RecordingArray(graph, ids, one.dtype) for ids, one in zip(given, every, strict=True))
    _, levels = copied(graph, modes.switches, [*given[:-1], own])
    level: Any = RecordingArray(graph, compared[number : number + 1], double)
    if is_stair:
        # The edge itself is a level: that of the operand, which is `own` minus what is compared, to the nearest one.
        lower, place = sides.padded[0], number // EDGES
        edge = RecordingArray(graph, own[len(own) - modes.stairs + place :][:1], double)
        operand: Any = edge - RecordingArray(graph, compared[lower : lower + 1], double)
        level, levels = operand - edge, np.array(levels)
        levels[place] = np.rint(operand).ids[0]
    up, down = (RecordingArray(graph, ids, double) for ids in (above, below))
    rates = [_rate(graph, level, arguments, np.reshape(one, (-1,))) for one in (up, down)]
    slope: Any = (rates[1] * up - rates[0] * down) / (rates[1] - rates[0])
    kept = np.array(compared)
    kept[sides.padded] = [graph.constants(np.array([one]), double)[0] for one in sides.padding]
    numbers: Any = np.concatenate([RecordingArray(graph, kept, double), np.stack([way * rates[0], -way * rates[1]])])
    recording = Recording(graph, arguments, slope, tuple(one.dtype for one in every), double)
    switches = recording.extract(numbers, RecordingArray(graph, levels, double))
    return Frozen(recording, switches, recording.extract(slope, numbers), modes.is_nested, {})


class _Sides(NamedTuple):
    """Modes above a switch and below it, and the comparisons that are none there, with numbers of signs that stay."""

    modes: list[Any]
    padded: list[int]
    padding: list[float]


def _of_comparison(graph: Graph, modes: Frozen, number: int, own: Any) -> _Sides:
    """Both sides of a comparison: where it holds, and where it does not."""
    partner = modes.partners.get(number)
    signs = [{number: 1.0, partner: OTHER}, {number: OTHER, partner: 1.0}]
    padded = [k for k in signs[0] if k is not None]
    return _Sides([_fixed(graph, own, one) for one in signs], padded, [OTHER] * len(padded))


def _of_stair(graph: Graph, modes: Frozen, number: int, own: Any) -> _Sides:
    """Both sides of an edge of a stair, whose level is that above it."""
    place, double = number // EDGES, np.dtype(np.float64)
    above, below = np.array(own), np.array(own)
    edge = len(own) - modes.stairs + place
    below[edge] = recorded(graph, "subtract", double, [own[edge : edge + 1], graph.constants(np.ones(1), double)])[0]
    return _Sides([above, below], [EDGES * place, EDGES * place + 1], [OTHER, 1.0])


def _fixed(graph: Graph, ids: Any, signs: dict[Any, float]) -> Any:
    """Nodes of the modes, some of them with a sign."""
    found = np.array(ids)
    for number, sign in signs.items():
        if number is not None:
            found[number] = graph.constants(np.array([sign]), np.dtype(np.float64))[0]
    return found


def _rate(graph: Graph, level: RecordingArray, arguments: tuple[RecordingArray, ...], slope: Any) -> Any:
    """Derivative of what is compared by time, along a slope."""
    found: Any = 0.0
    for argument, factor in ((arguments[0], None), (arguments[1], slope)):
        _, columns, entries = jacobian(graph, level, argument)
        for k, column in enumerate(columns.tolist()):
            found = found + (entries[k] if factor is None else entries[k] * factor[column])
    return found

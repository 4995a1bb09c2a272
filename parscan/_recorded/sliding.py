"""
Solutions that stay on a switch: the slopes of Filippov, which lead along it.

Where the slopes on both sides of a comparison lead back to it, the solution stays there. Its slope is the mean of both
that is tangent to the switch: A. F. Filippov, "Differential Equations with Discontinuous Righthand Sides", Kluwer 1988.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import RecordingArray
from .differentiate import jacobian
from .frozen import OTHER, Frozen, copied
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
    program, graph = modes.both, Graph(limit)
    *others, last = program.arguments
    count = last.shape[0]
    every = [*others, Argument((count + EXITS,), last.dtype)]
    given = [graph.argument(k, one.shape, one.dtype) for k, one in enumerate(every)]
    partner = modes.partners.get(number)
    signs = [{number: 1.0, partner: OTHER}, {number: OTHER, partner: 1.0}]
    (above, compared), (below, again) = (copied(graph, program, [*given[:-1], _fixed(graph, given[-1], one)])
                                         for one in signs)  # fmt: skip
    if not np.array_equal(compared, again):
        return None
    arguments = tuple(RecordingArray(graph, ids, one.dtype) for ids, one in zip(given, every, strict=True))
    double = np.dtype(np.float64)
    level = RecordingArray(graph, compared[number : number + 1], double)
    up, down = (RecordingArray(graph, ids, double) for ids in (above, below))
    rates = [_rate(graph, level, arguments, np.reshape(one, (-1,))) for one in (up, down)]
    slope: Any = (rates[1] * up - rates[0] * down) / (rates[1] - rates[0])
    kept = np.array(compared)
    kept[[k for k in signs[0] if k is not None]] = graph.constants(np.array([OTHER]), double)[0]
    numbers: Any = np.concatenate([RecordingArray(graph, kept, double), np.stack([way * rates[0], -way * rates[1]])])
    recording = Recording(graph, arguments, slope, tuple(one.dtype for one in every), double)
    return Frozen(recording, recording.extract(numbers), recording.extract(slope, numbers), modes.is_nested, {})


def _fixed(graph: Graph, ids: Any, signs: dict[Any, float]) -> Any:
    """Nodes of the modes, some of them with a sign."""
    found = np.array(ids)[:-EXITS]
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

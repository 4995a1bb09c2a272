"""A step of DOP853 with a recorded right-hand side, as a recorded function; and its adjoint, a step backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..array import RecordingArray, recorded
from ..graph import Graph
from ..program import Argument, Program, extract
from ..pullbacks import pulled_back
from ..record import Recording
from ..tangents import replayed_on
from . import dop853

STATE, TIME, LENGTH, FIRST = range(4)
"""Numbers of the arguments of the step."""

NODES = dop853.C
"""Times of the stages, in steps; the rows of `A` are those of the stages after the first one."""


def one_step(recording: Recording) -> Recording:
    """
    The function `(y, t, h, ...) -> y` at `t + h` of a recorded right-hand side `f(t, y, ...)`.

    Raises
    ------
    TooLarge
        If it would have too many operations.
    """
    time, state, *others = recording.arguments
    graph, dtype, n = Graph(), state.dtype, state.size
    shapes = [(state.shape, dtype), ((), time.dtype), ((), time.dtype), *((one.shape, one.dtype) for one in others)]
    arguments = tuple(
        RecordingArray(graph, graph.argument(number, shape, of), of) for number, (shape, of) in enumerate(shapes)
    )
    y, t, h = (np.ravel(one.ids) for one in arguments[:FIRST])
    h = np.broadcast_to(h, (n,))
    slopes: list[Any] = []

    def both(name: str, one: Any, other: Any) -> Any:
        return np.array(
            [recorded(graph, name, dtype, list(pair)) for pair in zip(one.tolist(), other.tolist(), strict=True)]
        )

    def number(value: float) -> Any:
        return np.full(n, graph.constant(np.asarray(value, dtype)))

    def after(weights: Sequence[float]) -> Any:
        """The state and a weighted sum of slopes."""
        total = None
        for weight, slope in zip(weights, slopes, strict=False):
            if weight:
                term = both("multiply", number(weight), slope)
                total = term if total is None else both("add", total, term)
        return y if total is None else both("add", y, both("multiply", h, total))

    for node, weights in zip(NODES, ((), *dop853.A), strict=True):
        at = graph.constant(np.asarray(node, time.dtype))
        moment = recorded(
            graph, "add", time.dtype, [int(t[0]), recorded(graph, "multiply", time.dtype, [at, int(h[0])])]
        )
        given = [
            RecordingArray(graph, np.asarray(moment).reshape(()), time.dtype),
            RecordingArray(graph, after(weights).reshape(state.shape), dtype),
            *arguments[FIRST:],
        ]
        slopes.append(np.ravel(replayed_on(recording.program, given)[0].ids))
    result = RecordingArray(graph, after(dop853.B).reshape(state.shape), dtype)
    dtypes = (recording.dtypes[1], recording.dtypes[0], recording.dtypes[0], *recording.dtypes[2:])
    return Recording(graph, arguments, result, dtypes, recording.dtype)


def step_backwards(recording: Recording, numbers: Sequence[int]) -> Program:
    """
    The program `(Λ, y, t, h, ..., g) -> Λ` of the adjoint of a step `Φ(y, t, h, ...)`, recorded as by `one_step`.

    Λ are `λ`, which becomes `g + λ ∂Φ/∂y`, and sums, one for each entry of the arguments with some `numbers`, to which
    `λ ∂Φ/∂θ` is added.

    Raises
    ------
    TooLarge
        If the derivatives have too many operations.
    """
    program = pulled_back(recording, [STATE, *numbers])
    state, count = recording.arguments[STATE], len(recording.arguments)
    n, dtype = state.size, state.dtype
    width = n + sum(recording.arguments[number].size for number in numbers)
    graph = Graph()
    whole = RecordingArray(graph, graph.argument(0, (width,), dtype), dtype)
    others = [
        RecordingArray(graph, graph.argument(1 + number, one.shape, one.dtype), one.dtype)
        for number, one in enumerate(recording.arguments)
    ]
    added = RecordingArray(graph, graph.argument(1 + count, state.shape, dtype), dtype)
    ids = np.ravel(whole.ids)
    bar = RecordingArray(graph, ids[:n].reshape(state.shape), dtype)
    products = np.concatenate([np.ravel(one.ids) for one in replayed_on(program, [*others, bar])])
    terms = np.concatenate([np.ravel(added.ids), ids[n:]])
    nodes = np.ravel(recorded(graph, "add", dtype, [products, terms]))
    arguments = [Argument(one.shape, one.dtype) for one in (whole, *others, added)]
    return extract(graph, [RecordingArray(graph, nodes, dtype)], arguments)

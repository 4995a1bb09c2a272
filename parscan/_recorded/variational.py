"""A recorded function with its variational equations: the derivatives of states by parameters and by the start.

For `y' = f(t, y, θ)`, the derivative `S` of the state by some parameters satisfies `S' = ∂f/∂y S + ∂f/∂θ` with
`S(t0) = 0`; that by the initial state has no forcing and begins as the identity. (Hairer, Nørsett and Wanner, "Solving
Ordinary Differential Equations I", 2nd edition, Springer 1993, section I.14.) For a recurrence
`y_t = f(y_{t-1}, x_t, θ)`, this sum is the next `S`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from .array import RecordingArray
from .differentiate import jacobian
from .graph import Graph
from .record import Recording
from .tangents import WRITTEN_OUT, recorded_together, replayed_on


def variational(recording: Recording, numbers: Sequence[int], place: int, *, by_start: bool) -> Recording:
    """
    The function of `Y` in place of `y`, the argument with the number `place`, where `Y` are `y`, then `S` row by row.

    Its result is `f`, then `∂f/∂y S + ∂f/∂θ` row by row. It has one axis.

    The columns of `S` are the entries of some arguments, given by their `numbers`, in this order; then, if `by_start`,
    the components of the initial state.

    Raises
    ------
    Refused
        If something in the function has no derivative.
    TooLarge
        If the derivatives have too many operations.
    """
    graph, result, state = recording.graph, recording.result, recording.arguments[place]
    flat = result.with_ids(np.ravel(result.ids))
    rows, columns, slopes = jacobian(graph, flat, state)
    forcings = [jacobian(graph, flat, recording.arguments[number]) for number in numbers]
    program = recording.extract(flat, slopes, *(one[2] for one in forcings))
    firsts = list(accumulate((recording.arguments[number].size for number in numbers), initial=0))
    n, width = state.size, firsts[-1] + state.size * by_start

    other = Graph()
    shapes = [(n * (1 + width),) if number == place else one.shape for number, one in enumerate(recording.arguments)]
    arguments = tuple(
        RecordingArray(other, other.argument(number, shape, one.dtype), one.dtype)
        for number, (shape, one) in enumerate(zip(shapes, recording.arguments, strict=True))
    )
    ids = np.ravel(arguments[place].ids)
    given = list(arguments)
    given[place] = state_of = RecordingArray(other, ids[:n].reshape(state.shape), state.dtype)
    values, entries, *forced = replayed_on(program, given)
    found = _Sums(other, state_of.dtype, n * width)
    found.add_products(rows, columns, np.ravel(entries.ids), ids[n:].reshape(n, width))
    for first, (places, which, _), one in zip(firsts, forcings, forced, strict=False):
        found.add(places * width + first + which, np.ravel(one.ids))
    nodes = np.concatenate([np.ravel(values.ids), found.nodes])
    together = RecordingArray(other, nodes, state_of.dtype)
    return Recording(other, arguments, together, recording.dtypes, recording.dtype)


class _Sums:
    """Sums of nodes, one for each of some places; zero where nothing was added."""

    def __init__(self, graph: Graph, dtype: Any, size: int) -> None:
        self._graph, self._dtype = graph, dtype
        self._is_empty = np.ones(size, dtype=bool)
        self.nodes = np.full(size, graph.constant(np.asarray(0, dtype)))

    def add_products(self, rows: Any, columns: Any, entries: Any, matrix: Any) -> None:
        """Add the product of a sparse matrix with a dense one."""
        width = matrix.shape[1]
        one_by_one = rows.size * width <= WRITTEN_OUT
        order = np.arange(rows.size) - np.searchsorted(rows, rows)  # of an entry among those of its row
        for k in range(int(order.max(initial=-1)) + 1):
            some = order == k
            places = (rows[some, None] * width + np.arange(width)).ravel()
            factors = [np.repeat(entries[some], width), matrix[columns[some], :].ravel()]
            terms = recorded_together(self._graph, "multiply", self._dtype, factors, one_by_one=one_by_one)
            self.add(places, terms, one_by_one=one_by_one)

    def add(self, places: Any, terms: Any, *, one_by_one: bool = True) -> None:
        """Add terms at different places."""
        new = self._is_empty[places]
        self.nodes[places[new]] = terms[new]
        if not new.all():
            again, operands = places[~new], [self.nodes[places[~new]], terms[~new]]
            self.nodes[again] = recorded_together(
                self._graph, "add", self._dtype, operands, one_by_one=one_by_one
            )  # fmt: skip
        self._is_empty[places] = False

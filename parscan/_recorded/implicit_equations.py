"""Implicit equations `F(t, y, y') = 0` as recorded operations, together with both of their Jacobians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .array import RecordingArray
from .differentiate import jacobian
from .graph import Graph
from .program import Program
from .record import Recording

STATE, RATE = 1, 2
"""Numbers of the arguments of the equations: the state, and its derivative."""


@dataclass(frozen=True)
class Pencil:
    """
    The program `(t, y, y', ...) -> (entries, masses)` of the Jacobians of equations, in an order of their own.

    Attributes
    ----------
    equations : Program
        `(t, y, y', ...) -> F`, in an order in which the diagonals of the Jacobians have entries, if there is one.
    order : array of int, shape (n,)
        Their numbers in the order in which they were recorded.
    program : Program
        `entries` (k,) are those of ∂F/∂y, `masses` (k,) those of ∂F/∂y' at the same places.
    rows, columns : arrays of int, shape (k,)
        Where at least one of both may differ from zero, row by row.
    """

    equations: Program
    order: Any
    program: Program
    rows: Any
    columns: Any


def pencil(recording: Recording) -> Pencil:
    """
    The Jacobians of recorded equations `F(t, y, y', ...)`, as many as `y` has components.

    Raises
    ------
    Refused
        If something in them has no derivative.
    TooLarge
        If the derivatives have too many operations.
    """
    graph, result, n = recording.graph, recording.result, recording.arguments[STATE].size
    flat = result.with_ids(np.ravel(result.ids))
    found = [_entries(graph, flat, recording.arguments[number]) for number in (STATE, RATE)]
    places = np.unique(np.concatenate([own for own, _ in found]))
    zero = graph.constant(np.asarray(0, flat.dtype))
    filled = list[Any]()
    for own, nodes in found:
        entries = np.full(places.shape, zero)
        entries[np.searchsorted(places, own)] = nodes
        filled.append(entries)
    order = diagonal(places // n, places % n, n)
    rows, columns = np.argsort(order)[places // n], places % n
    sorted_by_rows = np.argsort(rows * n + columns)
    program = recording.extract(*(RecordingArray(graph, nodes[sorted_by_rows], flat.dtype) for nodes in filled))
    equations = recording.extract(flat.with_ids(np.ravel(flat.ids)[order]))
    return Pencil(equations, order, program, rows[sorted_by_rows], columns[sorted_by_rows])


def diagonal(rows: Any, columns: Any, n: int) -> Any:
    """
    Numbers `(n,)` of rows in an order in which the diagonal has entries: as few are moved as can be.

    They are not moved where the diagonal has entries, nor where there is no such order.
    """
    order = np.arange(n)
    on_diagonal = rows == columns
    if np.count_nonzero(on_diagonal) == n:
        return order
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow to import
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching  # noqa: PLC0415

    weights = csr_array((np.where(on_diagonal, 1.0, 2.0), (rows, columns)), shape=(n, n))
    try:
        some, others = min_weight_full_bipartite_matching(weights)
    except ValueError:  # there is none
        return order
    order[others] = some
    return order


def _entries(graph: Graph, outputs: RecordingArray, inputs: RecordingArray) -> tuple[Any, Any]:
    """Places `row * n + column` and nodes of a Jacobian's entries, without constant zeros: those of a mass matrix."""
    rows, columns, entries = jacobian(graph, outputs, inputs)
    nodes = np.ravel(entries.ids)
    some = np.array([graph.value(node) != 0 for node in nodes.tolist()], dtype=bool)
    return (rows * inputs.size + columns)[some], nodes[some]

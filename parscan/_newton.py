"""The loop: linearise, scan, update, test. It knows no method, structure, problem or array library."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ._arrays import Array, all_finite, array_namespace, quiet
from ._tolerance import Tolerance
from .scan import affine_scan
from .systems._system import Propagator, System


class Ending(Enum):
    """Why the loop ended."""

    CONVERGED = "the corrections fell below the tolerance"
    STALLED = "the corrections did not shrink fast enough"
    NOT_FINITE = "a correction was not finite"
    EXHAUSTED = "the iterations were used up"
    LATE = "the time was used up"


@dataclass(frozen=True)
class Rules:
    """How long to go on, and when to trust a small correction.

    Parameters
    ----------
    max_iterations : int
        Iterations at most.
    exact : bool
        Whether the propagators are the true ones. Then a correction is the error of the guess before it, and the
        error after it is of second order. Otherwise the errors shrink by a steady factor ρ, and the guess was off by
        1 / (1 - ρ) times the correction.
    required_rate : float
        The loop ends as stalled when an iteration leaves more than this share of the correction before it.
    max_seconds : float
        No iteration is begun so long after the first one, which may have to load the scan's kernels.
    """

    max_iterations: int
    exact: bool
    required_rate: float = float("inf")
    max_seconds: float = float("inf")


@dataclass(frozen=True)
class Outcome:
    """What the loop leaves behind.

    Parameters
    ----------
    ending : Ending
        Why it ended.
    z : array
        Nodes; those up to `first` are exact.
    first : int
        Last of the leading exact nodes; the number of nodes when all have been found.
    history : tuple of float
        Largest correction of each iteration in units of the tolerance.
    residual : float
        Largest defect that the last iteration met.
    """

    ending: Ending
    z: Array
    first: int
    history: tuple[float, ...]
    residual: float


def solve(
    system: System, z: Array, tolerance: Tolerance, rules: Rules, report: Callable[[int], None] | None = None
) -> Outcome:
    """Iterate from the guess `z` until the corrections of all nodes are within tolerance.

    `report` is told the number of exact leading nodes after every iteration.
    """
    first, history, residual = 0, [], 0.0
    sizes: Array | None = None
    ending = Ending.EXHAUSTED
    deadline = float("inf")
    for _ in range(rules.max_iterations):
        if time.perf_counter() > deadline:
            ending = Ending.LATE
            break
        propagator, defect = system.linearise(z, first)
        with quiet():
            correction = scan_corrections(propagator, defect)
            updated = system.update(z, correction, first)
            before, sizes = sizes, component_sizes(tolerance.relative(correction, updated[first + 1 :, ...]))
            known = leading(tolerance.is_rounding(correction, updated[first + 1 :, ...]))
            error = _largest(sizes)
            residual = _largest(component_sizes(abs(defect)))
            finite = all_finite(correction)
        history.append(error)
        z, first = _advance(system, z, updated, first, known, finite)
        if len(history) == 1:
            deadline = time.perf_counter() + rules.max_seconds
        if report is not None:
            report(first)
        if first == system.nodes or _trusted(sizes, before, rules.exact):
            ending, first = Ending.CONVERGED, system.nodes
            break
        if not finite:
            ending = Ending.NOT_FINITE
            break
        if len(history) > 1 and error > rules.required_rate * history[-2]:
            ending = Ending.STALLED
            break
    return Outcome(ending, z, first, tuple(history), residual)


def scan_corrections(propagator: Propagator | None, defect: Array) -> Array:
    """Corrections `δ_p = A_p δ_{p-1} + d_p` of the nodes after an exact one."""
    if propagator is None:
        return defect
    xp = array_namespace(defect)
    matrices, vectors = propagator.structure.operands(propagator.matrices, defect)
    return xp.reshape(affine_scan(matrices, vectors), defect.shape)


def component_sizes(values: Array) -> Array:
    """Largest entry per component (last axis); zeros where there are no nodes."""
    xp = array_namespace(values)
    if values.size == 0:
        return xp.zeros(values.shape[-1:], dtype=values.dtype)
    return xp.max(values, axis=tuple(range(values.ndim - 1)))


def leading(flags: Array) -> int:
    """Number of leading nodes (first axis) whose flags are all set."""
    xp = array_namespace(flags)
    if flags.shape[0] == 0:
        return 0
    nodes = xp.all(xp.reshape(flags, (flags.shape[0], -1)), axis=1)
    lowest = int(xp.argmin(xp.astype(nodes, xp.int64)))  # the first unset flag, if there is one
    return flags.shape[0] if bool(nodes[lowest]) else lowest


def _largest(sizes: Array) -> float:
    """Largest of the sizes, NaN if one is."""
    xp = array_namespace(sizes)
    return float(xp.max(sizes))


def _advance(system: System, z: Array, updated: Array, first: int, known: int, finite: bool) -> tuple[Array, int]:
    """New nodes and prefix: nodes that needed no correction were exact, and so is the next one after its own.

    Corrections that are not finite are taken up to there only.
    """
    first = min(first + known + 1, system.nodes)
    if finite:
        return updated, first
    xp = array_namespace(z)
    return xp.concat([updated[: first + 1, ...], z[first + 1 :, ...]]), first


def _trusted(sizes: Array, before: Array | None, exact: bool) -> bool:
    """Whether corrections of these sizes leave an error below the tolerance."""
    xp = array_namespace(sizes)
    if exact or before is None:
        return exact and bool(xp.all(sizes <= 1))
    with quiet():
        rate = xp.where(sizes == 0, xp.zeros_like(sizes), sizes / before)
        return bool(xp.all((rate < 1) & (sizes / (1 - rate) <= 1)))

"""The loop: linearise, scan, update, test. It knows no method, structure, problem or array library."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ._arrays import Array, all_finite, array_namespace, quiet
from ._tolerance import Tolerance, is_noise
from .scan import affine_scan
from .systems._system import Propagator, System

SAFETY = 0.01
"""Largest error that the rates may predict for the final nodes, in units of the tolerance."""


class Ending(Enum):
    """Why the loop ended."""

    CONVERGED = "the corrections fell below the tolerance"
    STALLED = "the corrections did not shrink fast enough"
    NOT_FINITE = "a correction was not finite"
    RAISED = "`step` raised an exception on guessed states"
    EXHAUSTED = "the iterations were used up"
    LATE = "the time was used up"


@dataclass(frozen=True)
class Rules:
    """How long to go on, and when to trust a small correction.

    Parameters
    ----------
    max_iterations : int
        Iterations at most.
    propagates : bool
        Whether corrections are carried on from node to node. If not, each is the mismatch at one node only, and what
        counts is their sum over all nodes.
    superlinear : bool
        Whether the corrections shrink faster and faster, down to rounding.
    required_rate : float
        The loop ends as stalled when an iteration leaves more than this share of the correction before it.
    max_seconds : float
        No iteration is begun so long after the first one, which may have to load the scan's kernels.
    """

    max_iterations: int
    propagates: bool
    superlinear: bool
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
        Largest defect that is left.
    note : str
        What an exception said.
    """

    ending: Ending
    z: Array
    first: int
    history: tuple[float, ...]
    residual: float
    note: str = ""


@dataclass(frozen=True)
class Iteration:
    """Nodes after an iteration, the last exact one, and what the corrections were like.

    `sizes` are the largest per component in units of the tolerance, `trusted` says whether what they leave is small.
    """

    z: Array
    first: int
    sizes: Array
    finite: bool
    trusted: bool


def solve(
    system: System, z: Array, tolerance: Tolerance, rules: Rules, report: Callable[[int], None] | None = None
) -> Outcome:
    """Iterate from the guess `z` until all nodes are exact, or their corrections small enough to be trusted.

    `report` is told the number of exact leading nodes after every iteration.
    """
    first, deadline, residual, note = 0, float("inf"), 0.0, ""
    sizes: list[Array] = []
    ending: Ending | None = None
    while ending is None:
        try:
            iteration = _iterate(system, z, first, tolerance, rules, sizes)
            z, first = iteration.z, iteration.first
            sizes.append(iteration.sizes)
            unsure = iteration.trusted and first < system.nodes
            residual = _residual(system, z, first, tolerance, rules) if unsure else 0.0
        except Exception as error:  # a guessed state may be one that the user's step rejects; the loop will tell
            ending, note = Ending.RAISED, f"{type(error).__name__}: {error}"
            break
        if report is not None:
            report(first)
        if len(sizes) == 1:
            deadline = time.perf_counter() + rules.max_seconds
        solved = first == system.nodes or (iteration.trusted and residual < float("inf"))
        ending = Ending.CONVERGED if solved else _failure(iteration, sizes, rules, deadline)
    history = tuple(_largest(values) for values in sizes)
    return Outcome(ending, z, system.nodes if ending is Ending.CONVERGED else first, history, residual, note)


def _iterate(system: System, z: Array, first: int, tolerance: Tolerance, rules: Rules, sizes: list[Array]) -> Iteration:
    """Linearise, scan, update; `sizes` are those of the iterations before."""
    propagator, target = system.linearise(z, first)
    with quiet():
        defect = target - z[first + 1 :, ...]
        correction = scan_corrections(propagator, defect)
        # Not z + correction: where nothing came from the node before, the target is met to the last bit.
        updated = target + (correction - defect)
        new_sizes = component_sizes(tolerance.relative(correction, updated))
        trusted = _trusted([*sizes, new_sizes], correction, updated, rules)
        finite = all_finite(correction)
        z, first = _advance(system, z, first, target, updated, finite=finite)
    return Iteration(z, first, new_sizes, finite, trusted)


def _failure(iteration: Iteration, sizes: list[Array], rules: Rules, deadline: float) -> Ending | None:
    """Reason to give up, if there is one."""
    if not iteration.finite:
        return Ending.NOT_FINITE
    if len(sizes) > 1 and _largest(sizes[-1]) > rules.required_rate * _largest(sizes[-2]):
        return Ending.STALLED
    if len(sizes) >= rules.max_iterations:
        return Ending.EXHAUSTED
    return Ending.LATE if time.perf_counter() > deadline else None


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
    return float(array_namespace(sizes).max(sizes))


def _advance(
    system: System, z: Array, first: int, target: Array, updated: Array, *, finite: bool
) -> tuple[Array, int]:
    """New nodes, and the last exact one: nodes that met their targets were exact, and so is now the one after them.

    The exact nodes are the targets themselves: a propagator that is not finite must not reach them through a
    correction of zero. The others are updated if all corrections are finite.
    """
    xp = array_namespace(z)
    exact = min(first + leading(target == z[first + 1 :, ...]) + 1, system.nodes)
    rest = updated if finite else z[first + 1 :, ...]
    return xp.concat([z[: first + 1, ...], target[: exact - first, ...], rest[exact - first :, ...]]), exact


def _trusted(sizes: list[Array], correction: Array, updated: Array, rules: Rules) -> bool:
    """Whether the corrections seem to leave an error below the tolerance: worth a look at the residual."""
    xp = array_namespace(correction)
    nodes = correction.shape[0]
    bound = sizes[-1] * (1 if rules.propagates else nodes)
    if not bool(xp.all(bound < float("inf"))):
        return False
    together = sizes[-1] * (1 if rules.superlinear else nodes)
    if bool(xp.all(together <= 1)) and bool(xp.all(is_noise(correction, xp.abs(updated)))):
        return True
    if len(sizes) == 1:
        return False
    rate = xp.where(sizes[-1] == 0, xp.zeros_like(bound), sizes[-1] / sizes[-2])
    left = xp.where(rate < 1, bound * rate / (1 - rate), xp.full_like(bound, float("inf")))
    # Newton's corrections may stall at the rounding of the scan; far below the tolerance that does not matter.
    small = (left <= SAFETY) | (rules.superlinear & (bound <= SAFETY))
    return bool(xp.all(small))


def _residual(system: System, z: Array, first: int, tolerance: Tolerance, rules: Rules) -> float:
    """Largest defect of the final nodes; infinite if they are not final after all.

    What made the corrections look small may have been the end of a transient. So the defects that are left are held
    against the tolerance together, as they would add up if nothing damped them, and relative to the states, as they
    would if all grew; but for those of rounding, which every step of a loop commits.
    """
    xp = array_namespace(z)
    with quiet():
        nodes = z[first + 1 :, ...]
        defect = system.finish(z, first) - nodes
        size = xp.max(xp.abs(nodes), axis=-1, keepdims=True)
        noise = is_noise(defect, size) & rules.superlinear
        together = xp.sum(xp.where(noise, xp.zeros_like(size), tolerance.relative_to(defect, size)), axis=0)
        final = xp.all(together <= 1) & xp.all(tolerance.relative(defect, nodes) <= 1)
        return _largest(component_sizes(abs(defect))) if bool(final) else float("inf")

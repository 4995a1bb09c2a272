"""When corrections are small enough: what they leave, what is rounding, and what one more sweep says of it."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from .system import System
from .tolerance import Tolerance, is_noise

SAFETY = 0.01
"""Largest error that the rates may predict for the final nodes, in units of the tolerance."""

FAR = 1e4
"""Roundings of the largest number from which on a correction is no matter of rounding."""


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
    largest_growth : float
        Logarithm of the growth over all nodes, at the guess, from which the loop is not begun.
    max_seconds : float
        Time for linearising. No iteration is begun that would go beyond it if it took as long as the one before; a
        first scan may have to load its kernels, so scans are not counted.
    share : float
        Part of the tolerance on all defects together that these nodes may use up.
    """

    max_iterations: int
    propagates: bool
    superlinear: bool
    required_rate: float = float("inf")
    largest_growth: float = float("inf")
    max_seconds: float = float("inf")
    share: float = 1.0


def trusted(sizes: list[Array], correction: Array, updated: Array, rules: Rules) -> bool:
    """Whether the corrections seem to leave an error below the tolerance: worth a look at the residual."""
    nodes = correction.shape[0]
    bound = sizes[-1] * (1 if rules.propagates else nodes)
    xp = array_namespace(bound)
    if not bool(xp.all(bound < float("inf"))):
        return False
    together = sizes[-1] * (1 if rules.superlinear else nodes / rules.share)
    if bool(xp.all(together <= 1)) and _is_all_noise(correction, updated):
        return True
    if len(sizes) == 1:
        return False
    rate = xp.where(sizes[-1] == 0, xp.zeros_like(bound), sizes[-1] / sizes[-2])
    left = xp.where(rate < 1, bound * rate / (1 - rate), xp.full_like(bound, float("inf")))
    # Newton's corrections may stall at the rounding of the scan; far below the tolerance that does not matter.
    small = (left <= SAFETY) | (rules.superlinear & (bound <= SAFETY))
    return bool(xp.all(small))


def _is_all_noise(correction: Array, updated: Array) -> bool:
    """Whether nothing but rounding was corrected."""
    xp = array_namespace(correction)
    return bool(xp.all(is_noise(correction, xp.abs(updated))))


def may_be_noise(correction: Array, updated: Array) -> bool:
    """Whether all corrections are small beside the largest number."""
    xp = array_namespace(correction)
    if correction.size == 0:
        return False
    return bool(xp.max(xp.abs(correction)) <= FAR * machine_epsilon(correction.dtype) * xp.max(xp.abs(updated)))


def is_final(
    system: System, z: Array, first: int, tolerance: Tolerance, rules: Rules, *, rounded: bool = False
) -> bool:
    """Whether the nodes are what they seem: follow from each other, by one more sweep.

    What made the corrections look small may have been the end of a transient. So the defects that are left are held
    against the tolerance together, as they would add up if nothing damped them, and relative to the states, as they
    would if all grew; but for those of rounding, which every step of a loop commits. `rounded`: corrections have come
    down to rounding, and a defect may also be what the roundings of a step's arguments make of its values: a small
    component that large ones feed has theirs.
    """
    xp = array_namespace(z)
    with quiet():
        nodes = z[first + 1 :, ...]
        defect = system.finish(z, first) - nodes
        size = xp.max(xp.abs(nodes), axis=-1, keepdims=True)
        noise = is_noise(defect, size) & (rules.superlinear or rounded)
        together = xp.sum(xp.where(noise, xp.zeros_like(size), tolerance.relative_to(defect, size)), axis=0)
        fits = tolerance.relative(defect, nodes) <= 1
        if rounded and not bool(xp.all(fits)):
            fits = fits | (xp.abs(defect) <= system.roundings(z, first))
        return bool(xp.all(together <= rules.share) & xp.all(fits))

"""Convergence on a row of nodes: when corrections are small enough, rounding only, or not worth another iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from .._linalg.growth import log_growth
from .correction import Correction
from .linearisation import Propagator
from .newton import Ended, Ending, Iteration, iterate
from .system import System
from .termination import Termination
from .tolerance import Tolerance, is_noise

SAFETY = 0.01
"""Largest error that the rates may predict for the final nodes, in units of the tolerance."""

FAR = 1e4
"""Roundings of the largest number from which on a correction cannot be due to rounding."""

STALLING = 0.5
"""Share of a correction left by the next one from which on corrections may have come down to rounding."""

STALLED_AT_ROUNDING = "or stalled at the rounding of larger components"
"""Note on a solve in which the rounding errors of some components exceed their tolerance."""

CONTRACTING = 0.3
"""Largest mean share of a correction left by the next one with which rounding errors of a node die out later."""

FEW = 8
"""Iterations that are never too many for the number of nodes."""


@dataclass(frozen=True)
class StoppingRules:
    """How long to iterate, and when to trust a small correction.

    Parameters
    ----------
    max_iterations : int
        Iterations at most.
    propagates : bool
        Whether corrections are carried on from node to node. If not, each is the mismatch at one node only, and their
        sum over all nodes counts.
    superlinear : bool
        Whether the corrections shrink faster and faster, down to rounding.
    required_rate : float
        The loop ends as stalled when an iteration leaves more than this share of the correction before it.
    largest_growth : float
        Logarithm of the growth over all nodes, at the guess, from which the loop is not begun.
    max_seconds : float
        Time for linearising. No iteration is begun that would exceed it if it took as long as the one before.
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


@dataclass(frozen=True)
class Outcome:
    """A trajectory after Newton's loop.

    Parameters
    ----------
    ending : Termination
        Why it ended.
    z : array
        Nodes; those up to `first` are exact.
    first : int
        Last of the leading exact nodes; the number of nodes when all have been found.
    history : tuple of float
        Largest correction of each iteration in units of the tolerance.
    growth : float
        Logarithm of the growth of a small change over all nodes, by the last propagators.
    note : str
        The message of an exception, or a remark on the errors that are left.
    """

    ending: Termination
    z: Array
    first: int
    history: tuple[float, ...]
    growth: float
    note: str = ""


def solve(
    system: System,
    z: Array,
    tolerance: Tolerance,
    rules: StoppingRules,
    report: Callable[[int, int, float], None] | None = None,
) -> Outcome:
    """Iterate from the guess `z` until all nodes are exact, or their corrections small enough to be trusted.

    `report` receives the number of exact leading nodes, that of iterations, and the last correction.
    """
    run = _OnNodes(system, z, tolerance, rules)
    ending, history = iterate(run, report)
    first = system.nodes if ending.termination is Termination.CONVERGED else run.first
    return Outcome(ending.termination, run.z, first, history, run.growth(), ending.note)


class _OnNodes(Iteration):
    """The nodes of a system under correction."""

    def __init__(self, system: System, z: Array, tolerance: Tolerance, rules: StoppingRules) -> None:
        self.z = z
        self.first = 0
        self._system = system
        self._tolerance = tolerance
        self._rules = rules
        self._sizes: list[Array] = []
        self._largest: list[Array] = []
        self._propagator: Propagator | None = None
        self._last: Correction | None = None
        self._seconds = 0.0
        self._look_again = 0

    def growth(self) -> float:
        """Logarithm of the growth by the last propagators; −inf if it does not matter, or there are none."""
        last = self._propagator
        if self._rules.largest_growth == float("inf") or last is None or last.weight:
            return -float("inf")
        return log_growth(last.structure, last.matrices)

    def correct(self) -> tuple[int, float]:
        """All nodes after the exact ones."""
        self._last = None  # its arrays are not kept during the next sweep
        admit = None if self._sizes else self._admit
        last = self._system.correct(self.z, self.first, self._tolerance, admit)
        self.z, self.first, self._propagator, self._last = last.nodes, last.first, last.propagator, last
        self._seconds += last.seconds
        self._sizes.append(last.sizes)
        self._largest.append(last.largest)
        return self.first, _largest(last.sizes)

    def _admit(self, propagator: Propagator | None) -> None:
        """End before the first scan where small changes grow too much over these nodes."""
        self._propagator = propagator
        if self.growth() > self._rules.largest_growth:
            raise Ended(Termination.GREW)

    def terminate(self, history: list[float]) -> Ending | None:
        """Converged, if a further sweep confirms it; or failed."""
        last = self._last
        assert last is not None
        if self.first == self._system.nodes:
            return Ending(Termination.CONVERGED)
        if trusted(self._sizes, last, self._rules) and self._is_final(rounded=False):
            return Ending(Termination.CONVERGED)
        if last.finite and self._stalls_at_rounding(history, last):
            self._look_again = 2 * len(history)
            if self._is_final(rounded=True):
                return Ending(Termination.CONVERGED, STALLED_AT_ROUNDING)
        return self._failure(history, last)

    def _is_final(self, *, rounded: bool) -> bool:
        """Whether one more sweep confirms the nodes."""
        return is_final(self._system, self.z, self.first, self._tolerance, self._rules, rounded=rounded)

    def _stalls_at_rounding(self, history: list[float], last: Correction) -> bool:
        """Whether the corrections stall, and are so small that the rounding errors of the steps may be the reason."""
        share = min(STALLING, self._rules.required_rate)
        stalls = len(history) > 1 and history[-1] > share * history[-2]
        due = stalls and len(history) >= self._look_again
        return due and (self._rules.superlinear or self._contracts()) and may_be_noise(last)

    def _contracts(self) -> bool:
        """Whether the corrections of all components have fallen: errors of nodes then die out at the next ones."""
        fallen = CONTRACTING ** (len(self._largest) - 1)
        return bool((self._largest[-1] <= fallen * self._largest[0]).all())

    def _failure(self, history: list[float], last: Correction) -> Ending | None:
        """Reason to give up, if there is one.

        Corrections stall if they do so in tolerances, whose largest values belong to numbers that are zero by chance,
        and in the units of their component as well.
        """
        rules = self._rules
        if not last.finite:
            return Ending(Termination.NOT_FINITE)
        if len(history) > 1 and history[-1] > rules.required_rate * history[-2]:
            before, now = self._largest[-2:]
            if bool((now > rules.required_rate * before).any()):
                return Ending(Termination.STALLED)
        if len(history) >= FEW and 2 * len(history) > self._system.nodes:  # little but the exact prefix has grown
            return Ending(Termination.STALLED)
        if len(history) >= rules.max_iterations:
            return Ending(Termination.EXHAUSTED)
        return Ending(Termination.LATE) if self._seconds + last.seconds > rules.max_seconds else None


def _largest(sizes: Array) -> float:
    """Largest of the sizes, NaN if one is."""
    return float(array_namespace(sizes).max(sizes))


def trusted(sizes: list[Array], last: Correction, rules: StoppingRules) -> bool:
    """Whether the corrections seem to leave an error below the tolerance, so that a further sweep is worthwhile."""
    nodes = last.change.shape[0]
    bound = sizes[-1] * (1 if rules.propagates else nodes)
    xp = array_namespace(bound)
    if not bool(xp.all(bound < float("inf"))):
        return False
    together = sizes[-1] * (1 if rules.superlinear else nodes / rules.share)
    if bool(xp.all(together <= 1)) and _is_all_noise(last):
        return True
    if len(sizes) == 1:
        return False
    with quiet():
        rate = xp.where(sizes[-1] == 0, xp.zeros_like(bound), sizes[-1] / sizes[-2])
        left = xp.where(rate < 1, bound * rate / (1 - rate), xp.full_like(bound, float("inf")))
    # Newton's corrections may stall at the rounding of the scan; far below the tolerance that does not matter.
    small = (left <= SAFETY) | (rules.superlinear & (bound <= SAFETY))
    return bool(xp.all(small))


def _is_all_noise(last: Correction) -> bool:
    """Whether all corrections are rounding."""
    xp = array_namespace(last.change)
    return bool(xp.all(is_noise(last.change, xp.abs(last.corrected))))


def may_be_noise(last: Correction) -> bool:
    """Whether all corrections are small beside the largest number."""
    change = last.change
    xp = array_namespace(change)
    if change.size == 0:
        return False
    return bool(xp.max(xp.abs(change)) <= FAR * machine_epsilon(change.dtype) * xp.max(xp.abs(last.corrected)))


def is_final(
    system: System, z: Array, first: int, tolerance: Tolerance, rules: StoppingRules, *, rounded: bool = False
) -> bool:
    """Whether a further sweep confirms that the nodes follow from each other.

    Small corrections may only mark the end of a transient. The remaining defects must therefore satisfy the tolerance
    when summed over all nodes, as they would add up if nothing damped them, and when measured relative to the states,
    as if all of them grew; defects at the level of rounding, which every step of a loop commits, are excluded.
    `rounded`: corrections have come down to rounding, and a defect may also be as large as the rounding errors of a
    step's arguments make it: a small component that large ones feed has theirs.
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

"""Convergence on a row of nodes: when corrections are small enough, only rounding, or not worth another iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._arrays.namespace import Array, array_namespace, library, machine_epsilon, quiet
from .._linalg.growth import log_growth
from .correction import Correction
from .linearisation import Propagator
from .newton import Ended, Ending, Iteration, iterate
from .system import System
from .termination import Termination
from .tolerance import Tolerance, is_noise

SAFETY = 0.01
"""Largest error of the final nodes, predicted from the rate of convergence, in units of the tolerance."""

FAR = 1e4
"""A correction of more than this many roundings of the largest number cannot be due to rounding."""

STALLING = 0.5
"""Corrections stall, perhaps at rounding, if one is more than this share of the previous one."""

STALLED_AT_ROUNDING = "or stalled at the rounding of larger components"
"""Note on a solve in which the rounding errors of some components exceed their tolerance."""

CONTRACTING = 0.3
"""Corrections contract if their mean ratio is at most this; then rounding errors of a node die out at later nodes."""

FEW = 8
"""Number of iterations that is allowed for any number of nodes."""


@dataclass(frozen=True)
class StoppingRules:
    """How long to iterate, and when to trust a small correction.

    Parameters
    ----------
    max_iterations : int
        Largest number of iterations.
    propagates : bool
        Whether corrections are propagated from node to node. If not, each correction is the defect of one node only,
        and the sum over all nodes counts.
    superlinear : bool
        Whether the convergence is superlinear, so that corrections reach rounding.
    required_rate : float
        The loop ends as stalled when a correction is more than this share of the previous one.
    largest_growth : float
        The loop is not begun if the logarithm of the growth over all nodes, at the guess, exceeds this.
    max_seconds : float
        Time for linearising. An iteration is not begun if it would exceed this when it takes as long as the last one.
    share : float
        Share of the tolerance on the sum of all defects of the solve that these nodes may use.
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
        Why the loop ended.
    z : array
        Nodes; those up to `first` are exact.
    first : int
        Last of the leading exact nodes; the number of nodes if all converged.
    history : tuple of float
        Largest correction of each iteration in units of the tolerance.
    growth : float
        Logarithm of the growth of a small change over all nodes, by the last propagators.
    note : str
        The message of an exception, or a remark on the remaining errors.
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
    """Iterate from the guess `z` until all nodes are exact, or their corrections are small enough to be trusted.

    `report` receives the number of exact leading nodes, the number of iterations, and the last correction.
    """
    if rules.max_iterations > 1 and (met := system.at_once(z, tolerance)) is not None:
        nodes, sizes = met
        if report is not None:
            for count, size in enumerate(sizes, start=1):
                report(system.nodes if count == len(sizes) else 0, count, size)
        return Outcome(Termination.CONVERGED, nodes, system.nodes, sizes, -float("inf"))
    run = _OnNodes(system, z, tolerance, rules)
    ending, history = iterate(run, report)
    first = system.nodes if ending.termination is Termination.CONVERGED else run.first
    return Outcome(ending.termination, run.z, first, history, run.growth(), ending.note)


LOADING = (0, 2, 1)
"""How often the times of the first, the second and later iterations count where a library may load and compile at the
first one what all of them use."""


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
        self._counted = (1, 1, 1) if library(z) == "numpy" else LOADING
        self._next_check = 0  # iterations before the next check whether corrections stall at rounding

    def growth(self) -> float:
        """Logarithm of the growth by the last propagators; −inf if growth is not limited, or there are none."""
        last = self._propagator
        if self._rules.largest_growth == float("inf") or last is None or last.weight:
            return -float("inf")
        return log_growth(last.structure, last.matrices)

    def correct(self) -> tuple[int, float]:
        """One iteration on all nodes after the exact ones."""
        self._last = None  # its arrays are not kept during the next sweep
        admit = None if self._sizes else self._admit
        last = self._system.correct(self.z, self.first, self._tolerance, admit)
        self.z, self.first, self._propagator, self._last = last.nodes, last.first, last.propagator, last
        self._seconds += self._counted[min(len(self._sizes), 2)] * last.seconds
        self._sizes.append(last.sizes)
        self._largest.append(last.largest)
        return self.first, _largest(last.sizes)

    def _admit(self, propagator: Propagator | None) -> None:
        """End before the first scan if small changes grow too much over these nodes."""
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
            self._next_check = 2 * len(history)
            if self._is_final(rounded=True):
                return Ending(Termination.CONVERGED, STALLED_AT_ROUNDING)
        return self._failure(history, last)

    def _is_final(self, *, rounded: bool) -> bool:
        """Whether one more sweep confirms the nodes."""
        return is_final(self._system, self.z, self.first, self._tolerance, self._rules, rounded=rounded)

    def _stalls_at_rounding(self, history: list[float], last: Correction) -> bool:
        """Whether the corrections stall, and are so small that rounding errors of the steps may be the cause."""
        share = min(STALLING, self._rules.required_rate)
        stalls = len(history) > 1 and history[-1] > share * history[-2]
        due = stalls and len(history) >= self._next_check
        return due and (self._rules.superlinear or self._contracts()) and may_be_noise(last)

    def _contracts(self) -> bool:
        """Whether the corrections of all components have contracted: see `CONTRACTING`."""
        fallen = CONTRACTING ** (len(self._largest) - 1)
        return bool((self._largest[-1] <= fallen * self._largest[0]).all())

    def _failure(self, history: list[float], last: Correction) -> Ending | None:
        """Reason to give up; None if there is none.

        Corrections must stall both in tolerances and in the units of their component: in tolerances alone, the largest
        ones may belong to numbers that are close to zero by chance.
        """
        rules = self._rules
        if not last.finite:
            return Ending(Termination.NOT_FINITE)
        if len(history) > 1 and history[-1] > rules.required_rate * history[-2]:
            before, now = self._largest[-2:]
            if bool((now > rules.required_rate * before).any()):
                return Ending(Termination.STALLED)
        if len(history) >= FEW and 2 * len(history) > self._system.nodes:  # each iteration adds about one exact node
            return Ending(Termination.STALLED)
        if len(history) >= rules.max_iterations:
            return Ending(Termination.EXHAUSTED)
        is_late = self._seconds > 0 and self._seconds + last.seconds > rules.max_seconds
        return Ending(Termination.LATE) if is_late else None


def _largest(sizes: Array) -> float:
    """Largest of the sizes; NaN if one of them is NaN."""
    return float(array_namespace(sizes).max(sizes))


def trusted(sizes: list[Array], last: Correction, rules: StoppingRules) -> bool:
    """Whether the error seems to be below the tolerance, so that a sweep to confirm it is worthwhile."""
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
    # Newton's corrections may stall at the rounding of the scan; far below the tolerance, this does not matter.
    small = (left <= SAFETY) | (rules.superlinear & (bound <= SAFETY))
    return bool(xp.all(small))


def _is_all_noise(last: Correction) -> bool:
    """Whether all corrections are rounding."""
    xp = array_namespace(last.change)
    return bool(xp.all(is_noise(last.change, xp.abs(last.corrected))))


def may_be_noise(last: Correction) -> bool:
    """Whether all corrections are small compared with the largest number."""
    change = last.change
    xp = array_namespace(change)
    if change.size == 0:
        return False
    return bool(xp.max(xp.abs(change)) <= FAR * machine_epsilon(change.dtype) * xp.max(xp.abs(last.corrected)))


def is_final(
    system: System, z: Array, first: int, tolerance: Tolerance, rules: StoppingRules, *, rounded: bool = False
) -> bool:
    """Whether a further sweep confirms that the nodes follow from each other.

    Small corrections may only mark the end of a transient. Therefore the remaining defects are summed over all nodes,
    as they would add up if nothing damped them, and measured relative to the states, as if all of them grew; the sum
    must satisfy the tolerance. Defects at the level of rounding are excluded: every step of a loop commits them.
    `rounded`: corrections stall at rounding. Then a defect may also be as large as the effect of rounding errors in a
    step's arguments: a small component that depends on large ones carries their rounding.
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

"""The loop: linearise, scan, update, test. It knows no method, structure, problem or array library."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ._arrays import Array, array_namespace, quiet
from ._facts import Facts, look
from ._growth import log_growth
from ._tolerance import Tolerance, is_noise
from .scan import affine_scan
from .scan.smoothing import smooth
from .systems._system import Linearisation, NoGain, Propagator, Rejected, System

SAFETY = 0.01
"""Largest error that the rates may predict for the final nodes, in units of the tolerance."""


FEW = 8
"""Iterations that are never too many for the number of nodes."""


class Ending(Enum):
    """Why the loop ended."""

    CONVERGED = "the errors fell below the tolerance"
    STALLED = "the corrections did not shrink fast enough"
    NOT_FINITE = "a correction was not finite"
    RAISED = "`step` raised an exception on guessed states"
    EXHAUSTED = "the iterations were used up"
    GREW = "the propagators grow too much over so many steps"
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
    growth : float
        Logarithm of the growth of a small change over all nodes, as far as the last propagators tell.
    note : str
        What an exception said.
    """

    ending: Ending
    z: Array
    first: int
    history: tuple[float, ...]
    growth: float
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
    system: System,
    z: Array,
    tolerance: Tolerance,
    rules: Rules,
    report: Callable[[int, int, float], None] | None = None,
) -> Outcome:
    """Iterate from the guess `z` until all nodes are exact, or their corrections small enough to be trusted.

    `report` is told the number of exact leading nodes, of iterations, and the last correction after every iteration.
    """
    run = _Run(system, z, tolerance, rules)
    ending, note = None, ""
    while ending is None:
        try:
            ending = run.iterate()
        except NoGain:
            ending = Ending.STALLED
        except Rejected as rejected:  # by the user's step, perhaps for the guess only; the loop will tell
            ending, note = Ending.RAISED, f"{type(rejected.__cause__).__name__}: {rejected.__cause__}"
        if report is not None and (done := run.iterations):
            report(run.first, done, run.correction)
    first = system.nodes if ending is Ending.CONVERGED else run.first
    return Outcome(ending, run.z, first, run.history, run.growth(), note)


class _Run:
    """The state of one solve."""

    def __init__(self, system: System, z: Array, tolerance: Tolerance, rules: Rules) -> None:
        self.z = z
        self.first = 0
        self._system = system
        self._tolerance = tolerance
        self._rules = rules
        self._sizes: list[Array] = []
        self._propagator: Propagator | None = None
        self._seconds = 0.0

    @property
    def history(self) -> tuple[float, ...]:
        """Largest correction of every iteration."""
        return tuple(_largest(sizes) for sizes in self._sizes)

    @property
    def iterations(self) -> int:
        """How many there were."""
        return len(self._sizes)

    @property
    def correction(self) -> float:
        """Largest of the last iteration."""
        return _largest(self._sizes[-1])

    def growth(self) -> float:
        """Logarithm of the growth by the propagators of the last iteration, −inf if it is not asked for."""
        if self._rules.largest_growth == float("inf") or (self._propagator and self._propagator.weight):
            return -float("inf")
        return log_growth(self._propagator)

    def iterate(self) -> Ending | None:
        """Linearise, scan, update, test."""
        begin = time.perf_counter()
        line = self._system.linearise(self.z, self.first)
        last = time.perf_counter() - begin
        self._seconds += last
        self._propagator = line.propagator
        if not self._sizes and self.growth() > self._rules.largest_growth:
            return Ending.GREW
        iteration = self._update(line)
        self.z, self.first = iteration.z, iteration.first
        self._sizes.append(iteration.sizes)
        if self.first == self._system.nodes:
            return Ending.CONVERGED
        if iteration.trusted and _is_final(self._system, self.z, self.first, self._tolerance, self._rules):
            return Ending.CONVERGED
        return self._failure(iteration, self._seconds + last)

    def _update(self, line: Linearisation) -> Iteration:
        """Scan and update."""
        target = line.targets
        with quiet():
            defect = target - line.nodes[self.first + 1 :, ...]
            correction = scan_corrections(line.propagator, defect)
            # Not z + correction: where nothing came from the node before, the target is met to the last bit.
            updated = target + (correction - defect)
            met = line.targets == line.nodes[self.first + 1 :, ...]
            facts = look(self._tolerance.relative(correction, updated), met, correction)
            trusted = _trusted([*self._sizes, facts.sizes], correction, updated, self._rules)
            z, first = _advance(line, self.first, updated, facts)
        return Iteration(z, first, facts.sizes, facts.finite, trusted)

    def _failure(self, iteration: Iteration, seconds: float) -> Ending | None:
        """Reason to give up, if there is one; `seconds` is the time that one more iteration would bring it to."""
        sizes, rules = self._sizes, self._rules
        if not iteration.finite:
            return Ending.NOT_FINITE
        if len(sizes) > 1 and _largest(sizes[-1]) > rules.required_rate * _largest(sizes[-2]):
            return Ending.STALLED
        if len(sizes) >= FEW and 2 * len(sizes) > self._system.nodes:  # little else than the exact prefix has grown
            return Ending.STALLED
        if len(sizes) >= rules.max_iterations:
            return Ending.EXHAUSTED
        return Ending.LATE if seconds > rules.max_seconds else None


def scan_corrections(propagator: Propagator | None, defect: Array) -> Array:
    """Corrections `δ_p = A_p δ_{p-1} + d_p` of the nodes after an exact one, or the nearest that stay small."""
    if propagator is None:
        return defect
    matrices, vectors = propagator.structure.operands(propagator.matrices, defect)
    weight = propagator.weight
    corrections = smooth(matrices, vectors, weight) if weight else affine_scan(matrices, vectors)
    return propagator.structure.from_scan(corrections)


def _largest(sizes: Array) -> float:
    """Largest of the sizes, NaN if one is."""
    return float(array_namespace(sizes).max(sizes))


def _advance(line: Linearisation, first: int, updated: Array, facts: Facts) -> tuple[Array, int]:
    """New nodes, and the last exact one: nodes that met their targets were exact, and so is now the one after them.

    The exact nodes are the targets themselves: a propagator that is not finite must not reach them through a
    correction of zero. The others are updated if all corrections are finite.
    """
    z = line.nodes
    xp = array_namespace(z)
    known = min(facts.met + 1, z.shape[0] - first - 1)  # of the nodes after `first`
    rest = updated if facts.finite else z[first + 1 :, ...]
    nodes = xp.concat([z[: first + 1, ...], line.targets[:known, ...], rest[known:, ...]])
    return nodes, min(first + facts.met + 1, z.shape[0])


def _trusted(sizes: list[Array], correction: Array, updated: Array, rules: Rules) -> bool:
    """Whether the corrections seem to leave an error below the tolerance: worth a look at the residual."""
    nodes = correction.shape[0]
    bound = sizes[-1] * (1 if rules.propagates else nodes)
    xp = array_namespace(bound)
    if not bool(xp.all(bound < float("inf"))):
        return False
    together = sizes[-1] * (1 if rules.superlinear else nodes)
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


def _is_final(system: System, z: Array, first: int, tolerance: Tolerance, rules: Rules) -> bool:
    """Whether the nodes are what they seem: follow from each other, by one more sweep.

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
        return bool(xp.all(together <= rules.share) & xp.all(tolerance.relative(defect, nodes) <= 1))

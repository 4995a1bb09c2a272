"""The loop: linearise, scan, update, test. It knows no method, structure, problem or array library."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .._arrays.namespace import Array, array_namespace, quiet
from .._kernels.dispatch import affine_scan
from .._kernels.generic.smoothing import smooth
from .._linalg.growth import log_growth
from .convergence import Rules, is_final, may_be_noise, trusted
from .correction_sizes import CorrectionSizes, look
from .system import Linearisation, NoGain, Propagator, Rejected, System
from .termination import Termination
from .tolerance import Tolerance

STALLING = 0.5
"""Share of a correction that is left where corrections may have come down to rounding."""

STALLED_AT_ROUNDING = "or stalled at the rounding of larger components"
"""Note on a solve in which rounding is more than the tolerance of some components."""

CONTRACTING = 0.3
"""Share of a correction that an iteration may leave, on average, for its rounding to be no matter of further nodes."""

FEW = 8
"""Iterations that are never too many for the number of nodes."""


@dataclass(frozen=True)
class Outcome:
    """What the loop leaves behind.

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
        Logarithm of the growth of a small change over all nodes, as far as the last propagators tell.
    note : str
        What an exception said, or what is left of the errors.
    """

    ending: Termination
    z: Array
    first: int
    history: tuple[float, ...]
    growth: float
    note: str = ""


@dataclass(frozen=True)
class Iteration:
    """Nodes after an iteration, the last exact one, and what the corrections were like.

    `sizes` are the largest per component in units of the tolerance, `largest` in those of the component, `trusted`
    says whether what they leave is small, and `small` tells, when it is asked, whether all may be roundings of the
    largest number.
    """

    z: Array
    first: int
    sizes: Array
    largest: Array
    finite: bool
    trusted: bool
    small: Callable[[], bool]


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
    ending = None
    while ending is None:
        try:
            ending = run.iterate()
        except NoGain:
            ending = Termination.STALLED
        except Rejected as rejected:  # by the user's step, perhaps for the guess only; the loop will tell
            ending, run.note = Termination.RAISED, f"{type(rejected.__cause__).__name__}: {rejected.__cause__}"
        if report is not None and (done := run.iterations):
            report(run.first, done, run.correction)
    first = system.nodes if ending is Termination.CONVERGED else run.first
    return Outcome(ending, run.z, first, run.history, run.growth(), run.note)


class _Run:
    """The state of one solve."""

    def __init__(self, system: System, z: Array, tolerance: Tolerance, rules: Rules) -> None:
        self.z = z
        self.first = 0
        self.note = ""
        self._system = system
        self._tolerance = tolerance
        self._rules = rules
        self._sizes: list[Array] = []
        self._largest: list[Array] = []
        self._propagator: Propagator | None = None
        self._seconds = 0.0
        self._look_again = 0

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
        """Logarithm of the growth by the last propagators, −inf if there are none or the rules do not need it."""
        propagator = self._propagator
        if self._rules.largest_growth == float("inf") or propagator is None or propagator.weight:
            return -float("inf")
        return log_growth(propagator.structure, propagator.matrices)

    def iterate(self) -> Termination | None:
        """Linearise, scan, update, test."""
        begin = time.perf_counter()
        line = self._system.linearise(self.z, self.first)
        last = time.perf_counter() - begin
        self._seconds += last
        self._propagator = line.propagator
        if not self._sizes and self.growth() > self._rules.largest_growth:
            return Termination.GREW
        iteration = self._update(line)
        self.z, self.first = iteration.z, iteration.first
        self._sizes.append(iteration.sizes)
        self._largest.append(iteration.largest)
        if self.first == self._system.nodes:
            return Termination.CONVERGED
        if iteration.trusted and is_final(self._system, self.z, self.first, self._tolerance, self._rules):
            return Termination.CONVERGED
        if self._may_be_rounding(iteration):
            self._look_again = 2 * len(self._sizes)
            if is_final(self._system, self.z, self.first, self._tolerance, self._rules, rounded=True):
                self.note = STALLED_AT_ROUNDING
                return Termination.CONVERGED
        return self._failure(iteration, self._seconds + last)

    def _may_be_rounding(self, iteration: Iteration) -> bool:
        """Whether the corrections stall, and are so small that it is worth a look at the roundings of the steps."""
        sizes, share = self._sizes, min(STALLING, self._rules.required_rate)
        stalls = len(sizes) > 1 and _largest(sizes[-1]) > share * _largest(sizes[-2])
        due = stalls and len(sizes) >= self._look_again
        return iteration.finite and due and (self._rules.superlinear or self._contracts()) and iteration.small()

    def _contracts(self) -> bool:
        """Whether the corrections of all components have fallen: errors of nodes then die out at the next ones."""
        fallen = CONTRACTING ** (len(self._largest) - 1)
        return bool((self._largest[-1] <= fallen * self._largest[0]).all())

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
            is_trusted = trusted([*self._sizes, facts.sizes], correction, updated, self._rules)
            z, first = _advance(line, self.first, updated, facts)
        return Iteration(
            z, first, facts.sizes, facts.largest, facts.finite, is_trusted, partial(may_be_noise, correction, updated)
        )

    def _failure(self, iteration: Iteration, seconds: float) -> Termination | None:
        """Reason to give up, if there is one; `seconds` is the time that one more iteration would bring it to.

        Corrections stall if they do so in tolerances, the largest of which are those of numbers that are zero by
        chance, and in the units of their component as well.
        """
        sizes, rules = self._sizes, self._rules
        if not iteration.finite:
            return Termination.NOT_FINITE
        if len(sizes) > 1 and _largest(sizes[-1]) > rules.required_rate * _largest(sizes[-2]):
            before, last = self._largest[-2:]
            if bool((last > rules.required_rate * before).any()):
                return Termination.STALLED
        if len(sizes) >= FEW and 2 * len(sizes) > self._system.nodes:  # little else than the exact prefix has grown
            return Termination.STALLED
        if len(sizes) >= rules.max_iterations:
            return Termination.EXHAUSTED
        return Termination.LATE if seconds > rules.max_seconds else None


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


def _advance(line: Linearisation, first: int, updated: Array, facts: CorrectionSizes) -> tuple[Array, int]:
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

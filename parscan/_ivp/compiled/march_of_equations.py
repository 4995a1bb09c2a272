"""Machine code through an implicit problem: marches with different tolerances, which tell the error of the solution."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf, nan
from typing import TYPE_CHECKING, TypeAlias

from ..._arrays.namespace import array_namespace, quiet
from ..._engine.termination import Failure
from ..._recorded.budget import NoCodeError
from ..core.failures import NOT_FINITE, TOO_SMALL
from ..core.polynomial import PiecewisePolynomial
from ..core.tableaux import radau
from ..implicit.problem import ImplicitProblem
from ..implicit.steps import ImplicitSteps, Until
from .accuracy import BETWEEN, GAIN, LOOSER, SPARE, WANTED
from .equations import RecordedEquations
from .march import BUSY, FEWEST, FIRST, NUMBERS, PAUSE, after
from .recorded import UNLIKE
from .too_far import Pace, too_many

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Run

STAGES = 7
"""Of the method."""

LEAST = 100 * 2.0**-52
"""Smallest relative tolerance of a march."""

MOST = 2_000_000
"""Steps of a march, taken or rejected, after which it is given up: its polynomials take a tenth of a kilobyte for each
component and step."""

MARCHES = 3
"""Largest number of further marches, with smaller tolerances."""

VAIN = 0.3
"""If a further march left more than this share of the error, it was the last one."""

PIVOTS = "pivots"
"""Noted of equations whose systems need changes of rows."""

MakesUntil: TypeAlias = Callable[[], Until | None]
"""Makes what is given the new parts of a march; see `Until`."""

FAILURES = {
    "STEP_TOO_SMALL": TOO_SMALL,
    "NOT_FINITE": NOT_FINITE,
    "TOO_MANY_STEPS": too_many(MOST),
}
"""Why marches end, by the names of their statuses."""


@dataclass(frozen=True)
class March:
    """
    What one march found.

    Parameters
    ----------
    polynomial : PiecewisePolynomial or None
    failure : Failure or None
        Why it ended early.
    reached : float
        The time that was reached.
    evaluations, accepted, rejected : int
        Evaluations of the equations, steps, and steps that were repeated.
    """

    polynomial: PiecewisePolynomial | None
    failure: Failure | None
    reached: float
    evaluations: int
    accepted: int
    rejected: int


@dataclass(frozen=True)
class Found:
    """
    A march, and what is known of its errors.

    Parameters
    ----------
    march : March
    share : float
        Share of the tolerances that it has.
    evaluations : int
        Of the equations, by all marches.
    end, worst : float
        Estimated errors at the end, and the largest one at ends of steps, in tolerances; NaN if they are not known.
    marches : int
        Number of marches.
    """

    march: March
    share: float
    evaluations: int
    end: float = nan
    worst: float = nan
    marches: int = 1

    @property
    def error(self) -> float:
        """Ratio of errors to those that are wanted."""
        return max(self.end / WANTED, self.worst / BETWEEN)


class Marches:
    """Marches through a problem, with any share of its tolerances."""

    def __init__(
        self,
        problem: ImplicitProblem,
        recorded: RecordedEquations,
        until: MakesUntil = lambda: None,
        *,
        by_pattern: bool = True,
    ) -> None:
        assert problem.yp0 is not None
        index = (1,) * problem.n if problem.index is None else tuple(map(int, problem.index))
        self._problem, self._recorded, self._until = problem, recorded, until
        self._solver = recorded.solver(index, by_pattern=by_pattern)
        self._parameters = (problem.yp0, *recorded.parameters)
        room = max(FEWEST, NUMBERS // ((2 + STAGES) * problem.n))
        self._most = min(FIRST, room, max(FEWEST, BUSY // max(recorded.value.operations, 1)))
        self._room = room

    @property
    def least(self) -> float:
        """Smallest share of the tolerances."""
        return LEAST / self._problem.rtol if self._problem.rtol else 0.0

    def run(self, share: float, end: float | None = None) -> March:
        """March to some end; or to that of the span, or until no new parts of the solution are wanted."""
        problem, run = self._problem, self._solver.lend()
        try:
            clip = max if isinstance(problem.rtols, float) else array_namespace(problem.y0).maximum
            until, end = (self._until(), problem.span[1]) if end is None else (None, end)
            length = abs(end - problem.span[0])
            run.begin(
                problem.span[0], end, problem.y0[None, :], rtol=clip(problem.rtols * share, LEAST),
                atol=problem.atol * share, max_step=min(problem.max_step, length / FEWEST if length < inf else inf),
                first_step=problem.first_step or 0.0, parameters=self._parameters, most=MOST,
            )  # fmt: skip
            return self._advanced(run, end, until)
        finally:
            self._solver.give_back(run)

    def _advanced(self, run: Run, end: float, until: Until | None) -> March:
        problem, xp = self._problem, array_namespace(self._problem.y0)
        t, y = problem.span[0], problem.y0
        parts, most, left, before = list[PiecewisePolynomial](), self._most, 1, time.perf_counter()
        pace_of_span, failure = Pace(end), None
        while left and failure is None:
            since, attempts = t, most
            left = run.advance(most)
            now = time.perf_counter()
            _, times, states, stages = run.log
            if times.shape[0]:
                times, states = after(t, times), after(y, states)
                parts.append(PiecewisePolynomial(radau(STAGES), times, states, stages))
                t, y = float(times[-1]), states[-1, :]
                if until is not None and until(parts[-1]):
                    break
            failure = pace_of_span.sees(since, t, attempts) if left else None
            pace = max(now - before, 1e-9) / most
            most, before = max(FEWEST, int(min(PAUSE / pace, 4 * most, self._room))), time.perf_counter()
        code, accepted, rejected, evaluations = run.counts[0].tolist()
        status = run.names[code]
        if not parts:
            return March(None, failure or FAILURES.get(status, TOO_SMALL), t, evaluations, accepted, rejected)
        whole = parts[0]
        if len(parts) > 1:
            whole = PiecewisePolynomial(
                radau(STAGES), xp.concat([whole.t, *(one.t[1:] for one in parts[1:])]),
                xp.concat([whole.y, *(one.y[1:, :] for one in parts[1:])]), xp.concat([one.stages for one in parts]),
            )  # fmt: skip
        if status not in ("RUNNING", "FINISHED"):
            failure = FAILURES.get(status, TOO_SMALL)
        return March(whole, failure, t, evaluations, accepted, rejected)

    def found(self, *, controls_error: bool) -> Found:
        """
        One march; or such with smaller tolerances until the estimated errors are as wanted, if that can be done.

        The share of the tolerances that was needed is noted.
        """
        if not controls_error:
            return self._one(1.0)
        notes, key = self._recorded.notes, ("share", f"{self._problem.rtol:.0e}")
        share = max(notes.get(key, 1.0), min(1.0, self.least))
        before = self._pair(share)
        for _ in range(MARCHES):
            error = before.error
            if before.march.failure or not error > 1.0 or share <= self.least:
                break
            share = max(share * min(SPARE / LOOSER, SPARE / error), self.least)
            later = self._compared(self._one(share), before.march)
            others = before.evaluations - before.march.evaluations, before.marches - 1
            later = replace(later, evaluations=later.evaluations + others[0], marches=later.marches + others[1])
            if later.march.failure:
                break
            before, is_vain = later, later.error > VAIN * error
            if is_vain:
                break
        notes[key] = before.share
        return before

    def _one(self, share: float) -> Found:
        """A march alone."""
        march = self.run(share)
        return Found(march, share, march.evaluations)

    def _pair(self, share: float) -> Found:
        """A march, and one with larger tolerances that tells its error."""
        found = self._one(share)
        if found.march.failure or found.march.polynomial is None:
            return found
        return self._compared(found, self.run(share * LOOSER, found.march.reached))

    def _compared(self, found: Found, other: March) -> Found:
        """A march with its errors, which its difference from another one tells, and with the work of both."""
        evaluations = found.evaluations + other.evaluations
        found = replace(found, evaluations=evaluations, marches=found.marches + 1)
        one, two = found.march.polynomial, other.polynomial
        if found.march.failure or other.failure or one is None or two is None:
            return found
        problem, xp = self._problem, array_namespace(self._problem.y0)
        states, sizes = two.at_few(one.t[1:]), abs(one.y)
        bound = problem.atol + problem.rtols * xp.maximum(sizes[:-1, :], sizes[1:, :])
        missed = abs(states - one.y[1:, :])
        with quiet():
            ratios = xp.max(xp.where(missed == 0, 0.0, missed / bound), axis=-1) / GAIN
        end = float(xp.max(abs(two.y[-1, :] - one.y[-1, :]) / problem.bound(one.y[-1, :]))) / GAIN
        return replace(found, end=end, worst=float(xp.max(ratios)))


def march_by_code(
    problem: ImplicitProblem, recorded: RecordedEquations, until: MakesUntil = lambda: None, *,
    controls_error: bool = True,
) -> Found:  # fmt: skip
    """
    Marches through a problem with consistent slopes at its begin, by machine code of its recorded equations.

    `until` makes what is given new parts of the solution; one for each march that begins again at the begin.

    Raises
    ------
    NoCodeError
        If there is no machine code, or the user's functions have other values than the recorded operations.
    """
    notes = recorded.notes
    found = Marches(problem, recorded, until, by_pattern=PIVOTS not in notes).found(controls_error=controls_error)
    if found.march.failure and PIVOTS not in notes and recorded.is_sparse:
        with suppress(NoCodeError):
            other = Marches(problem, recorded, until, by_pattern=False).found(controls_error=controls_error)
            if not other.march.failure:
                found, notes[PIVOTS] = other, True
    ends = found.march.polynomial
    if ends is not None and recorded.is_contradicted(problem, ends.t[1:], ends.y[1:, :], ends.stages[:, -1, :]):
        raise NoCodeError(UNLIKE)
    return found


def steps_of(found: Found) -> ImplicitSteps:
    """What was found, as other marches return it."""
    march = found.march
    failure = march.failure
    attempts = march.accepted + march.rejected
    return ImplicitSteps(
        march.polynomial, failure, march.reached if failure else None, found.evaluations, march.accepted, attempts,
        march.rejected, compiled=True,
    )  # fmt: skip

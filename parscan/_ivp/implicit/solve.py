"""Solves implicit problems: marches, their errors at the end, events, and the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite, nan

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._engine.termination import Failure, Termination
from ..._reporting.result_base import Deferred
from ..core.failures import UNEXPLAINED
from ..core.polynomial import PiecewisePolynomial
from ..core.watched import Reached
from ..output.dense_output import DenseOutput
from ..output.events import Occurrences, Watch, find, samples
from ..output.monitor import Event
from ..result.report import build_result, within
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from .prepared import Prepared
from .problem import ImplicitProblem
from .radau import TABLEAU, march
from .steps import ImplicitSteps, Until

TIGHTER, ROUNDS = 0.1, 4
"""Factor on the tolerances from one march to the next one, and largest number of marches."""

GAIN = 2.0
"""The error of a march is at most its distance from the one before, divided by this."""

WANTED, FAR = 2.0, 100.0
"""Error of components of index 1, in tolerances, with which marches end; error that is no success."""

LARGE = 10.0
"""Error in components of index 2 and 3, in tolerances, from which on it is told."""

HIGHER = (
    ", with components of index 2 and above, which are less accurate: differentiate algebraic equations, so that the "
    "index falls, or ask for another tolerance"
)
"""Why an error of so many tolerances may be left, of equations of index 2 and 3."""

LEAST = 1e-13
"""Smallest relative tolerance of a march."""

COMPARED = 0.25, 0.5, 0.75, 1.0
"""Shares of the solution at whose nodes marches are compared."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is asked for: times of the output, events, dense output; whether the error at the end is controlled."""

    times: Array | None
    events: tuple[Event, ...] | None
    is_dense: bool
    controls_error: bool
    reached: Reached | None = None


def solve_implicit(ready: Prepared, wanted: Wanted, decisions: tuple[str, ...] = ()) -> IvpResult:
    """The result of a prepared problem by marches on arrays."""
    problem = ready.problem
    if problem.span[0] == problem.span[1]:
        return result_of(ready, wanted, ImplicitSteps(_constant(problem)), nan, decisions, 0)

    def step_by_step(some: ImplicitProblem) -> ImplicitSteps:
        return march(some, ready.pencils, until_of(problem, wanted))

    steps = step_by_step(problem)
    error, count = nan, 1
    if wanted.controls_error and steps.failure is None:
        steps, error, count = _tightened(problem, step_by_step, steps)
    return result_of(ready, wanted, steps, error, decisions, count)


def until_of(problem: ImplicitProblem, wanted: Wanted) -> Until | None:
    """What reports the progress of a march, and ends it at a terminal event; None if there is nothing to do."""
    has_terminal = any(event.terminal < inf for event in wanted.events or ())
    return _Until(problem, wanted) if has_terminal or wanted.reached is not None else None


def _tightened(
    problem: ImplicitProblem, step_by_step: Callable[[ImplicitProblem], ImplicitSteps], steps: ImplicitSteps
) -> tuple[ImplicitSteps, float, int]:
    """Further marches until the error is small: the last one, its error in tolerances, and the number of marches."""
    share, error, count = 1.0, nan, 1
    first = np.flatnonzero(problem.index == 1)
    while count < ROUNDS and share * problem.rtol * TIGHTER >= LEAST:
        share *= TIGHTER
        tight = replace(problem, rtol=problem.rtol * share, rtols=problem.rtols * share, atol=problem.atol * share)
        following = step_by_step(tight)
        count += 1
        if following.failure is not None:
            return _summed(steps, following), error, count
        error = _apart(problem, steps, following) / GAIN
        is_good = _apart(problem, steps, following, first) / GAIN <= WANTED
        steps = _summed(following, steps)
        if is_good:
            break
    return steps, error, count


def _summed(steps: ImplicitSteps, other: ImplicitSteps) -> ImplicitSteps:
    """Steps with the work of others added."""
    return replace(
        steps, nfev=steps.nfev + other.nfev, njev=max(steps.njev, other.njev), nlu=steps.nlu + other.nlu,
        rejected=steps.rejected + other.rejected,
    )  # fmt: skip


def _apart(problem: ImplicitProblem, one: ImplicitSteps, other: ImplicitSteps, some: Array | None = None) -> float:
    """Largest distance of two marches at some nodes, in tolerances."""
    first, second = one.polynomial, other.polynomial
    assert first is not None
    assert second is not None
    last = first.t.shape[0] - 1
    nodes = sorted({max(1, round(share * last)) for share in COMPARED})
    reach = min(abs(first.t[-1] - first.t[0]), abs(second.t[-1] - second.t[0]))  # events end them at other times
    nodes = [k for k in nodes if abs(first.t[k] - first.t[0]) <= reach] or [1]
    states = first.y[nodes]
    found = np.abs(second.evaluate(first.t[nodes]) - states) / (problem.atol + problem.rtols * np.abs(states))
    return float(np.max(found if some is None else found[:, some], initial=0.0))


class _Until:
    """Reports the progress, and tells whether a terminal event occurred."""

    def __init__(self, problem: ImplicitProblem, wanted: Wanted) -> None:
        events = wanted.events or ()
        is_watched = any(event.terminal < inf for event in events)
        self._watch = Watch(events, problem.args) if is_watched else None
        self._reached = wanted.reached

    def __call__(self, part: PiecewisePolynomial) -> bool:
        if self._reached is not None:
            self._reached(float(part.t[-1]))
        if self._watch is None:
            return False
        return self._watch.see(*samples(part), part.near, part.at_few) is not None


def result_of(
    ready: Prepared, wanted: Wanted, steps: ImplicitSteps, error: float, decisions: tuple[str, ...], count: int
) -> IvpResult:
    """The result of steps, up to a terminal event; `count` marches told that `error`."""
    problem, dense, failure = ready.problem, steps.polynomial, steps.failure
    mesh = np.asarray([problem.span[0]]) if dense is None else dense.t
    begin = problem.y0[None, :]
    if wanted.events is None:
        seen = None
    elif dense is None:
        seen = Watch(wanted.events, problem.args).occurrences(mesh, begin)
    else:
        seen = find(wanted.events, problem.args, dense)
    if dense is not None and seen is not None and seen.t_stop is not None:
        dense, failure = dense.restrict(seen.t_stop), None
        mesh = dense.t
    if failure is None and isfinite(error) and error > FAR and _goes_on(seen):
        failure = _inaccurate(ready, error)
    times = wanted.times
    t = mesh if times is None else within(times, mesh)
    with quiet():
        if dense is None:
            states = np.repeat(begin, t.shape[0], axis=0)
            slopes = np.repeat(problem.yp0[None, :], t.shape[0], axis=0)  # type: ignore[index]
        else:
            states = dense.y if times is None else dense.evaluate(t)
            slopes = _slopes(ready, dense, t)
    failed_at = float(mesh[-1]) if steps.failed_at is None else steps.failed_at
    return build_result(
        "Radau", t, states.T, mesh, _done(steps, count) + _of_error(ready, error),
        failure=failure, failed_at=failed_at, seen=seen,
        sol=DenseOutput(dense) if wanted.is_dense and dense is not None else None,
        nfev=steps.nfev, njev=steps.njev, nlu=steps.nlu, npoints=steps.nfev, error_estimate=error,
        compiled=steps.compiled, decisions=(*ready.decisions, *decisions), yp=slopes.T, _polynomial=dense,
        _solution=Deferred(_no_derivatives),
    )  # fmt: skip


def _goes_on(seen: Occurrences | None) -> bool:
    """Whether no terminal event ended the solve."""
    return seen is None or seen.t_stop is None


def _of_error(ready: Prepared, error: float) -> str:
    """What is said of a large error that is no failure, as those of components of index 2 and 3."""
    if ready.index.of_problem < 2 or not LARGE < error <= FAR:
        return ""
    return f" The estimated error is {error:.2g} tolerances, with components of index 2 and above."


def _no_derivatives() -> Derivatives:
    """Raise: there are none yet."""
    raise ValueError(
        "derivatives of solutions with a mass matrix, and of DAEs, are not available: take differences of solves with "
        "tight tolerances, or eliminate the algebraic components and solve the equations that remain by `solve_ivp`."
    )


def _inaccurate(ready: Prepared, error: float) -> Failure:
    """Why a solution that has come to its end is no success."""
    return Failure(Termination.INACCURATE, f"the estimated error is {error:.2g} tolerances{_reason(ready)}")


def _reason(ready: Prepared) -> str:
    """What may explain a large error."""
    return UNEXPLAINED if ready.index.of_problem < 2 else HIGHER


def _slopes(ready: Prepared, dense: PiecewisePolynomial, t: Array) -> Array:
    """Slopes at the times: those of the polynomials; at the begin those of the equations, as far as they tell."""
    if not t.shape[0]:
        return np.zeros((0, dense.y.shape[1]))
    found = dense.derivative(t)
    is_begin = (t == dense.t[0])[:, None] & ready.start.determined[None, :]
    result: Array = np.where(is_begin, ready.start.yp0[None, :], found)
    return result


def _constant(problem: ImplicitProblem) -> PiecewisePolynomial:
    """A solution over a span without length."""
    assert problem.yp0 is not None
    states = np.stack([problem.y0, problem.y0])
    return PiecewisePolynomial(TABLEAU, np.asarray(problem.span), states, np.stack([problem.yp0] * 3)[None])


def _done(steps: ImplicitSteps, count: int) -> str:
    """The method and its work, as a sentence."""
    if not count:
        return "There was nothing to integrate."
    number = 0 if steps.polynomial is None else steps.polynomial.intervals
    marches = f", the last of {count} solves with tighter tolerances" if count > 1 else ""
    code = " `fun` ran as machine code." if steps.compiled else ""
    order = TABLEAU.order if steps.polynomial is None else steps.polynomial.tableau.order
    return f"Radau IIA of order {order}, step by step: {number} steps{marches}, {steps.rejected} repeated.{code}"

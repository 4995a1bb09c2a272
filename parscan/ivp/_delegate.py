"""SciPy's sequential solvers, and their results as parscan's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._arrays import Array, machine_epsilon
from .._progress import Report
from ._arguments import Problem
from ._endings import NOT_FINITE, TOO_SMALL
from ._function import RightHandSide
from ._guarded import guarded
from ._methods import Choice
from ._report import status_of
from ._restarted import restarted
from ._result import IvpResult
from ._stacking import Stacking
from ._status import IvpStatus
from ._trial import Scale
from ._watched import reached_by, watched
from .sensitivities._derivatives import Derivatives
from .sensitivities._retrace import Steps, retrace
from .starts._stepper import by_stepping

EXPLICIT = ("RK23", "RK45", "DOP853")
"""SciPy's solvers that warn of a Jacobian: they have no use for it."""


def delegate(
    choice: Choice,
    problem: Problem,
    options: dict[str, Any],
    times: Array | None,
    events: Any,
    stacking: Stacking,
    *,
    dense_output: bool,
    report: Report | None = None,
) -> IvpResult:
    """Solve by `scipy.integrate.solve_ivp`."""
    from scipy.integrate import solve_ivp  # noqa: PLC0415 - slow to import

    name = choice.method if isinstance(choice.method, str) else choice.method.__name__
    rhs = RightHandSide(problem.fun, problem.jac, problem.args, problem.y0, stacks=False, jac_stacks=False)
    solver, reached = restarted(guarded(choice.method), problem.breaks), reached_by(name, problem.span[0], report)
    given = {**options, "max_step": problem.max_step}
    if problem.jac is not None and name not in EXPLICIT:
        given["jac"] = _jacobian(problem, rhs, as_function=name == "LSODA")
    try:
        found = solve_ivp(
            problem.fun,
            problem.span,
            problem.y0,
            method=solver if reached is None else watched(solver, reached),
            t_eval=times,
            dense_output=dense_output,
            events=events,
            args=problem.args or None,
            rtol=np.maximum(problem.rtols * choice.share, 100 * machine_epsilon(problem.y0.dtype)),
            atol=problem.atol * choice.share,
            **given,
        )
    except Exception as error:
        told = reached is not None and error is reached.error
        if told or rhs.is_flat(problem.span[0], problem.y0):  # raises by itself if what `fun` returns is to blame
            raise
        flat = _flattened(problem, rhs)
        return delegate(choice, flat, options, times, events, stacking, dense_output=dense_output, report=report)
    found = _finite_part(found)
    if found.status < 0 and len(found.t) <= 1:
        rhs.is_flat(problem.span[0], problem.y0)  # raises if it is no number that `fun` returns
    if found.message == TOO_SMALL and len(found.t):  # are they steps into what is not finite?
        left = by_stepping(rhs, (float(found.t[-1]), problem.span[1]), found.y[:, -1], 1e-3, problem.atol)
        found.message = left.failure or TOO_SMALL
    scale = Scale(problem.rtols, problem.atol)
    derivatives = Derivatives(lambda: retrace(stacking, _steps(found, problem, times)), scale)
    return _wrap(found, choice, name, problem, derivatives)


def _flattened(problem: Problem, rhs: RightHandSide) -> Problem:
    """The same with a function that returns an array `(n,)`, whatever the user's own returns."""
    return replace(problem, fun=lambda t, y, *args: rhs.at(t, y.copy()))


def _jacobian(problem: Problem, rhs: RightHandSide, *, as_function: bool) -> Any:
    """The user's Jacobian, checked at the start; LSODA takes no matrices, and none that are sparse."""
    if not callable(problem.jac):
        return (lambda t, y, *args: problem.jac) if as_function else problem.jac
    state = problem.y0[None, ...]
    rhs.jacobian(np.asarray(problem.span[:1]), state, state)
    if not as_function:
        return problem.jac

    def dense(t: float, y: Array, *args: Any) -> Array:
        matrix = problem.jac(t, y, *args)
        return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)

    return dense


def _finite_part(found: Any) -> Any:
    """The result without what is not finite: LSODA goes on with NaN and calls it success."""
    good = np.isfinite(found.y).all(axis=0) if len(found.t) else np.ones(0, bool)
    if good.all():
        return found
    from scipy.integrate import OdeSolution  # noqa: PLC0415 - slow to import

    count = int(good.argmin())
    found.t, found.y = found.t[:count], found.y[:, :count]
    found.status, found.success, found.message = -1, False, NOT_FINITE
    if found.sol is not None and count > 1:
        found.sol = OdeSolution(found.sol.ts[:count], found.sol.interpolants[: count - 1])
    return found


def _steps(found: Any, problem: Problem, times: Array | None) -> Steps:
    """What is known of the steps that were taken."""
    dtype = problem.y0.dtype
    if found.sol is not None:
        t = np.asarray(found.sol.ts, dtype=float)
        return Steps(t, np.asarray(found.sol(t).T, dtype=dtype))
    t = np.asarray(found.t, dtype=float)
    return Steps(t, np.asarray(found.y.T, dtype=dtype) if times is None else None)


def _wrap(found: Any, choice: Choice, name: str, problem: Problem, derivatives: Derivatives) -> IvpResult:
    """SciPy's result as parscan's, in the precision of the problem."""
    dtype = problem.y0.dtype
    y = np.asarray(found.y, dtype=dtype) if len(found.t) else np.empty((problem.y0.shape[-1], 0), dtype)
    failure = "" if found.status >= 0 else found.message.rstrip(".")
    status = status_of(failure) if found.status < 0 else IvpStatus(found.status)
    reached = float(found.t[-1]) if len(found.t) else problem.span[0]
    trouble = f"{status.text} At t = {reached!r}: {failure}." if failure else found.message
    reason = f" By SciPy's {name}{f', because {choice.because}' if choice.because else ''}"
    reason += f", with {choice.share:g} of the tolerances." if choice.share < 1 else "."
    y_events = found.y_events and [np.asarray(states, dtype=dtype) for states in found.y_events]
    return IvpResult(
        t=np.asarray(found.t, dtype=float),
        y=y,
        sol=found.sol,
        t_events=found.t_events,
        y_events=y_events,
        nfev=found.nfev,
        njev=found.njev,
        nlu=found.nlu,
        status=status,
        message=trouble + reason,
        success=found.success,
        method=name,
        npoints=found.nfev,
        iterations=0,
        history=(),
        mesh=np.asarray(found.t if found.sol is None else found.sol.ts),
        meshes=(),
        derivatives=derivatives,
    )

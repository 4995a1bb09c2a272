"""SciPy's sequential solvers, and their results as parscan's."""

from __future__ import annotations

from typing import Any

from .._arrays import Array, machine_epsilon
from ._arguments import Problem
from ._methods import Choice
from ._result import IvpResult, IvpStatus

EXPLICIT = ("RK23", "RK45", "DOP853")
"""SciPy's solvers that warn of a Jacobian: they have no use for it."""


def delegate(
    choice: Choice, problem: Problem, options: dict[str, Any], times: Array | None, events: Any, *, dense_output: bool
) -> IvpResult:
    """Solve by `scipy.integrate.solve_ivp`; an empty problem by any method."""
    from scipy.integrate import solve_ivp  # noqa: PLC0415 - slow to import

    method = choice.method if choice.is_sequential else "RK45"
    given = {**options, "max_step": problem.max_step}
    if problem.jac is not None and method not in EXPLICIT:
        given["jac"] = problem.jac
    found = solve_ivp(
        problem.fun,
        problem.span,
        problem.y0,
        method=method,
        t_eval=times,
        dense_output=dense_output,
        events=events,
        args=problem.args or None,
        rtol=max(problem.rtol * choice.share, 100 * machine_epsilon(problem.y0.dtype)),
        atol=problem.atol * choice.share,
        **given,
    )
    return _wrap(found, choice, method if isinstance(method, str) else method.__name__)


def _wrap(found: Any, choice: Choice, name: str) -> IvpResult:
    """SciPy's result as parscan's."""
    reason = f" By SciPy's {name}{f', for {choice.because}' if choice.because else ''}"
    reason += f", with {choice.share:g} of the tolerances." if choice.share < 1 else "."
    return IvpResult(
        t=found.t,
        y=found.y,
        sol=found.sol,
        t_events=found.t_events,
        y_events=found.y_events,
        nfev=found.nfev,
        njev=found.njev,
        nlu=found.nlu,
        status=IvpStatus(found.status),
        message=found.message + reason,
        success=found.success,
        method=name,
        npoints=found.nfev,
        iterations=0,
        history=(),
        mesh=found.t if found.sol is None else found.sol.ts,
        meshes=(),
    )

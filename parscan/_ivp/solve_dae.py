"""The public function `solve_dae`, and `solve_ivp` with a mass matrix: they check the arguments and solve."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from .._arrays.elementwise import is_complex
from .._arrays.namespace import Array, all_finite, as_array, dtype_name, library
from .._recorded.budget import NoCodeError
from .._reporting.progress import Watcher, check_watcher, watch
from .arguments import as_options, as_problem, as_times, reject_unwatched
from .compiled.equations import RecordedEquations, record_equations
from .compiled.march_of_equations import march_by_code, steps_of
from .compiled.starts import prepared_once
from .core.problem import Problem
from .core.watched import reached_by
from .implicit.mass import as_mass
from .implicit.prepared import CONSISTENT, prepared
from .implicit.problem import ImplicitProblem
from .implicit.solve import Wanted, result_of, solve_implicit, until_of
from .output.events import prepare
from .result.result import IvpResult

METHODS = ("auto", "Radau")
"""Methods for mass matrices and DAEs; `"auto"` also controls the error at the end."""


MOST = 4000
"""Largest number of components: matrices are dense, and their factors would fill the memory."""


def solve_dae(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    yp0: Any = None,
    method: str = "auto",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    args: tuple[Any, ...] | None = None,
    *,
    jac: Any = None,
    rtol: float = 1e-3,
    atol: Any = 1e-6,
    max_step: float = inf,
    first_step: float | None = None,
    consistent: str = "project",
    compile: bool | None = None,  # noqa: A002 - the word for it
    progress: Watcher = False,
) -> IvpResult:
    """Solve a system of differential-algebraic equations ``fun(t, y, y', *args) = 0``, ``y(t0) = y0``.

    Radau IIA takes steps of variable length [1]_, of order 13 by machine code, of order 5 by calls of `fun`. The index
    of the equations, 0 to 3, is found from their derivatives, and told in ``sol.decisions``. For equations ``M y' =
    f(t, y)``, see the argument `mass` of :func:`parscan.solve_ivp`.

    Parameters
    ----------
    fun : callable
        ``fun(t, y, yp, *args)``: the n residuals for a state `y` and its derivative `yp`, of shape ``(n,)`` both, as an
        array or a list.
    t_span : pair of floats
        Initial and final time, in either direction. An infinite end is allowed for a terminal event.
    y0 : array_like, shape (n,)
        Initial state, of float64 or integers.
    yp0 : array_like, shape (n,), optional
        Its derivative. None: it is computed.
    method : str
        - ``"auto"``: the problem is solved again with tighter tolerances, until the error is a few tolerances.
        - ``"Radau"``: once; the tolerances are those of the error of a step.
    t_eval : array_like, shape (N,), optional
        Output times, sorted along the span. By default the ends of the steps.
    dense_output : bool
        Whether to return a continuous solution as ``sol``.
    events : callable or list of callables, optional
        Functions ``event(t, y, *args)`` whose zeros are searched, with the attributes ``terminal`` and ``direction``,
        as for `solve_ivp`.
    args : tuple, optional
        Further arguments of `fun`, `jac` and the events.
    jac : callable, optional
        ``jac(t, y, yp, *args)``: the pair of matrices ``(∂F/∂y, ∂F/∂y')`` of `fun`, ``(n, n)`` both. None: exact
        derivatives where `fun` can be recorded (see :func:`parscan.trace`), otherwise central differences.
    rtol, atol : float, array_like
        Tolerances ``atol + rtol * |y|``; each may be one number per component. Errors of components of index 2 count
        times the step in the control of the steps, and of index 3 times its square.
    max_step : float
        Largest step.
    first_step : float, optional
        First step; by default chosen from the derivatives at the start.
    consistent : str
        ``"project"``: a `y0` that does not satisfy the algebraic equations, and the hidden ones of index 2 and 3, is
        moved to the nearest state that does: components whose derivatives do not enter the equations first, the others
        as little as possible, in units of the tolerances. ``sol.decisions`` says so. ``"assume"``: it stays as it is.
    compile : bool or None
        Whether machine code of `fun` takes the steps, by Radau IIA of order 13. None: for ``"auto"`` without `jac`,
        where `fun` can be recorded; ``sol.decisions`` says why not. True: an error says why, if that is not possible.
        False: `fun` is called.
    progress : bool or callable
        As for `solve_ivp`.

    Returns
    -------
    IvpResult
        As of `solve_ivp`; its field ``yp`` has the derivatives of the states at `t`. ``decisions`` say what index was
        found, whether the start was moved, and how `fun` is differentiated.

    Raises
    ------
    TypeError, ValueError
        Arguments, or values of `fun` and `jac`, of the wrong kind or shape; equations that determine no solution, with
        the rows and components concerned; an index above 3; a start that cannot be made consistent; a `yp0` that
        contradicts the equations.

    See Also
    --------
    solve_ivp : With `mass` for ``M y' = f(t, y)``.

    References
    ----------
    .. [1] Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition, Springer 1996, sections IV.8
       and VII.4.

    Examples
    --------
    Robertson's reaction with the conservation of mass in place of the third equation:

    >>> import numpy as np
    >>> import parscan
    >>> def robertson(t, y, yp):
    ...     slow, fast = 0.04 * y[0], 1e4 * y[1] * y[2]
    ...     return [yp[0] + slow - fast, yp[1] - slow + fast + 3e7 * y[1] ** 2, y[0] + y[1] + y[2] - 1]
    >>> sol = parscan.solve_dae(robertson, (0, 4e5), [1.0, 0.0, 0.0], rtol=1e-6, atol=[1e-8, 1e-12, 1e-8])
    >>> sol.success
    True
    >>> sol.decisions[0]
    'The equations are of index 1.'
    >>> bool(abs(sol.y[:, -1].sum() - 1) < 1e-14)
    True
    """
    if not callable(fun):
        raise TypeError(f"`fun` must be callable as fun(t, y, yp), got {type(fun).__name__}.")
    if jac is not None and not callable(jac):
        raise TypeError(
            f"`jac` must be a function jac(t, y, yp) that returns the pair (∂F/∂y, ∂F/∂y'), got {type(jac).__name__}."
        )
    problem = as_problem(fun, t_span, y0, args, None, rtol, atol, max_step)
    return _solved(
        problem, None, jac, yp0, method=method, t_eval=t_eval, events=events, dense_output=dense_output,
        first_step=first_step, consistent=consistent, compiles=compile, progress=progress,
    )  # fmt: skip


UNUSED = {
    "vectorized": 1, "jumps": 5, "mesh": 6, "guess": 7, "stages": 8, "window": 9, "jac_sparsity": 11, "min_step": 12,
    "lband": 13, "uband": 14,
}  # fmt: skip
"""Options of `solve_ivp` that are not for a mass matrix, and their places among its further options."""


def solve_with_mass(
    fun: Callable[..., Any], t_span: Any, y0: Any, args: Any, others: tuple[Any, ...], consistent: Any,
    compiles: bool | None, *, mass: Any, t_eval: Any, dense_output: bool, events: Any, rtol: Any, atol: Any,
) -> IvpResult:  # fmt: skip
    """The result of `solve_ivp` with a mass matrix; raises for those of its `others` options that are not for it."""
    for name, place in UNUSED.items():
        if others[place] is not None:
            raise ValueError(f"`{name}` is not available with `mass`: leave it out.")
    method, _, jac, max_step, first_step, *_ = others
    problem = as_problem(fun, t_span, y0, args, jac, rtol, atol, max_step)
    return _solved(
        problem, mass, problem.jac, None, method=method, t_eval=t_eval, events=events, dense_output=dense_output,
        first_step=first_step, consistent=consistent, compiles=compiles, progress=others[10],
    )  # fmt: skip


def _solved(
    problem: Problem, mass: Any, jac: Any, yp0: Any, *, method: Any, t_eval: Any, events: Any, dense_output: bool,
    first_step: Any, consistent: Any, compiles: bool | None, progress: Watcher,
) -> IvpResult:  # fmt: skip
    """The result of an implicit problem."""
    check_watcher(progress)
    if method not in METHODS:
        raise ValueError(f"`method` is {method!r}; mass matrices and DAEs are solved by {METHODS[0]!r} or 'Radau'.")
    if consistent not in CONSISTENT:
        raise ValueError(f"`consistent` is {consistent!r}; pass 'project' or 'assume'.")
    step = as_options(problem.span, None, first_step, None).get("first_step")
    given = _as_implicit(problem, mass, jac, yp0, step)
    times = as_times(t_eval, problem.span, problem.y0)
    listed = prepare(events)
    reject_unwatched(listed, problem)
    recorded = _recorded(given, compiles)
    moves = consistent == "project"
    with watch(progress, abs(problem.span[1] - problem.span[0]), None) as report:
        reached = reached_by("Radau", problem.span[0], report)
        wanted = Wanted(times, None if events is None else listed, bool(dense_output), method == "auto", reached)
        decisions = tuple[str, ...]()
        if compiles or (method == "auto" and compiles is not False):
            found = _by_code(given, wanted, recorded, moves=moves, is_demanded=bool(compiles))
            if isinstance(found, IvpResult):
                return found
            if compiles:
                raise TypeError(f"`compile=True`: {found}.")
            decisions = (f"{found[0].upper()}{found[1:]}.",)
        return solve_implicit(prepared(given, recorded, moves=moves), wanted, decisions)


def _recorded(problem: ImplicitProblem, compiles: bool | None) -> RecordedEquations | str:
    """The recorded equations; or why there are none, as the end of a sentence."""
    if compiles is False:
        return "`compile` is False"
    try:
        found = record_equations(problem)
        _ = found.pencil  # it has derivatives
    except NoCodeError as reason:
        return f"it {reason}"
    return found


def _by_code(
    problem: ImplicitProblem, wanted: Wanted, recorded: RecordedEquations | str, *, moves: bool, is_demanded: bool
) -> IvpResult | str:  # fmt: skip
    """
    The result by machine code; or why there is none, as a sentence without its full stop.

    Where it does not come to the end, arrays tell why, unless it is demanded.
    """
    if isinstance(recorded, str):
        return f"no machine code, as `fun` cannot be recorded: {recorded}"
    if problem.jac is not None and not is_demanded:
        return "no machine code: `jac` was given"
    if problem.span[0] == problem.span[1]:
        return "no machine code: there is nothing to integrate"
    ready = prepared_once(problem, recorded, moves=moves)
    try:
        found = march_by_code(
            ready.problem, recorded, lambda: until_of(ready.problem, wanted), controls_error=wanted.controls_error
        )
    except NoCodeError as reason:
        return f"no machine code: `fun` {reason}"
    steps = steps_of(found)
    if steps.failure is not None and not is_demanded:
        return f"machine code came to t = {steps.failed_at!r} only, where {steps.failure}"
    return result_of(ready, wanted, steps, found.end, (), found.marches)


def _as_implicit(problem: Problem, mass: Any, jac: Any, yp0: Any, first_step: float | None) -> ImplicitProblem:
    """The problem with its mass and slopes, checked."""
    y0 = problem.y0
    if library(y0) != "numpy":
        raise TypeError(f"`y0` is an array of {library(y0)}; mass matrices and DAEs need NumPy arrays.")
    if y0.ndim != 1:
        raise ValueError(
            f"`y0` is a batch of shape {problem.batch}; mass matrices and DAEs are solved for one state (n,): solve "
            "the members one by one."
        )
    if not y0.shape[0]:
        raise ValueError("`y0` has no component.")
    if y0.shape[0] > MOST:
        raise ValueError(
            f"`y0` has {y0.shape[0]} components; mass matrices and DAEs are solved with dense matrices, for at most "
            f"{MOST}. Where `mass` is regular and simple to invert, solve y' = M⁻¹ f without it."
        )
    if is_complex(y0) or dtype_name(y0.dtype) != "float64":
        raise TypeError(f"`y0` has the dtype {dtype_name(y0.dtype)}; mass matrices and DAEs need float64.")
    return ImplicitProblem(
        problem.fun, None if mass is None else as_mass(mass, y0.shape[0], problem.fun, problem.args), jac, problem.args,
        problem.span, y0, _as_slopes(yp0, y0), problem.rtol, problem.rtols, problem.atol, problem.max_step, first_step,
    )  # fmt: skip


def _as_slopes(yp0: Any, y0: Array) -> Array | None:
    """The user's derivatives of the initial state."""
    if yp0 is None:
        return None
    slopes = as_array("yp0", yp0)
    if slopes.shape != y0.shape:
        raise ValueError(f"`yp0` has shape {tuple(slopes.shape)} where `y0` has {tuple(y0.shape)}; pass one per state.")
    if library(slopes) != "numpy" or is_complex(slopes):
        raise TypeError(f"`yp0` is {dtype_name(slopes.dtype)} of {library(slopes)}; pass real numbers of NumPy.")
    if not all_finite(slopes):
        raise ValueError("All components of `yp0` must be finite.")
    found: Array = slopes.astype(y0.dtype)
    return found

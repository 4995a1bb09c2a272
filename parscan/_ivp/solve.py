"""The public function `solve_ivp`: checks the arguments, chooses a method, solves, builds the result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

from .._arrays.counts import as_count
from .._arrays.namespace import library
from .._engine.termination import Termination
from .._reporting.progress import Report, Watcher, check_watcher, watch
from ..warnings import NondeterministicFunctionWarning
from .arguments import as_guess, as_mesh, as_options, as_problem, as_times, reject_unwatched, warn_of_unused
from .brief import shortly
from .choose import SERIES, Workload, choose, instead_of
from .compiled.account import account_of
from .compiled.derived import recorded_code
from .compiled.mesh_on_device import has_kernels
from .compiled.offer import Demand, Never, Offer, Overtaken, Purchase, Solve
from .compiled.recorded_events import record_events
from .compiled.repeat import solve_again
from .compiled.solve import solve_compiled
from .compiled.solvers import EXPLICIT, TAYLOR
from .core.choice import Choice
from .core.evaluation import Evaluation
from .core.problem import Problem
from .on_meshes import OnMeshes
from .one_by_one import solve_members
from .output.events import prepare
from .output.monitor import Event
from .result.repeated import RepeatedCalls, reported
from .result.result import IvpResult
from .sequential.delegate import delegate
from .sequential.empty import solve_empty
from .sequential.ensemble import solve_ensemble
from .sequential.own_steps import solve_with_own_steps
from .solve_dae import solve_with_mass

CALLED: dict[str, Callable[[Workload], bool]] = {
    "`fun` is called: `jac` was given.": lambda work: work.problem.jac is not None and not work.is_settled,
    "`fun` is called: its arrays are not of NumPy.": lambda work: (
        not (library(work.problem.y0) == "numpy" or has_kernels(work.problem))
    ),
}
"""Reasons to try no machine code."""

BY_DIFFERENCES = "Newton's method takes Jacobians by differences of `fun`."


def solve_ivp(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    method: Any = "auto",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool | None = None,
    args: tuple[Any, ...] | None = None,
    *,
    jac: Any = None,
    rtol: float = 1e-3,
    atol: Any = 1e-6,
    max_step: float = inf,
    first_step: float | None = None,
    jumps: Any = None,
    mesh: Any = None,
    guess: IvpResult | None = None,
    stages: int | None = None,
    window: int | None = None,
    compile: bool | None = None,  # noqa: A002 - the word for it
    progress: Watcher = False,
    jac_sparsity: Any = None,
    min_step: float | None = None,
    lband: int | None = None,
    uband: int | None = None,
    mass: Any = None,
    consistent: str = "project",
) -> IvpResult:
    """Solve an initial value problem ``y' = fun(t, y, *args)``, ``y(t0) = y0``, in parallel over time.

    The call is that of `scipy.integrate.solve_ivp`. Newton's method corrects a coarse sequential solution on a whole
    mesh of collocation intervals at once, and the mesh is refined until every interval meets the tolerance. Each call
    of `fun` evaluates all stages of all intervals; a few dozen calls suffice.

    Parameters
    ----------
    fun : callable
        ``fun(t, y, *args)``: derivatives of the state `y` of shape ``(n, *batch)``, as an array or list of components.
        It is also called for `m` times at once, with `y` of shape ``(n, m, *batch)`` and `t` of shape ``(m, 1, …)``, so
        that `t` broadcasts against a component ``y[i]``. A check on a few states at the start, and of the solution,
        shows whether both kinds of calls agree. If they do not, `fun` is called for one time after the other, with a
        warning unless ``"auto"`` leaves the problem to SciPy.
    t_span : pair of floats
        Initial and final time, in either direction. An infinite end, for a terminal event, is allowed with ``"auto"``,
        ``"Radau"`` and ``"DOP853"``, for which SciPy's solvers are then used, and with the other methods of SciPy.
    y0 : array_like, shape (n,) or (n, *batch)
        Initial state: float32, float64, complex64 or complex128; integers become float64. By machine code, every
        member of a batch has steps of its own; otherwise all members share a mesh, and the largest error among them
        controls it.
    method : str or OdeSolver
        - ``"auto"``: DOP853, Taylor series and Rodas5P as machine code, if `compile` allows that and it pays. Otherwise
          SciPy's LSODA, repeated with other tolerances that tell the error at the end, and tighter ones where that is
          large, where the tolerance is loose (`rtol` of 3e-4 or more), there are more than 12 components, or `fun`
          cannot be called for many times at once; SciPy's DOP853 for brief problems and for complex states, and SciPy's
          BDF where complex states are stiff; otherwise ``"Radau"``. DOP853 solves nonstiff batches of 24 and more
          members step by step, all members in one step, and Rodas5P stiff ones, where `fun` takes a time for each
          member, with steps of its own for every member; ``"Radau"`` solves other batches.
        - ``"Radau"``: Radau IIA [1]_, for stiff problems and all others; order 2 s - 1 with `s` stages.
        - ``"Gauss"``: Gauss, symplectic; order 2 s.
        - ``"RK4"`` and ``"DOP853"`` [2]_: explicit methods; Newton's method corrects all their steps at once.
        - ``"DEER"`` [3]_: the linearised equation is solved exactly from node to node; order 2. Its mesh is `mesh`, or
          `t_eval` with the ends of the span, or adaptive if neither is given.
        - ``"Taylor"`` [4]_: Taylor series of order 12 to 18, step by step, by machine code of `fun`; for a problem that
          is not stiff, no batch, and tight tolerances. It is an error if an operation on the state has no series, as
          comparisons, absolute values and tables.
        - ``"Rodas5P"`` [5]_: for large stiff systems, step by step, with a sparse or banded Jacobian: that of `jac` if
          its values are sparse, or differences with a pattern, that of `jac_sparsity`, `lband` and `uband`, or one that
          is searched. ``"auto"`` takes it, or backward differentiation formulas, for real systems of 100 or more
          components.
        - ``"RK23"``, ``"RK45"``, ``"BDF"``, ``"LSODA"``, or a class of SciPy's solvers: SciPy's solver, step by step.
    t_eval : array_like, shape (N,), optional
        Output times, sorted along the span. By default the nodes of the mesh.
    dense_output : bool
        Whether to return a continuous solution as ``sol``.
    events : callable or list of callables, optional
        Functions ``event(t, y, *args)`` whose zeros are searched, with the attributes ``terminal`` (bool or number of
        occurrences) and ``direction``. Methods on a mesh locate the zeros on the finished solution. Members of a batch
        are solved one by one then, each up to its own events, with their parts of arrays in `args` whose last axes are
        those of the batch; ``sol.y`` is NaN after their ends.
    vectorized : bool, optional
        False: call `fun` for one time after the other. None: as described above. True: like None, but a single state
        is passed as a matrix ``(n, 1)``, as by SciPy: for functions that need states of shape ``(n, k)``.
    args : tuple, optional
        Further arguments of `fun`, `jac` and the events.
    jac : callable, array_like of shape (n, n), or None
        ``jac(t, y, *args)``: ``∂f_i/∂y_j`` as ``(n, n)``, for many times ``(n, n, m, *batch)``, or nested lists of
        entries that broadcast. None: differences. They also replace a `jac` that is far larger than they are.
    rtol, atol : float, array_like
        Local error per interval in units of ``atol + rtol * |y|``; each may be one number per component. Where errors
        grow strongly along the solution, the mesh is refined until the error at its end is a few tolerances, too.
    max_step : float
        Largest step of sequential solvers, also for the coarse solution, and largest interval of an adaptive mesh.
    first_step : float, optional
        First step of sequential solvers; the other methods need none.
    jumps : array_like, shape (k,), optional
        Times at which `fun` jumps, in any order, such as those of doses and switches; times outside of the span are
        ignored. Steps and intervals end there, and each side of a jump uses its own limit of `fun`, so that jumps cost
        no accuracy, whatever the method.
    mesh : array_like, shape (M + 1,), optional
        Mesh, from the initial time to the final one. Only `jumps` are added to it as nodes: errors are estimated, but
        not controlled. `fun` may jump at its nodes.
    guess : IvpResult, optional
        Solution of a nearby problem from the same time on, by any method that is parallel over time. It replaces the
        coarse sequential solution; a few iterations then suffice.
    stages : int, optional
        Stages of Radau and Gauss, 1 to 9. By default 3, 5 or 7, depending on the tolerance.
    window : int, optional
        Largest number of intervals that are solved at once. By default all of them, as far as memory allows.
    compile : bool or None
        Whether ``"auto"`` solves by machine code of `fun`, which is made from a recorded call: see
        :func:`parscan.trace`; and methods on a mesh evaluate `fun` and its Jacobian by it. None: where `fun` can be
        recorded, once solves without code took as long as making it, and ``"auto"`` was given no `jac`;
        ``sol.decisions`` says why not. True: at once; an error says why, and in which line of `fun`, if that is not
        possible. False: never. The code is compared with `fun` on a sample of the solution. Its Jacobians are exact;
        `jac` is used on meshes only.
    progress : bool or callable
        True: show on stderr the solved part of the span, iterations, number of intervals, correction and remaining
        time; as a bar of tqdm on a terminal, if tqdm is installed, otherwise in lines of text. A function: it is called
        with a `parscan.Progress` after every iteration, and every step of a sequential solver, but not during the
        coarse solution. Its exceptions end the solve.
    jac_sparsity : array_like or sparse matrix, shape (n, n), optional
        Nonzero entries of the Jacobian, for ``"auto"`` and ``"Rodas5P"``; they are an error if `fun` exceeds them. With
        fewer than 100 components, or complex ones, SciPy's sparse ``"BDF"`` solves the problem, and its ``"Radau"`` if
        you name it.
    min_step, lband, uband : optional
        Smallest step, for SciPy's ``"LSODA"``; bandwidths of the Jacobian, below and above the diagonal, for that and
        in place of `jac_sparsity`.
    mass : array_like of shape (n,) or (n, n), sparse matrix, or callable, optional
        The matrix `M` of ``M y' = fun(t, y, *args)``: its diagonal, the whole matrix, or a function ``M(t)`` or ``M(t,
        y)`` of these, which may take `args`, too. It may be singular: the equations are then differential-algebraic, of
        index 1 to 3. ``"auto"`` and ``"Radau"`` solve them step by step, as :func:`parscan.solve_dae` does, for a
        single state of float64, without `jumps`, `vectorized` and options of meshes and of SciPy's solvers.
        ``sol.decisions`` tells the index, and `fun` and its Jacobian are those of the right-hand side.
    consistent : str
        With `mass`: ``"project"`` moves a `y0` that does not satisfy the algebraic equations, and the hidden ones of
        index 2 and 3, to the nearest state that does, and says so in ``sol.decisions``; ``"assume"`` does not.

    Returns
    -------
    IvpResult
        The fields of SciPy's result, and more. ``success`` is False, and the solution ends early, if it cannot be
        continued or `fun` gives values that are not finite.

    Raises
    ------
    TypeError, ValueError
        Arguments, or values of `fun` and `jac`, of the wrong kind or shape; with `compile=True`, a function that cannot
        be compiled.

    Warns
    -----
    parscan.warnings.PointByPointWarning
        If `fun` cannot be called for many times at once.
    parscan.warnings.NondeterministicFunctionWarning
        If `fun`, `jac` or an event gives other values when it is called again for a few states of the solution, since
        it stores data of earlier calls or draws random numbers. ``success`` is False if the values differ by more than
        the tolerances.
    parscan.warnings.JacobianWarning
        If `jac` is more than a hundred times as large as differences of `fun`.
    parscan.warnings.CoarseMeshWarning
        If the estimated errors on a given mesh exceed the tolerances.

    References
    ----------
    .. [1] Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition, Springer 1996, section IV.5.
    .. [2] Hairer, Nørsett and Wanner, "Solving Ordinary Differential Equations I", 2nd edition, Springer 1993,
       section II.5.
    .. [3] Lim, Zhu, Selfridge and Kasim, "Parallelizing non-linear sequential models over the sequence length",
       ICLR 2024, section 3.2.
    .. [4] Jorba and Zou, "A software package for the numerical integration of ODEs by means of high-order Taylor
       methods", Experimental Mathematics 14 (2005).
    .. [5] Steinebach, "Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the Julia
       Differential Equations package", BIT Numerical Mathematics 63:27 (2023).

    Examples
    --------
    >>> import numpy as np
    >>> import parscan
    >>> def pendulum(t, y):
    ...     angle, velocity = y
    ...     return [velocity, -np.sin(angle)]
    >>> sol = parscan.solve_ivp(pendulum, (0, 20), [1.0, 0.0], rtol=1e-8, atol=1e-10)
    >>> sol.success
    True
    >>> energy = sol.y[1] ** 2 / 2 - np.cos(sol.y[0])
    >>> bool(np.ptp(energy) < 1e-8)
    True
    """
    others = (
        method, vectorized, jac, max_step, first_step, jumps, mesh, guess, stages, window, progress, jac_sparsity,
        min_step, lband, uband,
    )  # fmt: skip
    again = None
    if mass is not None:
        of_mass = {"mass": mass, "t_eval": t_eval, "dense_output": dense_output, "events": events, "rtol": rtol}
        again = solve_with_mass(fun, t_span, y0, args, others, consistent, compile, **of_mass, atol=atol)
    elif consistent != "project":
        raise ValueError(f"`consistent` is {consistent!r}, but it is for equations with `mass`: leave it out.")
    elif compile is not False:
        again = solve_again(fun, t_span, y0, t_eval, args, rtol, atol, events, dense_output, compile, others)
    if again is not None:
        return again
    check_watcher(progress)
    problem = as_problem(fun, t_span, y0, args, jac, rtol, atol, max_step, jumps=jumps, vectorized=vectorized)
    if compile is not False:
        problem = replace(problem, record=recorded_code)
    of_scipy = {"lband": lband, "uband": uband, "jac_sparsity": jac_sparsity}
    options = as_options(problem.span, vectorized, first_step, min_step, **of_scipy)
    times = as_times(t_eval, problem.span, problem.y0)
    listed = _watched(events, problem)
    if problem.is_empty:
        return solve_empty(problem, times, listed, dense_output=dense_output)
    if listed and problem.batch:
        return _one_by_one(
            problem, times, progress, {"dense_output": dense_output, "guess": guess}, method=method, events=events,
            vectorized=vectorized, jac=jac, rtol=rtol, atol=atol, max_step=max_step, first_step=first_step, jumps=jumps,
            mesh=mesh, stages=stages, window=window, compile=compile, min_step=min_step, **of_scipy,
        )  # fmt: skip
    most = None if window is None else as_count("window", window)
    known = as_guess(guess, problem), as_mesh(mesh, problem.span, problem.y0)
    of_meshes = {"mesh": mesh, "guess": guess, "stages": stages, "window": window}
    on_mesh = any(given is not None for given in of_meshes.values())

    with watch(progress, abs(problem.span[1] - problem.span[0]), None) as report:
        evaluation = Evaluation(problem, vectorized, None if guess is None else guess._fun)
        on_meshes = OnMeshes(
            problem, evaluation, vectorized, known, times, listed, stages=stages, window=most, dense_output=dense_output
        )  # fmt: skip
        work = Workload(method, problem, options, on_mesh, stacks=partial(getattr, evaluation, "stacks"))
        meshed = work.is_settled or (has_kernels(problem) and not problem.batch)
        ways = _Ways(
            problem, options, times, listed, evaluation, vectorized, dense_output, of_meshes, on_meshes, work, meshed,
            listed, bool(compile),
        )  # fmt: skip
        offer = _offer(compile, work, ways.by_code, report)
        if offer.is_due:
            ways.watched = watched = listed if meshed else listed and record_events(listed, problem)
            uses_jac = meshed and jac is not None
            called = RepeatedCalls(problem, watched or (), only_events=not uses_jac) if watched or uses_jac else None
            if (found := offer.at_once()) is not None:
                return _examined(called, found) if called else found
        repeated = RepeatedCalls(problem, listed or ())
        evaluation.slope = repeated.slope
        after = partial(instead_of, work, evaluation.raised)
        brief = shortly(work, listed, repeated.slope)
        try:
            found = _in_turn(ways.attempt, offer.report, brief, after)
        except Overtaken as other:
            return _examined(repeated, other.found)
        found, decisions = _examined(repeated, found), (*offer.settle(), *_by_differences(found, problem))
        return replace(found, message=found.message + offer.remark, decisions=decisions) if decisions else found


@dataclass
class _Ways:
    """
    Ways to solve a problem, by calls of `fun` or by machine code of it; the attributes are what they are given.

    No functions within `solve_ivp`: all its calls, also the shortest ones, would make cells for what these share.
    """

    problem: Problem
    options: dict[str, Any]
    times: Any
    listed: tuple[Event, ...] | None
    evaluation: Evaluation
    vectorized: bool | None
    dense_output: bool
    of_meshes: dict[str, Any]
    on_meshes: OnMeshes
    work: Workload
    meshed: bool
    watched: tuple[Event, ...] | None
    is_demanded: bool

    def attempt(self, report: Report | None, chosen: Choice | None = None) -> IvpResult | None:
        """The result, or None where the solution contradicts the way in which `fun` and `jac` were evaluated."""
        choice = chosen or choose(self.work)
        if choice.is_sequential:
            warn_of_unused(self.of_meshes, tuple(self.of_meshes))
            return delegate(
                choice, self.problem, self.options, self.times, self.listed, self.evaluation,
                dense_output=self.dense_output, report=report,
            )  # fmt: skip
        warn_of_unused(self.options)
        found = None
        if choice.tries_ensemble:
            found = _stepped(self.problem, self.evaluation, self.times, report, dense_output=self.dense_output)
        return found or self.on_meshes.by_calls(choice.method, report)

    def by_code(self, report: Report | None) -> IvpResult:
        """The result by machine code."""
        if self.meshed:
            warn_of_unused(self.options)
            return self.on_meshes.by_code(choose(self.work).method, report)
        return solve_compiled(
            self.problem, self.options.get("first_step"), self.times, self.watched, self.evaluation, self.vectorized,
            dense_output=self.dense_output, report=report, is_demanded=self.is_demanded,
            first=TAYLOR if self.work.is_series else EXPLICIT,
        )  # fmt: skip


def _by_differences(found: IvpResult, problem: Problem) -> tuple[str, ...]:
    """Whether Newton's method on a mesh took Jacobians by differences, as a sentence."""
    is_so = found.iterations > 0 and found.njev > 0 and not found.compiled and problem.jac is None
    return (BY_DIFFERENCES,) if is_so else ()


def _stepped(
    problem: Problem, evaluation: Evaluation, times: Any, report: Report | None, *, dense_output: bool
) -> IvpResult | None:  # fmt: skip
    """A wide batch step by step: all members together, or each with its own steps; None if neither can be done."""
    make = evaluation.right_hand_side_of_steps
    found = solve_ensemble(problem, make, times, dense_output=dense_output, report=report)
    if found is not None or dense_output:
        return found
    return solve_with_own_steps(problem, evaluation, times, report)


def _one_by_one(
    problem: Problem, times: Any, progress: Watcher, others: dict[str, Any], **options: Any
) -> IvpResult:  # fmt: skip
    """A batch with events; raises for options of whole batches."""
    if given := [name for name, value in others.items() if value is not None and value is not False]:
        raise ValueError(f"`{given[0]}` is not for batches with `events`, whose members are solved one by one.")
    with watch(progress, abs(problem.span[1] - problem.span[0]), None) as report:
        return solve_members(problem, solve_ivp, times, options, report)


def _offer(compiles: bool | None, work: Workload, by_code: Solve, report: Report | None) -> Offer:
    """When machine code solves the problem."""
    if work.is_series:
        if compiles is False or work.on_mesh or work.leaves_code:
            raise TypeError(
                f"`method` {SERIES!r} works by machine code, step by step: leave out `compile=False`, and the options "
                "of meshes and of SciPy's solvers."
            )
        return Demand(by_code, report, f"the method {SERIES!r}")
    if compiles:
        if work.leaves_code:
            raise TypeError(
                "`compile=True` is for the method 'auto' and for those that are parallel over time, without options of "
                "SciPy's solvers: leave out `jac_sparsity`, `min_step`, `lband` and `uband`, and methods of SciPy."
            )
        return Demand(by_code, report)
    if compiles is False or work.leaves_code:
        return Never(report)
    if reason := next((reason for reason, applies in CALLED.items() if applies(work)), ""):
        return Never(report, (reason,))
    account = account_of(work.problem)
    return Purchase(account, by_code, report, account.saving_of(work.problem.fun))


def _in_turn(
    attempt: Callable[..., IvpResult | None],
    report: Report | None,
    brief: Choice | None,
    after: Callable[..., Choice | None],
) -> Any:
    """The result of the first attempt that succeeds.

    The attempts are a brief one, if that may suffice; the usual one, repeated with another evaluator of the functions
    if the solution contradicts the first; and another method after an exception, or if `fun` jumps to and fro.
    """
    if brief is not None:
        begun = None
        # What the functions raise or warn of may not occur in the usual attempt; if it does, the user sees it then.
        with suppress(Exception), warnings.catch_warnings(record=True) as issued:
            begun = attempt(None, brief)
        if begun is not None and begun.success:
            for one in issued:
                warnings.showwarning(one.message, one.category, one.filename, one.lineno, one.file, one.line)
            return begun
    while (found := attempt(report)) is None:
        pass  # an evaluator was withdrawn: the next attempt uses another one
    chatters = found.termination is Termination.STUCK and bool(found.meshes)
    instead = None if found.success else after(chatters=chatters)
    return found if instead is None else attempt(report, instead)


def _watched(events: Any, problem: Problem) -> tuple[Event, ...] | None:
    """The events, checked; None if the user gave none, so that the result lists none."""
    watched = prepare(events)
    reject_unwatched(watched, problem)
    return None if events is None else watched


def _examined(repeated: RepeatedCalls, found: IvpResult) -> IvpResult:
    """The result; with a warning if the user's functions contradict themselves."""
    contradictions = repeated.contradictions(found)
    if not contradictions:
        return found
    found = reported(found, contradictions)
    warnings.warn(found.message, NondeterministicFunctionWarning, stacklevel=3)
    return found

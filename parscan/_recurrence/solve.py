"""The public function `solve_recurrence`: checks the arguments, chooses methods, solves, builds the result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from .._arrays.namespace import as_array
from .._engine.march import Plan, Record, looped, march
from .._functions.step import SMALL, Step
from .._linalg.dense import Dense
from .._linalg.structure import Structure
from .._reporting.place import users_level
from .._reporting.progress import Report, Watcher, check_watcher, watch
from ..warnings import NondeterministicStepWarning
from .advice import warn_if_slow
from .arguments import as_arrays, as_options, as_structure, as_tolerance, check_functions
from .brief import Left, brief_loop
from .checks.check_jacobian import check_jacobian
from .checks.check_step import check_broadcasting
from .checks.checked_before import checked_before, note_checked
from .checks.contradiction import Finding
from .checks.whole_numbers import Inexact, WholeNumbers
from .choose import FIRST_STEPS, Choice, First, choose
from .compiled_tangents import note_outcome
from .decide import Budget
from .derivatives.seen import seen
from .derivatives.solution import Solution
from .lagged import solve_lagged
from .methods import by_differences
from .precedent import keep
from .repeat import note, repeated
from .report import build_result, result_of_loop
from .result import RecurrenceResult
from .systems.damping import Clipping
from .task import Task
from .usual import usual_task

BUDGET = Budget()
"""The budget of this process."""

STRETCHES = 4
"""Most stretches of steps that compiled sweeps found before they failed and that are compared with the function."""

ADVISED = 3000
"""Steps of a solve by `auto` from which on advice is given: it takes some hundred calls of the step."""

WITHDRAWN = "The compiled step gave other values than `step` on the trajectory, which was computed again without it."
"""The remark of a result if the machine code was wrong."""

MethodName = Literal["auto", "newton", "quasi-newton", "elk", "jacobi", "sequential"]


def solve_recurrence(
    step: Callable[..., Any],
    y0: Any,
    x: Any = None,
    *,
    length: int | None = None,
    lags: tuple[int, ...] | None = None,
    jac: Callable[..., Any] | Literal[True] | None = None,
    structure: Structure | type[Structure] = Dense,
    method: MethodName = "auto",
    args: tuple[Any, ...] = (),
    guess: Any = None,
    rtol: float | None = None,
    atol: float | None = None,
    max_iterations: int = 100,
    segment_length: int | None = None,
    window: int | None = None,
    damping: Clipping | None = None,
    compile: bool | None = None,  # noqa: A002 - the word for it
    progress: Watcher = False,
) -> RecurrenceResult:
    """Evaluate the recurrence ``y_t = step(y_{t-1}, x_t, *args)`` in parallel over time.

    The trajectory is divided into segments. One call of `step` evaluates one local step of all segments, and Newton's
    method corrects the states at their joints (multiple shooting; with segments of one step, DEER [1]_). The answer
    is that of the sequential loop, within the tolerances.

    Parameters
    ----------
    step : callable
        ``step(y, x, *args)``, or ``step(y, *args)`` without inputs: the states that follow `y`. It is called with
        stacked states, `y` of shape ``(k, *batch, n)`` with `x` of shape ``(k, ...)``, and returns an array of the
        shape and dtype of `y`. Each of the `k` results must depend on its own row only, as in a ufunc.
    y0 : array_like, shape (*batch, n)
        State before the first step: float32, float64, complex64 or complex128; integers and bools become float64.
        If `step` maps integers to integers, all states are compared with integer arithmetic: float64 represents all
        integers up to 2**53; larger ones raise an error, or are reported with ``sol.success`` False.
    x : array_like or tuple of array_like, shape (T, ...), optional
        Inputs, time first, numbers or bools of any dtype. `step` receives a tuple as a tuple.
    length : int, optional
        Number of steps `T` of a recurrence without inputs.
    lags : tuple of int, optional
        The earlier states that the step takes, if not the last one alone: with ``lags=(1, 7)``, it is called as
        ``step((y_{t-1}, y_{t-7}), x_t, *args)``, with a tuple of states, one for each lag in this order. `y0` then has
        the shape ``(max(lags), *batch, n)``, oldest first. The states are read-only. `jac` and `structure` are not
        taken.
    jac : callable, True or None
        ``jac(y, x, *args)``: the derivative of `step` with respect to `y` in the layout of `structure`, or an array
        that broadcasts to this layout over leading axes. True: `step` returns the pair ``(f, J)``. None: finite
        differences of the end of each segment. For complex states, Newton's method converges fast only if `step` is
        complex differentiable.
    structure : Structure
        ``parscan.Dense`` (`jac` returns ``(..., n, n)``), ``parscan.Diagonal`` (``(..., n)``),
        ``parscan.BlockDiagonal(k)`` or ``parscan.StackedDiagonal(k)`` (both ``(..., n/k, k, k)``).
    method : str
        - ``"auto"``: Jacobi while each sweep reduces the corrections by a factor of ten, then Newton for half the time
          that the loop would take, then the loop; the loop at once for few steps, or for steps that gain nothing from
          stacking.
        - ``"newton"``: exact propagators.
        - ``"quasi-newton"``: only the diagonals of the propagators, or their blocks with a structure of blocks; `jac`
          may give just these, even if the step couples all components.
        - ``"elk"``: exact propagators in a Levenberg–Marquardt method [2]_, which damps large corrections. More and
          costlier iterations, but convergence from guesses from which Newton's method diverges.
        - ``"jacobi"``: no propagators; each segment starts from the last end of the segment before it.
        - ``"sequential"``: the loop.

        The loop evaluates the steps that have not converged after `max_iterations`.
    args : tuple
        Further arguments of `step` and `jac`.
    guess : array_like of shape (T, *batch, n), or RecurrenceResult, optional
        Initial guess of the trajectory, that of a nearby problem for example. By default every segment starts at `y0`.
    rtol, atol : float, optional
        A correction δ of a state y is small enough when ``|δ| <= atol + rtol * |y|``, elementwise. Default
        1e-10 and 1e-12, in single precision 1e-5 and 1e-6.
    max_iterations : int
        Largest number of iterations of each method.
    segment_length : int, optional
        Steps per segment; 1 is DEER. The default depends on the measured cost of calls; results of different lengths
        agree within the tolerances, not to the last bit.
    window : int, optional
        Steps solved at once; the next window starts from the last state of the previous one. By default as many as fit
        into a quarter of the free memory; fewer after a failure, and if the propagators show that a small change would
        grow by more than e^5 over the window; more again after successes. The loop evaluates the steps on which the
        smallest window fails.
    damping : parscan.Clipping, optional
        Bounds the propagators of ``"newton"`` and ``"quasi-newton"``, for recurrences that are locally unstable.
    compile : bool or None
        Whether the loop, and Jacobi's sweeps, evaluate `step` as machine code, which is made from a recorded call: see
        :func:`parscan.trace`. False: never. None: if this is possible and saves time. True: raise an error if it is not
        possible. ``sol.decisions`` gives the reason if no code was made. The code is compared with `step` before and
        after the solve.
    progress : bool or callable
        True: show on stderr the number of solved steps, iterations, window, correction and remaining time; as a bar of
        tqdm on a terminal, if tqdm is installed, otherwise in lines of text. A function: it is called with a
        `parscan.Progress` after every iteration, and every 128 steps of the loop. Its exceptions end the solve.

    Returns
    -------
    RecurrenceResult
        The trajectory ``sol.y`` of shape ``(T, *batch, n)``, with ``sol.y[0] = step(y0, x[0])``, and data on the solve.
        If a state is not finite, the trajectory ends there, as in the loop: ``sol.success`` is False, ``sol.message``
        names the step, and NaN fills the rest.

    Raises
    ------
    TypeError
        Arguments or returned arrays of the wrong kind, dtype or array library.
    ValueError
        Shapes or lengths that do not match; a step that does not broadcast, or a wrong Jacobian (both are checked on
        a few states); integers that float64 cannot represent.
    MemoryError
        If the trajectory is larger than the free memory; nothing has been allocated then.

    Warns
    -----
    parscan.warnings.SlowConvergenceWarning
        If a method that was chosen by name left steps to the loop, or took many iterations.
    parscan.warnings.NondeterministicStepWarning
        If a sample of the steps gave other values when it was evaluated again at the end.

    References
    ----------
    .. [1] Lim, Zhu, Selfridge and Kasim, "Parallelizing non-linear sequential models over the sequence length",
       ICLR 2024, equations 3 to 5.
    .. [2] Gonzalez, Warrington, Smith and Linderman, "Towards scalable and stable parallelization of nonlinear RNNs",
       NeurIPS 2024.

    Examples
    --------
    >>> import numpy as np, parscan
    >>> x = np.sin(0.1 * np.arange(10_000.0))[:, None]
    >>> def step(y, x):
    ...     return np.tanh(0.8 * y + x)
    >>> sol = parscan.solve_recurrence(step, np.zeros(1), x)
    >>> sol.success, sol.y.shape
    (True, (10000, 1))
    >>> bool(np.allclose(sol.y[1:], step(sol.y[:-1], x[1:])))
    True
    """
    others = jac, structure, method, guess, rtol, atol, max_iterations, segment_length, window, damping, progress
    if lags is not None:
        return solve_lagged(solve_recurrence, step, y0, x, length, lags, args, compile, others)
    if (again := repeated(step, y0, x, length, args, compile, others)) is not None:
        return again
    whole, begun = None, brief_loop(step, y0, x, length, args, compile, others)
    if type(begun) is RecurrenceResult:
        return begun
    if isinstance(begun, Left):
        task, choice, record, found = _solved(begun.task, None, None, begun.first)
    elif (usual := usual_task(step, y0, x, length, args, compile, others)) is not None:
        task, choice, record, found = _solved(usual, None, None)
    else:
        given = _checked_task(step, y0, x, length, args, compile, others)
        whole = WholeNumbers.of(given.step, given.arrays.given, given.steps)
        with watch(progress, given.steps, "step") as report:
            task, choice, record, found = _solved(given, whole, report)
    if choice.wanting and task.code is None:
        BUDGET.charge(choice.wanting * record.looped)
    result = _conclude(task, choice, record, found, whole)
    precedent = choice.precedent if result.success else None
    keep(task, precedent.without_segments() if precedent and choice.methods and record.looped else precedent)
    if precedent and choice.is_as_before:
        note(task, y0, x, length, precedent, result)
    return result


def _checked_task(
    step: Any, y0: Any, x: Any, length: Any, args: Any, compiles: Any, others: tuple[Any, ...]
) -> Task:  # fmt: skip
    """The task, from arguments of any kind; `others` are in the order of `USUAL`."""
    jac, structure, method, guess, rtol, atol, max_iterations, segment_length, window, damping, progress = others
    check_functions(step, jac, args)
    check_watcher(progress)
    arrays = as_arrays(y0, x, length, guess)
    family = as_structure(structure)
    family.shape(arrays.n)
    tolerance = as_tolerance(rtol, atol, arrays.y0.dtype)
    options = as_options(method, max_iterations, segment_length, window, damping, compiles)
    trajectory = arrays.xp.empty((arrays.steps, *arrays.y0.shape), dtype=arrays.y0.dtype)
    return Task(Step(step, arrays.x, args, jac, family, arrays.xp), arrays, trajectory, tolerance, options)


def _solved(
    task: Task, whole: WholeNumbers | None, report: Report | None, begun: First | None = None
) -> tuple[Task, Choice, Record, Solution]:
    """The choice, and the march; `begun` are the first steps, if they are evaluated already."""
    choice = choose(task, whole, BUDGET, begun)
    if choice.code is not None:
        task = Task(task.step, task.arrays, task.trajectory, task.tolerance, task.options, choice.code)
    elif not choice.methods:
        record = looped(task, choice.start, report, choice.begun)
        found = None if begun is None else begun.found
        return task, choice, record, found or _solution(task, record.reached)
    return _marched(task, choice, report)


def _marched(task: Task, choice: Choice, report: Report | None) -> tuple[Task, Choice, Record, Solution]:
    """The march; without machine code if the user's function contradicts it on the trajectory."""
    plan = Plan(choice.methods, task.tolerance)
    record = _march(task, plan, choice, report)
    found = _solution(task, record.reached)
    if task.code is None or record.reached == choice.start:
        return task, choice, record, found
    stretches = [] if found.is_confirmed else [(choice.start, record.reached)]
    if choice.in_methods:  # what sweeps found before they failed may be short
        stretches += [(one.begin, one.reached) for one in record.solves if one.begin < one.reached < one.end][
            :STRETCHES
        ]
    code = task.code
    if any(code.is_contradicted(task.arrays.y0, task.trajectory, *stretch) for stretch in stretches):
        task = replace(task, code=None)
        # The first steps may be of the code, too, if the choice was taken over from an earlier solve.
        choice = replace(choice, start=0, uncounted=choice.uncounted + choice.start)
        plan = replace(plan, methods=()) if choice.in_methods else plan
        record = _march(task, plan, choice, report)
        found = _solution(task, record.reached)
        choice = replace(choice, methods=plan.methods, in_methods=False, reason=f"{choice.reason} {WITHDRAWN}".strip())
    elif code.program and choice.in_methods and task.options.method == "auto" and choice.methods[0].name == "newton":
        note_outcome(code.program, faster=record.looped == 0)
    return task, choice, record, found


def _march(task: Task, plan: Plan, choice: Choice, report: Report | None) -> Record:
    """The steps that the choice has left, with its count of steps of the loop."""
    record = march(task, plan, choice.start, report)
    record.looped = max(record.looped - choice.uncounted, 0)
    return record


def _solution(task: Task, steps: int) -> Solution:
    """The first steps of the trajectory; they are checked by calls on several states where that was verified."""
    stacks = task.options.method != "sequential"
    compiles = task.options.compiles
    known = seen(task.trajectory, task.step.x, None if task.code is None else task.code.recording)
    return Solution(
        task.step, task.arrays.y0, task.trajectory, steps, task.tolerance, stacks=stacks, compiles=compiles, seen=known
    )


def _conclude(
    task: Task, choice: Choice, record: Record, found: Solution, whole: WholeNumbers | None
) -> RecurrenceResult:
    """Check the trajectory, warn if necessary, and build the result."""
    trouble: Finding | Inexact | None = None
    if not choice.is_checked:
        trouble = _trouble_of_loop(task, found)
        if trouble is None and record.reached == task.arrays.steps:
            return result_of_loop(task.trajectory, record.looped, found, choice.reason, task.step.counts)
    step, trajectory, method = task.step, task.trajectory, task.options.method
    length = choice.length if choice.methods else 0
    prefixes = [range(each.begin, each.reached) for each in record.solves if each.reached < each.end]
    by_calls = bool(record.solves) and not choice.in_methods  # of the function, on stacked states
    places = length if by_calls else 1
    if choice.is_checked:
        trouble = found.contradiction(places, parallel=by_calls, prefixes=prefixes)
    if whole and not trouble and (trouble := found.first_inexact(whole)):
        found = _solution(task, trouble.time)
    compiled = task.code is not None and (record.looped > 0 or choice.in_methods)
    advised = method != "auto" or (not compiled and task.steps >= ADVISED)
    linearised = by_differences(step, [one.method for one in record.solves]) if by_calls else ()
    result = build_result(step, trajectory, record, found, choice.reason, length, trouble, compiled=compiled,
                          advised=advised, linearised=linearised)  # fmt: skip
    if isinstance(trouble, Finding):
        warnings.warn(result.message, NondeterministicStepWarning, stacklevel=users_level())
    elif choice.methods and method != "auto" and result.success:
        warn_if_slow(method, record, task.steps, lambda: found.jumps)
    return result


def _trouble_of_loop(task: Task, found: Solution) -> Finding | None:
    """A contradiction between the step and the trajectory of a loop that was chosen before the step was checked.

    The checks are made now; they raise the errors that other methods raise at the start.
    """
    is_whole = found.broadcasts
    if is_whole and (not task.step.has_jacobian or checked_before(task.step)):
        return None
    states = found.before(0, min(FIRST_STEPS, found.steps))
    if not is_whole:
        check_broadcasting(task.step, states, task.steps)
    if task.step.has_jacobian:
        check_jacobian(task.step, states)
        note_checked(task.step)
    return None if is_whole else found.contradiction(1, parallel=False)


def _rehearse() -> None:
    """
    Solve recurrences of as many steps as are timed: no more are left, so that nothing is recorded, whatever they take.

    This is done eight times: then Python adapts its functions to what they are called with.

    Whatever is done first in a process takes long: the system loads functions and memory, Python looks up names. When
    parscan is imported, a millisecond is one part in some hundreds. In the first solve, it would be a third of the time
    of a loop of a millisecond.
    """
    many = as_array("y0", [0.5] * (SMALL // 8 + 1))
    for y0 in (many[:1], many):  # on the straight way, and on the other one
        x = as_array("x", [[0.5] * y0.size] * FIRST_STEPS)
        for _ in range(8):
            solve_recurrence(lambda y: 0.5 * y, y0, length=FIRST_STEPS)
            solve_recurrence(lambda y, x: 0.5 * y + x, y0, x)


_rehearse()

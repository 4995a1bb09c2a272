"""The front door for recurrences: validate, choose, solve, wrap the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ._arguments import Arrays, as_arrays, as_count, as_structure, as_tolerance, check_functions
from ._check_step import check_broadcasting, check_jacobian
from ._cost import best_length, measure, sweeps
from ._march import Plan, Stage, march
from ._methods import Workshop
from ._problem import RecurrenceProblem
from ._progress import progress_bar
from ._report import wrap
from ._result import RecurrenceResult
from ._tolerance import Tolerance
from .jacobians import Dense, Structure
from .systems import Step

FIRST_STEPS = 8
"""Steps that are looped first: the states for the checks and measurements."""

FEW_STEPS = 64
"""`auto` leaves fewer steps than these to the loop without measuring anything."""

WORTHWHILE = 0.8
"""Share of the loop's time that the sweeps of `auto` may be expected to take."""

MethodName = Literal["auto", "newton", "quasi-newton", "picard", "jacobi", "sequential"]


def solve_recurrence(
    step: Callable[..., Any],
    y0: Any,
    x: Any = None,
    *,
    length: int | None = None,
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
    progress: bool = False,
) -> RecurrenceResult:
    """Evaluate the recurrence ``y_t = step(y_{t-1}, x_t, *args)`` in parallel over time.

    The trajectory is cut into segments that are marched together, one call of `step` for the same local step of all
    of them, and corrected at their joints until they fit (multiple shooting; with segments of one step, DEER [1]_).
    The answer is that of the sequential loop, within the tolerances.

    Parameters
    ----------
    step : callable
        ``step(y, x, *args)``, or ``step(y, *args)`` without inputs: the states after `y`. It is called on stacked
        states, `y` of shape ``(k, *batch, n)`` with `x` of shape ``(k, ...)``, and returns an array of the shape and
        dtype of `y`. Each of the `k` results must depend on its own row only, as in a ufunc.
    y0 : array_like, shape (*batch, n)
        State before the first step: float32, float64, complex64 or complex128; integers and bools become float64.
    x : array_like or tuple of array_like, shape (T, ...), optional
        Inputs, time first, of any dtype. A tuple reaches `step` as a tuple.
    length : int, optional
        Number of steps `T` of a recurrence without inputs.
    jac : callable, True or None
        ``jac(y, x, *args)``: the derivative of `step` by `y` in the layout of `structure`, or anything that
        broadcasts to it over leading axes. True: `step` returns the pair ``(f, J)``. None: finite differences of
        the end of each segment. Complex steps must be complex differentiable for Newton to converge fast.
    structure : Structure
        ``parscan.Dense`` (`jac` returns ``(..., n, n)``), ``parscan.Diagonal`` (``(..., n)``), or
        ``parscan.BlockDiagonal(k)`` (``(..., n/k, k, k)``).
    method : str
        - ``"auto"``: Jacobi while a sweep gains a factor of ten, then Newton for half the time that the loop would
          take, then the loop; few steps, or steps that gain nothing from stacking, go to the loop at once.
        - ``"newton"``: exact propagators.
        - ``"quasi-newton"``: their diagonals only.
        - ``"picard"``: the identity.
        - ``"jacobi"``: none; each segment starts where the one before it ended in the last sweep.
        - ``"sequential"``: the loop.

        What has not converged after `max_iterations` is finished by the loop.
    args : tuple
        Further arguments of `step` and `jac`.
    guess : array_like of shape (T, *batch, n), or RecurrenceResult, optional
        Trajectory to start from, of a nearby problem for example. By default every segment starts at `y0`.
    rtol, atol : float, optional
        A correction δ of a state y is small enough when ``|δ| <= atol + rtol * |y|``, elementwise. Default
        1e-10 and 1e-12, in single precision 1e-5 and 1e-6.
    max_iterations : int
        Iterations of each method, at most.
    segment_length : int, optional
        Steps per segment; 1 is DEER. By default chosen from the measured cost of calls; results of different
        lengths agree within the tolerances, not to the last bit.
    window : int, optional
        Steps solved at once; the next window starts from the state reached. By default all.
    progress : bool
        Show a progress bar, if tqdm is installed.

    Returns
    -------
    RecurrenceResult
        The trajectory ``sol.y`` of shape ``(T, *batch, n)``, with ``sol.y[0] = step(y0, x[0])``, and how it was found.
        If a state is not finite, the trajectory ends there as that of the loop: ``sol.success`` is False,
        ``sol.message`` names the step, and NaN fills the rest.

    Raises
    ------
    TypeError
        Arguments or returned arrays of the wrong kind, dtype or array library.
    ValueError
        Shapes or lengths that do not match; a step that does not broadcast, or a Jacobian that is not its own (both
        are tried on the first few states).

    References
    ----------
    .. [1] Lim, Zhu, Selfridge and Kasim, "Parallelizing non-linear sequential models over the sequence length",
       ICLR 2024, equations 3 to 5.

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
    check_functions(step, jac, args, method)
    arrays = as_arrays(y0, x, length, guess)
    family = as_structure(structure)
    family.shape(arrays.y0.shape[-1])
    options = Options(
        method,
        as_tolerance(rtol, atol, arrays.y0.dtype),
        as_count("max_iterations", max_iterations),
        None if segment_length is None else as_count("segment_length", segment_length),
        max(arrays.steps, 1) if window is None else as_count("window", window),
    )
    counted = Step(step, arrays.x, args, jac, family)
    trajectory = arrays.xp.empty((arrays.steps, *arrays.y0.shape), dtype=arrays.y0.dtype)
    problem = RecurrenceProblem(counted, arrays.y0, trajectory, options.tolerance, arrays.guess)
    with progress_bar(arrays.steps, enabled=progress) as report:
        choice = _choose(counted, arrays, problem, options)
        record = march(problem, choice.plan(options), choice.start, report)
    return wrap(counted, trajectory, record, choice.length if choice.stages else 0)


@dataclass(frozen=True)
class Options:
    """What the user left open is None."""

    method: str
    tolerance: Tolerance
    max_iterations: int
    segment_length: int | None
    window: int


@dataclass(frozen=True)
class Choice:
    """Stages (none for the loop), their segment length, and the step to begin with: those before it are evaluated."""

    stages: tuple[Stage, ...]
    length: int
    start: int

    def plan(self, options: Options) -> Plan:
        """The choice as the march takes it."""
        return Plan(self.stages, options.window, options.tolerance)


def _choose(step: Step, arrays: Arrays, problem: RecurrenceProblem, options: Options) -> Choice:
    """Check the user's functions on the first steps, and choose."""
    first = min(FIRST_STEPS, arrays.steps)
    empty = arrays.steps * arrays.y0.size == 0
    if options.method == "sequential" or empty or problem.loop(arrays.y0, 0, first) < first:
        return Choice((), 0, 0)
    states = arrays.xp.stack([problem.state(t) for t in range(first)])
    check_broadcasting(step, states, arrays.steps)
    if step.has_jacobian:
        check_jacobian(step, states)
    start = first if options.method == "auto" else 0
    steps = arrays.steps - start
    if options.method == "auto" and steps < FEW_STEPS:
        return Choice((), 0, start)
    cost = measure(step, states, arrays.steps)
    length = options.segment_length or best_length(cost, steps)
    workshop = Workshop(problem, step, arrays.y0.shape[-1], length, options.max_iterations)
    if options.method != "auto":
        return Choice((workshop.stage(options.method),), length, start)
    if options.segment_length is None and sweeps(cost, steps, length) > WORTHWHILE * steps * cost.looped:
        return Choice((), 0, start)
    return Choice(workshop.auto(cost, steps), length, start)

"""Recurrences with several lags: by a loop that leaves states where they are, or by their companion recurrence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from .._arrays.memory import check_fits
from .._arrays.namespace import Array, array_namespace, contiguous, is_whole, library
from .._engine.march import Record
from .._functions.step import Step
from .._reporting.place import users_level
from .._reporting.progress import Report, check_watcher, watch
from .._reporting.result_base import Deferred
from ..warnings import NondeterministicStepWarning
from .arguments import DENSE, as_options, as_tolerance
from .checks.check_step import check_broadcasting
from .checks.contradiction import Finding, Sample, contradiction
from .checks.spread import spread
from .code import AS_RECORDED, WORTH_RECORDING
from .derivatives.solution import SAMPLE as CONFIRMING
from .derivatives.solution import Solution
from .lagged_loop import lagged_loop
from .lagged_march import Lagged, code_of, march_by_code, march_first
from .lagged_result import LaggedResult
from .lags import (
    Companion,
    Lags,
    Narrow,
    as_lagged_arrays,
    as_lags,
    check_lagged_functions,
    is_spared,
    together,
    windows,
)
from .report import build_result
from .result import RecurrenceResult
from .task import Arrays, Options

FEW = 16
"""Numbers of the last states together up to which `auto` leaves steps without machine code to its parallel methods."""

FEW_OF_ALL = 512
"""The same of all members of a batch: calls on more of them save too little."""

FEW_ON_DEVICE = 64
"""Numbers of the last states together up to which arrays of other libraries are left to the companion recurrence."""

SHORT, WIDE = "it is short", "it reads earlier states where they are, and calls on stacked ones would copy many numbers"
"""Why the loop was chosen."""

BY_CODE = f"{AS_RECORDED[0].upper()}{AS_RECORDED[1:]}."

WITHDRAWN = "The compiled step gave other values than `step` on the trajectory, which was computed again without it."

Solver = Callable[..., RecurrenceResult]


def solve_lagged(
    solve: Solver, step: Any, y0: Any, x: Any, length: Any, lags: Any, args: Any, compiles: Any,
    others: tuple[Any, ...],
) -> LaggedResult:  # fmt: skip
    """
    The result of `solve_recurrence` with `lags`; `others` are its other arguments, in the order of `USUAL`.

    `solve` is `solve_recurrence` itself, for the companion recurrence.
    """
    jac, structure, method, guess, rtol, atol, max_iterations, segment_length, window, damping, progress = others
    lags = as_lags(lags)
    check_lagged_functions(step, jac, structure, args)
    check_watcher(progress)
    given, start, arrays = as_lagged_arrays(y0, x, length, guess, lags)
    companion = Companion(step, lags, arrays.n, arrays.xp)
    options = as_options(method, max_iterations, segment_length, window, damping, compiles)

    def by_companion() -> LaggedResult:
        found = solve(
            companion, together(given), x, length=length, method=method, args=args,
            guess=_guessed(start, arrays.guess), rtol=rtol, atol=atol, max_iterations=max_iterations,
            segment_length=segment_length, window=window, damping=damping, compile=options.compiles, progress=progress,
        )  # fmt: skip
        return _of_companion(found, companion)

    is_empty = not arrays.steps or not start.size
    if max(lags) == 1 or is_empty or is_whole(given.dtype) or not _is_looped(options, arrays, max(lags)):
        return by_companion()
    check_fits(arrays.steps + max(lags), tuple(start.shape[1:]), start)
    extended = arrays.xp.concat([start, arrays.xp.empty((arrays.steps, *start.shape[1:]), dtype=start.dtype)])
    each = Step(companion, arrays.x, args, None, DENSE, arrays.xp)
    tolerance = as_tolerance(rtol, atol, start.dtype)
    task = Lagged(companion, each, arrays, extended, tolerance, options)
    with watch(progress, arrays.steps, "step") as report:
        return _looped(task, report, by_companion)


def _is_looped(options: Options, arrays: Arrays, rows: int) -> bool:
    """Whether the loop is the method, or may be that of `auto`."""
    if options.method == "sequential":
        return True
    if options.method != "auto" or arrays.guess is not None or options.segment_length or options.window:
        return False
    return library(arrays.y0) == "numpy" or rows * arrays.n > FEW_ON_DEVICE


def _looped(task: Lagged, report: Report | None, by_companion: Callable[[], LaggedResult]) -> LaggedResult:
    """The loop, by machine code where that pays; without, `auto` leaves long loops to the companion recurrence."""
    steps, options = task.arrays.steps, task.options
    on = None if report is None else partial(report, method="sequential", window=1, iterations=0, correction=None)
    first, reached, pace = march_first(task)
    seconds = pace * (steps - first)
    if reached < first:
        return _concluded(task, reached, "", compiled=False)
    states = task.before(range(first))
    if options.method == "auto":
        check_broadcasting(task.step, states, steps)
    code, remark = code_of(task, states, seconds)
    if code is not None:
        if (end := march_by_code(task, code, first, on)) is not None:
            return _concluded(task, end, _told(options, AS_RECORDED) or BY_CODE, compiled=True)
        remark = f" {WITHDRAWN}"
    elif options.method == "auto" and seconds > WORTH_RECORDING and _are_few(states):
        return by_companion()
    end = lagged_loop(task.step, task.companion, task.extended, first, steps, on)
    why = SHORT if seconds <= WORTH_RECORDING else WIDE
    return _concluded(task, end, f"{_told(options, why)}{remark}".strip(), compiled=False)


def _are_few(states: Array) -> bool:
    """Whether calls on many companion states promise to save time, and products of their propagators are small."""
    return states.shape[-1] <= FEW and prod(states.shape[1:]) <= FEW_OF_ALL


def _told(options: Options, why: str) -> str:
    """The sentence on the choice of the loop."""
    return f"auto: the loop, for {why}." if options.method == "auto" else ""


def _companions(task: Lagged, steps: int) -> Solution:
    """The first steps with a companion state before each; raises `MemoryError` if there is no room for them."""
    y, start = task.trajectory, together(task.extended[: task.rows, ...])
    check_fits(y.shape[0], tuple(start.shape), start)
    states = task.before(range(1, y.shape[0] + 1))
    return _solution(task, task.step, start, states, steps)


def _narrow(task: Lagged, steps: int) -> Solution:
    """The same with the states of the lags alone before each step."""
    companion, rows, extended = task.companion, task.rows, task.extended
    y, xp, more = task.trajectory, task.arrays.xp, companion.n * (len(companion.lags) - 1)
    count = y.shape[0]
    check_fits(2 * count, (*y.shape[1:-1], more + companion.n), y)
    states = xp.concat([extended[rows - lag : rows - lag + count + 1, ...] for lag in companion.lags], axis=-1)
    after = xp.concat([y, xp.zeros((*y.shape[:-1], more), dtype=y.dtype)], axis=-1)
    step = Step(Narrow(companion), task.step.x, task.step.args, None, DENSE, xp)
    return _solution(task, step, states[0, ...], states[1:, ...], steps, after)


def _solution(
    task: Lagged, step: Step, start: Array, states: Array, steps: int, after: Array | None = None
) -> Solution:  # fmt: skip
    options = task.options
    stacks = options.method != "sequential"
    return Solution(
        step, start, states, steps, task.tolerance, stacks=stacks, compiles=options.compiles, after=after
    )  # fmt: skip


def _concluded(task: Lagged, reached: int, reason: str, *, compiled: bool) -> LaggedResult:
    """The result of a loop that ended at the step `reached`."""
    trouble = None if compiled or task.options.method == "sequential" else _trouble(task, reached)
    record = Record(looped=reached, reached=reached)
    companions = Deferred(partial(_companions, task, reached))
    narrow = is_spared(task.companion) and reached > 0
    own = Deferred(partial(_narrow, task, reached)) if narrow else companions
    found = build_result(task.step, task.trajectory, record, own, reason, 0, trouble, compiled=compiled, advised=False)
    if trouble is not None:
        warnings.warn(found.message, NondeterministicStepWarning, stacklevel=users_level())
    return _with_lags(found, task.companion.lags, _companions=companions)


def _trouble(task: Lagged, reached: int) -> Finding | None:
    """A contradiction between the step and a sample of the trajectory."""
    if not (times := [t for t in spread(reached, CONFIRMING) if t < reached]):
        return None
    sample = Sample(times, task.before(times), task.before([t + 1 for t in times]))
    try:
        return contradiction(task.step, sample, task.tolerance, parallel=False)
    except Exception:  # a step may reject these states with inputs of other times; then no comparison is possible
        return None


def _guessed(start: Array, guess: Array | None) -> Array | None:
    """The guess of companion states."""
    if guess is None:
        return None
    rows = start.shape[0]
    return windows(array_namespace(guess).concat([start, guess]), rows, range(1, guess.shape[0] + 1))


def _of_companion(found: RecurrenceResult, companion: Companion) -> LaggedResult:
    """The result of the companion recurrence, with the newest of its states."""
    if max(companion.lags) == 1:
        return _with_lags(found, companion.lags)
    return _with_lags(found, companion.lags, y=contiguous(found.y[..., -companion.n :]))


def _with_lags(found: RecurrenceResult, lags: Lags, **fields: Any) -> LaggedResult:
    """A result with the methods of one with lags."""
    result = object.__new__(LaggedResult)
    result.__dict__.update({"_companions": found._solution, **found.__dict__, **fields, "lags": lags})
    return result

"""The loop of a recurrence with several lags, by machine code that is compared with the step before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from .._arrays.namespace import Array, library
from .._engine.tolerance import Tolerance
from .._functions.step import Step
from .checks.spread import spread
from .code import SAMPLE, Code, Compiler, forget, unlike_function
from .lagged_loop import lagged_loop
from .lags import Companion, windows
from .loop import first_not_finite
from .task import Arrays, Options

FIRST_STEPS = 16
"""Steps that are evaluated by calls, timed, before anything is chosen."""


@dataclass(frozen=True)
class Lagged:
    """A checked recurrence with several lags; `extended` holds the first states, then the trajectory."""

    companion: Companion
    step: Step
    arrays: Arrays
    extended: Array
    tolerance: Tolerance
    options: Options

    @property
    def rows(self) -> int:
        """Number of the first states: the largest lag."""
        return max(self.companion.lags)

    @property
    def trajectory(self) -> Array:
        """The states of all steps."""
        return self.extended[self.rows :, ...]

    def before(self, times: Sequence[int]) -> Array:
        """Companion states before some steps, `(k, *batch, p n)`."""
        return windows(self.extended, self.rows, times)


def code_of(task: Lagged, states: Array, seconds: float) -> tuple[Code | None, str]:
    """Machine code of the step, if that pays; and why there is none, a sentence that begins with a space."""
    if library(states) != "numpy":
        return None, ""
    after = task.before(range(1, states.shape[0] + 1))

    def make(recording: Any) -> Any:
        from .._recorded.native.lagged import LaggedLoop  # noqa: PLC0415 - slow to import

        return LaggedLoop(recording, task.rows)

    compiler = Compiler(task.step, states, after, task.arrays.steps, task.options.compiles, make)
    code = compiler.code(inf if task.options.compiles else seconds)
    return code, compiler.remark


def march_by_code(task: Lagged, code: Code, begin: int, report: Callable[[int], None] | None) -> int | None:
    """
    All steps from `begin` on by machine code: the first one whose state is not finite, or their number.

    The function decides whether the trajectory ends there. None if it contradicts the code.
    """
    steps, by_function, start = task.arrays.steps, 1, begin
    while begin < steps:
        if code.loop.run(None, code.inputs, task.extended, begin, steps, report):
            break
        if (bad := first_not_finite(task.trajectory, begin, steps)) == steps:
            break
        begin = min(bad + by_function, steps)
        last = lagged_loop(task.step, task.companion, task.extended, bad, begin)
        by_function *= 2
        if last < begin:
            steps = last
    times = sorted({start, *(t for t in spread(steps, SAMPLE) if start <= t)} - {steps}) if start < steps else []
    if times and unlike_function(task.step, times, task.before(times), task.before([t + 1 for t in times])):
        if code.recording is not None:
            forget(code.recording)
        return None
    return steps


def march_first(task: Lagged) -> tuple[int, int, float]:
    """Evaluate the first steps by calls: how many, the first one that is not finite or their number, and their pace."""
    first, begin = min(FIRST_STEPS, task.arrays.steps), time.perf_counter()
    reached = lagged_loop(task.step, task.companion, task.extended, 0, first)
    return first, reached, (time.perf_counter() - begin) / first


def march_whole(task: Lagged) -> int:
    """Evaluate all steps, by machine code where that pays; the first one that is not finite, or their number."""
    first, reached, pace = march_first(task)
    if reached < first or first == task.arrays.steps:
        return reached
    code, _ = code_of(task, task.before(range(first)), pace * (task.arrays.steps - first))
    if code is not None and (end := march_by_code(task, code, first, None)) is not None:
        return end
    return lagged_loop(task.step, task.companion, task.extended, first, task.arrays.steps)

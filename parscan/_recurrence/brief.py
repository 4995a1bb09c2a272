"""
Brief loops of usual arguments, in few functions.

What is called first in a process takes long: the processor has to fetch the code and the data of each function. On the
way that all solves can take, a loop of a millisecond would wait for this a tenth of its time and more. Here is a
straight way for a loop that gives nothing to tell: its checks, its choice and its result are those of the other way, to
which everything else is left, with all that was evaluated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from math import inf, isfinite
from operator import is_
from typing import Any

from .._arrays.namespace import (
    ARRAY,
    DOUBLE,
    ERRORS,
    Array,
    array_namespace,
    error_values,
    from_bytes,
    of_floats,
)
from .._functions.counts import Counts
from .._functions.step import SMALL, Outcome, Step
from .._functions.verify import alike
from .._recorded.budget import MOST_KEPT
from .._reporting.result_base import Deferred
from . import code as machine_code
from .arguments import DENSE
from .choose import CALL, FEW_LEFT, FIRST_STEPS, LITTLE_LEFT, WARM, Choice, First, at_once, resumed
from .decide import BRIEF, FEW_STEPS, SHORT
from .derivatives.seen import LARGEST, Seen, seen
from .derivatives.solution import SAMPLE, Solution
from .in_turn import rows_of
from .report import result_of_loop
from .result import RecurrenceResult
from .task import Task
from .usual import FOR_DOUBLES, USUAL, usual_task

BUSY = 2.0
"""A step that takes less than this many times its least seconds so far takes them in a busy moment."""

_KNOWN: dict[tuple[Any, tuple[int, ...]], float] = {}
"""Least seconds of a step of functions, by their code and the shapes of states."""


@dataclass(frozen=True)
class Left:
    """
    What is left to the other way.

    Parameters
    ----------
    task : Task
    first : First
        What was evaluated.
    """

    task: Task
    first: First


class _Loop:
    """
    A loop of usual arguments: what it was given, and the states that it evaluated, after the first one.

    The states are kept in one piece of memory: each object of its own would be fetched by the processor once more.
    """

    __slots__ = ("args", "choice", "compiles", "function", "given", "kept", "seconds", "shape", "start", "steps", "x")

    def __init__(self, given: tuple[Any, ...], steps: int) -> None:
        self.function, y0, x, _, self.args, self.compiles, _ = self.given = given
        self.x, self.steps, self.shape, self.start, self.kept = None, steps, y0.shape, y0.tobytes(), BytesIO()
        self.kept.seek(steps * len(self.start))
        self.kept.write(self.start)  # all of the memory at once
        self.kept.seek(0)
        self.kept.write(self.start)
        if x is not None:
            self.x = x.view()
            self.x.setflags(write=False)
        self.choice: Choice | None = None
        self.seconds = 0.0

    def run(self, y: Array) -> RecurrenceResult | Left:
        """Evaluate all steps from a state, which the function may write to."""
        function, shape, keep, seconds, is_half = self.function, y.shape, self.kept.write, inf, False
        first = FIRST_STEPS if self.steps > FIRST_STEPS else self.steps
        rows, turns = rows_of(self.x, self.args)
        for count in (first // 2, first - first // 2, self.steps - first):
            begin = time.perf_counter()
            try:
                y, is_usual = turns(function, y, islice(rows, count), keep, shape)
            except Exception as error:
                return self._left(partial(_raised, error))
            if not is_usual:
                return self._left(partial(_returned, y))
            if self.choice is None:
                taken = time.perf_counter() - begin
                if count and taken < count * seconds:
                    seconds = taken / count
                if is_half and not self._is_chosen(first, seconds):
                    return self._left()
                is_half = True
        return self._result(first)

    def _is_chosen(self, first: int, seconds: float) -> bool:
        """Whether the loop is chosen; the first steps took some `seconds` each."""
        if self.compiles is None:
            seconds = _as_known(getattr(self.function, "__code__", None), self.shape, seconds)
        left, self.seconds = self.steps - first, seconds
        least = WARM * seconds * left
        is_worthless = least < machine_code.WORTH_SAVING and least < machine_code.WORTH_RUNNING
        if is_worthless and least < machine_code.WORTH_RECORDING and (seconds + CALL) * left < BRIEF:
            self.choice = FEW_LEFT if left < FEW_STEPS else LITTLE_LEFT
        else:
            self.choice = at_once(self._task(), first, seconds)
        return self.choice is not None

    def _result(self, first: int) -> RecurrenceResult | Left:
        """The result if all states are finite, and a call on a sample of them gives the trajectory again."""
        steps, x, states = self.steps, self.x, self.kept.getvalue()
        rows = from_bytes(states).reshape(steps + 1, *self.shape)
        trajectory = rows[1:].copy()
        flat = trajectory.reshape(-1)
        if self.choice is None or not isfinite(flat.dot(flat)):  # in less code than a sum
            return self._left()
        stride = -(-steps // SAMPLE)
        before, found = rows[:-1:stride].copy(), rows[1::stride]
        counts = Counts(steps + 1, steps + found.shape[0])
        try:
            after = self.function(before, *(() if x is None else (x[::stride],)), *self.args)
        except Exception:  # a step may reject stacked states
            return self._left(counts=counts)
        if type(after) is not ARRAY or after.dtype is not DOUBLE or after.shape != found.shape:
            return self._left(counts=counts)
        if after.tobytes() != found.tobytes() and not alike(array_namespace(found), after, found, FOR_DOUBLES.rtol):
            return self._left(counts=counts)
        copies = (states[len(self.start) :], *(() if x is None else (x.tobytes(),)))
        solution = Deferred(partial(self._solution, trajectory, copies, counts.npoints))
        return result_of_loop(trajectory, steps - first, solution, self.choice.reason, counts)

    def _left(self, outcome: Outcome | None = None, counts: Counts | None = None) -> Left:
        """
        What is left to the other way; `outcome` gives what the next step returned, or raises its exception.

        `counts`: stacked states of the trajectory had other values than these.
        """
        task, count = self._task(), self.kept.tell() // len(self.start) - 1
        states = from_bytes(self.kept.getvalue()).reshape(self.steps + 1, *self.shape)
        task.trajectory[:count, ...] = states[1 : count + 1]
        task.step.counts.add(count, count)
        begun = First(count, count, self.seconds, self.choice)
        if counts is not None:
            task.step.counts.nfev, task.step.counts.npoints = counts.nfev, counts.npoints
            found = Solution(task.step, task.arrays.y0, task.trajectory, count, task.tolerance, stacks=True,
                             compiles=self.compiles, seen=seen(task.trajectory, task.arrays.x))  # fmt: skip
            vars(found)["broadcasts"] = False
            begun = begun._replace(found=found)
        return Left(task, resumed(task, begun, outcome))

    def _solution(self, trajectory: Array, copies: tuple[bytes, ...], points: int) -> Solution:
        """What evaluates derivatives along the trajectory."""
        y0 = from_bytes(self.start).reshape(self.shape).copy()
        step = Step(self.function, self.x, self.args, None, DENSE, array_namespace(y0))
        step.counts.add(self.steps + 1, points)
        return Solution(
            step, y0, trajectory, self.steps, FOR_DOUBLES, stacks=True, compiles=self.compiles, seen=Seen(copies)
        )

    def _task(self) -> Task:
        """The task as it is for the other way; a step can have written to the user's initial state."""
        function, _, *others = self.given
        task = usual_task(function, from_bytes(self.start).reshape(self.shape), *others)
        assert task is not None
        return task


def brief_loop(
    function: Callable[..., Any], y0: Any, x: Any, length: Any, args: Any, compiles: Any, others: tuple[Any, ...]
) -> RecurrenceResult | Left | None:
    """
    The result of a loop of few steps, or what was evaluated of it; None if the arguments are not those of a brief loop.

    `others` are the other arguments of `solve_recurrence`, in the order of `USUAL`.
    """
    steps = length
    if type(y0) is list and 8 * len(y0) <= SMALL:
        y0 = of_floats(y0)
    if x is not None:
        is_usual = type(x) is ARRAY and x.ndim and x.dtype is DOUBLE and x.nbytes <= LARGEST
        steps = len(x) if is_usual and length is None else None
    if type(steps) is not int or not 0 < steps < SHORT or type(y0) is not ARRAY or y0.dtype is not DOUBLE:
        return None
    if not y0.ndim or not 0 < y0.nbytes <= SMALL or not callable(function) or not all(map(is_, others, USUAL)):
        return None
    if type(args) is not tuple or not (compiles is None or compiles is False) or ERRORS is None:
        return None
    given = function, y0, x, length, args, compiles, others
    token = ERRORS.set(error_values()[1])
    try:
        return _Loop(given, steps).run(y0.copy("K")[None])
    finally:
        ERRORS.reset(token)


def _as_known(code: Any, shape: tuple[int, ...], seconds: float) -> float:
    """
    Seconds of a step, or the least ones of this function so far if they are about the same.

    In busy moments of the machine, a step takes longer. Many of these would make loops of a millisecond seem long
    enough for recording, which takes as long as some of them.
    """
    known = _KNOWN.get((code, shape), inf)
    if seconds < known:
        if len(_KNOWN) >= MOST_KEPT:
            _KNOWN.clear()
        _KNOWN[code, shape] = seconds
    return known if known < seconds < BUSY * known else seconds


def _returned(value: Any) -> Any:
    return value


def _raised(error: Exception) -> Any:
    raise error

"""A recurrence as the march sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._arrays.namespace import Array
from .._engine.march import Problem
from .._engine.tolerance import Tolerance
from .._functions.step import Step
from .loop import first_not_finite, loop
from .systems.propagation import Propagation
from .systems.segments import Segments


class RecurrenceProblem(Problem):
    """A step function, the state before its first step, and the trajectory `(T, *batch, n)` to be filled.

    `guess` is a trajectory to start from, or None.
    """

    def __init__(self, step: Step, y0: Array, trajectory: Array, tolerance: Tolerance, guess: Array | None) -> None:
        self._step = step
        self._y0 = y0
        self._trajectory = trajectory
        self._tolerance = tolerance
        self._guess = guess

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return int(self._trajectory.shape[0])

    def system(self, propagation: Propagation[Any], length: int, begin: int, end: int, *, warm: bool) -> Segments:
        """The steps `begin` to `end` in segments of `length`; `warm` if the trajectory's own rows are the guess."""
        guess = self._trajectory if warm else self._guess
        return Segments(self._step, propagation, self._trajectory, begin, end, length, self._tolerance, guess)

    def state(self, time: int) -> Array:
        """State that step `time` starts from."""
        return self._trajectory[time - 1, ...] if time else self._y0

    def loop(self, state: Array, begin: int, end: int, report: Callable[[int], None] | None = None) -> int:
        """Evaluate the steps one by one."""
        return loop(self._step, state, self._trajectory, begin, end, report)

    def first_not_finite(self, begin: int, end: int) -> int:
        """First of these steps whose state is not finite, or `end`."""
        return first_not_finite(self._trajectory, begin, end)

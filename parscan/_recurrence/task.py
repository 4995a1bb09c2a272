"""A recurrence and the options of its solution: made once, from checked arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .._arrays.namespace import Array, Namespace, itemsize
from .._engine.march import Problem
from .._engine.system import System
from .._engine.tolerance import Tolerance
from .._functions.step import Inputs, Step
from .code import Code
from .loop import first_not_finite, loop
from .systems.damping import Clipping, Damping
from .systems.host_nodes import MOST, HostNodes
from .systems.propagation import SegmentMarch
from .systems.segments import Segments


@dataclass(frozen=True)
class Arrays:
    """The arrays of a recurrence: `y0` is the state in a floating dtype, `given` the state as the user gave it."""

    xp: Namespace
    y0: Array
    given: Array
    x: Inputs
    guess: Array | None
    steps: int

    @property
    def n(self) -> int:
        """Components of a state."""
        return int(self.y0.shape[-1])


@dataclass(frozen=True)
class Options:
    """The user's choice of a method and its parameters; None for those that the user did not choose."""

    method: str
    max_iterations: int
    compiles: bool | None = None
    segment_length: int | None = None
    window: int | None = None
    damping: Clipping | None = None


@dataclass(frozen=True)
class Task(Problem):
    """The step, the arrays, and the trajectory `(T, *batch, n)` to be filled; tolerance and options."""

    step: Step
    arrays: Arrays
    trajectory: Array
    tolerance: Tolerance
    options: Options
    code: Code | None = None

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return self.arrays.steps

    def system(
        self, march: SegmentMarch, damping: Damping | None, length: int, begin: int, end: int, *, warm: bool
    ) -> System:
        """The steps `begin` to `end` in segments of `length`; `warm`: the trajectory already holds a guess there."""
        guess = self.trajectory if warm else self.arrays.guess
        found = Segments(self.step, march, self.trajectory, begin, end, length, self.tolerance, guess, damping)
        state = self.arrays.y0
        size = found.nodes * math.prod(state.shape) * itemsize(state.dtype) * march.width(self.arrays.n)
        is_small = march.is_on_device and damping is None and size <= MOST
        return HostNodes(found, self.arrays.xp) if is_small else found

    def state(self, time: int) -> Array:
        """State from which the step `time` starts."""
        return self.trajectory[time - 1, ...] if time else self.arrays.y0

    def loop(self, state: Array, begin: int, end: int, report: Callable[[int], None] | None = None) -> int:
        """Evaluate the steps one by one, as machine code if the step was compiled."""
        if self.code is None:
            return loop(self.step, state, self.trajectory, begin, end, report)
        by_function = 1
        while (reached := self.code.march(state, self.trajectory, begin, end, report)) < end:
            begin = min(reached + by_function, end)  # the function decides whether the trajectory ends here
            last = loop(self.step, self.state(reached), self.trajectory, reached, begin, report)
            if last < begin:
                return last
            state, by_function = self.state(begin), 2 * by_function
        return end

    def first_not_finite(self, begin: int, end: int) -> int:
        """First of these steps whose state is not finite, or `end`."""
        return first_not_finite(self.trajectory, begin, end)

"""A recurrence as an array function and as a loop over numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

import parscan

Array = Any
Function = Callable[..., Any]


@dataclass(frozen=True)
class Problem:
    """A recurrence from `y0` over `steps` steps; its inputs are `x`, or None.

    `compiled(y0, steps, data)` is the same recurrence as a loop over numbers; `data` are the inputs, or parameters.
    """

    name: str
    step: Function
    y0: Array
    steps: int
    compiled: Function
    x: Array = None
    parameters: Array = None
    chaotic: bool = False
    states_per_step: float | None = None
    """How many states `solve_recurrence` may evaluate per step; None for any number."""

    def loop(self) -> Array:
        """The plain Python loop, one state per call."""
        y, states = self.y0, np.empty((self.steps, *self.y0.shape))
        with np.errstate(all="ignore"):
            for t in range(self.steps):
                states[t] = y = self.step(y) if self.x is None else self.step(y, self.x[t])
        return states

    def loop_by_numbers(self) -> Array:
        return self.compiled(self.y0, self.steps, self.parameters if self.x is None else self.x)

    def solve(self) -> parscan.RecurrenceResult:
        if self.x is None:
            return parscan.solve_recurrence(self.step, self.y0, length=self.steps)
        return parscan.solve_recurrence(self.step, self.y0, self.x)


def by_numbers(function: Function) -> Function:
    return numba.njit(error_model="numpy")(function)


def loop_of(advance: Function) -> Function:
    """Compiled loop over `advance(y, t, data)`, which computes the state `y[t + 1]` from `y[t]`."""
    compiled_advance = by_numbers(advance)

    def loop(y0: Array, steps: int, data: Array) -> Array:
        y = np.empty((steps + 1, y0.size))
        y[0] = y0
        for t in range(steps):
            compiled_advance(y, t, data)
        return y[1:]

    return by_numbers(loop)

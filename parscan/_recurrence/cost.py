"""The cost of calls of the step, and the segment length that follows from it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from .._arrays.cached import cached_property
from .._arrays.namespace import Array, library, quiet
from .._functions.step import Step

MEMORY = 64
"""Number of steps in which a contractive recurrence is assumed to forget its start, before anything is known."""

LENGTHS = tuple(base * 2**k for k in range(2, 40) for base in (5, 7))
"""Segment lengths to choose from: few, so that most runs agree, and no powers of two, whose strides crowd caches."""

BATCH = 512
"""Largest number of states in the stack of a measured call."""

BATCH_SHARE = 16
"""The stack holds at most one part in this many of the steps, so that three measurements cost less than a sweep."""

BATCH_NUMBERS = 2**14
"""Largest number of entries in the stack."""

TIMING_SHARE = 0.01
"""No call is timed again once the timings take this share of the loop's time."""

NO_GAIN = 0.9
"""A stacked call gains nothing if it takes more than this share of the time of single calls."""


@dataclass(frozen=True)
class Cost:
    """Seconds of a looped step, and seconds per call and per state of calls on stacked states."""

    looped: float
    call: float
    state: float

    def stacked(self, calls: float, states: float) -> float:
        """Seconds for a number of calls on a total number of states."""
        return calls * self.call + states * self.state


class Stopwatch:
    """Times calls of the step on the stacked `states`, or on copies of them, with the first of `steps` inputs."""

    def __init__(self, step: Step, states: Array, steps: int) -> None:
        self._step = step
        self._states = states
        self._steps = steps
        self._allowance = float("inf")

    @cached_property
    def looped(self) -> float:
        """Seconds of a looped step."""
        return self._seconds(1)

    @cached_property
    def cost(self) -> Cost:
        """The cost, from calls on one state, on all given states, and on many copies of them."""
        few = self._states.shape[0]
        looped = self.looped
        self._allowance = TIMING_SHARE * self._steps * looped
        times = {1: looped, few: self._seconds(few)}
        if times[few] > NO_GAIN * few * looped:
            return Cost(looped, 0.0, looped)
        many = max(few, min(self._steps // BATCH_SHARE, self._most))
        try:
            times[many] = self._seconds(many)
        except Exception:  # a step may reject states with inputs of other times: then few states must suffice
            times.pop(many, None)
        *_, (smaller, less), (larger, more) = [(0, 0.0), *times.items()]
        state = max(more - less, 0.0) / max(larger - smaller, 1)
        return Cost(looped, max(less - smaller * state, 0.0), state)

    def sweeps(self, length: int) -> float:
        """Seconds of the sweeps of a contractive recurrence, measured by a call on about as many states as segments.

        `cost`, a line through few measurements, may be wrong by a factor of two between them; the decision to sweep
        needs more accuracy.
        """
        segments = -(-self._steps // length)
        count = min(segments, self._most)
        try:
            return (length + MEMORY) * self._seconds(count) * segments / count
        except Exception:
            return sweeps(self.cost, self._steps, length)

    @property
    def _most(self) -> int:
        """Largest number of states in the stack of a call."""
        return max(1, min(BATCH, BATCH_NUMBERS // math.prod(self._states.shape[1:])))

    def _seconds(self, count: int) -> float:
        """Seconds of a call on `count` states whose result is stored: the best of three, or fewer if they take long.

        The first call of a size is not timed where a library may load or compile something for it.
        """
        xp = self._step.xp
        stack = xp.concat([self._states] * -(-count // self._states.shape[0]))[:count, ...]
        kept = xp.empty_like(stack)
        times: list[float] = []
        with quiet():
            if library(stack) != "numpy":
                kept[...] = self._step(stack, slice(0, count))
            while len(times) < 3 and (not times or sum(times) < self._allowance):
                begin = time.perf_counter()
                kept[...] = self._step(stack, slice(0, count))
                times.append(time.perf_counter() - begin)
        return min(times)


def sweeps(cost: Cost, steps: int, length: int) -> float:
    """Seconds of the sweeps of a contractive recurrence: one, and further ones until the start is forgotten."""
    calls = length + MEMORY
    return cost.stacked(calls, calls * -(-steps // length))


def best_length(cost: Cost, steps: int) -> int:
    """Segment length for which the sweeps take the least time."""
    fitting = [length for length in LENGTHS if length <= steps] or LENGTHS[:1]
    return min(fitting, key=lambda length: sweeps(cost, steps, length))

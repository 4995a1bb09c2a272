"""What calls of the step cost, and the segment length that follows."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ._arrays import Array, array_namespace, quiet
from .systems import Step

MEMORY = 64
"""Steps after which a contractive recurrence is taken to have forgotten its start, before anything is known of it."""

LENGTHS = tuple(base * 2**k for k in range(2, 40) for base in (5, 7))
"""Segment lengths to choose from: few, so that most runs agree, and no powers of two, whose strides crowd caches."""

BATCH = 512
"""States in the stack of a measured call, at most."""

BATCH_SHARE = 16
"""That stack holds at most one such part of the steps: three measurements are not to cost more than a sweep."""

BATCH_NUMBERS = 2**14
"""Numbers in that stack, at most."""

TIMING_SHARE = 0.01
"""Share of the loop's time after which no call is timed again."""

NO_GAIN = 0.9
"""Share of the time of single calls that makes a stacked call not worth pursuing."""


@dataclass(frozen=True)
class Cost:
    """Seconds of a looped step, and seconds per call and per state of calls on stacked states."""

    looped: float
    call: float
    state: float

    def stacked(self, calls: float, states: float) -> float:
        """Seconds for so many calls on so many states in all."""
        return calls * self.call + states * self.state


def measure(step: Step, states: Array, steps: int) -> Cost:
    """Time the step on one of the stacked `states`, on all, and on many copies, with the first of `steps` inputs."""
    few = states.shape[0]
    many = max(few, min(BATCH, steps // BATCH_SHARE, BATCH_NUMBERS // math.prod(states.shape[1:])))
    with quiet():
        looped = _seconds(step, states[:1, ...])
        allowance = TIMING_SHARE * steps * looped
        times = {1: looped, few: _seconds(step, states, allowance)}
        if times[few] > NO_GAIN * few * looped:
            return Cost(looped, 0.0, looped)
        try:
            stacked = array_namespace(states).concat([states] * -(-many // few))[:many, ...]
            times[many] = _seconds(step, stacked, allowance)
        except Exception:  # a step may reject states with inputs of other times: then the few must do
            times.pop(many, None)
    *_, (smaller, less), (larger, more) = [(0, 0.0), *times.items()]
    state = max(more - less, 0.0) / max(larger - smaller, 1)
    return Cost(looped, max(less - smaller * state, 0.0), state)


def _seconds(step: Step, states: Array, allowance: float = float("inf")) -> float:
    """Seconds of a call, the best of three, or of fewer if they take longer than `allowance` together."""
    times = [_seconds_once(step, states)]
    while len(times) < 3 and sum(times) < allowance:
        times.append(_seconds_once(step, states))
    return min(times)


def _seconds_once(step: Step, states: Array) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    step(states, slice(0, states.shape[0]))
    return time.perf_counter() - begin


def sweeps(cost: Cost, steps: int, length: int) -> float:
    """Seconds of the sweeps of a contractive recurrence: one, and further ones until the start is forgotten."""
    calls = length + MEMORY
    return cost.stacked(calls, calls * -(-steps // length))


def best_length(cost: Cost, steps: int) -> int:
    """Segment length for which the sweeps take the least time."""
    fitting = [length for length in LENGTHS if length <= steps] or LENGTHS[:1]
    return min(fitting, key=lambda length: sweeps(cost, steps, length))

"""What calls of the step cost, and the segment length that follows."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ._arrays import Array, array_namespace, quiet
from .systems import Step

MEMORY = 64
"""Steps after which a contractive recurrence is taken to have forgotten its start, before anything is known of it."""

SHORTEST = 16
"""Steps per segment at least: below that every sweep carries too little."""

BATCH_NUMBERS = 2**14
"""Numbers in the stacked states of the measured call."""


@dataclass(frozen=True)
class Cost:
    """Seconds per call of the step, and per state evaluated in it."""

    call: float
    state: float

    def of(self, calls: float, states: float) -> float:
        """Seconds for so many calls on so many states in all."""
        return calls * self.call + states * self.state


def measure(step: Step, states: Array, steps: int) -> Cost:
    """Time the step on one of the stacked `states` and on many copies of them, with the first of `steps` inputs."""
    xp = array_namespace(states)
    many = max(states.shape[0], min(256, steps, BATCH_NUMBERS // math.prod(states.shape[1:])))
    repeats = -(-many // states.shape[0])
    stacked = xp.concat([states] * repeats)[:many, ...]
    with quiet():
        single = min(_seconds(step, states[:1, ...]) for _ in range(3))
        batch = min(_seconds(step, stacked) for _ in range(2))
    state = max(batch - single, 0.0) / max(many - 1, 1)
    return Cost(max(single - state, 0.0), state)


def _seconds(step: Step, states: Array) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    step(states, slice(0, states.shape[0]))
    return time.perf_counter() - begin


def sweeps(cost: Cost, steps: int, length: int) -> float:
    """Seconds of the sweeps of a contractive recurrence: one whole, one until the start is forgotten."""
    segments = -(-steps // length)
    calls = length + min(length, MEMORY)
    return cost.of(calls, calls * segments)


def best_length(cost: Cost, steps: int) -> int:
    """Segment length, a power of two so that runs agree, for which the sweeps take the least time."""
    lengths = [2**k for k in range(SHORTEST.bit_length() - 1, max(steps, SHORTEST).bit_length())]
    return min(lengths, key=lambda length: sweeps(cost, steps, length))

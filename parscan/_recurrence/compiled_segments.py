"""Segments that machine code marches: what they cost, and whether the recurrence forgets fast enough for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from .._arrays.cached import cached_property
from .._arrays.namespace import Array, all_finite, array_namespace, quiet
from .._arrays.threads import available_threads
from .._engine.tolerance import is_noise
from .._recorded.budget import Ledger, Measurements, NoCodeError
from .code import Code, are_apart, changed, pace, timed_steps
from .members import Members
from .systems.compiled import CompiledStates
from .systems.propagation import Span

if TYPE_CHECKING:
    from .._recorded.native.lanes import Lanes
    from .._recorded.native.segments import Segments

WORTH_SWEEPING = 3e-4
"""Seconds of the compiled loop from which on segments are considered; about half of it the iteration takes itself."""

GAINS = 0.8
"""Share of the loop's time that sweeps may be expected to take."""

LEAST_GAIN = 1.1
"""Gain from which on several segments are marched at a time: with more segments, a second sweep costs more."""

FIRST = 8
"""Steps from the start of a trajectory to a state that is like later ones."""

TRIED = 32
"""Steps in which two trajectories may meet at first; then twice as many, and so on."""

TRIED_SHARE, TRIED_SHARE_OF_FEW = 8, 2
"""They must meet within one such part of a segment, or a second sweep costs much. If there are as few segments as one
vector for each thread has, it may be the larger part: these segments gain more."""

RECENT = 8
"""Steps whose largest states are the measure of rounding errors."""

ROUNDS = 3
"""Measurements of vectors and of the loop by turns: others may be using the processor."""

MEASURED = Measurements()
"""Pace and gain of lanes in this process."""

LANES = Ledger()
"""That of this process for code on vectors: time of compiled loops without it."""


@dataclass(frozen=True)
class CompiledSegments:
    """
    Machine code of a step for several segments at a time.

    Parameters
    ----------
    code : Code
        The loop's.
    lanes : Lanes
        Of the same program.
    """

    code: Code
    lanes: Lanes

    def states(self, *, must_gain: bool) -> CompiledStates:
        """A way to march the states of segments."""
        return CompiledStates(self.march, must_gain=must_gain, memory=self.lanes)

    def march(self, trajectory: Array, span: Span) -> Callable[[Array, int, int], bool]:
        """A function that evaluates local steps of all segments."""
        return self._segments(self.code.inputs, trajectory, span, self._threads).run

    @cached_property
    def _threads(self) -> int:
        """Number of threads in this solve."""
        return available_threads()

    def length(self, steps: int) -> int:
        """Steps per segment."""
        return max(1, -(-steps // self.count(steps)))

    def count(self, steps: int) -> int:
        """Segments: one for each lane of each thread."""
        return self.lanes.width(steps) * self._threads

    def seconds(self, steps: int, memory: float) -> float:
        """Seconds of sweeps over some steps of a recurrence that forgets its start within `memory` steps."""
        again = 1 + 2 * memory / self.length(steps)
        return WORTH_SWEEPING / 2 + again * steps * self.code.seconds / ((self.lanes.gain or 1.0) * self._threads)

    def pay(self, seconds: float) -> bool:
        """Whether compiling pays before a loop of so many seconds; otherwise it is entered into the ledger."""
        return _pays(self.lanes, seconds)

    def prepared(self, states: Array, after: Array, steps: int) -> CompiledSegments:
        """
        Compile, compare with the function on the first `states` and the values `after` them, and measure; once.

        Returned is what is faster: this, or segments without vectors of several.

        Raises
        ------
        NoCodeError
            If the code is wrong, or there can be none.
        """
        from .._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

        if self.lanes.gain:
            return segments_of(self.code, beside=self.lanes.beside)
        try:
            if self._is_wrong(states, after):
                raise NoCodeError("gave other values than its recorded operations, several at a time")
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        xp, width = array_namespace(states), self.lanes.width(steps)
        if width < self.lanes.width(1 << 30):  # too few steps for a measurement
            return self
        starts = xp.broadcast_to(states[-1:, ...], (width, *states.shape[1:]))
        most = max(width, timed_steps(states[-1, ...], steps))
        outs = xp.zeros((most, *states.shape[1:]), dtype=states.dtype)

        def run(count: int) -> None:
            length = count // width
            self._segments(self.code.inputs, outs, Span(0, width * length, length)).run(starts, 0, length)

        def measure() -> tuple[float, float]:
            times = [(pace(run, most, width), self.code.pace(states[-1, ...], steps)) for _ in range(ROUNDS)]
            seconds, looped = (min(some) for some in zip(*times, strict=True))
            return seconds, looped / seconds

        self.lanes.pace, self.lanes.gain = measured(self.lanes, measure)
        return segments_of(self.code, beside=self.lanes.beside)

    def _is_wrong(self, states: Array, after: Array) -> bool:
        """Whether it gives other values than the function for some states, or than the loop for changed ones."""
        xp, count = array_namespace(states), states.shape[0]
        loop, given, expected = self.code.loop, xp.concat([states, changed(states)]), xp.concat([after, after])
        for t in range(count):
            loop.run(given[count + t, ...], [x[t:, ...] for x in self.code.inputs], expected[count + t :, ...], 0, 1)
        sequences = 2 * max(self.lanes.width(1 << 30), count)
        places = xp.arange(sequences) % (2 * count)
        times = places % count
        # The first steps of segments of two: then, as ever, their states are no neighbours in memory.
        twice = xp.arange(2 * sequences) // 2
        found = xp.empty((2 * sequences, *states.shape[1:]), dtype=states.dtype)
        inputs = tuple(_taken(x, times[twice]) for x in self.code.inputs)
        before = given[places, ...]
        self._segments(inputs, found, Span(0, 2 * sequences, 2)).run(before, 0, 1)
        return are_apart(self.code.step, [int(t) for t in times], before, found[::2, ...], expected[places, ...])

    def _segments(self, inputs: tuple[Array, ...], outs: Array, span: Span, threads: int = 1) -> Segments:
        from .._recorded.native.segments import Segments  # noqa: PLC0415 - LLVM is slow to load

        return Segments(self.lanes, inputs, [outs], span.begin, span.end, span.length, threads)


def _pays(lanes: Lanes, seconds: float) -> bool:
    """Whether code is compiled already, or compiling pays before a loop of so many seconds, which are noted."""
    return lanes.gain > 0 or LANES.pays(lanes.program, seconds)


def _taken(array: Array, places: Array) -> Array:
    """Rows of an array; where all its rows are one, they stay so, because that is code of its own."""
    if array.strides[0]:
        return array[places, ...]
    return array_namespace(array).broadcast_to(array[:1, ...], (places.shape[0], *array.shape[1:]))


def measured(lanes: Lanes, measure: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """Pace and gain of code for lanes: the last ones measured of a program that differs in constants only."""
    key = lanes.program.kinds, lanes.chain, lanes.width(1 << 30)
    return MEASURED.of(key, measure, lambda _, new: new)


def segments_of(code: Code, *, beside: bool = True) -> CompiledSegments:
    """
    Code for segments, several of them at a time unless that was found to be slower; it has to be prepared.

    `beside`: if several vectors of them are faster than one, there are several.
    """
    from .._recorded.native.lanes import compiled_lanes  # noqa: PLC0415 - LLVM is slow to load

    assert code.program is not None
    lanes = compiled_lanes(code.program, several=True, beside=beside)
    if 0 < lanes.gain < LEAST_GAIN:
        lanes = compiled_lanes(code.program, several=False)
        lanes.gain = 1.0
    return CompiledSegments(code, lanes)


def faster_segments(code: Code, states: Array, after: Array, steps: int) -> CompiledSegments | None:
    """
    Code for segments, if sweeps over this many steps take less time than the compiled loop.

    Before it is compiled, loops take as long as compiling, in all; and two trajectories that start apart must meet.
    """
    seconds = steps * code.seconds
    if seconds < WORTH_SWEEPING or code.program is None or isinstance(code.loop, Members):  # which fill vectors already
        return None
    lanes = segments_of(code).lanes
    if not _pays(lanes, seconds):
        code.purchases.append(partial(_pays, lanes))
        return None
    segments, memory = _segments_and_memory(code, states, steps)
    if memory == inf:
        return None
    segments = segments.prepared(states, after, steps)
    return segments if segments.seconds(steps, memory) < GAINS * seconds else None


def may_be_faster(code: Code, y0: Array, steps: int) -> bool:
    """
    Whether `faster_segments` may find code for segments that was not made, or not taken, with other inputs.

    That takes much longer than this does: a few steps, unless two trajectories come nearer to each other.
    """
    seconds = steps * code.seconds
    if seconds < WORTH_SWEEPING or code.program is None or isinstance(code.loop, Members):
        return False
    states = array_namespace(y0).empty((FIRST, *y0.shape), dtype=y0.dtype)
    code.loop.run(y0, code.inputs, states, 0, FIRST)
    if not all_finite(states):
        return False
    segments, memory = _segments_and_memory(code, states, steps)
    return memory < inf and (not segments.lanes.gain or segments.seconds(steps, memory) < GAINS * seconds)


def _segments_and_memory(code: Code, states: Array, steps: int) -> tuple[CompiledSegments, float]:
    """How segments are marched if the recurrence forgets its start in them, and in how many steps it does."""
    segments, fewer = segments_of(code), segments_of(code, beside=False)
    longest = max(segments.length(steps) // TRIED_SHARE, fewer.length(steps) // TRIED_SHARE_OF_FEW)
    memory = memory_of(code, states, steps, longest)
    return (segments if memory <= segments.length(steps) // TRIED_SHARE else fewer), memory


def memory_of(code: Code, states: Array, steps: int, most: int) -> float:
    """
    Steps after which two trajectories meet that start apart in the middle of the inputs.

    Infinite if they need more than `most`, or move apart.
    """
    xp = array_namespace(states)
    one, other = states[-1, ...], changed(states)[0, ...]
    begin, done, count, before = steps // 2, 0, TRIED, inf
    while done < most:
        count = min(count, most - done)
        rows = xp.empty((2, count, *states.shape[1:]), dtype=states.dtype)
        for state, row in ((one, rows[0, ...]), (other, rows[1, ...])):
            code.loop.run(state, [x[begin + done :, ...] for x in code.inputs], row, 0, count)
        with quiet():
            difference = xp.abs(rows[0, ...] - rows[1, ...])
            size = xp.max(xp.abs(rows[0, -RECENT:, ...]), axis=0)
            if bool(xp.all(is_noise(difference[-1, ...], size))):
                apart = xp.any(xp.reshape(~is_noise(difference, size), (count, -1)), axis=1)
                return done + int(xp.max(xp.where(apart, xp.arange(1, count + 1), 0)))
            distance = float(xp.max(difference[-1, ...] / xp.where(size > 0, size, 1.0)))
        if not distance <= before:  # they need come no closer for a while: resets and limits let them meet at once
            return inf
        one, other, before = rows[0, -1, ...], rows[1, -1, ...], distance
        done, count = done + count, 2 * count
    return inf

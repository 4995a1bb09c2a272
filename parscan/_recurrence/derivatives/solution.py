"""Evaluations of the step along a solved trajectory: the residual, and checks that the step still gives it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence

from ..._arrays.cached import cached_property
from ..._arrays.elementwise import rows_of
from ..._arrays.namespace import Array, array_namespace, copy, machine_epsilon, quiet, quietly
from ..._engine.tolerance import Tolerance
from ..._functions.evaluators import ONE_BY_ONE, STACKED, Evaluator, Evaluators
from ..._functions.extremes import extreme_among_many
from ..._functions.points import Points, stretches
from ..._functions.step import Step
from ..._functions.verify import alike, apart
from ..checks.check_step import check_broadcasting
from ..checks.contradiction import (
    WELL_OFF,
    Finding,
    Sample,
    confirms,
    contradiction,
    contradiction_alone,
    tolerances_apart,
)
from ..checks.spread import spread
from ..checks.step_jumps import step_jumps
from ..checks.whole_numbers import Inexact, WholeNumbers
from .seen import Seen

CHUNK_NUMBERS = 2**18
"""Largest number of entries of the states that are evaluated at once."""

SAMPLE = 64
"""Number of steps of a sample of the trajectory, which are evaluated again after a solve."""

SAMPLE_NUMBERS, FEWEST = 2**12, 16
"""Entries of the states of a sample that confirms a trajectory, and the least number of its steps."""

FEW = 8
"""Number of steps of the sample if the step is called for one state at a time; number of states on which broadcasting
is verified."""

SHARE, NUMBERS = 16, 2048
"""After a short loop, the sample has at least one part in this many of the steps, and more of few numbers."""


class Solution:
    """The first `steps` of a trajectory, all finite, with the step function and the initial state.

    `stacks`: calls on several states are verified already. `compiles` is the user's choice whether to record the step.
    `after` is what the step gives for the state before each step, if that is not the trajectory: see `Narrow`.
    """

    def __init__(
        self, step: Step, y0: Array, trajectory: Array, steps: int, tolerance: Tolerance, *, stacks: bool,
        compiles: bool | None = None, seen: Seen | None = None, after: Array | None = None,
    ) -> None:  # fmt: skip
        self.step = step
        self.y0 = y0
        self.trajectory = trajectory
        self.after = trajectory if after is None else after
        self.tolerance = tolerance
        self.steps = steps if y0.size else 0  # an empty batch has nothing to evaluate
        self._stacks = stacks
        self.compiles = compiles
        self.seen = seen

    @cached_property
    def stacks(self) -> bool:
        """Whether the step may be called on several states; verified at the first access."""
        return Evaluators(self._obstacle, STACKED, ONE_BY_ONE).best.stacks

    def _obstacle(self, evaluator: Evaluator) -> str:
        """Why the step cannot be evaluated by an evaluator; "" if it can."""
        if self._stacks or not self.steps:
            return ""
        try:
            check_broadcasting(self.step, self.before(0, min(FEW, self.steps)), self.steps, evaluator)
        except Exception as error:
            return str(error) or type(error).__name__
        return ""

    def before(self, begin: int, end: int) -> Array:
        """A copy of the states from which the steps `begin` to `end` start: a step may write to them."""
        if begin:
            return copy(self.trajectory[begin - 1 : end - 1, ...])
        if not end:
            return copy(self.trajectory[:0, ...])
        return array_namespace(self.y0).concat([self.y0[None, ...], self.trajectory[: end - 1, ...]])

    def sample(self) -> Iterator[tuple[slice, Array]]:
        """A few steps spread over the trajectory, and copies of the states before them."""
        if not self.steps:
            return
        stride = -(-self.steps // (SAMPLE if self.stacks else FEW))
        if self.stacks:
            xp = array_namespace(self.y0)
            later = self.trajectory[stride - 1 : self.steps - 1 : stride, ...]
            yield slice(0, self.steps, stride), xp.concat([self.y0[None, ...], later])
            return
        for t in range(0, self.steps, stride):
            yield slice(t, t + 1), self.before(t, t + 1)

    def points(self) -> Points:
        """The points of the trajectory, for differences with respect to parameters."""
        step = self.step
        return Points(step.varied, step.args, step.x, self.y0, self.before, self.sample, self.stacks)

    def stretches(self, steps: int, numbers: int) -> list[tuple[int, int]]:
        """Stretches of the first `steps` that fit into memory, if each step takes this many `numbers`."""
        return stretches(self.y0, steps, numbers, stacks=self.stacks)

    def sample_stands(self) -> bool:
        """Whether the step still gives a sample of this trajectory: data that it reads may have changed."""
        for times, states in self.sample():
            with quiet():
                after, found = self.step(states, times), self.after[times, ...]
                off = apart(self.step.xp, after, found)
                if not self.step.xp.any(off):
                    continue
                off = off & (tolerances_apart(self.tolerance, after, found) > WELL_OFF)
            if len(rows_of(self.step.xp, off)) > found.shape[0] // 4:
                return False
        return True

    @cached_property
    def jumps(self) -> bool:
        """Whether the step jumps along lines between extreme states of the trajectory."""
        return step_jumps(self.step, self.trajectory)

    def residual(self) -> float:
        """Largest `|step(y_{t-1}, x_t) - y_t|`; NaN without steps."""
        with quiet():
            return max((self._off(before, times) for times, before in self._chunks()), default=math.nan)

    def first_inexact(self, whole: WholeNumbers) -> Inexact | None:
        """The first state that integer arithmetic does not give; None if all are exact, or not all are integers."""
        for times, before in self._chunks():
            after = self.trajectory[times, ...]
            if not whole.are(after):
                return None
            if found := whole.first_inexact(before, after, times):
                return found
        return None

    @cached_property
    def broadcasts(self) -> bool:
        """Whether one call on the stacked states of a sample gives the trajectory of the loop again."""
        rows = min(SAMPLE, max(FEW, self.steps // SHARE, NUMBERS // math.prod(self.y0.shape)))
        stride = max(1, -(-self.steps // rows))
        before = [self.y0[None, ...], self.trajectory[stride - 1 : self.steps - 1 : stride, ...]]
        found = self.trajectory[0 : self.steps : stride, ...]
        try:
            after = quietly(self.step, self.step.xp.concat(before), slice(0, self.steps, stride))
        except Exception:  # a step may reject stacked states
            return False
        # states of the trajectory are finite
        if self.step.xp.all(after == found):
            return True
        share = min(self.tolerance.rtol, machine_epsilon(found.dtype) ** 0.5)
        return bool(quietly(alike, self.step.xp, after, found, share))

    def contradiction(self, length: int, *, parallel: bool, prefixes: Iterable[range] = ()) -> Finding | None:
        """A contradiction between the step and a sample of the trajectory; None if there is none.

        `parallel`: the trajectory was solved in segments of `length`, by calls on stacked states. The sample then has
        steps of every place in a segment, since one call evaluated all steps of a place, and extreme states, since a
        branch on all states of a call may depend on these. `prefixes` are the steps that
        methods had solved when they failed; they are checked separately, since few of them are in the sample.
        """
        if not parallel and self.is_confirmed:
            return None
        try:
            if (sample := self._sample(length, SAMPLE, self._extremes if parallel else ())) is None:
                return None
            found = contradiction(self.step, sample, self.tolerance, parallel=parallel)
            return self._contradiction_alone(prefixes) if found is None and parallel else found
        except Exception:  # a step may reject these states with inputs of other times; then no comparison is possible
            return None

    @cached_property
    def is_confirmed(self) -> bool:
        """Whether one call of the step gives a sample of the trajectory again; False if it must not be called so."""
        try:
            if (sample := self._sample(1, self._confirming)) is None:
                return False
            return confirms(self.step, sample, self.tolerance)
        except Exception:
            return False

    @property
    def _confirming(self) -> int:
        """Number of steps of a sample that confirms the trajectory."""
        return max(FEWEST, min(SAMPLE, SAMPLE_NUMBERS // self.y0.size)) if self.steps else SAMPLE

    @property
    def sampled(self) -> Sequence[int]:
        """Steps of that sample."""
        return spread(self.steps, self._confirming)

    @cached_property
    def _extremes(self) -> list[int]:
        """Steps from extreme states."""
        return [row + 1 for row in extreme_among_many(self.trajectory[: self.steps - 1, ...])]

    def _sample(self, length: int, count: int, more: Sequence[int] = ()) -> Sample | None:
        """
        About `count` steps, and of every place in a segment, and `more`.

        None if several states must not be stacked.
        """
        times = spread(self.steps, count, length)
        if not self._stacks or not times:
            return None
        if more and not isinstance(times, range):
            times = array("q", sorted({*times, *more}))
        xp = array_namespace(self.trajectory)
        places = xp.asarray(times)
        before, found = (xp.take(self.trajectory, rows, axis=0) for rows in (places - 1, places))
        return Sample(times, before, found)

    def _contradiction_alone(self, prefixes: Iterable[range]) -> Finding | None:
        """A contradiction between the trajectory and calls for single states: extreme ones, and those of prefixes."""
        found_early = [t for prefix in prefixes for t in prefix if 0 < t < self.steps]
        times = sorted({*self._extremes, *found_early[:: max(1, -(-len(found_early) // SAMPLE))]})
        xp = array_namespace(self.trajectory)
        before, found = (
            xp.concat([self.trajectory[t + shift : t + shift + 1, ...] for t in times]) for shift in (-1, 0)
        )
        return contradiction_alone(self.step, times, before, found, self.tolerance)

    def _off(self, before: Array, times: slice) -> float:
        """Largest difference between the trajectory and the step's values for the states before."""
        off = self.step(before, times) - self.after[times, ...]
        xp = array_namespace(off)
        return float(xp.max(xp.abs(off)))

    def _chunks(self) -> Iterator[tuple[slice, Array]]:
        """Groups of steps, and copies of the states before them."""
        size = max(1, CHUNK_NUMBERS // max(1, math.prod(self.y0.shape))) if self._stacks else 1
        for begin in range(0, self.steps, size):
            end = min(begin + size, self.steps)
            yield slice(begin, end), self.before(begin, end)

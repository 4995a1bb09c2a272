"""
Solves that are repeated: the compiled loop or sweeps once more, with the checks of every solve and little around them.

A short loop by machine code takes as long as the layers of Python around it. If a solve took over an earlier choice of
the loop, or of sweeps over segments, and the next one has the same function and arrays of the same kinds, it need not
pass through these layers. It still finds out whether all that the function reads is as it was, whether the choice is
due to be made anew, whether all states are finite, whether the segments agree, and whether the function gives a sample
of the trajectory again. If anything is out of the ordinary, it leaves the solve to those who know what to do.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from operator import is_
from types import MethodType
from typing import TYPE_CHECKING, Any

from .._arrays.memory import LIMITS
from .._arrays.namespace import Array, copy, quiet, readonly
from .._arrays.threads import available_threads
from .._engine.tolerance import Tolerance
from .._functions.step import Inputs, Step
from .._reporting.result_base import Deferred
from .arguments import DENSE, as_tolerance
from .checks.contradiction import is_near
from .derivatives.seen import Seen, seen
from .derivatives.solution import Solution
from .precedent import Precedent, key_of, sample_of
from .result import RecurrenceResult
from .systems.coalescence import Coalescence
from .systems.compiled import recent_sizes
from .task import Task
from .usual import USUAL

if TYPE_CHECKING:
    from .._recorded.native.lanes import Lanes
    from .._recorded.native.loop import Loop
    from .._recorded.witness import Witness
    from .members import Members
    from .numba_step import NumbaLoop

PLAIN = (int, type(None))
"""Types of numbers of steps."""

KEPT = 32
"""Functions whose solves can be repeated."""

SHARE = 2
"""Segments need at most one part in this many of their steps, half of them, to agree."""

March = Callable[[Array, Sequence[Array], Array], bool]
"""
`march(y0, inputs, trajectory)` evaluates all steps.

True: all states were found to be finite, and segments agree as sweeps that have met.
"""


@dataclass(frozen=True)
class Repeat:
    """
    A solve by the compiled loop, or by sweeps over segments, that took over an earlier choice.

    Parameters
    ----------
    function : weakref
        To the step.
    march : callable
    precedent : Precedent
        The choice.
    key : object
        Of the choice among the notes of its recording.
    witness : Witness
        Of all that the function reads.
    xp : namespace
    tolerance : Tolerance
    steps : int
    places, around : array
        Steps of the sample; the steps before them, then these.
    fields : dict
        Of the result, besides the trajectory and the function.
    """

    function: Callable[[], Any]
    march: March
    precedent: Precedent
    key: Any
    witness: Witness
    xp: Any
    tolerance: Tolerance
    steps: int
    places: Array
    around: Array
    fields: dict[str, Any]

    def solved(
        self, function: Callable[..., Any], y0: Array, x: Inputs, args: tuple[Any, ...]
    ) -> RecurrenceResult | None:
        """The result; None if something is out of the ordinary."""
        precedent, parts = self.precedent, _parts(x)
        if precedent.recording.notes.get(self.key) is not precedent or not self.witness.holds(function, args):
            return None
        sample = sample_of(y0, parts)
        if precedent.is_due(sample):
            return None
        precedent.note(sample, self.steps)
        steps = self.steps
        trajectory = self.xp.empty((steps, *y0.shape), dtype=y0.dtype)
        if not self.march(y0, parts, trajectory):
            return None
        if not self._is_confirmed(function, trajectory, parts, isinstance(x, tuple), args):
            return None
        known = seen(trajectory, x, precedent.recording)
        solution = Deferred(partial(self._solution, function, copy(y0), x, args, trajectory, known))
        found = object.__new__(RecurrenceResult)
        found.__dict__.update(self.fields, y=trajectory, _solution=solution)
        if found.attempts:
            found.__dict__["history"] = (self._correction(y0, trajectory), 0.0)
        return found

    def _solution(
        self, function: Callable[..., Any], y0: Array, x: Inputs, args: tuple[Any, ...], trajectory: Array,
        known: Seen | None,
    ) -> Solution:  # fmt: skip
        """What evaluates derivatives along a trajectory."""
        inputs: Inputs = tuple(map(readonly, x)) if isinstance(x, tuple) else None if x is None else readonly(x)
        step = Step(function, inputs, args, None, DENSE, self.xp)
        step.counts.add(1, self.places.shape[0])
        return Solution(step, y0, trajectory, self.steps, self.tolerance, stacks=True, seen=known)

    def _correction(self, y0: Array, trajectory: Array) -> float:
        """The largest one of the guess, by the first of two sweeps over segments."""
        begin, length = self.fields["attempts"][0].begin, self.fields["segment_length"]
        guess, nodes = trajectory[begin - 1, ...] if begin else y0, trajectory[begin + length - 1 : -1 : length, ...]
        return float(self.xp.max(self.tolerance.relative(nodes - guess, nodes)))

    def _is_confirmed(
        self, function: Callable[..., Any], trajectory: Array, parts: Sequence[Array], in_tuple: bool,
        args: tuple[Any, ...],
    ) -> bool:  # fmt: skip
        """Whether a call of the function gives a sample of the trajectory again."""
        places, take, count = self.places, self.xp.take, self.places.shape[0]
        rows = [take(part, places, axis=0) for part in parts]
        given = (tuple(rows),) if in_tuple else rows
        states = take(trajectory, self.around, axis=0)
        before, found = states[:count], states[count:]
        try:
            with quiet():
                after = function(before, *given, *args)
            if type(after) is not type(found) or after.shape != found.shape or after.dtype != found.dtype:
                return False
            return after.tobytes() == found.tobytes() or is_near(after, found, self.tolerance)
        except Exception:  # it is raised again by those who take over
            return False


_known: OrderedDict[Any, Repeat] = OrderedDict()


def repeated(
    function: Any, y0: Any, x: Any, length: Any, args: Any, compiles: Any, others: tuple[Any, ...]
) -> RecurrenceResult | None:  # fmt: skip
    """
    The result of a solve that repeats an earlier one; None if it has to be solved as ever.

    `others` are the other arguments of `solve_recurrence`, in the order of `USUAL`.
    """
    if not _known:
        return None
    key = *_identity(function), _kind(y0, x, length, compiles)
    try:
        one = _known.get(key)
    except TypeError:  # something has no hash
        return None
    if one is None or type(args) is not tuple or not all(map(is_, others, USUAL)):
        return None
    found = one.function()
    if found is not function and (found is None or _identity(found) != _identity(function)):
        return None
    result = one.solved(function, y0, x, args)
    if result is None and one.fields["attempts"]:
        _known.pop(key, None)  # segments that do not agree would take as long again
    return result


def _identity(function: Any) -> tuple[int, ...]:
    """Which function it is, of which objects are alive; a method is a new object each time."""
    return (id(function.__self__), id(function.__func__)) if type(function) is MethodType else (id(function),)


def note(task: Task, y0: Any, x: Any, length: Any, precedent: Precedent, result: RecurrenceResult) -> None:
    """Note a solve that took over the choice of the loop, or of sweeps, so that it can be repeated."""
    function, solution, kind = task.step.function, result._solution, _kind(y0, x, length, task.options.compiles)
    key, tolerance = key_of(task, precedent), as_tolerance(None, None, task.arrays.y0.dtype)
    if kind is None or type(length) not in PLAIN or key is None or task.tolerance != tolerance:
        return
    if not isinstance(solution, Solution) or not solution.is_confirmed or not _is_plain(task, y0, x):
        return
    from .._recorded.memo import witness_of  # noqa: PLC0415 - slow to import

    try:
        reference = (weakref.WeakMethod if type(function) is MethodType else weakref.ref)(function)
    except TypeError:
        return
    witness, march = witness_of(precedent.recording), _march(precedent, tolerance, result, _parts(x))
    if witness is not None and march is not None:
        xp = task.arrays.xp
        places = xp.asarray(solution.sampled)
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        del fields["y"], fields["_solution"]
        _known[(*_identity(function), kind)] = Repeat(
            reference, march, precedent, key, witness, xp, tolerance, task.steps, places,
            xp.concat([places - 1, places]), fields,
        )  # fmt: skip
    while len(_known) > KEPT:
        _known.popitem(last=False)


def _march(
    precedent: Precedent, tolerance: Tolerance, result: RecurrenceResult, inputs: Sequence[Array]
) -> March | None:
    """How the steps are evaluated once more; None if more is to be done than that."""
    from .._recorded.native.loop import PAUSE, Loop  # noqa: PLC0415 - slow to import

    lanes = precedent.lanes
    if lanes is None:
        again = precedent.loop.again(inputs, result.y) if isinstance(precedent.loop, Loop) else None
        return again or partial(_looped, precedent.loop)

    met_at_once = len(result.attempts) == 1 and not result.looped and len(result.history) == 2
    seconds = result.y.shape[0] * precedent.seconds / (lanes.gain or 1.0) / available_threads()
    if not met_at_once or not 0 < lanes.met <= result.segment_length // SHARE or seconds >= PAUSE:
        return None
    return partial(_swept, precedent.loop, lanes, tolerance)


def _looped(loop: Loop | Members | NumbaLoop, y0: Array, inputs: Sequence[Array], trajectory: Array) -> bool:
    return loop.run(y0, inputs, trajectory, 0, trajectory.shape[0]) is True


def _swept(
    loop: Loop | Members | NumbaLoop, lanes: Lanes, tolerance: Tolerance, y0: Array, inputs: Sequence[Array],
    trajectory: Array,
) -> bool:  # fmt: skip
    from .._recorded.native.overlap import march_overlapping  # noqa: PLC0415 - slow to import

    threads, steps = available_threads(), trajectory.shape[0]
    begin = steps % (lanes.width(steps) * threads)
    if begin and not loop.run(y0, inputs, trajectory, 0, begin):
        return False
    start = trajectory[begin - 1, ...] if begin else y0
    joints = march_overlapping(lanes, start, inputs, trajectory, begin, int(lanes.met), threads)
    if joints is None:
        return False
    last = joints.first + joints.length - 1
    ends = trajectory[last : -1 : joints.length, ...]
    if ends.tobytes() == joints.states.tobytes():
        return True
    if lanes.rounded:
        sizes = recent_sizes(trajectory, last, joints.length, ends.shape[0])
        coalescence = Coalescence(tolerance, Coalescence.SHARE, inf)
        if coalescence.compare(last, ends, joints.states, sizes):
            return True
    lanes.met += Coalescence.LOOK  # they need more steps with these inputs, or where they begin now
    return False


def _is_plain(task: Task, y0: Any, x: Any) -> bool:
    """Whether machine code of a loop works on the user's own arrays, and memory need not be asked for."""
    from .._recorded.native.loop import Loop  # noqa: PLC0415 - slow to import

    code = task.code
    if code is None or type(code.loop) is not Loop or task.trajectory.nbytes > LIMITS.unasked:
        return False
    if type(y0) is not type(task.arrays.y0) or y0.dtype != task.arrays.y0.dtype:
        return False
    return all(
        type(part) is type(used) and used.dtype == part.dtype and used.strides == part.strides
        for part, used in zip(_parts(x), code.inputs, strict=True)
    )


def _parts(x: Any) -> tuple[Array, ...]:
    return () if x is None else x if isinstance(x, tuple) else (x,)


def _kind(y0: Any, x: Any, length: Any, compiles: Any) -> Any:
    """What has to be the same in repeated solves; None if something is no array."""
    try:
        parts = tuple([(type(part), part.shape, part.strides, part.dtype) for part in _parts(x)])
        return type(y0), y0.shape, y0.dtype, type(x), parts, type(length), length, compiles is True, compiles is None
    except AttributeError:
        return None

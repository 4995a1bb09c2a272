"""
Solves that are repeated: the compiled loop once more, with the checks of every solve and little around them.

A short loop by machine code takes as long as the layers of Python around it. If a solve took over an earlier choice of
the loop, and the next one has the same function and arrays of the same kinds, it need not pass through these layers. It
still finds out whether all that the function reads is as it was, whether the choice is due to be made anew, whether all
states are finite, and whether the function gives a sample of the trajectory again. If anything is out of the ordinary,
it leaves the solve to those who know what to do.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import is_
from types import MethodType
from typing import TYPE_CHECKING, Any

from .._arrays.memory import LIMITS
from .._arrays.namespace import Array, copy, quiet, readonly
from .._engine.tolerance import Tolerance
from .._functions.step import Inputs, Step
from .._linalg.dense import Dense
from .arguments import DENSE, as_tolerance
from .checks.contradiction import is_near
from .derivatives.solution import Solution
from .precedent import Precedent, key_of, sample_of
from .result import RecurrenceResult
from .task import Task

if TYPE_CHECKING:
    from .._recorded.witness import Witness

PLAIN = (int, type(None))
"""Types of numbers of steps."""

KEPT = 32
"""Functions whose solves can be repeated."""

USUAL = (None, Dense, "auto", None, None, None, 100, None, None, None, False)
"""Jacobian, structure, method, guess, tolerances, iterations, segments, window, damping and progress by default."""


@dataclass(frozen=True)
class Repeat:
    """
    A solve by the compiled loop that took over an earlier choice.

    Parameters
    ----------
    function : weakref
        To the step.
    precedent : Precedent
        The choice.
    key : object
        Of the choice among the notes of its recording.
    witness : Witness
        Of all that the function reads.
    xp : namespace
    tolerance : Tolerance
    steps : int
    places : array
        Steps of the sample.
    fields : dict
        Of the result, besides the trajectory and the function.
    """

    function: weakref.ref[Any]
    precedent: Precedent
    key: Any
    witness: Witness
    xp: Any
    tolerance: Tolerance
    steps: int
    places: Array
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
        precedent.note(sample)
        steps = self.steps
        trajectory = self.xp.empty((steps, *y0.shape), dtype=y0.dtype)
        if precedent.loop.run(y0, parts, trajectory, 0, steps) is not True:
            return None
        if not self._is_confirmed(function, trajectory, parts, isinstance(x, tuple), args):
            return None
        inputs: Inputs = tuple(map(readonly, x)) if isinstance(x, tuple) else None if x is None else readonly(x)
        step = Step(function, inputs, args, None, DENSE, self.xp)
        step.counts.add(1, self.places.shape[0])
        solution = Solution(step, copy(y0), trajectory, steps, self.tolerance, stacks=True)
        found = object.__new__(RecurrenceResult)
        found.__dict__.update(self.fields, y=trajectory, _solution=solution)
        return found

    def _is_confirmed(
        self, function: Callable[..., Any], trajectory: Array, parts: Sequence[Array], in_tuple: bool,
        args: tuple[Any, ...],
    ) -> bool:  # fmt: skip
        """Whether a call of the function gives a sample of the trajectory again."""
        places, take = self.places, self.xp.take
        rows = [take(part, places, axis=0) for part in parts]
        given = (tuple(rows),) if in_tuple else rows
        before, found = take(trajectory, places - 1, axis=0), take(trajectory, places, axis=0)
        try:
            with quiet():
                after = function(before, *given, *args)
            if type(after) is not type(found) or after.shape != found.shape or after.dtype != found.dtype:
                return False
            return after.tobytes() == found.tobytes() or is_near(self.xp, after, found, self.tolerance)
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
    try:
        one = _known.get((id(function), _kind(y0, x, length, compiles)))
    except TypeError:  # something has no hash
        return None
    if one is None or type(args) is not tuple or not all(map(is_, others, USUAL)):
        return None
    found = one.function()
    return one.solved(found, y0, x, args) if found is not None and found is function else None


def note(task: Task, y0: Any, x: Any, length: Any, precedent: Precedent, result: RecurrenceResult) -> None:
    """Note a solve that took over the choice of the loop, so that it can be repeated."""
    function, solution, kind = task.step.function, result._solution, _kind(y0, x, length, task.options.compiles)
    key, tolerance = key_of(task, precedent), as_tolerance(None, None, task.arrays.y0.dtype)
    if (
        type(function) is MethodType
        or kind is None
        or type(length) not in PLAIN
        or key is None
        or task.tolerance != tolerance
    ):
        return
    if solution is None or not solution.is_confirmed or not _is_plain(task, y0, x):
        return
    from .._recorded.memo import witness_of  # noqa: PLC0415 - slow to import

    try:
        reference = weakref.ref(function)
    except TypeError:
        return
    if (witness := witness_of(precedent.recording)) is not None:
        places = task.arrays.xp.asarray(solution.sampled)
        fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        del fields["y"], fields["_solution"]
        _known[id(function), kind] = Repeat(
            reference, precedent, key, witness, task.arrays.xp, tolerance, task.steps, places, fields
        )
    while len(_known) > KEPT:
        _known.popitem(last=False)


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

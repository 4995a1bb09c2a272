"""Choices of `auto` that are kept with a recorded step, for later solves while all that it reads is unchanged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .._functions.step import Step
from .code import Code, recalled_recording
from .compiled_segments import CompiledSegments
from .decide import COMPILED_LOOP, Decision
from .task import Task

if TYPE_CHECKING:
    from .._recorded.native.lanes import Lanes
    from .._recorded.native.loop import Loop
    from .._recorded.record import Recording
    from .members import Members
    from .numba_step import NumbaLoop

FEWEST = 1000
"""Least number of steps for which choices are kept; shorter loops are not compiled by default."""

ANEW = 8
"""The choice is made anew at the uses 8, 64, 512 and so on, because other work may have disturbed its measurements."""


@dataclass
class Precedent:
    """
    A choice that was successful: the compiled loop, or Jacobi's sweeps over segments by machine code.

    It is kept with the recording of the step, and serves numbers of steps between the same powers of two. When it was
    made, the function was found to broadcast, and the code was compared with it. This is not repeated. The trajectory
    of every solve is compared with the function.

    Parameters
    ----------
    decision : Decision
    recording : Recording
    loop : Loop, Members or NumbaLoop
        The compiled loop.
    seconds : float
        Of one step of it.
    lanes : Lanes or None
        Code for several segments at a time; None for the loop.
    uses : int
        Number of solves with it.
    """

    decision: Decision
    recording: Recording
    loop: Loop | Members | NumbaLoop
    seconds: float
    lanes: Lanes | None
    uses: int = 1

    def code(self, step: Step) -> Code:
        """The code, with the inputs of a step."""
        return Code(step, self.recording.program, self.loop, self.recording, self.seconds)

    def segments(self, code: Code) -> CompiledSegments | None:
        """The same for several segments at a time."""
        return None if self.lanes is None else CompiledSegments(code, self.lanes)

    def without_segments(self) -> Precedent:
        """The compiled loop in place of sweeps that failed: they would fail again, after as much time."""
        return replace(self, decision=COMPILED_LOOP, lanes=None)


def precedent_of(choice: Decision, code: Code | None, segments: CompiledSegments | None) -> Precedent | None:
    """A choice to be kept; None without a recording, or if more code will be compiled once loops took long enough."""
    if code is None or code.recording is None or not code.is_enough:
        return None
    return Precedent(choice, code.recording, code.loop, code.seconds, None if segments is None else segments.lanes)


def recalled(task: Task) -> Precedent | None:
    """The precedent of a task; None if there is none, or if the choice is to be made anew."""
    if not is_ordinary(task) or (recording := recalled_recording(task.step, task.arrays.y0[None, ...])) is None:
        return None
    precedent = recording.notes.get(_key(task))
    if precedent is None:
        return None
    precedent.uses += 1
    if is_power(precedent.uses):
        return None
    return precedent


def keep(task: Task, precedent: Precedent | None) -> None:
    """Keep a precedent for solves like this one; None: keep none any more."""
    recording = task.code.recording if task.code else None
    if recording is None or not is_ordinary(task):
        return
    if precedent is not None and recording.notes.get(_key(task)) is precedent:
        return
    old = recording.notes.pop(_key(task), None)
    if precedent is not None:
        precedent.uses = old.uses if old else precedent.uses
        recording.notes[_key(task)] = precedent


def is_ordinary(task: Task) -> bool:
    """Whether nothing but the step and the number of steps decides how a task is solved."""
    options = task.options
    given = options.segment_length, options.window, options.damping, task.arrays.guess
    return (
        task.steps >= FEWEST
        and options.method == "auto"
        and options.compiles is not False
        and not task.step.has_jacobian
        and all(one is None for one in given)
    )


def is_power(uses: int) -> bool:
    """Whether a number is a power of `ANEW`, but not 1."""
    while uses > 1 and uses % ANEW == 0:
        uses //= ANEW
    return uses == 1


def _key(task: Task) -> Any:
    return task.options.compiles, task.step.structure, task.steps.bit_length()

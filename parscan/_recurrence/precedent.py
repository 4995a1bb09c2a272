"""Choices of `auto` that are kept with a recorded step, for later solves while all that it reads is unchanged."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .._arrays.namespace import Array
from .._functions.step import Step
from .._recorded.budget import NoCodeError
from .code import Code, Purchase, recalled_recording
from .compiled_segments import CompiledSegments, may_be_faster
from .decide import COMPILED_LOOP, SHORT, Decision
from .systems.recorded_step import record_step
from .task import Task

if TYPE_CHECKING:
    from .._recorded.native.lanes import Lanes
    from .._recorded.native.loop import Loop
    from .._recorded.record import Recording
    from .members import Members
    from .numba_step import NumbaLoop

FEWEST = 16
"""
Least number of steps for which choices are kept, unless the user asks for code: shorter loops are hardly ever compiled.
"""

ANEW = 8
"""The choice is made anew at the uses 8, 64, 512 and so on, because other work may have disturbed its measurements."""


ROWS = 8
"""Rows of inputs that tell whether they are those of an earlier solve, about."""


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
    given : bytes
        A sample of the inputs of the last solve, and its initial state.
    changes : int
        Number of solves whose inputs or initial state were others than those of the one before.
    is_tried : bool
        Whether the inputs of the last solve were tried, or the choice was made with them.
    has_failed : bool
        Whether this is the loop in place of sweeps that failed.
    purchases : tuple of callable
        More code that may be faster, to be compiled once loops took as long as that.
    is_bought : bool
        Whether they did.
    is_short : bool
        Whether the steps are so few that no other choice can gain anything: this one is not made anew.
    """

    decision: Decision
    recording: Recording
    loop: Loop | Members | NumbaLoop
    seconds: float
    lanes: Lanes | None
    uses: int = 1
    given: bytes = b""
    changes: int = 0
    is_tried: bool = True
    has_failed: bool = False
    purchases: tuple[Purchase, ...] = ()
    is_bought: bool = False
    is_short: bool = False

    def code(self, step: Step) -> Code:
        """The code, with the inputs of a step."""
        return Code(step, self.recording.program, self.loop, self.recording, self.seconds)

    def is_due(self, given: bytes) -> bool:
        """Whether the choice is made anew at the next use, with this sample of the inputs, or tried with them."""
        return self.is_bought or self.is_made_anew(self.uses + 1) or self._is_to_be_tried(given)

    def is_made_anew(self, uses: int) -> bool:
        """Whether the choice is made anew after so many uses."""
        return not self.is_short and is_power(uses)

    def _is_to_be_tried(self, given: bytes) -> bool:
        """
        Whether to try if the recurrence forgets its start with these inputs, if the loop was chosen since it did not.

        This takes as long as some ten thousand steps. It is tried for the first other inputs, the second, the fourth,
        the eighth and so on, and for others at their second solve.
        """
        if self.lanes is not None or self.has_failed or self.purchases or self.is_short:
            return False
        return is_power(self.changes + 1, 2) if given != self.given else not self.is_tried

    def note(self, given: bytes, steps: int) -> None:
        """Note a use for some steps."""
        self.uses += 1
        self.pay(steps)
        if self.lanes is None and not self.has_failed and given != self.given:
            self.given, self.changes, self.is_tried = given, self.changes + 1, False

    def pay(self, steps: int) -> bool:
        """Pay for more code by the time of a loop; whether it was paid."""
        self.is_bought = True in [buy(steps * self.seconds) for buy in self.purchases]
        return self.is_bought

    def segments(self, code: Code) -> CompiledSegments | None:
        """The same for several segments at a time."""
        return None if self.lanes is None else CompiledSegments(code, self.lanes)

    def without_segments(self) -> Precedent:
        """The compiled loop in place of sweeps that failed: they would fail again, after as much time."""
        return replace(self, decision=COMPILED_LOOP, lanes=None, has_failed=True)


def precedent_of(choice: Decision, code: Code | None, segments: CompiledSegments | None) -> Precedent | None:
    """A choice to be kept, perhaps until loops took so long that more code is compiled; None without a recording."""
    if code is None or code.recording is None:
        return None
    lanes, purchases = (None, tuple(code.purchases)) if segments is None else (segments.lanes, ())
    return Precedent(choice, code.recording, code.loop, code.seconds, lanes, purchases=purchases)


def recalled(task: Task) -> Precedent | None:
    """The precedent of a task; None if there is none, or if the choice is to be made anew."""
    if not is_ordinary(task):
        return None
    recording = recalled_recording(task.step, task.arrays.y0[None, ...])
    if recording is None:
        return _of_relative(task)
    precedent = recording.notes.get(_key(task))
    if precedent is None:
        return None
    given = _given(task)
    is_due = precedent.is_due(given)
    is_bought = precedent.is_bought
    precedent.note(given, task.steps)
    if not is_due:
        return precedent
    if is_bought or precedent.is_made_anew(precedent.uses):
        return None
    precedent.is_tried = True
    return None if may_be_faster(precedent.code(task.step), task.arrays.y0, task.steps) else precedent


_relatives: OrderedDict[Any, Precedent] = OrderedDict()

MOST = 64
"""Functions of which the last compiled loop is known."""


def _family(task: Task) -> Any:
    """The code of the step, and what decides of its choices; None if it is no function of Python."""
    function = task.step.function
    while type(function) is partial:
        function = function.func
    code = getattr(function, "__code__", None)
    return None if code is None else (code, task.arrays.y0.shape, task.arrays.y0.dtype, _key(task))


def _of_relative(task: Task) -> Precedent | None:
    """
    The compiled loop, if it was chosen for the same function with other numbers in its closure, globals or arguments.

    The function is recorded: the operations must be the same. Only the last solve with it is a precedent.
    """
    family = _family(task)
    one = _relatives.get(family)
    if family is None or one is None:
        return None
    if one.pay(task.steps) or is_power(one.uses + 1):  # the choice is made anew
        one.uses += 1
        return None
    from .._recorded.native.loop import compiled_loop  # noqa: PLC0415 - slow to import

    try:
        recording = record_step(task.step, task.arrays.y0[None, ...])
    except NoCodeError:
        return None
    if recording.program.skeleton != one.recording.program.skeleton:
        return None
    return replace(one, recording=recording, loop=compiled_loop(recording.program), uses=one.uses + 1)


def _note_relative(task: Task, precedent: Precedent) -> None:
    """Note the compiled loop for the same function with other numbers."""
    from .._recorded.native.loop import Loop  # noqa: PLC0415 - slow to import

    family = _family(task)
    before = _relatives.pop(family, None)
    if family is None or precedent.lanes is not None or type(precedent.loop) is not Loop:
        return
    precedent.uses = max(precedent.uses, 0 if before is None else before.uses)
    _relatives[family] = precedent
    while len(_relatives) > MOST:
        _relatives.popitem(last=False)


def _given(task: Task) -> bytes:
    """Some of the inputs, and the initial state."""
    x = task.step.x
    return sample_of(task.arrays.y0, () if x is None else x if isinstance(x, tuple) else (x,))


def sample_of(y0: Array, parts: Sequence[Array]) -> bytes:
    """The initial state, and some rows of the inputs."""
    rows = [part[:: max(1, part.shape[0] // ROWS), ...].tobytes() for part in parts]
    return b"".join([y0.tobytes(), *rows])


def key_of(task: Task, precedent: Precedent) -> Any:
    """Where a precedent is kept among the notes of its recording; None if it is not."""
    key = _key(task)
    return key if precedent.recording.notes.get(key) is precedent else None


def keep(task: Task, precedent: Precedent | None) -> None:
    """Keep a precedent for solves like this one; None: keep none any more."""
    recording = task.code.recording if task.code else None
    if recording is None and _relatives:
        _relatives.pop(_family(task), None)
    if recording is None or (precedent is not None and recording.notes.get(_key(task)) is precedent):
        return
    if not is_ordinary(task):
        return
    old = recording.notes.pop(_key(task), None)
    if precedent is not None:
        precedent.uses = old.uses if old else precedent.uses
        precedent.given, precedent.is_tried = _given(task), True
        precedent.is_short = precedent.lanes is None and task.steps < SHORT
        recording.notes[_key(task)] = precedent
        _note_relative(task, precedent)


def is_ordinary(task: Task) -> bool:
    """Whether nothing but the step and the number of steps decides how a task is solved."""
    options = task.options
    given = options.segment_length, options.window, options.damping, task.arrays.guess
    return (
        (options.compiles or task.steps >= FEWEST)
        and options.method == "auto"
        and options.compiles is not False
        and not task.step.has_jacobian
        and all(one is None for one in given)
    )


def is_power(number: int, base: int = ANEW) -> bool:
    """Whether a number is a power of a base."""
    while number > 1 and number % base == 0:
        number //= base
    return number == 1


def _key(task: Task) -> Any:
    return task.options.compiles, task.step.structure, task.steps.bit_length()

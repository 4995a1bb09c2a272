"""The step as machine code: recorded, compiled where that pays, and verified against the user's function."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, prod
from typing import TYPE_CHECKING, Any

from .._arrays.cached import cached_property
from .._arrays.namespace import Array, array_namespace, copy, library, quiet, random_signs
from .._functions.evaluators import ONE_BY_ONE, Evaluator
from .._functions.step import Step
from .._functions.verify import apart, unlike_step
from .._recorded.budget import Ledger, Measurements, NoCodeError, Refusals, compiler_is_loaded
from .checks.spread import spread
from .loop import first_not_finite
from .members import Members, member_of
from .numba_step import COMPILING as COMPILING_BY_NUMBA
from .numba_step import NumbaLoop, is_compiled
from .systems.recorded_step import record_step, to_record

if TYPE_CHECKING:
    from .._recorded.native.loop import Loop
    from .._recorded.program import Program
    from .._recorded.record import Recording

WORTH_RECORDING, PER_NUMBER = 8e-3, 1e-5
"""
The step is recorded if the loop takes more than this many seconds, and its loops since the last recording took as long
as that plus the second number for each number of a state. Recording a few hundred operations takes some milliseconds.
"""

WORTH_RUNNING = 1.5e-3
"""
A step that was recorded before is run as machine code if the loop takes more than this many seconds: its checks take as
long as some thirty steps.
"""

WORTH_SAVING, SAVED = 1e-3, 0.1
"""
A step is recorded as well once loops of less time, but more than the first number of seconds each, took the second one
since the last attempt: a fit, or a simulation of many cases, solves the same short recurrence thousands of times.
"""

LARGEST, MOST = 20_000, 50_000
"""
Largest number of operations in the code of a step, or of one member of a batch, that is compiled: it takes long to
compile; and largest number with those in loops: of products with matrices that fill the caches, NumPy's are as fast.
"""

VARIED = 1e-3
"""Relative change of the states at which code is compared with the function, besides the unchanged ones."""

TIMED, FEWEST_TIMED, TIMED_NUMBERS = 1000, 16, 1 << 17
"""Largest and least number of steps that are timed, and the number of entries that they may write."""

BRIEF = 3e-4
"""Seconds that are too short to tell: then eight times as many steps are timed."""

SAMPLE = 16
"""Number of steps of a trajectory that are compared with the function."""

AS_RECORDED, BY_NUMBA = "the recorded step runs as machine code", "Numba compiles the loop over the step"
"""What results say of code."""

ROWS = 1 << 16
"""Number of steps between two tests for states that are not finite, of loops that do not end there by themselves."""


Purchase = Callable[[float], bool]
"""`purchase(seconds)` adds the seconds of a loop, and says whether all of them pay for more code."""


@dataclass
class Code:
    """
    Machine code of a step.

    Parameters
    ----------
    step : Step
        The user's function.
    program : Program or None
        The recorded operations of the step; None if Numba compiled the loop.
    loop : Loop, Members or NumbaLoop
        The compiled loop.
    """

    step: Step
    program: Program | None
    loop: Loop | Members | NumbaLoop
    recording: Recording | None = None
    """The recording of the step, to be forgotten if the code is wrong."""
    seconds: float = 0.0
    """Measured time of one step."""
    purchases: list[Purchase] = field(default_factory=list)
    """More code, for segments or with derivatives, that is compiled once loops took some more time."""
    evaluator: Evaluator = ONE_BY_ONE
    """How the function is called for comparisons."""

    def march(
        self, state: Array, trajectory: Array, begin: int, end: int, report: Callable[[int], None] | None = None
    ) -> int:
        """
        Evaluate the steps `begin` to `end` from a state, writing the trajectory.

        Returns the first step whose state is not finite, or `end`. Later rows are undefined.
        """
        most = ROWS if isinstance(self.loop, Members | NumbaLoop) else max(end - begin, 1)
        for first in range(begin, end, most):
            last = min(first + most, end)
            are_finite = self._run(state, trajectory, first, last, report)
            if not are_finite and (bad := first_not_finite(trajectory, first, last)) < last:
                return bad
            state = trajectory[last - 1, ...]
        return end

    @property
    def description(self) -> str:
        """A clause for the results."""
        return BY_NUMBA if self.program is None else AS_RECORDED

    @cached_property
    def inputs(self) -> tuple[Array, ...]:
        """Inputs; of a recorded step in the recorded dtypes, with contiguous rows."""
        x = self.step.x
        given = () if x is None else x if isinstance(x, tuple) else (x,)
        if self.program is None:
            return given
        from .._recorded.pairs import as_pairs  # noqa: PLC0415 - slow to import

        arguments = self.program.arguments[1:]
        return tuple(
            as_rows(as_pairs(as_rows(one, one.dtype)) if one.dtype != argument.dtype else one, argument.dtype)
            for one, argument in zip(given, arguments, strict=True)
        )

    def _run(
        self, state: Array, trajectory: Array, begin: int, end: int, report: Callable[[int], None] | None = None
    ) -> bool | None:
        """Evaluate steps; True: all states are finite, otherwise some may not be so."""
        return self.loop.run(state, self.inputs, trajectory, begin, end, report)

    def each(self, states: Array, out: Array) -> None:
        """Evaluate one step from each of some states, with the first inputs."""
        count = states.shape[0]
        if not isinstance(self.loop, Members | NumbaLoop):
            self.loop.each(states, [x[:count, ...] for x in self.inputs], out)
            return
        for t in range(count):
            self._run(states[t, ...], out, t, t + 1)

    def is_contradicted(self, y0: Array, trajectory: Array, begin: int, end: int) -> bool:
        """Whether the user's function gives different values on a sample of the steps `begin` to `end`."""
        times = sorted({begin, end - 1, *(begin + t for t in spread(end - begin, SAMPLE))})
        xp = array_namespace(y0)
        before = xp.stack([trajectory[t - 1, ...] if t else y0 for t in times])
        found = xp.stack([trajectory[t, ...] for t in times])
        with quiet():
            try:
                expected = self.evaluator.values(self.step, times, copy(before))
                is_wrong = are_apart(self.step, times, before, found, expected)
            except Exception:  # the loop will raise it
                is_wrong = True
        if is_wrong and self.recording is not None:
            forget(self.recording)
        return is_wrong

    def pace(self, state: Array, steps: int) -> float:
        """Seconds of a step from a state, if there are `steps`; they write to memory that is already in use."""
        count = timed_steps(state, steps)
        rows = array_namespace(state).zeros((count, *state.shape), dtype=state.dtype)
        return pace(lambda last: self._run(state, rows, 0, last), count)


def timed_steps(state: Array, steps: int) -> int:
    """Number of steps from a state that are timed, at most."""
    return min(steps, max(FEWEST_TIMED, TIMED_NUMBERS // max(prod(state.shape), 1)))


def pace(run: Callable[[int], object], most: int, least: int = 0) -> float:
    """Seconds per step of `run(steps)`; the time of the `least` steps, nearly all of it preparations, is left out."""
    count, before = min(TIMED, most), _seconds(run, least) if 0 < least < most else 0.0
    while True:
        seconds = _seconds(run, count)
        if seconds >= BRIEF + before or count == most:
            return max(seconds - before, seconds / 100) / max(count - (least if before else 0), 1)
        count = min(8 * count, most)


def _seconds(run: Callable[[int], object], count: int) -> float:
    """Time of `run(count)`."""
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        run(count)
        times.append(time.perf_counter() - begin)
    return min(times)


def as_rows(array: Array, dtype: Any) -> Array:
    """An array with contiguous rows of a dtype."""
    if array.dtype == dtype and (array.size == 0 or array[0, ...].flags.c_contiguous):
        return array
    return array_namespace(array).ascontiguousarray(array, dtype=dtype)


def forget(recording: Recording) -> None:
    """Record the step anew at the next solve: its code was wrong."""
    from .._recorded import memo  # noqa: PLC0415 - slow to import

    memo.forget(recording)


def recalled_recording(step: Step, states: Array, seconds: float = inf) -> Recording | None:
    """
    The recording of the step from an earlier solve, if there is one, and all that the step reads is as it was.

    None, too, if it takes more than some seconds to find that out.
    """
    if not compiler_is_loaded() or library(states) != "numpy":
        return None
    from .._recorded.memo import recalled  # noqa: PLC0415 - slow to import

    return recalled(*to_record(step, states), seconds)


def is_worth_running(step: Step, states: Array, seconds: float) -> bool:
    """
    Whether a loop of some seconds is long enough for machine code of a step that was recorded before.

    A shorter one is, if something was noted with the recording, perhaps a choice for such loops: checks that take long
    compared with one of them are made once for many.
    """
    if seconds < min(WORTH_RUNNING, WORTH_SAVING):
        return False
    recording = recalled_recording(step, states, seconds)
    return recording is not None and (seconds >= WORTH_RUNNING or bool(recording.notes))


def may_have_code(step: Step, states: Array, seconds: float, *, saves: bool = False) -> bool:
    """
    Whether a loop of some seconds is long enough for recording the step, or for code of an earlier recording.

    If it `saves`, its time is added to that of earlier short ones, which may be long enough together.
    """
    if seconds >= WORTH_RECORDING or is_worth_running(step, states, seconds):
        return True
    return saves and seconds >= WORTH_SAVING and LEDGER.buys(_account(step, states), SAVED, seconds)


def _account(step: Step, states: Array) -> tuple[Any, ...]:
    """Key of the time of short loops."""
    return ("saved", *kind_of(step, states))


def kind_of(step: Step, states: Array) -> tuple[Any, tuple[int, ...], Any]:
    """The code of the step, if it is a function, the shape of its states and their dtype."""
    return getattr(step.function, "__code__", None), tuple(states.shape[1:]), states.dtype


LEDGER = Ledger()


REFUSALS = Refusals()


PACES = Measurements()
"""Seconds of steps of loops: the least, because other work of the machine only adds."""


class Compiler:
    """
    Makes machine code of a step, once.

    Parameters
    ----------
    step : Step
        The user's function.
    states : array, shape (k, *batch, n)
        States from which the first steps start.
    after : array, shape (k, *batch, n)
        States that the loop computed from them.
    steps : int
        Steps of the recurrence.
    wanted : bool or None
        The user's choice whether to compile; None: if it pays.
    make : callable, optional
        Makes the loop of a recording; by default it is that of its program, or of its members.

    Attributes
    ----------
    remark : str
        Why there is no machine code, as a sentence that begins with a space; "" if there is some, or none is needed.
    """

    def __init__(
        self, step: Step, states: Array, after: Array, steps: int, wanted: bool | None,
        make: Callable[[Recording], Loop] | None = None,
    ) -> None:  # fmt: skip
        self._step, self.states, self.after = step, states, after
        self._steps, self._wanted, self._make = steps, wanted, make
        self.remark = ""

    def code(self, seconds: float) -> Code | None:
        """
        The code, if compiling takes less than the `seconds` of the loop without code.

        Raises
        ------
        TypeError
            If the step cannot be compiled although the user asked for it.
        """
        seconds += LEDGER.taken(_account(self._step, self.states), SAVED)
        if self._wanted is False or not (self._wanted or self._is_worthwhile(seconds)):
            return None
        try:
            return self._made(inf if self._wanted else seconds)
        except NoCodeError as refusal:
            if is_compiled(self._step.value) and (code := self._by_numba(inf if self._wanted else seconds)):
                return code
            if self._wanted:
                raise TypeError(f"`step` cannot be compiled, as `compile=True` asks: it {refusal}.") from refusal
            self.remark = f" The step is not compiled: it {refusal}."
            return None

    def _is_worthwhile(self, seconds: float) -> bool:
        """Whether a loop of some seconds is worth recording the step, or running what was recorded before."""
        price = WORTH_RECORDING + PER_NUMBER * prod(self.states.shape[1:])
        if seconds >= WORTH_RECORDING and LEDGER.pays_loading(seconds) and LEDGER.buys_anew(self._key, price, seconds):
            return True
        return is_worth_running(self._step, self.states, seconds)

    def _by_numba(self, seconds: float) -> Code | None:
        """The loop over a step that the user compiled by Numba, compiled as well; None where that cannot be done."""
        loop = NumbaLoop(self._step)
        if not loop.is_ready:
            begin = time.perf_counter()  # the first steps may have compiled the function
            ONE_BY_ONE.values(self._step, [0], self.states[:1, ...])
            looped = seconds if self._wanted else min(seconds, self._steps * (time.perf_counter() - begin))
            if not LEDGER.buys(id(self._step.value), COMPILING_BY_NUMBA, looped):
                return None
        code = Code(self._step, None, loop)
        if loop.compile(self.states, code.inputs) or _unlike(code, self.states, self.after):
            return None
        code.seconds = code.pace(self.states[-1, ...], self._steps)
        return code

    @property
    def _key(self) -> tuple[Any, ...]:
        """That of recordings in the ledger."""
        return ("recording", *kind_of(self._step, self.states))

    def _recording(self, seconds: float) -> Recording:
        """The record of the step; after a refusal, the next attempt is made once loops took much longer than it."""
        key = kind_of(self._step, self.states)
        if reason := REFUSALS.reason(key, seconds):
            raise NoCodeError(reason)
        begin = time.perf_counter()
        try:
            found = record_step(self._step, self.states)
        except NoCodeError as refusal:
            if key[0] is not None:
                REFUSALS.enter(key, time.perf_counter() - begin, str(refusal))
            raise
        LEDGER.note_price(self._key, time.perf_counter() - begin)
        return found

    def _made(self, seconds: float) -> Code | None:
        recording = self._recording(seconds)
        program, batch = recording.program, tuple(self.states.shape[1:-1])
        member = None if self._make else member_of(program, batch)
        each = program if member is None else member.program
        for count, most in ((each.written, LARGEST), (each.operations, MOST)):
            if count > most:
                raise NoCodeError(f"has {count} operations, more than {most}")
        if not LEDGER.pays(each, seconds):
            return None
        from .._recorded.native.loop import compiled_loop  # noqa: PLC0415 - slow to import
        from .._recorded.native.text import UnsupportedError  # noqa: PLC0415

        try:
            if self._make:
                loop: Loop | Members = self._make(recording)
            else:
                loop = compiled_loop(program) if member is None else Members(member, prod(batch))
            code = Code(self._step, program, loop, recording)
            if obstacle := _unlike(code, self.states, self.after):
                forget(recording)
                raise NoCodeError(obstacle)
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        if not self._make:
            key = each.kinds, tuple(self.states.shape[1:])
            code.seconds = PACES.of(key, lambda: code.pace(self.states[-1, ...], self._steps), min)
        return code


def _unlike(code: Code, states: Array, after: Array) -> str:
    """
    Why the code differs from the function, compared on some states and on changed ones; "" if it does not.

    `after` are the states that the loop computed: a function may depend on an array that it returned before.
    """
    xp, times = array_namespace(states), list(range(states.shape[0]))
    for given in (states, changed(states)):
        found = xp.empty_like(states)
        code.each(given, found)
        if unlike_function(code.step, times, given, found) or (
            given is states and are_apart(code.step, times, given, found, after)
        ):
            return "gave other values than its recorded operations"
    return ""


def changed(states: Array) -> Array:
    """States beside some."""
    changes = VARIED * random_signs(tuple(states.shape), states, seed=0)
    return states * (1 + changes) + changes * array_namespace(states).max(abs(states))


def unlike_function(
    step: Step, times: list[int], before: Array, found: Array, evaluator: Evaluator = ONE_BY_ONE
) -> bool:  # fmt: skip
    """Whether the function gives values for some states that differ from `found` by more than rounding.

    If it raises an exception, perhaps because no trajectory comes there, nothing is compared.
    """
    with quiet():
        try:
            expected = evaluator.values(step, times, copy(before))
        except Exception:
            return False
        return are_apart(step, times, before, found, expected)


def are_apart(step: Step, times: list[int], before: Array, one: Array, other: Array) -> bool:
    """Whether two stacks of values of the function differ by more than rounding."""
    with quiet():
        return bool(unlike_step(step, before, times, one - other, apart(step.xp, one, other)))

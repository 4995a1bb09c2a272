"""Right-hand sides as recorded operations: found again at later solves, differentiated, and compared with `fun`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache, partial
from itertools import takewhile
from math import inf
from operator import is_
from typing import TYPE_CHECKING, Any

from numpy import ndarray, zeros

from ..._arrays.namespace import Array, all_finite, array_namespace, library, quiet
from ..._functions.evaluators import ONE_BY_ONE, STACKED
from ..._functions.verify import agree, alike, are_beside_jumps, share_of
from ..._recorded.budget import FREE, NoCodeError, paid_by
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from .alike import is_like, sample_of
from .parts import as_parts, from_parts, wide

if TYPE_CHECKING:
    from ..._recorded.captured import Opened
    from ..._recorded.frozen import Frozen
    from ..._recorded.linearised import Linearised
    from ..._recorded.program import Program
    from ..._recorded.record import Recording
    from ..._recorded.switches import Switches

TIME, STATE, FIRST = 0, 1, 2
"""Numbers of the arguments of the programs: the time, the state, and the first one after it."""

LARGEST, MOST_NODES = 20_000, 300_000
"""Largest number of operations of a right-hand side, and of nodes of its graph, constants included."""

SHORT = 64
"""Largest number of entries of an array that is a parameter."""

KEPT = 256
"""Functions that are remembered because their parameters must be recorded as constants."""

OTHERS = 12
"""
Records of a function with other captured floats after which these become parameters: the records took as long as
compiling code that has them, which comes in place of code that has constants.
"""

CONSTANTS: tuple[float, Any] = (inf, ())
"""Noted of functions whose captured floats must be constants."""

ROUNDED, HARMLESS = 2.0**-49, 0.01
"""Differences that are rounding, as a share of the largest slope; and their change of the solution, in tolerances."""

EXAMPLE = zeros(())
"""A time, for recording."""

UNLIKE = "gave other values than its recorded operations"

_lock = threading.Lock()
_of_constants: OrderedDict[Any, None] = OrderedDict()
_varied: OrderedDict[Any, tuple[float, Any]] = OrderedDict()  # how often functions captured others, and the last ones


@dataclass(frozen=True)
class Recorded:
    """
    The right-hand side of a problem, recorded.

    The programs take, in double precision, the time `()`, the state `(n,)`, or `(n, 2)` if it is complex, and the
    parameters, `()` or `(k,)`.

    Parameters
    ----------
    recording : Recording
        It is kept for later solves, and so is what its `notes` hold: the programs, and whatever is compiled of them.
    parameters : tuple of floats and arrays
        Numbers that are arguments of the programs. Other numbers that the function reads are constants.
    captured : int
        How many of them, the last ones, are not in `args`, but captured by the function.
    """

    recording: Recording
    parameters: tuple[Any, ...]
    captured: int = 0

    @property
    def notes(self) -> dict[Any, Any]:
        """What is kept for later solves."""
        return self.recording.notes

    def kept(self) -> Recorded:
        """The same with the parameters as they are now: the user may write to arrays."""
        if all(isinstance(one, float) for one in self.parameters):
            return self
        parameters = tuple(one if isinstance(one, float) else one.copy() for one in self.parameters)
        return Recorded(self.recording, parameters, self.captured)

    @property
    def value(self) -> Program:
        """The function as a program."""
        return self.recording.program

    @property
    def linearised(self) -> Linearised:
        """The function with its Jacobian and its derivative with respect to time; raises `NoCodeError`."""
        found: Linearised | None = self.notes.get("linearised")
        if found is None:
            found = self.notes["linearised"] = self.derived()
        return found

    def derived(self, *, with_time: bool = True) -> Linearised:
        """The function with its Jacobian, and perhaps its derivative with respect to time; raises `NoCodeError`."""
        from ..._recorded.graph import TooLarge  # noqa: PLC0415
        from ..._recorded.linearised import linearised, values_and_entries  # noqa: PLC0415
        from ..._recorded.refusal import Refused  # noqa: PLC0415 - slow to import

        try:
            with _lock:  # one thread at a time enters operations into the graph
                return (linearised if with_time else values_and_entries)(self.recording)
        except Refused as error:
            raise NoCodeError(str(error)) from error
        except TooLarge as error:
            raise NoCodeError(f"has more than {MOST_NODES} operations with its derivatives") from error

    @property
    def switches(self) -> Switches | None:
        """Where the function has kinks and jumps in time; None if it has none."""
        if "switches" not in self.notes:
            from ..._recorded.switches import switches  # noqa: PLC0415 - slow to import

            self.notes["switches"] = switches(self.value)
        found: Switches | None = self.notes["switches"]
        return found

    @property
    def modes(self) -> Frozen | None:
        """The function in modes; None if it has none, or steps in modes have led nowhere before."""
        if "modes" not in self.notes:
            from ..._recorded.frozen import frozen  # noqa: PLC0415 - slow to import
            from ..._recorded.graph import TooLarge  # noqa: PLC0415

            try:
                self.notes["modes"] = frozen(self.value, MOST_NODES)
            except TooLarge:
                self.notes["modes"] = None
        found: Frozen | None = self.notes["modes"]
        return found

    def leave_modes(self) -> bool:
        """Take steps without modes from now on; return whether they had some."""
        before, self.notes["modes"] = self.modes, None
        return before is not None

    def on_switch(self, number: int, way: float) -> Frozen | None:
        """
        The function where the solution stays on one of its switches; None if that cannot be told.

        `way` is that of the time, 1 or -1.
        """
        from ..._recorded.graph import TooLarge  # noqa: PLC0415 - slow to import
        from ..._recorded.refusal import Refused  # noqa: PLC0415
        from ..._recorded.sliding import sliding  # noqa: PLC0415

        key = "on switch", number, way
        if key not in self.notes:
            try:
                found = None if self.modes is None else sliding(self.modes, number, way, MOST_NODES)
            except (Refused, TooLarge):
                found = None
            self.notes[key] = found
        known: Frozen | None = self.notes[key]
        return known

    @property
    def depends_on_time(self) -> bool:
        """Whether the function depends on the time."""
        return self.value.reads(TIME)

    def slopes(self, t: Array, states: Array) -> Array:
        """Values `(m, n)` of the recorded operations at the times `(m,)` and states `(m, n)`, by NumPy, in doubles."""
        found = self._evaluated(self.value, t, as_parts(states))[0]
        return from_parts(array_namespace(states).reshape(found, (*t.shape, -1)), states)

    def jacobians(self, t: Array, states: Array) -> Array:
        """
        Jacobians `(m, n, n)` of the recorded operations with respect to states `(m, n)`, or to their parts `(m, 2n)`.

        It raises `NoCodeError` where they have no derivatives.
        """
        linearised, parts = self.linearised, as_parts(states)
        entries = self._evaluated(linearised.program, t, parts)[1]
        found = array_namespace(parts).zeros((*parts.shape, parts.shape[-1]))
        found[:, linearised.rows, linearised.columns] = entries
        return found

    def _evaluated(self, program: Program, t: Array, parts: Array) -> Any:
        """Results of a program at times and states, by NumPy, in doubles."""
        xp = array_namespace(parts)
        numbers = map(xp.asarray, self.parameters)
        constants = [xp.broadcast_to(number, (*t.shape, *number.shape)) for number in numbers]
        given = xp.reshape(parts, (*t.shape, *self.value.arguments[1].shape))
        with quiet():
            return program(t, given, *constants)

    def contradiction(self, evaluation: Evaluation, vectorized: bool | None) -> str:
        """
        Compare the recorded operations with the function near the initial state, unless that was done before.

        Returns why they differ, as the predicate of a sentence; "" if they do not. An exception of the function for the
        initial state reaches the user.
        """
        if ("stacks", vectorized) in self.notes:
            return ""
        some = evaluation.near_start
        if some.refused is None:
            problem, alone = evaluation.problem, evaluation.problem.right_hand_side()
            with quiet():
                found = self.slopes(some.t, wide(some.states))
            if not agree(found, some.values, share_of(problem.rtol, problem.y0), some.t, some.states, alone):
                if self.captured:
                    _note(_varied, _key_of(problem), CONSTANTS)
                return UNLIKE
        self.notes["stacks", vectorized] = evaluation.stacks
        return ""

    def is_contradicted(
        self, problem: Problem, vectorized: bool | None, t: Array, states: Array, slopes: Array
    ) -> bool:
        """
        Whether the function differs from `slopes` `(m, n)`, which machine code gave for the states of a solution.

        It is called once for a sample of them if it takes many times at once, otherwise for fewer of them. That was
        found out by `contradiction`, for the same option `vectorized`. Where the same problem was solved before, and
        the whole sample agreed, one state is compared, at each solve another one.
        """
        before: Compared | None = self.notes.get("compared")
        is_known = before is not None and before.is_of(problem, self.parameters)
        if before is not None and is_known and before.agrees(problem, t, states, slopes):
            return False
        found = self._differs(problem, vectorized, t, states, slopes)
        if found and self.captured:
            _note(_varied, _key_of(problem), CONSTANTS)
        if not found and not is_known:
            self.notes["compared"] = Compared(problem, self.parameters)
        return found

    def _differs(self, problem: Problem, vectorized: bool | None, t: Array, states: Array, slopes: Array) -> bool:
        """Whether the function differs from slopes in a sample."""
        xp, stacks, count = array_namespace(states), self.notes["stacks", vectorized], t.shape[0]
        some = sample_of(count, stacks=stacks)
        t, found, every, states = t[some], slopes[some, :], states, states[some, :]
        rhs = problem.right_hand_side(STACKED if stacks else ONE_BY_ONE)
        try:
            expected = rhs(t, states)
        except Exception:  # the usual way of solving will raise it
            return True
        share = share_of(problem.rtol, problem.y0)
        with quiet():
            if alike(xp, expected, found, share):  # not where a value is not finite
                return False
        if not all_finite(expected):
            return True
        with quiet():
            if _is_rounding(problem, xp.abs(found - expected), every, slopes):
                return False
        if agree(found, expected, share, t, states, rhs):
            return False
        return self.modes is None or not are_beside_jumps(found, expected, share, t, states, rhs)


def _is_rounding(problem: Problem, distance: Array, states: Array, slopes: Array) -> bool:
    """
    Whether distances `(k, n)` are roundings of the largest slopes on the solution, and too small to matter in the span.

    Beside a pulse, a difference of functions that are equal there is nothing but rounding.
    """
    xp = array_namespace(slopes)
    largest, wanted = xp.max(xp.abs(slopes), axis=0), problem.atol + problem.rtols * xp.max(xp.abs(states), axis=0)
    length = abs(problem.span[1] - problem.span[0])
    return bool(xp.all((distance <= ROUNDED * largest) & (distance * length <= HARMLESS * wanted)))


class Compared:
    """A problem whose solution was compared with the function."""

    def __init__(self, problem: Problem, parameters: tuple[Any, ...]) -> None:
        self._args, self._span, self._rtol = problem.args, problem.span, problem.rtol
        self._parameters = parameters
        self._start, self._uses = problem.y0.copy(), 0
        self._share = share_of(problem.rtol, problem.y0)

    def is_of(self, problem: Problem, parameters: tuple[Any, ...]) -> bool:
        """Whether a problem with these parameters is this one."""
        return (
            problem.span == self._span
            and problem.rtol == self._rtol
            and len(problem.args) == len(self._args)
            and all(map(is_, problem.args, self._args))
            and all(map(is_, parameters, self._parameters))
            and problem.y0.dtype == self._start.dtype
            and problem.y0.tobytes() == self._start.tobytes()
        )

    def agrees(self, problem: Problem, t: Array, states: Array, slopes: Array) -> bool:
        """Whether the function agrees at one state, if it returns a list of numbers or an array."""
        self._uses += 1
        row = (self._uses * STRIDE) % t.shape[0] if t.shape[0] else 0
        return is_like(problem.fun, problem.args, t[row], states[row], slopes[row], self._share)


STRIDE = 377
"""Rows between the states that are compared with the function at one solve and at the next one."""


def record_right_hand_side(problem: Problem, *, opens: bool = False) -> Recorded:
    """
    The right-hand side of a problem: recorded now, or at an earlier solve if all that it reads is as it was then.

    Doubles and short arrays of them that lead `args` are parameters of the programs, so that other ones need no other
    recording: unless the function does with them what can only be done with known numbers, or takes them as exponents.
    If `opens`, so are the floats that the function captured, once they were others often enough.

    Raises
    ------
    NoCodeError
        With the reason, and the file and line of the function.
    """
    if obstacle := _obstacle(problem):
        raise NoCodeError(obstacle)
    key = _key_of(problem)
    parameters = tuple(takewhile(is_parameter, problem.args))
    if opens and (found := _with_captured(problem, parameters if key not in _of_constants else ())):
        return found
    if parameters and key not in _of_constants:
        if found := _with_parameters(problem, parameters):
            return found
        _note(_of_constants, key, None)
    return _recorded(problem, ())


def _key_of(problem: Problem) -> Any:
    return getattr(problem.fun, "__code__", type(problem.fun))


def _note(notes: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    notes[key] = value
    while len(notes) > KEPT:
        notes.popitem(last=False)


def _with_captured(problem: Problem, parameters: tuple[Any, ...]) -> Recorded | None:
    """The recording with the floats that the function captured as parameters, too; None if they are constants."""
    from ..._recorded.captured import opened  # noqa: PLC0415 - slow to import

    given = opened(problem.fun, FIRST + len(parameters), FIRST + len(problem.args))
    if given is None:
        return None
    key, values = _key_of(problem), given.values
    count, before = _varied.get(key, (0, ()))
    if count < OTHERS:
        if before != values:
            _note(_varied, key, (count + 1, values))
        return None
    if count == inf:
        return None
    with paid_by(FREE):
        found = _with_parameters(problem, (*parameters, *values), given)
    if found is None or not _is_kept(found):
        _note(_varied, key, CONSTANTS)
        return None
    return found


def _is_kept(found: Recorded) -> bool:
    """Whether later solves find the recording again."""
    if "is kept" not in found.notes:
        from ..._recorded.memo import entry_of  # noqa: PLC0415 - slow to import

        found.notes["is kept"] = entry_of(found.recording) is not None
    return bool(found.notes["is kept"])


def _obstacle(problem: Problem) -> str:
    """What stands against recording, before the function is looked at; "" if nothing does."""
    if library(problem.y0) != "numpy":
        return "works on arrays of another library than NumPy"
    if problem.batch:
        return f"works on a batch of shape {problem.batch}"
    return ""


def is_parameter(value: Any) -> bool:
    """Whether an argument can be a parameter: a double, or a short array of them."""
    if isinstance(value, float):
        return type(value).__module__ in ("builtins", "numpy")
    return type(value) is ndarray and value.dtype == float and value.ndim <= 1 and value.size <= SHORT


def _with_parameters(problem: Problem, parameters: tuple[Any, ...], given: Opened | None = None) -> Recorded | None:
    """The recording with parameters as arguments of the program; None if they should be constants."""
    try:
        found = _recorded(problem, parameters, given)
    except NoCodeError:
        return None
    if "exponents" not in found.notes:
        numbers = range(FIRST, FIRST + len(found.parameters))
        found.notes["exponents"] = found.value.depends("power", 1, numbers)
    return None if found.notes["exponents"] else found


def _recorded(problem: Problem, parameters: tuple[Any, ...], given: Opened | None = None) -> Recorded:
    """The recording with these parameters, of which some may be captured, and the other arguments as constants."""
    remembered, not_recorded, wishes = recorder()
    xp, state, captured = problem.xp, wide(problem.y0), 0 if given is None else len(given.values)
    examples = [EXAMPLE, state, *map(xp.asarray, parameters)]
    constants = problem.args[len(parameters) - captured :]
    try:
        recording = remembered(given or problem.fun, examples, constants, MOST_NODES, wishes(state.dtype))
    except not_recorded as error:
        raise NoCodeError(error.reason + (f" ({error.place})" if error.place else "")) from error
    if "fits" not in recording.notes:
        _check(recording, state)
        recording.notes["fits"] = True
    return Recorded(recording, parameters, captured)


@cache
def recorder() -> Any:
    """The function that records, its exception, and what it is asked for in a dtype."""
    from ..._recorded.memo import remembered  # noqa: PLC0415 - slow to import
    from ..._recorded.record import NotRecordedError, Wishes  # noqa: PLC0415

    return remembered, NotRecordedError, cache(partial(Wishes, (TIME, STATE)))


def _check(recording: Recording, state: Array) -> None:
    """Raise `NoCodeError` if a recording is none of a right-hand side for a state, or too large."""
    n = state.shape[-1]
    if recording.shape not in ((n,), *([(1, 1), ()] if n == 1 else [])):
        raise NoCodeError(f"returns the shape {recording.shape} when it is recorded")
    if recording.dtype != state.dtype:
        raise NoCodeError(f"returns {recording.dtype} when it is recorded")
    if recording.program.operations > LARGEST:
        raise NoCodeError(f"has {recording.program.operations} operations, more than {LARGEST}")

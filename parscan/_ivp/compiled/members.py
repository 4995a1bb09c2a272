"""Batches as recorded operations of one member: found again at later solves, differentiated, and evaluated."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.namespace import Array, array_namespace, library
from ..._recorded.budget import NoCodeError, pay
from ..core.problem import Problem
from .parts import as_parts, from_parts, wide
from .recorded import LARGEST, MOST_NODES, TIME, UNLIKE

if TYPE_CHECKING:
    from ..._recorded.batch import Member
    from ..._recorded.linearised import Linearised
    from ..._recorded.native.integrate import Solver
    from ..._recorded.native.members import Form
    from ..._recorded.program import Program
    from ..._recorded.record import Recording, Wishes
    from ..._recorded.switches import Switches

Recorder = Callable[[Any, Sequence[Any], Sequence[Any], int, "Wishes"], "Recording"]

FEW = 2
"""Members along each axis of a batch that are recorded, if arrays in `args` have all that differs between members."""

CHECKED, OF_CHECKED = 1 << 18, 4e-7
"""
Largest number of nodes, about, of the graph of more members, which is compared with that of few ones; seconds for each.
"""

KEPT = 256
"""Functions that are remembered because all members must be recorded."""

MOST_OF_ALL, OF_ALL = 6_000_000, 5e-6
"""Largest number of nodes of the graph of a whole batch, and seconds to record one of its members."""

TOGETHER, NUMBERS = 1 << 14, 1 << 22
"""Largest number of members that are solved together, and of their values at times of the output."""

AT_ONCE = 1 << 20
"""Largest number of values that NumPy keeps while it evaluates recorded operations, about."""

_lock = threading.Lock()
_of_all: OrderedDict[Any, None] = OrderedDict()


@dataclass(frozen=True)
class Origin:
    """
    A record of a few members of a batch.

    Parameters
    ----------
    recording : Recording
    differing : tuple of int
        Places in `args` of arrays that have numbers for each member.
    """

    recording: Recording
    differing: tuple[int, ...]

    def own(self, problem: Problem) -> tuple[Array, ...]:
        """What differs between the members of a batch of the same shape, with arguments of the same kinds."""
        arrays = [_of_members(problem.args[k], problem) for k in self.differing]
        if any(one is None for one in arrays):
            raise NoCodeError("has other arguments")
        nb = len(problem.batch)
        return tuple(_members_first(one, nb) for one in arrays if one is not None)


@dataclass(frozen=True)
class Members:
    """
    The right-hand side of one member, recorded.

    The program takes, in double precision, the time `()`, the state `(n,)`, or `(n, 2)` if it is complex, and arrays
    `(...)` of the member's own.

    Parameters
    ----------
    program : Program
    own : tuple of arrays, shape (members, ...)
        What differs between members.
    notes : dict
        What is kept for later solves: whatever is compiled.
    origin : Origin or None
        The record of a few members; None if all had to be recorded.
    """

    program: Program
    own: tuple[Array, ...]
    notes: dict[Any, Any]
    origin: Origin | None = None

    @property
    def together(self) -> tuple[int, int]:
        """Largest number of members that are solved together, and of their values at times of the output."""
        return TOGETHER, NUMBERS

    @property
    def is_single(self) -> bool:
        """Whether marches are in single precision."""
        return False

    def in_double(self, some: Any) -> Members:
        """Some members, whose numbers are given, that march in double precision."""
        return replace(self, own=self.arguments(some), origin=None)

    @property
    def shared(self) -> tuple[bool, ...]:
        """Of each argument after the state, whether it is the same for all members."""
        return (False,) * len(self.own)

    def arguments(self, members: Any) -> tuple[Any, ...]:
        """Values of the arguments after the state, of some members: an array of numbers, a slice, or one number."""
        if isinstance(members, int | slice):
            return tuple(one[members, ...] for one in self.own)
        take = array_namespace(members).take
        return tuple(take(one, members, axis=0) for one in self.own)

    def slopes(self, t: Array, states: Array, some: Array) -> Array:
        """
        Values of the recorded operations at states `(m, k, n)` of some members `(k,)`, by NumPy.

        Times are the same for all members `(m,)`, or their own `(m, k)`.
        """
        xp, shape = array_namespace(states), states.shape
        times = xp.reshape(xp.broadcast_to(t if t.ndim > 1 else t[:, None], shape[:2]), (-1,))
        given = xp.reshape(as_parts(wide(states)), (-1, *self.program.arguments[1].shape))
        every = some if shape[0] == 1 else xp.tile(some, (shape[0],))
        most = max(1, AT_ONCE // self.program.size)
        found = []
        for first in range(0, given.shape[0], most):
            calls = slice(first, first + most)
            found.append(self.program(times[calls], given[calls, ...], *self.arguments(every[calls]))[0])
        values = xp.reshape(found[0] if len(found) == 1 else xp.concat(found), (given.shape[0], -1))
        return xp.reshape(from_parts(values, states), shape)

    def is_right(self, batch: tuple[int, ...], agrees: Callable[[Members], bool]) -> bool:
        """Whether it agrees with the function, on a batch of this shape, now or at an earlier solve."""
        key = "is right", batch
        if key not in self.notes and agrees(self):
            self.notes[key] = True
        return key in self.notes

    @property
    def switches(self) -> Switches | None:
        """Where the function has kinks and jumps in time; None if it has none."""
        if "switches" not in self.notes:
            from ..._recorded.switches import switches  # noqa: PLC0415 - slow to import

            self.notes["switches"] = switches(self.program)
        found: Switches | None = self.notes["switches"]
        return found

    @property
    def watched(self) -> Program | None:
        """The program with its modes; None if it has none, or too many operations."""
        if "watched" not in self.notes:
            from ..._recorded.graph import TooLarge  # noqa: PLC0415
            from ..._recorded.modes import with_modes  # noqa: PLC0415
            from ..._recorded.replay import replayed  # noqa: PLC0415 - slow to import

            try:
                self.notes["watched"] = with_modes(replayed(self.program, MOST_NODES))
            except TooLarge:
                self.notes["watched"] = None
        found: Program | None = self.notes["watched"]
        return found

    @property
    def linearised(self) -> Linearised:
        """The program with its Jacobian and its derivative with respect to time; raises `NoCodeError`."""
        found: Linearised | None = self.notes.get("linearised")
        if found is None:
            found = self.notes["linearised"] = _derived(self.program)
        return found

    def derived(self) -> Linearised:
        """The program with its Jacobian; raises `NoCodeError`."""
        return _derived(self.program, with_time=False)

    def solvers(self) -> list[Any]:
        """Functions of a form that make the compiled solvers, of each method."""
        return [partial(self._made, name) for name in MAKERS]

    def _made(self, name: str, form: Form) -> Solver:
        found: Solver | None = self.notes.get((name, form))
        if found is None:
            found = self.notes[name, form] = MAKERS[name](self, form)
        return found


def _derived(program: Program, *, with_time: bool = True) -> Linearised:
    from ..._recorded.graph import TooLarge  # noqa: PLC0415
    from ..._recorded.linearised import linearised, values_and_entries  # noqa: PLC0415
    from ..._recorded.refusal import Refused  # noqa: PLC0415
    from ..._recorded.replay import replayed  # noqa: PLC0415 - slow to import

    try:
        return (linearised if with_time else values_and_entries)(replayed(program, MOST_NODES))
    except Refused as error:
        raise NoCodeError(str(error)) from error
    except TooLarge as error:
        raise NoCodeError(f"has more than {MOST_NODES} operations with its derivatives") from error


def _explicit(members: Members, form: Form) -> Solver:
    from ..._recorded.native.explicit import explicit  # noqa: PLC0415 - slow to import

    program = members.watched if form.watches else members.program
    assert program is not None
    return explicit(program, form)


def _stiff(members: Members, form: Form) -> Solver:
    from ..._recorded.native.rosenbrock import rosenbrock  # noqa: PLC0415 - slow to import

    return rosenbrock(members.program, members.linearised, form)


MAKERS = {"DOP853": _explicit, "Rodas5P": _stiff}
"""Functions that make the solvers: an explicit method first, then a stiff one."""


def record_members(problem: Problem, agrees: Callable[[Members], bool]) -> Members:
    """
    Record one member of a batch; `agrees` tells whether a new record gives the values of the function.

    It raises `NoCodeError` with the reason, and the file and line of the function.
    """
    if library(problem.y0) != "numpy":
        raise NoCodeError("works on arrays of another library than NumPy")
    if problem.is_endless:
        raise NoCodeError("works on a batch, with a span that has no end")
    found = None if must_be_recorded_whole(problem.fun) else _of_few(problem, problem.fun, problem.args)
    if found is not None and found.is_right(problem.batch, agrees):
        return found
    with _lock:
        _of_all[getattr(problem.fun, "__code__", type(problem.fun))] = None
        while len(_of_all) > KEPT:
            _of_all.popitem(last=False)
    found = _of_whole(problem)
    if not found.is_right(problem.batch, agrees):
        raise NoCodeError(UNLIKE)
    return found


class Opened(NamedTuple):
    """
    Members with some numbers as arguments of their own.

    Attributes
    ----------
    members : Members
    numbers : tuple of int
        Of the arguments, one for each of these arrays.
    places : tuple of arrays of int, shape (members, size)
        For each of them, which of its entries the members have.
    """

    members: Members
    numbers: tuple[int, ...]
    places: tuple[Array, ...]


def record_opened(
    problem: Problem, fun: Any, args: Sequence[Any], count: int, agrees: Callable[[Members], bool]
) -> Opened:  # fmt: skip
    """
    Record one member of a batch with the first `count` of some arguments of a function as arguments of the record.

    `fun` with these arguments is the right-hand side of the problem; they are arrays of doubles, which members have in
    common or which have numbers for each of them. It raises `NoCodeError`.
    """
    members = _of_few(problem, fun, args, count)
    if members is None or not members.is_right(problem.batch, agrees):
        raise NoCodeError("has members that differ in more than arrays in its arguments")
    xp, nb = problem.xp, len(problem.batch)
    order, places = list(_by_members(problem, args, count)), []
    for array in args[:count]:
        entries = xp.reshape(xp.astype(xp.arange(array.size), xp.float64), array.shape)
        own = _of_members(entries, problem)
        own = entries[None, ...] if own is None else _members_first(own, nb)
        rows = xp.reshape(xp.astype(own, xp.int64), (own.shape[0], -1))
        places.append(xp.broadcast_to(rows, (prod(problem.batch), rows.shape[1])))
    return Opened(members, tuple(2 + order.index(k) for k in range(count)), tuple(places))


def _by_members(problem: Problem, args: Sequence[Any], count: int) -> dict[int, Array | None]:
    """Places of arguments that have numbers for each member, and their numbers; then the others of the first ones."""
    own: dict[int, Array | None] = {
        k: one for k, arg in enumerate(args) if (one := _of_members(arg, problem)) is not None
    }
    return own | {k: None for k in range(count) if k not in own}


def _of_few(problem: Problem, function: Any, args: Sequence[Any], count: int = 0) -> Members | None:
    """
    The members by a record of a small batch, with parts of the arrays in `args` that belong to its members.

    The first `count` arguments are those of the record even if they are the same for all. None if the function cannot
    be called so, or if its members differ in other things as well.
    """
    nb, xp = len(problem.batch), problem.xp
    few = tuple(min(FEW, length) for length in problem.batch)
    places = _by_members(problem, args, count)
    differing = [one for one in places.values() if one is not None]
    common = [args[k] for k, one in places.items() if one is None]
    fun, constants = function_of(function, tuple(places), args)

    def of_some(lengths: Sequence[int], remembered: Recorder | None = None) -> tuple[Recording, Member]:
        examples = [xp.zeros((*one.shape[: one.ndim - nb], *lengths)) for one in differing]
        start = problem.y0[tuple(map(slice, lengths))]
        return _recorded(problem, fun, start, (examples, common), constants, remembered)

    try:
        recording, member = of_some(few)
        if member.tables or member.parts:
            return None
        key = "alike", problem.batch
        if key not in recording.notes:
            more = _lengths(problem.batch, CHECKED // member.program.size)
            pay("recording more members", OF_CHECKED * prod(more) * member.program.size)
            other = of_some(more, _record)[1] if prod(more) > prod(few) else member
            recording.notes[key] = _of_both(member, other, recording.notes)
        alike: tuple[Program, dict[Any, Any]] | None = recording.notes[key]
    except NoCodeError:
        return None
    if alike is None:
        return None
    own = [_members_first(one, nb) for one in differing]
    own += [xp.broadcast_to(one[None, ...], (prod(problem.batch), *one.shape)) for one in common]
    return Members(alike[0], tuple(own), alike[1], None if count else Origin(recording, tuple(places)))


def function_of(fun: Any, differing: tuple[int, ...], args: Sequence[Any]) -> tuple[Any, list[Any]]:
    """A function whose arguments that differ between members come before the others, and these."""
    if differing == tuple(range(len(differing))):
        return fun, list(args[len(differing) :])
    places = [*differing, *(k for k in range(len(args)) if k not in differing)]
    order = tuple(places.index(k) for k in range(len(places)))
    return partial(_in_order, fun, order), [args[k] for k in places[len(differing) :]]


def must_be_recorded_whole(fun: Any) -> bool:
    """Whether a record of a few members did not agree with a function."""
    return getattr(fun, "__code__", type(fun)) in _of_all


def _members_first(one: Array, nb: int) -> Array:
    """An array whose last `nb` axes are those of the batch with one axis of members, the first one."""
    xp, own = array_namespace(one), one.shape[: one.ndim - nb]
    if own:
        one = xp.moveaxis(one, range(-nb, 0), range(nb))
    return xp.reshape(one, (-1, *own))


def _lengths(batch: tuple[int, ...], most: int) -> list[int]:
    """Lengths of a part of a batch with at most so many members, if a few of them along each axis are not more."""
    found = list(batch)
    for k in sorted(range(len(found)), key=lambda k: -found[k]):
        others = prod(found) // found[k]
        found[k] = min(found[k], max(FEW, most // others))
    return found


def _of_both(few: Member, more: Member, notes: dict[Any, Any]) -> tuple[Program, dict[Any, Any]] | None:
    """
    What all members do, by records of few and of more ones, and the notes of this; None if some do something else.

    Functions may treat members by their numbers, or do something else with many.
    """
    if more.tables or more.parts:
        return None
    return (few.program, notes) if few.program.fingerprint == more.program.fingerprint else (more.program, {})


def _of_whole(problem: Problem) -> Members:
    """The members by a record of the whole batch."""
    pay("recording a batch", OF_ALL * prod(problem.batch))
    recording, member = _recorded(problem, problem.fun, problem.y0, ((), ()), problem.args)
    return Members(member.program, member.tables, recording.notes)


def _recorded(
    problem: Problem, fun: Any, start: Array, examples: Sequence[Array], constants: Sequence[Any],
    recorder: Recorder | None = None,
) -> tuple[Recording, Member]:  # fmt: skip
    """
    A recording of a batch with the states `start`, arrays of members after it and constants; and one member.

    Without a `recorder`, it is one from before, if there is one, and it is kept.
    """
    from ..._recorded.batch import decoupled  # noqa: PLC0415 - slow to import
    from ..._recorded.memo import remembered  # noqa: PLC0415
    from ..._recorded.record import NotRecordedError, Wishes  # noqa: PLC0415

    xp, nb = problem.xp, start.ndim - 1
    state = wide(xp.moveaxis(start, -1, 0))
    try:
        wishes = Wishes(branches_on=(TIME,), dtype=state.dtype)
        given = [xp.zeros(()), state, *examples[0], *examples[1]]
        recording = (recorder or remembered)(fun, given, constants, MOST_OF_ALL, wishes)
    except NotRecordedError as error:
        raise NoCodeError(error.reason + (f" ({error.place})" if error.place else "")) from error
    if recording.shape != state.shape or recording.dtype != state.dtype:
        raise NoCodeError(f"returns {recording.dtype} of the shape {recording.shape} when it is recorded")
    if "member" not in recording.notes:
        axes = tuple(range(1, state.ndim))
        others = [tuple(range(one.ndim - nb, one.ndim)) for one in examples[0]]
        shapes = [(), axes, *others, *(() for _ in examples[1])]
        recording.notes["member"] = decoupled(recording.program, shapes, [axes])
    member: Member | None = recording.notes["member"]
    if member is None:
        raise NoCodeError("has members that depend on each other, or do different things")
    if member.program.operations > LARGEST:
        raise NoCodeError(f"has {member.program.operations} operations, more than {LARGEST}")
    return recording, member


def _record(fun: Any, examples: Sequence[Any], constants: Sequence[Any], limit: int, wishes: Wishes) -> Recording:
    """A recording that is not kept."""
    from ..._recorded.record import record  # noqa: PLC0415 - slow to import

    return record(fun, examples, constants, limit=limit, wishes=wishes)


def _of_members(argument: Any, problem: Problem) -> Array | None:
    """An argument with numbers for each member, its last axes those of the batch; None if it is not one."""
    xp, batch = problem.xp, problem.batch
    nb = len(batch)
    if type(argument) is not type(problem.y0) or argument.dtype != xp.float64 or not argument.ndim:
        return None
    own = argument.shape[-nb:]
    if own == batch:
        return argument
    lengths = batch[nb - len(own) :]
    if any(one not in (1, length) for one, length in zip(own, lengths, strict=True)) or all(one == 1 for one in own):
        return None
    return xp.broadcast_to(argument, (*argument.shape[:-nb], *batch))


def _in_order(fun: Any, order: tuple[int, ...], t: Any, y: Any, *values: Any) -> Any:
    """A function whose further arguments come in another order."""
    return fun(t, y, *[values[k] for k in order])

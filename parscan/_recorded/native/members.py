"""The frame of a solver in machine code: members of an ensemble in lanes, each with its own time and step.

A lane takes the next member when its own has ended, so that lanes do not wait for each other. One problem is an
ensemble of one member in one lane; its components then fill the vectors.

What a method adds is a step and its error. Control of the step: Hairer, Nørsett and Wanner, "Solving Ordinary
Differential Equations I", 2nd edition, Springer 1993, section II.4, with the factors of SciPy's solvers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..graph import INPUT
from ..program import Program
from .driver import Driver, Fields, Module
from .events import Events, most_in_a_step
from .expressions import Array, Value
from .kernel import calls
from .libm import vector_bytes
from .memory import SHARED, UNIT
from .prepared import Prepared
from .routine import Routine, routine
from .status import Status
from .switching import Switching
from .target import is_thread
from .text import Register, UnsupportedError

SAFETY, SLOWEST, FASTEST = 0.9, 0.2, 10.0
"""Safety factor, and the smallest and largest ratio of successive steps."""

LEAST = 10.0
"""The shortest step, in distances of neighbouring numbers at its time."""

UNROLLED = 2
"""Chunks of a state that are written out; more are taken in loops."""

INLINED, MOST_CHUNKS, MOST_PARAMETERS = 30, 4, 16
"""Operations of a right-hand side that is written out in the solver's lines, with all values in registers; chunks of
the state, and numbers in the parameters."""


WIDEST_UNROLLED, LARGEST_INLINED, OF_CALL = 8, 60, 10
"""The same for threads of a device: components that are written out, and operations of a right-hand side, among which a
call of the C library counts as so many. There, loops over components keep these in memory, and so do calls."""

NOTHING, STATES, DENSE = "nothing", "states", "dense"
"""What is logged of accepted steps: nothing; times and states at their ends; polynomials as well."""


@dataclass(frozen=True)
class Form:
    """
    What a solver's code depends on, besides the recorded functions.

    Attributes
    ----------
    lanes : int
        Members at a time.
    shared : tuple of bool
        Of each parameter: whether it is the same for all members.
    log : str
        `NOTHING`, `STATES` or `DENSE`.
    has_times : bool
        Whether values at given times are wanted; without `DENSE` only.
    checks_polynomials : bool
        Whether steps are also limited by the error of the polynomials between their ends, if the method can do that.
    predicts : bool
        Whether DOP853 uses the errors of two steps for the length of the next one; if not, its steps are SciPy's.
    compares : bool
        Whether members after the first one are that problem again, with larger tolerances and from the same state: only
        their ends and values at times are wanted. With one lane, one follows the other, and tolerances grow by the
        factor "looser"; with several, they go on side by side, and the factors are those of members, "tightness".
    has_stretches : bool
        Whether the span is given in stretches, at whose ends steps end: the function jumps there, or has a kink.
    events : int
        Functions whose zeros are looked for, with one lane. Of members that compare, those of the first one, whose end
        is that of the others as well if an event brought it about.
    has_modes : bool
        Whether the last argument of the right-hand side is its modes, which the solver sets; with one lane.
    exits : int
        How many modes, the last ones, end a member when they are positive.
    order : int
        Order of the method, for methods of several orders.
    watches : bool
        Whether the right-hand side gives its modes as well, and members tell whether these have changed in any of the
        steps that they tried; with several lanes.
    """

    lanes: int = 1
    shared: tuple[bool, ...] = ()
    log: str = NOTHING
    has_times: bool = False
    checks_polynomials: bool = False
    predicts: bool = True
    compares: bool = False
    has_stretches: bool = False
    events: int = 0
    has_modes: bool = False
    exits: int = 0
    order: int = 0
    watches: bool = False

    def __post_init__(self) -> None:
        if self.watches and self.lanes == 1:
            raise ValueError("changes of modes are told of members in lanes")
        if self.lanes > 1 and self.events:
            raise ValueError("events are looked for in one lane")
        if self.has_times and self.log == DENSE:
            raise ValueError("values at given times are not written beside polynomials")


@dataclass(frozen=True)
class Facts:
    """
    What Python has to know of a solver.

    Attributes
    ----------
    form : Form
    n : int
        Components of a state.
    dtype : NumPy dtype
        Of states.
    degree : int
        Coefficients of polynomials.
    """

    form: Form
    n: int
    dtype: np.dtype[Any]
    degree: int


class Registers:
    """A row whose chunks are in registers."""

    def __init__(self) -> None:
        self._chunks: dict[int, Value] = {}

    def __getitem__(self, place: Value | int) -> Value:
        assert isinstance(place, int)
        return self._chunks[place]

    def __setitem__(self, place: Value | int, value: Value) -> None:
        assert isinstance(place, int)
        self._chunks[place] = value


Row = Array | Registers

POINTERS = (
    "y0", "t0", "end", "first", "longest", "tightness",  # of members
    "y", "t", "counts", "rates", "changes",  # what becomes of members
    "log members", "log t", "log slopes", "log y", "log coefficients", "times", "values", "stretches", "occurrences",
    "queue",
)  # fmt: skip
"""Arrays outside of the memory, by their addresses and the bytes from member to member (0 where all have the same)."""

COUNTS = "status", "accepted", "rejected", "evaluations"
"""Columns of `counts`."""

STRETCH = "stop", "low", "high"
"""What is given of a stretch: its end, and the limits between which times are clipped for the function."""

NUMBERS = (
    "members", "most", "capacity", "logged", "wanted", "ended", "time count", "valued", "watches", "room", "seen",
)  # fmt: skip
"""Integers: members of the ensemble; most steps of one; rows of the log, and how many are filled; whether a lane wants
another member; members that ended here; times of a member; how many members, the first ones, have times at all; whether
events are looked for; rows for occurrences, and how many are filled."""


class Members(ABC):
    """
    Writes a solver.

    Parameters
    ----------
    programs : sequence of Program
        Recorded functions; the first one is the right-hand side of `t`, `y` and parameters.
    form : Form
    rows : int
        Slopes and other vectors like them that a step works with.
    constants : array
        The method's numbers.
    degree : int
        Coefficients of its polynomials.
    events : sequence of Program
        Functions of the same arguments, without modes, whose zeros are looked for.
    switches : Program, optional
        What is compared, of the same arguments; if the form has modes.
    """

    names: tuple[str, ...] = ("fun",)
    """Of the recorded functions."""
    is_inlined: bool = False
    """Whether small right-hand sides may be written out, with the rows "trial", "end" and "slopes" in registers."""
    tests_stiffness = False
    """Whether members can end as stiff."""
    has_own_polynomials = False
    """Whether `value_at` gives states between the ends of steps, also if slopes at Gauss's nodes are logged."""
    prepares = False
    """Whether members of which only the ends are wanted are prepared together."""
    foresees_steps = False
    """Whether nearly all steps are accepted: the next one is then begun before that is known."""
    power: int
    """The error of a step is proportional to this power of its length."""
    shares_rest = False
    """Whether the last two steps before an end are alike, so that none is far shorter than others."""
    gives_squares = False
    """Whether attempts return squares of errors."""

    def __init__(
        self, programs: Sequence[Program], form: Form, rows: int, constants: Any, degree: int,
        events: Sequence[Program] = (), switches: Program | None = None,
    ) -> None:  # fmt: skip
        program = programs[0]
        self.form, self.program, self.lanes, self.degree = form, program, form.lanes, degree
        self.dtype, self.n = program.arguments[1].dtype, int(np.prod(program.arguments[1].shape))
        if self.dtype.kind != "f" or program.dtypes[0] != self.dtype or program.results[0].size != self.n:
            raise UnsupportedError("has other states than slopes")
        self.is_thread = is_thread()
        """Whether the code is for one thread of a device, which has its memory beside it."""
        width = 1 if self.is_thread else vector_bytes() // self.dtype.itemsize
        self.width = self.lanes if self.lanes > 1 else min(width, 1 << (self.n - 1).bit_length())
        """Numbers of a vector."""
        self.chunks = self.n if self.lanes > 1 else -(-self.n // self.width)
        """Vectors of a state."""
        self._is_beginning = False
        """Whether modes are those with which members begin, in the code that is written now."""
        own = [k for k in range(len(program.arguments) - 2) if self._has_own(k)]
        self.prepared = Prepared(self, own) if self._may_prepare else None
        """How members are prepared together, if they are."""
        self.reads_time = [any(b.operation == INPUT and b.data[0] == 0 for b in p.blocks) for p in programs]
        fields = self._fields(rows)
        if self.prepared is not None:
            self.prepared.extend(fields)
        modes = [UNIT, UNIT, *(SHARED if one else UNIT for one in form.shared)]
        routines = [self._routine(name, one, modes) for name, one in zip(self.names, programs, strict=True)]
        is_dense = form.log == DENSE and not self.has_own_polynomials
        self.events = Events(self, events, is_dense=is_dense) if events else None
        if self.events is not None:
            self.events.extend(fields)
            routines += self.events.routines()
        self.switching: Switching | None = None
        if switches is not None:
            self.switching = Switching(self, switches, is_dense=form.log == DENSE, exits=form.exits)
            self.switching.extend(fields)
            routines += self.switching.routines()
        routines += self.extend(fields)
        # a lane takes a new member every few steps
        self.module = Module(constants, routines, fields, is_brief=self.lanes == 1 and not self.is_thread)
        self.code = self.module.code
        self.fields = fields
        sizes = [int(np.prod(one.shape)) for one in program.arguments[2:]]
        is_small = self._is_brief(program) and self.chunks <= MOST_CHUNKS and sum(sizes) <= MOST_PARAMETERS
        self._inline = self.module.inline(program, self.lanes) if is_small and self.is_inlined else None
        self._registers: dict[tuple[str, int], Registers] | None = None
        """Rows in registers, in code that holds them there."""
        self._parameters: dict[str, list[list[Register]]] = {}

    def _routine(self, name: str, program: Program, modes: list[str]) -> Routine:
        given = modes + [UNIT] * len(program.results) if self.lanes > 1 else ()
        return routine(name, program, self.lanes, given)

    def _fields(self, rows: int) -> Fields:
        fields, lanes, dtype = Fields(), self.lanes, self.dtype
        for name in ("now", "step", "goal", "direction", "limit", "tightness", "next"):
            fields.add(name, np.float64, 1, lanes)
        for name in ("begin", "length", "finish") if self.form.has_times else ():
            fields.add(name, np.float64, 1, lanes)
        for name in STRETCH if self.form.has_stretches else ():
            fields.add(name, np.float64, 1, lanes)
        for name in ("modes", "modes before", "changed") if self.form.watches else ():
            fields.add(name, np.int64 if name == "changed" else np.float64, self.program.results[1].size, lanes)
        for name in ("stretch", "crosses") if self.form.has_stretches else ():
            fields.add(name, np.int64, 1, lanes)
        for name in ("member", "active", "fresh", "given", "shrunk", "finite", "accepts", "place", *COUNTS, "stiff",
                     "others"):  # fmt: skip
            fields.add(name, np.int64, 1, lanes)
        if self._loosens:
            fields.add("looser", np.float64, 1)
        fields.add("numbers", np.int64, len(NUMBERS))
        fields.add("pointers", np.int64, len(POINTERS) + len(self.program.arguments) - 2, 2)
        fields.add("parameters", np.int64, max(len(self.program.arguments) - 2, 1))
        fields.add("time", self.program.arguments[0].dtype, 1, lanes)
        for name in ("tolerances", "limits"):  # relative and absolute
            fields.add(name, dtype, self.chunks, 1 if lanes > 1 else self.width)
        fields.add("state", dtype, self.chunks, self.width)
        fields.add("end", dtype, self.chunks, self.width)
        fields.add("trial", dtype, self.chunks, self.width)
        if self._retreats:
            fields.add("safe", dtype, self.chunks, self.width)
            fields.add("safe now", np.float64, 1, lanes)
        fields.add("slopes", dtype, rows, self.chunks, self.width)
        if self.form.log == DENSE or self.form.has_times or self.form.events or self.form.has_modes:
            fields.add("coefficients", dtype, self.degree, self.chunks, self.width)
        for k, argument in enumerate(self.program.arguments[2:]):
            if self._has_own(k):
                fields.add(f"parameter {k}", argument.dtype, int(np.prod(argument.shape)), lanes)
        return fields

    def _is_brief(self, program: Program) -> bool:
        """Whether a right-hand side is written out in the solver's lines."""
        if not self.is_thread:
            return program.operations <= INLINED
        return program.operations + (OF_CALL - 1) * calls(program) <= LARGEST_INLINED

    def _has_own(self, parameter: int) -> bool:
        """Whether the numbers of members in a parameter are copied to the memory of their lanes."""
        return (self.lanes > 1 or self.is_thread) and not self.form.shared[parameter]

    @property
    def _may_prepare(self) -> bool:
        """Whether members are prepared together: those of which nothing is wanted but their ends."""
        form = self.form
        asks = form.has_times or form.has_stretches or form.compares or form.watches or form.log != NOTHING
        return self.prepares and self.lanes > 1 and not asks

    @property
    def _retreats(self) -> bool:
        """
        Whether stiff members end where they began to look stiff, if nothing logs their steps.

        Polynomials are bad at the limit of stability: another method has to give the values at times from there on.
        """
        return self.tests_stiffness and self.form.has_times and self.form.log == NOTHING

    def extend(self, fields: Fields) -> list[Routine]:
        """Add memory that a method needs besides; return functions that it calls besides."""
        return []

    # What a method gives

    def start(self, is_fresh: Value) -> None:
        """Write what is done when members begin, besides."""
        return

    def prepare(self, begin: Value) -> None:
        """Write what is done before the length of a step is known."""
        return

    @abstractmethod
    def attempt(self, t: Value, h: Value) -> Value:
        """Write a step from `t` of length `h`, to the row "end"; return the error in tolerances, or its square."""

    last: int
    """Row of the slope at the end of a step."""
    per_attempt: int
    per_step: int
    per_polynomial: int
    """Evaluations of an attempt, further ones of a step that is taken, and those of its polynomial."""

    @abstractmethod
    def complete(self, accepts: Value, t: Value, h: Value) -> None:
        """Write what an accepted step to `t` needs, before the state changes: its last slope is the next first one."""

    def in_tolerances(self, error: Value) -> Value:
        """The error of an attempt, or its square, with the tolerances of each lane."""
        tightness = self.lane("tightness")[0]
        return error.to(np.float64) * (tightness * tightness if self.gives_squares else tightness)

    def factor(self, error: Value, accepts: Value, h: Value) -> Value:
        """The next step divided by this one, before limits."""
        for _ in range(self.power.bit_length() - 1):  # the power is a power of two
            error = self.code.sqrt(error)
        return SAFETY / error

    def is_stiff(self, accepts: Value, h: Value) -> Value:
        """Whether an accepted step shows that the problem is stiff."""
        return self.code.number(False, bool, self.lanes)

    @abstractmethod
    def coefficients(self, t: Value, h: Value) -> None:
        """Write the polynomials of accepted steps, which began at `t`."""

    # Memory

    def lane(self, name: str) -> Array:
        """A field with a number per lane."""
        return self.fields.array(self.code, self._field_of(name), self.lanes)

    def _field_of(self, name: str, number: int = 0) -> str:
        """The field that has something of members: that of those which are prepared, while their code is written."""
        return name if self.prepared is None else self.prepared.name(name, number)

    def row(self, name: str, number: int = 0) -> Row:
        """A state, or something like it, in chunks: in registers, if it may be there."""
        if self._registers is None or name not in ("state", "trial", "end", "slopes"):
            return self.rows(name, number)
        return self._registers.setdefault((name, number), Registers())

    def rows(self, name: str, number: int = 0) -> Array:
        """A row that is in memory, and those behind it."""
        return self.fields.array(self.code, self._field_of(name, number), self.width).after(number * self.chunks)

    def number(self, name: str) -> Array:
        """An integer of the driver."""
        return self.fields.array(self.code, "numbers").after(NUMBERS.index(name))

    def tolerance(self, name: str, chunk: Value | int) -> Value:
        """Relative or absolute tolerances of a chunk."""
        return self.fields.array(self.code, name, 1 if self.lanes > 1 else self.width)[chunk]

    def pointer(self, name: str, member: Value, size: int = 0) -> Register:
        """Pointer to the part of an array that belongs to a member, or to its item, if items have a size."""
        place = POINTERS.index(name) if name in POINTERS else len(POINTERS) + int(name)
        pointers = self.fields.array(self.code, "pointers")
        base = self.code.load_pointer(pointers.at(2 * place))
        if size:
            return self.code.offset(base, member, size)
        return self.code.offset(base, member * pointers[2 * place + 1], 1)

    def recent(self, row: Row, chunk: Value | int) -> Value:
        """A chunk that a recorded function wrote just now: read number by number, as it was written."""
        if isinstance(row, Registers) or self.lanes > 1 or self.chunks > 1 or self.width == 1:
            return row[chunk]
        numbers, zero = row.of(1), self.code.number(0.0, self.dtype)
        return self.code.joined([numbers[k] if k < self.n else zero for k in range(self.width)])

    @property
    def unrolls(self) -> bool:
        """Whether chunks are written out one by one."""
        most = WIDEST_UNROLLED if self.is_thread else UNROLLED
        return self._registers is not None or self.chunks <= most

    def chunkwise(self, write: Any) -> None:
        """Write something for every chunk of a state."""
        if self.unrolls:
            for k in range(self.chunks):
                write(k)
        else:
            with self.code.for_(self.chunks) as chunk:
                write(chunk)

    def sums(self, count: int, terms: Any) -> list[Value]:
        """Sums over the components of a state, per lane, of some terms of a chunk."""
        zero = self.code.number(0.0, self.dtype, self.width)
        if self.unrolls:
            totals = [zero] * count
            for k in range(self.chunks):
                totals = terms(k, totals)
        else:
            kept = [self.code.variable(zero) for _ in range(count)]
            with self.code.for_(self.chunks) as chunk:
                for one, total in zip(kept, terms(chunk, [one.get() for one in kept]), strict=True):
                    one.set(total)
            totals = [one.get() for one in kept]
        return totals if self.lanes > 1 else [self.code.sum(one) for one in totals]

    def wide(self, value: Value) -> Value:
        """A number per lane, as wide as chunks and in the dtype of states."""
        return value.to(self.dtype).wide(self.width)

    def scale(self, chunk: Value | int, size: Value) -> Value:
        """One over the tolerance of components of some size."""
        code = self.code
        return 1.0 / code.fma(size, self.tolerance("tolerances", chunk), self.tolerance("limits", chunk))

    def evaluate(self, t: Value, state: Row, *results: Row, function: int = 0) -> None:
        """Call a recorded function, or write it out."""
        if isinstance(results[0], Registers):
            self._write_out(t, state, results[0])
            return
        assert isinstance(state, Array)
        time = self.lane("time")
        if self.reads_time[function]:
            time[0] = self.time(t)
        pointers = [time.pointer, state.pointer]
        for k in range(len(self.program.arguments) - 2):
            if self._has_own(k):
                pointers.append(self.fields.array(self.code, self._field_of(f"parameter {k}")).pointer)
            else:
                parameters = self.fields.array(self.code, "parameters")
                pointers.append(self.code.load_pointer(parameters.at(k)))
        written = [one.pointer for one in results if isinstance(one, Array)]
        if function or not (self._notes_switches or self.form.watches):
            self.module.call(self.names[function], *pointers, *written)
            return
        seen = self.lane("modes") if self.switching is None else self.switching.own("seen")
        self.module.call(self.names[function], *pointers, *written, seen.pointer)
        self._note([seen[k] for k in range(self.program.results[1].size)])

    def _note(self, seen: list[Value]) -> None:
        """Note what is compared in the right-hand side, or its modes."""
        if self.switching is not None:
            self.switching.note(seen)
        elif not self._is_beginning:
            before, changed = self.lane("modes before"), self.lane("changed")
            for k, one in enumerate(seen):
                changed[0] = changed[0] | one.differs(before[k]).to(np.int64)

    @property
    def _notes_switches(self) -> bool:
        """Whether the right-hand side gives what is compared as well."""
        return self.switching is not None and len(self.program.results) > 1

    def time(self, t: Value) -> Value:
        """The time for a recorded function: not beyond the limits of the stretch."""
        if self.form.has_stretches:
            low, high = (self.lane(name)[0].wide(t.width) for name in STRETCH[1:])
            t = self.code.maximum(self.code.minimum(t, high), low)
        return t.to(self.program.arguments[0].dtype)

    def _write_out(self, t: Value, state: Row, result: Registers) -> None:
        """Evaluate the right-hand side in registers."""
        assert self._inline is not None
        time = self.time(t).register if self.reads_time[0] else ""
        if self.lanes > 1:
            components = [state[k] for k in range(self.n)]
        else:
            components = [state[k // self.width].element(k % self.width) for k in range(self.n)]
        given = [one.register for one in components]
        values, *others = self._inline([time], given, *self._parameter_values())
        if others:
            self._note([Value(self.code, one, np.dtype(np.float64), self.lanes) for one in others[0]])
        found = [Value(self.code, one, self.dtype, self.lanes) for one in values]
        if self.lanes == 1:
            found += [self.code.number(0.0, self.dtype)] * (self.chunks * self.width - self.n)
            firsts = range(0, len(found), self.width)
            found = [self.code.joined(found[first : first + self.width]) for first in firsts]
        for k, one in enumerate(found):
            result[k] = one

    def _parameter_values(self) -> list[list[Register]]:
        """Parameters in registers, loaded once in each block of lines."""
        code, label = self.code, self.code.text.label
        if label not in self._parameters:
            found = self._parameters[label] = []
            for k, argument in enumerate(self.program.arguments[2:]):
                size = int(np.prod(argument.shape))
                if self._has_own(k):
                    values = self.fields.array(code, f"parameter {k}", self.lanes)
                else:
                    pointer = code.load_pointer(self.fields.array(code, "parameters").at(k))
                    values = code.array(pointer, argument.dtype)
                found.append([values[i].wide(self.lanes).register for i in range(size)])
        return self._parameters[label]

    # The solver

    @property
    def facts(self) -> Facts:
        """What Python has to know."""
        return Facts(self.form, self.n, self.dtype, self.degree)

    def driver(self) -> Driver:
        """Write all of it."""
        code, active, wanted = self.code, self.lane("active"), self.number("wanted")
        left = code.variable(code.argument("steps"))

        def goes_on() -> Value:
            some = code.any(active[0].differs(0)) | wanted[0].differs(0)
            room = self.number("logged")[0] + self.lanes <= self.number("capacity")[0]
            if self.events is not None:
                room = room & (self.number("seen")[0] + most_in_a_step(self.form.events) <= self.number("room")[0])
            return some & (left.get() > 0) & room

        with code.while_(goes_on):
            with code.if_(wanted[0].differs(0)), self.module.function("begin"):
                self._take()
                if self.prepared is None:
                    self._begin()
            with code.if_(code.any(active[0].differs(0))):
                if self._inline:
                    self._begin_registers()
                self._step()
                self._registers = None
            left.set(left.get() - 1)
        return self.module.driver()

    def _begin_registers(self) -> None:
        """Hold rows in registers from now on: the state and the first slope, as they are, and what comes from them."""
        self._registers = {}
        for name in ("state", "slopes"):
            held, kept = self.row(name), self.rows(name)
            self.chunkwise(lambda k, held=held, kept=kept: held.__setitem__(k, kept[k]))

    def _take(self) -> None:
        """Give members to the lanes that have none."""
        code = self.code
        active = self.lane("active").of(1)
        self.number("wanted")[0] = 0
        with code.for_(self.lanes) as lane, code.if_(active[lane].equals(0)):
            if self.prepared is not None:
                self.prepared.take(lane)
                return
            queue = self.pointer("queue", code.number(0, np.int64))
            member = code.assigned(f"atomicrmw add ptr {queue}, i64 1 monotonic", np.dtype(np.int64), 1)
            with code.if_(member < self.number("members")[0]):
                self.reset(lane, {})
                self.load(lane, member)

    def reset(self, lane: Value, values: dict[str, Any]) -> None:
        """What lanes begin with besides what they are given, and other values of some of that."""
        usual = {"active": 1, "fresh": 1, "finite": 1}
        usual |= dict.fromkeys(("shrunk", "place", "stiff", "others", *COUNTS), 0)
        for name, value in (usual | values).items():
            self.lane(name).of(1)[lane] = value

    def load(self, lane: Value, member: Value) -> None:
        """Give a member to a lane."""
        code, dtype = self.code, self.dtype
        begin, goal, first, longest, tightness = (
            code.array(self.pointer(name, member), np.float64)[0]
            for name in ("t0", "end", "first", "longest", "tightness")
        )
        if self.events is not None:
            goal = self.events.goal(goal, member)
            self.events.load()
        values: dict[str, Any] = {
            "now": begin, "goal": goal, "limit": longest, "tightness": tightness, "step": first, "member": member,
            "direction": code.where(goal < begin, -1.0, code.number(1.0)), "given": (first > 0).to(np.int64),
        }  # fmt: skip
        for name, value in values.items():
            self.lane(name).of(1)[lane] = value
        if self.form.has_stretches:
            self.lane("stretch").of(1)[lane] = 0
            self._enter_stretch(lane)
        if self.form.has_times:
            self._first_time(lane)
        given, state = code.array(self.pointer("y0", member), dtype), self.rows("state").of(1)
        with code.for_(self.n) as k:
            state[k * self.lanes + lane] = given[k]
        if self._loosens:
            with code.if_(member.differs(0)):
                self._loosen()
        if self.switching is not None:
            self.switching.load()
        for number, argument in enumerate(self.program.arguments[2:]):
            pointer = self.pointer(str(number), member)
            if self.switching is not None and number == len(self.program.arguments) - 3:
                pointer = self.switching.pointer
            if not self._has_own(number):
                place = self.fields.array(code, "parameters").at(number)
                code.text.do(f"store ptr {pointer}, ptr {place}")
                continue
            source = code.array(pointer, argument.dtype)
            target = self.fields.array(code, self._field_of(f"parameter {number}"))
            with code.for_(int(np.prod(argument.shape))) as k:
                target[k * self.lanes + lane] = source[k]

    @property
    def _loosens(self) -> bool:
        """Whether tolerances change from member to member; those of lanes differ by a factor on their errors."""
        return self.form.compares and self.lanes == 1

    def _loosen(self) -> None:
        """Larger tolerances."""
        looser = self.fields.array(self.code, "looser")[0].to(self.dtype)
        for name in ("tolerances", "limits"):
            numbers = self.fields.array(self.code, name)
            with self.code.for_(self.n) as k:
                numbers[k] = numbers[k] * looser

    def _is_read(self, condition: Value) -> Value:
        """Of the lanes in which a condition holds, those of whose members more is wanted than the end."""
        return condition & self.lane("member")[0].equals(0) if self.form.compares else condition

    def _is_watched(self, condition: Value) -> Value:
        """Whether events are looked for in the member, and a condition holds."""
        return self._is_read(condition) & self.number("watches")[0].differs(0)

    def begin_prepared(self) -> None:
        """First slopes and first steps of members that are prepared together."""
        code, t, first, h = self.code, self.lane("now")[0], self.rows("slopes"), self.lane("step")
        self.evaluate(t, self.rows("state"), first)
        chooses = self.lane("given")[0].equals(0)
        with code.if_(code.any(chooses)):
            h[0] = code.where(chooses, self.first_step(t), h[0])

    def _begin(self) -> None:
        """First slopes and first steps of members that are new (Hairer, Nørsett and Wanner 1993, section II.4)."""
        code, fresh, h = self.code, self.lane("fresh"), self.lane("step")
        is_fresh = fresh[0].differs(0)
        with code.if_(code.any(is_fresh)):
            t, first, other = self.lane("now")[0], self.row("slopes"), self.row("slopes", 1)
            if self.switching is not None:
                self.switching.settle(t, self.rows("state"))
            self._is_beginning = True
            self.evaluate(t, self.row("state"), other)
            if self.form.watches:
                self._begin_modes(is_fresh)
            self.chunkwise(lambda k: first.__setitem__(k, code.where(is_fresh.wide(self.width), other[k], first[k])))
            self._count(is_fresh, "evaluations")
            if self.events is not None:
                with code.if_(self._is_watched(is_fresh)):
                    self.events.begin()
            chooses = is_fresh & self.lane("given")[0].equals(0)
            with code.if_(code.any(chooses)):
                h[0] = code.where(chooses, self.first_step(t), h[0])
                self._count(chooses, "evaluations")
            self._is_beginning = False
            self.start(is_fresh)
            fresh[0] = 0

    def _begin_modes(self, is_fresh: Value) -> None:
        """New members have the modes of their initial states."""
        code, modes, before, changed = self.code, self.lane("modes"), self.lane("modes before"), self.lane("changed")
        for k in range(self.program.results[1].size):
            before[k] = code.where(is_fresh, modes[k], before[k])
        changed[0] = code.where(is_fresh, 0, changed[0])

    def first_step(self, t: Value) -> Value:
        code, state, first, other = self.code, self.row("state"), self.row("slopes"), self.row("slopes", 1)
        goal, direction = self.lane("goal")[0], self.lane("direction")[0]
        longest = code.minimum(code.abs(goal - t), self.lane("limit")[0])

        def sizes(k: Any, totals: list[Value]) -> list[Value]:
            y, scale = state[k], self.scale(k, code.abs(state[k]))
            return [_square(y * scale, totals[0]), _square(first[k] * scale, totals[1])]

        def change(k: Any, totals: list[Value]) -> list[Value]:
            return [_square((other[k] - first[k]) * self.scale(k, code.abs(state[k])), totals[0])]

        tightness = self.lane("tightness")[0]
        size, rate = (code.sqrt(one / self.n).to(np.float64) * tightness for one in self.sums(2, sizes))
        h = code.where((size < 1e-5) | (rate < 1e-5), 1e-6, 0.01 * size / rate)
        h = code.minimum(h, longest)
        length, trial = self.wide(direction * h), self.row("trial")
        self.chunkwise(lambda k: trial.__setitem__(k, code.fma(length, first[k], state[k])))
        self.evaluate(t + direction * h, trial, other)
        slower = code.sqrt(self.sums(1, change)[0] / self.n).to(np.float64) * tightness
        largest = code.maximum(rate, slower / h)
        wanted = code.pow(0.01 / largest, 1 / self.power)
        wanted = code.where(largest <= 1e-15, code.maximum(h * 1e-3, 1e-6), wanted)
        return code.minimum(code.minimum(100 * h, wanted), longest)

    def _step(self) -> None:
        """One attempt in every lane, and what follows from it."""
        code = self.code
        t, goal, direction, step = (self.lane(name) for name in ("now", "goal", "direction", "step"))
        shrunk, finite, is_active = self.lane("shrunk"), self.lane("finite"), self.lane("active")[0].differs(0)
        begin, was_shrunk = t[0], shrunk[0].differs(0)
        self.prepare(begin)
        least = code.maximum(LEAST * np.finfo(np.float64).eps * code.abs(begin), 1e-300)
        size = code.minimum(step[0], self.lane("limit")[0])
        fails = (size < least) & was_shrunk
        size = code.maximum(size, least)
        until, wanted = goal[0], size
        if self.form.has_stretches:
            until = self.lane("stop")[0]
            if self.events is not None:  # which may have ended the member that this one is compared with
                until = code.where((until - goal[0]) * direction[0] > 0, goal[0], until)
        if self.form.has_stretches or self.shares_rest:
            apart = code.abs(until - begin)  # no short step goes before the end of a stretch
            size = code.where((size < apart) & (2.0 * size > apart), 0.5 * apart, size)
        end = code.fma(direction[0], size, begin)
        end = code.where(direction[0] > 0, code.minimum(end, until), code.maximum(end, until))
        h = end - begin
        error = self.in_tolerances(self.attempt(begin, h))
        accepts = is_active & (error < 1.0) & ~fails
        fastest = code.where(was_shrunk, 1.0, code.number(FASTEST, width=self.lanes))
        factor = code.minimum(code.maximum(self.factor(error, accepts, h), SLOWEST), fastest)
        step[0] = code.abs(h) * factor
        if self.form.has_stretches:
            step[0] = code.where(accepts & end.equals(until), code.maximum(step[0], wanted), step[0])
        shrunk[0] = (~accepts).to(np.int64)
        reasons = [(fails, Status.STEP_TOO_SMALL), (fails & finite[0].equals(0), Status.NOT_FINITE)]
        finite[0] = code.is_finite(error).to(np.int64)
        self._count(is_active & ~accepts, "rejected")
        with code.if_(code.any(accepts)):
            self._accept(accepts, begin, end, h)
        if self.switching is not None:  # it may have ended the step before
            end = code.where(accepts, t[0], end)
            reasons += [(self.switching.is_stuck, Status.SLIDES), (self.switching.has_left, Status.LEAVES)]
        if self.form.has_stretches:
            crosses = accepts & end.equals(until) & end.differs(goal[0])
            with code.if_(code.any(crosses)):
                self.lane("crosses")[0] = crosses.to(np.int64)
                with self.module.function("cross"):
                    self._cross()
        reasons += [(self.lane("stiff")[0] < 0, Status.STIFF), (accepts & end.equals(goal[0]), Status.FINISHED)]
        self._conclude(is_active, reasons)

    def _conclude(self, is_active: Value, reasons: Sequence[tuple[Value, Status]]) -> None:
        """End the members for which there is a reason: the later ones outweigh those before."""
        code, taken = self.code, self.lane("accepted")[0] + self.lane("rejected")[0]
        status = code.where(
            taken >= self.number("most")[0], int(Status.TOO_MANY_STEPS), code.number(0, np.int64, self.lanes)
        )
        for condition, reason in reasons:
            status = code.where(condition, int(reason), status)
        if self.events is not None:
            status = code.where(self.events.goes_on, status, self.events.reason)
        status = code.where(is_active, status, 0)
        with code.if_(code.any(status.differs(0))):
            self.lane("status")[0] = status
            with self.module.function("leave"):
                self._leave()

    def _accept(self, accepts: Value, begin: Value, end: Value, h: Value) -> None:
        code, old = self.code, [self.row("state"), self.row("slopes")]
        self.complete(accepts, end, h)
        self._count(accepts, "accepted")
        stiff = self.lane("stiff")
        was_calm = accepts & stiff[0].equals(0)
        stiff[0] = code.where(accepts & self.is_stiff(accepts, h), -1, stiff[0])
        is_read = self._is_read(accepts)
        if self._retreats:
            self._note_safe(was_calm & stiff[0].differs(0), begin)
        if self.form.log == DENSE:
            with code.if_(code.any(is_read)):
                self._count(is_read, "evaluations", self.per_polynomial)
                self.coefficients(begin, h)
        whole, share = end, None
        if self.switching is not None:
            end, share = self._end_in_mode(accepts, begin, end, h)
        if self.events is not None:
            with code.if_(self._is_watched(accepts)):
                self._count(is_read, "evaluations", self.per_polynomial)
                self.coefficients(begin, h)
                self.events.look(begin, whole, h, share)
            end = code.where(self.events.goes_on, end, self.events.end)
            if self.has_own_polynomials and self.form.log == DENSE:
                with code.if_(~self.events.goes_on):
                    self.coefficients(begin, end - begin)
        if self.form.has_times:
            due = accepts & ((self.lane("next")[0] - end) * self.lane("direction")[0] <= 0)
            with code.if_(code.any(due)):
                self._count(due, "evaluations", self.per_polynomial)
                self.coefficients(begin, h)
                self._write_values(due, begin, end, h)
        self._keep(accepts, begin, end, old)
        if self.switching is not None:
            with code.if_(self.switching.crossed & accepts), self.module.function("change_modes"):
                self._change_modes()
        if self.form.log != NOTHING:
            self._log(is_read)

    def _keep(self, accepts: Value, begin: Value, end: Value, old: list[Row]) -> None:
        """The state at the end of a step that was accepted, and the slope there."""
        code, state, slope, now = self.code, self.rows("state"), self.rows("slopes"), self.lane("now")
        new, last, chosen = self.row("end"), self.row("slopes", self.last), accepts.wide(self.width)

        def keep(k: Any, *, every: bool = self.lanes == 1) -> None:
            one, other = new[k], self.recent(last, k)
            if self.events is not None:
                one, other = self.events.ended(k, one, other)
            for target, value, before in zip((state, slope), (one, other), old, strict=True):
                target[k] = value if every else code.where(chosen, value, before[k])

        if self.foresees_steps and self.lanes > 1:
            branch = code.if_(code.all(accepts | self.lane("active")[0].equals(0)))
            with branch as other:
                self.chunkwise(partial(keep, every=True))
                now[0] = end
            with code.else_(other):
                self.chunkwise(keep)
                now[0] = code.where(accepts, end, begin)
        else:
            self.chunkwise(keep)
            now[0] = code.where(accepts, end, begin)

    def _end_in_mode(self, accepts: Value, begin: Value, end: Value, h: Value) -> tuple[Value, Value]:
        """End a step where a comparison changes, in the row "end", too; return the time, and the share of the step."""
        code, new, switching = self.code, self.row("end"), self.switching
        assert switching is not None
        branch = code.if_(self.may_change_mode())
        with branch as other:
            self._count(accepts, "evaluations", self.per_polynomial)
            self.coefficients(begin, h)
            switching.look(begin, end, h)
        with code.else_(other):
            switching.pass_by()
        self.chunkwise(lambda k: new.__setitem__(k, switching.reached(k, new[k])))
        return code.where(switching.crossed, switching.until, end), switching.share

    def may_change_mode(self) -> Value:
        """Whether a comparison may change in the step."""
        return self.code.number(True, bool)

    def _change_modes(self) -> None:
        """Go on in other modes, with the slope there."""
        switching, begins = self.switching, self.code.number(True, bool)
        assert switching is not None
        if self.form.log == DENSE:
            goes_on = begins if self.events is None else self.events.goes_on
            with self.code.if_(goes_on):
                switching.shorten()
        switching.settle(self.lane("now")[0], self.rows("state"))
        self.renew(begins)
        self.restart()
        self._count(begins, "evaluations")

    def restart(self) -> None:
        """Forget the last step, which was in another mode."""
        return

    def _note_safe(self, condition: Value, begin: Value) -> None:
        """Note the begin of a step in lanes, before the state changes."""
        code, safe, now, state = self.code, self.rows("safe"), self.lane("safe now"), self.rows("state")
        chosen = condition.wide(self.width)
        with code.if_(code.any(condition)):
            self.chunkwise(lambda k: safe.__setitem__(k, code.where(chosen, state[k], safe[k])))
            now[0] = code.where(condition, begin, now[0])

    def _enter_stretch(self, lane: Value) -> None:
        """Load the end and the limits of a stretch."""
        code, number = self.code, self.lane("stretch").of(1)[lane]
        given = code.array(self.pointer("stretches", self.lane("member").of(1)[lane]), np.float64)
        for k, name in enumerate(STRETCH):
            self.lane(name).of(1)[lane] = given[number * len(STRETCH) + k]

    def _cross(self) -> None:
        """Go on to the next stretch in some lanes, with the slope there."""
        code, number = self.code, self.lane("stretch").of(1)
        with code.for_(self.lanes) as lane, code.if_(self.lane("crosses").of(1)[lane].differs(0)):
            number[lane] = number[lane] + 1
            self._enter_stretch(lane)
        crosses = self.lane("crosses")[0].differs(0)
        if self.switching is not None:
            self.switching.settle(self.lane("now")[0], self.rows("state"))
        self.renew(crosses)
        self._count(crosses, "evaluations")

    def renew(self, some: Value) -> None:
        """Evaluate the first slope anew, in some lanes."""
        first, other = self.rows("slopes"), self.rows("slopes", 1)
        self.evaluate(self.lane("now")[0], self.rows("state"), other)
        self.chunkwise(lambda k: first.__setitem__(k, self.code.where(some.wide(self.width), other[k], first[k])))

    def _count(self, condition: Value, name: str, times: int = 1) -> None:
        counts = self.lane(name)
        counts[0] = counts[0] + condition.to(np.int64) * times

    @contextmanager
    def _each_lane(self, condition: Value) -> Iterator[Value]:
        """A loop over the lanes in which a condition holds."""
        code, flags = self.code, self.lane("accepts")
        flags[0] = condition.to(np.int64)
        with code.for_(self.lanes) as lane, code.if_(flags.of(1)[lane].differs(0)):
            yield lane

    def _leave(self) -> None:
        """Write what became of members that ended."""
        code, status = self.code, self.lane("status")
        with self._each_lane(status[0].differs(0)) as lane:
            member = self.lane("member").of(1)[lane]
            if self._retreats:
                with code.if_(status.of(1)[lane].equals(int(Status.STIFF))):
                    self._go_back(lane)
            code.array(self.pointer("t", member), np.float64)[0] = self.lane("now").of(1)[lane]
            accepted, rejected, evaluations = (self.lane(name).of(1)[lane] for name in COUNTS[1:])
            evaluations = evaluations + (accepted + rejected) * self.per_attempt + accepted * self.per_step
            counts = code.array(self.pointer("counts", member), np.int64)
            for number, value in enumerate((status.of(1)[lane], accepted, rejected, evaluations)):
                counts[number] = value
            target, state = code.array(self.pointer("y", member), self.dtype), self.rows("state").of(1)
            with code.for_(self.n) as k:
                target[k] = state[k * self.lanes + lane]
            if self.lanes > 1:
                self._copy_out(self.pointer("rates", member), self.rows("slopes"), lane)
            if self.form.watches:
                code.array(self.pointer("changes", member), np.int64)[0] = self.lane("changed").of(1)[lane]
            for name in ("active", "status"):
                self.lane(name).of(1)[lane] = 0
            ended, wanted = self.number("ended"), self.number("wanted")
            ended[0], wanted[0] = ended[0] + 1, 1

    def _go_back(self, lane: Value) -> None:
        """Return to the last safe state."""
        self.lane("now").of(1)[lane] = self.lane("safe now").of(1)[lane]
        safe, state = self.rows("safe").of(1), self.rows("state").of(1)
        with self.code.for_(self.n) as k:
            state[k * self.lanes + lane] = safe[k * self.lanes + lane]

    # Output

    def _log(self, accepts: Value) -> None:
        """Append accepted steps to the log."""
        code, logged, n, size = self.code, self.number("logged"), self.n, self.dtype.itemsize
        with self._each_lane(accepts) as lane:
            row = logged[0]
            code.array(self.pointer("log members", row, 8), np.int64)[0] = self.lane("member").of(1)[lane]
            code.array(self.pointer("log t", row, 8), np.float64)[0] = self.lane("now").of(1)[lane]
            self._copy_out(self.pointer("log slopes", row, n * size), self.rows("slopes"), lane)
            self._copy_out(self.pointer("log y", row, n * size), self.rows("state"), lane)
            if self.form.log == DENSE:
                pointer = self.pointer("log coefficients", row, self.degree * n * size)
                for number in range(self.degree):
                    self._copy_out(code.pointer(pointer, number * n * size), self.rows("coefficients", number), lane)
            logged[0] = row + 1

    def _copy_out(self, pointer: Register, row: Array, lane: Value) -> None:
        """Write a state of a lane. With one lane, whole vectors are written: some numbers more, in ascending order."""
        code = self.code
        if self.lanes == 1:
            target = code.array(pointer, self.dtype, self.width)
            self.chunkwise(lambda k: target.__setitem__(k, row[k]))
            return
        scalars, numbers = code.array(pointer, self.dtype), row.of(1)
        with code.for_(self.n) as k:
            scalars[k] = numbers[k * self.lanes + lane]

    def _first_time(self, lane: Value) -> None:
        """Pass over times before the begin: those of a member that another solver has left."""
        begin, direction = self.lane("now").of(1)[lane], self.lane("direction").of(1)[lane]
        place, following = self.lane("place").of(1), self.lane("next").of(1)
        self._next_time(lane)
        with self.code.while_(lambda: (following[lane] - begin) * direction < 0):
            place[lane] = place[lane] + 1
            self._next_time(lane)

    def _next_time(self, lane: Value) -> None:
        """Note the next time at which a value is wanted."""
        code, place = self.code, self.lane("place").of(1)[lane]
        member, following = self.lane("member").of(1)[lane], self.lane("next").of(1)
        following[lane] = self.lane("direction").of(1)[lane] * np.inf
        with code.if_((place < self.number("time count")[0]) & (member < self.number("valued")[0])):
            following[lane] = code.array(self.pointer("times", member), np.float64)[place]

    def _write_values(self, due: Value, begin: Value, end: Value, h: Value) -> None:
        """Values at the times that lie in the step."""
        code, following, place = self.code, self.lane("next").of(1), self.lane("place").of(1)
        fields = ("begin", "length", "finish")
        for name, value in zip(fields, (begin, h, end), strict=True):
            self.lane(name)[0] = value
        begins, lengths, ends = (self.lane(name).of(1) for name in fields)
        direction = self.lane("direction").of(1)
        with self._each_lane(due) as lane, code.while_(
            lambda: (following[lane] - ends[lane]) * direction[lane] <= 0
        ):  # fmt: skip
            passed = following[lane] - begins[lane]
            theta = code.where(passed.equals(0.0), 0.0, passed / lengths[lane]).to(self.dtype)  # also if both are 0
            target = code.array(self.pointer("values", self.lane("member").of(1)[lane]), self.dtype)
            target = target.after(place[lane] * self.n)
            with code.for_(self.n) as k:
                target[k] = self.value_at(theta, k * self.lanes + lane)
            place[lane] = place[lane] + 1
            self._next_time(lane)

    @abstractmethod
    def value_at(self, theta: Value, place: Value) -> Value:
        """The value of a polynomial at a share of the step; `place` is that of the component and the lane in a row."""


def _square(value: Value, total: Value) -> Value:
    return value.code.fma(value, value, total)

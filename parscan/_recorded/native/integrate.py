"""Compiled solvers of ODEs: what Python gives them, and what it gets from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, prod
from typing import Any, NamedTuple

import numpy as np

from ..._arrays.threads import run_all
from ..budget import OF_SOLVER, SOLVER, pay
from ..program import Argument, Program
from .driver import Driver, Machine
from .events import NUMBERS as OF_OCCURRENCE
from .events import most_in_a_step
from .kept_drivers import driver
from .layout import address, own_address, where
from .members import COUNTS, DENSE, NOTHING, NUMBERS, POINTERS, STRETCH, Facts, Members
from .status import Status

FLOAT, WHOLE = np.dtype(np.float64), np.dtype(np.int64)

MEMBERS, MOST, CAPACITY, LOGGED, WANTED, ENDED, TIME_COUNT, VALUED, WATCHES, ROOM, SEEN = range(len(NUMBERS))
LOG, TIMES, STRETCHES, OCCURRENCES = map(POINTERS.index, ("log members", "times", "stretches", "occurrences"))
"""Places of numbers that Python reads or writes, and of pointers: the first ones to the log and to the times."""

SLACK = 64
"""Numbers behind the rows of a log, which are written in whole vectors."""

MOST_STEPS = 10_000_000
"""Steps of a member, taken or rejected, after which it is given up."""

FIRST = 64
"""Attempts of steps in every lane before the first return to Python from members of an ensemble."""

IDLE = 2
"""Runs that a solver keeps for later problems."""

WORKERS = 8
"""Pieces of memory of threads that a solver keeps for later runs."""

ENSEMBLES, WORDS = 2, 1 << 18
"""Runs of ensembles that a solver keeps for later ones of as many members, and numbers in the memory of each."""

AHEAD = 128
"""Attempts of the calling thread after which it prepares what follows a run: the others have begun by then."""

COMPARED = 2
"""Members of a run that compares two solves of a problem."""

OCCURRED, OF_ROWS = 512, 1 << 16
"""Rows for occurrences of events, and numbers in them, after which machine code returns to Python."""

SMALL = 1 << 18
"""Bytes of a log up to which its memory is used again, and what was found is copied."""


class Solver:
    """
    A solver in machine code. Several threads may use it at the same time.

    Parameters
    ----------
    programs : sequence of Program
        Recorded functions; the first one is the right-hand side of `t`, `y` and parameters.
    driver : Driver
        Of these programs, or of such with other constants.
    facts : Facts

    Raises
    ------
    UnsupportedError
        If there is no machine code for it.
    """

    def __init__(self, programs: Sequence[Program], driver: Driver, facts: Facts) -> None:
        self.machine, self._fields = Machine(driver, programs), driver.fields
        arguments = programs[0].arguments
        self._arguments = arguments[:-1] if facts.form.has_modes else arguments
        self.form, self.n, self.dtype, self.degree = facts.form, facts.n, facts.dtype, facts.degree
        self.logged = [(self.n,), (self.n,), *([(self.degree, self.n)] if self.form.log == DENSE else [])]
        """Shapes of what is logged of a step besides its member and its time."""
        self.attempts = FIRST
        """Attempts of steps in every lane before a return to Python."""
        self.operations = programs[0].operations
        """Of the right-hand side."""
        self._idle: list[Run] = []
        self._ensembles: dict[Any, Run] = {}
        self._workers: list[Worker] = []

    @property
    def compares_in_lanes(self) -> bool:
        """Whether both solves of a problem go on side by side: tolerances are then loosened by factors on errors."""
        return self.form.compares and self.form.lanes > 1

    @property
    def parameters(self) -> Sequence[Argument]:
        """The arguments of the right-hand side after the time and the state."""
        return self._arguments[2:]

    def start(
        self, t0: Any, end: Any, y0: Any, *, rtol: Any, atol: Any, max_step: Any = inf, first_step: Any = 0.0,
        share: Any = 1.0, parameters: Sequence[Any] = (), times: Any = None, valued: int | None = None,
        stretches: Any = None, most: int | None = None, threads: int = 1,
    ) -> Run:  # fmt: skip
        """
        Begin to solve.

        Parameters
        ----------
        t0, end, max_step, first_step, share : float, or array of shape (members,)
            Begin and end; the largest step, and the first one; a factor on the tolerances. A first step of 0 is chosen
            by the solver.
        y0 : array, shape (members, n)
            States at the begin.
        rtol, atol : float or array of shape (n,)
            Tolerances.
        parameters : sequence of arrays
            The further arguments of the right-hand side; those that are not shared with a first axis for members.
        times : array of shape (m,) or (members, m), optional
            From the begin to the end, in order: where values are wanted.
        valued : int, optional
            How many members, the first ones, they are wanted of. By default all.
        stretches : array of shape (m, 3) or (members, m, 3), optional
            Stretches of the span, if the form has them: their ends, the last of which is that of the span, and the
            least and the largest time at which the right-hand side is evaluated in them. By default the whole span.
        most : int
            Steps, taken or rejected, after which a member is given up; by default `MOST_STEPS`.
        threads : int
            Each has members of its own.
        """
        several = [not isinstance(one, float) and np.ndim(one) > 0 for one in (t0, end, first_step, max_step, share)]
        run = self._ensembles.pop((len(y0), *several, threads), None) or Run(self, len(y0), several, threads)
        run.hire()
        run.begin(
            t0, end, y0, rtol=rtol, atol=atol, max_step=max_step, first_step=first_step, share=share,
            parameters=parameters, times=times, valued=valued, stretches=stretches, most=most,
        )  # fmt: skip
        return run

    def lend(self) -> Run:
        """A run of one problem, which begins with `begin`: one that was given back, if there is any."""
        try:
            return self._idle.pop()
        except IndexError:
            compares, in_lanes = self.form.compares, self.compares_in_lanes
            run = Run(self, COMPARED if compares else 1, [False, False, False, compares, in_lanes], 1)
            run.hire()
            return run

    def worker(self) -> Worker:
        """The memory of a thread, of a run that is over if there is one."""
        try:
            return self._workers.pop()
        except IndexError:
            return Worker(self)

    def take_back(self, workers: list[Worker]) -> None:
        """Keep the memory of threads for later runs."""
        self._workers = (self._workers + workers)[:WORKERS]

    def give_back(self, run: Run) -> None:
        """Keep a run that was lent for later problems."""
        run.forget()
        if len(self._idle) < IDLE:
            self._idle.append(run)

    def keep(self, key: Any, run: Run) -> None:
        """Keep the memory of an ensemble that has ended for later ones."""
        for old in list(self._ensembles)[: 1 - ENSEMBLES]:
            self._ensembles.pop(old, None)
        self._ensembles[key] = run


def solver(key: Any, programs: Sequence[Program], write: Callable[[], Members], *, operations: float = 0) -> Solver:
    """
    A solver of programs; see `driver` for the key. All programs with the same key share its code.

    If it must be compiled, that has to be paid: see `budget.pay`. `operations` are those of a step besides.
    """

    def written() -> Members:
        pay("solver", SOLVER + OF_SOLVER * (operations + max(program.operations for program in programs)))
        return write()

    return Solver(programs, *driver(key, written))


class Watched(NamedTuple):
    """
    Which occurrences of events count.

    Attributes
    ----------
    directions : sequence of float
        Positive where a function must rise, negative where it must fall, 0 for both.
    terminals : sequence of int
        Numbers of the occurrences that end the solve; 0 for none.
    """

    directions: Sequence[float]
    terminals: Sequence[int]


class Run:
    """
    A solve. `advance` goes on with it.

    Attributes
    ----------
    solver : Solver
    y : array, shape (members, n)
        States at which members ended.
    t : array, shape (members,)
        Times at which they ended.
    counts : array of int, shape (members, 4)
        Their status, steps that were taken, steps that were rejected, and evaluations of the right-hand side.
    rates : array, shape (members, n), or None
        With several lanes, values of the right-hand side at the ends of members: those that the solver has, which are
        of the time before if the last step ended on a jump.
    changes : array of int, shape (members,), or None
        Of solvers that watch modes: whether those of a member have changed.
    values : array, shape (valued, m, n), or None
        At the times that were asked for; NaN where a member has not come to them.
    log : tuple of arrays (k,), (k,), (k, n), (k, degree, n)
        Steps that the last call of `advance` took, if they are logged: numbers of members, times and states at their
        ends, and coefficients of polynomials. Steps of a member are in their order; those of several are mixed.
    names : tuple of str
        Of the numbers that say how members ended.
    slopes : array (k, n), or None
        Values of the right-hand side at the ends of the steps that are logged.
    starts, longest, tightness : arrays, shapes (members, n) and (members,)
        What was given: states at the begin, longest steps and one over the shares of the tolerances; of one row if that
        is all that was given.
    """

    names = tuple(status.name for status in Status)

    def __init__(self, solver: Solver, members: int, several: Sequence[bool], threads: int) -> None:
        self.solver, dtype, n, count = solver, solver.dtype, solver.n, members
        self.members, self._key = members, (members, *several, threads)
        self.values: Any = None
        self.log: tuple[Any, ...] = ()
        self.slopes: Any = None
        self._given: list[Any] = []
        size, given, is_wide = n * dtype.itemsize, 1 if solver.form.compares else count, solver.form.lanes > 1
        watches = solver.form.watches
        states = (1 + is_wide) * count + given
        self._words = states * -(-size // 8) + count * (1 + len(COUNTS) + watches) + 8 + sum(several) * count
        block = _Block(self._words)
        rows = list[int]()
        self.starts = block.add(given * n, dtype, rows, size * (given > 1)).reshape(given, n)
        self._spans = [block.add(count if differs else 1, FLOAT, rows, 8 * differs) for differs in several]
        *_, self.longest, self.tightness = self._spans
        self.y = block.add(count * n, dtype, rows, size).reshape(count, n)
        self.t = block.add(count, FLOAT, rows, 8)
        self.counts = block.add(count * len(COUNTS), WHOLE, rows, 8 * len(COUNTS)).reshape(count, len(COUNTS))
        self.rates = block.add(count * n, dtype, rows, size).reshape(count, n) if is_wide else None
        self.changes = block.add(count, WHOLE, rows, 8) if watches else None
        rows += [0] * (2 * (POINTERS.index("queue") - LOG) + 2 * (not is_wide) + 2 * (not watches))
        self._queue = block.add(1, WHOLE, rows, 0)
        self._rows = np.array(rows + [0] * (2 * (len(solver._arguments) - 2)), dtype=WHOLE)
        self._numbers = numbers = np.zeros(len(NUMBERS), dtype=WHOLE)
        numbers[CAPACITY] = 1 << 62 if solver.form.log == NOTHING else 0
        numbers[MEMBERS], numbers[WANTED] = count, 1
        self._workers: list[Worker] = []
        self._templates: list[Any] = []
        self._threads, self._block = min(threads, count), block

    def hire(self) -> None:
        """Get the memory of threads, before `begin`."""
        self._workers = [self.solver.worker() for _ in range(self._threads)]

    def begin(
        self, t0: Any, end: Any, y0: Any, *, rtol: Any, atol: Any, max_step: Any = inf, first_step: Any = 0.0,
        share: Any = 1.0, parameters: Sequence[Any] = (), times: Any = None, valued: int | None = None,
        stretches: Any = None, most: int | None = None, looser: float = 0.0, watch: Watched | None = None,
    ) -> None:  # fmt: skip
        """
        Begin, also anew; the arguments are those of `Solver.start`, for as many members, with arrays where it had them.

        `looser`: with a solver that compares, the factor of the tolerances of the second member; 0 for none. `watch`:
        which occurrences of events count, if the solver has any; None if they are not looked for.
        What the attributes were before is overwritten, except for `values`, `log` and `slopes`.
        """
        numbers, form = self._numbers, self.solver.form
        if self.solver.compares_in_lanes:
            share = np.array([share, share * (looser or 1.0)])
        self.starts[...] = y0
        for target, given in zip(self._spans, (t0, end, first_step, max_step, 1 / share), strict=True):
            target[...] = given
        self.counts[...] = 0
        self._queue[...] = 0  # the next member
        self.values, self._given, numbers[MOST] = None, [], most or MOST_STEPS
        if form.compares:
            self.members = numbers[MEMBERS] = COMPARED if looser else 1
        if form.has_times:
            self._want(times, valued)
        if form.has_stretches:
            self._rows[2 * STRETCHES : 2 * STRETCHES + 2] = self._stretches(stretches)
        if parameters:
            self._give(parameters)
        for worker in self._workers:
            worker.begin(self._rows, numbers, rtol, atol, looser)
            if watch is not None:
                worker.watch(watch)

    def keep(self) -> None:
        """Keep the memory of threads as `begin` has left it, for `repeat`."""
        self._templates = [worker.memory.copy() for worker in self._workers]

    def repeat(self) -> None:
        """Begin once more with what is in the arrays that were given, and in `starts`, `longest` and `tightness`."""
        self._queue[...] = 0
        for worker, template in zip(self._workers, self._templates, strict=True):
            worker.memory[...] = template

    def _want(self, times: Any, valued: int | None) -> None:
        """Note where values are wanted, and of how many members."""
        solver, places, count = self.solver, [0] * 4, 0
        if times is not None:
            times = np.ascontiguousarray(times, dtype=np.float64)
            count = times.shape[-1]
            some = self.members if valued is None else valued
            self._numbers[VALUED] = some
            self.values = np.full((some, count, solver.n), np.nan, solver.dtype)
            size = solver.n * solver.dtype.itemsize
            places = [address(times), 8 * count * (times.ndim - 1), address(self.values), count * size]
            self._given.append(times)
        self._numbers[TIME_COUNT] = count
        self._rows[2 * TIMES : 2 * TIMES + 4] = places

    def _give(self, parameters: Sequence[Any]) -> None:
        """Note where parameters are."""
        shared, places = self.solver.form.shared, list[int]()
        for k, argument in enumerate(self.solver._arguments[2:]):
            array = np.ascontiguousarray(parameters[k], dtype=argument.dtype)
            is_shared = not shared or shared[k]
            places += [where(array), 0 if is_shared else prod(argument.shape) * argument.dtype.itemsize]
            self._given.append(array)
        self._rows[2 * len(POINTERS) :] = places

    def _stretches(self, given: Any) -> list[int]:
        """Address of the stretches, and bytes from member to member."""
        if given is None:
            ends = np.broadcast_to(self._spans[1], (self.members,))
            given = np.stack([ends, np.full_like(ends, -inf), np.full_like(ends, inf)], axis=1)[:, None, :]
        array = np.ascontiguousarray(given, dtype=np.float64)
        self._given.append(array)
        return [address(array), 8 * array.shape[-2] * len(STRETCH) * (array.ndim - 2)]

    def forget(self) -> None:
        """Let go of what was found, and of what Python gave."""
        self.values, self.log, self.slopes, self._given = None, (), None, []

    def end(self) -> None:
        """Nothing but the attributes is wanted any more."""
        self._given, workers, self._workers = [], self._workers, []
        self.solver.take_back(workers)

    def give_back(self) -> None:
        """After `end`: not even the attributes are wanted any more, but for `values`."""
        self.values = None
        if self._words <= WORDS:
            self.solver.keep(self._key, self)

    @property
    def status(self) -> Status:
        """Of the first member."""
        return Status(int(self.counts[0, 0]))

    @property
    def ended(self) -> int:
        """Number of members that have ended."""
        if len(self._workers) == 1:
            return int(self._workers[0].numbers[ENDED])
        return sum(int(worker.numbers[ENDED]) for worker in self._workers)

    @property
    def switch(self) -> int:
        """Number of the comparison that changed last, of a solver in modes."""
        return self._workers[0].switch()

    def now(self) -> tuple[float, Any]:
        """Time and state of a solve of one member that has not ended."""
        return self._workers[0].now()

    def advance(self, most: int, meanwhile: Callable[[], object] | None = None) -> int:
        """
        Go on with at most so many attempts in every lane; return the number of members that have not ended.

        It releases the GIL. Ctrl-C is noticed after these attempts. `meanwhile` is called once; other threads, if there
        are several, go on in the meantime.
        """
        is_logged, workers = self.solver.form.log != NOTHING, self._workers
        if is_logged:
            for worker in workers:
                worker.expect(most)
        for worker in workers if self.solver.form.events else ():
            worker.expect_occurrences()
        own = workers[0].run if meanwhile is None else partial(workers[0].run_around, meanwhile)
        if len(workers) == 1:
            own(most)
        else:
            run_all([partial(own, most), *[partial(worker.run, most) for worker in workers[1:]]])
        if is_logged:
            rows = [worker.filled() for worker in workers]
            columns = rows[0] if len(rows) == 1 else list(map(np.concatenate, zip(*rows, strict=True)))
            self.log, self.slopes = (*columns[:2], *columns[3:]), columns[2]
        return self.members - self.ended

    @property
    def occurrences(self) -> Any:
        """
        Occurrences `(k, 4 + n)` of events that the last call of `advance` found.

        Of each: the number of the event, the time, the value there, the size of values around it, and the state.
        """
        return self._workers[0].occurrences()

    @property
    def event_values(self) -> list[float]:
        """Values of events at the end of the last step that was looked at."""
        return self._workers[0].event_values()

    @property
    def whole(self) -> float:
        """Where the last step that was looked at would have ended, if no event had ended it before."""
        return self._workers[0].whole()


class _Block:
    """Arrays in one piece of memory, whose addresses are known."""

    def __init__(self, words: int) -> None:
        self._floats, self._used = np.empty(words), 0
        self._wholes, self._begin = self._floats.view(WHOLE), own_address(self._floats)

    def add(self, count: int, dtype: Any, rows: list[int], stride: int) -> Any:
        """The next array; its address and the stride are appended to the rows."""
        begin, words = self._used, -(-count * dtype.itemsize // 8)
        rows += [self._begin + 8 * begin, stride]
        self._used = end = begin + words
        if dtype is WHOLE:
            return self._wholes[begin:end]
        return self._floats[begin:end] if dtype == FLOAT else self._floats[begin:end].view(dtype)[:count]


class Worker:
    """The memory of a thread, and its log."""

    def __init__(self, solver: Solver) -> None:
        self._solver, fields = solver, solver._fields
        self.memory = memory = solver.machine.memory()
        self._address, longs = own_address(memory), memory.view(WHOLE)
        self._pointers = longs[fields.offset("pointers") // 8 :]
        self._log = self._pointers[2 * LOG : 2 * TIMES]
        place = fields.offset("numbers") // 8
        self.numbers = longs[place : place + len(NUMBERS)]
        relative, absolute = fields.flat(memory, "tolerances"), fields.flat(memory, "limits")
        self._tolerances = relative[: solver.n], absolute[: solver.n], absolute[solver.n :]
        self._looser = fields.flat(memory, "looser") if "looser" in fields.all else None
        self._is_used = False
        self._rows: list[Any] = []
        self._places: Any = None
        self._room = 0
        """The log, where it is, and its number of rows."""
        self._seen: Any = None

    def begin(self, rows: Any, numbers: Any, rtol: Any, atol: Any, looser: float) -> None:
        """Write what Python gives."""
        if self._is_used:
            self.memory.fill(0)
        self._is_used = True
        self._pointers[: rows.shape[0]] = rows
        self.numbers[...] = numbers
        relative, absolute, beyond = self._tolerances
        relative[...], absolute[...], beyond[...] = rtol, atol, 1.0
        if self._looser is not None:
            self._looser[0] = looser

    def filled(self) -> list[Any]:
        """The rows of the log that are filled."""
        count = int(self.numbers[LOGGED])
        if self._room:
            return [one[:count].copy() for one in self._rows]
        found, self._rows = [one[:count] for one in self._rows], []
        return found

    def now(self) -> tuple[float, Any]:
        fields, memory = self._solver._fields, self.memory
        lanes = self._solver.form.lanes
        state = fields.view(memory, "state").reshape(-1)[: self._solver.n * lanes : lanes]
        return float(fields.view(memory, "now")[0, 0]), state.copy()

    def expect(self, most: int) -> None:
        """Make a log for so many attempts, unless there is one."""
        form = self._solver.form
        rows = most + form.lanes - 1 if form.compares else most * form.lanes  # there is room for one in every lane
        if self._room != rows:
            self._make_log(rows)
        self._log[...] = self._places
        self.numbers[LOGGED], self.numbers[CAPACITY] = 0, rows

    def _make_log(self, rows: int) -> None:
        solver = self._solver
        shapes, dtype = solver.logged, solver.dtype
        sizes = [rows * prod(shape) for shape in shapes]
        block, places = _Block(2 * rows + sum(sizes) + len(sizes) * SLACK), list[int]()
        log: list[Any] = [block.add(rows, WHOLE, places, 0), block.add(rows, FLOAT, places, 0)]
        for size, shape in zip(sizes, shapes, strict=True):
            log.append(block.add(size + SLACK, dtype, places, 0)[:size].reshape(rows, *shape))
        self._rows, self._places = log, np.zeros(self._log.shape[0], dtype=WHOLE)
        self._places[: len(places)] = places
        self._room = rows if (2 * rows + sum(sizes)) * 8 <= SMALL else 0

    def watch(self, watched: Watched) -> None:
        """Look for events."""
        fields, memory = self._solver._fields, self.memory
        fields.flat(memory, "directions")[...] = watched.directions
        fields.flat(memory, "terminals")[...] = watched.terminals
        self.numbers[WATCHES] = 1

    def expect_occurrences(self) -> None:
        """Make room for occurrences of events, unless there is some."""
        if self._seen is None:
            width, least = len(OF_OCCURRENCE) + self._solver.n, most_in_a_step(self._solver.form.events)
            self._seen = np.empty((max(least, min(OCCURRED, OF_ROWS // width)), width))
        self._pointers[2 * OCCURRENCES] = address(self._seen)
        self.numbers[SEEN], self.numbers[ROOM] = 0, self._seen.shape[0]

    def occurrences(self) -> Any:
        """Those that were found."""
        return self._seen[: int(self.numbers[SEEN])].copy()

    def event_values(self) -> list[float]:
        """Values at the end of the step that was looked at last."""
        found: list[float] = self._solver._fields.view(self.memory, "event values")[:, -1].tolist()
        return found

    def whole(self) -> float:
        """End of the step that was looked at last."""
        return float(self._solver._fields.flat(self.memory, "event whole")[0])

    def switch(self) -> int:
        """Number of the comparison that changed last."""
        return int(self._solver._fields.flat(self.memory, "switch which")[0])

    def run(self, most: int) -> None:
        """Call the code."""
        self._solver.machine.call(self._address, most)

    def run_around(self, meanwhile: Callable[[], object], most: int) -> None:
        """Call the code, and something else after some attempts: until there are some, others wait for the GIL."""
        self.run(min(AHEAD, most))
        meanwhile()
        self.run(most)

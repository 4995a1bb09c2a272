"""Compiled solvers of ODEs: what Python gives them, and what it gets from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, prod
from typing import Any

import numpy as np

from ..._arrays.threads import run_all
from ..program import Program
from .driver import Driver, Machine
from .kept_drivers import driver
from .layout import address
from .members import COUNTS, DENSE, NOTHING, NUMBERS, POINTERS, Facts, Members, Status

SLACK = 64
"""Numbers behind the rows of a log, which are written in whole vectors."""

MOST_STEPS = 10_000_000
"""Steps of a member, taken or rejected, after which it is given up, by default."""


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
        self._machine, self._fields, self._arguments = Machine(driver, programs), driver.fields, programs[0].arguments
        self.form, self.n, self.dtype, self.degree = facts.form, facts.n, facts.dtype, facts.degree

    def start(
        self, t0: Any, end: Any, y0: Any, *, rtol: Any, atol: Any, max_step: Any = inf, first_step: Any = 0.0,
        parameters: Sequence[Any] = (), times: Any = None, most: int = MOST_STEPS, threads: int = 1,
    ) -> Run:  # fmt: skip
        """
        Begin to solve.

        Parameters
        ----------
        t0, end, max_step, first_step : float, or array of shape (members,)
            Begin and end; the largest step, and the first one. A first step of 0 is chosen by the solver.
        y0 : array, shape (members, n)
            States at the begin.
        rtol, atol : float or array of shape (n,)
            Tolerances.
        parameters : sequence of arrays
            The further arguments of the right-hand side; those that are not shared with a first axis for members.
        times : array of shape (m,) or (members, m), optional
            From the begin to the end, in order: where values are wanted.
        most : int
            Steps, taken or rejected, after which a member is given up.
        threads : int
            Each has members of its own.
        """
        return Run(
            self, [t0, end, first_step, max_step], y0, (rtol, atol), list(parameters), times, most, threads
        )  # fmt: skip


def solver(key: Any, programs: Sequence[Program], write: Callable[[], Members]) -> Solver:
    """A solver of programs; see `driver` for the key. All programs with the same key share its code."""
    return Solver(programs, *driver(key, write))


class Run:
    """
    A solve. `advance` goes on with it.

    Attributes
    ----------
    y : array, shape (members, n)
        States at which members ended.
    t : array, shape (members,)
        Times at which they ended.
    counts : array of int, shape (members, 4)
        Their status, steps that were taken, steps that were rejected, and evaluations of the right-hand side.
    values : array, shape (members, m, n), or None
        At the times that were asked for; NaN where a member has not come to them.
    log : tuple of arrays (k,), (k,), (k, n), (k, degree, n)
        Steps that the last call of `advance` took, if they are logged: numbers of members, times and states at their
        ends, and coefficients of polynomials. Steps of a member are in their order; those of several are mixed.
    slopes : array (k, n), or None
        Values of the right-hand side at the ends of the steps that are logged.
    """

    def __init__(
        self, solver: Solver, times_: list[Any], y0: Any, tolerances: tuple[Any, Any], parameters: list[Any],
        times: Any, most: int, threads: int,
    ) -> None:  # fmt: skip
        self._solver, dtype, n = solver, solver.dtype, solver.n
        y0 = np.ascontiguousarray(y0, dtype=dtype)
        self.members = count = y0.shape[0]
        columns = len(COUNTS)
        block = np.zeros(count * (columns + 1) + 1, dtype=np.int64)  # one array: addresses of arrays take time
        self.counts = block[: count * columns].reshape(count, columns)
        self.t = block[count * columns : -1].view(np.float64)
        self.y = np.empty((count, n), dtype)
        self.values: Any = None
        self.log: tuple[Any, ...] = ()
        self.slopes: Any = None
        first, size = address(block), n * dtype.itemsize
        given = [y0, *_of_members(times_)]
        rows = [(address(y0), size)]
        if len(given) == 2:
            start = address(given[1])
            rows += [(start + 8 * k, 0) for k in range(len(times_))]
        else:
            rows += [(address(one), 8 if one.ndim else 0) for one in given[1:]]
        rows += [(address(self.y), size), (first + 8 * count * columns, 8), (first, 8 * columns), *[(0, 0)] * 5]
        time_count = 0
        if times is not None:
            times = np.ascontiguousarray(times, dtype=np.float64)
            time_count = times.shape[-1]
            self.values = np.full((count, time_count, n), np.nan, dtype)
            given.append(times)
            rows += [(address(times), 8 * time_count * (times.ndim - 1))]
            rows += [(address(self.values), time_count * n * dtype.itemsize)]
        else:
            rows += [(0, 0)] * 2
        rows.append((first + 8 * (block.shape[0] - 1), 0))
        for k, argument in enumerate(solver._arguments[2:]):
            array = np.ascontiguousarray(parameters[k], dtype=argument.dtype)
            shared = not solver.form.shared or solver.form.shared[k]
            given.append(array)
            rows.append((address(array), 0 if shared else prod(argument.shape) * argument.dtype.itemsize))
        self._given = given
        known = {"members": count, "most": most, "wanted": 1, "time count": time_count}
        known["capacity"] = 1 << 62 if solver.form.log == NOTHING else 0
        numbers = [known.get(name, 0) for name in NUMBERS]
        self._workers = [_Worker(solver, rows, numbers, tolerances) for _ in range(min(threads, count))]

    @property
    def status(self) -> Status:
        """Of the first member."""
        return Status(int(self.counts[0, 0]))

    @property
    def ended(self) -> int:
        """Number of members that have ended."""
        return sum(int(worker.numbers[NUMBERS.index("ended")]) for worker in self._workers)

    def now(self) -> tuple[float, Any]:
        """Time and state of a solve of one member that has not ended."""
        return self._workers[0].now()

    def advance(self, most: int) -> int:
        """
        Go on with at most so many attempts in every lane; return the number of members that have not ended.

        It releases the GIL. Ctrl-C is noticed after these attempts.
        """
        form, log = self._solver.form, list[tuple[Any, ...]]()
        if form.log != NOTHING:
            log = [worker.expect(most) for worker in self._workers]
        if len(self._workers) == 1:
            self._workers[0].run(most)
        else:
            run_all([partial(worker.run, most) for worker in self._workers])
        if form.log != NOTHING:
            rows = [
                tuple(one[:count] for one in some)
                for some, count in zip(log, (worker.logged for worker in self._workers), strict=True)
            ]
            columns = rows[0] if len(rows) == 1 else tuple(map(np.concatenate, zip(*rows, strict=True)))
            self.log, self.slopes = (*columns[:2], *columns[3:]), columns[2]
        return self.members - self.ended


def _of_members(times: list[Any]) -> list[Any]:
    """Arrays of numbers of members; one array of all if all members have the same."""
    arrays = [np.asarray(one, dtype=np.float64) for one in times]
    return arrays if any(one.ndim for one in arrays) else [np.array(times, dtype=np.float64)]


class _Worker:
    """The memory of a thread, and its log."""

    def __init__(
        self, solver: Solver, rows: list[tuple[int, int]], numbers: list[int], tolerances: tuple[Any, Any]
    ) -> None:
        self._solver, fields, n = solver, solver._fields, solver.n
        self.memory = solver._machine.memory()
        longs = self.memory.view(np.int64)
        place = fields.offset("pointers") // 8
        longs[place : place + 2 * len(rows)] = [number for row in rows for number in row]
        self._pointers = longs[place:]
        place = fields.offset("numbers") // 8
        self.numbers = longs[place : place + len(NUMBERS)]
        self.numbers[...] = numbers
        for name, value, beyond in zip(("tolerances", "limits"), tolerances, (0.0, 1.0), strict=True):
            view = fields.view(self.memory, name).reshape(-1)
            view[:n] = value
            if view.shape[0] > n:
                view[n:] = beyond

    @property
    def logged(self) -> int:
        """Rows of the log."""
        return int(self.numbers[NUMBERS.index("logged")])

    def now(self) -> tuple[float, Any]:
        fields, memory = self._solver._fields, self.memory
        state = fields.view(memory, "state").reshape(-1)[: self._solver.n]
        return float(fields.view(memory, "now")[0, 0]), state.copy()

    def expect(self, most: int) -> tuple[Any, ...]:
        """A new log for so many attempts."""
        solver, rows = self._solver, most * self._solver.form.lanes
        n, dtype = solver.n, solver.dtype
        shapes = [(n,), (n,), *([(solver.degree, n)] if solver.form.log == DENSE else [])]
        log: list[Any] = [np.empty(rows, dtype=np.int64), np.empty(rows)]
        for shape in shapes:
            size = rows * prod(shape)
            log.append(np.empty(size + SLACK, dtype)[:size].reshape(rows, *shape))
        first = 2 * POINTERS.index("log members")
        for k, array in enumerate(log):
            self._pointers[first + 2 * k] = address(array)
        self.numbers[NUMBERS.index("logged")] = 0
        self.numbers[NUMBERS.index("capacity")] = rows
        return tuple(log)

    def run(self, most: int) -> None:
        """Call the code."""
        self._solver._machine.run(self.memory, most)

"""Solvers whose memory is filled in advance: a solve writes a few numbers, calls the code once, and reads a few."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from struct import Struct
from typing import Any

import numpy as np

from .integrate import (
    CAPACITY,
    COMPARED,
    MEMBERS,
    MOST,
    MOST_STEPS,
    SLACK,
    TIME_COUNT,
    VALUED,
    WANTED,
    Solver,
    Worker,
)  # fmt: skip
from .judged import ASKED, AT_ONCE, PLACES, TOLD, judging
from .layout import aligned, own_address
from .members import COUNTS, NUMBERS, POINTERS, STATES

DOUBLE = np.dtype(np.float64)

GIVEN = 6
"""Numbers of a solve: end, first step, longest steps of both marches, and factors of their tolerances."""

UNUSED = "changes", "log coefficients", "stretches", "occurrences"
"""Pointers to what such solvers do not have."""


def may_be_ready(solver: Solver) -> bool:
    """Whether `Ready` takes a solver: it compares marches in doubles, and gives ends of steps, or values at times."""
    form, shapes = solver.form, solver.parameters
    is_plain = form.log == STATES and not (form.has_stretches or form.events)
    return is_plain and form.compares and solver.dtype == DOUBLE and all(one.dtype == DOUBLE for one in shapes)


class Ready:
    """
    A solver of one problem, to be called again and again; by one thread at a time.

    Parameters
    ----------
    solver : Solver
        One for which `may_be_ready` is true.
    attempts : int
        Of steps of both marches, within which they must end.
    count : int
        Of times at which values are wanted, if the solver gives such values.

    Attributes
    ----------
    t, y : arrays, shapes (attempts + 1,), (attempts + 1, n)
        The begin, and the ends of the steps that the last first march took.
    slopes : array, shape (attempts, n)
        Of the right-hand side at the ends of steps.
    times : array, shape (count,)
        To be written to.
    values : array, shape (count, n)
        Of the last first march at these times.
    wanted : object
        Whatever the times are of: a note of who writes to them.
    """

    def __init__(self, solver: Solver, attempts: int, count: int = 0) -> None:
        n, self._machine = solver.n, solver.machine
        self._is_in_lanes = solver.compares_in_lanes
        sizes = [prod(one.shape) for one in solver.parameters]
        parts = {
            "parameters": sum(sizes), "states": COMPARED * n, "ends": COMPARED, "counts": COMPARED * len(COUNTS),
            "queue": 1, "given": GIVEN, "asked": len(ASKED), "start": n, "t": attempts + 1,
            "told": len(TOLD) + n, "y": (attempts + 1) * n + SLACK, "slopes": attempts * n + SLACK,
            "members": attempts, "rates": COMPARED * n, "kept": (attempts + 1) * (n + 1),
            "times": count, "values": COMPARED * count * n, "apart": count,
        }  # fmt: skip
        places = dict(zip(parts, accumulate(parts.values(), initial=0), strict=False))
        block: Any = np.zeros(sum(parts.values()))
        t, y, slopes = (block[places[name] :] for name in ("t", "y", "slopes"))
        self.t, self.y = t[: attempts + 1], y[: (attempts + 1) * n].reshape(-1, n)
        self.slopes = slopes[: attempts * n].reshape(attempts, n)
        self._n, self._bytes = n, memoryview(block).cast("B")
        self._kept, self._apart, self._count = 8 * places["kept"], 8 * places["apart"], count
        times, values = (block[places[name] :] for name in ("times", "values"))
        self.times, self.values = times[:count], values[: count * n].reshape(count, n)
        self.wanted: Any = None
        between = 8 * (places["given"] - parts["parameters"])
        self._give = Struct(f"={sum(sizes)}d{between}x{GIVEN + 2}dq{n}dd").pack_into
        passed = 8 * (places["told"] - places["counts"] - parts["counts"])
        self._read = Struct(f"={parts['counts']}q{passed}xddqdd{n}d").unpack_from
        self._counts = 8 * places["counts"]
        self._rows = self._pointers(block, places, sizes)
        self._numbers = np.zeros(len(NUMBERS), dtype=np.int64)
        self._numbers[[MEMBERS, MOST, CAPACITY, WANTED]] = COMPARED, MOST_STEPS, attempts, 1
        self._numbers[[TIME_COUNT, VALUED]] = count, COMPARED if count else 0
        self._worker = worker = Worker(solver)
        self._template, memory = aligned(worker.memory.nbytes), own_address(worker.memory)
        begin, machine = own_address(block), self._machine
        addresses = [begin + 8 * places[name] for name in PLACES[PLACES.index("states") :]]
        self._task = np.array([
            machine.address, machine.table, memory, own_address(self._template), *addresses,
            worker.memory.nbytes // (8 * AT_ONCE), attempts, n, count,
        ], dtype=np.int64)  # fmt: skip
        self._judge = judging(own_address(self._task))
        self._tolerances, self._tightness = (0.0, 0.0, 0.0), 0.0

    def _pointers(self, block: Any, places: dict[str, int], sizes: list[int]) -> Any:
        """What the solver is given: addresses, and bytes from member to member."""
        n, given = self._n, places["given"]
        rows = {
            "y0": (places["start"], 0), "t0": (places["t"], 0), "end": (given, 0), "first": (given + 1, 0),
            "longest": (given + 2, 1), "tightness": (given + 4, 1), "y": (places["states"], n),
            "t": (places["ends"], 1), "counts": (places["counts"], len(COUNTS)), "rates": (places["rates"], n),
            "queue": (places["queue"], 0), "log members": (places["members"], 0), "log t": (places["t"] + 1, 0),
            "log slopes": (places["slopes"], 0), "log y": (places["y"] + n, 0), "times": (places["times"], 0),
            "values": (places["values"], self._count * n), **dict.fromkeys(UNUSED, (0, 0)),
        }  # fmt: skip
        begin, found = own_address(block), [rows[name] for name in POINTERS]
        found += [(sum(sizes[:k]), 0) for k in range(len(sizes))]
        return np.array([(begin + 8 * place, 8 * stride) for place, stride in found], dtype=np.int64).reshape(-1)

    def march(
        self, begin: float, end: float, y0: Sequence[float], tolerances: tuple[float, float, float],
        longest: tuple[float, float], parameters: Sequence[float], rtol: float, atol: float, row: int,
    ) -> tuple[Any, ...]:  # fmt: skip
        """
        Solve a problem twice.

        Parameters
        ----------
        begin, end : float
        y0 : sequence of float
        tolerances : tuple of float
            The relative and the absolute one, and a factor for the second march.
        longest : tuple of float
            The longest step of each march.
        parameters : sequence of float
            Numbers in all parameters, one after the other.
        rtol, atol : float
            Tolerances that are the unit of the error.
        row : int
            Number of a row of `slopes`, less the number of steps as often as that can be.

        Returns
        -------
        tuple
            Of each march the status, steps that were taken, steps that were rejected, and evaluations; the difference
            of the ends in tolerances, and the largest one of the values at times; the number of the row, its time, the
            size of the smallest one of its slopes, and these. The status is 0 where a march has not ended.
        """
        if tolerances != self._tolerances:
            self._fill(tolerances)
        block, tightness = self._bytes, self._tightness
        self._give(block, 0, *parameters, end, 0.0, *longest, 1.0, tightness, rtol, atol, row, *y0, begin)
        self._judge()
        return self._read(block, self._counts)

    def kept(self, steps: int) -> bytes:
        """The numbers in `t` and `y` at the begin and after so many steps, which no later march changes."""
        begin = self._kept
        return self._bytes[begin : begin + 8 * (self._n + 1) * (steps + 1)].tobytes()

    def apart(self) -> bytes:
        """Differences of the values at times, in tolerances."""
        return self._bytes[self._apart : self._apart + 8 * self._count].tobytes()

    def _fill(self, tolerances: tuple[float, float, float]) -> None:
        """Make the template of the memory."""
        self._worker.begin(self._rows, self._numbers, *tolerances)
        self._template[...], self._tolerances = self._worker.memory, tolerances
        self._tightness = 1.0 / tolerances[2] if self._is_in_lanes else 1.0


def numbers_in(kept: bytes) -> Any:
    """An array of numbers, which is not to be written to."""
    return np.frombuffer(kept)


def steps_of(kept: bytes, n: int) -> tuple[Any, Any]:
    """Times `(m,)` and states `(m, n)` that were kept; they are not to be written to."""
    numbers = np.frombuffer(kept)
    count = numbers.shape[0] // (n + 1)
    return numbers[:count], numbers[count:].reshape(-1, n)

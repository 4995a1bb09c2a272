"""Solvers whose memory is filled in advance: a solve writes a few numbers, calls the code once, and reads a few."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from struct import Struct
from typing import Any

import numpy as np

from .integrate import CAPACITY, COMPARED, MEMBERS, MOST, MOST_STEPS, SLACK, WANTED, Solver, Worker
from .layout import own_address
from .members import COUNTS, NUMBERS, POINTERS, STATES

DOUBLE = np.dtype(np.float64)

GIVEN = 7
"""Numbers of a solve besides parameters: end, first step, longest steps of both marches, factors, and begin."""

UNUSED = "log coefficients", "times", "values", "stretches", "occurrences"
"""Pointers to what such solvers do not have."""


def may_be_ready(solver: Solver) -> bool:
    """Whether `Ready` takes a solver: it compares two marches in doubles, and gives nothing but the ends of steps."""
    form, shapes = solver.form, solver.parameters
    is_plain = form.log == STATES and not (form.has_times or form.has_stretches or form.events)
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

    Attributes
    ----------
    t, y : arrays, shapes (attempts + 1,), (attempts + 1, n)
        The begin, and the ends of the steps that the last first march took.
    slopes : array, shape (attempts, n)
        Of the right-hand side at the ends of steps.
    """

    def __init__(self, solver: Solver, attempts: int) -> None:
        n, self._attempts, self._call = solver.n, attempts, solver.machine.call
        self._is_in_lanes = solver.compares_in_lanes
        sizes = [prod(one.shape) for one in solver.parameters]
        results = COMPARED * (n + 1 + len(COUNTS)) + 1  # the last one is the number of the next member
        first = sum(sizes) + results + GIVEN - 1
        ends = [attempts + 1, (attempts + 1) * n + SLACK, attempts * n + SLACK, attempts, COMPARED * n]
        block: Any = np.zeros(first + sum(ends))
        t, y, slopes, members, rates = (first + sum(ends[:k]) for k in range(len(ends)))
        self.t = block[t : t + ends[0]]
        self.y = block[y : y + ends[0] * n].reshape(-1, n)
        self.slopes = block[slopes : slopes + attempts * n].reshape(attempts, n)
        self._block, self._state = memoryview(block).cast("B"), 8 * y
        self._give = Struct(f"={sum(sizes)}d{8 * results}x{GIVEN}d").pack_into
        self._give_state = Struct(f"={n}d").pack_into
        self._read = Struct(f"={COMPARED * (n + 1)}d{COMPARED * len(COUNTS)}q").unpack_from
        self._results = 8 * sum(sizes)
        begin, given = own_address(block), sum(sizes) + results
        places = {
            "y0": (y, 0), "t0": (t, 0), "end": (given, 0), "first": (given + 1, 0), "longest": (given + 2, 1),
            "tightness": (given + 4, 1), "y": (sum(sizes), n), "t": (sum(sizes) + COMPARED * n, 1),
            "counts": (sum(sizes) + COMPARED * (n + 1), len(COUNTS)), "rates": (rates, n),
            "queue": (given - 1, 0),
            "log members": (members, 0), "log t": (t + 1, 0), "log slopes": (slopes, 0), "log y": (y + n, 0),
        }  # fmt: skip
        places |= dict.fromkeys(UNUSED, (0, 0))
        rows = [places[name] for name in POINTERS]
        rows += [(sum(sizes[:k]), 0) for k in range(len(sizes))]
        self._rows = np.array([(begin + 8 * place, 8 * stride) for place, stride in rows], dtype=np.int64).reshape(-1)
        self._numbers = np.zeros(len(NUMBERS), dtype=np.int64)
        self._numbers[[MEMBERS, MOST, CAPACITY, WANTED]] = COMPARED, MOST_STEPS, attempts, 1
        self._worker = worker = Worker(solver)
        self._memory, self._address = memoryview(worker.memory), own_address(worker.memory)
        self._template, self._tolerances = b"", (0.0, 0.0, 0.0)

    def march(
        self, begin: float, end: float, y0: Sequence[float], tolerances: tuple[float, float, float],
        longest: tuple[float, float], parameters: Sequence[float],
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

        Returns
        -------
        tuple
            States at which the marches ended, times, and of each of them the status, steps that were taken, steps that
            were rejected, and evaluations. The status is 0 where a march has not ended.
        """
        if tolerances != self._tolerances or not self._template:
            self._fill(tolerances)
        self._memory[:] = self._template
        tightness = 1.0 / tolerances[2] if self._is_in_lanes else 1.0
        self._give(self._block, 0, *parameters, end, 0.0, *longest, 1.0, tightness, begin)
        self._give_state(self._block, self._state, *y0)
        self._call(self._address, self._attempts)
        return self._read(self._block, self._results)

    def _fill(self, tolerances: tuple[float, float, float]) -> None:
        """Make the template of the memory."""
        self._worker.begin(self._rows, self._numbers, *tolerances)
        self._template, self._tolerances = bytes(self._memory), tolerances

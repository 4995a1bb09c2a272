"""Solvers whose memory is filled in advance: a solve writes a few numbers, calls the code once, and reads a few."""

from __future__ import annotations

from itertools import accumulate
from math import prod
from struct import Struct
from typing import Any

import numpy as np

from ..._arrays.namespace import ERRORS, error_values
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
from .judged import ASKED, AT_ONCE, OBJECTS, PLACES, TOLD, WHOLES, judging, objects
from .layout import aligned, own_address
from .members import COUNTS, NUMBERS, POINTERS, STATES

DOUBLE = np.dtype(np.float64)

GIVEN = 6
"""Numbers of a solve: end, first step, longest steps of both marches, and factors of their tolerances."""

STRIDE = 377
"""Rows between the states that are compared with the function at one solve and at the next one."""

FEW = 256
"""Numbers of steps of which parts of the memory are kept."""

TIME, LEAST = TOLD.index("time"), TOLD.index("least")

SEEN = len(PLACES) + len(WHOLES) + OBJECTS.index("seen")

BRIEF = 20_000
"""Operations of the right-hand side in a march that is brief: it takes at most some ten microseconds."""

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
    row : array, shape (1,)
        Number of the row of `slopes` of which the last march told, before the number of steps is taken off as often as
        it can be. Each march adds `STRIDE`, so that they tell of different steps.
    state : array, shape (n,)
        At the end of that step.
    march : callable
        Solves a problem twice: see `judging`.
    paths : dict of array
        By the number of steps, the states that `path` copies.
    wanted, plan, compared : object
        Whatever the times are of, what was prepared, and what the solution was compared of: notes of who wrote that.
    """

    def __init__(self, solver: Solver, attempts: int, count: int = 0) -> None:
        n, self._machine = solver.n, solver.machine
        self._is_in_lanes = solver.compares_in_lanes
        sizes = [prod(one.shape) for one in solver.parameters]
        parts = {
            "parameters": sum(sizes), "start": n, "states": COMPARED * n, "ends": COMPARED,
            "counts": COMPARED * len(COUNTS), "queue": 1, "given": GIVEN, "asked": len(ASKED), "t": attempts + 1,
            "told": len(TOLD) + 2 * n, "y": (attempts + 1) * n + SLACK, "slopes": attempts * n + SLACK,
            "members": attempts, "rates": COMPARED * n,
            "times": count, "values": COMPARED * count * n, "apart": count,
        }  # fmt: skip
        places = dict(zip(parts, accumulate(parts.values(), initial=0), strict=False))
        block: Any = np.zeros(sum(parts.values()))
        t, y, slopes = (block[places[name] :] for name in ("t", "y", "slopes"))
        self.t, self.y = t[: attempts + 1], y[: (attempts + 1) * n].reshape(-1, n)
        self.slopes = slopes[: attempts * n].reshape(attempts, n)
        self._n, self._bytes = n, memoryview(block).cast("B")
        self._apart, self._count = 8 * places["apart"], count
        times, values = (block[places[name] :] for name in ("times", "values"))
        self.times, self.values = times[:count], values[: count * n].reshape(count, n)
        self.wanted: Any = None
        self.plan: Any = None
        self.compared: Any = None
        self._ask = Struct(f"={GIVEN + 2}d").pack_into
        self._given = 8 * places["given"]
        self._begin = block[places["t"] : places["t"] + 1]
        rows, end = places["asked"] + ASKED.index("row"), places["told"] + parts["told"]
        self.row, self.state = block[rows : rows + 1].view(np.int64), block[end - n : end]
        block[rows + 1 : rows + 2].view(np.int64)[0] = STRIDE
        self._share, self._told = block[rows + 2 : rows + 3], block[places["told"] : end]
        self.paths: dict[int, Any] = {}
        self._rows = self._pointers(block, places, sizes)
        self._numbers = np.zeros(len(NUMBERS), dtype=np.int64)
        self._numbers[[MEMBERS, MOST, CAPACITY, WANTED]] = COMPARED, MOST_STEPS, attempts, 1
        self._numbers[[TIME_COUNT, VALUED]] = count, COMPARED if count else 0
        self._worker = worker = Worker(solver)
        self._template, memory = aligned(worker.memory.nbytes), own_address(worker.memory)
        begin, machine = own_address(block), self._machine
        places["numbers"] = places["parameters"]  # and the start
        addresses = [begin + 8 * places[name] for name in PLACES[PLACES.index("states") :]]
        self.copy_of_state = self.state.copy
        self._task = np.array([
            machine.address, machine.table, memory, own_address(self._template), *addresses,
            worker.memory.nbytes // (8 * AT_ONCE), attempts, n, count, sum(sizes),
            BRIEF // max(1, solver.operations), *objects(self.copy_of_state),
        ], dtype=np.int64)  # fmt: skip
        self.march = judging(own_address(self._task))
        self._errors: tuple[Any, Any] | None = None
        """Objects whose addresses the task has."""
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

    def prepare(
        self, begin: float, end: float, tolerances: tuple[float, float, float], longest: tuple[float, float],
        rtol: float, atol: float, share: float = 0.0,
    ) -> None:  # fmt: skip
        """
        Take what marches have in common.

        Parameters
        ----------
        begin, end : float
        tolerances : tuple of float
            The relative and the absolute one, and a factor for the second march.
        longest : tuple of float
            The longest step of each march.
        rtol, atol : float
            Tolerances that are the unit of the error.
        share : float
            Of slopes, up to which functions have to give them.
        """
        self.plan = None  # in case that it is not written
        if tolerances != self._tolerances:
            self._fill(tolerances)
        self._begin[0], self._share[0] = begin, share
        given = end, 0.0, *longest, 1.0, self._tightness
        self._ask(self._bytes, self._given, *given, rtol, atol)

    def path(self, steps: int) -> Any:
        """
        States `(n, m)` at the begin and after so many steps.

        No later march changes them, and nobody else has the former ones.
        """
        found = self.paths.get(steps)
        if found is None:
            found = self.y[: steps + 1].T
            if len(self.paths) < FEW:
                self.paths[steps] = found
        return found.copy("K")

    def told(self) -> tuple[float, float, list[float]]:
        """The time of the row, the size of its smallest slope, and its slopes."""
        told = self._told.tolist()
        return told[TIME], told[LEAST], told[len(TOLD) : len(TOLD) + self._n]

    def see_errors(self) -> None:
        """Note how floating-point errors are handled now, so that functions can be called without warnings of them."""
        if ERRORS is not None:
            self._errors = found = error_values()
            self._task[SEEN : SEEN + 2] = list(map(id, found))

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

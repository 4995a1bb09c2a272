"""All members of an ensemble, by compiled solvers: in lanes and threads, first by one method, then by another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

import numpy as np

from ..._arrays.threads import available_threads
from .integrate import Run, Solver
from .libm import vector_bytes
from .loop import PAUSE
from .members import Form
from .status import Status


@dataclass
class Ends:
    """
    What became of members.

    Attributes
    ----------
    y : array, shape (members, n)
        States at their ends.
    t : array, shape (members,)
        Times of these.
    counts : array of int, shape (members, 4)
        As those of `Run`, summed over methods; the status is that of the last method.
    methods : array of int, shape (members,)
        Number of the last method.
    since : array, shape (members,)
        Times at which it began.
    values : array, shape (valued, m, n), or None
        At the times that were asked for; NaN beyond the ends of members that failed.
    rates : array, shape (members, n), or None
        Values of the right-hand side at the ends of members, as the solver has them, if all begin with the first method
        and there are several lanes; of other methods, they are those of the last one before.
    changes : array of bool, shape (members,), or None
        Whether modes of members have changed in any of their steps; None if that is not known, or not of all of these.
    run : Run or None
        What has the memory of the others, besides `values`, if all begin with the first method.
    """

    y: Any
    t: Any
    counts: Any
    methods: Any
    since: Any
    values: Any
    rates: Any = None
    changes: Any = None
    run: Run | None = None

    def give_back(self) -> None:
        """Let later runs have the memory of what is not wanted any more: all but `values`."""
        if self.run is not None:
            self.run.give_back()


def integrate_members(
    makers: Sequence[Callable[[Form], Solver]], t0: Any, end: Any, y0: Any, *, rtol: Any, atol: Any,
    max_step: Any = inf, first_step: Any = 0.0, share: Any = 1.0, parameters: Sequence[Any] = (),
    shared: Sequence[bool] = (), times: Any = None, valued: int | None = None, most: int | None = None,
    first_methods: Any = None, stretches: Any = None, lanes: int | None = None, threads: int | None = None,
    report: Callable[[int], object] | None = None, watches: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> Ends:  # fmt: skip
    """
    Solve all members; those that are stiff for a method go on with the next one.

    Parameters
    ----------
    makers : sequence of callables
        The solver of each method, by its form.
    t0, end, y0, rtol, atol, max_step, first_step, share, parameters, times, valued, most
        As for `Solver.start`.
    shared : sequence of bool
        Of each parameter: whether it is the same for all members.
    first_methods : array of int, shape (members,), optional
        Numbers of the methods to begin with; by default, the first one.
    stretches : array of shape (m, 3) or (members, m, 3), optional
        Stretches of the span, the same for all members or those of each; see `Solver.start`.
    lanes : int, optional
        Members at a time; by default, as many as fit into a vector, unless there is only one. What becomes of a member
        depends, by rounding, on whether there are several lanes, but not on the other members.
    threads : int, optional
        By default, as many as there are cores, if there are enough members.
    report : callable, optional
        Called with the number of members that have ended, every now and then. Ctrl-C is noticed at the same times.
    watches : bool
        Whether the first method watches modes, with several lanes.
    meanwhile : callable, optional
        Called once, while other threads have begun already.

    Raises
    ------
    UnsupportedError
        If a method that is needed has no machine code.
    """
    y0 = np.asarray(y0)
    count = y0.shape[0]
    valued, lanes = count if valued is None else valued, lanes or (widest(y0.dtype) if count > 1 else 1)
    options = {"rtol": rtol, "atol": atol, "most": most}
    begin = _Begin(tuple(shared), lanes, threads, options, times, stretches)
    is_usual, found = first_methods is None or not np.any(first_methods), None
    if is_usual:
        run = begin.run(
            makers[0], slice(None), t0, end, y0, max_step, first_step, share, parameters, valued, watches=watches
        )
        ended = _finish(run, 0, report, meanwhile)
        found = Ends(run.y, run.t, run.counts, np.zeros(count, np.int64), np.empty(count), run.values, run.rates)
        found.since[...], found.run = t0, run
        if ended == count:
            found.changes = run.changes
            return found
    else:
        if meanwhile is not None:
            meanwhile()
        ended, since = 0, np.array(np.broadcast_to(np.asarray(t0, dtype=np.float64), (count,)))
        found = Ends(np.array(y0), since, np.zeros((count, 4), np.int64), np.zeros(count, np.int64), since.copy(), None)
    for number in range(int(is_usual), len(makers)):
        begins = _beginning(found, first_methods, is_usual, number)
        if not begins.shape[0]:
            continue
        begun = found.counts[begins, 0] == Status.STIFF
        first_steps = np.where(begun, 0.0, _of(begins, first_step))
        given = [one if same else np.asarray(one)[begins] for one, same in zip(parameters, shared, strict=True)]
        found.since[begins] = found.t[begins]
        run = begin.run(
            makers[number], begins, found.t[begins], _of(begins, end), found.y[begins], _of(begins, max_step),
            first_steps, _of(begins, share), given, int(np.searchsorted(begins, valued)), begun,
        )  # fmt: skip
        ended = _finish(run, ended, report)
        if times is not None and found.values is None:
            found.values = np.full((valued, *run.values.shape[1:]), np.nan, y0.dtype)
        _enter(found, run, begins, number)
    return found


@dataclass(frozen=True)
class _Begin:
    """Begins solves of members by one method after the other; the attributes are arguments of `integrate_members`."""

    shared: tuple[bool, ...]
    lanes: int
    threads: int | None
    options: dict[str, Any]
    times: Any
    stretches: Any

    def run(
        self, make: Callable[[Form], Solver], some: Any, t0: Any, end: Any, y0: Any, max_step: Any, first_step: Any,
        share: Any, parameters: Sequence[Any], valued: int, begun: Any = None, *, watches: bool = False,
    ) -> Run:  # fmt: skip
        """A run of some members, whose numbers are given; `begun` says which of them another method has left."""
        times, stretches = self.times, self.stretches
        has_times = times is not None
        form = form_of(self.lanes, self.shared, has_times, stretches is not None, watches)
        if begun is not None and stretches is not None:
            stretches = _left_of(_of_each(stretches, some), t0, begun)
        return make(form).start(
            t0, end, y0, max_step=max_step, first_step=first_step, share=share, parameters=parameters,
            times=times if times is None or np.ndim(times) == 1 else np.asarray(times)[some],
            valued=valued, stretches=stretches, **self.options,
            threads=self.threads or threads_of(y0.shape[0], self.lanes),
        )  # fmt: skip


@lru_cache(maxsize=64)
def form_of(lanes: int, shared: tuple[bool, ...], has_times: bool, has_stretches: bool, watches: bool) -> Form:
    """The form of solvers."""
    return Form(
        lanes, shared, has_times=has_times, checks_polynomials=has_times, has_stretches=has_stretches, watches=watches
    )


def threads_of(members: int, lanes: int) -> int:
    """Threads that march members."""
    return min(available_threads(), max(1, members // (2 * lanes)))


def _beginning(found: Ends, first_methods: Any, is_usual: bool, number: int) -> Any:
    """Which members begin with a method: those that are to, and those that an earlier one has left."""
    are_stiff = found.counts[:, 0] == int(Status.STIFF)
    return np.flatnonzero(are_stiff if is_usual else are_stiff | (first_methods == number))


def widest(dtype: Any) -> int:
    """Numbers of a dtype that fit into a vector."""
    return vector_bytes() // int(np.dtype(dtype).itemsize)


def _left_of(stretches: Any, t: Any, begun: Any) -> Any:
    """Stretches of members that are at some times: those that they have not passed, as many for all."""
    if not begun.any():
        return stretches
    ends, count = stretches[..., 0], stretches.shape[-2]
    way = 1.0 if bool((ends[..., -1] >= ends[..., 0]).all()) else -1.0
    first = np.where(begun, (way * ends <= way * t[:, None]).sum(axis=1), 0)
    places = np.minimum(first[:, None] + np.arange(count), count - 1)
    return stretches[places] if stretches.ndim == 2 else np.take_along_axis(stretches, places[..., None], axis=1)


def _of_each(stretches: Any, members: Any) -> Any:
    """Stretches of some members."""
    return stretches if stretches.ndim == 2 else stretches[members]


def _of(members: Any, one: Any) -> Any:
    """What some members have, of what all have, or each."""
    return one if np.ndim(one) == 0 else np.asarray(one)[members]


def _finish(
    run: Run, before: int, report: Callable[[int], object] | None, meanwhile: Callable[[], object] | None = None
) -> int:  # fmt: skip
    """
    Run to the end; `report` is called with the number of members that have ended, besides those before.

    Returns how many members have ended that no further method goes on with, besides those before.
    """
    to_the_end(run, None if report is None else lambda ended: report(before + ended), meanwhile)
    run.end()
    return before + int(np.count_nonzero(run.counts[:, 0] != int(Status.STIFF)))


def to_the_end(
    run: Run, report: Callable[[int], object] | None = None, meanwhile: Callable[[], object] | None = None
) -> None:  # fmt: skip
    """
    Go on to the end of all members, with returns to Python, which let threads wait for each other.

    `report` is called at these with the number of members that have ended, `meanwhile` once: see `Run.advance`.
    """
    solver = run.solver
    while True:
        attempts, begin = solver.attempts, time.perf_counter()
        left = run.advance(attempts, meanwhile)
        meanwhile = None
        if report is not None:
            report(run.ended)
        if not left:
            return
        pace = max(time.perf_counter() - begin, 1e-9) / attempts
        solver.attempts = int(min(max(PAUSE / pace, 1), 64 * attempts))


def _enter(found: Ends, run: Run, members: Any, method: int) -> None:
    """Note what became of some members."""
    found.y[members], found.t[members], found.methods[members] = run.y, run.t, method
    found.counts[members, 0] = run.counts[:, 0]
    found.counts[members, 1:] += run.counts[:, 1:]
    if found.values is None:
        return
    some = members[: run.values.shape[0]]
    found.values[some] = np.where(np.isnan(run.values), found.values[some], run.values)

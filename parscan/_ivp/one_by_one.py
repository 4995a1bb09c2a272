"""Batches with events: every member is a problem of its own, which ends at its own events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import isfinite, isnan, nan
from typing import Any, NamedTuple

from .._arrays.counts import counted
from .._arrays.namespace import Array, copy, library, machine_epsilon, quiet, random_moves
from .._engine.termination import Failure, Termination
from .._reporting.progress import Report
from .compiled.alone import places as named
from .core.near_start import SPREAD
from .core.problem import Problem
from .result.report import build_result
from .result.result import IvpResult, IvpStatus

COMPARED = 5
"""Members, spread over the batch, for which `fun` alone is compared with `fun` for the whole batch."""

CLOSE = 1e-9
"""Relative difference of the two that is accepted; in single precision, as much as its digits differ."""

Solve = Callable[..., IvpResult]
"""The public function."""


class Reading(NamedTuple):
    """
    Which arrays in `args` have numbers for each member.

    Attributes
    ----------
    takes_apart : bool
        Arrays whose last axes are those of the batch.
    takes_ones : bool
        Also such as have a single number along these axes.
    """

    takes_apart: bool
    takes_ones: bool


READINGS = Reading(True, False), Reading(True, True), Reading(False, False)
"""In this order; the first one with which `fun` for a member alone is what it is in the batch.

A vector of parameters that all members share may be as long as the batch, or both may have one entry.
"""


@dataclass(frozen=True)
class OneByOne:
    """
    A batch as single problems.

    Parameters
    ----------
    problem : Problem
        The batch.
    solve : callable
        Solves a single problem.
    reading : Reading
        Which arrays in its `args` have numbers for each member.
    """

    problem: Problem
    solve: Solve
    reading: Reading

    @cached_property
    def _indices(self) -> list[tuple[int, ...]]:
        """Places of the members in the batch."""
        return list(product(*map(range, self.problem.batch)))

    def args_of(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        """Arguments of one member."""
        return tuple(self._own(arg, index) for arg in self.problem.args)

    def _own(self, arg: Any, index: tuple[int, ...]) -> Any:
        """The part of an argument that belongs to a member; all of it if that is the same for all."""
        batch = self.problem.batch
        if not self.reading.takes_apart or not isinstance(arg, type(self.problem.y0)) or not arg.ndim:
            return arg
        lengths = arg.shape[-len(batch) :]
        of_batch = batch[len(batch) - len(lengths) :]
        fits = all(one in (1, length) for one, length in zip(lengths, of_batch, strict=True))
        if not fits or (all(one == 1 for one in lengths) and not self.reading.takes_ones):
            return arg
        own = index[len(batch) - len(lengths) :]
        places: tuple[Any, ...] = tuple(0 if one == 1 else k for k, one in zip(own, lengths, strict=True))
        found = arg[(..., *places)]
        return found if found.ndim else found.item()

    def reject_others(self) -> None:
        """Raise if `fun` for a member alone is not what it is for the whole batch."""
        problem, (begin, end) = self.problem, self.problem.span
        if library(problem.y0) != "numpy":
            raise ValueError(f"`events` of a batch need NumPy arrays, but `y0` is of {library(problem.y0)}.")
        later = begin + SPREAD**2 * (end - begin if isfinite(end) else 1.0)
        xp, y0 = problem.xp, problem.y0
        moved = y0 + SPREAD * random_moves(y0.shape, y0, seed=1) * (y0 + (y0 == 0))
        some = {k * (len(self._indices) - 1) // max(1, COMPARED - 1) for k in range(COMPARED)}
        rhs = problem.right_hand_side()
        for t, states in ((begin, y0), (later, moved)):
            with quiet():
                together = xp.moveaxis(rhs.at(t, copy(xp.moveaxis(states, -1, 0))), 0, -1)
            for index in (self._indices[k] for k in sorted(some)):
                self._compare(t, states[index], together[index], index)

    def _compare(self, t: float, state: Array, expected: Array, index: tuple[int, ...]) -> None:
        """Raise if `fun` for a member alone differs from its values in the batch."""
        problem = replace(self.problem, y0=state, args=self.args_of(index))
        try:
            with quiet():
                found = problem.right_hand_side().at(t, copy(state))
        except Exception as error:
            raise ValueError(self._refusal(f"raises {type(error).__name__} for member {_name(index)} alone")) from error
        close = max(CLOSE, 100 * machine_epsilon(state.dtype))
        xp = problem.xp
        if bool(xp.any(xp.abs(found - expected) > close * xp.maximum(xp.abs(found), xp.abs(expected)))):
            raise ValueError(self._refusal(f"gives something else for member {_name(index)} alone than in the batch"))

    def _refusal(self, what: str) -> str:
        """Why members are not problems of their own."""
        return (
            f"`events` of a batch are watched for each member alone, but `fun` {what}: members must not depend on each "
            "other, and what differs between them must be in `args`, in arrays whose last axes are those of the batch, "
            f"{self.problem.batch}."
        )

    def result(self, times: Array | None, options: dict[str, Any], report: Report | None) -> IvpResult:
        """All members. Without `times`, states are given at the steps of the first one, and at the end of the span."""
        problem, xp = self.problem, self.problem.xp
        if times is None:
            first = self._member(self._indices[0], None, options)
            end = problem.span[1]
            is_short = isfinite(end) and float(first.t[-1]) != end
            times = xp.concat([first.t, xp.asarray([end])]) if is_short else first.t
            times = times[xp.concat([xp.asarray([True]), xp.diff(times) != 0])]  # an event at the start doubles it
        y: Any = xp.full((problem.y0.shape[-1], times.shape[0], *problem.batch), nan, dtype=problem.y0.dtype)
        found = list[IvpResult]()
        length = abs(problem.span[1] - problem.span[0])
        for number, index in enumerate(self._indices):
            one = self._member(index, times, options)
            y[(slice(None), slice(one.t.shape[0]), *index)] = one.y
            found.append(replace(one, y=one.y[:, :0], t=one.t[:0], _solution=None, _polynomial=None))
            if report is not None:
                report(length * (number + 1) / len(self._indices), method=one.method, window=0)
        return self._joined(times, y, found)

    def _member(self, index: tuple[int, ...], times: Array | None, options: dict[str, Any]) -> IvpResult:
        problem = self.problem
        state = copy(problem.y0[index])
        return self.solve(problem.fun, problem.span, state, t_eval=times, args=self.args_of(index), **options)

    def _joined(self, times: Array, y: Array, found: list[IvpResult]) -> IvpResult:
        """One result of all."""
        bad = [number for number, one in enumerate(found) if not one.success]
        stopped = sum(one.status is IvpStatus.EVENT for one in found)
        failure, failed_at = None, nan
        if bad:
            worst = found[bad[0]]
            failure = Failure(worst.termination, f"{named(bad, self.problem.batch)}: {worst.message}")
            failed_at = float(worst.mesh[-1])
        done = (
            f"{counted(len(found), 'member')} one by one, {stopped} of which ended at a terminal event; the first one: "
            f"{found[0].message}"
        )
        made = build_result(
            found[0].method, times, y, times, done, failure=failure, failed_at=failed_at,
            nfev=sum(one.nfev for one in found), njev=sum(one.njev for one in found),
            nlu=sum(one.nlu for one in found), npoints=sum(one.npoints for one in found),
            error_estimate=max((one.error_estimate for one in found if not isnan(one.error_estimate)), default=nan),
            compiled=all(one.compiled for one in found),
            decisions=found[0].decisions,
        )  # fmt: skip
        listed = range(len(found[0].t_events or ()))
        made = replace(
            made,
            t_events=[self._by_member([one.t_events[k] for one in found if one.t_events]) for k in listed],
            y_events=[self._by_member([one.y_events[k] for one in found if one.y_events]) for k in listed],
        )
        if bad or stopped < len(found):
            return made
        return replace(made, status=IvpStatus.EVENT, termination=Termination.EVENT)

    def _by_member(self, arrays: list[Array]) -> Any:
        """Arrays of members as lists, one within the other for each axis of the batch."""
        rows = iter(arrays)
        return _nested(rows, self.problem.batch)


def _nested(rows: Iterator[Array], lengths: tuple[int, ...]) -> Any:
    if not lengths:
        return next(rows)
    return [_nested(rows, lengths[1:]) for _ in range(lengths[0])]


def _name(index: tuple[int, ...]) -> str:
    return str(index[0] if len(index) == 1 else index)


def solve_members(
    problem: Problem, solve: Solve, times: Array | None, options: dict[str, Any], report: Report | None
) -> IvpResult:  # fmt: skip
    """The result of a batch with events; raises if its members are no problems of their own."""
    return as_single(problem, solve).result(times, options, report)


def as_single(problem: Problem, solve: Solve) -> OneByOne:
    """A batch as single problems; raises what refuses the first reading of its `args`, if none is accepted."""
    refusals = list[ValueError]()
    for reading in READINGS:
        batch = OneByOne(problem, solve, reading)
        try:
            batch.reject_others()
        except ValueError as refusal:
            refusals.append(refusal)
        else:
            return batch
    raise refusals[0]

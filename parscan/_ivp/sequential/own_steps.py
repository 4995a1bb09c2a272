"""Solves of stiff batches by Rodas5P on arrays, with steps of its own for every member."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf, isnan, prod
from typing import Any

from ..._arrays.namespace import Array, copy, library, quiet, random_moves
from ..._functions.right_hand_side import RightHandSide
from ..._reporting.progress import Report
from ..coarse.rodas5p import NoHeadwayError, OwnSteps, Tolerances
from ..coarse.steps import Steps
from ..core.evaluation import Evaluation
from ..core.near_start import SPREAD
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.stretches import stretches
from ..core.watched import reached_by
from ..result.report import build_result, within
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from .on_mesh import retrace

MOST = 12
"""Components up to which Jacobians by differences, and their inverses, cost less than a solution on a mesh."""

TIGHT, MANY = 1e-7, 200
"""Relative tolerance below which long intervals of high order are cheaper; not so for that many members."""

SHARES = 1.0, 0.1
"""Factors on the tolerances of two marches that tell the error of the second one."""

GAIN = 5.0
"""By which the error of the second march is smaller than that of the first, at least: errors are of fourth order."""

WANTED, AIM, FAR = 2.0, 0.3, 100.0
"""Error, in tolerances, above which members are solved once more; error at which that aims; error of no success."""

LEAST = 1e-12
"""Smallest relative tolerance of a march."""

CLOSE = 1e-10
"""Relative difference of slopes that is accepted."""

SAMPLES, LOOKED_AT = 16, 4
"""Calls whose slopes, at times of each member's own, are compared with those at one time: so many or up to twice as
many, evenly spread; members of each."""


class _RefusedError(Exception):
    """The function does not take a time for each member, or raises."""


def solve_with_own_steps(
    problem: Problem, evaluation: Evaluation, times: Array | None, report: Report | None = None
) -> IvpResult | None:
    """The result; None if the function cannot be called with a time for each member, or if no small error is told."""
    if not _may_pay(problem):
        return None
    batch = _Batch(problem, evaluation.right_hand_side_of_steps().strict())
    try:
        with quiet():
            if not batch.is_separate():
                return None
            found = batch.solved(times, report)
    except (NoHeadwayError, _RefusedError):
        return None
    return None if found is None else _result(problem, evaluation, batch, *found)


def _may_pay(problem: Problem) -> bool:
    """Whether this is probably faster than a solution on a mesh, which has nodes wherever one member needs them."""
    y0 = problem.y0
    is_real = library(y0) == "numpy" and y0.dtype == problem.xp.float64
    is_loose = problem.rtol >= TIGHT or prod(problem.batch) >= MANY
    return is_real and is_loose and y0.shape[-1] <= MOST and problem.jac is None


class _Batch:
    """The members of a batch in a row, and their marches."""

    def __init__(self, problem: Problem, rhs: RightHandSide) -> None:
        self._problem, self.rhs = problem, rhs
        self._xp, self._count, self._n = problem.xp, prod(problem.batch), problem.y0.shape[-1]
        self._calls, self._stride, self._samples = 0, 1, list[tuple[RightHandSide, Array, Array, Array]]()

    def is_separate(self) -> bool:
        """Whether slopes of members depend on their own time and state only, near the begin."""
        xp, problem, (begin, end) = self._xp, self._problem, self._problem.span
        y = self._row(problem.y0)
        moved = y + SPREAD * random_moves(y.shape, y, seed=1) * (y + (y == 0))
        later = begin + SPREAD**2 * (end - begin)
        is_first = xp.arange(self._count) % 2 == 0
        here, there = (self._at(self.rhs, time, state) for time, state in ((begin, y), (later, moved)))
        for first in (is_first, ~is_first):
            t = xp.where(first, begin, later)
            found = self._at(self.rhs, t, xp.where(first, y, moved))
            if not self._agree(found, xp.where(first, here, there)):
                return False
        return True

    def solved(self, times: Array | None, report: Report | None) -> tuple[Array, Array, float, int] | None:
        """Times, states there `(n, m, b)` and the error in tolerances, and the number of rounds; None if it is far."""
        told = reached_by("Rodas5P", self._problem.span[0], report)
        before, nodes = self._march(SHARES[0], self._xp.zeros(0) if times is None else times, told)
        t = self._xp.asarray(nodes) if times is None else times
        share, rounds = SHARES[1], 1
        while True:
            now, _ = self._march(share, t, told)
            rounds += 1
            error = self._apart(before.y, now.y) / GAIN
            least = share * self._problem.rtol <= LEAST
            if error <= WANTED or least or rounds > len(SHARES):
                break
            before, share = now, max(share * AIM / max(error, 1e-300), LEAST / self._problem.rtol)
        if not (error <= FAR and self._are_confirmed()):
            return None
        self.y = now.y
        return t, now.values, error, rounds

    def _march(
        self, share: float, times: Array, told: Callable[[float], object] | None
    ) -> tuple[OwnSteps, list[float]]:
        """A march with a share of the tolerances, from stretch to stretch between jumps; nodes of the first member."""
        problem, xp, y = self._problem, self._xp, self._row(self._problem.y0)
        tolerances = Tolerances(*(self._column(share * part) for part in (problem.rtols, problem.atol)))
        nodes, values = [problem.span[0]], xp.full((self._n, times.shape[0], self._count), float("nan"))
        for rhs, begin, end in self._parts():
            low, high = min(begin, end), max(begin, end)
            some = (times >= low) & (times <= high)
            march = OwnSteps(self._noted(rhs), (begin, end), y, tolerances, problem.max_step, times[some])
            march.run(told)
            y, values[:, some, :] = march.y, march.values
            nodes += march.nodes[1:]
        march.values = values
        return march, nodes

    def _parts(self) -> list[tuple[RightHandSide, float, float]]:
        """The stretches between jumps, and the right-hand side in each."""
        problem = self._problem
        if problem.breaks is None:
            return [(self.rhs, *problem.span)]
        every = stretches(problem.span, problem.breaks)
        return [(self.rhs.within(one.low, one.high), one.begin, one.end) for one in every]

    def _noted(self, rhs: RightHandSide) -> Callable[[Array, Array], Array]:
        """Slopes; some of them are noted, to be compared with those at one time."""

        def slopes(t: Array, y: Array) -> Array:
            found = self._at(rhs, t, y)
            self._calls += 1
            if self._calls % self._stride == 0:
                self._samples.append((rhs, copy(t), copy(y), found))
                if len(self._samples) == 2 * SAMPLES:
                    self._samples, self._stride = self._samples[1::2], 2 * self._stride
            return found

        return slopes

    def _are_confirmed(self) -> bool:
        """Whether slopes at times of each member's own are those at one time for all."""
        xp = self._xp
        for rhs, t, y, found in self._samples:
            some = {
                int(xp.argmin(t)),
                int(xp.argmax(t)),
                *(k * (self._count - 1) // LOOKED_AT for k in range(LOOKED_AT)),
            }
            for member in some:
                expected = self._at(rhs, float(t[member]), y)
                if not self._agree(found[:, member], expected[:, member]):
                    return False
        return True

    def _at(self, rhs: RightHandSide, t: Any, y: Array) -> Array:
        """Slopes `(n, b)` at a time, or at one for each member."""
        xp, batch = self._xp, self._problem.batch
        try:
            given = t if isinstance(t, float) else xp.reshape(copy(t), batch)
            return xp.reshape(rhs.at(given, xp.reshape(copy(y), (self._n, *batch))), (self._n, self._count))
        except Exception as error:
            raise _RefusedError from error

    def _agree(self, one: Array, other: Array) -> bool:
        """Whether slopes are the same up to rounding; those that are not finite are as good as any."""
        xp = self._xp
        apart, size = xp.abs(one - other), xp.maximum(xp.abs(one), xp.abs(other))
        return not bool(xp.any((apart > CLOSE * size) & xp.isfinite(apart)))

    def _apart(self, one: Array, other: Array) -> float:
        """Largest distance of states in tolerances."""
        problem = self._problem
        tolerances = Tolerances(*(self._column(part) for part in (problem.rtols, problem.atol)))
        found = float(self._xp.max(tolerances.largest(one - other, self._xp.abs(other))))
        return inf if isnan(found) else found

    def _row(self, states: Array) -> Array:
        """States `(*batch, n)` as `(n, b)`."""
        xp = self._xp
        return xp.moveaxis(xp.reshape(states, (-1, self._n)), -1, 0)

    def _column(self, tolerance: Any) -> Any:
        """Tolerances of components `(n,)` as `(n, 1)`."""
        xp = self._xp
        return xp.reshape(xp.broadcast_to(xp.asarray(tolerance, dtype=xp.float64), (self._n,)), (-1, 1))


def _result(
    problem: Problem, evaluation: Evaluation, batch: _Batch, t: Array, values: Array, error: float, rounds: int
) -> IvpResult:  # fmt: skip
    xp, (begin, end), counts = problem.xp, problem.span, batch.rhs.counts
    y = xp.reshape(values, (*values.shape[:2], *problem.batch))
    inner = (t > min(begin, end)) & (t < max(begin, end))
    nodes = xp.concat([xp.asarray([begin]), t[inner], xp.asarray([end])])
    last = xp.reshape(xp.moveaxis(batch.y, 0, -1), problem.y0.shape)
    states = xp.concat([problem.y0[None, ...], xp.moveaxis(y[:, inner, ...], 0, -1), last[None, ...]])
    follow = cache(lambda: retrace(evaluation, Steps(nodes, states)))
    return build_result(
        "Rodas5P",
        within(t, nodes),
        y,
        nodes,
        f"The batch is stiff: Rodas5P, {rounds} times, with steps of its own for every member. The estimated error at "
        f"the end is {error:.2g} tolerances.",
        nfev=counts.nfev,
        npoints=counts.npoints,
        error_estimate=error,
        _polynomial=lambda: follow().solution,
        _solution=Derivatives(follow, Scale(problem.rtols, problem.atol)),
    )

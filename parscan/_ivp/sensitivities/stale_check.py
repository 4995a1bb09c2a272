"""Checks that a solution still solves the problem: the user may have changed data that `fun` reads."""

from __future__ import annotations

from math import inf

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..methods.discretisation import Discretisation
from ..methods.newton import iterate

FAR, WELL_OFF, SETTLED = 300.0, 10.0, 1.0
"""Corrections, in tolerances, above which the problem must have changed: of a solution by other steps, and of one by
its own method, whose corrections are below the third number, unless Newton's method could not solve all of it."""

AT_ONCE, FEWEST = 256, 3
"""Intervals in which the solution is corrected at once; and fewer ones, in which nothing grows that was not there."""

POINTS, JUMP = 64, 0.2
"""Parts of an interval, and share of a range within one of them that shows a jump: solvers may err there."""

COARSE, COARSER, SHRUNK = 24, 8, 1 / 200
"""Parts of a few intervals between whose ends fourth differences are taken, also of parts shorter by the second number;
and the share to which they shrink then unless there is a jump or a kink."""

ROUNDINGS = 4.0
"""Change of a state by its rounding, and by that of what it was found from, in the spacing of numbers of its size."""

ITERATIONS = 5
"""Largest number of iterations of Newton's method on a few intervals."""

CHANGED = (
    "the derivatives cannot be evaluated: `fun` no longer gives this solution. Something that it reads, `args` for "
    "example, has been changed since; solve again, or change copies."
)


def reject_changed(rhs: RightHandSide, method: Discretisation, solution: PiecewisePolynomial, scale: Scale) -> None:
    """
    Raise if a Newton iteration would change the solution by more than a few tolerances, within any few intervals.

    Where the solution is steepest, most changes show. Others may be short, as those of a row of a table.
    """
    if not solution.y.size:
        return
    if has_changed(rhs, method, solution, scale):
        raise RuntimeError(CHANGED)


def has_changed(
    rhs: RightHandSide, method: Discretisation, solution: PiecewisePolynomial, scale: Scale, most: float = WELL_OFF
) -> bool:
    """Whether it would change it by more than `most` tolerances."""
    return _is_off(rhs, method, steepest(solution, scale), scale, most) or any(
        _has_changed(rhs, method, solution, scale, most, first, min(first + AT_ONCE, solution.intervals))
        for first in range(0, solution.intervals, AT_ONCE)
    )


def reject_others(
    rhs: RightHandSide, method: Discretisation, given: PiecewisePolynomial, solution: PiecewisePolynomial, scale: Scale
) -> None:  # fmt: skip
    """
    Raise if a method that is not that of a given solution does not find it: its own is another, within few intervals.

    Solutions may come apart without a change, since errors grow; and where `fun` jumps, a method may find none.
    """
    with quiet():
        apart = scale.relative((solution.evaluate(given.t) - given.y)[1:, ...], given)
    if float(given.xp.max(apart)) <= FAR:
        return
    parts = [given.part(slice(k, k + FEWEST)) for k in range(0, given.intervals, FEWEST - 1)]
    sizes = [_found(rhs, method, part, scale) for part in parts]
    if min(sizes) == inf or any(
        FAR < size < inf and not _jumps(rhs, part) and size > _explained(rhs, part, scale)
        for size, part in zip(sizes, parts, strict=True)
    ):
        raise RuntimeError(CHANGED)


def _jumps(rhs: RightHandSide, part: PiecewisePolynomial) -> bool:
    """Whether the right-hand side jumps along a part: a good part of its range is between two of many points."""
    xp = part.xp
    times = xp.reshape(part.times(xp.arange(POINTS + 1, dtype=part.t.dtype) / POINTS), (-1,))
    with quiet():
        values = rhs(times, part.evaluate(times))
        changes, range_ = xp.abs(values[1:, ...] - values[:-1, ...]), xp.max(values, axis=0) - xp.min(values, axis=0)
        return bool(xp.any(xp.max(changes, axis=0) > JUMP * range_))


def _explained(rhs: RightHandSide, part: PiecewisePolynomial, scale: Scale) -> float:
    """
    How far a solution may be off, in tolerances, for jumps and kinks of the right-hand side along a part; 0 for none.

    Fourth differences of a smooth function shrink by 4096 if the distance of its points shrinks by 8, those at a kink
    by 8, those at a jump not at all. By a jump that it does not see, a method errs by no more than the jump times the
    length of the part; by a kink, about as much as by a jump as large as the kink makes in an eighth of an interval.
    """
    xp, first, last = part.xp, part.t[0], part.t[-1]
    times = first + (last - first) * (xp.arange(COARSE * COARSER + 1, dtype=part.t.dtype) / (COARSE * COARSER))
    with quiet():
        values = rhs(times, part.evaluate(times))
        fine, coarse = (xp.max(_fourth(values[::stride, ...]), axis=0) for stride in (1, COARSER))
        off = xp.where(fine > SHRUNK * coarse, coarse, xp.zeros_like(coarse)) * xp.abs(last - first)
        sizes = scale.relative(off[None, ...] + 0 * part.y[1:, ...], part)
    return float(xp.max(xp.where(xp.isfinite(sizes), sizes, xp.zeros_like(sizes))))


def _fourth(values: Array) -> Array:
    """Sizes of fourth differences."""
    outer, inner = values[:-4, ...] + values[4:, ...], values[1:-3, ...] + values[3:-1, ...]
    return array_namespace(values).abs(outer - 4 * inner + 6 * values[2:-2, ...])


def _found(rhs: RightHandSide, method: Discretisation, part: PiecewisePolynomial, scale: Scale) -> float:
    """How far the solution by a method is from a part that was given, in tolerances; infinity if it finds none."""
    found = iterate(method, rhs, part, scale, 1.0, ITERATIONS)
    if found.solved != part.intervals:
        return inf
    return float(part.xp.max(scale.relative(found.trial.y[1:, ...] - part.y[1:, ...], part)))


def _has_changed(
    rhs: RightHandSide,
    method: Discretisation,
    solution: PiecewisePolynomial,
    scale: Scale,
    most: float,
    first: int,
    last: int,
) -> bool:
    """Whether the solution has to be changed in some intervals: all at once, or by halves, since changes may grow."""
    if needed(rhs, method, solution.part(slice(first, last)), scale) <= most:
        return False
    if last - first <= FEWEST:
        return _is_off(rhs, method, solution.part(slice(first, last)), scale, most)
    middle = (first + last) // 2
    return any(_has_changed(rhs, method, solution, scale, most, *some) for some in ((first, middle), (middle, last)))


def _is_off(rhs: RightHandSide, method: Discretisation, part: PiecewisePolynomial, scale: Scale, most: float) -> bool:
    """Whether a part has to be changed by more than `most` tolerances, and not since a stage is at a jump of `fun`."""
    size = needed(rhs, method, part, scale)
    return not size <= most and not size <= _rounded_away(rhs, part, scale)


def _rounded_away(rhs: RightHandSide, part: PiecewisePolynomial, scale: Scale) -> float:
    """
    How far a part may be off, in tolerances, since rounding takes stages across jumps of the right-hand side.

    A node may be where the solution crosses a threshold; its state was rounded after that, to single precision above
    all, and then is on either side.
    """
    xp = part.xp
    times = xp.reshape(part.stage_times, (-1,))
    with quiet():
        states = part.evaluate(times)
        values, signs = rhs(times, states), random_signs(states.shape, states, seed=0)
        size = ROUNDINGS * machine_epsilon(states.dtype) * xp.max(xp.abs(states), axis=0)
        changes = xp.stack([xp.abs(rhs(times, states + way * size) - values) for way in (1, -1, signs, -signs)])
        change, range_ = xp.max(changes, axis=(0, 1)), xp.max(values, axis=0) - xp.min(values, axis=0)
        leaps = xp.where(change > JUMP * range_, change, xp.zeros_like(change)) * xp.abs(part.t[-1] - part.t[0])
        sizes = scale.relative(leaps[None, ...] + 0 * part.y[1:, ...], part)
    return float(xp.max(xp.where(xp.isfinite(sizes), sizes, xp.zeros_like(sizes))))


def needed(rhs: RightHandSide, method: Discretisation, solution: PiecewisePolynomial, scale: Scale) -> float:
    """Largest correction of a Newton iteration, in tolerances."""
    with quiet():
        sizes = method.correct(rhs, solution, scale).sizes
    return float(array_namespace(sizes).max(sizes))


def steepest(solution: PiecewisePolynomial, scale: Scale) -> PiecewisePolynomial:
    """The interval in which the solution changes most, with its neighbours."""
    xp = solution.xp
    changes = _changes(solution, scale)
    first = max(0, int(xp.argmax(changes)) - 1)
    last = min(first + 3, solution.intervals)
    return solution.part(slice(first, last))


def _changes(solution: PiecewisePolynomial, scale: Scale) -> Array:
    """Changes over the intervals, `(N,)`, in tolerances."""
    xp = solution.xp
    sizes = scale.relative(solution.y[1:, ...] - solution.y[:-1, ...], solution)
    return xp.where(xp.isfinite(sizes), sizes, xp.zeros_like(sizes))

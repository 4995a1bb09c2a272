"""Locates jumps and kinks of the right-hand side, and jumps of its second derivative, within intervals.

If errors are hardly smaller on a finer mesh, the right-hand side may not be smooth: it interpolates a table, or
switches. In each interval it is evaluated at equidistant times, and fourth differences of the values show the place.
With the distance of the samples, differences do not shrink at a jump, shrink as its first power at a kink, and as its
fourth power where the function is smooth. The part around the largest difference is sampled again, more closely, and so
on. Each call of the right-hand side serves all intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, log2, prod

from ..._arrays.cached import cached_property
from ..._arrays.elementwise import as_reals
from ..._arrays.memory import at_once
from ..._arrays.namespace import Array, Namespace, array_namespace, machine_epsilon, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.mesh import among
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale

PARTS = 24
"""Number of equal parts into which the samples divide a stretch."""

DIFFERENCES = 4
"""Order of the differences: each spans this many neighbouring parts."""

LARGE = 1.0
"""Smallest effect on its interval, in tolerances, with which a difference counts."""

ZOOMS, ZOOM = 3, 4
"""How often the search zooms in to see the power with which differences shrink, and by which factor."""

JUMP, KINK, SMOOTH = 0.5, 1.5, 3.5
"""Bounds for the power with which differences shrink: below the first, they are those of a jump; below the second, of a
kink; from the third on, of a smooth function."""

OUTSTANDING = 50.0
"""Least ratio of the largest difference to the lower third of all: rounding and smooth functions stay below."""

UNEVEN = 1.0
"""The last observed power may be below the mean by at most this: differences of smooth functions soon are rounding."""

ASIDE = 1 / 8
"""Share of an interval by which samples go beyond its ends: a discontinuity shows on both sides."""

CLOSER = 2
"""Number of stretches about a kink; each is as long as two parts of the previous one."""

MOST_PARTS, PLACES = 256, 4096
"""Largest number of parts of one stretch, and of all stretches together, when a jump is narrowed down."""

LEFT = 0.5
"""A change is a jump if it keeps at least this share of its size when the samples get close."""

SAME = 64 * machine_epsilon("float64")
"""Times whose relative difference is at most this count as equal."""

CLOSE = 1e-6
"""Least distance of two breakpoints, as a share of their interval."""


@dataclass(frozen=True)
class Stretches:
    """Parts from `low` to `high` `(B,)` of the intervals of a trial that have the numbers `interval` `(B,)`."""

    interval: Array
    low: Array
    high: Array

    @property
    def xp(self) -> Namespace:
        """The array library."""
        return array_namespace(self.low)

    def some(self, flags: Array) -> Stretches:
        """The stretches with a flag."""
        return Stretches(self.interval[flags], self.low[flags], self.high[flags])

    def at(self, share: Array) -> Array:
        """Times at these shares `(B,)` of the stretches."""
        return self.low + share * (self.high - self.low)

    def between(self, begin: Array, end: Array) -> Stretches:
        """The parts of the stretches from one share `(B,)` to another."""
        width = self.high - self.low
        return replace(self, low=self.low + begin * width, high=self.high - (1 - end) * width)

    def about(self, middle: Array, share: float) -> Stretches:
        """The parts of this length about the shares `middle` `(B,)`, as far as they are inside the stretches."""
        begin, end = middle - share / 2, middle + share / 2
        return self.between(self.xp.clip(begin, 0.0, 1.0), self.xp.clip(end, 0.0, 1.0))


@dataclass(frozen=True)
class Samples:
    """Samples of the right-hand side in stretches, at the states `states(times, intervals)`."""

    rhs: RightHandSide
    trial: PiecewisePolynomial
    scale: Scale
    states: Callable[[Array, Array], Array]

    def values(self, stretches: Stretches, parts: int = PARTS) -> Array:
        """Values at equidistant times, times the lengths of the intervals, in tolerances: real, `(B, parts + 1, C)`."""
        xp = self.trial.xp
        shares = xp.arange(parts + 1, dtype=self.trial.t.dtype) / parts
        times = stretches.low[:, None] + (stretches.high - stretches.low)[:, None] * shares
        flat = xp.reshape(times, (-1,))
        intervals = xp.reshape(xp.broadcast_to(stretches.interval[:, None], times.shape), (-1,))
        with quiet():
            values = self.rhs(flat, self.states(flat, intervals))
            weights = xp.take(self.weights, stretches.interval, axis=0)[:, None, :]
            return as_reals(xp, xp.reshape(values, (*times.shape, -1)) * weights)

    @cached_property
    def weights(self) -> Array:
        """Lengths of the intervals divided by tolerances, `(N, C)`."""
        xp = self.trial.xp
        y = xp.abs(self.trial.y)
        bound = self.scale.atol + self.scale.rtol * xp.maximum(y[:-1, ...], y[1:, ...])
        return xp.abs(self.trial.steps)[:, None] / xp.reshape(bound, (self.trial.intervals, -1))

    def peaks(self, stretches: Stretches) -> tuple[Array, Array, Array]:
        """The sum of the differences about the largest one, the lower third of all, and the place of the largest.

        Each difference is the largest over all components; the place is a share of the stretch.
        """
        xp, values = self.trial.xp, self.values(stretches)
        for _ in range(DIFFERENCES):
            values = values[:, 1:, :] - values[:, :-1, :]
        sizes = xp.max(xp.abs(values), axis=2)
        place = xp.argmax(sizes, axis=1)
        near = xp.abs(xp.arange(sizes.shape[1])[None, :] - place[:, None]) < DIFFERENCES
        peak = xp.sum(xp.where(near, sizes, xp.zeros_like(sizes)), axis=1)
        usual = xp.sort(sizes, axis=1)[:, sizes.shape[1] // 3]
        return peak, usual, (xp.astype(place, sizes.dtype) + DIFFERENCES / 2) / PARTS


def find(rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale, some: Array, bad: Array) -> Array | None:
    """Times, ascending, within `some` intervals, at which the right-hand side is not smooth; None if there are none.

    First the state is held fixed: any discontinuity is then one in time. In the remaining intervals that are `bad`, the
    right-hand side is sampled along the polynomials of the trial, which are near the solution. There jumps do not
    count, since a jump in the state moves when the trial moves. The flags of the intervals are `(N,)`.
    """
    xp = trial.xp
    numbers = xp.arange(trial.intervals)[some]
    count, group = numbers.shape[0], at_once((PARTS + 1) * prod(trial.y.shape[1:]))
    groups = [numbers[first : min(first + group, count)] for first in range(0, count, group)]
    found = [_of_some(rhs, trial, scale, some, bad) for some in groups]
    times = xp.sort(xp.concat(found)) if found else trial.t[:0]
    return _distinct(trial, times) if times.shape[0] else None


def _of_some(rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale, numbers: Array, bad: Array) -> Array:
    """The times within the intervals with these numbers, in any order."""
    xp = trial.xp

    def frozen(times: Array, intervals: Array) -> Array:
        return xp.take(trial.y, intervals, axis=0)

    def along(times: Array, intervals: Array) -> Array:
        begin, end = xp.take(trial.t, intervals), xp.take(trial.t, intervals + 1)
        return trial.state(intervals, (times - begin) / (end - begin))

    times, found = _located(Samples(rhs, trial, scale, frozen), _with_sides(trial, numbers), jumps=True)
    numbers = numbers[xp.take(bad, numbers)]
    for beyond in (True,) if trial.breaks is None else (True, False):  # a kink in the state may lie beside a breakpoint
        numbers = numbers[~among(numbers, xp.sort(found))] if found.shape[0] else numbers
        if numbers.shape[0]:
            sides = _with_sides(trial, numbers, beyond_breaks=beyond)
            more, found = _located(Samples(rhs, trial, scale, along), sides, jumps=False)
            times = xp.concat([times, more])
    return times


def _located(samples: Samples, stretches: Stretches, *, jumps: bool) -> tuple[Array, Array]:
    """Times of discontinuities, at most one for each interval, and the numbers of their intervals."""
    xp = samples.trial.xp
    stretches, power = _narrowed(samples, stretches)
    weak = stretches.some(power >= KINK)
    found = [((weak.low + weak.high) / 2, weak.interval)]
    kinked = stretches.some((power >= JUMP) & (power < KINK))
    if kinked.low.shape[0]:
        found.append((_of_kinks(samples, kinked), kinked.interval))
    jumping = stretches.some(power < JUMP)
    if jumps and jumping.low.shape[0]:
        found.append(_of_jumps(samples, jumping))
    times, intervals = (xp.concat(some) for some in zip(*found, strict=True))
    new = _within(samples.trial, times, intervals)
    return times[new], intervals[new]


def _within(trial: PiecewisePolynomial, times: Array, intervals: Array) -> Array:
    """Flags of the times that are within their intervals, the ends included, and not close to known breakpoints."""
    xp = trial.xp
    begin, end = xp.take(trial.t, intervals), xp.take(trial.t, intervals + 1)
    rounding = SAME * xp.abs(times)
    new = (times >= xp.minimum(begin, end) - rounding) & (times <= xp.maximum(begin, end) + rounding)
    if trial.breaks is None:
        return new
    apart = xp.maximum(rounding, CLOSE * xp.abs(end - begin))
    after = xp.searchsorted(trial.breaks, times)
    for known in (after - 1, after):
        nearest = xp.take(trial.breaks, xp.clip(known, 0, trial.breaks.shape[0] - 1))
        new = new & (xp.abs(nearest - times) > apart)
    return new


def _with_sides(trial: PiecewisePolynomial, numbers: Array, *, beyond_breaks: bool = False) -> Stretches:
    """The intervals, extended at both ends except at the ends of the mesh and, unless `beyond_breaks`, breakpoints."""
    xp, t = trial.xp, trial.t
    ends = xp.concat([xp.ones_like(t[:1]), xp.zeros_like(t[1:-1]), xp.ones_like(t[:1])]) > 0
    fixed = ends if beyond_breaks else ends | trial.mesh.at_breaks
    aside = xp.where(fixed, xp.zeros_like(t), xp.full_like(t, ASIDE))
    inner = Stretches(numbers, xp.take(trial.begins, numbers), xp.take(trial.ends, numbers))
    return inner.between(-xp.take(aside, numbers), 1 + xp.take(aside, numbers + 1))


def _narrowed(samples: Samples, stretches: Stretches) -> tuple[Stretches, Array]:
    """Short stretches where the function is not smooth, and the powers of their length with which differences shrink.

    Where the function is smooth, differences soon are rounding, which shrinks more slowly: `UNEVEN` excludes this.
    """
    xp = stretches.xp
    peaks: list[Array] = []
    for zoom in range(ZOOMS + 1):
        peak, usual, place = samples.peaks(stretches)
        stretches = stretches.about(place, 1 / ZOOM)
        least = {0: LARGE, ZOOMS: OUTSTANDING * usual}.get(zoom, 0.0)
        seen = xp.isfinite(peak) & (peak > least)
        stretches, peaks = stretches.some(seen), [sizes[seen] for sizes in (*peaks, peak)]
        if not bool(xp.any(seen)):
            return stretches, peaks[0]
    powers = [xp.log2(before / after) / log2(ZOOM) for before, after in pairwise(peaks)]
    power = sum(powers[1:], powers[0]) / ZOOMS
    seen = (power < SMOOTH) & (powers[-1] > power - UNEVEN)
    return stretches.some(seen), power[seen]


def _of_kinks(samples: Samples, stretches: Stretches) -> Array:
    """Times of kinks: second differences of a kink are a hat function, so their centre of mass is the kink."""
    xp = stretches.xp
    t = stretches.low
    for _ in range(CLOSER):
        values = samples.values(stretches)
        bends = values[:, 2:, :] - 2 * values[:, 1:-1, :] + values[:, :-2, :]
        share = (xp.arange(PARTS - 1, dtype=stretches.low.dtype) / (PARTS - 2))[None, :, None]
        bends = bends - (1 - share) * bends[:, :1, :] - share * bends[:, -1:, :]
        weights = xp.sum(xp.sum(bends, axis=1)[:, None, :] * bends, axis=2)
        places = (xp.arange(PARTS - 1, dtype=stretches.low.dtype) + 1) / PARTS
        with quiet():
            mean = xp.sum(weights * places, axis=1) / xp.sum(weights, axis=1)
        mean = xp.where((mean > 0) & (mean < 1), mean, xp.full_like(mean, 0.5))
        t, stretches = stretches.at(mean), stretches.about(mean, 2 / PARTS)
    return t


def _of_jumps(samples: Samples, stretches: Stretches) -> tuple[Array, Array]:
    """The first times after jumps, exact to a few spacings of the numbers, and the numbers of their intervals."""
    xp = stretches.xp
    most = min(PLACES, at_once(prod(samples.trial.y.shape[1:])))
    parts = max(PARTS, min(MOST_PARTS, most // stretches.low.shape[0]))
    spacing = machine_epsilon("float64") * xp.maximum(xp.abs(stretches.low), xp.abs(stretches.high))
    wide = float(xp.max(xp.abs(stretches.high - stretches.low) / spacing))
    first = last = xp.zeros_like(stretches.low)
    for closer in range(ceil(log2(max(parts, wide)) / log2(parts))):
        values = samples.values(stretches, parts)
        changes = xp.sum(xp.abs(values[:, 1:, :] - values[:, :-1, :]), axis=2)
        last = xp.max(changes, axis=1)
        first = last if closer == 0 else first
        place = xp.astype(xp.argmax(changes, axis=1), stretches.low.dtype)
        stretches = stretches.between(place / parts, (place + 1) / parts)
    jumps = stretches.some(last > LEFT * first)
    return jumps.high, jumps.interval


def _distinct(trial: PiecewisePolynomial, times: Array) -> Array:
    """The ascending times without those that are close to the previous one; near an end of the mesh, the end itself."""
    xp, t = trial.xp, trial.t
    direction = 1.0 if bool(t[-1] > t[0]) else -1.0
    interval = xp.clip(xp.searchsorted(direction * t, direction * times) - 1, 0, trial.intervals - 1)
    steps = xp.abs(xp.take(t, interval + 1) - xp.take(t, interval))
    apart = xp.maximum(SAME * xp.abs(times), CLOSE * steps)
    for end in (t[0], t[-1]):
        times = xp.where(xp.abs(times - end) <= apart, end, times)
    return times[xp.concat([xp.ones_like(times[:1]) > 0, times[1:] - times[:-1] > apart[1:]])]

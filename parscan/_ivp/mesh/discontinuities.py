"""Jumps and kinks of the right-hand side within intervals, and of its second derivative: where they are.

Where a mesh is finer and its errors are hardly smaller, the right-hand side may not be smooth: it interpolates a table,
or switches. Interval by interval it is evaluated at equal distances, and differences of these values show the place:
with the distances, those of a jump do not shrink, those of a kink do as their first power, and others as their fourth.
The stretch with the largest difference is evaluated again, and so on; all intervals in each call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import ceil, log2, prod

from ..._arrays.elementwise import as_reals
from ..._arrays.memory import at_once
from ..._arrays.namespace import Array, Namespace, array_namespace, machine_epsilon, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.mesh import among
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale

PARTS = 24
"""Parts of a stretch between which it is evaluated."""

DIFFERENCES = 4
"""Order of the differences; this many neighbouring parts contain the place that makes one large."""

LARGE = 1.0
"""Effect of a difference on its interval, in tolerances, from which on it is of interest."""

ZOOMS, ZOOM = 3, 4
"""Number of stretches whose differences show how smooth the function is, and ratio of lengths of successive ones."""

JUMP, KINK, SMOOTH = 0.5, 1.5, 3.5
"""Powers of the distance: differences that shrink as a lower one are of a jump, of a kink, of anything but a smooth
function."""

OUTSTANDING = 50.0
"""Ratio of the largest difference to their lower third; neither rounding nor a smooth function reaches it."""

UNEVEN = 1.0
"""Largest change of the power from one length to the next: differences of smooth functions soon are rounding."""

ASIDE = 1 / 8
"""Share of an interval by which samples go beyond its ends: a discontinuity shows on both sides."""

CLOSER = 2
"""Stretches about a kink, each of two parts of the one before."""

MOST_PARTS, PLACES = 256, 4096
"""Parts of a stretch at most, and of all stretches together, where a jump is narrowed down."""

LEFT = 0.5
"""Smallest share of its size that a jump keeps at any distance of the samples."""

SAME = 64 * machine_epsilon("float64")
"""Times that differ by less, as a share of their size, are one."""

CLOSE = 1e-6
"""Share of an interval by which breakpoints are apart."""


@dataclass(frozen=True)
class Stretches:
    """Stretches from `low` to `high` `(B,)`, each of an interval of a trial, whose numbers are `interval` `(B,)`."""

    interval: Array
    low: Array
    high: Array

    @cached_property
    def xp(self) -> Namespace:
        """The array library."""
        return array_namespace(self.low)

    def some(self, flags: Array) -> Stretches:
        """Those with a flag."""
        return Stretches(self.interval[flags], self.low[flags], self.high[flags])

    def at(self, share: Array) -> Array:
        """Times at a share of each `(B,)`."""
        return self.low + share * (self.high - self.low)

    def between(self, begin: Array, end: Array) -> Stretches:
        """From a share of each to another one."""
        width = self.high - self.low
        return replace(self, low=self.low + begin * width, high=self.high - (1 - end) * width)

    def about(self, middle: Array, share: float) -> Stretches:
        """Shorter ones about a share of each `(B,)`, as far as they are within it."""
        begin, end = middle - share / 2, middle + share / 2
        return self.between(self.xp.clip(begin, 0.0, 1.0), self.xp.clip(end, 0.0, 1.0))


@dataclass(frozen=True)
class Sight:
    """Samples of the right-hand side in stretches, at the states `states(times, intervals)`."""

    rhs: RightHandSide
    trial: PiecewisePolynomial
    scale: Scale
    states: Callable[[Array, Array], Array]

    def values(self, stretches: Stretches, parts: int = PARTS) -> Array:
        """Effect of values at equal distances on their interval, in tolerances, `(B, parts + 1, C)`; real numbers."""
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
        """Lengths of the intervals over tolerances, `(N, C)`."""
        xp = self.trial.xp
        y = xp.abs(self.trial.y)
        bound = self.scale.atol + self.scale.rtol * xp.maximum(y[:-1, ...], y[1:, ...])
        return xp.abs(self.trial.steps)[:, None] / xp.reshape(bound, (self.trial.intervals, -1))

    def peaks(self, stretches: Stretches) -> tuple[Array, Array, Array]:
        """The sum of the differences about the largest one, the lower third of all, and the place as a share.

        A difference is the largest over all components.
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
    """Times, ascending, within some intervals, at which the right-hand side is not smooth; None if there are none.

    It is sampled for one state first: a discontinuity there is one in time. In those of the intervals that are bad
    otherwise, it is sampled along the polynomials of the trial, which are near the solution; there, jumps do not
    count: they move with it. The flags of the intervals are `(N,)`.
    """
    xp = trial.xp
    numbers = xp.arange(trial.intervals)[some]
    count, group = numbers.shape[0], at_once((PARTS + 1) * prod(trial.y.shape[1:]))
    groups = [numbers[first : min(first + group, count)] for first in range(0, count, group)]
    found = [_of_some(rhs, trial, scale, some, bad) for some in groups]
    times = xp.sort(xp.concat(found)) if found else trial.t[:0]
    return _distinct(trial, times) if times.shape[0] else None


def _of_some(rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale, numbers: Array, bad: Array) -> Array:
    """The same of the intervals with these numbers, in any order."""
    xp = trial.xp

    def frozen(times: Array, intervals: Array) -> Array:
        return xp.take(trial.y, intervals, axis=0)

    def along(times: Array, intervals: Array) -> Array:
        begin, end = xp.take(trial.t, intervals), xp.take(trial.t, intervals + 1)
        return trial.state(intervals, (times - begin) / (end - begin))

    times, found = _located(Sight(rhs, trial, scale, frozen), _with_sides(trial, numbers), jumps=True)
    numbers = numbers[xp.take(bad, numbers)]
    for beyond in (True,) if trial.breaks is None else (True, False):  # kinks in the state leave breakpoints
        numbers = numbers[~among(numbers, xp.sort(found))] if found.shape[0] else numbers
        if numbers.shape[0]:
            sides = _with_sides(trial, numbers, beyond_breaks=beyond)
            more, found = _located(Sight(rhs, trial, scale, along), sides, jumps=False)
            times = xp.concat([times, more])
    return times


def _located(sight: Sight, stretches: Stretches, *, jumps: bool) -> tuple[Array, Array]:
    """Times, and in which of the intervals they are; at most one for each."""
    xp = sight.trial.xp
    stretches, power = _narrowed(sight, stretches)
    weak = stretches.some(power >= KINK)
    found = [((weak.low + weak.high) / 2, weak.interval)]
    kinked = stretches.some((power >= JUMP) & (power < KINK))
    if kinked.low.shape[0]:
        found.append((_of_kinks(sight, kinked), kinked.interval))
    jumping = stretches.some(power < JUMP)
    if jumps and jumping.low.shape[0]:
        found.append(_of_jumps(sight, jumping))
    times, intervals = (xp.concat(some) for some in zip(*found, strict=True))
    new = _within(sight.trial, times, intervals)
    return times[new], intervals[new]


def _within(trial: PiecewisePolynomial, times: Array, intervals: Array) -> Array:
    """Flags of the times that are within their intervals, the ends included, and apart from known breakpoints."""
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
    """The intervals with their neighbourhoods, but for what is beyond the mesh, or beyond breakpoints."""
    xp, t = trial.xp, trial.t
    ends = xp.concat([xp.ones_like(t[:1]), xp.zeros_like(t[1:-1]), xp.ones_like(t[:1])]) > 0
    fixed = ends if beyond_breaks else ends | trial.mesh.at_breaks
    aside = xp.where(fixed, xp.zeros_like(t), xp.full_like(t, ASIDE))
    inner = Stretches(numbers, xp.take(trial.begins, numbers), xp.take(trial.ends, numbers))
    return inner.between(-xp.take(aside, numbers), 1 + xp.take(aside, numbers + 1))


def _narrowed(sight: Sight, stretches: Stretches) -> tuple[Stretches, Array]:
    """Short stretches in which the function is not smooth, and the power of their length as which differences shrink.

    Where it is smooth, differences end in rounding, which shrinks less than they did before.
    """
    xp = stretches.xp
    peaks: list[Array] = []
    for zoom in range(ZOOMS + 1):
        peak, usual, place = sight.peaks(stretches)
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


def _of_kinks(sight: Sight, stretches: Stretches) -> Array:
    """Times of kinks: second differences are those of a hat, so that their mean place is that of the kink."""
    xp = stretches.xp
    t = stretches.low
    for _ in range(CLOSER):
        values = sight.values(stretches)
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


def _of_jumps(sight: Sight, stretches: Stretches) -> tuple[Array, Array]:
    """Times of jumps, to a few spacings of the numbers there: the first ones behind them; and their intervals."""
    xp = stretches.xp
    most = min(PLACES, at_once(prod(sight.trial.y.shape[1:])))
    parts = max(PARTS, min(MOST_PARTS, most // stretches.low.shape[0]))
    spacing = machine_epsilon("float64") * xp.maximum(xp.abs(stretches.low), xp.abs(stretches.high))
    wide = float(xp.max(xp.abs(stretches.high - stretches.low) / spacing))
    first = last = xp.zeros_like(stretches.low)
    for closer in range(ceil(log2(max(parts, wide)) / log2(parts))):
        values = sight.values(stretches, parts)
        changes = xp.sum(xp.abs(values[:, 1:, :] - values[:, :-1, :]), axis=2)
        last = xp.max(changes, axis=1)
        first = last if closer == 0 else first
        place = xp.astype(xp.argmax(changes, axis=1), stretches.low.dtype)
        stretches = stretches.between(place / parts, (place + 1) / parts)
    jumps = stretches.some(last > LEFT * first)
    return jumps.high, jumps.interval


def _distinct(trial: PiecewisePolynomial, times: Array) -> Array:
    """Those of the ascending times that are apart from one another; near an end of the mesh, the end itself."""
    xp, t = trial.xp, trial.t
    direction = 1.0 if bool(t[-1] > t[0]) else -1.0
    interval = xp.clip(xp.searchsorted(direction * t, direction * times) - 1, 0, trial.intervals - 1)
    steps = xp.abs(xp.take(t, interval + 1) - xp.take(t, interval))
    apart = xp.maximum(SAME * xp.abs(times), CLOSE * steps)
    for end in (t[0], t[-1]):
        times = xp.where(xp.abs(times - end) <= apart, end, times)
    return times[xp.concat([xp.ones_like(times[:1]) > 0, times[1:] - times[:-1] > apart[1:]])]

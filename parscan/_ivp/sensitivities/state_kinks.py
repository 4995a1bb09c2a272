"""Kinks of the right-hand side along a solution, located by its values alone, where no record shows them.

In each interval and a little beyond, the right-hand side is evaluated at equidistant times on the polynomial. Fourth
differences of a smooth function are tiny and change slowly; those of a kink stand out among their neighbours. The parts
around one are divided again and again. At last, parabolas through values on both sides cross at the kink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..._arrays.elementwise import is_complex
from ..._arrays.memory import at_once
from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial

PARTS, ASIDE = 24, 3
"""Number of parts of an interval, and of such parts beyond each of its ends."""

SPAN = 4
"""Parts that a difference spans; a kink shows in no others than those about it."""

OUTSTANDING = 8.0
"""Least ratio of a difference at a kink to those which do not contain it."""

ROUNDINGS = 64
"""Smaller differences, in roundings of the largest value, are noise."""

ZOOMS = 3
"""How often the surroundings of a kink are divided: each time, into parts that are shorter by the factor 4."""

CLEAR, NOISE = 16.0, 256
"""A kink is clear if its effect exceeds the misfit of the parabolas by this factor, and so many roundings."""

CANDIDATES = 2048
"""Largest number of places that are looked at: those with the largest differences."""

SAME, BEYOND = 1e-5, 1e-4
"""Kinks nearer to each other than this share of an interval are one, and those further beyond its end are the
neighbour's."""


@dataclass(frozen=True)
class Places:
    """Stretches of intervals with the numbers `interval`, from shares `low` to `high`; of each, a column of values."""

    interval: Array
    low: Array
    high: Array
    column: Array

    def some(self, flags: Array) -> Places:
        """Those with a flag."""
        return Places(self.interval[flags], self.low[flags], self.high[flags], self.column[flags])


def state_kinks(rhs: RightHandSide, solution: PiecewisePolynomial) -> Array:
    """Times `(k,)` along a solution at which its slope has a kink, in their order; none where `fun` raises."""
    xp = solution.xp
    none = solution.t[:0]
    if math.prod(solution.y.shape) == 0 or is_complex(solution.y):
        return none
    try:
        with quiet():
            scale = _scale(rhs(solution.t, solution.y))
            group = at_once((PARTS + 2 * ASIDE) * math.prod(solution.y.shape[1:]))
            parts = [
                _candidates(rhs, solution, xp.arange(first, min(first + group, solution.intervals)), scale)
                for first in range(0, solution.intervals, group)
            ]
            weights = xp.concat([weight for weight, _ in parts])
            joined = zip(*(vars(part).values() for _, part in parts), strict=True)
            found = Places(*(xp.concat(list(each)) for each in joined))
            if weights.shape[0] > CANDIDATES:
                found = found.some(weights >= xp.sort(weights)[-CANDIDATES])
            for _ in range(ZOOMS):
                found = _closer(rhs, solution, found)
            return _distinct(solution, *_located(rhs, solution, found, xp.take(scale, found.column)))
    except Exception:  # `fun` may reject states beside the solution: then there is nothing to compare
        return none


def _scale(values: Array) -> Array:
    """Largest size of each component of each member, `(C,)`."""
    xp = array_namespace(values)
    size = xp.abs(xp.reshape(values, (values.shape[0], -1)))
    return xp.max(xp.where(xp.isfinite(size), size, xp.zeros_like(size)), axis=0)


def _values(
    rhs: RightHandSide, solution: PiecewisePolynomial, interval: Array, theta: Array, factor: float = 1.0
) -> Array:
    """Values `(k, p, C)` at shares `(k, p)` of intervals, of the states times a factor."""
    xp, (k, p) = solution.xp, theta.shape
    rows, shares = xp.repeat(interval, p), xp.reshape(theta, (-1,))
    begin = xp.take(solution.t, rows)
    times = begin + shares * (xp.take(solution.t, rows + 1) - begin)
    low, high = min(solution.t[0], solution.t[-1]), max(solution.t[0], solution.t[-1])
    return xp.reshape(rhs(xp.clip(times, low, high), factor * solution.state(rows, shares)), (k, p, -1))


def _own(values: Array, column: Array) -> Array:
    """The column of each place among values `(k, p, C)`, `(k, p)`."""
    xp = array_namespace(values)
    chosen = column[:, None, None] == xp.arange(values.shape[-1])[None, None, :]
    return xp.sum(xp.where(chosen, values, xp.zeros_like(values)), axis=-1)


def _differences(values: Array) -> Array:
    """Sizes of fourth differences along the second axis."""
    parts = [values[:, k : values.shape[1] - SPAN + k, ...] for k in range(SPAN + 1)]
    size: Array = array_namespace(values).abs(parts[0] - 4 * parts[1] + 6 * parts[2] - 4 * parts[3] + parts[4])
    return size


def _candidates(
    rhs: RightHandSide, solution: PiecewisePolynomial, interval: Array, scale: Array
) -> tuple[Array, Places]:  # fmt: skip
    """Surroundings of outstanding differences, each for the column in which it is largest, and how large they are."""
    xp, count = solution.xp, PARTS + 2 * ASIDE + 1
    shares = (xp.arange(count, dtype=solution.t.dtype) - ASIDE) / PARTS
    values = _values(rhs, solution, interval, xp.broadcast_to(shares, (interval.shape[0], count)))
    size = _differences(values)
    places = xp.arange(size.shape[1])
    before, after = (xp.take(size, xp.clip(places + k, 0, size.shape[1] - 1), axis=1) for k in (-SPAN, SPAN))
    smooth = xp.where(places[None, :, None] < SPAN, after, xp.minimum(before, after))
    smooth = xp.where(places[None, :, None] >= size.shape[1] - SPAN, before, smooth)
    stands = xp.isfinite(size) & (size > OUTSTANDING * smooth)
    stands = stands & (size > ROUNDINGS * machine_epsilon(values.dtype) * scale)
    relative = xp.where(stands, size / xp.where(scale > 0, scale, xp.ones_like(scale)), xp.zeros_like(size))
    largest, column = xp.max(relative, axis=-1), xp.argmax(relative, axis=-1)
    nearby = [xp.take(largest, xp.clip(places + k, 0, size.shape[1] - 1), axis=1) for k in (-1, 1)]
    rows, middle = xp.nonzero((largest > 0) & (largest >= nearby[0]) & (largest >= nearby[1]))
    flat = rows * size.shape[1] + middle
    low = xp.take(shares, middle)
    return (
        xp.take(xp.reshape(largest, (-1,)), flat),
        Places(xp.take(interval, rows), low, xp.take(shares, middle + SPAN), xp.take(xp.reshape(column, (-1,)), flat)),
    )


def _closer(rhs: RightHandSide, solution: PiecewisePolynomial, found: Places) -> Places:
    """The parts of the places in which the differences are largest."""
    xp = solution.xp
    if not found.interval.shape[0]:
        return found
    parts = xp.arange(4 * SPAN + 1, dtype=solution.t.dtype) / (4 * SPAN)
    theta = found.low[:, None] + (found.high - found.low)[:, None] * parts
    size = _differences(_own(_values(rhs, solution, found.interval, theta), found.column))
    first = xp.argmax(size, axis=1)[:, None]
    low, high = (xp.take_along_axis(theta, first + k, axis=1)[:, 0] for k in (0, SPAN))
    return Places(found.interval, low, high, found.column)


def _located(
    rhs: RightHandSide, solution: PiecewisePolynomial, found: Places, scale: Array
) -> tuple[Array, Array]:  # fmt: skip
    """Intervals and shares at which parabolas through values on both sides cross, of clear kinks."""
    xp = solution.xp
    if not found.interval.shape[0]:
        return found.interval, found.low
    width = found.high - found.low
    steps = xp.asarray([3.0, 2.0, 1.0, 0.0], dtype=width.dtype)
    theta = xp.concat(
        [found.low[:, None] - width[:, None] * steps, found.high[:, None] + width[:, None] * xp.flip(steps)], axis=1
    )
    values = _own(_values(rhs, solution, found.interval, theta), found.column)
    rounded = _values(rhs, solution, found.interval, theta, 1 + ROUNDINGS * machine_epsilon(values.dtype))
    noise = xp.max(xp.abs(_own(rounded, found.column) - values), axis=1)  # large terms may cancel
    left, right = values[:, :4], xp.flip(values[:, 4:], axis=1)
    misfit = sum(xp.abs(side[:, 0] - 3 * side[:, 1] + 3 * side[:, 2] - side[:, 3]) for side in (left, right))
    ahead = [side[:, 1] - 3 * side[:, 2] + 3 * side[:, 3] for side in (left, right)]  # one width further
    at_low, at_high = ahead[1] - left[:, 3], right[:, 3] - ahead[0]
    change = xp.abs(at_high - at_low)
    inside = at_low * at_high <= 0
    clear = (
        (change > CLEAR * misfit) & (change > noise) & (change > NOISE * machine_epsilon(scale.dtype) * scale) & inside
    )
    share = at_low / xp.where(clear, at_low - at_high, xp.ones_like(change))
    return found.interval[clear], (found.low + share * width)[clear]


def _distinct(solution: PiecewisePolynomial, interval: Array, theta: Array) -> Array:
    """Times inside the solution, in their order; of those that are the same, one."""
    xp, way = solution.xp, solution.direction
    begin, end = xp.take(solution.t, interval), xp.take(solution.t, interval + 1)
    near = (theta > -BEYOND) & (theta < 1 + BEYOND)
    times, length = (begin + theta * (end - begin))[near], xp.abs(end - begin)[near]
    order = xp.argsort(way * times)
    times, length = xp.take(times, order), xp.take(length, order)
    inner = (way * (times - solution.t[0]) > SAME * length) & (way * (solution.t[-1] - times) > SAME * length)
    times, length = times[inner], length[inner]
    if times.shape[0] < 2:
        return times
    apart = xp.concat([xp.ones(1, dtype=xp.bool), xp.abs(times[1:] - times[:-1]) > SAME * length[1:]])
    return times[apart]

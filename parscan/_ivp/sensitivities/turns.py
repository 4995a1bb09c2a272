"""
Where guards turn between places, and what they are in between: they may pass a level there and come back.

Between neighbouring places, a guard is taken for the cubic of its values and its slopes along the solution. A stretch
is halved until the cubic agrees with the guard in the middle and is monotone (Fritsch and Carlson, "Monotone piecewise
cubic interpolation", SIAM Journal on Numerical Analysis 17, 1980), or the guard stays away from its levels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..._arrays.namespace import Array, array_namespace
from ..core.polynomial import PiecewisePolynomial
from .jumping import LARGEST, Jumping, guards_at

ZERO, WHOLE = 0, 1
"""Levels of guards, as in `_recorded.switches`, which is slow to import."""

AGREES, MONOTONE = 0.05, 3.0
"""Share of the change that slopes allow by which a cubic may be off in the middle of a stretch; and largest slope, in
slopes of the chord, with which it is surely monotone."""

HALVINGS, ROUNDING = 32, 1e-12
"""Stretches are halved so often, unless the guard changes by less than this share of its largest distance in them."""

ASIDE = 2.0**-7
"""Distance at which guards are evaluated for slopes, as a share of a stretch."""


@dataclass(frozen=True, eq=False)
class Stretches:
    """
    Stretches `(m,)` between two times, of one guard each, with its values and slopes.

    `rows` are the numbers of the places before them.
    """

    low: Array
    high: Array
    first: Array
    last: Array
    rises: Array
    falls: Array
    guards: Array
    rows: Array

    def some(self, flags: Array) -> Stretches:
        """Those with a flag."""
        return Stretches(*(getattr(self, each.name)[flags] for each in fields(self)))

    @property
    def change(self) -> Array:
        """The largest change of the guard that its slopes allow."""
        size = array_namespace(self.low).abs
        return size(self.high - self.low) * (size(self.rises) + size(self.falls)) + size(self.last - self.first)

    @property
    def are_monotone(self) -> Array:
        """Flags of those whose cubic has no extremum inside."""
        size, chord = array_namespace(self.low).abs, (self.last - self.first) / (self.high - self.low)
        same = (self.rises * chord >= 0) & (self.falls * chord >= 0)
        return same & (size(self.rises) <= MONOTONE * size(chord)) & (size(self.falls) <= MONOTONE * size(chord))

    @property
    def turn(self) -> Array:
        """Flags of those at whose ends slopes have different signs."""
        return self.rises * self.falls <= 0

    @property
    def halfway(self) -> Array:
        """The cubic in the middle."""
        return (self.first + self.last) / 2 + (self.high - self.low) * (self.rises - self.falls) / 8

    def halves(self, middle: Array, value: Array, slope: Array) -> Stretches:
        """Both halves."""
        xp = array_namespace(self.low)
        left = (self.low, middle, self.first, value, self.rises, slope, self.guards, self.rows)
        right = (middle, self.high, value, self.last, slope, self.falls, self.guards, self.rows)
        return Stretches(*(xp.concat(list(pair)) for pair in zip(left, right, strict=True)))


def turns(found: Jumping, solution: PiecewisePolynomial, times: Array, modes: Array) -> tuple[Array, Stretches]:
    """Further times at which guards are beyond a level, and short stretches in which they turn beside one."""
    xp = solution.xp
    active, largest = _near(found, solution, times, modes)
    further, ended = [times[:0]], [active.some(slice(0, 0))]
    for _ in range(HALVINGS):
        middle, places = xp.unique_inverse((active.low + active.high) / 2)
        if not 0 < middle.shape[0] * modes.shape[1] <= LARGEST:
            break
        shortest = xp.min(xp.abs(active.high - active.low)) / 2
        now = found.at(middle, solution.evaluate(middle))
        values, slopes = _along(found, solution, middle, now, xp.full_like(middle, shortest))
        value, slope = values[places, active.guards], slopes[places, active.guards]
        level = found.modes.levels[active.guards]
        first, here, last = (_sides(level, one) for one in (active.first, value, active.last))
        further.append(middle[places][(first != here) | (here != last)])
        agrees = xp.abs(value - active.halfway) <= AGREES * active.change
        split, change = active.halves(middle[places], value, slope), xp.concat([active.change, active.change]) / 2
        ends = (gaps(xp.concat([level, level]), one) for one in (split.first, split.last))
        is_known = xp.concat([agrees, agrees]) & (split.are_monotone | (xp.minimum(*ends) > change))
        is_short = split.change <= ROUNDING * largest[split.guards]
        ended.append(split.some(~is_known & is_short))
        active = split.some(~is_known & ~is_short)
    columns = ([getattr(one, each.name) for one in [*ended, active]] for each in fields(Stretches))
    return xp.unique_values(xp.concat(further)), Stretches(*map(xp.concat, columns))


def _near(found: Jumping, solution: PiecewisePolynomial, times: Array, modes: Array) -> tuple[Stretches, Array]:
    """Stretches between neighbouring times in which guards may reach levels; and the guards' largest distances."""
    xp, lengths = solution.xp, times[1:] - times[:-1]
    sizes = xp.abs(lengths)
    shortest = xp.minimum(xp.concat([sizes[:1], sizes]), xp.concat([sizes, sizes[-1:]]))
    values, slopes = _along(found, solution, times, modes, shortest)
    far = gaps(found.modes.levels[None, :], values)
    largest = xp.max(xp.where(xp.isfinite(far), far, xp.zeros_like(far)), axis=0)
    steep = xp.abs(slopes)
    for _ in range(3):  # a slope may be zero where others are not
        steep = xp.concat([steep[:1, :], xp.maximum(steep[1:, :], steep[:-1, :]), steep[-1:, :]])
    change = 2 * sizes[:, None] * steep[2:-2, :] + xp.abs(values[1:, :] - values[:-1, :])
    near = xp.minimum(far[1:, :], far[:-1, :]) <= change
    rows, guards = xp.nonzero(near & found.matters[None, :] & (change > ROUNDING * largest[None, :]))
    first, last, rises, falls = (each[rows + step, guards] for each in (values, slopes) for step in (0, 1))
    return Stretches(times[rows], times[rows + 1], first, last, rises, falls, guards, rows), largest


def _along(
    found: Jumping, solution: PiecewisePolynomial, times: Array, modes: Array, lengths: Array
) -> tuple[Array, Array]:
    """Guards `(m, k)` in some modes, and their slopes, from differences along the slopes of the solution."""
    xp, states, slopes = solution.xp, solution.evaluate(times), solution.derivative(times)
    aside = ASIDE * lengths
    by = xp.reshape(aside, (-1, *(1,) * (states.ndim - 1))) * slopes
    ahead, behind = (guards_at(found, times + sign * aside, states + sign * by, modes) for sign in (1.0, -1.0))
    return guards_at(found, times, states, modes), (ahead - behind) / (2 * aside[:, None])


def _sides(levels: Array, values: Array) -> Array:
    """Numbers of the sides of levels on which guards are."""
    xp = array_namespace(values)
    return xp.where(levels == WHOLE, xp.floor(values), xp.sign(values))


def gaps(levels: Array, values: Array) -> Array:
    """Distances of guards from their nearest levels."""
    xp = array_namespace(values)
    part = values - xp.floor(values)
    far = xp.where(levels == WHOLE, xp.minimum(part, 1 - part), xp.full_like(values, xp.inf))
    return xp.where(levels == ZERO, xp.abs(values), far)

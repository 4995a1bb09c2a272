"""Where a guard comes nearest to its level between two places: it passes it for a while, or only touches it."""

from __future__ import annotations

from collections.abc import Iterator

from ..._arrays.namespace import Array, array_namespace
from ..core.polynomial import PiecewisePolynomial
from .crossing import NoDerivativeError
from .jumping import Jumping, guards_at, largest_sizes

ZERO, WHOLE = 0, 1
"""Levels of guards, as in `_recorded.switches`, which is slow to import."""

NEAR, SECTIONS, TOUCH = 0.5, 60, 1e-6
"""A guard is looked at more closely where a parabola comes nearer to its level than this share of its distance; so many
golden sections are made. It touches if the distance is this share of the largest one."""

LEAST = 1e-9
"""Smallest jump that counts, as a share of the largest value of its component: others are kinks, and rounding."""


def with_touches(found: Jumping, solution: PiecewisePolynomial, times: Array) -> Array:
    """
    The times with those between them at which a guard comes nearest to a level, and passes it for a while.

    Raises
    ------
    NoDerivativeError
        If the right-hand side jumps there, and the solution only touches the threshold.
    """
    xp, states = solution.xp, solution.evaluate(times)
    modes = found.at(times, states)
    values = guards_at(found, times, states, modes)
    far = _distances(found, values, values)
    left, here, right = far[:-2, :], far[1:-1, :], far[2:, :]
    stays = (modes[:-2, :] == modes[1:-1, :]) & (modes[1:-1, :] == modes[2:, :]) & found.matters[None, :]
    lowest = here - (right - left) ** 2 / (8 * (left - 2 * here + right))
    largest = xp.max(xp.where(xp.isfinite(far), far, xp.zeros_like(far)), axis=0)
    rows, guards = xp.nonzero(stays & (here <= left) & (here <= right) & (lowest < NEAR * xp.maximum(left, right)))
    if not rows.shape[0]:
        return times
    low, high, held, places = times[rows], times[rows + 2], modes[rows + 1, :], xp.arange(rows.shape[0])
    start = values[rows + 1, :]

    def distance(t: Array) -> Array:
        return _distances(found, guards_at(found, t, solution.evaluate(t), held), start)[places, guards]

    for _ in range(SECTIONS):
        first, second = low + (high - low) * 0.382, high - (high - low) * 0.382
        falls = distance(first) > distance(second)
        low, high = xp.where(falls, first, low), xp.where(falls, high, second)
    middle = (low + high) / 2
    passed = found.at(middle, y := solution.evaluate(middle))[places, guards] != held[places, guards]
    touches = ~passed & (xp.abs(distance(middle)) <= TOUCH * largest[guards]) & ~found.modes.kinks[guards]
    scale = largest_sizes(found.values(times, states, modes))
    for k in xp.nonzero(touches)[0].tolist():
        if is_beside_crossing(modes[:, guards[k]], far[:, guards[k]] > TOUCH * largest[guards[k]], int(rows[k])):
            continue
        for other in _others(held[k, :], int(guards[k])):
            both = found.values(middle[[k, k]], y[[k, k], ...], xp.stack([held[k, :], other]))
            if bool(xp.any(xp.abs(both[1, ...] - both[0, ...]) > LEAST * scale)):
                raise NoDerivativeError(float(middle[k]), "the solution touches a threshold of `fun`")
    return solution.direction * xp.sort(solution.direction * xp.concat([times, middle[passed]]))


def is_beside_crossing(modes: Array, is_far: Array, row: int) -> bool:
    """Whether the mode of a guard is another where it is far from its level on either side of a row."""
    xp = array_namespace(modes)
    places = xp.nonzero(is_far)[0]
    number = int(xp.searchsorted(places, row + 1))
    if not 0 < number < places.shape[0]:
        return False
    return bool(modes[places[number - 1]] != modes[places[number]])


def _others(modes: Array, guard: int) -> Iterator[Array]:
    """Modes in which one is another: what it may be on the other side of its level."""
    xp, own = array_namespace(modes), float(modes[guard])
    for value in {1 - own, -own, own + 1, own - 1} - {own}:
        found = xp.asarray(modes, copy=True)
        found[guard] = value
        yield found


def _distances(found: Jumping, values: Array, start: Array) -> Array:
    """Distances of guards `(m, k)` from the levels beside the `start`, less than zero beyond."""
    xp, levels = array_namespace(values), found.modes.levels[None, :]
    cell = xp.floor(start)
    inside = xp.minimum(values - cell, cell + 1 - values)
    side = xp.where(start < 0, -values, values)
    return xp.where(levels == ZERO, side, xp.where(levels == WHOLE, inside, xp.full_like(values, xp.inf)))

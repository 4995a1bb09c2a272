"""Where a guard comes nearest to its level between two places: it passes it for a while, or only touches it."""

from __future__ import annotations

from collections.abc import Iterator

from ..._arrays.namespace import Array, array_namespace
from ..core.mesh import among
from ..core.polynomial import PiecewisePolynomial
from .crossing import NoDerivativeError
from .jumping import Jumping, guards_at, largest_sizes
from .turns import Stretches, gaps, turns

LEAST = 1e-9
"""Smallest jump that counts, as a share of the largest value of its component: others are kinks, and rounding."""


def with_touches(found: Jumping, solution: PiecewisePolynomial, times: Array) -> Array:
    """
    The times with those between them at which a guard has passed a level that it passes again before the next one.

    Raises
    ------
    NoDerivativeError
        If the right-hand side jumps where the solution only touches a threshold.
    """
    xp, states = solution.xp, solution.evaluate(times)
    modes = found.at(times, states)
    further, ended = turns(found, solution, times, modes)
    _reject_touches(found, solution, ended, times, states, modes)
    further = further[~among(further, xp.sort(times))]
    return solution.direction * xp.sort(solution.direction * xp.concat([times, further]))


def _reject_touches(
    found: Jumping, solution: PiecewisePolynomial, ended: Stretches, times: Array, states: Array, modes: Array
) -> None:
    """Raise if guards of jumps turn within rounding of their levels, and do not pass them."""
    xp, rows, guards = solution.xp, ended.rows, ended.guards
    if not rows.shape[0]:
        return
    far = gaps(found.modes.levels[None, :], guards_at(found, times, states, modes))
    least = found.touch * xp.max(xp.where(xp.isfinite(far), far, xp.zeros_like(far)), axis=0)
    stays = modes[rows, guards] == modes[rows + 1, guards]
    middle, held = (ended.low + ended.high) / 2, modes[rows, :]
    y = solution.evaluate(middle)
    passed = found.at(middle, y)[xp.arange(rows.shape[0]), guards] != modes[rows, guards]
    near = gaps(found.modes.levels[guards], ended.first) <= least[guards]
    touches = stays & ~passed & near & ended.turn & ~found.modes.kinks[guards]
    scale = largest_sizes(found.values(times, states, modes))
    for k in xp.nonzero(touches)[0].tolist():
        if is_beside_crossing(modes[:, guards[k]], far[:, guards[k]] > least[guards[k]], int(rows[k])):
            continue
        for other in _others(held[k, :], int(guards[k])):
            both = found.values(middle[[k, k]], y[[k, k], ...], xp.stack([held[k, :], other]))
            if bool(xp.any(xp.abs(both[1, ...] - both[0, ...]) > LEAST * scale)):
                raise NoDerivativeError(float(middle[k]), "the solution touches a threshold of `fun`")


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

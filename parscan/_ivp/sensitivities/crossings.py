"""Where modes that depend on the state or on parameters change along a solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..._arrays.namespace import Array, array_namespace, quiet
from ..core.mesh import among
from ..core.polynomial import PiecewisePolynomial
from .crossing import Crossing, NoDerivativeError, warn_of_kinks
from .jumping import COMPARED, LARGEST, SHARES, Jumping, largest_sizes
from .saltation import KINK, SAME, assessed, rounding_of
from .touches import with_touches

PARTS, ROUNDS_OF_PARTS = 16, 14
"""Into how many parts stretches are divided to find a crossing, and how often: to the spacing of the numbers, about."""

SPLIT = 256
"""Largest number of times that stretches between places are split, since a mode changes again within them."""

NOISE = 8
"""Number of splits after which kinks of functions whose signs are noise are not looked for any more."""


def crossings(found: Jumping, solution: PiecewisePolynomial) -> list[Crossing]:
    """Where modes that depend on the state or parameters change along a solution, and by how much this moves it."""
    xp = solution.xp
    times = xp.reshape(solution.times(xp.asarray(SHARES)), (-1,))
    times = xp.concat([solution.begins[:1], times, solution.ends[-1:]])
    with quiet():
        times = with_touches(found, solution, times)
        for split in range(SPLIT):
            states = solution.evaluate(times)
            modes = found.at(times, states)
            rows, guards = xp.nonzero((modes[1:, :] != modes[:-1, :]) & found.matters[None, :])
            if not rows.shape[0]:
                return []
            if rows.shape[0] * PARTS * modes.shape[1] > LARGEST:
                kinks = found.modes.kinks[guards]
                if bool(xp.any(kinks)):
                    warn_of_kinks(float(times[rows[0]]), "the solution meets more kinks of `fun` than can be located")
                return [] if bool(xp.all(kinks)) else _too_many(found, times, states, modes, rows)
            at = bisected(found, solution, times[rows], times[rows + 1], guards, modes[rows, guards])
            known = found.at(at, solution.evaluate(at))[xp.arange(guards.shape[0]), guards]
            counts = ~found.modes.kinks[guards] if split >= NOISE else True
            further = at[(known != modes[rows + 1, guards]) & counts]
            further = further[~among(further, xp.sort(times))]  # rounding may lead to a place again
            if not further.shape[0]:
                break
            times = solution.direction * xp.sort(solution.direction * xp.concat([times, further]))
        else:
            return _too_many(found, times, states, modes, rows)
        scale = largest_sizes(found.values(times, states, modes))
        snapped = _snapped(solution, at)
        grouped, exact = (
            _grouped(solution, snapped, guards, modes, rows),
            dict(zip(snapped.tolist(), at.tolist(), strict=True)),
        )
        every = assessed(found, solution, scale, *grouped) if grouped else []
        return [replace(one, exact=exact[one.time]) for one in every]


def _too_many(found: Jumping, times: Array, states: Array, modes: Array, rows: Array) -> list[Crossing]:
    """None of many crossings, of fine stairs; raises if the right-hand side jumps there."""
    xp, scale = array_namespace(states), largest_sizes(found.values(times, states, modes))
    some = rows[:: max(1, rows.shape[0] // COMPARED)]
    before, after = (found.values(times[some], states[some, ...], modes[some + step, :]) for step in (0, 1))
    if bool(xp.any(xp.abs(after - before) > KINK * scale)):
        raise NoDerivativeError(float(times[rows[0]]), "as at many others, a threshold is crossed")
    return []


def bisected(
    found: Jumping, solution: PiecewisePolynomial, low: Array, high: Array, guards: Array, before: Array
) -> Array:
    """Times between `low` and `high` at which the modes of some guards change from those `before`."""
    xp = solution.xp

    def is_before(times: Array) -> Array:
        flat = xp.reshape(times, (-1,))
        modes = xp.reshape(found.at(flat, solution.evaluate(flat)), (*times.shape, -1))
        own = xp.take_along_axis(modes, xp.broadcast_to(guards[:, None, None], (*times.shape, 1)), axis=2)
        return own[..., 0] == before[:, None]

    return narrowed(is_before, low, high)


def narrowed(is_before: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """First times `(m,)` between `low` and `high` that are not before something, from flags of times `(m, k)`."""
    xp = array_namespace(low)
    shares = xp.arange(1, PARTS, dtype=low.dtype) / PARTS
    for _ in range(ROUNDS_OF_PARTS):
        times = low[:, None] + (high - low)[:, None] * shares
        every = xp.concat([low[:, None], times, high[:, None]], axis=1)
        flags = is_before(times)
        first = xp.where(xp.all(flags, axis=1), PARTS - 1, xp.argmin(flags, axis=1))[:, None]
        low, high = (xp.take_along_axis(every, first + one, axis=1)[:, 0] for one in (0, 1))
    return high


def _snapped(solution: PiecewisePolynomial, times: Array) -> Array:
    """Times, those that are as good as at a node at the node."""
    xp = solution.xp
    interval, theta = solution.locate(times)
    begin, end = xp.take(solution.t, interval), xp.take(solution.t, interval + 1)
    near = [xp.abs(times - node) <= rounding_of(solution) for node in (begin, end)]
    return xp.where((theta < SAME) | near[0], begin, xp.where((theta > 1 - SAME) | near[1], end, times))


def _grouped(
    solution: PiecewisePolynomial, at: Array, guards: Array, modes: Array, rows: Array
) -> tuple[Array, Array, Array] | None:
    """Times `(m,)` at which guards pass their levels, in their order, and the modes before and after `(m, k)`."""
    xp, way = solution.xp, solution.direction
    order = xp.argsort(way * at, stable=True).tolist()
    current, every = modes[0, :], at.tolist()
    last, _ = solution.locate(at)
    apart = xp.clip(SAME * xp.abs(xp.take(solution.steps, last)), rounding_of(solution), None).tolist()
    ends = float(solution.t[0]), float(solution.t[-1])
    places, values = guards.tolist(), modes[rows + 1, guards].tolist()
    found = list[tuple[float, Array, Array]]()
    place, count = 0, len(every)
    while place < count:
        time, first = every[order[place]], place
        after = xp.asarray(current, copy=True)
        while place < count and (place == first or abs(every[order[place]] - time) <= apart[order[first]]):
            after[places[order[place]]] = values[order[place]]
            place += 1
        if time not in ends:
            found.append((time, current, after))
        current = after
    if not found:
        return None
    times, before, later = zip(*found, strict=True)
    return xp.asarray(times, dtype=at.dtype), xp.stack(before), xp.stack(later)

"""Cubic Hermite polynomials between steps; slopes at the ends are kept within a trust region."""

from __future__ import annotations

from collections.abc import Callable

from ..._arrays.namespace import Array, array_namespace, quiet
from .steps import CoarseSolution, Steps

FREEDOM = 4.0
"""Radius of the trust region around a parabola through neighbouring states: this many tolerances, plus at most this
many times the parabola's bend."""


def interpolated(steps: Steps, rtol: float, atol: Array) -> CoarseSolution:
    """Steps with known slopes, and cubic Hermite polynomials between them.

    `rtol` and `atol` are the tolerances that their states were computed with.
    """
    return CoarseSolution(steps.t, _states(steps, rtol, atol), steps.failure, steps.failed_at)


def _states(steps: Steps, rtol: float, atol: Array) -> Callable[[Array], Array]:
    """The states at any times `(m,)`; one state for all of them where there is no step."""
    t, y, xp = steps.t, steps.y, steps.xp
    if not steps.count:
        return lambda at: xp.broadcast_to(y, (at.shape[0], *y.shape[1:]))
    with quiet():
        lengths = xp.reshape(xp.astype(t[1:] - t[:-1], y.dtype), (-1, *(1,) * (y.ndim - 1)))
        return _hermite(t, y, *_bends(lengths, y, steps.slopes, rtol, atol))


def _bends(steps: Array, y: Array, f: Array, rtol: float, atol: Array) -> tuple[Array, Array]:
    """Bends at both ends of every interval: slope times length minus the rise over the interval, `(N, *batch, n)`.

    If the problem is stiff, the right-hand side may be arbitrarily large at a state that is wrong by less than the
    tolerance. Therefore the bend is limited to a trust region. Its centre is the bend of a parabola through three
    neighbouring states: of the two such parabolas, the flatter one. Its radius is the difference of their bends,
    limited by `FREEDOM`.
    """
    xp = array_namespace(y)
    rises = y[1:, ...] - y[:-1, ...]
    quotients = rises / steps
    before = after = xp.zeros_like(rises)
    if rises.shape[0] > 1:
        second = (quotients[1:, ...] - quotients[:-1, ...]) / (steps[1:, ...] + steps[:-1, ...])
        before, after = xp.concat([second[:1, ...], second]), xp.concat([second, second[-1:, ...]])
    flatter = xp.where(xp.abs(before) < xp.abs(after), before, after)
    parabola = -flatter * steps * steps
    size = xp.maximum(xp.abs(y[1:, ...]), xp.abs(y[:-1, ...]))
    open_to = xp.minimum(xp.abs((after - before) * steps * steps), FREEDOM * xp.abs(parabola))
    open_to = open_to + FREEDOM * (atol + rtol * size)  # a quarter of this reaches the states

    away = xp.stack([steps * f[:-1, ...] - rises, rises - steps * f[1:, ...]]) - parabola
    share = xp.astype(xp.clip(open_to / xp.abs(away), None, 1.0), y.dtype)
    bends = parabola + xp.where(xp.isfinite(away) & (away != 0), share * away, xp.zeros_like(away))
    return bends[0, ...], bends[1, ...]


def _hermite(t: Array, y: Array, left: Array, right: Array) -> Callable[[Array], Array]:
    """The cubic of every interval from its states and bends, at times `(m,)` in any order."""
    xp = array_namespace(y)
    direction = 1.0 if bool(t[-1] > t[0]) else -1.0
    ascending = direction * t
    rises = y[1:, ...] - y[:-1, ...]

    def states(at: Array) -> Array:
        i = xp.clip(xp.searchsorted(ascending, direction * at, side="right") - 1, 0, rises.shape[0] - 1)
        start = xp.take(t, i)
        theta = xp.astype((at - start) / (xp.take(t, i + 1) - start), y.dtype)
        theta = xp.reshape(theta, (-1, *(1,) * (y.ndim - 1)))
        bend = (1 - theta) * xp.take(left, i, axis=0) + theta * xp.take(right, i, axis=0)
        return xp.take(y, i, axis=0) + theta * (xp.take(rises, i, axis=0) + (1 - theta) * bend)

    return states

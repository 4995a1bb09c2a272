"""A mesh on which the errors of the intervals are equal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..._arrays.namespace import Array, array_namespace, quiet
from ..._functions.breaks import are_breaks, union, with_breaks
from ..core.polynomial import PiecewisePolynomial
from ..methods.discretisation import Discretisation

TARGET = 0.3
"""Error per interval, in tolerances, that a new mesh is made for."""

FEW = 0.25
"""Share of bad intervals up to which the good ones are kept."""

DENSER, COARSER = 20.0, 4.0
"""Factors by which a mesh may become denser or coarser at a place: an error says little of much longer steps."""


SHORTER, SLOW = 1.5, 0.5
"""Factor by which intervals must be shorter to show how errors fall, and share of the method's power that is slow."""


@dataclass(frozen=True)
class Assessed:
    """A mesh `t` `(N + 1,)` and the errors of its intervals `(N,)`, in tolerances."""

    t: Array
    error: Array


def equidistribute(
    method: Discretisation, trial: PiecewisePolynomial, error: Array, breaks: Array | None = None
) -> PiecewisePolynomial:
    """The trial on a mesh whose intervals have about `TARGET` tolerances of error each; with its stages.

    New breakpoints become nodes. The error of an interval that one is in says nothing of the two parts: they become as
    long as the neighbouring intervals allow.
    """
    if breaks is not None:
        xp = array_namespace(error)
        error = xp.where(_contain(trial.t, breaks), xp.zeros_like(error), error)
    return _equidistributed(trial, error, method.error_power, breaks)


def _equidistributed(
    trial: PiecewisePolynomial, error: Array, power: float | Array, breaks: Array | None = None
) -> PiecewisePolynomial:
    """The same, for errors that are proportional to a power of the length, `(N,)` or one number."""
    xp = array_namespace(error)
    ratio = xp.clip((error / TARGET) ** (1 / power), 1 / COARSER, DENSER)
    return _by_density(trial, _smoothed(ratio), breaks)


def _by_density(trial: PiecewisePolynomial, ratio: Array, breaks: Array | None = None) -> PiecewisePolynomial:
    """The trial on a mesh with `ratio` intervals in place of each, counted between breakpoints, old and new ones."""
    xp = array_namespace(trial.y)
    nodes, wanted = trial.t, xp.concat([xp.zeros_like(ratio[:1]), xp.cumulative_sum(ratio)])
    if breaks is not None:
        trial = replace(trial, breaks=union(trial.breaks, breaks))
        nodes, direction = with_breaks(trial.t, trial.breaks, near=0.0), _direction(trial.t)
        wanted = _interpolated(direction * trial.t, wanted, direction * nodes)
    kept = xp.concat([wanted[:1], wanted[1:-1][_inner_breaks(nodes, trial.breaks)], wanted[-1:]])
    counts = xp.astype(xp.clip(xp.ceil(kept[1:] - kept[:-1]), 1.0, None), xp.int64)
    t = _interpolated(wanted, nodes, _split(kept, counts))
    return trial.resampled(t)


def _inner_breaks(t: Array, breaks: Array | None) -> Array:
    """Flags of the nodes between the ends that are breakpoints."""
    xp, inner = array_namespace(t), t[1:-1]
    return xp.zeros(inner.shape, dtype=xp.bool) if breaks is None else are_breaks(inner, breaks)


def _contain(t: Array, breaks: Array) -> Array:
    """Flags of the intervals that breakpoints are in; a node belongs to the interval that it ends."""
    xp, direction = array_namespace(t), _direction(t)
    within = xp.searchsorted(direction * t, direction * breaks, side="left") - 1
    return are_breaks(xp.arange(t.shape[0] - 1), xp.sort(within))


def _direction(t: Array) -> float:
    """1 forwards, -1 backwards in time."""
    return 1.0 if bool(t[-1] > t[0]) else -1.0


def refine(
    method: Discretisation,
    trial: PiecewisePolynomial,
    error: Array,
    most: float,
    before: Assessed | None = None,
    breaks: Array | None = None,
) -> PiecewisePolynomial:
    """A better mesh: a new one, or where few intervals have an error of more than `most`, those in parts.

    Where the errors of the mesh `before` have not fallen as they should, they are not expected to now. New breakpoints
    become nodes; the error of an interval that one is in says nothing of its parts.
    """
    xp = array_namespace(trial.y)
    if breaks is not None:
        error = xp.where(_contain(trial.t, breaks), xp.zeros_like(error), error)
        trial = replace(trial, breaks=union(trial.breaks, breaks))
    bad = error > most
    power = xp.where(bad, _powers(method, trial.t, error, before), xp.full_like(error, method.error_power))
    if float(xp.mean(xp.astype(bad, error.dtype))) > FEW:
        return _equidistributed(trial, error, power, breaks)
    parts = xp.where(bad, xp.ceil(xp.clip((error / TARGET) ** (1 / power), 2.0, DENSER)), 1.0)
    return trial.resampled(with_breaks(_split(trial.t, xp.astype(parts, xp.int64)), trial.breaks))


def _powers(method: Discretisation, t: Array, error: Array, before: Assessed | None) -> Array:
    """Powers of the length that errors are proportional to, `(N,)`: the method's, or those seen if far less."""
    xp = array_namespace(error)
    usual = xp.full_like(error, method.error_power)
    if before is None:
        return usual
    direction = _direction(t)
    place = xp.searchsorted(direction * before.t, direction * (t[1:] + t[:-1]) / 2) - 1
    place = xp.clip(place, 0, before.error.shape[0] - 1)
    with quiet():
        shorter = xp.take(before.t[1:] - before.t[:-1], place) / (t[1:] - t[:-1])
        seen = xp.log(xp.take(before.error, place) / error) / xp.log(shorter)
        slow = (shorter > SHORTER) & (seen < SLOW * method.error_power)
        return xp.where(slow, xp.astype(xp.clip(seen, 1.0, None), error.dtype), usual)


def divide(trial: PiecewisePolynomial, factor: float) -> PiecewisePolynomial:
    """The mesh with all intervals shorter, for a global error that is smaller by the factor."""
    xp = array_namespace(trial.t)
    return _by_density(trial, xp.full_like(trial.t[1:], factor ** (1 / trial.tableau.order)))


def shorten(trial: PiecewisePolynomial, longest: float) -> PiecewisePolynomial:
    """The trial with intervals that are too long in parts."""
    t = shorten_mesh(trial.t, longest)
    if t.shape[0] == trial.t.shape[0]:
        return trial
    return trial.resampled(t)


def shorten_mesh(t: Array, longest: float) -> Array:
    """The mesh with intervals that are too long in parts."""
    xp = array_namespace(t)
    parts = xp.ceil(xp.abs(t[1:] - t[:-1]) / longest * (1 - 1e-12))
    return _split(t, xp.astype(parts, xp.int64)) if bool(xp.any(parts > 1)) else t


def _split(t: Array, parts: Array) -> Array:
    """The mesh with each interval in equal parts."""
    xp = array_namespace(t)
    ends = xp.cumulative_sum(parts)
    places = xp.arange(int(ends[-1]))
    interval = xp.searchsorted(ends, places, side="right")
    number = xp.astype(xp.take(parts, interval), t.dtype)
    share = (xp.astype(places - xp.take(ends, interval), t.dtype) + number) / number
    begin = xp.take(t, interval)
    return xp.concat([begin + share * (xp.take(t, interval + 1) - begin), t[-1:]])


def _smoothed(ratio: Array) -> Array:
    """Each interval at least half as dense, relative to the ratio asked for, as its neighbours."""
    xp = array_namespace(ratio)
    if ratio.shape[0] < 2:
        return ratio
    ahead = xp.concat([ratio[1:], ratio[-1:]])
    behind = xp.concat([ratio[:1], ratio[:-1]])
    return xp.maximum(ratio, 0.5 * xp.maximum(ahead, behind))


def _interpolated(x: Array, y: Array, places: Array) -> Array:
    """The piecewise linear function through `y` at the ascending `x`, at places from end to end, which stay exact."""
    xp = array_namespace(x)
    index = xp.clip(xp.searchsorted(x, places, side="right") - 1, 0, x.shape[0] - 2)
    low, high = xp.take(x, index), xp.take(x, index + 1)
    left, right = xp.take(y, index), xp.take(y, index + 1)
    inner = left + (right - left) * ((places - low) / (high - low))
    return xp.concat([y[:1], inner[1:-1], y[-1:]])

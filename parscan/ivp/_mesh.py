"""A mesh on which the errors of the intervals are equal."""

from __future__ import annotations

from .._arrays import Array, array_namespace
from ._trial import Trial
from .methods._discretisation import Discretisation
from .methods._tableaux import Tableau
from .output._dense_output import DenseOutput

TARGET = 0.3
"""Error per interval, in tolerances, that a new mesh is made for."""

FEW = 0.25
"""Share of bad intervals up to which the good ones are kept."""

DENSER, COARSER = 20.0, 4.0
"""Factors by which a mesh may become denser or coarser at a place: an error says little of much longer steps."""


def equidistribute(method: Discretisation, trial: Trial, error: Array) -> Trial:
    """The trial on a mesh whose intervals have about `TARGET` tolerances of error each; with its stages."""
    xp = array_namespace(trial.y)
    ratio = xp.clip((error / TARGET) ** (1 / method.error_power), 1 / COARSER, DENSER)
    return _by_density(method, trial, _smoothed(ratio))


def _by_density(method: Discretisation, trial: Trial, ratio: Array) -> Trial:
    """The trial on a mesh with so many intervals in place of each."""
    xp = array_namespace(trial.y)
    wanted = xp.concat([xp.zeros_like(ratio[:1]), xp.cumulative_sum(ratio)])
    count = max(1, int(xp.ceil(wanted[-1])))
    levels = xp.arange(count + 1, dtype=wanted.dtype) * (wanted[-1] / count)
    t = _inverse(wanted, trial.t, levels)
    return resample(method.output, DenseOutput(method.output, trial.t, trial.y, trial.stages), t)


def refine(method: Discretisation, trial: Trial, error: Array, most: float) -> Trial:
    """A better mesh: a new one, or where few intervals have an error of more than `most`, those in parts."""
    xp = array_namespace(trial.y)
    bad = error > most
    if float(xp.mean(xp.astype(bad, error.dtype))) > FEW:
        return equidistribute(method, trial, error)
    parts = xp.where(bad, xp.ceil(xp.clip((error / TARGET) ** (1 / method.error_power), 2.0, DENSER)), 1.0)
    dense = DenseOutput(method.output, trial.t, trial.y, trial.stages)
    return resample(method.output, dense, _split(trial.t, xp.astype(parts, xp.int64)))


def divide(method: Discretisation, trial: Trial, factor: float) -> Trial:
    """The mesh with all intervals shorter, for a global error that is smaller by the factor."""
    xp = array_namespace(trial.t)
    ratio = xp.full_like(trial.t[1:], factor ** (1 / method.output.order))
    return _by_density(method, trial, ratio)


def shorten(method: Discretisation, trial: Trial, longest: float) -> Trial:
    """The trial with intervals that are too long in parts."""
    t = shorten_mesh(trial.t, longest)
    if t.shape[0] == trial.t.shape[0]:
        return trial
    return resample(method.output, DenseOutput(method.output, trial.t, trial.y, trial.stages), t)


def shorten_mesh(t: Array, longest: float) -> Array:
    """The mesh with intervals that are too long in parts."""
    xp = array_namespace(t)
    parts = xp.ceil(xp.abs(t[1:] - t[:-1]) / longest * (1 - 1e-12))
    return _split(t, xp.astype(parts, xp.int64)) if bool(xp.any(parts > 1)) else t


def _split(t: Array, parts: Array) -> Array:
    """The mesh with each interval in so many equal parts."""
    xp = array_namespace(t)
    ends = xp.cumulative_sum(parts)
    places = xp.arange(int(ends[-1]))
    interval = xp.searchsorted(ends, places, side="right")
    number = xp.astype(xp.take(parts, interval), t.dtype)
    share = (xp.astype(places - xp.take(ends, interval), t.dtype) + number) / number
    begin = xp.take(t, interval)
    return xp.concat([begin + share * (xp.take(t, interval + 1) - begin), t[-1:]])


def resample(tableau: Tableau, dense: DenseOutput, t: Array) -> Trial:
    """States and stages on the mesh `t` from a polynomial."""
    xp = array_namespace(t)
    c = xp.asarray(tableau.c, dtype=t.dtype)
    times = t[:-1, None] + (t[1:] - t[:-1])[:, None] * c[None, :]
    stages = dense.derivative(xp.reshape(times, (-1,)))
    y = dense.evaluate(t)
    return Trial(t, y, xp.reshape(stages, (*times.shape, *y.shape[1:])))


def _smoothed(ratio: Array) -> Array:
    """Each interval at least half as dense, relative to what was wanted, as its neighbours."""
    xp = array_namespace(ratio)
    if ratio.shape[0] < 2:
        return ratio
    ahead = xp.concat([ratio[1:], ratio[-1:]])
    behind = xp.concat([ratio[:1], ratio[:-1]])
    return xp.maximum(ratio, 0.5 * xp.maximum(ahead, behind))


def _inverse(wanted: Array, t: Array, levels: Array) -> Array:
    """Times at which the piecewise linear `wanted(t)` has the given levels; the ends stay to the last bit."""
    xp = array_namespace(t)
    index = xp.clip(xp.searchsorted(wanted, levels, side="right") - 1, 0, t.shape[0] - 2)
    low, high = xp.take(wanted, index), xp.take(wanted, index + 1)
    left, right = xp.take(t, index), xp.take(t, index + 1)
    inner = left + (right - left) * ((levels - low) / (high - low))
    return xp.concat([t[:1], inner[1:-1], t[-1:]])

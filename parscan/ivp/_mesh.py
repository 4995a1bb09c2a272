"""A mesh on which the errors of the intervals are equal."""

from __future__ import annotations

from dataclasses import replace

from .._arrays import Array, array_namespace
from ._breaks import are_breaks
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
    """The trial on a mesh with so many intervals in place of each, counted between breakpoints."""
    xp = array_namespace(trial.y)
    wanted = xp.concat([xp.zeros_like(ratio[:1]), xp.cumulative_sum(ratio)])
    kept = xp.concat([wanted[:1], wanted[1:-1][_inner_breaks(trial)], wanted[-1:]])
    counts = xp.astype(xp.clip(xp.ceil(kept[1:] - kept[:-1]), 1.0, None), xp.int64)
    t = _inverse(wanted, trial.t, _split(kept, counts))
    return resample(method.output, DenseOutput.of(method.output, trial), t)


def _inner_breaks(trial: Trial) -> Array:
    """Flags of the nodes between the ends that are breakpoints."""
    xp, inner = array_namespace(trial.t), trial.t[1:-1]
    return xp.zeros(inner.shape, dtype=xp.bool) if trial.breaks is None else are_breaks(inner, trial.breaks)


def refine(method: Discretisation, trial: Trial, error: Array, most: float) -> Trial:
    """A better mesh: a new one, or where few intervals have an error of more than `most`, those in parts."""
    xp = array_namespace(trial.y)
    bad = error > most
    if float(xp.mean(xp.astype(bad, error.dtype))) > FEW:
        return equidistribute(method, trial, error)
    parts = xp.where(bad, xp.ceil(xp.clip((error / TARGET) ** (1 / method.error_power), 2.0, DENSER)), 1.0)
    dense = DenseOutput.of(method.output, trial)
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
    return resample(method.output, DenseOutput.of(method.output, trial), t)


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
    """States and stages on the mesh `t` from polynomials; its nodes are to be those that are breakpoints of these."""
    xp = array_namespace(t)
    y = dense.evaluate(t)
    trial = Trial(t, y, xp.zeros((t.shape[0] - 1, 0, *y.shape[1:]), dtype=y.dtype), dense.breaks)
    times = trial.times(tableau.c)
    stages = dense.derivative(xp.reshape(times, (-1,)))
    return replace(trial, stages=xp.reshape(stages, (*times.shape, *y.shape[1:])))


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

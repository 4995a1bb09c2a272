"""Errors of the intervals of a mesh, and a mesh on which they are equal."""

from __future__ import annotations

from .._arrays import Array, array_namespace, quiet
from ._dense_output import DenseOutput
from ._function import RightHandSide
from ._tableaux import Tableau
from ._trial import Scale, Trial

TARGET = 0.5
"""Error per interval, in tolerances, that a new mesh is made for."""

DENSER, COARSER = 20.0, 4.0
"""Factors by which a mesh may become denser or coarser at a place: an error says little of much longer steps."""


def errors(rhs: RightHandSide, tableau: Tableau, trial: Trial, jacobians: Array, scale: Scale) -> Array:
    """Estimated local error of every interval in tolerances, `(N,)`.

    The polynomial satisfies the equation at the stages, not at the start of the interval: what it misses there, times
    the step over 2s, filtered by (I - h J / 2s)^{-1} as in Hairer and Wanner's code for Radau IIA (1996, IV.8), so
    that stiff components do not count that the method damps.
    """
    xp = array_namespace(trial.y)
    share = 1 / (2 * tableau.stages)
    with quiet():
        at_start = xp.asarray(tableau.derivatives(0.0 * tableau.c[:1])[0], dtype=trial.stages.dtype)
        slopes = xp.tensordot(at_start, trial.stages, axes=((0,), (1,)))
        missed = rhs(trial.t[:-1], trial.y[:-1, ...]) - slopes
        steps = xp.reshape(trial.steps, (-1, *(1,) * (trial.y.ndim - 1)))
        changes = steps[..., None] * jacobians
        matrices = xp.eye(trial.y.shape[-1], dtype=trial.y.dtype) - share * changes
        plain = share * steps * missed
        filtered = xp.linalg.solve(matrices, plain[..., None])[..., 0]
        # Where volumes grow, as near a pole, the filter would hide what the method does not damp.
        grows = xp.sum(_real(xp.linalg.diagonal(changes)), axis=-1, keepdims=True) > 0
        larger = xp.where(xp.abs(plain) > xp.abs(filtered), plain, filtered)
        return scale.relative(xp.where(grows, larger, filtered), trial)


def equidistribute(tableau: Tableau, trial: Trial, error: Array) -> Trial:
    """The trial on a mesh whose intervals have about `TARGET` tolerances of error each; with its stages."""
    xp = array_namespace(trial.y)
    ratio = xp.clip((error / TARGET) ** (1 / (tableau.stages + 1)), 1 / COARSER, DENSER)
    ratio = _smoothed(ratio)
    wanted = xp.concat([xp.zeros_like(ratio[:1]), xp.cumulative_sum(ratio)])
    count = max(1, int(xp.ceil(wanted[-1])))
    levels = xp.arange(count + 1, dtype=wanted.dtype) * (wanted[-1] / count)
    t = _inverse(wanted, trial.t, levels)
    dense = DenseOutput(tableau, trial.t, trial.y, trial.stages)
    return resample(tableau, dense, t)


def resample(tableau: Tableau, dense: DenseOutput, t: Array) -> Trial:
    """States and stages on the mesh `t` from a polynomial."""
    xp = array_namespace(t)
    c = xp.asarray(tableau.c, dtype=t.dtype)
    times = t[:-1, None] + (t[1:] - t[:-1])[:, None] * c[None, :]
    stages = dense.derivative(xp.reshape(times, (-1,)))
    y = dense.evaluate(t)
    return Trial(t, y, xp.reshape(stages, (*times.shape, *y.shape[1:])))


def _real(values: Array) -> Array:
    """Real parts, of real numbers too."""
    xp = array_namespace(values)
    return xp.real(values) if xp.isdtype(values.dtype, "complex floating") else values


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

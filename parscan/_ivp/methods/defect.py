"""The defect between the stages: it shows pulses of the right-hand side that steps and intervals passed over.

Errors are estimated from few points of an interval. A feature shorter than the distance between these points escapes
the estimate, so the defect is sampled at more points once the mesh is accepted.
"""

from __future__ import annotations

from ..._arrays.namespace import Array, quiet
from ..._functions.reads import reads_first
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.tableaux import Places
from .filter import filtered

SAMPLES, STACKED, NUMBERS = 400, 4096, 1 << 16
"""
Places in all intervals together, at least: pulses that are longer than a few of their distances are seen. And their
number where `fun` takes many times at once, with no more than so many entries of all states: it may read the time, or
have another value in a short range of the states, and then the solution runs through that between the stages.
"""

DEFECT_LIMIT = 3000.0
"""Largest accepted defect of a polynomial, times the step, in tolerances.

For smooth solutions it is up to 1000 at loose tolerances and a few at others, for DOP853 up to 1400; if a step passed
over a jump, it is 6000 to 10⁹.
"""


def samples_of(rhs: RightHandSide) -> int:
    """The number of places for a function."""
    if not rhs.stacks or (rhs.code is not None and not reads_first(rhs.function)):  # code tells its comparisons
        return SAMPLES
    return max(SAMPLES, min(STACKED, NUMBERS // rhs.y0.size))


def overlooked(
    rhs: RightHandSide, places: Places, trial: PiecewisePolynomial, scale: Scale, jacobians: Array | None = None
) -> Array:
    """The largest defect at the places of each interval, `(N,)`, in `DEFECT_LIMIT` tolerances: above 1, too large.

    Stiff components are removed by the filter with the Jacobians of the intervals, `(N, *batch, n, n)`, if given.
    """
    found = []
    for some, part in trial.groups(len(places.theta)):
        filtering = None if jacobians is None else jacobians[some, ...]
        found.append(_of_part(rhs, places, part, scale, filtering))
    return trial.xp.concat(found)


def _of_part(
    rhs: RightHandSide, places: Places, trial: PiecewisePolynomial, scale: Scale, jacobians: Array | None
) -> Array:
    """The largest defects of the intervals of a part of a trial."""
    xp = trial.xp
    with quiet():
        missed = _missed(rhs, places, trial)
        found = _relative(xp.abs(missed), trial, scale)
        if jacobians is None or not float(xp.max(found)) > 1:
            return found
        return _relative(filtered(missed, trial, jacobians, 1 / (2 * trial.stages.shape[1])), trial, scale)


def _relative(errors: Array, trial: PiecewisePolynomial, scale: Scale) -> Array:
    """The largest defect of each interval, `(N,)`, in `DEFECT_LIMIT` tolerances."""
    return scale.relative(trial.xp.max(errors, axis=-1), trial) / DEFECT_LIMIT


def _missed(rhs: RightHandSide, places: Places, trial: PiecewisePolynomial) -> Array:
    """Steps times the defect, `(N, *batch, n, places)`."""
    xp = trial.xp
    N, s, *state = trial.stages.shape
    K = xp.reshape(trial.stages, (N, s, -1))
    rises, slopes = (
        xp.reshape(xp.asarray(weights, dtype=K.dtype) @ K, (N, len(places.theta), *state))
        for weights in (places.integrals, places.derivatives)
    )
    steps, theta = trial.lengths[..., None], xp.asarray(places.theta, dtype=trial.t.dtype)
    times = trial.t[:-1, None] + (trial.t[1:] - trial.t[:-1])[:, None] * theta
    states = xp.reshape(trial.y[:-1, None, ...] + steps * rises, (-1, *state))
    values = xp.reshape(rhs(xp.reshape(times, (-1,)), states), slopes.shape)
    return xp.moveaxis(steps * (values - slopes), 1, -1)

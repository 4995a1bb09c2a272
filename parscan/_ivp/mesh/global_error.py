"""The growth of errors along a trajectory, and the global error at its end."""

from __future__ import annotations

from math import prod

from ..._arrays.namespace import Array, fetch, quiet
from ..._functions.right_hand_side import RightHandSide
from ..._kernels.dispatch import affine_scan
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..methods.discretisation import Discretisation

SENSITIVE = 300.0
"""If an error of one tolerance grows by more than this factor, the global error is estimated as well."""

ALLOWED = 3.0
"""Largest global error, in tolerances, with which such a trajectory is accepted."""


def excess(
    method: Discretisation, rhs: RightHandSide, trial: PiecewisePolynomial, propagators: Array, scale: Scale
) -> float:
    """Factor by which the global error is too large; 1 if it is small enough, or the trajectory is not sensitive."""
    finer = method.finer()
    if finer is None or largest_growth(propagators, trial, scale) <= SENSITIVE:
        return 1.0
    if not growth(propagators, trial, scale) > SENSITIVE:
        return 1.0
    error = global_error(method, finer, rhs, trial, scale)
    return error if error > ALLOWED else 1.0


def largest_growth(propagators: Array, trial: PiecewisePolynomial, scale: Scale) -> float:
    """Upper bound of the growth, which takes a fraction of the time.

    It is a product of row-sum norms of the propagators, in units of the tolerances for the largest size of each
    component.
    """
    xp = trial.xp
    with quiet():
        sizes = xp.abs(trial.y)
        unit, last = (scale.atol + scale.rtol * size for size in (xp.max(sizes, axis=0), sizes[-1, ...]))
        rows = xp.sum(xp.abs(propagators) * unit[..., None, :], axis=-1) / unit
        norms, share = fetch(xp.max(rows, axis=tuple(range(1, rows.ndim))), xp.max(unit / last))
        return float(prod(norms.tolist()) * share)


def growth(propagators: Array, trial: PiecewisePolynomial, scale: Scale) -> float:
    """Error of the last state, in tolerances, due to an error of one tolerance in the first."""
    xp = trial.xp
    with quiet():
        first, last = (scale.atol + scale.rtol * xp.abs(trial.y[end, ...]) for end in (0, -1))
        nothing = xp.zeros_like(trial.y[1:, ...])
        grown = affine_scan(propagators, nothing, xp.astype(first, trial.y.dtype))[-1, ...]
        return float(xp.max(xp.abs(grown) / last))


def global_error(
    method: Discretisation, finer: Discretisation, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale
) -> float:
    """Error of the last state in tolerances: its change by one Newton iteration of a finer method."""
    sizes = finer.correct(rhs, trial.resampled(trial.mesh, finer.output), scale).sizes
    return float(sizes[-1])

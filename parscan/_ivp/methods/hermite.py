"""Cubic Hermite polynomials between nodes, for methods that have no polynomials of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..._arrays.namespace import Array, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.tableaux import Tableau, gauss


def output() -> Tableau:
    """Three nodes at which the slopes of a cubic determine it."""
    return gauss(3)


def assess(rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> tuple[PiecewisePolynomial, Array]:
    """The trial with the slopes of its cubics, and the error of each interval in tolerances, `(N,)`.

    At the middle of an interval, the slope of the cubic through states of the exact solution is exact to fourth order,
    and an error e of the state at the end changes the slope by 3e/2h. Therefore 2h/3 times the defect at the middle is
    the local error of a method of low order. At a quarter of the interval, h times the defect bounds the error of the
    cubic itself, which is of fourth order. The larger of both counts: at the middle, RK4 has no defect if `fun` depends
    on the time only.
    """
    xp = trial.xp
    ends = trial.both_ends
    f = rhs(ends.t, ends.y)
    left, right = f[ends.left, ...], f[ends.right, ...]
    with quiet():
        steps = trial.lengths
        rise = (trial.y[1:, ...] - trial.y[:-1, ...]) / steps
        errors = []
        for c, share in ((0.5, 2 / 3), (0.25, 1.0)):
            bend = (1 - c) * (left - rise) + c * (rise - right)
            state = trial.y[:-1, ...] + c * steps * (rise + (1 - c) * bend)
            missed = rhs(trial.times(c), state) - _slope(c, rise, left, right)
            errors.append(share * xp.abs(steps * missed))
        slopes = [_slope(c, rise, left, right) for c in output().c.tolist()]
        return replace(trial, stages=xp.stack(slopes, axis=1)), scale.relative(xp.maximum(*errors), trial)


def _slope(c: float, rise: Any, left: Any, right: Any) -> Any:
    """Slopes of the cubics at the share c of the intervals."""
    return 6 * c * (1 - c) * rise + (1 - c) * (1 - 3 * c) * left + c * (3 * c - 2) * right


def weights() -> list[tuple[float, float, float]]:
    """For each node of the output, the weights of the rise, the left slope and the right slope in the cubic's slope."""
    return [(_slope(c, 1.0, 0.0, 0.0), _slope(c, 0.0, 1.0, 0.0), _slope(c, 0.0, 0.0, 1.0)) for c in output().c.tolist()]

"""Newton's method on a whole mesh at once: collocation with the stages condensed out of every interval.

An interval from t_p of length h has the state y_p at its start and the stage derivatives K; with J_i = ∂f/∂y at the
stages,

    (I - h A⊗J) δK = (F - K) + J δ_p,    δ_{p+1} = (I + h Σ b_i ∂K_i/∂y) δ_p + d_p,

where d_p is what the interval's end differs from the next node. The second is an affine scan over all intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays import Array, array_namespace, quiet
from ..scan import affine_scan
from ..scan.condense import Condensed, condense
from ._function import RightHandSide
from ._tableaux import Tableau
from ._trial import Scale, Trial

STALL = 0.5
"""Share of a correction that, when an iteration leaves it, means that no more digits are to be had."""

FLOOR = 1.0
"""Corrections that stall below this many tolerances are rounding, and are accepted."""


@dataclass(frozen=True)
class Iterated:
    """What Newton made of a trial: the leading intervals that converged, the Jacobians at their last stages."""

    trial: Trial
    solved: int
    jacobians: Array | None
    history: tuple[float, ...]


def iterate(rhs: RightHandSide, tableau: Tableau, trial: Trial, scale: Scale, enough: float, most: int) -> Iterated:
    """Correct the trial until corrections are below `enough`, in units of `scale`, at most `most` times.

    Intervals from the first one on at which the right-hand side, or a correction, is not finite are cut off.
    """
    history: list[float] = []
    solved, jacobians = 0, None
    while len(history) < most and trial.intervals:
        trial, residuals, all_jacobians = _evaluate(rhs, tableau, trial)
        if not trial.intervals:
            break
        trial, sizes = _correct(tableau, trial, residuals, all_jacobians, scale)
        count = _leading(sizes < float("inf"))
        trial, sizes, jacobians = trial.head(count), sizes[:count], all_jacobians[:count, -1, ...]
        history.append(float(array_namespace(sizes).max(sizes)) if count else float("inf"))
        stalled = len(history) > 1 and STALL * history[-2] < history[-1] <= FLOOR
        solved = count if stalled else _leading(sizes <= enough)
        if solved == count:
            break
    return Iterated(trial, solved, jacobians, tuple(history))


def stage_times(tableau: Tableau, trial: Trial) -> Array:
    """Times of all stages, `(N, s)`."""
    xp = array_namespace(trial.t)
    c = xp.asarray(tableau.c, dtype=trial.t.dtype)
    return trial.t[:-1, None] + trial.steps[:, None] * c[None, :]


def _evaluate(rhs: RightHandSide, tableau: Tableau, trial: Trial) -> tuple[Trial, Array, Array]:
    """Residuals F - K and Jacobians at the stages of the leading intervals where both are finite."""
    xp = array_namespace(trial.y)
    A = xp.asarray(tableau.A, dtype=trial.stages.dtype)
    times = xp.reshape(stage_times(tableau, trial), (-1,))
    with quiet():
        sums = xp.moveaxis(xp.tensordot(A, trial.stages, axes=((1,), (1,))), 0, 1)
        steps = xp.reshape(trial.steps, (-1, *(1,) * (trial.stages.ndim - 1)))
        states = xp.reshape(trial.y[:-1, None, ...] + steps * sums, (-1, *trial.y.shape[1:]))
    values = rhs(times, states)
    jacobians = rhs.jacobian(times, states, values)
    values = xp.reshape(values, trial.stages.shape)
    jacobians = xp.reshape(jacobians, (*trial.stages.shape, trial.stages.shape[-1]))
    good = _finite(values) & _finite(jacobians)
    count = _leading(good)
    return trial.head(count), values[:count, ...] - trial.stages[:count, ...], jacobians[:count, ...]


def _correct(tableau: Tableau, trial: Trial, residuals: Array, jacobians: Array, scale: Scale) -> tuple[Trial, Array]:
    """The corrected trial, and the size of the corrections per interval."""
    xp = array_namespace(trial.y)
    with quiet():
        solved = _condense(tableau, trial, residuals, jacobians)
        n, batch = trial.y.shape[-1], trial.y.shape[1:-1]
        propagators = xp.reshape(solved.propagators, (-1, *batch, n, n))
        steps = xp.reshape(trial.steps, (-1, *(1,) * (trial.y.ndim - 1)))
        b = xp.asarray(tableau.b, dtype=trial.stages.dtype)
        ends = trial.y[:-1, ...] + steps * xp.tensordot(b, trial.stages, axes=((0,), (1,)))
        defects = ends + xp.reshape(solved.offsets, trial.y[1:, ...].shape) - trial.y[1:, ...]
        corrections = affine_scan(propagators, defects)
        before = xp.concat([xp.zeros_like(corrections[:1, ...]), corrections[:-1, ...]])
        flat = xp.reshape(before, (-1, 1, n, 1))
        changes = solved.X0 + (solved.X1 @ flat)[..., 0]
        changes = xp.moveaxis(xp.reshape(changes, (-1, *batch, tableau.stages, n)), -2, 1)
        y = xp.concat([trial.y[:1, ...], trial.y[1:, ...] + corrections])
        corrected = Trial(trial.t, y, trial.stages + changes)
        sizes = xp.maximum(scale.relative(corrections, corrected), scale.relative(steps[:, None] * changes, corrected))
    return corrected, sizes


def _condense(tableau: Tableau, trial: Trial, residuals: Array, jacobians: Array) -> Condensed:
    """Stages condensed out of every interval of every batch element, all of them along one axis."""
    xp = array_namespace(trial.y)
    n, s, batch = trial.y.shape[-1], tableau.stages, trial.y.shape[1:-1]
    J = xp.reshape(xp.moveaxis(jacobians, 1, -3), (-1, s, n, n))
    r = xp.reshape(xp.moveaxis(residuals, 1, -2), (-1, s, n))
    h = xp.reshape(trial.steps, (-1, *(1,) * len(batch)))
    h = xp.reshape(xp.broadcast_to(h, (trial.intervals, *batch)), (-1,))
    return condense(J, tableau.A, tableau.b, h, r)


def _finite(values: Array) -> Array:
    """Intervals (first axis) without NaN or infinity."""
    xp = array_namespace(values)
    return xp.all(xp.reshape(xp.isfinite(values), (values.shape[0], -1)), axis=1)


def _leading(flags: Array) -> int:
    """Number of leading flags that are set."""
    xp = array_namespace(flags)
    if flags.shape[0] == 0 or bool(xp.all(flags)):
        return int(flags.shape[0])
    return int(xp.argmin(xp.astype(flags, xp.int64)))

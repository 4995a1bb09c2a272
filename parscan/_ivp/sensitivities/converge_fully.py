"""The discrete equations solved to nearly all digits: derivatives are those of their solution, not of a guess."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial, joined
from ..core.scale import Scale
from ..methods.discretisation import Discretisation
from ..methods.newton import iterate
from ..output.observation import Observation
from .trajectory import Trajectory

CLOSE = 1e-10
"""What corrections of the nodes may leave, relative to the largest size of a component."""

ITERATIONS, LINEAR = 5, 20
"""Newton iterations, and such as converge linearly, at most: where they do not help, rounding or a jump of `fun` is in
the way."""


def close_enough(trial: PiecewisePolynomial, scale: Scale) -> bool:
    """Whether Newton's method left no more than derivatives may miss."""
    sizes = _sizes(trial)
    xp = array_namespace(sizes)
    with quiet():  # a component that is zero has no digits
        shares = xp.where(sizes > 0, (scale.atol + scale.rtol * sizes) / sizes, xp.zeros_like(sizes))
    return scale.enough * float(xp.max(shares)) <= _close(trial)


def polished(rhs: RightHandSide, method: Discretisation, trial: PiecewisePolynomial) -> Trajectory:
    """The trajectory of a trial, corrected."""
    close, sizes = _close(trial), _sizes(trial)
    target = Scale(close, close * sizes)
    parts: list[PiecewisePolynomial] = []
    begin = trial.y[0, ...]
    given = Trajectory(rhs, method, trial)
    for window in given.windows():
        part = given.part(window)
        most = ITERATIONS if method.is_superlinear else LINEAR
        found = iterate(method, rhs, part.starting_at(begin), target, 1.0, most)
        parts.append(found.trial if found.solved == part.intervals else part)
        begin = parts[-1].y[-1, ...]
    return Trajectory(rhs, method, joined(parts))


def _close(trial: PiecewisePolynomial) -> float:
    """What corrections may leave in the precision of the trial."""
    return max(CLOSE, 10 * machine_epsilon(trial.y.dtype))


def _sizes(trial: PiecewisePolynomial) -> Array:
    """Largest size of each component, `(n,)`."""
    xp = array_namespace(trial.y)
    return xp.max(xp.abs(trial.y), axis=tuple(range(trial.y.ndim - 1)))


def with_nodes(trajectory: Trajectory, times: Array) -> Trajectory:
    """The trajectory on a mesh with further nodes, if not all the times are nodes already."""
    trial = trajectory.trial
    if not Observation(trial, times).inside:
        return trajectory
    xp = array_namespace(trial.t)
    t = trial.direction * xp.sort(trial.direction * xp.concat([trial.t, times]))
    t = xp.concat([t[:1], t[1:][t[1:] != t[:-1]]])
    return polished(trajectory.rhs, trajectory.method, trial.resampled(t))

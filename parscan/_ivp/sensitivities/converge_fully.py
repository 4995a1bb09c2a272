"""The discrete equations solved to nearly all digits: derivatives are those of their solution, not of a guess."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._functions.breaks import union
from ..._functions.right_hand_side import RightHandSide
from ..core.trial import Scale, Trial
from ..mesh.refine import resample
from ..methods.discretisation import Discretisation
from ..methods.newton import iterate
from ..output.dense_output import DenseOutput
from ..output.observation import Observation
from .trajectory import Trajectory

CLOSE = 1e-10
"""What corrections of the nodes may leave, relative to the largest size of a component."""

ITERATIONS, LINEAR = 5, 20
"""Newton iterations, and such as converge linearly, at most: where they do not help, rounding or a jump of `fun` is in
the way."""


def close_enough(trial: Trial, scale: Scale) -> bool:
    """Whether Newton's method left no more than derivatives may miss."""
    sizes = _sizes(trial)
    xp = array_namespace(sizes)
    with quiet():  # a component that is zero has no digits
        shares = xp.where(sizes > 0, (scale.atol + scale.rtol * sizes) / sizes, xp.zeros_like(sizes))
    return scale.enough * float(xp.max(shares)) <= _close(trial)


def polished(rhs: RightHandSide, method: Discretisation, trial: Trial) -> Trajectory:
    """The trajectory of a trial, corrected."""
    close, sizes = _close(trial), _sizes(trial)
    target = Scale(close, close * sizes)
    parts: list[Trial] = []
    begin = trial.y[0, ...]
    given = Trajectory(rhs, method, trial)
    for window in given.windows():
        part = given.part(window)
        most = ITERATIONS if method.is_superlinear else LINEAR
        found = iterate(method, rhs, part.starting_at(begin), target, 1.0, most)
        parts.append(found.trial if found.solved == part.intervals else part)
        begin = parts[-1].y[-1, ...]
    return Trajectory(rhs, method, joined(parts))


def _close(trial: Trial) -> float:
    """What corrections may leave in the precision of the trial."""
    return max(CLOSE, 10 * machine_epsilon(trial.y.dtype))


def _sizes(trial: Trial) -> Array:
    """Largest size of each component, `(n,)`."""
    xp = array_namespace(trial.y)
    return xp.max(xp.abs(trial.y), axis=tuple(range(trial.y.ndim - 1)))


def with_nodes(trajectory: Trajectory, times: Array) -> Trajectory:
    """The trajectory on a mesh with further nodes, if not all the times are nodes already."""
    trial, output = trajectory.trial, trajectory.method.output
    if not Observation(output, trial.t, times).inside:
        return trajectory
    xp = array_namespace(trial.t)
    direction = -1.0 if bool(trial.t[-1] < trial.t[0]) else 1.0
    t = direction * xp.sort(direction * xp.concat([trial.t, times]))
    t = xp.concat([t[:1], t[1:][t[1:] != t[:-1]]])
    dense = DenseOutput.of(output, trial)
    return polished(trajectory.rhs, trajectory.method, resample(output, dense, t))


def joined(parts: list[Trial]) -> Trial:
    """Trials one after the other."""
    first, *rest = parts
    xp = array_namespace(first.y)
    t = xp.concat([first.t, *(part.t[1:] for part in rest)])
    y = xp.concat([first.y, *(part.y[1:, ...] for part in rest)])
    return Trial(t, y, xp.concat([part.stages for part in parts]), union(*(part.breaks for part in parts)))

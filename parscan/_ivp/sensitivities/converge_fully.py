"""Solves the discrete equations to nearly all digits: derivatives are derivatives of their exact solution."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.mesh import Mesh
from ..core.polynomial import PiecewisePolynomial, joined
from ..core.scale import Scale
from ..methods.discretisation import Discretisation
from ..methods.newton import iterate
from ..output.observation import Observation
from .trajectory import Trajectory

CLOSE = 1e-10
"""Accepted error of the nodes, relative to the largest value of the component."""

ITERATIONS, LINEAR = 5, 20
"""Largest number of Newton iterations, and the same for methods that converge linearly. If they do not suffice,
rounding or a jump of `fun` prevents convergence."""


def close_enough(solution: PiecewisePolynomial, scale: Scale) -> bool:
    """Whether the tolerance of Newton's method is small enough for derivatives."""
    sizes = _sizes(solution)
    xp = array_namespace(sizes)
    with quiet():  # a component that is zero throughout has no digits
        shares = xp.where(sizes > 0, (scale.atol + scale.rtol * sizes) / sizes, xp.zeros_like(sizes))
    return scale.enough * float(xp.max(shares)) <= _close(solution)


def polished(rhs: RightHandSide, method: Discretisation, solution: PiecewisePolynomial) -> Trajectory:
    """The trajectory of a solution, converged to nearly all digits."""
    close, sizes = _close(solution), _sizes(solution)
    target = Scale(close, close * sizes)
    parts: list[PiecewisePolynomial] = []
    begin = solution.y[0, ...]
    given = Trajectory(rhs, method, solution)
    for window in given.windows():
        part = given.part(window)
        most = ITERATIONS if method.is_superlinear else LINEAR
        found = iterate(method, rhs, part.starting_at(begin), target, 1.0, most)
        parts.append(found.trial if found.solved == part.intervals else part)
        begin = parts[-1].y[-1, ...]
    return Trajectory(rhs, method, joined(parts))


def _close(solution: PiecewisePolynomial) -> float:
    """`CLOSE`, or a few roundings if the precision of the states is lower."""
    return max(CLOSE, 10 * machine_epsilon(solution.y.dtype))


def _sizes(solution: PiecewisePolynomial) -> Array:
    """Largest size of each component, `(n,)`."""
    xp = solution.xp
    return xp.max(xp.abs(solution.y), axis=tuple(range(solution.y.ndim - 1)))


def with_nodes(trajectory: Trajectory, times: Array) -> Trajectory:
    """The trajectory on a refined mesh of which all the times are nodes."""
    solution = trajectory.solution
    if not Observation(solution, times).inside:
        return trajectory
    xp = solution.xp
    t = solution.direction * xp.sort(solution.direction * xp.concat([solution.t, times]))
    t = xp.concat([t[:1], t[1:][t[1:] != t[:-1]]])
    refined = polished(trajectory.rhs, trajectory.method, solution.resampled(Mesh(t, solution.breaks)))
    return trajectory.on(refined.solution)

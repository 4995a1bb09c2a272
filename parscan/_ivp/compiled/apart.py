"""How far apart two marches are at the times of the output, in tolerances."""

from __future__ import annotations

from functools import cache
from math import inf

from ..._arrays.namespace import Array, array_namespace, quiet
from ..._kernels.generic.legendre import legendre_series
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..core.tableaux import gauss
from .march import Course, March
from .path import NODES, Path

SHARES = 0.4, 0.8
"""Where marches with dense output are compared in every step besides its end; polynomials of DOP853 are worst at
0.83."""


def at_end(problem: Problem, one: Course, other: Course) -> float:
    """Largest difference of a component at the ends of two marches, in tolerances."""
    last = one.last
    tolerances = (problem.atol + problem.rtols * abs(last)).tolist()  # numbers of Python: states are short
    return max(map(ratio, last.tolist(), other.last.tolist(), tolerances))


def ratio(one: complex, other: complex, tolerance: float) -> float:
    """Difference of two numbers in tolerances."""
    apart = abs(one - other)
    return apart / tolerance if tolerance else 0.0 if not apart else inf


def between(march: March, one: Course, other: Course) -> Array | None:
    """
    Largest differences of components at the times of the output, or in samples of each step if that is dense.

    None if only ends are wanted, or one of the marches did not come to the others' times.
    """
    problem, output = march.problem, march.output
    if output.is_dense:
        found = [_of_dense(problem, part, other.path.polynomial) for _, part in one.polynomial.groups(len(SHARES) + 1)]
        return problem.xp.concat(found) if found else None
    if output.times is None:
        return None
    values, others = problem.xp.concat(one.values), problem.xp.concat(other.values)
    if values.shape != others.shape:
        return None
    return differences(problem, one.path, output.times[: values.shape[0]], values, others)


def _of_dense(problem: Problem, part: PiecewisePolynomial, other: PiecewisePolynomial) -> Array:
    """Those in some steps."""
    xp, weights = part.xp, _weights()
    lengths = part.t[1:] - part.t[:-1]
    times = xp.concat([part.t[:-1, None] + xp.asarray(SHARES) * lengths[:, None], part.t[1:, None]], axis=1)
    inner = part.y[:-1, None, :] + lengths[:, None, None] * (weights @ part.stages)
    states = xp.concat([inner, part.y[1:, None, :]], axis=1)
    times, states = xp.reshape(times, (-1,)), xp.reshape(states, (-1, states.shape[-1]))
    return differences(problem, Path(part.t, part.y), times, states, other.at_few(times))


@cache
def _weights() -> Array:
    """Weights of the slopes, times the step, in the change of a polynomial up to each of the shares."""
    method = gauss(NODES)
    shares = array_namespace(method.c).asarray(SHARES)
    return shares[:, None] * legendre_series(shares, method.means)


def differences(problem: Problem, path: Path, times: Array, states: Array, others: Array) -> Array:
    """
    Largest difference `(m,)` of a component at each of the times, in tolerances.

    The tolerance is that of the largest size of a component there and at both ends of the step, as in the control of
    steps: a component that passes through zero has errors of its size before and after.
    """
    xp = array_namespace(path.t)
    if not times.shape[0]:
        return xp.zeros(0)
    way = 1.0 if path.t[-1] >= path.t[0] else -1.0
    step = xp.clip(xp.searchsorted(way * path.t, way * times, side="left") - 1, 0, max(path.steps - 1, 0))
    sizes = xp.abs(path.y)
    size = xp.maximum(xp.take(sizes, step, axis=0), xp.take(sizes, xp.minimum(step + 1, path.steps), axis=0))
    tolerances = problem.atol + problem.rtols * xp.maximum(size, xp.abs(states))
    missed = xp.abs(states - others)
    with quiet():
        return xp.max(xp.where(missed == 0, xp.zeros_like(missed), missed / tolerances), axis=-1)

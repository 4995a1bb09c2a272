"""
Shorter steps where derivatives change fast: after a start to which the solution is drawn, but not what changes it.

A stiff solution that starts smoothly has long first steps. A change of the start decays as exp(-k t) with the rates k
of the Jacobian, and that by a parameter begins with 0 and grows as fast to its smooth course: neither is followed by
steps that are much longer than 1/k. Steps no longer than the inverse of the largest rate, and then than a share of the
time since the start, follow changes of all rates: when the steps become long for one of them, it has decayed.
"""

from __future__ import annotations

from math import ceil, inf, isfinite, log

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet

ORDINARY = 2.0
"""
Largest length of a step, as a multiple of the time since the start or the inverse of the rate, that is left as it is.

Changes have errors of up to 1e-5 then between the ends of steps of Radau IIA of order 13, and of 7e-7 at their ends.
Steps that follow a solution, too, are hardly longer.
"""

GROWTH = 1.5
"""Ratio of the times since the start at the ends of a step otherwise: errors are 7e-9 between the ends, 1e-11 there."""

DAMPED = 6
"""After how many long steps of a method that damps all rates nothing is left of a layer."""

SQUARED = 5
"""How often a matrix is squared for a bound of its eigenvalues: those of second-order equations are far below norms."""

APART = 1024 * machine_epsilon("float64")
"""Least length of a step, as a share of the time."""


def graded(nodes: Array, times: Array, passed: Array, rates: Array) -> Array | None:
    """
    Nodes, with further ones in steps that are too long for changes that times of the output see; None if none is.

    Parameters
    ----------
    nodes : array, shape (N + 1,)
    times : array, shape (m,)
        Those of the output.
    passed, rates : arrays, shapes (N,)
        The time since the last start at the begin of each step, and a bound of the rates there.
    """
    xp, way = array_namespace(nodes), -1.0 if bool(nodes[-1] < nodes[0]) else 1.0
    if not times.shape[0] or nodes.shape[0] < 2:
        return None
    lengths = xp.abs(nodes[1:] - nodes[:-1])
    least = xp.where(rates > 0, 1 / xp.where(rates > 0, rates, xp.ones_like(rates)), xp.full_like(rates, inf))
    least = xp.maximum(least, APART * xp.abs(nodes[:-1]))
    since = xp.maximum(passed, least)
    is_long = lengths > ORDINARY * since
    if not bool(xp.any(is_long)):
        return None
    within = xp.searchsorted(way * nodes, way * times) - 1  # a node belongs to the step that it ends
    new = list[float]()
    for step in xp.nonzero(is_long)[0].tolist():
        if bool(xp.any((within >= step) & (within <= step + DAMPED))):
            inner = _inner(float(since[step]), float(passed[step]), float(lengths[step]))
            new += [float(nodes[step]) + way * one for one in inner]
    if not new:
        return None
    return way * xp.sort(xp.concat([way * nodes, way * xp.asarray(new, dtype=nodes.dtype)]))


def _inner(since: float, passed: float, length: float) -> list[float]:
    """Where a step is divided, from its begin: at times since the start with equal ratios."""
    if not (since > 0 and isfinite(length / since)):
        return []
    end = passed + length
    parts = ceil(log(end / since) / log(GROWTH))
    return [since * (end / since) ** (k / parts) - passed for k in range(int(passed >= since), parts)]


def rates_of(matrices: Array) -> Array:
    """Close bounds `(m,)` of the eigenvalues of Jacobians `(m, *batch, n, n)`, by norms of their powers."""
    xp = array_namespace(matrices)
    powers = xp.reshape(matrices, (matrices.shape[0], -1, *matrices.shape[-2:]))
    logarithms = xp.zeros(powers.shape[:2], dtype=xp.float64)
    with quiet():
        for squared in range(SQUARED + 1):
            powers = powers @ powers if squared else powers
            norms = xp.max(xp.sum(xp.abs(powers), axis=-1), axis=-1)
            logarithms = 2 * logarithms + xp.log(xp.astype(norms, xp.float64))
            powers = powers / xp.where(norms > 0, norms, xp.ones_like(norms))[..., None, None]
        found: Array = xp.exp(logarithms / 2**SQUARED)
    return xp.max(xp.astype(found, xp.float64), axis=-1)

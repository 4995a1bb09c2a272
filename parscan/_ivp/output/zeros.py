"""Zeros of a function between many pairs of times at once."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet

CLOSE = 2 * machine_epsilon(float)
"""Half the relative tolerance, and half the absolute one: as Brent's method has them in SciPy's solvers."""

MOST = 100
"""Largest number of calls."""


def zeros(function: Callable[[Array], Array], begins: Array, ends: Array, first: Array, last: Array) -> Array:
    """
    A zero in each of many brackets, by the method of Chandrupatla (Advances in Engineering Software 28, 1997).

    Each is halved, or divided by inverse quadratic interpolation where the last three values are those of a function
    that is nearly straight.

    Parameters
    ----------
    function : callable
        Values `(m,)` at times `(m,)`, one in each bracket.
    begins, ends : array, shape (m,)
    first, last : array, shape (m,)
        Values there, of opposite signs.

    Returns
    -------
    array, shape (m,)
        NaN where the function is NaN.
    """
    xp, a, b, at_a, at_b = array_namespace(begins), begins, ends, first, last
    share, done, best = xp.full_like(a, 0.5), xp.isnan(first) | xp.isnan(last), a
    unknown = done
    with quiet():
        for _ in range(MOST):
            x = a + share * (b - a)
            at_x = xp.where(done, at_a, function(x))
            unknown = unknown | xp.isnan(at_x)
            same = (at_x > 0) == (at_a > 0)
            c, at_c = xp.where(same, a, b), xp.where(same, at_a, at_b)
            b, at_b = xp.where(same, b, a), xp.where(same, at_b, at_a)
            a, at_a = x, at_x
            best = xp.where(xp.abs(at_a) < xp.abs(at_b), a, b)
            least = CLOSE * (1 + xp.abs(best)) / xp.abs(b - a)
            done = done | unknown | (at_a == 0) | (least > 1 / 2)
            if bool(xp.all(done)):
                break
            part, level = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
            inverse = at_a / (at_b - at_a) * at_c / (at_b - at_c)
            inverse += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
            is_straight = (level**2 < part) & ((1 - level) ** 2 < 1 - part)
            share = xp.where(is_straight, xp.minimum(xp.maximum(inverse, least), 1 - least), 0.5)
            share = xp.where(done, xp.zeros_like(share), share)
    return xp.where(done & ~unknown, best, xp.full_like(best, nan))

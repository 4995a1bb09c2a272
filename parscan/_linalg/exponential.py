"""The exponential of matrices, and φ₁, its mean over a step: `φ₁(M) = M^{-1} (exp(M) - I)`."""

from __future__ import annotations

from math import factorial

from .._arrays.namespace import Array, array_namespace
from .solve import solve_each

DEGREE = 6
"""Degree of numerator and denominator of the rational approximation to the exponential."""

LARGEST = 0.5
"""Largest norm for which the error of the rational approximation is no more than rounding."""

MOST_SQUARINGS = 100
"""Bound on the number of squarings: no mesh can resolve a norm beyond 2^100."""


def exponential(M: Array) -> tuple[Array, Array]:
    """exp(M) and φ₁(M) of the matrices `(..., n, n)`, by scaling and squaring a diagonal Padé approximant.

    Higham, "Functions of Matrices", SIAM 2008, chapter 10; `φ₁(2M) = (exp(M) + I) φ₁(M) / 2`.
    """
    xp = array_namespace(M)
    norm = xp.max(xp.sum(xp.abs(M), axis=-1), axis=-1)
    ratio = xp.where(xp.isfinite(norm), norm, xp.zeros_like(norm)) / LARGEST
    count = xp.clip(xp.ceil(xp.log2(xp.where(ratio > 1, ratio, xp.ones_like(ratio)))), 0, MOST_SQUARINGS)
    M = M * xp.astype(2.0**-count, M.dtype)[..., None, None]
    eye = xp.eye(M.shape[-1], dtype=M.dtype)
    c = [
        factorial(DEGREE) * factorial(2 * DEGREE - k) / factorial(2 * DEGREE) / factorial(k) / factorial(DEGREE - k)
        for k in range(DEGREE + 1)
    ]
    square, power = M @ M, eye
    even, odd = c[0] * eye, c[1] * eye
    for k in range(2, DEGREE + 1, 2):
        power = power @ square
        even = even + c[k] * power
        odd = odd + c[k + 1] * power if k < DEGREE else odd
    odd_part = M @ odd
    solved = solve_each(even - odd_part, xp.concat([even + odd_part, 2 * odd], axis=-1))
    n = M.shape[-1]
    result, phi = solved[..., :n], solved[..., n:]
    for done in range(int(xp.max(count)) if count.size else 0):
        more = (count > done)[..., None, None]
        phi = xp.where(more, (result + eye) @ phi / 2, phi)
        result = xp.where(more, result @ result, result)
    return result, phi

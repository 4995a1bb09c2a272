"""The affine recurrence held back: a Levenberg–Marquardt step instead of a Newton step, solved by a parallel scan.

The affine scan meets every equation `δ_p = A_p δ_{p-1} + b_p` and thereby grows as the products of `A` do. Here
the equations are met in the sense of least squares, and large states cost. Minimising backwards in time, all terms
after node `p` cost at least

    V_p(δ) = ½ δᴴ P_p δ - Re q_pᴴ δ + const,    P_{T-1} = 0,  q_{T-1} = 0.

With `S_p = weight I + P_p` and `F_p = (I + S_p)⁻¹ A_p`, a step back and the minimiser are

    P_{p-1} = A_pᴴ S_p F_p,    q_{p-1} = F_pᴴ (q_p - S_p b_p),    δ_p = F_p δ_{p-1} + (I + S_p)⁻¹ (b_p + q_p).

The latter two are affine scans. The first, a Riccati recurrence, is an associative scan over stretches of time.
Nothing is ever subtracted from the identity, so that small weights and curvatures keep their digits.

References
----------
.. [1] X. Gonzalez, A. Warrington, J. T. H. Smith, S. W. Linderman, "Towards Scalable and Stable Parallelization of
   Nonlinear RNNs", NeurIPS 2024.
.. [2] S. Särkkä, Á. F. García-Fernández, "Temporal Parallelization of Dynamic Programming and Linear Quadratic
   Control", IEEE Transactions on Automatic Control 68 (2023) 851–866.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import device

from ..._arrays.namespace import Array, Namespace, array_namespace, quiet
from ..dispatch import affine_scan
from .associative_scan import Elements, associative_scan


@dataclass(frozen=True)
class _Elementwise:
    """Arithmetic of diagonals, each kept as a vector."""

    xp: Namespace

    def product(self, X: Array, Y: Array) -> Array:
        """Product of two matrices."""
        return X * Y

    def apply(self, X: Array, v: Array) -> Array:
        """Product of a matrix with a vector."""
        return X * v

    def adjoint(self, X: Array) -> Array:
        """Conjugate transpose."""
        return _conjugate(X)

    def identity(self, X: Array) -> Array:
        """As many identities as there are matrices."""
        return self.xp.ones_like(X)

    def solve(self, X: Array, *right: Array) -> tuple[Array, ...]:
        """Solutions `X⁻¹ Y` for all right-hand sides `Y`."""
        return tuple(Y / X for Y in right)

    def root(self, X: Array, Y: Array) -> Array:
        """Some `Z` with `Z Zᴴ = X Xᴴ + Y Yᴴ`."""
        return self.xp.astype(self.xp.hypot(self.xp.abs(X), self.xp.abs(Y)), X.dtype)


@dataclass(frozen=True)
class _Dense:
    """Arithmetic of square matrices in the last two axes."""

    xp: Namespace

    def product(self, X: Array, Y: Array) -> Array:
        """Product of two matrices."""
        return X @ Y

    def apply(self, X: Array, v: Array) -> Array:
        """Product of a matrix with a vector."""
        return (X @ v[..., None])[..., 0]

    def adjoint(self, X: Array) -> Array:
        """Conjugate transpose."""
        return self.xp.matrix_transpose(_conjugate(X))

    def identity(self, X: Array) -> Array:
        """As many identities as there are matrices."""
        return self.xp.zeros_like(X) + self.xp.eye(X.shape[-1], dtype=X.dtype, device=device(X))

    def solve(self, X: Array, *right: Array) -> tuple[Array, ...]:
        """Solutions `X⁻¹ Y` for all right-hand sides `Y`, from one factorisation."""
        n = X.shape[-1]
        solutions = self.xp.linalg.solve(X, self.xp.concat(right, axis=-1))
        return tuple(solutions[..., k * n : (k + 1) * n] for k in range(len(right)))

    def root(self, X: Array, Y: Array) -> Array:
        """Lower triangular `Z` with `Z Zᴴ = X Xᴴ + Y Yᴴ`, without squaring anything."""
        rows = self.xp.concat([self.adjoint(X), self.adjoint(Y)], axis=-2)
        return self.adjoint(self.xp.linalg.qr(rows)[1])


def smooth(A: Array, b: Array, weight: float) -> Array:
    """
    Minimise `½ Σ |δ_p - A_p δ_{p-1} - b_p|² + ½ weight Σ |δ_p|²` over `δ_1 … δ_{T-1}`, with `δ_0 = b_0`.

    The operands are not checked; they are those of :func:`parscan._kernels.dispatch.affine_scan`.

    Parameters
    ----------
    A : array, shape (T, *batch, n) or (T, *batch, n, n)
        Coefficients, elementwise or matrices. `A[0]` is not used, and need not be finite.
    b : array, shape (T, *batch, n)
        Offsets.
    weight : float
        Cost of the states, not negative. Zero is the affine scan; the larger, the smaller the states.

    Returns
    -------
    array, shape (T, *batch, n)
        The minimiser; it shares no memory with the operands.
    """
    if weight == 0 or b.shape[0] < 2:
        return affine_scan(A, b)
    xp = array_namespace(b)
    algebra = _Dense(xp) if A.ndim > b.ndim else _Elementwise(xp)
    shape = np.broadcast_shapes(A.shape[: b.ndim], b.shape)
    A, b = xp.broadcast_to(A, shape + A.shape[b.ndim :]), xp.broadcast_to(b, shape)
    # Curvatures are as large as |A|², and what counts is what they add to 1: too much for single precision.
    double = xp.result_type(b.dtype, xp.float64)
    with quiet():
        later = _minimiser(algebra, xp.astype(A[1:, ...], double), xp.astype(b, double), weight)
        return xp.concat([b[:1, ...], xp.astype(later, b.dtype)])


def _minimiser(algebra: _Elementwise | _Dense, A: Array, b: Array, weight: float) -> Array:
    """Nodes after the first; `A` is that of these nodes, `b` of all."""
    xp = algebra.xp
    start, b = b[0, ...], b[1:, ...]
    S = _curvatures(algebra, A, weight)
    identity = algebra.identity(A)
    F, M = algebra.solve(identity + S, A, identity)
    back = algebra.adjoint(F)[1:, ...]
    pulls = -algebra.apply(back, algebra.apply(S, b)[1:, ...])
    q = xp.concat([affine_scan(back, pulls, reverse=True), xp.zeros_like(b[:1, ...])])
    return affine_scan(F, algebra.apply(M, b + q), start)


def _curvatures(algebra: _Elementwise | _Dense, A: Array, weight: float) -> Array:
    """
    Solve `S_{p-1} = weight I + A_pᴴ S_p (I + S_p)⁻¹ A_p` for all `p`, back from `weight I`.

    The elements of the scan are stretches of time from node `i` to `k`. Apart from its offsets, one costs, for both
    ends given, `½ δ_iᴴ J δ_i + ½ rᴴ C⁻¹ r` with `r = δ_k - A δ_i`; they are joined as in [2]_. `C` and `J` may span
    more digits than there are, so they are kept as `L Lᴴ` and `R Rᴴ`: sums of these are found without forming them.
    """
    xp = algebra.xp
    identity = algebra.identity(A)
    product, adjoint, root = algebra.product, algebra.adjoint, algebra.root

    def join(earlier: Elements, later: Elements) -> Elements:
        (A_ij, L_ij, R_ij), (A_jk, L_jk, R_jk) = earlier, later
        one = identity[: A_ij.shape[0], ...]
        K = product(adjoint(R_jk), L_ij)
        # (I + C_ij J_jk)⁻¹ = L_ij (I + Kᴴ K)⁻¹ L_ij⁻¹, and J_jk (I + C_ij J_jk)⁻¹ = R_jk (I + K Kᴴ)⁻¹ R_jkᴴ
        (driven,) = algebra.solve(L_ij, A_ij)
        left, right = algebra.solve(root(one, adjoint(K)), adjoint(product(A_jk, L_ij)), driven)
        (cost,) = algebra.solve(root(one, K), product(adjoint(R_jk), A_ij))
        return product(adjoint(left), right), root(adjoint(left), L_jk), root(adjoint(cost), R_ij)

    # Each node with the step after it; the last node has none.
    steps = xp.concat([A[1:, ...], xp.zeros_like(A[:1, ...])])
    R = associative_scan(join, (steps, identity, weight**0.5 * identity), reverse=True)[2]
    return product(R, adjoint(R))


def _conjugate(X: Array) -> Array:
    """Complex conjugate; the standard has none of real numbers."""
    xp = array_namespace(X)
    return xp.conj(X) if xp.isdtype(X.dtype, "complex floating") else X

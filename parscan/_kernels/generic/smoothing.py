"""A Levenberg–Marquardt step instead of a Newton step: a regularised affine recurrence, solved by parallel scans.

The affine scan satisfies every equation `δ_p = A_p δ_{p-1} + b_p`, and its states grow like the products of `A`. Here
the equations hold in the sense of least squares, with a penalty on the states. By dynamic programming backwards in
time, the minimum of all terms after node `p` is

    V_p(δ) = ½ δᴴ P_p δ - Re q_pᴴ δ + const,    P_{T-1} = 0,  q_{T-1} = 0.

With `S_p = weight I + P_p` and `F_p = (I + S_p)⁻¹ A_p`, a step backwards and the minimiser are

    P_{p-1} = A_pᴴ S_p F_p,    q_{p-1} = F_pᴴ (q_p - S_p b_p),    δ_p = F_p δ_{p-1} + (I + S_p)⁻¹ (b_p + q_p).

The recurrences of q and δ are affine scans. That of P, a Riccati recurrence, is an associative scan over intervals of
time. Nothing is ever subtracted from the identity, so that small weights and curvatures keep their digits.

References
----------
.. [1] X. Gonzalez, A. Warrington, J. T. H. Smith, S. W. Linderman, "Towards Scalable and Stable Parallelization of
   Nonlinear RNNs", NeurIPS 2024.
.. [2] S. Särkkä, Á. F. García-Fernández, "Temporal Parallelization of Dynamic Programming and Linear Quadratic
   Control", IEEE Transactions on Automatic Control 68 (2023) 851–866.
"""

from __future__ import annotations

import numpy as np

from ..._arrays.namespace import Array, array_namespace, quiet
from ..._linalg.dense import Dense
from ..._linalg.diagonal import Diagonal
from ..._linalg.structure import Structure, apply
from ..dispatch import affine_scan
from .associative_scan import Elements, associative_scan


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
        Weight of the penalty, not negative. Zero gives the affine scan; larger weights give smaller states.

    Returns
    -------
    array, shape (T, *batch, n)
        The minimiser; it shares no memory with the operands.
    """
    if weight == 0 or b.shape[0] < 2:
        return affine_scan(A, b)
    xp = array_namespace(b)
    structure = Dense() if A.ndim > b.ndim else Diagonal()
    shape = np.broadcast_shapes(A.shape[: b.ndim], b.shape)
    A, b = xp.broadcast_to(A, shape + A.shape[b.ndim :]), xp.broadcast_to(b, shape)
    # Curvatures are as large as |A|² and are added to 1, for which single precision has too few digits.
    double = xp.result_type(b.dtype, xp.float64)
    with quiet():
        later = _minimiser(structure, xp.astype(A[1:, ...], double), xp.astype(b, double), weight)
        return xp.concat([b[:1, ...], xp.astype(later, b.dtype)])


def _minimiser(structure: Structure, A: Array, b: Array, weight: float) -> Array:
    """The states after the first node, from their coefficients and the offsets of all nodes."""
    xp = array_namespace(b)
    start, b = b[0, ...], b[1:, ...]
    S = _curvatures(structure, A, weight)
    identity = structure.identity(A)
    F, M = structure.solve(identity + S, A, identity)
    back = structure.conjugate_transpose(F)[1:, ...]
    pulls = -apply(structure, back, apply(structure, S, b)[1:, ...])
    q = xp.concat([affine_scan(back, pulls, reverse=True), xp.zeros_like(b[:1, ...])])
    return affine_scan(F, apply(structure, M, b + q), start)


def _curvatures(structure: Structure, A: Array, weight: float) -> Array:
    """
    Solve `S_{p-1} = weight I + A_pᴴ S_p (I + S_p)⁻¹ A_p` for all `p`, back from `weight I`.

    The elements of the scan are intervals of time from node `i` to `k`. Apart from offsets, the cost of an interval,
    for given states at both ends, is `½ δ_iᴴ J δ_i + ½ rᴴ C⁻¹ r` with `r = δ_k - A δ_i`; intervals are joined as in
    [2]_. `C` and `J` may span more orders of magnitude than there are digits, so they are kept as factors `L Lᴴ` and
    `R Rᴴ`: the factors of sums are computed without forming the sums.
    """
    xp = array_namespace(A)
    identity = structure.identity(A)
    product, adjoint, root = structure.product, structure.conjugate_transpose, structure.root

    def join(earlier: Elements, later: Elements) -> Elements:
        (A_ij, L_ij, R_ij), (A_jk, L_jk, R_jk) = earlier, later
        one = identity[: A_ij.shape[0], ...]
        K = product(adjoint(R_jk), L_ij)
        # (I + C_ij J_jk)⁻¹ = L_ij (I + Kᴴ K)⁻¹ L_ij⁻¹, and J_jk (I + C_ij J_jk)⁻¹ = R_jk (I + K Kᴴ)⁻¹ R_jkᴴ
        (driven,) = structure.solve(L_ij, A_ij)
        left, right = structure.solve(root(one, adjoint(K)), adjoint(product(A_jk, L_ij)), driven)
        (cost,) = structure.solve(root(one, K), product(adjoint(R_jk), A_ij))
        return product(adjoint(left), right), root(adjoint(left), L_jk), root(adjoint(cost), R_ij)

    # Each element is a node with the step after it; the last node has no such step.
    steps = xp.concat([A[1:, ...], xp.zeros_like(A[:1, ...])])
    R = associative_scan(join, (steps, identity, weight**0.5 * identity), reverse=True)[2]
    return product(R, adjoint(R))

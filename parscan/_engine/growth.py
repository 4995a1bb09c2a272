"""How much propagators let a small change grow."""

from __future__ import annotations

from .._arrays.namespace import Array, array_namespace, quiet
from .._linalg.structure import Structure
from .system import Propagator

STRETCHES, STRETCH = 4, 256
"""Of more propagators than these together, so many stretches of so many stand for all."""


def log_growth(propagator: Propagator | None) -> float:
    """Logarithm of the norm of the product of all propagators but the first, which is never used.

    The largest of all batch elements; −inf without propagators, NaN if one is not finite. Estimated from a few
    stretches where there are many. The norm is the root mean square of the singular values: rotations have logarithm
    zero.
    """
    if propagator is None:
        return -float("inf")
    if propagator.matrices.shape[0] <= 1 or propagator.matrices.size == 0:
        return 0.0
    xp = array_namespace(propagator.matrices)
    stretches, share = _stretches(propagator.matrices[1:, ...])
    _, logarithms = scaled_product(propagator.structure, stretches)
    return share * float(xp.max(xp.sum(logarithms, axis=0)))


def _stretches(matrices: Array) -> tuple[Array, float]:
    """Stretches of the matrices as a second axis, and how many times longer all of them are.

    Of many, a few stretches are enough for a growth that is only compared with a bound; all would cost as much as a
    scan of the matrices.
    """
    xp = array_namespace(matrices)
    count = matrices.shape[0]
    if count <= STRETCHES * STRETCH:
        return matrices[:, None, ...], 1.0
    begins = [(count - STRETCH) * k // (STRETCHES - 1) for k in range(STRETCHES)]
    parts = xp.stack([matrices[begin : begin + STRETCH, ...] for begin in begins], axis=1)
    return parts, count / (STRETCHES * STRETCH)


def scaled_product(structure: Structure, matrices: Array) -> tuple[Array, Array]:
    """Product of matrices along the first axis, the last one leftmost: scaled to norm 1, and the norm's logarithm.

    The products are formed in pairs and scaled on the way, so that neither very large nor very small ones leave the
    range of the numbers. Both are returned without the first axis; the logarithms broadcast against the matrices.
    """
    xp = array_namespace(matrices)
    total: Array = 0.0
    with quiet():
        while True:
            norms = structure.norm(matrices)
            total = total + xp.sum(xp.log(norms), axis=0)
            matrices = matrices / xp.where(norms > 0, norms, xp.ones_like(norms))
            count = matrices.shape[0]
            if count == 1:
                return matrices[0, ...], total
            pairs = structure.product(matrices[1::2, ...], matrices[: count - 1 : 2, ...])
            matrices = pairs if count % 2 == 0 else xp.concat([pairs, matrices[-1:, ...]])

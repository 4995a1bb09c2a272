"""Products of long sequences of matrices: their scaled value, and the growth of vectors under them."""

from __future__ import annotations

from math import prod

from .._arrays.namespace import Array, array_namespace, itemsize, quiet, to_numpy
from .structure import Structure

STRETCHES, STRETCH = 4, 256
"""Number and length of the stretches that represent a longer sequence of matrices."""


LITTLE = 1 << 20
"""Bytes up to which matrices are brought from a device, which takes less time than some seventy launches."""


def log_growth(structure: Structure, matrices: Array) -> float:
    """Logarithm of the norm of the product of all matrices but the first, along the first axis.

    The result is the largest of all batch elements, NaN if one of them is not finite, and an estimate from a few
    stretches if there are many matrices. The norm is the root mean square of the singular values, so that a rotation
    has the logarithm zero.
    """
    if matrices.shape[0] <= 1 or matrices.size == 0:
        return 0.0
    stretches, share = _stretches(matrices[1:, ...])
    if prod(stretches.shape) * itemsize(stretches.dtype) <= LITTLE:
        stretches = to_numpy(stretches)
    xp = array_namespace(stretches)
    _, logarithms = scaled_product(structure, stretches)
    return share * float(xp.max(xp.sum(logarithms, axis=0)))


def _stretches(matrices: Array) -> tuple[Array, float]:
    """Stretches of the matrices, along a second axis, and the ratio of all matrices to those in the stretches.

    A few stretches are enough for a growth that is compared with a bound; all matrices would cost as much as a scan.
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

    Products are formed in pairs and scaled on the way, so that they neither overflow nor underflow. Both results lack
    the first axis; the logarithms broadcast against the matrices.
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

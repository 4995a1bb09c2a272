"""The correction of a mesh by the affine scan of the array library."""

from __future__ import annotations

from ..._arrays.elementwise import ratio
from ..._arrays.namespace import Array, array_namespace, quiet
from ..dispatch import Condensed, CorrectedMesh, affine_scan


def correct_mesh(
    condensed: Condensed, b: Array, h: Array, y: Array, K: Array, rtol: float | Array, atol: Array
) -> CorrectedMesh:
    """Correct all states by one affine scan, and all stages by one product; see `dispatch.correct_mesh`."""
    xp = array_namespace(y)
    N, s, B, n = K.shape
    with quiet():
        steps = xp.reshape(xp.astype(h, y.dtype), (N, 1, 1))
        weights = xp.reshape(xp.asarray(b, dtype=y.dtype), (1, s, 1, 1))
        ends = y[:-1, ...] + steps * xp.sum(weights * K, axis=1) + xp.reshape(condensed.offsets, (N, B, n))
        corrections = affine_scan(xp.reshape(condensed.propagators, (N, B, n, n)), ends - y[1:, ...])
        before = xp.concat([xp.zeros_like(corrections[:1, ...]), corrections[:-1, ...]])
        changes = condensed.X0 + (condensed.X1 @ xp.reshape(before, (N * B, 1, n, 1)))[..., 0]
        changes = xp.moveaxis(xp.reshape(changes, (N, B, s, n)), 2, 1)
        corrected = xp.concat([y[:1, ...], y[1:, ...] + corrections])
        size = xp.abs(corrected)
        bound = atol + rtol * xp.maximum(size[:-1, ...], size[1:, ...])
        errors = xp.abs(xp.concat([corrections[:, None, ...], steps[:, None, ...] * changes], axis=1))
        squares = ratio(xp, errors, bound[:, None, ...]) ** 2
        of_states, of_stages = xp.mean(squares[:, 0, ...], axis=-1), xp.mean(squares[:, 1:, ...], axis=(1, 3))
        sizes = xp.sqrt(xp.max(xp.maximum(of_states, of_stages), axis=-1))
    return CorrectedMesh(corrected, K + changes, xp.where(xp.isnan(sizes), xp.full_like(sizes, float("inf")), sizes))

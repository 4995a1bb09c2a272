"""The correction of a whole mesh of collocation intervals, after their stages have been condensed.

From the first node, which is known, corrections are carried from interval to interval; every stage follows from the
correction at the left end of its interval.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from ..._arrays.namespace import Array, array_namespace, library, quiet
from ..dispatch import affine_scan
from .condense import Condensed

_IMPLEMENTATIONS = {"numpy": "parscan._kernels.cpu.correct_mesh"}
"""Module that sweeps the arrays of a library; imported on first use, as the scans are."""


class Swept(NamedTuple):
    """A corrected trajectory, and how large the corrections of each interval were."""

    y: Array
    """States at the nodes, (N + 1, B, n)."""

    K: Array
    """Stage derivatives, (N, s, B, n)."""

    sizes: Array
    """Largest root mean square over components, of the state's and of `h` times the stages' correction, (N,)."""


def sweep(condensed: Condensed, b: Array, h: Array, y: Array, K: Array, rtol: float | Array, atol: Array) -> Swept:
    """
    Correct states and stages by what the condensed intervals tell.

    Nothing is checked. Sizes are in units of `atol + rtol max(|y_p|, |y_{p+1}|)`, infinite where they are not numbers.

    Parameters
    ----------
    condensed : Condensed
        Of all intervals of all members of the batch: member q of interval p is at `p * B + q`.
    b : NumPy array, shape (s,)
        Weights of the method, float64.
    h : array, shape (N,)
        Lengths of the intervals.
    y : array, shape (N + 1, B, n)
        States at the nodes; the first is right.
    K : array, shape (N, s, B, n)
        Stage derivatives.
    rtol, atol : float or array, shape (n,), and array, shape () or (n,)
        Tolerances of the precision of `h`.
    """
    module = _IMPLEMENTATIONS.get(library(y))
    return (import_module(module).sweep if module else sweep_by_scan)(condensed, b, h, y, K, rtol, atol)


def sweep_by_scan(
    condensed: Condensed, b: Array, h: Array, y: Array, K: Array, rtol: float | Array, atol: Array
) -> Swept:
    """Sweep by the affine scan of the array library; see :func:`sweep`."""
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
        bound = atol + rtol * xp.maximum(xp.abs(corrected[:-1, ...]), xp.abs(corrected[1:, ...]))
        of_states = xp.mean(_ratio(corrections, bound) ** 2, axis=-1)
        of_stages = xp.mean(_ratio(steps[:, None, ...] * changes, bound[:, None, ...]) ** 2, axis=(1, 3))
        sizes = xp.sqrt(xp.max(xp.maximum(of_states, of_stages), axis=-1))
    return Swept(corrected, K + changes, xp.where(xp.isnan(sizes), xp.full_like(sizes, float("inf")), sizes))


def _ratio(change: Array, bound: Array) -> Array:
    """Size of a change in units of a bound; none is none, even where the bound is zero."""
    xp = array_namespace(bound)
    size = xp.abs(change)
    return xp.where(size == 0, size, size / bound)

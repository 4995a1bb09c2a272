"""Small operations on arrays that several rooms need: one copy of each. `xp` is the library of the arrays."""

from __future__ import annotations

import math

import array_api_compat

from .namespace import Array, Namespace, array_namespace, to_numpy


def is_complex(x: Array) -> bool:
    """Whether the dtype is complex."""
    return bool(array_namespace(x).isdtype(x.dtype, "complex floating"))


def real(xp: Namespace, x: Array) -> Array:
    """Real parts; an array of real numbers is returned unchanged."""
    return xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x


def as_reals(xp: Namespace, x: Array) -> Array:
    """Real parts, then imaginary parts, along the last axis; an array of real numbers is returned unchanged."""
    return xp.concat([xp.real(x), xp.imag(x)], axis=-1) if xp.isdtype(x.dtype, "complex floating") else x


def ratio(xp: Namespace, error: Array, bound: Array) -> Array:
    """An error in units of its bound. An error of zero stays zero even if the bound is zero."""
    return xp.where(error == 0, error, error / bound)


def broadcast(xp: Namespace, x: Array, shape: tuple[int, ...]) -> Array:
    """The array broadcast to a shape; the array itself if it has that shape, which saves time."""
    return x if x.shape == shape else xp.broadcast_to(x, shape)


def component_sizes(xp: Namespace, sizes: Array) -> Array:
    """Largest of the sizes of each component (last axis); zeros where the other axes are empty."""
    if sizes.size == 0:
        return xp.zeros(sizes.shape[-1:], dtype=sizes.dtype)
    return xp.max(sizes, axis=tuple(range(sizes.ndim - 1)))


def by_rows(xp: Namespace, x: Array) -> Array:
    """The array as a matrix: its first axis, and all others in one."""
    return xp.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


def finite_rows(xp: Namespace, values: Array) -> Array:
    """Flags of the rows (first axis) without NaN or infinity."""
    return xp.all(by_rows(xp, xp.isfinite(values)), axis=1)


def rows_of(xp: Namespace, flags: Array) -> list[int]:
    """Numbers of the rows (first axis) in which a flag is set."""
    rows = to_numpy(xp.any(by_rows(xp, flags), axis=1))
    return [row for row, flag in enumerate(rows.tolist()) if flag]


def leading(xp: Namespace, flags: Array) -> Array:
    """Number of leading rows (first axis) whose flags are all set, as an array without axes."""
    # One more flag, which is not set, after the last row.
    rows = xp.all(by_rows(xp, flags), axis=1)
    unset = xp.zeros(1, dtype=xp.int8, device=array_api_compat.device(flags))
    return xp.argmin(xp.concat([xp.astype(rows, xp.int8), unset]))


def same(xp: Namespace, one: Array, other: Array) -> Array:
    """Flags of the entries at which two arrays are equal, or both NaN."""
    return (one == other) | (xp.isnan(one) & xp.isnan(other))

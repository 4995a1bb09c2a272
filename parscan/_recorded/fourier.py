"""Discrete Fourier transforms of arrays of fixed lengths, by halves as long as the length is even."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from .array import RecordingArray
from .calls import recording, records
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays

LARGEST = 65
"""Largest odd factor of a length; its transform is a product with a matrix."""


def _transformed(rows: RecordingArray, sign: float) -> RecordingArray:
    """
    Sums over `k` of `rows[..., k, :] * exp(2 pi i sign j k / n)`.

    Cooley & Tukey, Math. Comp. 19 (1965) 297: those of even and of odd `k`, side by side, are transforms of half the
    length.
    """
    n = rows.shape[-2]
    if n % 2:
        if n > LARGEST:
            raise Refused(f"transforms a length with an odd factor above {LARGEST}")
        places = np.arange(n)
        return np.matmul(_roots(np.outer(places, places), n, sign, rows), rows) if n > 1 else rows
    halves = _transformed(np.concatenate([rows[..., ::2, :], rows[..., 1::2, :]], axis=-1), sign)
    even, odd = np.split(halves, 2, axis=-1)
    odd = odd * _roots(np.arange(n // 2)[:, None], n, sign, rows)
    return np.concatenate([even + odd, even - odd], axis=-2)


def _roots(powers: Any, n: int, sign: float, like: RecordingArray) -> Any:
    """Powers of the n-th root of one, in the precision of an array."""
    angles = 2 * np.pi * (powers % n) / n
    return (np.cos(angles) + 1j * sign * np.sin(angles)).astype(np.result_type(like.dtype, np.complex64))


def _along(a: Any, n: int | None, axis: int, sign: float, norm: str | None) -> RecordingArray:
    """The transform of an axis, which is cut or filled with zeros to a length."""
    array = recording(a)
    rows = np.moveaxis(array if array.dtype.kind in "fc" else array.astype(np.float64), axis, -1)
    count = rows.shape[-1] if n is None else n
    rows = rows[..., :count]
    if rows.shape[-1] < count:
        rows = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, count - rows.shape[-1])])
    found = _transformed(rows[..., None], sign)[..., 0]
    scale = {"backward": 1.0 if sign < 0 else count, "forward": count if sign < 0 else 1.0, "ortho": np.sqrt(count)}
    factor = 1.0 / float(scale[norm or "backward"])
    complete = found.astype(np.result_type(found.dtype, np.complex64))
    return np.moveaxis(complete if factor == 1.0 else complete * factor, -1, axis)


@records()
def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, **_: Any) -> Any:
    return _along(a, n, axis, -1.0, norm)


@records()
def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, **_: Any) -> Any:
    return _along(a, n, axis, 1.0, norm)


@records()
def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, **_: Any) -> Any:
    if recording(a).dtype.kind == "c":
        raise TypeError("the transform of real numbers got complex ones")
    found = np.moveaxis(_along(a, n, axis, -1.0, norm), axis, -1)
    return np.moveaxis(found[..., : found.shape[-1] // 2 + 1], -1, axis)


@records()
def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, **_: Any) -> Any:
    rows = np.moveaxis(recording(a), axis, -1)
    count = 2 * (rows.shape[-1] - 1) if n is None else n
    kept = count // 2 + 1
    rows = rows[..., :kept]
    if rows.shape[-1] < kept:
        rows = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, kept - rows.shape[-1])])
    mirrored = np.conj(rows[..., 1 : (count + 1) // 2][..., ::-1])
    return np.moveaxis(_along(np.concatenate([rows, mirrored], axis=-1), None, -1, 1.0, norm).real, -1, axis)


def _over_axes(name: str, sign: float, axes_by_default: Any) -> None:
    @records(name)
    def transform(a: Any, s: Any = None, axes: Any = axes_by_default, norm: str | None = None, **_: Any) -> Any:
        found, chosen = recording(a), _axes(a, s, axes)
        for axis, length in zip(chosen, s or [None] * len(chosen), strict=True):
            found = _along(found, length, axis, sign, norm)
        return found


def _axes(a: Any, s: Any, axes: Any) -> Sequence[int]:
    if axes is not None:
        return [int(axis) for axis in axes]
    return range(-len(s), 0) if s is not None else range(np.ndim(a))


for _name, _sign in (("fft", -1.0), ("ifft", 1.0)):
    _over_axes(f"{_name}2", _sign, (-2, -1))
    _over_axes(f"{_name}n", _sign, None)


@records()
def fftshift(x: Any, axes: Any = None) -> Any:
    return _shifted(x, axes, lambda n: n // 2)


@records()
def ifftshift(x: Any, axes: Any = None) -> Any:
    return _shifted(x, axes, lambda n: -(n // 2))


def _shifted(x: Any, axes: Any, by: Any) -> Any:
    chosen = tuple(range(np.ndim(x))) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    return np.roll(x, tuple(by(np.shape(x)[axis]) for axis in chosen), chosen)

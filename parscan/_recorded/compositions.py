"""Functions of NumPy and SciPy that are composed of others."""

from __future__ import annotations

from typing import Any

import numpy

from .array import RecordingArray, apply, kind
from .calls import recording, records
from .complex_numbers import paired
from .complex_numbers import reciprocal as inverse
from .powers import power
from .rearrangements import zero_of
from .reductions import axes_of
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays


@records()
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> RecordingArray:
    array = recording(a, prepend, append)
    ends = [
        np.dtype(type(end)) if type(end) in (float, int) else kind(end) for end in (prepend, append) if end is not None
    ]
    array = array.astype(np.result_type(array.dtype, *ends))  # numbers of Python count here

    def widened(value: Any) -> Any:
        shape = list(array.shape)
        shape[axis] = 1
        return np.broadcast_to(array.cast(value).ids, shape) if np.ndim(value) == 0 else array.cast(value).ids

    parts = [widened(prepend)] if prepend is not None else []
    parts += [array.ids, *([widened(append)] if append is not None else [])]
    array = array.with_ids(np.concatenate(parts, axis=axis))
    for _ in range(n):
        rows = np.moveaxis(np.asarray(array.ids), axis, -1)
        found = array.with_ids(rows[..., 1:]) - array.with_ids(rows[..., :-1])
        array = found.with_ids(np.moveaxis(np.asarray(found.ids), -1, axis))
    return array


@records()
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> RecordingArray:
    found = diff(np.ravel(ary))
    ends = [[] if one is None else [np.ravel(found.cast(one))] for one in (to_begin, to_end)]
    return np.concatenate([*ends[0], found, *ends[1]])


@records()
def gradient(f: Any, *spacings: Any, axis: Any = None, edge_order: int = 1) -> Any:
    array = recording(f, *spacings)
    axes = axes_of(array, axis)
    given = spacings * len(axes) if len(spacings) == 1 else spacings or (1.0,) * len(axes)
    dtype = array.dtype if array.dtype.kind in "fc" else np.dtype(float)
    found = [_gradient(array, one, width, edge_order).astype(dtype) for one, width in zip(axes, given, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _gradient(array: RecordingArray, axis: int, width: Any, edge_order: int) -> RecordingArray:
    rows = array.with_ids(np.moveaxis(array.ids, axis, -1))
    if np.ndim(width):
        return _on_uneven(rows, np.diff(width), axis, edge_order)
    inner = (rows[..., 2:] - rows[..., :-2]) / (2.0 * width)
    if edge_order == 1:
        first, last = (rows[..., 1:2] - rows[..., :1]) / width, (rows[..., -1:] - rows[..., -2:-1]) / width
    else:
        first = (-1.5 * rows[..., :1] + 2.0 * rows[..., 1:2] - 0.5 * rows[..., 2:3]) / width
        last = (1.5 * rows[..., -1:] - 2.0 * rows[..., -2:-1] + 0.5 * rows[..., -3:-2]) / width
    return np.moveaxis(np.concatenate([first, inner, last], axis=-1), -1, axis)


def _on_uneven(rows: RecordingArray, widths: Any, axis: int, edge_order: int) -> RecordingArray:
    if edge_order != 1:
        raise Refused("calls `gradient` on an uneven grid with edge_order=2")
    left, right = widths[:-1], widths[1:]
    a, c = -right / (left * (left + right)), left / (right * (left + right))
    b = (right - left) / (left * right)
    inner = a * rows[..., :-2] + b * rows[..., 1:-1] + c * rows[..., 2:]
    first, last = (rows[..., 1:2] - rows[..., :1]) / widths[0], (rows[..., -1:] - rows[..., -2:-1]) / widths[-1]
    return np.moveaxis(np.concatenate([first, inner, last], axis=-1), -1, axis)


@records()
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    array = recording(y, x, dx)
    rows = array.with_ids(np.moveaxis(np.asarray(array.ids), axis, -1))
    width = dx if x is None else np.diff(x)
    return np.sum((rows[..., 1:] + rows[..., :-1]) * width / 2.0, axis=-1)


@records()
def float_power(x: Any, p: Any, **_: Any) -> Any:
    array = recording(x, p)
    return np.power(array.astype(complex if array.dtype.kind == "c" else float), p)


@records()
def fabs(x: Any, **_: Any) -> Any:
    return np.absolute(x * 1.0)


@records()
def square(x: Any, **_: Any) -> Any:
    x = x.astype(np.int8) if x.dtype == bool else x
    return x * x


@records()
def reciprocal(x: Any, **_: Any) -> Any:
    if recording(x).dtype.kind == "c":
        return inverse(x)
    if recording(x).dtype.kind != "f":
        raise Refused("divides 1 by integers without fractions")
    return 1.0 / x


@records("power")
def _power(x: Any, p: Any, **_: Any) -> Any:
    is_real = isinstance(x, RecordingArray) and x.dtype.kind != "c"
    return power(x, p) if is_real else apply("power", x, p)


@records("deg2rad", "radians")
def _radians(x: Any, **_: Any) -> Any:
    return x * (np.pi / 180.0)


@records("rad2deg", "degrees")
def _degrees(x: Any, **_: Any) -> Any:
    return x * (180.0 / np.pi)


@records()
def sinc(x: Any) -> Any:
    y = np.pi * np.where(np.equal(x, 0), 1.0e-20, x)
    return np.sin(y) / y


@records()
def divmod(x: Any, y: Any, **_: Any) -> Any:  # noqa: A001 - as in NumPy
    return np.floor_divide(x, y), np.remainder(x, y)


@records()
def modf(x: Any, **_: Any) -> Any:
    whole = np.trunc(x)
    return np.copysign(np.where(np.isinf(x), 0.0, x - whole), x), whole


@records()
def round(a: Any, decimals: int = 0) -> Any:  # noqa: A001 - as in NumPy
    array = recording(a)
    if array.dtype.kind == "c":
        return paired(round(array.real, decimals), round(array.imag, decimals))
    if array.dtype.kind != "f":
        raise Refused("rounds integers")
    if decimals == 0:
        return np.rint(a)
    scale = 10.0 ** abs(decimals)
    return np.rint(a * scale) / scale if decimals > 0 else np.rint(a / scale) * scale


@records("fix")
def _fix(x: Any, **_: Any) -> Any:
    return np.trunc(x)


@records()
def polyval(p: Any, x: Any) -> Any:
    array = recording(x, p)
    found: Any = array.filled(0.0)
    for coefficient in recording(p, x):  # numbers of NumPy, also in lists
        found = found * array + coefficient
    return found


@records()
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    is_near = np.less_equal(np.abs(np.subtract(a, b)), atol + rtol * np.abs(b)) & np.isfinite(b)
    found = is_near | np.equal(a, b)
    return found | (np.isnan(a) & np.isnan(b)) if equal_nan else found


@records()
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    return np.all(isclose(a, b, rtol, atol, equal_nan))


@records()
def array_equal(a1: Any, a2: Any, **_: Any) -> Any:
    return np.shape(a1) == np.shape(a2) and np.all(np.equal(a1, a2))


@records()
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    one, other = recording(a, v), recording(v, a)
    if one.size < other.size:
        one, other = other, one
    n, k = one.size, other.size
    if one.dtype != other.dtype:
        dtype = np.result_type(one.dtype, other.dtype)
        one, other = one.astype(dtype), other.astype(dtype)
    zero = np.full(k - 1, zero_of(one))
    rows = np.concatenate([zero, one.ids, zero])
    windows = one.with_ids(np.lib.stride_tricks.sliding_window_view(rows, k))
    found = windows @ other[::-1]
    cut = {"full": slice(None), "same": slice((k - 1) // 2, (k - 1) // 2 + n), "valid": slice(k - 1, n)}
    return found[cut[mode]]


@records()
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    if np.size(a) < np.size(v):
        return np.conj(correlate(v, a, mode)[::-1])
    return convolve(a, np.conj(recording(v, a))[::-1], mode)


@records()
def softmax(x: Any, axis: Any = None) -> Any:
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return shifted / np.sum(shifted, axis=axis, keepdims=True)


@records()
def logsumexp(a: Any, axis: Any = None, **options: Any) -> Any:
    if options:
        raise Refused("calls `logsumexp` with options")
    largest = np.max(a, axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    total = np.log(np.sum(np.exp(a - largest), axis=axis))
    return total + np.reshape(largest, np.shape(total))


@records()
def logit(x: Any) -> Any:
    return np.log(x / (1.0 - x))


@records()
def xlogy(x: Any, y: Any) -> Any:
    found = np.where(np.equal(x, 0) & ~np.isnan(y), 0.0, x * np.log(y))
    return found.astype(_dtype_of("xlogy", x, y))


@records()
def xlog1py(x: Any, y: Any) -> Any:
    found = np.where(np.equal(x, 0) & ~np.isnan(y), 0.0, x * np.log1p(y))
    return found.astype(_dtype_of("xlog1py", x, y))


def _dtype_of(name: str, *arguments: Any) -> Any:
    """The dtype of a function of SciPy: of single precision and a number of Python's, it depends on the version."""
    from scipy import special  # noqa: PLC0415 - slow to import

    given = (type(one) if type(one) in (int, float, complex) else one.dtype for one in arguments)
    return getattr(special, name).resolve_dtypes((*given, None))[-1]


@records()
def log_expit(x: Any) -> Any:
    return np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))

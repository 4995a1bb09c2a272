"""
Complex numbers: operations on them are recorded as operations on their real and imaginary parts.

The formulas are those of NumPy, or of the C library that NumPy calls, without branches: division by the algorithm of
Smith (Comm. ACM 5 (1962) 435), powers with whole exponents by repeated squares, functions by those of the parts.
Results agree with NumPy's to rounding. Where a part is infinite or NaN, the other one may differ, since Annex G of the
C standard lists such cases one by one (`exp(-inf + inf j)` is 0 there and NaN here). So may numbers whose size or whose
exponential overflows, though parts of the result do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .array import ABOVE, CUT, RecordingArray, Refused, as_recording
from .graph import PARTS
from .limits import limits

np: Any = numpy  # whose types do not know recording arrays

Parts = tuple[RecordingArray, RecordingArray]

MOST = 100
"""Powers with whole exponents below this number are products."""


def parts(array: RecordingArray) -> Parts:
    """Real and imaginary parts of complex numbers."""
    real, imaginary = array.graph.parts(array.ids)
    dtype = PARTS[array.dtype.char]
    return RecordingArray(array.graph, real, dtype), RecordingArray(array.graph, imaginary, dtype)


def paired(real: Any, imaginary: Any, dtype: Any = None) -> RecordingArray:
    """Complex numbers from their parts, one of which is a recording array."""
    graph = next(part.graph for part in (real, imaginary) if isinstance(part, RecordingArray))
    one, other = as_recording(graph, real), as_recording(graph, imaginary)
    dtype = np.dtype(dtype or np.result_type(one.dtype, other.dtype, np.complex64))
    one, other = (as_recording(graph, part, PARTS[dtype.char]) for part in (one, other))
    shape = np.broadcast_shapes(one.shape, other.shape)
    real_ids, imaginary_ids = (part.ids if not shape else np.broadcast_to(part.ids, shape) for part in (one, other))
    return RecordingArray(graph, graph.pair(real_ids, imaginary_ids, dtype), dtype)


def converted(array: RecordingArray, dtype: Any) -> RecordingArray:
    """Numbers in another dtype; the old or the new dtype is complex."""
    if array.dtype.kind != "c":
        real = as_recording(array.graph, array, PARTS[dtype.char])
        return paired(real, real.filled(0.0), dtype)
    if dtype.kind == "c":
        return paired(*parts(array), dtype)
    if dtype.kind != "b":
        raise Refused(CUT)
    return array != 0


def frozen(array: RecordingArray) -> RecordingArray:
    """An array that shares memory with another one in NumPy, and not here: it must not be written to."""
    if isinstance(array.ids, np.ndarray):
        array.ids.flags.writeable = False
    return array


def seen_as(array: RecordingArray, dtype: Any) -> RecordingArray:
    """A view of complex numbers as pairs of real ones, or the reverse; it must not be written to."""
    if array.ndim and dtype == PARTS.get(array.dtype.char):
        return frozen(np.stack(parts(array), axis=-1).reshape(*array.shape[:-1], -1))
    if array.ndim and array.dtype == PARTS.get(dtype.char):
        return frozen(paired(array[..., ::2], array[..., 1::2]))
    raise Refused(f"takes the memory of an array of {array.dtype} for one of {dtype}")


def recorded_on_parts(name: str, *operands: RecordingArray) -> RecordingArray:
    """An operation of the table on complex numbers."""
    if name in REAL_RESULTS:
        return REAL_RESULTS[name](*map(parts, operands))
    if name in COMPLEX_RESULTS:
        return paired(*COMPLEX_RESULTS[name](*map(parts, operands)))
    if name not in CHOICES:
        raise Refused(f"calls `{name}` on complex numbers")
    return CHOICES[name](*operands)


# Arithmetic


def multiply(a: Parts, b: Parts) -> Parts:
    (ar, ai), (br, bi) = a, b
    return ar * br - ai * bi, ar * bi + br * ai  # in this order, both products of a square are one


def divide(a: Parts, b: Parts) -> Parts:
    (ar, ai), (br, bi) = a, b
    if _is_zero(bi):  # a real number
        ratio, is_zero = bi / br, np.equal(br, 0.0)
        scale, real, imaginary = 1.0 / (br + bi * ratio), ar + ai * ratio, ai - ar * ratio
    else:
        is_flat, is_zero = abs(br) >= abs(bi), np.equal(br, 0.0) & np.equal(bi, 0.0)
        large, small = np.where(is_flat, br, bi), np.where(is_flat, bi, br)
        ratio = small / large
        scale = 1.0 / (large + small * ratio)
        real = np.where(is_flat, ar + ai * ratio, ar * ratio + ai)
        imaginary = np.where(is_flat, ai - ar * ratio, ai * ratio - ar)
    return np.where(is_zero, ar * np.inf, real * scale), np.where(is_zero, ai * np.inf, imaginary * scale)


def reciprocal(array: RecordingArray) -> RecordingArray:
    """`np.reciprocal`."""
    real, imaginary = parts(array)
    is_flat = abs(imaginary) <= abs(real)
    large, small = np.where(is_flat, real, imaginary), np.where(is_flat, imaginary, real)
    ratio = small / large
    scale = 1.0 / (large + small * ratio)
    return paired(np.where(is_flat, scale, ratio * scale), -np.where(is_flat, ratio * scale, scale))


def power(base: RecordingArray, exponent: RecordingArray) -> RecordingArray:
    known = exponent.constants
    if known is None or not known.size or (known != known.flat[0]).any():
        return _power(base, exponent)
    number = complex(known.flat[0])
    whole = int(number.real) if number.imag == 0 and abs(number.real) < MOST else 0
    found = (
        base.filled(1.0)
        if number == 0
        else np.sqrt(base)
        if number == 0.5
        else _whole_power(base, whole)
        if whole == number
        else _power(base, exponent)
    )
    shape = np.broadcast_shapes(base.shape, exponent.shape)
    return found if found.shape == shape else np.broadcast_to(found, shape).copy()


def _whole_power(base: RecordingArray, exponent: int) -> RecordingArray:
    found: Any = None
    square = base
    for bit in reversed(bin(abs(exponent))[2:]):
        if bit == "1":
            found = square if found is None else found * square
        square = square * square
    if exponent > 0:
        return found + 0 if exponent == 1 else found
    found = found * complex(1.0)  # NaN for infinite numbers, as in NumPy, where the product begins with 1
    return np.where(np.equal(base, 0), complex(np.nan, np.nan), 1.0 / found)


def _power(base: RecordingArray, exponent: RecordingArray) -> RecordingArray:
    """Powers with any exponents, by the logarithm."""
    is_zero, is_positive = np.equal(base, 0), parts(exponent)[0] > 0.0
    found = np.exp(exponent * np.log(np.where(is_zero, 1.0, base)))
    found = np.where(is_zero, np.where(is_positive, 0.0, complex(np.nan, np.nan)), found)
    return np.where(np.equal(exponent, 0), 1.0, found)


# Functions


def _is_zero(array: RecordingArray) -> bool:
    """Whether real numbers are zero, or NaN where they were calculated from numbers that are not finite."""
    return limits(array.graph, array.ids) == (0.0, 0.0)


def _times(one: RecordingArray, other: RecordingArray, argument: RecordingArray) -> RecordingArray:
    """A product whose second factor, an odd function of the argument, counts more where it is zero: it may be 0 inf."""
    return np.where(np.equal(argument, 0.0), argument, one * other)


def exp(a: Parts) -> Parts:
    real, imaginary = a
    cosine, sine = np.cos(imaginary), np.sin(imaginary)
    if _is_zero(real):
        size = 1.0 + real  # the exponential of zero, and of NaN
        return size * cosine, size * sine
    size = np.exp(real)
    return size * cosine, _times(size, sine, imaginary)


def expm1(a: Parts) -> Parts:
    real, imaginary = a
    half = np.sin(0.5 * imaginary)
    return np.expm1(real) * np.cos(imaginary) - 2.0 * half * half, np.exp(real) * np.sin(imaginary)


def log(a: Parts) -> Parts:
    """The logarithm of sizes near 1 by that of the square, less 1: the size itself is rounded to 1."""
    real, imaginary = a
    size, one, other = np.hypot(real, imaginary), abs(real), abs(imaginary)
    large, small = np.maximum(one, other), np.minimum(one, other)
    beyond = (large - 1.0) * (large + 1.0) + small * small
    return (
        np.where((size > 0.5) & (size < 2.0), 0.5 * np.log1p(beyond), np.log(size)),
        np.arctan2(imaginary, real),
    )


def log1p(a: Parts) -> Parts:
    real, imaginary = a[0] + 1.0, a[1]
    return np.log(np.hypot(real, imaginary)), np.arctan2(imaginary, real)


def sqrt(a: Parts) -> Parts:
    real, imaginary = a
    size = np.sqrt(0.5 * np.hypot(real, imaginary) + 0.5 * abs(real))
    is_limit = np.equal(size, 0.0) | np.isinf(imaginary)
    other = np.where(is_limit, imaginary, 0.5 * imaginary / size)
    is_right = real >= 0.0
    return np.where(is_right, size, abs(other)), np.where(is_right, other, np.copysign(size, imaginary))


def sinh(a: Parts) -> Parts:
    real, imaginary = a
    return np.cos(imaginary) * np.sinh(real), _times(np.cosh(real), np.sin(imaginary), imaginary)


def cosh(a: Parts) -> Parts:
    real, imaginary = a
    return np.cosh(real) * np.cos(imaginary), np.sinh(real) * np.sin(imaginary)


def tanh(a: Parts) -> Parts:
    """By the addition theorem of the tangent: no difference of large numbers, and no square that overflows."""
    real, imaginary = np.tanh(a[0]), np.tan(a[1])
    inverse, product = 1.0 / np.cosh(a[0]), real * imaginary
    below = 1.0 + product * product
    return real * (1.0 + imaginary * imaginary) / below, imaginary * (inverse * inverse) / below


def _turned(function: Callable[[Parts], Parts]) -> Callable[[Parts], Parts]:
    """The function `-i f(i z)` for a hyperbolic function `f`: sine and tangent."""

    def of(a: Parts) -> Parts:
        real, imaginary = function((-a[1], a[0]))
        return imaginary, -real

    return of


def _scaled(function: Callable[[Parts], Parts], by: float, *, before: bool = False) -> Callable[[Parts], Parts]:
    """A function to another base."""

    def of(a: Parts) -> Parts:
        real, imaginary = function((a[0] * by, a[1] * by) if before else a)
        return (real, imaginary) if before else (real * by, imaginary * by)

    return of


def sign(a: Parts) -> Parts:
    size = np.hypot(*a)
    size = np.where(np.equal(size, 0.0), 1.0, size)
    return a[0] / size, a[1] / size


# Comparisons: by the real part, then by the imaginary one


def _compared(strictly: Any, finally_: Any) -> Callable[[Parts, Parts], RecordingArray]:
    def compare(a: Parts, b: Parts) -> RecordingArray:
        (ar, ai), (br, bi) = a, b
        return (strictly(ar, br) & ~np.isnan(ai) & ~np.isnan(bi)) | (np.equal(ar, br) & finally_(ai, bi))

    return compare


def _any(test: Any) -> Callable[[Parts], RecordingArray]:
    return lambda a: test(a[0]) | test(a[1])


def _larger(compare: Any, *, ignores_nan: bool) -> Callable[[RecordingArray, RecordingArray], RecordingArray]:
    """`maximum` and the like: the first operand if it is NaN (or the second, if NaN is ignored), or the larger one."""

    def choose(a: RecordingArray, b: RecordingArray) -> RecordingArray:
        return np.where(compare(a, b) | np.isnan(b if ignores_nan else a), a, b)

    return choose


def _where(condition: RecordingArray, a: RecordingArray, b: RecordingArray) -> RecordingArray:
    pairs = zip(parts(a), parts(b), strict=True)
    return paired(*(np.where(condition, one, other) for one, other in pairs))


CHOICES: dict[str, Callable[..., RecordingArray]] = {
    "power": power,
    "where": _where,
    "maximum": _larger(np.greater_equal, ignores_nan=False),
    "minimum": _larger(np.less_equal, ignores_nan=False),
    "fmax": _larger(np.greater_equal, ignores_nan=True),
    "fmin": _larger(np.less_equal, ignores_nan=True),
}
"""Operations on whole complex numbers."""

COMPLEX_RESULTS: dict[str, Callable[..., Parts]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "subtract": lambda a, b: (a[0] - b[0], a[1] - b[1]),
    "negative": lambda a: (-a[0], -a[1]),
    "multiply": multiply,
    "divide": divide,
    "exp": exp,
    "exp2": _scaled(exp, np.log(2.0), before=True),
    "expm1": expm1,
    "log": log,
    "log2": _scaled(log, 1 / np.log(2.0)),
    "log10": _scaled(log, 1 / np.log(10.0)),
    "log1p": log1p,
    "sqrt": sqrt,
    "sinh": sinh,
    "cosh": cosh,
    "tanh": tanh,
    "sin": _turned(sinh),
    "cos": lambda a: cosh((-a[1], a[0])),
    "tan": _turned(tanh),
    "sign": sign,
    "rint": lambda a: (np.rint(a[0]), np.rint(a[1])),
}
"""Parts of results, by the parts of operands."""

REAL_RESULTS: dict[str, Callable[..., RecordingArray]] = {
    "absolute": lambda a: np.hypot(*a),
    "equal": lambda a, b: np.equal(a[0], b[0]) & np.equal(a[1], b[1]),
    "not_equal": lambda a, b: np.not_equal(a[0], b[0]) | np.not_equal(a[1], b[1]),
    "less": _compared(np.less, np.less),
    "less_equal": _compared(np.less, np.less_equal),
    "greater": _compared(np.greater, np.greater),
    "greater_equal": _compared(np.greater, np.greater_equal),
    "isnan": _any(np.isnan),
    "isinf": _any(np.isinf),
    "isfinite": lambda a: np.isfinite(a[0]) & np.isfinite(a[1]),
    "logical_not": lambda a: np.equal(a[0], 0.0) & np.equal(a[1], 0.0),
}
"""Real numbers or conditions, by the parts of operands."""

ABOVE.update({"parts": parts, "paired": paired, "converted": converted, "frozen": frozen, "seen_as": seen_as,
              "complex": recorded_on_parts})  # fmt: skip

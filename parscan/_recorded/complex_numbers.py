"""
Complex numbers: operations on them are recorded as operations on their real and imaginary parts.

The formulas are those of NumPy, or of the C library that NumPy calls, without branches: division by the algorithm of
Smith (Comm. ACM 5 (1962) 435), powers with whole exponents by repeated squares, functions by those of the parts.
Results agree with NumPy's to rounding. Where a part is infinite or NaN, the other one may differ, since Annex G of the
C standard lists such cases one by one (`exp(-inf + inf j)` is 0 there and NaN here). So may numbers whose size or whose
exponential overflows, though parts of the result do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy

from .array import ABOVE, RecordingArray, apply, as_recording, made
from .graph import PARTS, Graph
from .limits import limits
from .operations import OPERATIONS
from .refusal import CUT, Refused
from .results import joint
from .shared import few

np: Any = numpy  # whose types do not know recording arrays

do: Any = SimpleNamespace(**{name: partial(apply, name) for name in OPERATIONS})
"""The operations, which are called faster than NumPy's functions."""

Parts = tuple[RecordingArray, RecordingArray]

MOST = 100
"""Powers with whole exponents below this number are products."""


def parts(array: RecordingArray) -> Parts:
    """Real and imaginary parts of complex numbers."""
    graph, nodes, form = array.graph, array.nodes, array.form
    own: Any = PARTS[array.dtype.char]
    if type(nodes) is np.ndarray:
        nodes, form = few(nodes)
    real, imaginary = graph.few_parts(nodes) if form is not None or type(nodes) is int else graph.parts(nodes)
    return made(graph, real, own, form or ()), made(graph, imaginary, own, form or ())


def parts_of(graph: Graph, value: Any, dtype: Any) -> Parts:
    """Real and imaginary parts of an operand of a complex dtype."""
    kind: Any = type(value)
    own: Any = PARTS[dtype.char]
    if kind is RecordingArray and value.dtype is dtype:
        return parts(value)
    if kind is float or kind is int or kind is complex:
        number = complex(value)
        return made(graph, graph.number(number.real, own), own), made(graph, graph.number(number.imag, own), own)
    if kind is RecordingArray and value.dtype.kind != "c":
        real = as_recording(graph, value, own)
        return made(graph, real.nodes, own, real.form or ()), made(graph, graph.number(0.0, own), own)
    return parts(as_recording(graph, value, dtype))


def paired(real: Any, imaginary: Any, dtype: Any = None) -> RecordingArray:
    """Complex numbers from their parts, one of which is a recording array."""
    graph = next(part.graph for part in (real, imaginary) if type(part) is RecordingArray)
    one, other = as_recording(graph, real), as_recording(graph, imaginary)
    if dtype is None:
        dtype = WITH_PARTS.get((one.dtype.char, other.dtype.char))
    dtype = np.dtype(dtype or np.result_type(one.dtype, other.dtype, np.complex64))
    own = PARTS[dtype.char]
    one, other = as_recording(graph, one, own), as_recording(graph, other, own)
    given = [part.few() for part in (one, other)]
    form = joint(*given)
    if form is not None:
        count = max([len(nodes) for nodes, _ in given if type(nodes) is tuple], default=0)
        first, second = ((nodes,) * count if count and type(nodes) is int else nodes for nodes, _ in given)
        return made(graph, graph.few_pairs(first, second, dtype), dtype, form)
    shape = np.broadcast_shapes(one.shape, other.shape)
    first, second = (np.broadcast_to(part.ids, shape) for part in (one, other))
    return RecordingArray(graph, graph.pair(first, second, dtype), dtype)


WITH_PARTS = {("d", "d"): np.dtype(np.complex128), ("f", "f"): np.dtype(np.complex64)}
"""Dtypes of complex numbers by those of their parts."""


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


def recorded_on_parts(graph: Graph, name: str, operands: Any, dtypes: Any) -> RecordingArray:
    """
    An operation of the table on operands that are taken in some dtypes, of which the last is complex.

    If it was recorded before on the same nodes of few elements, nothing is done: many functions are called twice.
    """
    key = tuple(map(_key, operands))
    table = graph.scalars["complex", name] if None not in key else {}
    found = table.get(key)
    if found is None:
        result = _on_parts(graph, name, operands, dtypes)
        nodes, form = result.few()
        if type(nodes) is not np.ndarray:
            table[key] = nodes, result.dtype, form
        return result
    return made(graph, *found)


def _key(value: Any) -> Any:
    """Nodes and shape of an operand, or a number with the signs of zeros; None for others, and for many nodes."""
    kind: Any = type(value)
    if kind is RecordingArray:
        nodes, form = value.few()
        return None if type(nodes) is np.ndarray else (nodes, form, value.dtype.char)
    return repr(value) if kind is float or kind is int or kind is complex else None


def _on_parts(graph: Graph, name: str, operands: Any, dtypes: Any) -> RecordingArray:
    if name in CHOICES:
        return CHOICES[name](*map(partial(as_recording, graph), operands, dtypes))
    if name not in COMPLEX_RESULTS and name not in REAL_RESULTS:
        raise Refused(f"calls `{name}` on complex numbers")
    given = map(partial(parts_of, graph), operands, dtypes)
    return REAL_RESULTS[name](*given) if name in REAL_RESULTS else paired(*COMPLEX_RESULTS[name](*given))


# Arithmetic


def multiply(a: Parts, b: Parts) -> Parts:
    (ar, ai), (br, bi) = a, b
    return ar * br - ai * bi, ar * bi + br * ai  # in this order, both products of a square are one


def divide(a: Parts, b: Parts) -> Parts:
    (ar, ai), (br, bi) = a, b
    if _is_zero(bi):  # a real number
        ratio, is_zero = bi / br, do.equal(br, 0.0)
        scale, real, imaginary = 1.0 / (br + bi * ratio), ar + ai * ratio, ai - ar * ratio
    else:
        is_flat, is_zero = abs(br) >= abs(bi), do.equal(br, 0.0) & do.equal(bi, 0.0)
        large, small = do.where(is_flat, br, bi), do.where(is_flat, bi, br)
        ratio = small / large
        scale = 1.0 / (large + small * ratio)
        real = do.where(is_flat, ar + ai * ratio, ar * ratio + ai)
        imaginary = do.where(is_flat, ai - ar * ratio, ai * ratio - ar)
    return do.where(is_zero, ar * np.inf, real * scale), do.where(is_zero, ai * np.inf, imaginary * scale)


def reciprocal(array: RecordingArray) -> RecordingArray:
    """`np.reciprocal`."""
    real, imaginary = parts(array)
    is_flat = abs(imaginary) <= abs(real)
    large, small = do.where(is_flat, real, imaginary), do.where(is_flat, imaginary, real)
    ratio = small / large
    scale = 1.0 / (large + small * ratio)
    return paired(do.where(is_flat, scale, ratio * scale), -do.where(is_flat, ratio * scale, scale))


def power(base: RecordingArray, exponent: RecordingArray) -> RecordingArray:
    known = exponent.constants
    if known is None or not known.size or (known != known.flat[0]).any():
        return _power(base, exponent)
    number = complex(known.flat[0])
    whole = int(number.real) if number.imag == 0 and abs(number.real) < MOST else 0
    found = (
        base.filled(1.0)
        if number == 0
        else do.sqrt(base)
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
    return do.where(do.equal(base, 0), complex(np.nan, np.nan), 1.0 / found)


def _power(base: RecordingArray, exponent: RecordingArray) -> RecordingArray:
    """Powers with any exponents, by the logarithm."""
    is_zero, is_positive = do.equal(base, 0), parts(exponent)[0] > 0.0
    found = do.exp(exponent * do.log(do.where(is_zero, 1.0, base)))
    found = do.where(is_zero, do.where(is_positive, 0.0, complex(np.nan, np.nan)).astype(found.dtype), found)
    return do.where(do.equal(exponent, 0), 1.0, found)


# Functions


def _is_zero(array: RecordingArray) -> bool:
    """Whether real numbers are zero, or NaN where they were calculated from numbers that are not finite."""
    return limits(array.graph, array.ids) == (0.0, 0.0)


def _times(one: RecordingArray, other: RecordingArray, argument: RecordingArray) -> RecordingArray:
    """A product whose second factor, an odd function of the argument, counts more where it is zero: it may be 0 inf."""
    return do.where(do.equal(argument, 0.0), argument, one * other)


def exp(a: Parts) -> Parts:
    real, imaginary = a
    cosine, sine = do.cos(imaginary), do.sin(imaginary)
    if _is_zero(real):
        size = 1.0 + real  # the exponential of zero, and of NaN
        return size * cosine, size * sine
    size = do.exp(real)
    return size * cosine, _times(size, sine, imaginary)


def expm1(a: Parts) -> Parts:
    real, imaginary = a
    half = do.sin(0.5 * imaginary)
    return do.expm1(real) * do.cos(imaginary) - 2.0 * half * half, do.exp(real) * do.sin(imaginary)


def log(a: Parts) -> Parts:
    """The logarithm of sizes near 1 by that of the square, less 1: the size itself is rounded to 1."""
    real, imaginary = a
    size, one, other = do.hypot(real, imaginary), abs(real), abs(imaginary)
    large, small = do.maximum(one, other), do.minimum(one, other)
    beyond = (large - 1.0) * (large + 1.0) + small * small
    return (
        do.where((size > 0.5) & (size < 2.0), 0.5 * do.log1p(beyond), do.log(size)),
        do.arctan2(imaginary, real),
    )


def log1p(a: Parts) -> Parts:
    real, imaginary = a[0] + 1.0, a[1]
    return do.log(do.hypot(real, imaginary)), do.arctan2(imaginary, real)


def sqrt(a: Parts) -> Parts:
    real, imaginary = a
    size = do.sqrt(0.5 * do.hypot(real, imaginary) + 0.5 * abs(real))
    is_limit = do.equal(size, 0.0) | do.isinf(imaginary)
    other = do.where(is_limit, imaginary, 0.5 * imaginary / size)
    is_right = real >= 0.0
    return do.where(is_right, size, abs(other)), do.where(is_right, other, do.copysign(size, imaginary))


def sinh(a: Parts) -> Parts:
    real, imaginary = a
    return do.cos(imaginary) * do.sinh(real), _times(do.cosh(real), do.sin(imaginary), imaginary)


def cosh(a: Parts) -> Parts:
    real, imaginary = a
    return do.cosh(real) * do.cos(imaginary), do.sinh(real) * do.sin(imaginary)


def tanh(a: Parts) -> Parts:
    """By the addition theorem of the tangent: no difference of large numbers, and no square that overflows."""
    real, imaginary = do.tanh(a[0]), do.tan(a[1])
    inverse, product = 1.0 / do.cosh(a[0]), real * imaginary
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
    size = do.hypot(*a)
    size = do.where(do.equal(size, 0.0), 1.0, size)
    return a[0] / size, a[1] / size


# Comparisons: by the real part, then by the imaginary one


def _compared(strictly: Any, finally_: Any) -> Callable[[Parts, Parts], RecordingArray]:
    def compare(a: Parts, b: Parts) -> RecordingArray:
        (ar, ai), (br, bi) = a, b
        return (strictly(ar, br) & ~do.isnan(ai) & ~do.isnan(bi)) | (do.equal(ar, br) & finally_(ai, bi))

    return compare


def _any(test: Any) -> Callable[[Parts], RecordingArray]:
    return lambda a: test(a[0]) | test(a[1])


def _larger(compare: Any, *, ignores_nan: bool) -> Callable[[RecordingArray, RecordingArray], RecordingArray]:
    """`maximum` and the like: the first operand if it is NaN (or the second, if NaN is ignored), or the larger one."""

    def choose(a: RecordingArray, b: RecordingArray) -> RecordingArray:
        return do.where(compare(a, b) | do.isnan(b if ignores_nan else a), a, b)

    return choose


def _where(condition: RecordingArray, a: RecordingArray, b: RecordingArray) -> RecordingArray:
    pairs = zip(parts(a), parts(b), strict=True)
    return paired(*(do.where(condition, one, other) for one, other in pairs))


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
    "exp2": _scaled(exp, math.log(2.0), before=True),
    "expm1": expm1,
    "log": log,
    "log2": _scaled(log, 1 / math.log(2.0)),
    "log10": _scaled(log, 1 / math.log(10.0)),
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
    "absolute": lambda a: do.hypot(*a),
    "equal": lambda a, b: do.equal(a[0], b[0]) & do.equal(a[1], b[1]),
    "not_equal": lambda a, b: do.not_equal(a[0], b[0]) | do.not_equal(a[1], b[1]),
    "less": _compared(do.less, do.less),
    "less_equal": _compared(do.less, do.less_equal),
    "greater": _compared(do.greater, do.greater),
    "greater_equal": _compared(do.greater, do.greater_equal),
    "isnan": _any(do.isnan),
    "isinf": _any(do.isinf),
    "isfinite": lambda a: do.isfinite(a[0]) & do.isfinite(a[1]),
    "logical_not": lambda a: do.equal(a[0], 0.0) & do.equal(a[1], 0.0),
}
"""Real numbers or conditions, by the parts of operands."""

ABOVE.update({"parts": parts, "paired": paired, "converted": converted, "frozen": frozen, "seen_as": seen_as,
              "complex": recorded_on_parts})  # fmt: skip

"""Functions of NumPy that reduce axes of arrays, or accumulate along them."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy

from .array import ABOVE, RecordingArray, apply, as_recording, made
from .calls import TABLE, recording, records
from .dtypes import FLOAT64
from .graph import Graph
from .refusal import Refused
from .results import entered

np: Any = numpy  # whose types do not know recording arrays

REDUCTIONS = ("add", "multiply", "maximum", "minimum", "fmax", "fmin", "logical_and", "logical_or", "logical_xor",
              "hypot", "logaddexp")  # fmt: skip
"""Ufuncs that can reduce an axis, or accumulate along it."""

EMPTY = {"add": 0.0, "multiply": 1.0, "logical_and": True, "logical_or": False}
"""Values of these ufuncs without operands."""

PAIRWISE = 8
"""A sum of more terms is recorded as the sum of the sums of its halves, as in NumPy."""


def reduction(
    name: str, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False, **options: Any
) -> Any:
    """Reduce axes by an operation."""
    array = recording(a)
    if (chosen := options.pop("where", True)) is not True:
        if name not in EMPTY:
            raise Refused("reduces with the option `where`")
        array = np.where(chosen, array, array.cast(EMPTY[name]))
    if set(options) - {"initial"}:
        raise Refused(f"reduces with the options {', '.join(options)}")
    array = array.astype(_dtype_of_reduction(name, array) if dtype is None else dtype)
    axes = sorted(axes_of(array, axis))
    if array.dtype is FLOAT64 and axes and not options and out is None:
        few, form = array.few()
        if form and type(few) is tuple:
            return _of_few(name, array.graph, few, form, axes, keepdims=keepdims)
    for one in reversed(axes if array.ndim else []):
        rows = [array.with_ids(ids) for ids in np.moveaxis(np.asarray(array.ids), one, 0)]
        if not rows and name not in EMPTY:
            raise ValueError("zero-size array to reduction operation which has no identity")
        shape = (*array.shape[:one], *array.shape[one + 1 :])
        found = reduced(name, rows) if rows else array.cast(np.full(shape, EMPTY[name]))
        array = found[(*(slice(None),) * one, None)] if keepdims else found
    if "initial" in options and options["initial"] is not None:
        array = apply(name, array, options["initial"])
    elif name == "add" and axes and array.dtype.kind in "fc":
        array = array + 0.0  # the sum of nothing but -0.0 is 0.0
    if out is not None:
        raise Refused("reduces into an array")
    return array


def _of_few(
    name: str, graph: Graph, nodes: Any, form: tuple[int, ...], axes: list[int], *, keepdims: bool
) -> RecordingArray:
    """The same for nodes of few elements in double precision."""
    for axis in reversed(axes):
        found = ROWS.get((form, axis))
        if found is None:
            rows = np.moveaxis(np.arange(math.prod(form)).reshape(form), axis, 0).reshape(form[axis], -1).tolist()
            found = ROWS[form, axis] = rows if len(rows[0]) > 1 else [row[0] for row in rows]
        parts = nodes if type(nodes) is tuple else (nodes,)
        rows = [parts[row] if type(row) is int else tuple([parts[one] for one in row]) for row in found]
        nodes = _reduced_nodes(name, graph, rows)
        form = (*form[:axis], *([1] if keepdims else []), *form[axis + 1 :])
    if name == "add":
        nodes = entered(graph, name, FLOAT64, (nodes, graph.number(0.0, FLOAT64)))
    return made(graph, nodes, FLOAT64, form)


ROWS: dict[Any, Any] = {}
"""Places of the elements of each row of a small array, by its shape and the axis along which the rows lie."""


def _reduced_nodes(name: str, graph: Graph, rows: list[Any]) -> Any:
    if name == "add" and len(rows) > PAIRWISE:
        half = len(rows) // 2
        parts = _reduced_nodes(name, graph, rows[:half]), _reduced_nodes(name, graph, rows[half:])
        return entered(graph, name, FLOAT64, parts)
    return reduce(lambda one, other: entered(graph, name, FLOAT64, (one, other)), rows)


def reduced(name: str, rows: list[RecordingArray]) -> RecordingArray:
    if name == "add" and len(rows) > PAIRWISE:
        half = len(rows) // 2
        return apply(name, reduced(name, rows[:half]), reduced(name, rows[half:]))
    return reduce(lambda one, other: apply(name, one, other), rows)


def _dtype_of_reduction(name: str, array: RecordingArray) -> Any:
    """Dtype in which NumPy reduces: short integers are added and multiplied as long ones."""
    if name.startswith("logical_"):
        return np.dtype(bool)
    if name in ("add", "multiply") and array.dtype.kind in "biu":
        return np.result_type(array.dtype, np.uint64 if array.dtype.kind == "u" else np.int64)
    return array.dtype


def accumulation(name: str, a: Any, axis: int | None = 0, dtype: Any = None, out: Any = None) -> Any:
    """Accumulate along an axis by an operation."""
    if out is not None:
        raise Refused("accumulates into an array")
    array = recording(a)
    array = array.ravel() if axis is None else array
    array = array.astype(_dtype_of_reduction(name, array) if dtype is None else dtype)
    rows = [array.with_ids(ids) for ids in np.moveaxis(np.asarray(array.ids), axis or 0, 0)]
    found = rows[:1]
    for row in rows[1:]:
        found.append(apply(name, found[-1], row))
    return np.stack(found, axis=axis or 0) if found else array


for _name, _ufunc in {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum", "nanmax": "fmax",
                      "nanmin": "fmin", "all": "logical_and", "any": "logical_or"}.items():  # fmt: skip
    TABLE[_name] = lambda a, axis=None, dtype=None, out=None, keepdims=False, _ufunc=_ufunc, **options: reduction(
        _ufunc, a, axis, dtype, out, keepdims, **options
    )
for _name, _ufunc in {"cumsum": "add", "cumprod": "multiply"}.items():
    TABLE[_name] = lambda a, axis=None, dtype=None, out=None, _ufunc=_ufunc: accumulation(_ufunc, a, axis, dtype, out)


LONGEST = 64
"""Numbers of which the place of the least one is recorded."""


def _place(a: Any, axis: Any, out: Any, *, largest: bool) -> RecordingArray:
    """The first place of the least or of the largest number, or of a NaN."""
    array = recording(a)
    if out is not None or array.size > LONGEST or not array.size or (axis is not None and array.ndim != 1):
        raise Refused("seeks the place of an extreme among many numbers, or along an axis")
    array = array.ravel()
    best, place = array[0], as_recording(array.graph, np.asarray(0))
    for k in range(1, array.size):
        one = array[k]
        better = (one > best if largest else one < best) | (np.isnan(one) & ~np.isnan(best))
        best, place = np.where(better, one, best), np.where(better, k, place)
    return place


for _name in ("argmin", "argmax"):
    TABLE[_name] = lambda a, axis=None, out=None, _largest=_name == "argmax": _place(a, axis, out, largest=_largest)


def axes_of(array: RecordingArray, axis: Any) -> list[int]:
    """Axes as numbers from 0 on; None is all of them."""
    given = range(array.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return [int(one) % max(array.ndim, 1) for one in given]


def _count(array: RecordingArray, axis: Any) -> int:
    """Number of entries along some axes."""
    return math.prod(array.shape[one] for one in axes_of(array, axis)) if array.ndim else 1


@records()
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    if out is not None:
        raise Refused("reduces into an array")
    array = recording(a)
    dtype = np.float64 if dtype is None and array.dtype.kind not in "fc" else dtype
    total = np.sum(array, axis=axis, dtype=dtype, keepdims=keepdims)
    return total / float(_count(array, axis))


def squared(array: RecordingArray) -> Any:
    """Squares, of complex numbers those of their sizes."""
    return array * array if array.dtype.kind != "c" else array.real * array.real + array.imag * array.imag


@records()
def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    if out is not None:
        raise Refused("reduces into an array")
    array = recording(a)
    away = array - np.mean(array, axis=axis, keepdims=True)
    return np.sum(squared(away), axis=axis, keepdims=keepdims) / float(_count(array, axis) - ddof)


@records()
def std(a: Any, axis: Any = None, **options: Any) -> Any:
    return np.sqrt(np.var(a, axis=axis, **options))


@records()
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, **options: Any) -> Any:
    if returned:
        raise Refused("calls `average` for the sum of the weights")
    if weights is None:
        return np.mean(a, axis=axis, **options)
    array = recording(a, weights)
    if np.ndim(weights) != array.ndim:
        weights = np.reshape(weights, (*np.shape(weights), *(1,) * (array.ndim - 1 - axis % array.ndim)))
    total = recording(np.sum(array.filled(1.0) * weights, axis=axis, **options), array)
    ABOVE["raises"](array.graph, np.any(total == 0.0))
    return np.sum(array * weights, axis=axis, **options) / total


@records()
def ptp(a: Any, axis: Any = None, **options: Any) -> Any:
    return np.max(a, axis=axis, **options) - np.min(a, axis=axis, **options)


@records()
def count_nonzero(a: Any, axis: Any = None, **options: Any) -> Any:
    return np.sum(apply("not_equal", recording(a), 0), axis=axis, **options)


@records()
def nansum(a: Any, axis: Any = None, **options: Any) -> Any:
    return np.sum(np.where(np.isnan(a), 0.0, a), axis=axis, **options)


@records()
def nanmean(a: Any, axis: Any = None, **options: Any) -> Any:
    array = recording(a)
    dtype = array.dtype if array.dtype.kind in "fc" else np.float64
    return nansum(a, axis, **options) / np.sum(~np.isnan(a), axis=axis, **options).astype(dtype)


SORTED = 16
"""Largest number of entries whose sorting is recorded."""


@records()
def sort(a: Any, axis: int | None = -1, **_: Any) -> Any:
    array = recording(a)
    array, axis = (array.ravel(), 0) if axis is None else (array, axis)
    rows = list(np.moveaxis(array, axis, 0))
    if len(rows) > SORTED:
        raise Refused(f"sorts more than {SORTED} values")
    for end in range(len(rows) - 1, 0, -1):
        for k in range(end):
            one, other = rows[k], rows[k + 1]
            swap = ~(one <= other) & ~np.isnan(other)  # NaN comes last
            rows[k], rows[k + 1] = np.where(swap, other, one), np.where(swap, one, other)
    return np.stack(rows, axis=axis)


@records()
def median(a: Any, axis: int | None = None, **options: Any) -> Any:
    if any(options.values()):
        raise Refused("calls `median` with options")
    array = recording(a)
    rows = np.moveaxis(np.sort(array.ravel() if axis is None else array, axis=axis or 0), axis or 0, 0)
    half = (len(rows) - 1) // 2
    middle = rows[half] if len(rows) % 2 else np.mean(rows[half : half + 2], axis=0)
    return np.where(np.isnan(rows[-1]), np.nan, middle)

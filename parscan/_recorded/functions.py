"""NumPy's ufuncs and functions on recording arrays: one table, from the function to what records it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy

from .array import REAL, RecordingArray, Refused, apply, as_recording, joined, kind, power, product, recorded
from .graph import SEARCH_LEFT, SEARCH_RIGHT, Graph
from .operations import OPERATIONS
from .python_numbers import raises
from .sparse import SparseMatrix

np: Any = numpy  # whose types do not know recording arrays

SMALL = 16
"""Multiplications of a matrix product up to which it is recorded as sums of products."""

Function = Callable[..., Any]

TABLE: dict[str, Function] = {}
"""What records a function of NumPy, by its name; functions of `numpy.linalg` and `scipy` have the same place."""

ALIASES = {"true_divide": "divide", "abs": "absolute", "mod": "remainder", "bitwise_and": "logical_and",
           "bitwise_or": "logical_or", "bitwise_xor": "logical_xor", "invert": "logical_not",
           "pow": "power", "acos": "arccos", "asin": "arcsin", "atan": "arctan",
           "atan2": "arctan2", "acosh": "arccosh", "asinh": "arcsinh", "atanh": "arctanh", "amax": "max",
           "amin": "min", "around": "round", "concat": "concatenate", "permute_dims": "transpose",
           "trapz": "trapezoid", "row_stack": "vstack", "vecdot": "vdot"}  # fmt: skip
"""Other names of ufuncs and functions."""


def call_ufunc(ufunc: Any, method: str, operands: Any, options: dict[str, Any]) -> Any:
    """Record a call of a ufunc or of one of its methods."""
    out, where = options.pop("out", None), options.pop("where", True)
    if len(operands) > ufunc.nin and method == "__call__":
        operands, out = operands[: ufunc.nin], operands[ufunc.nin :]
    name = ALIASES.get(ufunc.__name__, ufunc.__name__)
    if ufunc.__name__.startswith("logical_"):
        operands = tuple(recording(value, *operands).astype(bool) for value in operands)
    elif name.startswith("logical_") and any(recording(value, *operands).dtype != bool for value in operands):
        raise Refused("works on the bits of integers")
    if method == "reduce" and name in REDUCTIONS:
        found = reduction(name, *operands, **options)
    elif method == "accumulate" and name in REDUCTIONS:
        found = accumulation(name, *operands, **options)
    elif method == "outer" and name in OPERATIONS:
        one, other = operands
        found = apply(name, np.reshape(one, (*np.shape(one), *(1,) * np.ndim(other))), other)
    elif method == "at" and name in (*REDUCTIONS, "subtract", "divide"):
        return at_places(name, *operands)
    elif method != "__call__":
        raise Refused(f"calls `{ufunc.__name__}.{method}`")
    else:
        dtype = options.pop("dtype", None)
        found = call(ufunc.__name__, operands, options, ufunc)
        found = found if dtype is None else found.astype(dtype)
    target = out[0] if isinstance(out, tuple) else out
    if target is None:
        if where is not True:
            raise Refused(f"calls `{ufunc.__name__}` with `where` but without `out`")
        return found
    return _written(target, found if where is True else np.where(where, found, target))


def call_function(function: Any, args: Any, options: dict[str, Any]) -> Any:
    """Record a call of a function of NumPy that is no ufunc."""
    if not _is_listed(function):
        raise Refused(f"calls `{function.__module__}.{function.__name__}`, which is not recorded")
    return call(function.__name__, args, options, function)


def call(name: str, args: Any, options: dict[str, Any], function: Any = None) -> Any:
    """Record a call by name; where it cannot be recorded, and all values are constants, call the function itself."""
    options = {key: value for key, value in options.items() if value is not np._NoValue}
    if (out := options.pop("out", None)) is not None:
        return _written(out, call(name, args, options, function))
    if function is not None and (name in ON_CONSTANTS or not _is_recorded(name)):
        try:
            return lifted(graph_of(args, *options.values()), function(*known(args), **known(options)))
        except Refused:
            if name not in TABLE:
                raise Refused(f"calls `{name}`, which is not recorded") from None
    name = ALIASES.get(name, name)
    if name in TABLE:
        return TABLE[name](*args, **options)
    if name not in OPERATIONS:
        raise Refused(f"calls `{name}`, which is not recorded")
    dtype = options.pop("dtype", None)
    if set(options) - {"casting", "order", "subok"}:
        raise Refused(f"calls `{name}` with the options {', '.join(options)}")
    found = apply(name, *args)
    return found if dtype is None else found.astype(dtype)


def _written(out: Any, found: Any) -> Any:
    """The array into which a result was written."""
    if not isinstance(out, RecordingArray):
        raise Refused("writes into an array that is not recorded")
    out[...] = found
    return out


def _is_recorded(name: str) -> bool:
    name = ALIASES.get(name, name)
    return name in TABLE or name in OPERATIONS


ON_CONSTANTS = frozenset(
    [
        "det",
        "inv",
        "solve",
        "norm",
        "where",
        "unique",
        "interp",
        "searchsorted",
        "polyfit",
        "matrix_power",
        "lstsq",
        "pinv",
    ]
)
"""Functions that are called themselves where all values are constants."""


def _is_listed(function: Any) -> bool:
    """Whether the names of the table mean functions of this module."""
    module = str(getattr(function, "__module__", "numpy") or "numpy")
    return module in MODULES or module.startswith(
        ("numpy._core", "numpy.lib", "numpy.linalg", "scipy.special", "scipy.linalg")
    )


MODULES = ("numpy", "scipy.integrate._quadrature")


def call_library(graph: Graph, function: Any, args: Any, options: dict[str, Any]) -> Any:
    """Call a function of NumPy or SciPy, or record the call where a recording array is among its arguments."""
    if isinstance(function, np.ufunc):
        if not options and len(args) == 1 and type(args[0]) is RecordingArray and function.__name__ in UNARY:
            return apply(function.__name__, args[0])  # the most frequent calls
        if holds(args):
            args = tuple(as_recording(graph, a) if isinstance(a, list | tuple) else a for a in args)
            return call_ufunc(function, "__call__", args, dict(options))
    elif _is_listed(function):
        make = MAKERS.get(function.__name__)
        if make is not None:
            return make(graph, function, *args, **options)
        if holds(args) or holds(options):
            return call(function.__name__, args, options, function)
    elif holds(args) or holds(options):
        if function is numpy.polynomial.polynomial.polyval and len(args) == 2:
            return polyval(args[1][::-1], args[0])
        try:
            args, options = known(args), known(options)
        except Refused:
            raise Refused(f"calls `{function.__name__}`, which is not recorded") from None
    return lifted(graph, function(*args, **options))


UNARY = frozenset(name for name, row in OPERATIONS.items() if row.arity == 1)


def holds(value: Any) -> bool:
    """Whether a value is a recording array or a list, tuple or dictionary that contains one."""
    kind = type(value)
    if kind is RecordingArray or kind is SparseMatrix:
        return True
    if kind is dict:
        return any(map(holds, value.values()))
    return isinstance(value, list | tuple) and any(map(holds, value))


def known(value: Any) -> Any:
    """A value with constants instead of the recording arrays in it."""
    if isinstance(value, RecordingArray):
        found = value.constants
        if found is None:
            raise Refused("uses a value")
        return found[()] if found.ndim == 0 else found
    if isinstance(value, SparseMatrix):
        return value.matrix
    if type(value) is dict:
        return {key: known(one) for key, one in value.items()}
    return type(value)(map(known, value)) if type(value) in (list, tuple) else value


def lifted(graph: Graph, value: Any) -> Any:
    """A value with recording arrays of constants instead of the arrays in it."""
    if type(value) is np.ndarray:
        return as_recording(graph, value) if value.dtype.char in REAL else value
    if type(value) in (list, tuple):
        return type(value)(lifted(graph, one) for one in value)
    if type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocsr"):
        return SparseMatrix(graph, value)
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(lifted(graph, one) for one in value)
    return value


# Functions that make arrays


def _array(graph: Graph, function: Any, value: Any, dtype: Any = None, *args: Any, **options: Any) -> Any:
    value = list(value) if isinstance(value, deque) else value
    if not holds(value):
        return lifted(graph, function(value, dtype, *args, **options))
    found = as_recording(graph, value, dtype)
    if function is np.array and found is value and options.get("copy", True):
        found = found.copy()
    ndmin = options.get("ndmin", 1 if function in (np.ascontiguousarray, np.asfortranarray) else 0)
    return found if found.ndim >= ndmin else found.reshape((*(1,) * (ndmin - found.ndim), *found.shape))


def _full(graph: Graph, function: Any, shape: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Any:
    if not holds(fill_value):
        return lifted(graph, function(known(shape), fill_value, dtype))
    found = as_recording(graph, fill_value, dtype)
    return found.with_ids(np.full(known(shape), found.ids))


def _plain(graph: Graph, function: Any, *args: Any, **options: Any) -> Any:
    function = {"empty": np.zeros}.get(function.__name__, function)
    try:
        return lifted(graph, function(*known(args), **known(options)))
    except Refused:
        raise Refused(f"calls `{function.__name__}` with values") from None


def _linspace(graph: Graph, function: Any, start: Any, stop: Any, num: int = 50, **options: Any) -> Any:
    if options or not holds((start, stop)) or num < 2:
        return _plain(graph, function, start, stop, num, **options)
    start = as_recording(graph, start)
    found = start + np.arange(num) * ((stop - start) / (num - 1))
    found[-1] = stop
    return found


def _from_iterable(graph: Graph, function: Any, iterable: Any, dtype: Any, *_: Any, **__: Any) -> Any:
    return _array(graph, np.array, list(iterable), dtype)


MAKERS: dict[str, Function] = {
    **dict.fromkeys(
        ["array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "asarray_chkfinite"], _array
    ),
    **dict.fromkeys(
        ["zeros", "ones", "empty", "eye", "identity", "arange", "tri", "logspace", "geomspace", "indices"], _plain
    ),
    "full": _full,
    "linspace": _linspace,
    "fromiter": _from_iterable,
}
"""Functions that make arrays, for the stand-in of NumPy."""


def records(*names: str) -> Callable[[Function], Function]:
    """Enter a function into the table."""

    def enter(function: Function) -> Function:
        TABLE.update(dict.fromkeys(names or (function.__name__.strip("_"),), function))
        return function

    return enter


def graph_of(*values: Any) -> Graph:
    """The graph of the first recording array among values that may be nested lists."""
    for value in values:
        if isinstance(value, RecordingArray):
            return value.graph
        if isinstance(value, list | tuple) and (found := _graph_or_none(value)) is not None:
            return found
    raise AssertionError("a function was recorded without a recording array")


def _graph_or_none(values: Any) -> Graph | None:
    try:
        return graph_of(*values)
    except AssertionError:
        return None


def recording(value: Any, *others: Any) -> RecordingArray:
    """A value as a recording array."""
    return value if isinstance(value, RecordingArray) else as_recording(graph_of(value, *others), value)


# Structure: what NumPy does with the numbers of the nodes is what it does with the values


def _structural(name: str) -> None:
    function = getattr(np, name, None)
    if function is None:
        return

    def rearranged(a: Any, *args: Any, **options: Any) -> Any:
        array = recording(a, *args)
        found = function(np.asarray(array.ids), *known(args), **known(options))
        if isinstance(found, list | tuple):
            return type(found)(map(array.with_ids, found))
        return array.with_ids(found)

    TABLE[name] = rearranged


for _name in [
    "reshape",
    "ravel",
    "transpose",
    "swapaxes",
    "moveaxis",
    "rollaxis",
    "roll",
    "flip",
    "fliplr",
    "flipud",
    "rot90",
    "expand_dims",
    "squeeze",
    "repeat",
    "tile",
    "take",
    "diagonal",
    "broadcast_to",
    "split",
    "array_split",
    "hsplit",
    "vsplit",
    "dsplit",
    "delete",
    "resize",
    "take_along_axis",
    "matrix_transpose",
    "unstack",
]:
    _structural(_name)


def _windows(x: Any, window_shape: Any, axis: Any = None, **_: Any) -> Any:
    array = recording(x)
    return array.with_ids(np.lib.stride_tricks.sliding_window_view(array.ids, window_shape, axis))


TABLE["sliding_window_view"] = _windows


def _padded(name: str) -> None:
    function = getattr(np, name)

    def rearranged(a: Any, *args: Any, **options: Any) -> Any:
        array = recording(a)
        found = np.asarray(function(np.asarray(array.ids) + 1, *args, **options)) - 1
        return array.with_ids(np.where(found < 0, array.filled(0).ids if not array.ndim else _zero(array), found))

    TABLE[name] = rearranged


def _zero(array: RecordingArray) -> int:
    return array.graph.constant(np.asarray(0, array.dtype))


for _name in ("tril", "triu", "diag", "diagflat"):
    _padded(_name)


@records()
def pad(array: Any, pad_width: Any, mode: str = "constant", **options: Any) -> RecordingArray:
    if mode == "constant":
        value = options.pop("constant_values", 0)
        if options or np.ndim(value):
            raise Refused("calls `pad` with several constants")
        array = recording(array)
        found = np.pad(np.asarray(array.ids), pad_width, constant_values=-1)
        return array.with_ids(np.where(found < 0, array.cast(value).ids, found))
    if mode not in ("edge", "wrap", "reflect", "symmetric"):
        raise Refused(f"calls `pad` with the mode {mode!r}")
    return array.with_ids(np.pad(np.asarray(array.ids), pad_width, mode=mode, **options))


def _joining(name: str) -> None:
    function = getattr(np, name)

    def together(arrays: Any, *args: Any, **options: Any) -> RecordingArray:
        if isinstance(arrays, RecordingArray):
            arrays = list(arrays)
        dtype = options.pop("dtype", None)
        graph = graph_of(arrays)
        parts = [joined(graph, part) if isinstance(part, list | tuple) else part for part in arrays]
        kinds = [kind(part) for part in parts]
        found = np.result_type(*(np.dtype(one) if isinstance(one, type) else one for one in kinds))
        ids = [np.asarray(as_recording(graph, part, found).ids) for part in parts]
        array = RecordingArray(graph, function(ids, *args, **options), found)
        return array if dtype is None else array.astype(dtype)

    TABLE[name] = together


for _name in ("concatenate", "stack", "vstack", "hstack", "dstack", "column_stack"):
    _joining(_name)


@records()
def block(arrays: Any) -> RecordingArray:
    def depth(value: Any) -> int:
        return 1 + depth(value[0]) if isinstance(value, list) else 0

    def at(value: Any, axis: int) -> Any:
        if isinstance(value, list):
            return np.concatenate([at(part, axis + 1) for part in value], axis=axis)
        return np.reshape(value, (*(1,) * (levels - np.ndim(value)), *np.shape(value)))

    levels = depth(arrays)
    return at(arrays, -levels)


@records()
def compress(condition: Any, a: Any, axis: int | None = None) -> RecordingArray:
    array = recording(a)
    return array.with_ids(np.compress(known(condition), np.asarray(array.ids), axis=axis))


@records()
def append(arr: Any, values: Any, axis: int | None = None) -> RecordingArray:
    if axis is None:
        arr, values = np.ravel(arr), np.ravel(values)
    return np.concatenate([arr, values], axis=axis or 0)


@records()
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> RecordingArray:
    array = recording(arr, values)
    values = array.cast(values)
    return array.with_ids(np.insert(np.asarray(array.ids), obj, np.asarray(values.ids), axis=axis))


def _at_least(name: str) -> None:
    function = getattr(np, name)

    def widened(*arrays: Any) -> Any:
        found = [recording(a, *arrays) for a in arrays]
        found = [a.with_ids(function(np.asarray(a.ids))) for a in found]
        return found[0] if len(found) == 1 else tuple(found)

    TABLE[name] = widened


for _name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    _at_least(_name)


@records()
def broadcast_arrays(*arrays: Any, subok: bool = False) -> Any:
    parts = [recording(a, *arrays) for a in arrays]
    ids = np.broadcast_arrays(*(np.asarray(part.ids) for part in parts))
    return tuple(part.with_ids(one) for part, one in zip(parts, ids, strict=True))


@records()
def meshgrid(*arrays: Any, **options: Any) -> Any:
    parts = [recording(a, *arrays) for a in arrays]
    ids = np.meshgrid(*(np.asarray(part.ids) for part in parts), **options)
    return tuple(part.with_ids(one) for part, one in zip(parts, ids, strict=True))


TABLE["isscalar"] = lambda element: isinstance(element, np.generic)
TABLE["shape"] = lambda a: recording(a).shape
TABLE["ndim"] = lambda a: recording(a).ndim
TABLE["size"] = lambda a, axis=None: recording(a).size if axis is None else recording(a).shape[axis]
TABLE["copy"] = lambda a, order="K", subok=False: recording(a).copy()
TABLE["astype"] = lambda a, dtype, **_: recording(a).astype(dtype)
TABLE["real"] = TABLE["conj"] = TABLE["conjugate"] = TABLE["real_if_close"] = TABLE["positive"] = recording
TABLE["imag"] = lambda a: recording(a).imag
TABLE["iscomplexobj"] = lambda a: False
TABLE["isrealobj"] = lambda a: True
TABLE["isreal"] = lambda a: np.ones(recording(a).shape, bool)
TABLE["result_type"] = lambda *args: np.result_type(*(kind(a) if isinstance(a, RecordingArray) else a for a in args))
TABLE["min_scalar_type"] = lambda a: recording(a).dtype
TABLE["zeros_like"] = lambda a, dtype=None, **options: _like(a, 0, dtype, **options)
TABLE["empty_like"] = TABLE["zeros_like"]
TABLE["ones_like"] = lambda a, dtype=None, **options: _like(a, 1, dtype, **options)
TABLE["full_like"] = lambda a, fill_value, dtype=None, **options: _like(a, fill_value, dtype, **options)


def _like(a: Any, value: Any, dtype: Any, shape: Any = None, **_: Any) -> RecordingArray:
    array = recording(a, value)
    cast = as_recording(array.graph, value, dtype or array.dtype)
    return cast.with_ids(np.array(np.broadcast_to(np.asarray(cast.ids), array.shape if shape is None else shape)))


# Reductions

REDUCTIONS = ("add", "multiply", "maximum", "minimum", "fmax", "fmin", "logical_and", "logical_or", "logical_xor",
              "hypot", "logaddexp")  # fmt: skip
"""Ufuncs that reduce an axis, or accumulate along it."""

EMPTY = {"add": 0.0, "multiply": 1.0, "logical_and": True, "logical_or": False}
"""Their values for no operands."""

PAIRWISE = 8
"""Terms above which a sum is that of its halves, as in NumPy."""


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
    axes = sorted(_axes(array, axis))
    for one in reversed(axes if array.ndim else []):
        rows = [array.with_ids(ids) for ids in np.moveaxis(np.asarray(array.ids), one, 0)]
        if not rows and name not in EMPTY:
            raise ValueError("zero-size array to reduction operation which has no identity")
        shape = (*array.shape[:one], *array.shape[one + 1 :])
        found = _reduced(name, rows) if rows else array.cast(np.full(shape, EMPTY[name]))
        array = found[(*(slice(None),) * one, None)] if keepdims else found
    if "initial" in options and options["initial"] is not None:
        array = apply(name, array, options["initial"])
    if out is not None:
        raise Refused("reduces into an array")
    return array


def _reduced(name: str, rows: list[RecordingArray]) -> RecordingArray:
    if name == "add" and len(rows) > PAIRWISE:
        half = len(rows) // 2
        return apply(name, _reduced(name, rows[:half]), _reduced(name, rows[half:]))
    return reduce(lambda one, other: apply(name, one, other), rows)


def _dtype_of_reduction(name: str, array: RecordingArray) -> Any:
    """Dtype in which NumPy reduces: small whole numbers are added and multiplied as large ones."""
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


def _axes(array: RecordingArray, axis: Any) -> list[int]:
    """Axes as numbers from 0 on; None is all of them."""
    given = range(array.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return [int(one) % max(array.ndim, 1) for one in given]


def _count(array: RecordingArray, axis: Any) -> int:
    """Number of entries along some axes."""
    return math.prod(array.shape[one] for one in _axes(array, axis)) if array.ndim else 1


@records()
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    if out is not None:
        raise Refused("reduces into an array")
    array = recording(a)
    total = np.sum(array, axis=axis, dtype=dtype, keepdims=keepdims)
    return total / float(_count(array, axis))


@records()
def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    if out is not None:
        raise Refused("reduces into an array")
    array = recording(a)
    away = array - np.mean(array, axis=axis, keepdims=True)
    return np.sum(away * away, axis=axis, keepdims=keepdims) / float(_count(array, axis) - ddof)


@records()
def std(a: Any, axis: Any = None, **options: Any) -> Any:
    return np.sqrt(np.var(a, axis=axis, **options))


@records()
def average(a: Any, axis: Any = None, weights: Any = None, **options: Any) -> Any:
    if weights is None:
        return np.mean(a, axis=axis, **options)
    array = recording(a, weights)
    if np.ndim(weights) != array.ndim:
        weights = np.reshape(weights, (*np.shape(weights), *(1,) * (array.ndim - 1 - axis % array.ndim)))
    return np.sum(array * weights, axis=axis) / np.sum(array.filled(1.0) * weights, axis=axis)


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
    return nansum(a, axis, **options) / np.sum(~np.isnan(a), axis=axis, **options)


SORTED = 16
"""Entries up to which sorting is recorded."""


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


# Differences and sums along an axis


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
    parts = [*([] if to_begin is None else [np.ravel(to_begin)]), found]
    return np.concatenate([*parts, *([] if to_end is None else [np.ravel(to_end)])])


@records()
def gradient(f: Any, *spacings: Any, axis: Any = None, edge_order: int = 1) -> Any:
    array = recording(f, *spacings)
    axes = _axes(array, axis)
    given = spacings * len(axes) if len(spacings) == 1 else spacings or (1.0,) * len(axes)
    found = [_gradient(array, one, width, edge_order) for one, width in zip(axes, given, strict=True)]
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


# Products


@records()
def matmul(a: Any, b: Any, **_: Any) -> RecordingArray:
    one, other = recording(a, b), recording(b, a)
    if not one.ndim or not other.ndim:
        raise ValueError("matmul: an operand has no axes")
    dtype = np.result_type(one.dtype, other.dtype)
    one, other = one.cast(one).astype(dtype), other.astype(dtype)
    left, right = np.asarray(one.ids), np.asarray(other.ids)
    left = left[None] if one.ndim == 1 else left
    right = right[:, None] if other.ndim == 1 else right
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: operands of shapes {one.shape} and {other.shape} do not fit")
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, (*lead, *left.shape[-2:]))
    right = np.broadcast_to(right, (*lead, *right.shape[-2:]))
    found = np.empty((*lead, left.shape[-2], right.shape[-1]), dtype=np.intp)
    for place in np.ndindex(*lead):
        found[place] = _matrix_product(one.graph, left[place], right[place], dtype)
    found = found[..., 0] if other.ndim == 1 else found
    found = found[..., 0, :] if one.ndim == 1 and other.ndim > 1 else found[..., 0] if one.ndim == 1 else found
    return RecordingArray(one.graph, found, dtype)


def _matrix_product(graph: Graph, left: Any, right: Any, dtype: Any) -> Any:
    """Nodes of the product of two matrices of nodes."""
    (m, k), n = left.shape, right.shape[1]
    if m * k * n > SMALL and min(m, n) * k > 1:
        if m < n:  # the matrix of a product is the larger operand
            return _matrix_product(graph, right.T, left.T, dtype).T
        return np.stack([product(graph, left, right[:, column], dtype) for column in range(n)], axis=1)
    products = recorded(graph, "multiply", dtype, [left[:, :, None], right[None, :, :]])
    terms = [RecordingArray(graph, products[:, j, :], dtype) for j in range(k)]
    return np.asarray(_reduced("add", terms).ids) if terms else np.full((m, n), graph.constant(np.asarray(0, dtype)))


@records()
def dot(a: Any, b: Any, out: Any = None) -> Any:
    if out is not None:
        return _written(out, dot(a, b))
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return apply("multiply", recording(a, b), b)
    if np.ndim(b) > 2 or np.ndim(a) > 2:
        return np.tensordot(a, b, axes=((-1,), (-1 if np.ndim(b) == 1 else -2,)))
    return matmul(a, b)


@records()
def vdot(a: Any, b: Any) -> Any:
    return matmul(np.ravel(recording(a, b)), np.ravel(recording(b, a)))


@records()
def inner(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return apply("multiply", recording(a, b), b)
    return np.tensordot(a, b, axes=((-1,), (-1,)))


@records()
def outer(a: Any, b: Any) -> Any:
    return apply("multiply", np.ravel(recording(a, b))[:, None], np.ravel(recording(b, a))[None, :])


@records()
def kron(a: Any, b: Any) -> Any:
    one, other = np.atleast_2d(recording(a, b)), np.atleast_2d(recording(b, a))
    found = (one[:, None, :, None] * other[None, :, None, :]).reshape(
        one.shape[0] * other.shape[0], one.shape[1] * other.shape[1]
    )
    return found.ravel() if np.ndim(a) == np.ndim(b) == 1 else found


@records()
def cross(a: Any, b: Any, axis: int = -1, **options: Any) -> Any:
    one, other = recording(a, b), recording(b, a)
    if options or one.shape[axis] != 3 or other.shape[axis] != 3:
        raise Refused("calls `cross` on vectors that have not three components")
    (a0, a1, a2), (b0, b1, b2) = (np.moveaxis(v, axis, 0) for v in (one, other))
    return np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=axis)


@records()
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    one, other = recording(a, b), recording(b, a)
    if np.ndim(axes) == 0:
        axes = (range(one.ndim - axes, one.ndim), range(axes))
    left, right = ([int(k) % v.ndim for k in np.atleast_1d(part)] for part, v in zip(axes, (one, other), strict=True))
    kept = [k for k in range(one.ndim) if k not in left]
    free = [k for k in range(other.ndim) if k not in right]
    shape = [one.shape[k] for k in kept] + [other.shape[k] for k in free]
    count = int(np.prod([one.shape[k] for k in left], dtype=int))
    rows = one.transpose((*kept, *left)).reshape(-1, count)
    columns = other.transpose((*right, *free)).reshape(count, -1)
    return matmul(rows, columns).reshape(tuple(shape))


@records()
def einsum(subscripts: str, *operands: Any, **options: Any) -> Any:
    if not isinstance(subscripts, str) or set(options) - {"optimize"}:
        raise Refused("calls `einsum` with lists or options")
    arrays = [recording(a, *operands) for a in operands]
    terms, _, output = _spelled(subscripts.replace(" ", ""), arrays).partition("->")
    names = terms.split(",")
    if "->" not in subscripts:
        output = "".join(sorted(c for c in set(terms) - {","} if terms.count(c) == 1))
    for k, (name, array) in enumerate(zip(names, arrays, strict=True)):
        for letter in {c for c in name if name.count(c) > 1}:
            first, second = name.index(letter), name.rindex(letter)
            array = np.diagonal(array, axis1=first, axis2=second)  # noqa: PLW2901
            name = name[:first] + name[first + 1 : second] + name[second + 1 :] + letter  # noqa: PLW2901
        names[k], arrays[k] = name, array
    while len(arrays) > 1:
        later = set("".join(names[2:])) | set(output)
        name, array = _contracted(names[:2], arrays[:2], later)
        names[:2], arrays[:2] = [name], [array]
    summed = tuple(k for k, c in enumerate(names[0]) if c not in output)
    found = np.sum(arrays[0], axis=summed) if summed else arrays[0]
    left = [c for c in names[0] if c in output]
    return np.transpose(found, [left.index(c) for c in output]) if output else found


def _spelled(subscripts: str, arrays: list[RecordingArray]) -> str:
    """Subscripts of `einsum` with letters in place of an ellipsis."""
    terms, arrow, _ = subscripts.partition("->")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts]
    counts = [array.ndim - len(term) + 3 for term, array in zip(terms.split(","), arrays, strict=True) if "..." in term]
    if not counts:
        return subscripts
    if len(set(counts)) > 1 or not arrow:
        raise Refused("calls `einsum` with an ellipsis of different lengths")
    letters = "".join(free[: counts[0]])
    return subscripts.replace("...", letters)


def _contracted(names: list[str], arrays: list[RecordingArray], later: set[str]) -> tuple[str, RecordingArray]:
    """The product of two operands of `einsum`, summed over the indices that are not needed later."""
    (a, b), (one, other) = names, arrays
    both = [c for c in a if c in b and c in later]
    summed = [c for c in a if c in b and c not in later]
    only_a, only_b = [c for c in a if c not in b], [c for c in b if c not in a]
    x = one.transpose([a.index(c) for c in [*both, *only_a, *summed]])
    y = other.transpose([b.index(c) for c in [*both, *summed, *only_b]])
    count = len(both)
    sums = int(np.prod(x.shape[count + len(only_a) :], dtype=int))
    left = x.reshape((*x.shape[:count], -1, sums)) if x.size else x
    right = y.reshape((*y.shape[:count], sums, -1))
    shape = x.shape[: count + len(only_a)] + y.shape[count + len(summed) :]
    return "".join([*both, *only_a, *only_b]), matmul(left, right).reshape(shape)


@records()
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, **_: Any) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


@records()
def multi_dot(arrays: Any, **_: Any) -> Any:
    return reduce(np.matmul, arrays)


@records()
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002 - as in NumPy
    array = recording(x)
    if axis is None and ord is None:
        flat = array.ravel()
        return np.sqrt(np.sum(flat * flat, keepdims=keepdims))
    if ord not in (None, "fro") and (isinstance(axis, tuple) or (axis is None and array.ndim > 1)):
        raise Refused("calls `norm` of matrices")
    if ord in (None, 2, "fro"):
        return np.sqrt(np.sum(array * array, axis=axis, keepdims=keepdims))
    if ord == 1:
        return np.sum(np.abs(array), axis=axis, keepdims=keepdims)
    if ord in (np.inf, -np.inf):
        reduce_by = np.max if ord > 0 else np.min
        return reduce_by(np.abs(array), axis=axis, keepdims=keepdims)
    raise Refused(f"calls `norm` with ord={ord!r}")


def _minor(a: Any, row: int, column: int) -> Any:
    rows = [k for k in range(a.shape[-1]) if k != row]
    columns = [k for k in range(a.shape[-1]) if k != column]
    return a[..., rows, :][..., :, columns]


LARGEST = 8
"""Rows of a matrix up to which linear algebra is recorded."""


@records()
def det(a: Any) -> Any:
    array = recording(a)
    n = array.shape[-1]
    if n > 3:
        raise Refused("calls `det` of a matrix larger than 3 by 3")
    if n == 1:
        return array[..., 0, 0]
    return sum((-1.0) ** k * array[..., 0, k] * det(_minor(array, 0, k)) for k in range(n))


@records()
def inv(a: Any, **_: Any) -> Any:
    array = recording(a)
    return _eliminated(array, np.broadcast_to(np.eye(array.shape[-1]), array.shape))


@records()
def solve(a: Any, b: Any, **_: Any) -> Any:
    array, right = recording(a, b), recording(b, a)
    if (matrix := array.constants) is not None and array.shape[-1] > LARGEST:
        return np.matmul(numpy.linalg.inv(matrix), right)
    return _eliminated(array, right) if right.ndim > 1 else _eliminated(array, right[:, None])[..., 0]


def _eliminated(a: RecordingArray, b: Any) -> Any:
    """Solution of linear systems by elimination with partial pivoting; rows are swapped by choices.

    NumPy raises an exception where a pivot is zero.
    """
    n = a.shape[-1]
    if n > LARGEST:
        raise Refused(f"calls a function of linear algebra on a matrix larger than {LARGEST} by {LARGEST}")
    whole = np.concatenate([a, b], axis=-1)
    rows = [whole[..., k, :] for k in range(n)]
    for k in range(n):
        for j in range(k + 1, n):
            swap = (np.abs(rows[j][..., k]) > np.abs(rows[k][..., k]))[..., None]
            rows[k], rows[j] = np.where(swap, rows[j], rows[k]), np.where(swap, rows[k], rows[j])
        for j in range(k + 1, n):
            rows[j] = rows[j] - (rows[j][..., k] / rows[k][..., k])[..., None] * rows[k]
    for k in range(n):
        raises(a.graph, np.any(rows[k][..., k] == 0))
    found: list[Any] = [None] * n
    for k in reversed(range(n)):
        rest = rows[k][..., n:]
        for j in range(k + 1, n):
            rest = rest - rows[k][..., j][..., None] * found[j]
        found[k] = rest / rows[k][..., k][..., None]
    return np.stack(found, axis=-2)


@records()
def lu_solve(lu_and_piv: Any, b: Any, **_: Any) -> Any:
    from scipy import linalg  # noqa: PLC0415 - slow to import

    factors = known(lu_and_piv)
    return np.matmul(linalg.lu_solve(factors, np.eye(len(factors[0]))), recording(b))


# Choices and tables


@records()
def where(condition: Any, *values: Any) -> RecordingArray:
    if len(values) != 2:
        raise Refused("calls `where` with a condition on values alone, which gives arrays of unknown length")
    graph = graph_of(condition, *values)
    return apply("where", as_recording(graph, recording(condition, *values), bool), *values)


@records()
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    found = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        found = np.where(condition, choice, found)
    return found


@records()
def choose(a: Any, choices: Any, **_: Any) -> Any:
    found = choices[-1]
    for k in reversed(range(len(choices) - 1)):
        found = np.where(np.equal(a, k), choices[k], found)
    return found


@records()
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **options: Any) -> Any:
    array = recording(x)
    condlist = list(condlist) if isinstance(condlist, list | tuple) else [condlist]
    values = [part(array, *args, **options) if callable(part) else part for part in funclist]
    found = values[-1] if len(values) > len(condlist) else 0.0
    for condition, value in zip(condlist, values, strict=False):  # the last that holds, as in NumPy
        found = np.where(condition, value, found)
    return array.cast(found)


@records()
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **options: Any) -> Any:
    low, high = options.pop("min", a_min), options.pop("max", a_max)
    found = recording(a, low, high)
    found = found if low is None else np.maximum(found, low)
    found = found if high is None else np.minimum(found, high)
    if out is None:
        return found
    out[...] = found
    return out


@records()
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    array = recording(x)
    limits = np.finfo(array.dtype)
    found = np.where(np.isnan(array), nan, array)
    found = np.where(np.equal(array, np.inf), limits.max if posinf is None else posinf, found)
    found = np.where(np.equal(array, -np.inf), limits.min if neginf is None else neginf, found)
    return found if copy else _written(x, found)


@records()
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    if period is not None or any(isinstance(v, RecordingArray) and v.constants is None for v in (xp, fp)):
        raise Refused("calls `interp` with a period or a table of values")
    nodes, values = np.asarray(xp, dtype=float), np.asarray(fp, dtype=float)
    array = recording(x).astype(float)
    if len(nodes) == 1:
        inside: Any = array.filled(values[0])
    else:
        place = np.clip(np.searchsorted(nodes, array, side="right") - 1, 0, len(nodes) - 2)
        slopes, starts, levels = (
            recording_table(array.graph, column)[place]
            for column in (np.diff(values) / np.diff(nodes), nodes[:-1], values[:-1])
        )
        inside = slopes * (array - starts) + levels
    low, high = values[0] if left is None else left, values[-1] if right is None else right
    found = np.where(np.equal(array, nodes[-1]), values[-1], np.where(array > nodes[-1], high, inside))
    return np.where(array < nodes[0], low, found)


def recording_table(graph: Graph, values: Any) -> RecordingArray:
    """Constants that are indexed by values."""
    return as_recording(graph, np.asarray(values))


@records()
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if sorter is not None or (isinstance(a, RecordingArray) and a.constants is None):
        raise Refused("calls `searchsorted` with a table of values")
    table = np.asarray(a)
    array = recording(v).astype(np.result_type(table.dtype, recording(v).dtype))
    name = SEARCH_LEFT if side == "left" else SEARCH_RIGHT
    ids = recorded(array.graph, name, np.dtype(np.int64), [array.ids], array.graph.table(table))
    return RecordingArray(array.graph, ids, np.int64)


@records()
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    if np.ndim(bins) != 1 or np.any(np.diff(bins) < 0):
        raise Refused("calls `digitize` with bins that do not rise")
    return np.searchsorted(bins, x, side="left" if right else "right")


@records()
def take(a: Any, indices: Any, axis: int | None = None, **options: Any) -> Any:
    if isinstance(indices, RecordingArray) and indices.constants is None:
        return recording_table(indices.graph, a)[indices] if not isinstance(a, RecordingArray) else a[indices]
    array = recording(a)
    return array.with_ids(np.take(np.asarray(array.ids), np.asarray(indices), axis=axis, **options))


# Functions that write


def _writable(array: Any) -> RecordingArray:
    if not isinstance(array, RecordingArray):
        raise Refused("writes into an array that is not recorded")
    return array


@records()
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    _writable(dst)[...] = src if where is True else np.where(where, src, dst)


@records()
def put(a: Any, ind: Any, v: Any, **_: Any) -> None:
    array = _writable(a)
    np.put(array.ids, known(ind), array.cast(v).ids)


@records()
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    array = _writable(a)
    np.fill_diagonal(array.ids, array.cast(val).ids, wrap)


@records()
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    places = known(np.asarray(x))
    found = np.zeros(max(int(np.max(places, initial=-1)) + 1, minlength)).tolist()
    for place, weight in zip(places.tolist(), weights, strict=True):
        found[place] = found[place] + weight
    return as_recording(graph_of(weights), found)


def at_places(name: str, array: Any, places: Any, values: Any) -> None:
    """`np.add.at` and the like, one entry after the other."""
    target, places = _writable(array), np.asarray(known(places))
    if places.ndim != 1 or places.dtype == bool:
        raise Refused(f"calls `{name}.at` with such places")
    for k, place in enumerate(places.tolist()):
        target[place] = apply(name, target[place], values[k] if np.ndim(values) else values)


@records()
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **options: Any) -> Any:
    rows = np.moveaxis(recording(arr), axis, -1)
    parts = [func1d(rows[place], *args, **options) for place in np.ndindex(rows.shape[:-1])]
    graph = rows.graph
    found = as_recording(graph, [as_recording(graph, part) for part in parts])
    found = found.reshape((*rows.shape[:-1], *found.shape[1:]))
    return found if found.ndim < rows.ndim else np.moveaxis(found, -1, axis)


@records()
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    array = recording(x)
    columns = [np.ones_like(array)]
    for _ in range((array.shape[0] if N is None else N) - 1):
        columns.append(columns[-1] * array)
    return np.stack(columns if increasing else columns[::-1], axis=-1)


@records()
def ndtr(x: Any) -> Any:
    from scipy import special  # noqa: PLC0415 - slow to import

    return 0.5 * special.erfc(-x / np.sqrt(2.0))


# Composed functions


@records()
def float_power(x: Any, p: Any, **_: Any) -> Any:
    return np.power(recording(x, p).astype(float), p)


@records()
def fabs(x: Any, **_: Any) -> Any:
    return np.absolute(x * 1.0)


@records()
def square(x: Any, **_: Any) -> Any:
    x = x.astype(np.int8) if x.dtype == bool else x
    return x * x


@records()
def reciprocal(x: Any, **_: Any) -> Any:
    return 1.0 / x


@records("power")
def _power(x: Any, p: Any, **_: Any) -> Any:
    return power(x, p) if isinstance(x, RecordingArray) else apply("power", x, p)


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
    return x - whole, whole


@records()
def round(a: Any, decimals: int = 0) -> Any:  # noqa: A001 - as in NumPy
    if decimals == 0:
        return np.rint(a)
    scale = 10.0 ** abs(decimals)
    return np.rint(a * scale) / scale if decimals > 0 else np.rint(a / scale) * scale


@records("fix")
def _fix(x: Any, **_: Any) -> Any:
    return np.trunc(x)


@records()
def polyval(p: Any, x: Any) -> Any:
    found: Any = recording(x, p).filled(0.0) if np.ndim(x) else 0.0
    for coefficient in p:
        found = found * x + coefficient
    return found


@records()
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, **_: Any) -> Any:
    return np.less_equal(np.abs(np.subtract(a, b)), atol + rtol * np.abs(b)) | np.equal(a, b)


@records()
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, **_: Any) -> Any:
    return np.all(isclose(a, b, rtol, atol))


@records()
def array_equal(a1: Any, a2: Any, **_: Any) -> Any:
    return np.shape(a1) == np.shape(a2) and np.all(np.equal(a1, a2))


@records()
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    one, other = recording(a, v), recording(v, a)
    if one.size < other.size:
        one, other = other, one
    n, k = one.size, other.size
    zero = np.full(k - 1, _zero(one))
    rows = np.concatenate([zero, one.ids, zero])
    windows = one.with_ids(np.lib.stride_tricks.sliding_window_view(rows, k))
    found = windows @ other[::-1]
    cut = {"full": slice(None), "same": slice((k - 1) // 2, (k - 1) // 2 + n), "valid": slice(k - 1, n)}
    return found[cut[mode]]


@records()
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    if np.size(a) < np.size(v):
        return correlate(v, a, mode)[::-1]
    return convolve(a, recording(v, a)[::-1], mode)


@records()
def softmax(x: Any, axis: Any = None) -> Any:
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return shifted / np.sum(shifted, axis=axis, keepdims=True)


@records()
def logsumexp(a: Any, axis: Any = None, **options: Any) -> Any:
    if options:
        raise Refused("calls `logsumexp` with options")
    largest = np.max(a, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(a - largest), axis=axis))
    return total + np.reshape(largest, np.shape(total))


@records()
def logit(x: Any) -> Any:
    return np.log(x / (1.0 - x))


@records()
def xlogy(x: Any, y: Any) -> Any:
    return np.where(np.equal(x, 0) & ~np.isnan(y), 0.0, x * np.log(y))


@records()
def xlog1py(x: Any, y: Any) -> Any:
    return np.where(np.equal(x, 0) & ~np.isnan(y), 0.0, x * np.log1p(y))


@records()
def log_expit(x: Any) -> Any:
    return np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))

"""Calls of NumPy's ufuncs and functions on recording arrays, and functions that make arrays."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy

from . import fourier, linear_algebra, rearrangements  # noqa: F401 - they enter their functions
from .array import ABOVE, QUICK, RecordingArray, apply, as_recording
from .calls import ALIASES, TABLE, Function, are_known, graph_of, holds, known, lifted, recording, written
from .choices import at_places
from .compositions import polyval
from .graph import Graph
from .operations import OPERATIONS
from .reductions import REDUCTIONS, accumulation, reduction
from .refusal import BITS, Refused

np: Any = numpy  # whose types do not know recording arrays


def call_ufunc(ufunc: Any, method: str, operands: Any, options: dict[str, Any]) -> Any:
    """Record a call of a ufunc or of one of its methods."""
    if method == "__call__" and not options and _is_plain(ufunc, operands):
        return _applied(ufunc.__name__, operands)
    out, where = options.pop("out", None), options.pop("where", True)
    if len(operands) > ufunc.nin and method == "__call__":
        operands, out = operands[: ufunc.nin], operands[ufunc.nin :]
    name = ALIASES.get(ufunc.__name__, ufunc.__name__)
    if ufunc.__name__.startswith("logical_"):
        operands = tuple(recording(value, *operands).astype(bool) for value in operands)
    elif name.startswith("logical_") and any(recording(value, *operands).dtype != bool for value in operands):
        raise Refused(BITS)
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
    return written(target, found if where is True else np.where(where, found, target))


def call_function(function: Any, args: Any, options: dict[str, Any]) -> Any:
    """Record a call of a function of NumPy that is no ufunc."""
    if not is_listed(function):
        raise Refused(f"calls `{function.__module__}.{function.__name__}`, which is not recorded")
    return call(function.__name__, args, options, function)


def call(name: str, args: Any, options: dict[str, Any], function: Any = None) -> Any:
    """Record a call by name; if that is not possible and all values are constants, call the function itself."""
    if options:
        options = {key: value for key, value in options.items() if value is not np._NoValue}
        if (out := options.pop("out", None)) is not None:
            return written(out, call(name, args, options, function))
    if function is not None and (name in ON_CONSTANTS or not _is_recorded(name)):
        if are_known(args) and are_known(options):
            return lifted(graph_of(args, *options.values()), _on_constants(function, args, options))
        if not _is_recorded(name):
            raise Refused(f"calls `{name}`, which is not recorded")
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


def _on_constants(function: Any, args: Any, options: dict[str, Any]) -> Any:
    """The value of a function of constants, which must not write to them: it would write to other arrays."""
    args, options = known(args), known(options)
    before = [(one, one.copy()) for one in _arrays((args, options))]
    found = function(*args, **options)
    if any(one.tobytes() != copy.tobytes() for one, copy in before):
        raise Refused(f"calls `{function.__name__}`, which writes to its arguments")
    return found


def _arrays(value: Any) -> list[Any]:
    """The arrays in nested lists, tuples and dictionaries."""
    if type(value) is np.ndarray:
        return [value]
    parts = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
    return [one for part in parts for one in _arrays(part)]


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
"""Functions that are called, not recorded, if all values are constants."""


def is_listed(function: Any) -> bool:
    """Whether the names of the table mean functions of this module."""
    module = str(getattr(function, "__module__", "numpy") or "numpy")
    if "scimath" in module:  # whose functions of negative numbers are complex
        return False
    return module in MODULES or module.startswith(
        ("numpy._core", "numpy.lib", "numpy.linalg", "numpy.fft", "scipy.special", "scipy.linalg", "scipy.fft")
    )


MODULES = ("numpy", "scipy.integrate._quadrature")


def call_library(graph: Graph, function: Any, args: Any, options: dict[str, Any]) -> Any:
    """Call a function of NumPy or SciPy, or record the call if a recording array is among its arguments."""
    if isinstance(function, np.ufunc):
        if not options and _is_plain(function, args):
            return _applied(function.__name__, args)
        if holds(args):
            args = tuple(as_recording(graph, a) if isinstance(a, list | tuple) else a for a in args)
            return call_ufunc(function, "__call__", args, dict(options))
    elif is_listed(function):
        return call_listed(graph, function, args, options)
    elif holds(args) or holds(options):
        if function is numpy.polynomial.polynomial.polyval and len(args) == 2:
            return polyval(args[1][::-1], args[0])
        try:
            return lifted(graph, _on_constants(function, args, options))
        except Refused as refusal:
            if are_known(args) and are_known(options):
                raise
            refusal.settle()
            raise Refused(f"calls `{function.__name__}`, which is not recorded") from None
    return lifted(graph, function(*args, **options))


def call_listed(graph: Graph, function: Any, args: Any, options: dict[str, Any]) -> Any:
    """Call a function that the table may name."""
    make = MAKERS.get(function.__name__)
    if make is not None:
        return make(graph, function, *args, **options)
    if holds(args) or (options and holds(options)):
        return call(function.__name__, args, options, function)
    return lifted(graph, function(*args, **options))


SIMPLE = {
    name: row.arity
    for name, row in OPERATIONS.items()
    if row.arity < 3 and name not in TABLE and not name.startswith("logical_")
}
"""Numbers of operands of the ufuncs that are operations of the table as they are."""

OPERANDS = frozenset([RecordingArray, float, int, np.float64])


def _is_plain(ufunc: Any, operands: Any) -> bool:
    """Whether a call, as most are, is one operation of the table on recording arrays and numbers."""
    return (
        SIMPLE.get(ufunc.__name__) == len(operands)
        and OPERANDS.issuperset(map(type, operands))
        and (type(operands[0]) is RecordingArray or type(operands[-1]) is RecordingArray)
    )


def _applied(name: str, operands: Any) -> RecordingArray:
    """The result of such a call, in a quick way where there is one."""
    quick = QUICK.get(name)
    if quick is not None:
        one, other = operands[0], operands[-1]
        if type(one) is RecordingArray:
            if one.form is not None:
                return quick[0](*operands)
        elif other.form is not None:
            return quick[1](other, one)
    return apply(name, *operands)


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
    except Refused as refusal:
        refusal.settle()
        raise Refused(f"calls `{function.__name__}` with values") from None


def _linspace(graph: Graph, function: Any, start: Any, stop: Any, num: int = 50, **options: Any) -> Any:
    if options or not holds((start, stop)) or num < 2:
        return _plain(graph, function, start, stop, num, **options)
    dtype = np.result_type(*(one.dtype if isinstance(one, RecordingArray) else one for one in (start, stop)), 1.0)
    start, stop = as_recording(graph, start, dtype), as_recording(graph, stop, dtype)
    found = start + np.arange(num).astype(dtype) * ((stop - start) / (num - 1))
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


ABOVE.update(call_ufunc=call_ufunc, call_function=call_function)

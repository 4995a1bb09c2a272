"""Functions of NumPy that choose between values, look up tables, or write to arrays."""

from __future__ import annotations

from typing import Any

import numpy

from .array import ABOVE, RecordingArray, apply, as_recording, recorded
from .calls import graph_of, known, recording, records, written
from .graph import SEARCH_LEFT, SEARCH_RIGHT, Graph
from .refusal import Refused
from .selection import Selection

np: Any = numpy  # whose types do not know recording arrays

WRITTEN_OUT = 256
"""Largest number of entries of a table that is not constant."""


@records()
def where(condition: Any, *values: Any) -> RecordingArray:
    if len(values) != 2:
        raise Refused("calls `where` with a condition on values alone, which gives arrays of unknown length")
    if type(condition) is not RecordingArray or condition.dtype != bool:
        graph = graph_of(condition, *values)
        condition = as_recording(graph, recording(condition, *values), bool)
    return apply("where", condition, *values)


@records()
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    found = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        found = np.where(condition, choice, found)
    return found


@records()
def choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    found, last = choices[-1], len(choices) - 1
    if mode != "raise":
        a = np.clip(a, 0, last) if mode == "clip" else a % (last + 1)
    elif isinstance(a, RecordingArray) and a.dtype != bool:
        ABOVE["raises"](a.graph, np.any((a < 0) | (a > last)))
    for k in reversed(range(len(choices) - 1)):
        found = np.where(np.equal(a, k), choices[k], found)
    return found


@records()
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **options: Any) -> Any:
    array = recording(x)
    condlist = list(condlist) if isinstance(condlist, list | tuple) else [condlist]
    values = [_of_part(part, array, args, options) if callable(part) else part for part in funclist]
    found = values[-1] if len(values) > len(condlist) else 0.0
    for condition, value in zip(condlist, values, strict=False):  # the last that holds, as in NumPy
        found = np.where(condition, value, found)
    return array.cast(found)


def _of_part(function: Any, array: RecordingArray, args: Any, options: Any) -> Any:
    """Values of a function of the entries that a condition selects, for all entries: it must not mix them."""
    if array.size == 1:
        return function(array, *args, **options)
    found = function(Selection(array.copy(), array), *args, **options)
    return found.values if isinstance(found, Selection) else found


@records()
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **options: Any) -> Any:
    low, high = options.pop("min", a_min), options.pop("max", a_max)
    found = recording(a, low, high).copy()
    if low is not None and high is not None:  # a value that equals a limit is kept: zeros have signs
        found = apply("minimum", high, apply("maximum", low, found))
    elif low is not None or high is not None:
        found = apply("maximum", found, low) if high is None else apply("minimum", found, high)
    if out is None:
        return found
    out[...] = found
    return out


@records()
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    array = recording(x)
    if array.dtype.kind == "c":
        mended = [nan_to_num(part, nan=nan, posinf=posinf, neginf=neginf) for part in (array.real, array.imag)]
        found = ABOVE["paired"](*mended)
        return found if copy else written(x, found)
    limits = np.finfo(array.dtype)
    found = np.where(np.isnan(array), nan, array)
    found = np.where(np.equal(array, np.inf), limits.max if posinf is None else posinf, found)
    found = np.where(np.equal(array, -np.inf), limits.min if neginf is None else neginf, found)
    return found if copy else written(x, found)


@records()
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    if period is not None:
        raise Refused("calls `interp` with a period")
    if any(isinstance(v, RecordingArray) and v.constants is None for v in (xp, fp)):
        return _between(recording(x, xp, fp), xp, fp, left, right)
    if np.asarray(fp).dtype.kind == "c":
        raise Refused("calls `interp` with a complex table")
    nodes, values = np.asarray(xp, dtype=float), np.asarray(fp, dtype=float)
    if not (np.isfinite(nodes).all() and np.isfinite(values).all() and (np.diff(nodes) >= 0).all()):
        raise Refused("calls `interp` with a table that does not rise, or is not finite")
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


def _between(x: RecordingArray, xp: Any, fp: Any, left: Any, right: Any) -> Any:
    """Interpolation in a table that is not constant: its parts, of which one is chosen by comparisons."""
    nodes, values = (recording(one, x).astype(float) for one in (xp, fp))
    count = len(nodes)
    if values.dtype.kind == "c" or count > WRITTEN_OUT or count != len(values):
        raise Refused(f"calls `interp` with a table of more than {WRITTEN_OUT} values that are not constant")
    array = x.astype(float)
    found: Any = array * 0 + values[-1]
    for k in range(count - 2, -1, -1):
        slope = (values[k + 1] - values[k]) / (nodes[k + 1] - nodes[k])
        found = np.where(array < nodes[k + 1], slope * (array - nodes[k]) + values[k], found)
    found = np.where(array > nodes[-1], values[-1] if right is None else right, found)
    return np.where(array < nodes[0], values[0] if left is None else left, found)


def recording_table(graph: Graph, values: Any) -> RecordingArray:
    """Constants that are indexed by values."""
    return as_recording(graph, np.asarray(values))


@records()
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if sorter is not None or (isinstance(a, RecordingArray) and a.constants is None):
        raise Refused("calls `searchsorted` with a table of values")
    table = np.asarray(a)
    array = recording(v).astype(np.result_type(table.dtype, recording(v).dtype))
    if array.dtype.kind == "c":
        raise Refused("calls `searchsorted` on complex numbers")
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
        count, mode = np.size(a), options.get("mode", "raise")
        places = np.clip(indices, 0, count - 1) if mode == "clip" else indices % count if mode == "wrap" else indices
        return recording_table(indices.graph, a)[places] if not isinstance(a, RecordingArray) else a[places]
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
def put(a: Any, ind: Any, v: Any) -> None:
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
    array = array.astype(np.promote_types(array.dtype, int))
    columns = [np.ones_like(array)]
    for _ in range((array.shape[0] if N is None else N) - 1):
        columns.append(columns[-1] * array)
    return np.stack(columns if increasing else columns[::-1], axis=-1)


@records()
def ndtr(x: Any) -> Any:
    from scipy import special  # noqa: PLC0415 - slow to import

    return 0.5 * special.erfc(-x / np.sqrt(2.0))

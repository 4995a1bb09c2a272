"""Functions of NumPy that rearrange arrays: they are applied to the numbers of nodes as they would be to values."""

from __future__ import annotations

from typing import Any

import numpy

from .array import ABOVE, RecordingArray, as_recording, joined, kind
from .calls import TABLE, graph_of, known, recording, records
from .refusal import Refused

np: Any = numpy  # whose types do not know recording arrays


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
        return array.with_ids(np.where(found < 0, array.filled(0).ids if not array.ndim else zero_of(array), found))

    TABLE[name] = rearranged


def zero_of(array: RecordingArray) -> int:
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
        ids = [as_recording(graph, part, found).read for part in parts]
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
    arr, values = (recording(one, arr, values) for one in (arr, values))
    if axis is None:
        arr, values = arr.ravel(), values.ravel()
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
TABLE["positive"] = lambda a, **_: recording(a).copy()
TABLE["real"] = lambda val: recording(val).real
TABLE["imag"] = lambda val: recording(val).imag
TABLE["iscomplexobj"] = lambda x: recording(x).dtype.kind == "c"
TABLE["isrealobj"] = lambda x: recording(x).dtype.kind != "c"
TABLE["isreal"] = lambda x: recording(x).imag == 0
TABLE["iscomplex"] = lambda x: recording(x).imag != 0
TABLE["result_type"] = lambda *args: np.result_type(*(kind(a) if isinstance(a, RecordingArray) else a for a in args))


@records("conj", "conjugate")
def _conjugate(x: Any, **_: Any) -> RecordingArray:
    array = recording(x)
    return array.copy() if array.dtype.kind != "c" else ABOVE["paired"](array.real, -array.imag)


@records()
def real_if_close(a: Any, **_: Any) -> RecordingArray:
    array = recording(a)
    if array.dtype.kind == "c":
        raise Refused("calls `real_if_close`, whose dtype depends on values")
    return array


@records()
def angle(z: Any, deg: bool = False) -> Any:
    array = recording(z)
    found = np.arctan2(array.imag, array.real)
    return found * (180 / np.pi) if deg else found


TABLE["min_scalar_type"] = lambda a: recording(a).dtype
TABLE["zeros_like"] = lambda a, dtype=None, **options: _like(a, 0, dtype, **options)
TABLE["empty_like"] = TABLE["zeros_like"]
TABLE["ones_like"] = lambda a, dtype=None, **options: _like(a, 1, dtype, **options)
TABLE["full_like"] = lambda a, fill_value, dtype=None, **options: _like(a, fill_value, dtype, **options)


def _like(a: Any, value: Any, dtype: Any, shape: Any = None, **_: Any) -> RecordingArray:
    array = recording(a, value)
    cast = as_recording(array.graph, value, dtype or array.dtype)
    return RecordingArray(
        array.graph, np.array(np.broadcast_to(cast.read, array.shape if shape is None else shape)), cast.dtype
    )

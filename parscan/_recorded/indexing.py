"""Indices of recording arrays, and the entries in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy

from .node_array import NodeArray
from .shared import FIXED

np: Any = numpy  # whose types do not know recording arrays


def plain(key: Any) -> Any:
    """An index in which recording arrays of constants are replaced by the constants."""
    if isinstance(key, tuple):
        return tuple(map(plain, key))
    if not isinstance(key, NodeArray):
        return key
    return key._known("indexes by") if key.ndim or key.dtype == bool else key.integer("indexes by")


def is_fixed(key: Any) -> bool:
    """Whether an index surely has no array in it."""
    return type(key) in FIXED or (type(key) is tuple and FIXED.issuperset(map(type, key)))


def computed_index(key: Any) -> Any:
    """The index, if it is a recording array that is not constant."""
    if isinstance(key, tuple) and len(key) == 1:
        key = key[0]
    return key if isinstance(key, NodeArray) and key.constants is None else None


class Flat:
    """The entries of an array in their order: `y.flat`."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __iter__(self) -> Iterator[Any]:
        return iter(self._array.ravel())

    def __len__(self) -> int:
        return self._array.size

    def __getitem__(self, key: Any) -> Any:
        return self._array.ravel()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        found = self._array.flatten()
        found[key] = self._array.cast(value).ravel() if np.ndim(value) else value
        self._array[...] = found.reshape(self._array.shape)

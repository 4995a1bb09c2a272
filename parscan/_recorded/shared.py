"""Memory of a few nodes that an array shares with its views, and the places of parts of small arrays."""

from __future__ import annotations

from itertools import repeat
from math import prod
from typing import Any

import numpy

from .dtypes import INTEGER
from .graph import FEW

np: Any = numpy  # whose types do not know recording arrays

ndarray = np.ndarray

Place = Any
"""Where an array has its nodes in memory: of one element an int; None for all of them, in their order."""

FIXED = frozenset([int, slice, type(None), type(...)])
"""Types of parts of an index that is no array."""

OF_SLICES = frozenset([int, type(None)])
"""Types of the limits of slices that are known."""


class Memory:
    """
    Nodes of a small array, one by one: reading and writing single ones takes less time than in an array of NumPy.

    Attributes
    ----------
    nodes : list of int or None
        None since an array of NumPy has taken their place.
    array : array of int
        In one row.
    """

    __slots__ = ("array", "nodes")

    def __init__(self, nodes: Any) -> None:
        self.nodes: list[int] | None = [nodes] if type(nodes) is int else list(nodes)

    def write(self, place: Any, nodes: Any) -> None:
        """Write one node, or as many as there are places."""
        target: Any = self.nodes
        for one, node in zip(place, repeat(nodes) if type(nodes) is int else nodes, strict=False):
            target[one] = node

    def seen(self, place: Place, form: tuple[int, ...]) -> Any:
        """An array of NumPy of the nodes at some places, which shares memory with all others of this memory."""
        if self.nodes is not None:
            self.array, self.nodes = np.array(self.nodes, INTEGER), None
        if place is None:
            return self.array.reshape(form)
        places = (place,) if type(place) is int else place
        strides = []
        for axis, length in enumerate(form):  # a part that an index without arrays takes is evenly spaced
            after = prod(form[axis + 1 :])
            strides.append(INTEGER.itemsize * (places[after] - places[0]) if length > 1 else 0)
        return np.ndarray(form, INTEGER, self.array, INTEGER.itemsize * places[0], strides)


PARTS: dict[Any, tuple[Place, tuple[int, ...]]] = {}
"""Places of parts, and their shapes, by shapes of arrays and indices."""

MOST = 10_000
"""Parts whose places are kept."""


def place_of(form: tuple[int, ...], key: Any) -> tuple[Place, tuple[int, ...]] | None:
    """
    Places, in a row, of the part of a small array that an index takes, and its shape.

    None for indices with arrays, and for parts without elements. The shape `()` is that of a number, which shares no
    memory.
    """
    name = key
    if type(key) is tuple:
        if not FIXED.issuperset(map(type, key)):
            return None
        name = tuple([_name(one) if type(one) is slice else one for one in key])
    elif type(key) is slice:
        name = _name(key)
    elif type(key) not in FIXED:
        return None
    if name is ANYTHING or (type(name) is tuple and ANYTHING in name):
        return None
    found = PARTS.get((form, name))
    if found is None:
        places = np.arange(prod(form)).reshape(form)[key]
        if not places.size:
            return None
        if len(PARTS) > MOST:
            PARTS.clear()
        place = int(places.item()) if places.size == 1 else tuple(places.ravel().tolist())
        found = PARTS[form, name] = place, places.shape
    return found


def _name(one: slice) -> Any:
    """A slice as something that has a hash."""
    limits = one.start, one.stop, one.step
    return (slice, *limits) if OF_SLICES.issuperset(map(type, limits)) else ANYTHING


ANYTHING = "anything"
"""In place of a slice whose limits are not known."""


def composed(one: Place, other: Place) -> Place:
    """Places `other` among the places `one`."""
    if one is None or type(one) is int:
        return other if one is None else one
    return one[other] if type(other) is int else tuple([one[place] for place in other or ()])


def few(nodes: Any) -> tuple[Any, Any]:
    """Nodes of an array of few elements as a tuple, or an int, and their shape; None for that of other arrays."""
    size = nodes.size
    if size == 1:
        return nodes.item(), nodes.shape
    return (tuple(nodes.ravel().tolist()), nodes.shape) if 0 < size <= FEW else (nodes, None)

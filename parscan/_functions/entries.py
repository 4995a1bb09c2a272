"""Leaves of parameters, which are Python numbers or arrays, and their entries."""

from __future__ import annotations

import cmath
import itertools
import math
from collections.abc import Iterator

from .._arrays.elementwise import is_complex
from .._arrays.namespace import Array, array_namespace, copy
from .parameters import Leaf


def is_number(leaf: Leaf) -> bool:
    """Whether a leaf is a Python number."""
    return isinstance(leaf, float | complex)


def units(leaf: Leaf) -> tuple[complex, ...]:
    """Directions in which entries are changed: 1, and i if they are complex."""
    number = isinstance(leaf, complex)
    return (1.0, 1j) if number or (not is_number(leaf) and is_complex(leaf)) else (1.0,)


def indices(leaf: Leaf) -> Iterator[tuple[int, ...]]:
    """Indices of all entries."""
    return itertools.product(*map(range, () if is_number(leaf) else leaf.shape))


def at(leaf: Leaf, index: tuple[int, ...]) -> complex:
    """The entry at an index."""
    return complex(leaf if is_number(leaf) else leaf[index])


def size_of(leaf: Leaf) -> float:
    """Size of the largest entry; NaN if an entry is NaN."""
    if is_number(leaf):
        return abs(leaf)
    xp = array_namespace(leaf)
    return float(xp.max(xp.abs(leaf))) if leaf.size else 0.0


def finite(leaf: Leaf) -> Leaf:
    """The leaf with zeros for entries that are not finite."""
    if is_number(leaf):
        return leaf if cmath.isfinite(leaf) else 0.0
    xp = array_namespace(leaf)
    return xp.where(xp.isfinite(leaf), leaf, xp.zeros_like(leaf))


def furthest(one: list[Array] | None, other: list[Array] | None) -> float:
    """Largest difference between two lists of arrays."""
    if one is None or other is None:
        return math.inf
    return max((size_of(a - b) for a, b in zip(one, other, strict=True)), default=0.0)


def with_added(leaf: Leaf, index: tuple[int, ...], by: complex) -> Leaf:
    """The leaf with a number added to one entry."""
    if is_number(leaf):
        return leaf + by
    other = copy(leaf)
    other[index] = other[index] + by
    return other

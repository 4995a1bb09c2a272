"""A user's function with the numbers of its parameters as arguments of their own, to be recorded with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from .._arrays.namespace import Array, array_namespace
from .parameters import BRANCHES, Leaf, Tree, like

PLAIN = (dict, list, tuple)
"""Containers that can be made anew while a function is recorded."""


def opened(
    function: Callable[..., Any], count: int, keys: tuple[int, ...], trees: Sequence[Tree], total: int
) -> Callable[..., Any]:
    """
    The function with some of its `total` further arguments taken apart: their leaves come before the others.

    It is recorded, and must be seen to change nothing.
    """
    skeletons, last = list[Any](), 0
    for tree in trees:
        found, last = _skeleton(tree, last)
        skeletons.append(found)
    others = [key for key in range(total) if key not in keys]
    places = tuple((key in keys, (keys if key in keys else others).index(key)) for key in range(total))

    def call(*given: Any) -> Any:
        values, rest = given[count : count + last], given[count + last :]
        args = [_filled(skeletons[place], values) if is_open else rest[place] for is_open, place in places]
        return function(*given[:count], *args)

    return call


def _skeleton(tree: Tree, first: int) -> tuple[Any, int]:
    """What a tree is, with numbers in place of its leaves, which begin with the `first`; and the next number."""
    if not isinstance(tree, BRANCHES):
        return ("leaf", first, ()), first + 1
    parts = []
    for part in tree.values() if isinstance(tree, dict) else tree:
        found, first = _skeleton(part, first)
        parts.append(found)
    return (type(tree).__name__, tuple(tree) if isinstance(tree, dict) else (), tuple(parts)), first


def _filled(one: tuple[Any, ...], values: tuple[Any, ...]) -> Tree:
    """A tree of its skeleton and all leaves."""
    kind, keys, parts = one
    if kind == "leaf":
        return values[keys]
    found = [_filled(part, values) for part in parts]
    if kind == "dict":
        return dict(zip(keys, found, strict=True))
    return found if kind == "list" else tuple(found)


def is_plain(tree: Tree) -> bool:
    """Whether a tree has no containers but those that can be made anew."""
    if not isinstance(tree, BRANCHES):
        return True
    return type(tree) in PLAIN and all(map(is_plain, tree.values() if isinstance(tree, dict) else tree))


def as_example(leaf: Leaf, y0: Array) -> Array:
    """A leaf as an array; numbers of Python take the precision of the state."""
    xp = array_namespace(y0)
    if not isinstance(leaf, float | complex):
        return leaf
    is_single = xp.finfo(y0.dtype).bits == xp.finfo(xp.float32).bits
    if isinstance(leaf, complex):
        return xp.asarray(leaf, dtype=xp.complex64 if is_single else xp.complex128)
    return xp.asarray(leaf, dtype=xp.float32 if is_single else xp.float64)


def as_leaf(part: Array, leaf: Leaf) -> Leaf:
    """A part of the gradient like its leaf."""
    if isinstance(leaf, complex):
        return complex(part[0], part[1])
    if isinstance(leaf, float):
        return float(part)
    xp = array_namespace(leaf)
    if leaf.dtype.kind == "c":
        part = xp.astype(part[..., 0] + 1j * part[..., 1], leaf.dtype)
    found = xp.reshape(xp.astype(part, leaf.dtype, copy=False), leaf.shape)
    return found if leaf.ndim else found[()]


def in_structure_of(
    trees: Sequence[Tree], own: Sequence[Leaf], shapes: Sequence[tuple[int, ...]], total: Array
) -> list[Tree]:  # fmt: skip
    """Numbers in a row, in the structure of trees with their `own` leaves, as arrays of these `shapes` in `total`."""
    xp, found, begin = array_namespace(total), [], 0
    for leaf, shape in zip(own, shapes, strict=True):
        end = begin + prod(shape)
        found.append(as_leaf(xp.reshape(total[begin:end], shape), leaf))
        begin = end
    values = iter(found)
    return [like(tree, values) for tree in trees]

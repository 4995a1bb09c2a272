"""An inclusive scan with any associative operation, as a tree of pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..._arrays.namespace import Array, array_namespace

Elements: TypeAlias = tuple[Array, ...]
"""Arrays whose first axis counts the elements: an element is the tuple of entries at one index."""


def associative_scan(
    combine: Callable[[Elements, Elements], Elements], elements: Elements, *, reverse: bool = False
) -> Elements:
    """
    Combine each element with all before it, in about 2 log2(T) calls of `combine` on at most 2 T elements.

    Parameters
    ----------
    combine : callable
        Associative operation `combine(earlier, later)` on two stacks of elements of one length, index by index.
    elements : tuple of array
        Each of shape (T, ...).
    reverse : bool
        Combine each element with all after it instead; `combine` still takes the earlier ones first.

    Returns
    -------
    tuple of array
        Element `t` is the combination of the elements 0 to `t`, or `t` to T - 1. For T < 2 it may share memory with
        the operand.
    """
    if not reverse:
        return _scan(combine, elements)
    flip = array_namespace(elements[0]).flip
    flipped = tuple(flip(x, axis=0) for x in elements)
    return tuple(flip(x, axis=0) for x in _scan(lambda after, before: combine(before, after), flipped))


def _scan(combine: Callable[[Elements, Elements], Elements], elements: Elements) -> Elements:
    """Scan forwards: scanning the combined pairs of neighbours gives every second element of the result."""
    length = elements[0].shape[0]
    if length < 2:
        return elements
    even = tuple(x[::2, ...] for x in elements)
    odd = tuple(x[1::2, ...] for x in elements)
    up_to_odd = _scan(combine, combine(tuple(x[: length // 2, ...] for x in even), odd))
    if length == 2:
        return tuple(map(_interleave, even, up_to_odd))
    # The first element is its own result; each later even element is combined with the result of the odd one before.
    before = tuple(x[: (length - 1) // 2, ...] for x in up_to_odd)
    up_to_even = combine(before, tuple(x[1:, ...] for x in even))
    concat = array_namespace(elements[0]).concat
    starts = tuple(concat([x[:1, ...], y]) for x, y in zip(even, up_to_even, strict=True))
    return tuple(map(_interleave, starts, up_to_odd))


def _interleave(even: Array, odd: Array) -> Array:
    """Elements 0, 2, 4, … and 1, 3, 5, … in one array; `even` may have one more."""
    xp = array_namespace(even)
    pairs = odd.shape[0]
    joined = xp.reshape(xp.stack([even[:pairs, ...], odd], axis=1), (2 * pairs, *odd.shape[1:]))
    return xp.concat([joined, even[pairs:, ...]])

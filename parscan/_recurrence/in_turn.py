"""
Calls of a step in turn, each with the state that the one before returned.

There is one function for each number of arguments besides the state. A call with unpacked arguments, `step(y, *given)`,
takes a tenth of a microsecond longer than `step(y)`; in a brief loop that is one part in a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

from .._arrays.namespace import ARRAY, DOUBLE, Array

Turns = Callable[[Callable[..., Any], Any, Iterator[Any], Callable[[bytes], object], tuple[int, ...]], tuple[Any, bool]]
"""
`turns(step, y, rows, keep, shape)`: the state after one call with each of `rows`, and whether it is an array of doubles
of this shape; if not, it is the last one. `keep` is given the bytes of all others.
"""


def rows_of(x: Array | None, args: tuple[Any, ...]) -> tuple[Iterator[Any], Turns]:
    """The arguments besides the state of one step after the other, without an end if there are no inputs; the calls."""
    if x is None and not args:
        return repeat(None), _of_state
    given = [*([] if x is None else [iter(x[:, None])]), *map(repeat, args)]
    if len(given) < 2:
        return given[0], _with_one
    return zip(*given, strict=False), _WITH_SEVERAL.get(len(given), _with_all)


def _of_state(
    step: Callable[..., Any], y: Any, rows: Iterator[Any], keep: Callable[[bytes], object], shape: tuple[int, ...]
) -> tuple[Any, bool]:
    for _ in rows:
        y = step(y)
        if type(y) is not ARRAY or y.shape != shape or y.dtype is not DOUBLE:
            return y, False
        keep(y.tobytes())
    return y, True


def _with_one(
    step: Callable[..., Any], y: Any, rows: Iterator[Any], keep: Callable[[bytes], object], shape: tuple[int, ...]
) -> tuple[Any, bool]:
    for one in rows:
        y = step(y, one)
        if type(y) is not ARRAY or y.shape != shape or y.dtype is not DOUBLE:
            return y, False
        keep(y.tobytes())
    return y, True


def _with_two(
    step: Callable[..., Any], y: Any, rows: Iterator[Any], keep: Callable[[bytes], object], shape: tuple[int, ...]
) -> tuple[Any, bool]:
    for one, two in rows:
        y = step(y, one, two)
        if type(y) is not ARRAY or y.shape != shape or y.dtype is not DOUBLE:
            return y, False
        keep(y.tobytes())
    return y, True


def _with_three(
    step: Callable[..., Any], y: Any, rows: Iterator[Any], keep: Callable[[bytes], object], shape: tuple[int, ...]
) -> tuple[Any, bool]:
    for one, two, three in rows:
        y = step(y, one, two, three)
        if type(y) is not ARRAY or y.shape != shape or y.dtype is not DOUBLE:
            return y, False
        keep(y.tobytes())
    return y, True


def _with_all(
    step: Callable[..., Any], y: Any, rows: Iterator[Any], keep: Callable[[bytes], object], shape: tuple[int, ...]
) -> tuple[Any, bool]:
    for given in rows:
        y = step(y, *given)
        if type(y) is not ARRAY or y.shape != shape or y.dtype is not DOUBLE:
            return y, False
        keep(y.tobytes())
    return y, True


_WITH_SEVERAL = {2: _with_two, 3: _with_three}

"""Quick looks at whether a function gives the slopes of machine code: what they do not confirm is to be looked into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import dist, inf
from typing import Any

from ..._arrays.namespace import Array, array_namespace, quiet, quietly

SAMPLE, FEW = 32, 6
"""States of a solution that are compared with the function: in one call for all, or in a call for each."""


def sample_of(count: int, *, stacks: bool) -> slice:
    """Rows of a sample, spread over all of them, the last one included."""
    apart = max(1, -(-count // (SAMPLE if stacks else FEW)))
    return slice(max(0, count - 1) % apart, None, apart)


def is_like(fun: Callable[..., Any], args: tuple[Any, ...], t: Any, state: Array, slope: Array, share: float) -> bool:
    """Whether a function gives a slope at one state up to a share of it, as a list of numbers or an array."""
    expected = slope.tolist()
    return gives(fun, args, float(t), state.copy(), expected, min(map(abs, expected)), share)


def gives(
    fun: Callable[..., Any], args: tuple[Any, ...], t: float, state: Array, expected: Sequence[float], least: float,
    share: float,
) -> bool:  # fmt: skip
    """The same of a state that is the function's own from now on; of a slope in numbers, and their smallest size."""
    try:
        values = quietly(fun, t, state, *args)
        kind = type(values)
        found = values if kind is list or kind is tuple else values.tolist() if kind is type(state) else list(values)
        return dist(found, expected) <= share * least < inf or _is_near(found, expected, share)
    except Exception:  # the usual comparison will say what is wrong
        return False


def _are_close(found: Array, expected: Array, share: float) -> bool:
    """Whether all numbers are others up to a share of the smallest one: that is seen in a fifth of the time."""
    one, other = found.reshape(-1).tolist(), expected.reshape(-1).tolist()
    return dist(one, other) <= share * min(map(abs, other)) < inf


def _is_near(found: Sequence[Any], expected: Sequence[float], share: float) -> bool:
    """Whether numbers are others up to a share of each."""
    return all(abs(one - other) <= share * abs(other) < inf for one, other in zip(found, expected, strict=True))


def are_like(
    fun: Callable[..., Any], args: tuple[Any, ...], t: Array, states: Array, slopes: Array, share: float, *,
    stacks: bool,
) -> bool:  # fmt: skip
    """Whether it gives the slopes `(m, n)` at some times and states; in one call for all if it takes many."""
    if not stacks:
        return all(is_like(fun, args, *row, share) for row in zip(t, states, slopes, strict=True))
    xp = array_namespace(slopes)
    try:
        with quiet():
            values = fun(t.copy(), states.T.copy(), *args)
            found, expected = xp.asarray(values), slopes.T
            if found.shape != expected.shape:
                return False
            if found.dtype == expected.dtype and _are_close(found, expected, share):
                return True
            most = share * abs(expected)
            return bool(xp.all((abs(found - expected) <= most) & (most < inf)))
    except Exception:  # as above
        return False

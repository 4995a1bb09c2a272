"""States near the initial one, at times near the begin: a sample to try the user's functions on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import copysign, isfinite
from typing import TypeAlias

from ..._arrays.namespace import Array, array_namespace, quiet, random_moves
from ..._functions.differences import Evaluate

SAMPLE = 5
"""Fewest states. Their number differs from all dimensions of a state, so that a function that confuses axes fails."""

SPREAD = 1e-3
"""Distance of the states from the initial one, relative to its components, and of the times from the begin, relative
to the span."""

ATTEMPTS = ((1.0, 1.0), (-1.0, 1.0), (1.0, SPREAD), (-1.0, SPREAD))
"""Sign and size of the changes of the initial state that are tried until the function accepts the state."""


Row: TypeAlias = tuple[Array, Array, Array]
"""Times `(k,)`, states and their values, `(k, *batch, n)`."""


@dataclass(frozen=True)
class Sample:
    """Times `(m,)`, states `(m, *batch, n)`, the initial one first, and the values of the function for each alone.

    `refused` is the exception of a function that accepted no state but the initial one.
    """

    t: Array
    states: Array
    values: Array
    refused: Exception | None = None


def sample(alone: Evaluate, span: tuple[float, float], y0: Array, atol: Array, slope: Array | None = None) -> Sample:
    """The sample. An exception for the initial state is raised; other states for which `alone` raises are replaced.

    `slope` is the value of the function for the initial state, if it is known.

    Every component is changed by random signs of its own, so that sums, norms, largest components and ratios of
    components differ from one state to another.
    """
    xp = array_namespace(y0)
    count = next(count for count in range(SAMPLE, SAMPLE + y0.ndim + 1) if count not in y0.shape)
    begin = xp.asarray(span[:1], dtype=xp.float64)
    first = alone(begin, y0[None, ...]) if slope is None else xp.astype(slope, y0.dtype)[None, ...]
    rows: list[Row] = [(begin, y0[None, ...], first)]
    shift = _shift(span, y0, first[0, ...], atol, count)

    def tried(some: slice, sign: float, size: float) -> tuple[Row | None, Exception | None]:
        """Some of the states, changed by this sign and size, or the exception of the function.

        The states are None, too, where a component of a value is not finite that is finite for the initial state.
        """
        later, changes = shift(some, sign, size)
        t, states = begin + later, y0 + changes
        try:
            values = alone(t, states)
        except Exception as error:
            return None, error
        return ((t, states, values) if bool(xp.all(xp.isfinite(values) | ~xp.isfinite(first))) else None), None

    refused = None
    others, _ = tried(slice(None), *ATTEMPTS[0])
    if others is not None:
        return Sample(*map(xp.concat, zip(rows[0], others, strict=True)))
    for number in range(count - 1):
        for attempt in ATTEMPTS:
            row, error = tried(slice(number, number + 1), *attempt)
            refused = error or refused
            if row is not None:
                break
        rows.append(row or rows[0])  # the number of states must not change: see `SAMPLE`
    taken = any(row is not rows[0] for row in rows[1:])
    t, states, values = map(xp.concat, zip(*rows, strict=True))
    return Sample(t, states, values, None if taken else refused)


def _shift(
    span: tuple[float, float], y0: Array, slope: Array, atol: Array, count: int
) -> Callable[[slice, float, float], tuple[Array, Array]]:
    """A function of a selection of the states after the first, a sign and a size: the changes of times and states.

    A component that is zero is moved along its slope, as the solution moves, over a time in which other components
    hardly change. If its slope is zero as well, it is moved by a small share of its tolerance.
    """
    xp = array_namespace(y0)
    length = span[1] - span[0]
    length = length if isfinite(length) else copysign(1.0, length)
    with quiet():
        steep = xp.where(xp.isfinite(slope), slope, xp.zeros_like(slope))
        size, rate = float(xp.max(xp.abs(y0))), float(xp.max(xp.abs(steep)))
        step = SPREAD * copysign(min(abs(length), size / rate if size and rate else abs(length)), length)
        least = SPREAD * xp.where(xp.isfinite(atol), atol, xp.zeros_like(atol))
        resting = xp.astype(least, y0.dtype)
        drift = xp.where(steep == 0, resting, step * steep)

    signs = xp.stack([random_moves(y0.shape, y0, seed=number) for number in range(1, count)])
    shares = xp.asarray([number / count for number in range(1, count)], dtype=xp.float64)

    def shift(some: slice, sign: float, size: float) -> tuple[Array, Array]:
        own = sign * SPREAD * signs[some, ...] * y0
        changes = size * xp.where(y0 == 0, drift * xp.abs(signs[some, ...]), own)
        return SPREAD * size * shares[some] * length, changes

    return shift

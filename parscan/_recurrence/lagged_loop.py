"""The loop over a step of several earlier states, by calls of the user's function: states stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._arrays.namespace import Array, quietly, readonly, single_rows
from .._functions.step import Step, as_state
from .lags import Companion
from .loop import LOOK_EVERY, first_not_finite


def lagged_loop(
    step: Step,
    companion: Companion,
    extended: Array,
    begin: int,
    end: int,
    report: Callable[[int], None] | None = None,
) -> int:
    """
    Evaluate the steps `begin` to `end`; row `p + t` of `extended` becomes the state of the step `t`.

    Returns the first step whose state is not finite, or `end`. Later rows are undefined.
    """
    trajectory = extended[max(companion.lags) :, ...]
    for first in range(begin, end, LOOK_EVERY):
        last = min(first + LOOK_EVERY, end)
        reached = quietly(_looped, step, companion, extended, first, last)
        if (bad := first_not_finite(trajectory, first, reached)) < last:
            return bad
        if report is not None:
            report(last)
    return end


def _looped(step: Step, companion: Companion, extended: Array, begin: int, end: int) -> int:
    """The steps `begin` to `end`; returns `end`, or an earlier one where an exception follows a state not finite."""
    function, places, x, args = companion.step, [max(companion.lags) - lag for lag in companion.lags], step.x, step.args
    rows, first = readonly(extended), max(companion.lags)
    inputs: Iterator[tuple[Any, ...]] = iter(())
    if isinstance(x, tuple):
        inputs = ((one,) for one in zip(*(single_rows(part[begin:end, ...]) for part in x), strict=True))
    elif x is not None:
        inputs = ((one,) for one in single_rows(x[begin:end, ...]))
    t = begin
    try:
        for t in range(begin, end):
            states = tuple(rows[t + place : t + place + 1, ...] for place in places)
            value, like = function(states, *next(inputs, ()), *args), states[0]
            if type(value) is not type(like) or value.shape != like.shape or value.dtype != like.dtype:
                value = as_state(value, like)
            extended[first + t, ...] = value[0, ...]
    except Exception as error:
        step.error = error
        if first_not_finite(extended, first + begin, first + t) < first + t:
            return t  # the exception is a consequence
        error.add_note(
            f"parscan called `step` for the time step {t} with a tuple of {len(places)} states, of the lags "
            f"{companion.lags}, each of shape {(1, *extended.shape[1:])}; they are read-only."
        )
        raise
    finally:
        step.counts.add(t + 1 - begin, t + 1 - begin)
    return end

"""Recurrences on integers: checks that float64, the dtype of the states, gives the results of integer arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._arrays.elementwise import rows_of
from ..._arrays.namespace import (
    LARGEST_WHOLE,
    Array,
    array_namespace,
    as_python_integers,
    copy,
    dtype_name,
    is_whole,
    quiet,
)
from ..._functions.step import Step

SETTLING = 3
"""Number of steps until the dtype of a state is constant: bools become integers, and short integers longer ones."""


@dataclass(frozen=True)
class Inexact:
    """The first step at which float64 differs from integer arithmetic in a dtype, and both results."""

    time: int
    found: float
    expected: int
    dtype: str

    def __str__(self) -> str:
        """The difference in words, with a remedy."""
        return (
            f"`y0` is of whole numbers, but states are float64: at step {self.time} `step` gives {self.found:.17g}, "
            f"where integers ({self.dtype}) give {self.expected}. float64 has all whole numbers up to 2**53 only: keep "
            "states, products and sums below that, or loop over integers; pass `y0` as float64 if that is meant."
        )


@dataclass(frozen=True)
class WholeNumbers:
    """A recurrence that stays in an integer dtype from an initial state of integers, as a plain loop would compute it.

    Where NumPy's integers are too short (`y % 2**64`), the dtype is that of Python's integers: object.
    """

    step: Step
    dtype: Any

    @classmethod
    def of(cls, step: Step, y0: Array, steps: int) -> WholeNumbers | None:
        """The recurrence from `y0` as the user gave it; None unless that and the step's values are integers."""
        if not is_whole(y0.dtype) or not y0.size or not steps:
            return None
        for first in (y0, as_python_integers(y0)):
            if first is not None and (dtype := _settled(step, first[None, ...], steps)) is not None:
                return cls(step, dtype)
        return None

    def first_inexact(self, before: Array, after: Array, times: slice) -> Inexact | None:
        """The first of the states `after` these steps that integer arithmetic does not give from those `before`."""
        xp = array_namespace(after)
        with quiet():  # numbers beyond the range become arbitrary ones, which differ
            states = as_python_integers(before) if self._are_pythons else xp.astype(before, self.dtype)
        value = _evaluate(self.step, states, times)
        if value is None:
            return None
        if self._are_pythons:
            equal = (value == after).astype(bool)
        else:  # 2**53 may be a neighbour of it that was rounded
            whole = xp.astype(value, xp.int64)
            equal = (xp.astype(value, after.dtype) == after) & (whole <= LARGEST_WHOLE) & (whole >= -LARGEST_WHOLE)
        off = ~(equal & (xp.abs(after) <= LARGEST_WHOLE))
        rows = rows_of(xp, off)
        if not rows:
            return None
        found, expected, flags = (xp.reshape(array[rows[0], ...], (-1,)) for array in (after, value, off))
        place = int(xp.argmax(xp.astype(flags, xp.int8)))
        kind = "Python's" if self._are_pythons else dtype_name(self.dtype)
        time = times.start + rows[0] * (times.step or 1)
        return Inexact(time, float(found[place]), int(expected[place]), kind)

    @property
    def _are_pythons(self) -> bool:
        """Whether the integers are Python's."""
        return dtype_name(self.dtype) == "object"

    @staticmethod
    def are(states: Array) -> bool:
        """Whether all states are integers: if not, a step that maps integers to integers truncates by mistake."""
        xp = array_namespace(states)
        return bool(xp.all(states == xp.floor(states)))


def _settled(step: Step, state: Array, steps: int) -> Any:
    """Integer dtype that the states keep after some steps; None if there is none."""
    for t in range(min(SETTLING, steps)):
        value = _evaluate(step, state, slice(t, t + 1))
        if value is None or value.dtype == state.dtype:
            return None if value is None else value.dtype
        state = value
    return state.dtype


def _evaluate(step: Step, states: Array, times: slice) -> Array | None:
    """Values of the step for integer states; None unless they are integers of the same shape."""
    try:
        with quiet():
            value = copy(step.unchecked(copy(states), times))
    except Exception:  # a step that rejects integers is no recurrence on them
        return None
    return value if value.shape == states.shape and is_whole(value.dtype, value) else None

"""Recurrences on whole numbers: whether float64, in which states are kept, gives what integers would."""

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
"""Steps after which the dtype of a state does not change any more: bools become integers, integers longer ones."""


@dataclass(frozen=True)
class Inexact:
    """The first step that float64 cannot be trusted with, what it gives there, and what integers of a dtype give."""

    time: int
    found: float
    expected: int
    dtype: str

    def __str__(self) -> str:
        """In words, with what to do."""
        return (
            f"`y0` is of whole numbers, but states are float64: at step {self.time} `step` gives {self.found:.17g}, "
            f"where integers ({self.dtype}) give {self.expected}. float64 has all whole numbers up to 2**53 only: keep "
            "states, products and sums below that, or loop over integers; pass `y0` as float64 if that is meant."
        )


@dataclass(frozen=True)
class WholeNumbers:
    """A recurrence that stays in an integer dtype from an initial state of integers: what the loop would compute.

    Where NumPy's integers do not do (`y % 2**64`), the dtype is that of Python's: object.
    """

    step: Step
    dtype: Any

    @classmethod
    def of(cls, step: Step, y0: Array, steps: int) -> WholeNumbers | None:
        """The recurrence from `y0`, as it was given; None if that is not of integers, or the step makes others."""
        if not is_whole(y0.dtype) or not y0.size or not steps:
            return None
        for first in (y0, as_python_integers(y0)):
            if first is not None and (dtype := _settled(step, first[None, ...], steps)) is not None:
                return cls(step, dtype)
        return None

    def first_inexact(self, before: Array, after: Array, times: slice) -> Inexact | None:
        """The first of the states `after` these times that is not what integers make of the states `before`."""
        xp = array_namespace(after)
        with quiet():  # what is beyond the range becomes anything, and differs
            states = as_python_integers(before) if self._are_pythons else xp.astype(before, self.dtype)
        value = _evaluate(self.step, states, times)
        if value is None:
            return None
        if self._are_pythons:
            equal = (value == after).astype(bool)
        else:  # 2**53 may be what is next to it, rounded
            whole = xp.astype(value, xp.int64)
            equal = (xp.astype(value, after.dtype) == after) & (whole <= LARGEST_WHOLE) & (whole >= -LARGEST_WHOLE)
        off = ~(equal & (xp.abs(after) <= LARGEST_WHOLE))
        rows = rows_of(off)
        if not rows:
            return None
        found, expected, flags = (xp.reshape(array[rows[0], ...], (-1,)) for array in (after, value, off))
        place = int(xp.argmax(xp.astype(flags, xp.int8)))
        kind = "Python's" if self._are_pythons else dtype_name(self.dtype)
        time = times.start + rows[0] * (times.step or 1)
        return Inexact(time, float(found[place]), int(expected[place]), kind)

    @property
    def _are_pythons(self) -> bool:
        """Whether NumPy's integers do not do."""
        return dtype_name(self.dtype) == "object"

    @staticmethod
    def are(states: Array) -> bool:
        """Whether all are whole: if not, a step that gives integers for integers rounds them, and does not mean to."""
        xp = array_namespace(states)
        return bool(xp.all(states == xp.floor(states)))


def _settled(step: Step, state: Array, steps: int) -> Any:
    """Integer dtype that the states keep after some steps, None if there is none."""
    for t in range(min(SETTLING, steps)):
        value = _evaluate(step, state, slice(t, t + 1))
        if value is None or value.dtype == state.dtype:
            return None if value is None else value.dtype
        state = value
    return state.dtype


def _evaluate(step: Step, states: Array, times: slice) -> Array | None:
    """What the step makes of integer states; None unless integers of the same shape."""
    try:
        with quiet():
            value = copy(step.unchecked(copy(states), times))
    except Exception:  # it cannot be called with integers: then it is no recurrence on them
        return None
    return value if value.shape == states.shape and is_whole(value.dtype, value) else None

"""Rodas5P for large systems: one sparse Jacobian and one elimination a step.

The method and its sources are told beside its coefficients, in `_recorded/native/rodas5p.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from ..._arrays.namespace import Array
from ..._engine.termination import Failure
from ..._functions.coloured import SMALL
from ..._linalg.elimination import SingularError
from ..._recorded.native.rodas5p import BETWEEN, GAMMA, OF_TIME, ORDER, RIGHT_SIDES, STATES, TIMES
from ..core.failures import NOT_FINITE, TOO_SMALL, is_no_step
from .large import LargeSolver, weighted

SAFETY, SLOWEST, FASTEST = 0.9, 0.2, 6.0
"""Step controller: safety factor, and the smallest and largest ratio of successive steps."""

UNKNOWN = 0.25
"""Ratio of successive attempts if values were not finite."""

_BETWEEN = np.array(BETWEEN)
_STATES, _RIGHT_SIDES = ([np.array(weights) for weights in table] for table in (STATES, RIGHT_SIDES))


@dataclass(frozen=True)
class Between:
    """The polynomial of a step from `t` of length `h`: states `y` and `later` at its ends, vectors `b` `(3, n)`."""

    t: float
    h: float
    y: Array
    later: Array
    b: Array

    def __call__(self, t: Any) -> Array:
        """States at one time `(n,)`, or at many `(n, m)`."""
        share = (np.asarray(t, dtype=float) - self.t) / self.h
        ends = (self.y, self.later, *self.b)
        y, later, *b = ends if share.ndim == 0 else (end[:, None] for end in ends)
        return (1 - share) * y + share * (later + (1 - share) * (b[0] + share * (b[1] + share * b[2])))


class Rodas5P(LargeSolver):
    """The solver."""

    order_of_first = ORDER

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._stages, self._before = np.empty((len(TIMES), self.y.size)), self.y

    def _step(self) -> Failure | None:
        t, y, f, left = self.t, self.y, self.f, self.t_bound - self.t
        entries = self._entries(t, y, f)
        if not np.isfinite(entries).all():
            return NOT_FINITE
        grows, is_finite = FASTEST, True
        while True:
            size = min(self._size, self._longest)
            is_last = size >= abs(left)
            h = left if is_last else self._way * min(size, abs(left) / 2 if size > 0.9 * abs(left) else size)
            if is_no_step(t, t + h) and not is_last:
                return TOO_SMALL if is_finite else NOT_FINITE
            later, error = self._attempt(h, entries)
            is_finite = isfinite(error)
            factor = SAFETY * max(error, 1e-10) ** (-1 / ORDER) if is_finite else UNKNOWN
            self._size = abs(h) * min(max(factor, SLOWEST), grows)
            if error <= 1:
                break
            grows = 1.0
        self.t_old, self.t, self._before, self.y = t, self.t_bound if is_last else t + h, y, later
        self.f = self._fun(self.t, later)
        return None

    def _attempt(self, h: float, entries: Array) -> tuple[Array, float]:
        """The state after a step of this length, and the error in tolerances."""
        t, y, stages, slopes = self.t, self.y, self._stages, self.f
        moved = t + SMALL * h
        of_time = (self._fun(moved, y) - slopes) * (h / (moved - t)) * h if moved != t else np.zeros_like(y)
        matrix = entries * -h
        matrix[self._pattern.diagonal] += 1 / GAMMA
        self.nlu += 1
        try:
            solve = self._factor(matrix)
        except SingularError:
            return y, inf
        state = y
        for i, (share, of) in enumerate(zip(TIMES, OF_TIME, strict=True)):
            if i:
                state = y + weighted(_STATES[i], stages[:i]) if i < len(STATES) else state + stages[i - 1]
                slopes = self._fun(t + share * h, state)
            right = h * slopes
            if i:
                right += weighted(_RIGHT_SIDES[i], stages[:i])
            if of:
                right += of * of_time
            stages[i] = solve(right)
        state = state + stages[-1]
        error = self._largest(stages[-1], y, state)
        return state, error if isfinite(error) else inf

    def dense_output(self) -> Between:
        """The polynomial of the last step."""
        return Between(self.t_old, self.t - self.t_old, self._before, self.y, _BETWEEN @ self._stages)

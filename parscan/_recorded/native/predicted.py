"""
Steps that branch, as long as their branches are predicted well.

Whether a processor predicts a branch depends on the data. Where that fails in every other step, code that computes both
values and selects one is several times faster. It gives the same states to the last bit, so that some steps may be by
one code and the next ones by the other. The other code is compiled once branches have cost as much time as that takes,
against an estimate; then parts of the steps by either are timed. No step is timed twice: predictors learn thousands of
steps by heart.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from math import inf

from .watch import Watched

TICK = 0.25e-9
"""Seconds of a cycle, about."""

PRICE = 0.005
"""Seconds that it takes to compile the other code, about."""

WORST = 10
"""Times the estimate that branches may take: if it is more, other work of the machine has disturbed it."""

PART, PARTS = 4096, 4
"""Steps that are timed together, and how many times, by each code in turn."""

ANEW = 8
"""The choice is made anew at the uses 8, 64, 512 and so on: the data may have changed."""

MARGIN = 0.95
"""Share of the time with branches below which the code without is taken."""


class Predicted:
    """
    Steps that branch or select; it is called as `Watched` is.

    Parameters
    ----------
    branching : Watched
        Its kernel needs no memory.
    selecting : callable
        Makes the code without branches, which needs none either.
    cycles : int
        That a step takes without branches, about.
    """

    def __init__(self, branching: Watched, selecting: Callable[[], Watched], cycles: int) -> None:
        self._branching, self._make, self._usual = branching, selecting, cycles * TICK
        self._selecting: Watched | None = None
        self._chosen = branching
        self._lost, self._uses = 0.0, 0

    def memory(self) -> None:
        """No memory for intermediate values is needed."""

    def __call__(self, memory: None, arrays: array[int], steps: int, *, watches: bool) -> bool:
        """Evaluate steps; see `Watched`."""
        if self._selecting is None:
            seconds, is_finite = _timed(self._branching, arrays, steps, watches)
            usual = steps * self._usual
            self._lost = max(self._lost + min(seconds, WORST * usual) - usual, 0.0)
            if self._lost > PRICE:
                self._selecting = self._make()
            return is_finite
        if steps >= PART * 2 * PARTS:
            self._uses += 1
            if is_power(self._uses):
                steps -= PART * 2 * PARTS
                if not self._choose(self._selecting, arrays, watches):
                    return False
        return self._chosen(None, arrays, steps, watches=watches)

    def _choose(self, selecting: Watched, arrays: array[int], watches: bool) -> bool:
        """Evaluate some steps by either code, and choose the faster one; return whether all states are finite."""
        best = {self._branching: inf, selecting: inf}
        for code in [*best] * PARTS:
            seconds, is_finite = _timed(code, arrays, PART, watches)
            best[code] = min(best[code], seconds)
            if watches and not is_finite:
                return False
        is_better = best[selecting] < MARGIN * best[self._branching]
        self._chosen = selecting if is_better else self._branching
        return True


def _timed(code: Watched, arrays: array[int], steps: int, watches: bool) -> tuple[float, bool]:
    """Seconds that steps take, and whether all states were found to be finite."""
    begin = time.perf_counter()
    is_finite = code(None, arrays, steps, watches=watches)
    return time.perf_counter() - begin, is_finite


def is_power(number: int) -> bool:
    """Whether a number is a power of `ANEW`."""
    while number > 1 and number % ANEW == 0:
        number //= ANEW
    return number == 1

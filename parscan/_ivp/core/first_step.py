"""The first step of a sequential solver."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite


def first_step(size: float, rate: float, change: Callable[[float], float], longest: float, order: int) -> float:
    """Length of a step whose error should be small (Hairer, Nørsett and Wanner, "Solving ODEs I", section II.4).

    `size` and `rate` are norms of the state and of its slope in tolerances, and `change(h)` is that of the change of
    the slope over an Euler step of length `h`. The error of a step is proportional to its length to the power `order`.
    """
    h = 0.01 * size / rate if min(size, rate) >= 1e-5 else 1e-6
    h = min(h, longest) if isfinite(h) else longest
    largest = max(rate, change(h) / h if h else inf)
    wanted = (0.01 / largest) ** (1 / order) if 1e-15 < largest < inf else max(1e-6, 1e-3 * h)
    return min(100 * h, wanted, longest)

"""
Trajectories that have come to rest, or to a short period.

If nothing but the state changes from step to step, and a state is one that was there before, bit by bit, the same code
gives the same states again. Contractive steps without inputs come so far: to a fixed point, to a cycle, or to zero.
"""

from __future__ import annotations

from typing import Any

LONGEST = 16
"""Longest period that is looked for, in steps."""

LOOKS = 32
"""Number of times, about, that a loop looks for it: the steps between two looks may be evaluated in vain."""

PIECE = 1 << 16
"""Bytes that are copied at a time: they stay in the cache."""


def period_of(rows: Any, begin: int, end: int) -> int:
    """Period of the last state before `end`, of those from `begin` on; 0 if it has none."""
    last = rows[end - 1].tobytes()
    for period in range(1, min(LONGEST, end - begin - 1) + 1):
        if rows[end - 1 - period].tobytes() == last:
            return period
    return 0


def go_on(rows: Any, begin: int, end: int, period: int) -> None:
    """Write the rows from `begin` to `end`, which repeat those before them."""
    most = max(PIECE // max(rows[:1].nbytes, 1), period) // period * period
    first, done = begin - period, period
    while first + done < end:
        count = min(done // period * period, most, end - first - done)
        rows[first + done : first + done + count] = rows[first : first + count]
        done += count

"""
Corrections of a mesh on a CUDA device, before and behind the scan that propagates them: a thread for each interval.

They are the same for all right-hand sides. Each number is read once, where operations on arrays pass them thirty times.
"""

from __future__ import annotations

from functools import cache
from math import inf
from typing import Any

import numpy as np

from .device import DeviceKernel, device_code, device_kernel, thread_of
from .expressions import Code, Value

SIZES = ("i64 %intervals", "i64 %members", "i64 %stages", "i64 %n")
"""Intervals of all members, members, stages of an interval, and components."""


class _Interval:
    """What belongs to the thread of an interval of a member."""

    def __init__(self, code: Code, dtype: Any) -> None:
        self.code, self.dtype, self.own = code, np.dtype(dtype), thread_of(code)
        self.members, self.stages, self.n = (code.argument(one) for one in ("members", "stages", "n"))
        self.interval = self.own / self.members
        self.member = self.own - self.interval * self.members
        self.length = self.array("lengths")[self.interval]

    def array(self, name: str, row: Value | int = 0, width: Value | int = 1) -> Any:
        """An array in memory, from a row of some width on."""
        found = self.code.reals(f"%{name}", self.dtype)
        return found if isinstance(row, int) else found.after(row * width)

    def slopes(self, name: str, stage: Value) -> Any:
        """Slopes of a stage, (intervals, stages, members, n)."""
        row = (self.interval * self.stages + stage) * self.members + self.member
        return self.array(name, row, self.n)


@cache
def ends(dtype: Any) -> DeviceKernel:
    """
    The kernel of the distances between the ends of intervals and the nodes there.

    Its arguments are `SIZES`; the weights of the method; the lengths; the states at nodes, (nodes, members, n); the
    slopes; the offsets of condensed intervals, (intervals, members, n); and the distances, likewise.
    """
    code = device_code()
    with code.if_(thread_of(code) < code.argument("intervals")):
        own = _Interval(code, dtype)
        begin, end = (own.array("y", row, own.n) for row in (own.own, own.own + own.members))
        offsets, out = own.array("offsets", own.own, own.n), own.array("out", own.own, own.n)
        with code.for_(own.n) as k:
            total = code.variable(0.0, own.dtype)
            with code.for_(own.stages) as stage:
                total.set(code.fma(own.array("weights")[stage], own.slopes("slopes", stage)[k], total.get()))
            out[k] = code.fma(own.length, total.get(), begin[k]) + offsets[k] - end[k]
    names = ("weights", "lengths", "y", "slopes", "offsets", "out")
    return device_kernel(code, [*SIZES, *(f"ptr %{name}" for name in names)])


@cache
def corrected(dtype: Any) -> DeviceKernel:
    """
    The kernel of the corrected states and slopes, and of the sizes of corrections.

    Its arguments are `SIZES`; the distances in memory of one component's tolerance, relative and absolute, from that of
    the next one, 0 or 1; these tolerances; the lengths; the states at nodes; the slopes; the corrections of the right
    ends, (intervals, members, n); the stages of condensed intervals and their derivatives, (intervals, members, stages,
    n) and (…, n, n). Then, what is written: states, slopes and sizes, (intervals, members).
    """
    code = device_code()
    with code.if_(thread_of(code) < code.argument("intervals")):
        own = _Interval(code, dtype)
        n, is_first = own.n, own.interval.equals(0)
        left, right = (own.array("y", row, n) for row in (own.own, own.own + own.members))
        before = own.array("corrections", code.where(is_first, own.own, own.own - own.members), n)
        after, states = own.array("corrections", own.own, n), own.array("states", own.own + own.members, n)
        with code.if_(is_first):
            first = own.array("states", own.own, n)
            with code.for_(n) as k:
                first[k] = left[k]
        of_state, of_stages = code.variable(0.0, own.dtype), code.variable(0.0, own.dtype)
        with code.for_(n) as k:
            moved = right[k] + after[k]
            states[k] = moved
            here = left[k] + code.where(is_first, 0.0, before[k])
            atol = own.array("atol")[k * code.argument("apart_atol")]
            rtol = own.array("rtol")[k * code.argument("apart_rtol")]
            bound = code.fma(rtol, _larger(code, code.abs(here), code.abs(moved)), atol)
            _add(code, of_state, after[k], bound)
            with code.for_(own.stages) as stage:
                row = own.own * own.stages + stage
                derivatives = own.array("X1", (row * n + k) * n)
                change = code.variable(own.array("X0", row, n)[k])
                with code.if_(~is_first), code.for_(n) as j:
                    change.set(code.fma(derivatives[j], before[j], change.get()))
                own.slopes("K", stage)[k] = own.slopes("slopes", stage)[k] + change.get()
                _add(code, of_stages, own.length * change.get(), bound)
        numbers = n.to(own.dtype)
        size = _larger(code, of_state.get() / numbers, of_stages.get() / (numbers * own.stages.to(own.dtype)))
        root = code.sqrt(size)
        own.array("sizes")[own.own] = code.where(root.differs(root), inf, root)
    names = ("rtol", "atol", "lengths", "y", "slopes", "corrections", "X0", "X1", "states", "K", "sizes")
    return device_kernel(code, [*SIZES, "i64 %apart_rtol", "i64 %apart_atol", *(f"ptr %{name}" for name in names)])


def _larger(code: Code, one: Value, other: Value) -> Value:
    """The larger number; NaN if one of them is."""
    return code.where(one > other, one, code.where(other >= one, other, one + other))


def _add(code: Code, total: Any, error: Value, bound: Value) -> None:
    """Add the square of an error in units of its bound; no error is none even if the bound is zero."""
    share = code.where(error.equals(0.0), 0.0, error / bound)
    total.set(code.fma(share, share, total.get()))

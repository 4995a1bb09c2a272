"""Steps of a kernel, some at a time, after which the states that it wrote are looked at: they are in the cache then."""

from __future__ import annotations

from array import array
from functools import cache
from typing import Any

import numpy as np

from .compilation import Code, Compiled, compiled
from .kernel import NAME, Kernel
from .layout import address
from .text import literal, vector, word

NEAR = 1 << 12
"""Bytes of states that are looked at together."""

VECTOR, BESIDE = 64, 4
"""Bytes of a vector, and number of sums that are added to beside each other."""


class Watched:
    """
    A kernel whose first result is a state, its first argument.

    Parameters
    ----------
    kernel : Compiled
    dtype : dtype
        Of the state; only float64 and float32 can be looked at.
    numbers : int
        Of a state.
    """

    def __init__(self, kernel: Compiled, dtype: np.dtype[Any], numbers: int) -> None:
        is_single = dtype == np.float32
        self._kernel, self._numbers = kernel, numbers
        self._code = _watch(np.dtype(np.float32 if is_single else np.float64))
        self._at_a_time = max(1, NEAR // max(numbers * dtype.itemsize, 1))

    def memory(self) -> Any:
        """Memory for intermediate values, for one thread."""
        return self._kernel.memory()

    def __call__(self, memory: Any, arrays: array[int], steps: int, *, watches: bool) -> bool:
        """
        Evaluate steps, and return whether all states are finite; if not, they may end early.

        Parameters
        ----------
        arrays : array of 64-bit integers
            Those that `Kernel` describes; addresses become those of the following steps.
        watches : bool
            False: look at nothing. The rows of the states must be contiguous otherwise, and side by side.
        """
        if not steps:  # a kernel evaluates at least one
            return True
        scratch = 0 if memory is None else address(memory)
        at_a_time, numbers = (self._at_a_time, self._numbers) if watches else (steps, 0)
        given = array("q", (self._kernel.table, scratch, len(arrays) // 3, at_a_time, numbers, 0))
        self._code.function(self._kernel.address, given.buffer_info()[0], arrays.buffer_info()[0], steps)
        return bool(given[5])


@cache
def _watch(dtype: np.dtype[Any]) -> Code:
    return compiled(Kernel(_text(dtype), {}, None, 0))


def _text(dtype: np.dtype[Any]) -> str:
    """
    A function like that of a kernel, with its address and other integers in place of the table and the scratch.

    The sums of zero times the states are NaN if one of them is not finite.
    """
    one, width = word(dtype), VECTOR // dtype.itemsize
    many, none, zero = vector(one, width), literal(0.0, dtype, width), literal(0.0, dtype)
    every = range(BESIDE)
    names = ("table", "scratch", "count", "most", "numbers", "verdict")
    lines = [
        f"define void @{NAME}(ptr %kernel, ptr %given, ptr %arrays, i64 %steps) nounwind {{",
        "entry:",
        *(f"  %{name}_ = getelementptr i64, ptr %given, i64 {k}" for k, name in enumerate(names)),
        *(f"  %{name} = load {'ptr' if k < 2 else 'i64'}, ptr %{name}_" for k, name in enumerate(names[:-1])),
        "  %last = sub i64 %count, 1",
        "  %result = getelementptr [3 x i64], ptr %arrays, i64 %last",
        "  %stride_ = getelementptr i64, ptr %result, i64 1",
        "  %stride = load i64, ptr %stride_",
        "  br label %portion",
        "portion:",
        "  %done = phi i64 [ 0, %entry ], [ %after, %moved ]",
        "  %left = sub i64 %steps, %done",
        "  %few = icmp ult i64 %left, %most",
        "  %now = select i1 %few, i64 %left, i64 %most",
        "  %rows = load ptr, ptr %result",
        "  call void %kernel(ptr %table, ptr %scratch, ptr %arrays, i64 %now)",
        "  %all = mul i64 %now, %numbers",
        f"  %whole = and i64 %all, {-BESIDE * width}",
        "  %some = icmp ne i64 %whole, 0",
        "  br i1 %some, label %vectors, label %single",
        "vectors:",
        "  %j = phi i64 [ 0, %portion ], [ %next, %vectors ]",
        *(f"  %old{k} = phi {many} [ {none}, %portion ], [ %new{k}, %vectors ]" for k in every),
        f"  %next = add i64 %j, {BESIDE * width}",
    ]
    for k in every:
        lines += [
            f"  %j{k} = add i64 %j, {k * width}",
            f"  %at{k} = getelementptr {one}, ptr %rows, i64 %j{k}",
            f"  %some{k} = load {many}, ptr %at{k}, align {dtype.itemsize}",
            f"  %zero{k} = fmul contract {many} %some{k}, {none}",
            f"  %new{k} = fadd contract {many} %old{k}, %zero{k}",
        ]
    lines += [
        "  %more = icmp ult i64 %next, %whole",
        "  br i1 %more, label %vectors, label %added",
        "added:",
        *(f"  %sum{k} = fadd {many} %{f'sum{k - 1}' if k > 1 else 'new0'}, %new{k}" for k in every[1:]),
        f"  %wrong = fcmp uno {many} %sum{BESIDE - 1}, {none}",
        f"  %bits = bitcast {vector('i1', width)} %wrong to i{width}",
        f"  %good = icmp eq i{width} %bits, 0",
        "  br label %single",
        "single:",
        "  %fine = phi i1 [ true, %portion ], [ %good, %added ]",
        "  %rest = icmp ult i64 %whole, %all",
        "  br i1 %rest, label %one, label %moving",
        "one:",
        "  %i = phi i64 [ %whole, %single ], [ %i_next, %one ]",
        f"  %old = phi {one} [ {zero}, %single ], [ %new, %one ]",
        f"  %at = getelementptr {one}, ptr %rows, i64 %i",
        f"  %value = load {one}, ptr %at",
        f"  %none = fmul {one} %value, {zero}",
        f"  %new = fadd {one} %old, %none",
        "  %i_next = add i64 %i, 1",
        "  %again = icmp ult i64 %i_next, %all",
        "  br i1 %again, label %one, label %moving",
        "moving:",
        f"  %total = phi {one} [ {zero}, %single ], [ %new, %one ]",
        f"  %known = fcmp ord {one} %total, {zero}",
        "  %finite = and i1 %fine, %known",
        "  br label %move",
        "move:",
        "  %k = phi i64 [ 0, %moving ], [ %following, %move ]",
        "  %array = getelementptr [3 x i64], ptr %arrays, i64 %k",
        "  %step_ = getelementptr i64, ptr %array, i64 1",
        "  %place = load ptr, ptr %array",
        "  %step = load i64, ptr %step_",
        "  %distance = mul i64 %step, %now",
        "  %moved_place = getelementptr i8, ptr %place, i64 %distance",
        "  store ptr %moved_place, ptr %array",
        "  %following = add i64 %k, 1",
        "  %others = icmp ult i64 %following, %count",
        "  br i1 %others, label %move, label %moved",
        "moved:",
        "  %end = load ptr, ptr %result",
        "  %back = sub i64 0, %stride",
        "  %state = getelementptr i8, ptr %end, i64 %back",
        "  store ptr %state, ptr %arrays",
        "  %after = add i64 %done, %now",
        "  %unfinished = icmp ult i64 %after, %steps",
        "  %on = and i1 %unfinished, %finite",
        "  br i1 %on, label %portion, label %exit",
        "exit:",
        "  %verdict_value = zext i1 %finite to i64",
        "  store i64 %verdict_value, ptr %verdict_",
        "  ret void",
        "}",
    ]
    return "\n".join(lines) + "\n"

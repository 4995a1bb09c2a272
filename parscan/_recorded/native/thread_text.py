"""
A solver of members as a kernel of a device: each thread runs the text that a CPU runs, in one lane, for members alone.

Between launches, the memory of all threads lies in the device's memory, number by number, so that neighbouring threads
read and write side by side. During a launch, each thread has its memory for itself, where the device lays the same
numbers of neighbouring threads side by side as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .device import CalledKernel, DeviceKernel
from .driver import Driver
from .kernel import NAME
from .libm import NUMBER
from .members import NUMBERS, Facts, Members
from .target import one_thread
from .text import UnsupportedError

LARGEST = 1 << 15
"""Bytes of a thread's memory: devices set it aside for all threads that they could run at a time."""

MARCH = "march"
"""Name of the solver's function."""

DECLARED = re.compile(r"^declare [^@]*@([\w.]+)\(.*$", re.MULTILINE)
"""A declaration of a function."""

DEFINED = re.compile(rf"^define void @{NAME}(\(.*\) nounwind) *{{", re.MULTILINE)
"""
The begin of the solver's function. It is written into the thread's lines, where LLVM sees that its memory is beside the
thread: that takes fewer registers.
"""

ARGUMENTS = "ptr %kept", "i64 %threads", "i64 %steps", "ptr %ended"
"""
Of the kernel: the memory of all threads, their number, most attempts of steps, and an integer in memory, to which the
number of members that ended is added.
"""


@dataclass(frozen=True)
class ThreadCode:
    """
    A solver's kernel, and what it needs.

    Attributes
    ----------
    kernel : DeviceKernel
        With the arguments `ARGUMENTS`.
    driver : Driver
    facts : Facts
    words : int
        Numbers of eight bytes in a thread's memory.
    """

    kernel: DeviceKernel
    driver: Driver
    facts: Facts
    words: int


def thread_code(write: Callable[[], Members]) -> ThreadCode:
    """
    The kernel of a solver; `write` makes the solver's writer.

    Raises
    ------
    UnsupportedError
        If it has none, or needs too much memory.
    """
    with one_thread():
        writer = write()
        driver = writer.driver()
    kernel = driver.kernel
    if kernel.scratch > LARGEST:
        raise UnsupportedError(f"needs {kernel.scratch} bytes for each thread of a device, more than {LARGEST}")
    words = -(-kernel.scratch // NUMBER)
    ended = driver.fields.offset("numbers") + NUMBER * NUMBERS.index("ended")
    text = DEFINED.sub(rf"define internal void @{MARCH}\1 alwaysinline {{", kernel.text)
    declarations = {found[1]: found[0] for found in DECLARED.finditer(text)}
    declarations[MARCH] = DECLARED.sub("", text)
    lines = tuple(_thread(words, ended).strip("\n").splitlines())
    return ThreadCode(
        CalledKernel(ARGUMENTS, lines, declarations, kernel.external, kernel.table), driver, writer.facts, words
    )


def _thread(words: int, ended: int) -> str:
    """What a thread does."""
    return f"""
  %memory = alloca [{words} x i64], align 16
  %is_one = icmp ult i64 %thread, %threads
  br i1 %is_one, label %load, label %exit
load:
  %k = phi i64 [ 0, %entry ], [ %after_k, %load ]
  %row_k = mul i64 %k, %threads
  %place_k = add i64 %row_k, %thread
  %kept_k = getelementptr i64, ptr %kept, i64 %place_k
  %own_k = getelementptr i64, ptr %memory, i64 %k
  %number_k = load i64, ptr %kept_k
  store i64 %number_k, ptr %own_k
  %after_k = add i64 %k, 1
  %loads = icmp ult i64 %after_k, {words}
  br i1 %loads, label %load, label %march
march:
  %count = getelementptr i8, ptr %memory, i64 {ended}
  %before_it = load i64, ptr %count
  call void @{MARCH}(ptr %table, ptr %memory, ptr null, i64 %steps)
  %after_it = load i64, ptr %count
  %new = sub i64 %after_it, %before_it
  %others = atomicrmw add ptr %ended, i64 %new monotonic
  br label %save
save:
  %j = phi i64 [ 0, %march ], [ %after_j, %save ]
  %row_j = mul i64 %j, %threads
  %place_j = add i64 %row_j, %thread
  %kept_j = getelementptr i64, ptr %kept, i64 %place_j
  %own_j = getelementptr i64, ptr %memory, i64 %j
  %number_j = load i64, ptr %own_j
  store i64 %number_j, ptr %kept_j
  %after_j = add i64 %j, 1
  %saves = icmp ult i64 %after_j, {words}
  br i1 %saves, label %save, label %exit
exit:
"""

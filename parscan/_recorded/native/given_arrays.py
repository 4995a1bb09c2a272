"""
Functions of Python that are machine code, of numbers and arrays: see `builtin`.

The address of an array by `ctypes` takes as long as hundreds of its numbers take to read. Here, the code asks for it by
Python's buffer protocol, whose structure is part of the stable interface since Python 3.11, and was the same before.
"""

from __future__ import annotations

import ctypes
from functools import cache

NEEDED = (
    "PyLong_AsVoidPtr", "PyLong_AsLongLong", "PyFloat_AsDouble", "PyErr_Clear", "PyObject_GetBuffer",
    "PyBuffer_Release", "PyEval_SaveThread", "PyEval_RestoreThread", "PyFloat_FromDouble",
)  # fmt: skip
"""What is called of Python."""

SIZE = 80
"""Bytes of what describes a buffer."""

BUFFER, LENGTH, AXES, FORMAT = 0, 16, 36, 40
"""Offsets in it: of the address, the bytes, the number of axes and the format."""

WANTED = 0x3C
"""Buffers in one piece in the order of C, with their format."""

DOUBLE = ord("d")
"""The format of doubles, before its terminating zero."""

TASK = "what", "number", "found", "taken", "arrays", "parts", "bytes of a part", "axes of a part"
"""
The first words of a task: what is asked for, an integer; a float that is given; the result, a float; whether parts are
taken; where the addresses of arrays are written, and those of parts; and what parts must be.
"""

TAKE = 0
"""What is asked for where arrays are parts: their addresses are noted, and nothing else is done."""

REFUSED, TAKEN = -1.0, 1.0
"""Results where something is no array in one piece, or no part, and where parts are taken."""


@cache
def addresses() -> dict[str, int]:
    """Addresses of what is called of Python."""
    return {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in NEEDED}


def text(name: str, work: str) -> str:
    """
    LLVM's text of a function for `builtin.builtin`, to stand behind that of a function `work` of the task.

    It takes an integer, a float and arrays, and releases the GIL while `work` runs. The arrays must not be changed or
    freed as long as the task refers to them.
    """
    declared = (
        "ptr @PyLong_AsVoidPtr(ptr)", "i64 @PyLong_AsLongLong(ptr)", "double @PyFloat_AsDouble(ptr)",
        "void @PyErr_Clear()", "i32 @PyObject_GetBuffer(ptr, ptr, i32)", "void @PyBuffer_Release(ptr)",
        "ptr @PyEval_SaveThread()", "void @PyEval_RestoreThread(ptr)", "ptr @PyFloat_FromDouble(double)",
    )  # fmt: skip

    def word(register: str, number: int, kind: str, base: str = "%task", size: int = 8) -> list[str]:
        at = f"{register}_at"
        return [f"  {at} = getelementptr i8, ptr {base}, i64 {size * number}", f"  {register} = load {kind}, ptr {at}"]

    def place(name: str) -> list[str]:
        return [f"  %{name}_place = getelementptr i8, ptr %task, i64 {8 * TASK.index(name)}"]

    return "\n".join([
        *(f"declare {one}" for one in declared),
        f"define ptr @{name}(ptr %self, ptr %arguments, i64 %count) {{",
        "entry:",
        f"  %view = alloca [{SIZE} x i8], align 16",
        "  %task = call ptr @PyLong_AsVoidPtr(ptr %self)",
        *word("%first", 0, "ptr", "%arguments"),
        *word("%second", 1, "ptr", "%arguments"),
        "  %what = call i64 @PyLong_AsLongLong(ptr %first)",
        "  %number = call double @PyFloat_AsDouble(ptr %second)",
        f"  %takes = icmp eq i64 %what, {TAKE}",
        *word("%arrays", TASK.index("arrays"), "ptr"),
        *word("%parts", TASK.index("parts"), "ptr"),
        *word("%bytes", TASK.index("bytes of a part"), "i64"),
        *word("%axes", TASK.index("axes of a part"), "i64"),
        "  %target = select i1 %takes, ptr %parts, ptr %arrays",
        "  br label %again",
        "again:",
        "  %k = phi i64 [ 2, %entry ], [ %next, %good ]",
        "  %some = icmp slt i64 %k, %count",
        "  br i1 %some, label %one, label %all",
        "one:",
        "  %array_at = getelementptr ptr, ptr %arguments, i64 %k",
        "  %array = load ptr, ptr %array_at",
        f"  %failed = call i32 @PyObject_GetBuffer(ptr %array, ptr %view, i32 {WANTED})",
        "  %is_one = icmp eq i32 %failed, 0",
        "  br i1 %is_one, label %look, label %clear",
        "look:",
        *word("%buffer", BUFFER, "ptr", "%view", 1),
        *word("%length", LENGTH, "i64", "%view", 1),
        *word("%own_axes", AXES, "i32", "%view", 1),
        *word("%format", FORMAT, "ptr", "%view", 1),
        "  %letters = load i16, ptr %format, align 1",
        "  %place_at = getelementptr ptr, ptr %target, i64 %k",
        "  %place = getelementptr i8, ptr %place_at, i64 -16",
        "  store ptr %buffer, ptr %place",
        "  call void @PyBuffer_Release(ptr %view)",
        f"  %is_double = icmp eq i16 %letters, {DOUBLE}",
        "  %is_long = icmp eq i64 %length, %bytes",
        "  %wide_axes = sext i32 %own_axes to i64",
        "  %has_axes = icmp eq i64 %wide_axes, %axes",
        "  %fits = and i1 %is_long, %has_axes",
        "  %is_array = xor i1 %takes, true",
        "  %matches = or i1 %fits, %is_array",
        "  %right = and i1 %matches, %is_double",
        "  br i1 %right, label %good, label %refuse",
        "good:",
        "  %next = add i64 %k, 1",
        "  br label %again",
        "all:",
        "  br i1 %takes, label %take, label %run",
        "take:",
        *place("taken"),
        "  store i64 1, ptr %taken_place",
        f"  %yes = call ptr @PyFloat_FromDouble(double {TAKEN})",
        "  ret ptr %yes",
        "run:",
        *place("what"),
        "  store i64 %what, ptr %what_place",
        *place("number"),
        "  store double %number, ptr %number_place",
        "  %thread = call ptr @PyEval_SaveThread()",
        f"  call void @{work}(ptr %task)",
        "  call void @PyEval_RestoreThread(ptr %thread)",
        *word("%result", TASK.index("found"), "double"),
        "  %told = call ptr @PyFloat_FromDouble(double %result)",
        "  ret ptr %told",
        "clear:",
        "  call void @PyErr_Clear()",
        "  br label %refuse",
        "refuse:",
        f"  %no = call ptr @PyFloat_FromDouble(double {REFUSED})",
        "  ret ptr %no",
        "}",
        "",
    ])  # fmt: skip

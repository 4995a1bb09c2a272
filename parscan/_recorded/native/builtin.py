"""
Functions of Python that are machine code, of numbers and with numbers as results.

The call of a function by `ctypes`, with numbers that are written to memory before and read after it, takes four times
as long. What is called here of Python is its stable interface for extensions, by addresses; the code does not depend on
how objects look in memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

FASTCALL = 0x0080
"""Of methods that take an array of arguments, and their number."""

NEEDED = (
    "PyLong_AsVoidPtr", "PyFloat_AsDouble", "PyErr_Occurred", "PyEval_SaveThread", "PyEval_RestoreThread",
    "PyTuple_New", "PyTuple_SetItem", "PyLong_FromLongLong", "PyFloat_FromDouble",
)  # fmt: skip
"""What is called of Python."""


class _Method(ctypes.Structure):
    """What Python has to know of a function."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


@cache
def addresses() -> dict[str, int]:
    """Addresses of what is called of Python."""
    return {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in NEEDED}


def text(name: str, work: str, given: int, size: int, told: int, number: int, wholes: int) -> str:
    """
    LLVM's text of a function for `builtin`, to stand behind that of a function `work` of the task.

    Parameters
    ----------
    name, work : str
        Of both functions.
    given, size : int
        Offsets in the task: of the address of memory for the arguments, all of them floats, and of their number.
    told, number : int
        Of the address of the results, and of how many there are behind the integers.
    wholes : int
        How many results, the first ones, are integers.
    """
    declared = (
        "ptr @PyLong_AsVoidPtr(ptr)", "double @PyFloat_AsDouble(ptr)", "ptr @PyErr_Occurred()",
        "ptr @PyEval_SaveThread()", "void @PyEval_RestoreThread(ptr)", "ptr @PyTuple_New(i64)",
        "i32 @PyTuple_SetItem(ptr, i64, ptr)", "ptr @PyLong_FromLongLong(i64)", "ptr @PyFloat_FromDouble(double)",
    )  # fmt: skip
    loads = [
        f"  %{name}_at = getelementptr i8, ptr %task, i64 {offset}\n  %{name} = load {kind}, ptr %{name}_at"
        for name, kind, offset in (("given", "ptr", given), ("size", "i64", size), ("told", "ptr", told),
                                   ("number", "i64", number))
    ]  # fmt: skip
    return "\n".join([
        *(f"declare {one}" for one in declared),
        f"define ptr @{name}(ptr %self, ptr %arguments, i64 %count) {{",
        "entry:",
        "  %task = call ptr @PyLong_AsVoidPtr(ptr %self)",
        *loads,
        "  %fits = icmp eq i64 %count, %size",
        "  br i1 %fits, label %take, label %refuse",
        "take:",
        "  %k = phi i64 [ 0, %entry ], [ %next, %one ]",
        "  %some = icmp slt i64 %k, %count",
        "  br i1 %some, label %one, label %taken",
        "one:",
        "  %argument_at = getelementptr ptr, ptr %arguments, i64 %k",
        "  %argument = load ptr, ptr %argument_at",
        "  %value = call double @PyFloat_AsDouble(ptr %argument)",
        "  %place = getelementptr double, ptr %given, i64 %k",
        "  store double %value, ptr %place",
        "  %next = add i64 %k, 1",
        "  br label %take",
        "taken:",
        "  %error = call ptr @PyErr_Occurred()",
        "  %good = icmp eq ptr %error, null",
        "  br i1 %good, label %run, label %refuse",
        "run:",
        "  %thread = call ptr @PyEval_SaveThread()",
        f"  call void @{work}(ptr %task)",
        "  call void @PyEval_RestoreThread(ptr %thread)",
        f"  %length = add i64 %number, {wholes}",
        "  %found = call ptr @PyTuple_New(i64 %length)",
        "  %is_made = icmp ne ptr %found, null",
        "  br i1 %is_made, label %tell, label %refuse",
        "tell:",
        "  %j = phi i64 [ 0, %run ], [ %following, %set ]",
        "  %left = icmp slt i64 %j, %length",
        "  br i1 %left, label %which, label %end",
        "which:",
        "  %from = getelementptr double, ptr %told, i64 %j",
        f"  %is_whole = icmp slt i64 %j, {wholes}",
        "  br i1 %is_whole, label %whole, label %float",
        "whole:",
        "  %integer = load i64, ptr %from",
        "  %first = call ptr @PyLong_FromLongLong(i64 %integer)",
        "  br label %set",
        "float:",
        "  %real = load double, ptr %from",
        "  %second = call ptr @PyFloat_FromDouble(double %real)",
        "  br label %set",
        "set:",
        "  %item = phi ptr [ %first, %whole ], [ %second, %float ]",
        "  %done = call i32 @PyTuple_SetItem(ptr %found, i64 %j, ptr %item)",
        "  %following = add i64 %j, 1",
        "  br label %tell",
        "end:",
        "  ret ptr %found",
        "refuse:",
        "  ret ptr null",
        "}",
        "",
    ])  # fmt: skip


@cache
def _method(address: int) -> _Method:
    """It is kept, as Python does not copy it."""
    return _Method(b"march", address, FASTCALL, None)


def builtin(address: int, task: int) -> Callable[..., tuple[Any, ...]]:
    """The function at an address with a task, which is the address of integers; both have to last as long."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    found: Callable[..., tuple[Any, ...]] = make(ctypes.addressof(_method(address)), task, None)
    return found

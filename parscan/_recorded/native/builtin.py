"""
Functions of Python that are machine code, of numbers and with numbers as results.

The call of a function by `ctypes`, with numbers that are written to memory before and read after it, takes four times
as long. What is called here of Python is its stable interface for extensions, and calls of functions and variables of
contexts, by addresses; the code does not depend on how objects look in memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

FASTCALL = 0x0080
"""Of methods that take an array of arguments, and their number."""

NEEDED = {
    "PyLong_AsVoidPtr": "ptr (ptr)", "PyLong_FromLongLong": "ptr (i64)", "PyFloat_AsDouble": "double (ptr)",
    "PyFloat_FromDouble": "ptr (double)", "PyObject_Type": "ptr (ptr)", "Py_DecRef": "void (ptr)",
    "PyErr_Occurred": "ptr ()", "PyErr_Clear": "void ()", "PyErr_ExceptionMatches": "i32 (ptr)",
    "PyEval_SaveThread": "ptr ()", "PyEval_RestoreThread": "void (ptr)", "PyTuple_New": "ptr (i64)",
    "PyTuple_SetItem": "i32 (ptr, i64, ptr)", "PySequence_Size": "i64 (ptr)", "PySequence_GetItem": "ptr (ptr, i64)",
    "PySequence_List": "ptr (ptr)", "PyBytes_FromStringAndSize": "ptr (ptr, i64)", "PyBytes_AsString": "ptr (ptr)",
    "PyObject_Vectorcall": "ptr (ptr, ptr, i64, ptr)", "PyObject_VectorcallMethod": "ptr (ptr, ptr, i64, ptr)",
    "PyContextVar_Get": "i32 (ptr, ptr, ptr)", "PyContextVar_Set": "ptr (ptr, ptr)",
    "PyContextVar_Reset": "i32 (ptr, ptr)",
}  # fmt: skip
"""What is called of Python, with the types of results and arguments."""


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


class Fields:
    """
    Integers and addresses behind one another in the memory of a task.

    Parameters
    ----------
    names : sequence of str
        Of all of them.
    pointers : sequence of str
        Of those that are addresses.
    """

    def __init__(self, names: Sequence[str], pointers: Sequence[str]) -> None:
        self._offsets = {name: 8 * k for k, name in enumerate(names)}
        self._pointers = frozenset(pointers)

    def loads(self, *names: str) -> list[str]:
        """LLVM's lines that load some of them, each as a register of its name, from `%task`."""
        return [
            f"  %{name}_at = getelementptr i8, ptr %task, i64 {self._offsets[name]}\n"
            f"  %{name} = load {'ptr' if name in self._pointers else 'i64'}, ptr %{name}_at"
            for name in names
        ]  # fmt: skip


def declarations() -> list[str]:
    """LLVM's lines that declare what is called of Python."""
    split = {name: kind.partition(" ") for name, kind in NEEDED.items()}
    return [f"declare {result} @{name}{given}" for name, (result, _, given) in split.items()]


def told(values: Sequence[str]) -> list[str]:
    """LLVM's lines at the end of a function that makes a tuple of new objects, or goes to `refuse` if there is none."""
    lines = [
        f"  %found = call ptr @PyTuple_New(i64 {len(values)})",
        "  %is_made = icmp ne ptr %found, null",
        "  br i1 %is_made, label %made, label %refuse",
        "made:",
    ]
    for k, value in enumerate(values):
        lines += [f"  %item{k} = {value}", f"  %set{k} = call i32 @PyTuple_SetItem(ptr %found, i64 {k}, ptr %item{k})"]
    return [*lines, "  ret ptr %found"]


@cache
def _method(address: int) -> _Method:
    """It is kept, as Python does not copy it."""
    return _Method(b"march", address, FASTCALL, None)


def builtin(address: int, task: int) -> Callable[..., Any]:
    """The function at an address with a task, which is the address of integers; both have to last as long."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    found: Callable[..., Any] = make(ctypes.addressof(_method(address)), task, None)
    return found

"""
Libraries of arrays on devices, in recorded functions: their functions are NumPy's, and their arrays are copied.

CuPy's functions have the names and the meaning of NumPy's. So a copy of a function that uses CuPy uses NumPy's
stand-in, and what it computes is recorded as if it did.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .._arrays.namespace import is_array, to_numpy
from .refusal import Refused

ROOTS = frozenset(["cupy", "array_api_strict"])
"""Modules of CuPy, and of the reference implementation of the arrays' standard, which tests have in its place."""

PREFIX = "cupy_"
"""What stands before the names of CuPy's ufuncs."""


def is_of_device(given: Any) -> bool:
    """Whether an object belongs to such a library."""
    kind = type(given)
    name = given.__name__ if kind is type(np) else getattr(given, "__module__", None) or kind.__module__
    return str(name).partition(".")[0] in ROOTS


def numpys(given: Any) -> Any:
    """NumPy's object in place of one of these libraries."""
    if type(given) is type(np):
        return _module(given.__name__)
    if is_array(given):
        return to_numpy(given)
    name = str(getattr(given, "__name__", None) or getattr(given, "name", "")).removeprefix(PREFIX)
    module = ".".join(part for part in str(getattr(given, "__module__", "")).split(".") if not part.startswith("_"))
    found = getattr(_module(module), name, None) or getattr(np, name, None)
    if not found:
        raise Refused(f"uses `{name or type(given).__name__}` of {type(given).__module__.partition('.')[0]}")
    return found


def _module(name: str) -> Any:
    """NumPy's module in place of one of these libraries; NumPy itself where it has none of that name."""
    return sys.modules.get(f"numpy.{name.partition('.')[2]}", np)

"""What is the user's: kinds of values, modules and classes that a copy of a function shares, copies or refuses."""

from __future__ import annotations

import datetime
import enum
import functools
import numbers
import re
import sys
from inspect import CO_NEWLOCALS
from types import CodeType, MappingProxyType
from typing import Any

import numpy

from .array import RecordingArray

np: Any = numpy  # whose types do not know recording arrays

PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None), type(...), slice, range, RecordingArray,
                   frozenset, np.dtype})  # fmt: skip
"""Types of values that the copy shares with the function."""

HARMLESS = (numbers.Number, str, bytes, np.generic, np.dtype, datetime.date, datetime.time, datetime.timedelta,
            re.Pattern, enum.Enum, frozenset, slice, range, property, MappingProxyType)  # fmt: skip
"""Kinds of values that cannot be changed."""

RECORDED = ("numpy", "scipy", "math", "cmath")
"""Libraries that have a stand-in."""

PURE = frozenset({"abc", "builtins", "_collections_abc", "cmath", "collections", "copy", "dataclasses", "enum",
                  "_functools", "functools", "itertools", "math", "numbers", "operator", "_operator", "types",
                  "typing"})  # fmt: skip
"""Modules of Python whose functions depend on nothing but their arguments."""

IMPURE = frozenset({"breakpoint", "compile", "eval", "exec", "hash", "__hash__", "id", "open",  # of Python
                    "fromfile", "fromregex", "genfromtxt", "get_printoptions", "getbufsize", "geterr", "geterrcall",
                    "load", "loadmat", "loadtxt", "memmap", "mmread", "open_memmap"})  # fmt: skip
"""Names of functions of Python, NumPy and SciPy that depend on more."""

DISPATCHER = "uarray"
"""Module of the type of SciPy's functions that may have several implementations: those of `scipy.fft`."""

FOREIGN = frozenset(
    [
        "array_api_compat",
        "cupy",
        "dask",
        "h5py",
        "hypothesis",
        "IPython",
        "jax",
        "jaxlib",
        "matplotlib",
        "networkx",
        "numba",
        "numexpr",
        "pandas",
        "pint",
        "polars",
        "pytest",
        "sklearn",
        "statsmodels",
        "sympy",
        "tensorflow",
        "torch",
        "tqdm",
        "xarray",
        "_pytest",
    ]
)
"""Libraries whose functions, classes and objects are not copied."""

CACHED: Any = type(functools.lru_cache(len))
"""Type of functions with a cache."""

HUGE = 10_000
"""A larger array of the user's does not become a recording array, but only a table that may be indexed."""

SEVERAL = 100
"""Containers of more arrays than this, with more entries than `HUGE` in all, become containers of tables."""

MANY = 10_000
"""Lists and dictionaries of more entries are copied only if they hold nothing but numbers and texts."""

NOT_COPIED = frozenset(
    [
        "__dict__",
        "__weakref__",
        "__slots__",
        "__module__",
        "__doc__",
        "__qualname__",
        "__annotations__",
        "__annotations_cache__",
        "__dataclass_fields__",
        "__firstlineno__",
        "__init_subclass__",
        "__class_getitem__",
        "__static_attributes__",
        "__subclasshook__",
        "__match_args__",
        "__abstractmethods__",
        "_abc_impl",
        "__orig_bases__",
        "__parameters__",
    ]
)
"""Members of a class that its copy inherits."""


def is_copied(name: str, member: Any) -> bool:
    """Whether the copy of a class has a copy of a member; special ones are Python's, unless they can be changed."""
    if name in NOT_COPIED:
        return False
    return callable(member) or not name.startswith("__") or isinstance(member, list | dict | set | np.ndarray)


def is_by_numba(given: Any) -> bool:
    """Whether a function was compiled by Numba."""
    return type(given).__module__.startswith("numba.") and hasattr(given, "py_func")


def root_of(module: Any) -> str:
    """Name of the package of a module, given by its name."""
    return str(module or "").partition(".")[0]


def is_users(module: str | None) -> bool:
    """Whether functions and classes of a module are copied."""
    root = (module or "").partition(".")[0]
    if root == "parscan":
        return not str(module).startswith("parscan._recorded")
    return root not in RECORDED and root not in FOREIGN and root not in sys.stdlib_module_names


def defines(name: str, given: type) -> bool:
    """Whether a class of the user's, or one of its bases that is, has a method."""
    return any(name in vars(base) for base in given.__mro__ if is_users(base.__module__))


def class_bodies(code: CodeType) -> list[CodeType]:
    """Bodies of the classes that are defined in a function."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return [one for one in inner if not one.co_flags & CO_NEWLOCALS] + [
        body for one in inner for body in class_bodies(one)
    ]


def slots_of(kind: type) -> list[str]:
    """Names of the slots of a class and of its bases, as attributes have them."""
    found = []
    for one in kind.__mro__:
        slots = one.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            found.append(f"_{one.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in found if name not in ("__dict__", "__weakref__")]

"""How an object is opened: by its type, or by where it comes from; what may depend on anything else has no witness."""

from __future__ import annotations

import abc
import dataclasses
import math
import reprlib
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy

from .captured import Opened
from .comparable import Unknown
from .copies import MAKERS, Copies
from .libraries import SPECIAL
from .number_types import SCALARS
from .origins import CACHED, DISPATCHER, IMPURE, PURE, is_by_numba, is_users, root_of
from .parts_of_objects import (
    OPEN,
    Open,
    of_builtin_method,
    of_class,
    of_function,
    of_members,
    of_module,
    of_named_tuple,
    of_object,
    of_one,
    of_opened,
    of_refusing_module,
    of_shared_module,
    of_variables,
)
from .refusing import NO_FUNCTIONS

np: Any = numpy  # whose scalar types mypy would tell apart

LIBRARIES = ("numpy", "scipy")

FOR_HASHES = frozenset({"hash", "id"})
"""Of them, those that methods `__hash__` may use: who calls such a method uses one of these names himself."""

OF_DATACLASSES = (dataclasses.__file__, reprlib.__file__)
"""Files of functions that every dataclass has: `repr` asks for the `id` of its object only to end a recursion."""


def _is_pure(module: str | None, name: str) -> bool:
    """Whether a function or class of a library or of Python depends on its arguments only."""
    return name not in IMPURE and (module in PURE or root_of(module) in LIBRARIES) and not str(module).startswith(
        ("numpy.random", "scipy.io", "scipy.datasets"))  # fmt: skip


def opener_of(given: Any, copies: Copies) -> Open:
    """How an object is opened; raises `Unknown` if it cannot be compared."""
    kind = type(given)
    if (found := OPEN.get(kind)) is not None:
        return found
    for kinds, choose in BY_KIND:
        if isinstance(given, kinds):
            return choose(given, copies)
    if any(isinstance(given, kinds) for kinds, _ in MAKERS):
        raise Unknown  # a class of its own kind
    if is_by_numba(given):
        return of_members("py_func")
    if kind is CACHED:
        return of_members("__wrapped__")
    return _opener_of_object(given, copies)


def _opener_of_function(given: Any, _: Copies) -> Open:
    if is_users(given.__module__):
        impure = IMPURE - FOR_HASHES if given.__name__ == "__hash__" else IMPURE
        if not impure.isdisjoint(_names(given.__code__)) and given.__code__.co_filename not in OF_DATACLASSES:
            raise Unknown
        return of_function
    if _is_pure(given.__module__, given.__name__):
        return of_one
    raise Unknown


def _opener_of_opened(given: Opened, copies: Copies) -> Open:
    if _opener_of_function(given.function, copies) is not of_function:
        raise Unknown
    return of_opened


def _names(code: CodeType) -> set[str]:
    """Names of globals and attributes in a function and in those inside of it."""
    inner = (_names(one) for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*inner)


def _opener_of_class(given: type, copies: Copies) -> Open:
    if given in SCALARS or _is_pure(given.__module__, given.__name__):
        return of_one
    if type(given) not in (type, abc.ABCMeta) or not copies.has_own(given):
        raise Unknown
    if any("__init_subclass__" in vars(base) for base in given.__mro__ if is_users(base.__module__)):
        raise Unknown  # it is called when the class is copied
    return of_class


def _opener_of_builtin(given: Any, _: Copies) -> Open:
    owner = given.__self__
    if owner is not None and not isinstance(owner, ModuleType | type):
        return of_builtin_method
    if owner is math or _is_pure(getattr(given, "__module__", None), given.__name__):
        return of_one
    raise Unknown


def _opener_of_module(given: ModuleType, _: Copies) -> Open:
    name = given.__name__
    if name == "numpy.random" or name in NO_FUNCTIONS:
        return of_refusing_module
    if root_of(name) in (*LIBRARIES, "math", "cmath") or is_users(name):
        return of_module
    if name in PURE:
        return of_shared_module
    raise Unknown


def _opener_of_ufunc(given: Any, _: Copies) -> Open:
    special = sys.modules.get("scipy.special")  # slow to import, and imported already by a function that uses it
    if all(given is not getattr(library, given.__name__, None) for library in (np, special)):
        raise Unknown  # made of a function of the user's
    return of_one


def _opener_of_tuple(given: Any, copies: Copies) -> Open:
    if not copies.has_own(type(given)):
        raise Unknown
    return of_named_tuple


def _opener_of_object(given: Any, copies: Copies) -> Open:
    kind = type(given)
    if kind.__module__.startswith(("scipy.sparse", "scipy.interpolate", "numpy.polynomial")):
        return of_variables
    if root_of(kind.__module__) in (*LIBRARIES, DISPATCHER) and callable(given) and hasattr(given, "__name__"):
        return _opener_of_function(given, copies)
    if any(given is getattr(np, name) for name in SPECIAL):
        return of_one
    if kind.__module__ in PURE and kind.__base__ is object and getattr(given, "__dict__", None) == {}:
        return of_one  # a sentinel
    if not is_users(kind.__module__) or not copies.has_own(given) or not copies.has_own(kind):
        raise Unknown
    return of_object


BY_KIND: tuple[tuple[type, Callable[[Any, Copies], Open]], ...] = (
    (FunctionType, _opener_of_function),
    (Opened, _opener_of_opened),
    (type, _opener_of_class),
    (BuiltinFunctionType, _opener_of_builtin),
    (ModuleType, _opener_of_module),
    (np.ufunc, _opener_of_ufunc),
    (tuple, _opener_of_tuple),
)
"""Functions that choose how objects of all other types are opened."""

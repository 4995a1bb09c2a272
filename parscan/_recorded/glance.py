"""A quick way to see that a function reads what it read before: all of it is the same objects, and none has changed.

A witness compares whatever a function read, also with other objects that are equal. Mostly nothing has happened since
the last comparison: then names, cells and defaults still stand for the very same objects. Those that cannot change need
no other look; arrays, lists, and objects with their classes a brief one. Where a function reads anything else, there is
no glance.
"""

from __future__ import annotations

import builtins
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import is_
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

Look = Callable[[Any], bool]
"""Whether an object, the same as before, is as it was."""

Part = tuple[Callable[[], Any], Look | None]
"""The object that is expected, not kept alive if that can be avoided, and how to look at it; None if it is constant."""

FEW_BYTES, FEW = 1 << 16, 64
"""Largest array, and longest list, that are looked at."""


KEPT = frozenset([list, tuple, set])
"""Types of objects with parts that are kept alive: there are no other references to them."""


class NoGlanceError(Exception):
    """Something has to be compared in the usual way."""


class Glance:
    """
    What a function read, by the identities of objects.

    Parameters
    ----------
    function : callable
    constants : sequence
        Its further arguments, which cannot change.
    look : callable
        Of the function.
    """

    __slots__ = ("_constants", "_function", "_look")

    def __init__(self, function: Any, constants: Sequence[Any], look: Look) -> None:
        is_method = type(function) is MethodType
        self._function = None if is_method else weakref.ref(function)  # a method is a new object each time
        self._constants, self._look = tuple(constants), look

    def holds(self, function: Any, constants: Sequence[Any]) -> bool:
        """Whether the function reads the same objects as before; others may be equal to them."""
        one, known = self._function, self._constants
        if type(function) is not MethodType if one is None else one() is not function:
            return False
        if (constants or known) and not (len(constants) == len(known) and all(map(is_, constants, known))):
            return False
        try:
            return self._look(function)
        except Exception:  # what cannot be read is not as before
            return False


def part(given: Any, look: Look | None) -> Part:
    """What is expected of a part of an object."""
    if isinstance(given, FunctionType | ModuleType | np.ndarray) or (look is not None and type(given) not in KEPT):
        with suppress(TypeError):  # of what has no weak references
            return weakref.ref(given), look
    return lambda: given, look


def _is_as_before(given: Any, expected: Part) -> bool:
    return given is expected[0]() and (expected[1] is None or expected[1](given))


def of_function(given: FunctionType, _: Any, parts: Sequence[Part]) -> Look:
    """A function: its code, its globals, its defaults, and what its cells hold; these are the same for the same one."""
    if given.__kwdefaults__ is not None:
        raise NoGlanceError
    code, defaults = given.__code__, given.__defaults__
    module, name, qualified = given.__module__, given.__name__, given.__qualname__
    count, names_of_own = len(given.__closure__ or ()), tuple(vars(given))
    (_, of_globals), (_, of_defaults), _ = parts[:3]
    looks = [(place, look) for place, (_, look) in enumerate(parts[3 : 3 + count]) if look is not None]
    own = list(zip(names_of_own, parts[3 + count :], strict=True))

    def is_same(given: Any) -> bool:
        return (
            given.__code__ is code
            and given.__defaults__ is defaults
            and given.__kwdefaults__ is None
            and given.__name__ is name  # an equal name is compared in the usual way
            and given.__qualname__ is qualified
            and given.__module__ is module
            and (tuple(given.__dict__) == names_of_own if names_of_own else not given.__dict__)
            and (of_globals is None or of_globals(given.__globals__))  # None: who looks at this function looks at them
        )

    def look(given: Any) -> bool:
        if not is_same(given) or not all(one(given.__closure__[place]) for place, one in looks):
            return False
        if of_defaults is not None and not of_defaults(given.__defaults__):
            return False
        return all(_is_as_before(given.__dict__[name], one) for name, one in own)

    return look if looks or own or of_defaults is not None else is_same


def of_cell(_: CellType, __: Any, parts: Sequence[Part]) -> Look:
    """A cell of a closure."""
    if not parts:
        raise NoGlanceError
    expected = parts[0]
    return lambda given: _is_as_before(given.cell_contents, expected)


def of_space(given: dict[str, Any], names: dict[str, bool], parts: Sequence[Part]) -> Look:
    """Globals; a name that they do not have is one of Python's."""
    own, called = vars(builtins), given.get("__name__")
    there = [(name, *one) for (name, is_there), one in zip(names.items(), parts, strict=True) if is_there]
    others = [(name, *one) for (name, is_there), one in zip(names.items(), parts, strict=True) if not is_there]

    def look(given: Any) -> bool:
        get = given.get
        for name, expected, inner in there:
            found = get(name, own)  # which no name stands for
            if found is not expected() or (inner is not None and not inner(found)):
                return False
        for name, expected, inner in others:
            if name in given or own.get(name) is not expected() or inner is not None:
                return False
        return get("__name__") is called or get("__name__") == called

    return look if names else lambda given: given.get("__name__") == called


def of_module(_: ModuleType, names: dict[str, bool], parts: Sequence[Part]) -> Look:
    """A module, by the names that were read from it."""
    there = [name for name, is_there in names.items() if is_there]
    missing = [name for name, is_there in names.items() if not is_there]
    expected = [(name, *one) for name, one in zip(there, parts, strict=True)]

    def look(given: Any) -> bool:
        if given is None:  # in place of a module that is gone
            return False
        for name, wanted, inner in expected:
            found = getattr(given, name, look)
            if found is not wanted() or (inner is not None and not inner(found)):
                return False
        return not missing or not any(hasattr(given, name) for name in missing)

    return look


def of_members(names: Sequence[str], _: Any, __: Any, parts: Sequence[Part]) -> Look:
    """An object of some attributes: a method, a property."""
    expected = list(zip(names, parts, strict=True))
    return lambda given: all(_is_as_before(getattr(given, name), one) for name, one in expected)


def of_object(given: Any, unread: Sequence[str], parts: Sequence[Part]) -> Look:
    """An object of a class of the user's without slots: its class, and its variables, of which some were not read."""
    names = tuple(vars(given))
    read = [name for name in names if name not in unread]
    if len(parts) != 1 + len(read):
        raise NoGlanceError  # it has slots
    of_class, expected = parts[0], list(zip(read, parts[1:], strict=True))

    def look(given: Any) -> bool:
        own = given.__dict__
        if tuple(own) != names or not _is_as_before(type(given), of_class):
            return False
        return all(_is_as_before(own[name], one) for name, one in expected)

    return look


def of_class(given: type, copied: Sequence[str], parts: Sequence[Part]) -> Look:
    """A class: its bases, and all its members, of which those that were copied are looked at."""
    bases, members = given.__bases__, vars(given)
    looked_at = dict(zip(copied, parts[len(bases) :], strict=True))
    expected = [(name, looked_at.get(name) or part(value, None)) for name, value in members.items()]

    def look(given: Any) -> bool:
        found = vars(given)
        if given.__bases__ != bases or tuple(found) != names:
            return False
        if not all(_is_as_before(base, one) for base, one in zip(bases, parts, strict=False)):
            return False
        return all(_is_as_before(found[name], one) for name, one in expected)

    names = tuple(members)
    return look


def of_nothing(given: Any, _: Any, __: Sequence[Part]) -> Look:
    """An empty set."""
    return lambda given: not given


def of_array(given: Any, _: Any, __: Sequence[Part]) -> Look:
    """A small array: its bytes."""
    if given.nbytes > FEW_BYTES:
        raise NoGlanceError
    facts, contents = (given.dtype, given.shape, given.strides), given.tobytes()
    return lambda given: (given.dtype, given.shape, given.strides) == facts and given.tobytes() == contents


def of_tuple(given: tuple[Any, ...], _: Any, parts: Sequence[Part]) -> Look | None:
    """A tuple always has the same parts."""
    if type(given) is not tuple:
        raise NoGlanceError
    looks = [(place, look) for place, (_, look) in enumerate(parts) if look is not None]
    return (lambda given: all(look(given[place]) for place, look in looks)) if looks else None


def of_list(given: list[Any], _: Any, parts: Sequence[Part]) -> Look:
    """A short list of what cannot change."""
    if len(given) > FEW or any(look is not None for _, look in parts):
        raise NoGlanceError
    kept = tuple(given)
    return lambda given: len(given) == len(kept) and all(map(is_, given, kept))


def of_sequence(given: Any, names: Any, parts: Sequence[Part]) -> Look | None:
    """A tuple or a list."""
    return of_list(given, names, parts) if type(given) is list else of_tuple(given, names, parts)

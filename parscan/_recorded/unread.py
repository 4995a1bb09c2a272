"""Large arrays that are attributes of an object: a copy of the object has them only once they are read."""

from __future__ import annotations

from collections.abc import Callable
from types import GetSetDescriptorType
from typing import Any

import numpy as np


class Unread:
    """
    Attributes of copied objects that were not read yet.

    Whether an array was read decides whether it has to be compared when the function is used again: the data of a whole
    model may hang on the object whose method a step is.

    Parameters
    ----------
    copied : callable
        Makes the copy of a value.
    least : int
        Size of an array from which on it is large.
    """

    def __init__(self, copied: Callable[[Any], Any], least: int) -> None:
        self._copied, self._least = copied, least
        self._waiting: dict[int, tuple[Any, dict[str, Any]]] = {}

    def takes(self, copy: Any, name: str, value: Any) -> bool:
        """Keep an attribute back from a copy, whose class is a copy, too, if that is possible; return whether it is."""
        kind = type(copy)
        if (
            type(value) is not np.ndarray
            or value.size < self._least
            or not isinstance(_member(kind, "__dict__"), Whole)
        ):
            return False
        member = _member(kind, name)
        if member is MISSING:
            setattr(kind, name, Late(self, name))
        elif not isinstance(member, Late):  # reading the attribute of the copy would give that of its class
            return False
        self._waiting.setdefault(id(copy), (copy, {}))[1][name] = value
        return True

    def names(self, copy: Any) -> tuple[str, ...]:
        """Names that were not read."""
        return tuple(self._waiting.get(id(copy), (None, ()))[1])

    def read(self, copy: Any, name: str) -> Any:
        """An attribute that is read for the first time."""
        waiting = self._waiting.get(id(copy), (None, {}))[1]
        if name not in waiting:
            raise AttributeError(f"{type(copy).__name__!r} object has no attribute {name!r}", name=name, obj=copy)
        found = variables(copy)[name] = self._copied(waiting.pop(name))
        return found

    def read_all(self, copy: Any) -> Any:
        """All variables of a copy, none of which is kept back from now on."""
        for name in self.names(copy):
            self.read(copy, name)
        return variables(copy)


class Late:
    """An attribute of some objects of a class. What an object has under this name comes first."""

    def __init__(self, unread: Unread, name: str) -> None:
        self._unread, self._name = unread, name

    def __get__(self, copy: Any, kind: Any = None) -> Any:
        if copy is None:
            raise AttributeError(f"type object {kind.__name__!r} has no attribute {self._name!r}")
        return self._unread.read(copy, self._name)


class Whole:
    """The dictionary `__dict__` of copied objects."""

    def __init__(self, unread: Unread) -> None:
        self._unread = unread

    def __get__(self, copy: Any, kind: Any = None) -> Any:
        return self if copy is None else self._unread.read_all(copy)

    def __set__(self, copy: Any, given: Any) -> None:
        self._unread.read_all(copy)
        _dictionary(copy).__set__(copy, given)


def variables(copy: Any) -> Any:
    """The dictionary of an object without attributes that were not read; an empty one if it has no dictionary."""
    found = _dictionary(copy)
    return getattr(copy, "__dict__", {}) if found is None else found.__get__(copy)


def _dictionary(copy: Any) -> Any:
    """How Python gets the dictionary of an object of a class of the user's; None for other objects."""
    if isinstance(copy, type):
        return None
    found = (one.__dict__.get("__dict__") for one in type(copy).__mro__)
    return next((one for one in found if isinstance(one, GetSetDescriptorType)), None)


MISSING = object()


def _member(kind: type, name: str) -> Any:
    return next((one.__dict__[name] for one in kind.__mro__ if name in one.__dict__), MISSING)

"""Checks of arguments that are numbers, with the same messages for all of them; and numbers in words."""

from __future__ import annotations

import operator
from math import inf
from numbers import Complex, Real
from typing import Any


def as_count(name: str, value: Any, least: int = 1, *, of: str = "") -> int:
    """The argument `name` as an integer of at least `least`; `of` is the class to which it belongs."""
    argument = f"`{name}` of {of}" if of else f"`{name}`"
    try:
        if isinstance(value, bool):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{argument} must be an integer, got {value!r}.") from None
    if count < least:
        raise ValueError(f"{argument} must be at least {least}, got {count}.")
    return count


def as_number(name: str, value: Any) -> float:
    """The argument `name` as a float, infinite if it is too large for one."""
    try:
        if isinstance(value, bool | str) or (isinstance(value, Complex) and not isinstance(value, Real)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a number, got {value!r}.") from None
    except OverflowError:
        return inf


def counted(number: int, noun: str, plural: str = "s") -> str:
    """A number of things in words: "1 mesh", "2 meshes"."""
    return f"{number} {noun}{plural if number != 1 else ''}"

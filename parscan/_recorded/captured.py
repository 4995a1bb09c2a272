"""
Floats that a function has captured, as arguments of the recorded function.

`lambda t, y: -k * y` made anew for each `k` of a fit, and `lambda t, y, k=k: -k * y`, are one function with a
parameter. What is recorded is the function with the floats in its closure and its defaults as further arguments, so
that other numbers need no other record. A variable that the function changes (`nonlocal`) is left as it is.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from .refusal import Refused

WRITES = frozenset(["STORE_DEREF", "DELETE_DEREF"])
"""Instructions that change a variable of a closure."""


@dataclass(frozen=True, eq=False)
class Opened:
    """
    A function of the user's whose captured floats are arguments.

    Parameters
    ----------
    function : function
    count : int
        Number of arguments before the floats.
    cells, defaults : tuple of int
        Which of the cells of its closure, and of its defaults, are floats.
    """

    function: FunctionType
    count: int
    cells: tuple[int, ...]
    defaults: tuple[int, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The floats, as they are now."""
        cells, defaults = self.function.__closure__ or (), self.function.__defaults__ or ()
        return (*(cells[k].cell_contents for k in self.cells), *(defaults[k] for k in self.defaults))

    @property
    def kind(self) -> Any:
        """What is the same for functions that differ by their floats only, besides the code and what else they read."""
        return self.count, self.cells, self.defaults

    def bound(self, copy: FunctionType) -> Any:
        """A copy of the function as a function of the floats, too."""
        cells = [(copy.__closure__ or ())[k] for k in self.cells]
        last = self.count + len(self.cells) + len(self.defaults)

        def call(*args: Any) -> Any:
            floats = args[self.count : last]
            for cell, value in zip(cells, floats, strict=False):
                cell.cell_contents = value
            if self.defaults:
                own = list(copy.__defaults__ or ())
                for place, value in zip(self.defaults, floats[len(cells) :], strict=True):
                    own[place] = value
                copy.__defaults__ = tuple(own)
            given = copy.__defaults__
            try:
                return copy(*args[: self.count], *args[last:])
            finally:  # another function may share the variable
                are_same = all(cell.cell_contents is value for cell, value in zip(cells, floats, strict=False))
                if not are_same or copy.__defaults__ is not given:
                    raise Refused("changes a number that it has captured")

        return call


def opened(function: Any, count: int, given: int) -> Opened | None:
    """
    A function with its captured floats as arguments after the first ones, `count`; None if it has none.

    It is called with `given` arguments: the defaults of these are not used.
    """
    if type(function) is not FunctionType or function.__kwdefaults__ or vars(function):
        return None
    code, defaults = function.__code__, function.__defaults__ or ()
    first = code.co_argcount - len(defaults)
    cells = tuple(k for k, cell in enumerate(function.__closure__ or ()) if _holds_float(cell)
                  and code.co_freevars[k] not in _written(code))  # fmt: skip
    used = tuple(k for k, value in enumerate(defaults) if type(value) is float and first + k >= given)
    return Opened(function, count, cells, used) if cells or used else None


def _holds_float(cell: Any) -> bool:
    try:
        return type(cell.cell_contents) is float
    except ValueError:  # empty
        return False


@lru_cache(256)
def _written(code: CodeType) -> frozenset[str]:
    """Names of variables that a function, or one inside of it, changes."""
    return frozenset(name for one in _codes(code) for name in _changed(one))


def _changed(code: CodeType) -> Iterator[str]:
    return (str(one.argval) for one in dis.get_instructions(code) if one.opname in WRITES)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)

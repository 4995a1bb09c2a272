"""Functions of Python's modules `math` and `cmath` in recorded functions: called where all values are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .calls import holds, known
from .refusal import Refused


class PythonFunction(ABC):
    """A function that is called on known values, and whose calls on others are recorded."""

    def __init__(self, function: Any) -> None:
        self._function, self.__name__ = function, function.__name__

    def __call__(self, *args: Any) -> Any:
        """Call the function, or record the call."""
        if not holds(args):
            return self._function(*args)
        try:
            values = known(args)
        except Refused as refusal:
            refusal.settle()
            values = None
        return self._recorded(args) if values is None else self._function(*values)

    @abstractmethod
    def _recorded(self, args: Any) -> Any:
        """The call on values of which some are not known."""

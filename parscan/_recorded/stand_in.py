"""
A copy of a user's function for which NumPy makes recording arrays.

Nothing of the user's is changed. The copy has the same code, hence the same lines in tracebacks, but other globals and
closure cells: NumPy, SciPy and the module `math` are stand-ins in them, helper functions and classes are copies as
well, and arrays are recording arrays of constants. Whatever the copy writes stays in the copies, where the next call
finds it: if the function has a state, its second record differs from the first. If it has written nothing, there need
not be a second one.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from typing import Any

from .array import RecordingArray
from .copies import Copies
from .graph import Graph
from .refusal import Refused


class Recordable:
    """A copy of a function in which NumPy's constructors give arrays that record in a graph."""

    def __init__(self, function: Callable[..., Any], graph: Graph) -> None:
        self.copies = Copies(graph)
        self._copy = self.copies.value(function)

    def __call__(self, *args: Any) -> Any:
        """Call the copy."""
        return self._copy(*map(self._argument, args))

    def _argument(self, given: Any) -> Any:
        """A value that is given in a call; a tuple of recording arrays is made anew for each call, and is no copy."""
        if type(given) is tuple and all(type(one) is RecordingArray for one in given):
            return given
        return self.copies.value(given)

    def memory(self) -> Any:
        """The present contents of the copies, to be compared with those after another call."""
        return self.copies.memory()


def recordable(function: Callable[..., Any], graph: Graph) -> Recordable:
    """A copy of a function that records in a graph when it is called."""
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    if flags & CO_GENERATOR:
        raise Refused("is a generator")
    if flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
        raise Refused("is asynchronous")
    return Recordable(function, graph)

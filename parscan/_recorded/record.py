"""Recording a function: one call on arrays that record what is done to them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .array import REAL, RecordingArray, Refused, as_recording
from .graph import LIMIT, Graph, TooLarge
from .program import Argument, Program, extract
from .stand_in import recordable

HERE = str(Path(__file__).parent)


class NotRecordedError(TypeError):
    """
    A function that cannot be recorded.

    Attributes
    ----------
    reason : str
        Why, as a sentence without subject.
    place : str
        File and line of the user's function, or "".
    """

    def __init__(self, name: str, reason: str, place: str) -> None:
        super().__init__(f"`{name}` cannot be recorded: it {reason}{place and f' ({place})'}.")
        self.reason, self.place = reason, place


@dataclass(frozen=True)
class Recording:
    """The graph of a function, its arguments and its result, as recording arrays."""

    graph: Graph
    arguments: tuple[RecordingArray, ...]
    result: RecordingArray

    @property
    def program(self) -> Program:
        """The function as a program."""
        return self.extract(self.result)

    def extract(self, *results: RecordingArray) -> Program:
        """A program of these results."""
        arguments = [Argument(a.shape, a.dtype) for a in self.arguments]
        return extract(self.graph, results, arguments)


def record(function: Callable[..., Any], examples: Sequence[Any], constants: Sequence[Any] = (), *, name: str = "step",
           limit: int = LIMIT) -> Recording:  # fmt: skip
    """
    Record a function.

    It is called twice, and both records are compared: a function that counts its calls or draws random numbers is none
    of its arguments alone.

    Parameters
    ----------
    function : callable
        `function(*examples, *constants)`.
    examples : sequence of arrays, or of tuples of arrays
        Of the shapes and dtypes of the arguments. Their values do not matter.
    constants
        Further arguments, whose values are recorded.
    name : str
        Of the function, for messages.
    limit : int
        Nodes from which on recording ends.

    Raises
    ------
    NotRecordedError
        With the reason and the line of the function.
    """
    try:
        one, other = (_called(function, examples, constants, limit) for _ in range(2))
    except Exception as error:
        raise NotRecordedError(name, _reason(error, limit), _place(error.__traceback__)) from error
    if not _are_the_same(one, other):
        raise NotRecordedError(name, "does something else when it is called again", "")
    return one


def _called(function: Callable[..., Any], examples: Sequence[Any], constants: Sequence[Any], limit: int) -> Recording:
    graph, arguments = Graph(limit), []

    def given(example: Any) -> Any:
        if isinstance(example, tuple):
            return tuple(map(given, example))
        array = np.asarray(example)
        if array.dtype.char not in REAL:
            raise Refused(f"is called with {array.dtype}")
        found = RecordingArray(graph, graph.argument(len(arguments), array.shape, array.dtype), array.dtype)
        arguments.append(found)
        return found.copy()  # the function may write to it

    values = recordable(function, graph)(*map(given, examples), *constants)
    if values is None:
        raise Refused("returns None")
    return Recording(graph, tuple(arguments), as_recording(graph, values))


def _reason(error: Exception, limit: int) -> str:
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, TooLarge):
        return f"has more than {limit} operations"
    return f"raises {type(error).__name__} on arrays that record: {error}"


def _place(trace: TracebackType | None) -> str:
    """File and line of the last frame outside of this package and of NumPy."""
    for frame in reversed(traceback.extract_tb(trace)):
        if not frame.filename.startswith(HERE) and "/numpy/" not in frame.filename:
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""


def _are_the_same(one: Recording, other: Recording) -> bool:
    if not np.array_equal(one.result.ids, other.result.ids) or len(one.graph.blocks) != len(other.graph.blocks):
        return False
    for a, b in zip(one.graph.blocks, other.graph.blocks, strict=True):
        if a[:4] != b[:4] or not all(map(np.array_equal, a.operands, b.operands)):
            return False
        if type(a.data) is not type(b.data) or not _same_data(a.data, b.data):
            return False
    return True


def _same_data(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.tobytes() == b.tobytes()
    return a is None or (a[0] == b[0] and bool(np.array_equal(a[1], b[1])))

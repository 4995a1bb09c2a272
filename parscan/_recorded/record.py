"""Recording a function: it is called on arrays that record the operations on them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from .._arrays.cached import cached_property
from .array import RecordingArray, as_recording
from .complex_numbers import paired, parts
from .copies import Copies
from .dtypes import CHARS
from .forgotten import forget
from .graph import LIMIT, PARTS, Graph, TooLarge
from .paths import Paths
from .program import Argument, Program, extract
from .refusal import Refused, refusals
from .stand_in import Recordable, recordable
from .unwritten import leaves_all, repeats, writes_to_shared

HERE = str(Path(__file__).parent)

LIBRARIES = {"numpy", "scipy"}
"""Folders whose files do not belong to the user."""

HISTORY = "counts its calls, or keeps a history of them"


class NotRecordedError(TypeError):
    """
    A function that cannot be recorded.

    Attributes
    ----------
    reason : str
        Why the function cannot be recorded, as the predicate of a sentence.
    place : str
        File and line of the user's function, or "".
    """

    def __init__(self, name: str, reason: str, place: str) -> None:
        super().__init__(f"`{name}` cannot be recorded: it {reason}{place and f' ({place})'}.")
        self.reason, self.place = reason, place


class Wishes(NamedTuple):
    """
    What a record may and should be.

    Attributes
    ----------
    branches_on : tuple of int
        Numbers of arguments. The function may branch on values that depend on one of them: all ways through it are then
        recorded.
    dtype : dtype, optional
        A result of which all values have this dtype as well is cast to it.
    """

    branches_on: tuple[int, ...] = ()
    dtype: Any = None


NO_WISHES = Wishes()


@dataclass(frozen=True)
class Recording:
    """
    The graph of a function, its arguments and its result, as recording arrays of real numbers.

    A complex array of a shape is one of real numbers of this shape with an axis more, `(..., 2)`: the real and the
    imaginary parts lie side by side, as in memory. So a function of complex numbers is a function of twice as many real
    ones.

    Attributes
    ----------
    graph : Graph
    arguments : tuple of RecordingArray
    result : RecordingArray
    dtypes : tuple of NumPy dtypes
        Of the arguments of the function.
    dtype : NumPy dtype
        Of its result.
    notes : dict
        What those who use the recording note down for its next use.
    """

    graph: Graph
    arguments: tuple[RecordingArray, ...]
    result: RecordingArray
    dtypes: tuple[np.dtype[Any], ...]
    dtype: np.dtype[Any]
    notes: dict[Any, Any] = field(default_factory=dict, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the function's result."""
        return self.result.shape[:-1] if self.dtype.kind == "c" else self.result.shape

    @cached_property
    def program(self) -> Program:
        """The function as a program."""
        return self.extract(self.result)

    def extract(self, *results: RecordingArray) -> Program:
        """A program of these results."""
        arguments = [Argument(a.shape, a.dtype) for a in self.arguments]
        return extract(self.graph, results, arguments)


def record(function: Callable[..., Any], examples: Sequence[Any], constants: Sequence[Any] = (), *, name: str = "step",
           limit: int = LIMIT, wishes: Wishes = NO_WISHES) -> Recording:  # fmt: skip
    """
    Record a function.

    A copy of the function is called twice, and both records are compared: the values of a function that counts its
    calls do not depend on its arguments alone. The second call is spared where nothing can have changed: see
    `unwritten.py`. Whatever the copy writes to objects, closures and globals stays in copies of these; the originals
    are not changed.

    Parameters
    ----------
    function : callable
        `function(*examples, *constants)`.
    examples : sequence of arrays, or of tuples of arrays
        Arrays with the shapes and dtypes of the arguments. Their values do not matter.
    constants
        Further arguments, whose values are recorded.
    name : str
        Name of the function in messages.
    limit : int
        Largest number of nodes; beyond, recording ends.
    wishes : Wishes
        On what the function may branch, and what dtype its result should have.

    Raises
    ------
    NotRecordedError
        With the reason and the line of the function.
    """
    return recorded(function, examples, constants, name=name, limit=limit, wishes=wishes)[0]


def recorded(function: Callable[..., Any], examples: Sequence[Any], constants: Sequence[Any] = (), *,
             name: str = "step", limit: int = LIMIT,
             wishes: Wishes = NO_WISHES) -> tuple[Recording, Copies]:  # fmt: skip
    """The recording of a function, as `record` describes it, and the copies of what the function reads."""
    graph, arguments = Graph(limit), list[RecordingArray]()
    try:
        dtypes: list[np.dtype[Any]] = []
        given = [_argument(graph, example, arguments, dtypes) for example in examples]
        copy = recordable(function, graph)
        memories: list[dict[int, Any]] = []
        is_unwritten = True

        def call() -> RecordingArray:
            nonlocal is_unwritten
            try:
                return _called(graph, copy, given, constants)
            finally:
                if memories:
                    memories.append(copy.memory())
                else:  # after every way: a later one may write back what an earlier one has changed
                    is_unwritten = is_unwritten and repeats(copy.copies)

        paths = Paths(graph, call, wishes.branches_on, wishes.dtype)
        one = other = paths.explored()
        changes = False
        if not is_unwritten:
            if writes_to_shared(copy.copies):
                raise Refused("writes to an array that shares memory with another one")
            memories.append(copy.memory())
            forget(graph, [own for original, own in copy.copies.entries() if own is not original])
            other = _explored_again(paths)
            before = memories[0]
            changes = any(after[key] != contents for after in memories for key, contents in before.items())
            changes = changes and not paths.are_independent(lambda: memories[-1])
            if len(paths.ways) > 1 and not changes:
                changes = not _are_alone(graph, function, given, constants, wishes, one)
    except Exception as error:
        raise NotRecordedError(name, _reason(error, limit), _place(error.__traceback__)) from error
    if one.dtype != other.dtype or not np.array_equal(one.ids, other.ids):  # equal operations are the same nodes
        raise NotRecordedError(name, "does something else when it is called again", "")
    if changes:
        raise NotRecordedError(name, HISTORY, "")
    try:
        real = one if one.dtype.kind != "c" else as_recording(graph, np.stack(parts(one), axis=-1))
        return Recording(graph, tuple(arguments), real, tuple(dtypes), one.dtype), copy.copies
    except Refused as error:
        raise NotRecordedError(name, str(error), "") from error


def _explored_again(paths: Paths) -> RecordingArray:
    try:
        return paths.explored()
    except Refused as error:  # it uses what the calls before have left, which is unknown
        raise Refused(HISTORY) from error


def _are_alone(
    graph: Graph, function: Callable[..., Any], given: Any, constants: Sequence[Any], wishes: Wishes, one: Any
) -> bool:
    """Whether each way gives the same in a new copy of the function, first, and after others."""
    copy = recordable(function, graph)
    is_written = False

    def renew() -> None:
        nonlocal copy
        copy = recordable(function, graph)

    def call() -> RecordingArray:
        return _called(graph, copy, given, constants)

    def call_anew() -> RecordingArray:
        nonlocal is_written
        renew()
        try:
            return call()
        finally:
            is_written = is_written or not leaves_all(copy.copies)

    first = Paths(graph, call_anew, wishes.branches_on, wishes.dtype).explored()
    if first.dtype != one.dtype or not np.array_equal(first.ids, one.ids):
        return False
    if not is_written:
        return True
    paths = Paths(graph, call, wishes.branches_on, wishes.dtype)
    renew()
    paths.explored()
    return paths.are_same_in_a_row(renew)


def _argument(graph: Graph, example: Any, arguments: list[RecordingArray], dtypes: list[np.dtype[Any]]) -> Any:
    """An argument that records; it and its dtype are entered into the lists, one by one where it is a tuple."""
    if isinstance(example, tuple):
        return tuple(_argument(graph, part, arguments, dtypes) for part in example)
    array = np.asarray(example)
    if array.dtype.char not in CHARS:
        raise Refused(f"is called with {array.dtype}")
    is_complex, dtype = array.dtype.kind == "c", PARTS.get(array.dtype.char, array.dtype)
    shape = (*array.shape, 2) if is_complex else array.shape
    found = RecordingArray(graph, graph.argument(len(arguments), shape, dtype), dtype)
    arguments.append(found)
    dtypes.append(array.dtype)
    return paired(found[..., 0], found[..., 1]) if is_complex else found


def _called(graph: Graph, copy: Recordable, given: Any, constants: Sequence[Any]) -> RecordingArray:
    outer, refusals.noted = refusals.noted, []
    try:
        with np.errstate(all="ignore"):  # numbers of examples say nothing about those of a solution
            try:
                values = copy(*_copied(given), *constants)
            except SystemError as error:  # code in C that called the function ended otherwise after a refusal
                if not refusals.noted:
                    raise
                raise refusals.noted[0].with_traceback(error.__traceback__) from error
        caught = refusals.noted
    finally:
        refusals.noted = outer
    if caught:
        raise caught[0]  # the function caught it
    if values is None:
        raise Refused("returns None")
    return as_recording(graph, values).copy()  # the next call may write to it


def _copied(given: Any) -> Any:
    """Arguments to which the function may write."""
    return [tuple(_copied(one)) if isinstance(one, tuple) else one.copy() for one in given]


def _reason(error: Exception, limit: int) -> str:
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, TooLarge):
        return f"has more than {limit} operations"
    if isinstance(error, AttributeError) and type(error.obj) is RecordingArray:
        error = AttributeError(f"arrays that record have no attribute {error.name!r}")
    return f"raises {type(error).__name__} on arrays that record: {error}"


def _place(trace: TracebackType | None) -> str:
    """File and line of the last frame outside of this package, of NumPy and of SciPy."""
    for frame in reversed(traceback.extract_tb(trace)):
        if not frame.filename.startswith(HERE) and not LIBRARIES.intersection(Path(frame.filename).parts):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""

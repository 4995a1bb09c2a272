"""Functions of events as recorded operations: they repeat their values, and may be called for many states at once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace, library
from ..._recorded.budget import FREE, paid_by
from ..core.problem import Problem
from ..output.monitor import Event
from .parts import as_parts, wide
from .recorded import EXAMPLE, Recorded, is_parameter, recorder

if TYPE_CHECKING:
    from ..._recorded.record import Recording

MOST_NODES = 2000
"""Largest number of operations and constants: longer functions take longer to record than to call."""

KEPT = 256
"""Functions that are remembered because they cannot be recorded."""

_refused: OrderedDict[Any, None] = OrderedDict()


class EventValues(Recorded):
    """The function of an event, recorded, on the times `(m,)` and states `(m, n)`; values `(m,)`."""

    def __call__(self, t: Array, states: Array) -> Array:
        found: Array = array_namespace(states).reshape(self._evaluated(self.value, t, as_parts(wide(states)))[0], (-1,))
        return found


def record_events(events: tuple[Event, ...], problem: Problem) -> tuple[Event, ...]:
    """The events, with the recorded operations of those that can be recorded."""
    if library(problem.y0) != "numpy" or problem.batch:
        return events
    return tuple(replace(event, values=record_event(event.function, problem)) for event in events)


def record_event(function: Any, problem: Problem) -> EventValues | None:
    """The function of an event, recorded now or earlier; None if it cannot be."""
    key = _key(function)
    if key in _refused:
        return None
    parameters = tuple(takewhile(is_parameter, problem.args))
    for some in (parameters, ()) if parameters else ((),):
        recording = _recording(function, problem, some)
        if recording is not None:
            return EventValues(recording, some)
    _refused[key] = None
    while len(_refused) > KEPT:
        _refused.popitem(last=False)
    return None


def recording_of(function: Any, problem: Problem, parameters: tuple[Any, ...]) -> Recording | None:
    """The recording of a function of events with these parameters as arguments; None if it cannot be recorded so."""
    if problem.batch or _key(function) in _refused:
        return None
    return _recording(function, problem, parameters)


def _key(function: Any) -> Any:
    """The code of a function and of those that it encloses, as decorators do; of other objects, their type."""
    code = getattr(function, "__code__", None)
    if code is None:
        return type(function)
    cells = getattr(function, "__closure__", None) or ()
    try:
        return code, *(getattr(cell.cell_contents, "__code__", None) for cell in cells)
    except ValueError:  # a cell is empty
        return code


def _recording(function: Any, problem: Problem, parameters: tuple[Any, ...]) -> Recording | None:
    """The recording with these parameters as arguments; None if there is none of one real number."""
    remembered, not_recorded, wishes = recorder()
    xp = problem.xp
    examples = [EXAMPLE, wide(problem.y0), *map(xp.asarray, parameters)]
    try:
        with paid_by(FREE):
            found: Recording = remembered(
                function, examples, problem.args[len(parameters) :], MOST_NODES, wishes(EXAMPLE.dtype)
            )
    except not_recorded:
        return None
    return found if found.shape == () and found.dtype == EXAMPLE.dtype else None

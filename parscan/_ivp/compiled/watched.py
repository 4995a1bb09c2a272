"""Events that machine code looks for: their recorded functions, and what it found beside the user's functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from operator import is_
from typing import TYPE_CHECKING, Any

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace, copy, quiet
from ..core.problem import Problem
from ..output.events import Occurrences
from ..output.monitor import LIKE, Event
from .parts import from_parts
from .recorded import Recorded
from .recorded_events import EventValues, recording_of

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Watched as Counts
    from ..._recorded.program import Program
    from ..._recorded.record import Recording

UNSEEN = "UNSEEN"
"""Name of the status of a march in which signs do not tell what occurs."""

NUMBER, TIME, VALUE, SIZE, STATE = range(5)
"""Columns of what machine code writes of an occurrence; components of the state follow."""

MOST = 16
"""Events that machine code looks for at a time."""

FEW, SAMPLES = 8, 5
"""Occurrences of an event, and ends of steps, at which recorded values are compared with those of the function."""


@dataclass(frozen=True)
class Watched:
    """
    Events, all of which are recorded.

    Parameters
    ----------
    events : tuple of Event
    recordings : tuple of Recording
        Of their functions, with the parameters of the right-hand side as arguments.
    parameters : tuple
        The values of these.
    """

    events: tuple[Event, ...]
    recordings: tuple[Recording, ...]
    parameters: tuple[Any, ...]
    entries: list[Any] = field(default_factory=list, compare=False)
    """Where the recordings are kept, with witnesses, as far as it was asked for."""

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        """The functions."""
        return tuple(one.program for one in self.recordings)

    @cached_property
    def key(self) -> tuple[int, ...]:
        """What distinguishes them from other ones, as long as they are kept."""
        return tuple(map(id, self.recordings))

    def counts(self, before: Array | None = None) -> Counts:
        """Which occurrences count after those `before`."""
        if before is None or not before.shape[0]:
            return self._counts
        numbers, (directions, terminals) = before[:, NUMBER].tolist(), self._counts
        return type(self._counts)(directions, [most and most - numbers.count(k) for k, most in enumerate(terminals)])

    @cached_property
    def _counts(self) -> Counts:
        from ..._recorded.native.integrate import Watched as Made  # noqa: PLC0415 - slow to import

        terminals = [0 if event.terminal == inf else int(event.terminal) for event in self.events]
        return Made([event.direction for event in self.events], terminals)

    def agrees(self, problem: Problem, seen: Array, t: Array, states: Array) -> bool:
        """Whether the functions have the values that were found at occurrences, and recorded ones at ends of steps."""
        apart = max(1, -(-t.shape[0] // SAMPLES))
        some = slice((t.shape[0] - 1) % apart, None, apart)
        t, states = t[some], states[some, :]

        def all_alike(k: int, event: Event, rows: Sequence[int]) -> bool:
            some = EventValues(self.recordings[k], self.parameters)(t, states).tolist()
            called = ((event, float(t[row]), states[row, :], value, abs(value)) for row, value in enumerate(some))
            return all(_is_alike(problem, *one) for one in called)

        return self._compared(problem, seen, FEW, all_alike)

    def agrees_again(self, problem: Problem, seen: Array, t: float, state: Array, values: Sequence[float]) -> bool:
        """
        Whether the functions have the values found at one occurrence each, or else those at the end of a solve.

        `values` are these; none if an event ended the solve.
        """

        def is_alike(k: int, event: Event, rows: Sequence[int]) -> bool:
            return bool(rows) or not values or _is_alike(problem, event, t, state, values[k], abs(values[k]))

        return self._compared(problem, seen, 1, is_alike)

    def _compared(
        self, problem: Problem, seen: Array, most: int, further: Callable[[int, Event, Sequence[int]], bool]
    ) -> bool:
        """Whether some occurrences of each event agree, and a further comparison does, given its occurrences."""
        numbers = seen[:, NUMBER].tolist()
        try:
            with quiet():
                for k, event in enumerate(self.events):
                    rows = [row for row, number in enumerate(numbers) if number == k]
                    for row in rows[:: -max(1, -(-len(rows) // most))]:
                        _, t, value, size, *_ = seen[row, :STATE].tolist()
                        state = from_parts(seen[row, STATE:], problem.y0)
                        if not _is_alike(problem, event, t, state, value, size):
                            return False
                    if not further(k, event, rows):
                        return False
        except Exception:  # the usual way of watching will raise it
            return False
        return True

    def occurrences(self, seen: Array, stop: float | None, like: Array) -> Occurrences:
        """Those that machine code found, up to the one that ended the solve; states are like another one."""
        xp, numbers = array_namespace(seen), seen[:, NUMBER].tolist()
        t_events, y_events = [], []
        for k in range(len(self.events)):
            rows = [row for row, number in enumerate(numbers) if number == k]
            t_events.append(seen[rows, TIME])
            y_events.append(from_parts(seen[rows, STATE:], like) if rows else xp.asarray([], dtype=like.dtype))
        return Occurrences(t_events, y_events, stop)


def watched(events: tuple[Event, ...], problem: Problem, recorded: Recorded) -> Watched | None:
    """Events with recordings that have the same parameters as that of the right-hand side; None without them."""
    found = []
    for event in events if len(events) <= MOST else ():
        recording = recording_of(event.function, problem, recorded.parameters)
        if recording is None:
            return None
        found.append(recording)
    return Watched(events, tuple(found), recorded.parameters) if found else None


def until(rows: Array, begin: float, end: float) -> Array:
    """Occurrences from a time to another one."""
    way = 1.0 if end >= begin else -1.0
    return rows[way * rows[:, TIME] <= way * end, :]


def _is_alike(problem: Problem, event: Event, t: float, state: Array, value: float, size: float) -> bool:
    """Whether a function, which may write to the state, has a value, up to rounding of numbers of some size."""
    return abs(float(event.function(t, copy(state), *problem.args)) - value) <= LIKE * size


def kept(
    before: Watched, events: tuple[Event, ...], problem: Problem, parameters: tuple[Any, ...]
) -> Watched | None:  # fmt: skip
    """The same events as before, if all that their functions read is as it was; None if it is not known."""
    from ..._recorded.memo import entry_of, is_kept  # noqa: PLC0415 - slow to import

    if events != before.events:
        return None
    constants = problem.args[len(before.parameters) :]
    if not before.entries:
        before.entries[:] = map(entry_of, before.recordings)
    for event, recording, entry in zip(events, before.recordings, before.entries, strict=True):
        if entry is None or not (is_kept(entry[0], recording) and entry[1].holds(event.function, constants)):
            return None
    return before if all(map(is_, parameters, before.parameters)) else replace(before, parameters=parameters)

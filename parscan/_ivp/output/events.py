"""Events of a trajectory: the times at which functions of the state and time are zero.

Occurrences are defined as in SciPy's `solve_ivp`, with samples in place of steps. A trajectory is searched as a whole,
or stretch by stretch while it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, isnan
from typing import Any, TypeAlias

from ..._arrays.namespace import Array, array_namespace
from ..core.polynomial import PiecewisePolynomial
from .monitor import Bracket, Event, Monitor, Seen

SUBSAMPLES = 4
"""Least number of samples within an interval of the mesh or a step, besides its ends."""

SAMPLES = 200
"""Least number of samples in all: the mesh of a polynomial solution may have a single interval."""

HALVINGS = 20
"""Number of samples at halved distances from the begin: if an event is zero there, they show its sign afterwards."""


Place: TypeAlias = tuple[float, Callable[[float], Array]]
"""A time, and the trajectory around it."""


@dataclass(frozen=True)
class Occurrences:
    """For each event, its times `(k,)` and states `(k, n)`; and the time of the terminal event that ended the solve."""

    t_events: list[Array]
    y_events: list[Array]
    t_stop: float | None


def prepare(events: Any) -> tuple[Event, ...]:
    """Events as SciPy takes them: None, a function, or a list of functions with the attributes that SciPy reads.

    `terminal` is a bool, or a number of occurrences; `direction` is positive for events that count when their
    function goes from negative to positive, negative for the opposite, zero for both.
    """
    if events is None:
        return ()
    if not callable(events) and not isinstance(events, Iterable):
        raise TypeError(f"`events` is a {type(events).__name__}; pass a function `event(t, y)` or a list of them.")
    functions = [events] if callable(events) else list(events)
    return tuple(_prepared(function, f"events[{index}]") for index, function in enumerate(functions))


def _prepared(function: Any, name: str) -> Event:
    """One event with its attributes."""
    if not callable(function):
        raise TypeError(f"`{name}` is a {type(function).__name__}; `events` are functions `event(t, y)`.")
    terminal, direction = getattr(function, "terminal", None), getattr(function, "direction", 0)
    try:
        count = 0 if terminal is None else int(terminal)
        valid = count >= 0 and (terminal is None or count == terminal)
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise ValueError(
            f"The `terminal` attribute of `{name}` is {terminal!r}; pass a bool or a positive number of occurrences."
        )
    try:
        sense = float("nan" if isinstance(direction, str) else direction)
    except (TypeError, ValueError):
        sense = float("nan")
    if isnan(sense):
        raise TypeError(f"`direction` of `{name}` is {direction!r}; pass a number: 1, -1 or 0.")
    return Event(function, count or inf, sense)


def find(events: tuple[Event, ...], args: tuple[Any, ...], dense: PiecewisePolynomial) -> Occurrences:
    """All occurrences on a trajectory without batch, up to the one that ends the integration.

    An event occurs between two samples at which its function has different signs; the time is found by Brent's method.
    It also occurs at a sample where its function is zero, even at the first one and if the sign does not change; then
    the sign before or the sign after has to match the direction. If the function is zero at several samples in a row,
    it occurs once, at the first of them and in any direction.

    Occurrences up to and at the time that ends the integration are kept. Exceptions of a function up to that time are
    raised, with a note of the time.
    """
    watch = Watch(events, args)
    if events and dense.y.size:
        watch.see(*samples(dense), dense.near, dense.at_few)
    return watch.occurrences(dense.t, dense.y)


class Watch:
    """Finds events on a trajectory that is given stretch by stretch."""

    def __init__(self, events: tuple[Event, ...], args: tuple[Any, ...]) -> None:
        self.monitors = [Monitor(event, index, args) for index, event in enumerate(events)]
        self._seen: list[Seen | None] = [None] * len(events)
        self._t_events: list[list[float]] = [[] for _ in events]
        self._y_events: list[list[Array]] = [[] for _ in events]
        self.stop: float | None = None

    def see(
        self, times: Array, y: Array, near: Callable[[float], Callable[[float], Array]],
        evaluate: Callable[[Array], Array] | None = None, *, is_step: bool = False,
    ) -> float | None:  # fmt: skip
        """Find events among samples `y` (n, m) of a stretch that begins where the previous one ended.

        Returns the time at which a terminal event ends the integration, if one does. `near(t)` is the trajectory around
        a time, as a function of times; `evaluate` gives states `(m, n)` at many times. If the stretch is a step in
        which an event occurs once, its root is searched between the ends of the step, as SciPy does.
        """
        order = -1.0 if bool(times[-1] < times[0]) else 1.0
        scans = []
        for monitor, seen, before in zip(self.monitors, self._seen, self._t_events, strict=True):
            new = slice(0 if seen is None else 1, None)
            scans.append(monitor.scan(times[new], y[:, new], seen, monitor.event.terminal - len(before)))
        if not any(scan.brackets or scan.failure for scan in scans):
            self._seen = [
                scan.seen.counted(monitor.event.direction) for monitor, scan in zip(self.monitors, scans, strict=True)
            ]
            return None
        ends = (float(times[0]), float(times[-1])) if is_step else None
        last: dict[int, Place] = {}  # the roots that end the integration
        for k, (monitor, scan, before) in enumerate(zip(self.monitors, scans, self._t_events, strict=True)):
            if scan.brackets and len(before) + len(scan.brackets) == monitor.event.terminal:
                last[k] = _root(monitor, near, scan.brackets[-1], ends if scan.is_single else None)
        stops = [order * root for root, _ in last.values()]
        stop = min(stops, default=inf)
        for scan in scans:
            if scan.failure is not None and order * scan.failed_at <= stop:
                raise scan.failure
        for k, (monitor, scan) in enumerate(zip(self.monitors, scans, strict=True)):
            reached = [bracket for bracket in scan.brackets if order * bracket[0] <= stop]
            together = {} if evaluate is None else monitor.roots(evaluate, reached[: -1 if k in last else None], times)
            for bracket in reached:
                if bracket in together:
                    root, state = together[bracket]
                else:
                    known = last.get(k) if bracket == scan.brackets[-1] else None
                    root, around = known or _root(monitor, near, bracket, ends if scan.is_single else None)
                    state = around(root)
                if order * root <= stop:
                    self._t_events[k].append(root)
                    self._y_events[k].append(state)
            self._seen[k] = scan.seen if stops else scan.seen.counted(monitor.event.direction)
        self.stop = order * stop if stops else None
        return self.stop

    def occurrences(self, times: Array, y: Array) -> Occurrences:
        """All occurrences, in the dtypes of these times and states."""
        xp = array_namespace(times)
        none = xp.asarray([], dtype=y.dtype)
        t_events = [xp.asarray(found, dtype=times.dtype) for found in self._t_events]
        return Occurrences(t_events, [xp.stack(found) if found else none for found in self._y_events], self.stop)


def _root(
    monitor: Monitor, near: Callable[[float], Callable[[float], Array]], bracket: Bracket, ends: Bracket | None
) -> Place:
    """Time of an occurrence, searched between the ends of its step if they are given."""
    around = near(sum(bracket) / 2)
    return monitor.root(around, ends or bracket), around


def samples(dense: PiecewisePolynomial) -> tuple[Array, Array]:
    """Nodes of the mesh, and times between them, `(m,)`; the states there, `(n, m)`."""
    t, y, xp = dense.t, dense.y, dense.xp
    count = max(SUBSAMPLES, SAMPLES // (t.shape[0] - 1)) + 1
    shares = xp.arange(count, dtype=t.dtype) / count
    inner = xp.reshape(t[:-1, None] + (t[1:] - t[:-1])[:, None] * shares, (-1,))
    times = with_beginning(xp.concat([inner, t[-1:]]))
    early = times[1 : 1 + times.shape[0] - inner.shape[0] - 1]
    states = xp.reshape(dense.powers.at_shares(shares), (-1, y.shape[-1]))
    every = xp.concat([states[:1, :], dense.at_few(early), states[1:, :], y[-1:, :]])
    return times, xp.permute_dims(every, (1, 0))


def with_beginning(times: Array) -> Array:
    """The times, with further ones at halved distances from the first."""
    xp = array_namespace(times)
    near = times[0] + (times[1] - times[0]) * 0.5 ** xp.arange(HALVINGS, 0, -1, dtype=times.dtype)
    later = near[(near != times[0]) & (near != times[1])]
    return xp.concat([times[:1], later, times[1:]])

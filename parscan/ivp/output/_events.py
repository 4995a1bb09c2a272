"""Events of a trajectory: the times at which functions of it are zero, found on the whole of it at once.

What counts is what SciPy's `solve_ivp` counts from one step to the next, here from one sample to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isnan
from typing import Any, TypeAlias

from ..._arrays import Array, array_namespace, as_array, copy, dtype_name, machine_epsilon, quiet
from ._dense_output import DenseOutput

SUBSAMPLES = 4
"""Samples within an interval of the mesh, besides its ends, at least."""

SAMPLES = 200
"""Samples in all, at least: where the solution is a polynomial, a mesh may have a single interval."""

HALVINGS = 20
"""Samples ever nearer to the begin: they tell the sign that an event which is zero there takes on."""

CHECKED = 5
"""Samples at which a call for all samples is compared with calls for one; few times have that many components."""

XTOL = RTOL = 4 * machine_epsilon(float)
"""Tolerances of a root, as in SciPy."""

Bracket: TypeAlias = tuple[int, int]
"""Samples between which an event occurs; twice the same if it is zero there."""


@dataclass(frozen=True)
class Event:
    """A function `event(t, y, *args)`, the occurrence of it that ends the integration, the direction that counts."""

    function: Callable[..., Any]
    terminal: float = inf
    direction: float = 0.0


@dataclass(frozen=True)
class Occurrences:
    """Per event its times `(k,)` and the states then, `(k, n)`; the time at which a terminal event ended it all."""

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
        raise ValueError(f"`terminal` of `{name}` is {terminal!r}; pass a bool or a positive number of occurrences.")
    try:
        sense = float("nan" if isinstance(direction, str) else direction)
    except (TypeError, ValueError):
        sense = float("nan")
    if isnan(sense):
        raise TypeError(f"`direction` of `{name}` is {direction!r}; pass a number: 1, -1 or 0.")
    return Event(function, count or inf, sense)


def find(events: tuple[Event, ...], args: tuple[Any, ...], dense: DenseOutput) -> Occurrences:
    """All occurrences on a trajectory without batch, up to the one that ends the integration.

    An event occurs between two samples where its function has different signs, and at a sample where it is zero, be
    it the first or one where the sign stays; then the sign before or the sign after has to fit the direction. Where
    the function is zero at several samples in a row, that is one occurrence, at the first of them and in any
    direction. A time between samples is refined with Brent's method.

    Parameters
    ----------
    events : tuple of Event
        What `prepare` returned.
    args : tuple
        Further arguments of the functions. They are called with times `(m,)` and states `(n, m)` where that gives the
        same as a call with a float and a state `(n,)` for each of the times.
    dense : DenseOutput
        The trajectory; it has to be finite.

    Returns
    -------
    Occurrences
        Occurrences at the time that ends the integration are kept, later ones are not.

    Raises
    ------
    ValueError
        If a function does not return one real number, or returns NaN, before the end of the integration. What a
        function itself raises passes, with a note of the time.
    """
    if not events:
        return Occurrences([], [], None)
    times = _sample_times(dense.ts)
    y = dense(times)
    order = -1 if bool(times[-1] < times[0]) else 1
    monitors = [_Monitor(event, index, args, dense) for index, event in enumerate(events)]
    scans = [monitor.scan(times, y) for monitor in monitors]
    stops = [
        order * monitor.root(times, scan.brackets[-1])
        for monitor, scan in zip(monitors, scans, strict=True)
        if len(scan.brackets) == monitor.event.terminal
    ]
    stop = min(stops, default=inf)
    for scan in scans:
        if scan.failure is not None and order * scan.failed_at <= stop:
            raise scan.failure
    xp, t_events, y_events = array_namespace(times), [], []
    for monitor, scan in zip(monitors, scans, strict=True):
        brackets = [bracket for bracket in scan.brackets if order * float(times[bracket[0]]) <= stop]
        roots = [monitor.root(times, bracket) for bracket in brackets]
        t_events.append(xp.asarray([root for root in roots if order * root <= stop], dtype=times.dtype))
        y_events.append(dense.evaluate(t_events[-1]) if t_events[-1].shape[0] else xp.asarray([], dtype=y.dtype))
    return Occurrences(t_events, y_events, order * stop if stops else None)


@dataclass(frozen=True)
class _Scan:
    """Brackets of the occurrences, at most as many as end the integration; why and when the function failed."""

    brackets: list[Bracket]
    failure: Exception | None
    failed_at: float


@dataclass(frozen=True)
class _Monitor:
    """One event, watched along a trajectory."""

    event: Event
    index: int
    args: tuple[Any, ...]
    dense: DenseOutput

    def scan(self, times: Array, y: Array) -> _Scan:
        """Where the event occurs among samples of the states `y` (n, m)."""
        values = self._together(times, y)
        failure: Exception | None = None
        failed_at = inf
        if values is None:
            values, failure = self._one_by_one(times, y)
            failed_at = float(times[values.shape[0]]) if failure else inf
        brackets = _brackets(values, self.event.direction)
        return _Scan(brackets[: int(min(len(brackets), self.event.terminal))], failure, failed_at)

    def root(self, times: Array, bracket: Bracket) -> float:
        """Time of an occurrence."""
        from scipy.optimize import brentq  # noqa: PLC0415 - slow to import

        begin, end = (float(times[sample]) for sample in bracket)
        state = self.dense.near((begin + end) / 2)
        at_begin, at_end = (self._value(t, state(t)) for t in (begin, end))
        if min(at_begin, at_end) >= 0 or max(at_begin, at_end) <= 0:  # zero, but for rounding
            return begin if abs(at_begin) <= abs(at_end) else end
        return float(brentq(lambda t: self._value(t, state(t)), begin, end, xtol=XTOL, rtol=RTOL))

    def _value(self, t: float, y: Array) -> float:
        """The function at one time; `y` is a copy, for it may be written to."""
        name = f"events[{self.index}]"
        try:
            value = as_array(name, self.event.function(t, y, *self.args))
        except Exception as error:
            error.add_note(f"parscan called `{name}` at t = {t!r}.")
            raise
        if value.ndim or "complex" in dtype_name(value.dtype):
            raise ValueError(
                f"`{name}` returned an array of shape {tuple(value.shape)} and dtype {dtype_name(value.dtype)} at "
                f"t = {t!r}; an event is one real number: y[0], not y."
            )
        if isnan(value):
            raise ValueError(f"`{name}` is NaN at t = {t!r}; an event needs a sign all along the trajectory.")
        return float(value)

    def _one_by_one(self, times: Array, y: Array) -> tuple[Array, Exception | None]:
        """The function at the samples before the first at which it fails; and how it does."""
        values: list[float] = []
        failure = None
        try:
            for sample in range(times.shape[0]):
                values.append(self._value(float(times[sample]), copy(y[:, sample])))
        except Exception as error:  # it may be after the end of the integration, which is not known yet
            failure = error
        return array_namespace(times).asarray(values, dtype=times.dtype), failure

    def _together(self, times: Array, y: Array) -> Array | None:
        """The function at all samples by one call; None unless that gives what single calls give."""
        xp, samples = array_namespace(times), times.shape[0]
        some = sorted({k * (samples - 1) // (CHECKED - 1) for k in range(CHECKED)})
        try:
            with quiet():
                values = copy(as_array("events", self.event.function(copy(times), copy(y), *self.args)))
            if tuple(values.shape) != (samples,) or bool(xp.any(xp.isnan(values))):
                return None
            single = [self._value(float(times[k]), copy(y[:, k])) for k in some]
            most = machine_epsilon(y.dtype) ** 0.5 * max(map(abs, single))
            same = all(abs(float(values[k]) - value) <= most for k, value in zip(some, single, strict=True))
        except Exception:  # a function that was written for one state may do anything with many
            return None
        return xp.astype(values, times.dtype) if same else None


def _sample_times(t: Array) -> Array:
    """Nodes of the mesh, and times between them."""
    xp = array_namespace(t)
    count = max(SUBSAMPLES, SAMPLES // (t.shape[0] - 1)) + 1
    shares = xp.arange(count, dtype=t.dtype) / count
    inner = t[:-1, None] + (t[1:] - t[:-1])[:, None] * shares
    near = t[0] + (inner[0, 1] - t[0]) * 0.5 ** xp.arange(HALVINGS, 0, -1, dtype=t.dtype)
    later = near[(near != t[0]) & (near != inner[0, 1])]
    return xp.concat([t[:1], later, xp.reshape(inner, (-1,))[1:], t[-1:]])


def _brackets(values: Array, direction: float) -> list[Bracket]:
    """Samples between which, or at which, an event with these values occurs."""
    if not values.shape[0]:
        return []
    signs = _signs(values if direction >= 0 else -values)
    changes = array_namespace(values).nonzero(signs[1:] != signs[:-1])[0]
    begins = [0, *(int(changes[k]) + 1 for k in range(changes.shape[0]))]  # of samples in a row with the same sign
    runs = [int(signs[begin]) for begin in begins]
    lengths = [end - begin for begin, end in pairwise([*begins, values.shape[0]])]
    found = []
    for begin, length, before, sign, after in zip(begins, lengths, [0, *runs], runs, [*runs[1:], 0], strict=False):
        if sign == 0:
            if direction == 0 or length > 1 or before < 0 or after > 0:
                found.append((begin, begin))
        elif sign * before < 0 and (direction == 0 or sign > 0):
            found.append((begin - 1, begin))
    return found


def _signs(values: Array) -> Array:
    """Signs as integers."""
    xp = array_namespace(values)
    return xp.astype(values > 0, xp.int8) - xp.astype(values < 0, xp.int8)

"""One event along a trajectory: the samples between which its function changes sign, and the time of the zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isnan, ulp
from typing import Any, TypeAlias

from ..._arrays.namespace import Array, array_namespace, as_array, copy, dtype_name, machine_epsilon, quiet, to_numpy
from ..._functions.verify import agree
from .zeros import zeros

CHECKED = 5
"""Samples at which a call for all samples is compared with single calls."""

RTOL = 4 * machine_epsilon(float)
"""Relative tolerance of a root, as in SciPy."""

WORTH_CHECKING = 40
"""For at most this many samples, single calls take no longer than one call for all and its check."""

COARSE = 1e-9
"""If SciPy's tolerance of a root exceeds this share of its bracket, time is counted from the begin of the bracket."""

LIKE = 100 * machine_epsilon(float)
"""Difference between recorded and single calls at roots, as a share of the values at the ends of brackets."""

MANY = 12
"""Roots from which on they are found all at once."""

Bracket: TypeAlias = tuple[float, float]
"""Times between which an event occurs; twice the same time if the event function is zero there."""


@dataclass(frozen=True)
class Event:
    """
    A function `event(t, y, *args)`, the number of its occurrences that ends the solve, the direction that counts.

    `values`: the function as recorded operations, on the times `(m,)` and states `(m, n)`, or None.
    """

    function: Callable[..., Any]
    terminal: float = inf
    direction: float = 0.0
    values: Callable[[Array, Array], Array] | None = None


@dataclass(frozen=True)
class Seen:
    """Times and values `(m,)` of an event function; occurrences before the sample with index `new` are counted."""

    times: Array
    values: Array
    new: int = 0

    def continues(self, value: float) -> bool:
        """Whether the last of these samples is on the same side of zero as a value."""
        return float(self.values[-1]) * value > 0

    def followed_by(self, times: Array, values: Array) -> Seen:
        """These samples followed by further ones."""
        xp = array_namespace(times)
        return Seen(xp.concat([self.times, times]), xp.concat([self.values, values]), self.new)

    def changes_once(self, samples: int) -> bool:
        """Whether the sign changes once, and is never zero, among the last samples."""
        xp, signs = array_namespace(self.values), _signs(self.values[max(0, self.values.shape[0] - samples) :])
        return bool(xp.all(signs != 0)) and int(xp.nonzero(signs[1:] != signs[:-1])[0].shape[0]) == 1

    def brackets(self, direction: float) -> list[Bracket]:
        """Brackets of the occurrences that are not yet counted."""
        found = [pair for pair in _brackets(self.values, direction) if pair[1] >= self.new]
        return [(float(self.times[begin]), float(self.times[end])) for begin, end in found]

    def counted(self, direction: float) -> Seen:
        """The samples needed to judge later ones, with all occurrences counted.

        These are the first and the last sample of the final run of one sign, and the sample before the run.
        """
        if self.values.shape[0] == 1:
            return self
        xp, count = array_namespace(self.times), self.values.shape[0]
        signs = _signs(self.values)
        changes = xp.nonzero(signs[1:] != signs[:-1])[0]
        begin = int(changes[-1]) + 1 if changes.shape[0] else 0
        is_counted = any(end == begin for _, end in _brackets(self.values, direction))
        kept = sorted({max(begin - 1, 0), begin, count - 1})
        some = xp.asarray(kept)
        return Seen(xp.take(self.times, some), xp.take(self.values, some), kept.index(begin) + is_counted)


@dataclass(frozen=True)
class Scan:
    """Occurrences among further samples, up to the one that ends the integration.

    `is_single`: the sign changes once and no sample is zero. `failure` is the exception that the function raised for
    the sample at the time `failed_at`.
    """

    seen: Seen
    brackets: list[Bracket]
    is_single: bool
    failure: Exception | None
    failed_at: float


@dataclass(frozen=True)
class Monitor:
    """An event, its index in the user's list, and further arguments of its function."""

    event: Event
    index: int
    args: tuple[Any, ...]

    def scan(self, times: Array, y: Array, before: Seen | None, most: float) -> Scan:
        """The first `most` occurrences among samples of the states `y` (n, m), which follow those `before`."""
        values: Array | list[float] | None = self._at_once(times, y) if times.shape[0] > WORTH_CHECKING else None
        failure: Exception | None = None
        if values is None:
            values, failure = self._one_by_one(times, y)
        xp, count = array_namespace(times), len(values)
        failed_at = float(times[count]) if failure else inf
        last = xp.asarray(values[-1:], dtype=times.dtype)
        if failure is None and _is_one_sided(values) and (before is None or before.continues(float(values[-1]))):
            return Scan(Seen(times[-1:], last), [], False, None, inf)  # no occurrence since the samples before
        values, times = xp.asarray(values, dtype=times.dtype), times[:count]
        seen = Seen(times, values) if before is None else before.followed_by(times, values)
        brackets = seen.brackets(self.event.direction)
        brackets = brackets[: int(min(len(brackets), most))]
        is_single = len(brackets) == 1 and seen.changes_once(count + 1)
        return Scan(seen, brackets, is_single, failure, failed_at)

    def root(self, evaluate: Callable[[float], Array], bracket: Bracket) -> float:
        """Time of an occurrence on a trajectory."""
        from scipy.optimize import brentq  # noqa: PLC0415 - slow to import

        begin, end = bracket
        at_begin, at_end = (self._value(t, evaluate(t)) for t in bracket)
        if min(at_begin, at_end) >= 0 or max(at_begin, at_end) <= 0:  # zero, but for rounding
            return begin if abs(at_begin) <= abs(at_end) else end
        length, largest, is_coarse = end - begin, max(abs(begin), abs(end)), _is_coarse(bracket)
        origin = begin if is_coarse else 0.0  # 0.0 as in SciPy, unless times are large, or the bracket is tiny
        known = {begin - origin: at_begin, end - origin: at_end}

        def after(passed: float) -> float:
            return known[passed] if passed in known else self._value(origin + passed, evaluate(origin + passed))

        tolerance = ulp(largest) / 2 + RTOL * abs(length) if is_coarse else RTOL
        return float(origin + brentq(after, begin - origin, end - origin, xtol=tolerance, rtol=RTOL))

    def roots(
        self, evaluate: Callable[[Array], Array], brackets: list[Bracket], like: Array
    ) -> dict[Bracket, tuple[float, Array]]:  # fmt: skip
        """
        Times of many occurrences at once by the recorded function, and the states there `(n,)`.

        `evaluate` gives states `(m, n)` at times, which are arrays `like` another one. Those are left out that need a
        closer look; all of them, if the user's function has other values at one of them.
        """
        recorded = self.event.values
        some = [one for one in brackets if not _is_coarse(one)]
        if recorded is None or len(some) < MANY:
            return {}
        xp, known = array_namespace(like), recorded
        begins, ends = (xp.asarray([one[k] for one in some], dtype=like.dtype) for k in range(2))
        first, last = (known(t, evaluate(t)) for t in (begins, ends))
        found = zeros(lambda t: known(t, evaluate(t)), begins, ends, first, last)
        states = evaluate(found)
        with quiet():
            sizes = xp.maximum(xp.abs(first), xp.abs(last))
            missed = xp.abs(known(found, states) - self._alone(found, states))
            is_good = (first * last < 0) & ~xp.isnan(found)
            if not bool(xp.all(~is_good | (missed <= LIKE * sizes))):
                return {}
        times, good = found.tolist(), is_good.tolist()
        return {one: (times[k], states[k, :]) for k, one in enumerate(some) if good[k]}

    def _value(self, t: float, y: Array) -> float:
        """The function at one time; `y` is a copy, as the function may write to it."""
        try:
            found = self.event.function(t, y, *self.args)
        except Exception as error:
            error.add_note(f"parscan called `events[{self.index}]` at t = {t!r}.")
            raise
        if isinstance(found, float) and not isnan(found):  # nearly all functions return one
            return found
        name = f"events[{self.index}]"
        try:
            value = as_array(name, found)
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

    def _one_by_one(self, times: Array, y: Array) -> tuple[list[float], Exception | None]:
        """Values at the samples before the first at which the function raises, and the exception."""
        values: list[float] = []
        failure = None
        try:
            states = copy(array_namespace(y).permute_dims(y, (1, 0)))  # the function may write to them
            for sample, time in enumerate(to_numpy(times).tolist()):
                values.append(self._value(time, states[sample, :]))
        except Exception as error:  # raised later: this sample may be beyond the end of the integration, not yet known
            failure = error
        return values, failure

    def _alone(self, times: Array, states: Array) -> Array:
        """The function at each of some samples of the stacked states `(m, n)`."""
        xp = array_namespace(states)
        values = [self._value(float(times[k]), copy(states[k, ...])) for k in range(times.shape[0])]
        return xp.asarray(values, dtype=xp.abs(states).dtype)

    def _at_once(self, times: Array, y: Array) -> Array | None:
        """The function at all samples by one call, or by its recorded operations; None unless single calls agree."""
        xp = array_namespace(times)
        recorded = self.event.values
        ways: list[Callable[[], Any]] = [lambda: self.event.function(copy(times), copy(y), *self.args)]
        if recorded is not None:
            ways.append(lambda: recorded(times, xp.permute_dims(y, (1, 0))))
        for way in ways:
            if (found := self._together(way, times, y)) is not None:
                return found
        return None

    def _together(self, way: Callable[[], Any], times: Array, y: Array) -> Array | None:
        """The values that a call gives for all samples; None unless they agree with those of single calls."""
        xp, samples = array_namespace(times), times.shape[0]
        some = sorted({k * (samples - 1) // (CHECKED - 1) for k in range(CHECKED)})
        try:
            with quiet():
                values = copy(as_array("events", way()))
            if tuple(values.shape) != (samples,) or bool(xp.any(xp.isnan(values))):
                return None
            places = xp.asarray(some)
            t, states, found = (xp.take(array, places, axis=0) for array in (times, xp.permute_dims(y, (1, 0)), values))
            share = machine_epsilon(y.dtype) ** 0.5
            same = agree(found, self._alone(t, states), share, t, states, self._alone)
        except Exception:  # a function that was written for one state may do anything with many
            return None
        return xp.astype(values, times.dtype) if same else None


def _is_coarse(bracket: Bracket) -> bool:
    """Whether SciPy's tolerance of a root, which is relative and absolute, is too large for its bracket."""
    begin, end = bracket
    return RTOL * max(1.0, abs(begin), abs(end)) > COARSE * abs(end - begin)


def _brackets(values: Array, direction: float) -> list[tuple[int, int]]:
    """Samples between which, or at which, an event with these values occurs."""
    if not values.shape[0]:
        return []
    signs = to_numpy(_signs(values if direction >= 0 else -values))
    changes = (signs[1:] != signs[:-1]).nonzero()[0].tolist()
    begins = [0, *(change + 1 for change in changes)]  # the first samples of runs of one sign
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


def _is_one_sided(values: Array | list[float]) -> bool:
    """Whether all values are positive, or all negative."""
    if isinstance(values, list):
        return len(values) > 0 and (min(values) > 0 or max(values) < 0)
    xp = array_namespace(values)
    return values.shape[0] > 0 and bool(xp.all(values > 0) | xp.all(values < 0))


def _signs(values: Array) -> Array:
    """Signs as integers."""
    xp = array_namespace(values)
    return xp.astype(values > 0, xp.int8) - xp.astype(values < 0, xp.int8)

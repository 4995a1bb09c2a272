"""The times in a span at which a recorded function has a kink or a jump in time alone, from its switches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from .switches import AFFINE, MONOTONE, SMOOTH, TABLE, WHOLE, ZERO, Switches

INSIDE = 2.0**-48
"""Distance from a corner, as a share of the larger end of the span: there, the function has its values of one side."""

SAMPLES, FEWEST = 16, 1024
"""Places in a piece at which functions that may turn are looked at, and in all pieces together."""

MOST = 100_000
"""Largest number of corners."""

SPACING = 2.0**-52
"""Distance of neighbouring numbers, as a share of them."""

HALVINGS = 64
"""Steps of the search for the place where a function passes a level: so many halvings leave neighbouring numbers."""

SEARCHED = 128
"""Members whose corners are searched one by one."""

ROUNDS = 3
"""Searches for what the levels did not show."""

SIZES = 1 << 20
"""Largest number of values that are looked at to see how strong corners are; of more, all count as jumps."""

SHORT, LONG = 1 / 64, 1 / 32
"""Shares of a piece in which slopes beside a corner are taken."""

JUMP = 1e-9
"""Smallest jump, as a share of the largest value."""


class TooManyError(ValueError):
    """A span has more corners than can be dealt with."""


def corners(switches: Switches, numbers: Sequence[Any], begin: float, end: float) -> Any:
    """
    Times of the corners, ascending, in a span from its lower end to its higher one; these may be among them.

    Affine and monotone functions pass each level once between neighbouring corners, so that nothing is missed. Other
    functions are sampled.

    Parameters
    ----------
    switches : Switches
    numbers : sequence
        Values of the arguments of the function after the state.
    begin, end : float

    Raises
    ------
    TooManyError
        If there are more than `MOST`.
    """
    found, counts = places(switches, numbers, begin, end)
    return found[counts]


def places(switches: Switches, numbers: Sequence[Any], begin: float, end: float) -> tuple[Any, Any]:
    """
    Places `(k,)` that divide a span, ascending, and whether they are corners; see `corners`.

    The others are where functions have their zeros and turning points, and the ends of the span.
    """
    if not (isfinite(begin) and isfinite(end)):
        found = _direct(switches, numbers)
        found = np.unique(found[(found >= begin) & (found <= end) & np.isfinite(found)])
        return found, np.ones(found.shape, bool)
    search = _Search(switches, numbers, begin, end)
    search.note(_direct(switches, numbers), True)
    if switches.degrees.size:
        for depth in range(int(switches.depths.max()) + 1):
            search.pass_levels(np.flatnonzero(switches.depths == depth))
        for _ in range(ROUNDS):
            if not search.look_again():
                break
    return search.found()


def strengths(switches: Switches, numbers: Sequence[Any], begin: float, end: float, corners: Any) -> Any:
    """
    How strong corners are: infinite where the function jumps.

    At a kink, an eighth of the change of the slope times the shorter one of the distances to the corners beside it,
    as a share of the largest value: so far the function is from the smooth one through its values at all corners, if
    they are those of a table; a quarter or more of the height of a pulse. All values count that depend on time and not
    on the state, and that the function reads.

    Parameters
    ----------
    switches, numbers, begin, end
        As for `corners`.
    corners : array, shape (k,)
        Those in the span.

    Returns
    -------
    array, shape (k,)
    """
    found = np.full(corners.shape, np.inf)
    inner = (corners > begin) & (corners < end)
    ends = np.concatenate([[begin], corners[inner], [end]])
    count = sum(ids.size for ids in switches.outputs.results)
    if not (np.isfinite(ends).all() and inner.any() and 6 * ends.size * count <= SIZES):
        return found
    low, high = ends[:-1], ends[1:]
    length = high - low
    moved = np.minimum(INSIDE * max(abs(begin), abs(end)), length / 256)
    shares = [0.0, SHORT, LONG]
    t = np.stack(
        [*(low + moved + share * length for share in shares), *(high - moved - share * length for share in shares)]
    )
    parts = values_of(switches.outputs, [np.asarray(one)[None] for one in numbers], t.ravel())
    values = np.concatenate(parts, axis=1).reshape(len(t), low.size, -1)
    with np.errstate(all="ignore"):
        scale = np.abs(values).max(axis=(0, 1))
        step = (SHORT * length)[:, None]
        after, before = (
            side * (4 * one - 3 * zero - two) / (2 * step)
            for side, (zero, one, two) in ((1, values[:3]), (-1, values[3:]))
        )
        apart = np.minimum(length[1:], length[:-1])[:, None] / 8
        kinks = np.abs(after[1:] - before[:-1]) * apart
        jumps = np.abs(values[0, 1:] - values[3, :-1]) > JUMP * scale + 4 * np.abs(after[1:]) * moved[1:, None]
        each = np.where(jumps | ~np.isfinite(kinks), np.inf, np.where(kinks > 0, kinks / scale, 0.0))
    found[inner] = each.max(axis=1, initial=0.0)
    return found


def corners_of_members(switches: Switches, numbers: Sequence[Any], begin: float, end: float) -> tuple[Any, bool]:
    """
    Corners of several members, `(members, k)`, ascending, with NaN behind those of members with fewer; whether all.

    The numbers have a first axis for members. Corners that need a search are left out if there are more than
    `SEARCHED` members: those that are not where an affine function of time is zero.
    """
    count, some = len(numbers[0]), np.flatnonzero(~switches.helps)
    is_affine = bool(switches.are_affine[some].all())
    if count <= SEARCHED and not is_affine:
        return filled([corners(switches, [one[k] for one in numbers], begin, end) for k in range(count)]), True
    tables = [np.broadcast_to(np.ravel(one), (count, np.size(one))) for one in switches.tables]
    parts = list(values_of(switches.direct, numbers, np.zeros(count))) if switches.direct.results else []
    if is_affine and some.size:
        parts.append(affine_zeros(switches, numbers, begin, end, some, is_exact=True)[0])
    return np.sort(np.concatenate([np.zeros((count, 0)), *tables, *parts], axis=1), axis=1), is_affine


def affine_zeros(
    switches: Switches, numbers: Sequence[Any], begin: float, end: float, some: Any, *, is_exact: bool = False
) -> tuple[Any, Any]:  # fmt: skip
    """
    Where affine functions of members are zero, `(members, k)`, NaN outside of the span; and their change over the span.

    `is_exact`: up to rounding of these times, and not only of the span.
    """
    count = len(numbers[0]) if numbers else 1
    values = levels(switches, _repeated(numbers, 2), np.repeat([begin, end], count), some)
    first, last = values[:count], values[count:]
    with np.errstate(all="ignore"):
        slopes = (last - first) / (end - begin)
        t = begin - first / slopes
        near = INSIDE * max(abs(begin), abs(end))
        t = np.where((t >= begin - near) & (t <= end + near), np.clip(t, begin, end), np.nan)
        if is_exact:
            size, columns = t.shape[1], np.arange(t.shape[1])
            off = levels(switches, _repeated(numbers, size), t.T.ravel(), some).reshape(size, count, size)
            moved = off[columns, :, columns].T / slopes
            t = np.where(np.abs(moved) <= near, t - moved, t)
    return t, np.abs(last - first)


def _repeated(numbers: Sequence[Any], times: int) -> list[Any]:
    """Numbers of members one after the other, several times."""
    return [one if len(one) == 1 else np.concatenate([one] * times) for one in numbers]


def filled(each: Sequence[Any]) -> Any:
    """Rows as one array, those that are shorter with NaN behind them."""
    found = np.full((len(each), max(map(len, each))), np.nan)
    for k, one in enumerate(each):
        found[k, : len(one)] = one
    return found


def _direct(switches: Switches, numbers: Sequence[Any]) -> Any:
    """Times at which the time itself is compared with something, or is an entry of a table."""
    found = [np.asarray(one, float).ravel() for one in switches.tables]
    if switches.direct.results:
        found += [one[0] for one in values_of(switches.direct, [np.asarray(one)[None] for one in numbers], np.zeros(1))]
    return np.concatenate(found) if found else np.zeros(0)


def values_of(program: Any, numbers: Sequence[Any], t: Any) -> Any:
    """Results of a program that does not read the state, at times `(m,)`, with numbers `(m, ...)` or `(1, ...)`."""
    count = t.shape[0]
    state = np.broadcast_to(np.zeros(()), (count, *program.arguments[1].shape))
    return program(t, state, *[np.broadcast_to(one, (count, *np.shape(one)[1:])) for one in numbers])


def levels(switches: Switches, numbers: Sequence[Any], t: Any, some: Any) -> Any:
    """Values `(m, k)` of the functions of some switches whose levels count; see `values_of`."""
    found = values_of(switches.program, numbers, t)
    half = len(found) // 2
    x, y = (np.concatenate(part, axis=1)[:, some] for part in (found[:half], found[half:]))
    with np.errstate(all="ignore"):
        x = np.where(switches.differs[some], x - y, np.where(switches.divides[some], x / y, x))
        return x * switches.scales[some] - switches.offsets[some]


@dataclass
class _Search:
    """The pieces of a span, whose ends are at places where switches may change."""

    switches: Switches
    numbers: Sequence[Any]
    begin: float
    end: float

    def __post_init__(self) -> None:
        self.near = INSIDE * max(abs(self.begin), abs(self.end))
        self._cuts = np.array([self.begin, self.end])
        self._counts = np.zeros(2, bool)
        self._numbers = [np.asarray(one)[None] for one in self.numbers]

    def note(self, times: Any, counts: Any) -> None:
        """Cut pieces at times, ascending or not; some count as corners, others only help to find these."""
        times = np.asarray(times, float)
        counts = np.broadcast_to(np.asarray(counts, bool), times.shape)
        is_inside = (times >= self.begin - self.near) & (times <= self.end + self.near)
        times, counts = times[is_inside], counts[is_inside]
        if not times.size:
            return
        if times.size + self._cuts.size > 2 * MOST:
            raise TooManyError
        ends, flags = np.array([self.begin, self.end]), self._counts
        for k in range(2):
            at_end = np.abs(times - ends[k]) <= self.near
            flags[-k] |= bool((at_end & counts).any())
            times, counts = times[~at_end], counts[~at_end]
        all_times, all_counts = np.concatenate([self._cuts, times]), np.concatenate([flags, counts])
        order = np.argsort(all_times, kind="stable")
        all_times, all_counts = all_times[order], all_counts[order]
        starts = np.concatenate([[True], np.diff(all_times) > self.near])
        group = np.cumsum(starts) - 1
        self._cuts = all_times[starts]
        self._cuts[-1] = self.end  # it comes last in its group
        self._counts = np.zeros(self._cuts.shape, bool)
        np.logical_or.at(self._counts, group, all_counts)

    def found(self) -> tuple[Any, Any]:
        """All places, and whether they are corners."""
        return self._cuts, self._counts

    def _levels(self, t: Any, some: Any) -> Any:
        """Values `(m, k)` of the functions of some switches whose levels count."""
        return levels(self.switches, self._numbers, t, some)

    def _sides(self, values: Any, some: Any) -> Any:
        """Numbers of the levels that values are above."""
        levels, found = self.switches.levels[some], np.zeros(values.shape)
        found[:, levels == ZERO] = values[:, levels == ZERO] > 0
        found[:, levels == WHOLE] = np.floor(values[:, levels == WHOLE])
        for k in np.flatnonzero(levels >= TABLE).tolist():
            found[:, k] = np.searchsorted(self.switches.searched[int(levels[k]) - TABLE], values[:, k])
        return found

    def _pieces(self) -> tuple[Any, Any]:
        """Both ends of all pieces, a little inside of them."""
        low, high = self._cuts[:-1], self._cuts[1:]
        moved = np.minimum(self.near, (high - low) / 256)
        return low + moved, high - moved

    def pass_levels(self, some: Any) -> None:
        """Cut pieces where the functions of some switches pass levels."""
        degrees = self.switches.degrees[some]
        for is_of, divide in ((degrees == AFFINE, self._cross_affine), (degrees >= MONOTONE, self._cross)):
            if is_of.any():
                divide(some[is_of])

    def _cross_affine(self, some: Any) -> None:
        low, high = self._pieces()
        values = self._levels(np.concatenate([low, high]), some)
        first, last = values[: low.size], values[low.size :]
        times, switch, every, slopes = [], [], [], []
        for k, number in enumerate(some.tolist()):
            levels, piece = self._between(first[:, k], last[:, k], int(self.switches.levels[number]))
            start, stop = first[piece, k], last[piece, k]
            slope = (stop - start) / (high - low)[piece]
            times.append(low[piece] + (levels - start) / slope)
            switch.append(np.full(piece.size, k))
            every.append(levels)
            slopes.append(slope)
        t, column = np.concatenate(times), np.concatenate(switch)
        if t.size:  # rounding is that of the span; after a step more, it is that of the time
            off = (self._levels(t, some)[np.arange(t.size), column] - np.concatenate(every)) / np.concatenate(slopes)
            t = np.where(np.abs(off) <= self.near, t - off, t)
            self.note(t, ~self.switches.helps[some[column]])

    def _between(self, first: Any, last: Any, kind: int) -> tuple[Any, Any]:
        """Levels between pairs of values, and the numbers of the pairs."""
        low, high = np.minimum(first, last), np.maximum(first, last)
        usable = np.isfinite(low) & np.isfinite(high)
        low, high = np.where(usable, low, 0.0), np.where(usable, high, 0.0)
        if kind == ZERO:
            piece = np.flatnonzero((low <= 0) & (high >= 0) & (low < high))
            return np.zeros(piece.size), piece
        table = None if kind == WHOLE else np.asarray(self.switches.searched[kind - TABLE], float)
        if table is None:
            start, stop = np.ceil(low), np.floor(high) + 1
        else:
            start, stop = np.searchsorted(table, low, "left"), np.searchsorted(table, high, "right")
        sizes = np.where(low < high, np.maximum(stop - start, 0), 0)
        if sizes.sum() > 2 * MOST:
            raise TooManyError
        sizes = sizes.astype(int)
        piece = np.repeat(np.arange(sizes.size), sizes)
        places = start[piece] + np.arange(piece.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return (places if table is None else table[places.astype(int)]), piece

    def _cross(self, some: Any) -> None:
        """Where functions that are not affine pass levels; those that may turn are sampled."""
        low, high = self._pieces()
        is_smooth = bool((self.switches.degrees[some] == SMOOTH).any())
        count = max(SAMPLES, -(-FEWEST // low.size)) if is_smooth else 1
        shares = np.arange(count + 1) / count
        t = (low[:, None] + shares * (high - low)[:, None]).ravel()
        values = self._levels(t, some)
        starts = np.flatnonzero(np.arange(t.size) % (count + 1) < count)
        brackets, switch, level = [], [], []
        for k, number in enumerate(some.tolist()):
            found, piece = self._between(values[starts, k], values[starts + 1, k], int(self.switches.levels[number]))
            brackets.append(starts[piece])
            switch.append(np.full(piece.size, number))
            level.append(found)
        places, numbers, levels = map(np.concatenate, (brackets, switch, level))
        if places.size:
            times = self._passed(t[places], t[places + 1], numbers, levels)
            self.note(times, ~self.switches.helps[numbers])

    def _passed(self, low: Any, high: Any, numbers: Any, levels: Any) -> Any:
        """
        Where functions pass levels between two times: regula falsi, with the halved values of the Illinois method.

        Dowell and Jarratt, BIT 11 (1971) 168. Every third time, the interval is halved.
        """
        used, column = np.unique(numbers, return_inverse=True)
        rows = np.arange(low.size)

        def above(t: Any) -> Any:
            return self._levels(t, used)[rows, column] - levels

        at_low, at_high = above(low), above(high)
        last, apart = np.zeros(low.shape, int), SPACING * np.maximum(np.abs(low), np.abs(high))
        for k in range(3 * HALVINGS):
            middle = low + (high - low) / 2
            if bool(((high - low <= 4 * apart) | (middle == low) | (middle == high)).all()):
                break
            with np.errstate(all="ignore"):
                t = middle if k % 3 == 2 else low - at_low * ((high - low) / (at_high - at_low))
            t = np.where(np.isnan(t), middle, np.clip(t, low + apart, high - apart))  # both ends are to close in
            t = np.where(high - low > 2 * apart, t, middle)
            value = above(t)
            same = (value > 0) == (at_low > 0)
            at_low, at_high = (
                np.where(same, value, np.where(last < 0, at_low / 2, at_low)),
                np.where(same, np.where(last > 0, at_high / 2, at_high), value),
            )
            low, high = np.where(same, t, low), np.where(same, high, t)
            last = np.where(same, 1, -1)
        return high

    def look_again(self) -> bool:
        """Whether switches change within pieces, or at the ends of the span; cut there."""
        low, high = self._pieces()
        some = np.flatnonzero(~self.switches.helps)
        ends = np.array([self.begin, self.end])
        t = np.concatenate([low, low + (high - low) / 2, high, ends])
        sides = self._sides(self._levels(t, some), some)
        at, middle, to = sides[: low.size], sides[low.size : 2 * low.size], sides[2 * low.size : -2]
        self._counts[0] |= bool((sides[-2] != at[0]).any())
        self._counts[-1] |= bool((sides[-1] != to[-1]).any())
        centre = low + (high - low) / 2
        times = [self._changed(low, centre, at, middle, some), self._changed(centre, high, middle, to, some)]
        found = np.concatenate(times)
        self.note(found, True)
        return bool(found.size)

    def _changed(self, low: Any, high: Any, before: Any, after: Any, some: Any) -> Any:
        """Where the first change between two times is, if there is any."""
        with np.errstate(all="ignore"):
            differs = ((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=1)
        low, high, before = low[differs], high[differs], before[differs]
        for _ in range(HALVINGS if low.size else 0):
            middle = low + (high - low) / 2
            if bool(((middle == low) | (middle == high)).all()):
                break
            same = (self._sides(self._levels(middle, some), some) == before).all(axis=1)
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return high

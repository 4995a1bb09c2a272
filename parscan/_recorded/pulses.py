"""Times at which steps are to end so that they do not pass over narrow pulses of a smooth function of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .corners import INSIDE, SEARCHED, TooManyError, affine_zeros, filled, places, values_of
from .switches import Switches

NARROW = 1 / 32
"""Share of the span: what is wider is seen by steps, whose length is limited."""

SCALES = 40
"""Distances from a place that are looked at, each one half of the last."""

MULTIPLES = 1.0, 4.0, 16.0
"""Where steps end beside a narrow change, in distances at which it is largest."""

SURE = 512 * 2.0**-52
"""Changes that are no rounding, as a share of the values, and of their slope times the time."""

NEAR = 64 * INSIDE
"""Smallest distance of stops, as a share of their times."""

LOOKED, AT_ONCE = 1 << 24, 1 << 16
"""Largest number of values that are looked at in all, and of times at once."""


def stops(switches: Switches, numbers: Sequence[Any], begin: float, end: float, cuts: Any = None) -> Any:
    """
    Times, ascending, at the centres of narrow changes and on both sides of them, without the ends of the span.

    The operations tell where the centres can be: where the argument of a square, of an exponential function or of a
    hyperbolic one is zero. All values that depend on time alone are looked at in distances from there that are halved
    again and again. At each of them, the difference of the slopes on both sides, times the distance, tells by how much
    the values are not those of a straight line. Of a function that is smooth at all distances, this falls as they do;
    at the distance where it has a maximum there is a change of this width.

    Parameters
    ----------
    switches, numbers, begin, end
        As for `corners`.
    cuts : array, shape (k,), optional
        Places where the centres can be; see `places`. They are not needed if the switches are plain.

    Raises
    ------
    TooManyError
        If there are too many places.
    """
    if not _looks(switches):
        return np.zeros(0)
    if switches.is_plain:
        (times,) = stops_of_members(switches, [np.asarray(one)[None] for one in numbers], begin, end)
        return times
    owner, numbers = np.zeros(cuts.size - 1, int), [np.asarray(one)[None] for one in numbers]
    return _apart(*_of_gaps(switches, numbers, owner, cuts[:-1], cuts[1:], end - begin), begin, end)[0]


def stops_of_members(switches: Switches, numbers: Sequence[Any], begin: float, end: float) -> Any:
    """
    The same for several members, `(members, k)`, with NaN behind those of members with fewer.

    The numbers have a first axis for members. Of more than `SEARCHED` members, the switches must be plain, and members
    that have no centre within the span are not looked at: mostly there is a decay from the begin on.

    Raises
    ------
    TooManyError
        If there are too many places, or too many members.
    """
    count = len(numbers[0]) if numbers else 1
    if not _looks(switches):
        return np.zeros((count, 0))
    if not switches.is_plain:
        if count > SEARCHED:
            raise TooManyError
        each = [[one[k] for one in numbers] for k in range(count)]
        return filled([stops(switches, one, begin, end, places(switches, one, begin, end)[0]) for one in each])
    found, changes = affine_zeros(switches, numbers, begin, end, slice(None))
    found = np.where(np.isfinite(found), found, begin)
    looks = ((found > begin) & (found < end)).any(axis=1) | (count <= SEARCHED)
    if switches.is_scaled.all():
        looks &= (changes > 1 / NARROW).any(axis=1)
    edge = np.ones((count, 1))
    cuts = np.sort(np.concatenate([begin * edge, found, end * edge], axis=1), axis=1)
    cuts[~looks] = begin
    owner = np.repeat(np.arange(count), cuts.shape[1] - 1)
    times, owner = _of_gaps(switches, numbers, owner, cuts[:, :-1].ravel(), cuts[:, 1:].ravel(), end - begin)
    return _rows(*_apart(times, owner, begin, end), count)


def _looks(switches: Switches) -> bool:
    """Whether there can be pulses, and what depends on them is known."""
    return switches.is_sharp and bool(switches.helps.any()) and bool(switches.outputs.results)


def _apart(times: Any, owner: Any, begin: float, end: float) -> tuple[Any, Any]:
    """Times within the span, ascending for each owner, those left out that are as near to others as rounding."""
    order = np.lexsort((times, owner))
    times, owner = times[order], owner[order]
    near = NEAR * np.abs(times)
    some = (times > begin + near) & (times < end - near)
    times, owner, near = times[some], owner[some], near[some]
    some = (np.diff(times, prepend=-np.inf) > near) | (np.diff(owner, prepend=-1) > 0)
    return times[some], owner[some]


def _rows(times: Any, owner: Any, count: int) -> Any:
    """Times of each owner in a row of its own, with NaN behind those with fewer."""
    place = np.arange(owner.size) - np.searchsorted(owner, owner)
    found = np.full((count, int(place.max(initial=-1)) + 1), np.nan)
    found[owner, place] = times
    return found


def _of_gaps(
    switches: Switches, numbers: Sequence[Any], owner: Any, low: Any, high: Any, span: float
) -> tuple[Any, Any]:  # fmt: skip
    """The times between places that are neighbours, and the places at which something is found; and their owners."""
    count = sum(ids.size for ids in switches.outputs.results)
    some = np.flatnonzero(low < high)
    if 2 * SCALES * some.size * count > LOOKED:
        raise TooManyError
    times, owners, size = [np.zeros(0)], [np.zeros(0, int)], max(1, AT_ONCE // (2 * SCALES))
    for first in range(0, some.size, size):
        part = some[first : first + size]
        own = [one if len(one) == 1 else one[np.tile(owner[part], 2 * SCALES)] for one in numbers]
        for found, gaps in _changes(switches, own, low[part], high[part], span):
            times.append(found)
            owners.append(owner[part][gaps])
    return np.concatenate(times), np.concatenate(owners)


def _changes(
    switches: Switches, numbers: Sequence[Any], low: Any, high: Any, span: float
) -> list[tuple[Any, Any]]:  # fmt: skip
    """Times at centres of changes, and beside them; and the numbers of their gaps."""
    centre, way = np.stack([low, high]), np.array([1.0, -1.0])[:, None]
    length = (high - low) / 2 * 2.0 ** -np.arange(SCALES)[:, None]
    t = centre + way * length[:, None]  # (scales, sides, gaps)
    values = np.concatenate(values_of(switches.outputs, numbers, t.ravel()), axis=1).reshape(*t.shape, -1)
    apart = np.abs(t[:-1] - t[1:])[..., None]
    with np.errstate(all="ignore"):
        slopes = np.where(apart > 0, (values[:-1] - values[1:]) / apart, 0.0)
        bent = np.abs(slopes[:-1] - slopes[1:]) * apart[:-1]
        rounding = np.abs(values).max(axis=0) + np.abs(slopes).max(axis=0) * np.abs(centre)[..., None]
        bent = np.where(bent > SURE * rounding, bent, 0.0)
    # At the widest distance there is no maximum: it is no narrower than the places are apart, as a wave is.
    peaks = np.zeros((SCALES - 2, *centre.shape), bool)
    peaks[1:-1] = ((bent[1:-1] >= bent[:-2]) & (bent[1:-1] > bent[2:])).any(axis=-1)
    scale, side, gap = np.nonzero(peaks & (length[:-2, None] < NARROW * span))
    near, half, middle, sign = length[scale, gap], length[0, gap], centre[side, gap], way[side, 0]
    found = [(middle, gap)]
    for many in MULTIPLES:
        some = near * many <= half
        found.append(((middle + sign * near * many)[some], gap[some]))
    return found

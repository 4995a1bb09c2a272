"""Whether steps chatter along a threshold: they cross it again and again, and the slopes on both sides lead back."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree
from ..._recorded.budget import NoCodeError
from .jumping import LARGEST, Jumping
from .recorded_gradient import entering, recording_of
from .saltation import rates_of
from .slide import Slide

ROW, OFTEN = 32, 3
"""Steps in a row, and crossings of one threshold by them, from which on slopes are looked at."""

LOOKED_AT = 4
"""So many crossings, at most, are looked at: solutions that only pass a threshold have slopes of one sign there."""


def slide_of(rhs: RightHandSide, t: Array, states: Array) -> Slide | None:
    """The slide of steps with ends at times `(m,)` and states `(m, *batch, n)`; None if none is known."""
    xp = array_namespace(t)
    try:
        found = _recorded(rhs)
    except NoCodeError:
        return None
    if found is None or t.shape[0] * found.matters.shape[0] > LARGEST:
        return None
    with quiet():
        sides = found.at(t, states)
        flips = (sides[1:, :] != sides[:-1, :]) & (found.modes.by_state & ~found.modes.kinks)[None, :]
        none = xp.zeros((1, flips.shape[1]), dtype=xp.int64)
        count = xp.concat([none, xp.cumulative_sum(xp.astype(flips, xp.int64), axis=0)])
        row = min(ROW, flips.shape[0])
        rows, guards = xp.nonzero(count[row:, :] - count[:-row, :] >= OFTEN)
        if not rows.shape[0]:
            return None
        first, guard = int(rows[0]), int(guards[0])
        places = first + xp.nonzero(flips[first : first + row, guard])[0][:LOOKED_AT]
        times, own = t[places], states[places, ...]
        left, right = (found.values(times, own, sides[places + step, :]) for step in (0, 1))
        if not agree(left, rhs(times, own), machine_epsilon(states.dtype) ** 0.5, times, own, rhs):
            return None
        for k, place in enumerate(places.tolist()):
            slopes = found.slopes((guard,), float(times[k]), own[k, ...], sides[place, :])[guard]
            before, after = rates_of(found, slopes, left[k, ...], right[k, ...])
            if not float(before * after) < 0:
                return None
    return Slide(float(times[0]))


def _recorded(rhs: RightHandSide) -> Jumping | None:
    """The right-hand side with its modes; None if it has none."""
    from ..._recorded.modes import modes  # noqa: PLC0415 - slow to import

    recording = recording_of(rhs, ())
    if "modes" not in recording.notes:
        with entering():
            recording.notes["modes"] = modes(recording)
    return None if recording.notes["modes"] is None else Jumping(rhs, (), recording, recording.notes["modes"])

"""What a user may say of times at which the right-hand side jumps, where a solve has shown some."""

from __future__ import annotations

from math import floor, log10

from ..._arrays.namespace import array_namespace
from ..._functions.breaks import are_breaks, union
from ..mesh.march import Record
from ..mesh.window import Task

NAMED = 3
"""Times that are named."""

TOGETHER = 1e-3
"""Share of the span within which times count as one place."""

PILE = 3
"""Windows that end at one place before they should, from which on it is one to speak of."""


def of_jumps(task: Task, record: Record, span: tuple[float, float]) -> str:
    """That `jumps` takes the times which were found, or at which windows pile up; nothing where there are none."""
    length = abs(span[1] - span[0])
    if found := _found(task, record):
        places = found if span[1] > span[0] else found[::-1]
        return (
            f" `fun` or its slope jumps at t = {_named(places, length)}: where such times are known, pass them as "
            "`jumps`, and they need not be looked for."
        )
    if not record.failure and (piled := _piled(record, length)):
        return (
            f" Windows ended again and again near t = {_named(piled, length)}: if `fun` jumps there, pass the times as "
            "`jumps`."
        )
    return ""


def _found(task: Task, record: Record) -> list[float]:
    """Breakpoints of the solution that were not known before, ascending."""
    found = union(*(piece.breaks for piece in record.pieces))
    if found is None or found is task.breaks:
        return []
    xp = array_namespace(found)
    new = found if task.breaks is None else found[~are_breaks(found, task.breaks)]
    last = max(float(xp.max(piece.t)) for piece in record.pieces)
    first = min(float(xp.min(piece.t)) for piece in record.pieces)
    return [float(new[k]) for k in range(new.shape[0]) if first < float(new[k]) < last]


def _piled(record: Record, length: float) -> list[float]:
    """Places at which many windows ended, or one had to be followed, in the order of the solution."""
    places: list[list[float]] = []
    for time in record.cut_short:
        if places and abs(time - places[-1][-1]) <= TOGETHER * length:
            places[-1].append(time)
        else:
            places.append([time])
    return [place[0] for place in places if len(place) >= PILE or set(place) & set(record.followed_from)]


def _named(times: list[float], length: float) -> str:
    """Some of the times, rounded to what the length of the span lets tell apart."""
    digits = 5 - floor(log10(length))
    names = ", ".join(f"{round(time, digits):.15g}" for time in times[:NAMED])
    more = len(times) - NAMED
    return f"{names} and at {more} more time{'s' if more > 1 else ''}" if more > 0 else names

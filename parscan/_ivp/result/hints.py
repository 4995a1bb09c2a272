"""Hints for users at the end of a message: times of jumps, and the zeros of a large Jacobian."""

from __future__ import annotations

from math import floor, log10

from ..._arrays.namespace import Array, array_namespace
from ..core.mesh import among, union
from ..mesh.march import Record
from ..mesh.window import Task

NAMED = 3
"""Largest number of times in a hint."""

TOGETHER = 1e-3
"""Times within this share of the span count as one place."""

PILE = 3
"""A hint names a place at which at least this many windows end early."""

LARGE = 50
"""Least number of components with which a sparse Jacobian is worth a hint."""

SPARSE = 0.2
"""Largest share of nonzero entries of a sparse Jacobian."""


def of_jumps(task: Task, record: Record, span: tuple[float, float]) -> str:
    """Hint at the option `jumps`: for jumps that were found, or times at which many windows end; empty without any."""
    length = abs(span[1] - span[0])
    if found := _found(task, record):
        places = found if span[1] > span[0] else found[::-1]
        return (
            f" `fun` or its slope jumps at t = {_named(places, length)}: where such times are known, pass them as "
            "`jumps`, and they need not be found."
        )
    if not record.failure and (piled := _piled(record, length)):
        return (
            f" Windows ended again and again near t = {_named(piled, length)}: if `fun` jumps there, pass the times as "
            "`jumps`."
        )
    return ""


def of_zeros(jacobian: Array) -> str:
    """Hint at SciPy's solvers for sparse Jacobians; empty if the Jacobian `(n, n)` of one interval is not sparse."""
    xp, n = array_namespace(jacobian), jacobian.shape[-1]
    if n < LARGE:
        return ""
    rows, columns = xp.nonzero(jacobian)
    share = rows.shape[0] / (n * n)
    if share > SPARSE or not rows.shape[0]:
        return ""
    lower, upper = (max(0, int(xp.max(x))) for x in (rows - columns, columns - rows))
    banded = f", or `lband={lower}` and `uband={upper}`" if lower + upper < SPARSE * n else ""
    return (
        f" Of its Jacobian, {100 * share:.2g} % of the entries are not zero: with `jac_sparsity`{banded}, SciPy's "
        "sequential solvers would make use of that."
    )


def _found(task: Task, record: Record) -> list[float]:
    """Breakpoints of the solution that were not known before, ascending."""
    found = union(*(piece.breaks for piece in record.pieces))
    if found is None or found is task.breaks:
        return []
    xp = array_namespace(found)
    new = found if task.breaks is None else found[~among(found, task.breaks)]
    last = max(float(xp.max(piece.t)) for piece in record.pieces)
    first = min(float(xp.min(piece.t)) for piece in record.pieces)
    return [float(new[k]) for k in range(new.shape[0]) if first < float(new[k]) < last]


def _piled(record: Record, length: float) -> list[float]:
    """Places at which many windows ended, or sequential steps took over, in the order of the solution."""
    places: list[list[float]] = []
    for time in record.cut_short:
        if places and abs(time - places[-1][-1]) <= TOGETHER * length:
            places[-1].append(time)
        else:
            places.append([time])
    return [place[0] for place in places if len(place) >= PILE or set(place) & set(record.followed_from)]


def _named(times: list[float], length: float) -> str:
    """The first times in words, rounded to six digits of the length of the span, and the number of the others."""
    digits = 5 - floor(log10(length))
    names = ", ".join(f"{round(time, digits):.15g}" for time in times[:NAMED])
    more = len(times) - NAMED
    return f"{names} and at {more} more time{'s' if more > 1 else ''}" if more > 0 else names

"""The estimated errors of a solution, and advice where the user's mesh is too coarse for the tolerances."""

from __future__ import annotations

from math import ceil, isfinite, isnan, nan

from ..._arrays.namespace import array_namespace
from .global_error import is_unexplained
from .march import Record
from .window import Task


def largest_error(record: Record, task: Task, intervals: int) -> float:
    """
    The largest estimated error of the leading intervals, and of the state after them, in tolerances.

    NaN where none is known. On a mesh that was given, that of the state counts where it is bad, and the others are not.
    """
    if not record.errors:
        return nan
    xp = array_namespace(record.errors[0])
    errors = xp.concat(record.errors)[:intervals]
    known = errors[~xp.isnan(errors)]
    largest, (last, floor) = float(xp.max(known)) if known.shape[0] else nan, last_error(record, intervals)
    counts = is_unexplained(last, floor) and not largest > 1 if task.fixed else not isnan(last)
    return max(last, largest) if counts else largest


def last_error(record: Record, intervals: int) -> tuple[float, float]:
    """
    The estimated error of the state after the leading intervals, in tolerances, and what rounding may change there.

    NaN where the error is not known, as it is where errors hardly grow.
    """
    if not record.sizes or not intervals:
        return nan, nan
    xp = array_namespace(record.sizes[0])
    sizes, floors = (xp.concat(some)[intervals - 1] for some in (record.sizes, record.floors))
    return float(sizes), float(floors)


def is_coarse(task: Task, estimate: float) -> bool:
    """Whether errors on a mesh that was given exceed the tolerances."""
    return task.fixed and not isnan(estimate) and estimate > 1


def of_coarse_mesh(task: Task, estimate: float) -> str:
    """The advice."""
    more = f" ({ceil(estimate ** (1 / task.method.error_power))} in place of one there)" if isfinite(estimate) else ""
    own = ", or without `mesh` the times of `t_eval`," if task.method.is_on_output else ""
    return (
        "The largest error of an interval, or of the last state, as errors grow along the solution, is estimated at "
        f"{estimate:.2g} tolerances: errors are not controlled on a mesh that is given. Pass a `mesh`{own} with more "
        f"intervals{more}, or larger `rtol` and `atol`; and if `fun` jumps at times within intervals, pass them as "
        "`jumps`."
    )

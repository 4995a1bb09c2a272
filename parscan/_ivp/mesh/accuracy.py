"""The estimated errors of a solution, and advice where the user's mesh is too coarse for the tolerances."""

from __future__ import annotations

from math import ceil, isfinite, isnan, nan

from ..._arrays.namespace import array_namespace
from .march import Record
from .window import Task


def largest_error(record: Record, intervals: int) -> float:
    """The largest estimated error of the leading intervals, in tolerances; NaN where none is known."""
    if not record.errors:
        return nan
    xp = array_namespace(record.errors[0])
    errors = xp.concat(record.errors)[:intervals]
    known = errors[~xp.isnan(errors)]
    return float(xp.max(known)) if known.shape[0] else nan


def is_coarse(task: Task, estimate: float) -> bool:
    """Whether errors on a mesh that was given exceed the tolerances."""
    return task.fixed and not isnan(estimate) and estimate > 1


def of_coarse_mesh(task: Task, estimate: float) -> str:
    """The advice."""
    more = f" ({ceil(estimate ** (1 / task.method.error_power))} in place of one there)" if isfinite(estimate) else ""
    own = ", or without `mesh` the times of `t_eval`," if task.method.is_on_output else ""
    return (
        f"The largest error of an interval is estimated at {estimate:.2g} tolerances: errors are not controlled on a "
        f"mesh that is given. Pass a `mesh`{own} with more intervals{more}, or larger `rtol` and `atol`; and if `fun` "
        "jumps at times within intervals, pass them as `jumps`."
    )

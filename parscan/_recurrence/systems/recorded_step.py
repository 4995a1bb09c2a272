"""The step, recorded: the recordings that its solves and its derivatives share."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, library, to_numpy
from ..._functions.step import Step
from ..._recorded.budget import NoCodeError

if TYPE_CHECKING:
    from ..._recorded.record import Recording

MOST_NODES, MOST_OF_BATCH = 300_000, 3_000_000
"""
Largest number of nodes of a graph, constants included, before recording ends, for single states and for wide batches.
"""

WIDE = 100
"""For each further group of this many members of a batch, as many nodes are allowed again."""


def record_step(step: Step, states: Array) -> Recording:
    """Record the step on one of some states; raises `NoCodeError`."""
    return _checked(states, *to_record(step, states))


def recorded_step(
    step: Step, states: Array, function: Any, more: tuple[Any, ...], others: tuple[Any, ...]
) -> Recording:  # fmt: skip
    """Record a function that takes `more` examples after those of the step, and `others`; raises `NoCodeError`."""
    _, examples, _, limit = to_record(step, states)
    return _checked(states, function, [*examples, *more], others, limit)


def recorded_member(
    step: Step, states: Array, function: Any, more: tuple[Any, ...], others: tuple[Any, ...]
) -> Recording:  # fmt: skip
    """The same for the first member of a batch, as if it were alone."""
    _, examples, _, limit = to_record(step, states)
    alone = [of_member(one, states.shape[1:-1]) for one in examples]
    return _checked(alone[0], function, [*alone, *more], others, limit)


def recorded_on_device(step: Step, states: Array, *, alone: bool) -> Recording:
    """
    Record the step on arrays of a device, for the first member of a batch, as if it were alone, or for all of them.

    It is not kept: nothing tells whether arrays on a device have changed. Raises `NoCodeError`.
    """
    from ..._recorded.record import NotRecordedError, record  # noqa: PLC0415 - slow to import

    _, examples, args, limit = to_record(step, states)
    given = [_on_host(one) for one in examples]
    if alone:
        given = [of_member(one, tuple(states.shape[1:-1])) for one in given]
    try:
        recording = record(step.value, given, args, limit=limit)
    except NotRecordedError as error:
        raise NoCodeError(error.reason + (f" ({error.place})" if error.place else "")) from error
    if alone and given[0].shape[1:] != recording.shape[1:] == tuple(states.shape[1:]):
        raise NoCodeError("has numbers for each member of its batch")
    if recording.shape != given[0].shape or recording.dtype != given[0].dtype:
        raise NoCodeError(f"returns {recording.dtype} of the shape {recording.shape} when it is recorded")
    return recording


def _on_host(array: Any) -> Any:
    """NumPy's arrays in place of others."""
    return tuple(map(_on_host, array)) if isinstance(array, tuple) else to_numpy(array)


def of_member(array: Any, batch: tuple[int, ...]) -> Any:
    """Rows of the first member; those of arrays without the axes of the batch."""
    if isinstance(array, tuple):
        return tuple(of_member(one, batch) for one in array)
    has_batch = array.shape[1 : 1 + len(batch)] == batch
    return array[(slice(None), *[slice(0, 1)] * len(batch))] if has_batch else array


def _checked(states: Array, function: Any, examples: list[Any], args: tuple[Any, ...], limit: int) -> Recording:
    from ..._recorded.memo import remembered  # noqa: PLC0415 - slow to import
    from ..._recorded.record import NotRecordedError  # noqa: PLC0415

    if library(states) != "numpy":
        raise NoCodeError("works on arrays of another library than NumPy")
    try:
        recording = remembered(function, examples, args, limit)
    except NotRecordedError as error:
        raise NoCodeError(error.reason + (f" ({error.place})" if error.place else "")) from error
    if recording.shape != states[:1, ...].shape or recording.dtype != states.dtype:
        raise NoCodeError(f"returns {recording.dtype} of the shape {recording.shape} when it is recorded")
    return recording


def to_record(step: Step, states: Array) -> tuple[Any, list[Any], tuple[Any, ...], int]:
    """The function, examples of its first arguments, the other arguments, and the largest number of nodes."""
    inputs, limit = step.inputs(slice(0, 1)), MOST_NODES * (1 + prod(states.shape[1:-1]) // WIDE)
    examples = [states[:1, ...], *([] if inputs is None else [inputs])]
    return step.value, examples, step.args, min(limit, MOST_OF_BATCH)

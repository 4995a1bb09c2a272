"""From the record of a march to the result that a user reads."""

from __future__ import annotations

from ._arrays import Array
from ._march import Record
from ._result import RecurrenceResult, Status
from .systems import Step

TOLD = 4
"""Solves that a message tells of one by one."""


def wrap(step: Step, trajectory: Array, record: Record, segment_length: int) -> RecurrenceResult:
    """The result, with NaN behind a state that is not finite; `segment_length` 0 stands for the loop."""
    steps = trajectory.shape[0]
    finite = record.reached == steps
    if not finite:
        trajectory[record.reached + 1 :, ...] = float("nan")
    names = [name for name, _ in record.outcomes]
    if record.looped or not names:
        names.append("sequential")
    status = _status(record, finite=finite)
    return RecurrenceResult(
        y=trajectory,
        success=finite,
        status=status,
        message=_message(status, record, steps),
        method=", ".join(dict.fromkeys(names)),
        iterations=len(record.history),
        nfev=step.nfev,
        npoints=step.npoints,
        njev=step.njev,
        residual=record.residual if finite else float("nan"),
        history=record.history,
        segment_length=segment_length,
    )


def _status(record: Record, *, finite: bool) -> Status:
    """How the march ended."""
    if not finite:
        return Status.NOT_FINITE
    if not record.outcomes:
        return Status.SEQUENTIAL
    return Status.FINISHED_SEQUENTIALLY if record.looped else Status.CONVERGED


def _message(status: Status, record: Record, steps: int) -> str:
    """The status, the story of each method, and advice."""
    parts = [status.value]
    if status is Status.NOT_FINITE:
        parts.append(
            f"The state of step {record.reached} of {steps} is the first with NaN or infinite entries; evaluate `step` "
            f"on the state before it, and check the inputs there."
        )
    for name, outcome in record.outcomes[:TOLD]:
        count = len(outcome.history)
        note = f" ({outcome.note})" if outcome.note else ""
        parts.append(f"{name}: {outcome.ending.value}{note} after {count} iteration{'s' * (count != 1)}.")
    if len(record.outcomes) > TOLD:
        parts.append(f"And so on, {len(record.outcomes)} solves in all.")
    if record.looped and record.outcomes:
        parts.append(f"The loop evaluated {record.looped} of {steps} steps.")
    return " ".join(parts)

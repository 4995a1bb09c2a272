"""From the record of a march to the result that a user reads."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays.namespace import Array
from .._engine.march import Record, Solve
from .._functions.counts import Counts
from .._functions.step import Step
from .._reporting.result_base import Deferred
from .advice import advice
from .checks.contradiction import Finding
from .checks.whole_numbers import Inexact
from .derivatives.solution import Solution
from .result import Attempt, RecurrenceResult, Status

NAMED = 4
"""Number of solves that a message names one by one."""

_BY_LOOP = Status.SEQUENTIAL.value


def build_result(
    step: Step,
    trajectory: Array,
    record: Record,
    solution: Solution | Deferred[Solution],
    choice: str,
    segment_length: int,
    trouble: Finding | Inexact | None = None,
    *,
    compiled: bool = False,
    advised: bool = True,
    linearised: tuple[str, ...] = (),
) -> RecurrenceResult:
    """The result, with NaN after the first state that is not finite; `segment_length` is 0 for the loop.

    `choice` is the sentence of `auto` about its choice. `compiled`: steps ran as machine code. `trouble` is a
    contradiction, or an inexact integer, on the finished trajectory. `advised`: the message has advice if the loop was
    needed. `linearised` are sentences on where derivatives of the methods came from.
    """
    steps = trajectory.shape[0]
    finite = record.reached == steps
    if not finite:
        trajectory[record.reached + 1 :, ...] = float("nan")
    if isinstance(trouble, Inexact):
        trajectory[trouble.time :, ...] = float("nan")
    names = [attempt.method for attempt in record.solves]
    if record.looped or not names:
        names.append("sequential")
    status = _status(record, trouble, finite=finite)
    made = solution.made if isinstance(solution, Deferred) else lambda: solution
    story = _story(record, choice, steps, lambda: made().jumps, advised=finite and advised)
    return RecurrenceResult(
        y=trajectory,
        success=finite and trouble is None,
        status=status,
        message=" ".join([status.value, *_trouble(record, steps, trouble), *story]),
        method=", ".join(dict.fromkeys(names)),
        iterations=len(record.history),
        nfev=step.counts.nfev,
        npoints=step.counts.npoints,
        njev=step.counts.njev,
        history=record.history,
        decisions=(*_decisions(record, choice, steps), *linearised),
        attempts=tuple(map(_attempt, record.solves)),
        looped=record.looped,
        compiled=compiled,
        segment_length=segment_length,
        _solution=solution,
    )


def result_of_loop(
    trajectory: Array, looped: int, solution: Solution | Deferred[Solution], choice: str, counts: Counts
) -> RecurrenceResult:
    """The same for a loop that was chosen at the start and ended well, in a fraction of the time."""
    found = object.__new__(RecurrenceResult)
    found.__dict__.update(
        y=trajectory,
        success=True,
        status=Status.SEQUENTIAL,
        message=f"{_BY_LOOP} {choice}",
        method="sequential",
        iterations=0,
        nfev=counts.nfev,
        npoints=counts.npoints,
        njev=counts.njev,
        history=(),
        decisions=(choice,),
        attempts=(),
        looped=looped,
        compiled=False,
        segment_length=0,
        _solution=solution,
    )
    return found


def _status(record: Record, trouble: Finding | Inexact | None, *, finite: bool) -> Status:
    """The status of a march, and of the checks of its trajectory."""
    if trouble:
        return Status.INEXACT if isinstance(trouble, Inexact) else Status.NONDETERMINISTIC
    if not finite:
        return Status.NOT_FINITE
    if not record.solves:
        return Status.SEQUENTIAL
    return Status.FINISHED_SEQUENTIALLY if record.looped else Status.CONVERGED


def _trouble(record: Record, steps: int, trouble: Finding | Inexact | None) -> list[str]:
    """Sentences that say why the solve did not succeed."""
    if trouble:
        return [str(trouble)]
    if record.reached < steps:
        return [
            f"The state of step {record.reached} of {steps} is the first with NaN or infinite entries; evaluate `step` "
            "on the state before it, and check the inputs there."
        ]
    return []


def _decisions(record: Record, choice: str, steps: int) -> tuple[str, ...]:
    """One sentence each for the choice, every solve and the loop."""
    decisions = [choice] if choice else []
    decisions += [_sentence(attempt) for attempt in record.solves]
    if record.looped and record.solves:
        decisions.append(_of_loop(record, steps))
    return tuple(decisions)


def _attempt(solve: Solve) -> Attempt:
    """One solve as data."""
    return Attempt(solve.method, solve.begin, solve.end, solve.reached, len(solve.history), solve.termination)


def _of_loop(record: Record, steps: int) -> str:
    """The part of the loop in words."""
    return f"The loop evaluated {record.looped} of {steps} steps."


def _sentence(attempt: Solve) -> str:
    """One solve in words."""
    count = len(attempt.history)
    note = f" ({attempt.note})" if attempt.note else ""
    solved = f"{attempt.method}: {attempt.termination.value}{note} after {count} iteration{'s' * (count != 1)}"
    return f"{solved} on the steps {attempt.begin} to {attempt.end}."


def _story(record: Record, choice: str, steps: int, jumps: Callable[[], bool], *, advised: bool) -> list[str]:
    """Sentences on the first solves, on the loop and, if it was needed, advice; on the choice if the loop did all."""
    parts = [choice] if choice and (record.looped or not record.solves) else []
    parts += [_sentence(attempt) for attempt in record.solves[:NAMED]]
    if len(record.solves) > NAMED:
        parts.append(f"And so on, {len(record.solves)} solves in all.")
    if record.looped and record.solves:
        parts += [_of_loop(record, steps), *([f"To do better: {advice(record, jumps)}."] if advised else [])]
    return parts

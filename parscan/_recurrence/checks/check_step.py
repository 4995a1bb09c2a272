"""Checks that a step broadcasts: one call on stacked states must give the same values as a call for each."""

from __future__ import annotations

from ..._arrays.namespace import Array, machine_epsilon, quiet
from ..._functions.evaluators import ONE_BY_ONE, STACKED, Evaluator
from ..._functions.step import Step
from ..._functions.verify import alike, apart, unlike_step

SAME_BY_CHANCE = 8
"""One in this many states may differ at the start: the argument of a step that rounds to integers may be halfway
between two of them. Calls for single states are compared again on the finished trajectory."""


def check_broadcasting(step: Step, states: Array, steps: int, evaluator: Evaluator = STACKED) -> None:
    """Raise unless an evaluator gives the same values for the stacked `states` as a call for each.

    Inputs are spread over all times, or, if the step rejects these inputs in these states, are those of the states.
    """
    count, error = states.shape[0], None
    try:
        if not _is_unlike(step, evaluator, states, max(1, steps // count)):
            return
    except Exception:
        try:
            if not _is_unlike(step, evaluator, states, 1):
                return
        except _Raised as raised:
            error = raised.__cause__
    single = f"{count} calls on one state each"
    what = f"raised {type(error).__name__} ({error}), {single} did not" if error else f"gave other values than {single}"
    raise ValueError(
        f"`step` does not broadcast over leading axes: one call on {count} stacked states {what}. Let it work on "
        "y[..., i] and on the last axes only (`y.sum(axis=-1)`, `y @ W`, `np.where` for `if`), without random numbers "
        "or memory of earlier calls; give inputs of one number per time an axis for it, x[:, None]; or use "
        'method="sequential".'
    ) from error


class _Raised(Exception):  # noqa: N818 - a signal within this file, no error
    """A call on all states raised although the calls for each state did not; `__cause__` is its exception."""


def _is_unlike(step: Step, evaluator: Evaluator, states: Array, stride: int) -> bool:
    """Whether an evaluator gives other values for all states than a call for each, with every `stride`-th input."""
    count = states.shape[0]
    times = range(0, count * stride, stride)
    with quiet():
        expected = ONE_BY_ONE.values(step, times, states)
        try:
            together = evaluator.values(step, times, states)
        except Exception as error:
            if error is not step.error:  # raised by parscan's check of the value, not by the user's function
                raise
            raise _Raised from error
        if alike(step.xp, together, expected, machine_epsilon(states.dtype) ** 0.5):
            return False
        differ = unlike_step(step, states, times, together - expected, apart(step.xp, together, expected))
    return len(differ) > count // SAME_BY_CHANCE

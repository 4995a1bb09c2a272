"""Kernels of a step on a device that are compared with it on states that they evaluate themselves, by few calls."""

from __future__ import annotations

from math import inf

from .._arrays.namespace import Array, all_finite, array_namespace, machine_epsilon, quiet, to_numpy
from .._functions.evaluators import STACKED
from .._functions.step import Step
from .._functions.verify import alike
from .._recorded.budget import NoCodeError
from .code import changed
from .device_code import DeviceCode, made
from .device_record import recorded_alone
from .systems.propagation import Span

SAMPLE = 8
"""Number of states that are compared, and of ones beside them."""


def ready_kernels(step: Step, y0: Array, trajectory: Array, *, wanted: bool) -> DeviceCode | None:
    """
    Kernels that solves have paid for, or that are wanted at any price, compared with the step by two calls.

    None if anything is out of the ordinary: then the loop gives the first states, and checks on these say what it is.
    The first rows of the trajectory are overwritten.
    """
    states = y0[None, ...]
    if trajectory.shape[0] < 2 * SAMPLE:
        return None
    try:
        code = made(step, states, STACKED, inf if wanted else 0.0, recorded_alone(step, states))
        return code if code is not None and _agree(code, states, trajectory[:SAMPLE, ...]) else None
    except NoCodeError:
        return None


def _agree(code: DeviceCode, states: Array, rows: Array) -> bool:
    """
    Whether the step gives what its kernels give from the first state on.

    One call is on that state; the other one is on the states after it, and on ones beside them with later inputs.
    """
    step, share = code.step, machine_epsilon(states.dtype) ** 0.5
    try:
        alone = to_numpy(STACKED.values(step, range(1), states))
        code.marches.run(states, rows, Span(0, SAMPLE, SAMPLE), 0, SAMPLE)
        host = array_namespace(alone)
        after = to_numpy(rows)
        before = host.concat([to_numpy(states), after[:-1, ...]])
        if not all_finite(before):
            return False
        given = step.xp.asarray(host.concat([before, changed(before)]))
        found = step.xp.empty_like(given)
        code.marches.run(given, found, Span(0, 2 * SAMPLE, 1), 0, 1)
        values = to_numpy(found)
        with quiet():
            together = to_numpy(STACKED.values(step, range(2 * SAMPLE), given))
    except Exception:  # of the user's function or of the driver
        return False
    pairs = (values, together), (values[:1, ...], alone), (values[:SAMPLE, ...], after)
    return all(alike(host, *pair, share) for pair in pairs)

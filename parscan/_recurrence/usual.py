"""Tasks of usual arguments, which need no checks: a short loop takes as long as many functions do at first."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

from .._arrays import memory
from .._arrays.namespace import array_namespace, usual_inputs, usual_state
from .._functions.step import Step
from .._linalg.dense import Dense
from .arguments import DENSE, as_options, as_tolerance
from .task import Arrays, Task

USUAL = (None, Dense, "auto", None, None, None, 100, None, None, None, False)
"""Jacobian, structure, method, guess, tolerances, iterations, segments, window, damping and progress by default."""

_TOLERANCES = {
    char: as_tolerance(None, None, name)
    for char, name in {"f": "float32", "d": "float64", "F": "complex64", "D": "complex128"}.items()
}
"""Default tolerances by the characters of NumPy's dtypes."""

_BY_CODE, _BY_FUNCTION, _AS_PAYS = (as_options("auto", 100, None, None, None, one) for one in (True, False, None))


def usual_task(
    step: Callable[..., Any], y0: Any, x: Any, length: Any, args: Any, compiles: Any, others: tuple[Any, ...]
) -> Task | None:
    """
    The task of plain NumPy arrays and defaults, as all the checks would make it; None if there is anything to check.

    `others` are the other arguments of `solve_recurrence`, in the order of `USUAL`.
    """
    if not callable(step) or type(args) is not tuple or not all(map(is_, others, USUAL)):
        return None
    state, inputs = usual_state(y0), None if x is None else usual_inputs(x)
    steps = length if x is None else None if inputs is None or length is not None else inputs.shape[0]
    options = _AS_PAYS if compiles is None else _BY_CODE if compiles is True else _BY_FUNCTION
    if state is None or type(steps) is not int or (compiles is not options.compiles):
        return None
    if steps < 0 or steps * state.nbytes > memory.LIMITS.unasked:
        return None
    xp = array_namespace(state)
    trajectory = xp.empty((steps, *state.shape), dtype=state.dtype)
    arrays = Arrays(xp, state, y0, inputs, None, steps)
    return Task(Step(step, inputs, args, None, DENSE, xp), arrays, trajectory, _TOLERANCES[state.dtype.char], options)

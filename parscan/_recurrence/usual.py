"""Tasks of usual arguments, which need no checks: a short loop takes as long as many functions do at first."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

from .._arrays import memory
from .._arrays.namespace import Array, array_namespace, usual_inputs, usual_state
from .._functions.step import Inputs, Step
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

FOR_DOUBLES = _TOLERANCES["d"]
"""That of float64."""

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
    state, steps = usual_state(y0), length
    inputs: Inputs = None
    if x is not None:
        inputs, steps = (_usual_parts if type(x) is tuple else _usual_rows)(x) if length is None else (None, None)
    options = _AS_PAYS if compiles is None else _BY_CODE if compiles is True else _BY_FUNCTION
    if state is None or type(steps) is not int or (compiles is not options.compiles):
        return None
    if steps < 0 or steps * state.nbytes > memory.LIMITS.unasked:
        return None
    xp = array_namespace(state)
    trajectory = xp.empty((steps, *state.shape), dtype=state.dtype)
    arrays = Arrays(xp, state, y0, inputs, None, steps)
    return Task(Step(step, inputs, args, None, DENSE, xp), arrays, trajectory, _TOLERANCES[state.dtype.char], options)


def _usual_rows(x: Any) -> tuple[Array | None, int | None]:
    """A view of inputs in an array, and the number of their steps; None of others."""
    inputs = usual_inputs(x)
    return (None, None) if inputs is None else (inputs, inputs.shape[0])


def _usual_parts(x: tuple[Any, ...]) -> tuple[tuple[Array, ...] | None, int | None]:
    """The same of inputs in a tuple of arrays of the same number of steps."""
    parts = [part for part in map(usual_inputs, x) if part is not None]
    steps = {part.shape[0] for part in parts}
    return (tuple(parts), *steps) if len(steps) == 1 and len(parts) == len(x) else (None, None)

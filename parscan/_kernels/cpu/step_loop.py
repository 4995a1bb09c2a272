"""The loop over a step that the user compiled by Numba, compiled as well."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba

TEXT = """
def loop(y, {inputs}args, rows, reached, begin, end):
    for t in range(begin, end):
        y = step(y, {given})
        if y.shape != rows[t : t + 1].shape:
            break
        rows[t : t + 1] = y
        reached[0] = t + 1
"""
"""`reached` has the first step that is left, also after an exception of the step."""


def step_loop(step: Any, inputs: int | None, arguments: int) -> Any:
    """
    The loop over the steps `begin` to `end`: `loop(y, *inputs, args, rows, reached, begin, end)`.

    Parameters
    ----------
    step : function compiled by Numba
        `step(y, x, *args)` with a row of each input, or `step(y, *args)`.
    inputs : int or None
        Number of inputs that the step takes as a tuple; None for one that is none, 0 for no inputs.
    arguments : int
        Number of entries of `args`.
    """
    # `step.recompile()`, the way to new values of globals, replaces all code of the step; the loop contains the former.
    code = next((compiled.entry_point for compiled in step.overloads.values()), None)
    return _step_loop(step, inputs, arguments, code)


@lru_cache(maxsize=32)
def _step_loop(step: Callable[..., Any], inputs: int | None, arguments: int, _: object) -> Any:
    """The loop over a step with certain code."""
    names = [f"x{k}" for k in range(1 if inputs is None else inputs)]
    rows = [f"{name}[t : t + 1]" for name in names]
    given = "".join(f"{row}, " for row in rows)
    given = (f"({given}), " if inputs else given) + ", ".join(f"args[{k}]" for k in range(arguments))
    text = TEXT.format(inputs="".join(f"{name}, " for name in names), given=given)
    space: dict[str, Any] = {"step": step}
    exec(text, space)
    return numba.njit(space["loop"])

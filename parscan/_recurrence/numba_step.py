"""Steps that the user compiled by Numba and that cannot be recorded: the loop over them, compiled by Numba as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan
from typing import Any

from .._arrays.namespace import Array, array_namespace
from .._functions.step import Step

COMPILING = 2.0
"""Seconds that Numba takes to compile a loop, about."""

PER_STEP = 500
"""Operations that a step may have, before its pace is known."""


def is_compiled(function: Callable[..., Any]) -> bool:
    """Whether a function was compiled by Numba."""
    return hasattr(function, "py_func") and type(function).__module__.startswith("numba.")


class NumbaLoop:
    """
    Steps of a function that was compiled by Numba, used as a `Loop`.

    Parameters
    ----------
    step : Step
        Its function is compiled by Numba.
    """

    def __init__(self, step: Step) -> None:
        from .._kernels.cpu.step_loop import step_loop  # noqa: PLC0415 - Numba is slow to load

        x = step.x
        self._args = step.args
        self._loop = step_loop(step.value, 0 if x is None else len(x) if isinstance(x, tuple) else None, len(step.args))

    @property
    def is_ready(self) -> bool:
        """Whether it was compiled before."""
        return bool(self._loop.signatures)

    def compile(self, states: Array, inputs: Sequence[Array]) -> str:
        """Compile for stacked states `(k, *batch, n)`; returned is why that cannot be done, or ""."""
        xp = array_namespace(states)
        rows = xp.empty_like(states)
        try:
            self._loop(xp.asarray(states[:1, ...], copy=True), *inputs, self._args, rows, xp.full(1, 0), 0, 0)
        except Exception as error:
            return f"cannot be called in a loop that Numba compiles: {str(error).strip().splitlines()[0]}"
        return ""

    def run(
        self, state: Array, inputs: Sequence[Array], out: Array, begin: int, end: int,
        report: Callable[[int], object] | None = None,
    ) -> None:  # fmt: skip
        """
        Evaluate the steps `begin` to `end`: see `Loop.run`.

        From a step on that raises an exception, or returns an array of another shape, the rows of `out` are NaN.
        """
        from .._recorded.native.loop import portions  # noqa: PLC0415

        xp = array_namespace(out)
        reached = xp.full(1, begin)
        y = xp.asarray(state, copy=True)[None, ...]
        for count in portions(begin, end, PER_STEP, report):
            last = begin + count
            try:
                self._loop(y, *inputs, self._args, out, reached, begin, last)
            except Exception:
                if int(reached[0]) == last:  # not of the function: a handler of signals raised it after the loop
                    raise
            if (begin := int(reached[0])) < last:
                out[begin:end, ...] = nan  # the function will be called there, and raise it
                return
            y = xp.asarray(out[begin - 1 : begin, ...], copy=True)

"""SciPy's solvers, which end where a step no longer helps: by themselves some go on for ever."""

from __future__ import annotations

from functools import cache
from typing import Any

from .._arrays import all_finite
from ._endings import NOT_FINITE, SMALLEST, TOO_SMALL


@cache
def guarded(solver: Any) -> Any:
    """A subclass of an `OdeSolver` class of SciPy, or of the class that SciPy has for a name."""
    if isinstance(solver, str):
        from scipy import integrate  # noqa: PLC0415 - slow to import

        solver = getattr(integrate, solver)

    class Guarded(solver):  # type: ignore[misc]
        """The same solver, but for its last step."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            slope = getattr(self, "f", None)
            self._is_finite = slope is None or all_finite(slope)

        t: Any

        def _step_impl(self) -> tuple[bool, str | None]:
            if not self._is_finite:  # SciPy's Runge-Kutta methods would look for a first step for ever
                return False, NOT_FINITE
            t = self.t
            done, message = super()._step_impl()
            if done and abs(self.t - t) <= SMALLEST * abs(self.t) and self.t != self.t_bound:
                return False, TOO_SMALL
            return done, message

    Guarded.__name__ = solver.__name__
    return Guarded

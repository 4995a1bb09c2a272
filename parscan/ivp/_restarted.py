"""SciPy's solvers over breakpoints: one after the other, each from where the one before ended."""

from __future__ import annotations

from typing import Any

from .._arrays import Array
from ._breaks import Stretch, stretches
from ._function import limited


def restarted(solver: Any, breaks: Array | None) -> Any:
    """An `OdeSolver` class of SciPy that begins anew at each breakpoint; without any, the class that was given."""
    if breaks is None:
        return solver
    from scipy.integrate import OdeSolver  # noqa: PLC0415 - slow to import

    class Restarted(OdeSolver):  # type: ignore[misc]
        """A row of such solvers, as one."""

        def __init__(
            self, fun: Any, t0: float, y0: Array, t_bound: float, vectorized: bool = False, **options: Any
        ) -> None:
            super().__init__(fun, t0, y0, t_bound, vectorized, support_complex=True)
            self._given = fun, {**options, "vectorized": vectorized}
            self._rest = stretches((t0, t_bound), breaks)
            self._counted = {"nfev": 0, "njev": 0, "nlu": 0}
            self._solver = self._next(y0)

        def _next(self, y: Array) -> Any:
            """The solver of the next stretch."""
            (fun, options), stretch = self._given, self._rest.pop(0)
            function = limited(fun, stretch.low, stretch.high)
            return solver(function, stretch.begin, y, stretch.end, **_within(stretch, options))

        def _step_impl(self) -> tuple[bool, str | None]:
            if self._solver.status == "finished":
                self._counted = {name: getattr(self, name) for name in self._counted}
                self._solver = self._next(self._solver.y)
            message = self._solver.step()
            self.t, self.y = self._solver.t, self._solver.y
            for name, before in self._counted.items():
                setattr(self, name, before + getattr(self._solver, name))
            return self._solver.status != "failed", message

        def _dense_output_impl(self) -> Any:
            return self._solver.dense_output()

    Restarted.__name__ = solver.__name__
    return Restarted


def _within(stretch: Stretch, options: dict[str, Any]) -> dict[str, Any]:
    """The options for a stretch: a first step that is not longer, and a Jacobian that sees no times beyond."""
    changed: dict[str, Any] = {}
    if options.get("first_step") is not None:
        changed["first_step"] = min(options["first_step"], abs(stretch.end - stretch.begin))
    if callable(options.get("jac")):
        changed["jac"] = limited(options["jac"], stretch.low, stretch.high)
    return {**options, **changed}

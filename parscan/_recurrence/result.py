"""The result of solve_recurrence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from .._arrays.cached import cached_property
from .._arrays.namespace import Array
from .._engine.termination import Termination
from .._reporting.plot import Stretch, draw_recurrence
from .._reporting.result_base import Deferred, brief
from .derivatives.differentiable import Differentiable
from .derivatives.lyapunov import lyapunov
from .derivatives.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Status(Enum):
    """The end of a solve. The value is the first sentence of the message."""

    CONVERGED = "Solved in parallel over time."
    SEQUENTIAL = "Evaluated by the sequential loop."
    FINISHED_SEQUENTIALLY = "Did not converge in parallel everywhere; the sequential loop finished the rest."
    NOT_FINITE = "The recurrence reached values that are not finite."
    NONDETERMINISTIC = "The step contradicts itself."
    INEXACT = "The whole numbers are not exact in float64."


@dataclass(frozen=True)
class Attempt:
    """A method's solve of one window.

    Attributes
    ----------
    method : str
        "jacobi", "newton" and so on.
    begin, end : int
        The window: the steps `begin` to `end - 1`.
    reached : int
        First step that the method did not solve; `end` where it converged.
    iterations : int
        Iterations of the method.
    termination : Termination
        Why it ended.
    """

    method: str
    begin: int
    end: int
    reached: int
    iterations: int
    termination: Termination


@dataclass(frozen=True, repr=False)
class RecurrenceResult(Differentiable):
    """Trajectory of a recurrence, and data on its solution.

    Attributes
    ----------
    y : array, shape (T, *batch, n)
        States; `y[t]` follows the input `x[t]`. The first state that is not finite is kept as the step returned it; all
        states after it are NaN. So are all states from the first inexact integer on.
    success : bool
        Whether the trajectory is complete: every state is finite, every joint within the tolerance, and a sample of the
        steps gives the same values again. If `y0` is of integers, all integers are exact.
    status : Status
        How the solve ended.
    message : str
        The status in words, with the methods tried and a remedy.
    method : str
        The methods used, in this order: "jacobi, newton" for example.
    iterations : int
        Iterations (sweeps over the segments) of all methods together; 0 for the loop.
    nfev, npoints, njev : int
        Calls of `step`, states evaluated by these calls, and calls of the Jacobian. They include the checks, and
        measurements at the start.
    history : tuple of float
        Largest correction of each iteration, in units of the tolerance `atol + rtol·|y|`.
    decisions : tuple of str
        The choice of `auto` and its reason, the end of each method on each window, the steps of the loop, and whether
        Newton's method took derivatives by differences.
    attempts : tuple of Attempt
        The contents of `decisions` as data: one entry for each window and method.
    looped : int
        Steps that the sequential loop evaluated.
    compiled : bool
        Whether machine code of the recorded step evaluated steps, in the loop or in sweeps over segments.
    segment_length : int
        Steps per segment, at most; 0 for the loop.
    residual : float
        Largest `|step(y[t-1], x[t]) - y[t]|` over all steps, in the units of `y`.
    lyapunov : float
        Growth of a small change of the state per step, as a logarithm: the largest Lyapunov exponent over this
        trajectory, and over the members of a batch. Negative: the past is forgotten, in about `-1 / lyapunov` steps.
        Positive: a small change grows by about e^(lyapunov · T), which is chaos if the trajectory stays bounded.

    Notes
    -----
    `residual` and `lyapunov` are evaluated at the first access, by calling `step` (and `jac`) on the steps before the
    first state that is not finite, with the current values of `x`; they are NaN if there are no such steps. A copied or
    unpickled result does not contain its step: there both raise `RuntimeError` unless they were evaluated before.
    """

    y: Array
    success: bool
    status: Status
    message: str
    method: str
    iterations: int
    nfev: int
    npoints: int
    njev: int
    history: tuple[float, ...]
    decisions: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    looped: int
    compiled: bool
    segment_length: int
    _solution: Solution | Deferred[Solution] | None = field(compare=False)

    @cached_property
    def residual(self) -> float:
        """Largest `|step(y[t-1], x[t]) - y[t]|`."""
        return self._solved("residual").residual()

    @cached_property
    def lyapunov(self) -> float:
        """Logarithm of the growth of a small change per step."""
        return lyapunov(self._solved("lyapunov"))

    @property
    def _stretches(self) -> tuple[Stretch, ...]:
        """One stretch of the history for each of the attempts."""
        return tuple(
            Stretch(attempt.method, f"steps {attempt.begin} to {attempt.end}", window, attempt.iterations)
            for window, attempt in enumerate(self.attempts)
        )

    def _draw(self, ax: Axes | None) -> Figure:
        """Draw the states over the steps."""
        return draw_recurrence(self.y, ax)

    @property
    def _no_iterations(self) -> str:
        """The text of a plot of iterations without any."""
        return "no iterations: evaluated by the loop"

    def _rows(self) -> dict[str, object]:
        """The counts, and the last entries of the history."""
        history = ", ".join(f"{size:.2g}" for size in self.history[-8:])
        return {
            "method": self.method,
            "y": brief(self.y),
            "iterations": self.iterations,
            "segment_length": self.segment_length,
            "history": f"[{'..., ' if len(self.history) > 8 else ''}{history}]",
            "nfev": f"{self.nfev} calls",
            "npoints": f"{self.npoints} states",
            "njev": f"{self.njev} calls",
        }

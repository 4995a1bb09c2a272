"""What a solve returns, and how it ended."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .._arrays.namespace import Array, dtype_name
from .._engine.termination import Termination
from .._reporting.plot import Stretch, draw_convergence, draw_recurrence
from .derivatives.differentiable import Differentiable
from .derivatives.lyapunov import lyapunov
from .derivatives.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Status(Enum):
    """How a solve ended; the value is the message a user reads."""

    CONVERGED = "Solved in parallel over time."
    SEQUENTIAL = "Evaluated by the sequential loop."
    FINISHED_SEQUENTIALLY = "Did not converge in parallel everywhere; the sequential loop finished the rest."
    NOT_FINITE = "The recurrence left the finite numbers."
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
        Iterations that it took.
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
    """Trajectory of a recurrence and the story of its solution.

    Attributes
    ----------
    y : array, shape (T, *batch, n)
        States; `y[t]` follows the input `x[t]`. The first state that is not finite is kept as the step returned it,
        and NaN stands behind it; and from the first whole number on that is not exact.
    success : bool
        Whether the whole trajectory was found: every state finite, every joint within tolerance, and a sample of the
        steps the same when evaluated again; whole numbers exact, where `y0` is of such.
    status : Status
        How the solve ended.
    message : str
        The status in words, with what was tried and what to do.
    method : str
        What was really used, in this order: "jacobi, newton" for example.
    iterations : int
        Iterations (sweeps over the segments) of all methods together; 0 for the loop.
    nfev, npoints, njev : int
        Calls of `step`, states evaluated by them, and calls of the Jacobian; those of the checks and measurements at
        the start are included.
    history : tuple of float
        Largest correction of each iteration, in units of the tolerance `atol + rtol·|y|`.
    decisions : tuple of str
        What `auto` chose and why, how each method ended on each window, and what was left to the loop.
    attempts : tuple of Attempt
        The solves, one for each window and method in turn: what `decisions` says, as data.
    looped : int
        Steps that the sequential loop evaluated.
    segment_length : int
        Steps per segment, at most; 0 for the loop.
    residual : float
        Largest `|step(y[t-1], x[t]) - y[t]|` over all steps, in the units of `y`.
    lyapunov : float
        Growth of a small change of the state per step, as a logarithm: the largest Lyapunov exponent over this
        trajectory, and of the batch. Negative: the past is forgotten, in about `-1 / lyapunov` steps. Positive: the
        trajectory is as sensitive as e^(lyapunov · T), chaotic if it stays bounded.

    Notes
    -----
    `residual` and `lyapunov` are evaluated when they are first asked for, by calling `step` (and `jac`) on the
    trajectory, with `x` as it then is; over the steps before the first state that is not finite; NaN without any. A
    copied or unpickled result has forgotten its step: what was not evaluated before raises `RuntimeError`.
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
    segment_length: int
    _solution: Solution | None = field(compare=False)
    _stretches: tuple[Stretch, ...] = field(default=(), compare=False)

    @cached_property
    def residual(self) -> float:
        """Largest `|step(y[t-1], x[t]) - y[t]|`."""
        return self._solved("residual").residual()

    @cached_property
    def lyapunov(self) -> float:
        """Logarithm of the growth of a small change per step."""
        return lyapunov(self._solved("lyapunov"))

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the trajectory; needs matplotlib (``pip install 'parscan[plot]'``).

        At most seven components are drawn, spread over all of them. Of a batch, the first member is a line, and the
        range of all members is shaded. Complex components are drawn as real (solid) and imaginary (dashed) parts.
        A long trajectory is drawn as the means and ranges of a thousand pieces.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into. By default a new figure, which pyplot does not know of.

        Returns
        -------
        matplotlib.figure.Figure
            To be shown or saved: ``sol.plot().savefig("solution.png")``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is no Axes.

        See Also
        --------
        plot_convergence : How the corrections shrank.

        Examples
        --------
        >>> import numpy as np
        >>> import parscan
        >>> sol = parscan.solve_recurrence(lambda y: 0.9 * np.cos(y), np.zeros(2), length=500)
        >>> figure = sol.plot()
        >>> figure.axes[0].get_xlabel()
        'step t'
        """
        return draw_recurrence(self.y, ax)

    def plot_convergence(self, ax: Axes | None = None) -> Figure:
        """Draw `history`: the largest correction of each iteration, in units of the tolerance; needs matplotlib.

        Windows are marked where they begin, and labelled with their steps if there are few.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into. By default a new figure, which pyplot does not know of.

        Returns
        -------
        matplotlib.figure.Figure
            To be shown or saved.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is no Axes.

        See Also
        --------
        plot : The trajectory itself.

        Examples
        --------
        >>> import numpy as np
        >>> import parscan
        >>> sol = parscan.solve_recurrence(lambda y: 0.9 * np.cos(y), np.zeros(2), length=500, method="newton")
        >>> figure = sol.plot_convergence()
        >>> figure.axes[0].get_yscale()
        'log'
        """
        return draw_convergence(self.history, self._stretches, "no iterations: evaluated by the loop", ax)

    def _differentiable(self, name: str) -> Solution:
        """The solution, if it is whole and still stands."""
        if not self.success:
            raise RuntimeError(f"`{name}` needs the whole trajectory, and this solve did not succeed: {self.message}")
        solution = self._solved(name)
        if not solution.stands():
            raise RuntimeError(
                f"`{name}` cannot be evaluated: the step no longer gives this trajectory. `x`, `args`, `y` or "
                "something else that the step reads has been changed since; solve again, or change copies."
            )
        return solution

    def _solved(self, name: str) -> Solution:
        """The solution, if it is still there."""
        if self._solution is None:
            raise RuntimeError(
                f"`{name}` was not evaluated before this result was copied or pickled, which leaves the step behind."
            )
        return self._solution

    def __getstate__(self) -> dict[str, Any]:
        """All but the user's functions, which cannot always be pickled."""
        return {**self.__dict__, "_solution": None}

    def __repr__(self) -> str:
        """One aligned line per field; the trajectory by its shape."""
        history = ", ".join(f"{size:.2g}" for size in self.history[-8:])
        if len(self.history) > 8:
            history = "..., " + history
        rows = {
            "message": textwrap.fill(self.message, 100, subsequent_indent=" " * 16),
            "success": self.success,
            "method": self.method,
            "y": f"{dtype_name(self.y.dtype)} {tuple(self.y.shape)}",
            "iterations": self.iterations,
            "segment_length": self.segment_length,
            "history": f"[{history}]",
            "nfev": f"{self.nfev} calls",
            "npoints": f"{self.npoints} states",
            "njev": f"{self.njev} calls",
        }
        width = max(map(len, rows))
        return "RecurrenceResult\n" + "\n".join(f"{name:>{width}}: {value}" for name, value in rows.items())

"""What a solve returns, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ._arrays import Array, dtype_name


class Status(Enum):
    """How a solve ended; the value is the message a user reads."""

    CONVERGED = "Solved in parallel over time."
    SEQUENTIAL = "Evaluated by the sequential loop."
    FINISHED_SEQUENTIALLY = "Did not converge in parallel everywhere; the sequential loop finished the rest."
    NOT_FINITE = "The recurrence left the finite numbers."


@dataclass(frozen=True, repr=False)
class RecurrenceResult:
    """Trajectory of a recurrence and the story of its solution.

    Attributes
    ----------
    y : array, shape (T, *batch, n)
        States; `y[t]` follows the input `x[t]`. The first state that is not finite is kept as the step returned it,
        and NaN stands behind it.
    success : bool
        Whether the whole trajectory was found: every state finite, every joint within tolerance.
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
    residual : float
        Largest absolute difference between the state that a segment was marched from and the state that the segment
        before it ended with. Steps within a segment follow `step` itself.
    history : tuple of float
        Largest correction of each iteration, in units of the tolerance `atol + rtol·|y|`.
    segment_length : int
        Steps per segment; 0 for the loop.
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
    residual: float
    history: tuple[float, ...]
    segment_length: int

    def __repr__(self) -> str:
        """One aligned line per field; the trajectory by its shape."""
        history = ", ".join(f"{size:.2g}" for size in self.history[-8:])
        if len(self.history) > 8:
            history = "..., " + history
        rows = {
            "message": self.message,
            "success": self.success,
            "method": self.method,
            "y": f"{dtype_name(self.y.dtype)} {tuple(self.y.shape)}",
            "iterations": self.iterations,
            "segment_length": self.segment_length,
            "residual": f"{self.residual:.3g}",
            "history": f"[{history}]",
            "nfev": f"{self.nfev} calls",
            "npoints": f"{self.npoints} states",
            "njev": f"{self.njev} calls",
        }
        width = max(map(len, rows))
        return "RecurrenceResult\n" + "\n".join(f"{name:>{width}}: {value}" for name, value in rows.items())

"""Recurrences evaluated in parallel over time, on ordinary array functions.

- `linear_recurrence`: ``h_t = A_t h_{t-1} + b_t`` by parallel scan.
- `solve_recurrence`: ``y_t = step(y_{t-1}, x_t)`` for any `step` that works on stacked states.
- `Dense`, `Diagonal`, `BlockDiagonal`: structures of a step's Jacobian.
"""

from importlib.metadata import version as _version

from ._linear import linear_recurrence
from ._recurrence import solve_recurrence
from ._result import RecurrenceResult, Status
from .jacobians import BlockDiagonal, Dense, Diagonal

__all__ = [
    "BlockDiagonal",
    "Dense",
    "Diagonal",
    "RecurrenceResult",
    "Status",
    "linear_recurrence",
    "solve_recurrence",
]

__version__ = _version("parscan")

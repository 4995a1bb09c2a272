"""Recurrences and ODEs solved in parallel over time, on ordinary array functions.

- `linear_recurrence`: ``h_t = A_t h_{t-1} + b_t`` by parallel scan.
- `solve_recurrence`: ``y_t = step(y_{t-1}, x_t)`` for any `step` that works on stacked states.
- `solve_ivp`: ``y' = fun(t, y)``, called as SciPy's, solved by Newton's method on a whole mesh at once.
- `solve_dae`: ``fun(t, y, y') = 0``, differential-algebraic equations of index 0 to 3.
- `trace`: records what a function of NumPy arrays computes, with its exact derivatives; a `Traced` function.
- `Dense`, `Diagonal`, `BlockDiagonal`, `StackedDiagonal`: structures of a step's Jacobian.
- `RecurrenceResult`, `IvpResult`, `Adjoint`: results; `Status`, `IvpStatus`, `Termination`, `Attempt`: parts of them.
- `Progress`: the argument of a function that is passed as ``progress``.
- `Clipping`: damping for recurrences on which Newton's method diverges.
- `warnings`: the classes of parscan's warnings.
"""

from ._engine.termination import Termination
from ._functions.adjoint import Adjoint
from ._ivp.result.result import IvpResult, IvpStatus
from ._ivp.solve import solve_ivp
from ._ivp.solve_dae import solve_dae
from ._linalg.block_diagonal import BlockDiagonal
from ._linalg.dense import Dense
from ._linalg.diagonal import Diagonal
from ._linalg.stacked_diagonal import StackedDiagonal
from ._recorded.trace import Traced, trace
from ._recurrence.linear import linear_recurrence
from ._recurrence.result import Attempt, RecurrenceResult, Status
from ._recurrence.solve import solve_recurrence
from ._recurrence.systems.damping import Clipping
from ._reporting.progress import Progress

__all__ = [
    "Adjoint",
    "Attempt",
    "BlockDiagonal",
    "Clipping",
    "Dense",
    "Diagonal",
    "IvpResult",
    "IvpStatus",
    "Progress",
    "RecurrenceResult",
    "StackedDiagonal",
    "Status",
    "Termination",
    "Traced",
    "linear_recurrence",
    "solve_dae",
    "solve_ivp",
    "solve_recurrence",
    "trace",
    "warnings",
]

__version__ = "0.2.0"

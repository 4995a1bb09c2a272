"""Recurrences and ODEs solved in parallel over time, on ordinary array functions.

- `linear_recurrence`: ``h_t = A_t h_{t-1} + b_t`` by parallel scan.
- `solve_recurrence`: ``y_t = step(y_{t-1}, x_t)`` for any `step` that works on stacked states.
- `solve_ivp`: ``y' = fun(t, y)``, called as SciPy's, solved by Newton's method on a whole mesh at once.
- `Dense`, `Diagonal`, `BlockDiagonal`, `StackedDiagonal`: structures of a step's Jacobian.
- `Progress`: what a function is told that is passed as ``progress``.
- `Attenuation`, `Clipping`: damping for trajectories that lead Newton astray.
- `warnings`: what parscan warns of.
"""

from . import warnings
from ._ivp import solve_ivp
from ._linear import linear_recurrence
from ._progress import Progress
from ._recurrence import solve_recurrence
from ._result import RecurrenceResult, Status
from .derivatives import Adjoint
from .ivp import IvpResult, IvpStatus
from .jacobians import BlockDiagonal, Dense, Diagonal, StackedDiagonal
from .systems import Attenuation, Clipping

__all__ = [
    "Adjoint",
    "Attenuation",
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
    "linear_recurrence",
    "solve_ivp",
    "solve_recurrence",
    "warnings",
]

__version__ = "0.2.0"

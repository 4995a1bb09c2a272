"""What solve_ivp returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from .._arrays import Array, dtype_name
from ._dense_output import DenseOutput


class IvpStatus(IntEnum):
    """How an integration ended: SciPy's codes, and one more."""

    FINISHED = 0
    EVENT = 1
    FAILED = -1
    NOT_FINITE = -3

    @property
    def text(self) -> str:
        """The code in words."""
        return {
            IvpStatus.FINISHED: "The solver successfully reached the end of the integration interval.",
            IvpStatus.EVENT: "A termination event occurred.",
            IvpStatus.FAILED: "The integration could not be continued.",
            IvpStatus.NOT_FINITE: "The right-hand side left the finite numbers.",
        }[self]


@dataclass(frozen=True, repr=False)
class IvpResult:
    """Solution of an initial value problem: the fields of SciPy's, and the story of its solution.

    Attributes
    ----------
    t : array, shape (N,)
        Times: `t_eval`, or the nodes of the mesh.
    y : array, shape (n, N, *batch)
        States at `t`.
    sol : callable or None
        Continuous solution, with ``dense_output=True``: ``sol(t)`` is ``(n, *batch)`` or ``(n, m, *batch)``.
    t_events, y_events : list of arrays, or None
        Per event its times `(k,)`, and the states then, `(k, n)`.
    nfev, njev, nlu : int
        Calls of `fun` and of `jac`, each for any number of times at once, and factorisations of a sequential solver.
    status : IvpStatus
        0: the end was reached. 1: a terminal event occurred. -1: it could not be continued. -3: a value of `fun` was
        not finite.
    message : str
        The status in words, with what was tried and what to do.
    success : bool
        Whether the end of the span, or a terminal event, was reached.
    method : str
        What was really used.
    npoints : int
        States that `fun` was evaluated on.
    iterations : int
        Newton iterations on all meshes; 0 where SciPy solved the problem.
    history : tuple of float
        Largest correction of each iteration, in units of the tolerance.
    mesh : array, shape (M + 1,)
        Nodes of the last mesh, or the steps of a sequential solver.
    meshes : tuple of int
        Intervals of every mesh that was tried.
    """

    t: Array
    y: Array
    sol: Callable[[Any], Array] | None
    t_events: list[Array] | None
    y_events: list[Array] | None
    nfev: int
    njev: int
    nlu: int
    status: IvpStatus
    message: str
    success: bool
    method: str
    npoints: int
    iterations: int
    history: tuple[float, ...]
    mesh: Array
    meshes: tuple[int, ...]
    make_dense: Callable[[], DenseOutput] | None = field(default=None, compare=False)
    """Makes the continuous solution that `guess=` starts from, whether asked for or not; None if there is none."""

    def __getitem__(self, name: str) -> Any:
        """A field by its name, as SciPy's results allow."""
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def __repr__(self) -> str:
        """One aligned line per field; arrays by their shape."""
        rows = {
            "message": self.message,
            "success": self.success,
            "status": int(self.status),
            "method": self.method,
            "t": _brief(self.t),
            "y": _brief(self.y),
            "mesh": f"{self.mesh.shape[0] - 1} intervals",
            "iterations": self.iterations,
            "nfev": f"{self.nfev} calls",
            "npoints": f"{self.npoints} states",
            "njev": f"{self.njev} calls",
        }
        width = max(map(len, rows))
        return "IvpResult\n" + "\n".join(f"{name:>{width}}: {value}" for name, value in rows.items())


def _brief(array: Array) -> str:
    """Dtype and shape."""
    return f"{dtype_name(array.dtype)} {tuple(array.shape)}"

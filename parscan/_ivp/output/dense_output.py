"""The continuous solution that users call."""

from __future__ import annotations

from typing import Any

import array_api_compat

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace, as_array, library, shared_namespace
from ..core.polynomial import PiecewisePolynomial


class DenseOutput:
    """Continuous solution, called like SciPy's `OdeSolution`: one polynomial per interval of the mesh.

    Parameters
    ----------
    polynomial : PiecewisePolynomial
        The solution on its mesh.

    Attributes
    ----------
    ts : array, shape (N + 1,)
        The mesh.
    t_min, t_max : scalar
        Its ends, the smaller one first.
    n_segments, interpolants : int, list of DenseOutput
        The polynomials, each as a solution of its own.

    Raises
    ------
    ValueError
        If the mesh is not strictly monotonic, or the shapes do not fit together.
    """

    def __init__(self, polynomial: PiecewisePolynomial) -> None:
        t, y, stages, s = polynomial.t, polynomial.y, polynomial.stages, polynomial.tableau.stages
        xp, intervals = array_namespace(y), t.shape[0] - 1
        if intervals < 1 or y.shape[0] != intervals + 1 or stages.shape != (intervals, s, *y.shape[1:]):
            raise ValueError(f"mesh {t.shape}, states {y.shape} and {s} stages {stages.shape} do not fit.")
        steps = polynomial.direction * (t[1:] - t[:-1])
        if not bool(xp.all(steps > 0)) and not (intervals == 1 and bool(t[0] == t[1])):
            raise ValueError("`t` must be strictly increasing or decreasing.")
        self.polynomial = polynomial

    @property
    def ts(self) -> Array:
        """The mesh."""
        return self.polynomial.t

    @property
    def t_min(self) -> Array:
        """The earlier end."""
        return self.ts[0] if self.polynomial.direction > 0 else self.ts[-1]

    @property
    def t_max(self) -> Array:
        """The later end."""
        return self.ts[-1] if self.polynomial.direction > 0 else self.ts[0]

    @property
    def n_segments(self) -> int:
        """Number of polynomials."""
        return self.polynomial.intervals

    @cached_property
    def interpolants(self) -> list[DenseOutput]:
        """The polynomials one by one, as solutions over their own intervals."""
        return [DenseOutput(self.polynomial.part(slice(p, p + 1))) for p in range(self.n_segments)]

    @property
    def t_old(self) -> Array:
        """The begin, in the direction of the integration."""
        return self.ts[0]

    @property
    def t(self) -> Array:
        """The end, in the direction of the integration."""
        return self.ts[-1]

    def __call__(self, t: Any) -> Array:
        """Evaluate the solution, components first.

        Parameters
        ----------
        t : float or array_like, shape (m,)
            Times, in any order. Beyond the mesh, its first or last polynomial is continued.

        Returns
        -------
        array, shape (n, *batch) or (n, m, *batch)
            The states.

        Raises
        ------
        TypeError
            If `t` is an array of another library than the solution, and not of NumPy.
        ValueError
            If `t` has more than one axis.
        """
        times = as_times(t, self.ts)
        states = self.polynomial.components(array_namespace(times).reshape(times, (-1,)))
        return states if times.ndim else states[:, 0, ...]


def as_times(t: Any, mesh: Array) -> Array:
    """One time, or times `(m,)`, that a user gave, as an array of the library of the mesh."""
    times, xp = as_array("t", t), array_namespace(mesh)
    if times.ndim > 1:
        raise ValueError(f"`t` has shape {tuple(times.shape)}; pass one time or a one-dimensional array of times.")
    numpys = library(times) == "numpy" != library(mesh)  # times may be NumPy's, as in `t_eval`
    if times.ndim and array_api_compat.is_array_api_obj(t) and not numpys:
        shared_namespace(t=times, solution=mesh)
        whole = xp.isdtype(times.dtype, "integral")
        return xp.astype(times, mesh.dtype if whole else xp.result_type(times.dtype, mesh.dtype))
    return xp.asarray(times.tolist() if times.ndim else float(times), dtype=mesh.dtype)

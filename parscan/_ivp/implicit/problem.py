"""The implicit initial value problem `F(t, y, y') = 0`: of `solve_dae`, or `M y' - f(t, y) = 0` of a mass matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from ..._arrays.namespace import Array
from ..core.scale import Scale
from .mass import Mass, times

LOOSE = 2.5e-3
"""Relative tolerances above this one do not tell the size of components: differences by less would be rounded."""


@dataclass(frozen=True, eq=False)
class Equations:
    """The function `F(t, y, yp, *args)`, which is zero along the solution; it can be recorded as the user's can."""

    fun: Callable[..., Any]
    mass: Mass | None

    def __call__(self, t: Any, y: Any, yp: Any, *args: Any) -> Any:
        """The residuals, an array `(n,)`."""
        if self.mass is None:
            return np.asarray(self.fun(t, y, yp, *args))
        slopes = np.asarray(self.fun(t, y, *args))
        return times(self.mass.given(t, y, args), yp) - slopes


@dataclass(frozen=True, eq=False)
class ImplicitProblem:
    """
    The user's problem, checked; a single state of NumPy's in float64.

    Parameters
    ----------
    fun : callable
        ``fun(t, y, *args)``, the right-hand side of `mass`; without a mass, ``fun(t, y, yp, *args)``, the residual.
    mass : Mass or None
    jac : callable, array or None
        With a mass, the Jacobian of `fun`, a function or constant; without, a function that gives the pair
        ``(∂F/∂y, ∂F/∂y')``.
    args : tuple
        Further arguments.
    span : pair of floats
    y0, yp0 : array, shape (n,)
        State and slopes at the begin; they are consistent as far as that is wanted and possible. Slopes that nothing
        determines are zero.
    rtol : float
        The smallest relative tolerance.
    rtols : float, or array, shape (n,)
    atol : array, shape () or (n,)
    max_step : float
    first_step : float, optional
    index : array of int, shape (n,), or None
        Index of each component, 1 to 3: its errors count times `h**(index - 1)`. None before it is known.
    """

    fun: Callable[..., Any]
    mass: Mass | None
    jac: Any
    args: tuple[Any, ...]
    span: tuple[float, float]
    y0: Array
    yp0: Array | None
    rtol: float
    rtols: float | Array
    atol: Array
    max_step: float = inf
    first_step: float | None = None
    index: Array | None = None

    @property
    def n(self) -> int:
        """Number of components."""
        return int(self.y0.shape[0])

    @property
    def scale(self) -> Scale:
        """The tolerances."""
        return Scale(self.rtols, self.atol)

    @property
    def equations(self) -> Equations:
        """`F(t, y, yp, *args)`, to be recorded."""
        return Equations(self.fun, self.mass)

    def bound(self, y: Array) -> Array:
        """The tolerances `(n,)` at a state."""
        return self.atol + self.rtols * np.abs(y)

    def sizes(self, y: Array) -> Array:
        """
        Sizes `(n,)` that components have at least, for differences: where both tolerances are alike.

        They are more than a few hundred tolerances, and zero for a component at zero without an absolute tolerance.
        """
        atol = np.where(np.isfinite(self.atol), self.atol, 0.0)
        return np.abs(y) + atol / np.minimum(self.rtols, LOOSE)

    def residual(self, t: float, y: Array, yp: Array) -> Array:
        """`F(t, y, yp)`, `(n,)`: a new array; it raises for values of another kind or shape."""
        given = (y.copy(), yp.copy()) if self.mass is None else (y.copy(),)
        try:
            value = self.fun(t, *given, *self.args)
        except Exception as error:
            error.add_note(f"parscan called `fun` at the time {t!r}.")
            raise
        found = self._checked(value)
        if self.mass is None:
            return found
        return self.mass.matrix(t, y, self.args) @ yp - found

    def _checked(self, value: Any) -> Array:
        """A value of the user's function as an array."""
        try:
            found = np.array(value, dtype=None)
        except ValueError as error:
            raise ValueError(f"`fun` returned a value that cannot be made an array: {error}") from None
        if found.shape in ((), (1, 1)) and self.n == 1:
            found = found.reshape(1)
        if found.shape != (self.n,):
            raise ValueError(f"`fun` returned shape {found.shape} where {(self.n,)} was expected, as of `y0`.")
        if found.dtype.kind == "c":
            raise TypeError("`fun` returned complex values; equations with a mass matrix, and DAEs, are real.")
        if found.dtype.kind not in "biuf":
            raise TypeError(f"`fun` returned the dtype {found.dtype}; return an array, or a list of numbers.")
        return found.astype(np.float64, copy=False)

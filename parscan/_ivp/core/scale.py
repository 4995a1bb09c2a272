"""The measure of errors: tolerances that are relative to the states."""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays.elementwise import ratio
from ..._arrays.namespace import Array, array_namespace, machine_epsilon
from .polynomial import PiecewisePolynomial


@dataclass(frozen=True)
class Scale:
    """The tolerance `atol + rtol·|y|` of every component.

    The size of an error is its root mean square over the components in units of the tolerance, the largest of the
    batch. `rtol` is a number or an array `(n,)`, `atol` an array `()` or `(n,)`.
    """

    rtol: float | Array
    atol: Array

    @property
    def tightest(self) -> float:
        """Smallest relative tolerance."""
        return self.rtol if isinstance(self.rtol, float) else float(array_namespace(self.rtol).min(self.rtol))

    @property
    def enough(self) -> float:
        """Size of a correction, in tolerances, below which Newton's method stops, as in SciPy's Radau."""
        epsilon = machine_epsilon(self.atol.dtype)
        return max(10 * epsilon / self.tightest, min(0.03, self.tightest**0.5))

    def loosened(self, rtol: float) -> Scale:
        """Both tolerances enlarged by one factor, so that the relative one is at least `rtol`."""
        factor = max(1.0, rtol / self.tightest)
        return Scale(self.rtol * factor, self.atol * factor)

    def scaled(self, factor: float) -> Scale:
        """Both tolerances times a factor."""
        return Scale(self.rtol * factor, self.atol * factor)

    def relative(self, error: Array, polynomial: PiecewisePolynomial) -> Array:
        """Sizes `(N,)` of the errors of all intervals, `(N, *batch, n)`, or `(N, s, *batch, n)` in `s` stages."""
        xp = polynomial.xp
        size = xp.maximum(xp.abs(polynomial.y[:-1, ...]), xp.abs(polynomial.y[1:, ...]))
        bound = self.atol + self.rtol * size
        bound = bound if error.ndim == bound.ndim else bound[:, None, ...]
        squares = xp.abs(ratio(xp, error, bound)) ** 2
        axes = (-1,) if error.ndim == size.ndim else (1, -1)
        mean = xp.sqrt(xp.mean(squares, axis=axes))
        worst = xp.max(mean, axis=tuple(range(1, mean.ndim))) if mean.ndim > 1 else mean
        return xp.where(xp.isnan(worst), xp.full_like(worst, float("inf")), worst)

"""The interface of methods on a mesh, as Newton's loop and the march over windows use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..._arrays.namespace import Array
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.tableaux import Tableau
from .tangent_linear import TangentLinear


@dataclass(frozen=True)
class Linear:
    """A linearisation: propagators `(N, *batch, n, n)`, and Jacobians of the intervals, if any."""

    propagators: Array
    jacobians: Array | None = None

    def head(self, intervals: int) -> Linear:
        """The linearisation of the leading intervals."""
        some = None if self.jacobians is None else self.jacobians[:intervals, ...]
        return Linear(self.propagators[:intervals, ...], some)


@dataclass(frozen=True)
class Corrected:
    """A trial after one Newton iteration.

    `sizes` `(N,)` are the corrections of its intervals in tolerances, infinite where they are not numbers.
    """

    trial: PiecewisePolynomial
    sizes: Array
    linear: Linear


class Discretisation(ABC):
    """Equations that couple every node of a mesh to the node before it."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The name that messages use: "Radau, 5 stages"."""

    @property
    @abstractmethod
    def output(self) -> Tableau:
        """The tableau of the polynomials between the nodes."""

    @property
    @abstractmethod
    def error_power(self) -> int:
        """The estimated error of an interval is proportional to this power of its length."""

    @property
    @abstractmethod
    def is_superlinear(self) -> bool:
        """Whether the iteration is Newton's, with exact Jacobians."""

    @property
    @abstractmethod
    def matrices(self) -> int:
        """Number of n×n matrices per interval that an iteration holds in memory, roughly."""

    @property
    def is_on_output(self) -> bool:
        """Whether the times of the output are used as the mesh, if the user gave some."""
        return False

    @property
    @abstractmethod
    def order(self) -> int:
        """Order of the errors of the nodes."""

    @property
    @abstractmethod
    def reliance(self) -> float:
        """
        How far estimated errors of the intervals may grow, in tolerances, so that errors of the nodes are small.

        It is large where the estimate is that of the polynomials, which are less accurate than the nodes.
        """

    @abstractmethod
    def finer(self, n: int) -> Discretisation:
        """A method of higher order for `n` components, to estimate the errors of the nodes of this method."""

    @abstractmethod
    def correct(self, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> Corrected:
        """One Newton iteration on all intervals."""

    @abstractmethod
    def assess(
        self, rhs: RightHandSide, trial: PiecewisePolynomial, linear: Linear, scale: Scale
    ) -> tuple[PiecewisePolynomial, Array]:
        """The solved trial with its stages, and the error of each interval in tolerances, `(N,)`."""

    def assess_nodes(self, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> Array | None:
        """The errors `(N,)` of the nodes alone, in tolerances; None if the polynomials are as accurate as the nodes."""
        return None

    @abstractmethod
    def tangent_matrices(self, n: int) -> int:
        """Number of n×n matrices per interval that the tangent linear model holds in memory, roughly."""

    @abstractmethod
    def tangent_linear(self, rhs: RightHandSide, trial: PiecewisePolynomial, *, inside: bool) -> TangentLinear:
        """The tangent linear model at a solved trial, with exact Jacobians.

        It includes the slopes of the polynomials of `output` only if states `inside` the intervals are needed.
        """

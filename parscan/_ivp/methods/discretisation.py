"""The interface of a method on a mesh, for Newton's loop and the march over windows."""

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
        """Of the leading intervals."""
        some = None if self.jacobians is None else self.jacobians[:intervals, ...]
        return Linear(self.propagators[:intervals, ...], some)


@dataclass(frozen=True)
class Corrected:
    """A trial after one Newton iteration: the leading intervals at which everything was finite.

    `sizes` `(N,)` are the corrections in tolerances, infinite where they are not numbers.
    """

    trial: PiecewisePolynomial
    sizes: Array
    linear: Linear


class Discretisation(ABC):
    """Equations that couple every node of a mesh to the node before it."""

    @property
    @abstractmethod
    def description(self) -> str:
        """For messages: "Radau, 5 stages"."""

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
        """Arrays of an n×n matrix per interval that an iteration holds, as a rough share of memory."""

    @property
    def is_on_output(self) -> bool:
        """Whether the times of the output, where there are some, are its mesh."""
        return False

    def finer(self) -> Discretisation | None:
        """A method of higher order, to estimate the error of this one; None if there is none.

        Where there is one, the order of this one at the nodes is that of `output`.
        """
        return None

    @abstractmethod
    def correct(self, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> Corrected:
        """One Newton iteration on all intervals."""

    @abstractmethod
    def assess(
        self, rhs: RightHandSide, trial: PiecewisePolynomial, linear: Linear, scale: Scale
    ) -> tuple[PiecewisePolynomial, Array]:
        """The solved trial with its stages, and the error of each interval in tolerances, `(N,)`."""

    def assess_nodes(self, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> Array | None:
        """The errors of the nodes alone, in tolerances `(N,)`; None where the polynomials are as good as the nodes."""
        return None

    @abstractmethod
    def tangent_matrices(self, n: int) -> int:
        """Arrays of an n×n matrix per interval that its tangent linear model holds, as a rough share of memory."""

    @abstractmethod
    def tangent_linear(self, rhs: RightHandSide, trial: PiecewisePolynomial, *, inside: bool) -> TangentLinear:
        """The tangent linear model at a solved trial, with exact Jacobians.

        Its slopes are those of the polynomials of `output`; they are there only if the states `inside` the intervals
        matters.
        """

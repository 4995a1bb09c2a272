"""Derivatives through solved trajectories: tangents, adjoints, and gradients with respect to parameters."""

from ._adjoint import Adjoint
from ._differentiable import Differentiable

__all__ = ["Adjoint", "Differentiable"]

"""Derivatives through solved trajectories: tangents, adjoints, and gradients with respect to parameters."""

from ._adjoint import Adjoint
from ._differentiable import Differentiable
from ._lyapunov import lyapunov

__all__ = ["Adjoint", "Differentiable", "lyapunov"]

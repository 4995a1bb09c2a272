"""Derivatives through solved trajectories: tangents, adjoints, and gradients with respect to parameters."""

from ._adjoint import Adjoint
from ._gradient import gradient
from ._sweeps import adjoint, tangent

__all__ = ["Adjoint", "adjoint", "gradient", "tangent"]

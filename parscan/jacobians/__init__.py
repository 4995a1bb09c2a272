"""Families of Jacobians closed under product and adjoint, and finite differences."""

from ._block_diagonal import BlockDiagonal
from ._dense import Dense
from ._diagonal import Diagonal
from ._differences import differentiate, differentiate_centrally, perturbed, quotients, step_sizes
from ._stacked_diagonal import StackedDiagonal
from ._structure import Structure, apply

STRUCTURES: tuple[type[Structure], ...] = (Dense, Diagonal, BlockDiagonal, StackedDiagonal)
"""All that there are, as errors list them."""

__all__ = [
    "STRUCTURES",
    "BlockDiagonal",
    "Dense",
    "Diagonal",
    "StackedDiagonal",
    "Structure",
    "apply",
    "differentiate",
    "differentiate_centrally",
    "perturbed",
    "quotients",
    "step_sizes",
]

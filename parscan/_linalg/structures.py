"""All structures of Jacobians."""

from __future__ import annotations

from .block_diagonal import BlockDiagonal
from .dense import Dense
from .diagonal import Diagonal
from .stacked_diagonal import StackedDiagonal
from .structure import Structure

STRUCTURES: tuple[type[Structure], ...] = (Dense, Diagonal, BlockDiagonal, StackedDiagonal)
"""All structures, in the order in which errors list them."""

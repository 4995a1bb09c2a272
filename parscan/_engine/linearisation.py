"""A row of equations linearised about a guess of all its nodes."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.namespace import Array
from .._linalg.structure import Structure


@dataclass(frozen=True)
class Propagator:
    """Matrices that propagate a correction from each node to the next, in the layout of their structure.

    With a `weight`, corrections minimise the squares of the linearised defects plus the weight times their own squares:
    a Levenberg–Marquardt step.
    """

    structure: Structure
    matrices: Array
    weight: float = 0.0


@dataclass(frozen=True)
class Linearisation:
    """Propagators into, and targets of, the nodes after the last exact one, about `nodes`.

    The first propagator is never used: the node before it is exact. A `propagator` of None stands for zero matrices.
    """

    nodes: Array
    propagator: Propagator | None
    targets: Array

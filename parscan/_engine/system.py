"""What Newton's loop sees of a problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from .._arrays.namespace import Array
from .._linalg.structure import Structure


@dataclass(frozen=True)
class Propagator:
    """Matrices that carry a correction from each node to the next, in the layout of their structure.

    With a `weight`, the corrections are those that fit the matrices best while the sum of their squares, times the
    weight, is part of what is minimised: a Levenberg–Marquardt step.
    """

    structure: Structure
    matrices: Array
    weight: float = 0.0


@dataclass(frozen=True)
class Linearisation:
    """Propagators into, and targets of, the nodes after the last exact one, about `nodes`.

    The propagator of the first of them is never used: the node before it is exact. None stands for zero.
    """

    nodes: Array
    propagator: Propagator | None
    targets: Array


class NoGain(Exception):  # noqa: N818 - a signal within the package, no error
    """Raised by a system that sees during a sweep that it brings the nodes no nearer."""


class Rejected(Exception):  # noqa: N818 - a signal within the package, no error
    """Raised by a system when the user's function raised on states that may be guesses; its exception is the cause."""


class System(ABC):
    """A row of equations, each coupling one node to the node before it.

    Nodes are counted from 0; node 0 is known. An iteration works on the nodes after `first`, the last of the leading
    nodes that are already exact. The *target* of a node is what its equation makes of the node before it; the defect
    is the target less the node.
    """

    @property
    @abstractmethod
    def nodes(self) -> int:
        """Number of nodes."""

    @abstractmethod
    def guess(self, y0: Array) -> Array:
        """First guess of all nodes from the known state `y0`."""

    @abstractmethod
    def time_of(self, node: int) -> int:
        """Time steps that are solved once the nodes up to `node` are exact; all, for the node past the last."""

    @abstractmethod
    def linearise(self, z: Array, first: int) -> Linearisation:
        """Propagators and targets of the nodes `first + 1 …`, about the guess `z` of all nodes.

        A system may go back to nodes of its own choice; those up to `first`, and the target after it, stay. It may
        raise `NoGain` or `Rejected`.
        """

    @abstractmethod
    def roundings(self, z: Array, first: int) -> Array:
        """What the steps into the nodes `first + 1 …` may be off by rounding alone, after a sweep from `z`."""

    @abstractmethod
    def finish(self, z: Array, first: int) -> Array:
        """Targets of the nodes `first + 1 …`; what lies between the nodes is made to follow from `z`."""

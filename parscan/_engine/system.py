"""The problem of Newton's loop on a trajectory: one equation per node."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from .._arrays.namespace import Array
from .correction import Correction, corrected
from .linearisation import Linearisation, Propagator
from .tolerance import Tolerance


class System(ABC):
    """A row of equations, each coupling one node to the node before it.

    Nodes are counted from 0; node 0 is known. An iteration works on the nodes after `first`, the last of the leading
    nodes that are already exact. The *target* of a node is the value that its equation gives for the node before it;
    the defect is the target less the node.

    A system implements `linearise`, which `correct` uses, or replaces `correct`: a compiled kernel that fuses
    linearisation and scan need not write propagators to memory.
    """

    @property
    def are_finite(self) -> bool:
        """Whether all states, also those between nodes, are known to be finite."""
        return False

    @property
    @abstractmethod
    def nodes(self) -> int:
        """Number of nodes."""

    @abstractmethod
    def guess(self, y0: Array) -> Array:
        """First guess of all nodes from the known state `y0`."""

    @abstractmethod
    def time_of(self, node: int) -> int:
        """Time steps that are solved once the nodes up to `node` are exact; all, if `node` is the number of nodes."""

    @abstractmethod
    def linearise(self, z: Array, first: int) -> Linearisation:
        """Propagators and targets of the nodes `first + 1 …`, about the guess `z` of all nodes.

        A system may linearise about other nodes than `z`, for example after a bad correction; those up to `first`, and
        the target after them, stay. It may raise `Ended`.
        """

    @abstractmethod
    def roundings(self, z: Array, first: int) -> Array:
        """Bounds on the rounding errors of the steps into the nodes `first + 1 …`, after a sweep from `z`."""

    @abstractmethod
    def finish(self, z: Array, first: int) -> Array:
        """Targets of the nodes `first + 1 …`; also writes the states between the nodes that follow from `z`."""

    def at_once(self, z: Array, tolerance: Tolerance) -> tuple[Array, tuple[float, ...]] | None:
        """
        Solve by sweeps from the guess `z` that meet to the last bit: exact nodes, and the correction of each sweep.

        None if they do not, or the system cannot do that: then the iteration begins.
        """
        return None

    def correct(
        self, z: Array, first: int, tolerance: Tolerance, admit: Callable[[Propagator | None], None] | None = None
    ) -> Correction:
        """One Newton iteration on the nodes after `first`: linearise and scan.

        `admit` receives the propagators before they are scanned, and may raise `Ended`.
        """
        begin = time.perf_counter()
        line = self.linearise(z, first)
        seconds = time.perf_counter() - begin
        if admit is not None:
            admit(line.propagator)
        return corrected(line, first, tolerance, seconds)

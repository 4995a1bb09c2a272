"""
Segments on a device whose nodes are on the host: few start states and propagators, corrected without a launch.

An iteration on the device takes some fifty launches on small arrays, for corrections, their sizes and the stopping
rules. Copying the ends of some hundred segments takes less time than a few of these.
"""

from __future__ import annotations

from ..._arrays.namespace import Array, Namespace, to_numpy
from ..._engine.linearisation import Linearisation, Propagator
from ..._engine.system import System

MOST = 1 << 22
"""Bytes of nodes and propagators up to which they are on the host."""


class HostNodes(System):
    """
    Another system, whose nodes are NumPy's arrays.

    Parameters
    ----------
    system : System
        On arrays of a device.
    xp : namespace
        Library of these.
    """

    def __init__(self, system: System, xp: Namespace) -> None:
        self._system, self._xp = system, xp

    @property
    def are_finite(self) -> bool:
        """Whether all states are known to be finite."""
        return self._system.are_finite

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self._system.nodes

    def time_of(self, node: int) -> int:
        """First step of the segment of a node."""
        return self._system.time_of(node)

    def guess(self, y0: Array) -> Array:
        """Start states."""
        return to_numpy(self._system.guess(y0))

    def linearise(self, z: Array, first: int) -> Linearisation:
        """A sweep on the device, and what the host needs of it."""
        line = self._system.linearise(self._xp.asarray(z), first)
        found = line.propagator
        if found is not None:
            found = Propagator(found.structure, to_numpy(found.matrices), found.weight)
        return Linearisation(z, found, to_numpy(line.targets))

    def finish(self, z: Array, first: int) -> Array:
        """One more sweep of the states alone."""
        return to_numpy(self._system.finish(self._xp.asarray(z), first))

    def roundings(self, z: Array, first: int) -> Array:
        """Bounds on rounding errors."""
        return to_numpy(self._system.roundings(self._xp.asarray(z), first))

"""One Newton iteration on a row of nodes: from defects and propagators to new nodes."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.elementwise import component_sizes, leading
from .._arrays.namespace import Array, array_namespace, fetch, quiet
from .._kernels.dispatch import affine_scan
from .._kernels.generic.smoothing import smooth
from .linearisation import Linearisation, Propagator
from .tolerance import Tolerance


@dataclass(frozen=True)
class Correction:
    """Nodes after one iteration.

    Parameters
    ----------
    nodes : array
        All nodes, corrected if all corrections are finite.
    first : int
        Last of the leading exact nodes; the number of nodes when all are exact.
    change : array
        Corrections of the nodes after the last one that was exact before the iteration.
    sizes : NumPy array, shape (n,)
        Largest correction per component, in tolerances.
    largest : NumPy array, shape (n,)
        Largest correction per component, in the units of the component.
    finite : bool
        Whether all corrections are finite.
    propagator : Propagator or None
        The propagators, if they were formed.
    seconds : float
        Time of the linearisation. Scans are not counted: the first one may have to load its kernels.
    """

    nodes: Array
    first: int
    change: Array
    sizes: Array
    largest: Array
    finite: bool
    propagator: Propagator | None
    seconds: float

    @property
    def corrected(self) -> Array:
        """The nodes that `change` belongs to."""
        return self.nodes[self.nodes.shape[0] - self.change.shape[0] :, ...]


def corrected(line: Linearisation, first: int, tolerance: Tolerance, seconds: float) -> Correction:
    """Scan the defects of a linearisation, and add the corrections to its nodes.

    Leading nodes that equal their targets were exact; now the node after them is exact, too. Exact nodes are set to
    their targets, not corrected: a propagator that is not finite times a correction of zero would spoil them.
    """
    z, target = line.nodes, line.targets
    xp = array_namespace(z)
    with quiet():
        defect = target - z[first + 1 :, ...]
        change = scan_corrections(line.propagator, defect)
        # Not z + change: where nothing is propagated from the node before, this is the target to the last bit.
        updated = target + (change - defect)
        sizes, largest, met, finite = fetch(
            component_sizes(xp, tolerance.relative(change, updated)),
            component_sizes(xp, xp.abs(change)),
            leading(xp, target == z[first + 1 :, ...]),
            xp.all(xp.isfinite(change)),
        )
        known = min(int(met) + 1, z.shape[0] - first - 1)  # of the nodes after `first`
        rest = updated if finite else z[first + 1 :, ...]
        nodes = xp.concat([z[: first + 1, ...], target[:known, ...], rest[known:, ...]])
    exact = min(first + int(met) + 1, z.shape[0])
    return Correction(nodes, exact, change, sizes, largest, bool(finite), line.propagator, seconds)


def scan_corrections(propagator: Propagator | None, defect: Array) -> Array:
    """Corrections `δ_p = A_p δ_{p-1} + d_p` of the nodes after an exact one; with a weight, damped ones."""
    if propagator is None:
        return defect
    matrices, vectors = propagator.structure.operands(propagator.matrices, defect)
    weight = propagator.weight
    corrections = smooth(matrices, vectors, weight) if weight else affine_scan(matrices, vectors)
    return propagator.structure.from_scan(corrections)

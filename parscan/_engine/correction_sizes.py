"""What has to be known of an iteration's corrections: all that it asks an accelerator for, in one transfer."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.elementwise import component_sizes, leading
from .._arrays.namespace import Array, array_namespace, fetch


@dataclass(frozen=True)
class CorrectionSizes:
    """
    What is known of the corrections of all nodes.

    Parameters
    ----------
    sizes : NumPy array, shape (n,)
        The largest per component, in tolerances.
    largest : NumPy array, shape (n,)
        The same in the units of the component.
    met : int
        Leading nodes that met their targets.
    finite : bool
        Whether all corrections are finite.
    """

    sizes: Array
    largest: Array
    met: int
    finite: bool


def look(relative: Array, met: Array, correction: Array) -> CorrectionSizes:
    """Facts of the corrections, given also in tolerances, and of the flags of the numbers that met their targets."""
    xp = array_namespace(correction)
    sizes, largest = component_sizes(relative), component_sizes(xp.abs(correction))
    sizes, largest, count, finite = fetch(sizes, largest, leading(met), xp.all(xp.isfinite(correction)))
    return CorrectionSizes(sizes, largest, int(count), bool(finite))

"""What has to be known of an iteration's corrections: all that it asks an accelerator for, in one transfer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import array_api_compat

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


def component_sizes(values: Array) -> Array:
    """Largest entry per component (last axis); zeros where there are no nodes."""
    xp = array_namespace(values)
    if values.size == 0:
        return xp.zeros(values.shape[-1:], dtype=values.dtype)
    return xp.max(values, axis=tuple(range(values.ndim - 1)))


def leading(flags: Array) -> Array:
    """Number of leading nodes (first axis) whose flags are all set, as an array of no axes."""
    xp = array_namespace(flags)
    # One flag more, which is not set: it stands behind the last node.
    nodes = xp.all(xp.reshape(flags, (flags.shape[0], math.prod(flags.shape[1:]))), axis=1)
    unset = xp.zeros(1, dtype=xp.int8, device=array_api_compat.device(flags))
    return xp.argmin(xp.concat([xp.astype(nodes, xp.int8), unset]))

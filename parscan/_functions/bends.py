"""Functions that bend within the change of a parameter: their central differences are wrong, and may be zero.

A bell that is narrower than the change is the plainest example: for a point inside the bell, both changed values lie
outside, so that their difference is zero. The value without the change reveals the bell: second differences of a smooth
function are far smaller than first differences, while those of the bell are far larger.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from .._arrays.elementwise import real
from .._arrays.namespace import Array, array_namespace, conjugate, machine_epsilon
from ..warnings import DiscontinuousParameterWarning
from .differences import POWER, ROUNDINGS, curved

SHARE = 3e-4
"""Smaller changes are tried if more than this share of a gradient comes from points where the function bends."""

WRONG = 1e-3
"""A warning is given if gradients from the best two changes differ by more than this share."""

AGREED = 1e-6
"""No smaller changes are tried once gradients from two of them differ by at most this share."""

SMALLER = 1 / 8
"""Ratio of successive changes."""

FURTHER = 3
"""Number of smaller changes that are tried after the first one within which the function does not bend."""


@dataclass(frozen=True)
class Sums:
    """Sums over points for one entry of a parameter.

    `slope` is the sum of products of adjoint states and derivatives, `bend` the part that may be wrong because the
    function bends. A `bend` below the `floor`, a small share of the sum of absolute values, does not matter: the sum
    itself may be zero by cancellation.
    """

    slope: float = 0.0
    bend: float = 0.0
    floor: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.slope + other.slope, self.bend + other.bend, self.floor + other.floor)

    @property
    def share(self) -> float:
        """The part where the function bends, as a share of the sum."""
        return self._share(self.bend)

    @property
    def is_bent(self) -> bool:
        """Whether this part matters."""
        return self.share > SHARE

    def apart(self, other: Sums) -> float:
        """Distance from the sum for another change, as a share of this sum."""
        return self._share(abs(self.slope - other.slope))

    def _share(self, error: float) -> float:
        beyond = max(0.0, error - self.floor)
        return beyond / abs(self.slope) if self.slope else math.inf if beyond else 0.0


class Weighted:
    """Some points with their adjoint `states`, the weights of the values. `base` are the values without a change.

    If the second difference at a point is not small compared with the first one, or with its mean, the whole difference
    may be wrong.
    """

    def __init__(self, states: Array, base: Array) -> None:
        self._xp = array_namespace(states)
        self._states, self._sizes, self._twice = conjugate(states), self._xp.abs(states), 2 * base
        epsilon = machine_epsilon(states.dtype)
        self._rounding, self._floor, self._curved = ROUNDINGS * epsilon, epsilon**0.5, curved(epsilon)

    def sums(self, ahead: Array, behind: Array, added: float) -> Sums:
        """Sums from the values with an entry changed forwards and backwards, to numbers `added` apart.

        The arrays of the values are overwritten.
        """
        xp, change = self._xp, ahead - behind
        slope = self._sum(real(xp, self._states * change))
        ahead += behind
        ahead -= self._twice
        ahead *= self._sizes
        bend = xp.abs(ahead)
        if not self._sum(bend) > self._curved * abs(slope):
            return Sums(slope / added)
        size = self._sizes * xp.abs(change)
        noise = self._rounding * self._sizes * xp.abs(self._twice)
        bends = (bend > noise) & (bend > self._curved * xp.maximum(size, xp.mean(size, axis=0)))
        errors = xp.where(bends, xp.maximum(bend, size), xp.zeros_like(bend))
        return Sums(slope / added, self._sum(errors) / added, self._floor * self._sum(size) / added)

    def _sum(self, values: Array) -> float:
        """Sum in double precision."""
        return float(self._xp.sum(values, dtype=self._xp.float64))


def refined(first: Sums, smaller: Iterable[Sums], larger: Iterable[Sums], epsilon: float) -> tuple[float, bool]:
    """The best gradient by an entry, from the `first` change and others, and whether the gradient is right.

    The `bend` at a kink shrinks with the change, and the sum is right as soon as two changes agree. The `bend` of a
    bell does not shrink until the change is smaller than the bell; before, two changes may agree on a wrong sum. A
    `bend` that never shrinks is rounding if it is small compared with the effect of `larger` changes. `epsilon` is the
    precision, which limits the accuracy of differences.
    """
    enough, tried = max(WRONG, epsilon**POWER), [first]
    for found in smaller:
        before = tried[-1]
        tried.append(found)
        shrinks = found.bend * SMALLER <= before.bend / 2
        if (shrinks and found.apart(before) <= AGREED) or (len(tried) > FURTHER and not tried[-1 - FURTHER].is_bent):
            break
    resolved = next((k for k, each in enumerate(tried) if not each.is_bent), None)
    if resolved is None:
        resolved = min(range(len(tried)), key=lambda k: tried[k].share)
    pairs = list(itertools.pairwise(tried))[max(0, resolved - 1) :]
    one, best = min(pairs, key=lambda pair: abs(pair[0].slope - pair[1].slope), default=(first, first))
    if best.apart(one) <= enough:
        return best.slope, True
    for one, other in itertools.pairwise(itertools.chain([first], larger)):
        if not other.is_bent and other.apart(one) <= enough:
            return other.slope, True
    return first.slope, False


def warn_of_unresolved(leaf: str, own: str) -> None:
    """Warn of a parameter for which no change is small enough."""
    named = f"`{leaf}` (`{own}`)" if own else f"`{leaf}`"
    warnings.warn(
        f"the function changes too sharply with {named} for differences, which disagree however small the change is: "
        "the gradient with respect to it is wrong. Pass its derivative (`vjp`), or make the function smoother.",
        DiscontinuousParameterWarning,
        6,
    )

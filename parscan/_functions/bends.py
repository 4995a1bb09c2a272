"""Functions that bend within the change of a parameter: central differences of them are wrong, and may be zero.

A bell that is narrower than the change is the plainest example: points inside the bell have left it on both sides of
the change, so that the difference of the two values is zero. The value without the change shows it: second differences
of a smooth function are far smaller than first ones, and those inside the bell are far larger.
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
"""Part of a gradient from points where the function bends, beyond which smaller changes are tried."""

WRONG = 1e-3
"""Difference between the best two changes, as a share of the gradient, for which a warning is given."""

AGREED = 1e-6
"""Difference between two changes, as a share of the gradient, beyond which no smaller ones are tried."""

SMALLER = 1 / 8
"""Ratio of the changes that are tried one after the other."""

FURTHER = 3
"""Smaller changes that are tried after the first one within which the function does not bend."""


@dataclass(frozen=True)
class Sums:
    """Sums over points: of products with the derivative by an entry, and of those parts where the function bends.

    Parts below the `floor`, a share of the sum of absolute values, do not matter: the sum may be zero.
    """

    slope: float = 0.0
    bend: float = 0.0
    floor: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.slope + other.slope, self.bend + other.bend, self.floor + other.floor)

    @property
    def share(self) -> float:
        """The part where the function bends."""
        return self._share(self.bend)

    @property
    def is_bent(self) -> bool:
        """Whether this part matters."""
        return self.share > SHARE

    def apart(self, other: Sums) -> float:
        """Distance of the sum for another change, as a share of this one."""
        return self._share(abs(self.slope - other.slope))

    def _share(self, error: float) -> float:
        beyond = max(0.0, error - self.floor)
        return beyond / abs(self.slope) if self.slope else math.inf if beyond else 0.0


class Weighted:
    """Some points, whose values have weights: the adjoint `states`. `base` are the values without a change.

    Where the second difference is no small share of the first one, or of its mean, all of the difference may be wrong.
    """

    def __init__(self, states: Array, base: Array) -> None:
        self._xp = array_namespace(states)
        self._states, self._sizes, self._twice = conjugate(states), self._xp.abs(states), 2 * base
        epsilon = machine_epsilon(states.dtype)
        self._rounding, self._floor, self._curved = ROUNDINGS * epsilon, epsilon**0.5, curved(epsilon)

    def sums(self, ahead: Array, behind: Array, added: float) -> Sums:
        """Sums for the values where an entry is changed forwards and backwards, to numbers `added` apart.

        The memory of the values is used again.
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
    """The best gradient by an entry from the `first` change and other ones, and whether it is right.

    Bends at kinks shrink with the change, and the sum is right as soon as two changes agree. A bell does not shrink
    until the change is smaller than the bell; before, two changes that miss it agree on a wrong sum. What never shrinks
    is rounding, if it does not matter beside the effect of `larger` changes. `epsilon` is the precision, which bounds
    the accuracy of differences.
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
    """Warn of a parameter for which the function changes within every change of it."""
    told = f"`{leaf}` (`{own}`)" if own else f"`{leaf}`"
    warnings.warn(
        f"the function changes too sharply with {told} for differences, which disagree however small the change is: "
        "the gradient with respect to it is wrong. Pass its derivative (`vjp`), or make the function smoother.",
        DiscontinuousParameterWarning,
        6,
    )

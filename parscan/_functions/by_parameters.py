"""Products of adjoint states with derivatives of a function by its further arguments, by central differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from .._arrays.cached import cached_property
from .._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from .bends import SMALLER, Sums, Weighted, refined, warn_of_unresolved
from .differences import POWER, ROUNDINGS
from .entries import at, finite, furthest, indices, is_number, size_of, units, with_added
from .parameters import Leaf, Tree, like, noting_integers
from .points import Points, Varied, stretches

LEAST_SHARE = 0.1
"""Smallest size that is assumed for an entry of an array, as a share of the largest entry."""

DECADES = 9
"""Number of powers of ten among which the size of an entry that is zero is searched."""

FELT = 300
"""Least effect of a change that is more than rounding, in errors of central differences relative to a value."""

BENT, NEARER = 1e-6, 9
"""If differences with two sizes differ by more than this share of the derivative, changes smaller by this many powers
of ten are tried."""

CLEAR = 0.3
"""A smaller change replaces the first one if its error is at most this share of the derivative."""

ROUNDS, SPACINGS = 20, 4
"""If the function bends within a change: largest number of smaller changes, and the smallest one, in spacings of the
numbers."""

LARGER = 4
"""If a change may be lost in rounding: number of larger changes, up to a few hundredths of the entry."""


def of_argument(points: Points, states: Array, index: int, moving: Collection[str] = (), own_name: str = "") -> Tree:
    """Sum over time of the products of `states` with the derivatives of the function by every entry of an argument.

    Where the function bends within the change of an entry, smaller changes are tried; if none is small enough, a
    warning names the leaf. Leaves in `moving` are known to move jumps: they have no derivative, and the first result is
    kept.
    """
    argument = Argument(points, states, index)
    with quiet(), noting_integers(f"args[{index}]", points.args[index]):
        sums = argument.sums(list(argument.entries()))
        found = {}
        for entry, each in sums.items():
            found[entry] = each.slope
            if each.is_bent and (name := argument.names[entry.leaf]) not in moving:
                others = argument.smaller(entry), argument.larger(entry)
                found[entry], resolved = refined(each, *others, argument.epsilon(entry.leaf))
                if not resolved:
                    warn_of_unresolved(name, own_name)
                    moving = {*moving, name}
    return argument.gradient(found)


@dataclass(frozen=True)
class Entry:
    """An entry of one of the leaves of an argument, and the real or imaginary number that is added to it."""

    leaf: int
    index: tuple[int, ...]
    change: complex

    def times(self, size: float) -> Entry:
        """The entry with a change that is larger by a factor."""
        return replace(self, change=self.change * size)


class Argument:
    """One of the further arguments of a function, whose entries are changed one by one."""

    def __init__(self, points: Points, states: Array, index: int) -> None:
        self._points, self._states = points, states
        self._varied = Varied(points, index)
        self._leaves, self.names = self._varied.leaves, self._varied.names

    def sums(self, entries: list[Entry]) -> dict[Entry, Sums]:
        """Sums over all points for each of some entries."""
        found = dict.fromkeys(entries, Sums())
        points, states = self._points, self._states
        for begin, end in stretches(points.y0, states.shape[0], math.prod(states.shape[1:]), stacks=points.stacks):
            y, times = points.before(begin, end), slice(begin, end)
            weighted = Weighted(states[times, ...], points.unchanged(begin, end))
            for entry in found:
                found[entry] += weighted.sums(*self._ends(entry, y, times), self._added(entry))
        return found

    def smaller(self, entry: Entry) -> Iterator[Sums]:
        """Sums for smaller and smaller changes of an entry, down to a few spacings of the numbers at its value."""
        own, epsilon = abs(at(self._leaves[entry.leaf], entry.index)), self.epsilon(entry.leaf)
        for _ in range(ROUNDS):
            entry = entry.times(SMALLER)
            if abs(entry.change) < SPACINGS * epsilon * own:
                return
            yield self.sums([entry])[entry]

    def entries(self) -> Iterator[Entry]:
        """All entries with their best changes; complex ones twice, for their real and imaginary parts."""
        for position, leaf in enumerate(self._leaves):
            least = LEAST_SHARE * size_of(finite(leaf))
            bends = self._bends(position, least)
            for index, unit in itertools.product(indices(leaf), units(leaf)):
                own = abs(at(leaf, index))
                entry = Entry(position, index, unit * self.epsilon(position) ** POWER)
                found = self._best(entry, own, least) if own < least else entry.times(own or 1.0)
                lost = own < self._size and not self._is_felt(found)
                yield self._best(entry, own, self._size) if lost else self._nearer(found) if bends else found

    @cached_property
    def _largest_state(self) -> float:
        """Largest number in a few states."""
        return max((size_of(y) for _, y in self._points.sample()), default=0.0)

    @cached_property
    def _largest_value(self) -> float:
        """Largest number in the function's values for them: slopes may be far smaller than states, or larger."""
        leaf = self._leaves[0]
        return max((size_of(self._varied.values(0, leaf, y, times)) for times, y in self._points.sample()), default=0.0)

    @property
    def _size(self) -> float:
        """Largest size that is assumed for an entry, from the size of the states."""
        return max(1.0, self._largest_state)

    def _is_felt(self, entry: Entry) -> bool:
        """Whether a change of an entry changes the values at a sample of states by far more than their rounding."""
        found = self._sampled(entry)
        felt = FELT * machine_epsilon(self._points.y0.dtype) ** (1 - POWER)
        return found is None or not max(map(size_of, found), default=0.0) * felt < self._noise(entry)

    def _noise(self, entry: Entry) -> float:
        """Rounding error of a derivative by an entry."""
        return machine_epsilon(self._points.y0.dtype) * self._largest_value / abs(entry.change)

    def _sampled(self, entry: Entry) -> list[Array] | None:
        """Derivatives by an entry at a sample of states; None if the function rejects the change."""
        try:
            with quiet():
                return [self.derivative(entry, y, times) for times, y in self._points.sample()]
        except Exception:
            return None

    def _best(self, entry: Entry, own: float, largest: float) -> Entry:
        """The best change of an entry that is small compared with other entries or the states, perhaps by chance.

        Sizes from the `largest` down to the entry's own are tried at a sample of states. For smaller sizes, rounding
        errors grow and truncation errors fall; truncation errors are estimated by the difference from the next size.
        """
        count = DECADES if own == 0 else math.ceil(math.log10(largest) - math.log10(own)) + 1
        tried = [entry.times(max(largest * 10.0**-k, own)) for k in range(count)]
        found = [self._sampled(each) for each in tried]
        with quiet():
            changes = [furthest(one, other) for one, other in itertools.pairwise(found)]
        changes.append(changes[-1] / 100 if changes else 0.0)  # truncation errors fall with the square of the size
        errors = [change + self._noise(each) for change, each in zip(changes, tried, strict=True)]
        usable = [k for k in range(count) if math.isfinite(errors[k])]
        return tried[min(usable, key=errors.__getitem__, default=-1 if own else 0)]

    def _bends(self, position: int, least: float) -> bool:
        """Whether the function bends within the changes of a leaf.

        A change of all its entries together is compared with half of this change. Entries below the `least` size are
        assumed to have that size, or 1 if all are zero.
        """
        leaf = self._leaves[position]
        size = self.epsilon(position) ** POWER
        if is_number(leaf):
            direction = leaf or 1.0
        else:
            xp = array_namespace(leaf)
            typical = xp.where(xp.abs(leaf) > least, leaf, xp.full_like(leaf, least or 1.0))
            direction = typical * random_signs(tuple(leaf.shape), leaf, seed=0)

        def slopes(share: float) -> list[Array]:
            ends = leaf + share * direction, leaf - share * direction
            return [self._change(position, *ends, y, times) / (2 * share) for times, y in self._points.sample()]

        try:
            with quiet():
                found = [slopes(size), slopes(size / 2)]
        except Exception:  # the function may reject such arguments
            return False
        noise = machine_epsilon(self._points.y0.dtype) * self._largest_value / size
        return not furthest(*found) <= BENT * max(map(size_of, found[1]), default=0.0) + ROUNDINGS * noise

    def _nearer(self, entry: Entry) -> Entry:
        """The best of this change of an entry and smaller ones.

        Rounding errors of sums with terms far larger than the states may look like a bend. Then no smaller change is
        clearly better, and this one is kept.
        """
        tried = [entry.times(10.0**-k) for k in range(NEARER)]
        with quiet():
            parts = [(self._sampled(each), self._sampled(each.times(0.5)), self._noise(each)) for each in tried]
            errors = [_share(furthest(one, other) + noise, other) for one, other, noise in parts]
        best = min(range(NEARER), key=errors.__getitem__)
        return tried[best if errors[best] < CLEAR else 0]

    def larger(self, entry: Entry) -> Iterator[Sums]:
        """Sums for larger and larger changes of an entry."""
        for _ in range(LARGER):
            entry = entry.times(1 / SMALLER)
            yield self.sums([entry])[entry]

    def derivative(self, entry: Entry, y: Array, times: slice) -> Array:
        """Derivative of the values by the real or the imaginary part of an entry."""
        ahead, behind = self._ends(entry, y, times)
        return (ahead - behind) / self._added(entry)

    def _ends(self, entry: Entry, y: Array, times: slice) -> tuple[Array, Array]:
        """Values with the entry changed forwards and backwards."""
        ahead, behind = self._changed(entry)
        return self._varied.values(entry.leaf, ahead, y, times), self._varied.values(entry.leaf, behind, y, times)

    def _added(self, entry: Entry) -> float:
        """Distance of the two changed entries, after rounding."""
        ahead, behind = self._changed(entry)
        return abs(at(ahead, entry.index) - at(behind, entry.index))

    def _changed(self, entry: Entry) -> tuple[Leaf, Leaf]:
        """The leaf with the entry changed forwards and backwards."""
        ahead, behind = (with_added(self._leaves[entry.leaf], entry.index, sign * entry.change) for sign in (1, -1))
        return ahead, behind

    def _change(self, position: int, ahead: Leaf, behind: Leaf, y: Array, times: slice) -> Array:
        """Difference of the values for two values of a leaf."""
        return self._varied.values(position, ahead, y, times) - self._varied.values(position, behind, y, times)

    def gradient(self, sums: dict[Entry, float]) -> Tree:
        """The sums of the products in the structure of the argument."""
        found = [0 * leaf if is_number(leaf) else array_namespace(leaf).zeros_like(leaf) for leaf in self._leaves]
        for entry, total in sums.items():
            unit = entry.change / abs(entry.change) if entry.change.imag else 1.0
            found[entry.leaf] = with_added(found[entry.leaf], entry.index, unit * total)
        return like(self._varied.tree, iter([leaf if is_number(leaf) or leaf.ndim else leaf[()] for leaf in found]))

    def epsilon(self, position: int) -> float:
        """The lower precision of a leaf and the state."""
        leaf = self._leaves[position]
        own = 0.0 if is_number(leaf) else machine_epsilon(leaf.dtype)
        return max(own, machine_epsilon(self._points.y0.dtype))


def _share(error: float, found: list[Array] | None) -> float:
    """An error relative to the derivatives, since difference quotients of a bounded function shrink as changes grow."""
    size = max(map(size_of, found or ()), default=0.0)
    return error / size if size > 0 and math.isfinite(error) else math.inf

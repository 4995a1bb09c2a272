"""Products of adjoint states with derivatives of the step by its arguments and inputs, by central differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .._arrays import Array, array_namespace, conjugate, copy, machine_epsilon, quiet
from .._solution import Solution
from ..jacobians import step_sizes
from ..systems import Inputs
from ._jacobians import stretches
from ._parameters import Leaf, Tree, leaves, like
from ._points import Points

LEAST_SHARE = 0.1
"""Size that an entry of an array is taken to have at least, as a share of the largest one."""

DECADES = 9
"""Powers of ten over which the size of an entry that is zero is looked for."""

POWER = 1 / 3
"""Power of the machine epsilon that balances the errors of central differences."""


def stretch(x: Inputs, times: slice) -> Inputs:
    """Inputs of some steps."""
    if isinstance(x, tuple):
        return tuple(part[times, ...] for part in x)
    return None if x is None else x[times, ...]


def of_argument(solution: Points, states: Array, index: int) -> Tree:
    """Sum over time of the products of `states` with the derivatives of the step by every entry of an argument."""
    xp, argument = array_namespace(states), Argument(solution, index)
    sums = dict.fromkeys(argument.entries(), 0.0)
    for begin, end in stretches(solution, states.shape[0], math.prod(states.shape[1:])):
        y, times = solution.before(begin, end), slice(begin, end)
        for entry in sums:
            with quiet():
                products = _real(conjugate(states[times, ...]) * argument.derivative(entry, y, times))
                sums[entry] += float(xp.sum(products, dtype=xp.float64))
    return argument.gradient(sums)


@dataclass(frozen=True)
class Entry:
    """An entry of one of the leaves of an argument, and what is added to it: a real or an imaginary number."""

    leaf: int
    index: tuple[int, ...]
    change: complex

    def times(self, size: float) -> Entry:
        """The same with another change."""
        return replace(self, change=self.change * size)


class Argument:
    """One of the further arguments of a step, whose entries are changed one by one."""

    def __init__(self, solution: Points, index: int) -> None:
        self._solution = solution
        self._index = index
        self._tree = solution.step.args[index]
        self._leaves = list(leaves(f"args[{index}]", self._tree).values())

    def entries(self) -> Iterator[Entry]:
        """All entries; complex ones twice, for their real and imaginary parts."""
        for position, leaf in enumerate(self._leaves):
            least = LEAST_SHARE * _largest(leaf)
            for index, unit in itertools.product(_indices(leaf), _units(leaf)):
                own = abs(_at(leaf, index))
                entry = Entry(position, index, unit * self._epsilon(leaf) ** POWER)
                yield entry.times(own or 1.0) if own >= least else self._best(entry, own, least)

    def _best(self, entry: Entry, own: float, least: float) -> Entry:
        """The best size for an entry that is small beside others, and may be so by chance or by its nature.

        From that of the others down to its own: rounding errors grow, errors of the formula fall, and show in the
        difference from the next size, on a few states.
        """
        count = DECADES if own == 0 else math.ceil(math.log10(least / own)) + 1
        tried = [entry.times(max(least * 10.0**-k, own)) for k in range(count)]
        with quiet():
            found = [[self.derivative(each, y, times) for times, y in self._solution.sample()] for each in tried]
            size = max((_largest(y) for _, y in self._solution.sample()), default=0.0)
            noise = [machine_epsilon(self._solution.y0.dtype) * size / abs(each.change) for each in tried]
            changes = [_furthest(one, other) for one, other in itertools.pairwise(found)]
        changes.append(changes[-1] / 100 if changes else 0.0)  # that of the formula falls with the square of the size
        errors = [change + rounding for change, rounding in zip(changes, noise, strict=True)]
        return tried[min(range(count), key=lambda k: errors[k] if math.isfinite(errors[k]) else math.inf)]

    def derivative(self, entry: Entry, y: Array, times: slice) -> Array:
        """Derivative of the next states by an entry, by its real or imaginary part."""
        step, after, ends = self._solution.step, [], []
        x = stretch(step.x, times)
        for sign in (1, -1):
            moved = _moved(self._leaves[entry.leaf], entry.index, sign * entry.change)
            others = [*self._leaves[: entry.leaf], moved, *self._leaves[entry.leaf + 1 :]]
            args = (*step.args[: self._index], like(self._tree, iter(others)), *step.args[self._index + 1 :])
            after.append(copy(step.varied(copy(y), x, args, times)))
            ends.append(_at(moved, entry.index))
        return (after[0] - after[1]) / abs(ends[0] - ends[1])

    def gradient(self, sums: dict[Entry, float]) -> Tree:
        """The products, in the places of the entries."""
        found = [0 * leaf if _is_number(leaf) else array_namespace(leaf).zeros_like(leaf) for leaf in self._leaves]
        for entry, total in sums.items():
            unit = entry.change / abs(entry.change) if entry.change.imag else 1.0
            found[entry.leaf] = _moved(found[entry.leaf], entry.index, unit * total)
        return like(self._tree, iter([leaf if _is_number(leaf) or leaf.ndim else leaf[()] for leaf in found]))

    def _epsilon(self, leaf: Leaf) -> float:
        """The coarser precision of the entry and the state."""
        own = 0.0 if _is_number(leaf) else machine_epsilon(leaf.dtype)
        return max(own, machine_epsilon(self._solution.y0.dtype))


def of_inputs(solution: Solution, states: Array) -> Tree:
    """Products of `states` with the derivatives of the step by every entry of the inputs, time by time."""
    x = solution.step.x
    parts = list(leaves("x", x).values())
    found = [array_namespace(part).zeros_like(part) for part in parts]
    numbers = math.prod(states.shape[1:]) + sum(math.prod(part.shape[1:]) for part in parts)
    for begin, end in stretches(solution, states.shape[0], numbers):
        times = slice(begin, end)
        for position in range(len(parts)):
            with quiet():
                found[position][times, ...] = _of_input(solution, states[times, ...], parts, position, times)
    return like(x, iter(found))


def _of_input(solution: Solution, states: Array, parts: list[Array], position: int, times: slice) -> Array:
    """The same for one array of inputs over one stretch of time."""
    step, xp = solution.step, array_namespace(states)
    y, pieces = solution.before(times.start, times.stop), [part[times, ...] for part in parts]
    piece = pieces[position]
    flat = xp.reshape(piece, (piece.shape[0], -1))
    result, sizes = xp.zeros_like(flat), step_sizes(flat, power=POWER)
    for column, unit in itertools.product(range(flat.shape[1]), _units(flat)):
        after, ends = [], []
        for sign in (1, -1):
            moved = copy(flat)
            moved[:, column] = flat[:, column] + sign * unit * sizes[:, column]
            pieces[position] = xp.reshape(moved, piece.shape)
            after.append(copy(step.varied(copy(y), like(step.x, iter(pieces)), step.args, times)))
            ends.append(moved[:, column])
        products = xp.reshape(_real(conjugate(states) * (after[0] - after[1])), (piece.shape[0], -1))
        slopes = xp.astype(xp.sum(products, axis=1) / xp.abs(ends[0] - ends[1]), flat.dtype)
        result[:, column] = result[:, column] + unit * slopes
    return xp.reshape(result, piece.shape)


def _is_number(leaf: Leaf) -> bool:
    """Whether it is a number of Python's."""
    return isinstance(leaf, float | complex)


def _units(leaf: Leaf) -> tuple[complex, ...]:
    """What entries are changed along: one, or the real and the imaginary unit."""
    number = isinstance(leaf, complex)
    return (1.0, 1j) if number or (not _is_number(leaf) and _is_complex(leaf)) else (1.0,)


def _is_complex(array: Array) -> bool:
    return bool(array_namespace(array).isdtype(array.dtype, "complex floating"))


def _indices(leaf: Leaf) -> Iterator[tuple[int, ...]]:
    """Of all entries."""
    return itertools.product(*map(range, () if _is_number(leaf) else leaf.shape))


def _at(leaf: Leaf, index: tuple[int, ...]) -> complex:
    """An entry."""
    return complex(leaf if _is_number(leaf) else leaf[index])


def _largest(leaf: Leaf) -> float:
    """Size of the largest entry."""
    if _is_number(leaf):
        return abs(leaf)
    xp = array_namespace(leaf)
    return float(xp.max(xp.abs(leaf))) if leaf.size else 0.0


def _furthest(one: list[Array], other: list[Array]) -> float:
    """Largest difference between two lists of arrays."""
    return max((_largest(a - b) for a, b in zip(one, other, strict=True)), default=0.0)


def _moved(leaf: Leaf, index: tuple[int, ...], by: complex) -> Leaf:
    """The same with something added to one entry."""
    if _is_number(leaf):
        return leaf + by
    other = copy(leaf)
    other[index] = other[index] + by
    return other


def _real(x: Array) -> Array:
    """Real parts."""
    return array_namespace(x).real(x) if _is_complex(x) else x

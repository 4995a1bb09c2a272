"""Points of a trajectory at which a user's function is evaluated with changed arguments, to differentiate by these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .._arrays.memory import numbers_at_once
from .._arrays.namespace import Array, copy
from .parameters import Leaf, Tree, leaves, like
from .step import each_input


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a trajectory, of a recurrence or of a differential equation.

    Parameters
    ----------
    values : callable
        The function, `values(y, x, args, times)`: its values at states for inputs and further arguments; `times` is the
        slice of the points.
    args : tuple
        Further arguments of the trajectory.
    x : array, tuple of arrays or None
        Inputs of the trajectory, one for each point, or None for a function without inputs.
    y0 : array
        A state like those of all points.
    before : callable
        `before(begin, end)`: a copy of the states at the points with these numbers.
    sample : callable
        A few of the points: slices, and the states there.
    stacks : bool
        Whether the function can be called for many points at once.
    """

    values: Callable[[Array, Any, tuple[Any, ...], slice], Array]
    args: tuple[Any, ...]
    x: Any
    y0: Array
    before: Callable[[int, int], Array]
    sample: Callable[[], Iterator[tuple[slice, Array]]]
    stacks: bool
    _last: dict[tuple[int, int], Array] = field(default_factory=dict, init=False)

    def unchanged(self, begin: int, end: int) -> Array:
        """Values at the points with these numbers. The last result is kept: often it is needed again at once."""
        if (begin, end) not in self._last:
            times = slice(begin, end)
            x = each_input(lambda x: x[times, ...], self.x)
            self._last.clear()
            self._last[begin, end] = copy(self.values(self.before(begin, end), x, self.args, times))
        return self._last[begin, end]


class Varied:
    """The function at some points with one of its further arguments changed, leaf by leaf."""

    def __init__(self, points: Points, index: int) -> None:
        self.points = points
        self.tree: Tree = points.args[index]
        named = leaves(f"args[{index}]", self.tree)
        self.leaves: list[Leaf] = list(named.values())
        self.names = list(named)
        self._index = index

    def values(self, position: int, leaf: Leaf, y: Array, times: slice) -> Array:
        """Values at the states `y` of some points with another value of a leaf, as a new array."""
        points, index = self.points, self._index
        tree = like(self.tree, iter([*self.leaves[:position], leaf, *self.leaves[position + 1 :]]))
        args = (*points.args[:index], tree, *points.args[index + 1 :])
        return copy(points.values(copy(y), each_input(lambda x: x[times, ...], points.x), args, times))


def stretches(state: Array, steps: int, numbers: int, *, stacks: bool) -> list[tuple[int, int]]:
    """Begin and end of groups of steps that fit into memory, if each of the `steps` takes this many `numbers`."""
    size = max(1, numbers_at_once(state) // max(1, numbers)) if stacks else 1
    return [(begin, min(begin + size, steps)) for begin in range(0, steps, size)]

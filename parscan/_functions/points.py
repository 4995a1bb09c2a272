"""What differences with respect to parameters need: states of a trajectory, and a function to evaluate there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .._arrays.memory import numbers_at_once
from .._arrays.namespace import Array


class Function(Protocol):
    """A user's function `function(y, x, *args)` of stacked states, without `x` if that is None."""

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself."""

    @property
    def args(self) -> tuple[Any, ...]:
        """Its further arguments."""

    @property
    def x(self) -> Any:
        """Its inputs."""

    def varied(self, y: Array, x: Any, args: tuple[Any, ...], times: slice) -> Array:
        """Values with other arguments."""


class Points(Protocol):
    """States that it is evaluated at."""

    @property
    def step(self) -> Function:
        """The function."""

    @property
    def y0(self) -> Array:
        """A state like all of them."""

    @property
    def stacks(self) -> bool:
        """Whether the function can be called for many of them at once."""

    def before(self, begin: int, end: int) -> Array:
        """Some of them, in memory of their own."""

    def sample(self) -> Iterator[tuple[slice, Array]]:
        """A few of them, and where they are."""


def stretches(solution: Points, steps: int, numbers: int) -> list[tuple[int, int]]:
    """Begin and end of stretches of `steps` steps, where each step takes so many numbers."""
    most = numbers_at_once(solution.y0) // max(1, numbers) if solution.stacks else 1
    size = max(1, most)
    return [(begin, min(begin + size, steps)) for begin in range(0, steps, size)]

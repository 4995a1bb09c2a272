"""What differences with respect to parameters need: states of a trajectory, and a function to evaluate there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .._arrays import Array


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

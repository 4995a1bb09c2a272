"""Times of the output, and the states there, which a march notes as it passes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..._arrays.namespace import Array, array_namespace, to_numpy


class Wanted:
    """
    States at given times.

    Parameters
    ----------
    times : array, shape (m,)
        In the order of the march, none of them before its begin.
    span : pair of floats
        Begin and end of the march.
    y0 : array, shape (*batch, n)
        The state at its begin.
    """

    def __init__(self, times: Array, span: tuple[float, float], y0: Array) -> None:
        self._left, self._sign = deque[float](to_numpy(times).tolist()), 1.0 if span[1] >= span[0] else -1.0
        self._y0, self._states = y0, list[Array]()
        self._enter_at(span[0], array_namespace(y0).moveaxis(y0, -1, 0))

    @property
    def states(self) -> Array:
        """The states at the times that were passed, `(n, m, *batch)`."""
        xp, y0 = array_namespace(self._y0), self._y0
        if self._states:
            return xp.stack(self._states, axis=1)
        return xp.zeros((y0.shape[-1], 0, *y0.shape[:-1]), dtype=y0.dtype)

    def enter(self, begin: float, end: float, y: Array, between: Callable[[list[float]], list[Array]]) -> None:
        """Enter a step that ends in the state `y` `(n, *batch)`; `between` gives the states at shares of it."""
        shares: list[float] = []
        while self._left and self._sign * self._left[0] < self._sign * end:
            shares.append((self._left.popleft() - begin) / (end - begin))
        if shares:
            self._states += between(shares)
        self._enter_at(end, y)

    def _enter_at(self, time: float, y: Array) -> None:
        while self._left and self._left[0] == time:
            self._left.popleft()
            self._states.append(y)

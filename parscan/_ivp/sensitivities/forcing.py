"""The values of a user's `forcing` along a trajectory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import Array, array_namespace, as_array, machine_epsilon, shared_namespace
from ..._functions.evaluators import ONE_BY_ONE, STACKED, Evaluator
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree

SAMPLE = 3
"""Points at which single calls are compared with the call for all points."""


class Forcing:
    """A function `forcing(t, y, *args)`, called like `fun`: `∂f/∂θ` for one parameter, or for many of them.

    If `starts` is given, the number of parameters must be that.
    """

    def __init__(self, function: Callable[..., Any], rhs: RightHandSide, starts: int | None = None) -> None:
        self._function, self._rhs, self._starts = function, rhs, starts
        self._evaluator: Evaluator = STACKED if rhs.stacks else ONE_BY_ONE
        self._is_verified = not rhs.stacks
        self.many = False
        """Whether there are many parameters; known after the first call."""

    def __call__(self, times: Array, states: Array) -> Array:
        """Forcings `(m, *batch, n, k)` at the times `(m,)` and states `(m, *batch, n)`."""
        if self._is_verified:
            return self._evaluator.values(self, times, states)
        self._is_verified = True
        return self._first(times, states)

    def _first(self, times: Array, states: Array) -> Array:
        """The first call, for all points; single calls if it disagrees with single calls for a sample."""
        xp, count = array_namespace(states), times.shape[0]
        some = xp.asarray(sorted({k * (count - 1) // (SAMPLE - 1) for k in range(SAMPLE)}))
        try:
            together = self._evaluator.values(self, times, states)
        except Exception:
            self._evaluator = ONE_BY_ONE
            try:
                return self.each(times, states)
            except Exception:  # single calls fail, too: raise the exception of the call for all points
                return self.together(times, states)
        found, t, y = (xp.take(array, some, axis=0) for array in (together, times, states))
        try:
            alone = self.each(t, y)
        except Exception:  # the function accepts only many points at once
            return together
        share = machine_epsilon(states.dtype) ** 0.5
        if alone.shape[1:] == together.shape[1:] and agree(found, alone, share, t, y, self.each):
            return together
        self._evaluator = ONE_BY_ONE
        return self.each(times, states)

    def together(self, points: Array, states: Array) -> Array:
        """Forcings by one call."""
        value = self._rhs.evaluate(self._function, points, states)
        return self._to_states(value, (states.shape[0], *states.shape[1:-1]), states)

    def each(self, points: Array, states: Array) -> Array:
        """Forcings by a call for each of the times."""
        values = (self._rhs.evaluate_one(self._function, points, states, i) for i in range(points.shape[0]))
        return array_namespace(states).stack([self._to_states(value, states.shape[1:-1], states) for value in values])

    def _to_states(self, value: Any, shape: tuple[int, ...], states: Array) -> Array:
        """The returned value with components and parameters last."""
        xp, n = array_namespace(states), states.shape[-1]
        if isinstance(value, list | tuple):
            if len(value) != n:
                raise ValueError(f"`forcing` returned a list of {len(value)} components where `y` has {n}.")
            parts = [_component(part, shape, states) for part in value]
            count = max((part.shape[-1] for part in parts if part.ndim > len(shape)), default=0)
            if count:
                parts = [part if part.ndim > len(shape) else part[..., None] for part in parts]
                parts = [xp.broadcast_to(part, (*shape, count)) for part in parts]
            value = xp.stack(parts)
        value = _as_array(value, states)
        if n == 1 and value.shape == shape:
            value = value[None, ...]
        if tuple(value.shape[: 1 + len(shape)]) != (n, *shape) or value.ndim > len(shape) + 2:
            raise ValueError(
                f"`forcing` returned shape {tuple(value.shape)} where {(n, *shape)} was expected, components first as "
                "the `y` that it is given, or one more axis for many parameters."
            )
        self.many = value.ndim == len(shape) + 2
        count = value.shape[-1] if self.many else 1
        if self._starts is not None and count != self._starts:
            raise ValueError(
                f"`forcing` returned {count} forcings, but `y0` has {self._starts} initial states; pass as many."
            )
        value = xp.astype(value, states.dtype) if self.many else xp.astype(value, states.dtype)[..., None]
        return xp.moveaxis(value, 0, -2)


def _component(part: Any, shape: tuple[int, ...], states: Array) -> Array:
    """One component of a list: for one parameter, or with an axis of parameters."""
    xp = array_namespace(states)
    if isinstance(part, list | tuple):
        entries = [xp.broadcast_to(_as_array(entry, states), shape) for entry in part]
        return xp.stack(entries, axis=-1)
    part = _as_array(part, states)
    return xp.broadcast_to(part, shape) if part.ndim <= len(shape) else part


def _as_array(value: Any, states: Array) -> Array:
    """An array of the library of the states, real if they are."""
    xp = array_namespace(states)
    array = as_array("forcing", value)
    if array.ndim and hasattr(value, "dtype"):
        shared_namespace(forcing=array, y=states)
    if is_complex(array) and not is_complex(states):
        raise TypeError("`forcing` returned complex values for a real solution; return real ones.")
    return xp.asarray(array if hasattr(value, "dtype") else array.tolist(), dtype=states.dtype)

"""Recurrences with several lags: their checked arguments, and the companion recurrence of the last states."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .._arrays.counts import as_count
from .._arrays.namespace import Array, Namespace, array_namespace, as_array, floating_dtype
from .._functions.step import as_state
from .._linalg.dense import Dense
from .arguments import DENSE, as_arrays, check_functions
from .task import Arrays

Lags = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Companion:
    """
    The step of the last `p` states, `p` the largest lag: z_t = (y_{t-p+1}, ..., y_t), side by side, oldest first.

    Parameters
    ----------
    step : callable
        The user's, of a tuple of states.
    lags : tuple of int
    n : int
        Components of a state.
    xp : namespace
    """

    step: Callable[..., Any]
    lags: Lags
    n: int
    xp: Namespace

    @property
    def __code__(self) -> Any:
        """The user's: what is measured of functions is kept by their code."""
        return getattr(self.step, "__code__", None)

    @property
    def __signature__(self) -> inspect.Signature:
        """The user's, with the names of parameters."""
        return inspect.signature(self.step)

    def __call__(self, z: Array, *rest: Any) -> Array:
        """The last states after a step."""
        states = self.states(z)
        value = self.step(states, *rest)
        if len(states) == 1 and self.lags[0] == 1:
            return value
        like = states[0]
        if getattr(value, "shape", None) != like.shape or value.dtype != like.dtype:
            value = as_state(value, like)  # raises
        return self.xp.concat([z[..., self.n :], value], axis=-1)

    def states(self, z: Array) -> tuple[Array, ...]:
        """The states of the lags, which the user's step takes."""
        n, first = self.n, max(self.lags)
        return tuple(z[..., (first - lag) * n : (first - lag + 1) * n] for lag in self.lags)


MOST = 16
"""Numbers of the last states together up to which derivatives are those of the companion recurrence."""


def is_spared(companion: Companion) -> bool:
    """Whether derivatives by the states of the lags alone are worth it: they are fewer numbers than the last states."""
    last, own = max(companion.lags) * companion.n, len(companion.lags) * companion.n
    return last > MOST and own * companion.n <= last


@dataclass(frozen=True, eq=False)
class Narrow:
    """
    The step as a function of the states of its lags alone, side by side, in their order.

    It gives the new state, and zeros in place of the others, so that its derivatives are square matrices.
    """

    companion: Companion

    @property
    def __code__(self) -> Any:
        """The user's."""
        return self.companion.__code__

    @property
    def __signature__(self) -> inspect.Signature:
        """The user's, with the names of parameters."""
        return self.companion.__signature__

    def __call__(self, w: Array, *rest: Any) -> Array:
        """The new state, and zeros."""
        value, xp = self.companion.step(self.states(w), *rest), self.companion.xp
        return xp.concat([value, xp.zeros_like(w[..., self.companion.n :])], axis=-1)

    def states(self, w: Array) -> tuple[Array, ...]:
        """The states of the lags, which the user's step takes."""
        n = self.companion.n
        return tuple(w[..., k * n : (k + 1) * n] for k in range(len(self.companion.lags)))


def as_lags(lags: Any) -> Lags:
    """Check the lags."""
    if not isinstance(lags, tuple | list):
        raise TypeError(f"`lags` must be a tuple of integers, as (1, 7), got {lags!r}; write (7,) for one lag.")
    if not lags:
        raise ValueError("`lags` is empty; name the earlier states that the step takes, (1,) for the last one alone.")
    found = tuple(as_count(f"lags[{k}]", lag) for k, lag in enumerate(lags))
    if len(set(found)) < len(found):
        raise ValueError(f"`lags` is {found}: a lag is repeated; name each once.")
    return found


def check_lagged_functions(step: Any, jac: Any, structure: Any, args: Any) -> None:
    """Check the functions; a Jacobian or its structure is refused."""
    if jac is not None:
        raise TypeError(
            "`jac` is not taken with `lags`: derivatives by all lags are those of the recorded step, or differences. "
            "Leave it out; for a Jacobian of your own, solve for the last states together, without `lags`."
        )
    if structure is not Dense and structure is not DENSE:
        raise TypeError(
            f"`structure` is {structure!r}; with `lags`, the last states depend on each other as `lags` says, and "
            "no other structure is taken. Leave it out."
        )
    check_functions(step, None, args)


def as_lagged_arrays(y0: Any, x: Any, length: Any, guess: Any, lags: Lags) -> tuple[Array, Array, Arrays]:
    """The first states `(p, *batch, n)` as given and in a floating dtype; and all arrays with the last one of them."""
    given, rows = as_array("y0", y0), max(lags)
    if given.ndim < 2:
        raise ValueError(
            f"`y0` has shape {tuple(given.shape)}; with lags={lags} it needs the last {rows} states, oldest first, of "
            f"at least one component each: ({rows}, *batch, n)."
        )
    if given.shape[0] != rows:
        raise ValueError(
            f"`y0` has {given.shape[0]} rows; with lags={lags} it needs the last {rows} states, oldest first: "
            f"({rows}, *batch, n)."
        )
    arrays = as_arrays(given[-1, ...], x, length, guess)
    return given, arrays.xp.astype(given, floating_dtype("y0", given)), arrays


def together(states: Array) -> Array:
    """States `(p, *batch, n, ...)` side by side: `(*batch, p n, ...)`; `...` is at most one axis more, if `many`."""
    return _together(states, states.ndim - 2)


def together_many(states: Array) -> Array:
    """The same for states with one axis more."""
    return _together(states, states.ndim - 3)


def _together(states: Array, axes: int) -> Array:
    xp = array_namespace(states)
    moved = xp.moveaxis(states, 0, axes)
    return xp.reshape(moved, (*moved.shape[:axes], moved.shape[axes] * moved.shape[axes + 1], *moved.shape[axes + 2 :]))


def apart_again(z: Array, rows: int) -> Array:
    """The reverse of `together`."""
    xp, batch = array_namespace(z), z.shape[:-1]
    return xp.moveaxis(xp.reshape(z, (*batch, rows, z.shape[-1] // rows)), len(batch), 0)


def windows(extended: Array, rows: int, times: Sequence[int]) -> Array:
    """The last states before each of some steps, side by side: `(k, *batch, p n)`, from `(p + T, *batch, n)`."""
    xp = array_namespace(extended)
    places = xp.reshape(xp.asarray(times)[:, None] + xp.arange(rows)[None, :], (-1,))
    found = xp.reshape(xp.take(extended, places, axis=0), (len(times), rows, *extended.shape[1:]))
    moved = xp.moveaxis(found, 1, -2)
    return xp.reshape(moved, (*moved.shape[:-2], rows * extended.shape[-1]))

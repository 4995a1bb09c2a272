"""The user's right-hand side and Jacobian: components first as for SciPy, many times at once as parscan needs it."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy as copy_of
from typing import Any

import numpy as np

from .._arrays import Array, array_namespace, as_numbers, copy, dtype_name, is_foreign, library, quiet
from ..jacobians import step_sizes

CHUNK = 1 << 21
"""Numbers in a stack of perturbed states, above which it is evaluated in parts."""


class RightHandSide:
    """`y' = fun(t, y, *args)` on states of shape `(n, *batch)`, and its Jacobian.

    Inside parscan, states are stacked with time first and components last, `(m, *batch, n)`; the user's functions see
    `(n, m, *batch)` with times `(m, 1, …)` that broadcast against a component. Those that cannot be called so are
    called for one time after the other, with `(n, *batch)` and a float.

    Parameters
    ----------
    fun : callable
        Right-hand side; it returns an array or a list of components.
    jac : callable, array or None
        Jacobian `(n, n, *batch)` of one state, or constant; None for finite differences.
    args : tuple
        Further arguments of both.
    y0 : array
        State `(*batch, n)` whose shape, dtype and library all states have.
    stacks, jac_stacks : bool
        Whether `fun` and `jac` can be called for many times at once.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        jac: Any,
        args: tuple[Any, ...],
        y0: Array,
        *,
        stacks: bool = True,
        jac_stacks: bool = True,
    ) -> None:
        self.stacks = stacks
        self.jac_stacks = jac_stacks
        self.nfev = 0
        self.npoints = 0
        self.njev = 0
        self.function = fun
        self._jac = jac
        self.args = args
        self.y0 = y0
        self._shape = tuple(y0.shape)
        self._dtype = y0.dtype
        self._like = y0
        self._xp = array_namespace(y0)

    def with_args(self, args: tuple[Any, ...]) -> RightHandSide:
        """The same with other further arguments."""
        other = copy_of(self)
        other.args = args
        return other

    def without_jacobian(self) -> RightHandSide:
        """The same with differences for a Jacobian."""
        other = copy_of(self)
        other._jac = None
        return other

    def __call__(self, t: Array, states: Array) -> Array:
        """Derivatives `(m, *batch, n)` of the stacked states at the times `(m,)`."""
        if self.stacks:
            self.npoints += states.shape[0]
            self.nfev += 1
            return self._to_states(self.evaluate(self.function, t, states), "fun", states.shape[0])
        xp = self._xp
        with quiet():
            rows = [self.at(float(t[i]), copy(xp.moveaxis(states[i, ...], -1, 0))) for i in range(t.shape[0])]
        return xp.moveaxis(xp.stack(rows), 1, -1) if rows else states

    def at(self, t: float, y: Array) -> Array:
        """Derivatives of one state at one time, components first, `(n, *batch)`; `y` may be written to."""
        out = self._xp.empty((self._shape[-1], *self._shape[:-1]), dtype=self._dtype)
        self.into(out, t, y)
        return out

    def sequential(self) -> Callable[[float, Array], Any]:
        """The function as SciPy's solvers call it, on one state `(n,)` at one time; tell `count` of the calls."""
        if not self.args:
            return self.function
        return lambda t, y: self.function(t, y, *self.args)

    def into(self, out: Array, t: float, y: Array) -> None:
        """The same, written to `out` `(n, *batch)`: components that fit are not made one array before."""
        self.count(1)
        value = _noting(self.function, (t, y, *self.args), lambda: f"the time {t!r}")
        if isinstance(value, list | tuple) and len(value) == out.shape[0] and all(map(self._fits, value)):
            for component, part in enumerate(value):
                out[component, ...] = part
        else:
            out[...] = self._components(value, "fun", self._shape[:-1])

    def _fits(self, part: Any) -> bool:
        """Whether a component is a number, or an array, as it should be."""
        if isinstance(part, float):
            return True
        return isinstance(part, type(self._like)) and part.dtype == self._dtype and part.shape == self._shape[:-1]

    def is_flat(self, t: float, y: Array) -> bool:
        """Whether the function returns one number for each component of a state `(n,)`, as SciPy's solvers want it.

        Raises what :meth:`at` raises.
        """
        self.count(1)
        value = _noting(self.function, (t, copy(y), *self.args), lambda: f"the time {t!r}")
        self._components(value, "fun", ())
        return np.shape(value) == tuple(y.shape)

    def count(self, calls: int) -> None:
        """Add calls on one state each."""
        self.nfev += calls
        self.npoints += calls

    @property
    def has_jacobian(self) -> bool:
        """Whether the user gave a Jacobian."""
        return self._jac is not None

    def linearise(self, t: Array, states: Array) -> tuple[Array, Array]:
        """Derivatives `(m, *batch, n)` and Jacobians `(m, *batch, n, n)`, by a single call of `fun` if need be."""
        if self._jac is not None:
            values = self(t, states)
            return values, self.jacobian(t, states, values)
        self.njev += 1
        return self._differences(t, states, None)

    def jacobian(self, t: Array, states: Array, derivatives: Array) -> Array:
        """Jacobians `(m, *batch, n, n)`, entry `[..., i, j]` = ∂f_i/∂y_j; `derivatives` are those at the states."""
        self.njev += 1
        if self._jac is None:
            return self._differences(t, states, derivatives)[1]
        if not callable(self._jac):
            constant = self._xp.asarray(self._jac, dtype=self._dtype)
            return self._xp.broadcast_to(constant, (*states.shape, states.shape[-1]))
        if self.jac_stacks:
            return self._to_matrices(self.evaluate(self._jac, t, states), states.shape[0])
        rows = [self._to_matrices(self.evaluate_one(self._jac, t, states, i), None) for i in range(t.shape[0])]
        return self._xp.stack(rows)

    def differences(self, t: Array, states: Array) -> Array:
        """Jacobians by differences, whatever the user's own are."""
        return self._differences(t, states, None)[1]

    def _differences(self, t: Array, states: Array, derivatives: Array | None) -> tuple[Array, Array]:
        """Derivatives and difference quotients: calls on all states with one component perturbed after the other."""
        xp, (m, *_, n) = self._xp, states.shape
        shift = step_sizes(states)
        added = (states + shift) - states  # what the rounded sum really adds
        group = max(1, CHUNK // max(1, states.size))
        columns: list[Array] = []
        for first in range(0, n, group):
            some = range(first, min(first + group, n))
            alone = derivatives is None
            stacked = xp.concat([states] * (len(some) + alone))
            for place, column in enumerate(some, start=alone):
                stacked[place * m : (place + 1) * m, ..., column] += added[..., column]
            responses = self(xp.concat([t] * (len(some) + alone)), stacked)
            if derivatives is None:
                derivatives, responses = responses[:m, ...], responses[m:, ...]
            with quiet():
                for place, column in enumerate(some):
                    difference = responses[place * m : (place + 1) * m, ...] - derivatives
                    columns.append(difference / added[..., column, None])
        if derivatives is None:
            derivatives = self(t, states)
        return derivatives, xp.stack(columns, axis=-1) if columns else xp.zeros((*states.shape, n), dtype=states.dtype)

    def evaluate(self, function: Callable[..., Any], t: Array, states: Array) -> Any:
        """One call on all states, in memory of their own: a function may write to what it is given."""
        y = copy(self._xp.permute_dims(states, (states.ndim - 1, *range(states.ndim - 1))))
        times = copy(self._xp.reshape(t, (-1, *(1,) * (len(self._shape) - 1))))
        with quiet():
            return _noting(function, (times, y, *self.args), lambda: _told(t))

    def evaluate_one(self, function: Callable[..., Any], t: Array, states: Array, i: int) -> Any:
        """A call on one state."""
        y = copy(self._xp.moveaxis(states[i, ...], -1, 0))
        with quiet():
            time = float(t[i])
            return _noting(function, (time, y, *self.args), lambda: f"the time {time!r}")

    def _to_states(self, value: Any, name: str, count: int | None) -> Array:
        """What the function returned, with components last; `count` is None for one state."""
        shape = (*(() if count is None else (count,)), *self._shape[:-1])
        value = self._components(value, name, shape)
        return self._xp.permute_dims(value, (*range(1, value.ndim), 0))

    def _components(self, value: Any, name: str, shape: tuple[int, ...]) -> Array:
        """What the function returned as an array `(n, *shape)`."""
        xp, n = self._xp, self._shape[-1]
        if isinstance(value, list | tuple):
            value = xp.stack([self._component(part, name, shape) for part in value]) if value else xp.zeros((0, *shape))
        value = self._as_array(value)
        if value.ndim == 0 and n == 1:
            value = xp.broadcast_to(value, (1, *shape))
        if value.shape == shape and n == 1:
            value = value[None, ...]
        if tuple(value.shape) != (n, *shape):
            raise ValueError(
                f"`{name}` returned shape {tuple(value.shape)} where {(n, *shape)} was expected: components first, as "
                "the `y` that it is given."
            )
        return xp.astype(value, self._dtype)  # a copy: the function may use its memory again

    def _component(self, part: Any, name: str, shape: tuple[int, ...]) -> Array:
        """One of a list of components; a single one may have an axis for itself."""
        part = self._as_array(part)
        if self._shape[-1] == 1 and tuple(part.shape) == (1, *shape):
            return part[0, ...]
        try:
            return self._xp.broadcast_to(part, shape)
        except ValueError:
            raise ValueError(
                f"`{name}` returned a list with a component of shape {tuple(part.shape)} where {shape} was expected."
            ) from None

    def _to_matrices(self, value: Any, count: int | None) -> Array:
        """What the Jacobian returned, with matrices last."""
        xp, n = self._xp, self._shape[-1]
        shape = (*(() if count is None else (count,)), *self._shape[:-1])
        if n == 1:
            value = self._only_entry(value, shape)
        if isinstance(value, list | tuple):
            rows = [[xp.broadcast_to(self._as_array(entry), shape) for entry in row] for row in value]
            value = xp.stack([xp.stack(row) for row in rows])
        value = self._as_array(value)
        if tuple(value.shape) == (n, n) and shape:
            value = xp.reshape(value, (n, n, *(1,) * len(shape)))
        if tuple(value.shape[:2]) != (n, n) or value.ndim != 2 + len(shape):
            raise ValueError(
                f"`jac` returned shape {tuple(value.shape)} where {(n, n, *shape)} was expected: entry [i, j] is the "
                "derivative of component i of `fun` by component j of `y`."
            )
        value = xp.astype(xp.broadcast_to(value, (n, n, *shape)), self._dtype)  # a copy, as above
        return xp.moveaxis(value, (0, 1), (-2, -1))

    def _only_entry(self, value: Any, shape: tuple[int, ...]) -> Array:
        """The Jacobian of a single component, which may come without the axes of a matrix."""
        while isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
        value = self._as_array(value)
        if value.size == 1:
            return self._xp.reshape(value, (1, 1, *(1,) * len(shape)))
        return value[None, None, ...] if tuple(value.shape) == shape else value

    def _as_array(self, value: Any) -> Array:
        """An array of the states' library; complex values for a real state are an error."""
        if hasattr(value, "toarray"):
            value = value.toarray()
        if is_foreign(value, self._like) and value.ndim:
            raise TypeError(
                f"`fun` or `jac` returned an array of {library(value)} where `y0` is of {library(self._like)}; compute "
                f"with the functions of {library(self._like)}."
            )
        try:
            array = as_numbers(self._xp.asarray(value), self._dtype)
        except ValueError as error:  # a list of components of different lengths
            raise ValueError(f"`fun` or `jac` returned what cannot be made an array: {error}") from None
        if dtype_name(array.dtype) in ("object", "str"):
            raise TypeError(f"`fun` or `jac` returned {type(value).__name__}: pass on an array, or a list of numbers.")
        if "complex" in dtype_name(array.dtype) and "complex" not in dtype_name(self._dtype):
            told = dtype_name(array.dtype)
            raise TypeError(f"`fun` or `jac` returned complex values for a real `y0`; pass `y0` as {told}.")
        return array


def _noting(function: Callable[..., Any], arguments: tuple[Any, ...], where: Callable[[], str]) -> Any:
    """Call; what is raised reaches the user with a note of where, which is looked up only then."""
    try:
        return function(*arguments)
    except Exception as error:
        error.add_note(f"parscan called it for {where()}; states of a parallel solve may be guesses.")
        raise


def _told(t: Array) -> str:
    """Some times in words."""
    return f"{t.shape[0]} times from {float(t[0]) if t.shape[0] else float('nan')} on"

"""The user's right-hand side and Jacobian: components first as for SciPy, many times at once as parscan needs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy as copy_of
from typing import Any

import numpy as np

from .._arrays.namespace import Array, array_namespace, copy, quiet, to_numpy
from .breaks import limited
from .differences import step_sizes
from .raised import Raised
from .returned import Returned

WIDE = ("float64", "complex128")
"""Dtypes of states that SciPy's solvers keep as they are."""

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
    raised : Raised, optional
        Where given, what the functions raise is kept there, and stands for values that are NaN.
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
        raised: Raised | None = None,
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
        self._xp = array_namespace(y0)
        self._returned = Returned(y0)
        self.raised = raised

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

    def strict(self) -> RightHandSide:
        """The same, but what the functions raise reaches the user."""
        other = copy_of(self)
        other.raised = None
        return other

    def within(self, low: float, high: float) -> RightHandSide:
        """The same at times between these limits: at others it is evaluated at the nearer one."""
        other = copy_of(self)
        other.function = limited(self.function, low, high)
        other._jac = limited(self._jac, low, high) if callable(self._jac) else self._jac
        return other

    def add_counts(self, other: RightHandSide) -> None:
        """Count the calls of a copy, which began with the counts of this one."""
        self.nfev, self.npoints, self.njev = other.nfev, other.npoints, other.njev

    def __call__(self, t: Array, states: Array) -> Array:
        """Derivatives `(m, *batch, n)` of the stacked states at the times `(m,)`."""
        if self.stacks:
            if self.raised is None:
                return self._stacked(t, states)
            return self.raised.rows(self._stacked, t, states, self._shape)
        xp, is_single = self._xp, len(self._shape) == 1
        if is_single and isinstance(states, np.ndarray) and states.dtype in WIDE and states.shape[0]:
            with quiet(), suppress(Exception):  # what it raises is told below, with the time
                values = list(map(self.sequential(), to_numpy(t).tolist(), states))
                self.count(len(values))
                return np.stack(values)
        with quiet():
            parts = [states[i, ...] if is_single else xp.moveaxis(states[i, ...], -1, 0) for i in range(t.shape[0])]
            rows = [self.at(time, copy(part)) for time, part in zip(to_numpy(t).tolist(), parts, strict=True)]
        if not rows:
            return states
        return xp.stack(rows) if is_single else xp.moveaxis(xp.stack(rows), 1, -1)

    def _stacked(self, t: Array, states: Array) -> Array:
        """The same by one call."""
        self.npoints += states.shape[0]
        self.nfev += 1
        return self._returned.states(self.evaluate(self.function, t, states), "fun", states.shape[0])

    def at(self, t: float, y: Array) -> Array:
        """Derivatives of one state at one time, components first, `(n, *batch)`; `y` may be written to."""
        out = self._xp.empty((self._shape[-1], *self._shape[:-1]), dtype=self._dtype)
        self.into(out, t, y)
        return out

    def sequential(self, *, is_kept: bool = True) -> Callable[[float, Array], Array]:
        """The function as SciPy's solvers call it, on one state `(n,)` at one time; tell `count` of the calls.

        Both the state and what is returned are copies: solvers keep what they were given, and compare it with what they
        get later, while a function may write to the state, or return the same memory again and again. Where what is
        returned is not kept, as by LSODA, which has a copy of its own, it is passed on as it is.
        """
        function, args, wide = self.function, self.args, np.result_type(self._dtype, np.float64)
        if not is_kept:
            return (lambda t, y: function(t, y.copy(), *args)) if args else (lambda t, y: function(t, y.copy()))
        shape = (self._shape[-1], *self._shape[:-1])

        def fun(t: float, y: Array) -> Array:
            value = np.array(function(t, y.copy(), *args))
            if value.shape == shape and value.dtype == wide:
                return value
            return self._returned.components(value, "fun", y.shape[1:])  # integers, or what is to be refused

        return fun

    def sequential_jacobian(self) -> Callable[[float, Array], Any]:
        """The Jacobian so, `(n, n)`, dense or sparse as the user returns it: copies again."""
        from scipy.sparse import issparse  # noqa: PLC0415 - slow to import

        function, args, square = self._jac, self.args, (self._shape[-1],) * 2
        wide = np.result_type(self._dtype, np.float64)

        def jac(t: float, y: Array) -> Any:
            value = function(t, y.copy(), *args)
            if issparse(value):
                return value.copy()
            if isinstance(value, np.ndarray) and value.shape == square and value.dtype == wide:
                return value.copy()
            return self._returned.matrices(value, None)

        return jac

    def into(self, out: Array, t: float, y: Array) -> None:
        """The same, written to `out` `(n, *batch)`: components that fit are not made one array before."""
        self.count(1)
        try:
            value = _noting(self.function, (t, y, *self.args), lambda: f"the time {t!r}")
            self._returned.into(out, value)
        except Exception as error:
            if self.raised is None:
                raise
            self.raised.pass_over(error, t)
            out[...] = float("nan")

    def is_flat(self, t: float, y: Array) -> bool:
        """Whether the function returns one number for each component of a state `(n,)`, as SciPy's solvers want it.

        Raises what :meth:`at` raises.
        """
        self.count(1)
        value = _noting(self.function, (t, copy(y), *self.args), lambda: f"the time {t!r}")
        if (
            isinstance(value, list | tuple)
            and len(value) == y.shape[0]
            and all(isinstance(part, float) for part in value)
        ):
            return True
        self._returned.components(value, "fun", ())
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
        if self.raised is None:
            return self._matrices(t, states)
        n = self._shape[-1]
        return self.raised.rows(self._matrices, t, states, (*self._shape, n))

    def _matrices(self, t: Array, states: Array) -> Array:
        """The user's Jacobians."""
        if self.jac_stacks:
            return self._returned.matrices(self.evaluate(self._jac, t, states), states.shape[0])
        rows = [self._returned.matrices(self.evaluate_one(self._jac, t, states, i), None) for i in range(t.shape[0])]
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
                changes = xp.reshape(responses, (len(some), *states.shape)) - derivatives
                quotients = xp.permute_dims(changes, (*range(1, changes.ndim), 0)) / added[..., None, first : some.stop]
                columns.append(quotients)
        if derivatives is None:
            derivatives = self(t, states)
        if len(columns) == 1:
            return derivatives, columns[0]
        return derivatives, xp.concat(columns, axis=-1) if columns else xp.zeros((*states.shape, n), dtype=states.dtype)

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

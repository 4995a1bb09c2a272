"""The user's right-hand side and Jacobian, called for one time or for many times at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from .._arrays.namespace import Array, array_namespace, copy, quiet, to_numpy
from .code import Code, OfStages, Recorder
from .counts import Counts
from .differences import extrapolated, forward_full
from .evaluators import STACKED, Evaluator
from .raised import Raised
from .returned import Returned

WIDE = ("float64", "complex128")
"""Dtypes of states that SciPy's solvers do not convert."""


class RightHandSide:
    """`y' = fun(t, y, *args)` on states of shape `(n, *batch)`, and its Jacobian.

    Inside parscan, states are stacked with time first and components last, `(m, *batch, n)`; the user's functions get
    `(n, m, *batch)` with times `(m, 1, …)` that broadcast against a component. Functions that cannot be called in this
    way are called for one time after the other, with `(n, *batch)` and a float: see `evaluators`.

    Methods on a mesh call this object with stacked states, and take Jacobians from `linearise`, `jacobian` and
    `exact_jacobian`. Sequential solvers call `at` and `into` with one state at one time, SciPy's solvers the function
    `sequential()`. Every call is counted in `counts`, and every returned value is checked: see `Returned`.

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
    evaluator, jac_evaluator : Evaluator
        How `fun` and `jac` are called for many times.
    raised : Raised, optional
        If given, exceptions of the functions are kept there, and the values are NaN.
    recorder : callable, optional
        It returns the recorded functions, whose derivatives are exact; it raises where there are none.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        jac: Any,
        args: tuple[Any, ...],
        y0: Array,
        *,
        evaluator: Evaluator = STACKED,
        jac_evaluator: Evaluator = STACKED,
        raised: Raised | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.evaluator = evaluator
        self.jac_evaluator = jac_evaluator
        self.counts = Counts()
        self.function = fun
        self._jac = jac
        self.args = args
        self.y0 = y0
        self._shape = tuple(y0.shape)
        self._dtype = y0.dtype
        self._xp = array_namespace(y0)
        self._returned = Returned(y0)
        self.raised = raised
        self.code: Code | None = None
        self.recorder = recorder
        self.derived: Code | None = None

    def by(self, code: Code) -> RightHandSide:
        """A copy whose values on stacked states are those of machine code, and its Jacobians if the user gave none."""
        return self._with(code=code)

    def derived_by(self, code: Code | None) -> RightHandSide:
        """A copy that calls the function, with the Jacobians of its recorded operations; None for those of the user."""
        return self._with(derived=code)

    def with_args(self, args: tuple[Any, ...]) -> RightHandSide:
        """A copy with other further arguments; it calls the function."""
        return self._with(args=args, code=None, derived=None, recorder=None)

    def from_start(self, y0: Array) -> RightHandSide:
        """A copy for states of the dtype of another initial state; it calls the function."""
        return self._with(y0=y0, _dtype=y0.dtype, _returned=Returned(y0), code=None)

    def without_jacobian(self) -> RightHandSide:
        """A copy with differences in place of the user's Jacobian."""
        return self._with(_jac=None)

    def strict(self) -> RightHandSide:
        """A copy that calls the function, and whose exceptions reach the user."""
        return self._with(raised=None, code=None)

    def within(self, low: float, high: float) -> RightHandSide:
        """A copy whose times are clipped to these limits."""
        jac = _limited(self._jac, low, high) if callable(self._jac) else self._jac
        code, derived = (each and each.within(low, high) for each in (self.code, self.derived))
        return self._with(function=_limited(self.function, low, high), _jac=jac, code=code, derived=derived)

    def _with(self, **changes: Any) -> RightHandSide:
        """A copy with other attributes; it shares the counts."""
        other = object.__new__(type(self))
        vars(other).update(vars(self) | changes)
        return other

    @property
    def stacks(self) -> bool:
        """Whether `fun` is evaluated at many times at once."""
        return self.evaluator.stacks

    def __call__(self, t: Array, states: Array) -> Array:
        """Derivatives `(m, *batch, n)` of the stacked states at the times `(m,)`."""
        if self.code is not None:
            self.counts.add(1, states.shape[0])
            return self.code.values(t, states)
        if self.raised is None or not self.stacks:  # `into` handles exceptions of calls for single times
            return self.evaluator.values(self, t, states)
        return self.raised.rows(partial(self.evaluator.values, self), t, states, self._shape)

    def together(self, points: Array, states: Array) -> Array:
        """Derivatives by one call for all times."""
        self.counts.add(1, states.shape[0])
        return self._returned.states(self.evaluate(self.function, points, states), "fun", states.shape[0])

    def each(self, points: Array, states: Array) -> Array:
        """Derivatives by a call for each of the times."""
        xp, is_single, times = self._xp, len(self._shape) == 1, to_numpy(points).tolist()
        if is_single and isinstance(states, np.ndarray) and states.dtype in WIDE and states.shape[0]:
            with quiet(), suppress(Exception):  # the calls below raise it again, with a note of the time
                values = list(map(self.sequential(), times, states))
                self.counts.add(len(values), len(values))
                return np.array(values)
        with quiet():
            parts = [states[i, ...] if is_single else xp.moveaxis(states[i, ...], -1, 0) for i in range(len(times))]
            rows = [self.at(time, copy(part)) for time, part in zip(times, parts, strict=True)]
        if not rows:
            return states
        return xp.stack(rows) if is_single else xp.moveaxis(xp.stack(rows), 1, -1)

    def at(self, t: float, y: Array) -> Array:
        """Derivatives of one state at one time, components first, `(n, *batch)`; `y` may be written to."""
        out = self._xp.empty((self._shape[-1], *self._shape[:-1]), dtype=self._dtype)
        self.into(out, t, y)
        return out

    def sequential(self, *, is_kept: bool = True) -> Callable[[float, Array], Array]:
        """The function as SciPy's solvers call it, on one state `(n,)` at one time; it counts no calls.

        The state and the value are copied: a function may write to the state, or return the same array in every call,
        while solvers keep values for later. LSODA copies values itself (`is_kept=False`).
        """
        function, args, wide = self.function, self.args, _widened(self._dtype)
        if not is_kept:
            return (lambda t, y: function(t, y.copy(), *args)) if args else (lambda t, y: function(t, y.copy()))
        shape = (self._shape[-1], *self._shape[:-1])

        def fun(t: float, y: Array) -> Array:
            value = np.array(function(t, y.copy(), *args))
            if value.shape == shape and value.dtype == wide:
                return value
            return self._returned.components(value, "fun", y.shape[1:])  # integers, or a value that is refused

        return fun

    def sequential_jacobian(self) -> Callable[[float, Array], Any]:
        """The Jacobian as SciPy's solvers call it, `(n, n)`: a copy of the user's dense or sparse matrix."""
        from scipy.sparse import issparse  # noqa: PLC0415 - slow to import

        function, args, square = self._jac, self.args, (self._shape[-1],) * 2
        wide = _widened(self._dtype)

        def jac(t: float, y: Array) -> Any:
            value = function(t, y.copy(), *args)
            if issparse(value):
                return value.copy()
            if isinstance(value, np.ndarray) and value.shape == square and value.dtype == wide:
                return value.copy()
            return self._returned.matrices(value, None)

        return jac

    def into(self, out: Array, t: float, y: Array, take: Callable[[Any], bool] | None = None) -> None:
        """
        Write the derivatives of one state to `out` `(n, *batch)`; a list of components is written directly.

        What the function returns is not written if `take`, which is given it, returns that it has taken it.
        """
        self.counts.add(1, 1)
        try:
            try:  # as in `_noting`; steppers spend time in it
                value = self.function(t, y, *self.args)
            except Exception as error:
                _note(error, f"the time {t!r}")
                raise
            if take is None or not take(value):
                self._returned.into(out, value)
        except Exception as error:
            if self.raised is None:
                raise
            self.raised.pass_over(error, t)
            out[...] = float("nan")

    def is_flat(self, t: float, y: Array) -> bool:
        """Whether the function returns a number for each component of a state `(n,)`, as SciPy's solvers require.

        Raises what :meth:`at` raises.
        """
        self.counts.add(1, 1)
        value = _noting(self.function, (t, copy(y), *self.args), lambda: f"the time {t!r}")
        if (
            isinstance(value, list | tuple)
            and len(value) == y.shape[0]
            and all(isinstance(part, float) for part in value)
        ):
            return True
        self._returned.components(value, "fun", ())
        return np.shape(value) == tuple(y.shape)

    @property
    def has_jacobian(self) -> bool:
        """Whether the user gave a Jacobian."""
        return self._jac is not None

    def linearise(self, t: Array, states: Array) -> tuple[Array, Array]:
        """Derivatives `(m, *batch, n)` and Jacobians `(m, *batch, n, n)`; without `jac`, one call suffices for both."""
        if self._jac is not None:
            values = self(t, states)
            return values, self.jacobian(t, states, values)
        self.counts.njev += 1
        if self.code is not None:
            self.counts.add(1, states.shape[0])
            return self.code.linearise(t, states)
        if self.derived is not None:
            return self(t, states), self.derived.linearise(t, states)[1]
        return forward_full(self, t, states, None)

    @property
    def of_stages(self) -> OfStages | None:
        """What corrects meshes, where machine code has it and the user gave no Jacobian."""
        return None if self.code is None or self._jac is not None else self.code.of_stages

    def jacobian(self, t: Array, states: Array, derivatives: Array) -> Array:
        """Jacobians `(m, *batch, n, n)`, entry `[..., i, j]` = ∂f_i/∂y_j; `derivatives` are those at the states."""
        self.counts.njev += 1
        code = self.code or self.derived
        if self._jac is None and code is not None:
            return code.linearise(t, states)[1]
        if self._jac is None:
            return forward_full(self, t, states, derivatives)[1]
        if not callable(self._jac):
            whole = self._jac.toarray() if hasattr(self._jac, "toarray") else self._jac
            constant = self._xp.asarray(whole, dtype=self._dtype)
            return self._xp.broadcast_to(constant, (*states.shape, states.shape[-1]))
        evaluate = partial(self.jac_evaluator.values, _Jacobian(self, self._jac, self._returned))
        if self.raised is None:
            return evaluate(t, states)
        return self.raised.rows(evaluate, t, states, (*self._shape, self._shape[-1]))

    def differences(self, t: Array, states: Array) -> Array:
        """Jacobians by differences, even if the user gave one."""
        return forward_full(self, t, states, None)[1]

    @property
    def has_exact_jacobian(self) -> bool:
        """Whether Jacobians are the user's own, or of code, and not by differences."""
        return self.has_jacobian or self.code is not None or self.derived is not None

    def exact_jacobian(self, t: Array, states: Array) -> Array:
        """Jacobians accurate enough for derivatives: the user's own, of code, or by differences of fourth order."""
        return self.jacobian(t, states, states) if self.has_exact_jacobian else extrapolated(self, t, states)

    def second_derivatives(self, t: Array, states: Array) -> Array | None:
        """Exact derivatives `(m, *batch, n, n, n)` of exact Jacobians; None where the function is not recorded."""
        code = self.derived or self.code
        return None if self._jac is not None or code is None else code.second(t, states)

    def evaluate(self, function: Callable[..., Any], t: Array, states: Array) -> Any:
        """One call of a user's function on all states, which are copied: the function may write to its arguments."""
        y = copy(self._xp.permute_dims(states, (states.ndim - 1, *range(states.ndim - 1))))
        times = copy(self._xp.reshape(t, (-1, *(1,) * (len(self._shape) - 1))))
        with quiet():
            return _noting(function, (times, y, *self.args), lambda: _described(t))

    def evaluate_one(self, function: Callable[..., Any], t: Array, states: Array, i: int) -> Any:
        """A call of a user's function on one state."""
        y = copy(self._xp.moveaxis(states[i, ...], -1, 0))
        with quiet():
            time = float(t[i])
            return _noting(function, (time, y, *self.args), lambda: f"the time {time!r}")


@dataclass(frozen=True)
class _Jacobian:
    """The user's Jacobian as a function of times and stacked states."""

    rhs: RightHandSide
    function: Callable[..., Any]
    returned: Returned

    def together(self, points: Array, states: Array) -> Array:
        """Jacobians by one call."""
        return self.returned.matrices(self.rhs.evaluate(self.function, points, states), states.shape[0])

    def each(self, points: Array, states: Array) -> Array:
        """Jacobians by a call for each of the times."""
        values = (self.rhs.evaluate_one(self.function, points, states, i) for i in range(points.shape[0]))
        return array_namespace(states).stack([self.returned.matrices(value, None) for value in values])


@cache
def _widened(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in double precision; cached, since short solves ask for it several times."""
    return np.result_type(dtype, np.float64)


def _limited(function: Callable[..., Any], low: float, high: float) -> Callable[..., Any]:
    """A user's function of `t` (a number or an array), `y` and `args`, called with times clipped to the limits."""

    def clipped(t: Any, y: Any, *args: Any) -> Any:
        time = min(max(t, low), high) if isinstance(t, float) else array_namespace(t).clip(t, low, high)
        return function(time, y, *args)

    return clipped


def _noting(function: Callable[..., Any], arguments: tuple[Any, ...], where: Callable[[], str]) -> Any:
    """Call a user's function; its exceptions get a note of the times, which `where()` describes."""
    try:
        return function(*arguments)
    except Exception as error:
        _note(error, where())
        raise


def _note(error: Exception, where: str) -> None:
    """Add the times of a call to the exception that it raised."""
    error.add_note(f"parscan called it for {where}; states of a parallel solve may be guesses.")


def _described(t: Array) -> str:
    """Times in words."""
    return f"{t.shape[0]} times from {float(t[0]) if t.shape[0] else float('nan')} on"

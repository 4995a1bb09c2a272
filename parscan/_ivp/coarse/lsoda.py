"""The coarse solution by SciPy's LSODA: states one after the other, then the slopes at all of them by one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import copysign, inf
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, machine_epsilon, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.failures import PATIENCE, is_no_step, surely_a_step
from .hermite import interpolated
from .rodas3 import by_stepping
from .steps import CoarseSolution, Steps

STEP_TO_END = 5
"""LSODA's task of a single step that does not go beyond the end."""

LEAST_RTOL = 100 * machine_epsilon("float64")
"""Smallest relative tolerance that SciPy's solvers accept."""

MOST_STEPS = 20_000
"""Largest number of steps of a coarse solution; the next one begins where it ends."""


class GaveUp(Exception):  # noqa: N818 - a signal within this file, no error
    """LSODA failed, met values that are not finite, or would step for ever. RODAS3 then solves, or finds the reason."""


def by_lsoda(
    rhs: RightHandSide, span: tuple[float, float], y0: Array, rtol: float, atol: Array, max_step: float
) -> CoarseSolution:
    """Coarse solution from `y0` `(*batch, n)`; it ends early after many steps, or where the solution ends.

    If LSODA gives up, RODAS3 replaces it, which is more robust and slower.
    """
    try:
        return interpolated(_steps(rhs, span, y0, rtol, atol, max_step), rtol, atol)
    except GaveUp:
        with quiet():  # the state may not be finite
            return by_stepping(rhs, span, y0, rtol, atol, max_step)


def _steps(
    rhs: RightHandSide, span: tuple[float, float], y0: Array, rtol: float, atol: Array, max_step: float
) -> Steps:
    """The steps of LSODA, with slopes."""
    vectors = Vectors(y0)
    times, states = [span[0]], [vectors.of(y0)]
    if not np.isfinite(states[0]).all():  # the end of a window near a pole
        raise GaveUp
    plain = vectors.are_states and rhs.is_flat(span[0], y0)
    function = _of_two(rhs.function, rhs.args) if plain else vectors.function(rhs)
    calls = 0

    def fun(t: float, vector: Array) -> Array:
        nonlocal calls
        calls += 1
        return np.asarray(function(t, vector.copy()), dtype=np.float64)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # about its steps, which Newton's method corrects anyway
        try:
            integrator = _integrator(states[0], span[1], rtol, vectors.bounds(atol), max_step)
            _march(integrator, fun, span[1], times, states)
        except GaveUp:
            raise
        except Exception as error:
            if rhs.raised is not None:
                rhs.raised.pass_over(error, times[-1])
                raise GaveUp from None
            error.add_note(f"parscan called it for the time {times[-1]!r} and later.")
            raise
        finally:
            if plain:  # otherwise, the function counts its calls
                rhs.counts.add(calls, calls)
    t, y = np.asarray(times), vectors.states(np.concatenate(states).reshape(len(states), -1))
    if not np.isfinite(y).all():
        raise GaveUp
    return Steps(t, y, rhs(t, y))


def _of_two(function: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[float, Array], Any]:
    """The user's function of time and state."""
    return (lambda t, y: function(t, y, *args)) if args else function


class Vectors:
    """Converts states `(*batch, n)`, real or complex, to the real vectors that LSODA solves for, components first."""

    def __init__(self, y0: Array) -> None:
        self.are_states = y0.ndim == 1 and y0.dtype == np.float64
        self._shape = (y0.shape[-1], *y0.shape[:-1])
        self._wide = np.result_type(y0.dtype, np.float64)
        self._dtype = y0.dtype

    def of(self, y: Array) -> Array:
        """The vector of a state."""
        if self.are_states:
            return np.ascontiguousarray(y)
        return np.ascontiguousarray(np.moveaxis(y, -1, 0), dtype=self._wide).reshape(-1).view(np.float64)

    def bounds(self, atol: Array) -> Array:
        """Absolute tolerances of a vector."""
        if atol.ndim == 0:
            return atol
        numbers = np.broadcast_to(atol.reshape(-1, *(1,) * (len(self._shape) - 1)), self._shape)
        return np.repeat(numbers.astype(np.float64).reshape(-1), 2 if self._wide == np.complex128 else 1)

    def function(self, rhs: RightHandSide) -> Callable[[float, Array], Array]:
        """The right-hand side on vectors."""

        def fun(t: float, vector: Array) -> Array:
            state = vector.view(self._wide).reshape(self._shape).astype(self._dtype)
            return np.ascontiguousarray(rhs.at(t, state), dtype=self._wide).reshape(-1).view(np.float64)

        return fun

    def states(self, vectors: Array) -> Array:
        """The states of vectors `(m, …)`."""
        if self.are_states:
            return vectors
        stacked = vectors.view(self._wide).reshape(len(vectors), *self._shape)
        return np.moveaxis(stacked, 1, -1).astype(self._dtype)


def _integrator(y0: Array, end: float, rtol: float, atol: Array, max_step: float) -> Any:
    """SciPy's interface to LSODA, set up as by SciPy's class `LSODA`: single steps, none of them beyond the end.

    A coarse solution takes a few dozen steps, and the layers of that class take longer than these. What lies below it
    is not public: where it is not as in SciPy 1.14 to 1.17, RODAS3 solves.
    """
    from scipy.integrate import ode  # noqa: PLC0415 - slow to import

    longest = 0.0 if max_step == inf else max_step
    solver = ode(None).set_integrator("lsoda", rtol=max(rtol, LEAST_RTOL), atol=atol, max_step=longest)
    try:
        integrator = solver._integrator
        integrator.reset(y0.size, has_jac=False)
        integrator.rwork[0] = end
        integrator.call_args[2] = STEP_TO_END
    except (AttributeError, IndexError, TypeError) as error:
        raise GaveUp from error
    return integrator


def _march(
    integrator: Any, fun: Callable[[float, Array], Array], end: float, times: list[float], states: list[Array]
) -> None:
    """Step to the end, or `MOST_STEPS` times."""
    before, vector, still, long = times[-1], states[-1].copy(), 0, surely_a_step(times[-1], end)
    way = copysign(1.0, end - before)
    while way * (end - before) > 0 and len(times) <= MOST_STEPS:
        vector, t = integrator.run(fun, _no_jacobian, vector, before, end, (), ())
        if not integrator.success:
            raise GaveUp
        still = still + 1 if abs(t - before) <= long and is_no_step(before, t) and way * (end - t) > 0 else 0
        if still >= PATIENCE:
            raise GaveUp
        before = t
        if t == times[-1]:
            continue
        times.append(t)
        states.append(vector.copy())  # LSODA writes to it again


def _no_jacobian() -> None:
    """Stands for the Jacobian, which LSODA computes by differences."""

"""Jumps that the state triggers: derivatives of solutions that cross one say so, and no others do."""

import warnings

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan import solve_ivp
from parscan.warnings import StateJumpWarning

pytestmark = pytest.mark.roads

TABLE = np.linspace(-3, 9, 49)
VALUES = np.random.default_rng(0).standard_normal(49)

CROSSED = {
    "relay": (lambda t, y: [np.where(y[0] < 0.4, 1.0, 0.2) - 0.3 * y[0]], 5, [0.0]),
    "other slope": (lambda t, y: [np.where(y[0] > 0.5, -2.0, -1.0) * y[0]], 2, [1.0]),
    "oscillator": (lambda t, y: [y[1], np.where(y[0] < 0, -4.0, -1.0) - 0.1 * y[1]], 2, [1.0, 0.0]),
    "time and state": (lambda t, y: [np.where(y[0] > t, -1.0, 0.5)], 2, [1.0]),
    "small component": (lambda t, y: [-y[0], 1e-12 * np.where(y[0] > 0.5, 1.0, 3.0)], 2, [1.0, 0.0]),
}

SMOOTH_IN_STATE = {
    "pulse": (lambda t, y: [np.where(t < 2, 1.0, 0.0) - 0.7 * y[0]], 5, [0.0]),
    "square wave": (lambda t, y: [np.where(t % 1.1 < 0.3, 1.0, 0.0) - 0.7 * y[0]], 5, [0.0]),
    "kink": (lambda t, y: [y[1], -np.abs(y[0]) - 1], 3, [1.0, 0.0]),
    "threshold": (lambda t, y: [1 - 5 * np.maximum(y[0] - 0.5, 0)], 3, [0.0]),
    "steep": (lambda t, y: [1 - np.tanh(1e4 * (y[0] - 0.5))], 2, [0.0]),
    "table": (lambda t, y: [np.interp(y[0], TABLE, VALUES) - 0.2], 5, [0.1]),
    "stiff": (lambda t, y: [-1e9 * (y[0] - np.cos(t))], 10, [1.0]),
}


def said_by(derivative):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        derivative()
    assert all(warning.category is StateJumpWarning for warning in said)
    assert all(warning.filename == __file__ for warning in said)
    return [str(warning.message) for warning in said]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853"])
@pytest.mark.parametrize(("fun", "end", "y0"), CROSSED.values(), ids=CROSSED)
def test_derivatives_past_a_jump_in_the_state_say_so(fun, end, y0, method):
    sol = solve_ivp(fun, (0, end), y0, method, rtol=1e-7, atol=1e-13, compile=False)
    told = [
        said_by(lambda: sol.tangent(y0=np.eye(len(y0)))),
        said_by(lambda: sol.adjoint(np.ones_like(sol.y))),
        said_by(lambda: sol.gradient(np.ones_like(sol.y), forcing=lambda t, y: y)),
    ]
    assert [len(each) for each in told] == [1, 1, 1]
    assert "where the state crosses a threshold" in told[0][0]


@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
@pytest.mark.parametrize(("fun", "end", "y0"), SMOOTH_IN_STATE.values(), ids=SMOOTH_IN_STATE)
def test_jumps_in_time_and_kinks_do_not(fun, end, y0, rtol):
    sol = solve_ivp(fun, (0, end), y0, "Radau", rtol=rtol, atol=1e-2 * rtol, compile=False)
    assert said_by(lambda: sol.tangent(y0=np.eye(len(y0)))) == []
    assert said_by(lambda: sol.adjoint(np.ones_like(sol.y))) == []


@given(st.floats(0.05, 0.95), st.floats(-6, 6), st.floats(-12, 12))
@settings(max_examples=15)
def test_the_time_is_named_at_any_scale_of_time_and_state(level, time, size):
    """y' = -a y from s, whose rate doubles when y falls below level s: at exp(-a t) = level."""
    scale, rate = 10.0**size, 10.0**-time

    def fun(t, y):
        return [np.where(y[0] < level * scale, -2.0, -1.0) * rate * y[0]]

    sol = solve_ivp(fun, (0, 4 / rate), [scale], "Radau", rtol=1e-6, atol=1e-9 * scale, compile=False)
    (told,) = said_by(lambda: sol.adjoint(np.ones_like(sol.y)))
    assert float(told.split("t = ")[1].split(",")[0]) == pytest.approx(-np.log(level) / rate, rel=1e-4)


def test_a_loss_that_ends_before_the_jump_does_not_feel_it():
    fun, end, y0 = CROSSED["other slope"]
    sol = solve_ivp(fun, (0, end), y0, "Radau", [0.3, 1.5], rtol=1e-8, compile=False)
    assert said_by(lambda: sol.adjoint([[1.0, 0.0]])) == []
    assert len(said_by(lambda: sol.adjoint([[0.0, 1.0]]))) == 1


def test_a_loss_of_another_component_does_not_feel_it():
    sol = solve_ivp(
        lambda t, y: [np.where(y[0] > 0.5, -2.0, -1.0) * y[0], -y[1]], (0, 2), [1.0, 1.0], "Radau", compile=False
    )
    first = np.array([[1.0], [0.0]]) * np.ones_like(sol.y)
    assert said_by(lambda: sol.adjoint(np.ones_like(sol.y) - first)) == []
    assert len(said_by(lambda: sol.adjoint(first))) == 1


def test_one_member_of_a_batch_crosses():
    fun, _, _ = CROSSED["other slope"]
    y0 = np.array([[0.4, 0.9, 0.3]])
    sol = solve_ivp(fun, (0, 2), y0, "Radau", rtol=1e-7, compile=False)
    assert len(said_by(lambda: sol.adjoint(np.ones_like(sol.y)))) == 1
    others = np.ones_like(sol.y)
    others[:, :, 1] = 0
    assert said_by(lambda: sol.adjoint(others)) == []
    assert len(said_by(lambda: sol.tangent(y0=np.ones((1, 3))))) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_other_dtypes(dtype):
    def fun(t, y):
        return [np.where(np.real(y[0]) > 0.5, dtype(-2), dtype(-1)) * y[0]]

    sol = solve_ivp(fun, (0, 2), np.ones(1, dtype), "Radau", rtol=1e-4, atol=1e-5, compile=False)
    assert len(said_by(lambda: sol.adjoint(np.ones_like(sol.y)))) == 1


def test_backwards_in_time():
    sol = solve_ivp(
        lambda t, y: [np.where(y[0] > 0.5, 2.0, 1.0) * y[0]], (0, -2), [1.0], "Radau", rtol=1e-7, compile=False
    )
    assert len(said_by(lambda: sol.adjoint(np.ones_like(sol.y)))) == 1


@pytest.mark.slow
def test_another_array_library():
    def fun(t, y):
        return strict.where(y > 0.5, -2 * y, -y)

    sol = solve_ivp(fun, (0, 2), strict.ones(1, dtype=strict.float64), "Radau", rtol=1e-6, compile=False)
    assert len(said_by(lambda: sol.adjoint(strict.ones_like(sol.y)))) == 1

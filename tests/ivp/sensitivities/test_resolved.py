"""Derivatives where `fun` changes with time and the solution, at rest, does not feel it: against exact ones."""

import numpy as np
import pytest
from ode_sensitivities import deviation

from parscan import solve_ivp
from parscan._functions.at_points import CODES

T = np.array([1.0, 2.0, 2.5, 4.0])
AT, WIDTH = 2.3, 1e-3


def jump(t, y, p):
    return p.sum() * np.where(t < AT, 1.0, -5.0) * y


def layer(t, y, p):
    return -p.sum() * (3 + 2 * np.tanh((t - AT) / WIDTH)) * y


def wave(t, y, p):
    return p.sum() * np.sin(200 * t) * y


def log_cosh(x):
    return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - np.log(2)


CASES = {
    "jump": (jump, 0.7, lambda t: 0.7 * (np.minimum(t, AT) - 5 * np.maximum(t - AT, 0))),
    "layer": (
        layer, 0.7, lambda t: -0.7 * (3 * t + 2 * WIDTH * (log_cosh((t - AT) / WIDTH) - log_cosh(AT / WIDTH)))
    ),
    "wave": (wave, 30.0, lambda t: 30 * (1 - np.cos(200 * t)) / 200),
}  # fmt: skip
SCIPYS = "LSODA", "RK45"
WAYS = [
    (method, compiled)
    for method in (*SCIPYS, "Radau", "DOP853", "Gauss", "auto")
    for compiled in (False, None, True)
    if method not in SCIPYS or not compiled
]
MOST = 5e-6
"""Errors at the relative tolerance 1e-8: those of derivatives are left alone up to a thousand of it."""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "compiled"), WAYS)
@pytest.mark.parametrize("case", CASES)
def test_changes_that_a_solution_at_rest_does_not_feel(case, method, compiled):
    fun, p, exponent = CASES[case]
    sol = solve_ivp(
        fun, (0, 4), [0.0], method, t_eval=T, args=(np.full(20, p / 20),), rtol=1e-8, atol=1e-10, compile=compiled
    )
    assert not sol.y.any()
    expected = np.exp(exponent(T))
    found = sol.jacobian("y0")[0, :, 0], sol.tangent(y0=[1.0])[0]
    for one in found:
        assert deviation(one, expected) <= MOST
    for k, one in enumerate(expected):
        assert abs(sol.adjoint((np.arange(T.size) == k)[None, :] * 1.0).y0[0] - one) <= MOST * one


@pytest.fixture
def paid(monkeypatch):
    """Whatever machine code costs, it pays."""
    monkeypatch.setattr(CODES, "buys", lambda *args: True)


@pytest.mark.parametrize("case", CASES)
def test_adjoints_by_machine_code_notice_them(paid, case):
    fun, p, exponent = CASES[case]
    args = (np.full(20, p / 20),)
    sol = solve_ivp(fun, (0, 4), [0.0], t_eval=T, args=args, rtol=1e-8, atol=1e-10, compile=True)
    expected = np.exp(exponent(T))
    for k, one in enumerate(expected):
        assert abs(sol.adjoint((np.arange(T.size) == k)[None, :] * 1.0).y0[0] - one) <= MOST * one


@pytest.mark.parametrize("compiled", [False, True])
def test_waves_whose_amplitudes_are_zero_have_gradients(paid, compiled):
    """The derivative by amplitudes is that of a wave that the solution does not have."""

    def fun(t, y, p):
        return p.sum() * np.sin(200 * t) - y

    sol = solve_ivp(fun, (0, 4), [0.0], t_eval=T, args=(np.zeros(20),), rtol=1e-8, atol=1e-10, compile=compiled)
    expected = (np.sin(200 * T) - 200 * np.cos(200 * T) + 200 * np.exp(-T)) / (1 + 200**2)
    for k, one in enumerate(expected):
        found = sol.gradient((np.arange(T.size) == k)[None, :] * 1.0, "p")
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=0)


@pytest.mark.parametrize("change", ["frequency", "amplitude"])
def test_looks_of_earlier_solves_stand_for_solutions_that_are_alike_only(paid, change):
    """A slow wave has nodes that are near enough, and one that is faster, or new, has not."""

    def fun(t, y, p, rate):
        return (p[:10].sum() * np.cos(t) + p[10:].sum() * np.sin(rate * t)) * y

    def found(p, rate):
        options = {"t_eval": T, "args": (p, rate), "rtol": 1e-8, "atol": 1e-10, "compile": True}
        sol = solve_ivp(fun, (0, 4), [0.0], **options)
        return [sol.adjoint((np.arange(T.size) == k)[None, :] * 1.0).y0[0] for k in range(T.size)]

    def exact(p, rate):
        return np.exp(p[:10].sum() * np.sin(T) + p[10:].sum() * (1 - np.cos(rate * T)) / rate)

    p, rate = np.repeat([0.05, 3.0 if change == "frequency" else 0.0], 10), 2.0 if change == "frequency" else 200.0
    assert deviation(np.array(found(p, rate)), exact(p, rate)) <= MOST
    p, rate = np.repeat([0.05, 3.0], 10), 200.0
    assert deviation(np.array(found(p, rate)), exact(p, rate)) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("method", ["LSODA", "RK45", "Radau", "auto"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_changes_that_turn_or_grow_within_steps_of_a_solution_at_rest(method, sign):
    """They are compared with those on half the steps, without machine code too."""
    rate = 55.0 if sign < 0 else 20.0
    times = T / 4
    sol = solve_ivp(
        lambda t, y: [y[1], sign * rate**2 * y[0]], (0, 1), [0.0, 0.0], method, t_eval=times, rtol=1e-8, atol=1e-10,
        compile=False,
    )  # fmt: skip
    turned = np.stack([np.cos(rate * times), np.sin(rate * times) / rate], axis=1)
    grown = np.stack([np.cosh(rate * times), np.sinh(rate * times) / rate], axis=1)
    expected, found = turned if sign < 0 else grown, sol.jacobian("y0")[0]
    np.testing.assert_allclose(found * [1, rate], expected * [1, rate], rtol=1e-5, atol=1e-5)

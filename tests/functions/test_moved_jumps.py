"""Parameters that move a jump of the function are named; gradients by all others are right, and without a warning."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan import solve_ivp, solve_recurrence
from parscan.warnings import DiscontinuousParameterWarning, StateJumpWarning

pytestmark = pytest.mark.roads

TABLE = np.linspace(-3, 9, 49)
VALUES = np.random.default_rng(0).standard_normal(49)


def infusion(t, y, stop, k):
    return [-k * y[0] + np.where(t < stop, 1.0, 0.0)]


def level(stop, k, end=5.0):
    return (1 - np.exp(-k * stop)) / k * np.exp(-k * (end - stop))


def gradient(fun, args, span=(0.0, 5.0), y0=(0.0,), method="auto", **options):
    """The gradient of the sum of the last state, and the warnings that it gave."""
    sol = solve_ivp(
        fun, span, np.asarray(y0), method, args=args, t_eval=[span[1]], rtol=1e-8, atol=1e-10, compile=False
    )
    assert sol.success
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = sol.gradient(np.ones((len(y0), 1)), **options)
    kinds = DiscontinuousParameterWarning, StateJumpWarning  # the latter is of `fun`
    assert all(warning.category in kinds for warning in said)
    return found, [str(warning.message).split("`")[1] for warning in said]


MOVED = {
    "end of an infusion": (infusion, (2.0, 0.7), ["args[0]"]),
    "pulse": (
        lambda t, y, a, w: [-y[0] + np.where((t > a) & (t < a + w), 1.0, 0.0)],
        (1.0, 0.5),
        ["args[0]", "args[1]"],
    ),
    "period": (lambda t, y, p, k: [-k * y[0] + np.where(t % p < p / 2, 1.0, 0.0)], (1.1, 0.7), ["args[0]"]),
    "floor": (lambda t, y, p, k: [-k * y[0] + np.floor(t / p)], (0.7, 0.7), ["args[0]"]),
    "level of the state": (
        lambda t, y, a, k: [np.where(y[0] < a, 1.0, 0.2) - k * y[0]],
        (0.4, 0.3),
        ["args[0]", "fun"],
    ),
    "entry of an array": (
        lambda t, y, q: [np.where(t < q[0], 1.0, 0.0) - y[0] * q[1]],
        (np.array([1.3, 0.3]),),
        ["args[0]"],
    ),
    "entry of a dict": (
        lambda t, y, q: [np.where(t < q["stop"], 1.0, 0.0) - y[0] * q["k"]],
        ({"stop": 1.3, "k": 0.3},),
        ["args[0]['stop']"],
    ),
}

STAYING = {
    "kink": (lambda t, y, a, k: [np.maximum(0, t - a) - k * y[0]], (1.0, 0.3)),
    "clipped": (lambda t, y, a, k: [np.clip(t - a, 0, 0.5) - k * y[0]], (1.0, 0.3)),
    "shifted table": (lambda t, y, a, k: [np.interp(t - a, TABLE, VALUES) - k * y[0]], (0.3, 0.3)),
    "Arrhenius": (lambda t, y, E, A: [1 - A * np.exp(-E / (8.314 * (300 + 20 * t))) * y[0]], (5e4, 1e7)),
    "steep but smooth": (lambda t, y, a, k: [np.tanh(1e4 * (t - a)) - k * y[0]], (1.0, 0.3)),
    "zero": (lambda t, y, a, k: [1 + a * y[0] ** 2 - k * y[0]], (0.0, 0.3)),
    "another model beyond": (lambda t, y, a, k: [1 + np.where(a > 1, -5.0, -a) * y[0] * k], (0.8, 0.3)),
    "height of a pulse": (lambda t, y, a, k: [np.where(t < 2, a, 0.0) - y[0] * k], (0.8, 0.3)),
    "tiny": (lambda t, y, a, k: [1e12 * a * np.sin(t) - k * y[0]], (1e-12, 0.3)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("fun", "args", "names"), MOVED.values(), ids=MOVED)
def test_parameters_that_move_a_jump_are_named(fun, args, names):
    assert gradient(fun, args)[1] == names


@pytest.mark.parametrize(("fun", "args"), STAYING.values(), ids=STAYING)
def test_no_others_are(fun, args):
    found, names = gradient(fun, args)
    assert names == []
    h = 1e-5
    for place, value in enumerate(args):
        ends = []
        for sign in (1, -1):
            moved = [*args[:place], value + sign * h * (value or 1.0), *args[place + 1 :]]
            ends.append(solve_ivp(fun, (0, 5), [0.0], args=tuple(moved), rtol=1e-11, atol=1e-13).y[0, -1])
        assert np.isclose(found[place], (ends[0] - ends[1]) / (2 * h * (value or 1.0)), rtol=1e-4, atol=1e-7)


@pytest.mark.slow
@given(st.floats(0.01, 4.95), st.floats(0.1, 3.0))
@settings(max_examples=15)
def test_an_infusion_that_ends_at_any_time(stop, k):
    """The gradient by the other parameter is right, and asked for alone gives no warning."""
    (_, by_k), names = gradient(infusion, (stop, k))
    assert names == ["args[0]"]
    h = 1e-6
    assert np.isclose(by_k, (level(stop, k + h) - level(stop, k - h)) / (2 * h), rtol=1e-5, atol=1e-9)
    assert gradient(infusion, (stop, k), params="k")[1] == []
    sol = solve_ivp(infusion, (0, 5), [0.0], args=(stop, k), t_eval=[5.0], rtol=1e-8, atol=1e-10, compile=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DiscontinuousParameterWarning)
        _, beside_another = sol.gradient(np.ones((1, 1)))
    assert np.isclose(sol.gradient(np.ones((1, 1)), "k"), beside_another, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", ["Radau", "Gauss", "RK4", "DOP853", "LSODA", "RK45"])
def test_every_method(method):
    assert gradient(infusion, (2.0, 0.7), method=method)[1] == ["args[0]"]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_other_dtypes(dtype):
    def fun(t, y, stop, k):
        return [-dtype(k) * y[0] + np.where(t < stop, dtype(1), dtype(0))]

    sol = solve_ivp(fun, (0, 5), np.zeros(1, dtype), args=(2.0, 0.3), t_eval=[5.0], rtol=1e-4, atol=1e-5, compile=False)
    with pytest.warns(DiscontinuousParameterWarning, match=r"`args\[0\]` \(`stop`\) moves a jump"):
        sol.gradient(np.ones((1, 1), dtype))


def test_a_batch():
    sol = solve_ivp(
        infusion,
        (0, 5),
        np.zeros((1, 3)),
        args=(2.0, np.array([0.3, 0.5, 0.7])),
        t_eval=[5.0],
        rtol=1e-6,
        compile=False,
    )
    with pytest.warns(DiscontinuousParameterWarning, match=r"`args\[0\]`"):
        sol.gradient(np.ones((1, 1, 3)))


def test_a_product_of_the_users_own_is_believed():
    """Without `assert`: a warning is an error, which fails the test."""
    sol = solve_ivp(infusion, (0, 5), [0.0], args=(2.0, 0.7), t_eval=[5.0], rtol=1e-8, atol=1e-10, compile=False)
    sol.gradient(np.ones((1, 1)), params="k", vjp=lambda adjoint, t, y, stop, k: float((-y * adjoint).sum()))


def test_recurrences_are_named_where_differences_reach_over_a_jump():
    """The derivative of a discrete step is right beside its jumps; a difference over one is not."""

    def step(y, x, limit):
        return np.where(x > limit, 0.5 * y + 1.0, 0.5 * y) + 0 * x

    x = np.linspace(0, 1, 1000)[:, None]
    near, beside = solve_recurrence(step, np.zeros(1), x, args=(x[400, 0],)), 0.5 * (x[400, 0] + x[401, 0])
    with pytest.warns(DiscontinuousParameterWarning, match=r"`args\[0\]` \(`limit`\)"):
        near.gradient(np.ones((1000, 1)))
    assert solve_recurrence(step, np.zeros(1), x, args=(beside,)).gradient(np.ones((1000, 1))) == (0.0,)

"""Narrow pulses of a smooth function of time: they have no corners, and steps that pass over them see nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from parscan import solve_ivp

PULSES = {
    "bell": (lambda x: np.exp(-(x**2)), lambda x: np.sqrt(np.pi) / 2 * erf(x)),
    "another bell": (lambda x: np.exp(-x * x / 2), lambda x: np.sqrt(np.pi / 2) * erf(x / np.sqrt(2))),
    "hyperbolic": (lambda x: 1 / np.cosh(x), lambda x: 2 * np.arctan(np.tanh(x / 2))),
    "soliton": (lambda x: np.cosh(x) ** -2.0, np.tanh),
    "rational": (lambda x: 1 / (1 + x**2), np.arctan),
    "two waves": (
        lambda x: 1 / (1 + np.exp(-x - 2)) - 1 / (1 + np.exp(2 - x)),
        lambda x: np.logaddexp(0, x + 2) - np.logaddexp(0, x - 2),
    ),
}


def solve(*args, rtol=1e-6, atol=1e-6, **options):
    return solve_ivp(*args, rtol=rtol, atol=atol, compile=True, **options)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(PULSES)),
    st.lists(st.tuples(st.floats(-39, 99), st.floats(-7, -1)), min_size=1, max_size=4),
    st.floats(3, 9), st.booleans(), st.sampled_from([None, "times", "dense"]),
)  # fmt: skip
def test_no_pulse_is_missed(kind, pulses, digits, backwards, output):
    """Pulses of widths from a tenth to a ten millionth of the span, one or several."""
    pulse, primitive = PULSES[kind]
    span, rtol = (100.0, -40.0) if backwards else (-40.0, 100.0), 10.0**-digits
    pulses = [(centre, 140 * 10.0**exponent) for centre, exponent in pulses]

    def fun(t, y):
        return [sum(pulse((t - centre) / width) / width for centre, width in pulses) + 0 * y[0]]

    def exact(t):
        return 1 + sum(
            primitive((t - centre) / width) - primitive((span[0] - centre) / width) for centre, width in pulses
        )

    times = np.linspace(*span, 12) if output == "times" else None
    sol = solve(fun, span, [1.0], rtol=rtol, atol=rtol, t_eval=times, dense_output=output == "dense")
    error = np.abs(sol.y[0] - exact(sol.t)) / (rtol * (1 + np.abs(exact(sol.t))))
    assert error[-1] <= 10
    assert error.max() <= 30


@pytest.mark.parametrize("method", ["explicit", "stiff"])
def test_switches(method):
    """Functions that go over from one value to another one within a millionth of the span."""
    rate = 0.5 if method == "explicit" else 1e4

    def fun(t, y):
        return [rate * (np.tanh((t - 3.0) / 1e-5) - np.tanh((t - 3.2) / 1e-5) - y[0])]

    sol = solve(fun, (0.0, 10.0), [0.0], t_eval=[3.1, 3.2, 10.0])
    exact = 2 * (1 - np.exp(-rate * 0.1)), 2 * (1 - np.exp(-rate * 0.2))
    np.testing.assert_allclose(sol.y[0, :1], exact[:1], rtol=1e-4)
    np.testing.assert_allclose(sol.y[0, 2], exact[1] * np.exp(-rate * 6.8), rtol=1e-4, atol=1e-6)


def test_pulses_in_each_period():
    for fun, area in (
        (lambda t, y: [np.exp(-(((np.mod(t, 5.0) - 2.5) / 1e-3) ** 2)) + 0 * y[0]], np.sqrt(np.pi) * 1e-3),
        (lambda t, y: [np.exp(1e6 * (np.cos(2 * np.pi * (t - 2.5) / 5.0) - 1)) + 0 * y[0]],
         5 / np.sqrt(2 * np.pi * 1e6) * (1 + 1 / 8e6)),
    ):  # fmt: skip
        sol = solve(fun, (0.0, 100.0), [0.0], rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(sol.y[0, -1], 20 * area, rtol=1e-7)


def test_pulses_of_the_arguments_and_tables():
    """Pulses move with the arguments, and may be hidden by a larger function beside them."""
    times, values = np.linspace(0, 10, 40), np.cos(np.arange(40.0))

    def fun(t, y, centre, width):
        return [np.interp(t, times, values) + 1e-2 * np.exp(-(((t - centre) / width) ** 2)) + 0 * y[0]]

    plain = solve(fun, (0.0, 10.0), [0.0], args=(50.0, 1.0), rtol=1e-10, atol=1e-10).y[0, -1]
    for centre, width in ((3.3, 1e-3), (7.1, 1e-3), (7.1, 1e-5)):
        sol = solve(fun, (0.0, 10.0), [0.0], args=(centre, width), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(sol.y[0, -1] - plain, 1e-2 * np.sqrt(np.pi) * width, atol=2e-9)


@pytest.mark.parametrize("count", [5, 300])
def test_members(count):
    """Members of a batch have pulses of their own; some have none in the span."""
    rng = np.random.default_rng(3)
    centres, widths = rng.uniform(1, 12, count), 10.0 ** rng.uniform(-6, -2, count)

    def fun(t, y, centres, widths):
        return np.exp(-(((t - centres) / widths) ** 2)) / widths + 0 * y

    for span in ((0.0, 10.0), (10.0, 0.0)):
        sol = solve(fun, span, np.zeros((1, count)), args=(centres, widths))
        assert sol.compiled
        area = np.sqrt(np.pi) / 2 * (erf((span[1] - centres) / widths) - erf((span[0] - centres) / widths))
        np.testing.assert_allclose(sol.y[0, -1], area, rtol=1e-5, atol=1e-5)


def test_all_members_have_the_same_pulses():
    sol = solve(lambda t, y: np.exp(-(((t - 4) / 1e-5) ** 2)) / 1e-5 + 0 * y, (0.0, 10.0), np.zeros((1, 7)))
    np.testing.assert_allclose(sol.y[0, -1], np.sqrt(np.pi), rtol=1e-5)


def test_later_solves():
    """A function that had no narrow pulse in its first solves may have one in a later one."""

    def fun(t, y, width):
        return [np.exp(-(((t - 4) / width) ** 2)) / width - 0.0 * y[0]]

    for width in (0.5, 0.6, 0.7, 1e-5, 0.5, 1e-6):
        sol = solve(fun, (0.0, 10.0), [0.0], args=(width,))
        np.testing.assert_allclose(sol.y[0, -1], np.sqrt(np.pi), rtol=1e-5)


def test_ordinary_functions_have_no_more_steps():
    """The same function of a state, of which nothing is known, takes as many steps."""
    for forcing in (lambda t: np.exp(-t / 3), lambda t: np.sin(t) * np.exp(-t), lambda t: 1 / (1 + t**2)):
        seen = solve(lambda t, y, f=forcing: [f(t) - y[0], 1 + 0 * y[0]], (0.0, 10.0), [0.0, 0.0])
        hidden = solve(lambda t, y, f=forcing: [f(y[1]) - y[0], 1 + 0 * y[0]], (0.0, 10.0), [0.0, 0.0])
        assert len(seen.t) <= len(hidden.t) + 4


def test_waves_that_do_not_matter():
    """Waves of an exponential function are no pulses: steps are longer than their period where they do not matter."""
    sol = solve(lambda t, y: [-0.1 * y[0] + 1e-9 * np.exp(np.sin(t))], (0.0, 3000.0), [1.0])
    assert len(sol.t) < 240  # half of the periods; rounding decides which steps are rejected at the limit of stability


def test_differences_of_equal_numbers_beside_a_pulse():
    """They are rounding, of NumPy and of machine code, and no sign that the function does something else."""

    def fun(t, y):
        x = (t - 37.3) / 3e-4
        return [(np.tanh(x + 1) - np.tanh(x - 1)) / 3e-4 + 0 * y[0]]

    for span in ((0.0, 100.0), (100.0, 0.0)):
        sol = solve(fun, span, [1.0])
        np.testing.assert_allclose(sol.y[0, -1], 1 + np.copysign(4.0, span[1] - span[0]), rtol=1e-5)

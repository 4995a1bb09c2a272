"""Polynomials as sums of powers are those that their slopes give."""

import numpy as np
import pytest

from parscan._ivp.core import polynomial as _polynomial
from parscan._ivp.core import powers as _powers
from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.tableaux import gauss, radau


@pytest.fixture(params=[(gauss, 7), (radau, 3), (radau, 1)], ids=["Gauss-7", "Radau-3", "Radau-1"])
def polynomial(request, rng):
    family, stages = request.param
    t = np.cumsum(rng.uniform(0.5, 1.5, 6)) * rng.choice([-1.0, 1.0])
    return PiecewisePolynomial(family(stages), t, rng.normal(size=(6, 3)), rng.normal(size=(5, stages, 3)))


@pytest.mark.parametrize("few", [0, 12])
def test_single_times(polynomial, few, monkeypatch):
    monkeypatch.setattr(_powers, "FEW", few)
    for time in np.linspace(polynomial.t[0], polynomial.t[-1], 23):
        state = polynomial.near(float(time))(float(time))
        np.testing.assert_allclose(state, polynomial.evaluate(np.array([time]))[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("large", [0, 1 << 16])
def test_many_times(polynomial, large, monkeypatch):
    monkeypatch.setattr(_polynomial, "LARGE", large)
    times = np.linspace(polynomial.t[0], polynomial.t[-1], 57)
    np.testing.assert_allclose(polynomial.at_few(times), polynomial.evaluate(times), rtol=0, atol=1e-13)


def test_shares_of_intervals(polynomial):
    shares = np.array([0.0, 0.3, 1.0])
    times = polynomial.t[:-1, None] + np.diff(polynomial.t)[:, None] * shares
    found = polynomial.powers.at_shares(shares)
    np.testing.assert_allclose(found.reshape(-1, 3), polynomial.evaluate(times.ravel()), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(found[:, 0, :], polynomial.y[:-1])


def test_a_restricted_polynomial_is_the_same(polynomial):
    end = float(polynomial.t[3] * 0.4 + polynomial.t[4] * 0.6)
    part = polynomial.restrict(end)
    times = np.linspace(polynomial.t[0], end, 31)
    np.testing.assert_allclose(part.evaluate(times), polynomial.evaluate(times), rtol=0, atol=1e-13)
    np.testing.assert_allclose(part.derivative(times), polynomial.derivative(times), rtol=0, atol=1e-12)

"""Radau IIA: the coefficients, stability, orders that are observed, and its NumPy reference against other solvers."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from parscan._ivp.core.tableaux import radau
from parscan._recorded.native.radau_iia import coefficients
from tests.support.ode_problems import ODES, prothero_robinson
from tests.support.radau import iterate, solve
from tests.support.rodas5p import Problem

COUNTS = 3, 5, 7

pytestmark = pytest.mark.parametrize("stages", COUNTS)


def blocks(m):
    """The matrix `T⁻¹ A⁻¹ T`."""
    found = np.zeros((m.stages, m.stages))
    found[0, 0] = m.real
    for k, pair in enumerate(m.pairs):
        found[1 + 2 * k : 3 + 2 * k, 1 + 2 * k : 3 + 2 * k] = [[pair.real, pair.imag], [-pair.imag, pair.real]]
    return found


def test_nodes_and_weights(stages):
    """Those of the same methods elsewhere in the package, which are computed with forty digits."""
    m, other = coefficients(stages), radau(stages)
    np.testing.assert_allclose(m.c, other.c, rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(m.A, other.A, rtol=1e-13, atol=1e-15)
    powers = np.arange(1, stages + 1)
    np.testing.assert_allclose(m.A @ m.c[:, None] ** (powers - 1), m.c[:, None] ** powers / powers, atol=1e-14)
    later = np.arange(1, 2 * stages)
    np.testing.assert_allclose(m.A[-1] @ m.c[:, None] ** (later - 1), 1 / later, atol=1e-14)


def test_transformation(stages):
    m = coefficients(stages)
    np.testing.assert_allclose(m.T @ blocks(m) @ m.inverse @ m.A, np.eye(stages), atol=1e-11)
    np.testing.assert_allclose(m.T[-1], [1.0, *[1.0, 0.0] * (stages // 2)], atol=1e-13)
    assert all(pair.imag > 0 for pair in m.pairs)


def test_error_weights(stages):
    """The other method is a quadrature of order `s` with the begin as a node, whose weight is one over `real`."""
    m = coefficients(stages)
    weights = (m.error / m.real) @ m.A + m.A[-1]
    powers = np.arange(stages)
    found = weights @ m.c[:, None] ** powers + np.where(powers == 0, 1 / m.real, 0.0)
    np.testing.assert_allclose(found, 1 / (powers + 1), atol=1e-13)
    assert abs(weights @ m.c**stages - 1 / (stages + 1)) > 1e-6


def test_polynomials(stages):
    """All forms are exact for polynomials of degree `s`."""
    m, theta = coefficients(stages), np.linspace(-0.1, 1.5, 9)
    for power in range(1, stages + 1):
        z = m.c**power
        np.testing.assert_allclose(m.slopes(theta) @ z, power * theta ** (power - 1), rtol=1e-9, atol=1e-9)
        beyond = (theta[:, None] - 1) ** np.arange(1, stages + 1) @ (m.beyond @ z)
        np.testing.assert_allclose(beyond, theta**power - 1, rtol=1e-7, atol=1e-9)
        total = 0.0
        for k in reversed(range(stages)):
            total = total * (theta - m.c[k]) + (m.nested @ z)[k]
        np.testing.assert_allclose(total * theta, theta**power, rtol=1e-11, atol=1e-12)


def test_l_stability(stages):
    m = coefficients(stages)

    def growth(z):
        return 1 + z * np.linalg.solve(np.eye(stages) - z * m.A, np.ones(stages) + 0j) @ m.A[-1]

    assert abs(growth(-1e10)) < 1e-6
    assert max(abs(growth(1j * y)) for y in np.logspace(-2, 4, 200)) < 1 + 1e-11


def exact(t):
    return np.exp(np.sin(t)) / (9 + np.exp(np.sin(t)))


def test_observed_order(stages):
    """Steps of the same length, with stages up to rounding."""
    problem, m, errors = Problem(lambda t, y: y * (1 - y) * np.cos(t)), coefficients(stages), []
    counts = {3: (16, 32), 5: (6, 12), 7: (4, 6)}[stages]
    for steps in counts:
        h, y, t = 6.0 / steps, np.array([0.1]), 0.0
        for _ in range(steps):
            z = iterate(m, problem, t, y, h, problem.jacobian(t, y), np.zeros((stages, 1)), 1e-13, 1.0, 1.0).z
            t, y = t + h, y + z[-1]
        errors.append(abs(y[0] - exact(6.0)))
    order = np.log(errors[0] / errors[1]) / np.log(counts[1] / counts[0])
    assert 2 * stages - 3.2 < order < 2 * stages + 0.2, errors


@pytest.mark.parametrize("rate", [1e3, 1e6])
def test_errors_of_forced_decays(stages, rate):
    ode = prothero_robinson(rate)
    for rtol in (1e-5, 1e-8):
        found = solve(ode.fun, (0.0, ode.end), ode.y0, rtol, rtol * ode.scale, stages)
        assert found.status == "FINISHED"
        assert ode.error(found.y[-1], rtol) < 10


@pytest.mark.parametrize("name", ["Van der Pol 1000", "Robertson", "HIRES"])
def test_errors_near_tolerances(stages, name):
    (ode,) = (one for one in ODES if one.name == name)
    rtol = 1e-6
    found = solve(ode.fun, (0.0, ode.end), ode.y0, rtol, rtol * ode.scale, stages)
    assert found.status == "FINISHED"
    assert ode.error(found.y[-1], rtol) < 10


def test_backwards(stages):
    def fun(t, y):
        return [y[1], -50 * (y[0] - np.sin(t)) + 8 * y[1]]

    found = solve(fun, (3.0, 0.0), [1.0, 0.0], 1e-8, 1e-8, stages)
    other = solve_ivp(fun, (3.0, 0.0), [1.0, 0.0], "Radau", rtol=1e-10, atol=1e-12, dense_output=True)
    np.testing.assert_allclose(found.y[-1], other.y[:, -1], rtol=1e-6, atol=1e-7)
    for t in np.linspace(0, 3, 31):
        np.testing.assert_allclose(found(t), other.sol(t), atol=1e-5)


def test_poles_are_not_stepped_over(stages):
    found = solve(lambda t, y: [y[0] ** 2], (0.0, 3.0), (1.0,), 1e-6, 1e-6, stages)
    assert found.status == "STEP_TOO_SMALL"
    assert abs(found.t[-1] - 1) < 1e-4

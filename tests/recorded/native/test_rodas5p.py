"""Rodas5P: order conditions, stability, orders that are observed, and its NumPy reference against other solvers."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests.support import ode_problems
from tests.support.ode_problems import ODES, prothero_robinson
from tests.support.rodas5p import Problem, method, powers, solve, step

ONE = ()
"""The tree of one node. A tree is the tuple of the trees that hang on its root."""


@cache
def trees(size):
    """Rooted trees of some nodes."""
    if size == 1:
        return {ONE}
    return {tree for rest in forests(size - 1, size - 1) for tree in [tuple(sorted(rest, key=repr))]}


def forests(size, largest):
    """Sequences of trees with some nodes altogether, the largest first."""
    if size == 0:
        yield ()
    for first in range(min(size, largest), 0, -1):
        for tree in trees(first):
            for rest in forests(size - first, first):
                yield (tree, *rest)


def nodes(tree):
    return 1 + sum(map(nodes, tree))


def density(tree):
    return nodes(tree) * int(np.prod([density(one) for one in tree], initial=1))


def original(m):
    """α, β and the map from weights of the transformed stages to those of the original ones."""
    gammas = np.linalg.inv(np.eye(8) / m.gamma - m.C)
    alphas = m.a @ gammas
    return alphas, alphas + gammas, gammas


def residual(m, weights, size, theta=1.0):
    """Largest violation of the order conditions of trees with some nodes (Hairer and Wanner, section IV.7)."""
    alphas, betas, gammas = original(m)

    def elementary(tree):
        if len(tree) == 1:
            return betas @ elementary(tree[0])
        return np.prod([alphas @ elementary(one) for one in tree], axis=0) if tree else np.ones(8)

    found = [weights @ gammas @ elementary(tree) - theta**size / density(tree) for tree in trees(size)]
    return np.abs(found).max()


def embedded(m):
    return np.append(m.weights[:-1], 0.0)


def dense(m, theta):
    return theta * m.weights + theta * (1 - theta) * (m.b[0] + theta * (m.b[1] + theta * m.b[2]))


def algebraic(m, weights, power, theta=1.0):
    """Violation of a condition of differential-algebraic equations of index 1 (Hairer and Wanner, section VI.4)."""
    alphas, betas, gammas = original(m)
    return abs(weights @ gammas @ np.linalg.inv(betas) @ alphas.sum(axis=1) ** power - theta**power)


def violation(m):
    """Largest violation of what the coefficients have to satisfy."""
    alphas, _, gammas = original(m)
    rows = [np.abs(alphas.sum(axis=1) - m.c).max(), np.abs(gammas.sum(axis=1) - m.d).max()]
    new = [residual(m, m.weights, size) for size in range(1, 6)]
    other = [residual(m, embedded(m), size) for size in range(1, 5)]
    between = [residual(m, dense(m, theta), size, theta) for size in range(1, 5) for theta in (0.2, 0.5, 0.9)]
    between += [algebraic(m, dense(m, theta), power, theta) for power in (2, 3) for theta in (0.2, 0.5, 0.9)]
    return max([*rows, *new, *other, *between])


def test_numbers_of_trees():
    assert [len(trees(size)) for size in range(1, 7)] == [1, 1, 2, 4, 9, 20]


def test_order_conditions():
    assert violation(method()) < 1e-13


def test_orders_are_not_higher():
    m = method()
    assert residual(m, m.weights, 6) > 1e-3
    assert residual(m, embedded(m), 5) > 1e-3
    assert residual(m, dense(m, 0.5), 5, 0.5) > 1e-3


COEFFICIENTS = [
    (name, place)
    for name, count in (("c", 7), ("d", 8), ("b", 24))
    for place in range(8 - count if name == "c" else 0, 8 if name != "b" else count)
    if name != "b" or place % 8 != 7  # the last stage is small of order 5: its share in polynomials is free
] + [(name, place) for name in ("a", "C") for place in np.flatnonzero(np.ravel(np.tril(np.ones((8, 8)), -1))).tolist()]


@pytest.mark.parametrize(("name", "place"), COEFFICIENTS)
def test_each_coefficient_matters(name, place):
    m = method()
    values = np.array(getattr(m, name))
    values.flat[place] += 1e-9
    assert violation(replace(m, **{name: values})) > 1e-12


def stability(m, weights, z):
    _, betas, gammas = original(m)
    return 1 + z * (weights @ gammas) @ np.linalg.solve(np.eye(8) - z * betas, np.ones(8))


def test_both_methods_are_l_stable():
    m = method()
    for weights in (m.weights, embedded(m)):
        assert abs(stability(m, weights, -1e9)) < 1e-7
        assert max(abs(stability(m, weights, 1j * y)) for y in np.logspace(-2, 4, 500)) < 1 + 1e-12


def solution(t):
    return np.stack([np.cos(t), np.sin(t) * np.exp(0.5 * np.sin(t))], axis=-1)


def nonlinear(t, y):
    """With a known solution, depends on time."""
    x, v = np.cos(t), np.sin(t) * np.exp(0.5 * np.sin(t))
    dx, dv = -np.sin(t), np.cos(t) * np.exp(0.5 * np.sin(t)) * (1 + 0.5 * np.sin(t))
    return [dx + np.sin(y[1] - v) + (y[0] - x) ** 2, dv - np.sin(y[0] - x) * y[1]]


def errors(fun, exact, counts, end=2.0):
    """Errors of steps of equal length: at the end, of the embedded method in one step, and of the polynomials."""
    found = []
    for count in counts:
        problem, y, h = Problem(fun), np.atleast_1d(exact(0.0)), end / count
        between = 0.0
        for k in range(count):
            new, stages, _ = step(problem, k * h, y, h)
            coefficients = powers(y, new, stages)
            for theta in (0.3, 0.7):
                value = y + sum(c * theta ** (j + 1) for j, c in enumerate(coefficients))
                between = max(between, np.abs(value - exact((k + theta) * h)).max())
            y = new
        start = np.atleast_1d(exact(0.0))
        new, _, difference = step(problem, 0.0, start, h)
        found.append((np.abs(y - exact(end)).max(), np.abs(new - difference - exact(h)).max(), between))
    return np.array(found)


def test_observed_orders():
    found = errors(nonlinear, solution, (20, 40, 80))
    orders = np.log2(found[:-1] / found[1:])
    assert (np.abs(orders[-1] - [5, 5, 5]) < 0.4).all(), orders  # of one step, or of four steps' local errors: 4 + 1


@pytest.mark.parametrize("rate", [1e4, 1e6])
def test_order_of_stiff_problems(rate):
    """Prothero and Robinson's problem, where many methods fall to order 1: here order 3, of errors as small as 1/λ."""
    ode = prothero_robinson(rate)
    found = errors(ode.fun, np.cos, (16, 32, 64))
    orders = np.log2(found[:-1] / found[1:])
    assert (orders > [2.8, 2.9, 3.9]).all(), orders
    assert found[0, 0] < 1e-5 / rate


def network(t, y):
    """Twenty species in a ring of reactions with rates from 1e-2 to 1e6."""
    n = len(y)
    rates = 10.0 ** np.linspace(-2, 6, n)
    flow = rates * y * (1 + 0.1 * np.roll(y, 1))
    return np.roll(flow, 1) - flow


def e5(t, y):
    """The problem E5 of the test set of Hairer and Wanner, with its rates."""
    a, b, c, m = 7.89e-10, 1.1e7, 1.13e3, 1e6
    y1, y2, y3, y4 = y
    first, second, third = a * y1, b * y1 * y3, m * c * y2 * y3
    return [-first - second, first - third, first - second + c * y4 - third, second - c * y4]


REFERENCES = {
    "network": (network, (0.0, 10.0), np.linspace(1, 2, 20), 1.0),
    "E5": (e5, (0.0, 1e5), np.array([1.76e-3, 0, 0, 0]), 1e-12),
    "backwards": (lambda t, y: [y[1], -50 * (y[0] - np.sin(t)) + 8 * y[1]], (3.0, 0.0), np.array([1.0, 0.0]), 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_against_scipy(name):
    fun, span, y0, scale = REFERENCES[name]
    exact = solve_ivp(fun, span, y0, "Radau", rtol=1e-9, atol=1e-11 * scale, jac=Problem(fun).jacobian)
    for rtol in (1e-4, 1e-7):
        found = solve(fun, span, y0, rtol, rtol * scale)
        assert found.status == "FINISHED"
        error = np.abs(found.y[-1] - exact.y[:, -1]) / (rtol * (scale + np.abs(exact.y[:, -1])))
        assert error.max() < 10, error


STIFF = [ode for ode in ODES if ode.name in {"Van der Pol 1000", "Robertson", "Oregonator", "HIRES", "heat"}]
STIFF += [ode for ode in ODES if ode.name.startswith("Prothero")]


@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
@pytest.mark.parametrize("ode", STIFF, ids=lambda ode: ode.name)
def test_errors_near_tolerances(ode, rtol):
    found = solve(ode.fun, (0.0, ode.end), ode.y0, rtol, rtol * ode.scale)
    assert found.status == "FINISHED"
    assert ode.error(found.y[-1], rtol) < 10


def test_poles_are_not_stepped_over():
    found = solve(lambda t, y: [y[0] ** 2], (0.0, 3.0), (1.0,), 1e-6, 1e-6)
    assert found.status == "STEP_TOO_SMALL"
    assert abs(found.t[-1] - 1) < 1e-4


def test_polynomials_between():
    fun = ode_problems.van_der_pol(10.0)
    found = solve(fun, (0.0, 5.0), (2.0, 0.0), 1e-7, 1e-7)
    exact = solve_ivp(
        ode_problems.van_der_pol(10.0), (0.0, 5.0), (2.0, 0.0), "Radau", rtol=1e-11, atol=1e-12, dense_output=True
    )
    for t in np.linspace(0, 5, 101):
        assert np.abs(found(t) - exact.sol(t)).max() < 1e-5

"""Tangent linear models of single intervals, and the differences that they are made of."""

import numpy as np
import pytest
import scipy.linalg

from parscan._functions.right_hand_side import RightHandSide
from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.tableaux import gauss, radau
from parscan._ivp.mesh.task import PARALLEL
from parscan._ivp.methods.exponential_tangents import frechet
from parscan._ivp.output.observation import Observation
from parscan._kernels.dispatch import condense
from parscan._kernels.generic.condense import solve_stages


@pytest.mark.pairs(name=PARALLEL.keys(), inside=[False, True], batch=[(), (3,)], dtype=[float, complex])
def test_pulling_back_is_the_adjoint_of_responding(name, inside, batch, dtype, rng):
    n, N, k = 2, 4, 3
    method = PARALLEL[name](3, n)

    def normal(*shape):
        return (rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype is complex else 0)).astype(dtype)

    y = normal(N + 1, *batch, n)
    rhs = RightHandSide(lambda t, y: [y[1] ** 2 - y[0], np.cos(y[0]) * t], None, (), y[0])
    t, stages = np.cumsum(rng.uniform(0.1, 0.3, N + 1)), normal(N, method.output.stages, *batch, n)
    trial = PiecewisePolynomial(method.output, t, y, stages)
    model = method.tangent_linear(rhs, trial, inside=inside)
    B = 3 if batch else 1
    forcing = normal(model.times.shape[0], B, n, k)
    ends, slopes = model.respond(forcing)
    assert ends.shape == (N, B, n, k)
    assert slopes.shape == (N, model.slopes.shape[1], B, n, k)
    u, v = normal(N, B, n), normal(*slopes.shape[:-1])
    pulled = model.pull_back(u, v if v.shape[1] else None)
    left = np.einsum("pbi,pbik->k", u.conj(), ends) + np.einsum("pqbi,pqbik->k", v.conj(), slopes)
    right = np.einsum("mbi,mbik->k", pulled.conj(), forcing)
    assert np.abs(left - right).max() <= 1e-11 * np.abs(left).max()


def test_stages_with_many_right_hand_sides(rng):
    N, s, n, k = 300, 3, 2, 4
    J, h, sides = rng.standard_normal((N, s, n, n)), rng.uniform(0.1, 1, N), rng.standard_normal((N, s, n, k))
    tableau = radau(s)
    found = solve_stages(J, tableau.A, h, sides)
    for column in range(k):
        expected = condense(J, tableau.A, tableau.b, h, sides[..., column]).X0
        assert np.allclose(found[..., column], expected, rtol=1e-10, atol=1e-12)


def test_frechet_derivatives_are_those_of_scipy(rng):
    X, E = rng.standard_normal((2, 5, 3, 3))
    found, phi = frechet(X, E)
    for k in range(5):
        assert np.allclose(found[k], scipy.linalg.expm_frechet(X[k], E[k], compute_expm=False), rtol=1e-12, atol=1e-13)
        # X φ₁(X) = exp(X) - I, so E φ₁ + X L = L_exp
        phi_of_X = np.linalg.solve(X[k], scipy.linalg.expm(X[k]) - np.eye(3))
        assert np.allclose(E[k] @ phi_of_X + X[k] @ phi[k], found[k], rtol=1e-11, atol=1e-11)


def test_gradients_are_summed_over_the_outputs_of_each_interval(rng):
    mesh, tableau = np.array([0.0, 1.0, 1.5, 4.0]), gauss(3)
    for direction in (1, -1):
        times = np.array([0.0, 0.2, 0.3, 0.9, 1.5, 1.6, 2.0, 4.0])
        polynomial = PiecewisePolynomial(tableau, direction * mesh, np.zeros((4, 2, 3)), np.zeros((3, 3, 2, 3)))
        observed = Observation(polynomial, direction * times)
        assert observed.inside
        nodes, slopes = rng.standard_normal((4, 2, 1, 3)), rng.standard_normal((3, 3, 2, 1, 3))
        gradient = rng.standard_normal((8, 2, 3))
        output = observed.of(nodes, nodes[:-1], slopes)[..., 0, :]
        assert np.array_equal(output[[0, 4, 7]], nodes[[0, 2, 3], :, 0])
        left = np.sum(gradient * output)
        at_nodes = observed.at_nodes(gradient)
        at_nodes[:-1] += observed.at_starts(gradient)
        right = np.sum(at_nodes * nodes[:, :, 0]) + np.sum(observed.at_slopes(gradient) * slopes[..., 0, :])
        assert np.isclose(left, right, rtol=1e-12)


def rhs_of(fun, y):
    return RightHandSide(fun, None, (), y[0])


def test_jacobians_by_differences_are_right_to_many_digits(rng):
    y = rng.standard_normal((50, 3)) * [1.0, 1e3, 1e-6]
    t = np.linspace(0, 1, 50)
    rhs = rhs_of(lambda t, y: [np.sin(y[0]) * y[1], y[0] ** 3 + np.exp(1e6 * y[2]), t * y[2] * y[0]], y)
    exact = np.zeros((50, 3, 3))
    exact[:, 0, 0], exact[:, 0, 1] = np.cos(y[:, 0]) * y[:, 1], np.sin(y[:, 0])
    exact[:, 1, 0], exact[:, 1, 2] = 3 * y[:, 0] ** 2, 1e6 * np.exp(1e6 * y[:, 2])
    exact[:, 2, 0], exact[:, 2, 2] = t * y[:, 2], t * y[:, 0]
    found = rhs.exact_jacobian(t, y)
    scale = np.abs(exact).max(axis=1, keepdims=True) + 1e-6
    assert (np.abs(found - exact) / scale).max() <= 1e-9
    assert np.abs(rhs.differences(t, y) - exact).max() >= 1e-9 * np.abs(exact).max()  # the solver's are not


@pytest.mark.parametrize(
    ("fun", "slope"),
    [
        (lambda t, y: [np.sqrt(y[0])], lambda y: 0.5 / np.sqrt(y)),
        (lambda t, y: [np.log(y[0])], lambda y: 1 / y),
        (lambda t, y: [1 / y[0]], lambda y: -1 / y**2),
        (lambda t, y: [y[0] ** 4 / (1e-4 + y[0] ** 4)], lambda y: 4e-4 * y**3 / (1e-4 + y**4) ** 2),
        (lambda t, y: [np.exp(100 * y[0])], lambda y: 100 * np.exp(100 * y)),
    ],
)
def test_steps_are_shortened_where_functions_bend_or_end(fun, slope):
    """Beside large states, small ones look like zeros, whose steps would be far too long."""
    y = np.geomspace(1e-3, 1.0, 40)[:, None]
    found = rhs_of(fun, y).exact_jacobian(np.zeros(40), y)[:, 0, 0]
    assert np.abs(found / slope(y[:, 0]) - 1).max() <= 1e-7


@pytest.mark.parametrize("size", [1e-14, 1e-12, 1e-6, 1.0, 1e12])
def test_small_components_are_differentiated_as_well_as_large_ones(size):
    """One bends within the first step, whatever its size beside the other."""
    y = np.stack([np.linspace(0.9998, 1.0002, 9), np.zeros(9)], axis=1)
    bend = (y[:, 0] - 1) / 2e-4
    rhs = rhs_of(lambda t, y: [np.cos(y[0]), size * np.exp(-(((y[0] - 1) / 2e-4) ** 2))], y)
    found = rhs.exact_jacobian(np.zeros(9), y)[:, :, 0]
    assert np.abs(found[:, 0] + np.sin(y[:, 0])).max() <= 1e-11
    slopes = -2 * bend * np.exp(-(bend**2)) / 2e-4
    assert np.abs(found[:, 1] / size - slopes).max() <= 1e-10 * np.abs(slopes).max()


def test_at_the_edge_of_where_a_function_is_defined_one_side_does():
    y = np.array([[0.0], [0.5], [1.0]])
    rhs = rhs_of(lambda t, y: [np.where(y[0] >= 0, np.abs(y[0]) ** 1.5, np.nan)], y)
    found = rhs.exact_jacobian(np.zeros(3), y)
    assert np.abs(found[:, 0, 0] - 1.5 * np.sqrt(y[:, 0])).max() <= 1e-3
    assert np.abs(found[1:, 0, 0] - 1.5 * np.sqrt(y[1:, 0])).max() <= 1e-10

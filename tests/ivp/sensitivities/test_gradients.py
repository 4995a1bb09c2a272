"""Gradients with respect to parameters of differential equations: products, differences, structures."""

import numpy as np
import pytest
from ode_methods import ON_ANY_MESH, ON_MESH
from ode_sensitivities import SMOOTH, deviation, extrapolated

from parscan import solve_ivp

pytestmark = pytest.mark.roads


def fun(t, y, rates, gain):
    growth, death = rates["growth"], rates["death"]
    return [growth[0] * y[0] - growth[1] * y[0] * y[1], gain * y[0] * y[1] - death * y[1]]


def forcing(t, y, rates, gain):
    return [[y[0], -y[0] * y[1], 0, 0], [0, 0, -y[1], y[0] * y[1]]]


def vjp(adjoint, t, y, rates, gain):
    prey, predators = adjoint
    growth = np.array([np.sum(prey * y[0]), -np.sum(prey * y[0] * y[1])])
    return {"death": -np.sum(predators * y[1]), "growth": growth}, np.sum(predators * y[0] * y[1])


ARGS = ({"growth": np.array([1.5, 1.0]), "death": 3.0}, 1.1)


def solved(method="Radau", t_eval=(0.5, 1.3, 3.0), args=ARGS, **options):
    mesh = None if method == "LSODA" else np.linspace(0, 3, 101)
    options = {"rtol": 1e-9, "atol": 1e-9, "mesh": mesh, **options}
    return solve_ivp(fun, (0, 3), [2.0, 1.0], method, t_eval, args=args, **options)


@ON_ANY_MESH
@pytest.mark.parametrize("method", [*ON_MESH, "LSODA"])
@pytest.mark.parametrize("t_eval", [None, (0.5, 1.3, 3.0)], ids=["nodes", "t_eval"])
def test_products_and_differences_agree(method, t_eval):
    sol = solved(method, t_eval)
    gradient = np.cos(np.arange(sol.y.size)).reshape(sol.y.shape)
    by_forcing = sol.gradient(gradient, forcing=forcing)
    expected = np.einsum("it,itk->k", gradient, sol.tangent(forcing))
    assert deviation(by_forcing, expected) <= 1e-12
    for rates, gain in (sol.gradient(gradient), sol.gradient(gradient, vjp=vjp)):
        assert list(rates) in (["growth", "death"], ["death", "growth"])
        assert rates["growth"].shape == (2,)
        assert deviation([*rates["growth"], rates["death"], gain], expected) <= 1e-12


def test_gradients_are_those_of_differences_of_solutions():
    sol = solved(rtol=1e-12, atol=1e-12)

    def loss(h):
        rates = {"growth": ARGS[0]["growth"] + np.array([0.0, h]), "death": 3.0}
        return np.sum(solved(args=(rates, ARGS[1]), rtol=1e-12, atol=1e-12).y ** 2)

    assert deviation(sol.gradient(2 * sol.y, "rates")["growth"][1], extrapolated(loss)) <= 1e-8


def test_parameters_are_named_or_counted():
    sol = solved()
    rates, gain = sol.gradient(sol.y)
    alone = sol.gradient(sol.y, "gain")
    assert alone == sol.gradient(sol.y, 1) == sol.gradient(sol.y, -1) == pytest.approx(gain, rel=1e-14)
    assert sol.gradient(sol.y, ("gain", "rates"))[1]["death"] == rates["death"]
    assert isinstance(gain, float)
    assert list(sol.gradient(sol.y, 0)) == ["growth", "death"]


def test_a_product_is_called_once_with_all_points():
    calls = []

    def counted(adjoint, t, y, *args):
        calls.append((adjoint.shape, t.shape, y.shape))
        return vjp(adjoint, t, y, *args)

    solved().gradient(np.ones((2, 3)), vjp=counted)
    assert calls == [((2, 700), (700,), (2, 700))]  # seven stages in a hundred intervals


def test_without_arguments_a_product_returns_what_it_likes():
    weights = np.array([[-0.3, 2.0], [-1.0, -0.1]])
    sol = solve_ivp(lambda t, y: weights @ y, (0, 1), [1.0, 2.0], "Radau", rtol=1e-8)
    gradient = sol.gradient(np.ones_like(sol.y), vjp=lambda adjoint, t, y: adjoint @ y.T)
    expected = sol.gradient(np.ones_like(sol.y), forcing=lambda t, y: [[y[0], y[1], 0, 0], [0, 0, y[0], y[1]]])
    assert deviation(gradient.ravel(), expected) <= 1e-12
    with pytest.raises(ValueError, match="nothing to differentiate by: no further arguments"):
        sol.gradient(np.ones_like(sol.y))


def test_arrays_of_parameters_per_member_of_a_batch():
    gravity = np.linspace(0.5, 2.0, 3)
    sol = solve_ivp(
        lambda t, y, g: [y[1], -g * np.sin(y[0])], (0, 2), np.ones((2, 3)), "Radau", args=(gravity,), rtol=1e-8
    )
    found = sol.gradient(sol.y, "g")
    changes = sol.tangent(lambda t, y, g: [0, -np.sin(y[0])])
    assert deviation(found, np.sum(sol.y * changes, axis=(0, 1))) <= 1e-8
    by_product = sol.gradient(sol.y, vjp=lambda adjoint, t, y, g: (np.sum(-adjoint[1] * np.sin(y[0]), axis=0),))
    assert deviation(by_product[0], found) <= 1e-8


def test_complex_parameters_and_states():
    """dL = Re(conj(g) dθ), for functions that are complex differentiable."""

    def oscillator(t, y, rate):
        return rate * y - 0.1 * y**3

    def solve(rate):
        return solve_ivp(oscillator, (0, 2), [1 + 0.5j], "Radau", args=(rate,), mesh=np.linspace(0, 2, 20), rtol=1e-11)

    rate = -0.3 + 2j
    sol = solve(rate)
    target = np.exp(1j * sol.t)
    gradient = sol.gradient(2 * (sol.y - target), "rate")
    assert isinstance(gradient, complex)
    for unit in (1, 1j):
        by_differences = extrapolated(lambda h, unit=unit: np.sum(np.abs(solve(rate + unit * h).y - target) ** 2))
        assert np.isclose((np.conj(gradient) * unit).real, by_differences, rtol=1e-7)
    assert np.isclose(sol.gradient(2 * (sol.y - target), forcing=lambda t, y, rate: y), gradient, rtol=1e-8)


def test_a_mesh_of_single_precision():
    sol = solve_ivp(
        lambda t, y, k: -k * y,
        (0, 2),
        np.ones(1, np.float32),
        "Radau",
        args=(np.float32(0.5),),
        t_eval=[2.0],
        rtol=1e-4,
    )
    gradient = sol.gradient([[1.0]], "k")
    assert gradient.dtype == np.float32
    assert abs(gradient + 2 * np.exp(-1.0)) <= 1e-3
    assert sol.tangent(lambda t, y, k: -y).dtype == np.float32
    assert sol.adjoint([[1.0]]).states.dtype == np.float32


@pytest.mark.parametrize("family", SMOOTH, ids=lambda family: family.name)
def test_gradients_of_sequential_solutions(family):
    for method, rtol in (("auto", 1e-3), ("RK45", 1e-6), ("LSODA", 1e-9)):
        sol = solve_ivp(family.fun, (0, family.end), family.y0, method, args=family.args, rtol=rtol, atol=1e-2 * rtol)
        tight = solve_ivp(
            family.fun, (0, family.end), family.y0, "Radau", sol.t, args=family.args, rtol=1e-10, atol=1e-11
        )
        assert sol.iterations == 0
        assert deviation(sol.gradient(sol.y), tight.gradient(sol.y)) <= 30 * rtol
        assert deviation(sol.adjoint(sol.y).states[:, 0], tight.adjoint(sol.y).y0) <= 30 * rtol


@pytest.mark.parametrize("rate", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("method", ["auto", "Radau", "LSODA"])
def test_a_function_that_bends_within_the_change_of_a_parameter(rate, method):
    """y' = -cos(rate a) y, whose solution is known."""
    sol = solve_ivp(lambda t, y, a: -np.cos(rate * a) * y, (0, 2), [1.0], method, args=(0.3,), rtol=1e-9, atol=1e-11)
    last = np.zeros_like(sol.y)
    last[0, -1] = 1
    exact = 2 * rate * np.sin(rate * 0.3) * np.exp(-2 * np.cos(rate * 0.3))
    assert sol.gradient(last, "a") == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-100, 1e-6, 1e9, 1e200])
def test_differences_where_slopes_are_far_smaller_or_larger_than_states(scale):
    """Rounding errors of a derivative are those of the values, not of the states."""
    for span in (1e-9, 1.0, 1e9):
        sol = solve_ivp(
            lambda t, y, a, b, span=span: [(-a * y[0] + b * scale) / span], (0, 2 * span), [0.5 * scale], "Radau",
            [2 * span], args=(0.7, np.array(0.3)), rtol=1e-9, atol=1e-11 * scale, compile=False,
        )  # fmt: skip
        by_a, by_b = sol.gradient([[1.0]])
        rest = np.exp(-1.4)
        assert by_b / scale == pytest.approx((1 - rest) / 0.7, rel=1e-7)
        by_decay = -2 * 0.5 * rest + 0.3 * (2 * rest / 0.7 - (1 - rest) / 0.49)
        assert by_a / scale == pytest.approx(by_decay, rel=1e-7)


def test_jacobians_by_differences_of_parameters_in_single_precision():
    """The change of a parameter is rounded: quotients are of the change that is left."""
    options = {"t_eval": [2.0], "rtol": 1e-10, "atol": 1e-12, "compile": False}
    own = np.array([0.7, 0.3], np.float32)
    sol = solve_ivp(lambda t, y, p: [-p[0] * y[0] + p[1]], (0, 2), [0.5], "Radau", args=(own,), **options)
    double = solve_ivp(
        lambda t, y, p: [-p[0] * y[0] + p[1]], (0, 2), [0.5], "Radau", args=(own.astype(float),), **options
    )
    assert np.allclose(sol.jacobian("p"), double.jacobian("p"), rtol=1e-7)

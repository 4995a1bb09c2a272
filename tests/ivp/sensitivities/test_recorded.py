"""Derivatives by the recorded operations of `fun`: exact, and withdrawn where they are not those of the function."""

import numpy as np
import pytest
from ode_methods import ON_ANY_MESH, ON_MESH
from ode_sensitivities import SMOOTH, deviation, extrapolated

from parscan import solve_ivp
from parscan.warnings import DiscontinuousParameterWarning

EXACT = "exact, by the recorded operations of `fun`"
RNG = np.random.default_rng(5)


def rates(t, y, growth, death):
    return [growth * y[0] * (1 - y[1]) + 0.1 * np.sin(3 * t), y[1] * (np.tanh(y[0]) - death)]


def rates_jac(t, y, growth, death):
    zero = 0 * y[0]
    slope = 1 - np.tanh(y[0]) ** 2
    return [[growth * (1 - y[1]) + zero, -growth * y[0]], [y[1] * slope, np.tanh(y[0]) - death]]


def both(method="Radau", y0=(0.7, 1.2), end=2.0, **options):
    """Solutions on the same mesh without and with the exact Jacobian."""
    mesh = None if method in ("auto", "LSODA") else np.linspace(0, end, 31)
    options = {"args": (1.5, 0.6), "rtol": 1e-6, "atol": 1e-9, "mesh": mesh, **options}
    return [solve_ivp(rates, (0, end), y0, method, jac=jac, **options) for jac in (None, rates_jac)]


@ON_ANY_MESH
@pytest.mark.parametrize("method", [name for name in ON_MESH if name != "DEER"])
@pytest.mark.parametrize("end", [2.0, -0.5])
def test_derivatives_are_those_of_the_exact_jacobian(method, end):
    sol, other = both(method, end=end, rtol=1e-13, atol=1e-13)
    gradient = RNG.standard_normal(sol.y.shape)
    assert deviation(sol.tangent(y0=np.eye(2)), other.tangent(y0=np.eye(2))) <= 2e-13
    assert deviation(sol.adjoint(gradient).states, other.adjoint(gradient).states) <= 2e-13
    assert sol.derivatives == EXACT
    assert other.derivatives == "by `jac`"


@ON_ANY_MESH
def test_derivatives_of_deer_by_the_second_derivatives_of_the_exact_jacobian():
    sol, other = both("DEER", rtol=1e-11, atol=1e-11)
    assert deviation(sol.tangent(y0=np.eye(2)), other.tangent(y0=np.eye(2))) <= 1e-10
    assert sol.derivatives == EXACT


@ON_ANY_MESH
@pytest.mark.parametrize("batch", [(), (3,)])
def test_second_derivatives_of_recorded_functions_are_exact(batch, monkeypatch):
    y0, mesh = np.array([0.7, 1.2]).reshape(2, *(1,) * len(batch)) * np.ones((2, *batch)), np.linspace(0, 2, 31)
    options = {"args": (1.5, 0.6), "rtol": 1e-9, "atol": 1e-9, "mesh": mesh}
    sol, other = (solve_ivp(rates, (0, 2), y0, "DEER", compile=compiled, **options) for compiled in (None, False))
    change = np.ones((2, *batch))
    expected = other.tangent(y0=change)
    rhs, states = sol._solution._found.rhs, RNG.standard_normal((4, *batch, 2))
    t, h = np.linspace(0, 1, 4), 1e-3

    def slopes(k, place):
        return rhs.exact_jacobian(t, states + place * h * np.eye(2)[k])

    stencil = [(8 * (slopes(k, 1) - slopes(k, -1)) - (slopes(k, 2) - slopes(k, -2))) / (12 * h) for k in range(2)]
    found = rhs.second_derivatives(t, states)
    assert found.shape == (4, *batch, 2, 2, 2)
    assert deviation(found, np.stack(stencil, axis=-1)) <= 1e-9
    monkeypatch.setattr("parscan._ivp.methods.exponential_tangents._stencil", None)
    assert deviation(sol.tangent(y0=change), expected) <= 1e-6
    with pytest.raises(TypeError):
        solve_ivp(rates, (0, 2), y0, "DEER", compile=False, **options).tangent(y0=change)


@pytest.mark.parametrize("method", ["auto", "LSODA"])
@pytest.mark.parametrize("compiled", [None, True])
def test_derivatives_of_solutions_step_by_step(method, compiled):
    if method != "auto" and compiled:
        pytest.skip("machine code solves `auto` alone")
    sol, _ = both(method, t_eval=[0.5, 2.0], compile=compiled)
    rough = both(method, t_eval=[0.5, 2.0], compile=False)[0]
    assert deviation(sol.tangent(y0=np.eye(2)), rough.tangent(y0=np.eye(2))) <= 1e-5
    assert sol.derivatives == EXACT
    assert sol.lyapunov == pytest.approx(rough.lyapunov, rel=1e-4)


@ON_ANY_MESH
@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
def test_other_dtypes(dtype):
    y0 = np.array([0.7, 1.2], dtype) + (np.array([0.1j, 0.2j], dtype) if "complex" in dtype else 0)
    precision = 2e-5 if dtype in ("float32", "complex64") else 1e-12
    sol, other = both(y0=y0, rtol=2e-5 if precision > 1e-6 else 1e-13, atol=1e-6 if precision > 1e-6 else 1e-13)
    found = sol.tangent(y0=np.eye(2))
    assert found.dtype == dtype
    assert deviation(found, other.tangent(y0=np.eye(2))) <= precision
    assert sol.derivatives == EXACT


@ON_ANY_MESH
@pytest.mark.parametrize("batch", [(3,), (2, 2), (40,)])
def test_members_of_batches(batch):
    """Each has its own parameters."""
    y0 = np.array([0.7, 1.2]).reshape(2, *(1,) * len(batch)) + 0.1 * RNG.standard_normal((2, *batch))
    args = (1.5 + 0.1 * RNG.standard_normal(batch), 0.6)
    sol, other = both(y0=y0, args=args, rtol=1e-13, atol=1e-13)
    gradient = RNG.standard_normal(sol.y.shape)
    assert deviation(sol.adjoint(gradient).states, other.adjoint(gradient).states) <= 2e-13
    assert sol.derivatives == EXACT


def test_batches_of_one_member_on_one_interval_by_machine_code():
    sol = solve_ivp(rates, (0, 0.01), [[0.7], [1.2]], "Radau", mesh=[0, 0.01], args=(1.5, 0.6), compile=True)
    assert sol.compiled


@pytest.mark.parametrize("family", SMOOTH, ids=lambda family: family.name)
def test_jacobians_are_machine_code_once_that_pays(family):
    options = {"args": family.args, "rtol": 1e-9, "atol": 1e-9}
    found = []
    for _ in range(2):
        sol = solve_ivp(
            family.fun, (0, family.end), family.y0, "Radau", mesh=np.linspace(0, 1, 3001) * family.end, **options
        )
        found.append(sol.tangent(y0=np.eye(2)))
    assert deviation(*found) <= 1e-12


class Told:
    """A function that computes something else while it is recorded."""

    def __init__(self, wrong):
        self.wrong = wrong

    def __call__(self, t, y):
        values = [y[1], -np.sin(y[0])]
        return self.wrong(y) if hasattr(y, "graph") else values


@pytest.mark.parametrize(
    "wrong",
    [lambda y: [y[1], -y[0]], lambda y: [y[1], 0.0 - np.sin(np.round(y[0] * 1e9) / 1e9)]],
    ids=["other values", "other slopes"],
)
def test_records_that_the_function_contradicts_are_withdrawn(wrong):
    sol = solve_ivp(Told(wrong), (0, 2), [1.0, 0.0], "Radau", rtol=1e-10, atol=1e-10)
    right = solve_ivp(lambda t, y: [y[1], -np.sin(y[0])], (0, 2), [1.0, 0.0], "Radau", sol.t, rtol=1e-10, atol=1e-10)
    assert deviation(sol.tangent(y0=np.eye(2)), right.tangent(y0=np.eye(2))) <= 1e-7
    assert sol.derivatives == "by differences: `fun` gave other values or slopes than its recorded operations"


def test_functions_that_cannot_be_recorded_are_differenced():
    def fun(t, y):
        return [y[1], -np.sin(y[0]) + 0 * np.random.default_rng().random()]

    sol = solve_ivp(fun, (0, 2), [1.0, 0.0], "Radau", rtol=1e-10, atol=1e-10)
    other = solve_ivp(fun, (0, 2), [1.0, 0.0], "Radau", rtol=1e-10, atol=1e-10, compile=False)
    assert (sol.tangent(y0=np.eye(2)) == other.tangent(y0=np.eye(2))).all()
    assert sol.derivatives.startswith("by differences: `fun` ")
    assert other.derivatives == "by differences: `fun` is not recorded, as `compile=False` asks"


def test_parameters_with_which_it_is_not_recorded_are_named():
    """Gradients by them are differences, though the Jacobian by the state is exact, or given."""

    def fun(t, y, a, b, name):
        return [y[1], -a * np.sin(y[0]) * float(f"{b}")]

    def jac(t, y, a, b, name):
        return [[0, 1], [-a * np.cos(y[0]) * b, 0]]

    for given, start in ((None, EXACT), (jac, "by `jac`")):
        sol = solve_ivp(fun, (0, 2), [1.0, 0.0], "Radau", args=(0.5, 0.7, "name"), jac=given, rtol=1e-10, atol=1e-10)
        assert sol.derivatives.startswith(f"{start}; with respect to `b` by differences: `fun` ")
        assert "`a`" not in sol.derivatives
        by_a, by_b = sol.gradient(np.ones_like(sol.y), ("a", "b"))
        assert 0 < abs(0.5 * by_a - 0.7 * by_b) <= 1e-7 * abs(by_a)


def test_a_jacobian_that_is_not_exact_gives_way_to_the_record():
    sol = solve_ivp(
        rates, (0, 2), [0.7, 1.2], "Radau", jac=lambda t, y, a, d: np.zeros((2, 2)), args=(1.5, 0.6), rtol=1e-6
    )
    sol.tangent(y0=np.eye(2))
    assert sol.derivatives == EXACT


def network(t, y, layers, gain):
    inner = np.tanh(layers[0]["W"] @ y + layers[0]["b"])
    return gain * (layers[1] @ inner) - y + np.interp(t, [0.0, 0.7, 1.1, 2.0], layers[2])


def of_network(changed=lambda layers: layers, gain=0.8, method="Radau", **options):
    rng = np.random.default_rng(3)
    layers = [
        {"W": rng.standard_normal((4, 3)), "b": rng.standard_normal(4)},
        0.5 * rng.standard_normal((3, 4)),
        rng.standard_normal(4),
    ]
    options = {"t_eval": [0.3, 1.0, 2.0], "vectorized": False, "jumps": [0.7, 1.1], **options}
    return solve_ivp(
        network, (0, 2), [0.3, -0.2, 0.5], method, args=(changed(layers), gain), rtol=1e-12, atol=1e-12, **options
    )


@pytest.mark.parametrize(
    "method", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("Radau", "Gauss")), "auto"]
)
def test_gradients_by_nested_parameters_are_those_of_differences_of_solutions(method):
    sol = of_network(method=method)
    found, gain = sol.gradient(2 * sol.y)
    assert [type(one) for one in found] == [dict, np.ndarray, np.ndarray]
    assert found[0]["W"].shape == (4, 3)

    def loss(h, change):
        def changed(layers):
            change(layers, h)
            return layers

        return np.sum(of_network(changed, method=method).y ** 2)

    def of(value, index, h):
        value[index] += h

    expected = [
        extrapolated(lambda h: loss(h, lambda layers, h: of(layers[0]["W"], (2, 1), h))),
        extrapolated(lambda h: loss(h, lambda layers, h: of(layers[0]["b"], 3, h))),
        extrapolated(lambda h: loss(h, lambda layers, h: of(layers[1], (1, 2), h))),
        extrapolated(lambda h: loss(h, lambda layers, h: of(layers[2], 1, h))),
        extrapolated(lambda h: np.sum(of_network(gain=0.8 + h, method=method).y ** 2)),
    ]
    values = found[0]["W"][2, 1], found[0]["b"][3], found[1][1, 2], found[2][1], gain
    assert deviation(values, expected) <= 1e-8


def test_the_function_is_not_called_for_each_parameter():
    calls = []

    def fun(t, y, W):
        None if hasattr(y, "graph") else calls.append(1)
        return np.tanh(W @ y) - y

    sol = solve_ivp(fun, (0, 2), np.ones(12), "Radau", args=(0.1 * RNG.standard_normal((12, 12)),), rtol=1e-8)
    sol.adjoint(sol.y)
    calls.clear()
    sol.gradient(sol.y)
    assert len(calls) <= 20


@pytest.mark.parametrize("batch", [(3,), (2, 2), (30,)])
def test_gradients_of_batches_by_shared_and_own_parameters(batch):
    y0 = np.array([0.7, 1.2]).reshape(2, *(1,) * len(batch)) + 0.1 * RNG.standard_normal((2, *batch))
    growth = 1.5 + 0.1 * RNG.standard_normal(batch)
    sol, _ = both(y0=y0, args=(growth, 0.6), rtol=1e-11, atol=1e-11)
    gradient = RNG.standard_normal(sol.y.shape)

    def vjp(adjoint, t, y, growth, death):
        return np.sum(adjoint[0] * y[0] * (1 - y[1]), axis=0), -np.sum(adjoint[1] * y[1])

    for found, expected in zip(sol.gradient(gradient), sol.gradient(gradient, vjp=vjp), strict=True):
        assert deviation(found, expected) <= 1e-12


class Halved:
    """A function whose record has half the derivative by its second parameter, and the same values."""

    def __call__(self, t, y, a, b):
        if hasattr(y, "graph") and hasattr(b, "graph"):
            b = 0.5 * b + 0.45
        return [y[1], -a * np.sin(y[0]) - b * y[1]]


def test_gradients_that_the_function_contradicts_are_differences():
    def solve(fun):
        return solve_ivp(fun, (0, 2), [1.0, 0.0], "Radau", args=(1.3, 0.9), rtol=1e-10, atol=1e-10)

    sol, right = solve(Halved()), solve(lambda t, y, a, b: [y[1], -a * np.sin(y[0]) - b * y[1]])
    assert deviation(sol.gradient(sol.y), right.gradient(right.y)) <= 1e-7


@pytest.mark.parametrize("fun", [
    lambda t, y, a: np.where(t < a, 1.0, -0.5) - 0.1 * y,
    lambda t, y, a: np.where(np.sin(5 * t) < a, 1.0, -0.5) - 0.1 * y,
    lambda t, y, a: np.floor(3 * t / a) - 0.1 * y,
])  # fmt: skip
def test_parameters_that_move_jumps_are_named(fun):
    sol = solve_ivp(fun, (0, 2), [1.0], "Radau", args=(0.63,), rtol=1e-6, compile=False)
    with pytest.warns(DiscontinuousParameterWarning, match=r"`args\[0\]` \(`a`\) moves a jump"):
        sol.gradient(np.ones_like(sol.y))

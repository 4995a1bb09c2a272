"""Gradients with respect to parameters and inputs: against complex steps, differences of whole solves, and products."""

import math
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from problems import loop, sigmoid
from recurrence_sensitivities import adjoint_loop, apart

import parscan
from parscan import solve_recurrence

N, M, T = 3, 2, 400


def gru(y, x, p):
    """A GRU whose parameters are a dict."""
    gx, gy = x @ p["U"] + p["b"], y @ p["W"]
    r, z = sigmoid(gx[..., :N] + gy[..., :N]), sigmoid(gx[..., N : 2 * N] + gy[..., N : 2 * N])
    c = np.tanh(gx[..., 2 * N :] + r * gy[..., 2 * N :])
    return (1 - z) * c + z * y


def gru_vjp(adjoint, y, x, p):
    """The products of adjoint states with the derivatives by W, U and b, summed over time (and batch)."""
    gx, gy = x @ p["U"] + p["b"], y @ p["W"]
    r, z = sigmoid(gx[..., :N] + gy[..., :N]), sigmoid(gx[..., N : 2 * N] + gy[..., N : 2 * N])
    h = gy[..., 2 * N :]
    c = np.tanh(gx[..., 2 * N :] + r * h)
    dc = adjoint * (1 - z) * (1 - c * c)
    dz = adjoint * (y - c) * z * (1 - z)
    dr = dc * h * r * (1 - r)
    by_gx, by_gy = np.concatenate([dr, dz, dc], -1), np.concatenate([dr, dz, dc * r], -1)
    flat = [v.reshape(-1, v.shape[-1]) for v in (x, y, by_gx, by_gy)]
    return {"W": flat[1].T @ flat[3], "U": flat[0].T @ flat[2], "b": flat[2].sum(0)}


def parameters(rng):
    return {
        "W": rng.standard_normal((N, 3 * N)) / 2,
        "U": rng.standard_normal((M, 3 * N)),
        "b": rng.standard_normal(3 * N) / 2,
    }


@pytest.fixture(params=[(), (2,)], ids=str)
def problem(request, rng):
    p = parameters(rng)
    x = rng.standard_normal((T, *request.param, M))
    g = rng.standard_normal((T, *request.param, N))
    y0 = rng.standard_normal((*request.param, N))
    return p, y0, x, g


def complex_step(loss, p, key):
    """Gradient of a loss that is computed by the loop, entry by entry."""
    result = np.zeros_like(p[key])
    for i in np.ndindex(result.shape):
        changed = {name: value.astype(complex) for name, value in p.items()}
        changed[key][i] += 1e-30j
        result[i] = loss(changed).imag / 1e-30
    return result


@pytest.mark.slow
def test_against_the_complex_step_of_the_loop(problem):
    """By differences and by products, in one call and in many."""
    p, y0, x, g = problem

    def loss(q):
        return np.sum(g * loop(gru, y0.astype(complex), x, (q,)))

    sol = solve_recurrence(gru, y0, x, args=(p,))
    by_differences = sol.gradient(g, "p")
    by_products = sol.gradient(g, "p", vjp=gru_vjp)
    in_parts = sol.gradient(g, 0, vjp=gru_vjp, steps_per_call=77)
    assert by_differences.keys() == by_products.keys() == in_parts.keys() == p.keys()
    for key in p:
        expected = complex_step(loss, p, key)
        assert apart(by_differences[key], expected) <= 1e-8
        assert apart(by_products[key], expected) <= 1e-8
        assert apart(in_parts[key], by_products[key]) <= 1e-12


def test_inputs_against_the_complex_step_of_the_loop(problem):
    p, y0, x, g = problem
    sol = solve_recurrence(gru, y0, x, args=(p,))
    found = sol.gradient(g, "x")
    assert found.shape == x.shape
    for t in (0, 1, T // 2, T - 1):
        for i in np.ndindex(x.shape[1:]):
            changed = x.astype(complex)
            changed[(t, *i)] += 1e-30j
            expected = np.sum(g * loop(gru, y0.astype(complex), changed, (p,))).imag / 1e-30
            assert found[(t, *i)] == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_the_product_is_called_once_on_the_whole_trajectory(problem):
    p, y0, x, g = problem
    sol = solve_recurrence(gru, y0, x, args=(p,))
    calls = []

    def vjp(*arguments):
        calls.append(arguments)
        return gru_vjp(*arguments)

    sol.gradient(g, "p", vjp=vjp)
    ((adjoint, y, inputs, args),) = calls
    assert np.array_equal(adjoint, sol.adjoint(g).states)
    assert np.array_equal(y, np.concatenate([y0[None], sol.y[:-1]]))
    assert np.array_equal(inputs, x)
    assert args is p


def test_an_adjoint_is_used_again(problem):
    p, y0, x, g = problem
    sol = solve_recurrence(gru, y0, x, args=(p,))
    again, anew = sol.gradient(sol.adjoint(g), "p", vjp=gru_vjp), sol.gradient(g, "p", vjp=gru_vjp)
    assert all(np.array_equal(again[key], anew[key]) for key in p)


def affine(y, squared, a, b):
    return a * y + b * squared


@pytest.mark.parametrize(
    ("params", "shape"),
    [
        (None, (float, float)),
        (0, float),
        (-1, float),
        ("b", float),
        (("b", 0), (float, float)),
        (["a"], (float,)),
        (("x", "a"), (np.ndarray, float)),
        (("squared", "a"), (np.ndarray, float)),
    ],
    ids=str,
)
@pytest.mark.parametrize("with_vjp", [False, True])
def test_which_parameters(params, shape, with_vjp, rng):
    """One stands alone, several are a tuple; the values do not depend on how they are asked for."""
    x = rng.standard_normal((200, 1))
    sol = solve_recurrence(affine, np.ones(1), x, args=(0.5, 2))
    y = np.concatenate([[[1.0]], sol.y[:-1]])
    states = sol.adjoint(sol.y).states
    expected = {"a": np.sum(states * y), "b": np.sum(states * x), "x": 2 * states}
    expected |= {0: expected["a"], 1: expected["b"], -1: expected["b"], "squared": expected["x"]}
    names = (0, 1) if params is None else params
    alone = not isinstance(names, tuple | list)

    def vjp(adjoint, y, x, a, b):
        values = {"a": np.sum(adjoint * y), "b": np.sum(adjoint * x), "x": b * adjoint}
        values |= {0: values["a"], 1: values["b"], -1: values["b"], "squared": values["x"]}
        return values[names] if alone else tuple(values[name] for name in names)

    for size in (None, 30) if with_vjp else (None,):
        found = sol.gradient(sol.y, params, vjp=vjp if with_vjp else None, steps_per_call=size)
        assert alone == (not isinstance(found, tuple))
        for each, kind, name in zip(*(((v,) if alone else v) for v in (found, shape, names)), strict=True):
            assert isinstance(each, kind)
            assert np.allclose(each, expected[name], rtol=1e-9)


class Pair(NamedTuple):
    decay: float
    gains: list


STRUCTURES = {
    "number": (2.0, lambda p: p),
    "integer": (2, lambda p: p),
    "NumPy's number": (np.float64(2.0), lambda p: p),
    "array without axes": (np.array(2.0), lambda p: p),
    "array": (np.array([2.0, 0.0]), lambda p: p[0] + p[1]),
    "dict": ({"b": 2.0, "a": {"c": np.array([[0.5]])}}, lambda p: p["b"] * p["a"]["c"][0, 0] * 2),
    "ordered": (OrderedDict(z=1.5, a=0.5), lambda p: p["z"] + p["a"]),
    "tuple": ((1.5, (0.5,)), lambda p: p[0] + p[1][0]),
    "named tuple": (Pair(1.5, [0.5, np.zeros(2)]), lambda p: p.decay + p.gains[0] + p.gains[1].sum()),
    "nothing": ({}, lambda p: 2.0),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_gradients_have_the_structure_of_their_parameters(name, rng):
    tree, read = STRUCTURES[name]
    x = rng.standard_normal((100, 1))

    def step(y, x, p):
        return 0.5 * y + read(p) * x

    sol = solve_recurrence(step, np.zeros(1), x, args=(tree,))
    slope = np.sum(sol.adjoint(sol.y).states * x)  # with respect to what is read

    def check(found, p, factor):
        if isinstance(p, dict | list | tuple):
            assert type(found) is type(p)
            assert list(found) == list(p) if isinstance(p, dict) else len(found) == len(p)
            for part, q, key in zip(found.values() if isinstance(p, dict) else found, *pairs(p), strict=True):
                check(part, q, factor * ({"b": 1.0, "a": 2.0}[key] if name == "dict" and key in ("a", "b") else 1))
        else:
            assert np.shape(found) == np.shape(p)
            assert np.allclose(found, factor * (2 if name == "dict" and np.ndim(p) else 1) * slope, rtol=1e-8)

    def pairs(p):
        return (list(p.values()), list(p)) if isinstance(p, dict) else (list(p), list(range(len(p))))

    check(sol.gradient(sol.y, 0), tree, 1.0)
    if isinstance(tree, float | int):
        assert type(sol.gradient(sol.y, 0)) is (np.float64 if name == "NumPy's number" else float)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128], ids=lambda d: d.__name__)
def test_dtypes(dtype, rng):
    """Real and complex parameters of real and complex states, by differences and in a loop over the convention."""
    single = np.dtype(dtype).itemsize == np.dtype(np.float32).itemsize * (1 + np.dtype(dtype).kind.count("c"))
    complex_too = np.dtype(dtype).kind == "c"
    values = rng.uniform(-0.5, 0.5, 2) + (1j * rng.uniform(-0.5, 0.5, 2) if complex_too else 0)
    a, gain = values.astype(dtype), np.float32(0.7) if single else 0.7
    x = (rng.standard_normal((200, 2)) + (1j * rng.standard_normal((200, 2)) if complex_too else 0)).astype(dtype)

    def step(y, x, a, gain):
        return a * y + gain * a * a * x + y * y * a / 8

    sol = solve_recurrence(step, np.zeros(2, dtype), x, args=(a, gain))
    g = np.conj(sol.y) if complex_too else sol.y
    found, by_gain, by_x = sol.gradient(g, ("a", "gain", "x"))
    assert (found.dtype, by_x.dtype) == (dtype, dtype)
    before = np.concatenate([np.zeros((1, 2), dtype), sol.y[:-1]])
    states, _ = adjoint_loop((a + before * a / 4)[..., None] * np.eye(2, dtype=dtype), g)
    bound = 1e-3 if single else 1e-8
    by_a = before + 2 * gain * a * x + before**2 / 8
    assert apart(found, np.sum(np.conj(by_a) * states, axis=0).astype(dtype)) <= bound
    assert by_gain == pytest.approx(np.sum((np.conj(a * a * x) * states).real), rel=bound)
    assert apart(by_x, (np.conj(gain * a * a) * states).astype(dtype)) <= bound


def test_the_convention_of_complex_gradients(rng):
    """dL = Re(sum(conj(g) dθ)) for a loss of complex states, by differences of the whole loop."""
    a = np.array([0.5 + 0.3j, -0.4 + 0.2j])
    x = rng.standard_normal((50, 2)) + 1j * rng.standard_normal((50, 2))

    def step(y, x, a):
        return a * y + x

    def loss(a):
        y = loop(step, np.zeros(2, complex), x, (a,))
        return np.sum(np.abs(y) ** 2) + np.sum(y.imag)

    sol = solve_recurrence(step, np.zeros(2, complex), x, args=(a,))
    found = sol.gradient(2 * sol.y + 1j, "a")
    for i in range(2):
        for unit in (1, 1j):
            h = 1e-6 * unit * np.eye(2)[i]
            expected = (loss(a + h) - loss(a - h)) / 2e-6
            assert np.real(np.conj(found[i]) * unit) == pytest.approx(expected, rel=1e-7)


def test_a_tuple_of_inputs(rng):
    first, second = rng.standard_normal((100, 2)), rng.standard_normal((100, 3, 1))

    def step(y, x, a):
        return a * y + x[0] * x[1].sum(axis=(-2, -1))[..., None]

    sol = solve_recurrence(step, np.zeros(2), (first, second), args=(0.5,))
    by_first, by_second = sol.gradient(sol.y, "x")
    states = sol.adjoint(sol.y).states
    assert apart(by_first, states * second.sum(axis=(1, 2))[:, None]) <= 1e-8
    assert apart(by_second, np.broadcast_to(np.sum(states * first, axis=1)[:, None, None], second.shape)) <= 1e-8

    def vjp(adjoint, y, x, a):
        by_x = (adjoint * x[1].sum(axis=(-2, -1))[..., None], np.zeros_like(x[1]))
        return np.sum(adjoint * y), by_x

    for size in (None, 30):
        _, (found, zeros) = sol.gradient(sol.y, ("a", "x"), vjp=vjp, steps_per_call=size)
        assert apart(found, by_first) <= 1e-8
        assert zeros.shape == second.shape


def test_without_inputs(rng):
    sol = solve_recurrence(lambda y, a: np.cos(a * y), np.ones(2), length=100, args=(0.7,))
    exact = sol.gradient(sol.y, "a", vjp=lambda adjoint, y, a: np.sum(adjoint * -np.sin(a * y) * y))
    assert sol.gradient(sol.y, "a") == pytest.approx(exact, rel=1e-9)


def test_a_closure_may_return_anything(rng):
    """A step without `args` reads its parameters from elsewhere; then its product says what they are."""
    a, x = 0.5, rng.standard_normal((100, 1))
    sol = solve_recurrence(lambda y, x: a * y + x, np.zeros(1), x)
    for size in (None, 30):
        found = sol.gradient(sol.y, vjp=lambda adjoint, y, x: {"a": np.sum(adjoint * y)}, steps_per_call=size)
        assert found["a"] == pytest.approx(np.sum(sol.adjoint(sol.y).states[1:] * sol.y[:-1]), rel=1e-12)
    with pytest.raises(ValueError, match="nothing to differentiate by: no further arguments"):
        sol.gradient(sol.y)


def test_parameters_of_many_sizes(rng):
    """One small beside a large one, and below which the step is not defined."""
    theta = np.array([1e-6, 0.1, 0.88, 0.0])
    x = rng.standard_normal((500, 1)) ** 2

    def step(y, x, theta):
        return theta[1] * x + theta[2] * y + np.sqrt(theta[0] / 1e-6) * 1e-3 + theta[3] * x

    sol = solve_recurrence(step, np.ones(1), x, args=(theta,))
    before = np.concatenate([np.ones((1, 1)), sol.y[:-1]])
    states = sol.adjoint(sol.y).states
    expected = [np.sum(states) * 1e-3 / 2e-6, np.sum(states * x), np.sum(states * before), np.sum(states * x)]
    assert np.allclose(sol.gradient(sol.y, "theta"), expected, rtol=1e-8)
    small = solve_recurrence(
        lambda y, x, p: step(y, x, np.append(p, 0)), np.ones(1), x, args=(np.array([1e-9, 0.1, 0.8]),)
    )
    assert np.isfinite(small.gradient(small.y, 0)).all()


@pytest.mark.parametrize("size", [1e-200, 1e-20, 1e-12, 1e-8, 1e-4, 1.0, 1e20])
@pytest.mark.parametrize("scale", [1.0, 1e10])
def test_parameters_far_smaller_than_the_states(size, scale):
    """A change by a part of them would be lost in the roundings of the states."""
    sol = solve_recurrence(
        lambda y, x, p: 0.5 * y + x + p["b"] + p["many"],
        np.zeros(2),
        np.full((50, 2), scale),
        args=({"b": size, "many": np.array([size, 0.0])},),
    )
    states = sol.adjoint(np.ones_like(sol.y)).states
    found = sol.gradient(np.ones_like(sol.y), 0)
    assert found["b"] == pytest.approx(np.sum(states), rel=1e-8)
    assert np.allclose(found["many"], states.sum(0), rtol=1e-8)


@pytest.mark.parametrize("size", [1e-4, 1e-10, 1e-20, 1e-200])
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("bends", [False, True])
def test_inputs_far_smaller_than_the_states(size, dtype, bends, rng):
    x = size * (1 + rng.random((60, 2))).astype(dtype)

    def step(y, x):
        return np.tanh(y + 1) + np.sin(x / size) if bends else np.tanh(y + 1) + x

    sol = solve_recurrence(step, np.zeros(2, dtype), x, method="sequential")
    adjoint = sol.adjoint(np.ones_like(sol.y))
    expected = adjoint.states * (np.conj(np.cos(x / size)) / size if bends else 1)
    assert apart(sol.gradient(adjoint, "x"), expected) <= 1e-8


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "differences"])
def test_parameters_that_are_not_finite_do_not_spoil_others(exact):
    args = (np.array([0.5, np.nan, np.inf, 1e-3]), math.inf)

    def step(y, x, p, unused):
        return p[0] * y + x + p[3]

    choice = None if exact else False
    sol = solve_recurrence(step, np.zeros(1), np.ones((50, 1)), args=args, compile=choice)
    array, number = sol.gradient(np.ones_like(sol.y))
    expected = solve_recurrence(lambda y, x, a, b: a * y + x + b, np.zeros(1), np.ones((50, 1)), args=(0.5, 1e-3))
    assert np.allclose(array[[0, 3]], expected.gradient(np.ones_like(sol.y)), rtol=1e-8)
    unused = [*array[1:3], number]
    assert unused == [0, 0, 0] if exact else np.isnan(unused).all()  # those by differences are unknown


def test_a_small_parameter_that_matters_only_as_long_as_it_is_small():
    """A change larger than itself is refused, or changes another thing."""

    def step(y, x, a):
        if a <= 0:
            raise ValueError("negative")
        return 0.5 * y + x + 1e-6 * np.sqrt(a / 1e-12)

    sol = solve_recurrence(step, np.zeros(1), np.ones((50, 1)), args=(1e-12,))
    expected = np.sum(sol.adjoint(np.ones_like(sol.y)).states) * 1e-6 / 2e-12
    assert sol.gradient(np.ones_like(sol.y), "a") == pytest.approx(expected, rel=1e-4)


def test_array_api_strict(rng):
    xp = pytest.importorskip("array_api_strict")
    x = rng.standard_normal((60, 2))

    def step(y, x, p, a):
        return xp.tanh(y @ p["W"] + a * x)

    args = {"W": xp.asarray(rng.standard_normal((2, 2)) / 2)}, xp.asarray(0.7)
    sol = solve_recurrence(step, xp.zeros(2), xp.asarray(x), args=args)
    p, a, by_x = sol.gradient(sol.y, ("p", "a", "x"))

    def step_by_numpy(y, x, p, a):
        return np.tanh(y @ p["W"] + a * x)

    numpy_args = {"W": np.asarray(args[0]["W"])}, np.asarray(args[1])
    other = solve_recurrence(step_by_numpy, np.zeros(2), x, args=numpy_args)
    expected = other.gradient(other.y, ("p", "a", "x"))
    assert type(p["W"]) is type(by_x) is type(sol.y)
    assert np.allclose(np.asarray(p["W"]), expected[0]["W"])
    assert float(a) == pytest.approx(float(expected[1]))
    assert np.allclose(np.asarray(by_x), expected[2])


def test_a_step_that_does_not_stack(rng):
    x = rng.standard_normal((50, 2))

    def step(y, x, a):
        assert len(y) == 1
        return a * np.tanh(y) + x

    sol = solve_recurrence(step, np.zeros(2), x, method="sequential", args=(0.5,))
    exact = solve_recurrence(lambda y, x, a: a * np.tanh(y) + x, np.zeros(2), x, args=(0.5,))
    assert sol.gradient(x, "a") == pytest.approx(exact.gradient(x, "a"), rel=1e-8)
    assert apart(sol.gradient(x, "x"), exact.gradient(x, "x")) <= 1e-8


def test_nothing_to_sum():
    sol = solve_recurrence(affine, np.ones(1), np.ones((0, 1)), args=(0.5, np.ones(2)))
    a, b = sol.gradient(sol.y)
    assert a == 0
    assert np.array_equal(b, np.zeros(2))
    by_product = sol.gradient(sol.y, vjp=lambda adjoint, y, x, a, b: (np.sum(adjoint * y), adjoint.sum(0) * [1, 1]))
    assert by_product[0] == 0
    assert np.array_equal(by_product[1], np.zeros(2))


def test_the_readme_of_linear_recurrences(rng):
    """The gradient of a linear recurrence is the reverse one with conjugate coefficients."""
    A = rng.uniform(0.2, 0.9, (200, 3))
    b, g = rng.standard_normal((2, 200, 3))
    sol = solve_recurrence(lambda y, x: x[0] * y + x[1], np.zeros(3), (A, b), structure=parscan.Diagonal)
    following = np.concatenate([A[1:], A[:1]])
    assert apart(parscan.linear_recurrence(following, g, reverse=True), sol.adjoint(g).states) <= 1e-9


@pytest.mark.parametrize("rate", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("form", ["number", "array", "complex"])
def test_a_step_that_bends_within_the_change_of_a_parameter(rate, form):
    """A smooth function of it, and a very sensitive one, beside a parameter that is not."""

    def step(y, x, p):
        return 0.9 * y * np.sin(rate * p[0]) + x * p[1]

    numbers = {"number": [0.3, 0.5], "array": np.array([0.3, 0.5]), "complex": np.array([0.3 + 0j, 0.5])}[form]
    y0 = np.ones(1, dtype=np.asarray(numbers).dtype)
    x = np.linspace(1, 2, 40)[:, None]
    sol = solve_recurrence(step, y0, x, args=(numbers,))
    found = sol.gradient(np.ones_like(sol.y), 0)

    def total(p):
        y, result = 1.0, 0.0
        for row in x[:, 0]:
            y = 0.9 * y * np.sin(rate * p[0]) + row * p[1]
            result += y
        return result

    for k in range(2):
        shifted = np.array([0.3, 0.5], dtype=complex)
        shifted[k] += 1e-40j
        assert np.real(found[k]) == pytest.approx(np.imag(total(shifted)) / 1e-40, rel=1e-4)


@pytest.mark.parametrize("rate", [1e4, 1e6, 1e8, 1e10])
@pytest.mark.parametrize("value", [0.0, 1.3, -2e-3])
@pytest.mark.parametrize("form", ["number", "array", "beside a large one"])
def test_bounded_functions_of_sensitive_parameters(rate, value, form):
    """Their differences shrink as the change grows, and are worth nothing then; at zero there is no size to go by."""
    args = {"number": value, "array": np.array([value]), "beside a large one": np.array([value, 10.0])}[form]
    sol = solve_recurrence(
        lambda y, p: 0.5 * y + np.cos(rate * (p if form == "number" else p[0]) + 0.5),
        np.zeros(1),
        length=50,
        args=(args,),
    )
    found = sol.gradient(np.ones_like(sol.y), 0)
    states = sol.adjoint(np.ones_like(sol.y)).states
    expected = -rate * np.sin(rate * value + 0.5) * np.sum(states)
    assert np.ravel(found)[0] == pytest.approx(expected, rel=1e-3, abs=1e-4 * rate)


def traced_peak(function):
    """Most bytes that a call held, beyond those held before."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_solution_and_gradient_take_little_beyond_states_and_adjoint_states(rng):
    """Jacobians, and products with them, take the memory of one part of the trajectory."""
    p, x = parameters(rng), rng.standard_normal((400_000, M))
    g = rng.standard_normal((len(x), N))

    def gradient(steps):
        sol = solve_recurrence(gru, np.zeros(N), x[:steps], args=(p,), rtol=1e-6)
        return sol.gradient(g[:steps], 0, vjp=gru_vjp, steps_per_call=512)

    gradient(20_000)  # loads what is loaded once
    assert traced_peak(lambda: gradient(len(x))) <= 2.1 * g.nbytes + 1e7


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_benchmark_counts_no_code_that_is_loaded_once():
    """Kernels take some dozens of megabytes; of a trajectory of 12 MB that would be 5 more trajectories."""
    script = "import derivatives; print(derivatives.peak_memory(200_000, 8))"
    folder = Path(__file__).parents[3] / "benchmarks"
    found = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    assert float(found.stdout) <= 2.6

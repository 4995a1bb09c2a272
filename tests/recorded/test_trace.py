"""`parscan.trace`: a recorded function to call, to differentiate and to look at."""

from contextlib import suppress

import numpy as np
import pytest

from parscan import Traced, trace


def lorenz(y):
    x, v, z = y
    return np.stack([10 * (v - x), x * (28 - z) - v, x * v - 8 / 3 * z])


def cell(y, x, inputs):
    gain, offset = inputs
    return np.tanh(0.5 * y + x @ gain) + offset


def test_it_computes_what_the_function_computes():
    traced = trace(lorenz, np.zeros(3))
    assert isinstance(traced, Traced)
    y = np.array([1.0, -2.0, 3.0])
    np.testing.assert_array_equal(traced(y), lorenz(y))


def test_a_tuple_is_an_argument_of_several_arrays():
    rng = np.random.default_rng(1)
    arguments = rng.standard_normal(3), rng.standard_normal(2), (rng.standard_normal((2, 3)), rng.standard_normal(3))
    traced = trace(cell, *arguments)
    np.testing.assert_allclose(traced(*arguments), cell(*arguments), rtol=1e-15)
    jacobian = traced.jacobian(2)(*arguments)
    assert jacobian.shape == (3, 2, 3)
    h = 1e-6
    for place in np.ndindex(2, 3):
        moved = [arguments[2][0].copy() for _ in range(2)]
        moved[0][place] += h
        moved[1][place] -= h
        up, down = (cell(*arguments[:2], (gain, arguments[2][1])) for gain in moved)
        np.testing.assert_allclose(jacobian[(slice(None), *place)], (up - down) / (2 * h), atol=1e-9)
    assert traced.pattern(3).tolist() == np.eye(3, dtype=bool).tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_that_of_the_example(dtype):
    traced = trace(lambda y: np.exp(y) * 2, np.zeros(2, dtype))
    assert traced(np.ones(2)).dtype == dtype
    assert traced.jacobian()(np.ones(2)).dtype == dtype


def test_whole_numbers_are_examples_of_real_ones():
    assert trace(lambda y: y / 2, [1, 2])([1, 2]).tolist() == [0.5, 1.0]


def test_it_is_shown():
    text = repr(trace(lorenz, np.zeros(3)))
    assert text.splitlines() == [
        "Traced lorenz(y: float64 (3,)) -> float64 (3,)",
        "  operations: 4 subtract, 4 multiply",
        "  constants: 3",
    ]
    lines = trace(lambda y: np.where(y > 1, y, -y), np.zeros(20)).source().splitlines()
    assert lines[0] == "<lambda>(y):"
    assert lines[1] == "    v[0:20] = y[0:20]"
    assert lines[-1].startswith("    return v[")
    assert any("> 1.0" in line for line in lines)


def test_what_is_written_down_is_what_is_needed():
    traced = trace(lambda y: (np.exp(y), y + 1.0)[1], np.zeros(2))
    assert traced.operations == {"add": 2}


def holomorphic(z, t):
    return np.stack([z[0] ** 2 * z[1], np.exp(z[0]) / z[1], np.sqrt(z[2]) * np.log(z[1]) * t])


def test_complex_functions_and_their_derivatives():
    z, t = np.array([1 + 2j, 0.5 - 1j, -1 + 0.1j]), np.array(0.3)
    traced = trace(holomorphic, z, t)
    assert repr(traced).startswith("Traced holomorphic(z: complex128 (3,), t: float64 ()) -> complex128 (3,)")
    np.testing.assert_allclose(traced(z, t), holomorphic(z, t), rtol=1e-14)
    wanted = [
        [2 * z[0] * z[1], z[0] ** 2, 0],
        [np.exp(z[0]) / z[1], -np.exp(z[0]) / z[1] ** 2, 0],
        [0, np.sqrt(z[2]) / z[1] * t, np.log(z[1]) * t / (2 * np.sqrt(z[2]))],
    ]
    np.testing.assert_allclose(traced.jacobian()(z, t), wanted, rtol=1e-13)
    np.testing.assert_allclose(traced.jacobian(1)(z, t), [0, 0, np.sqrt(z[2]) * np.log(z[1])], rtol=1e-13)
    assert traced.pattern().tolist() == (np.array(wanted) != 0).tolist()
    assert traced.pattern(1).tolist() == [False, False, True]
    single = trace(holomorphic, z.astype(np.complex64), t.astype(np.float32))
    assert single(z, t).dtype == single.jacobian()(z, t).dtype == np.complex64


@pytest.mark.parametrize("function", [np.conj, np.abs, lambda z: z * z.real, lambda z: z.imag])
def test_functions_without_complex_derivative_say_so(function):
    z = np.array([1 + 2j, 0.5 - 1j])
    with pytest.raises(ValueError, match="not complex differentiable with respect to argument 0"):
        trace(function, z).jacobian()(z)
    real = trace(lambda u: np.ravel(function(u.view(complex)) + 0j).view(float), z.view(float))
    jacobian, moved = real.jacobian()(z.view(float)), z + 1e-7
    change = (function(moved) - function(z)) + 0j
    np.testing.assert_allclose(jacobian @ np.tile([1e-7, 0], 2), change.view(float), atol=1e-13)


def test_a_listing_of_a_complex_function_is_one_of_real_numbers():
    lines = trace(lambda z: z * 1j, np.zeros(1, complex)).source().splitlines()
    assert lines[1] == "    [v0, v1] = z.view(float)[0:2]"
    assert lines[-1].endswith(".view(complex)")


def branches(y):
    if y[0] > 0:
        return y
    return -y


def draws(y):
    return y + np.random.default_rng().standard_normal(2)


class Counter:
    calls = 0

    def __call__(self, y):
        self.calls += 1
        return y * self.calls


def catches(y):
    try:
        return -y if y[0] > 0 else y
    except Exception:
        return y


def catches_a_call(y):
    with suppress(Exception):
        y = np.sort(y)[np.argsort(y)]
    return y


@pytest.mark.parametrize(
    ("fun", "reason"),
    [
        (branches, r"`branches` cannot be recorded: it branches on a value \(test_trace.py:\d+\)"),
        (catches, r"it branches on a value \(test_trace.py:\d+\)"),
        (catches_a_call, "calls `argsort`, which is not recorded"),
        (draws, "draws random numbers"),
        (Counter(), "does something else when it is called again"),
        (lambda y: None, "returns None"),
        (lambda y: np.arcsin(y * 1j), "calls `arcsin` on complex numbers"),
        (lambda y: np.argsort(y) + 1, "calls `argsort`, which is not recorded"),
        (lambda y: y[y > 0], "np.where"),
    ],
)
def test_why_a_function_cannot_be_recorded(fun, reason):
    with pytest.raises(TypeError, match=reason):
        trace(fun, np.zeros(2))


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="`fun` is a int"):
        trace(3, np.zeros(2))
    with pytest.raises(TypeError, match=r"`examples\[0\]` has the dtype <U1"):
        trace(lorenz, np.array(["a", "b", "c"]))
    traced = trace(lorenz, np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(3,\) for argument 0, got \(4,\)"):
        traced(np.zeros(4))
    with pytest.raises(TypeError, match="traced with float64 for argument 0, got complex128"):
        traced(np.zeros(3, complex))
    with pytest.raises(TypeError, match="1 arrays as arguments, got 2"):
        traced(np.zeros(3), np.zeros(3))
    with pytest.raises(IndexError, match="`argument` is 1"):
        traced.jacobian(1)


def test_nothing_of_the_users_is_changed():
    table = np.arange(3.0)

    def writes(y):
        y[0] = 5.0
        y += table
        return y

    example = np.zeros(3)
    traced = trace(writes, example)
    given = np.ones(3)
    assert traced(given).tolist() == [5.0, 2.0, 3.0]
    assert given.tolist() == [1.0] * 3
    assert example.tolist() == [0.0] * 3
    assert table.tolist() == [0.0, 1.0, 2.0]

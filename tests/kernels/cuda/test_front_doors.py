"""The public functions on device arrays: array-api-strict stands in for CuPy, the emulator for the device."""

import collections

import array_api_strict as xp
import numpy as np
import pytest

import parscan
from parscan._arrays.namespace import to_numpy

W = np.array([[0.4, -0.9], [0.8, 0.3]])


@pytest.fixture(autouse=True)
def short_chunks(tune):
    tune(shortest=4)


class Cell:
    """A gated recurrence of two units, with its Jacobian, on the functions of a library."""

    def __init__(self, library):
        self.xp, self.W = library, library.asarray(W)

    def step(self, y, x):
        gate = 1 / (1 + self.xp.exp(-x))
        return gate * y + (1 - gate) * self.xp.tanh(y @ self.W + x)

    def jac(self, y, x):
        gate = (1 / (1 + self.xp.exp(-x)))[..., None]
        slope = (1 - self.xp.tanh(y @ self.W + x) ** 2)[..., None]
        return gate * self.xp.eye(2) + (1 - gate) * slope * self.W.T


@pytest.fixture
def inputs(rng):
    return rng.standard_normal((40, 2))


@pytest.mark.parametrize("reverse", [False, True])
def test_linear_recurrence(emulator, rng, reverse):
    A, b, h0 = rng.standard_normal((25, 3, 2, 2)) / 2, rng.standard_normal((25, 3, 2)), rng.standard_normal((3, 2))
    expected = parscan.linear_recurrence(A, b, h0, reverse=reverse)
    found = parscan.linear_recurrence(*map(xp.asarray, (A, b, h0)), reverse=reverse)
    assert isinstance(found, xp._array_object.Array)
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-12, atol=1e-12)
    assert {"summarise", "mend", "march", "spoil"} == set(emulator.launched)


@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize("segment_length", [1, 5])
def test_solve_recurrence(emulator, inputs, differences, segment_length):
    cell, oracle = Cell(xp), Cell(np)
    sol = parscan.solve_recurrence(
        cell.step,
        xp.zeros(2),
        xp.asarray(inputs),
        jac=None if differences else cell.jac,
        method="newton",
        segment_length=segment_length,
    )
    expected = parscan.solve_recurrence(oracle.step, np.zeros(2), inputs, method="sequential")
    assert sol.success
    np.testing.assert_allclose(to_numpy(sol.y), expected.y, rtol=1e-8, atol=1e-10)
    assert "march" in emulator.launched


def van_der_pol(library):
    return lambda t, y: library.stack([y[1, ...], 3 * (1 - y[0, ...] ** 2) * y[1, ...] - y[0, ...]])


@pytest.mark.parametrize("method", ["Radau", "Gauss", "DOP853"])
def test_solve_ivp(emulator, method):
    options = {"t_span": (0.0, 2.0), "rtol": 1e-6, "atol": 1e-8, "method": method}
    sol = parscan.solve_ivp(van_der_pol(xp), y0=xp.asarray([2.0, 0.0]), **options)
    expected = parscan.solve_ivp(van_der_pol(np), y0=np.array([2.0, 0.0]), **(options | {"rtol": 1e-9, "atol": 1e-11}))
    assert sol.success
    np.testing.assert_allclose(to_numpy(sol.y)[:, -1], expected.y[:, -1], rtol=1e-4, atol=1e-6)
    assert "march" in emulator.launched


class Transfers:
    """Counts what is read from the device."""

    NAMES = ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__array__")

    def __init__(self, monkeypatch):
        self.count = collections.Counter()
        kind = xp._array_object.Array
        for name in self.NAMES:
            if hasattr(kind, name):
                monkeypatch.setattr(kind, name, self._counting(name, getattr(kind, name)))

    def _counting(self, name, read):
        def counted(array, *arguments, **options):
            self.count[name] += 1
            return read(array, *arguments, **options)

        return counted

    @property
    def total(self):
        return sum(self.count.values())


@pytest.mark.slow
def test_an_iteration_reads_the_device_once(monkeypatch):
    """The checks of the step before the iterations, and those of the solution behind them, take the rest."""
    cell, rng = Cell(xp), np.random.default_rng(0)
    inputs, far = xp.asarray(3 * rng.standard_normal((300, 2))), xp.asarray(10 * rng.standard_normal((300, 2)))

    def solved(guess):
        with monkeypatch.context() as patch:
            transfers = Transfers(patch)
            sol = parscan.solve_recurrence(
                cell.step, xp.zeros(2), inputs, jac=cell.jac, method="newton", segment_length=1, guess=guess
            )
            return sol, transfers.total

    (sol, total), (near, fewer) = solved(far), solved(solved(far)[0].y)
    assert sol.iterations > 5 > near.iterations
    assert total - fewer <= sol.iterations - near.iterations
    assert total <= sol.iterations + 28


@pytest.mark.slow
def test_steps_of_an_ensemble_read_the_device_once(monkeypatch):
    transfers = Transfers(monkeypatch)
    y0 = xp.asarray(np.random.default_rng(0).standard_normal((2, 30)))
    sol = parscan.solve_ivp(van_der_pol(xp), (0.0, 5.0), y0, rtol=1e-6)
    assert sol.method == "DOP853"
    attempts = sol.npoints / 12
    assert transfers.total <= attempts + 20


@pytest.mark.parametrize("method", ["auto", "newton", "sequential"])
def test_a_step_that_returns_numpy_is_named(method):
    with pytest.raises(TypeError, match=r"`step` returned an array of numpy where .* array_api_strict"):
        parscan.solve_recurrence(
            lambda y, x: to_numpy(y) / 2, xp.ones(2), xp.zeros((100, 2)), method=method, segment_length=10
        )


def test_a_jacobian_that_returns_numpy_is_named():
    with pytest.raises(TypeError, match=r"`jac` returned an array of numpy where .* array_api_strict"):
        parscan.solve_recurrence(
            lambda y, x: y / 2, xp.ones(2), xp.zeros((100, 2)), jac=lambda y, x: np.eye(2) / 2, method="newton"
        )


def test_a_right_hand_side_that_returns_numpy_is_named():
    with pytest.raises(TypeError, match=r"`fun` or `jac` returned an array of numpy where .* array_api_strict"):
        parscan.solve_ivp(lambda t, y: -to_numpy(y), (0, 1), xp.ones(2))


@pytest.mark.parametrize("x", [np.zeros((5, 2)), (xp.zeros((5, 2)), np.zeros((5, 2)))])
def test_mixed_libraries_are_named(x):
    with pytest.raises(TypeError, match=r"arrays of different libraries: `y0` is array_api_strict, .*`x.* is numpy"):
        parscan.solve_recurrence(lambda y, x: y, xp.ones(2), x)


def test_mixed_devices_are_named():
    first, second = xp.Device("CPU_DEVICE"), xp.Device("device1")
    with pytest.raises(ValueError, match=r"arrays on different devices: `A` is on .*CPU_DEVICE.*, `b` is on .*device1"):
        parscan.linear_recurrence(xp.ones((3, 2), device=first), xp.ones((3, 2), device=second))


def test_times_and_tolerances_of_numpy_serve_any_state():
    sol = parscan.solve_ivp(
        lambda t, y: -y, (0, 1), xp.ones(2), t_eval=np.linspace(0, 1, 3), atol=np.full(2, 1e-8), rtol=1e-6
    )
    np.testing.assert_allclose(to_numpy(sol.y)[0], np.exp(-np.linspace(0, 1, 3)), rtol=1e-5)


def test_a_solution_takes_times_of_numpy():
    sol = parscan.solve_ivp(lambda t, y: -y, (0, 1), xp.ones(2), rtol=1e-6, atol=1e-8, dense_output=True)
    states = sol.sol(np.linspace(0, 1, 3))
    assert isinstance(states, xp._array_object.Array)
    np.testing.assert_allclose(to_numpy(states)[0], np.exp(-np.linspace(0, 1, 3)), rtol=1e-5)


@pytest.mark.parametrize("name", ["t_eval", "rtol", "atol", "mesh", "jac"])
def test_other_arrays_for_a_state_of_numpy_are_named(name):
    value = {"mesh": xp.linspace(0, 1, 5), "t_eval": xp.linspace(0, 1, 5), "jac": -xp.eye(2)}.get(name, xp.ones(2) / 99)
    with pytest.raises(TypeError, match="arrays of different libraries: `(jac|t_eval|mesh|rtol|atol)` is array_api"):
        parscan.solve_ivp(lambda t, y: -y, (0, 1), np.ones(2), **{name: value})


def test_a_guess_of_another_library_is_named():
    sol = parscan.solve_ivp(lambda t, y: -y, (0, 1), xp.ones(2), method="Radau")
    with pytest.raises(TypeError, match="different libraries: `y0` is numpy, `guess` is array_api_strict"):
        parscan.solve_ivp(lambda t, y: -y, (0, 1), np.ones(2), method="Radau", guess=sol)

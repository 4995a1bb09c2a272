"""Batches on the arrays of a device by threads of it, which this processor plays, with arrays that are not NumPy's."""

import re
from functools import cache

import array_api_strict as strict
import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipys
from thread_launcher import HostLauncher

from parscan import solve_ivp
from parscan._ivp.compiled import account, mesh_on_device, on_device
from parscan._recorded.native.text import UnsupportedError

TIMES = np.linspace(0.0, 6.0, 7)
LIMITS = {"rtol": 1e-7, "atol": 1e-9}


@pytest.fixture
def device(monkeypatch):
    """A launcher that stands for the device of these arrays."""
    launcher = HostLauncher(order="random")
    monkeypatch.setitem(on_device.DEVICES, "array_api_strict", lambda: launcher)
    return launcher


def lotka_volterra(t, y, rate):
    a, b = y[0, ...], y[1, ...]
    return strict.stack([rate * a - a * b, -3.0 * b + a * b + 0.1 * strict.sin(t + 0 * a)])


def of_numpy(t, y, rate):
    a, b = y
    return np.stack([rate * a - a * b, -3.0 * b + a * b + 0.1 * np.sin(t + 0 * a)])


def batch(*shape):
    count = int(np.prod(shape))
    y0 = np.stack([np.linspace(2.0, 4.0, count).reshape(shape), np.ones(shape)])
    return y0, np.linspace(0.5, 2.0, count).reshape(shape)


def solve(y0, rate, span=(0.0, 6.0), fun=lotka_volterra, **options):
    given = LIMITS | {"t_eval": TIMES, "compile": True} | options
    return solve_ivp(fun, span, strict.asarray(y0), args=(strict.asarray(rate),), **given)


def apart(one, other, rtol=1e-7, atol=1e-9):
    """The largest difference in tolerances."""
    return np.max(np.abs(one - other) / (atol + rtol * np.abs(other)))


@pytest.mark.parametrize("shape", [(1,), (33,), (5, 4)])
def test_members_by_threads(device, shape):
    """Within ten tolerances at the end, with values at times, as arrays of the device; as on the CPU."""
    y0, rate = batch(*shape)
    sol = solve(y0, rate)
    assert sol.success
    assert sol.compiled
    assert sol.method == "DOP853"
    assert on_device.TOLD in sol.decisions
    assert device.launches > 0
    for array in (sol.t, sol.y, sol.mesh):
        assert isinstance(array, type(strict.asarray(0.0)))
    assert sol.y.shape == (2, 7, *shape)
    found = np.asarray(sol.y).reshape(2, 7, -1)
    usual = np.asarray(solve_ivp(of_numpy, (0.0, 6.0), y0, args=(rate,), t_eval=TIMES, compile=True, **LIMITS).y)
    np.testing.assert_allclose(found, usual.reshape(2, 7, -1), rtol=2e-6, atol=1e-7)
    for k in {0, found.shape[-1] // 2, found.shape[-1] - 1}:
        own = y0.reshape(2, -1)[:, k], rate.ravel()[k]
        exact = scipys(of_numpy, (0.0, 6.0), own[0], "DOP853", TIMES, args=(own[1],), rtol=1e-12, atol=1e-13).y
        assert apart(found[:, -1, k], exact[:, -1]) < 10
        np.testing.assert_allclose(found[..., k], exact, rtol=1e-5, atol=1e-6)


def test_auto_takes_them_when_they_pay(device, monkeypatch):
    y0, rate = batch(40)
    before = solve(y0, rate, compile=None)
    assert not before.compiled
    assert "have not yet taken as long as making machine code would" in before.decisions[0]
    monkeypatch.setattr(account, "PRICES", account.Prices(0.0, 0.0))
    found = solve(y0, rate, compile=None)
    assert found.compiled
    assert on_device.TOLD in found.decisions
    np.testing.assert_allclose(np.asarray(found.y), np.asarray(before.y), rtol=1e-5, atol=1e-6)


def test_launches_do_not_depend_on_the_number_of_members(device):
    launches = []
    for count in (8, 800):
        before = device.launches
        y0 = np.tile(batch(1)[0], (1, count))
        assert solve(y0, np.full(count, 1.0)).compiled
        launches.append(device.launches - before)
    assert max(launches) < 8  # they follow the pace of those before


def test_stiff_members_go_on_with_the_other_method(device):
    def fun(t, y, mu):
        return strict.stack([y[1, ...], mu * ((1 - y[0, ...] ** 2) * y[1, ...]) - y[0, ...]])

    mu = np.array([1.0, 500.0, 30.0])
    sol = solve(np.tile([[2.0], [0.0]], 3), mu, (0.0, 20.0), fun, t_eval=[20.0], rtol=1e-6, atol=1e-8)
    assert sol.compiled
    assert "Rodas5P for" in sol.message
    for k in range(3):
        exact = scipys(
            lambda t, y, mu=mu[k]: [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]], (0, 20), [2.0, 0.0], "Radau",
            rtol=1e-9, atol=1e-10,
        ).y[:, -1]  # fmt: skip
        assert apart(np.asarray(sol.y)[:, 0, k], exact, 1e-6, 1e-8) < 10


def test_members_whose_errors_grow_march_again(device):
    def fun(t, y, rate):
        t = t + 0 * y
        return rate * (y - strict.sin(t)) + strict.cos(t)

    sol = solve(np.zeros((1, 3)), np.array([-1.0, 0.0, 3.0]), (0.0, 6.0), fun, t_eval=[6.0])
    difference = np.abs(np.asarray(sol.y)[0, 0] - np.sin(6.0))
    assert (difference < 10 * (1e-9 + 1e-7)).all()
    assert sol.npoints > 2000


def test_steps_of_the_first_member_are_the_times_if_none_are_given(device):
    y0, rate = batch(5)
    sol = solve(y0, rate, t_eval=None)
    assert sol.t.shape[0] > 10
    assert sol.y.shape == (2, sol.t.shape[0], 5)
    assert float(sol.t[-1]) == 6.0


def lorenz(t, y, rate):
    a, b, c = y[0, ...], y[1, ...], y[2, ...]
    return [10.0 * (b - a), a * (rate - c) - b, a * b - 8 / 3 * c]


def kepler(t, y, mass):
    distance = (y[0, ...] ** 2 + y[1, ...] ** 2) ** 1.5
    return [y[2, ...], y[3, ...], -mass * y[0, ...] / distance, -mass * y[1, ...] / distance]


def van_der_pol(t, y, mu):
    return [y[1, ...], mu * ((1 - y[0, ...] ** 2) * y[1, ...]) - y[0, ...]]


def prey(t, y, rate):
    return [rate * y[0, ...] - y[0, ...] * y[1, ...], -3.0 * y[1, ...] + y[0, ...] * y[1, ...]]


IN_SINGLE = {
    "Lotka-Volterra": (prey, [2.0, 1.0], np.linspace(0.5, 2.0, 5), 6.0),
    "Lorenz": (lorenz, [1.0, 1.0, 20.0], np.linspace(20.0, 28.0, 5), 2.0),
    "Kepler": (kepler, [0.9, 0.0, 0.0, np.sqrt(1.1 / 0.9)], np.linspace(0.8, 1.0, 5), 12.0),
    "stiff": (van_der_pol, [2.0, 0.0], np.array([1.0, 30.0, 500.0]), 20.0),
}


@cache
def stacked(fun):
    """The function for arrays of the device."""
    return lambda t, y, rate: strict.stack(fun(t, y, rate))


def in_single(name, rtol, atol):
    """A solve on single precision, and the exact ends."""
    fun, start, rate, end = IN_SINGLE[name]
    own = stacked(fun)
    start = np.array(start, np.float32)
    y0 = np.tile(start[:, None], len(rate))
    given = {"t_eval": [0.0, end / 2, end], "rtol": rtol, "atol": atol}
    sol = solve(y0, rate, (0.0, end), own, **given)
    exact = [
        scipys(lambda t, y, k=k: fun(t, y, k), (0.0, end), start.astype(float), "LSODA", rtol=1e-11, atol=1e-12).y[
            :, -1
        ]
        for k in rate
    ]
    return sol, np.stack(exact, axis=1)


@pytest.mark.parametrize("rtol", [1e-3, 1e-4, 1.2e-5])
@pytest.mark.parametrize("name", IN_SINGLE)
def test_members_in_single_precision(device, name, rtol):
    """Ten tolerances and some hundred roundings, whatever it takes: members that rounding keeps from it are found."""
    atol = 0.1 * rtol
    for sol, exact in [in_single(name, rtol, atol) for _ in range(2)]:
        assert sol.success
        assert sol.y.dtype == strict.float32
        assert sol.error_estimate <= 2.0
        error = np.abs(np.asarray(sol.y)[:, -1].astype(float) - exact)
        assert (error <= 10 * (atol + rtol * np.abs(exact)) + 300 * 2.0**-23 * np.abs(exact)).all()
    if name in ("Lotka-Volterra", "stiff") and rtol > 1e-4:
        assert on_device.TOLD_SINGLE in sol.decisions
        assert "again in double" not in sol.message
    if name == "stiff":
        assert "Rodas5P for" in sol.message


def test_rounding_that_grows(device):
    """Along orbits; in double precision, nothing is told."""
    sol, _ = in_single("Kepler", 1.2e-5, 1.2e-7)
    assert "5 members again in double precision" in sol.message
    assert on_device.TOLD_SINGLE in sol.decisions
    assert on_device.TOLD_SINGLE not in solve(*batch(3), rtol=1e-3, atol=1e-4).decisions


def test_numbers_beyond_single_precision(device):
    """Members that have some are solved again; if most of them have, later solves begin with double precision."""
    y0, rate, given = np.ones((1, 3)), np.array([0.5, 1.0, 2.0]), {"rtol": 1e-4, "atol": 1e-6, "t_eval": [0.0, 2.0]}

    def decaying(t, y, rate):
        return -rate * y * 1e60 / 1e60

    for is_first in (True, False):
        sol = solve(y0.astype(np.float32), rate, (0.0, 2.0), decaying, **given)
        assert ("3 members again in double precision" in sol.message) == is_first
        assert (on_device.TOLD_SINGLE in sol.decisions) == is_first
        np.testing.assert_allclose(np.asarray(sol.y)[0, -1], np.exp(-2.0 * rate), rtol=1e-5)

    def growing(t, y, rate):
        return 1j * rate * y * (1e20 * rate) ** 2 / (1e20 * rate) ** 2

    rate = np.array([0.01, 0.02, 1.0])
    sol = solve(y0.astype(np.complex64), rate, (0.0, 2.0), growing, **given)
    assert "1 member again in double precision" in sol.message
    assert sol.y.dtype == strict.complex64
    np.testing.assert_allclose(np.asarray(sol.y)[0, -1], np.exp(2j * rate), rtol=1e-4)


def test_failures_in_single_precision(device):
    """All members are solved anew if those in double precision cannot be solved alone."""
    y0, rate = np.ones((1, 3), np.float32), np.array([0.1, 0.2, 1.0])
    given = {"rtol": 1e-3, "atol": 1e-6, "t_eval": [2.0]}
    failed = solve(y0, rate, (0.0, 2.0), lambda t, y, rate: rate * y**2, **given)
    assert not failed.success
    assert device.launches


def test_complex_states_and_jumps(device):
    rate = np.array([0.5, 1.0, 2.0])
    sol = solve(np.ones((1, 3), complex), rate, (0.0, 2.0), lambda t, y, rate: 1j * rate * y, t_eval=[2.0])
    assert sol.compiled
    np.testing.assert_allclose(np.asarray(sol.y)[0, 0], np.exp(2j * rate), rtol=1e-6)
    jumping = solve(
        np.zeros((1, 3)), rate, (0.0, 2.0), lambda t, y, rate: strict.where(t + 0 * y < 1.0, rate, -rate),
        t_eval=[2.0], jumps=[1.0],
    )  # fmt: skip
    assert jumping.compiled
    np.testing.assert_allclose(np.asarray(jumping.y), 0.0, atol=1e-8)


def test_derivatives_are_on_the_device(device):
    y0, rate = batch(3)
    sol = solve(y0, rate)
    tangent = sol.tangent(y0=strict.asarray(np.stack([np.ones(3), np.zeros(3)])))
    step = 1e-4
    near = [np.asarray(solve(y0 + np.array([[one], [0.0]]), rate, rtol=1e-11, atol=1e-12).y) for one in (step, -step)]
    np.testing.assert_allclose(np.asarray(tangent), (near[0] - near[1]) / (2 * step), rtol=1e-4, atol=1e-5)


def test_numbers_of_the_device_in_closures(device):
    matrix = strict.asarray([[0.0, 1.0], [-4.0, -0.1]])

    def fun(t, y):
        return strict.stack([matrix[k, 0] * y[0, ...] + matrix[k, 1] * y[1, ...] for k in (0, 1)])

    y0 = np.stack([np.ones(4), np.zeros(4)])
    for stiffness in (-4.0, -9.0):  # a number that is changed in place
        matrix[1, 0] = stiffness
        sol = solve_ivp(fun, (0.0, 3.0), strict.asarray(y0), t_eval=[3.0], compile=True, **LIMITS)
        exact = scipys(lambda t, y: np.asarray(matrix) @ y, (0.0, 3.0), y0[:, 0], rtol=1e-12, atol=1e-13).y[:, -1]
        assert apart(np.asarray(sol.y)[:, 0, 2], exact) < 10


def test_functions_that_numpy_lacks(device):
    y0, rate = batch(4)

    def fun(t, y, rate):
        return -y * rate if float(strict.max(y)) < 1e9 else y

    with pytest.raises(TypeError, match="cannot be compiled"):
        solve(y0, rate, fun=fun)
    usual = solve(y0, rate, fun=fun, compile=None)
    assert not usual.compiled


def test_functions_that_are_not_as_recorded_are_called(device):
    """A function that tells arrays of the device from others."""
    y0, rate = batch(4)

    def fun(t, y, rate):
        return (-1.0 if isinstance(y, type(strict.asarray(0.0))) else -2.0) * y + 0 * rate

    with pytest.raises(TypeError, match="cannot be compiled"):
        solve(y0, rate, fun=fun)
    sol = solve(y0, rate, fun=fun, compile=None)
    np.testing.assert_allclose(np.asarray(sol.y)[:, -1], y0 * np.exp(-6.0), rtol=1e-4, atol=1e-7)


def test_devices_that_do_not_take_the_code(device, monkeypatch):
    def refuse(kernel):
        raise UnsupportedError("has code that the device does not take")

    monkeypatch.setattr(device, "load", refuse)
    y0, rate = batch(30)
    with pytest.raises(TypeError, match="the device does not take"):
        solve(y0, rate)
    assert not solve(y0, rate, compile=None).compiled


def test_methods_that_are_named_take_kernels_of_points(device, monkeypatch):
    y0, rate = batch(3)
    before = solve(y0, rate, compile=None, method="Radau")
    assert "`fun` is called: solves of it have not yet taken as long as making machine code would." in before.decisions
    assert not device.launches
    monkeypatch.setattr(account, "PRICES", account.Prices(0.0, 0.0))
    sol = solve(y0, rate, compile=None, method="Radau")
    assert sol.success
    assert sol.method == "Radau"
    assert mesh_on_device.TOLD in sol.decisions
    assert device.launches
    np.testing.assert_allclose(np.asarray(sol.y), np.asarray(before.y), rtol=1e-5, atol=1e-6)


def test_without_threads(device, monkeypatch):
    """Where code would be asked for: dense output of batches calls the function, a single problem takes its kernel."""
    monkeypatch.setattr(account, "PRICES", account.Prices(0.0, 0.0))
    y0, rate = batch(30)
    dense = solve(y0, rate, compile=None, dense_output=True)
    assert not dense.compiled
    assert dense.sol is not None
    assert not device.launches
    single = solve(y0[:, 0], np.asarray(1.0), compile=None)
    assert single.compiled
    assert mesh_on_device.TOLD in single.decisions
    assert isinstance(single.y, type(strict.asarray(0.0)))


def test_values_that_differ_from_the_record_are_refused(device):
    """The kernel is compared with the function at the start, and on the solution."""

    def fun(t, y):
        return -y if float(strict.max(strict.abs(y[0, ...]))) > 0.5 else -2 * y

    with pytest.raises(TypeError, match="`fun` cannot be compiled"):
        solve_ivp(fun, (0.0, 2.0), strict.asarray([1.0, 0.2]), "Radau", compile=True, **LIMITS)
    wrong = []

    def counted(t, y):
        wrong.append(1)
        return -y * (1.0 if len(wrong) < 20 else 1.1)

    with pytest.raises(TypeError, match="`fun` cannot be compiled"):
        solve_ivp(counted, (0.0, 2.0), strict.asarray([1.0, 0.2]), "Radau", compile=True, **LIMITS)


@pytest.mark.parametrize("where", ["load", "launch"])
def test_kernels_of_points_that_the_device_does_not_take(device, monkeypatch, where):
    monkeypatch.setattr(account, "PRICES", account.Prices(0.0, 0.0))
    reason = "has code that the device does not take (too many registers)"

    def refuse(*arguments):
        raise UnsupportedError(reason)

    monkeypatch.setattr(device, "load", refuse if where == "load" else lambda kernel: refuse)
    y0, _ = batch(1)
    with pytest.raises(TypeError, match=re.escape(reason)):
        solve(y0[:, 0], np.asarray(1.0), method="Radau")
    sol = solve(y0[:, 0], np.asarray(1.0), method="Radau", compile=None)
    assert sol.success
    assert not sol.compiled
    assert any(reason in one for one in sol.decisions)


def test_libraries_without_threads_are_as_before():
    y0, rate = batch(30)
    sol = solve(y0, rate, compile=None)
    assert not sol.compiled
    assert "`fun` is called: its arrays are not of NumPy." in sol.decisions

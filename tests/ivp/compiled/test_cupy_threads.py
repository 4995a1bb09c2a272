"""Batches of CuPy's arrays by threads of their device: a stand-in for CuPy, whose kernels this processor runs."""

import re

import numpy as np
import pytest
from cupy_arrays import COUNTS
from cupy_device import DEVICE
from cupy_stand_in import installed

from parscan import solve_ivp
from parscan._ivp.compiled import account, on_device
from parscan._kernels.cuda import written
from parscan._recorded.native.compilation import compiled
from parscan._recorded.native.device import CalledKernel
from parscan._recorded.native.kernel import Kernel
from parscan._recorded.native.text import UnsupportedError

TIMES = [1.0, 2.0]
LIMITS = {"t_eval": TIMES, "rtol": 1e-7, "atol": 1e-9, "compile": True}


@pytest.fixture
def cupy(monkeypatch):
    """With kernels of members only, and a new launcher."""

    def ptx(kernel, capability):
        run = compiled(Kernel(kernel.host_text, kernel.external, None, 0)).function
        text = f"{hash(kernel.text)} for {capability}"

        def start(grid, block, arguments):
            table, *others = arguments
            order, given = np.random.default_rng(0).permutation(grid[0] * block[0]), np.array(others, dtype=np.int64)
            run(table, order.ctypes.data, given.ctypes.data, order.size)

        DEVICE.provide(text.encode() + b"\0", kernel.entry, start)
        return text

    monkeypatch.setattr(CalledKernel, "ptx", ptx)
    monkeypatch.setattr(written, "LAUNCHER", written.CupyLauncher())
    with installed() as stand_in:
        yield stand_in


def decay(cupy, offset=0.0):
    """A function of the library, and its exact solution from 1."""

    def fun(t, y, rate):
        return -rate * y + offset * cupy.exp(-t) * cupy.ones_like(y)

    return fun


def solve(cupy, count, fun=None, **options):
    rate = np.linspace(0.5, 2.5, count)
    y0 = cupy.ones((1, count))
    return rate, solve_ivp(fun or decay(cupy), (0.0, 2.0), y0, args=(cupy.asarray(rate),), **LIMITS | options)


@pytest.mark.parametrize("count", [3, 200])
def test_members(cupy, count):
    rate, sol = solve(cupy, count)
    assert sol.success
    assert on_device.TOLD in sol.decisions
    for array in (sol.t, sol.y, sol.mesh):
        assert isinstance(array, cupy.ndarray)
    np.testing.assert_allclose(cupy.asnumpy(sol.y)[0], np.exp(-np.outer(TIMES, rate)), rtol=1e-6)
    (block,) = {block for _, _, block in DEVICE.launched}
    assert DEVICE.launched[0][1] == (-(-2 * count // block[0]),)
    assert len(DEVICE.launched) < 8


def test_threads_take_one_member_after_the_other(cupy):
    """As many as a small device has at work."""
    DEVICE.processors = 1
    rate, sol = solve(cupy, 700)
    np.testing.assert_allclose(cupy.asnumpy(sol.y)[0], np.exp(-np.outer(TIMES, rate)), rtol=1e-6)
    assert DEVICE.launched[0][1] == (8,)


def test_functions_of_cupy_are_recorded(cupy):
    rate, sol = solve(cupy, 4, decay(cupy, 0.3))
    exact = np.exp(-np.outer(TIMES, rate))
    others = (np.exp(-np.array(TIMES))[:, None] - exact) / (rate - 1)
    np.testing.assert_allclose(cupy.asnumpy(sol.y)[0], exact + 0.3 * others, rtol=1e-6)


def test_reads_of_the_host(cupy):
    """One flag for each launch, and what was found; the number of members does not matter."""
    reads = []
    for count in (3, 300):
        solve(cupy, count)
        launched = len(DEVICE.launched)
        before = sum(COUNTS.reads.values())
        solve(cupy, count)
        reads.append(sum(COUNTS.reads.values()) - before - (len(DEVICE.launched) - launched))
    assert abs(reads[0] - reads[1]) <= 4
    assert max(reads) < 40


def test_another_device(cupy):
    """Code is loaded on each device for itself."""
    solve(cupy, 3)
    with cupy.cuda.Device(1):
        _, sol = solve(cupy, 3)
    assert sol.compiled


def test_code_that_the_device_does_not_take(cupy, monkeypatch):
    monkeypatch.setattr(CalledKernel, "ptx", lambda kernel, capability: "of another device")
    with pytest.raises(TypeError, match=r"the device does not take .*the driver knows CUDA up to 13.0") as raised:
        solve(cupy, 3)
    assert str(raised.value).count("the driver knows") == 1
    _, sol = solve(cupy, 30, compile=None)
    assert sol.success
    assert not sol.compiled


def test_functions_of_libdevice_that_are_not_there(cupy, monkeypatch):
    def missing(kernel, capability):
        raise UnsupportedError("calls functions of NVIDIA's libdevice, which was not found")

    monkeypatch.setattr(CalledKernel, "ptx", missing)
    with pytest.raises(TypeError, match="it calls functions of NVIDIA's libdevice, which was not found"):
        solve(cupy, 3)


def failing(error):
    def fail(*arguments, **options):
        raise error

    return fail


@pytest.mark.parametrize("where", ["start", "memory"])
def test_threads_that_cannot_be_started(cupy, monkeypatch, where):
    """Told on demand; else the usual methods solve the problem."""
    monkeypatch.setattr(account, "PRICES", account.Prices(0.0, 0.0))
    if where == "start":
        monkeypatch.setattr(written.LAUNCHER, "launch", failing(RuntimeError("out of resources")))
        reason = "it has code that the device does not start (out of resources)"
    else:
        monkeypatch.setattr(cupy, "repeat", failing(MemoryError("1 GB")))
        reason = "it needs more memory than is left (1 GB)"
    with pytest.raises(TypeError, match=re.escape(reason)):
        solve(cupy, 3)
    rate, sol = solve(cupy, 30, compile=None)
    np.testing.assert_allclose(cupy.asnumpy(sol.y)[0], np.exp(-np.outer(TIMES, rate)), rtol=1e-5)
    assert not sol.compiled
    assert any(reason in one for one in sol.decisions)


def test_what_a_device_refuses_is_no_reason_for_others(cupy, monkeypatch):
    """One function of both libraries."""
    monkeypatch.setattr(account, "PRICES", account.Prices(0.0, 0.0))
    monkeypatch.setattr(written.LAUNCHER, "launch", failing(RuntimeError("out of resources")))

    def fun(t, y):
        return -y

    for xp in (cupy, np):
        sol = solve_ivp(fun, (0.0, 2.0), xp.ones((1, 30)), **LIMITS | {"compile": None})
        assert sol.success
    assert sol.compiled
    assert not any("device" in one for one in sol.decisions)

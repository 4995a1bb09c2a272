"""Recurrences by kernels of a device: array-api-strict stands in for CuPy, the processor for the device."""

from collections import OrderedDict

import array_api_strict as xp
import numpy as np
import pytest
from host_launcher import HostLauncher

import parscan
from parscan._arrays.namespace import to_numpy
from parscan._recorded.budget import Ledger
from parscan._recurrence import choose

W = np.array([[0.4, -0.9], [0.8, 0.3]])


@pytest.fixture
def launcher(monkeypatch):
    found = HostLauncher()
    monkeypatch.setattr("parscan._kernels.cuda.written.LAUNCHER", found)
    monkeypatch.setattr("parscan._recurrence.device_code.LIBRARIES", {"array_api_strict"})
    monkeypatch.setattr("parscan._recurrence.device_code.A_KERNEL", 0.0)
    monkeypatch.setattr("parscan._recurrence.device_code.PER_OPERATION", 0.0)
    monkeypatch.setattr("parscan._recurrence.device_code.LEDGER", Ledger())
    monkeypatch.setattr("parscan._recurrence.device_record._made", OrderedDict())
    return found


class Cell:
    """A gated recurrence of two units on the functions of a library."""

    def __init__(self, library, dtype="float64"):
        self.xp, self.W = library, library.asarray(W, dtype=getattr(library, dtype))

    def step(self, y, x):
        gate = 1 / (1 + self.xp.exp(-x))
        return gate * y + (1 - gate) * self.xp.tanh(y @ self.W + x)


def solved(launcher, batch=(), dtype="float64", steps=400, **options):
    """A solve by the device, and the loop by NumPy."""
    x = np.random.default_rng(0).standard_normal((steps, *batch, 2)).astype(dtype)
    cell = Cell(xp, dtype)
    y0 = xp.zeros((*batch, 2), dtype=getattr(xp, dtype))
    sol = parscan.solve_recurrence(cell.step, y0, xp.asarray(x), **options)
    oracle = parscan.solve_recurrence(Cell(np, dtype).step, np.zeros((*batch, 2), dtype), x, method="sequential",
                                      compile=False)  # fmt: skip
    assert sol.success, sol.message
    limit = 1e-8 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(to_numpy(sol.y), oracle.y, rtol=limit, atol=limit)
    return sol


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
@pytest.mark.parametrize("method", ["newton", "jacobi", "sequential"])
def test_methods(launcher, method, batch, dtype):
    sol = solved(launcher, batch, dtype, method=method)
    assert launcher.launched
    assert sol.method == method


@pytest.mark.parametrize("n", [12, 32])
def test_many_states_by_a_thread_for_each_column(launcher, n):
    """Their numbers are in the memory of threads."""
    rng = np.random.default_rng(n)
    U, x = rng.standard_normal((3, n, n)) / n, rng.standard_normal((400, n))

    def step(library):
        z, r, h = map(library.asarray, U)

        def gated(y, x):
            gate, reset = (1 / (1 + library.exp(-(y @ one + x))) for one in (z, r))
            return gate * y + (1 - gate) * library.tanh((reset * y) @ h + x)

        return gated

    sol = parscan.solve_recurrence(step(xp), xp.zeros((n,)), xp.asarray(x), method="newton")
    oracle = parscan.solve_recurrence(step(np), np.zeros(n), x, method="sequential", compile=False)
    np.testing.assert_allclose(to_numpy(sol.y), oracle.y, rtol=1e-8, atol=1e-8)
    assert sol.method == "newton"
    assert "runs as a kernel of the device; segments of" in sol.decisions[0]
    assert max(launcher.launched) >= 2 * n


def test_auto_takes_newton_then_the_loop(launcher):
    sol = solved(launcher, steps=2000)
    assert sol.method == "newton"
    assert "runs as a kernel of the device; segments of" in sol.decisions[0]
    marched = [threads for threads in launcher.launched if threads > 8]
    assert 3 <= len(marched) <= 2 * sol.iterations + 4


def test_a_long_loop_is_launched_in_pieces(launcher, monkeypatch):
    monkeypatch.setattr("parscan._recurrence.device_code.PIECE", 1000)
    seen = []
    solved(launcher, method="sequential", progress=lambda progress: seen.append(progress.done))
    assert len([threads for threads in launcher.launched if threads == 1]) > 5
    assert len(set(seen)) > 5


def test_auto_takes_the_loop_for_wide_batches(launcher):
    sol = solved(launcher, (70,))
    assert sol.method == "sequential"
    assert launcher.launched[-1] == 70
    assert "auto: the loop, for the recorded step runs as a kernel" in sol.message


def test_chaos_is_left_to_the_loop_of_the_kernel(launcher):
    """Newton's method fails; the steps are the very ones of the function."""

    def step(y):
        return 3.9 * y * (1 - y)

    sol = parscan.solve_recurrence(step, xp.asarray([0.3]), length=3000)
    oracle = parscan.solve_recurrence(step, np.array([0.3]), length=3000, method="sequential", compile=False)
    np.testing.assert_array_equal(to_numpy(sol.y), oracle.y)
    assert "sequential" in sol.method


def test_diagonal_structure_shared_inputs_and_whole_numbers(launcher):
    rng = np.random.default_rng(0)
    x, k = rng.standard_normal((300, 3)), rng.integers(0, 5, (300, 4, 1))

    def step(library):
        return lambda y, x: library.where(x[1] > 2, library.sin(0.7 * y) + x[0], 0.5 * y)

    given = (x[:, None, :] * np.ones((1, 1, 3)), k)
    options = {"structure": parscan.Diagonal, "method": "newton"}
    found = parscan.solve_recurrence(step(xp), xp.zeros((4, 3)), tuple(map(xp.asarray, given)), **options)
    expected = parscan.solve_recurrence(step(np), np.zeros((4, 3)), given, method="sequential", compile=False)
    assert launcher.launched
    np.testing.assert_allclose(to_numpy(found.y), expected.y, rtol=1e-8, atol=1e-9)


def test_complex_states_take_the_loop(launcher):
    def step(y):
        return (0.6 + 0.7j) * y + 1j

    sol = parscan.solve_recurrence(step, xp.asarray([0.3 + 1j]), length=500)
    oracle = parscan.solve_recurrence(step, np.array([0.3 + 1j]), length=500, method="sequential", compile=False)
    np.testing.assert_allclose(to_numpy(sol.y), oracle.y, rtol=1e-12)
    assert "Newton's method has no kernel: the step has complex states" in sol.message
    assert launcher.launched


CALLS, MEANS = [], xp.asarray(np.linspace(0.1, 0.9, 3)[:, None])


@pytest.mark.parametrize("method", ["auto", "newton", "sequential"])
def test_members_that_differ_by_constants(launcher, method):
    """Numbers for each member, in the step and in inputs of all members in a row."""
    x = np.random.default_rng(0).standard_normal((300, 7))

    def step(library, means):
        return lambda y, x: 0.9 * library.sin(means * y) + library.stack([x[..., :3], x[..., 4:7]], axis=-1)

    found = parscan.solve_recurrence(step(xp, MEANS), xp.zeros((3, 2)), xp.asarray(x), method=method)
    oracle = parscan.solve_recurrence(
        step(np, to_numpy(MEANS)), np.zeros((3, 2)), x, method="sequential", compile=False
    )
    assert launcher.launched
    np.testing.assert_allclose(to_numpy(found.y), oracle.y, rtol=1e-8, atol=1e-9)


def test_members_one_of_which_is_multiplied_by_one(launcher):
    """Which is no operation, but the others have it."""
    numbers = xp.asarray(np.arange(1.0, 4.0)[:, None])
    sol = parscan.solve_recurrence(
        lambda y: 0.2 * y * numbers - numbers * (y * y), xp.full((3, 2), 0.1), length=100, method="sequential"
    )
    k = np.arange(1.0, 4.0)[:, None]
    oracle = parscan.solve_recurrence(
        lambda y: 0.2 * y * k - k * (y * y), np.full((3, 2), 0.1), length=100, method="sequential", compile=False
    )
    assert launcher.launched
    np.testing.assert_allclose(to_numpy(sol.y), oracle.y, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("members", "reason"),
    [(3, "its batch; recorded with all members, it couples members of the batch, or they do different"), (4, "batch.")],
)
def test_members_that_differ_too_much_are_told(launcher, monkeypatch, members, reason):
    """Each of them has another function."""
    monkeypatch.setattr("parscan._recurrence.device_code.MOST_TOGETHER", 3)
    numbers = xp.asarray(np.arange(1.0, 1 + members)[:, None])
    functions = [xp.sin, xp.cos, xp.tanh, xp.atan][:members]

    def step(y):
        y = 0.2 * y * numbers
        return xp.stack([one(y[..., k, :]) for k, one in enumerate(functions)], axis=-2)

    sol = parscan.solve_recurrence(step, 0.1 * xp.ones((members, 2)), length=100, method="newton")
    assert sol.success
    assert "it has numbers for each member of its batch" in sol.decisions[0]
    assert reason in sol.decisions[0]


REFUSED = {
    "members that meet": (lambda y: 0.5 * y + xp.mean(y, axis=1, keepdims=True), "other values"),
    "a history": (lambda y: 0.5 * y + 0 * CALLS.append(1).__sizeof__(), "history"),
    "large": (lambda y: sum(xp.sin(k * 0.1 * y) for k in range(10)) * 1e-2, "operations"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_steps_without_kernels_are_told(launcher, name, monkeypatch):
    monkeypatch.setattr("parscan._recorded.native.device_march.FITS", {"d": ((12, 24, 20),)})
    monkeypatch.setattr("parscan._recorded.native.device_march.MOST", 20)
    step, reason = REFUSED[name]
    y0 = xp.asarray(np.random.default_rng(0).random((3, 2)))
    sol = parscan.solve_recurrence(step, y0, length=100, method="newton")
    assert "The step is no kernel of the device: it" in sol.decisions[0]
    assert sol.decisions[0].count(reason) == 1
    np.testing.assert_allclose(to_numpy(sol.y[1:, ...]), to_numpy(step(sol.y[:-1, ...])), rtol=1e-8, atol=1e-9)
    with pytest.raises(TypeError, match="cannot be compiled, as `compile=True` asks"):
        parscan.solve_recurrence(step, y0, length=100, method="newton", compile=True)


def test_no_kernels_if_they_are_not_wanted(launcher):
    solved(launcher, method="newton", compile=False)
    assert not launcher.launched


def test_a_wrong_kernel_is_not_used(launcher, monkeypatch):
    launch = launcher.launch

    def wrong(kernel, threads, *arguments):
        launch(kernel, threads - 1, *arguments)

    monkeypatch.setattr("host_launcher.THREADS", 1)
    monkeypatch.setattr(launcher, "launch", wrong)
    assert "gave other values" in solved(launcher, (3,), method="newton").decisions[0]


@pytest.mark.parametrize("method", ["auto", "newton"])
def test_steps_that_do_not_broadcast_are_told(launcher, method):
    def step(y):
        return 0.9 * y / (1 + xp.sum(xp.abs(y)))  # of all states together

    with pytest.raises(ValueError, match="does not broadcast over leading axes"):
        parscan.solve_recurrence(step, xp.ones((2,)), length=2000, method=method)


@pytest.mark.parametrize("wanted", [None, True])
@pytest.mark.parametrize("method", ["auto", "newton"])
def test_steps_that_refuse_many_states_are_told(launcher, method, wanted):
    """Inputs without the axis of the batch meet each state, but not many of them."""
    x = xp.asarray(np.random.default_rng(0).standard_normal((2000, 2)))

    def step(y, x):
        return 0.5 * y + xp.tanh(x)

    with pytest.raises(ValueError, match="does not broadcast over leading axes: one call on 8 stacked states raised"):
        parscan.solve_recurrence(step, xp.zeros((3, 2)), x, method=method, compile=wanted)


def test_kernels_that_the_device_does_not_start(launcher, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("out of resources")

    monkeypatch.setattr(launcher, "launch", fail)
    sol = solved(launcher, method="newton")
    assert "it is not started by the device (out of resources)" in sol.decisions[0]
    with pytest.raises(TypeError, match="not started by the device"):
        solved(launcher, method="newton", compile=True)


def wrong_from(time, monkeypatch, which):
    """One of the launches that compare gives a wrong state."""
    from parscan._recurrence.device_code import Marches

    right, launches = Marches.run, []

    def run(self, starts, trajectory, *given):
        right(self, starts, trajectory, *given)
        launches.append(starts)
        if len(launches) == which:
            trajectory[time, ...] += 1e-3

    monkeypatch.setattr(Marches, "run", run)


@pytest.mark.parametrize(("which", "time"), [(1, 3), (2, 0), (2, 5), (2, 13)])
def test_ready_kernels_that_are_wrong_are_compared_with_the_loop(launcher, monkeypatch, which, time):
    """From the first state on, along states, and beside them: the loop then gives the first states."""
    calls = []
    monkeypatch.setattr("parscan._recurrence.choose.loop_in_stages", _noted(calls, choose.loop_in_stages))
    solved(launcher, method="newton", compile=True)
    assert not calls
    wrong_from(time, monkeypatch, which)
    solved(launcher, method="newton", compile=True)
    assert calls


def test_a_step_that_is_not_finite_has_no_ready_kernels(launcher, monkeypatch):
    calls = []
    monkeypatch.setattr("parscan._recurrence.choose.loop_in_stages", _noted(calls, choose.loop_in_stages))
    sol = parscan.solve_recurrence(lambda y: 1e300 * y, xp.ones(1), length=100, compile=True, method="newton")
    assert calls
    assert not sol.success
    assert "step 1" in sol.message


def _noted(calls, function):
    def noted(*arguments, **options):
        calls.append(arguments)
        return function(*arguments, **options)

    return noted


def test_a_wrong_jacobian_is_told(launcher):
    with pytest.raises(ValueError, match="jac"):
        parscan.solve_recurrence(lambda y: 0.9 * xp.sin(y), xp.ones((2,)), length=100, method="newton",
                                 jac=lambda y: 3 * xp.ones((1, 2, 2)))  # fmt: skip


def test_kernels_are_bought_once_solves_took_as_long(launcher, monkeypatch):
    monkeypatch.setattr("parscan._recurrence.device_code.A_KERNEL", 1e9)
    for method in ("auto", "newton", "sequential"):
        solved(launcher, steps=200, method=method)
    assert not launcher.launched
    solved(launcher, steps=70, method="sequential", compile=True)
    assert launcher.launched

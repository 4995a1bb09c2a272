"""Functions with a memory, and with noise: reported by every method; what only looks like one is not."""

import functools
import warnings

import numpy as np
import pytest
from seeds import seeds

from parscan import IvpStatus, solve_ivp
from parscan.warnings import NondeterministicFunctionWarning, PointByPointWarning

pytestmark = pytest.mark.roads

WAYS = {
    "auto, loose": {"rtol": 1e-3},
    "auto": {"rtol": 1e-7, "atol": 1e-9},
    "Radau": {"method": "Radau", "rtol": 1e-6},
    "DOP853": {"method": "DOP853", "rtol": 1e-6},
    "RK45": {"method": "RK45", "rtol": 1e-6},
    "BDF": {"method": "BDF", "rtol": 1e-4},
    "DEER": {"method": "DEER", "t_eval": np.linspace(0, 4, 81)},
    "a mesh": {"method": "Radau", "mesh": np.linspace(0, 4, 41), "rtol": 1e-6},
    "few times": {"rtol": 1e-4, "t_eval": [4.0]},
}
QUICK = ("auto, loose", "RK45", "DEER", "a mesh", "few times")
"""Those that end soon where nothing can be solved."""

ON_ALL = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS.keys())


def said(fun, options, y0=(1.0, 0.5), end=4, **more):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        sol = solve_ivp(fun, (0, end), y0, **{**options, **more})
    return sol, any(word.category is NondeterministicFunctionWarning for word in heard)


def controller():
    last = {"t": 0.0, "error": 0.0}

    def fun(t, y):
        error = 1 - y[0]
        dt = np.min(t) - last["t"]
        slope = np.mean(error - last["error"]) / dt if dt > 0 else 0.0
        last["t"], last["error"] = float(np.min(t)), float(np.mean(error))
        return np.stack([y[1], -y[1] - y[0] + 0.05 * slope])

    return fun


def counter():
    calls = [0]

    def fun(t, y):
        calls[0] += 1
        return -y * (1 + 0.1 * (calls[0] % 2))

    return fun


def drift():
    calls = [0]

    def fun(t, y):
        calls[0] += 1
        return -y * (1 + 1e-3 * min(calls[0], 100))

    return fun


def noise():
    rng = np.random.default_rng(0)
    return lambda t, y: -y + 1e-1 * rng.standard_normal(y.shape)


REMEMBERING = {"controller": controller, "counter": counter, "drift": drift}


@pytest.mark.slow
@pytest.mark.parametrize("options", [WAYS[name] for name in QUICK], ids=QUICK)
@pytest.mark.parametrize("make", REMEMBERING.values(), ids=REMEMBERING.keys())
def test_what_changes_the_solution_is_no_success(make, options):
    sol, told = said(make(), options)
    assert told
    assert not sol.success
    assert "contradicts itself" in sol.message


@pytest.mark.parametrize("options", [{"rtol": 1e-2, "atol": 1e-2}, {"method": "RK45", "rtol": 1e-2, "atol": 1e-2}])
def test_noise(options):
    sol, told = said(noise(), options)
    assert told
    assert not sol.success


@ON_ALL
def test_noise_far_below_the_tolerance_is_a_warning(options):
    rng = np.random.default_rng(0)
    sol, told = said(lambda t, y: -y * (1 + 1e-14 * rng.uniform(1, 2, y.shape)), options)
    assert told
    assert sol.success
    assert "contradicts itself" in sol.message


def delayed_by_interpolation():
    """y' = -y(t - 1), looked up in a list of the function's own calls."""
    times, states = [-1.0, 0.0], [1.0, 1.0]

    def fun(t, y):
        late = np.interp(t - 1, times, states)
        if t > times[-1]:
            times.append(t)
            states.append(y[0])
        return [-late]

    return fun


def delayed_by_search():
    """The same by the last call that is old enough."""
    calls = [(0.0, 1.0)]

    def fun(t, y):
        late = max((call for call in calls if call[0] <= float(t) - 1), default=(0.0, 1.0))[1]
        calls.append((t, float(y[0])))
        return [-late]

    return fun


@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
@pytest.mark.parametrize(
    ("make", "options"),
    [(delayed_by_interpolation, {"rtol": rtol}) for rtol in (1e-3, 1e-6, 1e-9)]
    + [(delayed_by_search, {}), (delayed_by_search, {"method": "RK45"}), (delayed_by_interpolation, WAYS["DEER"])],
)
def test_a_delay_by_a_list_of_calls(make, options):
    sol, told = said(make(), options, y0=[1.0])
    assert told
    assert not sol.success
    assert sol.status is IvpStatus.NONDETERMINISTIC or "contradicts itself" in sol.message


def test_a_contradiction_is_the_reason_of_a_large_error():
    """Two solves are apart because each had its own answers, not because `fun` jumps."""
    sol, _ = said(delayed_by_search(), {"rtol": 2e-4, "compile": False}, y0=[1.0], end=3)
    assert sol.status is IvpStatus.NONDETERMINISTIC
    assert sol.error_estimate > 100


def shared_buffer():
    out = np.empty(2)

    def fun(t, y):
        out[:] = -y
        return out

    return fun


def cached():
    @functools.lru_cache
    def rates(t, a, b):
        return [-a * np.cos(t), -b]

    return lambda t, y: rates(float(t), float(y[0]), float(y[1]))


def writing(t, y):
    y *= -1.0
    return y


def counting():
    calls = [0]

    def fun(t, y):
        calls[0] += 1
        return -y

    return fun


HARMLESS = {
    "a shared buffer": shared_buffer(),
    "a cache": cached(),
    "writes to its argument": writing,
    "counts": counting(),
    "its own seed": lambda t, y: -y + np.random.default_rng(1).standard_normal(2)[:, *[None] * (y.ndim - 1)],
    "a jump": lambda t, y: [np.where(t > 2, 1.0, -1.0) * y[0], -y[1]],
    "a matrix": lambda t, y: np.array([[-1.0, 0.3], [0.2, -2.0]]) @ y,
}


@ON_ALL
@pytest.mark.parametrize("fun", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_only_depends_on_its_arguments_is_not_reported(fun, options):
    sol, told = said(fun, options)
    assert not told
    assert sol.status is not IvpStatus.NONDETERMINISTIC


@pytest.mark.parametrize("way", ["auto, loose", "auto", "Radau", "RK45"])
def test_what_is_not_finite_is_no_contradiction(way):
    sol, told = said(lambda t, y: [np.where(t > 3, np.nan, -1.0) * y[0], -y[1]], WAYS[way])
    assert not told
    assert sol.status is IvpStatus.NOT_FINITE


@pytest.mark.parametrize("members", [2, 30])
def test_batches(members):
    rng = np.random.default_rng(0)
    y0 = np.ones((2, members))
    _, told = said(lambda t, y: -y + 0.1 * rng.standard_normal(y.shape), {"rtol": 1e-2, "atol": 1e-2}, y0)
    assert told
    sol, told = said(lambda t, y: -y, {"rtol": 1e-6}, y0)
    assert sol.success
    assert not told


@pytest.mark.parametrize("way", ["auto", "RK45", "Radau"])
def test_events_and_jacobians(way):
    rng = np.random.default_rng(0)
    event = lambda t, y: y[0] - 0.5 + 0.01 * rng.standard_normal()  # noqa: E731
    sol, told = said(lambda t, y: -y, WAYS[way], events=event)
    assert told
    assert not sol.success
    assert "`events[0]` contradicts itself" in sol.message
    sol, told = said(lambda t, y: -y, WAYS[way], jac=lambda t, y: -np.eye(2) * rng.uniform(0.9, 1.1))
    assert told
    assert sol.success  # Newton's method gets there all the same
    assert "`jac` contradicts itself" in sol.message


@pytest.mark.filterwarnings("ignore", category=PointByPointWarning)
def test_an_unsuccessful_solution_tells_of_it_too():
    calls = [0]

    def fun(t, y):
        calls[0] += 1
        return -y * calls[0] if np.max(t) < 1 else y * np.nan

    with pytest.warns(NondeterministicFunctionWarning, match="contradicts itself"):
        sol = solve_ivp(fun, (0, 2), [1.0], "RK45")
    assert not sol.success


def relay(low, high, on, off):
    """A switch with hysteresis, whose position is kept in a list."""
    position = [on]

    def fun(t, y):
        if y[0] < low:
            position[0] = on
        elif y[0] > high:
            position[0] = off
        return [position[0] - 0.1 * y[0]]

    return fun


def second(low, high, on, off):
    """The same by the second component, the integral of a cosine."""
    position = [on]

    def fun(t, y):
        if y[1] < low:
            position[0] = on
        elif y[1] > high:
            position[0] = off
        return [position[0] - 0.3 * y[0], np.cos(t)]

    return fun


@pytest.mark.slow
@pytest.mark.pairs(
    case={
        "from below": (relay, (19.0, 21.0, 4.0, 1.0), [15.0]),
        "from between": (relay, (19.0, 21.0, 4.0, 1.0), [20.0]),
        "to and fro": (relay, (-1.0, 1.0, 1.0, -1.0), [0.0]),
        "by another component": (second, (-0.5, 0.5, 1.0, 0.0), [0.0, 0.0]),
    },
    method=["auto", "LSODA", "DOP853", "RK45", "Radau", "DEER", "BDF"],
    extent={"long": (1e-3, 40.0), "short": (1e-6, 10.0)},
)
def test_a_relay_with_hysteresis(case, method, extent):
    """What it gives between its thresholds depends on which was met last: the same state from both sides tells."""
    (make, limits, y0), (rtol, end) = case, extent
    options = {"t_eval": np.linspace(0, end, 401)} if method == "DEER" else {}
    _, told = said(make(*limits), {"method": method, "rtol": rtol, **options}, y0, end=end)
    assert told


def test_relays_of_the_members_of_a_batch():
    position = np.ones(3)

    def fun(t, y):
        position[y[0] < -1] = 1.0
        position[y[0] > 1] = -1.0
        return np.array([position - 0.1 * y[0]])

    sol, told = said(fun, {"method": "DOP853", "rtol": 1e-6, "vectorized": False}, [[0.0, 0.3, -0.4]], end=3)
    assert told
    assert sol.status is IvpStatus.NONDETERMINISTIC


def oscillator(seed):
    """An oscillator, pushed to and fro by a relay; with the thresholds of the relay and its component."""
    rng = np.random.default_rng(seed)
    low, width, component, rate = rng.uniform(-0.5, 0.3), rng.uniform(0.05, 0.6), seed % 2, rng.uniform(0.5, 2)
    position = [1.0]

    def fun(t, y):
        if y[component] > low + width:
            position[0] = -1.0
        elif y[component] < low:
            position[0] = 1.0
        return np.array([y[1], -(rate**2) * y[0] - 0.2 * y[1] + 0.5 * position[0]])

    return fun, low, low + width, component


@pytest.mark.parametrize("method", ["auto", "RK45", "LSODA"])
@pytest.mark.parametrize("seed", seeds(12, 24))
def test_random_relays(seed, method):
    """They show on a path through the range of the solution, unless two of its states are farther apart."""
    fun, low, high, component = oscillator(seed)
    sol, told = said(fun, {"method": method, "rtol": 1e-4}, [0.0, 0.0], end=20)
    least, largest = sol.y[component].min(), sol.y[component].max()
    assert told or least >= low or largest <= high or high - low < (largest - least) / 4

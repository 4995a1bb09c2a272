"""Events and continuous solutions as SciPy documents them, and problems like those of its documentation."""

import numpy as np
import pytest
from ode_methods import ANY, TIGHT
from ode_problems import event, oscillator
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp

pytestmark = pytest.mark.roads


def height(t, y):
    return y[0]


def solve(method, rtol, events, span=(0, 10), **options):
    return solve_ivp(oscillator, span, [0.0, 1.0], method, events=events, rtol=rtol, atol=rtol / 10, **options)


def close(found, expected, rtol):
    return len(found) == len(expected) and np.allclose(found, expected, atol=100 * rtol)


@ANY
def test_nothing_found(method, rtol):
    sol = solve(method, rtol, lambda t, y: y[0] - 2)
    assert (sol.status, len(sol.t_events), len(sol.y_events)) == (0, 1, 1)
    assert sol.t_events[0].shape == sol.y_events[0].shape == (0,)


@pytest.mark.parametrize("events", [height, [height], (height,)], ids=["function", "list", "tuple"])
@ANY
def test_all_zeros(events, method, rtol):
    sol = solve(method, rtol, events)
    assert isinstance(sol.t_events, list)
    assert isinstance(sol.y_events, list)
    assert close(sol.t_events[0], np.pi * np.arange(4), rtol)
    assert sol.y_events[0].shape == (4, 2)
    assert np.allclose(sol.y_events[0], [[0, 1], [0, -1], [0, 1], [0, -1]], atol=100 * rtol)


@TIGHT
def test_an_empty_list(method, rtol):
    sol = solve(method, rtol, [])
    assert sol.t_events == sol.y_events == []


@ANY
def test_directions(method, rtol):
    up, down, both = (event(lambda t, y: y[0] - 0.5, direction=sign) for sign in (1, -1.0, 0))
    sol = solve(method, rtol, [up, down, both], (0, 8))
    rises, falls = [np.pi / 6, np.pi * 13 / 6], [np.pi * 5 / 6]
    assert all(
        close(*pair, rtol) for pair in zip(sol.t_events, [rises, falls, [rises[0], *falls, rises[1]]], strict=True)
    )


@ANY
def test_directions_are_those_of_the_integration(method, rtol):
    """Backward, the function is met in the opposite order."""
    up, down = (event(lambda t, y: y[0] + 0.5, direction=sign) for sign in (1, -1))
    sol = solve(method, rtol, [up, down], (0, -4))
    assert close(sol.t_events[0], [-np.pi * 5 / 6], rtol)
    assert close(sol.t_events[1], [-np.pi / 6], rtol)


@ANY
@pytest.mark.parametrize(("terminal", "count"), [(True, 1), (1, 1), (2, 2), (3, 3)])
def test_terminal(method, rtol, terminal, count):
    ends = event(lambda t, y: y[1], terminal=terminal)
    sol = solve(method, rtol, [height, ends], (0, 20), dense_output=True)
    expected = np.pi * (np.arange(count) + 0.5)
    assert (sol.status, sol.success) == (1, True)
    assert sol.message.startswith("A termination event occurred.")
    assert close(sol.t_events[1], expected, rtol)
    assert close(sol.t_events[0], np.pi * np.arange(count), rtol)
    assert sol.t[-1] == sol.t_events[1][-1] == sol.sol.t_max
    assert np.allclose(sol.y[:, -1], sol.y_events[1][-1], atol=1e-12)


@ANY
@pytest.mark.parametrize("terminal", [False, 0, None])
def test_not_terminal(method, rtol, terminal):
    sol = solve(method, rtol, event(lambda t, y: y[1], terminal=terminal))
    assert sol.status == 0
    assert len(sol.t_events[0]) == 3


@ANY
def test_the_first_terminal_event_ends_it(method, rtol):
    late, early = (event(lambda t, y, at=at: t - at, terminal=True) for at in (4.0, 3.0))
    sol = solve(method, rtol, [late, early])
    assert sol.t_events[0].shape == (0,)
    assert close(sol.t_events[1], [3.0], 1e-14)


@ANY
def test_output_times_end_at_a_terminal_event(method, rtol):
    ends = event(lambda t, y: y[1], terminal=True)
    sol = solve(method, rtol, ends, t_eval=np.linspace(0, 10, 21))
    assert sol.t.tolist() == [0, 0.5, 1, 1.5]
    assert sol.y.shape == (2, 4)
    assert close(sol.t_events[0], [np.pi / 2], rtol)


@ANY
def test_all_output_times_after_a_terminal_event(method, rtol):
    sol = solve(method, rtol, event(lambda t, y: y[1], terminal=True), t_eval=[2.0, 3.0])
    assert sol.t.shape == (0,)
    assert sol.y.shape == (2, 0)


@ANY
@pytest.mark.parametrize("span", [(0, 1), (0, -1)])
def test_events_at_both_ends(method, rtol, span):
    sol = solve(method, rtol, [lambda t, y: t, lambda t, y: t - span[1]], span)
    assert sol.status == 0
    assert [times.tolist() for times in sol.t_events] == [[0], [span[1]]]
    ends = solve(method, rtol, event(lambda t, y: t - span[1], terminal=True), span)
    assert ends.status == 1
    assert ends.t[-1] == span[1]
    begins = solve(method, rtol, event(lambda t, y: t, terminal=True), span)
    assert begins.status == 1
    assert begins.t[-1] == 0


@ANY
def test_what_an_event_raises_reaches_the_user(method, rtol):
    def fails(t, y):
        raise LookupError("own words")

    with pytest.raises(LookupError, match="own words"):
        solve(method, rtol, fails)


@ANY
@pytest.mark.parametrize("terminal", [-1, 1.5, "yes"])
def test_bad_terminal(method, rtol, terminal):
    with pytest.raises(ValueError, match="`terminal`"):
        solve(method, rtol, event(height, terminal=terminal))


@ANY
@pytest.mark.parametrize("span", [(0, 5), (5, 0)])
def test_continuous_solution(method, rtol, span):
    exact = lambda t: np.array([np.sin(t - span[0]), np.cos(t - span[0])])  # noqa: E731
    sol = solve(method, rtol, None, span, dense_output=True)
    assert sol.sol(1.3).shape == (2,)
    assert sol.sol([1.3]).shape == (2, 1)
    assert sol.sol(np.array([0.1, 4.0, 2.0])).shape == (2, 3)
    assert np.allclose(sol.sol(sol.t), sol.y, rtol=0, atol=1e-12)
    assert (sol.sol.t_min, sol.sol.t_max) == (0, 5)
    assert (sol.sol.ts[0], sol.sol.ts[-1]) == span
    t = np.linspace(0, 5, 101)
    assert np.abs(sol.sol(t) - exact(t)).max() <= 100 * rtol
    times = solve(method, rtol, None, span, t_eval=np.linspace(*span, 11)).y
    assert np.allclose(times, sol.sol(np.linspace(*span, 11)), rtol=0, atol=1e-12)


@TIGHT
def test_continuous_solution_at_no_time(method, rtol):
    assert solve(method, rtol, None, dense_output=True).sol([]).shape == (2, 0)


def test_interpolants():
    sol = solve("Radau", 1e-6, None, dense_output=True).sol
    assert len(sol.interpolants) == sol.n_segments == len(sol.ts) - 1
    assert np.allclose(sol.interpolants[0](sol.ts[0]), [0, 1])


@ANY
def test_exponential_decay_of_several_states(method, rtol):
    sol = solve_ivp(lambda t, y: -0.3 * y, [0, 8], [1, 3, 5], method, [0, 2, 8], rtol=rtol, atol=rtol / 10)
    exact = np.outer([1, 3, 5], np.exp(-0.3 * np.array([0, 2, 8])))
    assert np.abs(sol.y - exact).max() <= 100 * rtol


@ANY
def test_a_thrown_ball_lands(method, rtol):
    """Height, and speed: on the ground at the end, the top is on the way."""

    def fly(t, y):
        return [y[1], -9.81]

    lands = event(lambda t, y: y[0], terminal=True, direction=-1)
    sol = solve_ivp(fly, (0, 100), [0, 20], method, events=(lands, lambda t, y: y[1]), rtol=rtol, dense_output=True)
    assert sol.status == 1
    assert close(sol.t_events[0], [40 / 9.81], rtol)
    assert close(sol.t_events[1], [20 / 9.81], rtol)
    assert np.allclose(sol.y_events[1], [[200 / 9.81, 0]], atol=1e-6 + 100 * rtol)
    assert np.allclose(sol.sol(20 / 9.81), [200 / 9.81, 0], atol=1e-6 + 100 * rtol)
    assert np.allclose(sol.y[:, -1], [0, -20], atol=1e-6 + 100 * rtol)


@ANY
def test_predators_and_prey_with_parameters(method, rtol):
    def grow(t, z, a, b, c, d):
        x, y = z
        return [a * x - b * x * y, -c * y + d * x * y]

    peak = lambda t, z, a, b, c, d: grow(t, z, a, b, c, d)[0]  # noqa: E731
    options = {"args": (1.2, 0.9, 2.5, 0.8), "dense_output": True, "events": peak}
    sol = solve_ivp(grow, [0, 12], [8, 4], method, rtol=rtol, atol=rtol / 10, **options)
    exact = scipy_solve_ivp(grow, [0, 12], [8, 4], "DOP853", rtol=1e-11, atol=1e-12, **options)
    t = np.linspace(0, 12, 200)
    assert np.abs(sol.sol(t) - exact.sol(t)).max() <= 200 * rtol * np.abs(exact.y).max()
    assert close(sol.t_events[0], exact.t_events[0], rtol)


@pytest.mark.slow
@ANY
def test_a_complex_matrix(method, rtol):
    A = np.array([[-0.25 + 0.14j, 0, 0.33 + 0.44j], [0.2 + 0.6j, -0.3, 0], [0, 0.1 + 0.4j, -0.2 + 0.1j]])

    def flow(t, y):
        return A @ y

    sol = solve_ivp(flow, [0, 10], np.array([1, 2j, 3 + 0j]), method, [0, 5, 10], rtol=rtol, atol=rtol / 10)
    values, vectors = np.linalg.eig(A)
    share = np.linalg.solve(vectors, [1, 2j, 3])
    exact = np.stack([vectors @ (np.exp(values * t) * share) for t in (0, 5, 10)], axis=1)
    assert sol.y.dtype == np.complex128
    assert np.abs(sol.y - exact).max() <= 200 * rtol * np.abs(exact).max()

"""`solve_dae`, and `solve_ivp` with a mass matrix, by machine code: when it solves, what is told, and what is kept."""

import numpy as np
import pytest

import parscan
from parscan._ivp.compiled import starts as module
from tests.support.daes import DAES

OSCILLATOR = DAES[0]


def decay(t, y, yp, rate=1.0):
    return [yp[0] + rate * y[0], y[1] - rate * y[0]]


def solved(fun=decay, y0=(1.0, 1.0), **options):
    return parscan.solve_dae(fun, (0, 1), y0, **{"rtol": 1e-8, "atol": 1e-10} | options)


def near(sol, rate=1.0):
    return np.allclose(sol.y[:, -1], np.exp(-rate) * np.array([1.0, rate]), rtol=1e-7)


def test_functions_that_can_be_recorded_are_solved_by_code():
    sol = solved()
    assert sol.compiled
    assert sol.success
    assert near(sol)
    assert sol.error_estimate < 1
    assert "order 13" in sol.message
    assert "machine code" in sol.message
    assert sol.decisions == ("The equations are of index 1.", "Derivatives of `fun` are exact: it was recorded.")


def test_compile_false_calls_the_function():
    sol = solved(compile=False)
    assert not sol.compiled
    assert near(sol)


def test_a_jacobian_of_the_user_is_called_unless_code_is_demanded():
    def jac(t, y, yp):
        return [[1.0, 0.0], [-1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]

    called, compiled = solved(jac=jac), solved(jac=jac, compile=True)
    assert not called.compiled
    assert called.decisions[-1] == "No machine code: `jac` was given."
    assert compiled.compiled
    assert near(called)
    assert near(compiled)


def test_what_cannot_be_recorded_is_an_error_if_code_is_demanded():
    def fun(t, y, yp):
        return [yp[0] + np.linalg.eigvals(np.diag(y))[0].real, y[1] - y[0]]

    with pytest.raises(TypeError, match="`compile=True`: no machine code, as .* recorded: it calls `eigvals`"):
        solved(fun, compile=True)
    with pytest.raises(TypeError, match=r"test_by_code\.py"):
        parscan.solve_ivp(lambda t, y: fun(t, y, 0 * y), (0, 1), [1.0, 1.0], mass=[1.0, 0.0], compile=True)


@pytest.mark.parametrize("dae", DAES, ids=lambda dae: dae.name)
def test_output_and_slopes(dae):
    times = np.linspace(0, dae.end, 7)
    sol = parscan.solve_dae(
        dae.fun, (0, dae.end), dae.y0, rtol=1e-8, atol=1e-8, t_eval=times, dense_output=True, compile=True
    )
    assert sol.success
    exact = np.array([dae.exact(t) for t in times]).T
    np.testing.assert_allclose(sol.y, exact, rtol=2e-3, atol=2e-3)
    some = np.array(dae.index) == 1
    np.testing.assert_allclose(sol.y[some], exact[some], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(sol.sol(times), sol.y, rtol=1e-12, atol=1e-12)
    change = 1e-4
    by_differences = (sol.sol(times[1:-1] + change) - sol.sol(times[1:-1] - change)) / (2 * change)
    np.testing.assert_allclose(sol.yp[some][:, 1:-1], by_differences[some], rtol=1e-4, atol=1e-4)


def test_terminal_events_end_the_solve():
    def falls(t, y):
        return y[0]

    falls.terminal, falls.direction = True, -1
    dae = OSCILLATOR
    sol = parscan.solve_dae(dae.fun, (0, np.inf), dae.y0, rtol=1e-9, atol=1e-9, events=falls, compile=True)
    assert sol.status == 1
    assert abs(sol.t[-1] - np.pi / 2) < 1e-8
    assert abs(sol.t_events[0][0] - np.pi / 2) < 1e-8


def test_named_method_solves_once():
    once, again = solved(method="Radau", compile=True), solved(compile=True)
    assert near(once)
    assert np.isnan(once.error_estimate)
    assert once.nfev < again.nfev


def test_starts_are_prepared_once(monkeypatch):
    """A second solve of the same problem looks for neither its index nor a consistent start."""

    def fun(t, y, yp, rate):
        return [yp[0] + rate * y[0], y[1] - rate * y[0]]

    calls, prepared = [], module.prepared
    monkeypatch.setattr(module, "prepared", lambda *given, **others: calls.append(1) or prepared(*given, **others))
    for rate, expected in ((1.0, 1), (1.0, 1), (2.0, 2), (1.0, 2)):
        sol = solved(fun, (1.0, 0.0), args=(rate,), compile=True)
        assert near(sol, rate)
        assert "moved by up to" in sol.decisions[1]
        assert len(calls) == expected


def test_what_functions_read_is_read_again():
    given = {"rate": 1.0}

    def fun(t, y, yp):
        return [yp[0] + given["rate"] * y[0], y[1] - given["rate"] * y[0]]

    for rate in (1.0, 3.0, 1.0):
        given["rate"] = rate
        assert near(solved(fun, (1.0, rate), compile=True), rate)


def test_where_code_ends_early_the_function_is_called():
    def fun(t, y, yp):
        return [yp[0] - y[1], y[1] - y[0] ** 2]

    sol = parscan.solve_dae(fun, (0, 2), [1.0, 1.0])
    assert not sol.success
    assert not sol.compiled
    assert any("Machine code came to t = " in one for one in sol.decisions)
    demanded = parscan.solve_dae(fun, (0, 2), [1.0, 1.0], compile=True)
    assert not demanded.success
    assert demanded.compiled
    assert abs(demanded.t[-1] - 1) < 1e-3


@pytest.mark.parametrize("mass", [np.eye(2), np.array([1.0, 1.0])])
def test_identity_is_no_mass(mass):
    def fun(t, y):
        return [y[1], -np.sin(y[0])]

    options = {"rtol": 1e-9, "atol": 1e-9}
    one = parscan.solve_ivp(fun, (0, 5), [1.0, 0.0], mass=mass, compile=True, **options)
    other = parscan.solve_ivp(fun, (0, 5), [1.0, 0.0], **options)
    assert one.compiled
    np.testing.assert_allclose(one.y[:, -1], other.y[:, -1], rtol=2e-8, atol=2e-8)


def test_progress_is_told():
    seen = []
    solved(progress=seen.append, compile=True)
    assert seen


@pytest.mark.parametrize("end", [2.0, 5.0, 10.0, 12.3])
def test_no_last_step_is_far_shorter_than_the_one_before(end):
    """Errors of a constraint are divided by the length of the step, or its square, in components of higher index."""

    def pendulum(t, state):
        x, y, u, v, force = state
        return [u, v, -force * x, -force * y - 9.81, x**2 + y**2 - 1]

    start = [1.0, 0.0, 0.0, 0.0, 0.0]
    sol = parscan.solve_ivp(pendulum, (0, end), start, mass=[1, 1, 1, 1, 0], rtol=1e-4, atol=1e-4, compile=True)
    before, last = np.diff(sol.t)[-2:]
    assert sol.success
    assert last > 0.45 * before

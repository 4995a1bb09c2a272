"""Solves by machine code, against exact solutions and SciPy's solver with tight tolerances."""

import pickle
import sys
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipys

from parscan import solve_ivp
from parscan._engine.termination import Termination
from parscan._functions.right_hand_side import RightHandSide
from parscan._ivp.compiled import ends, march, repeat
from parscan._ivp.compiled.march import March
from parscan._ivp.compiled.recorded import Compared, Recorded
from parscan._ivp.compiled.solvers import APART, RADAU
from parscan._recorded import memo
from parscan._recorded.witness import Witness
from tests.support.ode_problems import ODES, event, lotka_volterra, oscillator, pendulum

TIGHT = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12}


def solve(*args, rtol=1e-8, atol=1e-8, **options):
    return solve_ivp(*args, rtol=rtol, atol=atol, compile=True, **options)


@pytest.mark.parametrize("rtol", [1e-4, 1e-7, 1e-10])
@pytest.mark.parametrize("ode", ODES, ids=lambda ode: ode.name)
def test_errors_at_the_end(ode, rtol):
    sol = solve_ivp(ode.fun, (0.0, ode.end), list(ode.y0), rtol=rtol, atol=rtol * ode.scale, compile=True)
    assert sol.success
    assert sol.compiled
    assert ode.error(sol.y[:, -1], rtol) <= 10
    assert sol.error_estimate >= 0
    assert "machine code" in sol.message


def test_the_fields():
    sol = solve(oscillator, (0.0, 7.0), [0.0, 1.0])
    assert (sol.status, sol.termination, sol.success, sol.compiled) == (0, Termination.FINISHED, True, True)
    assert sol.method == "Taylor"  # there is no product in the series
    assert sol.t[0] == 0.0
    assert sol.t[-1] == 7.0
    np.testing.assert_array_equal(sol.mesh, sol.t)
    assert sol.y.shape == (2, len(sol.t))
    np.testing.assert_allclose(sol.y, [np.sin(sol.t), np.cos(sol.t)], atol=1e-6)
    assert sol.t_events is None
    assert sol.sol is None
    assert not solve_ivp(oscillator, (0.0, 7.0), [0.0, 1.0], rtol=1e-8).compiled


@pytest.mark.parametrize("span", [(0.0, 7.0), (7.0, 0.0), (-3.0, 5.0)])
@pytest.mark.parametrize("options", [{}, {"dense_output": True}, {"events": lambda t, y: y[0]}])
def test_times_of_the_output(span, options):
    """Written by the solver, or taken from polynomials; also at both ends, and in both directions."""
    y0 = [np.sin(span[0]), np.cos(span[0])]
    for times in (np.linspace(*span, 201), np.linspace(*span, 5)[1:-1], np.array([span[0]]), np.zeros(0)):
        sol = solve(oscillator, span, y0, t_eval=times, **options)
        assert sol.compiled
        np.testing.assert_array_equal(sol.t, times)
        np.testing.assert_allclose(sol.y, [np.sin(times), np.cos(times)], atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dense_output(dtype):
    y0 = np.array([1.0, 0.5], dtype)
    sol = solve(pendulum, (0.0, 9.0), y0, rtol=2e-5, dense_output=True)
    assert sol.y.dtype == dtype
    expected = scipys(pendulum, (0.0, 9.0), y0.astype(float), dense_output=True, **TIGHT)
    times = np.linspace(0, 9, 500)
    np.testing.assert_allclose(sol.sol(times), expected.sol(times), atol=1e-4)
    assert sol.sol(times).dtype == dtype
    np.testing.assert_allclose(sol.sol(sol.t), sol.y, atol=1e-6)
    assert sol.sol(4.0).shape == (2,)


def test_events():
    """Counted, with a direction, and terminal."""
    events = [
        event(lambda t, y: y[0]),
        event(lambda t, y: y[0], direction=1),
        event(lambda t, y: y[1] - 0.5, terminal=4),
        event(lambda t, y: y[0] - 2.0),
    ]
    sol = solve(oscillator, (0.0, 100.0), [0.0, 1.0], events=events, dense_output=True)
    assert sol.compiled
    assert (sol.status, sol.termination) == (1, Termination.EVENT)
    stop = 2 * np.pi + 5 * np.pi / 3
    np.testing.assert_allclose(sol.t_events[0], np.pi * np.arange(4), atol=1e-7)
    np.testing.assert_allclose(sol.t_events[1], 2 * np.pi * np.arange(2), atol=1e-7)
    np.testing.assert_allclose(sol.t_events[2], [np.pi / 3, 5 * np.pi / 3, 7 * np.pi / 3, stop], atol=1e-7)
    assert sol.t_events[3].size == 0
    assert sol.t[-1] == sol.mesh[-1] == sol.t_events[2][-1]
    np.testing.assert_allclose(sol.y[:, -1], [np.sin(stop), 0.5], atol=1e-7)
    np.testing.assert_allclose(sol.y_events[2][:, 1], 0.5, atol=1e-7)
    assert sol.sol.t_max == sol.t[-1]
    times = solve(oscillator, (0.0, 100.0), [0.0, 1.0], events=events, t_eval=np.arange(0, 99.0))
    np.testing.assert_array_equal(times.t, np.arange(12))
    np.testing.assert_allclose(times.y[0], np.sin(times.t), atol=1e-6)


def test_an_event_that_ends_an_endless_span():
    def falling(t, y, gravity):
        return [y[1], -gravity]

    hits = event(lambda t, y, gravity: y[0], terminal=True, direction=-1)
    sol = solve(falling, (0.0, inf), [10.0, 0.0], args=(9.81,), events=hits)
    assert sol.compiled
    np.testing.assert_allclose(sol.t[-1], np.sqrt(20 / 9.81), rtol=1e-8)


def test_nothing_behind_a_terminal_event_matters():
    """The function is not finite behind the event."""
    stops = event(lambda t, y: y[0] - 0.01, terminal=True)
    sol = solve(lambda t, y: -0.5 / y, (0.0, 2.0), [1.0], events=stops)
    assert sol.compiled
    np.testing.assert_allclose(sol.t[-1], 1 - 1e-4, rtol=1e-7)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_jumps_are_ends_of_steps(backwards, dense):
    def fun(t, y, height):
        return [np.where(t < 1.0, 1.0, np.where(t < 2.5, height, -1.0)) + 0 * y[0]]

    def exact(t):
        return np.where(t < 1, t, np.where(t < 2.5, 1 + 3 * (t - 1), 5.5 - (t - 2.5)))

    span = (4.0, 0.0) if backwards else (0.0, 4.0)
    times = np.linspace(*span, 41)
    for t_eval in (None, times):
        sol = solve(fun, span, [exact(span[0])], args=(3.0,), jumps=[2.5, 1.0], t_eval=t_eval, dense_output=dense)
        assert sol.compiled
        assert {1.0, 2.5} <= set(sol.mesh.tolist())
        np.testing.assert_allclose(sol.y[0], exact(sol.t), rtol=1e-13, atol=1e-13)
        if dense:
            np.testing.assert_allclose(sol.sol(times)[0], exact(times), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("number", range(12))
def test_kinks_and_pulses_in_time(number, rtol):
    """
    Without `jumps`: orders of the method do not hold there, and a pulse is a twentieth of the span or longer.

    Two marches may have nearly the same error there, which is then not seen; so the bound is wider than elsewhere.
    """
    rng = np.random.default_rng(number)
    place, height, width = rng.uniform(2, 8), rng.uniform(1, 50), rng.uniform(0.5, 1.0)
    kink = solve(lambda t, y: [np.where(t < place, t, 2 * place - t)], (0, 10), [1.0], rtol=rtol, atol=rtol)
    exact = 1 + place**2 / 2 + 2 * place * (10 - place) - (100 - place**2) / 2
    assert kink.compiled
    assert abs(kink.y[0, -1] - exact) <= 100 * rtol * (1 + abs(exact))
    pulse = solve(
        lambda t, y: [height * np.where(abs(t - place) < width / 2, 1.0, 0.0)], (0, 10), [1.0], rtol=rtol, atol=rtol
    )
    assert abs(pulse.y[0, -1] - 1 - height * width) <= 100 * rtol * (2 + height * width)


def turning(t, y, rate):
    return [1j * rate * y[0], -y[1] + 1j * np.abs(y[0]) ** 2]


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
@pytest.mark.parametrize("options", [{}, {"t_eval": np.linspace(0, 3, 31)}, {"dense_output": True}])
def test_complex_states(dtype, options):
    rtol = 1e-8 if dtype == np.complex128 else 2e-5
    sol = solve(turning, (0.0, 3.0), np.array([1.0, 0.5j], dtype), args=(2.0,), rtol=rtol, atol=rtol, **options)
    assert sol.compiled
    assert sol.y.dtype == dtype

    def exact(t):
        return [np.exp(2j * t), 1j * (1 - 0.5 * np.exp(-t))]

    np.testing.assert_allclose(sol.y, exact(sol.t), atol=30 * rtol)
    if "dense_output" in options:
        np.testing.assert_allclose(sol.sol(np.linspace(0, 3, 50)), exact(np.linspace(0, 3, 50)), atol=30 * rtol)


def test_stiff_complex_states_and_events():
    def fun(t, y):
        return [-1e5 * (y[0] - np.exp(1j * t)) + 1j * np.exp(1j * t)]

    sol = solve(fun, (0.0, 6.0), [1.5 + 1j], atol=[1e-8], events=lambda t, y: y[0].real)
    assert sol.compiled
    assert sol.method == "Radau13"
    np.testing.assert_allclose(sol.y[0, -1], np.exp(6j), atol=1e-7)
    np.testing.assert_allclose(sol.t_events[0], [np.pi / 2, 3 * np.pi / 2], atol=1e-6)


def test_options_of_steps():
    sol = solve(oscillator, (0.0, 10.0), [0.0, 1.0], max_step=0.1)
    assert np.max(np.diff(sol.t)) <= 0.1 + 1e-12
    sol = solve(oscillator, (0.0, 10.0), [0.0, 1.0], first_step=1e-3)
    assert sol.t[1] == pytest.approx(1e-3)
    rtol, atol = [1e-10, 1e-4], [1e-12, 1e-4]
    sol = solve(lambda t, y: [-y[0], -3 * y[1]], (0.0, 2.0), [1.0, 1.0], rtol=rtol, atol=atol)
    assert abs(sol.y[0, -1] - np.exp(-2)) <= 1e-10
    assert abs(sol.y[1, -1] - np.exp(-6)) <= 1e-4


def test_functions_of_columns():
    def fun(t, y):
        assert y.ndim == 2
        return np.stack([y[1], -y[0]])

    sol = solve(fun, (0.0, 3.0), [0.0, 1.0], vectorized=True)
    assert sol.compiled
    np.testing.assert_allclose(sol.y[0, -1], np.sin(3), rtol=1e-7)


def test_parameters_in_an_array():
    def fun(t, y, rates):
        return [rates[0] * y[1], -rates[1] * y[0]]

    for rates in ([1.0, 1.0], [4.0, 1.0]):
        sol = solve(fun, (0.0, 3.0), [0.0, 1.0], args=(np.array(rates),))
        frequency = np.sqrt(rates[0] * rates[1])
        np.testing.assert_allclose(sol.y[1, -1], np.cos(3 * frequency), atol=1e-7)


def test_few_calls_of_the_function(monkeypatch):
    """A second solve calls the function once for a sample of the states, whatever the number of steps."""
    for end in (1.0, 30.0):
        assert solve(lotka_volterra, (0.0, end), [10.0, 5.0]).compiled
    counts, given, all_of = [], RightHandSide.evaluate, ends.are_like
    monkeypatch.setattr(RightHandSide, "evaluate", lambda *args: counts.append(True) or given(*args))
    monkeypatch.setattr(ends, "are_like", lambda *args, stacks: counts.append(stacks) or all_of(*args, stacks=stacks))
    for name in ("each", "at", "sequential"):
        monkeypatch.setattr(RightHandSide, name, None)
    assert solve(lotka_volterra, (0.0, 20.0), [9.0, 5.0]).compiled
    assert counts == [True]


def test_a_warm_start_and_derivatives():
    sol = solve(pendulum, (0.0, 5.0), [1.0, 0.0])
    again = solve_ivp(pendulum, (0.0, 5.0), [1.001, 0.0], guess=sol, rtol=1e-8, atol=1e-8)
    assert again.success
    assert again.method == "Radau"
    change = 1e-6
    moved = [solve(pendulum, (0.0, 5.0), [1.0 + sign * change, 0.0], rtol=1e-12, atol=1e-12) for sign in (1, -1)]
    expected = (moved[0].y[:, -1] - moved[1].y[:, -1]) / (2 * change)
    np.testing.assert_allclose(sol.tangent(y0=np.array([1.0, 0.0]))[:, -1], expected, rtol=1e-5)
    copy = pickle.loads(pickle.dumps(sol))
    np.testing.assert_array_equal(copy.y, sol.y)


def relaxing(t, y, rate):
    """From 1: cos(t), after a transient if the start is another one."""
    return [-rate * (y[0] - np.cos(t)) - np.sin(t)]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("options", [{}, {"dense_output": True}, {"t_eval": True}, {"events": lambda t, y, rate: y[0]}])
def test_stiff_problems_are_handed_over(options, backwards, monkeypatch):
    monkeypatch.setattr(memo, "_kept", OrderedDict())  # nothing is known from earlier solves
    span, rate = ((0.0, -10.0), -1e5) if backwards else ((0.0, 10.0), 1e5)
    times = np.linspace(*span, 77)
    given = {**options, "t_eval": times} if "t_eval" in options else options
    sol = solve(relaxing, span, [1.5], args=(rate,), rtol=1e-7, atol=1e-7, **given)
    assert sol.compiled
    assert sol.method == "Radau13"
    first = "DOP853" if options.keys() & {"dense_output", "events"} else "Taylor"
    assert f"By machine code of `fun`: {first}, from t = " in sol.message
    assert "on Radau13, because the problem is stiff" in sol.message
    late = abs(sol.t) > 1e-3
    np.testing.assert_allclose(sol.y[0, late], np.cos(sol.t[late]), atol=2e-6)
    if "dense_output" in options:
        np.testing.assert_allclose(sol.sol(times)[0, 1:], np.cos(times[1:]), atol=2e-6)
    if "events" in options:
        np.testing.assert_allclose(abs(sol.t_events[0]), np.pi * np.arange(0.5, 3), atol=2e-6)


def test_the_stiff_method_is_taken_at_once_where_it_was_needed(monkeypatch):
    monkeypatch.setattr(memo, "_kept", OrderedDict())

    def fun(t, y, rate):
        return [-rate * (y[0] - np.cos(t)) - np.sin(t)]

    first, *others = (solve(fun, (0.0, 10.0), [1.5], args=(1e5,)) for _ in range(17))
    assert "from t = " in first.message
    assert all("from t = " not in sol.message and sol.method == "Radau13" for sol in others[:-1])
    assert "from t = " in others[-1].message  # it is tried anew
    for sol in (first, *others):
        np.testing.assert_allclose(sol.y[0, -1], np.cos(10), atol=1e-7)
    assert [solve(fun, (0.0, 10.0), [1.5], args=(1.0,)).method for _ in range(17)][-1] in ("DOP853", "Taylor")


def test_stiff_problems_with_jumps():
    def fun(t, y):
        return -1e4 * (y - np.where(t < 1, 1.0, np.where(t < 2, 3.0, -1.0)))

    sol = solve(fun, (0.0, 3.0), [0.0], jumps=[1.0, 2.0], t_eval=[0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    assert sol.compiled
    np.testing.assert_allclose(sol.y[0], [1, 1, 3, 3, -1, -1], rtol=1e-7)


def winding(t, y):
    angle = y[0]
    while angle > np.pi:
        angle -= 2 * np.pi
    return [1 + 0.5 * np.sin(angle)]


def test_reasons_for_not_compiling():
    with pytest.raises(TypeError, match=r"`compile=True` asks: it branches on values in more .* \(test_solve.py:\d+\)"):
        solve(winding, (0.0, 1.0), [1.0])
    with pytest.raises(TypeError, match="`compile=True` is for the method 'auto'"):
        solve(oscillator, (0.0, 1.0), [0.0, 1.0], method="RK45")
    with pytest.raises(TypeError, match=r"works on a batch of shape \(4,\)"):
        solve(oscillator, (0.0, 1.0), np.ones((2, 4)), dense_output=True)


def test_a_function_that_contradicts_its_record():
    def fun(t, y):
        if not hasattr(y, "graph") and np.max(y) > 5:
            return -2 * y
        return 1.0 * y

    with pytest.raises(TypeError, match="gave other values than its recorded operations"):
        solve(fun, (0.0, 3.0), [1.0])


def test_what_code_cannot_finish_is_left_to_the_usual_methods():
    sol = solve(lambda t, y: y**2, (0.0, 2.0), [1.0])
    assert not sol.success
    assert sol.t[-1] == pytest.approx(1.0, rel=1e-3)
    assert "Machine code of `fun` left the solution at t = " in sol.message


def test_tables_finer_than_the_steps_are_compared_between_their_times(monkeypatch):
    """All steps end at breakpoints: another solve of the problem compared nothing, and failed."""
    times = np.linspace(0, 10, 2001)
    table, compared = np.sin(times), []
    differs = Recorded.is_contradicted
    monkeypatch.setattr(Recorded, "is_contradicted", lambda *args: compared.append(len(args[3])) or differs(*args))

    def growth(t, y):
        return (np.interp(t, times, table) - 0.5) * y

    for _ in range(3):
        sol = solve(growth, (0, 10), [1.0])
    assert min(compared) > 0
    expected = scipys(growth, (0, 10), [1.0], max_step=0.005, **TIGHT).y[:, -1]
    assert np.allclose(sol.y[:, -1], expected, rtol=1e-7)


def test_chaos_is_told():
    def lorenz(t, y):
        return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]

    sol = solve(lorenz, (0.0, 60.0), [1.0, 1.0, 1.0])
    assert sol.compiled
    assert sol.error_estimate > 1e3
    assert "grow to such errors along the solution, as in chaos" in sol.message


def test_progress():
    seen = []
    sol = solve(oscillator, (0.0, 2000.0), [0.0, 1.0], progress=seen.append)
    assert sol.compiled
    assert seen
    assert seen[-1].done <= 2000


@pytest.mark.parametrize("end", [0.0, 1e-300, 1e-9])
def test_short_spans(end):
    sol = solve(oscillator, (0.0, end), [0.0, 1.0])
    assert sol.success
    np.testing.assert_allclose(sol.y[:, -1], [np.sin(end), np.cos(end)], rtol=1e-12, atol=1e-300)


def test_a_span_that_is_left_to_the_stiff_method_at_once_has_each_time_once(monkeypatch):
    """The explicit steps are all left out there, but the begin is among the times."""
    monkeypatch.setattr(memo, "_kept", OrderedDict())

    def fun(t, y):
        return [y[1], 100 * (1 - y[0] ** 2) * y[1] - y[0]]

    times = np.linspace(0.0, 50.0, 84)
    sol = solve(fun, (0.0, 50.0), [2.0, 0.0], rtol=1e-3, atol=1e-3, t_eval=times)
    assert sol.compiled
    assert sol.y.shape == (2, len(times))
    expected = scipys(fun, (0.0, 50.0), [2.0, 0.0], method="Radau", t_eval=times, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sol.y, expected.y, atol=1e-2)


@pytest.mark.parametrize("rtol", [1e-6, 1e-8])
def test_pulses_that_one_march_passes_over(rtol):
    """The difference of two marches, only one of which has seen them all, says nothing of the error of that one."""

    def fun(t, y):
        return [np.where(np.mod(t, 100 / 3) < 1 / 3, 3.0, 0.0) + 0 * y[0]]

    sol = solve(fun, (0.0, 100.0), [0.0], rtol=rtol, atol=rtol)
    assert sol.compiled
    assert sol.error_estimate <= 10
    assert abs(sol.y[0, -1] - 3) <= 10 * rtol * 4


def test_solves_within_solves_and_in_threads():
    """Runs are lent to one solve at a time."""

    def end(k):
        return solve(pendulum, (0.0, 5.0 + k), [1.0 + 0.1 * k, 0.0]).y[:, -1]

    expected, inner = [end(k) for k in range(6)], []
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(end, [*range(6)] * 5))
    np.testing.assert_allclose(found, expected * 5, rtol=1e-7, atol=1e-7)
    outer = solve(pendulum, (0.0, 5.0), [1.0, 0.0], progress=lambda _: inner.append(end(1)))
    np.testing.assert_allclose(outer.y[:, -1], expected[0], rtol=1e-7, atol=1e-7)
    assert inner
    np.testing.assert_allclose(inner, [expected[1]] * len(inner), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"dense_output": True}, {"t_eval": np.linspace(0, 9, 40)}, {"max_step": 0.1}])
def test_marches_in_one_call_are_those_one_by_one(options, monkeypatch):
    _, both = (solve(pendulum, (0.0, 9.0), [1.0, 0.5], **options) for _ in range(2))  # with what the first one learnt
    monkeypatch.setattr(March, "twice", lambda *_: None)
    one = solve(pendulum, (0.0, 9.0), [1.0, 0.5], **options)
    np.testing.assert_array_equal(both.t, one.t)
    np.testing.assert_array_equal(both.y, one.y)
    assert both.error_estimate == pytest.approx(one.error_estimate, rel=1e-6)
    assert one.nfev - 3 * len(one.mesh) <= both.nfev <= one.nfev
    if "dense_output" in options:
        np.testing.assert_array_equal(both.sol(one.t + 0.01), one.sol(one.t + 0.01))


RATE = 1.0


def rated(t, y):
    return [RATE * y[1], -y[0]]


def test_later_solves_of_a_problem_compare_one_state(monkeypatch):
    """At each solve another one; other problems with the function are compared in full."""
    monkeypatch.setattr(memo, "_kept", OrderedDict())
    monkeypatch.setattr(repeat, "_known", OrderedDict())
    monkeypatch.setattr(repeat, "ends_of", lambda *_: None)
    whole, states = [], []
    compared, given = Recorded._differs, Compared.agrees

    def agrees(self, problem, t, *rest):
        def fun(time, y, *args):
            states.append(time)
            return problem.fun(time, y, *args)

        return given(self, replace(problem, fun=fun), t, *rest)

    monkeypatch.setattr(Recorded, "_differs", lambda *args: whole.append(args) or compared(*args))
    monkeypatch.setattr(Compared, "agrees", agrees)

    def counts(y0=(1.0, 0.0), end=9.0, args=(), **options):
        whole.clear()
        states.clear()
        assert solve(rated, (0.0, end), list(y0), args=args, **options).compiled
        return len(whole), len(states)

    assert counts() == (1, 0)
    times = [(counts(), states[0])[1] for _ in range(5)]
    assert len(set(times)) == 5
    assert counts() == (0, 1)
    assert counts(end=8.0) == counts() == (1, 0)
    assert counts(y0=(1.0, 0.5)) == counts() == (1, 0)
    assert counts(rtol=1e-9) == counts() == (1, 0)


def test_solves_that_are_repeated_at_once_compare_as_many(monkeypatch):
    monkeypatch.setattr(memo, "_kept", OrderedDict())
    monkeypatch.setattr(repeat, "_known", OrderedDict())
    whole, states = [], []
    all_of = ends.are_like
    monkeypatch.setattr(ends, "are_like", lambda *args, **option: whole.append(args[2].size) or all_of(*args, **option))

    def note(frame, event, _):
        if event == "call" and frame.f_code is rated.__code__ and frame.f_locals["y"].ndim == 1:
            states.append(frame.f_locals["t"])

    def counts(y0=(1.0, 0.0), end=9.0, **options):
        whole.clear()
        states.clear()
        sys.setprofile(note)
        try:
            assert solve(rated, (0.0, end), list(y0), **options).compiled
        finally:
            sys.setprofile(None)
        return len(whole), len(states)

    assert not counts()[0]
    assert counts() == (1, 0)
    assert 10 < whole[0] <= 32
    times = [(counts(), states[0])[1] for _ in range(5)]
    assert len(set(times)) == 5
    assert counts() == (0, 1)
    assert counts(end=8.0) == counts() == (1, 0)
    assert counts(y0=(1.0, 0.5)) == counts() == (1, 0)
    counts(rtol=1e-9)  # what needs a smaller share of the tolerances is found out first
    counts()
    assert counts(rtol=1e-9) == counts() == (1, 0)


def test_vectors_of_functions_that_are_rounded_otherwise(monkeypatch):
    """Where their roundings are multiplied by a large number, the marches are made again without vectors."""

    def fun(t, y):
        return [np.exp(1e6 * (np.cos(2 * np.pi * t) - 1)) - y[0]]

    monkeypatch.setattr(memo, "_kept", OrderedDict())
    calls, given = [], Recorded.is_contradicted
    monkeypatch.setattr(Recorded, "is_contradicted", lambda *args: calls.append(args[0]) or given(*args))
    sol = solve(fun, (0.0, 20.0), [0.0], rtol=1e-8)
    assert sol.compiled
    assert len(calls) == (2 if APART in calls[0].notes else 1)
    calls.clear()
    monkeypatch.setattr(Recorded, "is_contradicted", lambda *args: calls.append(args[0]) or len(calls) == 1)
    assert solve(lambda t, y: [y[0]], (0.0, 1.0), [1.0]).compiled
    assert len(calls) == 2
    assert APART in calls[0].notes


def test_a_function_that_differs_at_a_later_solve(monkeypatch):
    assert solve(rated, (0.0, 9.0), [1.0, 0.0]).compiled
    assert solve(rated, (0.0, 9.0), [1.0, 0.0]).compiled
    monkeypatch.setattr(Witness, "holds", lambda *_: True)  # what it reads has changed, but nobody sees it
    monkeypatch.setattr(sys.modules[__name__], "RATE", 1.25)
    with pytest.raises(TypeError, match="gave other values than its recorded operations"):
        solve(rated, (0.0, 9.0), [1.0, 0.0])


def reactions(t, y):
    """Four substances whose rates are fast where they are scarce (Hairer and Wanner 1996, section IV.10: E5)."""
    a, b, c, d = y
    slow, fast, bound, freed = 7.89e-10 * a, 1.13e9 * 1.76e-3 * b * c, 1.1e7 * 1.76e-3 * a * c, 1.13e3 * d
    return [-slow - bound, slow - fast, slow - bound + freed - fast, bound - freed]


@pytest.mark.parametrize("options", [{}, {"dense_output": True}, {"t_eval": [0.0, 1.0, 1e3, 1e4]}])
def test_where_iterations_find_no_stages_the_other_stiff_method_goes_on(options, monkeypatch):
    monkeypatch.setattr(memo, "_kept", OrderedDict())
    monkeypatch.setattr(march, "stiff_method", lambda recorded, rtol: RADAU)
    sol = solve(reactions, (0.0, 1e4), [1.0, 0.0, 0.0, 0.0], rtol=3e-3, atol=1e-6, **options)  # at 1e-3 by chance only
    assert sol.compiled
    assert sol.method == "Rodas5P"
    np.testing.assert_allclose(sol.y[0, -1], 0.41138715352, rtol=1e-2)


@pytest.mark.parametrize(("rtol", "method"), [(1e-4, "Rodas5P"), (1e-7, "Radau13"), (1e-11, "Radau13")])
def test_which_stiff_method_is_taken(rtol, method):
    sol = solve(relaxing, (0.0, 10.0), [1.0], args=(1e6,), rtol=rtol, atol=rtol)
    assert sol.method == method
    np.testing.assert_allclose(sol.y[0, -1], np.cos(10), rtol=0, atol=10 * rtol)


def everything_with_everything(t, y):
    """Fast and slow decays, in coordinates in which no entry of the Jacobian is zero."""
    n = len(y)
    vectors = np.cos(np.pi * np.arange(n) * (np.arange(n)[:, None] + 0.5) / n)
    return np.linalg.inv(vectors) @ (-(10.0 ** np.linspace(-1, 4, n)) * (vectors @ y))


@pytest.mark.parametrize(("n", "rtol", "method"), [(5, 1e-7, "Radau13"), (60, 1e-7, "Rodas5P"), (60, 1e-11, "Radau13")])
def test_full_matrices_count(n, rtol, method):
    """Long steps pay for complex factorisations with tight tolerances only, if there are many components."""
    sol = solve(everything_with_everything, (0.0, 0.5), np.ones(n), rtol=rtol, atol=rtol)
    assert sol.method == method
    vectors = np.cos(np.pi * np.arange(n) * (np.arange(n)[:, None] + 0.5) / n)
    decays = np.exp(-0.5 * 10.0 ** np.linspace(-1, 4, n))
    exact = np.linalg.solve(vectors, decays * (vectors @ np.ones(n)))
    np.testing.assert_allclose(sol.y[:, -1], exact, rtol=0, atol=20 * rtol)


def kepler(t, y):
    cubed = (y[0] ** 2 + y[1] ** 2) ** 1.5
    return [y[2], y[3], -y[0] / cubed, -y[1] / cubed]


def test_tolerances_near_rounding():
    """Local errors of the explicit method may be smaller than rounding, so that the error at the end is within them."""
    *_, sol = (solve(kepler, (0.0, 20.0), [0.5, 0.0, 0.0, 3**0.5], rtol=1e-12, atol=1e-12) for _ in range(2))
    assert sol.compiled
    assert sol.error_estimate <= 1
    np.testing.assert_allclose(sol.y[:2, -1], [-0.578043295303536123, 0.863384000919419280], rtol=0, atol=1e-12)


def test_functions_that_are_known_with_few_digits():
    """A further march, whose steps would have to be tiny, is given up."""

    def noisy(t, y):
        return [y[1] * (1 + 1e-10 * np.sin(1e9 * y[0])), -np.sin(y[0]) * (1 + 1e-10 * np.sin(3e9 * t))]

    sol = solve(noisy, (0.0, 20.0), [2.0, 0.0], rtol=1e-10, atol=1e-10)
    assert sol.compiled
    assert sol.nfev < 10**5
    assert sol.error_estimate > 1
    np.testing.assert_allclose(sol.y[:, -1], [-1.644567516512704, -0.8275778409430524], rtol=0, atol=1e-7)

"""Trials of the stiff method, where a fast decay shortens explicit steps below the limit of stability."""

from collections import OrderedDict
from math import inf

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp.compiled import accuracy, march, solvers, trial
from parscan._ivp.compiled.accuracy import ANEW
from parscan._ivp.compiled.solvers import ROSENBROCK
from parscan._recorded import memo
from parscan._recorded.budget import NoCodeError


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(memo, "_kept", OrderedDict())
    monkeypatch.setattr(trial, "GAIN", inf)  # numbers of steps decide, not times
    monkeypatch.setattr(solvers, "SERIES_AT", 0.0)  # Taylor series are too long for such steps


def relaxing(t, y):
    return [-1e3 * (y[0] - np.cos(t)) - np.sin(t)]


def lorenz(t, y):
    return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


def solve(fun, end, y0, rtol=1e-11, **options):
    return solve_ivp(fun, (0.0, end), y0, rtol=rtol, atol=rtol, compile=True, **options)


def failing(*_, **__):
    raise NoCodeError("is not compiled")


def relaxed(t, y):
    """The same by complex numbers."""
    return [-1e3 * (y[0] - np.exp(1j * t)) + 1j * np.exp(1j * t)]


@pytest.mark.parametrize("options", [{}, {"dense_output": True}, {"t_eval": [0.0, 4.0, 10.0]}, {"jumps": [20.0]}])
def test_the_stiff_method_is_taken_the_next_time(options):
    first, *others = (solve(relaxing, 10.0, [1.0], **options) for _ in range(3))
    assert first.method == "DOP853"
    assert [sol.method for sol in others] == ["Radau13"] * 2
    assert all(sol.nfev < first.nfev / 4 for sol in others)
    for sol in (first, *others):
        np.testing.assert_allclose(sol.y[0, -1], np.cos(10.0), rtol=0, atol=1e-10)
    assert solve(relaxing, 10.0, [1.0], 1e-10, **options).method == "DOP853"  # other tolerances are another question


def test_the_stiff_method_from_the_begin_on():
    """It was taken late; the trial shows that it needs fewer evaluations before."""

    def fun(t, y):
        return [-(1 + 1e4 * np.tanh(t) ** 8) * (y[0] - np.cos(t)) - np.sin(t)]

    first, second = (solve(fun, 10.0, [1.0], 1e-8) for _ in range(2))
    assert "from t = " in first.message
    assert "from t = " not in second.message
    assert [first.method, second.method] == ["Radau13"] * 2
    np.testing.assert_allclose(second.y[0, -1], np.cos(10.0), rtol=0, atol=1e-7)


def test_complex_states():
    first, second = (solve(relaxed, 10.0, [1.0 + 0j]) for _ in range(2))
    assert [first.method, second.method] == ["DOP853", "Radau13"]
    np.testing.assert_allclose(second.y[0, -1], np.exp(10j), rtol=0, atol=1e-10)


def test_up_to_an_event():
    def event(t, y):
        return t - 9.0

    event.terminal = True
    first, second = (solve(relaxing, 10.0, [1.0], events=event) for _ in range(2))
    assert [first.method, second.method] == ["DOP853", "Radau13"]
    np.testing.assert_allclose(second.y[0, -1], np.cos(9.0), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "changes",
    [{"GAIN": 0.0}, {"MANY": 10**6}, {"FAST": 10.0}, {"LARGEST": 0}, {"solver": failing}],
    ids=lambda changes: next(iter(changes)),
)
def test_the_explicit_method_stays(changes, monkeypatch):
    for name, value in changes.items():
        monkeypatch.setattr(trial, name, value)
    assert [solve(relaxing, 10.0, [1.0]).method for _ in range(2)] == ["DOP853"] * 2


def test_no_trial_of_problems_without_fast_decays(monkeypatch):
    monkeypatch.setattr(trial, "solver", lambda *_, **__: pytest.fail("a trial"))
    assert [solve(lorenz, 20.0, [1.0, 1.0, 1.0]).method for _ in range(2)] == ["DOP853"] * 2


def test_the_stiff_method_needs_more_steps(monkeypatch):
    for name in ("FAST", "MANY"):
        monkeypatch.setattr(trial, name, 0)
    monkeypatch.setattr(march, "stiff_method", lambda *_: ROSENBROCK)  # marches are tight: Radau13 needs fewer
    assert [solve(lorenz, 20.0, [1.0, 1.0, 1.0], 1e-5).method for _ in range(2)] == ["DOP853"] * 2


def test_it_is_asked_seldom(monkeypatch):
    asked, decays = [], trial._decays
    monkeypatch.setattr(trial, "_decays", lambda *given: asked.append(1) or decays(*given))
    for _ in range(17):
        solve(lorenz, 20.0, [1.0, 1.0, 1.0])
    assert len(asked) == 2


def decaying(t, y):
    return [-1e4 * (y[0] - np.cos(t)) - np.sin(t)]


@pytest.mark.parametrize("options", [{}, {"t_eval": [0.0, 4.0, 10.0]}, {"dense_output": True}])
@pytest.mark.parametrize("share", [0.0, inf])
def test_the_other_stiff_method_is_tried(share, options, monkeypatch):
    monkeypatch.setattr(accuracy, "FASTER", share)
    sols = [solve(decaying, 10.0, [1.5], 1e-6, **options) for _ in range(ANEW + 3)]
    methods = [sol.method for sol in sols]
    changes = share and "dense_output" not in options
    assert methods == ["Radau13"] * (ANEW + 1) + ["Rodas5P" if changes else "Radau13"] * 2
    for sol in sols:
        np.testing.assert_allclose(sol.y[0, -1], np.cos(10.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("rtol", [1e-6, 1e-8])
@pytest.mark.parametrize("count", [1, 2])
def test_a_thin_layer_is_left_to_the_stiff_method(count, rtol):
    """Accuracy limited the steps there, or made them zero: the test for stiffness said nothing, and the march ended."""

    def relays(t, y):
        forces = [0.5 * np.sin(t), 0.3 * np.cos(t)][:count]
        return np.stack([force - np.tanh(one / 1e-9) for one, force in zip(y, forces, strict=True)])

    sol = solve_ivp(relays, (0, 10), [1.0, 0.5][:count], rtol=rtol, atol=rtol, compile=True)
    assert sol.success
    assert sol.method == "Radau13"
    exact = 1e-9 * np.arctanh([0.5 * np.sin(10.0), 0.3 * np.cos(10.0)][:count])
    assert np.max(np.abs(sol.y[:, -1] - exact)) <= rtol
    assert sol.nfev < 10_000_000

"""How far a solve is: what functions are told and what is shown; and what is left when it is ended from outside."""

import io
import signal
import sys
import warnings
from contextlib import redirect_stderr
from functools import partial
from itertools import pairwise
from math import inf

import array_api_strict
import numpy as np
import pytest
from ode_methods import ON_MESH
from ode_problems import pendulum

import parscan
from parscan import Progress, solve_ivp, solve_recurrence
from parscan._reporting.progress import watch

STEPS = 4000


def step(y, x):
    return 0.9 * np.sin(y) + x


def recurrence(method="auto", step=step, **options):
    x = np.random.default_rng(0).standard_normal((STEPS, 2))
    return solve_recurrence(step, np.zeros(2), x, method=method, **{"segment_length": 20, **options})


def ode(method="auto", fun=pendulum, **options):
    return solve_ivp(fun, (0, 20), [1.0, 0.0], method, **{"rtol": 1e-6, "atol": 1e-6, **options})


def ensemble(fun=pendulum, **options):
    return solve_ivp(fun, (20, 0), np.linspace(0.5, 1.5, 60).reshape(2, 30), **options)


SOLVES = {
    "auto": recurrence,
    "newton": lambda **options: recurrence("newton", **options),
    "newton in windows": lambda **options: recurrence("newton", window=500, **options),
    "jacobi": lambda **options: recurrence("jacobi", **options),
    "elk": lambda **options: recurrence("elk", **options),
    "not converged": lambda **options: recurrence("newton", max_iterations=1, **options),
    "sequential": lambda **options: recurrence("sequential", segment_length=None, **options),
    **{name: partial(ode, name) for name in ON_MESH},
    "DEER": partial(ode, "DEER", rtol=1e-3),
    "Radau in windows": lambda **options: ode("Radau", window=5, **options),
    "auto, LSODA": lambda **options: ode(rtol=1e-3, **options),
    "LSODA": lambda **options: ode("LSODA", **options),
    "RK45": lambda **options: ode("RK45", **options),
    "BDF": lambda **options: ode("BDF", **options),
    "ensemble": ensemble,
}


def told_by(name, **options):
    told = []
    return SOLVES[name](progress=told.append, **options), told


@pytest.mark.parametrize("name", SOLVES)
def test_a_function_is_told(name):
    sol, told = told_by(name)
    assert sol.success
    assert all(isinstance(progress, Progress) for progress in told)
    assert told[-1].done == told[-1].total == (STEPS if hasattr(sol, "segment_length") else 20.0)
    assert told[-1].remaining == 0
    for before, after in pairwise(told):
        assert (before.done, before.iterations, before.seconds) <= (after.done, after.iterations, after.seconds)
        assert after.iterations <= before.iterations + 1
    assert told[-1].iterations == sol.iterations
    corrections = {progress.iterations: progress.correction for progress in told if progress.correction is not None}
    assert list(corrections.values()) == list(sol.history)


@pytest.mark.parametrize("name", SOLVES)
def test_what_is_left_is_told_from_what_is_done(name):
    _, told = told_by(name)
    for progress in told:
        assert (progress.remaining is None) == (progress.done == 0)
        if progress.done:
            pace = progress.seconds / progress.done
            assert progress.remaining == pytest.approx(pace * (progress.total - progress.done))


@pytest.mark.parametrize(
    ("name", "methods"),
    {
        "newton": {"newton"},
        "jacobi": {"jacobi"},
        "not converged": {"newton", "sequential"},
        "sequential": {"sequential"},
        "Radau": {"Radau"},
        "auto, LSODA": {"LSODA"},
        "RK45": {"RK45"},
        "ensemble": {"DOP853"},
    }.items(),
)
def test_methods_and_windows(name, methods):
    _, told = told_by(name)
    assert {progress.method for progress in told} == methods
    one_by_one = {"sequential", "LSODA", "RK45", "DOP853"}
    for progress in told:
        assert (progress.window == 1) == (progress.method in one_by_one)
        assert (progress.correction is None) == (progress.method in one_by_one)


@pytest.mark.parametrize(("name", "window"), [("newton in windows", 500), ("Radau in windows", 5)])
def test_windows_are_those_asked_for(name, window):
    _, told = told_by(name)
    assert max(progress.window for progress in told) == window
    assert len({progress.done for progress in told}) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVES)
def test_nothing_depends_on_it(name, clock):
    """The clock stands still: what auto measures is always the same."""
    sol, _ = told_by(name)
    assert np.array_equal(sol.y, SOLVES[name]().y)
    assert sol.nfev == SOLVES[name]().nfev


@pytest.mark.parametrize("solve", [recurrence, ode, ensemble])
@pytest.mark.parametrize("value", [None, "yes", 0.5, [True]])
def test_what_is_no_progress(solve, value):
    with pytest.raises(TypeError, match=r"`progress` must be True, False or a function that takes a parscan.Progress"):
        solve(progress=value)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVES)
def test_nothing_is_shown_unasked(name, capfd):
    SOLVES[name]()  # kernels that have to be compiled would be announced
    with redirect_stderr(Terminal()) as terminal:
        for options in ({}, {"progress": False}, {"progress": lambda progress: None}):
            SOLVES[name](**options)
    assert terminal.getvalue() == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", SOLVES)
def test_a_bar_on_a_terminal(name):
    with redirect_stderr(Terminal()) as terminal:
        sol = SOLVES[name](progress=True)
    last = terminal.getvalue().rstrip("\n").split("\r")[-1]
    assert "100%" in last
    assert ("4.00k/4.00k" in last) == hasattr(sol, "segment_length")
    assert (f"iteration {sol.iterations}" in last) == (sol.iterations > 0)


@pytest.mark.parametrize("name", SOLVES)
def test_lines_where_there_is_no_terminal(name, capsys):
    sol = SOLVES[name](progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("parscan: 100%")
    assert last.endswith(" s, 0.0 s left")
    assert (f", iteration {sol.iterations}" in last) == (sol.iterations > 0)


def test_lines_where_tqdm_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr("parscan._reporting.progress.FIRST", inf)  # one line, at the end, however long it takes
    with redirect_stderr(Terminal()) as terminal:
        recurrence("jacobi", progress=True)
    (line,) = terminal.getvalue().splitlines()
    assert line.startswith("parscan: 100%, 4000 of 4000 steps: jacobi, iteration 4, window 4000, correction 0.0004")


def test_programs_without_a_console(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert recurrence("jacobi", progress=True).success


@pytest.mark.slow
def test_lines_grow_rarer(capsys, clock):
    """In ten hours, a report every tenth of a second: no file is filled with lines."""
    with watch(True, 360_000, "step") as report:
        for done in range(1, 360_001):
            clock.now = 0.1 * done
            report(done, method="newton", window=10, iterations=done, correction=0.125)
    lines = capsys.readouterr().err.splitlines()
    told = "newton, iteration 10, window 10, correction 0.12; 1.0 s, 35999.0 s left"
    assert lines[0] == f"parscan:   0%, 10 of 360000 steps: {told}"
    assert 100 <= len(lines) <= 200
    assert lines[-1].startswith("parscan: 100%, 360000 of 360000 steps")


@pytest.mark.slow
def test_an_accelerator_is_asked_for_nothing_more(monkeypatch):
    """Numbers that leave an array library are counted, with and without progress."""
    taken = []
    for name in ("__float__", "__int__", "__bool__", "__index__", "__array__", "__buffer__"):
        original = getattr(array_api_strict._array_object.Array, name, None)
        if original is not None:
            counted = lambda self, *args, o=original, **options: (taken.append(1), o(self, *args, **options))[1]  # noqa: E731
            monkeypatch.setattr(array_api_strict._array_object.Array, name, counted)

    def oscillator(t, y):
        return [y[1, ...], -y[0, ...]]

    def solve(progress):
        xp = array_api_strict
        taken.clear()
        x = xp.asarray(np.random.default_rng(0).standard_normal((300, 2)))
        for method in ("newton", "jacobi", "sequential"):
            options = {"method": method, "segment_length": None if method == "sequential" else 10}
            solve_recurrence(lambda y, x: 0.9 * xp.sin(y) + x, xp.zeros(2), x, progress=progress, **options)
        solve_ivp(oscillator, (0, 5), xp.asarray([1.0, 0.0]), "Radau", rtol=1e-6, progress=progress)
        return len(taken)

    told = []
    assert solve(told.append) == solve(False) > 0
    assert told


class HaltError(Exception):
    pass


def ends(after, error):
    """Something that can be called so many times."""
    calls = 0

    def call(*_):
        nonlocal calls
        calls += 1
        if calls > after:
            raise error

    return call


@pytest.fixture
def whole():
    """Nothing of the state that is not the solve's own has changed in the end."""
    from tqdm import tqdm

    before = np.geterr(), list(warnings.filters)
    yield
    assert (np.geterr(), list(warnings.filters)) == before
    assert not tqdm._instances


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt(), HaltError("enough"), ValueError("of the user's")])
@pytest.mark.parametrize("name", SOLVES)
def test_what_a_function_raises_ends_the_solve(name, error, whole, clock):
    count = len(told_by(name)[1])
    for after in {0, count // 2, count - 1}:
        with pytest.raises(type(error)) as caught:
            SOLVES[name](progress=ends(after, error))
        assert caught.value is error
    assert np.array_equal(SOLVES[name]().y, SOLVES[name]().y)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVES)
def test_ctrl_c_in_the_users_function(name, whole, clock):
    """At any of its calls: the bar is closed, and the next solve is as good as ever."""
    expected = SOLVES[name]()
    of_recurrence = hasattr(expected, "segment_length")
    keyword, function = ("step", step) if of_recurrence else ("fun", pendulum)
    for after in {0, 1, expected.nfev // 2, expected.nfev - 5}:
        interrupt = ends(after, KeyboardInterrupt())

        def stopped(*arguments, interrupt=interrupt):
            interrupt()
            return function(*arguments)

        with redirect_stderr(Terminal()) as terminal, pytest.raises(KeyboardInterrupt):
            SOLVES[name](progress=True, **{keyword: stopped})
        assert terminal.getvalue()[-1:] in ("", "\n")
        assert np.array_equal(SOLVES[name]().y, expected.y)


@pytest.mark.parametrize("name", ["jacobi", "sequential", "Radau", "LSODA", "BDF"])
def test_a_signal_while_the_users_function_runs(name, whole, clock):
    expected = SOLVES[name]()
    keyword, function = ("step", step) if hasattr(expected, "segment_length") else ("fun", pendulum)
    calls = []

    def pressed(*arguments):
        calls.append(1)
        if len(calls) == 30:
            signal.raise_signal(signal.SIGINT)
        return function(*arguments)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with redirect_stderr(Terminal()), pytest.raises(KeyboardInterrupt):
            SOLVES[name](progress=True, **{keyword: pressed})
    finally:
        signal.signal(signal.SIGINT, previous)
    assert np.array_equal(SOLVES[name]().y, expected.y)


def test_nothing_of_the_users_is_half_written():
    x = np.random.default_rng(0).standard_normal((STEPS, 2))
    y0, guess = np.full(2, 0.5), np.ones((STEPS, 2))
    given = [array.copy() for array in (x, y0, guess)]
    for after in range(3):
        with pytest.raises(KeyboardInterrupt):
            solve_recurrence(
                step, y0, x, method="newton", guess=guess, window=1000, progress=ends(after, KeyboardInterrupt())
            )
    for array, copy in zip((x, y0, guess), given, strict=True):
        assert np.array_equal(array, copy)
    mesh, start = np.linspace(0, 20, 50), np.array([1.0, 0.0])
    earlier = ode("Radau", dense_output=True)
    given = [array.copy() for array in (mesh, start, earlier.y, earlier.t)]
    for options in ({"mesh": mesh}, {"guess": earlier}):
        with pytest.raises(KeyboardInterrupt):
            solve_ivp(pendulum, (0, 20), start, rtol=1e-9, progress=ends(1, KeyboardInterrupt()), **options)
    for array, copy in zip((mesh, start, earlier.y, earlier.t), given, strict=True):
        assert np.array_equal(array, copy)


def test_a_function_that_raises_once_is_not_asked_again():
    """SciPy's solvers are called again where `fun` returns something odd; not if it was the callback that raised."""
    calls = []

    def once(progress):
        calls.append(progress)
        if len(calls) == 1:
            raise HaltError

    with pytest.raises(HaltError):
        solve_ivp(lambda t, y: [[-y[0]]], (0, 1), [1.0], "RK45", progress=once)
    assert len(calls) == 1


def test_the_type_is_public():
    assert parscan.Progress is Progress
    assert "Progress" in parscan.__all__

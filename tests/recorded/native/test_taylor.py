"""Taylor series in machine code: against the recurrence by NumPy, and exact solutions; alone and in lanes."""

from functools import cache, partial

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import parscan._recorded.native.taylor as writer
from parscan._recorded.native import kept_drivers
from parscan._recorded.native.expressions import Code
from parscan._recorded.native.members import DENSE, STATES, Form
from parscan._recorded.native.status import Status
from parscan._recorded.native.taylor import NODES, PARTS, taylor
from parscan._recorded.record import record
from parscan._recorded.series import coefficients, series
from tests.recorded.native.test_explicit import PROBLEMS
from tests.support.compiled_solvers import FAILURES, check_comparison, check_end, whole_log

ORDER = 12

PLAIN = partial(Form, order=ORDER)


@pytest.fixture
def nothing_kept(monkeypatch):
    """Code is written anew."""
    monkeypatch.setattr(kept_drivers, "_load", lambda place: None)
    monkeypatch.setattr(kept_drivers, "_save", lambda *_: None)
    kept_drivers._kept.clear()
    solver.cache_clear()
    yield
    kept_drivers._kept.clear()
    solver.cache_clear()


@pytest.fixture(params=[False, True], ids=["written out", "loops"])
def is_looped(request, monkeypatch):
    """Both ways to write the recurrence."""
    if request.param:
        monkeypatch.setattr(writer, "WRITTEN_OUT", 0)
        request.getfixturevalue("nothing_kept")
    return request.param


@cache
def solver(fun, n, form=None, dtype=np.float64):
    program = record(fun, [np.zeros((), dtype), np.zeros(n, dtype)]).program
    return taylor(program, series(program, 10_000), form or PLAIN())


def solve(name, form=None, span=None, y0=None, **options):
    """All that a run gives."""
    fun, start, end = PROBLEMS[name]
    y0 = np.atleast_2d(start if y0 is None else y0)
    given = {"rtol": 1e-8, "atol": 1e-10, **options}
    run = solver(fun, y0.shape[1], form).start(*(span or (0.0, end)), y0, **given)
    return run, whole_log(run)


@cache
def exact(name, span=None, times=None):
    """By steps of another method, with the smallest tolerances."""
    fun, y0, end = PROBLEMS[name]
    return solve_ivp(fun, span or (0.0, end), y0, "DOP853", times, rtol=3e-14, atol=1e-14).y.T


def close(name, tolerance):
    """Small changes of chains that are chaotic grow."""
    grown = tolerance * (1000 if name.startswith("ring") else 1)
    return {"rtol": grown, "atol": grown}


@pytest.mark.parametrize("name", PROBLEMS)
def test_one_step_is_the_series(name, is_looped):
    """Tolerances are so loose that the first step goes to the end."""
    fun, start, _ = PROBLEMS[name]
    h, n = 0.01, len(start)
    run, _ = solve(name, span=(0.3, 0.3 + h), rtol=1e3, atol=1e3, first_step=h)
    assert run.counts[0, 1:3].tolist() == [1, 0]
    program = record(fun, [np.zeros(()), np.zeros(n)]).program
    rows = coefficients(series(program, 10_000), ORDER, 0.3, np.asarray(start), scale=h)
    np.testing.assert_allclose(run.y[0], rows.sum(axis=0), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_solutions(name, backwards, is_looped):
    """Local errors are below the tolerance; slopes at the ends of steps are those of the function."""
    span = (1.0, 0.25) if backwards else None
    run, (members, t, y) = solve(name, PLAIN(log=STATES), span)
    assert run.status == Status.FINISHED
    assert not members.any()
    expected = exact(name, span)[-1]
    np.testing.assert_allclose(run.y[0], expected, **close(name, 3e-8))
    np.testing.assert_array_equal(run.y[0], y[-1])
    np.testing.assert_allclose(run.slopes[-1], PROBLEMS[name][0](t[-1], y[-1]), rtol=1e-13, atol=1e-13)
    _, accepted, rejected, evaluations = run.counts[0]
    assert accepted == len(t)
    assert rejected <= accepted // 8
    assert evaluations == 2 + (ORDER + 1) * (accepted + rejected)


@pytest.mark.parametrize("order", [8, 12, 16, 20])
def test_order_of_convergence(order):
    """Steps of a length that is not controlled."""
    form, errors = Form(order=order), []
    steps = {8: 6, 12: 5, 16: 3, 20: 2}[order]
    fun, end = PROBLEMS["decay"][0], 4.0
    for count in (steps, 2 * steps):
        run = solver(fun, 1, form).start(
            0.0, end, np.ones((1, 1)), rtol=1e9, atol=1e9, max_step=end / count, first_step=end / count
        )
        assert not run.advance(100)
        assert run.counts[0, 1] in (count, count + 1)
        errors.append(abs(run.y[0, 0] - np.exp(np.cos(end) - 1)))
    assert order - 1.5 < np.log2(errors[0] / errors[1]) < order + 4


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("order", [12, 20])
def test_dense_output(name, order):
    """Slopes at Gauss's nodes of parts of steps are those of the function at the states there."""
    fun, y0, _ = PROBLEMS[name]
    tolerance = {12: 1e-8, 20: 1e-12}[order]
    _, (_, t, y, slopes) = solve(name, Form(order=order, log=DENSE), rtol=tolerance, atol=tolerance)
    assert slopes.shape[1] == PARTS * NODES
    nodes = (np.polynomial.legendre.leggauss(NODES)[0] + 1) / 2
    places = (np.arange(PARTS)[:, None] + nodes).ravel() / PARTS
    begins = np.concatenate([[0.0], t[:-1]])
    times = begins[:, None] + places * (t - begins)[:, None]
    states = exact(name, None, tuple(times.ravel())).reshape(slopes.shape)
    expected = [[fun(*pair) for pair in zip(*rows, strict=True)] for rows in zip(times, states, strict=True)]
    size = np.abs(expected).max()
    np.testing.assert_allclose(slopes, expected, rtol=1e-5, atol=1e4 * tolerance * size)
    ends = np.concatenate([[y0], y[:-1]]) + (t - begins)[:, None] * np.einsum(
        "j,kjn->kn", np.tile(np.polynomial.legendre.leggauss(NODES)[1], PARTS) / (2 * PARTS), slopes
    )
    np.testing.assert_allclose(ends, y, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_values_at_times(name, backwards):
    span = (1.0, 0.25) if backwards else (0.0, PROBLEMS[name][2])
    times = np.linspace(*span, 60)
    run, _ = solve(name, PLAIN(has_times=True), span, times=times)
    np.testing.assert_allclose(run.values[0], exact(name, span, tuple(times)), **close(name, 1e-7))
    plain, _ = solve(name, None, span)
    np.testing.assert_array_equal(run.y, plain.y)
    assert run.counts[0, 3] == plain.counts[0, 3]


@pytest.mark.parametrize("lanes", [2, 8])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_member_is_solved_as_alone(name, lanes, is_looped):
    """Members end at other times, so that lanes take new ones at other times."""
    _, y0, end = PROBLEMS[name]
    y0 = np.array(y0) * np.random.default_rng(0).uniform(0.8, 1.2, (11, len(y0)))
    ends = np.linspace(0.3, 1, 11) * end
    times = np.linspace(0, 1, 11) * ends[:, None]
    run, _ = solve(name, PLAIN(lanes, has_times=True), (0.0, ends), y0, times=times, threads=2)
    assert (run.counts[:, 0] == Status.FINISHED).all()
    np.testing.assert_array_equal(run.t, ends)
    for k in range(0, 11, 5):
        alone, _ = solve(name, PLAIN(has_times=True), (0.0, ends[k]), y0[k], times=times[k])
        np.testing.assert_allclose(run.y[k], alone.y[0], rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(run.values[k], alone.values[0], rtol=1e-9, atol=1e-10)
        np.testing.assert_array_equal(run.counts[k, :3], alone.counts[0, :3])


@pytest.mark.parametrize("options", [{"max_step": 0.05}, {"first_step": 1e-3}])
def test_options(options):
    run, (_, t, _) = solve("pendulum", PLAIN(log=STATES), **options)
    steps = np.diff(t, prepend=0.0)
    if "max_step" in options:
        assert (steps <= 0.05 * (1 + 1e-12)).all()
    else:
        assert steps[0] == 1e-3
    np.testing.assert_allclose(run.y[0], exact("pendulum")[-1], rtol=1e-8)


def test_single_precision():
    fun, y0, end = PROBLEMS["Kepler"]
    run = solver(fun, 4, Form(order=8), np.float32).start(0.0, end, np.array([y0]), rtol=1e-5, atol=1e-6)
    while run.advance(50):
        pass
    assert run.y.dtype == np.float32
    np.testing.assert_allclose(run.y, exact("Kepler")[-1:], atol=2e-4)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_units_of_time_do_not_matter(scale):
    """Coefficients neither overflow nor vanish: they are those of shares of steps."""
    fun, y0, end = PROBLEMS["Lotka-Volterra"]
    slow = solver(lambda t, y: fun(t, y) / scale, 2, Form(order=20)).start(
        0.0, scale * end, np.atleast_2d(y0), rtol=1e-12, atol=1e-12
    )
    assert not slow.advance(10_000)
    np.testing.assert_allclose(slow.y, exact("Lotka-Volterra")[-1:], rtol=1e-10)


def test_a_pulse_ahead_is_not_passed_over():
    """Nothing of it shows in the series before it, but in the defect of the polynomial."""
    run = solver(lambda t, y: 1.0 / (1.0 + ((t - 1.0) / 0.01) ** 2) + 0 * y, 1).start(
        0.0, 2.0, np.zeros((1, 1)), rtol=1e-9, atol=1e-9, first_step=1.1
    )
    assert not run.advance(10_000)
    np.testing.assert_allclose(run.y[0, 0], 0.02 * np.arctan(100.0), rtol=1e-7)


def pushed(t, y):
    """From a time of the member's own on, a force acts: steps do not see it ahead, and are rejected there."""
    return [y[1], np.tanh(300 * (t - y[2])) - np.sin(y[0]), 0 * y[2]]


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_values_at_the_end_of_a_step_are_those_of_the_next_one(lanes, monkeypatch, nothing_kept):
    """They are not evaluated anew, unless the step is rejected: in all lanes as without that, also in time."""
    y0 = np.column_stack([np.linspace(0.5, 2.5, 7), np.zeros(7), np.linspace(-2.9, 1.7, 7)])

    def run():
        kept_drivers._kept.clear()
        solver.cache_clear()
        found = solver(pushed, 3, PLAIN(lanes)).start(-3.0, 2.0, y0, rtol=1e-9, atol=1e-9, first_step=1.0)
        assert not found.advance(10_000)
        return found

    evaluated, evaluate = [], writer.Taylor.evaluate

    def noted(self, *given, function=0):
        evaluated.append(function)
        evaluate(self, *given, function=function)

    monkeypatch.setattr(writer.Taylor, "evaluate", noted)
    kept = run()
    assert evaluated.count(0) == 2  # where members begin, and for their first steps
    monkeypatch.setattr(writer.Taylor, "_keeps_values", False)
    anew = run()
    assert (kept.counts[:, 2] > 0).sum() > 3  # rejected
    np.testing.assert_array_equal(kept.counts, anew.counts)
    np.testing.assert_allclose(kept.y, anew.y, rtol=1e-11)


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("name", FAILURES)
def test_failures(name, lanes):
    fun, y0, end, status = FAILURES[name]
    check_end(solver(fun, 1, PLAIN(lanes)), y0, end, status)


@pytest.mark.parametrize("rate", [1e3, 1e6])
def test_stiff_problems_are_recognised(rate):
    run = solver(lambda t, y: -rate * (y - np.cos(t)), 1).start(0.0, 10.0, np.zeros((1, 1)), rtol=1e-8, atol=1e-8)
    assert not run.advance(10_000)
    assert run.status == Status.STIFF


@pytest.mark.parametrize("name", PROBLEMS)
def test_others_are_not_stiff(name):
    """Nor are oscillations of which many have to be followed."""
    assert solve(name, rtol=1e-4, atol=1e-6)[0].status == Status.FINISHED
    fun = lambda t, y: np.array([y[1], -1e4 * y[0]])  # noqa: E731
    run = solver(fun, 2).start(0.0, 10.0, np.array([[1.0, 0.0]]), rtol=1e-8, atol=1e-8)
    assert not run.advance(10_000)
    assert run.status == Status.FINISHED


@pytest.mark.parametrize("lanes", [1, 2])
def test_comparison(lanes):
    fun, y0, end = PROBLEMS["Kepler"]
    found, alone = (solver(fun, 4, PLAIN(k, log=STATES, has_times=True, compares=k == lanes)) for k in (lanes, 1))
    if lanes == 1:
        found = solver(fun, 4, PLAIN(log=STATES, has_times=True, compares=True))
        alone = solver(fun, 4, PLAIN())
        check_comparison(found, alone, np.asarray(y0), end, np.linspace(0, end, 9))
    else:
        run = found.lend()
        run.begin(0.0, end, np.asarray(y0), rtol=1e-8, atol=1e-8, max_step=(1.0, 1.0), looser=10.0)
        assert not run.advance(10_000)
        errors = np.abs(run.y - exact("Kepler")[-1]).max(axis=1)
        assert errors[0] < errors[1] < 1e-6


def test_rough_powers():
    """Far from one, too."""
    from parscan._recorded.native.driver import Fields, Machine, Module

    x = np.array([1.0, 1.37, 2.0, 1e-30, 7e200, 1e-300, 3.3e7, 0.9999])
    for exponent in (-1 / 16, -1 / 40, 1 / 24):
        fields = Fields()
        fields.add("x", np.float64, 8)
        module = Module(np.zeros(1), [], fields)
        code: Code = module.code
        numbers = fields.array(code, "x", 8)
        numbers[0] = code.rough_power(numbers[0], exponent)
        machine = Machine(module.driver(), [])
        memory = machine.memory()
        fields.view(memory, "x")[...] = x
        machine.run(memory, 0)
        np.testing.assert_allclose(fields.view(memory, "x"), x**exponent, rtol=0.012)

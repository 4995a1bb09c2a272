"""The compiled DOP853: against SciPy's, step by step, and against exact solutions; alone and in lanes."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from scipy.integrate import DOP853, solve_ivp

from parscan._recorded.native.explicit import STAGES, Explicit, coefficients, explicit
from parscan._recorded.native.members import DENSE, STATES, Form
from parscan._recorded.native.status import Status
from parscan._recorded.record import record
from tests.support.compiled_solvers import FAILURES, check_comparison, check_end, whole_log
from tests.support.ode_problems import ODES


def lotka_volterra(t, y):
    return np.array([1.5 * y[0] - y[0] * y[1], -3.0 * y[1] + y[0] * y[1]])


def pendulum(t, y):
    return np.array([y[1], -np.sin(y[0]) + 0.3 * np.cos(0.7 * t)])


def lorenz(t, y):
    return np.array([10.0 * (y[1] - y[0]), y[0] * (28.0 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])


def kepler(t, y):
    cubed = (y[0] ** 2 + y[1] ** 2) ** 1.5
    return np.array([y[2], y[3], -y[0] / cubed, -y[1] / cubed])


def decay(t, y):
    return -np.sin(t) * y


def ring(t, y):
    return (np.roll(y, -1) - np.roll(y, 2)) * np.roll(y, 1) - y + 8.0


def swings(t, y):
    """Few operations on more components than a vector has."""
    return np.stack([y[1::2] * np.cos(t), -y[0::2]], axis=1).ravel()


PROBLEMS = {
    "Lotka-Volterra": (lotka_volterra, [10.0, 5.0], 3.0),
    "pendulum": (pendulum, [2.0, 0.0], 8.0),
    "Lorenz": (lorenz, [1.0, 1.0, 1.0], 3.0),
    "Kepler": (kepler, [0.5, 0.0, 0.0, 3**0.5], 7.0),
    "decay": (decay, [1.0], 5.0),
    "ring": (ring, 8.0 + 0.01 * np.cos(np.arange(40.0) ** 2), 2.0),
    "swings": (swings, np.cos(np.arange(10.0)), 4.0),
    "ring of 13": (ring, 8.0 + 0.01 * np.cos(np.arange(13.0) ** 2), 2.0),
}


PLAIN = partial(Form, predicts=False)
"""Steps as SciPy's."""


@cache
def solver(fun, n, form=None, dtype=np.float64):
    return explicit(record(fun, [np.zeros((), dtype), np.zeros(n, dtype)]).program, form or PLAIN())


def solve(name, form=None, span=None, y0=None, **options):
    """All that a run gives."""
    fun, start, end = PROBLEMS[name]
    y0 = np.atleast_2d(start if y0 is None else y0)
    given = {"rtol": 1e-7, "atol": 1e-9, **options}
    run = solver(fun, y0.shape[1], form).start(*(span or (0.0, end)), y0, **given)
    return run, whole_log(run)


def scipys(name, span=None, **options):
    fun, y0, end = PROBLEMS[name]
    return solve_ivp(
        fun, span or (0.0, end), y0, "DOP853", dense_output=True, **{"rtol": 1e-7, "atol": 1e-9, **options}
    )


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_steps_are_scipys(name, backwards):
    """The same control of the step gives the same steps, and states that differ by rounding."""
    span = (1.0, 0.25) if backwards else None
    run, (members, t, y) = solve(name, PLAIN(log=STATES), span)
    expected = scipys(name, span)
    assert run.status == Status.FINISHED
    assert not members.any()
    np.testing.assert_allclose(t, expected.t[1:], rtol=1e-5)  # rounding of small errors is seen in the steps
    np.testing.assert_allclose(y, expected.sol(t).T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y[-1], expected.y[:, -1], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(run.y[0], y[-1])
    assert run.t[0] == expected.t[-1]
    _, accepted, rejected, evaluations = run.counts[0]
    assert accepted == len(t)
    assert evaluations == 2 + 12 * accepted + 11 * rejected  # SciPy evaluates the last slope of all attempts
    assert evaluations + rejected + 3 * accepted == expected.nfev  # and three more for each polynomial


@pytest.mark.parametrize("form", [PLAIN(log=STATES), PLAIN(log=DENSE), PLAIN(log=STATES, has_times=True)])
def test_slopes_at_the_ends_of_steps(form):
    fun, start, end = PROBLEMS["Kepler"]
    run = solver(fun, 4, form).start(0.0, end, np.atleast_2d(start), rtol=1e-7, atol=1e-9)
    assert not run.advance(1000)
    expected = [fun(t, y) for t, y in zip(run.log[1], run.log[2], strict=True)]
    np.testing.assert_allclose(run.slopes, expected, rtol=1e-14)


@pytest.mark.parametrize("options", [{"max_step": 0.05}, {"first_step": 1e-3}, {"rtol": 1e-11, "atol": 1e-13}])
def test_options(options):
    run, (_, t, y) = solve("pendulum", PLAIN(log=STATES), **options)
    expected = scipys("pendulum", **options)
    np.testing.assert_allclose(t, expected.t[1:], rtol=1e-3 if "rtol" in options else 1e-5)
    np.testing.assert_allclose(y[-1], expected.y[:, -1], rtol=1e-10)
    assert run.status == Status.FINISHED


def test_tolerances_per_component():
    atol = np.array([1e-3, 1e-9, 1e-6, 1e-9])
    _, (_, t, _) = solve("Kepler", PLAIN(log=STATES), atol=atol)
    np.testing.assert_allclose(t, scipys("Kepler", atol=atol).t[1:], rtol=1e-5)


@pytest.mark.parametrize("name", PROBLEMS)
def test_dense_output(name):
    """The slopes at Gauss's nodes are those of SciPy's polynomials."""
    _, (_, t, y, slopes) = solve(name, PLAIN(log=DENSE))
    fun, y0, end = PROBLEMS[name]
    theirs = DOP853(fun, 0.0, y0, end, rtol=1e-7, atol=1e-9)
    nodes = (np.polynomial.legendre.leggauss(7)[0] + 1) / 2
    basis = np.polynomial.polynomial.polyvander(nodes, 7)
    derive = np.polynomial.polynomial.polyder(np.eye(8))
    for k in range(3):
        theirs.step()
        polynomial, h = theirs.dense_output(), theirs.t - theirs.t_old
        values = polynomial(theirs.t_old + h * np.linspace(0, 1, 8))
        powers = np.linalg.solve(np.polynomial.polynomial.polyvander(np.linspace(0, 1, 8), 7), values.T)
        expected = basis[:, :7] @ (derive @ powers) / h
        np.testing.assert_allclose(slopes[k], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert len(t) == len(y) == len(slopes)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_values_at_times(name, backwards):
    span = (1.0, 0.25) if backwards else (0.0, PROBLEMS[name][2])
    times = np.linspace(*span, 60)
    run, _ = solve(name, PLAIN(has_times=True), span, times=times)
    expected = scipys(name, span, t_eval=times)
    np.testing.assert_allclose(run.values[0], expected.y.T, rtol=1e-6, atol=1e-7)
    plain, _ = solve(name, None, span)
    np.testing.assert_array_equal(run.y, plain.y)
    assert run.counts[0, 3] <= plain.counts[0, 3] + 3 * plain.counts[0, 1]


def members(name, count):
    _, y0, end = PROBLEMS[name]
    y0 = np.array(y0) * np.random.default_rng(0).uniform(0.8, 1.2, (count, len(y0)))
    return y0, np.linspace(0.3, 1, count) * end


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("lanes", [2, 4, 8])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_member_is_solved_as_alone(name, lanes, threads):
    """Members end at other times, so that lanes take new ones at other times."""
    y0, ends = members(name, 21)
    times = np.linspace(0, 1, 11) * ends[:, None]
    run, _ = solve(name, PLAIN(lanes, has_times=True), (0.0, ends), y0, times=times, threads=threads)
    assert (run.counts[:, 0] == Status.FINISHED).all()
    np.testing.assert_array_equal(run.t, ends)
    for k in range(0, 21, 5):
        alone, _ = solve(name, PLAIN(has_times=True), (0.0, ends[k]), y0[k], times=times[k])
        np.testing.assert_allclose(run.y[k], alone.y[0], rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(run.values[k], alone.values[0], rtol=1e-9, atol=1e-10)
        np.testing.assert_array_equal(run.counts[k, :3], alone.counts[0, :3])


def test_log_of_members():
    y0, ends = members("pendulum", 11)
    run, (numbers, t, y) = solve("pendulum", PLAIN(4, log=STATES), (0.0, ends), y0, threads=2)
    for k in range(11):
        _, (_, alone_t, alone_y) = solve("pendulum", PLAIN(log=STATES), (0.0, ends[k]), y0[k])
        np.testing.assert_allclose(t[numbers == k], alone_t, rtol=1e-5)
        np.testing.assert_allclose(y[numbers == k], alone_y, rtol=1e-5, atol=1e-5)
    assert len(t) == run.counts[:, 1].sum()


@pytest.mark.parametrize("lanes", [1, 4])
def test_parameters_of_members(lanes):
    def fun(t, y, p, shift):
        return np.array([p[0] * y[1], -p[1] * y[0]]) + shift

    examples = [np.zeros(()), np.zeros(2), np.zeros(2), np.zeros(())]
    p = np.random.default_rng(1).uniform(0.5, 2, (9, 2))
    for shared in (True, False):
        found = explicit(record(fun, examples).program, PLAIN(lanes, shared=(False, shared)))
        shift = np.array(0.0) if shared else np.zeros(9)
        run = found.start(0.0, 2.0, np.ones((9, 2)), rtol=1e-9, atol=1e-9, parameters=(p, shift))
        while run.advance(50):
            pass
        root = np.sqrt(p[:, 0] * p[:, 1])
        expected = np.cos(2 * root) + p[:, 0] / root * np.sin(2 * root)
        np.testing.assert_allclose(run.y[:, 0], expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("lanes", [1, 8])
def test_single_precision(lanes):
    fun, y0, end = PROBLEMS["Kepler"]
    found = solver(fun, 4, PLAIN(lanes), np.float32)
    run = found.start(0.0, end, np.array([y0] * lanes), rtol=1e-5, atol=1e-6)
    while run.advance(50):
        pass
    assert run.y.dtype == np.float32
    np.testing.assert_allclose(run.y, [scipys("Kepler", rtol=1e-10).y[:, -1]] * lanes, atol=2e-4)


def test_order_of_convergence():
    """Steps of a length that is not controlled: the error falls with its eighth power."""
    y0, exact, errors = np.array([[1.0]]), np.exp(np.cos(5.0) - 1), []
    for steps in (10, 20):
        run, _ = solve("decay", span=(0.0, 5.0), y0=y0, rtol=1e3, atol=1e3, max_step=5 / steps, first_step=5 / steps)
        assert run.counts[0, 1] in (steps, steps + 1)
        errors.append(abs(run.y[0, 0] - exact))
    assert 7.5 < np.log2(errors[0] / errors[1]) < 9.5


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 4])
def test_predicted_steps(lanes):
    """Fewer steps are rejected, and errors are not larger, over some problems and tolerances."""
    rejected, evaluations, errors = np.zeros(2), np.zeros(2), np.zeros(2)
    for ode in ODES:
        if ode.name not in ("Lotka-Volterra 15", "Van der Pol 1", "Brusselator", "Kepler 0.5", "Arenstorf"):
            continue
        y0 = np.tile(np.array(ode.y0, dtype=float), (lanes, 1))
        for rtol in (1e-6, 1e-8, 1e-10):
            for k, predicts in enumerate((False, True)):
                found = solver(ode.fun, y0.shape[1], Form(lanes, predicts=predicts))
                run = found.start(0.0, ode.end, y0, rtol=rtol, atol=rtol)
                assert run.advance(10**6) == 0
                _, _, more, count = run.counts[-1]
                rejected[k], evaluations[k] = rejected[k] + more, evaluations[k] + count
                errors[k] += np.log(ode.error(run.y[-1], rtol))
    assert rejected[1] < 0.7 * rejected[0]
    assert evaluations[1] < 0.95 * evaluations[0]
    assert errors[1] < errors[0]


def test_there_and_back():
    y0 = np.array([[0.5, 0.0, 0.0, 3**0.5]])
    there, _ = solve("Kepler", span=(0.0, 4.0), rtol=1e-12, atol=1e-12)
    back, _ = solve("Kepler", span=(4.0, 0.0), y0=there.y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back.y, y0, atol=1e-9)


@pytest.mark.parametrize("lanes", [1, 4])
def test_pauses_change_nothing(lanes):
    fun, y0, end = PROBLEMS["Lorenz"]
    found = solver(fun, 3, PLAIN(lanes))
    given = np.array([y0] * 6) + np.arange(6)[:, None]
    runs = [found.start(0.0, end, given, rtol=1e-8, atol=1e-8) for _ in range(2)]
    runs[0].advance(10**9)
    left = 6
    while left:
        left = runs[1].advance(1)
        assert runs[1].ended == 6 - left
    np.testing.assert_array_equal(runs[0].y, runs[1].y)
    np.testing.assert_array_equal(runs[0].counts, runs[1].counts)
    paused = found.start(0.0, end, given[:1], rtol=1e-8, atol=1e-8)
    assert paused.advance(5) == 1
    assert paused.status == Status.RUNNING
    t, y = paused.now()
    assert 0 < t < end
    assert np.isfinite(y).all()


def stiff(t, y):
    return -1e5 * (y - np.cos(t))


def overflow(t, y):
    return np.array([1e306 + 0 * t])


ENDS = FAILURES | {
    "overflow": (overflow, 1.79e308, 10.0, Status.TOO_MANY_STEPS),
    "stiff": (stiff, 1.0, 10.0, Status.STIFF),
    "long": (decay, 1.0, 1e6, Status.TOO_MANY_STEPS),
    "fine": (decay, 1.0, 3.0, Status.FINISHED),
}


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("name", ENDS)
def test_how_members_end(name, lanes):
    fun, *rest = ENDS[name]
    check_end(solver(fun, 1, PLAIN(lanes)), *rest)


def test_constants_share_code():
    def program(factor):
        return record(lambda t, y: factor * y, [np.zeros(()), np.zeros(1)]).program

    codes = set()
    for factor in (-0.5, -0.75):
        found = explicit(program(factor))
        codes.add(id(found.machine._code))
        run = found.start(0.0, 1.0, np.ones((1, 1)), rtol=1e-10, atol=1e-10)
        assert run.advance(1000) == 0
        np.testing.assert_allclose(run.y[0, 0], np.exp(factor), rtol=1e-8)
    assert len(codes) == 1


def test_polynomials_or_times():
    with pytest.raises(ValueError, match="not written beside polynomials"):
        PLAIN(log=DENSE, has_times=True)


@pytest.mark.parametrize("form", [Form(log=STATES), Form(log=STATES, has_times=True), Form(lanes=4, shared=())])
def test_a_run_that_begins_again(form):
    given = solver(lorenz, 3, form)
    states = np.array([[1.0, 1.0, 1.0], [2.0, -1.0, 20.0]][: 1 if form.lanes == 1 else 2])
    loose = {
        "rtol": 1e-4,
        "atol": 1e-5,
        "max_step": 0.05,
        "times": np.linspace(0.0, 1.0, 5) if form.has_times else None,
    }
    tight = {"rtol": 1e-9, "atol": 1e-11, "max_step": 1.0}
    run, alone, other = (
        given.start(0.0, 3.0, states, **tight),
        *(given.start(0.0, 3.0, states, **o) for o in (loose, tight)),
    )
    run.advance(20)  # in the midst of it
    before = [np.copy(one) for one in run.log]
    kept = run.log
    for options, expected in ((loose, alone), (tight, other)):
        run.begin(0.0, 3.0, states, **options)
        while run.advance(1000) | expected.advance(1000):
            pass
        for name in ("y", "t", "counts", "slopes", "log", "values"):
            one, wanted = getattr(run, name), getattr(expected, name)
            assert type(one) is type(wanted)
            if wanted is not None:
                for a, b in zip(one, wanted, strict=True):
                    np.testing.assert_array_equal(a, b)
    for one, was in zip(kept, before, strict=True):
        np.testing.assert_array_equal(one, was)


def growth(t, y, rate):
    return rate * y


def test_lent_runs():
    program = record(growth, [np.zeros(()), np.zeros(2), np.zeros(2)]).program
    solver, rates = explicit(program, Form(log=STATES, shared=(True,))), [np.array([0.5, 1.0]), np.array([-1.0, 2.0])]
    one, other = solver.lend(), solver.lend()
    assert one is not other
    for run, rate in zip((one, other), rates, strict=True):
        run.begin(0.0, 1.0, np.ones(2), rtol=1e-9, atol=1e-9, parameters=[rate])
    for run in (one, other):
        run.advance(1000)
    log = one.log
    ends = [log[2][-1, :].copy(), other.y[0, :].copy()]
    solver.give_back(one)
    assert one.log == ()
    again = solver.lend()
    assert again is one
    again.begin(1.0, 0.0, np.full(2, 3.0), rtol=1e-9, atol=1e-9, parameters=[rates[1].copy()])
    again.advance(1000)
    np.testing.assert_allclose(again.y[0, :], 3 * np.exp([1.0, -2.0]), rtol=1e-8)
    np.testing.assert_allclose(ends, np.exp(rates), rtol=1e-8)  # neither results nor parameters were written over
    np.testing.assert_array_equal(log[2][-1, :], ends[0])
    np.testing.assert_array_equal(rates, [[0.5, 1.0], [-1.0, 2.0]])
    for run in [solver.lend() for _ in range(5)]:
        solver.give_back(run)
    assert len({id(solver.lend()) for _ in range(2)}) == 2


@pytest.mark.parametrize("rtol", [1e-4, 1e-9])
@pytest.mark.parametrize("name", ["Lotka-Volterra", "Lorenz", "decay", "ring of 13"])
def test_first_steps_of_lanes_are_nearly_those_of_scipy(name, rtol):
    fun, y0, end = PROBLEMS[name]
    firsts = []
    for form in (PLAIN(log=STATES), Form(log=STATES, lanes=2)):
        run = solver(fun, len(y0), form).start(0.0, end, [y0] * form.lanes, rtol=rtol, atol=0.01 * rtol)
        run.advance(1)
        firsts.append(run.log[1])
    scipy = DOP853(fun, 0.0, np.array(y0), end, rtol=rtol, atol=0.01 * rtol)
    np.testing.assert_allclose(firsts[0], [scipy.h_abs], rtol=1e-12)
    np.testing.assert_allclose(firsts[1], [scipy.h_abs] * 2, rtol=0.015)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("form", [Form(log=STATES), Form(log=DENSE), Form(log=STATES, has_times=True)])
@pytest.mark.parametrize("name", ["pendulum", "ring"])
def test_a_second_solve_for_comparison(name, form, lanes):
    fun, y0, end = PROBLEMS[name]
    times = np.linspace(0.0, end, 50) if form.has_times else None
    both = solver(fun, len(y0), replace(form, compares=True, lanes=lanes))
    check_comparison(both, solver(fun, len(y0), form), y0, end, times)


def test_events_need_one_lane():
    with pytest.raises(ValueError, match="in one lane"):
        Form(lanes=2, events=1)


def settling(t, y):
    """Fast decays to a slow solution, (cos t, sin t)."""
    return np.array([-300.0 * (y[0] - np.cos(t)) - np.sin(t), -20.0 * (y[1] - np.sin(t)) + np.cos(t)])


@pytest.mark.parametrize("rtol", [1e-4, 1e-7, 1e-9])
@pytest.mark.parametrize("lanes", [1, 4])
def test_polynomials_near_the_limit_of_stability(lanes, rtol):
    """They are as good as the ends of steps if they are checked, and many times worse if not."""
    times = np.linspace(0.0, 1.0, 1001)
    exact = np.stack([np.cos(times) + 0.5 * np.exp(-300 * times), np.sin(times) + 0.5 * np.exp(-20 * times)], axis=1)
    errors = []
    for checks in (True, False):
        form = Form(lanes, has_times=True, checks_polynomials=checks)
        run = solver(settling, 2, form).start(
            0.0, 1.0, [[1.5, 0.5]] * lanes, rtol=rtol, atol=rtol, times=times, max_step=1.0
        )
        assert run.advance(10_000) == 0
        count = np.isfinite(run.values[0, :, 0]).sum()  # up to where it is found to be stiff
        assert count > 10
        errors.append(np.abs(run.values[:, :count] - exact[:count]).max() / rtol)
    assert errors[0] <= 10
    assert errors[0] < errors[1] / (3 if rtol > 1e-8 else 1)  # smaller tolerances limit steps by accuracy


def test_steps_that_polynomials_limit_show_stiffness():
    """They are shorter than at the limit of stability; but steps of an oscillation are not taken for such ones."""
    for form in (Form(log=DENSE, checks_polynomials=True), Form(log=STATES)):
        run = solver(settling, 2, form).start(0.0, 100.0, [[1.0, 0.0]], rtol=1e-5, atol=1e-5)
        while run.advance(200):
            pass
        assert run.status is Status.STIFF
        assert run.counts[0, 1] < 1000
        for fun, y0 in ((kepler, [0.5, 0.0, 0.0, 3**0.5]), (pendulum, [2.0, 0.0]), (lotka_volterra, [10.0, 5.0])):
            for rtol in (1e-3, 1e-6, 1e-9):
                run = solver(fun, len(y0), form).start(0.0, 60.0, [y0], rtol=rtol, atol=rtol)
                while run.advance(200):
                    pass
                assert run.status is Status.FINISHED


@pytest.mark.parametrize(
    "form", [Form(log=DENSE, checks_polynomials=True), Form(has_times=True, checks_polynomials=True)]
)
def test_evaluations_are_counted(form):
    """Each attempt costs the stages and the slope at the end; each one that is not rejected at once, 4 more."""
    times = None if form.log == DENSE else np.array([8.0])
    run = solver(pendulum, 2, form).start(0.0, 8.0, [[2.0, 0.0]], rtol=1e-8, atol=1e-8, times=times)
    assert run.advance(1000) == 0
    _, accepted, rejected, evaluations = run.counts[0].tolist()
    attempts = 2 + 12 * (accepted + rejected)
    if form.log == DENSE:
        assert attempts + 4 * accepted <= evaluations <= attempts + 4 * (accepted + rejected)
    else:
        assert attempts + 4 <= evaluations <= attempts + 16


def test_the_numbers_are_scipys():
    found = coefficients()
    np.testing.assert_array_equal(found.A[:STAGES, :STAGES], DOP853.A)
    np.testing.assert_array_equal(found.A[STAGES, :STAGES], DOP853.B)
    np.testing.assert_array_equal(found.A[STAGES + 1 :], DOP853.A_EXTRA)
    np.testing.assert_array_equal(found.c, [*DOP853.C, 1.0, *DOP853.C_EXTRA])
    np.testing.assert_array_equal([found.E3, found.E5], [DOP853.E3[:STAGES], DOP853.E5[:STAGES]])
    np.testing.assert_array_equal(found.nested[3:], DOP853.D)


@pytest.mark.parametrize("lanes", [1, 8])
def test_what_is_done_often_is_compiled_to_fast_code(lanes):
    """A lane begins with members all the time; one problem begins once, and its code is to be ready soon."""
    program = record(decay, [np.zeros(()), np.zeros(1)]).program
    text = Explicit(program, Form(lanes)).driver().kernel.text
    assert ("optnone" in text) == (lanes == 1)

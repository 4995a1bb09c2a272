"""The compiled Rodas5P: against its NumPy reference, step by step, and against other solvers; alone and in lanes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from parscan._recorded.linearised import linearised
from parscan._recorded.native import rosenbrock as module
from parscan._recorded.native.members import DENSE, STATES, Form
from parscan._recorded.native.rosenbrock import rosenbrock
from parscan._recorded.native.stage_systems import Full, Small, Sparse
from parscan._recorded.native.status import Status
from parscan._recorded.record import record
from tests.support import rodas5p as reference
from tests.support.compiled_solvers import FAILURES, StiffRuns, check_comparison, check_end
from tests.support.ode_problems import ODES
from tests.support.stiff_problems import BOTH_WAYS, PROBLEMS, forced, growth, span_of

RUNS = StiffRuns(rosenbrock, reference, 1e-5)
solver, solve, references = RUNS.solver, RUNS.solve, RUNS.references


@pytest.mark.parametrize(("name", "backwards"), BOTH_WAYS)
def test_steps_are_those_of_the_reference(name, backwards):
    """The same steps, and states that differ by rounding."""
    span = span_of(name, backwards)
    run, (members, t, y) = solve(name, Form(log=STATES), span)
    expected = references(name, span)
    assert run.status.name == expected.status
    assert not members.any()
    np.testing.assert_array_equal(run.counts[0, 1:3], [len(expected.t) - 1, expected.rejected])
    np.testing.assert_allclose(t, expected.t[1:], rtol=1e-5)
    size = np.abs(expected.y).max(axis=0)
    np.testing.assert_allclose(y / size, expected.y[1:] / size, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(run.y[0], y[-1])
    _, accepted, rejected, evaluations = run.counts[0]
    assert evaluations == 3 + 8 * accepted + 7 * rejected
    assert run.t[0] == expected.t[-1]


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("name", PROBLEMS)
def test_slopes_at_the_ends_of_steps(name, lanes):
    fun, y0, end, scale = PROBLEMS[name]
    y0 = np.array(y0) * np.random.default_rng(0).uniform(0.8, 1.2, (5, len(y0)))
    run = solver(fun, y0.shape[1], Form(lanes, log=STATES)).start(0.0, end, y0, rtol=1e-5, atol=1e-5 * scale)
    assert run.advance(10_000) == 0
    _, t, y = run.log
    wanted = np.stack([fun(time, state) for time, state in zip(t, y, strict=True)])
    np.testing.assert_allclose(run.slopes, wanted, rtol=1e-9, atol=1e-10 * np.abs(wanted).max())


@pytest.mark.parametrize("options", [{"max_step": 0.05}, {"first_step": 1e-3}, {"rtol": 1e-8, "atol": 1e-9}])
@pytest.mark.parametrize("name", ["forced", "small network"])
def test_options(name, options):
    _, (_, t, y) = solve(name, Form(log=STATES), **options)
    given = {"first" if key == "first_step" else key: value for key, value in options.items()}
    expected = references(name, **given)
    np.testing.assert_allclose(t, expected.t[1:], rtol=1e-5)
    np.testing.assert_allclose(y, expected.y[1:], rtol=1e-5)


def test_tolerances_per_component():
    atol = np.array([1e-6, 1e-12, 1e-4])
    _, (_, t, *_) = solve("Robertson", Form(log=STATES), atol=atol)
    np.testing.assert_allclose(t, references("Robertson", atol=atol).t[1:], rtol=1e-5)


@pytest.mark.parametrize("name", PROBLEMS)
def test_dense_output(name):
    """Slopes at Gauss's nodes are those of the reference's polynomials."""
    _, (_, t, _, slopes) = solve(name, Form(log=DENSE))
    expected = references(name)
    nodes = (np.polynomial.legendre.leggauss(4)[0] + 1) / 2
    derive = np.stack([k * nodes ** (k - 1) for k in range(1, 5)], axis=1)
    wanted = np.einsum("gk,skn->sgn", derive, expected.coefficients) / np.diff(expected.t)[:, None, None]
    size = np.abs(wanted).max(axis=(0, 1)) + 1e-12
    np.testing.assert_allclose(slopes / size, wanted / size, rtol=1e-4, atol=1e-5)
    assert len(t) == len(slopes)


@pytest.mark.parametrize(("name", "backwards"), BOTH_WAYS)
def test_values_at_times(name, backwards):
    span = span_of(name, backwards)
    times = np.linspace(*span, 50)
    run, _ = solve(name, Form(has_times=True), span, times=times)
    expected = references(name, span)
    values = np.stack([expected(time) for time in times])
    size = np.abs(values).max(axis=0)
    np.testing.assert_allclose(run.values[0] / size, values / size, rtol=1e-5, atol=1e-6)
    plain, _ = solve(name, None, span)
    np.testing.assert_array_equal(run.y, plain.y)
    np.testing.assert_array_equal(run.counts, plain.counts)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("lanes", [2, 4, 8])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_member_is_solved_as_alone(name, lanes, threads):
    """Members end at other times, so that lanes take new ones at other times."""
    _, y0, end, _ = PROBLEMS[name]
    y0 = np.array(y0) * np.random.default_rng(0).uniform(0.8, 1.2, (13, len(y0)))
    ends = np.linspace(0.3, 1, 13) * end
    times = np.linspace(0, 1, 6) * ends[:, None]
    run, _ = solve(name, Form(lanes, has_times=True), (0.0, ends), y0, times=times, threads=threads)
    assert (run.counts[:, 0] == Status.FINISHED).all()
    np.testing.assert_array_equal(run.t, ends)
    for k in range(0, 13, 4):
        alone, _ = solve(name, Form(has_times=True), (0.0, ends[k]), y0[k], times=times[k])
        size = np.abs(alone.values[0]).max(axis=0)
        np.testing.assert_allclose(run.y[k] / size, alone.y[0] / size, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(run.values[k] / size, alone.values[0] / size, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(run.counts[k], alone.counts[0])


@pytest.mark.parametrize("lanes", [1, 4])
def test_parameters_of_members(lanes):
    def fun(t, y, rate, shift):
        return -rate[0] * (y - np.cos(t) * rate[1]) + shift

    recording = record(fun, [np.zeros(()), np.zeros(3), np.zeros(2), np.zeros(())])
    rate = np.random.default_rng(1).uniform(1, 2, (9, 2)) * [1000, 1]
    for shared in (True, False):
        found = rosenbrock(recording.program, linearised(recording), Form(lanes, shared=(False, shared)))
        shift = np.array(0.5) if shared else np.full(9, 0.5)
        run = found.start(0.0, 2.0, np.ones((9, 3)), rtol=1e-9, atol=1e-9, parameters=(rate, shift))
        while run.advance(50):
            pass
        k, a = rate.T
        expected = a * k * (k * np.cos(2) + np.sin(2)) / (k * k + 1) + 0.5 / k
        np.testing.assert_allclose(run.y, np.broadcast_to(expected[:, None], (9, 3)), rtol=1e-8)


STIFF = [ode for ode in ODES if ode.name in {"Van der Pol 1000", "Robertson", "Oregonator", "HIRES", "heat"}]
STIFF += [ode for ode in ODES if ode.name.startswith("Prothero")]


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("ode", STIFF, ids=lambda ode: ode.name)
def test_errors_near_tolerances(ode, rtol):
    run = solver(ode.fun, len(ode.y0)).start(0.0, ode.end, [ode.y0], rtol=rtol, atol=rtol * ode.scale)
    assert run.advance(100_000) == 0
    assert run.status == Status.FINISHED
    assert ode.error(run.y[0], rtol) < 10


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * ("network" in name)) for name in PROBLEMS]
)
def test_against_scipy(name):
    fun, y0, end, scale = PROBLEMS[name]
    jacobian = reference.Problem(fun).jacobian
    expected = solve_ivp(fun, (0.0, end), y0, "Radau", rtol=1e-9, atol=1e-11 * scale, jac=jacobian).y[:, -1]
    for rtol in (1e-5, 1e-8):
        run, _ = solve(name, rtol=rtol, atol=rtol * scale)
        assert (np.abs(run.y[0] - expected) < 10 * rtol * (scale + np.abs(expected))).all()


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("name", ["forced", "HIRES", "heat"])
def test_single_precision(name, lanes):
    fun, y0, end, _ = PROBLEMS[name]
    found = solver(fun, len(y0), Form(lanes), np.float32)
    run = found.start(0.0, end, np.array([y0] * lanes), rtol=1e-4, atol=1e-4)
    while run.advance(1000):
        pass
    assert run.y.dtype == np.float32
    assert (run.counts[:, 0] == Status.FINISHED).all()
    exact, _ = solve(name, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(run.y, [exact.y[0]] * lanes, rtol=1e-3, atol=1e-3)


def exact(t):
    return np.exp(np.sin(t)) / (9 + np.exp(np.sin(t)))


@pytest.mark.parametrize("lanes", [1, 4])
def test_order_of_convergence(lanes):
    """Steps of a length that is not controlled: the error falls with its fifth power."""
    errors = []
    for steps in (40, 80):
        h = 6.0 / steps
        run, _ = solve("growth", Form(lanes), rtol=1e3, atol=1e3, max_step=h, first_step=h)
        errors.append(abs(run.y[0, 0] - exact(6.0)))
    assert 4.6 < np.log2(errors[0] / errors[1]) < 6


def test_there_and_back():
    there, _ = solve("growth", span=(0.0, 4.0), rtol=1e-12, atol=1e-12)
    back, _ = solve("growth", span=(4.0, 0.0), y0=there.y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back.y, [[0.1]], atol=1e-10)


def test_later_times_change_nothing():
    """A problem that does not depend on time, at other times and in another unit of time."""
    fun, y0, end, _ = PROBLEMS["HIRES"]
    expected, _ = solve("HIRES")
    later, _ = solve("HIRES", span=(64.0, 64.0 + end))
    np.testing.assert_allclose(later.y, expected.y, rtol=1e-7)
    faster = solver(lambda t, y: 1024 * np.array(fun(t, y)), 8).start(0.0, end / 1024, [y0], rtol=1e-5, atol=1e-8)
    assert faster.advance(10_000) == 0
    np.testing.assert_allclose(faster.y, expected.y, rtol=1e-7)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_halves(share):
    """A solve to some time and on from there: the same solution within the tolerance."""
    end = PROBLEMS["Oregonator"][2]
    whole, _ = solve("Oregonator", rtol=1e-8, atol=1e-8)
    first, _ = solve("Oregonator", span=(0.0, share * end), rtol=1e-8, atol=1e-8)
    second, _ = solve("Oregonator", span=(share * end, end), y0=first.y, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(second.y, whole.y, rtol=1e-7)


@pytest.mark.parametrize("lanes", [1, 4])
def test_pauses_change_nothing(lanes):
    fun, y0, end, _ = PROBLEMS["Oregonator"]
    found = solver(fun, 3, Form(lanes))
    given = np.array([y0] * 6) + np.arange(6)[:, None]
    runs = [found.start(0.0, end, given, rtol=1e-5, atol=1e-5) for _ in range(2)]
    runs[0].advance(10**9)
    while runs[1].advance(1):
        pass
    np.testing.assert_array_equal(runs[0].y, runs[1].y)
    np.testing.assert_array_equal(runs[0].counts, runs[1].counts)


ENDS = FAILURES | {
    "long": (growth, 0.1, 1e6, Status.TOO_MANY_STEPS),
    "fine": (growth, 0.1, 3.0, Status.FINISHED),
    "constant": (lambda t, y: 0 * y, 1.0, 3.0, Status.FINISHED),
}


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("name", ENDS)
def test_how_members_end(name, lanes):
    fun, *rest = ENDS[name]
    check_end(solver(fun, 1, Form(lanes)), *rest)


def test_a_matrix_without_inverse():
    """`I/γ - hJ` of the first step is singular; a shorter step follows."""
    rate = 1 / module.GAMMA
    run = solver(lambda t, y: rate * y, 1).start(0.0, 2.0, [[1.0]], rtol=1e-6, atol=1e-6, first_step=1.0)
    assert run.advance(10_000) == 0
    assert run.counts[0, 2] > 0
    np.testing.assert_allclose(run.y[0, 0], np.exp(2 * rate), rtol=1e-4)


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("n", [3, 6, 40])
def test_rows_that_should_change_places(n, lanes):
    """A pivot of the first step is zero: larger systems are not solved then, and a shorter step follows."""
    rate = 1 / module.GAMMA

    def fun(t, y):
        return np.where(np.arange(n) == 0, rate, -1.0) * y + 0.1 * np.append(y[1:], 0) + 0.2 * np.append(0, y[:-1])

    found = solver(fun, n, Form(lanes, log=STATES))
    run = found.start(0.0, 2.0, np.ones((lanes, n)), rtol=1e-6, atol=1e-6, first_step=[1.0, 0.01, 0.01, 0.01][:lanes])
    assert run.advance(10_000) == 0
    exact = solve_ivp(fun, (0.0, 2.0), np.ones(n), "DOP853", rtol=1e-10, atol=1e-10).y[:, -1]
    np.testing.assert_allclose(run.y, [exact] * lanes, rtol=1e-5)


def test_which_systems_are_sparse():
    kinds = {}
    for name, (fun, y0, _, _) in PROBLEMS.items():
        recording = record(fun, [np.zeros(()), np.zeros(len(y0))])
        for lanes in (1, 8):
            writer = module.Rosenbrock(recording.program, linearised(recording), Form(lanes))
            kinds[name, lanes] = type(writer.systems)
    assert {kinds[name, lanes] for name in ("HIRES", "heat") for lanes in (1, 8)} == {Sparse}
    assert {kinds[name, lanes] for name in ("full 7", "full 19") for lanes in (1, 8)} == {Full}
    assert {kinds[name, lanes] for name in ("Robertson", "growth") for lanes in (1, 8)} == {Small}


def test_constants_share_code():
    codes = set()
    for factor in (-0.5, -0.75):
        recording = record(lambda t, y, factor=factor: factor * y, [np.zeros(()), np.zeros(1)])
        found = rosenbrock(recording.program, linearised(recording))
        codes.add(id(found.machine._code))
        run = found.start(0.0, 1.0, np.ones((1, 1)), rtol=1e-10, atol=1e-10)
        assert run.advance(1000) == 0
        np.testing.assert_allclose(run.y[0, 0], np.exp(factor), rtol=1e-8)
    assert len(codes) == 1


@pytest.mark.parametrize("table", ["STATES", "RIGHT_SIDES", "TIMES", "OF_TIME"])
def test_changed_coefficients_are_noticed(table, monkeypatch):
    """The comparison with the reference fails if the code has another coefficient."""
    rows = getattr(module, table)
    changed = (*rows[:4], tuple(x + 1e-3 for x in rows[4]) if isinstance(rows[4], tuple) else rows[4] + 1e-3, *rows[5:])
    monkeypatch.setattr(module, table, changed)
    recording = record(forced, [np.zeros(()), np.zeros(2)])
    writer = module.Rosenbrock(recording.program, linearised(recording), Form(log=STATES))
    programs = [recording.program, linearised(recording).program]
    run = module.Solver(programs, writer.driver(), writer.facts).start(0.0, 2.0, [[1.0, 1.0]], rtol=1e-5, atol=1e-5)
    run.advance(10_000)
    expected = references("forced")
    assert run.log[1].shape != expected.t[1:].shape or np.abs(run.log[1] / expected.t[1:] - 1).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Van der Pol", "Oregonator", "HIRES", "forced", "full 7"])
def test_polynomials_are_near_a_tight_solve(name):
    """Between the ends of steps, too, if their polynomials are checked."""
    fun, y0, end, scale = PROBLEMS[name]
    times, rtol = np.linspace(0, end, 301), 1e-6
    exact = solve_ivp(fun, (0.0, end), y0, "Radau", t_eval=times, rtol=1e-9, atol=1e-11 * scale,
                      jac=reference.Problem(fun).jacobian).y.T  # fmt: skip
    form = Form(has_times=True, checks_polynomials=True)
    run, _ = solve(name, form, times=times, rtol=rtol, atol=rtol * scale)
    largest = np.abs(exact).max(axis=0)
    assert (np.abs(run.values[0] - exact) < 100 * rtol * (scale + largest)).all()


@pytest.mark.parametrize("lanes", [1, 4])
def test_species_that_vanish(lanes):
    """Their numbers underflow, and what is computed with them is not rounded to many digits."""

    def fun(t, y):
        flow = 10.0 ** np.linspace(-3, 7, 7) * y[:-1] * y[1:]
        return np.concatenate([-flow, [0.0]]) - np.concatenate([[0.0], flow]) * np.concatenate([np.ones(7), [-1.0]])

    y0 = np.array([0.3, 1.0, 0.2, 0.8, 0.1, 0.9, 0.4, 1.0])
    recording = record(fun, [np.zeros(()), y0])
    found = rosenbrock(recording.program, linearised(recording), Form(lanes))
    run = found.start(0.0, 1e3, [y0] * lanes, rtol=1e-6, atol=1e-12)
    assert run.advance(1000) == 0
    exact = solve_ivp(fun, (0.0, 1e3), y0, "LSODA", rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(run.y, [exact.y[:, -1]] * lanes, rtol=1e-5, atol=1e-11)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("form", [Form(log=STATES), Form(log=DENSE), Form(log=STATES, has_times=True)])
def test_a_second_solve_for_comparison(form, lanes):
    fun, y0, end, _ = PROBLEMS["Prothero-Robinson"]
    times = np.linspace(0.0, end, 50) if form.has_times else None
    both = solver(fun, len(y0), replace(form, compares=True, lanes=lanes))
    check_comparison(both, solver(fun, len(y0), form), y0, end, times)

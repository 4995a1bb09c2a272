"""The compiled Radau IIA: against its NumPy reference, step by step, and against other solvers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from parscan._recorded.linearised import linearised
from parscan._recorded.native import radau as module
from parscan._recorded.native.members import DENSE, STATES, Form
from parscan._recorded.native.radau import radau
from parscan._recorded.native.stage_systems import Full, Small, Sparse
from parscan._recorded.native.status import Status
from parscan._recorded.native.text import UnsupportedError
from parscan._recorded.record import record
from tests.support import radau as reference
from tests.support.compiled_solvers import FAILURES, StiffRuns, check_comparison, check_end
from tests.support.ode_problems import ODES
from tests.support.rodas5p import Problem
from tests.support.stiff_problems import BOTH_WAYS, PROBLEMS, forced, growth, span_of

NEAR = 5e-3
"""Relative differences of the times of steps."""


RUNS = StiffRuns(radau, reference, 1e-7)
solver, solve, references = RUNS.solver, RUNS.solve, RUNS.references


@pytest.mark.parametrize(("name", "backwards"), BOTH_WAYS)
def test_steps_are_those_of_the_reference(name, backwards):
    """
    The same steps, and the same states.

    Errors of short steps are small differences of large numbers: rounding of them changes the lengths of later steps.
    """
    span = span_of(name, backwards)
    run, (members, t, y) = solve(name, Form(log=STATES), span)
    expected = references(name, span)
    assert run.status.name == expected.status
    assert not members.any()
    np.testing.assert_array_equal(run.counts[0, 1:3], [len(expected.t) - 1, expected.rejected])
    np.testing.assert_allclose(t, expected.t[1:], rtol=NEAR)
    size = np.abs(expected.y).max(axis=0)
    wanted = np.stack([expected(time) for time in t])
    np.testing.assert_allclose(y / size, wanted / size, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(run.y[0], y[-1])
    assert run.counts[0, 3] == expected.evaluations
    assert run.t[0] == expected.t[-1]


@pytest.mark.parametrize("name", PROBLEMS)
def test_slopes_at_the_ends_of_steps(name):
    fun = PROBLEMS[name][0]
    run, (_, t, y) = solve(name, Form(log=STATES), rtol=1e-5)
    last = len(run.slopes)
    wanted = np.stack([fun(time, state) for time, state in zip(t[-last:], y[-last:], strict=True)])
    np.testing.assert_allclose(run.slopes, wanted, rtol=1e-9, atol=1e-10 * np.abs(wanted).max())


@pytest.mark.parametrize("options", [{"max_step": 0.05}, {"first_step": 1e-3}, {"rtol": 1e-11, "atol": 1e-12}])
@pytest.mark.parametrize("name", ["forced", "small network"])
def test_options(name, options):
    _, (_, t, y) = solve(name, Form(log=STATES), **options)
    given = {"first" if key == "first_step" else key: value for key, value in options.items()}
    expected = references(name, **given)
    np.testing.assert_allclose(t, expected.t[1:], rtol=NEAR)
    np.testing.assert_allclose(y, np.stack([expected(time) for time in t]), rtol=1e-6, atol=1e-7)


def test_tolerances_per_component():
    atol = np.array([1e-6, 1e-12, 1e-4])
    _, (_, t, *_) = solve("Robertson", Form(log=STATES), atol=atol)
    np.testing.assert_allclose(t, references("Robertson", atol=atol).t[1:], rtol=NEAR)


@pytest.mark.parametrize("name", PROBLEMS)
def test_dense_output(name):
    """Integrals of the slopes at Gauss's nodes are the changes of the state; halves of steps are the reference's."""
    _, (_, t, y, slopes) = solve(name, Form(log=DENSE))
    expected = references(name)
    x, w = np.polynomial.legendre.leggauss(module.STAGES)
    times, states = np.append(0.0, t), np.concatenate([[PROBLEMS[name][1]], y])
    h, size = np.diff(times)[:, None], np.abs(expected.y).max(axis=0) + 1e-12
    changes = h * np.einsum("k,skn->sn", w / 2, slopes)
    np.testing.assert_allclose((changes - np.diff(states, axis=0)) / size, 0, atol=1e-12)
    nodes = (x + 1) / 2
    derive = np.linalg.inv(nodes[:, None] ** np.arange(len(nodes)))  # powers of the slope
    halves = 0.5 ** np.arange(1, len(nodes) + 1) / np.arange(1, len(nodes) + 1) @ derive
    middles = states[:-1] + h * np.einsum("k,skn->sn", halves, slopes)
    wanted = np.stack([expected(time) for time in (times[1:] + times[:-1]) / 2])
    np.testing.assert_allclose((middles - wanted) / size, 0, atol=1e-6)
    assert len(t) == len(slopes) == len(y)


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


@pytest.mark.parametrize("name", ["forced", "HIRES", "heat"])
def test_members_one_after_the_other(name):
    """Each one is solved as alone."""
    y0 = np.array(PROBLEMS[name][1])
    y0 = y0 * np.random.default_rng(0).uniform(0.8, 1.2, (4, len(y0)))
    run, _ = solve(name, None, y0=y0, threads=2)
    for k in range(4):
        alone, _ = solve(name, y0=y0[k])
        np.testing.assert_allclose(run.y[k], alone.y[0], rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(run.counts[k], alone.counts[0])


def test_parameters():
    def fun(t, y, rate, shift):
        return -rate[0] * (y - np.cos(t) * rate[1]) + shift

    recording = record(fun, [np.zeros(()), np.zeros(3), np.zeros(2), np.zeros(())])
    found = radau(recording.program, linearised(recording), Form(shared=(True, True)))
    for k, a in ((1e3, 1.0), (2e4, 2.0)):
        run = found.start(0.0, 2.0, np.ones((1, 3)), rtol=1e-9, atol=1e-9, parameters=(np.array([k, a]), np.array(0.5)))
        assert run.advance(10_000) == 0
        expected = a * k * (k * np.cos(2) + np.sin(2)) / (k * k + 1) + 0.5 / k
        np.testing.assert_allclose(run.y, np.full((1, 3), expected), rtol=1e-8)


STIFF = [ode for ode in ODES if ode.name in {"Van der Pol 1000", "Robertson", "Oregonator", "HIRES", "heat"}]
STIFF += [ode for ode in ODES if ode.name.startswith("Prothero")]


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
@pytest.mark.parametrize("ode", STIFF, ids=lambda ode: ode.name)
def test_errors_near_tolerances(ode, rtol):
    run = solver(ode.fun, len(ode.y0)).start(0.0, ode.end, [ode.y0], rtol=rtol, atol=rtol * ode.scale)
    assert run.advance(100_000) == 0
    assert run.status == Status.FINISHED
    assert ode.error(run.y[0], rtol) < 10


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_against_scipy(name):
    fun, y0, end, scale = PROBLEMS[name]
    expected = solve_ivp(
        fun, (0.0, end), y0, "Radau", rtol=1e-9, atol=1e-11 * scale, jac=Problem(fun).jacobian
    ).y[:, -1]  # fmt: skip
    for rtol in (1e-5, 1e-8):
        run, _ = solve(name, rtol=rtol, atol=rtol * scale)
        assert (np.abs(run.y[0] - expected) < 10 * rtol * (scale + np.abs(expected))).all()


@pytest.mark.parametrize("name", ["forced", "HIRES", "heat", "Robertson"])
def test_single_precision(name):
    fun, y0, end, _ = PROBLEMS[name]
    run = solver(fun, len(y0), None, np.float32).start(0.0, end, [y0], rtol=1e-4, atol=1e-4)
    assert run.advance(1000) == 0
    assert run.y.dtype == np.float32
    assert run.status == Status.FINISHED
    exact, _ = solve(name, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(run.y, exact.y, rtol=1e-3, atol=1e-3)


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
    faster = solver(lambda t, y: 1024 * np.array(fun(t, y)), 8).start(0.0, end / 1024, [y0], rtol=1e-7, atol=1e-10)
    assert faster.advance(10_000) == 0
    np.testing.assert_allclose(faster.y, expected.y, rtol=1e-7)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_halves(share):
    """A solve to some time and on from there: the same solution within the tolerance."""
    end = PROBLEMS["Oregonator"][2]
    whole, _ = solve("Oregonator", rtol=1e-10, atol=1e-10)
    first, _ = solve("Oregonator", span=(0.0, share * end), rtol=1e-10, atol=1e-10)
    second, _ = solve("Oregonator", span=(share * end, end), y0=first.y, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(second.y, whole.y, rtol=1e-9)


def test_pauses_change_nothing():
    fun, y0, end, _ = PROBLEMS["Oregonator"]
    runs = [solver(fun, 3).start(0.0, end, [y0], rtol=1e-7, atol=1e-7) for _ in range(2)]
    runs[0].advance(10**9)
    while runs[1].advance(1):
        pass
    np.testing.assert_array_equal(runs[0].y, runs[1].y)
    np.testing.assert_array_equal(runs[0].counts, runs[1].counts)


ENDS = FAILURES | {
    "fine": (growth, 0.1, 3.0, Status.FINISHED),
    "constant": (lambda t, y: 0 * y, 1.0, 3.0, Status.FINISHED),
    "long": (growth, 0.1, 1e6, Status.TOO_MANY_STEPS),
}


@pytest.mark.parametrize("name", ENDS)
def test_how_members_end(name):
    fun, *rest = ENDS[name]
    check_end(solver(fun, 1), *rest)


def test_a_matrix_without_inverse():
    """That of the real system in the first step is singular; a shorter step follows."""
    rate = module.coefficients(module.STAGES).real
    run = solver(lambda t, y: rate * y, 1).start(0.0, 2.0, [[1.0]], rtol=1e-9, atol=1e-9, first_step=1.0)
    assert run.advance(10_000) == 0
    assert run.counts[0, 2] > 0
    np.testing.assert_allclose(run.y[0, 0], np.exp(2 * rate), rtol=1e-6)


def test_which_systems_are_sparse():
    kinds = {}
    for name, (fun, y0, _, _) in PROBLEMS.items():
        recording = record(fun, [np.zeros(()), np.zeros(len(y0))])
        kinds[name] = type(module.Radau(recording.program, linearised(recording), Form()).systems)
    assert {kinds[name] for name in ("HIRES", "heat", "network")} == {Sparse}
    assert {kinds[name] for name in ("full 7", "full 19")} == {Full}
    assert {kinds[name] for name in ("Robertson", "growth")} == {Small}


def test_several_lanes_are_refused():
    with pytest.raises(UnsupportedError, match="lanes"):
        solver(growth, 1, Form(4))


@pytest.mark.parametrize("name", ["real", "error", "beyond", "inverse"])
def test_changed_coefficients_are_noticed(name, monkeypatch):
    """The comparison with the reference fails if the code has another coefficient."""
    expected = references("forced")
    own = module.coefficients(module.STAGES)
    changed = type(own)(**{key: getattr(own, key) for key in ("c", "A", "T", "inverse", "real", "pairs", "error")})
    value = getattr(own, name) * 1.01
    if name == "beyond":
        monkeypatch.setattr(type(own), name, value)
    else:
        object.__setattr__(changed, name, value)
    monkeypatch.setattr(module, "coefficients", lambda stages: changed)
    recording = record(forced, [np.zeros(()), np.zeros(2)])
    writer = module.Radau(recording.program, linearised(recording), Form(log=STATES))
    programs = [recording.program, linearised(recording).program, recording.program]
    run = module.Solver(programs, writer.driver(), writer.facts).start(0.0, 2.0, [[1.0, 1.0]], rtol=1e-7, atol=1e-7)
    run.advance(10_000)
    same = run.log[1].shape == expected.t[1:].shape and np.abs(run.log[1] / expected.t[1:] - 1).max() < 1e-6
    assert not (same and run.counts[0, 3] == expected.evaluations)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Van der Pol", "Oregonator", "HIRES", "forced", "full 7"])
def test_polynomials_are_near_a_tight_solve(name):
    """Between the ends of steps, too."""
    fun, y0, end, scale = PROBLEMS[name]
    times, rtol = np.linspace(0, end, 301), 1e-7
    exact = solve_ivp(fun, (0.0, end), y0, "Radau", t_eval=times, rtol=1e-9, atol=1e-11 * scale,
                      jac=Problem(fun).jacobian).y.T  # fmt: skip
    run, _ = solve(name, Form(has_times=True), times=times, rtol=rtol, atol=rtol * scale)
    largest = np.abs(exact).max(axis=0)
    assert (np.abs(run.values[0] - exact) < 100 * rtol * (scale + largest)).all()


@pytest.mark.parametrize("form", [Form(log=STATES), Form(log=DENSE), Form(log=STATES, has_times=True)])
def test_a_second_solve_for_comparison(form):
    fun, y0, end, _ = PROBLEMS["Prothero-Robinson"]
    times = np.linspace(0.0, end, 50) if form.has_times else None
    check_comparison(solver(fun, len(y0), replace(form, compares=True)), solver(fun, len(y0), form), y0, end, times)

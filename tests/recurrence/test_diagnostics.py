"""What a result tells of itself: residual, sensitivity, decisions, warnings, pictures."""

import copy
import inspect
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from problems import PROBLEMS, SAMPLE, loop, lorenz

import parscan
from parscan import Dense, Diagonal, Status, solve_recurrence
from parscan._engine import convergence
from parscan._engine.termination import Termination
from parscan._recurrence.advice import ADVICE
from parscan._recurrence.methods import BY_DIFFERENCES
from parscan._recurrence.systems import segments
from parscan.warnings import NondeterministicStepWarning, ParscanWarning, SlowConvergenceWarning

KNOWN = {
    "decay": (lambda y: 0.9 * y, np.ones(2), 1000, np.log(0.9), 1e-6),
    "sum": (lambda y: y + 1.0, np.ones(2), 1000, 0.0, 1e-6),
    "growth": (lambda y: 1.01 * y, np.ones(1), 1000, np.log(1.01), 1e-6),
    "logistic map, r=4": (lambda y: 4 * y * (1 - y), np.array([0.3]), 20_000, np.log(2), 1e-2),
    "logistic map, period 2": (lambda y: 3.2 * y * (1 - y), np.array([0.3]), 20_000, 0.5 * np.log(0.16), 1e-3),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_lyapunov_exponents(name):
    step, y0, steps, exponent, tolerance = KNOWN[name]
    sol = solve_recurrence(step, y0, length=steps)
    assert sol.lyapunov == pytest.approx(exponent, abs=tolerance)


@pytest.mark.slow
def test_the_exponent_of_chaos():
    """Against a small difference that is followed along, and made small again after each step."""
    sol = solve_recurrence(lorenz, np.ones(3), length=20_000)
    y, change, total = np.ones(3), np.ones(3) / np.sqrt(3), 0.0
    for _ in range(20_000):
        after = lorenz(y)
        change = (lorenz(y + 1e-7 * change) - after) / 1e-7
        size = np.linalg.norm(change)
        y, change, total = after, change / size, total + np.log(size)
    assert 0.009 < sol.lyapunov < 0.012  # the differential equations: 0.906 per unit of time (Sprott, 2003)
    assert sol.lyapunov == pytest.approx(total / 20_000, abs=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "newton", "jacobi"])
@pytest.mark.parametrize("name", SAMPLE)
def test_lyapunov_is_the_same_by_any_method_with_and_without_a_jacobian(name, method, rng):
    problem = PROBLEMS[name]
    step, jac = problem.make(rng, np.float64)
    y0, x = problem.inputs(rng, 500, (2,))
    product, y = [np.eye(problem.n)] * 2, loop(step, y0, x)
    total = np.zeros(2)
    for t in range(500):
        jacobians = problem.structure.to_dense(jac(y[t - 1] if t else y0, x[t]))
        for b in range(2):
            product[b] = jacobians[b] @ product[b]
            size = np.linalg.norm(product[b]) / np.sqrt(problem.n)
            product[b], total[b] = product[b] / size, total[b] + np.log(size)
    given, found = (
        solve_recurrence(step, y0, x, jac=j, structure=problem.structure, method=method).lyapunov for j in (jac, None)
    )
    if problem.structure == Dense():
        assert given == pytest.approx(total.max() / 500, abs=1e-9)
    assert given == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize("with_jac", [True, False])
def test_the_exponent_is_that_of_the_whole_step(with_jac, rng):
    """A diagonal is enough for quasi-Newton, and says little of how a coupled step grows."""
    A = 0.99 * np.linalg.qr(rng.standard_normal((3, 3)))[0]
    x = rng.standard_normal((500, 3))
    jac = (lambda y, x: np.broadcast_to(np.diag(A), y.shape)) if with_jac else None
    sol = solve_recurrence(lambda y, x: y @ A.T + x, np.zeros(3), x, jac=jac, structure=Diagonal, method="quasi-newton")
    assert sol.lyapunov == pytest.approx(np.log(0.99), abs=1e-8)


@pytest.mark.parametrize(("y0", "length"), [(np.ones(2), 0), (np.ones((3, 0, 2)), 10)])
def test_a_result_without_states_has_neither_residual_nor_exponent(y0, length):
    sol = solve_recurrence(lambda y: y, y0, length=length)
    assert sol.success
    assert np.isnan(sol.residual)
    assert np.isnan(sol.lyapunov)


def test_residual_and_exponent_are_those_of_the_finite_states():
    sol = solve_recurrence(lambda y: y * y + 1, np.array([0.5]), length=100)
    assert sol.residual == 0
    assert sol.lyapunov > 1


def test_nothing_of_the_result_changes_when_it_is_looked_at(rng):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 500)
    sol = solve_recurrence(step, y0, x)
    before, nfev = sol.y.copy(), sol.nfev
    assert sol.residual == sol.residual <= 1e-12
    assert sol.lyapunov == sol.lyapunov
    assert np.array_equal(sol.y, before)
    assert sol.nfev == nfev


def test_a_step_that_does_not_stack_has_a_residual_too():
    sol = solve_recurrence(lambda y: y[:1] * 0.5, np.ones(2), length=50, method="sequential")
    assert sol.residual == 0


@pytest.mark.parametrize("duplicate", [lambda sol: pickle.loads(pickle.dumps(sol)), copy.copy, copy.deepcopy])
def test_results_can_be_pickled_and_copied(duplicate):
    sol = solve_recurrence(lambda y: 0.5 * y, np.ones(2), length=100)
    assert sol.residual == 0
    other = duplicate(sol)
    assert other.residual == 0  # evaluated before
    assert np.array_equal(other.y, sol.y)
    assert other.message == sol.message
    with pytest.raises(RuntimeError, match="`lyapunov` needs the functions that were solved, .*: it was copied"):
        other.lyapunov  # noqa: B018


def counting(noise):
    """A step that adds noise from its 40th call on."""
    rng, calls = np.random.default_rng(0), []

    def step(y, x):
        calls.append(1)
        return 0.5 * y + x + (noise * rng.standard_normal(y.shape) if len(calls) > 40 else 0)

    return step


@pytest.mark.parametrize("noise", [1e-8, 1e-3, 1.0])
@pytest.mark.parametrize("method", ["auto", "newton", "jacobi"])
def test_a_step_that_contradicts_itself_is_reported(method, noise, rng):
    """It passes the checks at the start."""
    x = rng.standard_normal((3000, 2))
    with pytest.warns(NondeterministicStepWarning, match="differs by .* tolerances at step"):
        sol = solve_recurrence(counting(noise), np.zeros(2), x, method=method)
    assert not sol.success
    assert sol.status is Status.NONDETERMINISTIC
    assert np.isfinite(sol.y).all()
    assert "Take random numbers" in sol.message


def test_noise_of_rounding_is_no_contradiction(rng):
    x = rng.standard_normal((3000, 2))
    assert solve_recurrence(counting(1e-17), np.zeros(2), x).success


def test_large_terms_that_cancel_are_no_contradiction(rng):
    """The residual is that of rounding 1e6; the same call gives the same."""
    W = rng.standard_normal((3, 3)) * 0.2
    x = rng.standard_normal((2000, 3))
    sol = solve_recurrence(lambda y, x: (y @ W + x + 1e6) - 1e6, np.zeros(3), x)
    assert sol.success


@pytest.mark.parametrize("method", ["jacobi", "quasi-newton", "newton"])
def test_slow_convergence_is_warned_of_with_advice(method):
    with pytest.warns(SlowConvergenceWarning, match=f'method="{method}": the loop had to evaluate .* of 600 steps; '):
        solve_recurrence(lambda y: 3.9 * y * (1 - y), np.array([0.3]), length=600, method=method, segment_length=5)


def test_many_iterations_are_warned_of():
    with pytest.warns(SlowConvergenceWarning, match=r"it took up to (8|9)\d iterations in a window"):
        solve_recurrence(lambda y: 0.7 * y + 1.0, np.ones(1), length=400, method="jacobi", segment_length=1)


def test_the_warning_points_to_the_caller():
    with pytest.warns(SlowConvergenceWarning) as caught:
        solve_recurrence(lambda y: y + 1.0, np.ones(1), length=60, method="jacobi", segment_length=1)
    assert caught[0].filename == __file__


def test_no_warning_without_reason(rng):
    """Without `assert`: a warning is an error, which fails the test."""
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 400)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in ("auto", "newton", "quasi-newton", "sequential"):
            solve_recurrence(step, y0, x, method=method)
        solve_recurrence(lambda y: 3.9 * y * (1 - y), np.array([0.3]), length=400)  # auto falls back as it should


def test_warnings_have_one_base():
    assert issubclass(SlowConvergenceWarning, ParscanWarning)
    assert issubclass(NondeterministicStepWarning, ParscanWarning)
    assert parscan.warnings.ParscanWarning is ParscanWarning


def test_there_is_advice_for_every_ending():
    """Of all terminations, those that Newton's loop may end with."""
    text = "".join(Path(inspect.getfile(module)).read_text(encoding="utf-8") for module in (convergence, segments))
    assert set(ADVICE) == {Termination[name] for name in re.findall(r"Termination\.(\w+)", text)}


def test_decisions_are_told_in_order(clock):
    sol = solve_recurrence(clock.timed(lorenz), np.ones(3), length=3000, segment_length=20)
    assert sol.decisions[0].startswith("auto: jacobi, then newton, then the loop, for ")
    assert sol.decisions[1].startswith("jacobi: ")
    assert all(line.startswith("newton: ") for line in sol.decisions[2:-2])
    assert sol.decisions[-2].startswith("The loop evaluated ")
    assert sol.decisions[-1] == BY_DIFFERENCES
    assert len(sol.history) == sol.iterations


JUMPING = {
    "reset": lambda y, x: np.where(0.95 * y + 0.1 * x + 0.02 > 1, 0.0, 0.95 * y + 0.1 * x + 0.02),
    "sign": lambda y, x: 0.9 * y - 0.3 * np.sign(y - 0.2) + 0.1 * x,
    "wrap": lambda y, x: np.where(y > 0.5, y - 0.5, 1.7 * y) + 0.01 * x,
    "one of two components": lambda y, x: np.stack(
        [0.999 * y[..., 0] + x[..., 0], 1e-9 * (1e9 * y[..., 1] + 0.3 - (y[..., 1] > 1e-9))], axis=-1
    ),
}
SMOOTH = {
    "chaos": lambda y, x: 3.9 * y * (1 - y) + 0 * x,
    "kink": lambda y, x: 1 - 1.7 * np.abs(y) + 0.001 * x,
    "sum": lambda y, x: y + x,
    "steep": lambda y, x: 2 * np.tanh(3 * y) * np.cos(y) + 0.01 * x,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.SlowConvergenceWarning")
@pytest.mark.parametrize("method", ["auto", "jacobi", "newton"])
@pytest.mark.parametrize("name", [*JUMPING, *SMOOTH])
def test_a_step_that_jumps_is_not_advised_a_jacobian(name, method):
    """Said are jumps where there are some, and nowhere else."""
    x = np.random.default_rng(0).random((4000, 1))
    y0 = np.array([0.3, 0.0]) if "components" in name else np.array([0.3])
    options = {"compile": False} if method == "auto" else {"segment_length": 20, "max_iterations": 20}
    sol = parscan.solve_recurrence({**JUMPING, **SMOOTH}[name], y0, x, method=method, **options)
    if "To do better" in sol.message:
        assert ("jumps" in sol.message) == (name in JUMPING)
        assert not ("jumps" in sol.message and "`jac`" in sol.message)
    else:
        assert name in SMOOTH or sol.method != "sequential"

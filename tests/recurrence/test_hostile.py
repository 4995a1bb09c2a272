"""Recurrences that mislead a solver: small corrections that hide large errors, growth, hidden modes, false alarms.

Each was once solved wrongly. The answer must be the loop's, in every method.
"""

import numpy as np
import pytest
from problems import loop

from parscan import Clipping, Diagonal, solve_recurrence
from parscan.warnings import NondeterministicStepWarning

ONE = np.ones(1)
SINGLE = np.float32


def drift_in_single():
    x = np.zeros((20_000, 1), SINGLE)
    x[::20] = 1.2e-7
    return lambda y, x: y + x, np.ones(1, SINGLE), x


def reset_from_large():
    """A large start, wiped out by one zero factor: what is left must not carry the start's rounding."""
    factor = np.r_[np.ones(30), 0, np.ones(2000)][:, None].astype(SINGLE)
    offset = np.r_[np.zeros(30), 1e-2, np.zeros(2000)][:, None].astype(SINGLE)
    return lambda y, x: x[0] * y + x[1], np.array([1e5], SINGLE), (factor, offset)


def late_sensitivity():
    """Stable over four steps, but errors grow 10 000 fold on the way."""
    gain = np.tile([100.0, 100.0, 0.1, 0.5e-3], 2000)[:, None]
    wobble = np.random.default_rng(1).standard_normal(gain.shape) * np.tile([1e-6, 1e-3, 1e-3, 1e-3], 2000)[:, None]
    return lambda y, x: x[0] * y + x[1], ONE, (gain, 1 - gain + wobble)


def hidden_leak():
    mixing = np.array([[0.7, 0.3], [0.3, 0.7]])
    return lambda y: (y @ mixing) * (1 - 3e-13), np.array([2.0, 0.0]), 60_000


def hidden_sum():
    def step(y, x):
        first = 0.7 * y[..., 0] + 0.3 * y[..., 1] + x[..., 0]
        return np.stack([first, 0.3 * y[..., 0] + 0.7 * y[..., 1]], -1)

    return step, np.array([1.0, 0.0]), np.full((30_000, 1), 5e-13)


def neutral_and_fast():
    mixing = np.array([[0.8, 0.2], [0.2, 0.8]])
    return lambda y: y @ mixing + 2e-12, np.array([2.0, 0.0]), 2000


def drifting_batch_element():
    factor = np.array([[0.5], [1.0]])
    x = np.stack([np.ones((2000, 1)), np.full((2000, 1), 4e-12)], 1)
    return lambda y, x: factor * y + x, np.array([[1e3], [1.0]]), x


def not_holomorphic():
    x = 1 + 0.1 * np.random.default_rng(0).standard_normal((20_000, 1)) + 1e-12j
    return lambda y, x: 0.5 * y.real + 1j * y.imag + x, np.ones(1, complex), x


def kink_beside_the_trajectory():
    return lambda y: np.minimum(y + 1e-14, 1 + 0 * y), np.array([1 - 3e-9]), 100_000


def clipped_walk():
    x = 0.3 * np.random.default_rng(0).standard_normal((500, 1))
    return lambda y, x: np.clip(2 * y, -1, 1) + x, 0.3 * ONE, x


CASES = {
    "steps taken back over states that are cut off": clipped_walk,
    "neutral mode beside a fast one": neutral_and_fast,
    "drift of one batch element": drifting_batch_element,
    "not holomorphic": not_holomorphic,
    "kink beside the trajectory": kink_beside_the_trajectory,
    "growth from a tiny state": lambda: (lambda y: 1.001 * y, np.array([1e-18]), 50_000),
    "logistic growth": lambda: (lambda y: y + 0.05 * y * (1 - y), np.array([1e-20]), 2000),
    "slower logistic growth": lambda: (lambda y: y + 0.01 * y * (1 - y), np.array([1e-10]), 4000),
    "slow drift in single precision": drift_in_single,
    "drift by a rounding": lambda: (lambda y: y + 6e-15, ONE, 50_000),
    "reset from a large state": reset_from_large,
    "late sensitivity": late_sensitivity,
    "leak hidden by a transient": hidden_leak,
    "sum hidden by a transient": hidden_sum,
    "floor": lambda: (lambda y: np.floor(0.9 * y + 7) / 1.1, np.array([3.3]), 500),
    "dead zone": lambda: (lambda y: np.where(np.abs(y) < 1, y, 0.5 * y), np.array([1e6]), 500),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "newton", "quasi-newton", "elk", "jacobi"])
@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_the_loops(name, method):
    step, y0, x = CASES[name]()
    arguments = {"length": x} if isinstance(x, int) else {"x": x}
    expected = loop(step, y0, x)
    sol = solve_recurrence(step, y0, **arguments, method=method, max_iterations=30)
    rtol, atol = (1e-5, 1e-6) if y0.dtype == SINGLE else (1e-10, 1e-12)
    assert sol.success, sol.message
    assert np.max(np.abs(sol.y - expected) / (atol + rtol * np.abs(expected))) <= 10


@pytest.mark.parametrize("method", ["auto", "newton"])
def test_a_guess_of_another_size_leaves_no_trace(method):
    x = np.full((500, 1), 1e-3)
    sol = solve_recurrence(lambda y, x: 0.1 * y + x, np.zeros(1), x, guess=np.full((500, 1), 1e10), method=method)
    assert np.max(np.abs(sol.y / loop(lambda y, x: 0.1 * y + x, np.zeros(1), x) - 1)) <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("method", ["newton", "quasi-newton"])
def test_a_hidden_mode_behind_a_wrong_claim_of_structure(method):
    def step(y, x):
        a = (y[..., 0] + y[..., 1]) / 2
        s = (y[..., 0] - y[..., 1]) / 2 + 1e-12
        a = 0.5 * a + x[..., 0]
        return np.stack([a + s, a - s], -1)

    x = 1 + 0.1 * np.random.default_rng(0).standard_normal((20_000, 1))
    sol = solve_recurrence(step, np.array([10.0, 10.0]), x, method=method, structure=Diagonal)
    expected = loop(step, np.array([10.0, 10.0]), x)
    assert np.max(np.abs(sol.y - expected) / (1e-12 + 1e-10 * np.abs(expected))) <= 10


def test_a_wrong_claim_of_structure_costs_iterations_only(rng):
    W = rng.standard_normal((3, 3))
    W *= 0.97 / np.abs(np.linalg.eigvals(W)).max()
    x = rng.standard_normal((2000, 3))
    sol = solve_recurrence(
        lambda y, x: y @ W + x, np.ones(3), x, method="newton", structure=Diagonal, segment_length=20
    )
    expected = loop(lambda y, x: y @ W + x, np.ones(3), x)
    assert np.max(np.abs(sol.y - expected) / (1e-12 + 1e-10 * np.abs(expected))) <= 10


@pytest.mark.parametrize("method", ["auto", "newton", "jacobi", "sequential"])
def test_a_step_that_raises_on_nan_is_reported_as_by_the_loop(method):
    def step(y, x):
        if not np.isfinite(y).all():
            raise FloatingPointError("a state that is not finite")
        return 0.5 * y + x

    x = np.ones((1000, 1))
    x[600] = np.nan
    sol = solve_recurrence(step, np.zeros(1), x, method=method, segment_length=20)
    assert not sol.success
    assert "step 600 of 1000" in sol.message


@pytest.mark.parametrize("method", ["auto", "newton", "quasi-newton"])
def test_a_step_that_rejects_guesses_is_solved_by_the_loop(method):
    """Off the trajectory it raises; on it, never."""
    rng = np.random.default_rng(3)
    x = np.cumsum(rng.uniform(0.5, 1, (2000, 1)), axis=0)

    def step(y, x):
        if (np.abs(y - x) > 5).any():
            raise ValueError("far from the input")
        return y + 0.7 * (x - y)

    sol = solve_recurrence(step, np.zeros(1), x, method=method, segment_length=50)
    assert sol.success
    assert "ValueError: far from the input" in sol.message
    assert np.allclose(sol.y, loop(step, np.zeros(1), x), rtol=1e-12)


def test_a_right_jacobian_of_a_small_component_lost_in_the_rounding_of_a_sum_is_accepted(rng):
    """Differences over a share of its own size are noise there: those of its size by chance are not."""
    x = rng.standard_normal((100, 2))

    def step(y, x):
        small = (1 + 0.5 * y[..., 1] + 1e-5 * np.tanh(x[..., 1])) - 1
        return np.stack([np.tanh(y[..., 0] + 0.1 * y[..., 1] + x[..., 0]), small], axis=-1)

    def jac(y, x):
        slope = 1 - step(y, x)[..., 0] ** 2
        zero = np.zeros_like(slope)
        return np.stack([np.stack([slope, 0.1 * slope], -1), np.stack([zero, zero + 0.5], -1)], -2)

    for _ in range(20):
        assert solve_recurrence(step, np.array([1.0, 1e-5]) * rng.standard_normal(2), x, jac=jac).success


def test_a_right_jacobian_of_components_that_start_at_zero_beside_large_ones_is_accepted():
    def step(y, x):
        return np.stack([0.5 * y[..., 0] + x[..., 0], np.sin(0.9 * y[..., 1]) + x[..., 1]], -1)

    def jac(y, x):
        J = np.zeros((*y.shape, 2))
        J[..., 0, 0], J[..., 1, 1] = 0.5, 0.9 * np.cos(0.9 * y[..., 1])
        return J

    x = np.c_[np.full(1000, 1e8), np.where(np.arange(1000) < 200, 0, 0.1)]
    assert solve_recurrence(step, np.array([1e8, 0.0]), x, jac=jac).success


def test_swapped_bytes_in_inputs_that_the_step_hands_back():
    x = np.arange(200.0).reshape(100, 2).astype(">f8")
    sol = solve_recurrence(lambda y, x: x, np.zeros(2), x)
    assert np.array_equal(sol.y, x.astype(float))


@pytest.mark.parametrize("seed", [1, 23, 37])
def test_growth_from_below_the_absolute_tolerance_behind_a_wrong_claim_of_structure(seed):
    """What is forgiven at 1e-16 has grown by 1e21 a thousand steps later."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((3, 3))
    W *= 1.05 / np.abs(np.linalg.eigvals(W)).max()
    y0, x = 1e-16 * rng.standard_normal(3), 1e-16 * rng.standard_normal((1000, 3))
    x[:500] *= 1e-8
    expected = loop(lambda y, x: y @ W + x, y0, x)
    for method in ("auto", "newton", "quasi-newton"):
        sol = solve_recurrence(lambda y, x: y @ W + x, y0, x, method=method, structure=Diagonal, segment_length=20)
        assert np.max(np.abs(sol.y - expected) / (1e-12 + 1e-10 * np.abs(expected))) <= 10


def test_rounding_at_many_nodes_does_not_keep_newton_from_ending(rng):
    """Every state a node, many of them near zero: a few iterations, not dozens until the last bit stands."""
    x = rng.standard_normal((50_000, 1))

    def step(y, x):
        f = np.tanh(0.7 * y + x)
        return f, 0.7 * (1 - f * f)

    options = {"jac": True, "structure": Diagonal, "segment_length": 1, "rtol": 1e-12, "atol": 1e-14}
    sol = solve_recurrence(step, np.zeros(1), x, method="newton", **options)
    assert sol.iterations <= 8
    assert sol.residual <= 1e-14


@pytest.mark.slow
@pytest.mark.parametrize("damping", [Clipping(0.5), Clipping(1e-9)], ids=str)
@pytest.mark.parametrize("method", ["newton", "quasi-newton"])
@pytest.mark.parametrize("name", ["slow drift in single precision", "late sensitivity", "drift by a rounding"])
def test_a_damped_correction_is_trusted_less(name, method, damping):
    """It does not reach as far as the error does."""
    step, y0, x = CASES[name]()
    arguments, x = ({"length": 3000}, 3000) if isinstance(x, int) else ({"x": x}, x)
    expected = loop(step, y0, x)
    rtol, atol = (1e-5, 1e-6) if y0.dtype == SINGLE else (1e-10, 1e-12)
    for length in (1, 20):
        sol = solve_recurrence(
            step, y0, **arguments, method=method, damping=damping, segment_length=length, max_iterations=30
        )
        assert np.max(np.abs(sol.y - expected) / (atol + rtol * np.abs(expected))) <= 10


def test_a_jacobian_of_zeros_where_the_structure_keeps_apart_what_is_coupled():
    """Two components change places and drift: the diagonal is zero, as claimed, and the claim is not all."""
    step = lambda y: y[..., ::-1] + SINGLE(4e-7)  # noqa: E731
    sol = solve_recurrence(
        step,
        np.ones(2, SINGLE),
        length=5000,
        method="newton",
        structure=Diagonal,
        jac=lambda y: 0 * y,
        segment_length=1,
    )
    expected = loop(step, np.ones(2, SINGLE), 5000)
    assert np.max(np.abs(sol.y - expected) / (1e-6 + 1e-5 * np.abs(expected))) <= 10


def test_a_step_that_overwrites_what_it_reads_is_reported():
    buffers = {}

    def step(y, x):
        b = buffers.setdefault(y.shape, np.empty_like(y))
        b[...] = x
        b += 0.5 * np.sin(y)  # y may be b itself
        return b

    x = np.random.default_rng(0).standard_normal((2000, 1))
    with pytest.warns(NondeterministicStepWarning):
        sol = solve_recurrence(step, np.ones(1), x)
    assert not sol.success


def test_one_state_on_an_edge_is_no_reason_to_reject_a_step():
    """Rounding to eighths: at exactly half an eighth the last bit of a product decides."""
    calls = []

    def step(y, x):
        calls.append(len(y))
        edge = 0.125 * ((np.arange(len(y)) == 3) & (len(y) > 1))[:, None]  # as if one of the stacked states fell over
        return np.floor(8 * (0.5 * y + x)) / 8 + (edge if len(calls) < 30 else 0)

    x = np.random.default_rng(0).standard_normal((400, 1))
    assert np.array_equal(solve_recurrence(step, np.ones(1), x, method="jacobi").y.shape, (400, 1))


def test_rows_that_no_sweep_has_reached_are_no_guess(monkeypatch, clock):
    """Jacobi saw its own window only; what memory holds behind it must not matter."""
    x = 0.1 * np.random.default_rng(0).standard_normal((4000, 2))
    turn = np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    step = clock.timed(lambda y, x: y @ turn + x + 1e-3 * np.sin(y))
    found = []
    for junk in (0.0, 1e200):
        monkeypatch.setattr(np, "empty", lambda shape, dtype=float, junk=junk, **k: np.full(shape, junk, dtype))
        found.append(solve_recurrence(step, np.ones(2), x, segment_length=10, window=500))
    assert "newton" in found[0].method
    assert found[0].history == found[1].history
    assert np.array_equal(found[0].y, found[1].y)


@pytest.mark.slow
def test_a_prefix_that_creeps_is_not_convergence():
    """In chaos every iteration settles one node: that is the loop, many times dearer."""
    x = 0.01 * np.random.default_rng(0).standard_normal((1000, 1))
    for method in ("elk", "quasi-newton"):
        sol = solve_recurrence(lambda y, x: np.sin(3.5 * y) + x, ONE, x, method=method, segment_length=1)
        assert "The loop evaluated" in sol.message
        assert sol.iterations <= 400


def test_an_error_of_parscans_own_is_not_taken_for_one_of_the_step(monkeypatch, clock):
    """Only what the user's functions raise on guesses is left to the loop."""

    def broken(*_):
        raise AssertionError("a bug")

    monkeypatch.setattr("parscan._engine.correction.affine_scan", broken)
    with pytest.raises(AssertionError, match="a bug"):
        solve_recurrence(clock.timed(lambda y: y + 1.0), ONE, length=2000, method="newton", segment_length=10)

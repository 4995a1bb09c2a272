"""Checks of the user's functions see every component on its own scale, at the start and on the finished trajectory."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import loop
from seeds import seeds

from parscan import BlockDiagonal, Diagonal, Status, solve_recurrence
from parscan._functions.step import Step
from parscan._recurrence import choose, decide
from parscan._recurrence.checks.check_jacobian import structure_covers
from parscan.warnings import NondeterministicStepWarning

STEPS = 1500
SCALES = st.integers(-14, 14).map(lambda k: 10.0**k)


def noise(seed=0, columns=1, steps=STEPS):
    return np.random.default_rng(seed).standard_normal((steps, columns))


def beside(scale, little):
    """An ordinary component, and one of another scale: what `little` makes of that, of size one, and of the input."""

    def step(y, x):
        own = scale * little(y[..., 1] / scale, x[..., 0])
        return np.stack([0.9 * y[..., 0] + x[..., 0], own], axis=-1)

    return step


STACKED = {
    "sum of the first three": lambda z, x: 0.5 * z + 0.1 * x + 0.01 * z[:3].sum(),
    "sum": lambda z, x: 0.5 * z + x - 0.1 * np.tanh(z.sum()),
    "norm": lambda z, x: 0.5 * z / (1 + np.linalg.norm(z)) + x,
    "maximum": lambda z, x: z / np.abs(z).max() + x,
    "mean of the inputs": lambda z, x: 0.5 * z + x - x.mean(),
    "mean": lambda z, x: 0.5 * z + x - 0.1 * z.mean(),
    "sorted": lambda z, x: 0.5 * z + 0.1 * np.sort(x, axis=0),
    "first": lambda z, x: 0.5 * z + 0.2 * x + 0.1 * x[:1],
}


@pytest.mark.parametrize("name", STACKED)
@given(scale=SCALES)
@settings(max_examples=6)
def test_a_component_of_any_scale_is_checked_at_the_start(name, scale):
    step = beside(scale, STACKED[name])
    for method in ("auto", "newton"):
        with pytest.raises(ValueError, match="does not broadcast over leading axes.*gave other values"):
            solve_recurrence(step, np.array([1.0, scale]), noise(), method=method)


LATE = {
    "branch on the maximum": lambda z, x: (0.5 if np.abs(z).max() < 2 else 0.4) * z + x,
    "branch on all": lambda z, x: 0.5 * z + x if (z < 2).all() else 0.2 * z + x,
    "sum of the excess": lambda z, x: 0.5 * z + x - 0.1 * np.maximum(z - 2, 0).sum(),
    "clipping by the norm": lambda z, x: (0.5 * z + x) * min(1.0, 4 / (1e-300 + np.linalg.norm(0.5 * z + x))),
    "scaling by the maximum": lambda z, x: (0.5 * z + x) / max(1.0, np.abs(z).max() / 2),
}


def caught_or_right(step, y0, x, **options):
    """Either the step is rejected, or the result says that it failed, or it is the loop's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NondeterministicStepWarning)
        try:
            sol = solve_recurrence(step, y0, x, **options)
        except ValueError:
            return
    if sol.success:
        expected = loop(step, y0, x)
        assert np.max(np.abs(sol.y - expected) / (1e-10 * np.abs(expected).max(axis=0))) <= 100
    else:
        assert sol.status is Status.NONDETERMINISTIC


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "jacobi", "newton"])
@pytest.mark.parametrize("name", LATE)
@given(scale=SCALES)
@settings(max_examples=4)
def test_a_component_of_any_scale_is_checked_at_the_end(name, method, scale):
    """Inputs are small for a while, and the first states tell nothing."""
    x = noise() * np.where(np.arange(STEPS) < STEPS // 4, 0.01, 1.0)[:, None]
    step = beside(scale, LATE[name])
    caught_or_right(step, np.array([0.01, 0.01 * scale]), x, method=method)


def test_a_branch_on_extreme_states_is_seen_at_any_scale():
    """Few states are large enough for the branch: a sample of the trajectory need not hold any of them."""
    x = noise() * np.where(np.arange(STEPS) < STEPS // 4, 0.01, 1.0)[:, None]
    step = beside(1e-12, LATE["branch on all"])
    caught_or_right(step, np.array([0.01, 0.01e-12]), x, method="jacobi")


def test_a_branch_that_shows_late_is_reported(monkeypatch):
    for module in (choose, decide):  # sweeps are tried, however little time the loop takes
        monkeypatch.setattr(module, "BRIEF", 0.0)
    x = noise() * np.where(np.arange(STEPS) < STEPS // 4, 0.01, 1.0)[:, None]
    with pytest.warns(NondeterministicStepWarning, match="for many states at once.* at step .* that state alone"):
        sol = solve_recurrence(LATE["branch on the maximum"], np.zeros(1), x)
    assert not sol.success
    assert "np.where" in sol.message


def test_a_member_of_a_batch_of_any_scale_is_checked():
    scales = 10.0 ** np.arange(-14, 1)[:, None]

    def step(y, x):
        return 0.5 * y + scales * (x + 0.1 * np.tanh((y / scales).mean(axis=0)))

    with pytest.raises(ValueError, match="does not broadcast"):
        solve_recurrence(step, scales, noise()[:, :, None])


RIGHT = {
    "matrix": lambda y, x: np.tanh(y @ MIX) + x,
    "cancelling": lambda y, x: (0.5 * y + x + 1e8) - 1e8,
    "difference of two": lambda y, x: np.stack([1e8 + x[..., 0], y[..., 0] - (y[..., 0] + 1e-8), x[..., 0]], -1),
    "rounding": lambda y, x: np.round(8 * (0.5 * y + x)) / 8,
    "sign": lambda y, x: 0.5 * y + np.sign(y + x),
    "long sums": lambda y, x: 0.5 * y + 1e-8 * ((1e8 * y) @ np.ones((3, 500)) @ np.ones((500, 3))) / 3000 + x,
}
MIX = np.random.default_rng(5).standard_normal((3, 3)) / 3


@pytest.mark.parametrize("method", ["auto", "jacobi", "newton"])
@pytest.mark.parametrize("name", RIGHT)
def test_rounding_is_no_false_alarm(name, method):
    x = noise(1, 3)
    sol = solve_recurrence(RIGHT[name], np.zeros(3), x, method=method)
    assert sol.success
    expected = loop(RIGHT[name], np.zeros(3), x)
    assert np.allclose(sol.y, expected, rtol=1e-8, atol=1e-6)


@given(powers=st.lists(st.integers(-14, 14), min_size=4, max_size=4), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_right_steps_and_jacobians_of_any_scales_pass(powers, seed):
    scales, x = 10.0 ** np.array(powers), noise(seed, 4, 300)
    W = np.random.default_rng(seed).standard_normal((4, 4)) / 2

    def step(y, x):
        return scales * np.tanh((y / scales) @ W + x)

    def jac(y, x):
        slope = 1 - np.tanh((y / scales) @ W + x) ** 2
        return scales[:, None] * slope[..., None] * W.T / scales

    for method in ("auto", "newton"):
        sol = solve_recurrence(step, np.zeros(4), x, jac=jac, method=method)
        assert sol.success
        assert np.allclose(sol.y / scales, loop(step, np.zeros(4), x) / scales, rtol=1e-8, atol=1e-8)


@given(scale=SCALES, entry=st.tuples(st.integers(0, 1), st.integers(0, 1)))
@settings(max_examples=20)
def test_every_entry_of_a_jacobian_is_checked(scale, entry):
    """Wrong by a half: in the row or the column of a component of whatever scale."""
    scales = np.array([1.0, scale])
    mix = np.array([[0.5, 0.2], [0.3, 0.4]])

    def step(y, x):
        return scales * np.sin((y / scales) @ mix.T + x)

    def jac(y, x, wrong=1.0):
        matrix = np.cos((y / scales) @ mix.T + x)[..., :, None] * mix * scales[:, None] / scales
        factors = np.ones((2, 2))
        factors[entry] = wrong
        return matrix * factors

    x = noise(2, 2, 300)
    assert solve_recurrence(step, scales, x, jac=jac, method="newton").success
    with pytest.raises(ValueError, match="`jac` disagrees with finite differences"):
        solve_recurrence(step, scales, x, jac=lambda y, x: jac(y, x, 1.5), method="newton")


@pytest.mark.parametrize("method", ["auto", "jacobi", "newton"])
def test_a_component_that_is_nothing_but_rounding_is_no_false_alarm(method):
    """A product of matrices, less the same product summed in another order."""
    w = np.random.default_rng(4).standard_normal((64, 1))
    x = 1e6 * noise(4, 64)

    def step(y, x):
        z = 0.5 * y + x
        return np.concatenate([z[..., 1:], z @ w - np.sum(z * w[:, 0], axis=-1, keepdims=True)], axis=-1)

    sol = solve_recurrence(step, np.zeros(64), x, method=method)
    assert sol.success
    assert np.allclose(sol.y, loop(step, np.zeros(64), x), rtol=1e-8, atol=1e-2)


@given(scale=st.integers(-14, -3).map(lambda k: 10.0**k))
@settings(max_examples=8)
def test_a_derivative_that_drowns_in_rounding_is_checked(scale):
    """What a small component adds to a large one shows only where it is moved by more than its own size."""

    def step(y, x):
        return np.stack([0.9 * y[..., 0] + 0.1 * y[..., 1] + x[..., 0], 0.5 * y[..., 1] + scale * x[..., 0]], axis=-1)

    matrix = np.array([[0.9, 0.1], [0.0, 0.5]])
    y0, x = np.array([1.0, scale]), noise(3)
    assert solve_recurrence(step, y0, x, jac=lambda y, x: matrix[None], method="newton").success
    with pytest.raises(ValueError, match="`jac` disagrees"):
        solve_recurrence(step, y0, x, jac=lambda y, x: matrix[None] + [[0, 0.2], [0, 0]], method="newton")


BENT = {
    "square at zero": (lambda y: y * y, lambda y: 2 * y),
    "cube at zero": (lambda y: y**3, lambda y: 3 * y * y),
    "kink at zero": (lambda y: 0.5 * np.maximum(y, 0), lambda y: 0.5 * (y > 0)),
    "nearly constant": (
        lambda y: 1 + 1e-9 * np.tanh(1e12 * (y - 1)) + 0 * y,
        lambda y: 1e3 / np.cosh(np.minimum(1e12 * np.abs(y - 1), 300)) ** 2,
    ),
    "steep at zero": (lambda y: np.tanh(1e6 * y), lambda y: 1e6 / np.cosh(np.minimum(1e6 * np.abs(y), 300)) ** 2),
}


@pytest.mark.parametrize("name", BENT)
def test_a_jacobian_where_a_step_bends_is_no_false_alarm(name):
    step, jac = BENT[name]
    sol = solve_recurrence(step, np.zeros(1), length=200, jac=jac, structure=Diagonal, method="newton")
    assert sol.success


@given(scale=SCALES)
@settings(max_examples=8)
def test_a_coupling_of_any_scale_beside_the_structure_is_seen(scale):
    """Newton's corrections are only trusted as Newton's where the structure holds all of the derivative."""
    scales = np.array([1.0, 1.0, scale, scale])
    mix = 0.9 * np.eye(4)
    mix[3, 2], mix[2, 3] = 0.09, 0.05
    x = 1e-3 * scales * noise(3, 4, 2000)

    def step(y, x):
        return y @ mix.T + x

    states = loop(step, scales, x[:8])
    for structure, covers in ((Diagonal(), False), (BlockDiagonal(2), True)):
        assert structure_covers(Step(step, x, (), None, structure, np), states) == covers
        sol = solve_recurrence(step, scales, x, structure=structure, method="newton", segment_length=20, atol=0)
        assert np.allclose(sol.y / scales, loop(step, scales, x) / scales, rtol=1e-8, atol=1e-12)


def test_what_a_stacked_call_raises_is_named():
    def step(y, x):
        if len(y) > 1:
            raise ArithmeticError("one at a time")
        return 0.5 * y + x

    with pytest.raises(ValueError, match=r"stacked states raised ArithmeticError \(one at a time\), 8 calls") as caught:
        solve_recurrence(step, np.zeros(1), noise())
    assert isinstance(caught.value.__cause__, ArithmeticError)


def test_a_branch_on_one_state_is_named():
    with pytest.raises(ValueError, match="raised ValueError .*np.where"):
        solve_recurrence(lambda y, x: 0.5 * y + x if y[..., 0] > 0 else x, np.zeros(1), noise())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.NondeterministicStepWarning")
@pytest.mark.parametrize("steps", [500, 2000, 20_000])
@pytest.mark.parametrize("threshold", [-3, -1, 0, 2, 2.5, 3, 3.5])
def test_branches_on_all_states_that_are_rarely_closed(steps, threshold):
    x = np.random.default_rng(0).standard_normal((steps, 1))

    def step(y, x):
        return 0.5 * y + x + (0.3 if np.any(y < threshold) else -0.3)

    expected, y = np.empty_like(x), np.zeros((1, 1))
    for t in range(steps):
        expected[t] = y = step(y, x[t : t + 1])
    try:
        sol = solve_recurrence(step, np.zeros(1), x)
    except ValueError:  # it is refused at the start
        return
    assert not sol.success or np.abs(sol.y - expected).max() < 1e-8


@pytest.mark.filterwarnings("ignore::parscan.warnings.NondeterministicStepWarning")
@pytest.mark.filterwarnings("ignore::parscan.warnings.SlowConvergenceWarning")
@pytest.mark.parametrize("seed", seeds(6, 30))
@pytest.mark.parametrize("threshold", [-3, 3, 3.5])
def test_such_branches_in_the_few_steps_that_a_failed_solve_found(seed, threshold):
    x = np.random.default_rng(seed).standard_normal((500, 1))

    def step(y, x):
        return 0.5 * y + x + (0.3 if np.any(y < threshold) else -0.3)

    expected, y = np.empty_like(x), np.zeros((1, 1))
    for t in range(500):
        expected[t] = y = step(y, x[t : t + 1])
    try:
        sol = solve_recurrence(step, np.zeros(1), x, method="newton", max_iterations=1)
    except ValueError:  # it is refused at the start
        return
    assert not sol.success or np.abs(sol.y - expected).max() < 1e-8

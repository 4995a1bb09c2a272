"""What must hold of any solve, whatever the recurrence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import PROBLEMS, assert_like_loop, loop

from parscan import Clipping, Diagonal, solve_recurrence

seeds = st.integers(0, 2**32 - 1)
steps = st.integers(0, 300)
lengths = st.integers(1, 70)
names = st.sampled_from(sorted(PROBLEMS))
methods = st.sampled_from(["auto", "newton", "quasi-newton", "elk", "jacobi"])


def drawn(name, seed, count, batch=()):
    """A problem of the table with inputs of its own."""
    rng = np.random.default_rng(seed)
    step, jac = PROBLEMS[name].make(rng, np.float64)
    return step, jac, *PROBLEMS[name].inputs(rng, count, batch)


@given(names, seeds, steps, lengths, methods, st.booleans())
def test_the_answer_is_the_loops(name, seed, count, length, method, given_jac):
    step, jac, y0, x = drawn(name, seed, count)
    sol = solve_recurrence(
        step,
        y0,
        x,
        jac=jac if given_jac else None,
        structure=PROBLEMS[name].structure,
        method=method,
        segment_length=length,
    )
    assert_like_loop(sol, loop(step, y0, x))


@pytest.mark.slow
@given(names, seeds, st.integers(2, 300), methods, st.data())
def test_a_solve_can_be_cut_in_two(name, seed, count, method, data):
    cut = data.draw(st.integers(1, count - 1))
    step, _, y0, x = drawn(name, seed, count)
    whole = solve_recurrence(step, y0, x, method=method)
    head = solve_recurrence(step, y0, x[:cut], method=method)
    tail = solve_recurrence(step, head.y[-1], x[cut:], method=method)
    assert_like_loop(whole, np.concatenate([head.y, tail.y]))


@pytest.mark.slow
@given(seeds, methods, st.permutations(range(4)))
def test_the_order_of_a_batch_is_irrelevant(seed, method, order):
    step, _, y0, x = drawn("leaky tanh", seed, 120, (4,))
    straight = solve_recurrence(step, y0, x, method=method, segment_length=10)
    shuffled = solve_recurrence(step, y0[order], x[:, order], method=method, segment_length=10)
    assert np.abs(straight.y[:, order] - shuffled.y).max() <= 1e-10


@pytest.mark.slow
@given(seeds, st.integers(1, 12), st.sampled_from(["newton", "quasi-newton", "jacobi"]))
def test_the_first_k_segments_are_exact_after_k_iterations(seed, iterations, method):
    """Whatever the propagators are: at length 1 and k iterations the loop is left all but k of the steps."""
    step, _, y0, x = drawn("gru4", seed, 40)
    sol = solve_recurrence(
        step, y0, x, method=method, segment_length=1, max_iterations=iterations, rtol=1e-300, atol=1e-300
    )
    assert_like_loop(sol, loop(step, y0, x))
    if "The loop evaluated" in sol.message:
        left = int(sol.message.split("The loop evaluated ")[1].split()[0])
        assert left <= 40 - iterations


@pytest.mark.slow
@given(seeds, st.sampled_from([0.5, 0.9, 1.0, 1.02]), methods)
def test_stable_neutral_and_unstable_maps(seed, norm, method):
    """y ← norm·Q·tanh-bent y: decaying, neutral or growing, over as many steps as the loop is meaningful."""
    rng = np.random.default_rng(seed)
    Q = norm * np.linalg.qr(rng.standard_normal((3, 3)))[0]

    def step(y, x):
        return y @ Q.T + 0.01 * np.tanh(y) + x

    y0, x = rng.standard_normal(3), rng.standard_normal((200, 3))
    sol = solve_recurrence(step, y0, x, method=method, segment_length=8)
    expected = loop(step, y0, x)
    assert sol.success
    assert np.abs(sol.y - expected).max() <= 1e-8 * np.abs(expected).max()


@pytest.mark.slow
@given(st.floats(3.6, 4.0), st.floats(0.05, 0.95), st.integers(65, 400), methods, st.integers(1, 40))
def test_chaotic_maps_agree_while_the_loop_is_meaningful(r, start, count, method, length):
    """Rounding doubles per step: thirty steps agree to what remains of the digits, all follow the map."""
    y0 = np.array([start, 1 - 0.9 * start])
    sol = solve_recurrence(lambda y: r * y * (1 - y), y0, length=count, method=method, segment_length=length)
    expected = loop(lambda y: r * y * (1 - y), y0, count)
    assert sol.success
    assert np.abs(sol.y[:30] - expected[:30]).max() <= 4**15 * 1e-15
    assert sol.residual <= 1e-10


@given(seeds, st.integers(-300, 290), st.integers(0, 10), methods)
def test_trajectories_that_cross_many_magnitudes(seed, exponent, span, method):
    """Products with factors between 10^-span and 10^span, as long as the numbers last."""
    rng = np.random.default_rng(seed)
    x = 10.0 ** rng.uniform(-span, span, (80, 2))
    y0 = np.array([10.0**exponent, -(10.0**exponent)])
    with np.errstate(all="ignore"):
        expected = loop(lambda y, x: y * x, y0, x)
    sol = solve_recurrence(lambda y, x: y * x, y0, x, method=method, structure=Diagonal, segment_length=7)
    finite = np.isfinite(expected).all(axis=1)
    last = 80 if finite.all() else int(np.argmin(finite))
    assert sol.success is bool(finite.all())
    assert (np.abs(sol.y[:last] - expected[:last]) <= 1e-12 + 1e-9 * np.abs(expected[:last])).all()


@pytest.mark.slow
@given(seeds, st.sampled_from([0.9, 1.0, 1.1]), st.integers(1, 30), st.integers(1, 300))
def test_windows_change_nothing(seed, norm, length, window):
    rng = np.random.default_rng(seed)
    Q = norm * np.linalg.qr(rng.standard_normal((2, 2)))[0]
    y0, x = rng.standard_normal(2), rng.standard_normal((200, 2))
    expected = loop(lambda y, x: np.tanh(y @ Q.T) + x, y0, x)
    for method in ("newton", "elk", "jacobi"):
        sol = solve_recurrence(
            lambda y, x: np.tanh(y @ Q.T) + x, y0, x, method=method, segment_length=length, window=window
        )
        assert_like_loop(sol, expected)


@given(seeds)
def test_time_reversal(seed):
    """Running an invertible recurrence forth and back returns to the start."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    y0, x = rng.standard_normal(2), rng.standard_normal((150, 2))
    there = solve_recurrence(lambda y, x: y @ Q.T + x, y0, x)
    back = solve_recurrence(lambda y, x: (y - x) @ Q, there.y[-1], x[::-1])
    assert np.abs(back.y[-1] - y0).max() <= 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "newton", "quasi-newton", "elk", "jacobi", "sequential"])
@pytest.mark.parametrize("name", ["leaky tanh", "running sum"])
def test_any_array_library(name, method, rng):
    """All code outside _arrays.py and the kernels runs on the array API's strict reference implementation."""
    xp = pytest.importorskip("array_api_strict")
    y0, x = PROBLEMS[name].inputs(rng, 90, (2,))
    rate = rng.uniform(0.3, 0.9, 3)
    steps = {
        "leaky tanh": lambda tanh, rate: lambda y, x: tanh(rate * y + x),
        "running sum": lambda tanh, rate: lambda y, x: y + x,
    }
    expected = loop(steps[name](np.tanh, rate), y0, x)
    sol = solve_recurrence(
        steps[name](xp.tanh, xp.asarray(rate)),
        xp.asarray(y0),
        xp.asarray(x),
        method=method,
        structure=PROBLEMS[name].structure,
        segment_length=9,
    )
    assert type(sol.y) is type(xp.asarray(y0))
    assert sol.success
    assert np.abs(np.asarray(sol.y) - expected).max() <= 1e-9
    assert sol.residual <= 1e-9
    assert sol.lyapunov <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"method": "newton", "damping": Clipping(0.7)},
        {"method": "quasi-newton"},
        {"method": "elk"},
    ],
    ids=str,
)
def test_any_array_library_with_every_option(options, rng):
    xp = pytest.importorskip("array_api_strict")
    A = 0.8 * np.linalg.qr(rng.standard_normal((3, 3)))[0]
    y0, x = rng.standard_normal(3), rng.standard_normal((80, 3))
    expected = loop(lambda y, x: np.tanh(y @ A.T) + x, y0, x)
    As = xp.asarray(A.T.copy())
    sol = solve_recurrence(lambda y, x: xp.tanh(y @ As) + x, xp.asarray(y0), xp.asarray(x), segment_length=5, **options)
    assert np.abs(np.asarray(sol.y) - expected).max() <= 1e-9
    assert sol.lyapunov < 0


def test_any_array_library_dense_with_jacobian(rng):
    xp = pytest.importorskip("array_api_strict")
    A = 0.8 * np.linalg.qr(rng.standard_normal((3, 3)))[0]
    y0, x = rng.standard_normal(3), rng.standard_normal((80, 3))
    As = xp.asarray(A.T.copy())
    expected = loop(lambda y, x: y @ A.T + x, y0, x)
    for jac in (None, lambda y, x: xp.broadcast_to(xp.asarray(A), (*y.shape, 3))):
        sol = solve_recurrence(
            lambda y, x: y @ As + x, xp.asarray(y0), xp.asarray(x), jac=jac, method="newton", segment_length=5
        )
        assert sol.success
        assert np.abs(np.asarray(sol.y) - expected).max() <= 1e-9

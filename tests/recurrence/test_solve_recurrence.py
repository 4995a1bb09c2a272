"""solve_recurrence against the sequential loop: methods × problems × dtypes × batches × lengths."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from problems import PROBLEMS, SAMPLE, STRUCTURES, N, assert_like_loop, loop, random_array

from parscan import BlockDiagonal, Diagonal, Status, solve_recurrence

PARALLEL = ("newton", "quasi-newton", "elk", "jacobi")
METHODS = ("auto", *PARALLEL, "sequential")
CASES = [
    pytest.param(name, dtype, id=f"{name}-{dtype.__name__}")
    for name, problem in PROBLEMS.items()
    for dtype in (np.float32, np.float64, *((np.complex64, np.complex128) if problem.complex_too else ()))
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_every_method_gives_the_loops_answer(name, dtype, method, rng):
    problem = PROBLEMS[name]
    step, _ = problem.make(rng, dtype)
    y0, x = problem.inputs(rng, 150, dtype=dtype)
    sol = solve_recurrence(step, y0, x, structure=problem.structure, method=method, max_iterations=20)
    assert_like_loop(sol, loop(step, y0, x))


@pytest.mark.pairs(
    name=SAMPLE,
    method=["newton", "quasi-newton", "auto"],
    given=["callable", "pair", "differences"],
    segment_length=[None, 1, 2, 7, 64, 1000],
)
def test_jacobians_and_segments(name, method, given, segment_length, rng):
    problem = PROBLEMS[name]
    step, jac = problem.make(rng, np.float64)
    y0, x = problem.inputs(rng, 131, batch=(2,))
    function = (lambda y, x: (step(y, x), jac(y, x))) if given == "pair" else step
    choice = {"callable": jac, "pair": True, "differences": None}[given]
    sol = solve_recurrence(
        function, y0, x, jac=choice, structure=problem.structure, method=method, segment_length=segment_length
    )
    assert_like_loop(sol, loop(step, y0, x))
    if method != "auto":
        assert (sol.njev > 0) == (given != "differences")
        assert segment_length is None or sol.segment_length == segment_length


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("method", ["auto", "newton", "jacobi"])
def test_batches(batch, method, rng):
    problem = PROBLEMS["gru4"]
    step, jac = problem.make(rng, np.float64)
    y0, x = problem.inputs(rng, 300, batch)
    sol = solve_recurrence(step, y0, x, jac=jac, method=method)
    assert_like_loop(sol, loop(step, y0, x))


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8, 9, 15, 16, 17, 63, 64, 65, 257])
@pytest.mark.parametrize("method", METHODS)
def test_any_number_of_steps(steps, method, rng):
    problem = PROBLEMS["gru4"]
    step, _ = problem.make(rng, np.float64)
    y0, x = problem.inputs(rng, steps)
    sol = solve_recurrence(step, y0, x, method=method, max_iterations=30)
    assert_like_loop(sol, loop(step, y0, x))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_long_and_contractive(method, rng, clock):
    problem = PROBLEMS["gru4"]
    step, jac = problem.make(rng, np.float64)
    y0, x = problem.inputs(rng, 5000)
    timed = clock.timed(step)
    sol = solve_recurrence(timed, y0, x, jac=jac, method=method, segment_length=128, max_iterations=60)
    expected = loop(step, y0, x)
    assert_like_loop(sol, expected)
    if method != "sequential":
        assert sol.status is Status.CONVERGED
        assert np.abs(sol.y - expected).max() <= 1e-12  # the tolerances are far finer than their promise here


def test_auto_needs_two_sweeps_where_the_start_is_forgotten(rng):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 20_000)
    sol = solve_recurrence(step, y0, x, segment_length=256)
    assert (sol.method, sol.iterations, sol.status) == ("jacobi", 2, Status.CONVERGED)
    assert sol.npoints < 1.6 * 20_000  # the second sweep stops where it meets the first


def test_auto_turns_to_newton_where_nothing_is_forgotten(rng, clock):
    step, jac = PROBLEMS["rotation"].make(rng, np.float64)
    y0, x = PROBLEMS["rotation"].inputs(rng, 20_000)
    sol = solve_recurrence(clock.timed(step), y0, x, jac=jac, segment_length=64)
    assert sol.method == "jacobi, newton"
    assert sol.status is Status.CONVERGED
    assert_like_loop(sol, loop(step, y0, x))


def test_auto_does_not_take_small_defects_for_small_errors():
    """Each joint of a slow drift is off by less than the tolerance; together they are off by far more."""
    x = np.full((50_000, 1), 1e-12)
    sol = solve_recurrence(lambda y, x: y + x, np.ones(1), x, segment_length=50, rtol=1e-9, atol=0)
    expected = 1 + 1e-12 * np.arange(1, 50_001)[:, None]
    assert np.abs(sol.y - expected).max() <= 2e-11  # rounding of 50 000 sums


def test_few_steps_and_steps_without_gain_go_to_the_loop(rng, clock):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 40)
    assert solve_recurrence(step, y0, x).method == "sequential"

    clock.call, clock.state = 0.0, 1e-4  # as dear in a stack as one by one
    _, x = PROBLEMS["gru4"].inputs(rng, 300)
    assert solve_recurrence(clock.timed(step), y0, x).method == "sequential"
    clock.call, clock.state = 1e-4, 0.0
    assert solve_recurrence(clock.timed(step), y0, x, compile=False).method == "jacobi"


def test_autonomous(rng):
    sol = solve_recurrence(lambda y: 2.9 * y * (1 - y), np.array([0.3]), length=400)
    assert_like_loop(sol, loop(lambda y: 2.9 * y * (1 - y), np.array([0.3]), 400))


def test_inputs_as_a_tuple_with_args(rng):
    gate, drive = rng.uniform(0, 1, (500, 1)), rng.standard_normal(500)
    kinds = rng.integers(0, 3, 500)
    bias = np.array([0.1, -0.2, 0.3])

    def step(y, x, slope, *, _bias=bias):
        gate, drive, kind = x
        return gate * y + slope * drive[..., None] + _bias[kind][..., None]

    x = (gate, drive, kinds)
    expected = loop(step, np.zeros(1), x, (0.5,))
    for method in METHODS:
        sol = solve_recurrence(step, np.zeros(1), x, args=(0.5,), method=method, segment_length=50)
        assert_like_loop(sol, expected)


@pytest.mark.parametrize("method", ["auto", "newton"])
def test_chaos_is_finished_by_the_loop_exactly(method):
    """Logistic map at r = 3.9: no trajectory but the loop's own is within tolerance."""

    def step(y):
        return 3.9 * y * (1 - y)

    sol = solve_recurrence(step, np.array([0.3]), length=3000, method=method, max_iterations=5)
    expected = loop(step, np.array([0.3]), 3000)
    assert sol.success
    residual = np.abs(sol.y[1:] - step(sol.y[:-1]))
    assert residual.max() <= 1e-9
    assert np.array_equal(sol.y[:50], expected[:50]) or np.abs(sol.y[:20] - expected[:20]).max() < 1e-9
    assert "sequential" in sol.method


def test_exact_prefix_grows_by_a_segment_per_iteration_at_least(rng):
    """After k iterations the first k nodes are exact, whatever the propagators are."""
    step, _ = PROBLEMS["rotation"].make(rng, np.float64)
    y0, x = PROBLEMS["rotation"].inputs(rng, 60)
    expected = loop(step, y0, x)
    for iterations in range(1, 6):
        sol = solve_recurrence(step, y0, x, method="jacobi", segment_length=10, max_iterations=iterations)
        assert np.abs(sol.y - expected).max() <= 1e-13
        assert f"The loop evaluated {60 - 10 * iterations} of 60 steps" in sol.message


def test_affine_problems_need_one_correction(rng):
    for name in ("stable affine", "rotation", "running sum"):
        step, jac = PROBLEMS[name].make(rng, np.float64)
        y0, x = PROBLEMS[name].inputs(rng, 400)
        for length in (1, 20):
            structure = PROBLEMS[name].structure
            sol = solve_recurrence(step, y0, x, jac=jac, structure=structure, method="newton", segment_length=length)
            assert sol.iterations == 2  # one that corrects, one that finds nothing left
            assert sol.history[1] < 0.05  # rounding
            assert_like_loop(sol, loop(step, y0, x))


@pytest.mark.parametrize("given", [True, False], ids=["jac", "differences"])
@pytest.mark.parametrize("length", [1, 16])
def test_structures_agree_on_an_elementwise_step(length, given, rng):
    rate, x, y0 = rng.uniform(0.3, 0.9, N), 0.5 * rng.standard_normal((200, 2, N)), rng.standard_normal((2, N))

    def step(y, x):
        return np.tanh(rate * y + x)

    def solve(structure):
        def jac(y, x):
            return structure.from_dense(Diagonal().to_dense(rate * (1 - step(y, x) ** 2)))

        options = {"jac": jac if given else None, "structure": structure, "segment_length": length}
        return solve_recurrence(step, y0, x, method="newton", **options)

    runs = [solve(structure) for structure in STRUCTURES]
    for run in runs:
        assert_like_loop(run, loop(step, y0, x))
        assert run.iterations == runs[0].iterations
        assert np.allclose(run.y, runs[0].y, rtol=0, atol=1e-12)


def test_a_guess_saves_iterations(rng):
    step, jac = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 500)
    cold = solve_recurrence(step, y0, x, jac=jac, method="newton", segment_length=1)
    warm = solve_recurrence(step, y0, x + 1e-4, jac=jac, method="newton", segment_length=1, guess=cold)
    again = solve_recurrence(step, y0, x, jac=jac, method="newton", segment_length=1, guess=cold.y)
    assert again.iterations <= 2  # one that finds nothing, one that finds nothing again
    assert warm.iterations < cold.iterations
    assert_like_loop(warm, loop(step, y0, x + 1e-4))


@pytest.mark.parametrize("window", [1, 10, 64, 1000])
@pytest.mark.parametrize("method", METHODS)
def test_windows(window, method, rng):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 130)
    sol = solve_recurrence(step, y0, x, method=method, window=window, segment_length=4)
    assert_like_loop(sol, loop(step, y0, x))


def test_integers_become_float64(rng):
    sol = solve_recurrence(lambda y, x: 0.5 * y + x, [1, 2], np.arange(200).reshape(100, 2))
    assert sol.y.dtype == np.float64
    assert_like_loop(sol, loop(lambda y, x: 0.5 * y + x, np.array([1.0, 2.0]), np.arange(200.0).reshape(100, 2)))


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e-6, 1e6, 1e30, 1e300])
@pytest.mark.parametrize("method", ["auto", "newton", "jacobi"])
def test_scales(method, scale, rng):
    """Homogeneous in the state and input: the answer scales with them, down to the smallest numbers."""
    x = scale * rng.standard_normal((300, 2))

    def step(y, x):
        return 0.6 * y[..., ::-1] + x

    sol = solve_recurrence(step, np.zeros(2), x, method=method, rtol=1e-10, atol=0, segment_length=30)
    expected = loop(step, np.zeros(2), x)
    assert sol.success
    assert np.abs(sol.y / scale - expected / scale).max() <= 1e-9


def test_constant_and_zero_trajectories():
    for y0 in (np.zeros(2), np.ones(2)):
        for method in METHODS:
            sol = solve_recurrence(lambda y: y * y, y0, length=100, method=method)
            assert sol.success
            assert np.array_equal(sol.y, np.broadcast_to(y0, (100, 2)))


@pytest.mark.parametrize("method", METHODS)
def test_decay_through_the_denormals_to_zero(method):
    """Down to 5e-324 and beyond, where relative precision ends."""
    sol = solve_recurrence(lambda y: 0.5 * y, np.ones(2), length=1200, method=method, segment_length=50)
    assert sol.success
    assert np.abs(sol.y - loop(lambda y: 0.5 * y, np.ones(2), 1200)).max() <= 1e-12
    assert not sol.y[-1].any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [1, 2])
def test_one_step(steps, method, rng):
    step, jac = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, steps)
    sol = solve_recurrence(step, y0, x, jac=jac, method=method)
    assert_like_loop(sol, loop(step, y0, x))
    assert np.isfinite(sol.lyapunov)


def test_a_step_may_write_to_what_it_is_given(rng):
    """As in a plain loop: the state handed over is the step's own."""

    def step(y, x):
        y *= 0.5
        y += x
        return y

    y0, x = np.ones(2), rng.standard_normal((500, 2))
    y0_before, x_before = y0.copy(), x.copy()
    expected = loop(lambda y, x: 0.5 * y + x, y0, x)
    for method in METHODS:
        assert_like_loop(solve_recurrence(step, y0, x, method=method), expected)
    assert np.array_equal(y0, y0_before)
    assert np.array_equal(x, x_before)


@pytest.mark.parametrize("layout", ["fortran", "reversed", "strided", "read-only", "transposed", "swapped"])
def test_any_memory_layout(layout, rng):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 300, batch=(3,))
    changed = {
        "fortran": np.asfortranarray,
        "reversed": lambda a: a[::-1].copy()[::-1],
        "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
        "read-only": _read_only,
        "swapped": lambda a: a.astype(">f8"),
        "transposed": lambda a: np.ascontiguousarray(a.T).T,
    }[layout]
    sol = solve_recurrence(step, changed(y0), changed(x))
    assert_like_loop(sol, loop(step, y0, x))


def test_a_step_that_writes_is_checked_all_the_same(rng):
    def step(y, x):
        y *= 0.5
        y += x / (1 + np.abs(x).sum())
        return y

    with pytest.raises(ValueError, match="does not broadcast"):
        solve_recurrence(step, np.ones(2), rng.standard_normal((500, 2)))


@pytest.mark.parametrize("length", [1, 16])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_may_return_the_same_buffers_again(method, length, rng):
    x = rng.uniform(0.5, 1, (400, 2, 2))
    buffers = {}

    def kept(name, like):
        return buffers.setdefault((name, like.shape), np.empty_like(like))

    def step(y, x):
        value = np.tanh((x @ y[..., None])[..., 0])
        jacobian = kept("jacobian", (1 - value**2)[..., None] * x)
        jacobian[...] = (1 - value**2)[..., None] * x
        out = kept("value", value)
        out[...] = value
        return out, jacobian

    expected = loop(lambda y, x: np.tanh((x @ y[..., None])[..., 0]), np.ones(2), x)
    assert_like_loop(solve_recurrence(step, np.ones(2), x, jac=True, method=method, segment_length=length), expected)


def test_a_jacobian_sees_the_state_before_a_step_that_writes(rng):
    def step(y, x):
        y *= y
        y *= 0.1
        y += x
        return y

    x = rng.uniform(0, 1, (300, 2))
    sol = solve_recurrence(step, np.ones(2), x, jac=lambda y, x: 0.2 * y, structure=Diagonal, method="newton")
    assert_like_loop(sol, loop(lambda y, x: 0.1 * y * y + x, np.ones(2), x))


@pytest.mark.slow
def test_several_threads_at_once(rng):
    step, jac = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 2000)
    expected = loop(step, y0, x)
    with ThreadPoolExecutor(8) as pool:
        for sol in pool.map(lambda m: solve_recurrence(step, y0, x, jac=jac, method=m), METHODS[:3] * 8):
            assert_like_loop(sol, expected)


def test_tolerances_of_zero_ask_for_rounding(rng, clock):
    step, jac = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 500)
    for method in ("auto", "newton", "jacobi"):
        sol = solve_recurrence(clock.timed(step), y0, x, jac=jac, method=method, rtol=0, atol=0, segment_length=20)
        assert sol.status is Status.CONVERGED
        assert np.abs(sol.y - loop(step, y0, x)).max() <= 1e-14


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.slow
def test_two_runs_agree_to_the_last_bit(rng, clock):
    """Where the times that auto measures are the same: on a busy machine they are not."""
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    step = clock.timed(step)
    y0, x = PROBLEMS["gru4"].inputs(rng, 2000)
    for method in METHODS:
        one, two = (solve_recurrence(step, y0, x, method=method, segment_length=32) for _ in range(2))
        assert np.array_equal(one.y, two.y)
        assert one.history == two.history


def test_counts(rng):
    """nfev, npoints and njev are what the step and the Jacobian were really asked."""
    asked = {"nfev": 0, "npoints": 0, "njev": 0}
    true_step, true_jac = PROBLEMS["gru4"].make(rng, np.float64)

    def step(y, x):
        asked["nfev"] += 1
        asked["npoints"] += y.shape[0]
        assert x.shape[0] == y.shape[0]
        return true_step(y, x)

    def jac(y, x):
        asked["njev"] += 1
        return true_jac(y, x)

    y0, x = PROBLEMS["gru4"].inputs(rng, 400, batch=(2,))
    for method in METHODS:
        asked.update(nfev=0, npoints=0, njev=0)
        sol = solve_recurrence(step, y0, x, jac=jac, method=method)
        assert {name: getattr(sol, name) for name in asked} == asked


@pytest.mark.parametrize("method", METHODS)
def test_the_residual_is_that_of_the_returned_trajectory(method, rng):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 400)
    sol = solve_recurrence(step, y0, x, method=method, segment_length=16, rtol=1e-3, atol=1e-3)
    true = np.abs(sol.y - step(np.concatenate([y0[None], sol.y[:-1]]), x)).max()
    assert sol.residual == pytest.approx(true, rel=1e-6, abs=1e-15)
    assert sol.residual <= 2e-3


def test_repr_is_readable(rng):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 400)
    text = repr(solve_recurrence(step, y0, x, method="jacobi", segment_length=2))
    assert "RecurrenceResult" in text
    assert "method: jacobi" in text
    assert "float64 (400, 4)" in text
    assert "..., " in text  # a long history is cut
    assert all(len(line) < 200 for line in text.splitlines())


@pytest.mark.slow
def test_memory_stays_linear_in_time(rng):
    """Shooting in slabs: many segments of one step do not stack all perturbed copies at once."""
    largest = 0

    def step(y, x):
        nonlocal largest
        largest = max(largest, y.nbytes)
        return 0.5 * y + x

    x = random_array(rng, (60_000, 64), np.float64)
    sol = solve_recurrence(step, np.zeros(64), x, method="newton", structure=BlockDiagonal(16), segment_length=1)
    assert sol.success
    assert largest <= 2**26

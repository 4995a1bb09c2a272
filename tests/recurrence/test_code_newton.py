"""Newton's method by machine code of the step with its exact derivatives: as on arrays, and as the loop."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache

import numpy as np
import pytest
from problems import lorenz

import parscan
from parscan import BlockDiagonal, Clipping, Dense, Diagonal
from parscan._recorded.budget import NoCodeError
from parscan._recurrence import compiled_tangents
from parscan._recurrence.compiled_tangents import LARGEST, TangentCode

T = 4000


@pytest.fixture
def marches(monkeypatch):
    """The number of marches with tangents, in a list."""
    found = []
    plain = TangentCode._run
    monkeypatch.setattr(TangentCode, "_run", lambda self, *rest: (found.append(1), plain(self, *rest))[1])
    return found


def rotation(y, x):
    a, b = y[..., 0], y[..., 1]
    return np.stack([0.8 * a - 0.6 * b + x[..., 0], 0.6 * a + 0.8 * b - 1e-3 * a**3], axis=-1)


def leaky(y, x):
    return y + 1e-3 * (np.tanh(x) - y - y**3)


def pairs(y, x):
    a, b = y[..., ::2], y[..., 1::2]
    return np.stack([0.9 * a - 0.3 * np.sin(b), np.tanh(0.3 * a + 0.8 * b)], axis=-1).reshape(y.shape) + x


def network(y, x):
    return np.tanh(y @ np.array([[0.6, -0.5, 0.0], [0.5, 0.6, 0.2], [0.1, 0.0, 0.9]]) + x)


def walk(z, x):
    return z @ UNITARY.T + 0.01 * x - 1e-4 * z**3


def turning(z, x):
    return 0.99 * np.exp(0.01j) * z + 1e-3 * x * np.sin(z / 4) + 0.01 * x


def coupled(z, x):
    a, b = z[..., ::2], z[..., 1::2]
    return np.stack([0.9 * a - 0.3j * np.sin(b / 4), 0.3 * a + 0.8 * b], axis=-1).reshape(z.shape) + 0.01 * x


HERMITIAN = np.array([[1.0, 1j, 0.5], [-1j, -0.5, 0.2j], [0.5, -0.2j, 0.3]])
UNITARY = np.linalg.solve(np.eye(3) + 0.2j * HERMITIAN, np.eye(3) - 0.2j * HERMITIAN) * 0.999

CASES = {
    "complex walk": (walk, 3, Dense), "complex turning": (turning, 2, Diagonal),
    "complex coupled": (coupled, 4, BlockDiagonal(2)),
    "rotation": (rotation, 2, Dense), "leaky": (leaky, 1, Dense), "leaky diagonal": (leaky, 4, Diagonal),
    "pairs": (pairs, 6, BlockDiagonal(2)), "network": (network, 3, Dense),
}  # fmt: skip


def make(name, dtype=np.float64):
    step, n, structure = CASES[name]
    x = np.random.default_rng(0).normal(size=(T, n)).astype(dtype)
    return step, np.full(n, 0.3, complex if name.startswith("complex") else dtype), x, {"structure": structure}


@cache
def looped(name):
    step, y0, x, _ = make(name)
    return parscan.solve_recurrence(step, y0, x, method="sequential", compile=False)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["newton", "quasi-newton"])
@pytest.mark.parametrize("name", CASES)
def test_the_result_is_that_of_the_loop_and_iterations_are_those_on_arrays(name, method, marches):
    step, y0, x, options = make(name)
    sol = parscan.solve_recurrence(step, y0, x, method=method, compile=True, **options)
    loop = looped(name)
    arrays = parscan.solve_recurrence(
        step, y0, x, method=method, compile=False, segment_length=sol.segment_length, **options
    )
    assert sol.success
    assert sol.compiled
    assert marches
    assert sol.looped <= arrays.looped
    if arrays.looped == 0:  # but for what no approximation by diagonals converges on
        assert len(sol.history) <= len(arrays.history)
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-9, atol=1e-11)


def test_single_precision(marches):
    step, y0, x, options = make("rotation", np.float32)
    sol = parscan.solve_recurrence(step, y0, x, method="newton", compile=True, **options)
    loop = parscan.solve_recurrence(step, y0, x, method="sequential")
    assert sol.success
    assert sol.y.dtype == np.float32
    assert marches
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [{"segment_length": 1}, {"segment_length": 37}, {"window": 700}, {"damping": Clipping()}, {"rtol": 1e-6},
     {"guess": np.zeros((T, 3))}],
)  # fmt: skip
def test_options_keep_their_meaning(options, marches):
    step, y0, x, _ = make("network")
    sol = parscan.solve_recurrence(step, y0, x, method="newton", compile=True, **options)
    loop = looped("network")
    assert sol.success
    assert marches
    assert sol.segment_length == options.get("segment_length", sol.segment_length)
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-9 if "rtol" not in options else 1e-5, atol=1e-10)


def test_a_jacobian_of_the_user_is_checked_but_not_needed(marches):
    step, y0, x, _ = make("leaky")

    def jac(y, x):
        return (1 - 1e-3 * (1 + 3 * y**2))[..., None]

    sol = parscan.solve_recurrence(step, y0, x, jac=jac, method="newton", compile=True)
    assert sol.success
    assert sol.njev < 10
    assert marches
    with pytest.raises(ValueError, match="jac"):
        parscan.solve_recurrence(step, y0, x, jac=lambda y, x: -jac(y, x), method="newton", compile=True)


def test_a_structure_that_does_not_hold_all_of_the_jacobian(marches):
    """As on arrays: more iterations, the same trajectory."""
    step, y0, x, _ = make("network")
    sol = parscan.solve_recurrence(step, y0, x, structure=Diagonal, method="newton", compile=True)
    loop = parscan.solve_recurrence(step, y0, x, method="sequential")
    assert sol.success
    assert marches
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-9, atol=1e-11)


def test_inputs_of_other_dtypes_and_tuples(marches):
    def step(y, x):
        gain, kick = x
        return np.sin(0.7 * y + 0.1 * gain) + kick

    rng = np.random.default_rng(0)
    x = (rng.integers(-3, 3, size=(T, 1)), rng.normal(size=(T, 2))[:, ::2].astype(np.float32))
    sol = parscan.solve_recurrence(step, np.zeros(1), x, method="newton", compile=True)
    loop = parscan.solve_recurrence(step, np.zeros(1), x, method="sequential")
    assert sol.success
    assert marches
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-9, atol=1e-11)


def test_batches_and_steps_that_are_not_recorded_are_marched_by_calls(marches):
    step, _, x, _ = make("network")
    y0 = np.full((5, 3), 0.3)
    sol = parscan.solve_recurrence(step, y0, x[:, None], method="newton", compile=True)
    assert sol.success
    assert not marches

    def branching(y, x):
        return 0.5 * y + x if y.size else y

    def branch(y, x):
        return 0.5 * y + x if abs(y[0, 0]) >= 0 else y

    assert parscan.solve_recurrence(branch, np.zeros(3), x, method="newton", compile=None).success
    with pytest.raises(TypeError, match="branches"):
        parscan.solve_recurrence(branch, np.zeros(3), x, method="newton", compile=True)
    assert not marches
    assert parscan.solve_recurrence(branching, np.zeros(3), x, method="newton", compile=True).success
    assert marches


def test_large_dense_steps_are_marched_by_calls(marches):
    n = int(LARGEST ** (1 / 3)) + 4
    matrix = np.random.default_rng(0).normal(size=(n, n)) / n
    x = np.random.default_rng(1).normal(size=(300, n))
    sol = parscan.solve_recurrence(
        lambda y, x: np.tanh(y @ matrix + x), np.zeros(n), x, method="newton", compile=True, segment_length=20
    )
    assert sol.success
    assert not marches


def test_where_a_state_is_not_finite_the_loop_decides():
    def step(y, x):
        return y * y + x

    x = np.full((T, 1), 0.1)
    x[3000:] = 2.0
    sols = [
        parscan.solve_recurrence(step, np.zeros(1), x, method=method, compile=compiled)
        for method, compiled in (("newton", True), ("sequential", False))
    ]
    assert not any(sol.success for sol in sols)
    np.testing.assert_allclose(sols[0].y[:3005], sols[1].y[:3005], rtol=1e-9)
    assert np.isnan([sol.y[-1] for sol in sols]).all()


def test_wrong_code_is_noticed(monkeypatch):
    """Code with other values than the function: the trajectory is computed again without it."""
    step, y0, x, _ = make("network")
    plain = TangentCode._run
    parscan.solve_recurrence(step, y0, x, method="newton", compile=True)  # it is compiled and compared here

    def wrong(self, starts, products, trajectory, span, threads):
        plain(self, starts, products, trajectory, span, threads)
        trajectory[span.begin : span.end] += 1e-3

    monkeypatch.setattr(TangentCode, "_run", wrong)
    sol = parscan.solve_recurrence(step, y0, x, method="newton", compile=True, max_iterations=5)
    loop = parscan.solve_recurrence(step, y0, x, method="sequential")
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-9, atol=1e-11)


def test_several_threads_may_solve_at_once():
    from concurrent.futures import ThreadPoolExecutor

    step, y0, x, _ = make("rotation")
    with ThreadPoolExecutor(4) as pool:
        sols = list(pool.map(lambda _: parscan.solve_recurrence(step, y0, x, method="newton", compile=True), range(8)))
    for sol in sols[1:]:
        np.testing.assert_allclose(sol.y, sols[0].y, rtol=1e-12, atol=1e-12)


@pytest.fixture
def eager(monkeypatch):
    """`auto` tries Newton's method by machine code wherever it is expected to converge."""
    monkeypatch.setattr(compiled_tangents, "WORTH_TRYING", 0.0)
    monkeypatch.setattr(compiled_tangents, "DERIVING", 0.0)
    monkeypatch.setattr(compiled_tangents, "GAINS", float("inf"))
    monkeypatch.setattr(compiled_tangents, "OUTCOMES", OrderedDict())
    monkeypatch.setattr(compiled_tangents.TANGENTS, "pays", lambda *_: True)


def slow(y, x):
    return y + 1e-4 * (np.tanh(x) - y - y**3)


def test_auto_solves_by_newton_what_is_stable_and_forgets_late(eager, marches):
    x = np.random.default_rng(0).normal(size=(20_000, 1))
    loop = parscan.solve_recurrence(slow, np.array([0.5]), x, method="sequential")
    for attempts in (2, 1):  # a pilot at first
        sol = parscan.solve_recurrence(slow, np.array([0.5]), x, compile=True)
        assert sol.method == "newton"
        assert sol.compiled
        assert len(sol.attempts) == attempts
        assert list(compiled_tangents.OUTCOMES.values()) == [True]
        np.testing.assert_allclose(sol.y, loop.y, rtol=1e-9)
    assert marches


def test_auto_solves_by_newton_what_is_linear_and_complex(eager, marches):
    def step(z, x):
        return 0.9999 * np.exp(0.01j) * z + x

    x = np.random.default_rng(1).normal(size=(T, 1)) + 1j
    sol = parscan.solve_recurrence(step, np.zeros(1, complex), x, compile=True)
    assert sol.method == "newton"
    assert sol.iterations <= 4  # two for the pilot, two for the rest
    assert marches
    loop = parscan.solve_recurrence(step, np.zeros(1, complex), x, method="sequential", compile=False)
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-11, atol=1e-10)


def test_steps_that_are_not_holomorphic_are_solved_too(marches):
    """Their propagators are derivatives by real parts: an approximation, on which the loop helps if need be."""
    x = np.random.default_rng(1).normal(size=(T, 1)) + 1j

    def step(z, x):
        return 0.7 * z * np.exp(0.1j * np.abs(z)) + 0.2 * np.conj(z) + 0.1 * x

    sol = parscan.solve_recurrence(step, np.zeros(1, complex), x, method="newton", compile=True)
    assert sol.success
    assert marches
    loop = parscan.solve_recurrence(step, np.zeros(1, complex), x, method="sequential", compile=False)
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-9, atol=1e-11)


def test_auto_loops_over_chaos_at_once(eager, marches):
    for _ in range(2):
        sol = parscan.solve_recurrence(lorenz, np.ones(3), length=200_000, compile=True)
        assert sol.method == "sequential"
        assert sol.success
    assert list(compiled_tangents.OUTCOMES.values()) == [False]
    assert not sol.attempts


def test_auto_remembers_that_newton_failed(eager):
    def pendulum(y):
        a, b = y[..., 0], y[..., 1]
        b = b - 0.05 * np.sin(a)
        return np.stack([a + 0.05 * b, b], axis=-1)

    first, second = (parscan.solve_recurrence(pendulum, np.array([1.5, 0.0]), length=50_000, compile=True)
                     for _ in range(2))  # fmt: skip
    loop = parscan.solve_recurrence(pendulum, np.array([1.5, 0.0]), length=50_000, method="sequential", compile=True)
    assert list(compiled_tangents.OUTCOMES.values()) == [False]
    assert len(first.history) <= compiled_tangents.MOST
    assert not second.attempts
    for sol in (first, second):
        assert sol.success
        np.testing.assert_allclose(sol.y, loop.y, atol=1e-6)


def test_quasi_newton_with_a_jacobian_multiplies_its_diagonals_as_on_arrays(marches):
    a = np.array([[0.6, -0.05, 0.0], [0.05, 0.6, 0.02], [0.1, 0.0, 0.9]])
    x = np.random.default_rng(0).normal(size=(T, 3))

    def step(y, x):
        return np.tanh(y @ a.T + x)

    def jac(y, x):
        return (1 - step(y, x)[..., None] ** 2) * a

    def solve(**options):
        return parscan.solve_recurrence(step, np.zeros(3), x, jac=jac, method="quasi-newton", **options)

    sol = solve(compile=True)
    arrays = solve(compile=False, segment_length=sol.segment_length)
    assert marches
    assert len(sol.history) == len(arrays.history)
    np.testing.assert_allclose(sol.y, arrays.y, rtol=1e-9, atol=1e-11)


def test_code_is_bought_where_sweeps_by_calls_take_as_long(marches):
    """`compile=None`: at the latest after a few solves."""
    x = np.random.default_rng(0).normal(size=(200_000, 1))
    sols = [parscan.solve_recurrence(slow, np.array([0.5]), x, method="newton", compile=None) for _ in range(4)]
    assert sols[-1].compiled
    assert marches
    np.testing.assert_allclose(sols[-1].y, sols[0].y, rtol=1e-8)


def test_auto_gives_up_where_derivatives_have_no_code(eager, monkeypatch):
    def no_code(*_):
        raise NoCodeError("has none")

    monkeypatch.setattr(TangentCode, "prepare", no_code)
    x = np.random.default_rng(0).normal(size=(5000, 1))

    def step(y, x):
        return y + 3e-4 * (np.tanh(x) - y - 0.5 * y**3)

    sol = parscan.solve_recurrence(step, np.array([0.5]), x, compile=True)
    assert sol.success
    assert "it has none" in sol.decisions[0]
    assert list(compiled_tangents.OUTCOMES.values()) == [False]


@pytest.mark.parametrize("steps", [64, 65, 66, 128, 129, 190, 193])
@pytest.mark.parametrize("method", ["newton", "quasi-newton"])
def test_one_or_two_whole_segments_and_a_rest(method, steps, marches):
    step, y0, x, options = make("rotation")
    sol = parscan.solve_recurrence(step, y0, x[:steps], method=method, compile=True, segment_length=64, **options)
    loop = parscan.solve_recurrence(step, y0, x[:steps], method="sequential", compile=False)
    assert marches
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("n", "compiled"), [pytest.param(24, True, marks=pytest.mark.slow), (25, False)])
def test_products_of_many_entries_are_not_compiled(n, compiled, marches):
    """A step of few operations on each component may have products of very many entries."""
    x = np.random.default_rng(0).normal(size=(200, n))
    sol = parscan.solve_recurrence(lambda y, x: np.clip(0.9 * y + x, -0.5, 0.7), np.zeros(n), x, method="newton",
                                   compile=True)  # fmt: skip
    assert sol.success
    assert bool(marches) == compiled


def test_a_single_step_is_timed_without_reading_beyond_its_inputs(monkeypatch):
    spans, run = [], TangentCode._run

    def noting(self, starts, products, trajectory, span, threads):
        spans.append(span)
        run(self, starts, products, trajectory, span, threads)

    monkeypatch.setattr(TangentCode, "_run", noting)
    x = np.array([[0.25]])
    sol = parscan.solve_recurrence(lambda y, x: np.tanh(0.375 * y + x), np.ones(1), x, method="newton", compile=True)
    np.testing.assert_allclose(sol.y, np.tanh(0.375 + x), rtol=1e-14)
    assert spans
    assert all(span.end == 1 for span in spans)


@pytest.mark.parametrize("name", ["newton", "quasi-newton", "elk", "jacobi", "sequential"])
def test_decisions_say_that_newtons_method_takes_differences(name):
    x = np.sin(0.1 * np.arange(300.0))[:, None]

    def step(y, x):
        return np.tanh(0.8 * y + x)

    def jac(y, x):
        return 0.8 * (1 - step(y, x) ** 2)

    def says(**options):
        sol = parscan.solve_recurrence(step, np.zeros(1), x, method=name, **options)
        return "Newton's method takes derivatives by differences of `step`." in sol.decisions

    assert says(compile=False) == (name in ("newton", "quasi-newton", "elk"))
    assert says(compile=True) == (name == "elk")
    assert not says(jac=jac, structure=Diagonal())

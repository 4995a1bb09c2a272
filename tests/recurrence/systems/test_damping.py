"""Clipped propagators, and Levenberg–Marquardt steps."""

from dataclasses import replace

import numpy as np
import pytest
from problems import PROBLEMS, SAMPLE, N, assert_like_loop, each_structure, loop, sigmoid

import parscan
from parscan import Clipping, Dense, Diagonal, Status, solve_recurrence
from parscan._engine.linearisation import Linearisation, Propagator
from parscan._recurrence.systems.damping import LevenbergMarquardt, norm_of_defects, rebase


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.float32])
@each_structure
def test_clipping_bounds_the_singular_values(structure, dtype, rng):
    A = rng.standard_normal((7, 2, *structure.shape(N))) + (1j if dtype == np.complex128 else 0)
    A = (A * np.logspace(-2, 2, 7).reshape(7, *(1,) * (A.ndim - 1))).astype(dtype)
    clipped = Clipping(1.0)(Propagator(structure, A)).matrices
    assert clipped.dtype == dtype
    before, after = (np.linalg.svd(structure.to_dense(M), compute_uv=False) for M in (A, clipped))
    assert np.allclose(after, np.minimum(before, 1), atol=5e-5 if dtype == np.float32 else 1e-12)
    assert np.array_equal(clipped[0], A[0])  # within the bound: not touched at all


def test_clipping_leaves_alone_what_is_not_finite():
    A = np.stack([np.eye(2), np.full((2, 2), np.nan), 5 * np.eye(2)])
    clipped = Clipping(2.0)(Propagator(Dense(), A)).matrices
    assert np.array_equal(clipped[0], np.eye(2))
    assert np.isnan(clipped[1]).all()
    assert np.allclose(clipped[2], 2 * np.eye(2))


@pytest.mark.pairs(
    name=["stable affine", *SAMPLE],
    method=["newton", "quasi-newton"],
    damping=[Clipping(), Clipping(0.5), Clipping(1e-9)],
)
def test_the_answer_is_the_loops_whatever_the_damping(name, method, damping, rng):
    problem = PROBLEMS[name]
    step, jac = problem.make(rng, np.float64)
    y0, x = problem.inputs(rng, 300)
    options = {"jac": jac, "structure": problem.structure, "segment_length": 10}
    assert_like_loop(solve_recurrence(step, y0, x, method=method, damping=damping, **options), loop(step, y0, x))


def test_clipped_to_nothing_is_jacobi(rng):
    step, _ = PROBLEMS["gru4"].make(rng, np.float64)
    y0, x = PROBLEMS["gru4"].inputs(rng, 100)
    options = {"segment_length": 10, "max_iterations": 3}
    damped = solve_recurrence(step, y0, x, method="newton", damping=Clipping(1e-300), **options)
    jacobi = solve_recurrence(step, y0, x, method="jacobi", **options)
    assert np.allclose(damped.history[:3], jacobi.history[:3], rtol=1e-9)


@pytest.mark.slow
def test_clipping_tames_what_newton_cannot():
    """Langevin noise in two wells, unstable on the ridge between them: Newton's first corrections overflow.

    At the end corrections are rounding, and by what linear algebra rounds, some draws end as stalled: not most.
    """
    options = {"segment_length": 1, "window": 600, "max_iterations": 60}
    ways = {
        "plain": {"method": "newton"},
        "clipped": {"method": "newton", "damping": Clipping()},
        "elk": {"method": "elk"},
    }
    converged = dict.fromkeys(ways, 0)
    for seed in range(12):
        x = np.random.default_rng(seed).standard_normal((600, 2))
        expected = loop(two_wells, np.zeros(2), x)
        for name, way in ways.items():
            sol = solve_recurrence(two_wells, np.zeros(2), x, **way, **options)
            converged[name] += sol.status is Status.CONVERGED
            assert_like_loop(sol, expected)
    assert converged["plain"] <= 3
    assert min(converged["clipped"], converged["elk"]) >= 5


def two_wells(y, x):
    a, b = y - np.array([-1.4, 0]), y - np.array([1.6, 0])
    wa = 0.49 * np.exp(-0.5 * (a**2).sum(-1, keepdims=True))
    wb = 0.51 * np.exp(-0.5 * (b**2).sum(-1, keepdims=True))
    return y - 0.01 * (wa * a + wb * b) / (wa + wb) + np.sqrt(0.02) * x


@pytest.mark.slow
def test_elk_needs_fewer_iterations_than_newton_where_newton_overshoots():
    """A GRU with recurrent weights times four, whose largest Lyapunov exponent is just below zero."""
    rng = np.random.default_rng(6)
    W, U = (scale * rng.uniform(-1, 1, (8, 24)) / np.sqrt(8) for scale in (4, 1))
    x = rng.standard_normal((500, 8))

    def step(y, x):
        gx, gh = x @ U, y @ W
        r, z = sigmoid(gx[..., :8] + gh[..., :8]), sigmoid(gx[..., 8:16] + gh[..., 8:16])
        c = np.tanh(gx[..., 16:] + r * gh[..., 16:])
        return c + z * (y - c)

    options = {"segment_length": 1, "window": 500}
    newton = solve_recurrence(step, np.zeros(8), x, method="newton", **options)
    elk = solve_recurrence(step, np.zeros(8), x, method="elk", **options)
    assert elk.status is Status.CONVERGED
    assert elk.iterations <= newton.iterations / 2
    assert_like_loop(elk, loop(step, np.zeros(8), x))


def sweep(z):
    """One more sweep from the nodes: targets of those behind the exact ones."""
    return z[2:] + 0.25


def line(nodes, targets, slope=0.5):
    nodes, targets = np.array(nodes, float)[:, None], np.array(targets, float)[:, None]
    return Linearisation(nodes, Propagator(Diagonal(), np.full_like(targets, slope)), targets)


def test_a_step_that_makes_things_worse_is_taken_back():
    good, bad = line([0, 1, 1, 1], [0, 1.1, 1.1]), line([0, 0, 50, 50], [9, 9], slope=0.7)
    damping = LevenbergMarquardt()
    first = damping.damp(good, sweep)
    second = damping.damp(bad, sweep)
    assert first.nodes is good.nodes
    assert np.array_equal(second.nodes[:, 0], [0, 0, 1, 1])  # exact nodes of the new, the others of the old
    assert np.array_equal(second.targets[:, 0], [1.25, 1.25])  # what one more sweep from those nodes gives
    assert second.propagator.weight > first.propagator.weight


def test_a_step_that_makes_things_better_is_kept_and_lightens_the_weight():
    before, after = line([0, 1, 1, 1], [2, 2, 2]), line([0, 1, 1, 1], [1.5, 1.5, 1.5])
    damping = LevenbergMarquardt()
    heavy = damping.damp(before, sweep).propagator.weight
    kept = damping.damp(after, sweep)
    assert kept.nodes is after.nodes
    assert kept.propagator.weight < heavy


def test_rebasing_keeps_the_old_behind_the_new_exact_nodes():
    old, new = line([0, 1, 2, 3], [10, 11, 12], slope=0.5), line([0, 7, 8, 9], [20, 21], slope=0.9)
    both = rebase(old, new)
    assert np.array_equal(both.nodes[:, 0], [0, 7, 2, 3])
    assert np.array_equal(both.targets[:, 0], [20, 12])
    assert np.array_equal(both.propagator.matrices[:, 0], [0.5, 0.5])


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-160, 1.0, 1e200, 1e300])
def test_the_norm_of_the_defects_neither_overflows_nor_underflows(scale):
    nodes = line([0, 1, 2, 3], [0, 0, 0]).nodes
    defects = replace(line([0, 0, 0, 0], [3, 4, 0]), targets=scale * np.array([[3.0], [4.0], [0.0]]))
    assert norm_of_defects(defects) == pytest.approx(5 * scale, rel=1e-12)
    assert norm_of_defects(replace(defects, nodes=nodes * np.nan)) == np.inf


@pytest.mark.parametrize(
    ("damping", "error", "text"),
    [
        (lambda: Clipping(0), ValueError, "must be positive, got 0"),
        (lambda: Clipping(True), TypeError, "must be a number, got True"),
    ],
)
def test_bad_dampings(damping, error, text):
    with pytest.raises(error, match=text):
        damping()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"damping": 0.1, "method": "newton"}, TypeError, r"must be parscan.Clipping\(\) or None"),
        ({"damping": Clipping}, TypeError, "`damping` must be"),
        ({"damping": Clipping()}, ValueError, "not to 'auto'"),
        ({"damping": Clipping(), "method": "elk"}, ValueError, "'newton' or 'quasi-newton', not to 'elk'"),
    ],
)
def test_bad_options(options, error, text):
    with pytest.raises(error, match=text):
        solve_recurrence(lambda y: y, np.ones(2), length=10, **options)


def test_clipping_is_public():
    assert parscan.Clipping is Clipping
    assert repr(Clipping(2.0)) == "Clipping(bound=2.0)"

"""Quasi-Newton on coupled steps: the diagonal or its blocks, given, probed one by one, or by random probes."""

import numpy as np
import pytest
from problems import STRUCTURES, N, assert_like_loop, each_partial_structure, each_structure, loop

from parscan import BlockDiagonal, Diagonal, solve_recurrence
from parscan._functions.step import Step
from parscan._recurrence.systems.probing import Probing


def coupled(rng, n=N, steps=300):
    """A step that couples all components, each most with itself."""
    W = 0.6 * np.eye(n) + 0.1 * rng.standard_normal((n, n))
    x = 0.5 * rng.standard_normal((steps, n))

    def step(y, x):
        return np.tanh(y @ W.T + x)

    def jac(y, x):
        return (1 - step(y, x) ** 2)[..., None] * W

    return step, jac, x


@pytest.mark.pairs(structure=STRUCTURES, source=["jac", "differences", "probes"], method=["quasi-newton", "quasi-elk"])
def test_the_answer_is_the_loops(method, source, structure, rng):
    step, jac, x = coupled(rng)
    options = {"structure": structure, "method": method, "segment_length": 4}
    if source == "jac":
        options["jac"] = lambda y, x: structure.from_dense(jac(y, x))
    if source == "probes":
        options["probes"] = 2
    assert_like_loop(solve_recurrence(step, np.zeros(6), x, **options), loop(step, np.zeros(6), x))


@each_partial_structure
def test_differences_find_the_part_of_a_coupled_step_as_its_jacobian_gives_it(structure, rng):
    step, jac, x = coupled(rng)
    options = {"structure": structure, "method": "quasi-newton", "segment_length": 1, "max_iterations": 4}
    given = solve_recurrence(step, np.zeros(6), x, jac=lambda y, x: structure.from_dense(jac(y, x)), **options)
    found = solve_recurrence(step, np.zeros(6), x, **options)
    assert np.allclose(given.history[:4], found.history[:4], rtol=1e-3)


def test_blocks_help_more_than_the_diagonal(rng):
    """Two components turn into each other; the diagonal knows nothing of that."""
    turn = 0.97 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    W = np.kron(np.eye(2), turn) + 0.01 * rng.standard_normal((4, 4))
    x = rng.standard_normal((400, 4))
    options = {"method": "quasi-newton", "segment_length": 1, "max_iterations": 400, "window": 400}

    def step(y, x):
        return y @ W.T + x

    diagonal = solve_recurrence(step, np.zeros(4), x, structure=Diagonal, **options)
    blocks = solve_recurrence(step, np.zeros(4), x, structure=BlockDiagonal(2), **options)
    assert blocks.iterations < diagonal.iterations / 3


def estimate(structure, A, probes, count=1):
    """Mean of `count` estimates of the linear map `A` by random probes, as dense matrices."""
    n = A.shape[0]
    probing = Probing(Step(lambda y: y @ A.T, None, (), None, structure), structure, probes)
    total = np.zeros((n, n))
    for _ in range(count):
        carry = probing.advance(probing.start(np.ones((1, n))), slice(0, 1))
        total += structure.to_dense(probing.propagator(carry).matrices)[0]
    return total / count


@each_structure
def test_one_probe_is_exact_for_a_diagonal_and_wrong_for_a_coupled_step(structure, rng):
    uncoupled = np.diag(rng.standard_normal(N))
    A = rng.standard_normal((N, N))
    if structure.colours(N) == 1:
        assert np.allclose(estimate(structure, uncoupled, 1), uncoupled, atol=1e-6)
    wanted = structure.to_dense(structure.from_dense(A))
    assert np.abs(estimate(structure, A, 1) - wanted).max() > 0.1


@each_structure
def test_random_probes_are_right_on_average(structure, rng):
    A = rng.standard_normal((N, N))
    wanted = structure.to_dense(structure.from_dense(A))
    errors = [np.abs(estimate(structure, A, probes, 200) - wanted).max() for probes in (1, 100)]
    assert errors[0] < 1.0
    assert errors[1] < 0.1
    assert errors[1] < errors[0] / 3


def test_probes_are_cheaper_than_one_per_component(rng):
    n = 24
    step, _, x = coupled(rng, n)
    options = {"structure": Diagonal, "method": "quasi-newton", "segment_length": 4, "max_iterations": 1}
    full = solve_recurrence(step, np.zeros(n), x, **options)
    probed = solve_recurrence(step, np.zeros(n), x, probes=2, **options)
    assert full.npoints - probed.npoints >= 300 * (n - 2)


def test_probes_are_the_same_in_every_run(rng):
    step, _, x = coupled(rng)
    options = {"structure": Diagonal, "method": "quasi-newton", "segment_length": 4, "probes": 3}
    one, two = (solve_recurrence(step, np.zeros(6), x, **options) for _ in range(2))
    assert np.array_equal(one.y, two.y)
    assert one.history == two.history


@each_structure
def test_outer_products_and_parts_of_dense_matrices(structure, rng):
    left, right, A = rng.standard_normal((5, N)), rng.standard_normal((5, N)), rng.standard_normal((5, N, N))
    pattern = structure.to_dense(np.ones((5, *structure.shape(N)))) != 0
    assert np.allclose(structure.to_dense(structure.from_dense(A)), A * pattern)
    outer = left[..., :, None] * right[..., None, :]
    assert np.allclose(structure.to_dense(structure.outer(left, right)), outer * pattern)
    core = structure.core
    assert np.allclose(core.to_dense(structure.to_core(structure.from_dense(A))), core.to_dense(core.from_dense(A)))

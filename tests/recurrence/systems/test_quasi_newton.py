"""Quasi-Newton on coupled steps: the diagonal or its blocks, given, or by one perturbed copy per component."""

import numpy as np
import pytest
from problems import N, assert_like_loop, each_partial_structure, each_structure, loop

from parscan import BlockDiagonal, Diagonal, solve_recurrence


def coupled(rng, n=N, steps=300):
    """A step that couples all components, each most with itself."""
    W = 0.6 * np.eye(n) + 0.1 * rng.standard_normal((n, n))
    x = 0.5 * rng.standard_normal((steps, n))

    def step(y, x):
        return np.tanh(y @ W.T + x)

    def jac(y, x):
        return (1 - step(y, x) ** 2)[..., None] * W

    return step, jac, x


@each_structure
@pytest.mark.parametrize("source", ["jac", "differences"])
def test_the_answer_is_the_loops(source, structure, rng):
    step, jac, x = coupled(rng)
    options = {"structure": structure, "method": "quasi-newton", "segment_length": 4}
    if source == "jac":
        options["jac"] = lambda y, x: structure.from_dense(jac(y, x))
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


@each_structure
def test_parts_of_dense_matrices(structure, rng):
    A = rng.standard_normal((5, N, N))
    pattern = structure.to_dense(np.ones((5, *structure.shape(N)))) != 0
    assert np.allclose(structure.to_dense(structure.from_dense(A)), A * pattern)
    core = structure.core
    assert np.allclose(core.to_dense(structure.to_core(structure.from_dense(A))), core.to_dense(core.from_dense(A)))

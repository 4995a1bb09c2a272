"""Dot products of derivatives, for random programs, all methods, structures, and batches.

A loop in complex numbers gives the change δ of the states when the parameters, the start and the inputs change. Then
⟨g, δ⟩ is what the gradient gives for these changes.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import SMOOTHLY, functions

from parscan import BlockDiagonal, Dense, Diagonal, solve_recurrence
from parscan._recurrence.methods import NAMES

STEPS, TINY, ROUNDING = 40, 1e-30j, 1e-11
ELEMENTWISE = functions("smooth")
BATCHES = st.sampled_from([(), (1,), (3,), (2, 2)])
STRUCTURES = {"dense": (Dense, 4), "blocks": (BlockDiagonal(2), 2), "diagonal": (Diagonal, 1)}
"""Families of Jacobians, and how many of the four components depend on each other."""


def step_of(function, size):
    """A step whose components depend on each other in blocks of some size."""

    def step(y, x, theta):
        given = [np.reshape(one + 0 * y, (-1, size)) for one in (y, theta)]
        found = np.stack([function(*rows) for rows in zip(*given, strict=True)])
        return 0.3 * np.sin(y + x) + 0.3 * np.tanh(np.reshape(found, y.shape))

    return step


def by_loop(step, y, x, theta, changes):
    """Changes of all states."""
    moved, found = [one + TINY * change for one, change in zip((y, x, theta), changes, strict=True)], []
    y = moved[0][None]
    for row in moved[1]:
        y = step(y, row[None], moved[2])
        found.append(y[0].imag / TINY.imag)
    return np.array(found)


def dot(one, other):
    """The product, and its terms."""
    return np.sum(one * other), np.sum(np.abs(one * other))


def check(function, structure, batch, method, seed, **options):
    family, size = STRUCTURES[structure]
    step, rng = step_of(function, size), np.random.default_rng(seed)
    shapes = (*batch, 4), (STEPS, *batch, 4), (4,) if seed % 2 else (*batch, 4)
    y0, x, theta = (rng.uniform(-1, 1, shape) for shape in shapes)
    changes = [rng.uniform(-1, 1, shape) for shape in shapes]
    sol = solve_recurrence(step, y0, x, args=(theta,), method=method, structure=family, **options)
    assert sol.success, sol.message
    expected, g = by_loop(step, y0, x, theta, changes), rng.uniform(-1, 1, x.shape)
    lefts = dot(g, expected)
    rights = [dot(*pair) for pair in zip(sol.gradient(g, ("y0", "x", 0)), changes, strict=True)]
    terms = lefts[1] + sum(one for _, one in rights)
    assert abs(lefts[0] - sum(one for one, _ in rights)) <= ROUNDING * max(terms, 1e-3)
    before = np.concatenate([y0[None], sol.y[:-1]])
    forcing = step(before + 0j, x + TINY * changes[1], theta + TINY * changes[2]).imag / TINY.imag
    assert np.abs(sol.tangent(forcing, changes[0]) - expected).max() <= ROUNDING * max(1, np.abs(expected).max())
    adjoint = sol.adjoint(g)
    parts = [dot(adjoint.states, forcing), dot(adjoint.y0, changes[0])]
    assert abs(lefts[0] - sum(one for one, _ in parts)) <= ROUNDING * max(terms, 1e-3)


@settings(max_examples=8, deadline=None)
@given(SMOOTHLY, BATCHES, st.sampled_from(NAMES), st.integers(0, 2**32 - 1))
def test_all_methods(function, batch, method, seed):
    check(function, "dense", batch, method, seed)


@settings(max_examples=4, deadline=None)
@given(SMOOTHLY, BATCHES, st.sampled_from(NAMES), st.integers(0, 2**32 - 1))
def test_blocks(function, batch, method, seed):
    check(function, "blocks", batch, method, seed)


@settings(max_examples=4, deadline=None)
@given(ELEMENTWISE, BATCHES, st.sampled_from(NAMES), st.integers(0, 2**32 - 1))
def test_components_on_their_own(function, batch, method, seed):
    check(function, "diagonal", batch, method, seed)


@settings(max_examples=3, deadline=None)
@given(SMOOTHLY, BATCHES, st.integers(0, 2**32 - 1))
def test_structures_that_leave_something_out(function, batch, seed):
    """Quasi-Newton methods find the solution with a part of the Jacobian; its derivatives have all of it."""
    step, rng = step_of(function, 4), np.random.default_rng(seed)
    x, y0, theta = rng.uniform(-1, 1, (STEPS, *batch, 4)), rng.uniform(-1, 1, (*batch, 4)), rng.uniform(-1, 1, 4)
    both = [
        solve_recurrence(step, y0, x, args=(theta,), method=method, structure=family)
        for method, family in (("quasi-newton", Diagonal), ("sequential", Dense))
    ]
    g = rng.uniform(-1, 1, x.shape)
    one, other = (sol.gradient(g, ("y0", "x", 0)) for sol in both)
    for found, expected in zip(one, other, strict=True):
        assert np.abs(found - expected).max() <= 1e-8 * max(1, np.abs(expected).max())


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    SMOOTHLY, st.sampled_from(["dense", "blocks"]), BATCHES, st.sampled_from(NAMES), st.integers(0, 2**32 - 1),
    st.sampled_from([None, True]),
)  # fmt: skip
def test_many_programs(function, structure, batch, method, seed, compiled):
    check(function, structure, batch, method, seed, compile=compiled)

"""Members of a batch that depend on each other: their derivatives are those of all together, or they are refused."""

import numpy as np
import pytest

from parscan import solve_recurrence
from parscan._recurrence.derivatives import recorded

BATCH, N, STEPS, TINY = (3, 2), 2, 25, 1e-30
COUPLED = {
    "mean": lambda y, x, a: np.tanh(a * y + 0.4 * y.mean(axis=1, keepdims=True) + x),
    "first": lambda y, x, a: np.tanh(a * y + 0.3 * y[:, :1] + x),
    "next": lambda y, x, a: np.tanh(a * np.roll(y, 1, axis=2) + x),
    "last": lambda y, x, a: np.tanh(a * y + 0.3 * y[:, -1:] + x),
}


@pytest.fixture
def numbers(rng):
    x, g = rng.standard_normal((2, STEPS, *BATCH, N))
    return x, g, *rng.standard_normal((2, *BATCH, N))


@pytest.mark.parametrize("compiled", [None, True])
@pytest.mark.parametrize("name", COUPLED)
def test_recorded_steps_are_differentiated_together(name, compiled, numbers):
    step, (x, g, y0, change) = COUPLED[name], numbers
    sol = solve_recurrence(step, y0, x, args=(0.5,), compile=compiled)
    y, changes = y0[None] + TINY * 1j * change, []
    for row in x:
        y = step(y, row[None], 0.5 + TINY * 1j)
        changes.append(y[0].imag / TINY)
    changes = np.array(changes)
    a, start = sol.gradient(g, (0, "y0"))
    assert np.isclose(a + np.sum(start * change), np.sum(g * changes), rtol=1e-12)
    before = np.concatenate([y0[None], sol.y[:-1]])
    forcing = step(before + 0j, x, 0.5 + TINY * 1j).imag / TINY
    assert np.allclose(sol.tangent(forcing, change), changes, rtol=1e-12, atol=1e-13)
    many = sol.tangent(np.stack([forcing, 2 * forcing], axis=-1), np.stack([change, 2 * change], axis=-1))
    assert np.allclose(many[..., 1], 2 * changes, rtol=1e-12, atol=1e-13)
    alone = sol.tangent(forcing, 0 * change)
    assert np.allclose(sol.jacobian(0), alone, rtol=1e-12, atol=1e-13)
    with pytest.raises(RuntimeError, match="depend on each other"):
        sol.jacobian("y0")


@pytest.mark.parametrize("name", COUPLED)
@pytest.mark.parametrize("large", [False, True])
def test_others_are_refused(name, large, numbers, monkeypatch):
    """Differences are taken member by member; so are matrices of many components together not had."""
    x, g, y0, _ = numbers
    if large:
        monkeypatch.setattr(recorded, "MOST_TOGETHER", 4)
    sol = solve_recurrence(COUPLED[name], y0, x, args=(0.5,), compile=None if large else False)
    for derivative in (lambda: sol.adjoint(g), lambda: sol.tangent(None, y0), lambda: sol.lyapunov):
        with pytest.raises(RuntimeError, match="depend on each other"):
            derivative()


@pytest.mark.parametrize("members", [1, 2, 5])
def test_members_on_their_own_are_not_refused(members, rng):
    x = rng.standard_normal((STEPS, members, 2))
    sol = solve_recurrence(lambda y, x, a: np.tanh(a * y + x), np.zeros((members, 2)), x, args=(0.5,), compile=False)
    exact = solve_recurrence(lambda y, x, a: np.tanh(a * y + x), np.zeros((members, 2)), x, args=(0.5,))
    assert np.allclose(sol.adjoint(x).states, exact.adjoint(x).states, rtol=1e-8)


def test_parameters_that_cannot_be_recorded_are_named():
    """Of an index and an array, asked for together."""
    x, W = np.ones((STEPS, 2)), np.ones((3, 2))
    sol = solve_recurrence(lambda y, x, k, W: np.tanh(0.5 * y + W[k] + x), np.zeros(2), x, args=(1, W))
    assert sol.gradient(x, "W").shape == (3, 2)
    with pytest.raises(IndexError) as caught:
        sol.gradient(x, (0, 1))
    assert any("leave indices and counts out" in note for note in caught.value.__notes__)

"""Whatever a step reads is changed after the solve, in a single row: derivatives notice, and never without a change."""

import numpy as np
import pytest

from parscan import solve_recurrence
from parscan._recurrence.derivatives import seen

RNG = np.random.default_rng(3)
T = 3000
TABLE = np.linspace(0.1, 0.9, 1000)
WAYS = [(None, "auto"), (True, "sequential"), (False, "auto"), (False, "sequential")]


def step(y, x, p):
    return np.tanh(p["a"] * y + x) + p["b"]


def looked_up(y, x):
    return 0.5 * y + TABLE[x[..., 0].astype(int)][..., None]


def derivatives(sol, grad_y):
    yield lambda: sol.gradient(grad_y, 0)
    yield lambda: sol.jacobian(0)
    yield lambda: sol.tangent(None, np.ones(2))
    yield lambda: sol.adjoint(grad_y)


@pytest.fixture(params=["copies", "residuals"])
def kept(request, monkeypatch):
    """What small arrays are compared with, and large ones."""
    if request.param == "residuals":
        monkeypatch.setattr(seen, "LARGEST", 0)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("what", ["x", "y", "b"])
@pytest.mark.parametrize(("compiled", "method"), WAYS)
def test_a_single_row_is_noticed(compiled, method, what):
    x, p = RNG.standard_normal((T, 2)), {"a": 0.5, "b": np.zeros(2)}
    sol = solve_recurrence(step, np.zeros(2), x, args=(p,), compile=compiled, method=method)
    changed = {"x": x, "y": sol.y, "b": p["b"][None, :]}[what]
    row = min(1234, changed.shape[0] - 1)
    before = changed[row].copy()
    calls = list(derivatives(sol, np.ones_like(sol.y)))
    calls[0]()
    changed[row] += 1e-3
    for call in calls:
        with pytest.raises(RuntimeError, match="no longer gives this trajectory"):
            call()
    changed[row] = before
    for call in calls:
        call()


@pytest.mark.parametrize(("compiled", "method"), WAYS)
def test_an_entry_of_a_table_is_noticed(compiled, method):
    x = RNG.integers(0, 999, (T, 1)).astype(float)
    x[777] = 999.0
    sol = solve_recurrence(looked_up, np.zeros(1), x, compile=compiled, method=method)
    sol.adjoint(np.ones_like(sol.y))
    TABLE[999] += 0.01
    try:
        with pytest.raises(RuntimeError, match="no longer gives this trajectory"):
            sol.adjoint(np.ones_like(sol.y))
    finally:
        TABLE[999] -= 0.01


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("count", [2, 6])
def test_repeated_solves_notice_too(count):
    x, p = RNG.standard_normal((T, 2)), {"a": 0.5, "b": np.zeros(2)}
    for _ in range(count):
        sol = solve_recurrence(step, np.zeros(2), x, args=(p,))
    x[-2, 1] *= 1.001
    with pytest.raises(RuntimeError, match="no longer gives this trajectory"):
        sol.gradient(np.ones_like(sol.y))


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("compiled", "method"), WAYS)
def test_steps_that_jump_or_are_steep_are_not_refused(compiled, method):
    x = RNG.standard_normal((T, 2))
    steep = solve_recurrence(
        lambda y, x, a: np.floor(a * 10 * y) / 10 + 0.1 * np.sign(x), np.zeros(2), x, args=(0.9,), compile=compiled,
        method=method,
    )  # fmt: skip
    steep.adjoint(np.ones_like(steep.y))
    chaotic = solve_recurrence(
        lambda y, a: a * y * (1 - y), np.full(2, 0.3), length=T, args=(3.9,), compile=compiled, method="sequential"
    )
    chaotic.adjoint(np.zeros_like(chaotic.y))

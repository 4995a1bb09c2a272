"""Compiled gradients look at all steps on the way: at one that is changed they ask the residual, and else never."""

from collections import OrderedDict

import numpy as np
import pytest

from parscan import solve_recurrence
from parscan._functions import at_points
from parscan._recorded import memo
from parscan._recorded.native import summed
from parscan._recurrence.derivatives import (
    compiled_gradient,
    differentiable,
    gradient_of_members,
    seen,
)

CHANGED = "no longer gives this trajectory"


@pytest.fixture(autouse=True)
def _sweeps_without_copies(monkeypatch):
    monkeypatch.setattr(at_points.CODES, "pays_loading", lambda _: True)
    monkeypatch.setattr(at_points.CODES, "buys", lambda *_: True)
    for module in (compiled_gradient, gradient_of_members):
        monkeypatch.setattr(module, "WORTH_SWEEPING", 0)
    monkeypatch.setattr(memo, "_kept", OrderedDict())  # code is kept with recordings
    monkeypatch.setattr(seen, "LARGEST", 0)


@pytest.fixture
def asked(monkeypatch):
    """One entry for each residual of all steps."""
    found, whole = [], differentiable.stands

    def spied(solution):
        found.append(True)
        return whole(solution)

    monkeypatch.setattr(differentiable, "stands", spied)
    return found


def step(y, x, a):
    return np.tanh(a * y) + x


def changes(sol, x, row, asked):
    """Change rows of inputs and states, one after the other; each must be noticed, and nothing once it is undone."""
    ones = np.ones_like(sol.y) + (1j if sol.y.dtype.kind == "c" else 0)
    sol.gradient(ones, (0, "y0"))
    assert not asked
    for array in (x, sol.y):
        entry = (row, *[-1] * (array.ndim - 1))
        before = array[entry]
        for now in (before + 1e-2, np.nan):
            array[entry] = now
            with pytest.raises(RuntimeError, match=CHANGED):
                sol.gradient(ones, (0, "y0"))
            assert asked.pop()
            assert not asked
        array[entry] = before
        sol.gradient(ones, (0, "y0"))
        assert not asked


@pytest.mark.parametrize("row", [0, 1, 7777, 19_998, 19_999])
@pytest.mark.parametrize("copied", [0, 1 << 20], ids=["first", "all"])
@pytest.mark.parametrize("most", [0, summed.MOST_SUMS], ids=["factors", "sums"])
def test_a_row_is_noticed(row, copied, most, asked, monkeypatch, rng):
    monkeypatch.setattr(compiled_gradient, "COPIED", copied)
    monkeypatch.setattr(summed, "MOST_SUMS", most)
    x = rng.standard_normal((20_000, 2))
    sol = solve_recurrence(step, np.zeros(2), x, args=(0.5,))
    changes(sol, x, row, asked)


@pytest.mark.parametrize("row", [0, 1, 7777, 19_998, 19_999])
def test_a_row_is_noticed_where_nothing_is_forgotten(row, asked, monkeypatch, rng):
    """States at joints of segments are found without a look at the step: the sums look at it."""
    monkeypatch.setattr(compiled_gradient, "ALONE", 0)
    used, found = [], compiled_gradient.states_at
    monkeypatch.setattr(compiled_gradient, "states_at", lambda *given: used.append(True) or found(*given))
    x = rng.standard_normal((20_000, 2))
    sol = solve_recurrence(lambda y, x, a: a * y + np.sin(x), np.zeros(2), x, args=(-1.0,))
    changes(sol, x, row, asked)
    assert used


@pytest.mark.parametrize("batch", [(), (3,), (64,), (7, 11)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_dtypes_and_batches(batch, dtype, asked, rng):
    """With the last member, and one of its components."""
    x = rng.standard_normal((8000, *batch, 2)).astype(dtype)
    if dtype == np.complex128:
        x += 1j * rng.standard_normal(x.shape)
    sol = solve_recurrence(lambda y, x, a: a * y + x, np.zeros((*batch, 2), dtype), x, args=(0.5,))
    changes(sol, x, 4321, asked)


def test_a_parameter_is_noticed(asked, rng):
    """A table of parameters of which the sample meets few entries."""
    x, a = rng.standard_normal((20_000, 2)), np.full(2, 0.5)
    sol = solve_recurrence(lambda y, x, a: np.tanh(a * y) + np.maximum(x - 3.5, 0) * a, np.zeros(2), x, args=(a,))
    sol.gradient(x, 0)
    assert not asked
    a += 1e-4
    with pytest.raises(RuntimeError, match=CHANGED):
        sol.gradient(x, 0)


def test_inputs_that_are_not_finite_in_finite_gradients(asked, rng):
    """Derivatives by the other arguments do not depend on an input that is added."""
    x = rng.standard_normal((20_000, 2))
    sol = solve_recurrence(lambda y, x, a: a * y + x, np.zeros(2), x, args=(0.5,))
    sol.gradient(x, 0)
    assert not asked
    g = x.copy()
    for now in (np.nan, np.inf):
        x[12_345, 1] = now
        with pytest.raises(RuntimeError, match=CHANGED):
            sol.gradient(g, 0)


def test_misses_that_are_explained_are_no_change(asked, rng):
    """Chaos, and jumps: the residual has the last word, and gradients are given out."""
    x = rng.standard_normal((20_000, 2))
    chaotic = solve_recurrence(lambda y, a: a * y * (1 - y), np.full(2, 0.3), length=3000, args=(3.9,))
    assert np.isfinite(chaotic.gradient(np.zeros_like(chaotic.y), "y0")).all()
    jumpy = solve_recurrence(
        lambda y, x, a: np.floor(9 * y) / 10 + a * np.sign(x), np.zeros(2), x, args=(0.1,), method="sequential"
    )
    assert np.isfinite(jumpy.gradient(np.ones_like(jumpy.y), 0))

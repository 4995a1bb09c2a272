"""Gradients that are repeated: with other numbers they are found quickly, and with anything else anew."""

import gc
import weakref

import numpy as np
import pytest

from parscan import solve_recurrence
from parscan._functions import at_points
from parscan._recurrence.derivatives import compiled_gradient, repeated_gradient
from parscan._recurrence.derivatives import gradient as found_anew

ROUNDING = 1e-12
SCALE = 0.5


@pytest.fixture(autouse=True)
def _at_any_price(monkeypatch):
    monkeypatch.setattr(at_points.CODES, "pays_loading", lambda _: True)
    monkeypatch.setattr(at_points.CODES, "buys", lambda *_: True)
    monkeypatch.setattr(compiled_gradient, "WORTH_SWEEPING", 0)
    monkeypatch.setattr(repeated_gradient, "_known", type(repeated_gradient._known)())


@pytest.fixture
def anew(monkeypatch):
    """Parameters by which the step was opened and compared."""
    found, whole = [], found_anew.by_parameters

    def spied(solution, keys):
        found.append(keys)
        return whole(solution, keys)

    monkeypatch.setattr(found_anew, "by_parameters", spied)
    return found


def linear(y, x, a, b):
    return SCALE * a * y + b["gain"] * x


def by_hand(x, a, b, g, scale=SCALE):
    """The gradient of `sum(g * y)` by `a`, the gain, and the start (1, 1)."""
    adjoint, y, states = np.zeros_like(x), np.ones(2), []
    for row in x:
        states.append(y)
        y = scale * a * y + b["gain"] * row
    carry = np.zeros(2)
    for t in range(len(x) - 1, -1, -1):
        adjoint[t] = g[t] + carry
        carry = scale * a * adjoint[t]
    return np.sum(adjoint * scale * np.array(states)), np.sum(adjoint * x), carry


def solved(x, a, b, step=linear, **options):
    return solve_recurrence(step, np.ones(2), x, args=(a, b), **options)


def is_right(found, expected):
    a, b, y0 = found
    return all(np.allclose(one, other, rtol=ROUNDING) for one, other in zip((a, b["gain"], y0), expected, strict=True))


@pytest.mark.parametrize("steps", [600, 20_000])
def test_other_numbers(steps, anew, rng):
    for a in (0.5, 0.25, -0.8):
        x, g = rng.standard_normal((2, steps, 2))
        b = {"gain": rng.uniform()}
        assert is_right(solved(x, a, b).gradient(g, (0, 1, "y0")), by_hand(x, a, b, g))
    assert anew == [[0, 1]]


def test_globals_that_changed(anew, monkeypatch, rng):
    x, g = rng.standard_normal((2, 600, 2))
    b = {"gain": 2.0}
    for scale in (0.5, 0.5, 0.75):
        monkeypatch.setitem(globals(), "SCALE", scale)
        found = solved(x, 0.5, b).gradient(g, (0, 1, "y0"))
        assert is_right(found, by_hand(x, 0.5, b, g, scale))
    assert anew == [[0, 1]] * 2


def test_closures_that_changed(anew, rng):
    x, g = rng.standard_normal((2, 600, 2))
    scale, b = 0.5, {"gain": 2.0}

    def step(y, x, a, b):
        return scale * a * y + b["gain"] * x

    for scale in (0.5, 0.5, 0.75):
        found = solved(x, 0.5, b, step).gradient(g, (0, 1, "y0"))
        assert is_right(found, by_hand(x, 0.5, b, g, scale))
    assert anew == [[0, 1]] * 2


def test_other_arguments_that_changed(anew, rng):
    x, g = rng.standard_normal((2, 600, 2))

    def step(y, x, a, scale):
        return scale * a * y + x

    for scale in (0.5, 0.5, 0.75):
        found = solve_recurrence(step, np.ones(2), x, args=(0.5, scale)).gradient(g, (0, "y0"))
        expected = by_hand(x, 0.5, {"gain": 1.0}, g, scale)
        assert np.allclose(found[0], expected[0], rtol=ROUNDING)
        assert np.allclose(found[1], expected[2], rtol=ROUNDING)
    assert anew == [[0]] * 2


def test_other_parameters_and_kinds(anew, rng):
    x, g = rng.standard_normal((2, 600, 2))
    b = {"gain": 2.0}
    a, gain, y0 = by_hand(x, 0.5, b, g)
    sol = solved(x, 0.5, b)
    assert is_right(sol.gradient(g, (0, 1, "y0")), (a, gain, y0))
    found = sol.gradient(g, ("y0", "b"))
    assert np.allclose(found[0], y0, rtol=ROUNDING)
    assert np.allclose(found[1]["gain"], gain, rtol=ROUNDING)
    assert np.allclose(sol.gradient(g, "a"), a, rtol=ROUNDING)
    each = solved(x, np.array([0.5, 0.5]), b).gradient(g, (0, 1, "y0"))
    assert each[0].shape == (2,)
    assert np.allclose(each[0].sum(), a, rtol=ROUNDING)
    assert anew == [[0, 1], [1], [0], [0, 1]]
    with pytest.raises(ValueError, match="`params` is True"):
        sol.gradient(g, (0, True, "y0"))
    with pytest.raises(ValueError, match="grad_y"):
        sol.gradient(g[1:], (0, 1, "y0"))


def test_parameters_changed_in_place_are_noticed(rng):
    x, g = rng.standard_normal((2, 600, 2))
    b = {"gain": 2.0}
    for _ in range(3):
        sol = solved(x, 0.5, b)
        sol.gradient(g, (0, 1, "y0"))
    b["gain"] = 3.0
    with pytest.raises(RuntimeError, match="no longer gives"):
        sol.gradient(g, (0, 1, "y0"))


def test_what_is_not_forgotten_is_right(rng):
    """Where segments do not meet with these numbers, the gradient is found as ever."""
    x, g = rng.standard_normal((2, 100_000, 2))
    for a in (0.5, 1.999999, 0.75):
        b = {"gain": 0.5}
        assert is_right(solved(x, a, b).gradient(g, (0, 1, "y0")), by_hand(x, a, b, g))


def test_functions_are_not_kept_alive(rng):
    x, g = rng.standard_normal((2, 600, 2))

    def step(y, x, a, b):
        return 0.5 * a * y + b["gain"] * x

    for _ in range(2):
        solved(x, 0.5, {"gain": 1.0}, step).gradient(g, (0, 1, "y0"))
    assert repeated_gradient._known
    reference = weakref.ref(step)
    del step
    gc.collect()
    assert reference() is None


def test_methods(anew, rng):
    x, g = rng.standard_normal((2, 600, 2))

    class Model:
        scale = 0.5

        def step(self, y, x, a, b):
            return self.scale * a * y + b["gain"] * x

    model, b = Model(), {"gain": 2.0}
    for scale in (0.5, 0.5, 0.75):
        model.scale = scale
        found = solved(x, 0.5, b, model.step).gradient(g, (0, 1, "y0"))
        assert is_right(found, by_hand(x, 0.5, b, g, scale))
    assert len(anew) == 2

"""Short ranges of the state, and thresholds that the solution only just passes: the record shows what is compared."""

import numpy as np
import pytest
from ode_methods import COLLOCATION

from parscan import solve_ivp
from parscan._ivp import on_meshes

METHODS = pytest.mark.parametrize(
    ("method", "compiled"), [("DOP853", True), *((name, choice) for name in COLLOCATION for choice in (True, None))]
)


def error(sol, exact, rtol):
    exact = np.asarray(exact)
    return np.max(np.abs(sol.y[:, -1] - exact) / (rtol * (1 + np.abs(exact))))


def running(begin, width, height, form):
    """The first component runs through a range in which the second one changes."""

    def fun(t, y):
        inside = {
            "two": (y[0] > begin) & (y[0] < begin + width),
            "one": np.abs(y[0] - begin - width / 2) < width / 2,
            "tent": np.maximum(1 - np.abs(y[0] - begin) / width, 0.0),
        }[form]
        return [1 + 0 * y[0], np.where(inside, height, 0.0) if form != "tent" else height * inside]

    return fun


@METHODS
@pytest.mark.parametrize("form", ["two", "one", "tent"])
def test_ranges_of_a_millionth_of_the_span(method, compiled, form):
    begin, width, height, rtol = 3.3, 1e-5, 500.0, 1e-6
    sol = solve_ivp(
        running(begin, width, height, form), (0, 10), [0, 0], method, rtol=rtol, atol=rtol, compile=compiled
    )
    assert sol.success
    assert error(sol, [10.0, width * height], rtol) <= 10


def passing(threshold, height):
    """The third component changes while the first one is above a threshold, near its largest value 1."""

    def fun(t, y):
        return [y[1], -y[0], np.where(y[0] > threshold, height, 0.0) + 0 * y[0]]

    return fun


@METHODS
@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("depth", [1e-7, 1e-5, 1e-3])
def test_thresholds_that_are_grazed(method, compiled, rtol, depth):
    """Errors of a tolerance move the times of crossings by many of them, or hide them."""
    height = 10.0
    sol = solve_ivp(passing(1 - depth, height), (0, 9), [0, 1, 0], method, rtol=rtol, atol=rtol, compile=compiled)
    above = 2 * np.arccos(1 - depth)
    assert not sol.success or error(sol, [np.sin(9), np.cos(9), 2 * height * above], rtol) <= 100


def test_what_stays_hidden_is_no_success(monkeypatch):
    monkeypatch.setattr(on_meshes, "LOOKS", 0)
    sol = solve_ivp(running(3.3, 1e-5, 500.0, "two"), (0, 10), [0, 0], "Radau", rtol=1e-6, atol=1e-6)
    assert not sol.success
    assert "passed over a short range of the state" in sol.message


def test_what_rounding_decides_is_told():
    sol = solve_ivp(passing(1.0, 1e3), (0, 9), [0, 1, 0], "Radau", rtol=1e-9, atol=1e-9)
    assert sol.success
    assert "only just passes a threshold of `fun`, or only just misses it" in sol.message


def test_nothing_is_looked_for_where_nothing_is_compared(monkeypatch):
    """Nor without a record, nor on a mesh that is kept."""
    seen = []
    missed = on_meshes.missed
    monkeypatch.setattr(on_meshes, "missed", lambda *given: seen.append(missed(*given)) or seen[-1])
    solve_ivp(lambda t, y: [y[1], -y[0]], (0, 9), [0, 1], "Radau", rtol=1e-6)
    solve_ivp(running(3.3, 1e-5, 500.0, "two"), (0, 10), [0, 0], "Radau", rtol=1e-6, compile=False)
    assert len(seen) == 2
    assert all(one.moved == 0 and one.times.size == 0 for one in seen)

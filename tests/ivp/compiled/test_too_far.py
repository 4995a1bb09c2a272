"""Spans whose ends are too far away for the steps: compiled marches are given up soon."""

from math import inf

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._engine.termination import Termination
from parscan._ivp.compiled import march
from parscan._ivp.compiled.too_far import Pace
from parscan._recorded.native import integrate


def oscillator(t, y):
    return [y[1], -y[0]]


def spring(t, y):
    return [y[1], -np.sign(y[0])]


@pytest.mark.parametrize("fun", [oscillator, spring])
@pytest.mark.parametrize("end", [1e300, -1e300, 1e13])
@pytest.mark.parametrize("options", [{}, {"t_eval": [0.5]}, {"dense_output": True}])
def test_it_is_told_soon(fun, end, options):
    options = {key: np.copysign(value, end) if key == "t_eval" else value for key, value in options.items()}
    sol = solve_ivp(fun, (0.0, end), [1.0, 0.0], rtol=1e-6, atol=1e-6, compile=True, **options)
    assert not sol.success
    assert sol.compiled
    assert sol.termination is Termination.STUCK
    assert "of the remaining span" in sol.message
    assert sol.mesh.size < 50_000


def test_as_many_steps_as_may_be(monkeypatch):
    monkeypatch.setattr(integrate, "MOST_STEPS", 5000)

    def never(t, y):
        return y[0] - 5.0

    never.terminal = True
    sol = solve_ivp(oscillator, (0.0, inf), [1.0, 0.0], rtol=1e-6, atol=1e-6, compile=True, events=never)
    assert not sol.success
    assert sol.termination is Termination.STUCK
    assert "as many as may be" in sol.message


def test_long_spans_with_growing_steps_are_solved():
    sol = solve_ivp(lambda t, y: [-y[0] / (1.0 + t)], (0.0, 1e14), [1.0], rtol=1e-6, atol=1e-12, compile=True)
    assert sol.success
    np.testing.assert_allclose(sol.y[0, -1], 1e-14, atol=1e-11)


def test_paces():
    pace = Pace(1e13)
    assert pace.sees(0.0, 1000.0, 1000) is None  # the first one tells nothing yet
    assert pace.sees(1000.0, 6000.0, 1000) is None  # steps grow
    assert pace.sees(6000.0, 11000.0, 1000) is not None
    assert Pace(1e13).sees(0.0, 1e10, 1000) is None
    assert march.Pace is Pace

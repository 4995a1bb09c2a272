"""Right-hand sides as people write them, which taught something: against SciPy's solver, restarted at jumps."""

import numpy as np
import pytest
from people_problems import PROBLEMS, reference

from parscan import solve_ivp
from parscan._ivp.compiled import solvers

RTOLS = (1e-3, 1e-6, 1e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_errors_at_the_end(name):
    problem = PROBLEMS[name]
    expected, scale = reference(problem), np.abs(problem.y0).max() or 1.0
    for rtol in RTOLS:
        atol = 1e-3 * rtol * scale
        options = {"rtol": rtol, "atol": atol, "args": problem.args or None}
        sol = solve_ivp(problem.fun, (0.0, problem.end), problem.y0, compile=True, **options)
        assert sol.success
        assert sol.compiled
        assert np.max(np.abs(sol.y[:, -1] - expected) / (atol + rtol * np.abs(expected))) <= 10


def spectral(t, u):
    """Kuramoto and Sivashinsky's equation."""
    k = np.fft.rfftfreq(8, 1 / 8) * 0.5
    return np.fft.irfft((k**2 - k**4) * np.fft.rfft(u) - 0.5j * k * np.fft.rfft(u * u), n=8)


def test_derivatives_that_take_minutes_to_compile(monkeypatch):
    """Those of Fourier transforms are many lines."""
    monkeypatch.setattr(solvers, "LONGEST", 100)

    def stiff(t, u):
        return 100 * spectral(t, u) - 1e4 * (u - 1)

    with pytest.raises(TypeError, match=r"it is stiff, and its derivatives are \d+ lines of code, more than 100"):
        solve_ivp(stiff, (0, 10), np.linspace(0, 1, 8), compile=True)
    assert solve_ivp(spectral, (0, 1), np.linspace(0, 1, 8), compile=True).compiled

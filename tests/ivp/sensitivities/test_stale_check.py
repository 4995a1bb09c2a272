"""A few rows of a table that `fun` reads are changed after the solve: derivatives notice, wherever the rows are."""

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp.core.scale import Scale
from parscan._ivp.sensitivities.stale_check import _explained

T = np.linspace(0, 10, 201)
TABLE = np.sin(T)


def growth(t, y, k):
    return (np.interp(t, T, TABLE) - k) * y


def changed_by(size):
    TABLE[100:103] = np.sin(T[100:103]) + size


WAYS = [(m, c) for m in ("auto", "Radau", "Gauss", "DOP853", "DEER") for c in (None, True, False)]


@pytest.mark.parametrize("early", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(("method", "compiled"), [*WAYS, ("LSODA", False), ("RK45", None)])
def test_rows_of_a_table_are_noticed(method, compiled, early):
    changed_by(0)
    sol = solve_ivp(growth, (0, 10), [1.0], method, args=(0.5,), rtol=1e-7, atol=1e-9, compile=compiled)
    ones = np.ones_like(sol.y)
    calls = [lambda: sol.gradient(ones, "k"), lambda: sol.adjoint(ones), lambda: sol.jacobian("k"),
             lambda: sol.tangent(y0=[1.0])]  # fmt: skip
    if early:
        calls[0]()
    changed_by(0.05)
    try:
        for call in calls:
            with pytest.raises(RuntimeError, match="no longer gives this solution"):
                call()
    finally:
        changed_by(0)
    for call in calls:
        call()


@pytest.mark.parametrize("compiled", [None, False])
@pytest.mark.parametrize("method", ["auto", "LSODA", "Radau"])
def test_chaos_is_no_change(method, compiled):
    def lorenz(t, y, r):
        return [10 * (y[1] - y[0]), y[0] * (r - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]

    sol = solve_ivp(lorenz, (0, 30), [1.0, 1.0, 1.0], method, args=(28.0,), rtol=1e-6, atol=1e-8, compile=compiled)
    sol.adjoint(np.ones_like(sol.y))


@pytest.mark.parametrize("compiled", [None, True])
@pytest.mark.parametrize("gap", [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("method", ["auto", "LSODA", "RK45"])
def test_jumps_that_a_solver_resolved_badly_are_no_change(method, gap, compiled):
    """A height is above a level for a short while, about which solvers with loose tolerances err."""
    if compiled and method != "auto":
        pytest.skip("machine code solves `auto` alone")

    def thrown(t, y, level):
        return [y[1], -2.0, np.where(y[0] > level, 1.0, 0.0) - 0.3 * y[2]]

    def exact(level):
        return 2 / 0.3 * np.sinh(0.3 * np.sqrt(1 - level)) * np.exp(-0.6)

    options = {"args": (1 - gap,), "rtol": 1e-4, "atol": 1e-6, "t_eval": [3.0], "compile": compiled}
    sol = solve_ivp(thrown, (0, 3), [0.0, 2.0, 0.0], method, **options)
    expected = np.imag(exact(1 - gap + 1e-30j)) / 1e-30
    assert sol.jacobian("level")[2, -1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("w", [10.95, 11.0, 11.05])
def test_many_jumps_that_a_solver_stepped_over_are_no_change(w, rtol):
    """Several may be within a step, each a small part of the variation there; and one at the end of the span."""
    end = 26 * np.pi / w
    sol = solve_ivp(
        lambda t, y, w: [np.sign(np.sin(w * t)) - 0.03 * y[0]], (0, end), [1.0], "LSODA", [end], args=(w,), rtol=rtol,
        atol=rtol * 1e-2,
    )  # fmt: skip
    assert np.allclose(sol.adjoint(np.ones_like(sol.y)).y0, np.exp(-0.03 * end), rtol=1e-8)


def test_weak_jumps_and_kinks_that_a_solver_resolved_badly_are_no_change():
    """A jump of a hundredth of the slopes' range, on a solution that turns fast, costs some hundred tolerances."""
    w = 21.34
    sol = solve_ivp(
        lambda t, y, d: [y[1], -(w**2) * y[0] - d * np.sign(y[1])], (0, 3), [1.0, 0.3 * w], "RK45", [3.0],
        args=(0.24,), rtol=1e-6, atol=1e-8,
    )  # fmt: skip
    assert np.all(np.isfinite(sol.gradient(np.ones_like(sol.y), "d")))
    given, scale = sol._solution._found.solution, Scale(1e-6, np.asarray(1e-8))
    smooth = given.part(slice(0, 3))
    assert _explained(lambda t, y: np.stack([y[:, 1], -(w**2) * y[:, 0]], axis=1), smooth, scale) == 0
    weak = _explained(lambda t, y: np.stack([y[:, 1], -0.24 * np.sign(t - smooth.t[1])], axis=1), smooth, scale)
    assert weak > 300

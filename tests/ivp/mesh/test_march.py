"""Collocation on whole meshes: order, reference digits, windows, cut-off where values are not finite."""

import numpy as np
import pytest
from ode_problems import lotka_volterra, van_der_pol

from parscan import solve_ivp
from parscan._functions.right_hand_side import RightHandSide
from parscan._ivp.coarse.lsoda import by_lsoda
from parscan._ivp.coarse.steps import CoarseSolution
from parscan._ivp.core.mesh import Mesh
from parscan._ivp.core.scale import Scale
from parscan._ivp.core.tableaux import FAMILIES, radau
from parscan._ivp.mesh.march import solve
from parscan._ivp.mesh.window import Task
from parscan._ivp.methods.collocation import Collocation
from parscan._ivp.methods.newton import iterate


def robertson(t, y):
    return [
        -0.04 * y[0] + 1e4 * y[1] * y[2],
        0.04 * y[0] - 1e4 * y[1] * y[2] - 3e7 * y[1] ** 2,
        3e7 * y[1] ** 2,
    ]


def kepler(t, y):
    r3 = (y[0] ** 2 + y[1] ** 2) ** 1.5
    return [y[2], y[3], -y[0] / r3, -y[1] / r3]


def lorenz(t, y):
    return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


# Reference values at the end: 45-digit extrapolation, and SciPy's Radau at 1e-12 for the stiff ones.
REFERENCES = {
    "Lotka-Volterra": (lotka_volterra, 15.0, [10, 5.0], [0.713751378097759299, 0.0754077962407946931], 1e-10, 1e-12),
    "Van der Pol, 1": (van_der_pol(1), 10.0, [2, 0.0], [-2.00834078257971233, 0.0329070658633240644], 1e-10, 1e-12),
    "Van der Pol, 1000": (van_der_pol(1000), 2000.0, [2, 0.0], [1.706167732170469, -8.928097010248125e-4], 1e-8, 1e-10),
    "Robertson": (
        robertson,
        1e11,
        [1, 0, 0.0],
        [2.083340149701255e-8, 8.333360770334713e-14, 0.9999999791665050],
        1e-8,
        1e-10,
    ),
    "Kepler": (kepler, 20.0, [0.5, 0, 0, np.sqrt(3)], [-0.578043295303536123, 0.863384000919419280], 1e-10, 1e-11),
    "Lorenz": (
        lorenz,
        10.0,
        [1, 1, 1.0],
        [-4.90268754113464573, -3.74387292180291962, 24.6908581027905555],
        1e-10,
        1e-11,
    ),
}


def run(fun, span, y0, rtol, atol, tableau, jac=None, coarse=1e-3):
    y0 = np.array(y0)
    rhs = RightHandSide(fun, jac, (), y0)

    def start(part, y):
        return by_lsoda(rhs, part, y, coarse, np.asarray(coarse * atol / rtol), np.inf)

    task = Task(rhs, Collocation(tableau, y0.shape[-1]), Scale(rtol, np.asarray(atol)), start)
    return solve(task, span, y0)


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_digits(name):
    fun, end, y0, reference, rtol, error = REFERENCES[name]
    atol = rtol * (1e-8 if name == "Robertson" else 1e-3)
    record = run(fun, (0.0, end), y0, rtol, atol, radau(7 if rtol < 1e-9 else 5))
    assert not record.failure
    last = record.pieces[-1].y[-1][: len(reference)]
    assert np.max(np.abs(last - reference) / np.abs(reference)) <= error


def test_backwards_in_time():
    fun, end, y0, reference, rtol, _ = REFERENCES["Lotka-Volterra"]
    record = run(fun, (end, 0.0), reference, rtol, rtol * 1e-3, radau(7))
    assert np.max(np.abs(record.pieces[-1].y[-1] / y0 - 1)) <= 1e-9


def one_mesh(fun, tableau, intervals, end, y0, jac=None, most=20):
    """Newton on an equidistant mesh, from the constant guess."""
    y0 = np.array(y0)
    rhs = RightHandSide(fun, jac, (), y0)
    t = np.linspace(0.0, end, intervals + 1)
    start = CoarseSolution(t, lambda times: np.broadcast_to(y0, (len(times), *y0.shape)))
    method = Collocation(tableau, y0.shape[-1])
    return iterate(method, rhs, start.polynomial(tableau, Mesh(t), y0), Scale(1e-12, np.asarray(1e-12)), 1e-3, most)


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", FAMILIES.values())
def test_the_order_is_that_of_the_tableau(kind, stages):
    """Halving the step divides the error by two to the order: y' = -y² cos t, y = 1 / (1 + sin t)."""
    tableau, errors = kind(stages), []
    for intervals in (8, 16):
        found = one_mesh(lambda t, y: [-(y[0] ** 2) * np.cos(t)], tableau, intervals, 2.0, [1.0])
        assert found.solved == intervals
        errors.append(abs(found.trial.y[-1, 0] - 1 / (1 + np.sin(2.0))))
    order = np.log2(errors[0] / errors[1])
    assert order == pytest.approx(tableau.order, abs=0.35) or errors[1] < 1e-13


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_linear_problem_needs_one_correction(batch):
    A = np.array([[-1.0, 2.0], [-2.0, -1.0]])
    y0 = np.ones((*batch, 2))
    found = one_mesh(lambda t, y: np.tensordot(A, y, 1), radau(3), 20, 3.0, y0, jac=A)
    assert found.history[1] <= 1e-2 < found.history[0]
    exact = np.exp(-3.0) * np.array([np.cos(6) + np.sin(6), np.cos(6) - np.sin(6)])
    assert np.abs(found.trial.y[-1] - exact).max() <= 1e-4


def test_stages_lie_on_the_right_hand_side():
    found = one_mesh(lotka_volterra, radau(5), 30, 1.0, [3.0, 2.0])
    times = found.trial.t[:-1, None] + np.diff(found.trial.t)[:, None] * radau(5).c
    steps = found.trial.steps[:, None, None]
    states = found.trial.y[:-1, None] + steps * np.einsum("ij,pjn->pin", radau(5).A, found.trial.stages)
    values = np.moveaxis(np.array(lotka_volterra(times, np.moveaxis(states, -1, 0))), 0, -1)
    assert np.abs(values - found.trial.stages).max() <= 1e-9 * np.abs(values).max()


def test_intervals_behind_a_value_that_is_not_finite_are_cut_off():
    def fun(t, y):
        return [np.where(np.broadcast_to(t, y[0].shape) > 2.0, np.nan, -y[0])]

    found = one_mesh(fun, radau(3), 40, 4.0, [1.0])
    assert found.trial.t[found.solved] == pytest.approx(2.0)
    assert np.abs(found.trial.y[:, 0] - np.exp(-found.trial.t)).max() <= 1e-9


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_lsoda_starts_batches_and_complex_states(dtype, batch, rng):
    """As one real vector: every member follows its own solution."""
    y0 = rng.uniform(1, 2, (*batch, 2)) + (1j * rng.uniform(0, 1, (*batch, 2)) if "complex" in dtype else 0)
    y0 = y0.astype(dtype)
    rhs = RightHandSide(lambda t, y: [y[1], -y[0]], None, (), y0)
    atol = np.array([1e-6, 1e-7], y0.real.dtype)
    found = by_lsoda(rhs, (0.0, 3.0), y0, 1e-5, atol, np.inf)
    assert not found.failure
    times = np.linspace(0, 3, 50)
    states = found.states(times)
    assert states.dtype == dtype
    assert states.shape == (50, *batch, 2)
    phase = times.reshape(-1, *(1,) * len(batch))
    assert np.abs(states[..., 0] - y0[..., 0] * np.cos(phase) - y0[..., 1] * np.sin(phase)).max() <= 1e-3
    assert rhs.counts.nfev == rhs.counts.npoints - len(found.t) + 1  # the slopes at all nodes by one call


@pytest.mark.parametrize("tolerance", [1e-5, 1e-8, 1e-11])
def test_meshes_do_not_grow_without_end_before_a_pole(tolerance):
    """The first start leads into the pole, where no number of intervals is enough."""
    sol = solve_ivp(lambda t, y: y**2, (0.0, 5.0), [1.0], "Radau", rtol=tolerance, atol=tolerance)
    assert sol.status == -1
    assert sol.t[-1] == pytest.approx(1.0, abs=1e-6)
    assert max(sol.meshes) < 20_000
    inside = sol.t < 0.9
    np.testing.assert_allclose(sol.y[0, inside], 1 / (1 - sol.t[inside]), rtol=1e3 * tolerance)


@pytest.mark.slow
def test_growth_beyond_all_numbers():
    """No warnings of overflows come from within."""
    rates = np.array([0.1, 0.5, 1.0])
    sol = solve_ivp(lambda t, y: rates * y, (0, 1000), np.ones((1, 3)), rtol=1e-6, atol=1e-9, compile=False)
    assert not sol.success
    assert 700 < sol.t[-1] < 709.8
    np.testing.assert_allclose(sol.y[0, -1], np.exp(rates * sol.t[-1]), rtol=1e-4)


def steep(t, y):
    """Friction that is nearly dry: it holds the state at zero."""
    return [0.5 * np.sin(t) - np.tanh(y[0] / 1e-9)]


def slope_of_steep(t, y):
    with np.errstate(over="ignore"):
        return [[-1e9 / np.cosh(y[0] / 1e-9) ** 2]]


@pytest.mark.parametrize("method", ["Radau", "DOP853", "auto"])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
@pytest.mark.parametrize("jac", [slope_of_steep, None])
def test_windows_that_creep_end(method, tolerance, jac):
    """The rest of the span would take thousands of windows; a solution that is found is right."""
    calls = iter(range(100_000))

    def counted(t, y):
        next(calls)
        return steep(t, y)

    options = {"rtol": tolerance, "atol": tolerance / 1000, "compile": False}
    sol = solve_ivp(counted, (0, 1.5), [1.0], method, jac=jac, **options)
    if sol.success:
        assert abs(sol.y[0, -1]) <= 10 * tolerance
    else:
        assert "hardly any progress" in sol.message
        assert np.all(np.abs(sol.y[0, sol.t > 1.44]) <= 10 * tolerance)

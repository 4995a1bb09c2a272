"""Large systems with sparse Jacobians, against exact solutions and SciPy's solvers."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp
from parscan._ivp.sequential.large_bdf import BDF
from parscan._ivp.sequential.large_rodas5p import Rodas5P
from parscan._linalg.pattern import Pattern

N = 120
X = np.arange(1, N + 1) / (N + 1)
SQUARE = (N + 1.0) ** 2
LINE = sp.csc_array(sp.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(N, N)))
Y0 = np.sin(np.pi * X) + np.sin(3 * np.pi * X)
TOL = {"rtol": 1e-5, "atol": 1e-8}


def heat(t, y, speed=1.0):
    value = -2 * y
    value[1:] += y[:-1]
    value[:-1] += y[1:]
    return speed * SQUARE * value


def exact(t, speed=1.0):
    """The two waves decay by themselves."""
    rates = {k: -4 * speed * SQUARE * np.sin(k * np.pi / (2 * (N + 1))) ** 2 for k in (1, 3)}
    return sum(np.exp(rate * t) * np.sin(k * np.pi * X) for k, rate in rates.items())


def grid(m):
    """A reaction on a square: the function, its initial state and its pattern."""
    line = sp.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(m, m))
    spread = sp.csr_array(sp.kron(line, sp.eye(m)) + sp.kron(sp.eye(m), line)) * (m + 1.0) ** 2 / 20
    x = np.arange(1, m + 1) / (m + 1)
    y0 = np.outer(np.sin(np.pi * x), np.sin(np.pi * x)).ravel()
    return (lambda t, y: spread @ y + y * (1 - y)), y0, abs(spread)


def off(found, expected, rtol=1e-5, atol=1e-8):
    return float((np.abs(found - expected) / (atol + rtol * np.abs(expected))).max())


KNOWN = {
    "jac_sparsity": {"jac_sparsity": LINE},
    "dense": {"jac_sparsity": LINE.toarray()},
    "bands": {"lband": 1, "uband": 1},
    "jac": {"jac": lambda t, y: SQUARE * LINE},
    "constant": {"jac": SQUARE * LINE},
    "nothing": {},
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_heat_equation(name):
    sol = solve_ivp(heat, (0, 0.1), Y0, compile=False, **KNOWN[name], **TOL)
    assert sol.success
    assert sol.method == "Rodas5P"
    assert off(sol.y[:, -1], exact(0.1)) <= 1
    assert off(sol.y[:, -1], exact(0.1)) <= 10 * sol.error_estimate + 0.1
    assert ("most entries of its Jacobian are zero" in sol.message) == (name == "nothing")
    assert sol.nfev <= 700


def test_a_grid_with_expensive_eliminations():
    fun, y0, pattern = grid(30)
    sol = solve_ivp(fun, (0, 2), y0, jac_sparsity=pattern, compile=False, **TOL)
    expected = scipy_solve_ivp(fun, (0, 2), y0, "BDF", jac_sparsity=pattern, rtol=1e-9, atol=1e-11).y[:, -1]
    assert sol.success
    assert sol.method == "BDF"
    assert "eliminations are expensive, with 0.1 of the tolerances" in sol.message
    assert off(sol.y[:, -1], expected) <= 10
    assert sol.nlu <= 40


@pytest.mark.parametrize("solver", [Rodas5P, BDF])
@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("way", [1, -1])
def test_both_solvers_meet_the_tolerance(solver, rtol, way):
    """A forced chain, in either direction of time; beside LSODA with tolerances that are far tighter."""
    fun = lambda t, y: heat(t, y, way * 0.01) + way * np.sin(5 * t) * (1 + y**2)  # noqa: E731
    made = solver(fun, 0.0, Y0, float(way), rtol=rtol, atol=rtol, pattern=Pattern.of(LINE))
    middle = []
    while made.status == "running":
        assert made.step() is None
        if way * made.t_old < 0.5 <= way * made.t:
            middle.append(made.dense_output()(way * np.array([0.5, way * made.t])))
    kept = {"rtol": 1e-11, "atol": 1e-12, "lband": 1, "uband": 1}
    expected = scipy_solve_ivp(fun, (0, way), Y0, "LSODA", t_eval=[way * 0.5, way], **kept).y
    limit = 10 if solver is Rodas5P else 100
    assert off(made.y, expected[:, 1], rtol, rtol) <= limit
    assert off(middle[0][:, 0], expected[:, 0], rtol, rtol) <= limit
    assert np.abs(made.dense_output()(made.t) - made.y).max() <= 1e-12


def test_rodas5p_is_of_fifth_order():
    """Steps of equal length, as all errors are accepted; the function depends on the time."""
    fun = lambda t, y: heat(t, y, 1e-5) + np.cos(3 * t) * y - y**3  # noqa: E731
    expected = scipy_solve_ivp(fun, (0, 2), Y0, "Radau", jac_sparsity=LINE, rtol=1e-12, atol=1e-14).y[:, -1]
    errors = []
    for count in (16, 32):
        h = 2.0 / count
        made = Rodas5P(fun, 0.0, Y0, 2.0, rtol=1e9, atol=1e9, max_step=h, first_step=h, pattern=Pattern.of(LINE))
        while made.status == "running":
            assert made.step() is None
        assert made.nlu == count
        errors.append(np.abs(made.y - expected).max())
    assert errors[0] / errors[1] >= 2**4.5


@pytest.mark.parametrize("known", ["jac_sparsity", "nothing"])
def test_options(known):
    options = {**KNOWN[known], **TOL, "compile": False}
    times = np.linspace(0.1, 0, 7)
    back = solve_ivp(lambda t, y, speed: -heat(t, y, speed), (0.1, 0), Y0, t_eval=times, args=(0.5,), **options)
    assert np.array_equal(back.t, times)
    for k, t in enumerate(times):
        assert off(back.y[:, k], exact(0.1 - t, 0.5)) <= 10
    short = solve_ivp(heat, (0, 0.1), Y0, max_step=0.001, first_step=1e-5, **options)
    assert short.mesh[1] == 1e-5
    assert np.diff(short.mesh).max() <= 0.001 * (1 + 1e-12)
    dense = solve_ivp(heat, (0, 0.1), Y0, dense_output=True, **options)
    assert off(dense.sol(np.array([0.03, 0.07]))[:, 1], exact(0.07)) <= 10
    assert off(dense.sol(0.03), exact(0.03)) <= 10


@pytest.mark.parametrize("pattern", [LINE, None])
def test_events_end_the_solve(pattern):
    fell = lambda t, y: y.max() - 0.5  # noqa: E731
    fell.terminal = True
    sol = solve_ivp(
        heat, (0, np.inf if pattern is not None else 1.0), Y0, events=fell, jac_sparsity=pattern, compile=False, **TOL
    )
    assert sol.status == 1
    assert abs(sol.y[:, -1].max() - 0.5) <= 1e-6
    assert off(sol.y[:, -1], exact(sol.t[-1])) <= 10


def test_jumps_are_met():
    fun = lambda t, y: heat(t, y) + (100.0 if t > 0.05 else 0.0)  # noqa: E731
    sol = solve_ivp(fun, (0, 0.1), Y0, jumps=[0.05], jac_sparsity=LINE, **TOL)
    expected = scipy_solve_ivp(fun, (0, 0.1), Y0, "Radau", jac_sparsity=LINE, rtol=1e-9, atol=1e-12, max_step=0.001)
    assert off(sol.y[:, -1], expected.y[:, -1]) <= 10
    assert 0.05 in sol.mesh


def test_single_precision():
    sol = solve_ivp(heat, (0, 0.1), Y0.astype(np.float32), jac_sparsity=LINE, rtol=1e-3, atol=1e-5)
    assert sol.y.dtype == np.float32
    assert off(sol.y[:, -1], exact(0.1), 1e-3, 1e-5) <= 2


def test_the_method_by_name():
    sol = solve_ivp(heat, (0, 0.1), Y0, "Rodas5P", **TOL)
    assert sol.method == "Rodas5P"
    assert off(sol.y[:, -1], exact(0.1)) <= 1
    fun = lambda t, y: [y[1], 1000 * (1 - y[0] ** 2) * y[1] - y[0]]  # noqa: E731
    small = solve_ivp(fun, (0, 100), [2.0, 0.0], "Rodas5P", **TOL)
    expected = scipy_solve_ivp(fun, (0, 100), [2.0, 0.0], "Radau", rtol=1e-10, atol=1e-12)
    assert off(small.y[:, -1], expected.y[:, -1]) <= 10
    with pytest.raises(ValueError, match=r"`method` 'Rodas5P' takes real NumPy arrays of shape \(n,\)"):
        solve_ivp(heat, (0, 0.1), Y0 + 0j, "Rodas5P")
    with pytest.raises(ValueError, match=r"`method` 'Rodas5P' takes real NumPy arrays of shape \(n,\)"):
        solve_ivp(lambda t, y: -y, (0, 0.1), np.ones((3, 4)), "Rodas5P")


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_other_methods_take_sparse_jacobians_too(method):
    sol = solve_ivp(lambda t, y: SQUARE / 100 * (LINE @ y), (0, 0.1), Y0, method, jac=SQUARE / 100 * LINE, **TOL)
    assert sol.success
    assert off(sol.y[:, -1], exact(0.1, 0.01)) <= 100


def test_explicit_methods_remain_where_nothing_is_stiff():
    sol = solve_ivp(lambda t, y: 0.1 * (np.roll(y, 1) - y), (0, 10), Y0, compile=False, **TOL)
    assert sol.method == "LSODA"
    full = solve_ivp(lambda t, y: 1e4 * (y.mean() - y), (0, 10), Y0, compile=False, **TOL)
    assert full.method == "LSODA"


@pytest.mark.parametrize(
    "options", [{"jac_sparsity": sp.eye(N)}, {"lband": 1}, {"lband": 1, "uband": 0}, {"jac_sparsity": np.tri(N)}]
)
def test_patterns_that_the_function_exceeds_are_told(options):
    with pytest.raises(ValueError, match=r"nonzero entry is left out by `.*`: component \d+ of `fun` depends"):
        solve_ivp(heat, (0, 0.1), Y0, **options, **TOL)


def test_a_pattern_that_is_exceeded_later_is_told():
    def fun(t, y):
        value = heat(t, y)
        if t > 0.05:
            value[3] += 100 * y[90]
        return value

    with pytest.raises(ValueError, match=r"left out by `jac_sparsity`: component 3 of `fun` depends on component 90"):
        solve_ivp(fun, (0, 0.1), Y0, jac_sparsity=LINE, **TOL)
    found = solve_ivp(fun, (0, 0.1), Y0, jumps=[0.05], compile=False, **TOL)  # a pattern that was found grows
    whole = sp.csc_array(LINE + sp.coo_array(([1.0], ([3], [90])), shape=(N, N)))
    expected = scipy_solve_ivp(fun, (0, 0.1), Y0, "Radau", jac_sparsity=whole, rtol=1e-9, atol=1e-12, max_step=0.001)
    assert off(found.y[:, -1], expected.y[:, -1]) <= 10


BAD = {
    r"`jac_sparsity` is expected to have shape \(120, 120\)": {"jac_sparsity": np.eye(N - 1)},
    r"`jac_sparsity` is expected to have shape \(120, 120\), but actually has \(120,\)": {"jac_sparsity": np.ones(N)},
    r"`lband` must be at least 0, got -1": {"lband": -1, "uband": 1},
    r"`uband` must be from 0 to 119": {"lband": 1, "uband": N},
    r"`jac` is expected to have shape \(120, 120\)": {"jac": lambda t, y: sp.eye(N - 1)},
    r"`jac` is not the derivative of `fun`": {"jac": lambda t, y: -SQUARE * LINE},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message):
    with pytest.raises(ValueError, match=message):
        solve_ivp(heat, (0, 0.1), Y0, **BAD[message], **TOL)


def test_dense_jacobians_of_large_systems_are_refused():
    n = 5001
    dense = np.broadcast_to(0.0, (n, n))  # as large an array would be
    with pytest.raises(TypeError, match=r"`jac` returned ndarray for 5001 components; return a sparse matrix"):
        solve_ivp(lambda t, y: -y, (0, 1), np.ones(n), "Rodas5P", jac=lambda t, y: dense)


def test_values_that_are_not_finite_are_told():
    for solver in ({"jac_sparsity": LINE}, {"jac_sparsity": grid(11)[2][:N][:, :N] + LINE}):
        fun = lambda t, y: heat(t, y) * (1.0 if t < 0.05 else np.nan)  # noqa: E731
        sol = solve_ivp(fun, (0, 0.1), Y0, **solver, **TOL)
        assert not sol.success
        assert sol.status == -3
        assert 0.04 <= sol.t[-1] <= 0.05


def test_a_pole_is_told():
    sol = solve_ivp(lambda t, y: y**2 + 0 * heat(t, y), (0, 2), np.linspace(0.5, 1, N), jac_sparsity=LINE, **TOL)
    assert not sol.success
    assert abs(sol.t[-1] - 1) <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("n", [100_000])
def test_a_hundred_thousand_components(n):
    """The memory is some hundred vectors."""
    x = np.arange(1, n + 1) / (n + 1)

    def fun(t, y):
        value = -2 * y
        value[1:] += y[:-1]
        value[:-1] += y[1:]
        return (n + 1.0) ** 2 * value

    sol = solve_ivp(fun, (0, 0.1), np.sin(np.pi * x), lband=1, uband=1, t_eval=[0.1], rtol=1e-5, atol=1e-8)
    rate = -4 * (n + 1.0) ** 2 * np.sin(np.pi / (2 * (n + 1))) ** 2
    assert off(sol.y[:, -1], np.exp(0.1 * rate) * np.sin(np.pi * x)) <= 10

"""Functions that write again to memory that they have returned, or to the states that they get, by every method."""

from functools import cache

import numpy as np
import pytest
from scipy import integrate
from scipy.sparse import csc_matrix, csr_matrix

from parscan import solve_ivp
from parscan._ivp.choose import NAMES

METHODS = [*NAMES, integrate.RK23, integrate.DOP853, integrate.Radau, integrate.BDF]
BY_POINTS = pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")

REAL = np.array([[-0.1, 1.0, 0.0], [-1.0, -0.1, 0.3], [0.0, 0.2, -2.0]])
MATRICES = {"real": REAL, "complex": REAL + 1j * np.array([[0.5, 0.2, 0.0], [0.2, 1.0, 0.1], [0.0, 0.1, 0.3]])}
STATES = {"real": np.array([1.0, 0.5, -1.0]), "complex": np.array([1.0, 0.5j, -1.0])}


def exact(kind, t):
    values, vectors = np.linalg.eig(MATRICES[kind])
    found = vectors @ (np.exp(np.multiply.outer(values, t)) * np.linalg.solve(vectors, STATES[kind])[:, None])
    return found if kind == "complex" else found.real


def one_array(A):
    """Writes to one array for each shape, and returns it."""
    arrays = {}

    def fun(t, y):
        out = arrays.setdefault(y.shape, np.empty(y.shape, y.dtype))
        np.matmul(A, y, out=out)
        return out

    return fun


def views(A):
    """Returns a list of rows of such an array."""
    fun = one_array(A)
    return lambda t, y: list(fun(t, y))


def the_state(A):
    """Writes to the state, and returns it."""

    def fun(t, y):
        y[...] = A @ y
        return y

    return fun


def numbers(A):
    """Returns arrays without axes, which are written again."""
    parts = [np.zeros((), A.dtype) for _ in A]

    def fun(t, y):
        for part, value in zip(parts, A @ y, strict=True):
            part[...] = value
        return parts

    return fun


def columns(A):
    """Returns a column, which is no state as SciPy wants it."""
    fun = one_array(A)
    return lambda t, y: [[part] for part in fun(t, y)] if y.ndim == 1 else fun(t, y)


WRITERS = [one_array, views, the_state, numbers]


@cache
def crossings(kind, method):
    """Times of the event of the test below, by the same method with new arrays."""
    fun, options = (lambda t, y: MATRICES[kind] @ y), {"rtol": 1e-9, "atol": 1e-11}
    return solve_ivp(fun, (0, 3), STATES[kind], method, events=lambda t, y: y[0].real - 0.2, **options).t_events[0]


WAYS = {
    f"{getattr(method, '__name__', method)}-{kind}": (method, kind)
    for method in METHODS
    for kind in MATRICES
    if method not in (integrate.Radau, "Rodas5P") or kind == "real"  # they take no complex states
}


@pytest.mark.slow
@BY_POINTS
@pytest.mark.pairs(writer=WRITERS, way=WAYS, rtol=[1e-3, 1e-7])
def test_what_is_returned_may_be_written_again(writer, way, rtol):
    method, kind = way
    A, t = MATRICES[kind], np.linspace(0, 3, 41)
    shared = np.zeros(())

    def event(t, y):
        if np.ndim(t):
            raise TypeError
        shared[...] = y[0].real - 0.2
        y[...] = np.nan
        return shared

    options = {"rtol": rtol, "atol": rtol / 10, "dense_output": True, "events": event}
    sol = solve_ivp(writer(A), (0, 3), STATES[kind], method, **options)
    assert sol.success
    limit = 300 * rtol if method in ("DEER", "RK23") else 100 * rtol
    assert np.abs(sol.sol(t) - exact(kind, t)).max() <= limit
    assert np.allclose(sol.t_events[0], crossings(kind, sol.method), rtol=0, atol=10 * limit)


@pytest.mark.parametrize("method", ["RK23", "RK45", "BDF", "LSODA", integrate.DOP853, integrate.Radau])
@pytest.mark.parametrize("writer", WRITERS)
def test_steps_are_those_for_new_arrays_number_for_number(writer, method):
    options = {"t_span": (0, 9), "y0": STATES["real"], "method": method, "dense_output": True, "max_step": 0.5}
    ours = solve_ivp(writer(REAL), **options)
    theirs = integrate.solve_ivp(lambda t, y: np.array(writer(REAL)(t, y.copy())), **options)
    assert np.array_equal(ours.t, theirs.t)
    assert np.array_equal(ours.y, theirs.y)
    assert (ours.njev, ours.nlu) == (theirs.njev, theirs.nlu)
    assert ours.nfev - theirs.nfev == (writer is views)  # as it may read the time, one call looks for pulses


def van_der_pol(t, y):
    return [y[1], 50 * (1 - y[0] ** 2) * y[1] - y[0]]


def jacobian(t, y):
    return np.array([[0 * y[0], 1 + 0 * y[0]], [-100 * y[0] * y[1] - 1, 50 * (1 - y[0] ** 2)]])


def one_matrix():
    matrices = {}

    def jac(t, y):
        out = matrices.setdefault(y.shape, np.empty((2, *y.shape), y.dtype))
        out[...] = jacobian(t, y)
        y[...] = np.nan
        return out

    return jac


def data_of_a_sparse_matrix(kind):
    matrix = kind(np.ones((2, 2)))

    def jac(t, y):
        matrix.data[:] = kind(jacobian(t, y) + 1e-300).data
        return matrix

    return jac


JACOBIANS = {
    "one matrix": one_matrix,
    "columns": lambda: data_of_a_sparse_matrix(csc_matrix),
    "rows": lambda: data_of_a_sparse_matrix(csr_matrix),
}


@cache
def accurate():
    """The first component in the test below."""
    options = {"rtol": 1e-9, "atol": 1e-11, "t_eval": [20.0, 60.0]}
    return integrate.solve_ivp(van_der_pol, (0, 60), [2.0, 0.0], "Radau", **options).y[0]


@pytest.mark.slow
@BY_POINTS
@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
@pytest.mark.parametrize("name", JACOBIANS)
@pytest.mark.parametrize("method", ["auto", "Radau", "Gauss", "BDF", "LSODA", integrate.Radau, integrate.BDF])
def test_jacobians_that_are_written_again(method, name, rtol):
    options = {"rtol": rtol, "atol": rtol / 100, "t_eval": [20.0, 60.0]}
    sol = solve_ivp(van_der_pol, (0, 60), [2.0, 0.0], method, jac=JACOBIANS[name](), **options)
    assert sol.success
    assert np.abs(sol.y[0] - accurate()).max() <= 100 * rtol


@pytest.mark.parametrize("method", ["BDF", "LSODA", integrate.Radau, integrate.BDF])
def test_jacobians_that_are_written_again_change_no_number(method):
    ours = solve_ivp(van_der_pol, (0, 60), [2.0, 0.0], method, jac=one_matrix())
    theirs = integrate.solve_ivp(van_der_pol, (0, 60), [2.0, 0.0], method, jac=jacobian)
    assert np.array_equal(ours.y, theirs.y)
    assert ours.njev == theirs.njev


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_with_the_zeros_of_the_jacobian(method, kind):
    n = 20
    A = 200 * (np.eye(n, k=1) - 2 * np.eye(n) + np.eye(n, k=-1)) * (1 if kind is float else 1 + 0.2j)
    y0 = np.sin(np.pi * np.arange(1, n + 1) / (n + 1)).astype(kind)
    sol = solve_ivp(one_array(A), (0, 1), y0, method, jac_sparsity=A != 0, rtol=1e-6, atol=1e-9)
    eigenvalue = A[0, 0] - 2 * A[0, 1] * -np.cos(np.pi / (n + 1))
    assert np.allclose(sol.y[:, -1], np.exp(eigenvalue) * y0, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", STATES)
def test_results_do_not_change_with_the_memory(kind):
    """What is returned is not the memory of the function, whose next solve would write to it."""
    fun = one_array(MATRICES[kind])
    first = solve_ivp(fun, (0, 1), STATES[kind], "RK45")
    kept = first.y.copy()
    solve_ivp(fun, (0, 1), 2 * STATES[kind], "RK45")
    assert np.array_equal(first.y, kept)

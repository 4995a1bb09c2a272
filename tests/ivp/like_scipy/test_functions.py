"""What users' right-hand sides and Jacobians return and do, tolerances and steps, and how solutions end early."""

import re

import array_api_strict as strict
import numpy as np
import pytest
from ode_methods import ANY, LIKE_SCIPYS, TIGHT
from ode_problems import pendulum
from scipy.integrate import solve_ivp as scipy_solve_ivp
from scipy.sparse import csc_matrix, csr_array

from parscan import solve_ivp

pytestmark = pytest.mark.roads

A = np.array([[-1.0, 2.0], [0.5, -3.0]])


def linear(t, y):
    return A @ y


def end_of(sol):
    return sol.y[:, -1]


RETURNED = {
    "scalar": lambda t, y: -y[0],
    "list": lambda t, y: [-y[0]],
    "tuple": lambda t, y: (-y[0],),
    "array": lambda t, y: -y,
    "view": lambda t, y: (-y)[::-1],
    "list with t": lambda t, y: [-y[0] + 0 * t],
    "array of list": lambda t, y: np.array([-y[0]]),
}


@pytest.mark.parametrize("fun", RETURNED.values(), ids=RETURNED.keys())
@ANY
def test_what_one_component_is_returned_as(fun, method, rtol):
    sol = solve_ivp(fun, (0, 2), [1.0], method, rtol=rtol)
    assert np.allclose(end_of(sol), np.exp(-2), atol=10 * rtol)


@ANY
def test_one_component_as_a_list_of_an_array(method, rtol):
    """`y0 = [1]` and `return [-k * y]`, as in many a script."""
    sol = solve_ivp(lambda t, y: [-2 * y], (0, 1), [1.0], method, rtol=rtol)
    assert np.allclose(end_of(sol), np.exp(-2), atol=10 * rtol)


@ANY
@pytest.mark.parametrize("value", [1.0, 1, [1.0], (1,)], ids=repr)
def test_constants(value, method, rtol):
    assert np.allclose(end_of(solve_ivp(lambda t, y: value, (0, 2), [1.0], method, rtol=rtol)), 3)


@pytest.mark.slow
@TIGHT
@pytest.mark.parametrize("number", [1, True, 1.0, np.int64(1), np.float32(1)], ids=repr)
def test_numbers_among_arrays_of_the_standard(number, method, rtol):
    """Such libraries mix integers and floats in no operation, but `[[0, 1], [-1, 0]]` is a Jacobian."""

    def jac(t, y):
        return [[0, 0 * number], [0, 0 * y[1, ...] - 2]]

    for given in (None, jac):
        sol = solve_ivp(
            lambda t, y: [number, -2 * y[1, ...]], (0, 1), strict.asarray([1.0, 1.0]), method, rtol=rtol, jac=given
        )
        assert np.allclose([float(sol.y[i, -1]) for i in range(2)], [2, np.exp(-2)], atol=10 * rtol)


@TIGHT
def test_integers_that_no_array_of_integers_holds(method, rtol):
    sol = solve_ivp(lambda t, y: [10**30, -y[1]], (0, 1), [0.0, 1.0], method, rtol=rtol)
    assert np.allclose(end_of(sol), [1e30, np.exp(-1)], rtol=10 * rtol)


@TIGHT
def test_words_are_no_numbers(method, rtol):
    with pytest.raises(TypeError, match="returned str"):
        solve_ivp(lambda t, y: ["1", -y[1]], (0, 1), [0.0, 1.0], method, rtol=rtol)


@ANY
def test_views_of_the_argument(method, rtol):
    """`y[::-1]`: y grows like cosh and sinh."""
    sol = solve_ivp(lambda t, y: y[::-1], (0, 1), [1.0, 0.0], method, rtol=rtol)
    assert np.allclose(end_of(sol), [np.cosh(1), np.sinh(1)], rtol=30 * rtol)
    same = solve_ivp(lambda t, y: y, (0, 1), [1.0, 2.0], method, rtol=rtol)
    assert np.allclose(end_of(same), np.exp(1) * np.array([1, 2]), rtol=30 * rtol)


@pytest.mark.parametrize("method", [*LIKE_SCIPYS, "RK45", "BDF"])
@pytest.mark.parametrize("rtol", [1e-3, 1e-7])
def test_the_initial_state_is_never_written_to(method, rtol):
    def rude(t, y):
        y *= -1
        return y

    y0 = np.array([1.0, 2.0])
    sol = solve_ivp(rude, (0, 1), y0, method, rtol=rtol)
    assert y0.tolist() == [1.0, 2.0]
    assert not np.shares_memory(sol.y, y0)


WRONG = {
    "too many": lambda t, y: [y[0], y[1], y[0]],
    "too few": lambda t, y: [y[0]],
    "a matrix": lambda t, y: np.zeros((2, 2, 2)),
}


@ANY
@pytest.mark.parametrize("fun", WRONG.values(), ids=WRONG.keys())
def test_wrong_shapes_are_named(fun, method, rtol):
    with pytest.raises(ValueError, match=r"`fun` returned shape .* where \(2,\) was expected"):
        solve_ivp(fun, (0, 1), [1.0, 2.0], method, rtol=rtol)


@ANY
def test_no_value_at_all_is_an_error(method, rtol):
    """A forgotten `return`."""
    with pytest.raises((TypeError, ValueError), match="`fun`"):
        solve_ivp(lambda t, y: None, (0, 1), [1.0], method, rtol=rtol)


@ANY
def test_what_the_function_raises_reaches_the_user(method, rtol):
    def fails(t, y):
        raise LookupError("own words")

    with pytest.raises(LookupError, match="own words"):
        solve_ivp(fails, (0, 1), [1.0], method, rtol=rtol)


JACOBIANS = {
    "array": A,
    "list": A.tolist(),
    "sparse matrix": csc_matrix(A),
    "sparse array": csr_array(A),
    "function": lambda t, y: A,
    "function of lists": lambda t, y: A.tolist(),
    "function of sparse": lambda t, y: csc_matrix(A),
}


@pytest.mark.parametrize("kind", JACOBIANS)
@TIGHT
def test_jacobians(kind, method, rtol):
    sol = solve_ivp(linear, (0, 1), [1.0, 1.0], method, jac=JACOBIANS[kind], rtol=rtol)
    plain = solve_ivp(
        linear, (0, 1), [1.0, 1.0], sol.method, rtol=rtol, compile=False
    )  # `auto` solves it by DOP853 without `jac`
    assert np.allclose(end_of(sol), end_of(plain), rtol=1e-6)
    assert sol.njev > 0
    assert sol.npoints < plain.npoints


@pytest.mark.parametrize("kind", JACOBIANS)
def test_jacobians_at_the_default_tolerance(kind):
    sol = solve_ivp(linear, (0, 1), [1.0, 1.0], jac=JACOBIANS[kind])
    assert np.allclose(end_of(sol), end_of(solve_ivp(linear, (0, 1), [1.0, 1.0], rtol=1e-9)), rtol=1e-2)


def test_sparse_jacobians_of_stiff_problems_at_the_default_tolerance():
    K = np.array([[-1000.0, 999.0], [1.0, -2.0]])
    assert solve_ivp(lambda t, y: K @ y, (0, 50), [1.0, 0.5], jac=lambda t, y: csc_matrix(K)).success


@ANY
@pytest.mark.parametrize("value", [np.eye(3), np.ones(4), np.eye(3).tolist(), None], ids=str)
def test_jacobians_of_a_wrong_shape(method, rtol, value):
    with pytest.raises((TypeError, ValueError), match="`jac`"):
        solve_ivp(linear, (0, 1), [1.0, 1.0], method, jac=lambda t, y: value, rtol=rtol)


@ANY
def test_constant_jacobians_of_a_wrong_shape(method, rtol):
    with pytest.raises(ValueError, match=r"`jac` is expected to have shape \(2, 2\), but actually has \(3, 3\)"):
        solve_ivp(linear, (0, 1), [1.0, 1.0], method, jac=np.eye(3), rtol=rtol)


@TIGHT
@pytest.mark.parametrize("kind", ["array", "function"])
def test_transposed_jacobians_are_named(method, rtol, kind):
    jac = A.T if kind == "array" else lambda t, y: A.T
    with pytest.raises(ValueError, match=r"`jac`.*transpose"):
        solve_ivp(linear, (0, 1), [1.0, 1.0], method, jac=jac, rtol=rtol)


@TIGHT
def test_a_wrong_jacobian_gives_no_wrong_answer(method, rtol):
    sol = solve_ivp(linear, (0, 1), [1.0, 1.0], method, jac=-A, rtol=rtol)
    exact = end_of(solve_ivp(linear, (0, 1), [1.0, 1.0], method, rtol=1e-10))
    assert not sol.success or np.allclose(end_of(sol), exact, rtol=1e-5)


@TIGHT
def test_jacobians_that_are_not_finite_are_named(method, rtol):
    sol = solve_ivp(linear, (0, 1), [1.0, 1.0], method, jac=lambda t, y: A * np.nan, rtol=rtol)
    assert not sol.success
    assert "jac" in sol.message


@pytest.mark.slow
@ANY
def test_a_tolerance_near_rounding_is_raised(method, rtol):
    del rtol
    with pytest.warns(UserWarning, match="`rtol` is too small"):
        low = solve_ivp(pendulum, (0, 1), [1.0, 0.0], method, rtol=0)
    with pytest.warns(UserWarning, match="`rtol` is too small"):
        single = solve_ivp(pendulum, (0, 1), np.array([1, 0], np.float32), method, rtol=1e-7)
    assert low.success
    assert single.success


@ANY
@pytest.mark.parametrize(
    ("atol", "text"), [(-1e-6, "`atol` must be positive"), ([1e-6, -1], "positive"), ([1, 2, 3], "wrong shape")]
)
def test_bad_absolute_tolerances(method, rtol, atol, text):
    with pytest.raises(ValueError, match=text):
        solve_ivp(pendulum, (0, 1), [1.0, 0.0], method, atol=atol, rtol=rtol)


@TIGHT
def test_absolute_tolerances_per_component(method, rtol):
    """The small component needs its own."""
    fun = lambda t, y: [np.cos(t) * y[0], 1e-8 * np.cos(3 * t) * y[0]]  # noqa: E731
    exact = scipy_solve_ivp(fun, (0, 10), [1.0, 0.0], "DOP853", rtol=1e-12, atol=1e-22)
    loose = solve_ivp(fun, (0, 10), [1.0, 0.0], method, rtol=1e-4, atol=[1e-4, 1.0])
    tight = solve_ivp(fun, (0, 10), [1.0, 0.0], method, rtol=1e-4, atol=[1e-4, 1e-18])
    assert len(tight.t) > len(loose.t)
    assert abs(tight.y[1, -1] - exact.y[1, -1]) <= 1e-12


@ANY
def test_relative_tolerances_per_component(method, rtol):
    sol = solve_ivp(pendulum, (0, 1), [1.0, 0.0], method, rtol=[rtol, 10 * rtol])
    assert np.allclose(end_of(sol), [0.600085, -0.754964], atol=20 * rtol + 1e-5)


@ANY
@pytest.mark.parametrize("span", [(0, 5), (5, 0)])
def test_steps_are_not_larger_than_asked_for(method, rtol, span):
    sol = solve_ivp(pendulum, span, [1.0, 0.0], method, max_step=0.1, rtol=rtol)
    assert np.abs(np.diff(sol.t)).max() <= 0.1 * (1 + 1e-12)


@ANY
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_step": 0}, "`max_step` must be positive"),
        ({"max_step": -1.0}, "`max_step` must be positive"),
        ({"first_step": 0}, "`first_step` must be positive"),
        ({"first_step": 2.0}, "`first_step` .*exceeds bounds"),
    ],
)
def test_bad_steps(method, rtol, options, text):
    with pytest.raises(ValueError, match=text):
        solve_ivp(pendulum, (0, 1), [1.0, 0.0], method, rtol=rtol, **options)


@ANY
def test_unknown_keywords_are_an_error(method, rtol):
    """SciPy only warns of them."""
    with pytest.raises(TypeError, match=re.escape("'max_steps'")):
        solve_ivp(pendulum, (0, 1), [1.0, 0.0], method, rtol=rtol, max_steps=100)


def test_the_message_tells_of_a_jacobian_that_is_called_one_by_one():
    def fun(t, y):
        return [y[1], -np.sin(y[0])]

    def listed(t, y):
        return [[0, 1], [-np.cos(y[0]), 0]]

    for jac, told in ((lambda t, y: np.array(listed(t, y)), True), (listed, False), ([[0, 1], [-1, 0]], False)):
        sol = solve_ivp(fun, (0, 5), [1.0, 0.0], "Radau", jac=jac, rtol=1e-6, atol=1e-6)
        assert sol.success
        assert ("`jac` works on one time only" in sol.message) == told

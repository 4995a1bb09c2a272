"""`solve_dae`, and `solve_ivp` with a mass matrix: solutions, properties, output, starts and bad input."""

import numpy as np
import pytest
from scipy import linalg, sparse
from scipy.integrate import solve_ivp as scipys

import parscan
from tests.support.daes import pendulum as implicit_pendulum
from tests.support.implicit import (
    AMPLIFIER_END,
    AMPLIFIER_START,
    GRAVITY,
    PROBLEMS,
    amplifier,
    amplifier_mass,
    pendulum,
    robertson,
)
from tests.support.seeds import seeds

NAMED = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


def implicit(problem):
    """The residual of a problem with a mass matrix."""
    mass = problem.mass if problem.mass.ndim == 2 else np.diag(problem.mass)
    return lambda t, y, yp: mass @ yp - np.array(problem.fun(t, y))


def apart(found, expected, tolerance):
    """Largest errors of the components in tolerances."""
    return np.max(np.abs(found - expected) / (tolerance * (1 + np.abs(expected))), axis=-1)


@NAMED
@pytest.mark.parametrize("tolerance", [1e-4, pytest.param(1e-6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", ["mass", "dae"])
@pytest.mark.parametrize("compiles", [False, True])
def test_errors(problem, tolerance, way, compiles):
    """
    At most 10 tolerances; on arrays in components of index 1, and in all where they are of index 2 at most.

    No solve is a success with more than 100 in any component.
    """
    y0, options = problem.exact(0.0), {"rtol": tolerance, "atol": tolerance, "compile": compiles}
    if way == "mass":
        sol = parscan.solve_ivp(problem.fun, problem.span, y0, mass=problem.mass, **options)
    else:
        sol = parscan.solve_dae(implicit(problem), problem.span, y0, **options)
    found = apart(sol.y, problem.exact(sol.t), tolerance)
    assert sol.success or (problem.index == 3 and not compiles and np.max(found) > 20)
    assert sol.compiled == compiles
    assert np.all(found[np.array(problem.components) <= min(2, problem.index)] <= 10)
    assert np.all(found <= 10) or (problem.index == 3 and not compiles)


@NAMED
def test_backwards_in_time(problem):
    begin, end = problem.span
    sol = parscan.solve_ivp(
        problem.fun, (end, begin), problem.exact(end), mass=problem.mass, rtol=1e-6, atol=1e-6
    )  # fmt: skip
    assert sol.success
    assert np.all(apart(sol.y, problem.exact(sol.t), 1e-6)[np.array(problem.components) == 1] <= 10)


@pytest.mark.slow
def test_robertson():
    """Against the reference of PROBLEMS: the equation for the third component replaced by the sum."""
    sol = parscan.solve_ivp(
        robertson, (0, 1e11), [1, 0, 0], mass=[1, 1, 0], rtol=1e-6, atol=[1e-14, 1e-18, 1e-6]
    )  # fmt: skip
    expected = np.array([2.083340149701255e-8, 8.333360770334713e-14, 0.9999999791665050])
    assert sol.success
    assert np.all(np.abs(sol.y[:, -1] - expected) <= 1e-5 * expected)
    assert np.max(np.abs(sol.y.sum(axis=0) - 1)) <= 1e-15
    assert sol.decisions[0] == "The equations are of index 1."


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6])
def test_transistor_amplifier(tolerance):
    """A singular mass matrix without a row of zeros; digits of the test set."""
    sol = parscan.solve_ivp(
        amplifier, (0, 0.2), AMPLIFIER_START, mass=amplifier_mass(), rtol=tolerance, atol=tolerance
    )  # fmt: skip
    assert sol.success
    assert np.all(np.abs(sol.y[:, -1] - AMPLIFIER_END) <= 10 * tolerance * (1 + np.abs(AMPLIFIER_END)))


@pytest.mark.parametrize("index", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_pendulum(index):
    """Against the ordinary differential equation of index 1 in which the force is inserted."""
    sol = parscan.solve_ivp(
        pendulum(index), (0, 3), [1, 0, 0, 0, 1], mass=[1, 1, 1, 1, 0], rtol=1e-5, atol=1e-5, t_eval=[1, 2, 3]
    )

    def explicit(t, y):
        a, b, u, v = y
        force = (u**2 + v**2 - GRAVITY * b) / (a**2 + b**2)
        return [u, v, -force * a, -force * b - GRAVITY]

    expected = scipys(explicit, (0, 3), [1, 0, 0, 0], rtol=1e-11, atol=1e-12, method="DOP853", t_eval=[1, 2, 3]).y
    assert f"of index {index}" in sol.decisions[0]
    assert "component 4 moved" in sol.decisions[1]  # the force at rest is zero
    assert np.all(apart(sol.y[:2], expected[:2], 1e-5) <= 10)


MASSES = (np.ones(2), np.eye(2), sparse.csr_array(np.eye(2)), lambda t: np.eye(2), lambda t, y: np.ones(2))


@pytest.mark.parametrize("mass", [MASSES[0], *(pytest.param(one, marks=pytest.mark.slow) for one in MASSES[1:])])
def test_identity_is_no_mass(mass):
    def fun(t, y):
        return [y[1], (1 - y[0] ** 2) * 5 * y[1] - y[0]]

    plain = parscan.solve_ivp(fun, (0, 3), [2, 0], rtol=1e-8, atol=1e-10, t_eval=[1, 3])
    found = parscan.solve_ivp(fun, (0, 3), [2, 0], rtol=1e-6, atol=1e-8, t_eval=[1, 3], mass=mass)
    assert found.success
    assert np.all(np.abs(found.y - plain.y) <= 10 * (1e-8 + 1e-6 * np.abs(plain.y)))


@NAMED
def test_scaled_and_permuted_equations(problem):
    """Both sides times a number, and another order of components, change the solution by rounding only."""
    y0, n = problem.exact(0.0), problem.exact(0.0).shape[0]
    mass = problem.mass if problem.mass.ndim == 2 else np.diag(problem.mass)
    order = np.random.default_rng(3).permutation(n)
    back = np.argsort(order)

    def scaled(t, y):
        return [1e3 * one for one in problem.fun(t, y)]

    def permuted(t, y):
        values = problem.fun(t, y[back])
        return [values[k] for k in order]

    options = {"rtol": 1e-6, "atol": 1e-6, "t_eval": [1.0, 2.0], "method": "Radau"}
    plain = parscan.solve_ivp(problem.fun, problem.span, y0, mass=mass, **options)
    other = parscan.solve_ivp(scaled, problem.span, y0, mass=1e3 * mass, **options)
    turned = parscan.solve_ivp(permuted, problem.span, y0[order], mass=mass[order][:, order], **options)
    allowed = 1e-6 * 10.0 ** (np.array(problem.components)[:, None] - 2)
    assert np.all(np.abs(other.y - plain.y) <= allowed)
    assert np.all(np.abs(turned.y[back] - plain.y) <= allowed)


@pytest.mark.slow
def test_masses_that_depend_on_time_and_state():
    """Solutions cos(t) and exp(-t), by masses with these in them."""

    def slopes(t):
        return np.stack([-np.sin(t), -np.exp(-t)])

    def of_time(t):
        return np.array([[2 + np.sin(t), 1.0], [0.0, 1 + t]])

    def of_state(t, y):
        return np.array([[2 + y[1], y[0]], [0.0 * t, 1 + y[0] ** 2]])

    def exact(t):
        return np.stack([np.cos(t), np.exp(-t)])

    for mass, fun in (
        (of_time, lambda t, y: of_time(t) @ slopes(t) + y - exact(t)),
        (of_state, lambda t, y: of_state(t, exact(t)) @ slopes(t) + y - exact(t)),
    ):
        for rtol in (1e-3, 1e-6):
            sol = parscan.solve_ivp(fun, (0, 2), exact(0.0), mass=mass, rtol=rtol, atol=rtol)
            assert sol.success
            assert np.all(apart(sol.y, exact(sol.t), rtol) <= 10)


def test_a_mass_that_becomes_singular_is_reported():
    """`(1 - t) y' = 1` has no solution beyond t = 1."""
    sol = parscan.solve_ivp(lambda t, y: [1.0 + 0 * y[0], -y[1]], (0, 2), [0, 1], mass=lambda t: np.array([1 - t, 1.0]))
    assert not sol.success
    assert 0.9 < sol.t[-1] <= 1.0
    assert "At t = " in sol.message


def test_equations_without_a_solution_beyond_a_time_are_reported():
    """`0 = z² - (1 - t)`: the algebraic equation loses its solution at t = 1."""
    sol = parscan.solve_ivp(lambda t, y: [y[1], y[1] ** 2 - (1 - t)], (0, 2), [0, 1], mass=[1, 0])
    assert not sol.success
    assert abs(sol.t[-1] - 1) < 1e-3
    assert "singular" in sol.message or "does not converge" in sol.message
    assert not np.any(np.isnan(sol.y))


def test_values_that_are_not_finite_are_reported():
    sol = parscan.solve_ivp(lambda t, y: [np.where(t < 1, 1.0, np.nan), y[1] - y[0]], (0, 2), [0, 0], mass=[1, 0])
    assert sol.status == parscan.IvpStatus.NOT_FINITE
    assert 0.99 < sol.t[-1] <= 1


def test_slopes():
    """`yp` at output times, and at the begin also where only the solution determines it."""
    problem = PROBLEMS[2]
    sol = parscan.solve_dae(implicit(problem), (0, 2), problem.exact(0.0), rtol=1e-8, atol=1e-8, t_eval=[0, 0.7, 2])
    expected = np.array([-np.sin(sol.t), np.cos(sol.t), -np.exp(-sol.t)])
    assert np.allclose(sol.yp[:2], expected[:2], atol=1e-4)
    assert np.allclose(sol.yp[2], expected[2], atol=1e-2)
    assert parscan.solve_ivp(lambda t, y: -y, (0, 1), [1.0]).yp is None
    coarse = parscan.solve_dae(implicit(problem), (0, 2), problem.exact(0.0), rtol=1e-2, atol=1e-2, method="Radau")
    assert np.allclose(coarse.yp[:2, 0], [0, 1], atol=1e-9)  # those of the polynomial are less accurate


def test_output():
    problem = PROBLEMS[1]
    times = np.linspace(0, 2, 7)
    given = {"mass": problem.mass, "rtol": 1e-6, "atol": 1e-8}
    sol = parscan.solve_ivp(problem.fun, (0, 2), problem.exact(0.0), t_eval=times, dense_output=True, **given)
    assert np.array_equal(sol.t, times)
    assert sol.y.shape == sol.yp.shape == (2, 7)
    assert np.allclose(sol.sol(times), sol.y, rtol=1e-14)
    assert np.allclose(sol.sol(0.33), problem.exact(0.33), rtol=1e-5)
    assert set(sol.keys()) >= {"t", "y", "yp", "decisions"}


@pytest.mark.parametrize("compiles", [False, True])
def test_events(compiles):
    def low(t, y):
        return y[0] - 0.5

    def high(t, y):
        return y[1] - 0.9

    low.terminal, high.direction = True, 1
    problem = PROBLEMS[2]
    for span in ((0, 3), (0, np.inf)):
        sol = parscan.solve_ivp(
            problem.fun, span, problem.exact(0.0), mass=problem.mass, rtol=1e-6, atol=1e-8, events=[low, high],
            compile=compiles,
        )  # fmt: skip
        assert sol.status == parscan.IvpStatus.EVENT
        assert abs(sol.t_events[0][0] - np.pi / 3) < 1e-7
        assert sol.t[-1] == sol.t_events[0][0]
        assert not sol.t_events[1].size
        assert np.allclose(sol.y_events[0][0][:2], [0.5, np.sqrt(0.75)], atol=1e-7)


def test_steps():
    problem = PROBLEMS[1]
    given = {"mass": problem.mass, "method": "Radau"}
    sol = parscan.solve_ivp(problem.fun, (0, 2), problem.exact(0.0), max_step=0.1, **given)
    assert np.max(np.diff(sol.t)) <= 0.1 + 1e-15
    sol = parscan.solve_ivp(problem.fun, (0, 2), problem.exact(0.0), first_step=1e-3, **given)
    assert sol.t[1] == 1e-3


def test_progress():
    seen = []
    problem = PROBLEMS[1]
    parscan.solve_ivp(problem.fun, (0, 2), problem.exact(0.0), mass=problem.mass, progress=seen.append, rtol=1e-6)
    assert seen[-1].done == seen[-1].total == 2


def test_nothing_to_solve():
    sol = parscan.solve_ivp(robertson, (1, 1), [1, 0, 0], mass=[1, 1, 0], dense_output=True)
    assert sol.success
    assert np.array_equal(sol.y[:, -1], [1, 0, 0])
    assert np.array_equal(sol.sol(1.0), [1, 0, 0])


def test_what_the_user_gave_stays():
    y0, yp0, mass = np.array([1.0, 0.0]), np.array([-1.0, 0.0]), np.diag([1.0, 0.0])

    def fun(t, y):
        y[:] = -y
        return [y[0], -y[1] + y[0]]

    parscan.solve_ivp(fun, (0, 1), y0, mass=mass)

    def residual(t, y, yp):
        y[1] -= y[0]
        yp += y[0]
        return [yp[0], y[1]]

    sol = parscan.solve_dae(residual, (0, 1), y0, yp0)
    assert np.array_equal(y0, [1, 0])
    assert np.array_equal(yp0, [-1, 0])
    assert np.array_equal(mass, np.diag([1.0, 0.0]))
    assert np.allclose(sol.y[:, -1], np.exp(-1.0), rtol=1e-2)


@NAMED
@pytest.mark.parametrize("way", ["recorded", "differences", "jac"])
def test_derivatives_of_the_functions(problem, way):
    """Recorded, by differences, or the user's: the same steps, about."""
    pair = parscan.trace(implicit(problem), np.asarray(0.0), problem.exact(0.0), problem.exact(0.0))
    by_state, by_slope = pair.jacobian(1), pair.jacobian(2)

    def jac(t, y, yp):
        return by_state(np.asarray(t), y, yp), by_slope(np.asarray(t), y, yp)

    fun = implicit(problem)
    options = {"rtol": 1e-6, "atol": 1e-6, "method": "Radau"}
    given = {"recorded": {}, "differences": {"compile": False}, "jac": {"jac": jac}}[way]
    sol = parscan.solve_dae(fun, (0, 2), problem.exact(0.0), **given, **options)
    exact = parscan.solve_dae(implicit(problem), (0, 2), problem.exact(0.0), **options)
    assert sol.success
    words = {"recorded": "exact", "differences": "by differences, as `compile` is False", "jac": "those of `jac`"}
    assert words[way] in sol.decisions[-1]
    assert abs(sol.mesh.shape[0] - exact.mesh.shape[0]) <= 0.1 * exact.mesh.shape[0] + 1


def test_functions_that_cannot_be_recorded():
    """The reason is told."""

    def fun(t, y):
        return [-y[0], y[1] - np.linalg.eigvals(np.diag(y))[0].real]

    sol = parscan.solve_ivp(fun, (0, 1), [1, 1], mass=[1, 0], rtol=1e-6, atol=1e-8)
    assert "by differences, as it" in sol.decisions[1]
    assert "eigvals" in sol.decisions[1]
    assert sol.decisions[2].startswith("No machine code, as `fun` cannot be recorded")
    assert np.allclose(sol.y[:, -1], np.exp(-1), rtol=1e-5)


def test_jac_of_a_mass():
    """The Jacobian of `fun`, as a function, constant, or sparse; with a mass that depends on the state."""

    def fun(t, y):
        return [-(2 + y[1]) * y[0], y[1] - 2 * y[0]]

    def jac(t, y):
        return [[-(2 + y[1]), -y[0]], [-2.0, 1.0]]

    def mass(t, y):
        return np.array([[2 + y[1], 0.0], [0.0, 0.0]])

    for given in (jac, lambda t, y: sparse.csr_array(jac(t, y))):
        sol = parscan.solve_ivp(fun, (0, 2), [1, 2], mass=mass, jac=given, rtol=1e-6, atol=1e-8)
        assert np.allclose(sol.y[:, -1], np.exp(-2) * np.array([1, 2]), rtol=1e-5)
    linear = np.array([[-1.0, 0.0], [-2.0, 1.0]])
    sol = parscan.solve_ivp(lambda t, y: linear @ y, (0, 2), [1, 2], mass=[1, 0], jac=linear, rtol=1e-6, atol=1e-8)
    assert np.allclose(sol.y[:, -1], np.exp(-2) * np.array([1, 2]), rtol=1e-5)


def test_an_index_3_start_is_projected():
    """All constraints hold afterwards: of positions, velocities, and forces."""
    angle = 0.3
    start = [np.sin(angle) + 1e-3, -np.cos(angle), np.cos(angle), np.sin(angle) + 0.1, 0.0]
    sol = parscan.solve_ivp(pendulum(3), (0, 0.1), start, mass=[1, 1, 1, 1, 0], rtol=1e-6, atol=1e-6)
    a, b, u, v, force = sol.y[:, 0]
    assert abs(a**2 + b**2 - 1) < 1e-13
    assert abs(a * u + b * v) < 1e-9
    assert abs(u**2 + v**2 - force - GRAVITY * b) < 1e-7
    assert np.max(np.abs(sol.y[:2, 0] - start[:2])) < 2e-3
    assert "`y0` was not consistent" in sol.decisions[1]


@pytest.mark.parametrize("index", [1, 2, 3])
def test_exact_slopes_are_taken_with_tight_tolerances(index):
    """Those that are found for index 2 and 3 have errors of differences."""
    sol = parscan.solve_dae(
        implicit_pendulum(index), (0, 1e-3), [1, 0, 0, 0, 0], [0, 0, 0, -GRAVITY, 0], rtol=1e-10, atol=1e-12
    )  # fmt: skip
    assert sol.success


@pytest.mark.parametrize("consistent", ["project", "assume"])
def test_slopes_of_a_start_in_which_equations_are_not_linear(consistent):
    """Of `y' + y'³ = 2`, Newton's iteration takes several steps."""
    sol = parscan.solve_dae(
        lambda t, y, yp: [yp[0] + yp[0] ** 3 - 2 + t * y[1], y[1] - y[0]], (0, 1), [0.0, 0.0], consistent=consistent
    )
    assert sol.success
    assert abs(sol.yp[0, 0] - 1) < 1e-8


def test_starts_stay_if_assumed():
    sol = parscan.solve_ivp(robertson, (0, 1), [1, 0, 0.1], mass=[1, 1, 0], consistent="assume", rtol=1e-6)
    assert np.array_equal(sol.y[:, 0], [1, 0, 0.1])
    assert not any("consistent" in each for each in sol.decisions)
    moved = parscan.solve_ivp(robertson, (0, 1), [1, 0, 0.1], mass=[1, 1, 0], rtol=1e-6)
    assert np.allclose(moved.y[:, 0], [1, 0, 0], atol=1e-15)
    assert "component 2 moved by up to 0.1" in moved.decisions[1]


def test_derivatives_are_refused():
    sol = parscan.solve_ivp(robertson, (0, 1), [1, 0, 0], mass=[1, 1, 0])
    for name, given in (
        ("tangent", {"y0": [1, 0, 0]}),
        ("gradient", {"grad_y": sol.y}),
        ("adjoint", {"grad_y": sol.y}),
    ):
        with pytest.raises(ValueError, match="not available: take differences"):
            getattr(sol, name)(**given)


@pytest.mark.parametrize("index", [1, 2, 3])
@pytest.mark.parametrize("seed", seeds(1, 8))
def test_random_linear_equations(index, seed):
    """
    `E y' = A y + f` with dense `E = P diag(1, N) Q` and `A = P diag(J, 1) Q`: an ODE, and a nilpotent part.

    The nilpotent part follows `w sin(t)`, for which `f` is made.
    """
    rng = np.random.default_rng([index, seed])
    nilpotent = np.diag(rng.uniform(0.5, 2, index - 1), 1)
    inner, (left, right) = rng.normal(size=(2, 2)) - np.eye(2), np.eye(2 + index) + 0.3 * rng.normal(
        size=(2, 2 + index, 2 + index)
    )  # fmt: skip
    by_slope = left @ linalg.block_diag(np.eye(2), nilpotent) @ right
    by_state = left @ linalg.block_diag(inner, np.eye(index)) @ right
    start, w = rng.normal(size=2), rng.normal(size=index)

    def exact(t):
        return np.linalg.solve(right, np.concatenate([linalg.expm(inner * t) @ start, w * np.sin(t)]))

    def fun(t, y):
        forcing = nilpotent @ w * np.cos(t) - w * np.sin(t)
        return by_state @ y + left @ np.concatenate([np.zeros(2), forcing])

    for compiles in (False, None):
        sol = parscan.solve_ivp(fun, (0, 1), exact(0.0), mass=by_slope, rtol=1e-5, atol=1e-5, compile=compiles)
        assert sol.success or (index == 3 and sol.error_estimate > 100)
        assert f"of index {index}" in sol.decisions[0]
        error = np.max(apart(sol.y[:, -1:], exact(1.0)[:, None], 1e-5))
        assert error <= 10 or (index == 3 and sol.error_estimate > error / 2)


def decay(t, y):
    return [-y[0], y[1] - y[0]]


def residual(t, y, yp):
    return [yp[0] + y[0], y[1] - y[0]]


BY_STATE, BY_SLOPE = np.array([[1.0, 0.0], [-1.0, 1.0]]), np.diag([1.0, 0.0])
"""Derivatives of `residual`."""


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"mass": [1, 0, 0]}, ValueError, r"`mass` has shape \(3,\) where `y0` has 2 components"),
        ({"mass": "diagonal"}, TypeError, "`mass` has the dtype"),
        ({"mass": lambda t, y: np.eye(3)}, ValueError, r"`mass` has shape \(3, 3\)"),
        ({"mass": [1, 0], "method": "BDF"}, ValueError, "`method` is 'BDF'"),
        ({"mass": [1, 0], "consistent": "move"}, ValueError, "`consistent` is 'move'; pass 'project' or 'assume'"),
        ({"mass": [1, 0], "mesh": [0, 1]}, ValueError, "`mesh` is not available with `mass`"),
        ({"mass": [1, 0], "jumps": [0.5]}, ValueError, "`jumps` is not available with `mass`"),
        ({"mass": [1, 0], "jac_sparsity": np.eye(2)}, ValueError, "`jac_sparsity` is not available with `mass`"),
        (
            {
                "mass": [1, 0],
                "compile": True,
                "fun": lambda t, y: [-y[0], y[1] - np.linalg.eigvals(np.diag(y))[0].real],
            },
            TypeError,
            "`compile=True`: no machine code, as `fun` cannot be recorded: it .*eigvals",
        ),
        ({"mass": [1, 0], "jac": np.eye(3)}, ValueError, r"`jac` is expected to have shape \(2, 2\)"),
        ({"mass": [1, 0], "jac": lambda t, y: [[-1, -1], [0, 1]]}, ValueError, "`jac` is transposed in ∂F/∂y"),
        ({"mass": [1, 0], "y0": np.ones((2, 3))}, ValueError, "`y0` is a batch"),
        ({"mass": np.ones(5000), "y0": np.ones(5000)}, ValueError, "`y0` has 5000 components; .* at most 4000"),
        ({"mass": [1, 0], "y0": np.ones(2) * 1j}, TypeError, "`y0` has the dtype complex128"),
        ({"mass": [1, 0], "y0": np.ones(2, dtype=np.float32)}, TypeError, "`y0` has the dtype float32"),
        ({"mass": [1, 0], "fun": lambda t, y: [y[0]]}, ValueError, r"`fun` returned shape \(1,\)"),
        ({"mass": [1, 0], "fun": lambda t, y: y * 1j}, TypeError, "`fun` returned complex values"),
        (
            {"mass": [1, 0], "fun": lambda t, y: [y[1], 0 * t]},
            ValueError,
            "row 1 of `fun` and component 0 of `y`|singular",
        ),
        (
            {"mass": [1, 0], "fun": lambda t, y: [y[1], y[1] ** 2 + 1]},
            ValueError,
            "`y0` cannot be made consistent.*rows 1",
        ),
        ({"mass": [0, 0], "fun": lambda t, y: [y[0] + y[1], 2 * y[0] + 2 * y[1]]}, ValueError, "determine no solution"),
        ({"consistent": "assume"}, ValueError, "`consistent` is 'assume', but it is for equations with `mass`"),
    ],
)
def test_bad_input_of_a_mass(options, error, words):
    given = {"fun": decay, "t_span": (0, 1), "y0": [1, 1], **options}
    with pytest.raises(error, match=words):
        parscan.solve_ivp(**given)


def test_equations_that_are_not_linear_in_the_slopes():
    """`y'² = y` has two solutions, (1 ± t/2)²: `yp0` chooses one."""

    def square(t, y, yp):
        return [yp[0] ** 2 - y[0]]

    with pytest.raises(ValueError, match="not linear in `yp`.*pass `yp0`"):
        parscan.solve_dae(square, (0, 1), [1.0])
    for sign in (1, -1):
        for compiles in (False, None):
            sol = parscan.solve_dae(square, (0, 1), [1.0], [float(sign)], rtol=1e-6, atol=1e-9, compile=compiles)
            assert abs(sol.y[0, -1] - (1 + sign / 2) ** 2) <= 1e-5


@pytest.mark.parametrize("compiles", [False, None])
def test_starts_at_zero_with_small_absolute_tolerances(compiles):
    """Where `y` is zero, steps of differences are such that they are not rounded away: starts were refused."""

    def fun(t, y, yp):
        return [(1 + y[0] ** 2) * yp[0] - (1 + np.sin(t) ** 2) * np.cos(t), y[1] - y[0]]

    sol = parscan.solve_dae(fun, (0, 1), [0.0, 0.0], rtol=1e-11, atol=1e-14, compile=compiles)
    assert sol.success
    assert np.max(np.abs(sol.y[:, -1] - np.sin(1.0))) <= 1e-10


@pytest.mark.parametrize("compiles", [False, None])
@pytest.mark.parametrize("options", [{"t_span": (0, 0)}, {"t_span": (0, 5e-324)}, {"atol": np.inf}, {"atol": 0.0}])
def test_spans_without_length_and_limits_of_tolerances(options, compiles):
    """Steps of differences are finite and not zero: LAPACK raised that it did not converge."""
    given = {"fun": residual, "t_span": (0, 1), "y0": [1.0, 1.0], "compile": compiles, **options}
    sol = parscan.solve_dae(**given)
    assert np.allclose(sol.y, np.exp(-sol.t), rtol=1e-2)


@pytest.mark.parametrize("compiles", [False, None])
def test_states_at_zero_far_from_time_0(compiles):
    """A step in which a state at zero stays within its tolerance is shorter than the spacing of such times."""
    begin = 1e9
    sol = parscan.solve_dae(
        lambda t, y, yp: [yp[0] - y[1], y[1] - np.cos(t - begin)], (begin, begin + 1), [0, 1], compile=compiles
    )  # fmt: skip
    assert sol.success
    assert np.allclose(sol.y[:, -1], [np.sin(1), np.cos(1)], rtol=1e-2)


@pytest.mark.parametrize("compiles", [False, None])
def test_functions_with_jumps_in_algebraic_equations(compiles):
    def fun(t, y):
        return [-y[0], y[1] - np.where(t < 0.5, 1, 2)]

    sol = parscan.solve_ivp(fun, (0, 1), [1, 1], mass=[1, 0], rtol=1e-6, atol=1e-9, compile=compiles)
    assert sol.success
    assert np.allclose(sol.y[:, -1], [np.exp(-1), 2], rtol=1e-5)


def test_large_errors_of_components_of_higher_index_are_told():
    problem = PROBLEMS[3]
    sol = parscan.solve_ivp(
        problem.fun, (0, 2), problem.exact(0.0), mass=problem.mass, rtol=1e-6, atol=1e-6, compile=False
    )  # fmt: skip
    assert sol.error_estimate > 100
    assert not sol.success
    assert "with components of index 2 and above" in sol.message
    assert "differentiate algebraic equations" in sol.message
    found = apart(sol.y, problem.exact(sol.t), 1e-6)
    assert 10 < np.max(found) < 10 * sol.error_estimate


@pytest.mark.parametrize("compiles", [False, None])
@pytest.mark.parametrize("factor", [2.0, 0.3])
def test_equations_implied_by_others_are_refused(compiles, factor):
    """What rounding left of their difference was taken for an equation: some solution was returned."""

    def fun(t, y, yp):
        one = yp[0] - np.sin(y[0]) + y[1]
        return [one, factor * one]

    with pytest.raises(ValueError, match="determine no solution.*rows 0, 1 of `fun`"):
        parscan.solve_dae(fun, (0, 1), [1.0, -1.0], compile=compiles)


def test_an_index_above_3_is_refused():
    with pytest.raises(ValueError, match=r"index of the equations is above 3.*rows 0"):
        parscan.solve_ivp(
            lambda t, y: [y[0] - t**2, y[0] - y[1], y[1] - y[2], y[2] - y[3]], (0, 1), np.zeros(4),
            mass=[[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"fun": 3}, TypeError, "`fun` must be callable as fun"),
        ({"jac": np.eye(2)}, TypeError, "`jac` must be a function jac"),
        ({"jac": lambda t, y, yp: np.eye(2)[0, 0]}, ValueError, "`jac` returned float.*a pair"),
        ({"jac": lambda t, y, yp: (np.eye(3), np.eye(2))}, ValueError, r"`jac` returned shape \(3, 3\) for ∂F/∂y"),
        ({"jac": lambda t, y, yp: ([[1, -1], [0, 1]], np.diag([1, 0]))}, ValueError, "`jac` is transposed"),
        ({"yp0": [1.0]}, ValueError, r"`yp0` has shape \(1,\) where `y0` has \(2,\)"),
        ({"yp0": [np.nan, 0]}, ValueError, "All components of `yp0` must be finite"),
        ({"yp0": [1j, 0]}, TypeError, "`yp0` is complex128"),
        (
            {"yp0": [1.0, 0.0]},
            ValueError,
            "`yp0` contradicts the equations in rows 0 of `fun`: with it, row 0 differs .* 2",
        ),
        ({"y0": []}, ValueError, "`y0` has no component"),
        ({"method": "LSODA"}, ValueError, "`method` is 'LSODA'"),
        ({"t_span": (0, np.inf)}, ValueError, "`t_span` must be finite"),
        ({"t_eval": [2.0]}, ValueError, "Values in `t_eval` are not within `t_span`"),
        ({"first_step": -1}, ValueError, "`first_step` must be positive"),
        ({"fun": lambda t, y, yp: [yp[0], y[1] + np.nan]}, ValueError, "`fun` is not finite at the start, in rows 1"),
        ({"fun": lambda t, y, yp: [1 / yp[0], y[1]]}, ValueError, "rows 0, with `yp` zero: .* or pass `yp0`"),
        ({"jac": lambda t, y, yp: (BY_STATE, -BY_SLOPE)}, ValueError, "`jac` has the wrong sign in ∂F/∂yp"),
        ({"jac": lambda t, y, yp: (-BY_STATE, BY_SLOPE)}, ValueError, "`jac` has the wrong sign in ∂F/∂y,"),
        ({"jac": lambda t, y, yp: (BY_SLOPE, BY_STATE)}, ValueError, "`jac` returned .* in the wrong order"),
        ({"jac": lambda t, y, yp: (BY_STATE * 1j, BY_SLOPE)}, TypeError, "`jac` returned complex values for ∂F/∂y"),
        ({"jac": lambda t, y, yp: (BY_STATE * np.nan, BY_SLOPE)}, ValueError, "derivatives of `fun` are not finite"),
        ({"y0": [1.0, 0.0], "atol": 0.0}, ValueError, "`atol` is zero for components 1 of `y0`"),
    ],
)
def test_bad_input_of_a_dae(options, error, words):
    given = {"fun": residual, "t_span": (0, 1), "y0": [1, 1], **options}
    with pytest.raises(error, match=words):
        parscan.solve_dae(**given)


def test_exceptions_reach_the_user_with_the_time():
    def fun(t, y):
        raise KeyError("rate")

    with pytest.raises(KeyError, match="rate") as raised:
        parscan.solve_ivp(fun, (0, 1), [1, 1], mass=[1, 0])
    assert "at the time 0.0" in raised.value.__notes__[0]

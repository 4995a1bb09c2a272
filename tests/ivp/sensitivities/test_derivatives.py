"""Tangents and adjoints of solutions: exact for the discrete equations, right for the differential ones."""

import array_api_strict
import hypothesis
import hypothesis.strategies as st
import numpy as np
import ode_problems
import pytest
import scipy.integrate
from ode_methods import COLLOCATION, ON_ANY_MESH, ON_MESH
from ode_sensitivities import SMOOTH, STIFF, by_augmenting, deviation, exponentials, extrapolated

from parscan import solve_ivp

pytestmark = pytest.mark.roads

SEQUENTIAL = ("LSODA", "RK23", "RK45", "BDF", scipy.integrate.Radau)
A = np.array([[-0.3, 2.0], [-1.0, -0.1]])


def linear(t, y):
    return A @ y


def solve_on(family, method, mesh, args=None, y0=None, **options):
    """Solved to rounding on a fixed mesh."""
    tight = 1e-9 if method == "DEER" else 1e-13  # its iteration converges linearly
    args, y0 = family.args if args is None else args, family.y0 if y0 is None else y0
    options = {"args": args, "mesh": mesh, "jac": family.jac, "rtol": tight, "atol": tight, **options}
    sol = solve_ivp(family.fun, (mesh[0], mesh[-1]), y0, method, **options)
    assert sol.success
    return sol


@pytest.mark.slow
@ON_ANY_MESH
@pytest.mark.pairs(
    family={family.name: family for family in SMOOTH}, method=ON_MESH, backwards=[False, True], inside=[False, True]
)
@pytest.mark.filterwarnings("ignore:`rtol` is too small")
def test_tangents_are_those_of_the_discrete_equations(family, method, backwards, inside):
    """Differences of solutions on the same mesh, which is far too coarse for the differential equation."""
    end = -0.5 if backwards else family.end
    mesh = np.linspace(0, 1, 41) ** 1.2 * end
    times = np.sort(np.random.default_rng(0).uniform(0, 1, 9)) * end
    t_eval = np.concatenate([times, mesh[-1:]]) if inside else None

    def states(args, y0):
        return solve_on(family, method, mesh, args, y0, t_eval=t_eval).y

    sol = solve_on(family, method, mesh, t_eval=t_eval)
    found = sol.tangent(family.forcing)
    fundamental = sol.tangent(y0=np.eye(2))
    precision = 1e-6 if method == "DEER" else 1e-9
    for k in range(2):
        by_parameter = extrapolated(lambda h, k=k: states([a + h * (i == k) for i, a in enumerate(family.args)], None))
        by_start = extrapolated(lambda h, k=k: states(None, [y + h * (i == k) for i, y in enumerate(family.y0)]))
        assert deviation(found[..., k], by_parameter) <= precision
        assert deviation(fundamental[..., k], by_start) <= precision


@pytest.mark.slow
@pytest.mark.parametrize("method", [*ON_MESH, *SEQUENTIAL, "auto"], ids=str)
def test_tangents_of_a_linear_equation_are_exponentials(method):
    times = np.linspace(0, 3, 7)
    rtol = {"DEER": 1e-6, "RK4": 1e-7, "RK23": 1e-6}.get(method, 1e-9)
    mesh = np.linspace(0, 3, 121) if method == "DEER" else None
    sol = solve_ivp(linear, (0, 3), [1.0, 2.0], method, t_eval=times, rtol=rtol, atol=rtol, mesh=mesh)
    exact = exponentials(A, times)
    assert deviation(sol.tangent(y0=np.eye(2)), exact) <= 30 * rtol
    at = [2.5, 0.0, 3.0, 1 / 3]
    assert deviation(sol.tangent(y0=np.eye(2), t=at), exponentials(A, at)) <= 30 * rtol
    assert deviation(sol.tangent(y0=[1.0, 2.0], t=2.5), exponentials(A, [2.5])[:, 0] @ [1.0, 2.0]) <= 30 * rtol
    by_scale = sol.tangent(lambda t, y: A @ y)  # y' = k A y by k
    assert deviation(by_scale, np.einsum("t,ij,jtk,k->it", times, A, exact, [1.0, 2.0])) <= 100 * rtol


@pytest.mark.slow
@ON_ANY_MESH
@pytest.mark.parametrize("method", [*ON_MESH, *SEQUENTIAL, "auto"], ids=str)
def test_adjoint_states_are_gradients_by_the_state_at_every_node(method):
    mesh = np.linspace(0, 3, 60) if method in ("DEER", "RK4") else None
    sol = solve_ivp(linear, (0, 3), [1.0, 2.0], method, rtol=1e-6, atol=1e-8, mesh=mesh)
    gradient = np.zeros_like(sol.y)
    gradient[:, -1], gradient[:, 2] = [1.0, -1.0], [0.5, 2.0]
    adjoint = sol.adjoint(gradient)
    expected = np.einsum("itj,i->jt", exponentials(A, sol.t[-1] - sol.t), gradient[:, -1])
    expected[:, :3] += np.einsum("itj,i->jt", exponentials(A, sol.t[2] - sol.t[:3]), gradient[:, 2])
    assert adjoint.states.shape == sol.y.shape
    assert deviation(adjoint.states, expected) <= (1e-3 if method == "DEER" else 1e-5)
    assert np.array_equal(adjoint.y0, adjoint.states[:, 0])


@pytest.mark.slow
def test_adjoint_states_are_at_the_nodes_of_the_mesh_whatever_the_output():
    times = [0.7, 1.9]
    for method in ("Radau", "DOP853", "LSODA"):
        sol = solve_ivp(linear, (0, 3), [1.0, 2.0], method, rtol=1e-8, atol=1e-8, t_eval=times, dense_output=True)
        adjoint = sol.adjoint(np.array([[1.0, 0.0], [0.0, 1.0]]))
        assert adjoint.states.shape == (2, len(sol.mesh))
        expected = np.zeros((2, len(sol.mesh)))
        for k, time in enumerate(times):
            before = sol.mesh < time
            expected[:, before] += exponentials(A, time - sol.mesh[before])[k].T
        assert deviation(adjoint.states, expected) <= 1e-6
        assert deviation(adjoint.y0, np.sum([exponentials(A, [t])[k, 0] for k, t in enumerate(times)], axis=0)) <= 1e-6


@pytest.mark.parametrize("family", SMOOTH, ids=lambda family: family.name)
@pytest.mark.parametrize("method", [*COLLOCATION, "DOP853", "LSODA", "RK45"])
def test_derivatives_are_those_of_complex_steps_through_a_sequential_solver(family, method):
    times = np.linspace(0, family.end, 5)[1:]
    sol = solve_ivp(
        family.fun, (0, family.end), family.y0, method, t_eval=times, args=family.args, rtol=1e-8, atol=1e-9
    )
    found = np.concatenate([sol.tangent(family.forcing), sol.tangent(y0=np.eye(2))], axis=-1)
    for k in range(4):
        inputs = np.array([*family.args, *family.y0], dtype=complex)
        inputs[k] += 1e-40j
        stepped = scipy.integrate.solve_ivp(
            family.fun, (0, family.end), inputs[2:], "DOP853", times, args=tuple(inputs[:2]), rtol=1e-12, atol=1e-13
        )
        assert deviation(found[..., k], stepped.y.imag / 1e-40) <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("family", STIFF, ids=lambda family: family.name)
@pytest.mark.parametrize("method", ["Radau", "LSODA"])
@pytest.mark.parametrize("given", [True, False], ids=["jac", "differences"])
def test_stiff_problems(family, method, given):
    times = np.geomspace(1e-3, 1, 6) * family.end
    jac = family.jac if given else None
    sol = solve_ivp(
        family.fun, (0, family.end), family.y0, method, times, args=family.args, jac=jac, rtol=1e-8, atol=1e-11
    )
    n, p = len(family.y0), len(family.args)
    expected = by_augmenting(family, tuple(times))
    found = np.concatenate([sol.tangent(family.forcing), sol.tangent(y0=np.eye(n))], axis=-1)
    for column in range(p + n):
        assert deviation(found[..., column], expected[..., column]) <= 1e-5
    gradient = np.random.default_rng(0).standard_normal(sol.y.shape)
    by_products = np.einsum("it,itk->k", gradient, found)
    assert np.allclose(sol.gradient(gradient), by_products[:p], rtol=1e-6, atol=1e-6 * np.abs(by_products).min())
    assert np.allclose(sol.adjoint(gradient).y0, by_products[p:], rtol=1e-9)


@ON_ANY_MESH
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
@pytest.mark.parametrize("method", [name for name in ON_MESH if name != "DEER"])
@pytest.mark.filterwarnings("ignore:`rtol` is too small")
def test_loose_solutions_have_exact_derivatives_on_their_mesh(method, tolerance):
    family, stages = SMOOTH[0], 4 if method in COLLOCATION else None
    options = {"args": family.args, "rtol": tolerance, "atol": tolerance, "stages": stages}
    loose = solve_ivp(family.fun, (0, 3), family.y0, method, **options)
    tight = solve_on(family, method, loose.mesh, stages=stages)
    assert deviation(loose.tangent(family.forcing), tight.tangent(family.forcing)) <= 1e-9
    assert deviation(loose.adjoint(loose.y).states, tight.adjoint(loose.y).states) <= 1e-9


@pytest.mark.slow
@ON_ANY_MESH
@pytest.mark.filterwarnings("ignore:`rtol` is too small")
def test_frozen_jacobians_are_for_newton_only():
    """From so many components on, one Jacobian serves for all stages of an interval; its derivatives would be off."""
    n, mesh = 12, np.linspace(0, 2, 6)
    y0 = np.sin(np.arange(1.0, n + 1))

    def chain(t, y, coupling):
        force = np.zeros_like(y)
        force[1:] += y[:-1]
        return coupling * force - y**3

    def states(coupling):
        return solve_ivp(chain, (0, 2), y0, "Gauss", mesh=mesh, stages=6, args=(coupling,), rtol=1e-13, atol=1e-13)

    sol = states(1.5)

    def forcing(t, y, coupling):
        return chain(t, y, 1.0) + y**3

    assert deviation(sol.tangent(forcing), extrapolated(lambda h: states(1.5 + h).y)) <= 1e-9
    assert deviation(sol.gradient(sol.y, 0), np.sum(sol.y * sol.tangent(forcing))) <= 1e-9


@ON_ANY_MESH
@pytest.mark.roads("calls")
def test_wide_batches_are_differentiated_step_by_step():
    """DOP853 with steps that all members take together: the steps are held fixed."""
    family = SMOOTH[0]
    y0 = np.array(family.y0)[:, None] * np.linspace(0.8, 1.2, 30)
    for t_eval in (None, [0.4, 3.0]):
        sol = solve_ivp(family.fun, (0, 3), y0, args=family.args, rtol=1e-6, atol=1e-6, t_eval=t_eval)
        assert sol.method == "DOP853"
        assert sol.iterations == 0
        member = solve_on(family, "DOP853", sol.mesh, y0=y0[:, 7], t_eval=t_eval)
        assert deviation(sol.tangent(family.forcing)[:, :, 7], member.tangent(family.forcing)) <= 1e-9
        gradient = np.zeros_like(sol.y)
        gradient[..., 7] = 1.0
        assert deviation(sol.adjoint(gradient).states[..., 7], member.adjoint(gradient[..., 7]).states) <= 1e-9
        assert not np.delete(sol.adjoint(gradient).states, 7, axis=-1).any()


def mesh_of(seed, intervals):
    rng = np.random.default_rng(seed)
    return np.concatenate([[0.0], np.cumsum(rng.uniform(0.02, 0.2, intervals))])


@pytest.mark.slow
@hypothesis.given(
    method=st.sampled_from(ON_MESH),
    dtype=st.sampled_from(["float32", "float64", "complex64", "complex128"]),
    batch=st.sampled_from([(), (1,), (3,), (2, 2)]),
    intervals=st.integers(1, 12),
    outputs=st.integers(-1, 20),
    backwards=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_dot_products_of_tangents_and_adjoints_agree(method, dtype, batch, intervals, outputs, backwards, seed):
    """⟨g, δ⟩ = ⟨w, φ⟩ + ⟨λ₀, δ₀⟩ to rounding, for any forcing and start."""
    rng = np.random.default_rng(seed)
    mesh = mesh_of(seed, intervals) * (-1 if backwards else 1)
    t_eval = None if outputs < 0 else np.sort(rng.uniform(0, 1, outputs)) * mesh[-1]

    def normal(*shape):
        numbers = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if "complex" in dtype else 0)
        return numbers.astype(dtype)

    def fun(t, y):
        return [y[1] - 0.3 * y[0] ** 2, -y[0] + 0.1 * t * y[1], 0.2 * y[0] * y[1] - y[2]]

    y0 = (0.5 * normal(3, *batch)).astype(dtype)
    loose = 1e-3 if dtype in ("float32", "complex64") or method == "DEER" else 1e-8
    sol = solve_ivp(fun, (0, mesh[-1]), y0, method, mesh=mesh, t_eval=t_eval, rtol=loose, atol=loose)
    hypothesis.assume(sol.success)
    a, start, gradient = normal(4), normal(3, *batch), normal(*sol.y.shape)

    def forcing(t, y):
        return [a[0] * y[1], a[1] * t * y[0] * y[2], a[2] * y[0] + a[3]]

    changes = sol.tangent(forcing, start)
    assert changes.shape == sol.y.shape
    assert changes.dtype == dtype
    left = np.sum(np.conj(gradient) * changes)
    right = np.conj(sol.gradient(gradient, forcing=forcing)) + np.sum(np.conj(sol.adjoint(gradient).y0) * start)
    size = np.sum(np.abs(gradient * changes)) + np.sum(np.abs(start)) * np.sum(np.abs(gradient)) + 1e-3
    assert abs(left - right) <= 3e3 * np.finfo(dtype).eps * size


@pytest.mark.slow
@ON_ANY_MESH
@pytest.mark.parametrize("method", [*ON_MESH, "auto"])
@pytest.mark.parametrize("batch", [(), (2,), (25,)], ids=str)
def test_other_array_libraries_give_the_same(method, batch):
    family = SMOOTH[0]
    y0 = np.array(family.y0).reshape(2, *(1,) * len(batch)) * np.linspace(0.9, 1.1, int(np.prod(batch))).reshape(batch)
    mesh = None if method == "auto" else np.linspace(0, 1, 30)
    times = np.array([0.1, 0.5, 1.0])
    results = []
    for xp in (np, array_api_strict):
        given = None if mesh is None else xp.asarray(mesh)
        options = {"args": family.args, "mesh": given, "t_eval": xp.asarray(times), "rtol": 1e-9, "atol": 1e-9}
        sol = solve_ivp(family.fun, (0, 1), xp.asarray(y0), method, **options)
        assert type(sol.tangent(family.forcing)) is type(sol.y)
        ones = xp.ones_like(sol.y)
        gradient = xp.asarray(sol.gradient(ones)), sol.gradient(ones, forcing=family.forcing)
        parts = sol.tangent(family.forcing), sol.tangent(family.forcing, t=0.3), sol.adjoint(ones).y0, *gradient
        results.append([np.asarray(part) for part in parts])
    for ours, theirs in zip(*results, strict=True):
        assert deviation(theirs, ours) <= 1e-6


def test_events_end_a_solution_that_has_derivatives():
    def low(t, y, k):
        return y[0] - 0.5

    low.terminal = True
    for method in ("Radau", "DOP853", "LSODA", "RK45"):
        sol = solve_ivp(
            lambda t, y, k: -k * y,
            (0, 3),
            [1.0],
            method,
            args=(2.0,),
            events=low,
            rtol=1e-9,
            atol=1e-9,
            dense_output=True,
        )
        assert sol.status == 1
        changes = sol.tangent(lambda t, y, k: -y)
        assert np.allclose(changes[0], -sol.t * np.exp(-2 * sol.t), rtol=0, atol=1e-7)
        slope = -2 * sol.y_events[0][0, 0]
        assert np.isclose(-changes[0, -1] / slope, -np.log(2) / 4, rtol=1e-6)  # of the time of the event, by k


@ON_ANY_MESH
@pytest.mark.parametrize("method", ON_MESH)
def test_windows_that_fit_into_memory_give_the_same(method, limit_memory):
    family, mesh = SMOOTH[1], np.linspace(0, 2, 38)
    times = np.sort(np.random.default_rng(3).uniform(0, 2, 11))
    whole, parts = (solve_on(family, method, mesh, t_eval=times) for _ in range(2))
    gradient = np.random.default_rng(1).standard_normal(whole.y.shape)

    def derivatives(sol):
        adjoint = sol.adjoint(gradient)
        return sol.tangent(family.forcing, [1.0, 0.0]), adjoint.states, sol.gradient(gradient), sol.lyapunov

    expected = derivatives(whole)
    limit_memory(unasked=0, free=6000)  # for a few nodes
    for ours, theirs in zip(derivatives(parts), expected, strict=True):
        assert deviation(ours, theirs) <= (1e-9 if method == "DEER" else 1e-11)


@pytest.mark.slow
def test_lyapunov_exponents():
    for method in ("Radau", "LSODA", "RK4"):
        sol = solve_ivp(lambda t, y: [-2 * y[0], -5 * y[1]], (0, 3), [1.0, 1.0], method, rtol=1e-6, atol=1e-8)
        assert -2.2 <= sol.lyapunov <= -2 + 1e-3
    backwards = solve_ivp(lambda t, y: -2 * y, (3, 0), [1.0], "Radau", rtol=1e-6)
    assert abs(backwards.lyapunov - 2) <= 1e-4
    rates = np.array([-3.0, 0.5, -1.0])
    assert abs(solve_ivp(lambda t, y: rates * y, (0, 2), np.ones((1, 3)), "Radau", rtol=1e-6).lyapunov - 0.5) <= 1e-4

    def lorenz(t, y):
        return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]

    chaotic = solve_ivp(lorenz, (0, 40), [-8.0, 7.0, 27.0], "Radau", rtol=1e-6, atol=1e-6)
    assert 0.6 <= chaotic.lyapunov <= 1.2


@pytest.mark.parametrize(
    "ode", [ode for ode in ode_problems.ODES if "Prothero" not in ode.name], ids=lambda ode: ode.name
)
def test_all_reference_problems_can_be_differentiated(ode):
    """The flow maps the vector field to itself: d/dt y(t; y0) = Φ(t) f(y0), for autonomous equations."""
    sol = solve_ivp(ode.fun, (0, ode.end), ode.y0, "Radau", rtol=1e-9, atol=1e-9 * ode.scale)
    begin = np.array(ode.fun(0.0, np.array(ode.y0)), dtype=float)
    end = np.array(ode.fun(ode.end, sol.y[:, -1]), dtype=float)
    carried = sol.tangent(y0=begin)[:, -1]
    assert np.abs(carried - end).max() <= 1e-5 * np.abs(begin).max()
    assert deviation(sol.tangent(y0=begin, t=ode.end), carried) <= 1e-12
    assert deviation(sol.adjoint(sol.y).y0 @ begin, np.sum(sol.y * sol.tangent(y0=begin))) <= 1e-6


@pytest.mark.parametrize("compiled", [None, False])
@pytest.mark.parametrize("coupled", [lambda x: x.mean(axis=-1, keepdims=True), lambda x: x[..., -1:]])
def test_members_of_a_batch_that_depend_on_each_other_are_refused(coupled, compiled, rng):
    """Derivatives are found member by member, and were wrong for them."""
    y0 = rng.standard_normal((2, 5))

    def fun(t, y, a):
        return [y[1] * 1.0, -a * y[0] + 0.5 * coupled(y[0])]

    sol = solve_ivp(fun, (0, 1), y0, args=(1.3,), rtol=1e-6, t_eval=[1.0], compile=compiled)
    g = np.ones_like(sol.y)
    for derivative in (lambda: sol.gradient(g), lambda: sol.adjoint(g), lambda: sol.tangent(y0=y0), sol.jacobian):
        with pytest.raises(RuntimeError, match="depend on each other"):
            derivative()

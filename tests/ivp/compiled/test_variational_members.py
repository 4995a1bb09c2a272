"""Derivatives of batches by machine code, against complex steps through SciPy and single solves of each member."""

import numpy as np
import pytest
import scipy.integrate
from ode_sensitivities import deviation, steps_of

from parscan import solve_ivp
from parscan._functions.at_points import CODES
from parscan._ivp.compiled import solvers

T = np.linspace(0, 3, 7)[1:]
COUNT = 5
RNG = np.random.default_rng(6)
Y0 = np.array([[1.0], [2.0]]) * (1 + 0.3 * RNG.random((2, COUNT)))
RATES = 1.5 * (1 + 0.2 * RNG.random(COUNT))
P = np.array([1.0, 3.0, 0.8])
CLOSE = 1e-8


def predators(t, y, rate, p):
    return np.stack([rate * y[0] - p[0] * y[0] * y[1], p[2] * y[0] * y[1] - p[1] * y[1]])


@pytest.fixture
def paid(monkeypatch):
    """Whatever machine code costs, it pays."""
    monkeypatch.setattr(CODES, "buys", lambda *args: True)


def solved(fun=predators, y0=Y0, args=(RATES, P), t=T, start=0.0, **options):
    options = {"rtol": 1e-11, "atol": 1e-13, "t_eval": t, "compile": True, **options}
    return solve_ivp(fun, (start, t[-1]), y0, args=args, **options)


def is_by_code(sol):
    """Whether machine code solves the variational equations: nothing else was made."""
    return sol._solution._refined is None and "_linearised" not in vars(sol._solution)


def by_complex_steps(fun, y0, args, t, start, change):
    """The derivative of one member's solution along a change of its state and of its arguments."""
    own, args = change[0], [one + 1e-30j * by for one, by in zip(args, change[1:], strict=True)]
    run = scipy.integrate.solve_ivp(
        fun, (start, t[-1]), y0 + 1e-30j * own, "DOP853", t, args=args, rtol=1e-13, atol=1e-13
    )
    return run.y.imag / 1e-30


@pytest.mark.parametrize("back", [False, True])
def test_jacobians_are_those_of_each_member(back):
    t, start = (T[::-1] - T[0], T[-1]) if back else (T, 0.0)
    sol = solved(t=t, start=start)
    by_rate, by_p, by_y0 = sol.jacobian((0, 1, "y0"))
    assert is_by_code(sol)
    assert by_rate.shape == (2, 6, COUNT, COUNT)
    assert by_p.shape == (2, 6, COUNT, 3)
    assert by_y0.shape == (2, 6, COUNT, 2)
    for b in range(COUNT):
        at = predators, Y0[:, b], (RATES[b], P), t, start
        assert deviation(by_rate[..., b, b], by_complex_steps(*at, (0, 1, 0))) <= CLOSE
        assert not np.any(np.delete(by_rate[..., b, :], b, axis=-1))
        for k in range(3):
            assert deviation(by_p[..., b, k], by_complex_steps(*at, (0, 0, np.eye(3)[k]))) <= CLOSE
        for k in range(2):
            assert deviation(by_y0[..., b, k], by_complex_steps(*at, (np.eye(2)[k], 0, 0))) <= CLOSE


def test_gradients_and_tangents_are_products_with_jacobians(paid, monkeypatch):
    monkeypatch.setattr("parscan._ivp.compiled.variational_members.FEW", 4)
    sol, grad_y = solved(), RNG.standard_normal((2, 6, COUNT))
    by_rate, by_p, by_y0 = sol.jacobian((0, 1, "y0"))
    found = sol.gradient(grad_y)
    assert deviation(found[0], np.einsum("ntb,ntbc->c", grad_y, by_rate)) <= 1e-12
    assert deviation(found[1], np.einsum("ntb,ntbk->k", grad_y, by_p)) <= 1e-12
    change = RNG.standard_normal((2, COUNT, 3))
    expected = np.einsum("ntbk,kbm->ntbm", by_y0, change)
    assert deviation(sol.tangent(y0=change), expected) <= 1e-9
    assert deviation(sol.tangent(y0=change, t=T[[4, 1, 1]]), expected[:, [4, 1, 1]]) <= 1e-9
    assert deviation(sol.tangent(y0=change[..., 0], t=T[3]), expected[:, 3, ..., 0]) <= 1e-9
    assert is_by_code(sol)


def test_tolerances_hold_for_derivatives():
    exact = solved().jacobian("p")
    for rtol in (1e-4, 1e-6, 1e-8):
        assert deviation(solved(rtol=rtol, atol=rtol).jacobian("p"), exact) <= 10 * rtol


def nested(t, y, p, gain):
    growth, (death,) = p["growth"], p["rest"]
    return np.stack([growth * y[0] - y[0] * y[1], gain[0] * y[0] * y[1] - gain[1] * death * y[1]])


def test_arrays_of_members_in_nested_parameters_and_those_that_rows_of_a_batch_share(paid):
    y0 = np.array([1.0, 2.0])[:, None, None] * (1 + 0.3 * RNG.random((2, 2, 3)))
    of_all, of_columns = 3.0 + RNG.random((2, 3)), 1.5 + 0.2 * RNG.random(3)
    of_rows = 0.5 + RNG.random((2, 2, 1)) / 4
    args = {"growth": of_columns, "rest": [of_all]}, of_rows
    sol, grad_y = solved(nested, y0, args, rtol=1e-10), RNG.standard_normal((2, 6, 2, 3))
    found, by_gain = sol.gradient(grad_y)
    by_p = sol.jacobian("p")
    assert is_by_code(sol)
    assert by_p["growth"].shape == (2, 6, 2, 3, 3)
    assert by_p["rest"][0].shape == (2, 6, 2, 3, 2, 3)
    assert by_gain.shape == (2, 2, 1)
    expected, expected_gain = {"growth": np.zeros(3), "rest": np.zeros((2, 3))}, np.zeros((2, 2, 1))
    for i, j in np.ndindex(2, 3):
        own = {"growth": of_columns[j], "rest": [of_all[i, j]]}, of_rows[:, i, 0]
        single = solved(nested, y0[:, i, j], own, rtol=1e-10)
        one, gain = single.gradient(grad_y[..., i, j])
        expected["growth"][j] += one["growth"]
        expected["rest"][i, j] = one["rest"][0]
        expected_gain[:, i, 0] += gain
        assert deviation(by_p["growth"][..., i, j, j], single.jacobian("p")["growth"]) <= CLOSE
        assert deviation(by_p["rest"][0][..., i, j, i, j], single.jacobian("p")["rest"][0]) <= CLOSE
    assert deviation(found["growth"], expected["growth"]) <= CLOSE
    assert deviation(found["rest"][0], expected["rest"]) <= CLOSE
    assert deviation(by_gain, expected_gain) <= CLOSE


def oscillator(t, y, stiffness, push):
    return np.stack([y[1], stiffness * ((1 - y[0] ** 2) * y[1] - y[0]) + push])


def test_stiff_members_are_solved_by_the_stiff_method(monkeypatch):
    monkeypatch.setattr(solvers, "SERIES_AT", 0.0)  # single solves by the same methods
    stiffness, y0 = np.array([1.0, 30.0, 1e3, 1e5]), np.full((2, 4), 0.0) + np.array([[2.0], [0.0]])
    sol = solved(oscillator, y0, (stiffness, 0.1), rtol=1e-9, atol=1e-11)
    found = sol.jacobian("push")
    assert is_by_code(sol)
    for b in range(4):
        single = solved(oscillator, y0[:, b], (stiffness[b], 0.1), rtol=1e-9, atol=1e-11)
        assert deviation(found[..., b], single.jacobian("push")) <= 1e-6


def kinked(t, y, rate, corner):
    return -rate * y + np.where((t > corner) & (t < corner + 1e-4), 1e4, 0.0) + np.abs(t - 1.3)


def test_corners_in_time_are_those_of_each_member():
    corner, y0 = np.array([0.7, 1.1, 2.2]), np.ones((1, 3))
    sol = solved(kinked, y0, (0.8, corner))
    found = sol.jacobian("rate")
    assert is_by_code(sol)
    for b in range(3):
        single = solved(kinked, y0[:, b], (0.8, corner[b]))
        assert deviation(found[..., b], single.jacobian("rate")) <= CLOSE


def test_what_single_solves_refuse_is_refused():
    sol = solved(kinked, np.ones((1, 3)), (0.8, np.array([0.7, 1.1, 2.2])), rtol=1e-8, atol=1e-10)
    sol.jacobian("corner")
    assert not is_by_code(sol)
    y0 = np.array([[1.0, 0.9, 0.7]])
    sol = solved(lambda t, y, rate: np.where(y < 1.5, 1.0, rate), y0, (0.8,), rtol=1e-8)
    assert np.abs(sol.jacobian("rate")[:, -1] - (T[-1] - (1.5 - y0))).max() <= 1e-7
    assert not is_by_code(sol)


def test_times_of_the_output(paid):
    whole = solved().jacobian("y0")
    for t in (np.array([0.0, *T]), np.array([0.0])):
        sol = solve_ivp(predators, (0, 3), Y0, t_eval=t, args=(RATES, P), rtol=1e-11, atol=1e-13, compile=True)
        found = sol.jacobian("y0")
        assert is_by_code(sol)
        assert np.array_equal(found[:, 0], np.broadcast_to(np.eye(2)[:, None], (2, COUNT, 2)))
        assert t.size == 1 or deviation(found[:, 1:], whole) <= 1e-9
    sol = solve_ivp(predators, (0, 3), Y0, args=(RATES, P), rtol=1e-11, atol=1e-13, compile=True)
    assert deviation(sol.jacobian("y0")[:, -1], whole[:, -1]) <= 1e-9
    assert is_by_code(sol)


def test_many_members_do_not_need_more_memory_at_once(monkeypatch, paid):
    expected = solved().gradient(np.ones((2, 6, COUNT)))
    by_rate = solved().gradient(np.ones((2, 6, COUNT)), 0)
    for module in ("variational_members", "adjoints_of_members"):
        monkeypatch.setattr(f"parscan._ivp.compiled.{module}.NUMBERS", 300)
    found = solved().gradient(np.ones((2, 6, COUNT)))
    assert deviation(found[0], expected[0]) <= 1e-9
    assert deviation(found[1], expected[1]) <= 1e-9
    assert deviation(solved().gradient(np.ones((2, 6, COUNT)), 0), by_rate) <= 1e-9


def test_parameters_that_were_changed_after_the_solve_are_noticed(paid):
    p = P.copy()
    sol = solved(args=(RATES, p))
    p[1] = 2.0
    with pytest.raises(RuntimeError, match="change"):
        sol.gradient(np.ones((2, 6, COUNT)))
    p = {"growth": 1.5, "rest": [3.0]}
    sol = solved(nested, args=(p, np.array([1.0, 0.8])))
    p["rest"][0] = 3.1
    with pytest.raises(RuntimeError, match="change"):
        sol.adjoint(np.ones((2, 6, COUNT)))


@pytest.mark.parametrize("kind", ["single precision", "complex"])
def test_other_numbers_are_left_to_tangents(kind):
    y0, args = (Y0, (RATES.astype(np.float32), P)) if kind == "single precision" else (Y0 + 0j, (RATES, P))
    sol = solved(y0=y0, args=args, rtol=1e-7, atol=1e-9)
    found = sol.jacobian(0)
    assert not is_by_code(sol)
    expected = solved().jacobian(0)
    assert deviation(found, expected) <= 1e-5


def numbered(t, y, rate):
    return rate * np.where(np.arange(y.shape[-1]) == 3, 2.0, 1.0) * y


def test_members_that_differ_in_constants(paid):
    y0 = 1 + RNG.random((1, COUNT))
    sol = solved(numbered, y0, (0,))
    expected = np.where(np.arange(COUNT) == 3, 2.0, 1.0) * T[:, None] * y0[0]
    assert deviation(sol.jacobian("rate")[0], expected) <= CLOSE
    by_start = sol.tangent(y0=np.ones((1, COUNT)))
    assert deviation(by_start, np.ones((1, 6, COUNT))) <= CLOSE


W = {"in": RNG.standard_normal((6, 2)), "out": 0.5 * RNG.standard_normal((2, 6))}


def network(t, y, p, rate):
    return p["out"] @ np.tanh(p["in"] @ y) - rate * y + np.sin(t)


@pytest.mark.parametrize("back", [False, True])
def test_adjoints_are_those_of_the_steps_of_each_member(back, paid):
    t, start = (T[::-1] - T[0], T[-1]) if back else (T, 0.0)
    sol, grad_y = solved(network, Y0 / 2, (W, RATES), t, start, rtol=1e-9), RNG.standard_normal((2, 6, COUNT))
    (by_w, by_rate), adjoint = sol.gradient(grad_y), sol.adjoint(grad_y)
    assert is_by_code(sol)
    change = {name: RNG.standard_normal(one.shape) for name, one in W.items()}
    along, meshes = 0.0, sol._solution._variational._meshes()
    for b in range(COUNT):
        nodes = np.unique(np.concatenate([meshes[b], t]))[:: -1 if back else 1]
        places = [int(np.flatnonzero(nodes == one)[0]) for one in t]

        def loss(w, rate, y0, b=b, nodes=nodes, places=places):
            states = steps_of(network, nodes, Y0[:, b] / 2 + y0, w, RATES[b] + rate)[places]
            return np.sum(grad_y[..., b].T * states).imag / 1e-30

        none = np.zeros(2)
        along += loss({name: one + 1e-30j * change[name] for name, one in W.items()}, 0.0, none)
        assert abs(loss(W, 1e-30j, none) - by_rate[b]) <= 1e-12 * np.abs(by_rate).max()
        for k in range(2):
            assert abs(loss(W, 0.0, 1e-30j * np.eye(2)[k]) - adjoint.y0[k, b]) <= 1e-12 * np.abs(adjoint.y0).max()
    found = sum(np.sum(by_w[name] * change[name]) for name in W)
    assert abs(found - along) <= 1e-12 * sum(np.sum(np.abs(by_w[name] * change[name])) for name in W)


@pytest.mark.parametrize("t", [T, T[:-2], np.array([0.0, 1.5, 3.0]), None])
def test_adjoints_at_nodes_of_the_result_are_those_of_a_trajectory(t, paid):
    options = {"args": (RATES, P), "rtol": 1e-11, "atol": 1e-13, "compile": True}
    sol = solve_ivp(predators, (0, 3), Y0, t_eval=t, **options)
    grad_y = RNG.standard_normal(sol.y.shape)
    adjoint = sol.adjoint(grad_y)
    assert is_by_code(sol)
    assert adjoint.states.shape == (2, sol.mesh.size, COUNT)
    assert np.array_equal(adjoint.y0, adjoint.states[:, 0])
    sol._solution._variational = None
    expected = sol.adjoint(grad_y)
    assert not is_by_code(sol)
    assert deviation(adjoint.states, expected.states) <= CLOSE


def test_stiff_members_have_gradients_by_variational_equations(paid):
    def fun(t, y, rate, p):
        return -rate * (y - p[0] * np.cos(t)) + p[1] * np.sin(y) + p[2] * t

    p, rates = np.array([1.0, 0.5, 0.2]), np.array([1.0, 1e5])
    sol = solved(fun, np.ones((1, 2)), (rates, p), rtol=1e-9, atol=1e-11)
    grad_y = RNG.standard_normal(sol.y.shape)
    found = sol.gradient(grad_y, "p")
    assert is_by_code(sol)
    assert deviation(found, np.einsum("ntb,ntbk->k", grad_y, sol.jacobian("p"))) <= 1e-12
    sol.adjoint(grad_y)
    assert not is_by_code(sol)

"""Adjoints of explicit solutions by machine code, against complex steps through the same steps of DOP853."""

import numpy as np
import pytest
from ode_sensitivities import deviation, steps_of

from parscan import solve_ivp
from parscan._functions.at_points import CODES
from parscan._ivp.compiled import discrete_adjoint

RNG = np.random.default_rng(4)
P = {"W": RNG.standard_normal((6, 2)), "b": 0.3 * RNG.standard_normal(6), "V": RNG.standard_normal((2, 6))}
T = np.array([0.3, 1.0, 1.7, 2.0])


def network(t, y, p, rate):
    return p["V"] @ np.tanh(p["W"] @ y + p["b"]) - rate * y + np.sin(t)


@pytest.fixture
def paid(monkeypatch):
    """Whatever machine code costs, it pays."""
    monkeypatch.setattr(CODES, "buys", lambda *args: True)


@pytest.fixture
def used(monkeypatch):
    """The adjoints that machine code gave."""
    found, given = [], discrete_adjoint.backwards

    def noted(*args):
        found.append(given(*args))
        return found[-1]

    monkeypatch.setattr("parscan._ivp.compiled.variational.backwards", noted)
    return found


def solved(back=False, t_eval=True, **options):
    span = (2.0, 0.0) if back else (0.0, 2.0)
    times = (2.0 - T if back else T) if t_eval else None
    options = {"rtol": 1e-9, "atol": 1e-11, "compile": True, **options}
    return solve_ivp(network, span, [0.5, -1.0], t_eval=times, args=(P, 0.4), **options)


def loss_by_steps(sol, grad_y, p=P, rate=0.4, y0=(0.5, -1.0), bump=None):
    """The loss on the solution by steps, and the nodes; `bump` is added to the state at a node."""
    way = -1.0 if sol.mesh[0] > sol.mesh[-1] else 1.0
    nodes = way * np.union1d(way * sol.mesh, way * sol.t)
    y0 = np.asarray(y0) + 0j
    if bump is None:
        states = steps_of(network, nodes, y0, p, rate)
    else:
        place, change = bump
        place = int(np.searchsorted(way * nodes, way * place))
        head = steps_of(network, nodes[: place + 1], y0, p, rate)
        tail = steps_of(network, nodes[place:], head[-1] + change, p, rate)
        states = np.concatenate([head[:-1], tail])
    at = np.searchsorted(way * nodes, way * sol.t)
    return np.sum(grad_y * states[at].T).imag / 1e-30


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("t_eval", [True, False])
def test_gradients_are_those_of_the_steps_to_rounding(paid, used, back, t_eval):
    sol = solved(back, t_eval)
    grad_y = RNG.standard_normal(sol.y.shape)
    found, rate = sol.gradient(grad_y)
    assert len(used) == 1
    small = 1e-30j
    for name, value in P.items():
        assert found[name].shape == value.shape
        expected = [
            loss_by_steps(sol, grad_y, {**P, name: value + small * unit.reshape(value.shape)})
            for unit in np.eye(value.size)
        ]
        assert deviation(found[name].ravel(), expected) <= 1e-12
    assert deviation(rate, loss_by_steps(sol, grad_y, rate=0.4 + small)) <= 1e-12


@pytest.mark.parametrize("back", [False, True])
def test_adjoints_are_those_of_the_steps_to_rounding(paid, used, back):
    sol = solved(back)
    grad_y = RNG.standard_normal(sol.y.shape)
    adjoint = sol.adjoint(grad_y)
    assert len(used) == 1
    assert adjoint.states.shape == (2, len(sol.mesh))
    for k in range(2):
        unit = 1e-30j * np.eye(2)[k]
        assert deviation(adjoint.y0[k], loss_by_steps(sol, grad_y, y0=np.array([0.5, -1.0]) + unit)) <= 1e-12
        for place in (1, len(sol.mesh) // 2, -2):
            expected = loss_by_steps(sol, grad_y, bump=(sol.mesh[place], unit))
            assert deviation(adjoint.states[k, place], expected) <= 1e-12
    assert deviation(adjoint.states[:, 0], adjoint.y0) == 0.0


def test_gradients_agree_with_tight_differences(paid):
    sol = solved(rtol=1e-12, atol=1e-14)
    grad_y = RNG.standard_normal(sol.y.shape)
    found = sol.gradient(grad_y, "p")["b"][2]

    def loss(h):
        p = {**P, "b": P["b"] + h * np.eye(6)[2]}
        run = solve_ivp(network, (0, 2), [0.5, -1.0], t_eval=T, args=(p, 0.4), rtol=1e-13, atol=1e-14, compile=True)
        return np.sum(grad_y * run.y)

    expected = (8 * (loss(1e-3) - loss(-1e-3)) - (loss(2e-3) - loss(-2e-3))) / 12e-3
    assert deviation(found, expected) <= 1e-8


def test_what_was_changed_after_the_solve_is_noticed(paid):
    p = {name: value.copy() for name, value in P.items()}
    sol = solve_ivp(network, (0, 2), [0.5, -1.0], args=(p, 0.4), rtol=1e-8, compile=True)
    p["b"] += 0.5
    with pytest.raises(RuntimeError, match="no longer gives this solution"):
        sol.gradient(np.ones_like(sol.y), "p")
    with pytest.raises(RuntimeError, match="no longer gives this solution"):
        sol.adjoint(np.ones_like(sol.y))


def test_jumps_and_stiff_solutions_are_left_to_others(paid, used):
    times = np.array([1.0, 2.0])
    jumpy = solve_ivp(lambda t, y: np.where(t < 1.3, 1.0, -1.0) - y, (0, 2), [1.0], t_eval=times, compile=True)
    stiff = solve_ivp(lambda t, y: -1e5 * (y - np.cos(t)), (0, 2), [1.0], t_eval=times, rtol=1e-6, compile=True)
    for sol in (jumpy, stiff):
        assert np.isfinite(sol.adjoint(np.ones_like(sol.y)).y0).all()
    assert used == []


@pytest.mark.parametrize(("limit", "passes"), [(0.0, True), (-5.0, False)])
def test_steps_across_kinks_are_left_to_others(paid, used, limit, passes):
    """Of a step that ends on a kink, the last stages have the derivative of the other side."""

    def fun(t, y):
        return np.array([np.maximum(y[1], limit), np.cos(2 * t) - y[1]])

    options = {"t_eval": [1.3, 6.0], "compile": True}
    found = solve_ivp(fun, (0, 6), [1.0, 0.1], rtol=1e-9, atol=1e-11, **options).adjoint([[1.0, 2.0], [0.5, 1.0]]).y0
    tight = [
        solve_ivp(fun, (0, 6), [1.0, 0.1 + h], rtol=1e-12, atol=1e-13, **options).y.T @ np.array([1.0, 0.5])
        for h in (1e-5, -1e-5)
    ]
    assert found == pytest.approx([3.0, (tight[0] - tight[1]) @ [1.0, 2.0] / 2e-5], rel=1e-7)
    assert bool(used) != passes


AT_REST = {
    "growth": (lambda t, y, p: p.sum() * y - 5 * y**2, lambda t: np.exp(30 * t)),
    "waves": (lambda t, y, p: p.sum() * np.cos(7 * t) * y, lambda t: np.exp(30 * np.sin(7 * t) / 7)),
}


@pytest.mark.parametrize("name", AT_REST)
def test_steps_of_a_solution_at_rest_are_too_long_for_its_adjoint(paid, used, name):
    """The solution is 0, with steps as long as they may be, and says nothing of how fast a change grows."""
    fun, exact = AT_REST[name]
    sol = solve_ivp(fun, (0, 4), [0.0], t_eval=2 * T, args=(np.full(20, 1.5),), rtol=1e-8, atol=1e-10, compile=True)
    for k, time in enumerate(sol.t):
        grad_y = (np.arange(sol.t.size) == k)[None, :] * 1.0
        assert sol.adjoint(grad_y).y0[0] == pytest.approx(exact(time), rel=1e-8)
    assert len(used) == sol.t.size


def test_an_oscillator_at_rest_is_left_to_others(paid):
    """Its adjoint turns within a step."""
    sol = solve_ivp(
        lambda t, y, p: [y[1], -p.sum() * y[0]], (0, 4), [0.0, 0.0], t_eval=2 * T, args=(np.full(20, 150.0),),
        rtol=1e-8, atol=1e-10, compile=True,
    )  # fmt: skip
    rate = np.sqrt(3000.0)
    for k, time in enumerate(sol.t):
        grad_y = np.outer([1.0, 0.0], np.arange(sol.t.size) == k)
        found = sol.adjoint(grad_y).y0 * [1, rate]
        np.testing.assert_allclose(found, [np.cos(rate * time), np.sin(rate * time)], atol=1e-5)

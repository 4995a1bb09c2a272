"""Batches by machine code of one member, against solves of the members and the usual methods."""

import pickle

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipys

from parscan import solve_ivp

RATES = np.linspace(0.5, 2.0, 6)


def lotka_volterra(t, y, rates=RATES):
    a, b = y
    return np.stack([rates * a - a * b, -3.0 * b + a * b + 0.1 * np.sin(t)])


def start(*batch):
    return np.stack([np.linspace(2.0, 4.0, np.prod(batch)).reshape(batch), np.ones(batch)])


def solve(*args, rtol=1e-7, atol=1e-9, **options):
    return solve_ivp(*args, rtol=rtol, atol=atol, compile=True, **options)


def exact(k, span, y0, t_eval):
    return scipys(lotka_volterra, span, y0, "DOP853", t_eval, rtol=1e-12, atol=1e-13, args=(RATES[k],)).y


@pytest.mark.parametrize("span", [(0.0, 8.0), (3.0, 1.0)])
def test_members_are_solved_within_the_tolerance(span):
    times, y0 = np.linspace(*span, 13), start(6)
    sol = solve(lotka_volterra, span, y0, t_eval=times)
    assert sol.success
    assert sol.compiled
    assert sol.y.shape == (2, 13, 6)
    np.testing.assert_array_equal(sol.t, times)
    assert "machine code of `fun` for one member" in sol.message
    for k in range(6):
        expected = exact(k, span, y0[:, k], times)
        np.testing.assert_allclose(sol.y[..., k], expected, rtol=1e-5, atol=1e-6)
        apart = np.abs(sol.y[:, -1, k] - expected[:, -1])
        assert (apart <= 10 * (1e-9 + 1e-7 * np.abs(expected[:, -1]))).all()
    assert 0 < sol.error_estimate <= 1


def test_times_of_a_member_without_others():
    sol = solve(lotka_volterra, (0.0, 5.0), start(6))
    assert sol.t[0] == 0.0
    assert sol.t[-1] == 5.0
    assert len(sol.t) > 10
    for k in (0, 5):
        np.testing.assert_allclose(sol.y[..., k], exact(k, (0.0, 5.0), start(6)[:, k], sol.t), rtol=1e-5, atol=1e-6)
    only = solve(lotka_volterra, (0.0, 5.0), start(6), t_eval=[5.0])
    np.testing.assert_allclose(only.y[:, -1], sol.y[:, -1], rtol=1e-7)  # no polynomials limit its steps
    assert only.mesh.tolist() == [0.0, 5.0]
    none = solve(lotka_volterra, (0.0, 5.0), start(6), t_eval=[])
    assert none.compiled
    assert none.y.shape == (2, 0, 6)


def test_two_axes_and_args():
    rates = np.linspace(0.5, 2.0, 12).reshape(4, 3)
    sol = solve(lotka_volterra, (0.0, 4.0), start(4, 3), t_eval=[0.0, 4.0], args=(rates,))
    usual = solve_ivp(lotka_volterra, (0.0, 4.0), start(4, 3), t_eval=[0.0, 4.0], args=(rates,), rtol=1e-10, atol=1e-12)
    assert sol.y.shape == (2, 2, 4, 3)
    np.testing.assert_array_equal(sol.y[:, 0], start(4, 3))
    np.testing.assert_allclose(sol.y, usual.y, rtol=2e-6, atol=1e-7)


def test_members_that_need_tighter_tolerances():
    """Errors grow in some members only: these are solved again."""
    growth = np.array([-1.0, 0.0, 3.0])
    sol = solve(lambda t, y: growth * (y - np.sin(t)) + np.cos(t), (0.0, 6.0), np.zeros((1, 3)), t_eval=[6.0])
    apart = np.abs(sol.y[0, 0] - np.sin(6.0))
    assert (apart <= 10 * (1e-9 + 1e-7)).all()


def test_single_precision_and_progress():
    shares = []
    sol = solve(
        lotka_volterra, (0.0, 3.0), start(6).astype(np.float32), t_eval=[3.0], rtol=1e-4, atol=1e-5,
        progress=lambda progress: shares.append(progress.done),
    )  # fmt: skip
    assert sol.y.dtype == np.float32
    for k in (0, 5):
        np.testing.assert_allclose(sol.y[:, 0, k], exact(k, (0.0, 3.0), start(6)[:, k], [3.0])[:, 0], rtol=1e-3)
    assert shares
    assert max(shares) == pytest.approx(3.0)


def test_derivatives():
    sol = solve(lotka_volterra, (0.0, 2.0), start(6), t_eval=[1.0, 2.0])
    usual = solve_ivp(lotka_volterra, (0.0, 2.0), start(6), t_eval=[1.0, 2.0], rtol=1e-9, atol=1e-11)
    change = np.stack([np.ones(6), np.zeros(6)])
    np.testing.assert_allclose(sol.tangent(y0=change), usual.tangent(y0=change), rtol=1e-5, atol=1e-6)


def test_results_are_guesses_and_pickled():
    sol = solve(lotka_volterra, (0.0, 2.0), start(6), t_eval=[1.0, 2.0])
    again = solve_ivp(lotka_volterra, (0.0, 2.0), start(6), t_eval=[1.0, 2.0], guess=sol, rtol=1e-8, atol=1e-10)
    assert again.success
    np.testing.assert_allclose(again.y, sol.y, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(sol)).y, sol.y)


def test_stiff_members_are_left_to_the_usual_methods():
    rates = np.array([1.0, 1e5])
    sol = solve(lambda t, y: -rates * (y - np.cos(t)), (0.0, 1.0), np.zeros((1, 2)), rtol=1e-5, atol=1e-6)
    assert sol.success
    assert not sol.compiled
    assert "left the solution of a member" in sol.message
    assert "STIFF" in sol.message
    np.testing.assert_allclose(sol.y[0, -1, 1], np.cos(1.0), rtol=1e-4)


REFUSED = {
    "coupled": (lambda t, y: y - y.sum(axis=1, keepdims=True), {}, "depend on each other"),
    "dense": (lotka_volterra, {"dense_output": True}, "batch of shape"),
    "jumps": (lotka_volterra, {"jumps": [1.0]}, "with complex states or jumps"),
    "branch": (lambda t, y: y if y[0, 0] > 0 else -y, {}, "cannot be compiled"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    fun, options, match = REFUSED[name]
    with pytest.raises(TypeError, match=match):
        solve(fun, (0.0, 2.0), start(6), **options)


def test_other_numbers_need_no_other_code():
    """The values of closures are read again at every solve."""
    numbers = np.array([1.0, 2.0, 3.0])

    def fun(t, y):
        return -numbers * y

    for factor in (1.0, 0.5):
        numbers *= factor
        sol = solve(fun, (0.0, 1.0), np.ones((1, 3)), t_eval=[1.0])
        np.testing.assert_allclose(sol.y[0, 0], np.exp(-numbers), rtol=1e-6)

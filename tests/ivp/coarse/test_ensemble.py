"""Wide batches by common steps, and how their results are made."""

import pickle

import array_api_strict
import numpy as np
import pytest
from scipy.integrate import DOP853
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp
from parscan._functions.right_hand_side import RightHandSide
from parscan._ivp.coarse import dop853, rodas5p, rows
from parscan._ivp.coarse.dop853 import march
from parscan._ivp.coarse.wanted import Wanted
from parscan._ivp.core.scale import Scale


def lotka_volterra(t, y, a=1.5, c=3.0):
    prey, predators = y[0, ...], y[1, ...]
    return [a * prey - prey * predators, -c * predators + prey * predators]


def exact(member, span, y0, times, args=()):
    return scipy_solve_ivp(member, span, y0, "DOP853", times, args=args, rtol=1e-12, atol=1e-12).y


@pytest.mark.parametrize("batch", [(30,), (5, 6)])
@pytest.mark.parametrize("span", [(0.0, 4.0), (4.0, 0.0)])
@pytest.mark.parametrize("rtol", [1e-3, 1e-8])
def test_members_are_within_the_tolerance(batch, span, rtol, rng):
    y0, a = rng.uniform(1, 3, (2, *batch)), rng.uniform(1, 2, batch)
    times = np.linspace(*span, 33)
    sol = solve_ivp(lotka_volterra, span, y0, t_eval=times, args=(a,), rtol=rtol, atol=rtol)
    assert sol.success
    assert sol.method == "DOP853"
    assert "all members of the batch took together" in sol.message
    assert sol.y.shape == (2, 33, *batch)
    for index in list(np.ndindex(batch))[::7]:
        expected = exact(lotka_volterra, span, y0[(slice(None), *index)], times, (a[index],))
        assert np.abs(sol.y[(..., *index)] - expected).max() <= 20 * rtol


@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
def test_dtypes_stay(dtype, rng):
    y0 = rng.uniform(1, 2, (2, 40)).astype(dtype)
    sol = solve_ivp(lambda t, y: [y[1], -y[0]], (0, 3), y0, rtol=1e-4, atol=1e-4)
    assert sol.method == "DOP853"
    assert sol.y.dtype == dtype
    expected = y0[0] * np.cos(3) + y0[1] * np.sin(3)
    assert np.abs(sol.y[0, -1] - expected).max() <= 1e-3


def test_order_eight():
    """With a fixed step, halving it divides the error by about 2^8."""
    errors = []
    for step in (0.5, 0.25):
        y0 = np.ones((1, 3))
        rhs = RightHandSide(lambda t, y: -np.cos(t) * y**2, None, (), y0.T)
        found = march(rhs, (0.0, 2.0), y0.T, Scale(1.0, np.asarray(1.0)), max_step=step)
        assert len(found.t) - 1 in (2.0 / step, 2.0 / step + 1, 2.0 / step + 2)
        errors.append(np.abs(found.y[-1] - 1 / (1 + np.sin(2.0))).max())
    assert 2**7 <= errors[0] / errors[1] <= 2**10


def test_continuous_output_residual_and_guess(rng):
    y0 = rng.uniform(1, 3, (2, 30))
    sol = solve_ivp(lotka_volterra, (0, 4), y0, dense_output=True, rtol=1e-8, atol=1e-8)
    assert np.array_equal(sol.sol(sol.t), sol.y) or np.abs(sol.sol(sol.t) - sol.y).max() <= 1e-12
    times = np.linspace(0, 4, 77)
    expected = exact(lotka_volterra, (0, 4), y0[:, 3], times)
    assert np.abs(sol.sol(times)[..., 3] - expected).max() <= 1e-6
    assert 0 < sol.residual <= 1e-3
    warm = solve_ivp(lotka_volterra, (0, 4), 1.001 * y0, rtol=1e-8, atol=1e-8, guess=sol)
    assert warm.method == "Radau"
    assert np.abs(warm.y[:, -1, 3] - exact(lotka_volterra, (0, 4), 1.001 * y0[:, 3], [4.0])[:, 0]).max() <= 1e-6


@pytest.mark.parametrize(("options", "method"), [({}, "Rodas5P"), ({"dense_output": True}, "Radau")])
def test_stiff_batches_are_solved_by_implicit_methods(options, method, rng):
    rates = rng.uniform(1e5, 1e6, 30)
    sol = solve_ivp(
        lambda t, y: [-rates * (y[0] - np.cos(t))], (0, 2), np.ones((1, 30)), rtol=1e-6, atol=1e-6, **options
    )
    assert sol.success
    assert sol.method == method
    assert np.abs(sol.y[0, -1] - np.cos(2.0)).max() <= 1e-4
    assert sol.nfev < 3000


def test_functions_for_one_time_only_will_do():
    def fun(t, y):
        return [y[1], -y[0]] if t < 100 else [0 * y[0], 0 * y[1]]

    sol = solve_ivp(fun, (0, 3), np.ones((2, 40)), rtol=1e-6, atol=1e-6)
    assert sol.method == "DOP853"
    assert np.abs(sol.y[0, -1] - np.cos(3) - np.sin(3)).max() <= 1e-4


def test_a_pole_and_what_is_not_finite_end_it():
    starts = np.linspace(0.1, 1.0, 40)[None]
    pole = solve_ivp(lambda t, y: y * y, (0, 2), starts, rtol=1e-6, atol=1e-6)
    assert not pole.success
    assert pole.status == -1
    assert pole.t[-1] == pytest.approx(1.0, abs=1e-6)  # its own pole is off by as much as the tolerance
    assert np.abs(pole.y[0, :, 0] - 0.1 / (1 - 0.1 * pole.t)).max() <= 1e-5
    ends = solve_ivp(lambda t, y: np.where(t > 1, np.nan, -y), (0, 2), starts, rtol=1e-6, atol=1e-6)
    assert ends.status == -3
    assert "At t = " in ends.message
    assert ends.t[-1] == pytest.approx(1.0, abs=1e-6)


def test_it_gives_up_after_many_steps(monkeypatch):
    monkeypatch.setattr(dop853, "MOST_STEPS", 5)
    monkeypatch.setattr(rodas5p, "MOST_STEPS", 5)
    sol = solve_ivp(lotka_volterra, (0, 40), np.ones((2, 40)), rtol=1e-6, atol=1e-6)
    assert sol.status == -1
    assert "more than 5 steps" in sol.message


def test_any_array_library(rng):
    xp = array_api_strict
    y0 = rng.uniform(1, 3, (2, 30))
    sol = solve_ivp(lotka_volterra, (0, 4), xp.asarray(y0), rtol=1e-6, atol=1e-6)
    expected = solve_ivp(lotka_volterra, (0, 4), y0, rtol=1e-6, atol=1e-6)
    assert sol.method == "DOP853"
    assert isinstance(sol.y, type(xp.asarray(0)))
    assert np.abs(np.asarray(sol.y) - expected.y).max() <= 1e-9


def test_small_batches_and_named_methods_are_solved_on_a_mesh(rng):
    y0 = rng.uniform(1, 3, (2, 40))
    assert solve_ivp(lotka_volterra, (0, 4), y0[:, :5], rtol=1e-6).method == "Radau"
    gauss = solve_ivp(lotka_volterra, (0, 4), y0, "Gauss", rtol=1e-8, atol=1e-8)
    assert gauss.method == "Gauss"
    assert np.abs(gauss.y[:, -1, 7] - exact(lotka_volterra, (0, 4), y0[:, 7], [4.0])[:, 0]).max() <= 1e-6


def test_functions_may_write_to_the_states_that_they_are_given():
    """The last stage of a step is compared with its end, and must still be there: this problem is stiff."""

    def rude(t, y):
        y -= np.cos(t)
        y *= -1e4
        return y

    y0 = np.ones((1, 40))
    sol = solve_ivp(rude, (0, 3), y0, rtol=1e-6, atol=1e-6)
    assert sol.method == "Rodas5P"
    assert np.abs(sol.y[0, -1] - np.cos(3)).max() <= 1e-3
    assert np.array_equal(y0, np.ones((1, 40)))


def switched(times):
    def fun(t, y):
        return [y[1], -np.sin(y[0]) + (0.3 if t > 2.5 else 0.0)]

    y0 = np.linspace(0.1, 2.0, 60).reshape(2, 30)
    return solve_ivp(fun, (0, 4), y0, t_eval=times, rtol=1e-6, vectorized=False, compile=False)


def test_states_at_times_cost_what_the_steps_around_them_cost():
    """Three calls for a polynomial; none at ends of steps. The states of all steps are not kept."""
    every = switched(None)
    ends = [float(every.t[0]), float(every.t[3]), 4.0]
    inside = np.linspace(every.t[1], every.t[2], 7)[1:-1]
    for times, more in (([4.0], 0), (ends, 0), ([], 0), (inside, 3), ([0.0, *inside, 4.0], 3)):
        sol = switched(times)
        assert sol.method == "DOP853"
        assert sol.nfev == every.nfev + more
        np.testing.assert_array_equal(sol.mesh, every.mesh)
        np.testing.assert_array_equal(sol.t, times)
    np.testing.assert_array_equal(switched(ends).y, every.y[:, [0, 3, -1]])
    assert march(*of_oscillators(), wanted=Wanted(np.array([1.0]), (0.0, 2.0), np.ones((3, 2)))).y.shape == (1, 3, 2)


def of_oscillators():
    rhs = RightHandSide(lambda t, y: [y[1], -y[0]], None, (), np.ones((3, 2)))
    return rhs, (0.0, 2.0), np.ones((3, 2)), Scale(1e-8, np.asarray(1e-8))


@pytest.mark.parametrize("span", [(0.0, 3.0), (3.0, 0.0)])
def test_states_at_times_beside_jumps(span, rng):
    """As from the polynomials of all steps, also at both ends, at the jumps and close to them."""
    y0, jumps = rng.uniform(1, 2, (1, 25)), [1.0, 2.0]

    def fun(t, y):
        return [np.where(t < 1, 1.0, np.where(t < 2, -3.0, 0.5)) * y[0]]

    times = np.sort([0.0, 0.3, 1.0, 1.0 + 1e-12, 1.5, 2.0 - 1e-9, 2.0, 3.0])[:: int(np.sign(span[1] - span[0]))]
    options = {"jumps": jumps, "rtol": 1e-9, "atol": 1e-9, "t_eval": times, "compile": False}
    sol, dense = (solve_ivp(fun, span, y0, dense_output=each, **options) for each in (False, True))
    np.testing.assert_array_equal(sol.t, times)
    np.testing.assert_allclose(sol.y, dense.y, rtol=1e-12)
    slopes = np.interp(times, [0, 1, 2, 3], [0, 1, -2, -1.5])
    begin = np.interp(span[0], [0, 1, 2, 3], [0, 1, -2, -1.5])
    np.testing.assert_allclose(sol.y[0], np.exp(slopes - begin)[:, None] * y0, rtol=1e-7)


def test_all_steps_are_there_when_they_are_needed(rng):
    """Derivatives need the states between the times of the output, which were not kept."""
    y0, change = rng.uniform(1, 2, (2, 30)), np.ones((2, 30))
    options = {"rtol": 1e-8, "compile": False}
    sol = solve_ivp(lotka_volterra, (0, 3), y0, t_eval=[0.5, 3.0], **options)
    every = solve_ivp(lotka_volterra, (0, 3), y0, **options)
    np.testing.assert_allclose(sol.tangent(y0=change), every.tangent(y0=change, t=[0.5, 3.0]), rtol=1e-12)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(sol)).y, sol.y)


def test_times_that_a_failing_batch_does_not_reach():
    y0 = np.linspace(1.0, 1.5, 30)[None, :]
    sol = solve_ivp(lambda t, y: y**2, (0, 2), y0, t_eval=[0.1, 0.5, 1.0, 2.0], compile=False)
    assert not sol.success
    np.testing.assert_array_equal(sol.t, [0.1, 0.5])
    np.testing.assert_allclose(sol.y[0], y0 / (1 - sol.t[:, None] * y0), rtol=1e-2)


def test_stages_are_products_of_few_rows(rng):
    """Two at once: the same states as by the tableau, from rows that are there, and half as many in all."""
    slopes, y, s = rng.standard_normal((13, 5)), rng.standard_normal(5), DOP853.n_stages
    held, pairs = np.full((14, 5), np.nan), rows.stages()
    held[rows.STATE], held[rows.SLOPES[0]] = y, slopes[0]
    expected = [*DOP853.A[1:s, :s], DOP853.B]
    for k, some in enumerate(pairs.rows):
        assert some.start <= rows.STATE < some.stop
        one, other = pairs.weights[2 * k : 2 * k + 2, some] @ held[some]
        held[list(rows.SLOPES[2 * k + 1 : 2 * k + 3])] = slopes[2 * k + 1 : 2 * k + 3]
        np.testing.assert_allclose(one, expected[2 * k] @ slopes[:s], atol=1e-13)
        other += pairs.between[k] * slopes[2 * k + 1]
        np.testing.assert_allclose(other, expected[2 * k + 1] @ slopes[:s], atol=1e-13)
    weights, some = rows.errors()
    for row, expected in zip(weights, [DOP853.E5, 0.1 * DOP853.E3], strict=True):
        np.testing.assert_allclose(row[some] @ held[some], expected @ slopes, atol=1e-13)
    assert sum(some.stop - some.start for some in pairs.rows) <= 36  # of 90 in the order of the stages, one by one


def pendulum(t, y):
    return [y[1], -np.sin(y[0]) * t]


@pytest.mark.parametrize("rtol", [1e-2, 1e-6, 1e-10])
def test_steps_and_their_errors_are_those_of_scipy(rtol, rng):
    """The first step of a single member."""
    for y0 in rng.uniform(1, 2, (3, 1, 2)):
        found = march(RightHandSide(pendulum, None, (), y0), (1.0, 3.0), y0, Scale(rtol, np.asarray(rtol)), most=1)
        first = float(found.t[1]) - 1.0
        alone = DOP853(lambda t, y: np.array(pendulum(t, y)), 1.0, y0[0], 3.0, first_step=first, rtol=rtol)
        alone.step()
        tolerance = rtol + rtol * np.maximum(np.abs(y0[0]), np.abs(alone.y))
        np.testing.assert_allclose(found.y[1, 0], alone.y, rtol=1e-15, atol=1e-15)
        expected = alone._estimate_error_norm(alone.K, first, tolerance)
        np.testing.assert_allclose(found.error, expected, rtol=0.02, atol=1e-12 / rtol)


def test_functions_are_called_for_many_times_only_if_that_is_needed():
    """States at the end need single times only; derivatives take all nodes at once."""
    dimensions = set()

    def fun(t, y):
        dimensions.add(y.ndim)
        return [y[1], -y[0]]

    sol = solve_ivp(fun, (0, 3), np.ones((2, 40)), t_eval=[3.0], rtol=1e-6, compile=False)
    assert dimensions == {2}
    sol.tangent(y0=np.ones((2, 40)))
    assert dimensions == {2, 3}


def test_stiffness_is_found_although_one_step_of_four_is_looked_at():
    """Steps are looked at one by one once one was stiff; the march ends soon after stability limits the steps."""
    y0 = np.ones((30, 1))
    rhs = RightHandSide(lambda t, y: [-1e4 * (y[0] - np.cos(t))], None, (), y0)
    found = march(rhs, (0.0, 10.0), y0, Scale(1e-4, np.asarray(1e-4)))
    assert found.failure == dop853.STIFF
    assert found.count <= 80

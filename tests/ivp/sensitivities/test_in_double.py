"""Derivatives across thresholds of solutions of single precision: their crossings are solved for in double."""

import numpy as np
import pytest

from parscan import solve_ivp

METHODS = ("auto", "Radau", "Gauss", "RK45", "DOP853", "BDF")
Y0, ARGS = [1.0, 0.0], (1.3, 0.3)


def spring(t, y, stiffness, threshold):
    force = np.where(y[0] > threshold, 3.0, 1.0) * y[0]
    return np.stack([y[1] + 0 * y[0], -stiffness * force - 0.1 * np.maximum(y[1], 0.2)])


def solved(method, dtype, rtol, y0=Y0):
    args = tuple(map(dtype, ARGS))
    return solve_ivp(spring, (0, 5), np.asarray(y0, dtype), method, args=args, rtol=rtol, atol=rtol / 10)


def ends(sol):
    weights = np.zeros_like(sol.y)
    weights[0, -1] = 1
    return weights


@pytest.fixture(scope="module")
def exact():
    sol = solved("Radau", np.float64, 1e-9)
    return {
        "gradient": np.array(sol.gradient(ends(sol))),
        "start": sol.adjoint(ends(sol)).y0,
        "tangent": sol.tangent(y0=[1.0, 0.5])[:, -1],
        "jacobian": np.stack([by[:, -1] for by in sol.jacobian()]),
        "forcing": sol.gradient(ends(sol), forcing=lambda t, y, a, b: np.stack([0 * y[0], y[0]])),
    }


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_across_thresholds(method, exact):
    sol = solved(method, np.float32, 1e-4)
    gradient, adjoint = sol.gradient(ends(sol)), sol.adjoint(ends(sol))
    tangent, jacobian = sol.tangent(y0=[1.0, 0.5]), sol.jacobian()
    forcing = sol.gradient(ends(sol), forcing=lambda t, y, a, b: np.stack([0 * y[0], y[0]]))
    found = (*gradient, adjoint.y0, adjoint.states, tangent, *jacobian, forcing)
    assert {one.dtype for one in found} == {np.dtype(np.float32)}
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(gradient, exact["gradient"], **close)
    np.testing.assert_allclose(adjoint.y0, exact["start"], **close)
    np.testing.assert_allclose(tangent[:, -1], exact["tangent"], **close)
    np.testing.assert_allclose(np.stack([by[:, -1] for by in jacobian]), exact["jacobian"], **close)
    np.testing.assert_allclose(forcing, exact["forcing"], **close)


@pytest.mark.parametrize("rtol", [1e-4, 2e-5])
def test_a_node_at_a_threshold_is_rounded_to_either_side(rtol, exact):
    """Nodes of Radau are where it located the threshold: there, rounding takes the last stage across."""
    sol = solved("Radau", np.float32, rtol)
    np.testing.assert_allclose(sol.gradient(ends(sol)), exact["gradient"], rtol=1e-4, atol=1e-5)


def test_members_of_a_batch():
    y0 = [[1.0, 0.8], [0.0, 0.1]]
    single, double = (solved("Radau", dtype, rtol, y0) for dtype, rtol in ((np.float32, 1e-4), (np.float64, 1e-8)))
    np.testing.assert_allclose(single.gradient(ends(single)), double.gradient(ends(double)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_what_was_changed_is_still_refused(method):
    stiffness = np.array(1.3, np.float32)
    sol = solve_ivp(spring, (0, 5), np.array(Y0, np.float32), method, args=(stiffness, 0.3), rtol=1e-4, atol=1e-5)
    stiffness *= np.float32(1.01)
    with pytest.raises(RuntimeError, match="no longer gives"):
        sol.gradient(ends(sol))

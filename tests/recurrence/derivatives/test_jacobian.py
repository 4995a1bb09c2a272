"""Derivatives of trajectories by few parameters, against complex steps through the loop."""

import numpy as np
import pytest

from parscan import solve_recurrence

RNG = np.random.default_rng(2)
T, N = 60, 3
X = RNG.standard_normal((T, N))
Y0 = RNG.standard_normal(N)
P = {"W": 0.5 * RNG.standard_normal((N, N)), "b": RNG.standard_normal(N)}


def step(y, x, p, gain):
    return np.tanh(y @ p["W"] + gain * x + p["b"])


def plain(y, gain):
    return np.cos(gain * y) + 0.3 * np.roll(y, 1)


def loop(p, gain, y0, x=X):
    states = []
    for now in x:
        y0 = step(y0, now, p, gain)
        states.append(y0)
    return np.stack(states)


def by_complex_steps(p=P, gain=0.7, y0=Y0):
    """Derivatives by the matrix, the vector, the number, and the start."""
    small = 1e-30j
    by_w = [loop({**p, "W": p["W"] + small * at}, gain, y0).imag for at in np.eye(N * N).reshape(-1, N, N)]
    by_b = [loop({**p, "b": p["b"] + small * at}, gain, y0).imag for at in np.eye(N)]
    by_y0 = [loop(p, gain, y0 + small * at).imag for at in np.eye(N)]
    found = [np.stack(some, axis=-1) for some in (by_w, by_b, by_y0)]
    by_gain = loop(p, gain + small, y0).imag / 1e-30
    return found[0].reshape(T, N, N, N) / 1e-30, found[1] / 1e-30, by_gain, found[2] / 1e-30


@pytest.mark.parametrize(("compiled", "within"), [(True, 1e-13), (None, 1e-13), (False, 1e-8)])
def test_derivatives_are_those_of_the_loop(compiled, within):
    sol = solve_recurrence(step, Y0, X, args=(P, 0.7), compile=compiled, method="sequential")
    by_w, by_b, by_gain, by_y0 = by_complex_steps()
    found, gain, start = sol.jacobian(("p", "gain", "y0"))
    assert list(found) == ["W", "b"]
    for one, expected in ((found["W"], by_w), (found["b"], by_b), (gain, by_gain), (start, by_y0)):
        assert one.shape == expected.shape
        np.testing.assert_allclose(one, expected, rtol=0, atol=within * np.abs(expected).max())
    np.testing.assert_allclose(sol.jacobian("gain"), gain, rtol=0, atol=within)
    np.testing.assert_allclose(sol.jacobian("y0"), start, rtol=0, atol=within)
    np.testing.assert_allclose(sol.jacobian(("y0", "gain"))[1], gain, rtol=0, atol=within)


def test_machine_code_was_made():
    """Of the three ways above, the first one is a loop over the step with its derivatives."""
    sol = solve_recurrence(step, Y0, X, args=(P, 0.7), compile=True, method="sequential")
    from parscan._recurrence.derivatives.jacobian import _by_code, chosen_columns

    chosen = chosen_columns(("gain", "y0"), step, (P, 0.7), X)
    found = _by_code(sol._solution, chosen)
    assert found.shape == (T, N, 1 + N)
    np.testing.assert_allclose(found[..., 0], by_complex_steps()[2], rtol=0, atol=1e-13)


def test_members_of_a_batch():
    y0 = RNG.standard_normal((4, N))
    sol = solve_recurrence(lambda y, x, gain: np.tanh(gain * y + x), y0, np.stack([X] * 4, axis=1), args=(0.7,))
    by_gain, by_y0 = sol.jacobian(("gain", "y0"))
    assert by_gain.shape == (T, 4, N)
    assert by_y0.shape == (T, 4, N, N)
    for member in range(4):
        alone = solve_recurrence(lambda y, x, gain: np.tanh(gain * y + x), y0[member], X, args=(0.7,))
        one, other = alone.jacobian(("gain", "y0"))
        np.testing.assert_allclose(by_gain[:, member], one, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(by_y0[:, member], other, rtol=1e-7, atol=1e-9)


def test_single_precision_and_no_inputs():
    sol = solve_recurrence(plain, Y0.astype(np.float32), length=20, args=(np.float32(0.4),), method="sequential")
    wide = solve_recurrence(plain, Y0, length=20, args=(0.4,), method="sequential")
    found = sol.jacobian()[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wide.jacobian("gain"), rtol=1e-3, atol=1e-4)


def test_wrong_parameters():
    sol = solve_recurrence(step, Y0, X, args=(P, 0.7))
    with pytest.raises(ValueError, match="names the inputs"):
        sol.jacobian("x")
    with pytest.raises(ValueError, match="`params` is 'q'"):
        sol.jacobian("q")
    other = solve_recurrence(lambda y: 0.5 * y, np.ones(1), length=5)
    with pytest.raises(ValueError, match="nothing to differentiate by"):
        other.jacobian()
    np.testing.assert_allclose(other.jacobian("y0")[:, 0, 0], 0.5 ** np.arange(1, 6), rtol=1e-9)


def test_changed_parameters_are_noticed():
    p = {name: value.copy() for name, value in P.items()}
    sol = solve_recurrence(step, Y0, X, args=(p, 0.7))
    p["b"] += 1.0
    with pytest.raises(RuntimeError, match="no longer gives this trajectory"):
        sol.jacobian("p")

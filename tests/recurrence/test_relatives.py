"""Steps that differ in the numbers that they read keep the choice of the compiled loop."""

import warnings

import numpy as np

import parscan

STEPS = 4000

X = np.random.default_rng(3).random((STEPS, 1))


def plain(rate, limit):
    def step(y, x):
        soil = np.maximum(y[..., 0] + x[..., 0] - rate, 0.0)
        over = np.where(soil > limit, limit + 0.1 * (soil - limit), soil)
        return np.stack([0.99 * over, y[..., 1] * rate + 0.05 * over + np.sin(y[..., 1])], -1)

    return step


def looped(step, steps=STEPS, args=()):
    y, states = np.array([0.1, 0.2]), np.empty((steps, 2))
    for t in range(steps):
        states[t] = y = step(y[None], X[t : t + 1], *args)[0]
    return states


def solved(step, **options):
    return parscan.solve_recurrence(step, np.array([0.1, 0.2]), X, compile=True, **options)


def test_values_are_those_of_each_function():
    for k in range(12):
        step = plain(0.3 + 0.01 * k, 0.5 - 0.01 * k)
        sol = solved(step)
        assert sol.success
        assert sol.compiled
        np.testing.assert_allclose(sol.y, looped(step), rtol=1e-10)


def test_the_choice_is_kept(monkeypatch):
    """Only for the first function are the first steps evaluated by calls."""
    anew, choose = [], parscan._recurrence.choose._choose_anew
    monkeypatch.setattr(parscan._recurrence.choose, "_choose_anew", lambda *args: anew.append(1) or choose(*args))
    for k in range(5):
        assert solved(plain(0.3 + 0.01 * k, 0.5)).compiled
    assert len(anew) == 1


def test_other_operations_have_a_choice_of_their_own():
    def make(power):
        return lambda y, x: 0.5 * np.tanh(y) ** power + x

    for power in (1, 2, 3, 1):
        step = make(power)
        sol = solved(step)
        np.testing.assert_allclose(sol.y, looped(step), rtol=1e-10)


def test_arguments_are_other_numbers():
    def step(y, x, rate, weights):
        return np.tanh(y * rate + weights * x)

    for k in range(4):
        args = (0.4 + 0.1 * k, np.array([0.1, 0.2 * k]))
        sol = solved(step, args=args)
        np.testing.assert_allclose(sol.y, looped(step, args=args), rtol=1e-10)


def test_numbers_with_which_a_step_does_not_broadcast():
    """They are found out on the trajectory."""

    def make(extra):
        return lambda y, x: 0.9 * np.sin(y) + x + (0.0 if y.shape[0] == 1 else extra)

    for extra in (0.0, 0.0, 0.3, 0.3, 0.0):
        step = make(extra)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = solved(step).y
        except ValueError as error:  # if it is found out at the start
            found = looped(step) if "broadcast" in str(error) and extra else None
        np.testing.assert_allclose(found, looped(step), rtol=1e-10)

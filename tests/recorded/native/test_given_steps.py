"""Radau IIA on given steps and its adjoint, against complex steps through the same equations, solved one by one."""

import numpy as np
import pytest

from parscan._ivp.core.tableaux import radau
from parscan._recorded.linearised import values_and_entries
from parscan._recorded.native import given_steps
from parscan._recorded.native.given_steps import STAGES, OnSteps, Tangents, TangentsOnSteps, weights_between
from parscan._recorded.pullbacks import pulled_back
from parscan._recorded.record import record

A, C = radau(STAGES).A, radau(STAGES).c


def van_der_pol(t, y, mu, forces):
    return np.array([y[1] + forces[0] * t, mu * (1 - y[0] ** 2) * y[1] - y[0] + forces[1] * np.cos(t)])


def decay(t, y, rate):
    return -rate * (y - np.cos(t))


def chain(t, y, rates):
    flow = rates * y
    return np.concatenate([[-flow[0]], flow[:-1] / (1 + y[1:] ** 2) - flow[1:]])


PROBLEMS = {
    "van der pol": (van_der_pol, (0.0, 1.2), [2.0, -0.3], (30.0, np.array([0.2, -0.4]))),
    "one component": (decay, (0.0, 4.0), [0.5], (1e4,)),
    "chain": (chain, (0.0, 0.5), [1.0, 0.5, 0.8, 0.6, 0.9, 0.7], (np.array([1.0, 30.0, 2.0, 1e3, 4.0, 5.0]),)),
}


def stepped(fun, t, y0, args):
    """States at the nodes `(N + 1, n)` and stages `(N, s, n)`, by Newton's method with complex numbers."""
    y, n = np.array(y0, dtype=complex), len(y0)
    states, stages = [y], []
    for begin, h in zip(t[:-1], np.diff(t), strict=True):
        Z = np.repeat(y[None], STAGES, axis=0)
        for _ in range(60):
            F = np.stack([fun(begin + c * h, z, *args) for c, z in zip(C, Z, strict=True)])
            J = [jacobian(fun, begin + c * h, z, args) for c, z in zip(C, Z, strict=True)]
            M = np.eye(STAGES * n) - h * np.block([[a * one for a, one in zip(row, J, strict=True)] for row in A])
            change = np.linalg.solve(M, (y + h * A @ F - Z).ravel()).reshape(Z.shape)
            Z = Z + change
            if np.abs(change).max() < 1e-14 and np.abs(change.imag).max() < 1e-14 * max(np.abs(Z.imag).max(), 1e-300):
                break
        y = Z[-1]
        states.append(y)
        stages.append(Z)
    return np.array(states), np.array(stages)


def jacobian(fun, t, y, args):
    """By complex steps around the real parts: Newton's method needs no more."""
    real = [np.real(one) for one in args]
    return np.stack([fun(t, y.real + 1e-30j * unit, *real).imag / 1e-30 for unit in np.eye(len(y))], axis=1)


def loss(fun, t, y0, args, times, gradients):
    """The loss with these gradients by the states at some times, on the steps."""
    states, stages = stepped(fun, t, y0, args)
    total, way = 0.0, np.sign(t[-1] - t[0])
    for time, gradient in zip(times, gradients, strict=True):
        p = int(np.searchsorted(way * t, way * time))
        if t[p] == time:
            state = states[p]
        else:
            weights = weights_between(np.array([(time - t[p - 1]) / (t[p] - t[p - 1])]))[0]
            state = (1 - weights.sum()) * states[p - 1] + weights @ stages[p - 1]
        total = total + gradient @ state
    return total


def compiled(fun, y0, args):
    recording = record(fun, [np.zeros(()), np.array(y0), *map(np.asarray, args)])
    numbers = range(2, 2 + len(args))
    return OnSteps(values_and_entries(recording), pulled_back(recording, numbers))


def relative(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_adjoints_are_those_of_the_steps_to_rounding(name, back, rng):
    fun, (begin, end), y0, args = PROBLEMS[name]
    n, shares = len(y0), np.linspace(0, 1, 9) ** 1.5
    if back:  # the same solution, with the time turned
        span, forwards = (begin, begin - end), fun
        fun = lambda t, y, *args: -forwards(begin - t, y, *args)  # noqa: E731
    else:
        span = begin, end
    t = span[0] + shares * (span[1] - span[0])
    times = np.array([t[0], t[2], 0.4 * t[3] + 0.6 * t[4], 0.5 * (t[3] + t[4]), t[-1]])
    times = times[np.argsort(times * np.sign(t[-1] - t[0]))]
    gradients = rng.standard_normal((len(times), n))
    states, _ = stepped(fun, t, y0, args)
    near = states.real * (1 + 1e-4 * rng.standard_normal(states.shape))
    near[0] = y0
    found = compiled(fun, y0, args)(t, near, args, (1e-9, 1e-11), times, gradients)
    assert relative(found.states, states.real) <= 1e-12
    small, flat = 1e-30, np.concatenate([np.ravel(one) for one in args])
    ends = np.cumsum([0, *map(np.size, args)])

    def bumped(k):
        changed = flat + small * 1j * (np.arange(flat.size) == k)
        return tuple(changed[i:j].reshape(np.shape(a)) for i, j, a in zip(ends[:-1], ends[1:], args, strict=True))

    by_parameters = [loss(fun, t, y0, bumped(k), times, gradients).imag / small for k in range(flat.size)]
    assert relative(found.sums * flat, by_parameters * flat) <= 1e-12
    by_start = [
        loss(fun, t, np.array(y0) + small * 1j * unit, args, times, gradients).imag / small for unit in np.eye(n)
    ]
    assert relative(found.adjoint[0], by_start) <= 1e-12


def test_weights_between_nodes_are_those_of_polynomials(rng):
    theta, nodes = rng.uniform(size=5), np.append(0.0, C)
    powers = np.arange(STAGES + 1)
    weights = weights_between(theta)
    begin = 1 - weights.sum(axis=1)
    found = np.column_stack([begin, weights]) @ nodes[:, None] ** powers
    assert np.allclose(found, theta[:, None] ** powers, rtol=0, atol=1e-12)


def test_steps_without_a_solution_are_told():
    """The solution of y' = y² grows without bound at t = 1; no stages beyond are there."""
    given = compiled(lambda t, y, a: a * y * y, [1.0], (1.0,)), np.array([[1.0], [1.3], [2.0]]), np.ones((1, 1))

    def on(t):
        return given[0](t, given[1][: len(t)], (1.0,), (1e-9, 1e-9), t[-1:], given[2])

    assert on(np.array([0.0, 50.0])) is None
    assert on(np.array([0.0, 0.25, 0.5])).adjoint[0] == pytest.approx(4.0, rel=1e-9)


def test_large_systems_have_no_code():
    n = given_steps.MOST_ROWS // STAGES + 1
    with pytest.raises(given_steps.UnsupportedError, match="components"):
        compiled(lambda t, y, a: -a * y, np.ones(n), (1.0,))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", PROBLEMS)
def test_tangents_are_those_that_the_adjoint_turns_round(name, turned):
    """Products of weights with tangents, at nodes and between them, are the gradient of the weighted sum."""
    fun, span, y0, args = PROBLEMS[name]
    n, t = len(y0), np.linspace(*span, 9) ** 2 / span[1]
    if turned:
        fun, t = (lambda t, y, *args, fun=fun: -fun(-t, y, *args)), -t
    recording = record(fun, [np.zeros(()), np.array(y0), *map(np.asarray, args)])
    linearised, numbers = values_and_entries(recording), range(2, 2 + len(args))
    sizes = tuple(np.size(one) for one in args)
    forced = tuple(values_and_entries(recording, number) for number in numbers)
    adjoint = OnSteps(linearised, pulled_back(recording, numbers))
    times = np.array([t[0], t[1], 0.7 * t[1] + 0.3 * t[2], 0.2 * t[4] + 0.8 * t[5], t[8]])
    weights = np.cos(np.arange(times.size * n)).reshape(times.size, n)
    given = (t, np.repeat([y0], 9, axis=0), args, (1e-8, 1e-10))
    expected = adjoint(*given, times, weights)
    for by_start in (False, True):
        width = sum(sizes) + n * by_start
        states, found = TangentsOnSteps(linearised, Tangents(forced, width, sizes))(*given, times)
        np.testing.assert_allclose(states, expected.states, rtol=1e-13, atol=1e-15)
        gradient = np.tensordot(weights, found, axes=2)
        wanted = np.append(expected.sums, expected.adjoint[0] if by_start else [])
        terms = np.tensordot(np.abs(weights), np.abs(found), axes=2)
        assert np.all(np.abs(gradient - wanted) <= 1e-12 * terms)

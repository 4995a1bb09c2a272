"""Adjoints of stiff compiled solutions, exactly of Radau IIA on their steps: against tight solves and exact values."""

import numpy as np
import pytest
from ode_sensitivities import deviation

from parscan import solve_ivp
from parscan._functions.at_points import CODES
from parscan._ivp.compiled import own_steps
from parscan._ivp.core.tableaux import radau

HIRES = np.array([1.71, 0.43, 8.32, 0.0007, 8.75, 10.03, 0.035, 8.32, 1.12, 1.745, 280.0, 0.69, 1.81])


def hires(t, y, p):
    a, b, c, d, e, f, g, h = y
    return np.array(
        [
            -p[0] * a + p[1] * b + p[2] * c + p[3],
            p[0] * a - p[4] * b,
            -p[5] * c + p[1] * d + p[6] * e,
            p[7] * b + p[0] * c - p[8] * d,
            -p[9] * e + p[1] * f + p[1] * g,
            -p[10] * f * h + p[11] * d + p[0] * e - p[1] * f + p[11] * g,
            p[10] * f * h - p[12] * g,
            -p[10] * f * h + p[12] * g,
        ]
    )


def oregonator(t, y, s, q, w):
    return [s * (y[1] + y[0] * (1 - q * y[0] - y[1])), (y[2] - (1 + y[0]) * y[1]) / s, w * (y[0] - y[2])]


def robertson(t, y, slow, fast, fastest):
    a, b, c = slow * y[0], fast * y[1] * y[2], fastest * y[1] ** 2
    return [b - a, a - b - c, c]


def van_der_pol(t, y, mu):
    return [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]


def follower(t, y, rate, frequency):
    return [-rate * (y[0] - np.cos(frequency * t)) - frequency * np.sin(frequency * t), 0.5 * y[0] - y[1]]


def e5(t, y, rates, factor):
    first, second, third, fourth = rates * np.array([y[0], y[0] * y[2], factor * y[1] * y[2], y[3]])
    return [-first - second, first - third, first - second - third + fourth, second - fourth]


PROBLEMS = {
    "HIRES": (hires, 321.8122, [1.0, 0, 0, 0, 0, 0, 0, 0.0057], (HIRES,), 1e-4, 3e-5),
    "Oregonator": (oregonator, 360.0, [1.0, 2.0, 3.0], (77.27, 8.375e-6, 0.161), 1e-2, 3e-4),
    "Robertson": (robertson, 1e5, [1.0, 0.0, 0.0], (0.04, 1e4, 3e7), 1e-6, 1e-3),
    "E5": (e5, 1e3, [1.76e-3, 0.0, 0.0, 0.0], (np.array([7.89e-10, 1.1e7, 1.13e3, 1.13e3]), 1e6), 1e-14, 3e-3),
    "Prothero-Robinson": (follower, 10.0, [1.0, 0.2], (1e6, 1.3), 1e-2, 1e-3),
}
"""Functions, ends, initial states, parameters, absolute tolerances beside the relative one, and changes for
differences, as shares: errors by their sixth power are as small as those by rounding."""


@pytest.fixture(autouse=True)
def paid(monkeypatch):
    """Whatever machine code costs, it pays, and whatever time it takes."""
    monkeypatch.setattr(CODES, "buys", lambda *args: True)
    monkeypatch.setattr("parscan._ivp.compiled.variational.SHORT", 1.0)


@pytest.fixture
def used(monkeypatch):
    """The adjoints that machine code gave."""
    found, given = [], own_steps.on_own_steps

    def noted(*args):
        found.append(given(*args))
        return found[-1]

    monkeypatch.setattr("parscan._ivp.compiled.variational.on_own_steps", noted)
    return found


def solved(fun, end, y0, args, share, rtol, times=None):
    times = [end] if times is None else times
    return solve_ivp(fun, (0, end), y0, t_eval=times, args=args, rtol=rtol, atol=rtol * share, compile=True)


def numbers(gradient):
    return np.concatenate([np.ravel(one) for one in (gradient if isinstance(gradient, tuple) else (gradient,))])


def gradient_of(sol, args, weights):
    """The gradient by parameters, times these, and by the initial state."""
    by_parameters = numbers(sol.gradient(weights, tuple(range(len(args)))))
    return by_parameters * numbers(args), sol.adjoint(weights).y0


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("rtol", [1e-8, 1e-10])
def test_gradients_agree_with_differences_of_tight_solves(used, name, rtol):
    """Elimination alone rounds that of E5 to 1e-7."""
    fun, end, y0, args, share, width = PROBLEMS[name]
    y0, count = np.array(y0), numbers(args).size

    def tight(y0, args):
        return solved(fun, end, y0, args, share, 1e-13).y[:, 0]

    size = np.maximum(np.abs(tight(y0, args)), share)
    weights = np.cos(np.arange(len(y0)))[:, None] / size[:, None]

    def value(number, change):
        """The loss with a parameter changed by a share, or all of the initial state."""
        given = (y0 * (1 + change), args) if number == count else (y0, scaled(args, number, change))
        return tight(*given) @ weights[:, 0]

    def difference(number):
        steps = [value(number, k * width) - value(number, -k * width) for k in (1, 2, 3)]
        return (45 * steps[0] - 9 * steps[1] + steps[2]) / (60 * width)

    by_parameters, by_start = gradient_of(solved(fun, end, y0, args, share, rtol), args, weights)
    assert len(used) == 2
    expected = [difference(number) for number in range(count + 1)]
    assert deviation(np.append(by_parameters, by_start @ y0), expected) <= 1e-8


VAN_DER_POL = {
    "states": np.array([1.70616773217043429, -0.0008928097010248494456]),
    "mu": np.array([0.001784793623322632777, 2.804203644777480802e-06]),
    "start": np.array(
        [[1.339214402735925791, 0.000446404850512369939], [0.00143420931441427339, 4.780698245901393582e-07]]
    ),
}
"""States at t = 2000 for μ = 1000, from (2, 0), and their derivatives by μ and the initial state: by Taylor series of
order 22, in more than a million steps of numbers with 64 bits, right to 4e-12."""


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-9, 1e-10])
def test_gradients_of_relaxation_oscillations(used, rtol):
    """Jumps multiply errors by a million: those of variational equations, and of elimination in the order of stages."""
    weights = np.array([[1.0], [-0.7]]) / np.abs(VAN_DER_POL["states"])[:, None]
    sol = solved(van_der_pol, 2000.0, [2.0, 0.0], (1000.0,), 1e-2, rtol)
    assert deviation(sol.gradient(weights, "mu"), weights[:, 0] @ VAN_DER_POL["mu"]) <= 1e-8
    assert deviation(sol.adjoint(weights).y0, weights[:, 0] @ VAN_DER_POL["start"]) <= 1e-8
    assert len(used) == 2


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
def test_jacobians_and_tangents_of_relaxation_oscillations(rtol):
    """Variational equations, with steps of their own, have errors of 1e-6 to 1e-3."""
    sol = solved(van_der_pol, 2000.0, [2.0, 0.0], (1000.0,), 1e-2, rtol)
    assert deviation(sol.jacobian("mu")[:, 0], VAN_DER_POL["mu"]) <= 1e-8
    assert deviation(sol.jacobian("y0")[:, 0], VAN_DER_POL["start"]) <= 1e-8
    assert deviation(sol.tangent(y0=np.eye(2))[:, 0], VAN_DER_POL["start"]) <= 1e-8


@pytest.mark.parametrize("name", PROBLEMS)
def test_jacobians_are_of_the_same_steps_as_gradients(used, name):
    """By parameters and initial states at many times, also between steps; E5 rounds to 1e-10."""
    fun, end, y0, args, share, _ = PROBLEMS[name]
    sol = solved(fun, end, y0, args, share, 1e-8, np.linspace(0, end, 13)[1:])
    weights = np.cos(np.arange(sol.y.size)).reshape(sol.y.shape) / np.maximum(np.abs(sol.y), share)
    jacobians = sol.jacobian((*range(len(args)), "y0"))
    found = np.concatenate([np.tensordot(weights, one, axes=2).ravel() for one in jacobians])
    sizes = np.append(numbers(args), np.where(np.array(y0) == 0, share, y0))
    by_parameters, by_start = gradient_of(sol, args, weights)
    expected = np.append(by_parameters, by_start * sizes[-len(y0) :])
    assert deviation(found * sizes, expected) <= (1e-9 if name == "E5" else 1e-12)
    assert len(used) == 2


@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
@pytest.mark.parametrize("rate", [1e3, 1e5, 1e9])
def test_derivatives_change_fast_at_first_where_the_solution_does_not(used, rate, rtol):
    """From a start to which it is drawn, the first steps are much longer than exp(-rate t) takes."""

    def fun(t, y, p):
        return [-rate * (y[0] - np.cos(t)) - np.sin(t) + p.sum(), 0.5 * y[0] - y[1]]

    times = np.append(np.array([1e-3, 0.3, 1.0, 3.0, 10.0, 100.0]) / rate, [0.9, 1.0])
    sol = solved(fun, 1.0, np.array([1.0, 0.2]), (np.zeros(20),), 1e-2, rtol, times)
    fast, slow = np.exp(-rate * times), np.exp(-times)
    expected = np.array([[fast, 0 * fast], [0.5 * (slow - fast) / (rate - 1), slow]])
    for found in (sol.jacobian("y0"), sol.tangent(y0=np.eye(2))):
        np.testing.assert_allclose(np.moveaxis(found, 2, 1), expected, atol=2e-7)
    for k in range(times.size):
        grad_y = np.outer([1.0, 0.0], np.arange(times.size) == k)
        np.testing.assert_allclose(sol.adjoint(grad_y).y0, expected[0, :, k], atol=2e-7)
        np.testing.assert_allclose(sol.gradient(grad_y, "p") * rate, np.full(20, 1 - fast[k]), atol=2e-7)
    assert len(used) == 2 * times.size


def test_steps_are_divided_only_for_times_that_see_it(used):
    def count(times):
        sol = solved(follower, 1.0, np.array([1.0, 0.2]), (1e6, 1.3), 1e-2, 1e-8, times)
        sol.adjoint(np.ones_like(sol.y))
        return used[-1].nodes.shape[0]

    late = count([0.9, 1.0])
    assert late < count([1e-6, 1.0]) <= late + 40


@pytest.mark.parametrize("turned", [False, True])
def test_gradients_by_states_between_steps(used, turned):
    """A sum over many times in each step, and the adjoint at the nodes."""

    def fun(t, y, rate, shift):
        way, t = (-1, -t) if turned else (1, t)
        return way * np.array([-rate * (y[0] - np.cos(t + shift)), y[0] - y[1] ** 2])

    times = np.linspace(0, 3, 400)[1:]
    sol = solve_ivp(
        fun, (0, -3 if turned else 3), [0.0, 0.5], t_eval=-times if turned else times, args=(1e4, 0.3), rtol=1e-9,
        atol=1e-11, compile=True,
    )  # fmt: skip
    grad_y = np.random.default_rng(3).standard_normal(sol.y.shape)
    gradient, adjoint = numbers(sol.gradient(grad_y)), sol.adjoint(grad_y)
    assert len(used) == 2
    assert adjoint.states.shape == (2, len(sol.mesh))
    assert sol.mesh.size < 200
    jacobian = sol.jacobian(("rate", "shift", "y0"))
    expected = [np.sum(grad_y * one) for one in jacobian[:2]]
    expected += [np.sum(grad_y * jacobian[2][..., k]) for k in range(2)]
    assert deviation(np.append(gradient, adjoint.y0), expected) <= 1e-6


def test_parameters_of_all_kinds(used):
    def fun(t, y, p, forced):
        return -p["rates"][0] * (y - p["rates"][1] * np.cos(t)) + forced

    args = {"rates": [1e5, np.array([2.0, 3.0])]}, np.array([1e4, -1e4])
    sol = solve_ivp(fun, (0, 2), [0.0, 1.0], t_eval=[2.0], args=args, rtol=1e-9, atol=1e-11, compile=True)
    p, forced = sol.gradient([[1.0], [0.5]])
    assert len(used) == 1
    # y = amplitude (rate² cos t + rate sin t) / (rate² + 1) + forced / rate, apart from what has long decayed
    rate, amplitude, g, t = 1e5, np.array([2.0, 3.0]), np.array([1.0, 0.5]), 2.0
    share = (rate**2 * np.cos(t) + rate * np.sin(t)) / (rate**2 + 1)
    assert deviation(p["rates"][1], g * share) <= 1e-9
    assert deviation(forced, g / rate) <= 1e-9
    slope = (2 * rate * np.cos(t) + np.sin(t) - 2 * rate * share) / (rate**2 + 1)
    assert p["rates"][0] == pytest.approx(g @ (amplitude * slope - np.array([1e4, -1e4]) / rate**2), rel=1e-8)


def test_what_was_changed_after_the_solve_is_noticed():
    p = {"rate": np.array([1e4, 1e3])}
    sol = solve_ivp(
        lambda t, y, p: -p["rate"] * (y - np.cos(t)), (0, 2), [0.0, 1.0], args=(p,), rtol=1e-8, compile=True
    )
    sol.gradient(np.ones_like(sol.y), "p")
    p["rate"] += 0.5
    with pytest.raises(RuntimeError, match="no longer gives this solution"):
        sol.gradient(np.ones_like(sol.y), "p")


@pytest.mark.parametrize(
    "fun",
    [
        lambda t, y, p: np.where(t < 1.3, 1.0, -1.0) - p * y,
        lambda t, y, p: -p * (y - np.where(t < p * 1.3e-5, 1.0, 0.5)),
        lambda t, y, p: -p * np.where(y > np.cos(t) + 0.1, 2.0, 1.0) * (y - np.cos(t)),
    ],
)
def test_jumps_are_left_to_others(used, fun):
    sol = solve_ivp(fun, (0, 2), [1.0], t_eval=[2.0], args=(1e5,), rtol=1e-7, compile=True)
    assert np.isfinite(sol.gradient([[1.0]], "p"))
    assert used == []


def test_large_systems_are_left_to_others(used, monkeypatch):
    sol = solve_ivp(lambda t, y, p: -p * (y - np.cos(t)), (0, 2), [1.0], t_eval=[2.0], args=(1e4,), compile=True)
    found = sol.gradient([[1.0]], "p")
    assert len(used) == 1
    assert sol.derivatives.endswith(
        "; the last gradient by the adjoint of Radau IIA of order 13 on the steps of the solution"
    )
    monkeypatch.setattr("parscan._ivp.compiled.variational.SHORT", 0.0)
    assert sol.gradient([[1.0]], "p") == pytest.approx(found, rel=1e-3)
    assert len(used) == 1
    assert sol.derivatives.endswith("variational equations: for the adjoint of the steps, it has large systems")


def scaled(args, number, change):
    """Parameters, one of whose numbers is larger by a share."""
    done, changed = 0, []
    for one in args:
        size = np.size(one)
        factors = 1 + change * (np.arange(done, done + size) == number)
        changed.append(one * factors if np.ndim(one) else float(one * factors[0]))
        done += size
    return tuple(changed)


@pytest.mark.parametrize("rtol", [1e-3, 1e-5])
def test_gradients_after_rodas5p_are_those_of_radau_on_its_steps(used, rtol):
    fun, end, y0, args, share, _ = PROBLEMS["Robertson"]
    weights = np.array([[1.0], [1e4], [-0.3]])
    expected = gradient_of(solved(fun, end, y0, args, share, 1e-12), args, weights)
    sol = solved(fun, end, y0, args, share, rtol)
    assert sol.method == "Rodas5P"
    for one, other in zip(gradient_of(sol, args, weights), expected, strict=True):
        assert deviation(one, other) <= 1e-9
    assert "adjoint of Radau IIA of order 13" in sol.derivatives
    assert len(used) == 4


class InLongDouble:
    """The adjoint of Radau IIA on steps of Van der Pol's oscillation, in numbers with 64 bits."""

    def __init__(self, t, y0, mu, guess):
        self.t, self.mu, state, self.stages = t.astype(np.longdouble), np.longdouble(mu), np.longdouble(y0), []
        self.A = radau(7).A.astype(np.longdouble)
        for h, Z in zip(np.diff(self.t), guess.astype(np.longdouble), strict=True):
            for _ in range(4):
                slopes = np.stack([Z[:, 1], self.mu * (1 - Z[:, 0] ** 2) * Z[:, 1] - Z[:, 0]], axis=1)
                rest = state + h * self.A @ slopes - Z
                Z = Z + eliminated(self.matrix(h, Z), rest.ravel()).reshape(Z.shape)  # noqa: PLW2901
            self.stages.append(Z)
            state = Z[-1]

    def matrix(self, h, Z):
        J = np.zeros((7, 2, 2), np.longdouble)
        J[:, 0, 1], J[:, 1, 0] = 1, -2 * self.mu * Z[:, 0] * Z[:, 1] - 1
        J[:, 1, 1] = self.mu * (1 - Z[:, 0] ** 2)
        found = np.eye(14, dtype=np.longdouble).reshape(7, 2, 7, 2).copy()
        found -= h * self.A[:, None, :, None] * np.moveaxis(J, 0, 1)[None]
        return found.reshape(14, 14)

    def gradient(self, weights, change=lambda Z: Z):
        """By the initial state and μ, with changed stages."""
        adjoint, by_mu = weights.astype(np.longdouble), np.longdouble(0)
        for h, exact in zip(np.diff(self.t)[::-1], self.stages[::-1], strict=True):
            Z, right = change(exact), np.zeros((7, 2), np.longdouble)
            right[-1] = adjoint
            found = eliminated(self.matrix(h, Z).T, right.ravel()).reshape(7, 2)
            by_mu += h * np.sum((self.A.T @ found)[:, 1] * (1 - Z[:, 0] ** 2) * Z[:, 1])
            adjoint = found.sum(axis=0)
        return np.append(adjoint, by_mu)


def eliminated(matrix, right):
    """The solution of a linear system by elimination with pivots: NumPy has none for these numbers."""
    rows = np.column_stack([matrix, right])
    for k in range(len(right)):
        pivot = k + int(np.argmax(np.abs(rows[k:, k])))
        rows[[k, pivot]] = rows[[pivot, k]]
        rows[k] /= rows[k, k]
        others = np.arange(len(right)) != k
        rows[others] -= rows[others, k, None] * rows[k]
    return rows[:, -1]


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no numbers with 64 bits")
def test_errors_of_relaxation_oscillations_are_those_of_rounding_the_stages(used):
    """
    The exact adjoint of the same equations, with stages changed by half of the last digit, is as far from itself.

    So no adjoint that has its stages in double precision is right to 1e-12.
    """
    weights = np.array([[1.0], [-0.7]]) / np.abs(VAN_DER_POL["states"])[:, None]
    sol = solved(van_der_pol, 2000.0, [2.0, 0.0], (1000.0,), 1e-2, 1e-8)
    found = np.append(sol.adjoint(weights).y0, sol.gradient(weights, "mu"))
    assert len(used) == 2
    t = np.asarray(used[0].nodes)
    inner = t[:-1, None] + np.diff(t)[:, None] * radau(7).c
    every = solve_ivp(
        van_der_pol, (0, 2000.0), [2.0, 0.0], t_eval=inner.ravel(), args=(1000.0,), rtol=1e-8, atol=1e-10, compile=True
    )
    exactly, rng = InLongDouble(t, [2.0, 0.0], 1000.0, every.y.T.reshape(*inner.shape, 2)), np.random.default_rng(0)
    expected = exactly.gradient(weights[:, 0])

    def apart(gradient):
        return float(np.max(np.abs(gradient / expected - 1)))

    rounded = [
        apart(exactly.gradient(weights[:, 0], lambda Z: Z * (1 + 2.0**-53 * rng.choice([-1, 1], Z.shape))))
        for _ in range(4)
    ]
    assert max(rounded) > 1e-11
    assert apart(found) <= 10 * max(rounded)


class InLongDoubleByComplexSteps(InLongDouble):
    """The same of any function of state and parameters, whose derivatives are by complex steps."""

    def __init__(self, fun, t, y0, p, guess):
        self.fun, self.p, self.t, self.stages = fun, p.astype(np.longdouble), t.astype(np.longdouble), []
        self.A, state = radau(7).A.astype(np.longdouble), np.longdouble(y0)
        for h, Z in zip(np.diff(self.t), guess.astype(np.longdouble), strict=True):
            for _ in range(5):
                rest = state + h * self.A @ np.array([fun(z, self.p) for z in Z]) - Z
                Z = Z + eliminated(self.matrix(h, Z), rest.ravel()).reshape(Z.shape)  # noqa: PLW2901
            self.stages.append(Z)
            state = Z[-1]

    def along(self, Z, by_parameters):
        """Derivatives `(7, n, k)` by the state, or by parameters."""
        count, found = len(self.p) if by_parameters else Z.shape[1], []
        for unit in np.eye(count, dtype=np.clongdouble) * np.longdouble(1e-60) * 1j:
            moved = [(z + (0 if by_parameters else unit), self.p + (unit if by_parameters else 0)) for z in Z]
            found.append(np.array([np.imag(self.fun(*one)) for one in moved]) / np.longdouble(1e-60))
        return np.stack(found, axis=-1)

    def matrix(self, h, Z):
        size = Z.size
        found = np.eye(size, dtype=np.longdouble).reshape(*Z.shape, *Z.shape).copy()
        found -= h * self.A[:, None, :, None] * np.moveaxis(self.along(Z, False), 0, 1)[None]
        return found.reshape(size, size)

    def gradient(self, weights, change=lambda Z: Z):
        """By the initial state and parameters, with changed stages."""
        adjoint, by_parameters = weights.astype(np.longdouble), 0 * self.p
        for h, exact in zip(np.diff(self.t)[::-1], self.stages[::-1], strict=True):
            Z, right = change(exact), np.zeros(exact.shape, np.longdouble)
            right[-1] = adjoint
            found = eliminated(self.matrix(h, Z).T, right.ravel()).reshape(Z.shape)
            by_parameters += h * np.einsum("ij,ijk->k", self.A.T @ found, self.along(Z, True))
            adjoint = found.sum(axis=0)
        return np.append(adjoint, by_parameters)


@pytest.mark.slow
@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no numbers with 64 bits")
def test_errors_of_e5_are_those_of_rounding_the_stages(used):
    """As above: large terms of its rates cancel, and changes of their last digits do not."""
    fun, end, y0, args, share, _ = PROBLEMS["E5"]
    sol, p = solved(fun, end, y0, args, share, 1e-8), np.append(*args)
    size = np.maximum(np.abs(sol.y[:, 0]), share)
    weights = np.cos(np.arange(4)) / size
    by_parameters, by_start = gradient_of(sol, args, weights[:, None])
    t = np.asarray(used[0].nodes)
    inner = t[:-1, None] + np.diff(t)[:, None] * radau(7).c
    every = solved(fun, end, y0, args, share, 1e-8, inner.ravel())
    guess = every.y.T.reshape(*inner.shape, 4)
    exactly = InLongDoubleByComplexSteps(lambda y, p: fun(0.0, y, p[:-1], p[-1]), t, y0, p, guess)
    sizes = np.append(np.where(np.array(y0) == 0, size, y0), p)
    expected, rng = exactly.gradient(weights) * sizes, np.random.default_rng(0)
    rounded = [
        exactly.gradient(weights, lambda Z: Z * (1 + 2.0**-53 * rng.choice([-1, 1], Z.shape))) * sizes for _ in range(3)
    ]
    most = max(deviation(one, expected) for one in rounded)
    assert most > 1e-11
    assert deviation(np.append(by_start, by_parameters / p) * sizes, expected) <= 10 * most

"""Gradients by parameters within whose change a function bends, or that move a small component beside a large one."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan import solve_ivp, solve_recurrence
from parscan.warnings import DiscontinuousParameterWarning

END, DECAY = 5.0, 0.7


def exponents(low, high):
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


def bell(z):
    return np.exp(-np.square(z))


def by_complex_steps(step, y0, x, args, place):
    """Derivative of the sum of all states of a recurrence."""
    args = [value + 1e-40j * (k == place) for k, value in enumerate(args)]
    y, total = np.asarray(y0, complex), 0.0
    for row in x:
        y = step(y, row, *args)
        total += y.imag.sum() / 1e-40
    return total


def forcing_of(fun, place):
    """Derivative of a right-hand side by one of its arguments, exact."""

    def forcing(t, y, *args):
        size = 1e-30 * (abs(args[place]) or 1.0)
        varied = (value + 1j * size * (k == place) for k, value in enumerate(args))
        return [np.imag(part) / size for part in fun(t, y + 0j, *varied)]

    return forcing


@pytest.mark.slow
@given(exponents(-8, 12), exponents(-6, 5), st.sampled_from(["sine", "bounded", "decay"]))
@settings(max_examples=25)
def test_a_parameter_of_a_small_component_beside_a_large_one(size, p, kind):
    forms = {
        "sine": lambda t, q: np.sin(3 * t * (q / p)),
        "bounded": lambda t, q: 1 / (1 + t * (q / p) ** 2),
        "decay": lambda t, q: np.exp(-t * (q / p)),
    }

    def fun(t, y, q):
        return [-0.3 * y[0], -DECAY * y[1] + forms[kind](t, q)]

    atol = [1e-9 * size, 1e-10]
    sol = solve_ivp(fun, (0, END), [size, 0.0], args=(p,), t_eval=[END], rtol=1e-8, atol=atol)
    grad_y = np.ones((2, 1))
    assert np.isclose(sol.gradient(grad_y, "q"), sol.gradient(grad_y, forcing=forcing_of(fun, 0)), rtol=1e-4)


@given(exponents(-8, 10), exponents(-6, 5), st.sampled_from(["last", "all"]))
@settings(max_examples=25)
def test_a_recurrence_with_a_small_component_beside_a_large_one(size, p, loss):
    x = np.random.default_rng(0).standard_normal((200, 1))

    def step(y, x, q):
        return np.stack([0.99 * y[..., 0] + size * x[..., 0], 0.9 * y[..., 1] + np.sin(3 * (q / p) + x[..., 0])], -1)

    sol = solve_recurrence(step, np.array([size, 0.0]), x, args=(p,))
    grad_y = np.ones((200, 2))
    if loss == "last":
        grad_y[:, 0] = 0
    assert np.isclose(sol.gradient(grad_y, "q"), by_complex_steps(step, [size, 0], x, (p,), 0), rtol=1e-4)


@pytest.mark.slow
@given(exponents(-8, -1), exponents(-3, 6), st.integers(0, 100))
@settings(max_examples=40)
def test_a_bell_that_few_steps_meet(width, center, seed):
    """Relative to the parameter, the width is down to a hundred million times smaller."""
    rng, width = np.random.default_rng(seed), width * center
    x = np.linspace(0, 2, 500)[:, None] * center
    x[300:310] = center + width * rng.uniform(-2, 2, (10, 1))

    def step(y, x, q, a):
        return 0.9 * y + bell((x - q) / width) + 0.01 * a * np.sin(a * y)

    sol = solve_recurrence(step, np.array([0.3]), x, args=(center, 0.7))
    expected = [by_complex_steps(step, [0.3], x, (center, 0.7), place) for place in range(2)]
    assert np.allclose(sol.gradient(np.ones((500, 1))), expected, rtol=1e-4)


@given(exponents(-7, -1), st.floats(0.5, 4.5), exponents(-1, 3))
@settings(max_examples=15)
def test_a_bell_in_time(width, center, area):
    def fun(t, y, q, k):
        return [-k * y[0] + area / width * bell((t - q) / width) + np.sin(k * t)]

    jumps = [time for share in (-6, 6) if 0 < (time := center + share * width) < END]
    options = {"t_eval": [center, END], "rtol": 1e-9, "atol": 1e-9, "jumps": jumps}
    sol = solve_ivp(fun, (0, END), [0.0], args=(center, DECAY), **options)
    grad_y = [[1.0, 1.0]]
    expected = [sol.gradient(grad_y, forcing=forcing_of(fun, place)) for place in range(2)]
    assert np.allclose(sol.gradient(grad_y), expected, rtol=1e-4)


@pytest.mark.parametrize("width", [1e-1, 1e-3, 1e-4, 1e-5])
def test_a_bell_that_an_entry_of_an_array_moves(width):
    def fun(t, y, q):
        return [-q[2] * y[0] + q[0] * np.sin(8 * t) + bell((t - q[1]) / width) / width]

    q = np.array([1.3, 2.0, 0.5])
    jumps = [2 + share * width for share in (-6, 6)]
    sol = solve_ivp(fun, (0, END), [0.0], args=(q,), t_eval=[END], rtol=1e-8, atol=1e-10, jumps=jumps)

    def forcing(t, y, q):
        z = (t - q[1]) / width
        return [[np.sin(8 * t), 2 * z * bell(z) / width**2, -y[0]]]

    assert np.allclose(sol.gradient([[1.0]], "q"), sol.gradient([[1.0]], forcing=forcing), rtol=1e-3)


@pytest.mark.parametrize("width", [1.0, 1e-3, 1e-6])
def test_a_bell_that_a_complex_parameter_moves(width):
    rng, q = np.random.default_rng(2), 2.0 + 1j
    x = q + width * (rng.uniform(-1, 1, (200, 1)) + 1j * rng.uniform(-1, 1, (200, 1)))
    sol = solve_recurrence(lambda y, x, q: 0.9j * y + bell((x - q) / width), np.zeros(1, complex), x, args=(q,))
    change, total = np.zeros(1, complex), 0.0
    for row in x:
        z = (row - q) / width
        change = 0.9j * change + 2 * z / width * bell(z)
        total += np.conj(change[0])
    assert np.isclose(sol.gradient(np.ones((200, 1), complex), "q"), total, rtol=1e-4)


@pytest.mark.parametrize("width", [1.0, 1e-1, 1e-2])
def test_a_bell_in_single_precision(width):
    x = (2.0 + width * np.random.default_rng(1).uniform(-2, 2, (500, 1))).astype(np.float32)

    def step(y, x, q):
        return y.dtype.type(0.9) * y + bell((x - q) / width)

    sol = solve_recurrence(step, np.zeros(1, np.float32), x, args=(2.0,))
    expected = by_complex_steps(step, [0.0], x.astype(float), (2.0,), 0)
    assert np.isclose(sol.gradient(np.ones((500, 1), np.float32), "q"), expected, rtol=5e-3)


def test_what_no_difference_resolves_is_named():
    x = np.random.default_rng(0).standard_normal((300, 1))

    def step(y, x, a, rough):
        return 0.5 * y + a * x + np.sin(1e17 * rough + x)

    exact = [by_complex_steps(step, [0.0], x, (0.3, 0.7), which) for which in range(2)]
    sol = solve_recurrence(step, np.zeros(1), x, args=(0.3, 0.7), compile=False)
    with pytest.warns(DiscontinuousParameterWarning, match=r"sharply with `args\[1\]` \(`rough`\)"):
        by_a, _ = sol.gradient(np.ones((300, 1)))
    assert np.isclose(by_a, exact[0])
    assert np.isclose(sol.gradient(np.ones((300, 1)), "a"), by_a)  # without a warning, which would be an error
    recorded = solve_recurrence(step, np.zeros(1), x, args=(0.3, 0.7))  # whose derivatives are no differences
    assert np.allclose(recorded.gradient(np.ones((300, 1))), exact, rtol=1e-9, atol=0)


ORDINARY = {
    "decay": (lambda t, y, k: [-k * y[0]], [1.0], (0.5,)),
    "logistic": (lambda t, y, r, c: [r * y[0] * (1 - y[0] / c)], [0.1], (1.2, 3.0)),
    "oscillator": (lambda t, y, w, d: [y[1], -w * w * y[0] - d * y[1]], [1.0, 0.0], (3.0, 0.1)),
    "pendulum": (lambda t, y, g, r: [y[1], -g / r * np.sin(y[0])], [1.0, 0.0], (9.81, 1.3)),
    "predators": (lambda t, y, a, b, c: [a * y[0] - b * y[0] * y[1], y[0] * y[1] - c * y[1]], [1.0, 1.0], (1.5, 1, 3)),
    "epidemic": (lambda t, y, b, g: [-b * y[0] * y[1], b * y[0] * y[1] - g * y[1]], [0.99, 0.01], (2.0, 0.5)),
    "epidemic of people": (
        lambda t, y, b, g: [-b * y[0] * y[1] / 8e7, b * y[0] * y[1] / 8e7 - g * y[1]],
        [8e7, 10.0],
        (2.0, 0.5),
    ),
    "Van der Pol": (lambda t, y, mu: [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]], [2.0, 0.0], (5.0,)),
    "kinetics": (
        lambda t, y, a, b, c: [-a * y[0] + b * y[1] * y[2], a * y[0] - b * y[1] * y[2] - c * y[1] ** 2, c * y[1] ** 2],
        [1.0, 0.0, 0.0],
        (0.04, 1e4, 3e7),
    ),
    "Arrhenius": (
        lambda t, y, E, A: [
            -A * np.exp(-E / (8.314 * y[1])) * y[0],
            20.0 + 50 * A * np.exp(-E / (8.314 * y[1])) * y[0],
        ],
        [1.0, 300.0],
        (6e4, 1e8),
    ),
    "Michaelis and Menten": (lambda t, y, v, k: [-v * y[0] / (k + y[0])], [2.0], (1.0, 0.01)),
    "Hill": (lambda t, y, k, n: [1 / (1 + (k / (y[0] + 1e-9)) ** n) + 0.1 - y[0]], [0.3], (0.5, 4.0)),
    "moles and litres": (lambda t, y, k: [-k * y[0] * y[1], -k * y[0] * y[1]], [1e-9, 2e-9], (1e8,)),
    "forced": (lambda t, y, a, w, p: [a * np.sin(w * t + p) - y[0]], [0.0], (2.0, 7.0, 0.0)),
    "chirp": (lambda t, y, w: [np.sin(w * t * t) - y[0]], [0.0], (20.0,)),
    "dose": (lambda t, y, m, s: [np.exp(-0.5 * ((t - m) / s) ** 2) - y[0]], [0.0], (2.0, 0.1)),
    "front": (lambda t, y, m, s: [np.tanh((t - m) / s) - y[0]], [0.0], (2.0, 0.02)),
    "circuit": (
        lambda t, y, r, i: [1e3 * (np.sin(6 * t) - r * i * (np.exp(y[0] / 0.025) - 1) - y[0])],
        [0.0],
        (1e3, 1e-12),
    ),
    "satellite": (
        lambda t, y, mu: [
            y[2],
            y[3],
            -mu * y[0] / (y[0] ** 2 + y[1] ** 2) ** 1.5,
            -mu * y[1] / (y[0] ** 2 + y[1] ** 2) ** 1.5,
        ],
        [7e6, 0.0, 0.0, 7.5e3],
        (3.986e14,),
    ),
    "FitzHugh and Nagumo": (
        lambda t, y, a, e: [10 * (y[0] - y[0] ** 3 / 3 - y[1] + 0.5), 10 * e * (y[0] + a - 0.8 * y[1])],
        [0.0, 0.0],
        (0.7, 0.08),
    ),
    "Lorenz": (
        lambda t, y, s, r: [s * (y[1] - y[0]), y[0] * (r - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]],
        [1.0, 1.0, 20.0],
        (10.0, 28.0),
    ),
    "nothing": (lambda t, y, k: [0 * k - y[0]], [1.0], (0.5,)),
    "zero": (lambda t, y, k: [np.sin(k * t) - y[0]], [1.0], (0.0,)),
    "small": (lambda t, y, k: [1e12 * k * np.sin(t) - y[0]], [1.0], (1e-12,)),
    "powers": (lambda t, y, k, n: [-k * (y[0] + 1) ** n + 1], [1.0], (0.5, 1.5)),
    "cooling": (lambda t, y, s, e: [-s * e * (y[0] ** 4 - 290.0**4)], [500.0], (5.67e-8, 0.1)),
    "gradient near zero": (lambda t, y, k: [(k - 1.0) ** 2 * np.sin(t) - y[0]], [1.0], (1.0 + 1e-6,)),
    "a date": (lambda t, y, day: [np.sin((t - day) / 3) - y[0]], [1.0], (19000.0,)),
    "offset": (lambda t, y, k, c: [1e6 + k - 1e6 - y[0] + c * t], [1.0], (0.5, 0.3)),
    "gains": (lambda t, y, k: [y[1], -k[0] * (y[0] - 1) - k[1] * y[1]], [0.0, 0.0], (np.array([4.0, 0.5]),)),
}


@pytest.mark.parametrize(("fun", "y0", "args"), ORDINARY.values(), ids=ORDINARY)
def test_ordinary_problems_get_no_warning(fun, y0, args, request):
    rounded = request.node.callspec.id in ("circuit", "gradient near zero")  # f is rounded to more than its change
    rtol = 1e-3 if rounded else 1e-6
    sol = solve_ivp(
        fun, (0, END), y0, args=args, t_eval=[2.0, END], rtol=1e-7, atol=1e-10 * np.maximum(np.abs(y0), 1e-2)
    )
    assert sol.success
    grad_y = np.ones_like(sol.y) / (np.abs(y0)[:, None] + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sol.gradient(grad_y)
    for place, value in enumerate(args):
        if np.ndim(value) == 0:
            expected = sol.gradient(grad_y, forcing=forcing_of(fun, place))
            assert np.isclose(found[place], expected, rtol=rtol, atol=1e-12 * (not expected))


@given(exponents(-7, -1), st.sampled_from(["rest", "noise"]))
@settings(max_examples=25)
def test_a_bell_within_which_the_state_stays(width, motion):
    """Jacobians by the state see the bell, however narrow it is beside the state."""
    x = (motion == "noise") * np.random.default_rng(0).standard_normal((100, 1))

    def step(y, x, q):
        return y + 0.3 * (1.0 - y) + 0.2 * width * bell((y - q) / width) + 0.1 * width * x

    start = np.array([1.0 + width])
    sol = solve_recurrence(step, start, x, args=(1.0,))
    change, total = np.ones(1), np.zeros(1)
    for y in np.concatenate([start[None], sol.y[:-1]]):
        z = y - 1.0
        change = change * (0.7 - 0.4 * z / width * bell(z / width))
        total += change
    assert np.allclose(sol.adjoint(np.ones((100, 1))).y0, total, rtol=1e-3)
    assert np.isclose(sol.gradient(np.ones((100, 1)), "q"), by_complex_steps(step, start, x, (1.0,), 0), rtol=1e-3)


@given(exponents(-5, -1), exponents(-6, 6))
@settings(max_examples=10)
def test_a_bell_that_the_state_of_an_ode_crosses(width, scale):
    """The start of a clock moves the bell; the loss weighs its middle, where the derivative is its height."""

    def fun(t, y, q):
        return [scale + 0 * y[0], -DECAY * y[1] + bell((y[0] - q) / scale / width) / width]

    options = {"t_eval": [2.0], "rtol": 1e-9, "atol": [1e-11 * scale, 1e-9], "jumps": [2 - 6 * width]}
    sol = solve_ivp(fun, (0, 2), [0.0, 0.0], args=(2 * scale,), **options)
    by_start = sol.adjoint([[0.0], [1.0]]).y0[0] * scale
    assert np.isclose(by_start, sol.tangent(None, np.array([scale, 0.0]))[1, -1], rtol=1e-6)
    times = np.linspace(2 - 9 * width, 2, 20001)
    z = (times - 2) / width
    expected = np.trapezoid(np.exp(-DECAY * (2 - times)) * -2 * z / width**2 * bell(z), times)
    assert np.isclose(by_start, expected, rtol=1e-3)


@given(exponents(-7, -1), st.integers(0, 100))
@settings(max_examples=25)
def test_a_bell_that_inputs_meet(width, seed):
    x = np.linspace(0, 4, 200)[:, None]
    x[70:80] = 2 + width * np.random.default_rng(seed).uniform(0.2, 1.5, (10, 1))
    sol = solve_recurrence(lambda y, x: 0.9 * y + bell((x - 2) / width), np.zeros(1), x)
    # Near inflections second differences vanish already within longer changes: errors reach a few 1e-4.
    z, later = (x - 2) / width, 200 - np.arange(200)[:, None]
    expected = (1 - 0.9**later) / 0.1 * -2 * z / width * bell(z)
    assert np.allclose(sol.gradient(np.ones((200, 1)), "x")[70:80], expected[70:80], rtol=1e-3)

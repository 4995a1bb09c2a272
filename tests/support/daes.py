"""Differential-algebraic equations with what their solutions are, in closed form or by a solver of SciPy."""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from parscan._ivp.implicit.mass import as_mass
from parscan._ivp.implicit.problem import ImplicitProblem

GRAVITY = 9.81


class Dae(NamedTuple):
    """`F(t, y, yp) = 0` from consistent values over a span; `exact(t)` is the state `(n,)`."""

    name: str
    fun: object
    y0: tuple
    yp0: tuple
    end: float
    exact: object
    index: tuple


def posed(fun, span, y0, yp0, *, mass=None, rtol=1e-8, atol=1e-10, args=(), index=None, **options):
    """A problem, as the front doors pose it."""
    state, slopes = np.array(y0, float), np.array(yp0, float)
    matrix = None if mass is None else as_mass(mass, state.size, fun, args)
    given = None if index is None else np.array(index)
    return ImplicitProblem(
        fun, matrix, None, args, span, state, slopes, rtol, rtol, np.asarray(atol, float), index=given, **options
    )


def circle(t, y, yp):
    """An oscillator, with the product of its components."""
    return [yp[0] + y[1], yp[1] - y[0], y[2] - y[0] * y[1]]


def with_integral(t, y, yp):
    """Nonlinear in the derivative: `y' + y'^3 = c + c^3` with `c = cos(t)`; and a product of both."""
    c = np.cos(t)
    return [yp[0] + yp[0] ** 3 - c - c**3, y[1] - y[0] * c]


def pendulum(order):
    """A pendulum with the length, its first or its second derivative as the constraint: of index 3, 2 or 1."""

    def fun(t, y, yp):
        x, z, u, w, tension = y
        constraint = (x * x + z * z - 1, x * u + z * w, u * u + w * w - tension * (x * x + z * z) - GRAVITY * z)
        return [yp[0] - u, yp[1] - w, yp[2] + tension * x, yp[3] + tension * z + GRAVITY, constraint[3 - order]]

    return fun


@cache
def angles():
    """Angle and speed of the pendulum, as a function of time."""
    options = {"rtol": 1e-13, "atol": 1e-13, "dense_output": True}

    def fun(t, a):
        return [a[1], -GRAVITY * np.sin(a[0])]

    return solve_ivp(fun, (0.0, 3.0), [np.pi / 2, 0.0], "DOP853", **options).sol


def swung(t):
    """The state of the pendulum."""
    angle, speed = angles()(t)
    x, z = np.sin(angle), -np.cos(angle)
    return np.array([x, z, speed * np.cos(angle), speed * np.sin(angle), speed**2 - GRAVITY * z])


AT_REST = (1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, -GRAVITY, 0.0)

DAES = (
    Dae("circle", circle, (1.0, 0.0, 0.0), (0.0, 1.0, 1.0), 7.0,
        lambda t: np.array([np.cos(t), np.sin(t), np.cos(t) * np.sin(t)]), (1, 1, 1)),
    Dae("nonlinear in y'", with_integral, (0.0, 0.0), (1.0, 1.0), 5.0,
        lambda t: np.array([np.sin(t), np.sin(t) * np.cos(t)]), (1, 1)),
    Dae("pendulum of index 1", pendulum(1), *AT_REST, 3.0, swung, (1, 1, 1, 1, 1)),
    Dae("pendulum of index 2", pendulum(2), *AT_REST, 3.0, swung, (1, 1, 1, 1, 2)),
    Dae("pendulum of index 3", pendulum(3), *AT_REST, 3.0, swung, (1, 1, 2, 2, 3)),
)  # fmt: skip

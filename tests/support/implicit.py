"""Implicit problems with known solutions: mass matrices, right-hand sides, and the states at all times."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class MassProblem:
    """`M y' = fun(t, y)` with its solution, and the index of the problem and of its components."""

    name: str
    fun: Callable[..., Any]
    mass: Any
    exact: Callable[[Any], Any]
    index: int
    components: tuple[int, ...]
    span: tuple[float, float] = (0.0, 2.0)


def _regular(t, y):
    return [-y[0] + y[1], -y[0] - y[1]]


def _of_regular(t):
    return np.array([np.exp(-t) * np.cos(t), -np.exp(-t) * np.sin(t)])


def _first(t, y):
    return [-y[0] * y[1], y[1] * y[0] - np.exp(-t)]


def _of_first(t):
    """`a' = -a b`, `b = exp(-t) / a`: a' = -exp(-t), a = exp(-t) + 1."""
    a = np.exp(-t) + 1
    return np.array([a, np.exp(-t) / a])


def _second(t, y):
    a, b, z = y
    pull = z - np.exp(-t)
    return [-b + a * pull, a + b * pull, a**2 + b**2 - 1]


def _of_second(t):
    return np.array([np.cos(t), np.sin(t), np.exp(-t)])


def _third(t, y):
    a, b, u, v, z = y
    pull = z - np.exp(-t)
    return [u, v, -pull * a, -pull * b, a**2 + b**2 - 1]


def _of_third(t):
    return np.array([np.cos(t), np.sin(t), -np.sin(t), np.cos(t), 1 + np.exp(-t)])


PROBLEMS = (
    MassProblem("regular", _regular, np.array([1.0, 1.0]), _of_regular, 0, (1, 1)),
    MassProblem("index 1", _first, np.array([1.0, 0.0]), _of_first, 1, (1, 1)),
    MassProblem("index 2", _second, np.diag([1.0, 1.0, 0.0]), _of_second, 2, (1, 1, 2)),
    MassProblem("index 3", _third, np.diag([1.0, 1.0, 1.0, 1.0, 0.0]), _of_third, 3, (1, 1, 2, 2, 3)),
)
"""One problem of each index."""

GRAVITY = 9.81


def pendulum(index):
    """A pendulum of length 1 by Cartesian coordinates, its constraint differentiated down to this index."""

    def fun(t, y):
        a, b, u, v, z = y
        rows = {
            3: a**2 + b**2 - 1,
            2: a * u + b * v,
            1: u**2 + v**2 - z * (a**2 + b**2) - GRAVITY * b,
        }
        return [u, v, -z * a, -z * b - GRAVITY, rows[index]]

    return fun


def robertson(t, y):
    """Robertson's reaction with the conservation of mass as third equation."""
    slow, fast = 0.04 * y[0], 1e4 * y[1] * y[2]
    return [fast - slow, slow - fast - 3e7 * y[1] ** 2, y[0] + y[1] + y[2] - 1]


def amplifier_mass():
    """Capacities of the transistor amplifier, of rank 5."""
    c = np.arange(1, 6) * 1e-6
    mass = np.zeros((8, 8))
    for k, first in ((0, 0), (2, 3), (4, 6)):
        mass[first : first + 2, first : first + 2] = c[k] * np.array([[-1, 1], [1, -1]])
    mass[2, 2], mass[5, 5] = -c[1], -c[3]
    return mass


def amplifier(t, y):
    """The transistor amplifier of the Test Set for IVP Solvers (Mazzia and Magherini, 2008)."""
    supply, r0, r = 6.0, 1000.0, 9000.0
    signal = 0.1 * np.sin(200 * np.pi * t)

    def current(u):
        return 1e-6 * (np.exp(u / 0.026) - 1)

    first, second = current(y[1] - y[2]), current(y[4] - y[5])
    return [
        (y[0] - signal) / r0,
        (2 * y[1] - supply) / r + 0.01 * first,
        y[2] / r - first,
        (y[3] - supply) / r + 0.99 * first,
        (2 * y[4] - supply) / r + 0.01 * second,
        y[5] / r - second,
        (y[6] - supply) / r + 0.99 * second,
        y[7] / r,
    ]


AMPLIFIER_START = np.array([0.0, 3.0, 3.0, 6.0, 3.0, 3.0, 6.0, 0.0])

AMPLIFIER_END = np.array(
    [
        -0.5562145012262709e-2,
        0.3006522471903042e1,
        0.2849958788608128e1,
        0.2926422536206241e1,
        0.2704617865010554e1,
        0.2761837778393145e1,
        0.4770927631616772e1,
        0.1236995868091548e1,
    ]
)
"""States at 0.2, from the test set."""

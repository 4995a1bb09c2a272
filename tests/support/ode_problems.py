"""Initial value problems with digits at the end: the sources' equations, written as SciPy's users write them.

The digits are those of re-integrations with tolerances near rounding, or of the exact solution.
"""

from dataclasses import dataclass
from math import cos, sqrt
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Ode:
    """`y' = fun(t, y)` from `y0` over `(0, end)`; `reference` are the first components at the end.

    A tolerance `rtol` comes with `atol = scale * rtol`.
    """

    name: str
    fun: Any
    y0: tuple[float, ...]
    end: float
    reference: tuple[float, ...]
    scale: float = 1.0

    def error(self, y, rtol):
        """Largest error of the state at the end, in tolerances."""
        reference = np.asarray(self.reference)
        return float(np.max(np.abs(y[: len(reference)] - reference) / (rtol * (self.scale + np.abs(reference)))))


def oscillator(t, y):
    """From (0, 1): sine and cosine."""
    return [y[1], -y[0]]


def pendulum(t, y):
    return [y[1], -np.sin(y[0])]


def lotka_volterra(t, y):
    return [1.5 * y[0] - y[0] * y[1], -3 * y[1] + y[0] * y[1]]


def event(function, **attributes):
    """A function with the attributes that events have."""

    def with_attributes(t, y, *args):
        return function(t, y, *args)

    for name, value in attributes.items():
        setattr(with_attributes, name, value)
    return with_attributes


def van_der_pol(mu):
    return lambda t, y: [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]


def robertson(t, y):
    slow, fast, fastest = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return [fast - slow, slow - fast - fastest, fastest]


def oregonator(t, y):
    a, b, c = y
    return [77.27 * (b + a * (1 - 8.375e-6 * a - b)), (c - (1 + a) * b) / 77.27, 0.161 * (a - c)]


def hires(t, y):
    a, b, c, d, e, f, g, h = y
    bound, unbound = 280 * f * h, 1.81 * g
    return [
        -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
        1.71 * a - 8.75 * b,
        -10.03 * c + 0.43 * d + 0.035 * e,
        8.32 * b + 1.71 * c - 1.12 * d,
        -1.745 * e + 0.43 * f + 0.43 * g,
        -bound + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
        bound - unbound,
        unbound - bound,
    ]


def brusselator(t, y):
    return [1 + y[0] ** 2 * y[1] - 4 * y[0], 3 * y[0] - y[0] ** 2 * y[1]]


def rigid_body(t, y):
    return [-2 * y[1] * y[2], 1.25 * y[0] * y[2], -0.5 * y[0] * y[1]]


def kepler(t, y):
    cube = (y[0] ** 2 + y[1] ** 2) ** 1.5
    return [y[2], y[3], -y[0] / cube, -y[1] / cube]


def arenstorf(t, y):
    moon = 0.012277471
    a, b, va, vb = y
    earth_cube = ((a + moon) ** 2 + b**2) ** 1.5
    moon_cube = ((a - 1 + moon) ** 2 + b**2) ** 1.5
    pull_a = (1 - moon) * (a + moon) / earth_cube + moon * (a - 1 + moon) / moon_cube
    pull_b = (1 - moon) * b / earth_cube + moon * b / moon_cube
    return [va, vb, a + 2 * vb - pull_a, b - 2 * va - pull_b]


def heat(points, end):
    """The heat equation by lines: `sin(πx)` decays exactly exponentially in the semi-discrete system, too."""
    inverse = (points + 1) ** 2

    def fun(t, u):
        rate = -2 * u
        rate[1:] += u[:-1]
        rate[:-1] += u[1:]
        return inverse * rate

    start = np.sin(np.pi * np.arange(1, points + 1) / (points + 1))
    decay = np.exp(-4 * inverse * np.sin(np.pi / (2 * (points + 1))) ** 2 * end)
    return Ode("heat", fun, tuple(start), end, tuple(start * decay))


def prothero_robinson(rate):
    """A fast decay to a slow solution."""
    fun = lambda t, y: [-rate * (y[0] - np.cos(t)) - np.sin(t)]  # noqa: E731
    return Ode(f"Prothero-Robinson {rate:.0e}", fun, (1.0,), 10.0, (cos(10.0),))


HIRES = (7.371312573325668e-4, 1.442485726316185e-4, 5.888729740967575e-5, 1.175651343283149e-3)
HIRES += (2.386356198831331e-3, 6.238968252742796e-3, 2.849998395185769e-3, 2.850001604814231e-3)
OREGONATOR = (1.000814870318523, 1228.178521549917, 132.0554942846706)
RIGID_BODY = (0.606203853964812222, 0.628747210450177970, 0.807385148575602576)
ROBERTSON = (2.083340149701255e-8, 8.333360770334713e-14, 0.9999999791665050)
ARENSTORF = (0.994, 0.0, 0.0, -2.00158510637908252240537862224)

ODES = [
    Ode("Lotka-Volterra 15", lotka_volterra, (10, 5), 15.0, (0.713751378097759299, 0.0754077962407946931)),
    Ode("Lotka-Volterra 10", lotka_volterra, (1, 1), 10.0, (1.02634476757508932, 0.909691078136041618)),
    Ode("Van der Pol 1", van_der_pol(1.0), (2, 0), 10.0, (-2.00834078257971233, 0.0329070658633240644)),
    Ode("Van der Pol 1000", van_der_pol(1e3), (2, 0), 2000.0, (1.706167732170469, -8.928097010248125e-4), 1e-3),
    Ode("Robertson", robertson, (1, 0, 0), 1e11, ROBERTSON, 1e-8),
    Ode("Oregonator", oregonator, (1, 2, 3), 360.0, OREGONATOR),
    Ode("HIRES", hires, (1, 0, 0, 0, 0, 0, 0, 0.0057), 321.8122, HIRES, 1e-3),
    Ode("Brusselator", brusselator, (1.5, 3), 20.0, (0.498637071268347849, 4.59678034945201118)),
    Ode("rigid body", rigid_body, (1, 0, 0.9), 20.0, RIGID_BODY),
    Ode("Kepler 0.1", kepler, (0.9, 0, 0, sqrt(1.1 / 0.9)), 20.0, (0.219883535200839661, 0.942707684634181309)),
    Ode("Kepler 0.5", kepler, (0.5, 0, 0, sqrt(3.0)), 20.0, (-0.578043295303536123, 0.863384000919419280)),
    Ode("Arenstorf", arenstorf, ARENSTORF, 17.0652165601579625588917206249, ARENSTORF),
    heat(20, 0.1),
    prothero_robinson(1e3),
    prothero_robinson(1e6),
]
"""What is not chaotic: a small error stays small, or grows like a power of the time."""

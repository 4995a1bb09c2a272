"""Stiff problems with few and many components, with and without zeros in their Jacobians, for compiled solvers."""

import numpy as np

from tests.support.ode_problems import heat, hires, oregonator, prothero_robinson, robertson, van_der_pol


def network(t, y):
    """Species in a ring of reactions of two, with rates from 1e-2 to 1e6."""
    n = len(y)
    flow = 10.0 ** np.linspace(-2, 6, n) * y * (1 + 0.1 * np.roll(y, 1))
    return np.roll(flow, 1) - flow


def forced(t, y):
    """Depends on time in all that it does."""
    return np.stack([-300 * np.cos(t) ** 2 * (y[0] - np.sin(3 * t)) + t * y[1], -y[1] * y[0] * t - 40 * y[1]])


def growth(t, y):
    return y * (1 - y) * np.cos(t)


def everything_with_everything(t, y):
    """Fast and slow decays, in coordinates in which no entry of the Jacobian is zero; a weak nonlinearity."""
    n = len(y)
    vectors = np.cos(np.pi * np.arange(n) * (np.arange(n)[:, None] + 0.5) / n)
    rates = -(10.0 ** np.linspace(-1, 4, n))
    return np.linalg.inv(vectors) @ (rates * (vectors @ y)) + 0.1 * np.sin(y[::-1])


PROBLEMS = {
    "full 7": (everything_with_everything, np.linspace(1, 2, 7), 2.0, 1.0),
    "full 19": (everything_with_everything, np.linspace(1, 2, 19), 2.0, 1.0),
    "Van der Pol": (van_der_pol(30.0), [2.0, 0.0], 40.0, 1.0),
    "Robertson": (robertson, [1.0, 0.0, 0.0], 1e4, 1e-6),
    "Oregonator": (oregonator, [1.0, 2.0, 3.0], 10.0, 1.0),
    "HIRES": (hires, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057], 20.0, 1e-3),
    "Prothero-Robinson": (prothero_robinson(1e4).fun, [1.0], 3.0, 1.0),
    "network": (network, np.linspace(1, 2, 20), 5.0, 1.0),
    "small network": (network, np.linspace(1, 2, 5), 5.0, 1.0),
    "heat": (heat(37, 1.0).fun, heat(37, 1.0).y0, 0.05, 1.0),
    "forced": (forced, [1.0, 1.0], 2.0, 1.0),
    "growth": (growth, [0.1], 6.0, 1.0),
}

BACK = {"full 7": 1e-4, "Prothero-Robinson": 1e-3, "small network": 1e-5}
"""Lengths of solves backwards, in which what decays fast would grow beyond all numbers."""

BOTH_WAYS = [
    (name, way) for name in PROBLEMS for way in (False, True) if not way or name not in {"heat", "network", "full 19"}
]
"""Problems, and whether they are solved backwards: those with many fast rates are not."""


def span_of(name, backwards):
    return (0.3, 0.3 - BACK.get(name, 0.05)) if backwards else (0.0, PROBLEMS[name][2])

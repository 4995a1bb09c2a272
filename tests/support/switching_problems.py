"""
Right-hand sides that compare states, and their solutions by SciPy with events and restarts.

Of each problem: the function, what it compares (positive or not), the same function of these truths, the span and the
initial state.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp as scipy_ivp


class Problem(NamedTuple):
    """A problem, and how its comparisons decide."""

    fun: Any
    compared: Any
    decided: Any
    span: tuple[float, float]
    y0: list[float]


def chua_diode(t, y):
    """Chua's circuit."""
    current = -0.714 * y[0] - 0.2145 * (np.abs(y[0] + 1) - np.abs(y[0] - 1))
    return [8.0 * (y[1] - y[0] - current), y[0] - y[1] + y[2], -14.28 * y[1]]


def chua_decided(t, y, above):
    one, other = (1 if flag else -1 for flag in above)
    current = -0.714 * y[0] - 0.2145 * (one * (y[0] + 1) - other * (y[0] - 1))
    return [8.0 * (y[1] - y[0] - current), y[0] - y[1] + y[2], -14.28 * y[1]]


def gap(t, y):
    """Two masses, which a spring with play couples."""
    force = np.maximum(y[0] - y[2] - 0.1, 0.0) + np.minimum(y[0] - y[2] + 0.1, 0.0)
    return [y[1], -50 * force, y[3], 25 * force - y[2]]


def gap_decided(t, y, above):
    apart = y[0] - y[2]
    force = apart - 0.1 if above[0] else apart + 0.1 if above[1] else 0.0
    return [y[1], -50 * force, y[3], 25 * force - y[2]]


def stribeck(t, y):
    """A driven mass with friction that falls with its speed; it slips always."""
    v = y[1]
    return [v, 20 * np.sin(2 * t) - y[0] - np.sign(v) * (1 + 0.5 * np.exp(-np.abs(v) / 0.1))]


def stribeck_decided(t, y, above):
    v, way = y[1], 1.0 if above[0] else -1.0
    return [v, 20 * np.sin(2 * t) - y[0] - way * (1 + 0.5 * np.exp(-way * v / 0.1))]


def tanks(t, y):
    """Two tanks, of which the first one flows over, and the second one has a second outlet."""
    over = np.maximum(y[0] - 2.0, 0.0) * 2
    return [1 + 0.8 * np.sin(t) - 0.3 * y[0] - over, over - 0.5 * y[1] - np.where(y[1] > 0.4, 0.3, 0.0) * y[1]]


def tanks_decided(t, y, above):
    over = 2 * (y[0] - 2) if above[0] else 0.0
    return [1 + 0.8 * np.sin(t) - 0.3 * y[0] - over, over - 0.5 * y[1] - (0.3 if above[1] else 0.0) * y[1]]


def relaxation(t, y):
    """A stiff oscillator of linear pieces."""
    pieces = np.where(np.abs(y[0]) < 1.0, -y[0], np.where(y[0] > 0, y[0] - 2, y[0] + 2))
    return [100 * (y[1] - pieces), -y[0]]


def relaxation_decided(t, y, above):
    piece = y[0] - 2 if above[0] else y[0] + 2 if above[1] else -y[0]
    return [100 * (y[1] - piece), -y[0]]


def stops(t, y):
    """A driven mass between two stops."""
    wall = np.where(y[0] > 0.6, 40 * (y[0] - 0.6), 0.0) + np.where(y[0] < -0.6, 40 * (y[0] + 0.6), 0.0)
    return [y[1], -0.05 * y[1] - y[0] - wall + 0.8 * np.cos(1.1 * t)]


def stops_decided(t, y, above):
    wall = 40 * (y[0] - 0.6) if above[0] else 40 * (y[0] + 0.6) if above[1] else 0.0
    return [y[1], -0.05 * y[1] - y[0] - wall + 0.8 * np.cos(1.1 * t)]


PROBLEMS = {
    "sign": Problem(
        lambda t, y: [y[1], -np.sign(y[0])],
        lambda t, y: [y[0]],
        lambda t, y, above: [y[1], -1.0 if above[0] else 1.0],
        (0.0, 50.0), [1.0, 0.0],
    ),
    "impact": Problem(
        lambda t, y: [y[1], np.cos(0.9 * t) - y[0] - 0.1 * y[1]
                      - np.where(y[0] > 0.5, 200 * (y[0] - 0.5) + 0.5 * y[1], 0.0)],
        lambda t, y: [y[0] - 0.5],
        lambda t, y, above: [y[1], np.cos(0.9 * t) - y[0] - 0.1 * y[1]
                             - (200 * (y[0] - 0.5) + 0.5 * y[1] if above[0] else 0.0)],
        (0.0, 40.0), [0.0, 0.0],
    ),
    "bounce": Problem(
        lambda t, y: [y[1], -9.81 + 1e4 * np.maximum(-y[0], 0.0)],
        lambda t, y: [y[0]],
        lambda t, y, above: [y[1], -9.81 + (0.0 if above[0] else -1e4 * y[0])],
        (0.0, 12.0), [1.0, 0.0],
    ),
    "dead zone": Problem(
        lambda t, y: [y[1], -0.2 * y[1] - np.where(y[0] > 0.3, 1.5, np.where(y[0] < -0.3, -1.5, 0.0))
                      + 0.4 * np.sin(t)],
        lambda t, y: [y[0] - 0.3, -y[0] - 0.3],
        lambda t, y, above: [y[1], -0.2 * y[1] - (1.5 if above[0] else -1.5 if above[1] else 0.0) + 0.4 * np.sin(t)],
        (0.0, 30.0), [2.0, 0.0],
    ),
    "rectifier": Problem(
        lambda t, y: [200 * np.maximum(10 * np.sin(100 * np.pi * t) - y[0], 0.0) - y[0]],
        lambda t, y: [10 * np.sin(100 * np.pi * t) - y[0]],
        lambda t, y, above: [200 * (10 * np.sin(100 * np.pi * t) - y[0] if above[0] else 0.0) - y[0]],
        (0.0, 0.2), [0.0],
    ),
    "saturation": Problem(
        lambda t, y: [y[1], np.clip(-4 * y[0] - 1.5 * y[1], -1.0, 1.0)],
        lambda t, y: [-4 * y[0] - 1.5 * y[1] - 1, 4 * y[0] + 1.5 * y[1] - 1],
        lambda t, y, above: [y[1], 1.0 if above[0] else -1.0 if above[1] else -4 * y[0] - 1.5 * y[1]],
        (0.0, 20.0), [3.0, 0.0],
    ),
    "diode": Problem(chua_diode, lambda t, y: [y[0] + 1, y[0] - 1], chua_decided, (0.0, 8.0), [0.7, 0.0, 0.0]),
    "threshold": Problem(
        lambda t, y: [y[0] * (1 - y[1]), y[1] * (y[0] - 1.0 if y[0] > 1.0 else 0.5 * (y[0] - 1.0))],
        lambda t, y: [y[0] - 1],
        lambda t, y, above: [y[0] * (1 - y[1]), y[1] * (y[0] - 1) * (1.0 if above[0] else 0.5)],
        (0.0, 30.0), [2.0, 1.0],
    ),
    "gap": Problem(
        gap, lambda t, y: [y[0] - y[2] - 0.1, y[2] - y[0] - 0.1], gap_decided, (0.0, 10.0), [1.0, 0.0, 0.0, 0.5]
    ),
    "friction": Problem(stribeck, lambda t, y: [y[1]], stribeck_decided, (0.0, 20.0), [0.0, 1.0]),
    "tanks": Problem(tanks, lambda t, y: [y[0] - 2, y[1] - 0.4], tanks_decided, (0.0, 30.0), [0.0, 0.0]),
    "relaxation": Problem(
        relaxation, lambda t, y: [y[0] - 1, -y[0] - 1], relaxation_decided, (0.0, 20.0), [2.0, 0.0]
    ),
    "stiff relay": Problem(
        lambda t, y: [-1000 * (y[0] - y[1]), y[2], -y[1] - 0.1 * y[2] - np.where(y[1] < 0.0, -0.5, 0.5) + y[0]],
        lambda t, y: [-y[1]],
        lambda t, y, above: [-1000 * (y[0] - y[1]), y[2], -y[1] - 0.1 * y[2] + (0.5 if above[0] else -0.5) + y[0]],
        (0.0, 6.0), [1.0, 0.0, 1.0],
    ),
    "several": Problem(
        lambda t, y: [2.0 - 0.3 * (y[0] > 1) - 0.3 * (y[0] > 2) - 0.3 * (y[0] > 3) + 0.1 * (2 * y[0] > 6)
                      - 0.7 * (y[0] > 5)],
        lambda t, y: [y[0] - 1, y[0] - 2, y[0] - 3, y[0] - 5],
        lambda t, y, above: [2.0 - 0.3 * above[0] - 0.3 * above[1] - 0.2 * above[2] - 0.7 * above[3]],
        (0.0, 10.0), [0.0],
    ),
    "of time": Problem(
        lambda t, y: [y[1], -y[0] + np.where(y[0] > np.sin(0.7 * t), -0.5, 0.5)],
        lambda t, y: [y[0] - np.sin(0.7 * t)],
        lambda t, y, above: [y[1], -y[0] + (-0.5 if above[0] else 0.5)],
        (0.0, 20.0), [0.0, 1.0],
    ),
    "narrow": Problem(
        lambda t, y: [np.where(np.abs(y[0] - 1.0) < 1e-4, 0.5, 1.0) + 0.0 * y[0]],
        lambda t, y: [y[0] - (1 - 1e-4), y[0] - (1 + 1e-4)],
        lambda t, y, above: [0.5 if above[0] and not above[1] else 1.0],
        (0.0, 3.0), [0.0],
    ),
    "nested": Problem(
        lambda t, y: [y[1], np.where(np.where(y[0] > 0, y[1], -y[1]) > 0.2, 0.3, -0.3) - y[0]],
        lambda t, y: [y[0], y[1] - 0.2, -y[1] - 0.2],
        lambda t, y, above: [y[1], (0.3 if (above[1] if above[0] else above[2]) else -0.3) - y[0]],
        (0.0, 15.0), [0.0, 1.0],
    ),
    "backward": Problem(
        lambda t, y: [y[1], -np.where(y[0] > 0.2, 2.0, 1.0) * y[0] - 0.02 * np.abs(y[1]) * y[1]],
        lambda t, y: [y[0] - 0.2, y[1]],
        lambda t, y, above: [y[1], -(2.0 if above[0] else 1.0) * y[0] - 0.02 * (1 if above[1] else -1) * y[1] ** 2],
        (10.0, 0.0), [1.0, 0.0],
    ),
    "harvest": Problem(
        lambda t, y: [y[0] * (1 - y[0]) - np.heaviside(y[0] - 0.8, 0.5) * 0.05 * np.sin(t) ** 2],
        lambda t, y: [y[0] - 0.8],
        lambda t, y, above: [y[0] * (1 - y[0]) - (0.05 if above[0] else 0.0) * np.sin(t) ** 2],
        (0.0, 30.0), [0.1],
    ),
    "from the switch": Problem(
        lambda t, y: [y[1], -np.where(y[0] >= 0, 4.0, 1.0) * y[0]],
        lambda t, y: [y[0]],
        lambda t, y, above: [y[1], -(4.0 if above[0] else 1.0) * y[0]],
        (1.0, 10.0), [0.0, -1.0],
    ),
    "stops": Problem(stops, lambda t, y: [y[0] - 0.6, -y[0] - 0.6], stops_decided, (0.0, 25.0), [0.5, 0.0]),
}  # fmt: skip
"""By their names."""

SOON, SHORTEST = 1e-10, 1e-3
"""Share of the span after which truths are read, and longest step of SciPy's, which sees no changes within one."""


def reference(problem):
    """State at the end: by SciPy, with events at all changes of truths and restarts there."""
    _, compared, decided, (t, end), y = problem
    soon, longest, y = SOON * (end - t), SHORTEST * abs(end - t), np.array(y)

    def above(t, y, known):
        """Truths soon after a time."""
        return [one > 0 for one in compared(t + soon, y + soon * np.array(decided(t, y, known)))]

    known = above(t, y, [one > 0 for one in compared(t, y)])
    for _ in range(1000):
        events = []
        for k, holds in enumerate(known):

            def change(t, y, k=k):
                return compared(t, y)[k]

            change.terminal, change.direction = True, -1 if holds else 1
            events.append(change)
        found = scipy_ivp(
            lambda t, y, known=known: decided(t, y, known), (t, end), y, "DOP853", rtol=1e-13, atol=1e-14,
            events=events, max_step=longest,
        )  # fmt: skip
        t, y = found.t[-1], found.y[:, -1]
        if found.status == 0:
            return y
        known = [not one if len(times) else one for one, times in zip(known, found.t_events, strict=True)]
        known = above(t, y, known)
    raise RuntimeError("the truths change too often")

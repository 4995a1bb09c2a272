"""Right-hand sides as people write them, which taught something, and their solutions by SciPy, restarted at jumps."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.integrate import solve_ivp as scipys
from scipy.interpolate import interp1d


@dataclass
class Problem:
    fun: object
    end: float
    y0: list
    jumps: tuple = ()
    args: tuple = ()


def constant(t, y):
    return [1, 2]


def rocket(t, y):
    height, speed, mass = y
    if t < 60:
        thrust, flow = 3.0e5, 80.0
    elif t < 120:
        thrust, flow = 1.0e5, 30.0
    else:
        thrust, flow = 0, 0
    gravity = 9.81 * (6371e3 / (6371e3 + height)) ** 2
    drag = 0.5 * 1.225 * np.exp(-height / 8500) * speed * abs(speed) * 0.6
    return speed, (thrust - drag) / mass - gravity, -flow


def infusion(t):
    for start in (0, 12, 24, 36):
        if start <= t < start + 1:
            return 100.0
    return 0.0


def two_compartments(t, y, clearance, volume):
    central, outer = y
    change = infusion(t) - (clearance / volume + 0.15) * central + 0.075 * outer
    return np.array([change, 0.15 * central - 0.075 * outer])


LEVELS = np.array([1.0, 3.0, 0.5, 2.0])


def scheduled(t, y):
    return [LEVELS[min(int(t // 5), 3)] - y[0]]


STEPS = interp1d([0.0, 5.0, 10.0, 15.0], LEVELS, kind="previous", fill_value="extrapolate")


def tabulated(t, y):
    return STEPS(t) - y


def square_wave(t, x):
    voltage = 1 if (t * 100) % 1 < 0.5 else -1
    return [(voltage - 10 * x[0] - x[1]) / 1e-2, x[0] / 1e-5]


def two_springs(t, y):
    stiffness = 4.0 if y[0] > 0 else 1.0
    return [y[1], -stiffness * y[0]]


def growth(t, y):
    cells, food = y
    rate = 0.5 * food / (0.2 + food) if food > 0 else 0
    assert math.isfinite(cells)
    return [rate * cells, -rate * cells / 0.4]


def with_derivatives(t, y):
    matrix = np.array([[0, 1], [-np.cos(y[0]), 0]])
    return np.append([y[1], -np.sin(y[0])], matrix.dot(y[2:].reshape(2, 2)))


PROBLEMS = {
    "integers": Problem(constant, 3.0, [0.0, 1.0]),
    "stages of a rocket": Problem(rocket, 200.0, [0, 0, 12000.0], (60.0, 120.0)),
    "infusions": Problem(two_compartments, 48.0, [0, 0], (1, 12, 13, 24, 25, 36, 37), (5.0, 20.0)),
    "a schedule": Problem(scheduled, 30.0, [0.0], (5.0, 10.0, 15.0)),
    "a table of steps": Problem(tabulated, 18.0, [0.0], (5.0, 10.0, 15.0)),
    "a square wave": Problem(square_wave, 0.02, [0, 0], (0.005, 0.01, 0.015)),
    "two springs": Problem(two_springs, 10.0, [1, 0]),
    "growth until food is gone": Problem(growth, 20.0, [0.1, 10]),
    "variational equations": Problem(with_derivatives, 10.0, [1, 0, 1, 0, 0, 1]),
}


def reference(problem):
    """The state at the end; steps of SciPy's end a little before the jumps, and begin a little after them."""
    y = np.array(problem.y0, float)
    for begin, end in pairwise([0.0, *problem.jumps, problem.end]):
        low, high = begin + 1e-13 * problem.end, end - 1e-13 * problem.end

        def fun(t, y, low=low, high=high):
            return problem.fun(min(max(t, low), high), y, *problem.args)

        y = scipys(fun, (begin, end), y, "DOP853", rtol=1e-12, atol=1e-14, max_step=problem.end / 100).y[:, -1]
    return y

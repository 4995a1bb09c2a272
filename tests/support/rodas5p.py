"""Rodas5P with step control in NumPy, one operation after the other as in the compiled driver: its oracle."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from parscan._recorded.native import rodas5p

EIGHT = 8

SAFETY, SLOWEST, FASTEST, UNKNOWN = 0.9, 0.2, 6.0, 0.25


def lower(rows, size=EIGHT):
    """Rows of coefficients as a matrix."""
    found = np.zeros((size, size))
    for i, row in enumerate(rows):
        found[i, : len(row)] = row
    return found


@dataclass(frozen=True)
class Method:
    """Coefficients as arrays: see `rodas5p.py`."""

    gamma: float
    c: Any
    d: Any
    a: Any
    C: Any
    b: Any

    @property
    def weights(self):
        """Weights of the stages in the new state."""
        return np.append(self.a[-1, :-1], 1.0)


def method():
    """The coefficients of the package."""
    a = lower(rodas5p.STATES)
    a[6:, :5] = a[5, :5]
    a[6, 5] = a[7, 5] = a[7, 6] = 1.0
    d, C, b = np.array(rodas5p.OF_TIME), lower(rodas5p.RIGHT_SIDES), np.array(rodas5p.BETWEEN)
    return Method(rodas5p.GAMMA, np.array(rodas5p.TIMES), d, a, C, b)


@dataclass(frozen=True)
class Problem:
    """`y' = fun(t, y)` with the derivatives by the state and by time: by complex steps, exact to rounding."""

    fun: Any

    def f(self, t, y):
        return np.array(self.fun(t, y), dtype=float)

    def jacobian(self, t, y):
        columns = []
        for k in range(len(y)):
            shifted = y.astype(complex)
            shifted[k] += 1e-60j
            columns.append(np.imag(np.array(self.fun(t, shifted), dtype=complex)) / 1e-60)
        return np.stack(columns, axis=-1)

    def f_t(self, t, y):
        return np.imag(np.array(self.fun(t + 1e-60j, y.astype(complex)), dtype=complex)) / 1e-60


@dataclass(frozen=True)
class Solution:
    """Accepted steps: their ends `(k + 1,)`, states `(k + 1, n)`, coefficients `(k, 4, n)` of powers of θ."""

    status: str
    t: Any
    y: Any
    coefficients: Any
    rejected: int

    def __call__(self, time):
        """State at a time."""
        forward = self.t[-1] >= self.t[0]
        place = np.searchsorted(self.t if forward else -self.t, time if forward else -time) - 1
        place = min(max(place, 0), len(self.t) - 2)
        share = (time - self.t[place]) / (self.t[place + 1] - self.t[place])
        return self.y[place] + sum(c * share ** (k + 1) for k, c in enumerate(self.coefficients[place]))


def step(problem, t, y, h, coefficients=None):
    """New state, stages and error estimate of a step."""
    m = coefficients or method()
    f, J, f_t = problem.f(t, y), problem.jacobian(t, y), problem.f_t(t, y)
    matrix, stages = np.eye(len(y)) / m.gamma - h * J, np.zeros((EIGHT, len(y)))
    for i in range(EIGHT):
        slope = problem.f(t + m.c[i] * h, y + m.a[i, :i] @ stages[:i]) if i else f
        right = h * slope + h * h * m.d[i] * f_t + m.C[i, :i] @ stages[:i]
        stages[i] = np.linalg.solve(matrix, right)
    return y + m.weights @ stages, stages, stages[-1]


def powers(y, new, stages):
    """Coefficients of the powers θ to θ⁴ of the polynomial between the ends of a step, `(4, n)`."""
    b = method().b @ stages
    return np.stack([new - y + b[0], b[1] - b[0], b[2] - b[1], -b[2]])


def first_step(problem, t, y, scale, longest):
    """Length of the first step, by the second derivative of the solution."""
    f = problem.f(t, y)
    size, rate = norm(y, scale), norm(f, scale)
    change = norm(problem.jacobian(t, y) @ f + problem.f_t(t, y), scale)
    h = 0.01 * size / rate if min(size, rate) >= 1e-5 else 1e-6
    largest = max(rate, change)
    wanted = (0.01 / largest) ** (1 / 5) if largest > 1e-15 else max(1e-6, 1e-3 * h)
    return min(100 * h, wanted, longest)


def norm(error, scale):
    """Root mean square in tolerances."""
    return float(np.sqrt(np.mean((error / scale) ** 2)))


def solve(fun, span, y0, rtol, atol, max_step=np.inf, first=None, most=100_000):
    """Solve a problem with step control."""
    problem, (t, end) = Problem(fun), span
    y, sign = np.array(y0, dtype=float), 1.0 if end >= t else -1.0
    longest = min(max_step, abs(end - t))
    h = sign * (min(first, longest) if first else first_step(problem, t, y, atol + rtol * np.abs(y), longest))
    times, states, polynomials, rejected = [t], [y], [], 0
    before, after_rejection, status = None, False, "FINISHED"
    while t != end:
        if len(polynomials) + rejected >= most:
            status = "TOO_MANY_STEPS"
            break
        if abs(h) < 4 * np.spacing(abs(t)):
            status = "STEP_TOO_SMALL"
            break
        later = end if abs(h) * 1.01 >= abs(end - t) and abs(end - t) <= max_step else t + h
        h = later - t
        with np.errstate(all="ignore"):
            new, stages, difference = step(problem, t, y, h)
            error = norm(difference, atol + rtol * np.maximum(np.abs(y), np.abs(new)))
        if not error <= 1.0:
            h *= max(SLOWEST, SAFETY * error**-0.2) if np.isfinite(error) else UNKNOWN
            rejected, after_rejection = rejected + 1, True
            continue
        factor = min(FASTEST, SAFETY * max(error, 1e-10) ** -0.2)
        if before:
            predicted = SAFETY * abs(h / before[0]) * (before[1] / max(error, 1e-10) ** 2) ** 0.2
            factor = min(factor, predicted)
        factor = max(factor, SLOWEST)
        factor = min(factor, 1.0) if after_rejection else factor
        polynomials.append(powers(y, new, stages))
        t, y, before, after_rejection = later, new, (h, max(error, 0.01)), False
        times.append(t)
        states.append(y)
        h = sign * min(abs(h) * factor, max_step)
    return Solution(status, np.array(times), np.array(states), np.array(polynomials), rejected)

"""Rodas5P with step control in NumPy, one operation after the other as in the compiled driver: its oracle."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from parscan._recorded.native import rodas5p

EIGHT = 8

SAFETY, SLOWEST, FASTEST, EASIEST = 0.9, 0.2, 10.0, 2.5
"""Step control: safety factor, the smallest and the largest ratio of successive steps, and the largest power -1/5 of
the error of an accepted step that predicts the next error."""

EPS = np.finfo(float).eps


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


def first_step(problem, t, y, scale, longest, sign):
    """Length of the first step (Hairer, Nørsett and Wanner 1993, section II.4)."""
    f = problem.f(t, y)
    size, rate = norm(y, scale), norm(f, scale)
    h = min(0.01 * size / rate if min(size, rate) >= 1e-5 else 1e-6, longest)
    change = norm(problem.f(t + sign * h, y + sign * h * f) - f, scale) / h
    largest = max(rate, change)
    wanted = (0.01 / largest) ** (1 / 5) if largest > 1e-15 else max(1e-6, 1e-3 * h)
    return min(100 * h, wanted, longest)


def norm(error, scale):
    """Root mean square in tolerances."""
    return float(np.sqrt(np.mean((error / scale) ** 2)))


def solve(fun, span, y0, rtol, atol, max_step=np.inf, first=0.0, most=100_000):
    """Solve a problem with step control."""
    problem, (t, end) = Problem(fun), span
    y, sign = np.array(y0, dtype=float), 1.0 if end >= t else -1.0
    size = first or first_step(problem, t, y, atol + rtol * np.abs(y), min(max_step, abs(end - t)), sign)
    times, states, polynomials, rejected = [t], [y], [], 0
    before, after_rejection, finite, status = None, False, True, "FINISHED"
    while t != end:
        least = max(10 * EPS * abs(t), 1e-300)
        size = min(size, max_step)
        if size < least and after_rejection:
            status = "STEP_TOO_SMALL" if finite else "NOT_FINITE"
            break
        if len(polynomials) + rejected >= most:
            status = "TOO_MANY_STEPS"
            break
        later = t + sign * max(size, least)
        later = end if (later - end) * sign > 0 else later
        h = later - t
        with np.errstate(all="ignore"):
            new, stages, difference = step(problem, t, y, h)
            error = norm(difference, atol + rtol * np.maximum(np.abs(y), np.abs(new)))
            ease, accepted, finite = max(error, 1e-10) ** -0.2, error < 1.0, np.isfinite(error)
        factor = SAFETY * ease
        if accepted:
            if before:
                factor = min(factor, SAFETY * abs(h) / before[0] * ease**2 / before[1])
            before = abs(h), min(ease, EASIEST)
            polynomials.append(powers(y, new, stages))
            t, y = later, new
            times.append(t)
            states.append(y)
        else:
            rejected += 1
        factor = max(factor, SLOWEST) if finite else SLOWEST
        size = abs(h) * min(factor, 1.0 if after_rejection else FASTEST)
        after_rejection = not accepted
    return Solution(status, np.array(times), np.array(states), np.array(polynomials), rejected)

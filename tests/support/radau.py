"""Radau IIA with step control in NumPy, one operation after the other as in the compiled driver: its oracle.

The iterations and the control are those of the codes RADAU5 and RADAU: Hairer and Wanner, "Solving Ordinary
Differential Equations II", 2nd edition, Springer 1996, section IV.8. Each step has a new Jacobian.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parscan._recorded.native.radau_iia import coefficients
from tests.support.rodas5p import EPS, Problem, norm

SAFETY, SLOWEST, FASTEST, EASIEST = 0.9, 0.2, 10.0, 2.5
"""Step control: safety factor, the smallest and the largest ratio of successive steps, and the largest power of the
error of an accepted step that predicts the next error."""

LOOSEST, MOST, SLOW, HALF = 0.01, 17, 0.99, 0.5
"""Newton's iterations: their error in tolerances, their largest number, the ratio of changes that is given up, and the
shorter step then."""

FARTHEST = 2.0
"""Ratio of steps up to which the polynomial of the step before begins the iterations."""

FAILED = 1e9
"""Error of a step without stages."""


@dataclass(frozen=True)
class Solution:
    """Accepted steps: their ends `(k + 1,)`, states `(k + 1, n)`, changes up to the stages `(k, s, n)`."""

    status: str
    t: Any
    y: Any
    stages: Any
    rejected: int
    evaluations: int

    def __call__(self, time):
        """State at a time."""
        forward = self.t[-1] >= self.t[0]
        place = np.searchsorted(self.t if forward else -self.t, time if forward else -time) - 1
        place = min(max(place, 0), len(self.t) - 2)
        share = (time - self.t[place]) / (self.t[place + 1] - self.t[place])
        c = np.append(0.0, coefficients(self.stages.shape[1]).c)
        values = np.concatenate([np.zeros((1, self.y.shape[1])), self.stages[place]])
        apart = c[:, None] - c + np.eye(len(c))
        weights = [np.prod(np.delete((share - c) / apart[k], k)) for k in range(len(c))]
        return self.y[place] + weights @ values


@dataclass
class Iterations:
    """What became of the stages of a step: the changes `z`, and by what the step is to be shorter, or 0."""

    z: Any
    passages: int
    trust: float
    shorter: float = 0.0


def iterate(m, problem, t, y, h, J, z, scale, limit, trust):
    """Simplified Newton's iterations."""
    w, eye = m.inverse @ z, np.eye(len(y))
    before, last = 0.0, 0.0
    for passage in range(1, MOST + 1):
        f = np.stack([problem.f(t + c * h, y + one) for c, one in zip(m.c, z, strict=True)])
        right, change = h * m.inverse @ f, np.empty_like(w)
        change[0] = np.linalg.solve(m.real * eye - h * J, right[0] - m.real * w[0])
        for k, pair in enumerate(m.pairs):
            own, given = (one[1 + 2 * k] - 1j * one[2 + 2 * k] for one in (w, right))
            found = np.linalg.solve(pair * eye - h * J, given - pair * own)
            change[1 + 2 * k], change[2 + 2 * k] = found.real, -found.imag
        w = w + change
        z, size = m.T @ w, norm(change, scale)
        if not np.isfinite(size):
            return Iterations(z, passage, trust, HALF)
        if passage > 1:
            ratio = size / before
            mean = ratio if passage == 2 else np.sqrt(ratio * last)
            last = ratio
            if mean >= SLOW:
                return Iterations(z, passage, trust, HALF)
            trust = mean / (1 - mean)
            left = trust * size * mean ** max(MOST - 1 - passage, 0) / limit
            if left >= 1 and passage < MOST:
                shorter = 0.8 * min(max(left, 1e-4), 20.0) ** (-1 / (3 + MOST - passage))
                return Iterations(z, passage, trust, shorter)
        if trust * size <= limit:
            return Iterations(z, passage, trust)
        before = max(size, EPS)
    return Iterations(z, MOST, trust, HALF)


def first_step(problem, t, y, scale, longest, sign, order):
    """Length of the first step (Hairer, Nørsett and Wanner 1993, section II.4)."""
    f = problem.f(t, y)
    size, rate = norm(y, scale), norm(f, scale)
    h = min(0.01 * size / rate if min(size, rate) >= 1e-5 else 1e-6, longest)
    change = norm(problem.f(t + sign * h, y + sign * h * f) - f, scale) / h
    largest = max(rate, change)
    wanted = (0.01 / largest) ** (1 / order) if largest > 1e-15 else max(1e-6, 1e-3 * h)
    return min(100 * h, wanted, longest)


@dataclass
class Solver:
    """What a solve remembers from step to step."""

    problem: Problem
    method: Any
    rtol: Any
    atol: Any
    evaluations: int = 2
    trust: float = 1.0
    before: tuple[float, float] | None = None
    shrunk: bool = False
    beyond: Any = field(default=None)

    def step(self, t, y, h):
        """Iterations, error and state at the end."""
        m, problem = self.method, self.problem
        J, f, z = problem.jacobian(t, y), problem.f(t, y), np.zeros((len(m.c), len(y)))
        if self.before and abs(h) <= FARTHEST * self.before[0]:
            z = (m.c[:, None] * (abs(h) / self.before[0])) ** np.arange(1, len(m.c) + 1) @ self.beyond
        scale = self.atol + self.rtol * np.abs(y)
        limit = max(10 * EPS / np.min(self.rtol), LOOSEST)
        found = iterate(m, problem, t, y, h, J, z, scale, limit, max(self.trust, EPS) ** 0.8)
        matrix, rest = m.real * np.eye(len(y)) - h * J, m.error @ found.z
        difference = np.linalg.solve(matrix, h * f + rest)
        error = norm(difference, scale)
        self.trust, self.evaluations = found.trust, self.evaluations + found.passages * len(m.c)
        if error >= 1 and (self.shrunk or not self.before) and not found.shorter:
            error = norm(np.linalg.solve(matrix, h * problem.f(t, y + difference) + rest), scale)
            self.evaluations += 1
        return found, FAILED if found.shorter and np.isfinite(error) else error, y + found.z[-1]

    def factor(self, found, error, accepted, h):
        """Ratio of the next step to this one, before limits."""
        safety = SAFETY * (1 + 2 * MOST) / (found.passages + 2 * MOST)
        ease = max(error, 1e-10) ** (-1 / (len(self.method.c) + 1)) if np.isfinite(error) else SLOWEST
        factor = safety * ease
        if accepted:
            if self.before:
                factor = min(factor, safety * abs(h) / self.before[0] * ease**2 / self.before[1])
            self.before, self.beyond = (abs(h), min(ease, EASIEST)), self.method.beyond @ found.z
        return found.shorter or factor


def solve(fun, span, y0, rtol, atol, stages=7, max_step=np.inf, first=0.0, most=100_000):
    """Solve a problem with step control."""
    problem, (t, end) = Problem(fun), span
    y, sign = np.array(y0, dtype=float), 1.0 if end >= t else -1.0
    solver = Solver(problem, coefficients(stages), rtol, atol)
    size = first or first_step(problem, t, y, atol + rtol * np.abs(y), min(max_step, abs(end - t)), sign, stages + 1)
    times, states, changes, rejected, finite, status = [t], [y], [], 0, True, "FINISHED"
    while t != end:
        least = max(10 * EPS * abs(t), 1e-300)
        size = min(size, max_step)
        if size < least and solver.shrunk:
            status = "STEP_TOO_SMALL" if finite else "NOT_FINITE"
            break
        if len(changes) + rejected >= most:
            status = "TOO_MANY_STEPS"
            break
        later = t + sign * max(size, least)
        later = end if (later - end) * sign > 0 else later
        with np.errstate(all="ignore"):
            found, error, new = solver.step(t, y, later - t)
            accepted, finite = error < 1.0, np.isfinite(error)
            factor = solver.factor(found, error, accepted, later - t)
        h = later - t
        if accepted:
            t, y = later, new
            times.append(t)
            states.append(y)
            changes.append(found.z)
        rejected += not accepted
        size = abs(h) * min(max(factor, SLOWEST), 1.0 if solver.shrunk else FASTEST)
        solver.shrunk = not accepted
    evaluations = solver.evaluations + 1 + len(changes)
    return Solution(status, np.array(times), np.array(states), np.array(changes), rejected, evaluations)

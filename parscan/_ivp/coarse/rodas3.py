"""The Rosenbrock method RODAS3 on any array library: coarse solutions of whole batches, with the same steps for all.

Four stages of order 3, embedded order 2, L-stable and stiffly accurate, three right-hand sides and a Jacobian a step:
Sandu, Verwer, Blom, Spee, Carmichael and Potra, "Benchmarking stiff ODE solvers for atmospheric chemistry problems II:
Rosenbrock solvers", Atmospheric Environment 31 (1997), in the form of Hairer and Wanner (1996), section IV.7:

    (I/(γh) - J) k_i = f(t + α_i h, y + Σ_j a_ij k_j) + Σ_j c_ij k_j / h + γ_i h ∂f/∂t,    y_new = y + Σ_j m_j k_j

Its own error estimate vanishes for y' = y², so that it would step over poles. A second estimate, by the trapezoidal
rule, is used as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, inf, isfinite, nan, ulp
from typing import TypeAlias

from ..._arrays.elementwise import ratio
from ..._arrays.namespace import Array, all_finite, array_namespace, machine_epsilon, quiet
from ..._engine.termination import Failure, Termination
from ..._functions.right_hand_side import RightHandSide
from ..core.failures import NOT_FINITE, TOO_SMALL, is_no_step
from ..core.first_step import first_step
from .hermite import interpolated
from .steps import CoarseSolution, Steps

Weights: TypeAlias = tuple[tuple[int, float], ...]
"""Pairs of a stage's index and its coefficient."""

GAMMA = 0.5
"""γ"""

A: tuple[Weights, ...] = ((), (), ((0, 2.0),), ((0, 2.0), (2, 1.0)))
"""Nonzero a_ij. Stages without any evaluate the right-hand side at the start of the step (α = 0), the others at its end
(α = 1)."""

C: tuple[Weights, ...] = ((), ((0, 4.0),), ((0, 1.0), (1, -1.0)), ((0, 1.0), (1, -1.0), (2, -8 / 3)))
"""c_ij"""

GAMMAS = (0.5, 1.5, 0.0, 0.0)
"""γ_i"""

M: Weights = ((0, 2.0), (2, 1.0), (3, 1.0))
"""m_j. Without the last one they are the weights of the embedded method, so the last stage is the error estimate."""

TRAPEZOID = 0.25
"""Factor on the difference to the trapezoidal rule: on linear problems with small steps, the second estimate is then
half of the first."""

FIRST = 16
"""Shortest first step, in spacings of the numbers at its time: the estimated first step may be below one spacing."""

MOST_STEPS = 100_000
"""Steps, taken or rejected, after which to give up."""

CREEPING = 400
"""
Steps, taken or rejected, within which the time is reached at which values were not finite, or else the solution ends
there. Beside the edge of a domain, as at y = 1 of sqrt(1 - y²), there are states, but no differences of them.
"""

SAFETY, SLOWEST, FASTEST = 0.9, 0.2, 5.0
"""Step controller: safety factor, and the smallest and largest ratio of successive steps."""

ORDER = 3
"""The error of a step is proportional to this power of its length."""


@dataclass(frozen=True)
class _Problem:
    """The problem. States and their derivatives have a leading axis of length one, `(1, *batch, n)`."""

    rhs: RightHandSide
    end: float
    rtol: float
    atol: Array
    max_step: float
    eye: Array

    def norm(self, error: Array, size: Array) -> float:
        """Root mean square over components in tolerances, the largest of the batch."""
        xp = array_namespace(error)
        errors = xp.abs(ratio(xp, error, self.atol + self.rtol * size))
        return float(xp.max(xp.mean(errors * errors, axis=-1))) ** 0.5


@dataclass(frozen=True)
class _Node:
    """A state with the right-hand side, its Jacobian and its derivative by time."""

    t: float
    y: Array
    f: Array
    J: Array
    f_t: Array

    @property
    def finite(self) -> bool:
        """Whether a step can start here."""
        return all_finite(self.f) and all_finite(self.f_t) and all_finite(self.J)


def by_stepping(
    rhs: RightHandSide,
    span: tuple[float, float],
    y0: Array,
    rtol: float,
    atol: Array,
    max_step: float = inf,
    most: int | None = None,
) -> CoarseSolution:
    """Coarse solution from `y0` `(*batch, n)`; it ends early, with the reason, where no step is small enough.

    `atol` is a number or an array `(n,)`.
    """
    begin, eye = float(span[0]), array_namespace(y0).eye(y0.shape[-1], dtype=y0.dtype)
    problem = _Problem(rhs, float(span[1]), rtol, atol, max_step, eye)
    t, y = begin, y0[None, ...]
    h = _first_step(problem, t, y)
    h = h if abs(h) > FIRST * ulp(t) else copysign(min(FIRST * ulp(t), abs(problem.end - t)), problem.end - t)
    node = _linearise(rhs, t, y, h)
    nodes, failure = [(t, y, node.f)], None if node.finite else NOT_FINITE
    shortest = 10 * machine_epsilon("float64") ** 2 * abs(problem.end - t)  # at t = 0, the spacing is no limit
    grows, finite, bad, first_bad, creeping = FASTEST, True, None, None, 0
    most = MOST_STEPS if most is None else most
    for _ in range(most):
        if node.t == problem.end or failure:
            break
        if abs(h) < shortest or (is_no_step(node.t, node.t + h) and node.t + h != problem.end):
            near = bad is not None and is_no_step(node.t, node.t + (bad - node.t) / 4)  # the last steps led close to it
            failure = NOT_FINITE if near or not finite else TOO_SMALL
            break
        is_ahead = first_bad is not None and abs(first_bad - begin) > abs(node.t - begin)
        creeping, first_bad = (creeping + 1, first_bad) if is_ahead else (0, None)
        if creeping > CREEPING:
            failure = NOT_FINITE
            break
        t, h = _next_time(problem, node.t, h)
        y, error = _attempt(problem, node, t, h)
        if error <= 1.0:
            new = _arrive(problem, t, y, h)
            error = max(_second_error(problem, node, new, h), error) if new.finite else nan  # NaN if the first is
        finite = isfinite(error)
        bad, first_bad = (bad, first_bad) if finite else (t, t if first_bad is None else first_bad)
        factor = _factor(error)
        if error <= 1.0:
            node, h, grows = new, h * min(factor, grows), FASTEST
            nodes.append((t, y, node.f))
            continue
        h, grows = h * factor, 1.0
    else:
        failure = Failure(Termination.LONG, f"the rough solution took more than {most} steps")
    failed_at = (t if bad is None else bad) if failure == NOT_FINITE else None
    times, states, slopes = zip(*nodes, strict=True)
    xp = array_namespace(y0)
    t = xp.asarray(times, dtype=xp.float64)
    return interpolated(Steps(t, xp.concat(states), xp.concat(slopes), failure, failed_at), rtol, atol)


def _factor(error: float) -> float:
    """Factor on the length of the next step; one half where the error is unknown."""
    if not isfinite(error):
        return 0.5
    return min(FASTEST, max(SLOWEST, SAFETY * max(error, 1e-9) ** (-1 / ORDER)))


def _next_time(problem: _Problem, t: float, h: float) -> tuple[float, float]:
    """End and length of a step of about h. If the end is near, two equal steps lead to it, so that none is tiny."""
    remaining = problem.end - t
    size = min(abs(h), problem.max_step)
    if size >= abs(remaining):
        return problem.end, remaining
    h = size if remaining > 0 else -size
    if 0.9 * abs(remaining) < size:
        h = remaining / 2
    later = t + h
    return later, later - t  # not h: at large times, the sum is rounded


def _first_step(problem: _Problem, t: float, y: Array) -> float:
    """The signed length of the first step."""
    xp = array_namespace(y)
    longest = min(abs(problem.end - t), problem.max_step)
    direction = 1.0 if problem.end >= t else -1.0

    def slope(time: float, state: Array) -> Array:
        return problem.rhs(xp.asarray([time], dtype=xp.float64), state)

    f, size = slope(t, y), xp.abs(y)

    def change(h: float) -> float:
        return problem.norm(slope(t + direction * h, y + direction * h * f) - f, size)

    with quiet():
        return direction * first_step(problem.norm(y, size), problem.norm(f, size), change, longest, ORDER)


def _linearise(rhs: RightHandSide, t: float, y: Array, h: float) -> _Node:
    """Right-hand side, Jacobian and, by a difference in the direction of the next step h, the derivative by time."""
    xp = array_namespace(y)
    shift = machine_epsilon(y.dtype) ** 0.5 * abs(h) + 4 * ulp(t)
    later = t + shift if h >= 0 else t - shift
    times = xp.asarray([t, later], dtype=xp.float64)
    values = rhs(times, xp.concat([y, y]))
    f = values[:1, ...]
    with quiet():
        f_t = (values[1:, ...] - f) / (later - t) if later != t else xp.zeros_like(f)
    return _Node(t, y, f, rhs.jacobian(times[:1], y, f), f_t)


def _arrive(problem: _Problem, t: float, y: Array, h: float) -> _Node:
    """The node at the end of a step of length h; at the end of the span without Jacobian, as no step follows."""
    if t != problem.end:
        return _linearise(problem.rhs, t, y, h)
    f = problem.rhs(array_namespace(y).asarray([t], dtype=array_namespace(y).float64), y)
    return _Node(t, y, f, f, f)


def _attempt(problem: _Problem, node: _Node, t: float, h: float) -> tuple[Array, float]:
    """State after a step of length h to the time t, and its error in tolerances, NaN if it cannot be computed."""
    xp = array_namespace(node.y)
    end = xp.asarray([t], dtype=xp.float64)
    if GAMMA * h == 0:  # underflow
        return node.y, nan
    stages: list[Array] = []
    values = node.f
    with quiet():
        matrix = problem.eye * (1 / (GAMMA * h)) - node.J
        for a, c, gamma in zip(A, C, GAMMAS, strict=True):
            if a:
                values = problem.rhs(end, _sum(node.y, a, stages))
            right = _sum(values, c, stages, 1 / h)
            right = right + (gamma * h) * node.f_t if gamma else right
            try:
                stages.append(xp.linalg.solve(matrix, right[..., None])[..., 0])
            except ValueError:  # NumPy's LinAlgError: exactly singular
                return node.y, nan
        y = _sum(node.y, M, stages)
        return y, problem.norm(stages[-1], xp.maximum(xp.abs(node.y), xp.abs(y)))


def _second_error(problem: _Problem, node: _Node, new: _Node, h: float) -> float:
    """Difference to the trapezoidal rule in tolerances, multiplied by (I - γhJ)⁻¹, which damps stiff components."""
    xp = array_namespace(node.y)
    with quiet():
        matrix = problem.eye - (GAMMA * h) * node.J
        difference = (0.5 * h) * (node.f + new.f) - (new.y - node.y)
        try:
            error = xp.linalg.solve(matrix, (TRAPEZOID * difference)[..., None])[..., 0]
        except ValueError:  # as above
            return nan
        return problem.norm(error, xp.maximum(xp.abs(node.y), xp.abs(new.y)))


def _sum(base: Array, weights: Weights, stages: list[Array], scale: float = 1.0) -> Array:
    """Base plus weighted stages."""
    for j, weight in weights:
        base = base + (weight * scale) * stages[j]
    return base

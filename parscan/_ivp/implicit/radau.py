"""Radau IIA of order 5 with variable steps for `F(t, y, y') = 0`, on arrays.

Hairer and Wanner, Solving Ordinary Differential Equations II, 1996: simplified Newton iterations by one real and one
complex system (IV.8), the filtered error estimate and the step control (IV.8), components of index 2 and 3 (VII.4). The
stages are `y + Z_i` with slopes `K = A⁻¹ Z / h`, and solve `F(t + c_i h, y + Z_i, K_i) = 0`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from ..._arrays.namespace import Array, all_finite, quiet
from ..._engine.termination import Failure, Termination
from ..core.failures import NOT_FINITE, SHORTEST, surely_a_step
from ..core.polynomial import PiecewisePolynomial
from ..core.tableaux import radau
from .index import DIFFERENCED, ROUNDED, singular_places
from .pencil import Pair, Pencils
from .problem import ImplicitProblem
from .steps import ImplicitSteps, Until

TABLEAU = radau(3)
"""Three stages, order 5."""

_VALUES, _VECTORS = np.linalg.eig(TABLEAU.inverse)
_REAL, _COMPLEX = int(np.argmin(np.abs(_VALUES.imag))), int(np.argmax(_VALUES.imag))
_BACK = np.linalg.inv(_VECTORS)

REAL, COMPLEX = float(_VALUES[_REAL].real), complex(_VALUES[_COMPLEX])
"""Eigenvalues of the inverse of Radau's matrix; the third one is the conjugate."""

OF_ERROR = np.array([-13 - 7 * 6**0.5, -13 + 7 * 6**0.5, -1.0]) / 3
"""Weights of the `Z_i` in the error estimate."""

ITERATIONS = 7
"""Largest number of Newton iterations."""

TIGHTER = 0.1
"""Factor on the tolerance of Newton's method for each index above 1: what is left of positions, divided by the step, is
an error of velocities, and by its square, of forces."""

SAFETY, LEAST, MOST = 0.9, 0.2, 8.0
"""Share of the step that would just meet the tolerance; smallest and largest ratio of successive steps."""

KEPT = 1.0, 1.2
"""Ratios of steps between which step and factors stay."""

FRESH, FEW = 1e-3, 2
"""A pencil is kept if Newton's method contracts by less than this, or needs no more than so many iterations."""

FIRST, OF_SPAN = 0.01, 1e-2
"""First step as a share of the time in which components change by their size, and of the span, at most."""

SHRUNK, HALVED = 0.25, 0.5
"""Ratios of steps after Newton's method failed with a new pencil, and after values that are not finite."""

PART = 16
"""Steps after which `until` is asked."""


@dataclass(frozen=True, eq=False)
class _Newton:
    """
    How Newton's method ended: the `Z` `(3, n)`, or None, and slopes `K`; iterations, and the last contraction.

    `unsolved` are the last `Z` where it did not converge.
    """

    stages: Array | None
    slopes: Array
    iterations: int
    rate: float
    is_finite: bool = True
    unsolved: Array | None = None


class _Systems:
    """The factors of `λ/h ∂F/∂y' + ∂F/∂y` for one step and pencil; None if they are singular."""

    def __init__(self, pair: Pair, h: float) -> None:
        from scipy.linalg import LinAlgWarning, lu_factor, lu_solve  # noqa: PLC0415 - slow to import

        self.pair, self.h, self._solve = pair, h, lu_solve
        self.is_regular = True
        by_state, by_slope = pair
        self._factors = []
        if not (all_finite(by_state) and all_finite(by_slope)):
            self.is_regular = False
            return
        with warnings.catch_warnings():
            warnings.simplefilter("error", LinAlgWarning)
            try:
                self._factors = [
                    lu_factor(value / h * by_slope + by_state, check_finite=False) for value in (REAL, COMPLEX)
                ]
            except LinAlgWarning:
                self.is_regular = False

    def correct(self, residuals: Array) -> Array:
        """Corrections `(3, n)` of `Z` for residuals of the stages."""
        turned = _BACK @ residuals
        first = self._solve(self._factors[0], turned[_REAL].real, check_finite=False)
        second = self._solve(self._factors[1], turned[_COMPLEX], check_finite=False)
        found: Array = -(
            (_VECTORS[:, _REAL, None] * first).real + 2 * (_VECTORS[:, _COMPLEX, None] * second[None]).real
        )
        return found

    def filtered(self, right: Array) -> Array:
        """The solution of the real system."""
        found: Array = self._solve(self._factors[0], right, check_finite=False)
        return found


class Radau:
    """
    A march.

    Parameters
    ----------
    problem : ImplicitProblem
        With consistent `y0` and `yp0`, and its index.
    pencils : Pencils
    until : callable, optional
        See `Until`.
    """

    def __init__(self, problem: ImplicitProblem, pencils: Pencils, until: Until | None = None) -> None:
        assert problem.index is not None
        assert problem.yp0 is not None
        self._problem, self._pencils, self._until = problem, pencils, until
        (self.t, self._end), self.y, self.yp = problem.span, problem.y0, problem.yp0
        self._way = 1.0 if self._end >= self.t else -1.0
        self._powers = problem.index - 1
        self._enough = problem.scale.enough * TIGHTER ** int(np.max(self._powers, initial=0))
        self._nodes, self._states, self._slopes = [self.t], [self.y], list[Array]()
        self._pair: Pair = (np.zeros((0, 0)), np.zeros((0, 0)))
        self._is_fresh = False
        self._systems: _Systems | None = None
        self._last: PiecewisePolynomial | None = None
        self._before: tuple[float, float] | None = None
        self._calls = self._factorisations = self._rejected = self._told = 0

    def run(self) -> ImplicitSteps:
        """March to the end, or until it fails."""
        failure = None
        with quiet():
            self._renew()
            h = self._first_step()
            while failure is None and self._way * (self._end - self.t) > 0:
                found = self._step(h)
                if isinstance(found, Failure):
                    failure = found
                else:
                    h = found
                    if self._asks() and self._until is not None and self._until(self._part()):
                        break
        whole = self._polynomial(0)
        return ImplicitSteps(
            whole, failure, None if failure is None else self.t, self._calls + self._pencils.calls,
            self._pencils.count, self._factorisations, self._rejected,
        )  # fmt: skip

    def _asks(self) -> bool:
        """Whether enough steps were taken since `until` was asked, or all."""
        count = len(self._slopes) - self._told
        return count >= PART or (count > 0 and self.t == self._end)

    def _part(self) -> PiecewisePolynomial:
        """The steps since then."""
        part = self._polynomial(self._told)
        assert part is not None
        self._told = len(self._slopes)
        return part

    def _polynomial(self, first: int) -> PiecewisePolynomial | None:
        if len(self._slopes) <= first:
            return None
        return PiecewisePolynomial(
            TABLEAU, np.array(self._nodes[first:]), np.stack(self._states[first:]), np.stack(self._slopes[first:])
        )

    def _renew(self) -> None:
        """Evaluate the pencil here."""
        self._pair, self._is_fresh, self._systems = self._pencils(self.t, self.y, self.yp), True, None

    def _first_step(self) -> float:
        """The length of the first step."""
        problem = self._problem
        length = abs(self._end - self.t)
        if problem.first_step is not None:
            return min(problem.first_step, problem.max_step)
        bound = problem.bound(self.y)
        moves = np.any(self._pair[1] != 0, axis=0)
        size, speed = (float(np.sqrt(np.mean((one / bound)[moves] ** 2))) for one in (self.y, self.yp)) if np.any(
            moves
        ) else (0.0, 0.0)  # fmt: skip
        longest = OF_SPAN * length if isfinite(length) else inf
        wanted = FIRST * max(size, 1.0) / speed if speed > 0 else inf
        shortest = MOST * surely_a_step(self.t, self.t + longest if isfinite(longest) else self.t)
        found = min(max(wanted, shortest), longest, problem.max_step)
        return found if isfinite(found) else 1.0

    def _step(self, h: float) -> float | Failure:
        """Take one step, of this length or shorter; return the length of the next one, or why there is none."""
        problem, cause = self._problem, ""
        was_rejected = False
        while True:
            h = min(h, problem.max_step)
            left = abs(self._end - self.t)
            if h >= left * (1 - 1e-10):
                h = left
            elif h > left / 2:
                h = left / 2
            if h <= SHORTEST * max(abs(self.t), abs(self.t + self._way * h)) or h == 0:
                return self._too_short(cause)
            signed = self._way * h
            end = self._end if h == left else self.t + signed
            newton = self._solved(signed)
            if newton is not None and newton.stages is None and newton.is_finite and self._is_fresh:
                newton = self._solved_again(newton, signed) or newton
            if newton is None or newton.stages is None:
                self._rejected += 1
                if not self._is_fresh:
                    self._renew()
                    continue
                cause = "singular" if newton is None else "Newton" if newton.is_finite else "not finite"
                was_rejected = True
                self._systems = None
                h *= HALVED if cause == "not finite" else SHRUNK
                continue
            error = self._error(newton, signed, was_rejected=was_rejected or self._last is None)
            safety = SAFETY * (2 * ITERATIONS + 1) / (2 * ITERATIONS + newton.iterations)
            if not error <= 1:
                self._rejected += 1
                cause, was_rejected = "", True
                self._systems = None
                h *= max(LEAST, safety * (error**-0.25 if isfinite(error) else 0.0))
                continue
            return self._accept(newton, end, h, error, safety, was_rejected=was_rejected)

    def _accept(
        self, newton: _Newton, end: float, h: float, error: float, safety: float, *, was_rejected: bool
    ) -> float:  # fmt: skip
        """Keep a step; return the length of the next one."""
        assert newton.stages is not None
        factor = min(MOST, safety * self._predicted(h, error))
        if was_rejected:
            factor = min(1.0, factor)
        self._before = h, max(error, 1e-10)
        self.t, self.y, self.yp = end, self.y + newton.stages[-1], newton.slopes[-1]
        self._nodes.append(self.t)
        self._states.append(self.y)
        self._slopes.append(newton.slopes)
        self._last = self._polynomial(len(self._slopes) - 1)
        self._is_fresh = False
        if newton.iterations > FEW and newton.rate > FRESH:
            self._renew()
        elif KEPT[0] <= factor < KEPT[1]:
            return h
        else:
            self._systems = None
        return h * factor

    def _predicted(self, h: float, error: float) -> float:
        """Ratio of the next step to this one, after K. Gustafsson."""
        if error == 0:
            return MOST
        ratio = 1.0
        if self._before is not None:
            before, its_error = self._before
            ratio = h / before * (its_error / error) ** 0.25
        return float(min(1.0, ratio) * error**-0.25)

    def _solved(self, h: float) -> _Newton | None:
        """Newton's method for a step; None if the systems are singular."""
        if self._systems is None or self._systems.h != h:
            self._systems = _Systems(self._pair, h)
            self._factorisations += 2
        if not self._systems.is_regular:
            return None
        return self._iterated(self._guess(h), h)

    def _solved_again(self, newton: _Newton, h: float) -> _Newton | None:
        """Newton's method with the pencil in the middle of the step, where that of its begin did not suffice."""
        stages = newton.unsolved
        assert stages is not None
        middle = self.t + float(TABLEAU.c[1]) * h, self.y + stages[1], newton.slopes[1]
        self._systems = _Systems(self._pencils(*middle), h)
        self._factorisations += 2
        if not self._systems.is_regular:
            return None
        return self._iterated(stages, h)

    def _iterated(self, stages: Array, h: float) -> _Newton:
        """Newton's method from these `Z`."""
        problem, t, y, systems = self._problem, self.t, self.y, self._systems
        assert systems is not None
        bound = problem.bound(y) / min(1.0, abs(h)) ** self._powers
        before, rate = inf, inf
        for k in range(ITERATIONS):
            slopes = TABLEAU.inverse @ stages / h
            residuals = np.stack(
                [
                    problem.residual(t + float(c) * h, y + one, slope)
                    for c, one, slope in zip(TABLEAU.c, stages, slopes, strict=True)
                ]
            )
            self._calls += stages.shape[0]
            if not all_finite(residuals):
                return _Newton(None, slopes, k, rate, is_finite=False)
            change = systems.correct(residuals)
            size = float(np.sqrt(np.mean((change / bound) ** 2)))
            rate = size / before if before < inf else inf
            if not isfinite(size):
                return _Newton(None, slopes, k, rate, is_finite=False)
            if k and (rate >= 1 or rate ** (ITERATIONS - k) / (1 - rate) * size > self._enough):
                return _Newton(None, slopes, k, rate, unsolved=stages)
            stages = stages + change
            if size == 0 or (k and rate / (1 - rate) * size < self._enough):
                return _Newton(stages, TABLEAU.inverse @ stages / h, k + 1, 0.0 if size == 0 else rate)
            before = size
        return _Newton(None, slopes, ITERATIONS, rate, unsolved=stages)

    def _guess(self, h: float) -> Array:
        """First `Z`, by the polynomial of the last step, or by the slopes."""
        if self._last is None:
            return TABLEAU.c[:, None] * h * self.yp
        found: Array = self._last.evaluate(self.t + h * TABLEAU.c) - self.y
        return found

    def _error(self, newton: _Newton, h: float, *, was_rejected: bool) -> float:
        """The size of the error of a step, in tolerances."""
        problem, systems = self._problem, self._systems
        assert systems is not None
        assert newton.stages is not None
        new = self.y + newton.stages[-1]
        bound = problem.atol + problem.rtols * np.maximum(np.abs(self.y), np.abs(new))
        bound = bound / min(1.0, abs(h)) ** self._powers
        right = systems.pair[1] @ (self.yp + OF_ERROR @ newton.stages / h)
        error = systems.filtered(right)
        size = float(np.sqrt(np.mean((error / bound) ** 2)))
        if size > 1 and was_rejected:
            self._calls += 1
            again = systems.filtered(right - problem.residual(self.t, self.y + error, self.yp))
            other = float(np.sqrt(np.mean((again / bound) ** 2)))
            size = other if isfinite(other) else size
        return size

    def _too_short(self, cause: str) -> Failure:
        """Why the steps became too short."""
        share = ROUNDED if self._pencils.is_exact else DIFFERENCED
        if cause == "not finite":
            return NOT_FINITE
        try:
            found = singular_places(*self._pencils(self.t, self.y, self.yp), share)
        except (np.linalg.LinAlgError, ValueError):
            found = ""
        if found or cause == "singular":
            named = f", in {found}" if found else ""
            return Failure(
                Termination.FAILED,
                f"the equations become singular{named}: beyond, they determine no solution, or their index changes",
            )
        if cause == "Newton":
            return Failure(
                Termination.STALLED,
                "Newton's method does not converge, however short the step: the equations may have no solution "
                "beyond, or `fun` or `jac` may jump or be wrong there",
            )
        return Failure(Termination.TOO_SMALL, "the steps became smaller than the spacing of the numbers")


def march(problem: ImplicitProblem, pencils: Pencils, until: Until | None = None) -> ImplicitSteps:
    """Solve a problem with a consistent start and a known index, step by step."""
    return Radau(problem, pencils, until).run()

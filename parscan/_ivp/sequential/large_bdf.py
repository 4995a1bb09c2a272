"""Backward differentiation formulas for large systems, of orders 1 to 5; few eliminations, each for many steps.

The formulas, and the backward differences in which steps of other lengths are found, are those of Shampine and
Reichelt, "The MATLAB ODE Suite", SIAM Journal on Scientific Computing 18 (1997), sections 2.1 to 2.3. The systems of
Newton's method are solved to a tenth by iterations that are preconditioned with an elimination for an earlier step, of
another length: Eisenstat, Elman and Schultz, "Variational iterative methods for nonsymmetric systems of linear
equations", SIAM Journal on Numerical Analysis 20 (1983).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from ..._arrays.namespace import Array
from ..._engine.termination import Failure
from ..._linalg.elimination import SingularError, Solve
from ..core.failures import NOT_FINITE, TOO_SMALL, is_no_step
from .large import LargeSolver, inner, weighted

HIGHEST = 5
"""Highest order."""

KAPPA = np.array([0, -0.1850, -1 / 9, -0.0823, -0.0415, 0])
"""Coefficients of each order that make the errors smaller at little cost of stability."""

SUMS = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, HIGHEST + 1))])
"""γ_k: the formula of order k is the sum of `D_j / j` for j from 1 to k, the backward differences, equal to `h f`."""

ALPHA = (1 - KAPPA) * SUMS
"""Factor of the corrections of each order, in `h f`."""

ERRORS = KAPPA * SUMS + 1 / np.arange(1, HIGHEST + 2)
"""Errors of a step, in differences of the next order."""

ITERATIONS = 5
"""Largest number of Newton's iterations."""

ALMOST = 1 - 1e-9
"""Share of the rest of the span from which on a step reaches its end: what would be left is no step."""

ENOUGH = 0.03
"""Error that Newton's method leaves, in tolerances."""

OLDER = 1.2
"""Factor on the rate of Newton's method, as it was measured last, for each step that goes by without a measurement."""

KEPT = 10.0
"""Largest ratio of the coefficients of the Jacobian, in a step and in the elimination that it uses."""

LINEAR, FURTHER, SLOW = 0.1, 12, 4
"""Residual of linear systems, as a share of the right-hand side; the most iterations that lead to it; and the number of
them from which on the next step has an elimination of its own."""

SLOWEST, FASTEST, WORTH = 0.2, 10.0, 1.15
"""The smallest and largest ratio of successive steps, and the smallest one for which steps become longer."""


@dataclass(frozen=True)
class Between:
    """The polynomial through the last states, by their backward differences `(order + 1, n)` from `t`, `h` apart."""

    t: float
    h: float
    differences: Array

    def __call__(self, t: Any) -> Array:
        """States at one time `(n,)`, or at many `(n, m)`."""
        times = np.asarray(t, dtype=float)
        places = np.arange(self.differences.shape[0] - 1)
        shares = (np.reshape(times - self.t, (-1, 1)) + self.h * places) / (self.h * (1 + places))
        weights = np.concatenate([np.ones((shares.shape[0], 1)), np.cumprod(shares, axis=1)], axis=1)
        found = self.differences.T @ weights.T
        return found if times.ndim else found[:, 0]


class BDF(LargeSolver):
    """The solver."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._size = min(self._size, self._longest)
        self._order, self._equal = 1, 0
        self._differences = np.zeros((HIGHEST + 3, self.y.size))
        self._differences[0], self._differences[1] = self.y, self._size * self._way * self.f
        self._matrix: Array | None = None
        self._jacobian_now: Any = None
        self._solve: Solve | None = None
        self._of_elimination, self._further = 0.0, 0
        self._rate = 1.0

    def _step(self) -> Failure | None:
        is_new = self._matrix is None
        if is_new:
            self._renew(self.t, self.y, self.f)
        is_finite = True
        while True:
            left, is_last = abs(self.t_bound - self.t), False
            if self._size >= ALMOST * left:
                self._resize(left / self._size)
                is_last = True
            t = self.t_bound if is_last else self.t + self._way * self._size
            if is_no_step(self.t, t) and not is_last:
                return TOO_SMALL if is_finite else NOT_FINITE
            predicted = np.sum(self._differences[: self._order + 1], axis=0)
            found = self._correct(t, predicted)
            if found is None:
                f = self._fun(t, predicted)
                is_finite = bool(np.isfinite(f).all())
                if is_new or not is_finite:
                    self._resize(0.5 if is_finite else 0.25)
                    self._solve = None
                else:
                    is_finite, is_new = self._renew(t, predicted, f), True
                continue
            correction, iterations = found
            state = predicted + correction
            error = ERRORS[self._order] * self._largest(correction, self.y, state)
            safety = 0.9 * (2 * ITERATIONS + 1) / (2 * ITERATIONS + iterations)
            if error <= 1:
                break
            is_finite = isfinite(error)
            self._resize(max(SLOWEST, safety * error ** (-1 / (self._order + 1))) if is_finite else SLOWEST)
        self._accept(t, state, correction, error, safety)
        return None

    def _renew(self, t: float, y: Array, f: Array) -> bool:
        """Find the Jacobian at a state; whether it is finite."""
        self._matrix = self._entries(t, y, f)
        self._jacobian_now = self._pattern.matrix(self._matrix).tocsr()
        return bool(np.isfinite(self._matrix).all())

    def _correct(self, t: float, predicted: Array) -> tuple[Array, int] | None:
        """The difference of the next order, by Newton's method, and its iterations; None if it does not converge."""
        order, differences = self._order, self._differences
        coefficient = self._way * self._size / ALPHA[order]
        known = weighted(SUMS[1 : order + 1] / ALPHA[order], differences[1 : order + 1])
        ratio = coefficient / self._of_elimination if self._of_elimination else 0.0
        is_far = not 1 / KEPT <= ratio <= KEPT or self._further > SLOW
        if (self._solve is None or is_far) and not self._eliminate(coefficient):
            return None
        weights, before = 1 / (self._atol + self._rtol * np.abs(predicted)), 0.0
        correction, state = np.zeros_like(predicted), predicted
        for iteration in range(1, ITERATIONS + 1):
            f = self._fun(t, state)
            change = self._linear(coefficient, coefficient * f - known - correction, weights)
            size = self._largest(change, predicted)
            if not isfinite(size):
                return None
            rate = size / before if before else self._rate
            is_slow = rate >= 1 or rate ** (ITERATIONS + 1 - iteration) / (1 - rate) * size > ENOUGH
            if before and is_slow:
                return None
            correction += change
            state = predicted + correction
            if size == 0 or (rate < 1 and rate / (1 - rate) * size < ENOUGH):
                self._rate = rate if before else OLDER * rate
                return correction, iteration
            before = size
        return None

    def _linear(self, coefficient: float, right: Array, weights: Array) -> Array:
        """The solution of `(I - coefficient J) x = right`, nearly, by generalised conjugate residuals."""
        assert self._solve is not None
        found, ways = np.zeros_like(right), list[tuple[Array, Array]]()
        given, enough = weights * right, LINEAR**2 * _square(weights * right)
        for self._further in range(1, FURTHER + 1):
            way = self._solve(given / weights)
            effect = weights * (way - coefficient * (self._jacobian_now @ way))
            for earlier, of_earlier in ways:
                share = inner(of_earlier, effect)
                way, effect = way - share * earlier, effect - share * of_earlier
            size = _square(effect) ** 0.5
            if not size:
                break
            way, effect = way / size, effect / size
            ways.append((way, effect))
            share = inner(effect, given)
            found += share * way
            given = given - share * effect
            if not _square(given) > enough:
                break
        return found

    def _eliminate(self, coefficient: float) -> bool:
        """Eliminate in `I - coefficient J`; whether it has an inverse."""
        assert self._matrix is not None
        matrix = self._matrix * -coefficient
        matrix[self._pattern.diagonal] += 1.0
        self.nlu += 1
        try:
            self._solve = self._factor(matrix)
        except SingularError:
            return False
        self._of_elimination, self._further = coefficient, 0
        return True

    def _resize(self, ratio: float) -> None:
        """Backward differences of the same polynomial for steps of another length."""
        order = self._order
        matrix = _rescaling(order, ratio) @ _rescaling(order, 1.0)
        self._differences[: order + 1] = np.einsum("jk,jn->kn", matrix, self._differences[: order + 1])
        self._size, self._equal = self._size * ratio, 0

    def _accept(self, t: float, state: Array, correction: Array, error: float, safety: float) -> None:
        """Take the step; choose order and length of the next one, if all differences are of steps of this length."""
        self.t_old, self.t, self.y = self.t, t, state
        order, differences = self._order, self._differences
        slope = weighted(SUMS[1 : order + 1], differences[1 : order + 1]) + ALPHA[order] * correction
        self.f = slope / (self._way * self._size)
        differences[order + 2] = correction - differences[order + 1]
        differences[order + 1] = correction
        for k in reversed(range(order + 1)):
            differences[k] += differences[k + 1]
        self._equal += 1
        if self._equal < order + 1:
            return
        errors = np.full(3, np.inf)
        errors[1] = error
        if order > 1:
            errors[0] = ERRORS[order - 1] * self._largest(differences[order], state)
        if order < HIGHEST:
            errors[2] = ERRORS[order + 1] * self._largest(differences[order + 2], state)
        ratios = np.maximum(errors, 1e-20) ** (-1 / np.arange(order, order + 3))
        best = int(np.argmax(ratios))
        ratio = min(FASTEST, safety * float(ratios[best]), self._longest / self._size)
        if ratio < WORTH and best == 1 and ratio > 1 / WORTH:
            return
        self._order += best - 1
        self._resize(ratio)

    def dense_output(self) -> Between:
        """The polynomial of the last step."""
        return Between(self.t, self._way * self._size, self._differences[: self._order + 1].copy())


def _square(vector: Array) -> float:
    return inner(vector, vector)


def _rescaling(order: int, ratio: float) -> Array:
    """The matrix from differences to values at steps of another length, `(order + 1, order + 1)`."""
    rows, columns = np.arange(1, order + 1)[:, None], np.arange(1, order + 1)
    matrix = np.ones((order + 1, order + 1))
    matrix[1:, 1:] = (rows - 1 - ratio * columns) / rows
    matrix[1:, 0] = 0.0
    return np.cumprod(matrix, axis=0)

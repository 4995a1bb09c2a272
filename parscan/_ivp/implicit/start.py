"""A consistent start: a state that satisfies the algebraic equations, and the hidden ones of index 2 and 3, and slopes.

With the path `Y(s) = y + s p1 + s²/2 p2 + ...`, the function `φ(s) = F(t0 + s, Y(s), Y'(s))` and its first `index - 1`
derivatives are to be zero at `s = 0`: the derivative array of S. L. Campbell, Trans. Soc. Comput. Simulation 2, 1985.
Gauss-Newton steps find the nearest such state, in units of the tolerances, while the `p` are free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb, factorial

import numpy as np

from ..._arrays.namespace import Array, machine_epsilon, quiet
from .index import Index, places
from .pencil import Pencils
from .problem import ImplicitProblem

STEP, OF_SPAN = 3e-3, 2e-3
"""Step of differences along the path, as a share of the time in which components of one index change by the size of
the largest one; and of the span, at most."""

ROUNDS = 25
"""Most Gauss-Newton steps."""

SOLVED, LEAST = 1e-3, 3
"""Corrections below this many tolerances end the iteration, and such as do not shrink any more, after so many."""

SETTLED, FEW = 1e-9, 12
"""Share of slopes by which their corrections end, and number of corrections after which they need not."""

FREE, DIFFERENCED = 1e-8, 1e-5
"""Singular values below this share of the largest one are zero, in exact derivatives and in those by differences."""

UNMOVED, LITTLE = 100 * machine_epsilon("float64"), 1e-6
"""Changes of a state that are none: a share of it, or of its tolerance."""

APART, ROUNDED = 10.0, 1e-8
"""
Tolerances by which slopes that a user gave may differ from those that the equations determine, and a share of the
largest slope: those of index 2 and 3 are found by differences.
"""


class InconsistentError(ValueError):
    """A start that cannot be made consistent."""


@dataclass(frozen=True)
class Start:
    """State and slopes `(n,)`; the components that moved; those whose slopes the equations at the start determine."""

    y0: Array
    yp0: Array
    moved: Array
    determined: Array

    def words(self, before: Array) -> str:
        """What was done, as a sentence."""
        if not self.moved.size:
            return ""
        change = float(np.max(np.abs(self.y0 - before)))
        return (
            f"`y0` was not consistent: {'components' if self.moved.size > 1 else 'component'} {places(self.moved)} "
            f"moved by up to {change:.3g} "
            '(consistent="assume" leaves it as it is).'
        )


def consistent(problem: ImplicitProblem, pencils: Pencils, index: Index, *, moves: bool) -> Start:
    """
    A start near that of the problem; the state stays as it is unless it `moves`.

    Raises
    ------
    InconsistentError
        If none is found, or the slopes of the user contradict it.
    """
    jet = _Jet(problem, pencils, index.of_components, max(1, index.of_problem) if moves else 1)
    y, jets = problem.y0, jet.first()
    with quiet():
        if moves:
            found = _solved(jet, y, jets)
            if found is None:
                rows = jet.unsolved(y, jets)
                raise InconsistentError(
                    f"`y0` cannot be made consistent with the equations: rows {rows} of `fun` are not zero, and "
                    "Newton's method finds no state nearby where all are; pass a `y0` that satisfies them."
                )
            y, jets = found
        else:
            for _ in range(FEW):
                change = jet.free_part(y, jets)[1]
                jets = jets + change
                if _settles(change, jets):
                    break
        determined = jet.determined(y, jets)
    least = np.maximum(UNMOVED * np.abs(problem.y0), LITTLE * problem.bound(problem.y0))
    is_moved = np.abs(y - problem.y0) > least
    y = np.where(is_moved, y, problem.y0)
    if moves:
        _reject_contradiction(problem, pencils, y, jets[0])
    slopes = jets[0] if problem.yp0 is None or moves else problem.yp0
    return Start(y, slopes, np.flatnonzero(is_moved), determined)


def _reject_contradiction(problem: ImplicitProblem, pencils: Pencils, y: Array, slopes: Array) -> None:
    """Raise if the slopes that the user gave are not those of the equations."""
    if problem.yp0 is None:
        return
    by_slope = pencils(problem.span[0], y, slopes)[1]
    apart = np.abs(by_slope @ (problem.yp0 - slopes))
    allowed = APART * np.abs(by_slope) @ (problem.atol + problem.rtols * np.abs(slopes))
    sizes = np.sum(np.abs(by_slope), axis=1) * np.max(np.abs(slopes))
    rows = np.flatnonzero(~(apart <= allowed + ROUNDED * sizes))
    if rows.size:
        k = int(rows[np.argmax(apart[rows])])
        raise InconsistentError(
            f"`yp0` contradicts the equations in rows {places(rows)} of `fun`: with it, row {k} differs from zero by "
            f"{apart[k]:.3g}. Leave `yp0` out to have it computed, or mend `y0` or `yp0`."
        )


def _solved(jet: _Jet, y: Array, jets: Array) -> tuple[Array, Array] | None:
    """The nearest consistent state with its jets; None if none is found."""
    bound = jet.problem.bound(y)
    last = np.inf
    for k in range(ROUNDS):
        change, of_jets = jet.correction(y, jets, bound)
        size = float(np.max(np.abs(change) / bound, initial=0.0))
        if not (np.isfinite(size) and np.all(np.isfinite(of_jets))):
            return None
        y, jets = y + change, jets + of_jets
        if (size <= SOLVED or (k >= LEAST and size > last / 2)) and (_settles(of_jets, jets) or k >= FEW):
            return (y, jets) if jet.is_solved(y, jets, bound) else None
        last = size
    return None


def _settles(change: Array, jets: Array) -> bool:
    """Whether slopes do not change any more, in which the equations need not be linear."""
    return float(np.max(np.abs(change[0]))) <= SETTLED * float(np.max(np.abs(jets[0])))


class _Jet:
    """The derivative array at the start: `count` rows of `n` equations, of states and as many and one more jets."""

    def __init__(self, problem: ImplicitProblem, pencils: Pencils, index: Array, count: int) -> None:
        self.problem, self._pencils, self._index, self._count = problem, pencils, index, count
        self._t, self._free = problem.span[0], FREE if pencils.is_exact else DIFFERENCED

    def first(self) -> Array:
        """The jets to begin with, `(count, n)`."""
        jets = np.zeros((self._count, self.problem.n))
        if self.problem.yp0 is not None:
            jets[0] = self.problem.yp0
        return jets

    def correction(self, y: Array, jets: Array, bound: Array) -> tuple[Array, Array]:
        """
        A Gauss-Newton correction of the state and of the jets.

        States whose slopes do not enter are free, as the jets are. What these cannot solve moves the others, by the
        smallest correction in units of the bound.
        """
        of_state, of_jets, values = self._linearised(y, jets)
        algebraic = self._algebraic(y, jets)
        rows, solve, rank = self._eliminated(of_jets, of_state @ algebraic)
        constraints = rows[:, rank:].T
        change = np.zeros_like(y)
        if constraints.size:
            matrix = constraints @ of_state * bound
            change = bound * np.linalg.lstsq(matrix, -constraints @ values, rcond=self._free)[0]
        free = solve(-values - of_state @ change)
        return change + algebraic @ free[jets.size :], free[: jets.size].reshape(jets.shape)

    def free_part(self, y: Array, jets: Array) -> tuple[Array, Array]:
        """No correction of the state, and the correction of the jets."""
        _, of_jets, values = self._linearised(y, jets)
        return np.zeros_like(y), self._eliminated(of_jets)[1](-values).reshape(jets.shape)

    def is_solved(self, y: Array, jets: Array, bound: Array) -> bool:
        """Whether no direction of the state changes what is left of the algebraic equations by a tolerance."""
        of_state, of_jets, values = self._linearised(y, jets)
        rows, _, rank = self._eliminated(of_jets)
        constraints = rows[:, rank:].T
        effects = np.abs(constraints @ of_state) @ bound
        noise = np.sqrt(machine_epsilon("float64")) * np.abs(constraints) @ (np.abs(of_state) @ np.abs(y))
        return bool(np.all(np.abs(constraints @ values) <= effects + noise))

    def unsolved(self, y: Array, jets: Array) -> str:
        """Rows of the equations that are not zero whatever the slopes are."""
        jets = jets + self.free_part(y, jets)[1]
        left = np.abs(self._linearised(y, jets)[2][: self.problem.n])
        return places(np.flatnonzero(~(left <= 1e-6 * np.max(left, initial=1e-300))))

    def determined(self, y: Array, jets: Array) -> Array:
        """Flags of the components whose slopes the derivative array determines."""
        of_jets = self._linearised(y, jets)[1]
        free = _null_space(of_jets * self._weights(of_jets), self._free)[: self.problem.n]
        found: Array = np.linalg.norm(free, axis=1) < np.sqrt(self._free)
        return found

    def _algebraic(self, y: Array, jets: Array) -> Array:
        """A basis of the states whose slopes do not enter, `(n, k)`."""
        return _null_space(self._pencils(self._t, y, jets[0])[1], self._free)

    def _weights(self, of_jets: Array) -> Array:
        """Sizes of the jets such that each matters as much as the one before, as far as that is one number."""
        n = self.problem.n
        if self._count == 1:
            return np.ones(n)
        slopes, states = of_jets[:n, :n], of_jets[n : 2 * n, :n]
        ratio = float(np.max(np.abs(states))) / max(float(np.max(np.abs(slopes))), 1e-300) or 1.0
        return np.repeat(ratio ** np.arange(self._count), n)

    def _eliminated(
        self, of_jets: Array, of_algebraic: Array | None = None
    ) -> tuple[Array, Callable[[Array], Array], int]:
        """Left singular vectors of the derivatives by what is free, least-squares solutions, and the rank."""
        matrix, weights = of_jets, self._weights(of_jets)
        if of_algebraic is not None:
            matrix = np.concatenate([of_jets, of_algebraic], axis=1)
            weights = np.concatenate([weights, np.ones(of_algebraic.shape[1])])
        scale = _row_scale(matrix * weights)
        sizes = np.max(np.abs(scale[:, None] * matrix), axis=0)
        weights = np.where(sizes > 0, 1 / np.where(sizes > 0, sizes, 1.0), weights)
        u, values, vt = np.linalg.svd(scale[:, None] * matrix * weights)
        rank = _rank(values, self._free)

        def solve(right: Array) -> Array:
            found: Array = weights * (vt[:rank].T @ ((u[:, :rank].T @ (scale * right)) / values[:rank]))
            return found

        return scale[:, None] * u, solve, rank

    def _linearised(self, y: Array, jets: Array) -> tuple[Array, Array, Array]:
        """Derivatives of all equations by the state, `(k n, n)`, and by the jets, `(k n, k n)`; their values."""
        n, count = self.problem.n, self._count
        step = self._step(y, jets)
        values = _along(lambda s: self._value(y, jets, s), step, count)
        pairs = _along(lambda s: np.stack(self._pair(y, jets, s)), step, count)
        rows = np.zeros((count, n, count + 1, n))
        for k in range(count):
            for j in range(k + 1):
                by_state, by_slope = comb(k, j) * pairs[k - j]
                rows[k, :, j] += by_state
                rows[k, :, j + 1] += by_slope
        flat = rows.reshape(count * n, (count + 1) * n)
        return flat[:, :n], flat[:, n:], values.reshape(-1)

    def _path(self, y: Array, jets: Array, s: float) -> tuple[Array, Array]:
        """State and slopes of the path."""
        state = y + sum(s ** (k + 1) / factorial(k + 1) * one for k, one in enumerate(jets))
        slopes = sum(s**k / factorial(k) * one for k, one in enumerate(jets))
        return state, np.asarray(slopes)

    def _value(self, y: Array, jets: Array, s: float) -> Array:
        return self.problem.residual(self._t + s, *self._path(y, jets, s))

    def _pair(self, y: Array, jets: Array, s: float) -> tuple[Array, Array]:
        return self._pencils(self._t + s, *self._path(y, jets, s))

    def _step(self, y: Array, jets: Array) -> float:
        """Step of differences along the path: a share of the time in which components of one index change."""
        begin, end = self.problem.span
        longest = OF_SPAN * (abs(end - begin) if np.isfinite(end) else 1.0)
        bound, fastest = self.problem.bound(y), 0.0
        for index in range(1, self._count):
            some = self._index == index
            size = float(np.max(np.abs(y[some]), initial=0.0))
            if size > np.max(bound[some], initial=0.0):
                rates = (
                    (float(np.max(np.abs(one[some]))) / size) ** (1 / k) for k, one in enumerate(jets[:2], start=1)
                )
                fastest = max(fastest, *rates)
        return min(STEP / fastest, longest) if fastest > 0 else longest


def _along(function: Callable[[float], Array], step: float, count: int) -> Array:
    """A function at 0 and its derivatives, `count` in all, by differences of fourth order."""
    here = function(0.0)
    if count == 1:
        return here[None]
    down, up, far_down, far_up = (function(s * step) for s in (-1, 1, -2, 2))
    first = (8 * (up - down) - (far_up - far_down)) / (12 * step)
    second = (16 * (up + down) - (far_up + far_down) - 30 * here) / (12 * step**2)
    return np.stack([here, first, second][:count])


def _row_scale(matrix: Array) -> Array:
    """Factors that make the largest entries of rows 1; of rows of zeros 1."""
    sizes = np.max(np.abs(matrix), axis=1)
    found: Array = 1 / np.where(sizes > 0, sizes, 1.0)
    return found


def _rank(values: Array, share: float) -> int:
    """Number of singular values that are not zero."""
    return int(np.sum(values > share * max(float(values[0]), 1e-300)))


def _null_space(matrix: Array, share: float) -> Array:
    """An orthonormal basis of the vectors that a matrix takes to zero, `(n, k)`."""
    _, values, vt = np.linalg.svd(_row_scale(matrix)[:, None] * matrix)
    found: Array = vt[_rank(values, share) :].T
    return found

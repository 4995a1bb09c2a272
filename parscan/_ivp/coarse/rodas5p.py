"""Rodas5P on arrays: the members of a stiff batch, each with steps of its own, as long as `fun` takes a time for each.

The method and its sources are told beside its coefficients. Every attempt of a step is made by all members at once;
those that have come to their end wait there. All arrays have their components first and the members last, `(n, b)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._recorded.native.rodas5p import BETWEEN, GAMMA, OF_TIME, ORDER, RIGHT_SIDES, STATES, TIMES

SAFETY, SLOWEST, FASTEST = 0.9, 0.2, 6.0
"""Step controller: safety factor, and the smallest and largest ratio of successive steps."""

MOST_STEPS = 20_000
"""Steps, taken or rejected, after which to give up."""

FIRST = 1e-3
"""Share of the time in which a state changes by its size that the first step takes."""

Slopes = Callable[[Array, Array], Array]
"""Slopes `(n, b)` at the times `(b,)` and states `(n, b)`."""


class NoHeadwayError(Exception):
    """Steps become too short or too many, or values are not finite."""


@dataclass(frozen=True)
class Tolerances:
    """Relative and absolute ones, numbers or `(n, 1)`."""

    rtol: float | Array
    atol: float | Array

    def largest(self, error: Array, size: Array) -> Array:
        """Errors of members `(b,)`: of their components, the largest in tolerances."""
        xp = array_namespace(error)
        with quiet():
            found = xp.abs(error) / (self.atol + self.rtol * size)
            return xp.max(xp.where(error == 0, xp.zeros_like(found), found), axis=0)


class OwnSteps:
    """
    March of all members from `begin` to `end`.

    Parameters
    ----------
    slopes : callable
    span : pair of floats
    y0 : array, shape (n, b)
    tolerances : Tolerances
    max_step : float
    times : array, shape (m,)
        At which states are wanted, within the span, in its order.

    Attributes
    ----------
    y : array, shape (n, b)
        States at the end, after `run`.
    values : array, shape (n, m, b)
        States at the times.
    nodes : list of float
        Ends of the steps of the first member.
    """

    def __init__(
        self,
        slopes: Slopes,
        span: tuple[float, float],
        y0: Array,
        tolerances: Tolerances,
        max_step: float,
        times: Array,
    ) -> None:
        self._slopes, (begin, self._end), self._tolerances, self._max_step = slopes, span, tolerances, max_step
        self._xp = xp = array_namespace(y0)
        self._way = 1.0 if self._end >= begin else -1.0
        self.y, count = y0, y0.shape[1]
        self._t = xp.full(count, begin)
        self._times, self._given = times, xp.zeros(count, dtype=xp.int64)
        self.values = xp.full((y0.shape[0], times.shape[0], count), float("nan"))
        self.nodes, self._eye = [begin], xp.eye(y0.shape[0])[:, :, None]
        self._epsilon = machine_epsilon(y0.dtype)

    def run(self, told: Callable[[float], object] | None = None) -> None:
        """March to the end; raises `NoHeadwayError`. `told` is called with the time that all members have passed."""
        xp = self._xp
        with quiet():
            self._f = self._slopes(self._t, self.y)
            h, grows = self._first_steps(), FASTEST
            for _ in range(MOST_STEPS):
                left = self._end - self._t
                if not bool(xp.any(left)):
                    return
                is_last = xp.abs(h) >= xp.abs(left)
                h = xp.where(is_last, left, h)
                self._refuse_short(h, left)
                y, stages, error = self._attempt(h)
                is_good = error <= 1
                factor = SAFETY * xp.maximum(error, xp.full_like(error, 1e-10)) ** (-1 / ORDER)
                factor = xp.clip(xp.where(xp.isfinite(error), factor, SLOWEST), SLOWEST, grows)
                grows = xp.where(is_good, xp.asarray(FASTEST), xp.asarray(1.0))
                if bool(xp.any(is_good)):
                    self._accept(is_good, is_last, h, y, stages)
                    if told is not None:
                        told(self._way * float(xp.min(self._way * self._t)))
                h = xp.where(left == 0, left, h) * factor
                h = xp.where(xp.abs(h) > self._max_step, self._way * self._max_step, h)
        raise NoHeadwayError

    def _refuse_short(self, h: Array, left: Array) -> None:
        """Raise where a step is lost in the rounding of its time."""
        xp = self._xp
        short = (xp.abs(h) <= 2 * self._epsilon * xp.abs(self._t)) | ~xp.isfinite(h)
        if bool(xp.any(short & (left != 0) & (h != left))):
            raise NoHeadwayError

    def _first_steps(self) -> Array:
        """Lengths of first steps: shares of the time in which a state changes by its size."""
        xp = self._xp
        size = self._tolerances.largest(self.y, xp.abs(self.y))
        rate = self._tolerances.largest(self._f, xp.abs(self.y))
        longest = min(abs(self._end - float(self._t[0])), self._max_step)
        h = xp.where((rate > 0) & (size > 0), FIRST * size / rate, 1e-6 * longest)
        return self._way * xp.clip(h, 1e-12 * longest, longest)

    def _attempt(self, h: Array) -> tuple[Array, Array, Array]:
        """States after steps of these lengths, the stages `(s, n, b)`, and the errors in tolerances `(b,)`."""
        xp, t, y = self._xp, self._t, self.y
        matrix, of_time = self._linearised(h)
        inverse = self._inverse(h, matrix)
        stages = xp.zeros((len(TIMES), *y.shape))
        flat = xp.reshape(stages, (len(TIMES), -1))
        state, slopes = y, self._f
        for i, (share, of) in enumerate(zip(TIMES, OF_TIME, strict=True)):
            if i:
                if i < len(STATES):
                    state = y + xp.reshape(xp.asarray(STATES[i]) @ flat[:i, :], y.shape)
                else:
                    state = state + stages[i - 1, ...]
                slopes = self._slopes(t + share * h, state)
            right = h * slopes
            if i:
                right = right + xp.reshape(xp.asarray(RIGHT_SIDES[i]) @ flat[:i, :], y.shape)
            if of:
                right = right + of * h * of_time
            stages[i, ...] = xp.sum(inverse * right[None, ...], axis=1)
        new = state + stages[-1, ...]
        sizes = xp.maximum(xp.abs(y), xp.abs(new))
        error = self._tolerances.largest(stages[-1, ...], sizes)
        return new, stages, xp.where(xp.isfinite(error), error, inf)

    def _linearised(self, h: Array) -> tuple[Array, Array]:
        """Jacobians `(n, n, b)` and derivatives by time, times the step, `(n, b)`, by differences."""
        xp, t, y, f = self._xp, self._t, self.y, self._f
        least = self._epsilon**0.5
        columns = []
        for j in range(y.shape[0]):
            moved = xp.asarray(y, copy=True)
            size = xp.abs(y[j, :]) + self._floor(j)
            moved[j, :] += least * size
            step = moved[j, :] - y[j, :]
            columns.append((self._slopes(t, moved) - f) / xp.where(step == 0, 1.0, step))
        later = t + least * h
        apart = later - t
        change = self._slopes(later, y) - f
        return xp.stack(columns, axis=1), change * xp.where(apart == 0, 0.0, h / xp.where(apart == 0, 1.0, apart))

    def _floor(self, component: int) -> float:
        """Size of a component below which it counts as zero."""
        xp, (rtol, atol) = self._xp, (self._tolerances.rtol, self._tolerances.atol)
        of_all = xp.broadcast_to(xp.asarray(atol / rtol), (self.y.shape[0], 1))
        return max(float(of_all[component, 0]), float(machine_epsilon(self.y.dtype)))

    def _inverse(self, h: Array, matrices: Array) -> Array:
        """Inverses `(n, n, b)` of the matrices of the stages."""
        xp = self._xp
        given = self._eye / GAMMA - h * matrices
        is_bad = ~xp.all(xp.isfinite(given), axis=(0, 1))
        given = xp.where(is_bad, self._eye, given)
        try:
            found = xp.linalg.inv(xp.moveaxis(given, -1, 0))
        except ValueError as error:  # NumPy's LinAlgError: exactly singular
            raise NoHeadwayError from error
        return xp.where(is_bad, float("nan"), xp.moveaxis(found, 0, -1))

    def _accept(self, is_good: Array, is_last: Array, h: Array, y: Array, stages: Array) -> None:
        """Take the steps that are good, and states at the times within them."""
        xp = self._xp
        t = xp.where(is_good, xp.where(is_last, self._end, self._t + h), self._t)
        if self._times.shape[0]:
            self._give(t, h, y, stages)
        if bool(is_good[0]) and float(t[0]) != self.nodes[-1]:
            self.nodes.append(float(t[0]))
        self._t, self.y = t, xp.where(is_good, y, self.y)
        self._f = self._slopes(self._t, self.y)

    def _give(self, t: Array, h: Array, y: Array, stages: Array) -> None:
        """Enter states at the wanted times up to the new ones."""
        xp, most = self._xp, self._times.shape[0]
        flat = xp.reshape(stages, (stages.shape[0], -1))
        b = xp.reshape(xp.asarray(BETWEEN) @ flat, (len(BETWEEN), *y.shape))
        while True:
            wanted = self._times[xp.clip(self._given, 0, most - 1)]
            is_due = (self._given < most) & (self._way * wanted <= self._way * t)
            some = xp.nonzero(is_due)[0]
            if not some.shape[0]:
                return
            lengths = xp.where(h[some] == 0, 1.0, h[some])
            share = xp.clip((wanted[some] - self._t[some]) / lengths, 0.0, 1.0)
            inner = b[0][:, some] + share * (b[1][:, some] + share * b[2][:, some])
            found = (1 - share) * self.y[:, some] + share * (y[:, some] + (1 - share) * inner)
            self.values[:, self._given[some], some] = found
            self._given[some] += 1

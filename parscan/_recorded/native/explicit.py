"""DOP853 in machine code around a recorded right-hand side: adaptive steps, dense output and a test for stiffness.

The method of order 8 and its error estimate are those of Hairer, Nørsett and Wanner, "Solving Ordinary Differential
Equations I", 2nd edition, Springer 1993, sections II.5, II.6 and II.10; the test for stiffness is that of Hairer and
Wanner, "Solving Ordinary Differential Equations II", 2nd edition, Springer 1996, section IV.2. Steps are predicted as
by Gustafsson, "Control-theoretic techniques for stepsize selection in implicit Runge-Kutta methods", ACM Transactions
on Mathematical Software 20 (1994), in the form of Hairer and Wanner (1996), section IV.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from ..program import Program
from . import dop853
from .driver import Fields
from .expressions import Value
from .integrate import Solver, solver
from .members import DENSE, SAFETY, Form, Members
from .same_text import structure
from .stiffness import seems_stiff

STIFF_AT = 6.1
"""Product of step and dominant eigenvalue above which stability limits the step."""

LIMITED_AT = 3.0
"""The same product, for steps that are limited by the error of their polynomials."""

ROOT = 0.3
"""The eighth root of an error, of which smaller ones say no more: they are rounding."""

STAGES, EXTRA, DEGREE = 12, 3, 7
"""Stages of a step, besides the slope at its end; further ones for polynomials; and coefficients of these."""

SHORT = 10
"""Operations of a right-hand side whose last slope takes less time than the operations that wait for it."""

BETWEEN, DEFECTS, ALLOWED = 0.65, 7.0, 2.0
"""
Where in a step the defect of its polynomial is taken; its ratio to the largest error of the polynomial there, which is
6 to 8 for all y' = λy whose hλ is at or within the limit of stability, and for small h; and the largest error, in
tolerances.
"""


@dataclass(frozen=True)
class Coefficients:
    """
    Numbers of the method.

    Attributes
    ----------
    A, c : arrays (16, 16) and (16,)
        Of the stages, the slope at the end, and the further stages.
    B, E3, E5 : arrays (12,)
        Weights of the step, and of its errors of orders 3 and 5.
    nested : array (7, 16)
        Weights of the slopes, times the step, in the polynomial
        `y + θ (F0 + (1 - θ) (F1 + θ (F2 + (1 - θ) (F3 + …))))`.
    slopes : array (7, 16)
        Weights of the slopes in the derivatives of the polynomial at the nodes of Gauss's quadrature on [0, 1].
    between, change : arrays (16,)
        Weights in the change of the polynomial up to `BETWEEN`, and in its derivative there.
    """

    A: Any
    c: Any
    B: Any
    E3: Any
    E5: Any
    nested: Any
    slopes: Any
    between: Any
    change: Any


@cache
def coefficients() -> Coefficients:
    """The numbers, as arrays."""
    size = STAGES + 1 + EXTRA
    A = _padded(((), *dop853.A, dop853.B, *dop853.FURTHER), size)
    c = np.array([*dop853.C, 1.0, *dop853.FURTHER_TIMES])
    first, last = np.eye(len(c))[[0, STAGES]]
    nested = np.stack([A[STAGES], first - A[STAGES], 2 * A[STAGES] - first - last, *_padded(dop853.D, size)])
    nodes = (np.polynomial.legendre.leggauss(DEGREE)[0] + 1) / 2
    x, rest = np.polynomial.Polynomial([0, 1]), np.polynomial.Polynomial([1, -1])
    shapes = [x ** (1 + k // 2) * rest ** ((k + 1) // 2) for k in range(DEGREE)]
    slopes = np.stack([shape.deriv()(nodes) for shape in shapes], axis=1) @ nested
    between = np.array([shape(BETWEEN) for shape in shapes]) @ nested
    change = np.array([shape.deriv()(BETWEEN) for shape in shapes]) @ nested
    B, E3, E5 = map(np.array, (dop853.B, dop853.E3, dop853.E5))
    return Coefficients(A, c, B, E3, E5, nested, slopes, between, change)


def _padded(rows: Sequence[Sequence[float]], size: int) -> Any:
    """A matrix of rows that are followed by zeros."""
    return np.array([[*row, *[0.0] * (size - len(row))] for row in rows])


class Explicit(Members):
    """Writes the solver of a right-hand side `fun(t, y, *parameters)`."""

    is_inlined = tests_stiffness = prepares = True
    power, last = 8, STAGES
    per_attempt, per_step, per_polynomial = STAGES - 1, 1, EXTRA

    def __init__(
        self, program: Program, form: Form, events: Sequence[Program] = (), switches: Program | None = None
    ) -> None:  # fmt: skip
        self.numbers = coefficients()
        self.gives_squares = form.predicts
        weights = self.numbers.slopes if form.log == DENSE else self.numbers.nested
        constants = weights.astype(program.arguments[1].dtype)
        super().__init__([program], form, STAGES + 2 + EXTRA, constants, DEGREE, events, switches)
        self._is_near: Value | None = None
        """Whether a comparison may change in the step."""
        self._increments: dict[int, Value] = {}
        self._scales: dict[int, Value] = {}
        """Of chunks that are written out one by one: increments of steps per unit of time, and one over tolerances."""
        if form.checks_polynomials:  # all of a step is evaluated in the attempt
            self.per_attempt, self.per_step, self.per_polynomial = STAGES, 0, 0

    def first_step(self, t: Value) -> Value:
        """
        In lanes of many members, it is roughly that of SciPy, from squares of sizes and rates.

        All lanes wait where one takes a new member, and roots and powers take long.
        """
        if self.lanes == 1 or self.form.compares or not self.form.predicts:
            return super().first_step(t)
        code, state, first, other = self.code, self.row("state"), self.row("slopes"), self.row("slopes", 1)
        goal, direction, scales = self.lane("goal")[0], self.lane("direction")[0], self.row("end")
        longest = code.minimum(code.abs(goal - t), self.lane("limit")[0])

        def sizes(k: Any, totals: list[Value]) -> list[Value]:
            y = state[k]
            scales[k] = scale = self.scale(k, code.abs(y))
            one, two = y * scale, first[k] * scale
            return [code.fma(one, one, totals[0]), code.fma(two, two, totals[1])]

        def change(k: Any, totals: list[Value]) -> list[Value]:
            one = (other[k] - first[k]) * scales[k]
            return [code.fma(one, one, totals[0])]

        tightness = self.lane("tightness")[0]
        unit = tightness * tightness / self.n
        size, rate = (one.to(np.float64) * unit for one in self.sums(2, sizes))
        h = code.where((size < 1e-10) | (rate < 1e-10), 1e-6, 0.01 * code.sqrt(size / rate))
        h = code.minimum(h, longest)
        length, trial = self.wide(direction * h), self.row("trial")
        self.chunkwise(lambda k: trial.__setitem__(k, code.fma(length, first[k], state[k])))
        self.evaluate(t + direction * h, trial, other)
        per_length = 1.0 / h
        slower = self.sums(1, change)[0].to(np.float64) * unit * per_length * per_length
        largest = code.maximum(rate, slower)
        wanted = code.inverse_root(largest * 1e4, self.power.bit_length())
        wanted = code.where(largest <= 1e-30, code.maximum(h * 1e-3, 1e-6), wanted)
        return code.minimum(code.minimum(100 * h, wanted), longest)

    def attempt(self, t: Value, h: Value) -> Value:
        """The stages, the state at the end, and the error; the polynomial and its error, if that is checked."""
        if self.switching is not None:
            self.switching.begin_attempt()
        for stage in range(1, STAGES):
            self._stage(stage, t, h, "trial")
        self._finish(h)
        error = self._error(h)
        if not self.form.checks_polynomials:
            return error
        self.evaluate(t + h, self.row("end"), self.row("slopes", STAGES))
        if self.switching is not None:
            self._is_near = self.switching.end_attempt()
        return self._checked(error, t, h)

    def may_change_mode(self) -> Value:
        """Whether a comparison may change in the step, as far as it was looked at already."""
        return super().may_change_mode() if self._is_near is None else self._is_near

    def _checked(self, error: Value, t: Value, h: Value) -> Value:
        """
        The error, or that of the polynomial, if it is needed and as much larger.

        Near the limit of stability, polynomials are many times worse than the states at the ends of steps.
        """
        code = self.code
        wanted = self.lane("active")[0].differs(0) & (self.in_tolerances(error) < 1.0)
        matters = wanted
        is_near = code.number(False, bool, self.lanes) if self._is_near is None else self._is_near
        if self.form.has_times and not self.form.events:  # a time may lie in the step: within twice its length
            following, direction = self.lane("next")[0], self.lane("direction")[0]
            wanted = wanted & (((following - t) * direction <= 2.0 * code.abs(h)) | is_near)
            matters = wanted & (((following - self.lane("goal")[0]) * direction < 0) | is_near)
        elif self.switching is not None and not (self.form.events or self.form.log == DENSE):
            wanted = matters = wanted & is_near
        larger, limited = code.variable(error), self.lane("limited")
        limited[0] = 0
        with code.if_(code.any(wanted)):
            self._count(wanted, "evaluations", EXTRA + 1)
            self._polynomial(t, h)
            between = self._error_between(t, h)
            larger.set(code.where(matters, code.maximum(error, between), error))
            limited[0] = (matters & (between > error)).to(np.int64)
        return larger.get()

    def _error_between(self, t: Value, h: Value) -> Value:
        """The error of the polynomial, or its square: root of the mean square of its defect `h (f(y) - y')`."""
        code, state, new, last = self.code, self.row("state"), self.row("end"), STAGES + 1 + EXTRA
        self._combine("between", last, self.numbers.between, h)
        self.evaluate(t + BETWEEN * h, self.row("between"), self.row("slopes", last))
        length = self.wide(h)

        def terms(chunk: Any, totals: list[Value]) -> list[Value]:
            scale = self.scale(chunk, code.maximum(code.abs(state[chunk]), code.abs(new[chunk])))
            slope = self.slope(last, chunk, True)
            defect = length * (slope - self._weighted(chunk, self.numbers.change)) * scale
            return [code.fma(defect, defect, totals[0])]

        square = self.sums(1, terms)[0] / (self.n * (DEFECTS * ALLOWED) ** 2)
        return square if self.gives_squares else code.sqrt(square)

    def _stage(self, stage: int, t: Value, h: Value, row: str) -> None:
        """A stage and its slope."""
        self._combine(row, stage, self.numbers.A[stage], h)
        self.evaluate(t + self.numbers.c[stage] * h, self.row(row), self.row("slopes", stage))

    def _finish(self, h: Value) -> None:
        """The state at the end."""
        target, state, length = self.row("end"), self.row("state"), self.wide(h)

        def write(chunk: Any) -> None:
            increment = self._weighted(chunk, self.numbers.B, STAGES)
            target[chunk] = self.code.fma(length, increment, state[chunk])
            if self.unrolls:
                self._increments[chunk] = increment

        self.chunkwise(write)

    def _combine(self, row: str, recent: int, weights: Any, h: Value) -> None:
        """
        The state, plus the step times weighted slopes, of which the most recent one comes last.

        After a short function, it comes with its weight and the step to all else, so that only one operation waits for
        it, but one more is rounded: steps take 3 to 10 % less time. After longer ones, that is little.
        """
        code, target, state, length = self.code, self.row(row), self.row("state"), self.wide(h)
        if self.program.operations > SHORT:

            def weigh(chunk: Any) -> None:
                target[chunk] = code.fma(length, self._weighted(chunk, weights, recent), state[chunk])

            self.chunkwise(weigh)
            return
        before = np.where(np.arange(len(weights)) == recent - 1, 0.0, weights)
        last = length * float(weights[recent - 1])

        def write(chunk: Any) -> None:
            known = code.fma(length, self._weighted(chunk, before), state[chunk]) if before.any() else state[chunk]
            target[chunk] = code.fma(self.slope(recent - 1, chunk, True), last, known)

        self.chunkwise(write)

    @property
    def third(self) -> Any:
        """Weights of the error of order 3, besides the increment of a step per unit of time if that is at hand."""
        return self.numbers.E3 - self.numbers.B if self.unrolls else self.numbers.E3

    def _weighted(self, chunk: Any, weights: Any, recent: int = -1, first: Value | None = None) -> Value:
        """A sum of slopes, after a first term; those of weight 0 are left out."""
        total = first
        for number in np.flatnonzero(weights).tolist():
            slope = self.slope(number, chunk, number == recent - 1)
            weight = float(weights[number])
            total = weight * slope if total is None else self.code.fma(slope, weight, total)
        assert total is not None
        return total

    def slope(self, number: int, chunk: Any, is_recent: bool = False) -> Value:
        """A chunk of a slope."""
        row = self.row("slopes", number)
        return self.recent(row, chunk) if is_recent else row[chunk]

    def _error(self, h: Value) -> Value:
        code, state, new = self.code, self.row("state"), self.row("end")

        def terms(chunk: Any, totals: list[Value]) -> list[Value]:
            end = new[chunk]
            scale = self.scale(chunk, code.maximum(code.abs(state[chunk]), code.abs(end)))
            if self.unrolls:
                self._scales[chunk] = scale
            nothing = 0.0 * end  # NaN where the state is not finite
            found = []
            third = self._increments[chunk] if self.unrolls else None
            errors = self._weighted(chunk, self.numbers.E5), self._weighted(chunk, self.third, first=third)
            for one, total in zip(errors, totals, strict=True):
                error = code.fma(one, scale, nothing)
                found.append(code.fma(error, error, total))
            return found

        self._scales.clear()
        fifth, third = self.sums(2, terms)
        both = code.fma(third, 0.01, fifth) * self.n
        length = h.to(self.dtype)
        if self.gives_squares:
            error = (length * length) * fifth * (fifth / both)
        else:
            error = code.abs(length) * fifth / code.sqrt(both)
        return code.where(both.equals(0.0), 0.0, error)

    def _fields(self, rows: int) -> Fields:
        fields = super()._fields(rows)
        if self.form.checks_polynomials:
            fields.add("between", self.dtype, self.chunks, self.width)
            fields.add("limited", np.int64, 1, self.lanes)
        if self.form.predicts:
            fields.add("trend", np.float64, 1, self.lanes)
        return fields

    def factor(self, error: Value, accepts: Value, h: Value) -> Value:
        """As large as the error allows, and as the trend of two errors predicts (Gustafsson 1994)."""
        if not self.form.predicts:
            return super().factor(error, accepts, h)
        code, trend, size = self.code, self.lane("trend"), self.code.abs(h)
        ease = code.inverse_root(error, self.power.bit_length())
        plain = SAFETY * ease
        predicted = code.minimum(plain * (ease * size * trend[0]), plain)
        found = code.where(accepts & (self.lane("accepted")[0] > 0), predicted, plain)
        trend[0] = code.where(accepts, 1.0 / (code.minimum(ease, 1 / ROOT) * size), trend[0])
        return found

    def complete(self, accepts: Value, t: Value, h: Value) -> None:
        """The slope at the end."""
        if not self.form.checks_polynomials:
            self.evaluate(t, self.row("end"), self.row("slopes", STAGES))

    def is_stiff(self, accepts: Value, h: Value) -> Value:
        """Count steps whose length times the dominant eigenvalue is at the limit of stability."""
        code, new, trial, state = self.code, self.row("end"), self.row("trial"), self.row("state")

        def terms(chunk: Any, totals: list[Value]) -> list[Value]:
            scale = self._scales[chunk] if self.unrolls else self.scale(chunk, code.abs(state[chunk]))
            slopes = (self.slope(STAGES, chunk, True) - self.slope(STAGES - 1, chunk)) * scale
            apart = (new[chunk] - trial[chunk]) * scale
            return [code.fma(one, one, total) for one, total in zip((slopes, apart), totals, strict=True)]

        slopes, apart = self.sums(2, terms)
        length, bound = h.to(self.dtype), code.number(STIFF_AT**2, self.dtype, self.lanes)
        if self.form.checks_polynomials:
            bound = code.where(self.lane("limited")[0].differs(0), LIMITED_AT**2, bound)
        limits = (length * length * slopes > bound * apart) & (apart > 0.0)
        return seems_stiff(self, limits, accepts)

    def coefficients(self, t: Value, h: Value) -> None:
        """The polynomials, if they were not written with the attempt."""
        if not self.form.checks_polynomials:
            self._polynomial(t, h)

    def _polynomial(self, t: Value, h: Value) -> None:
        """Three further stages, and the polynomial: see `Coefficients`."""
        for stage in range(STAGES + 1, STAGES + 1 + EXTRA):
            self._stage(stage, t, h, "between" if self.form.checks_polynomials else "trial")
        code, count = self.code, STAGES + 1 + EXTRA
        weights = code.array("%table", self.dtype)
        length = None if self.form.log == DENSE else self.wide(h)
        target, used = self.rows("coefficients"), np.flatnonzero(self.numbers.nested.any(axis=0)).tolist()
        with code.for_(DEGREE) as number:
            row = weights.after(number * count)

            def write(chunk: Any, number: Value = number) -> None:
                total = code.number(0.0, self.dtype, self.width)
                for k in used:
                    total = code.fma(self.slope(k, chunk), row[k], total)
                target[number * self.chunks + chunk] = total if length is None else total * length

            self.chunkwise(write)

    def value_at(self, theta: Value, place: Value) -> Value:
        """The nested polynomial."""
        code, rows = self.code, self.rows("coefficients").of(1)
        rest, size = 1.0 - theta, self.chunks * self.width
        total = code.number(0.0, self.dtype)
        for k in reversed(range(DEGREE)):
            total = (total + rows[place + k * size]) * (rest if k % 2 else theta)
        return total + self.rows("state").of(1)[place]


def explicit(
    program: Program, form: Form | None = None, events: Sequence[Program] = (), switches: Program | None = None
) -> Solver:  # fmt: skip
    """
    The compiled solver of a right-hand side, with events and modes; programs that differ in constants share its code.

    Raises
    ------
    UnsupportedError
        If there is no machine code for it.
    """
    form = form or Form()
    watched = [*events, *([] if switches is None else [switches])]
    key = "DOP853", structure(program), form, *map(structure, watched)
    return solver(key, [program, *watched], partial(Explicit, program, form, events, switches))

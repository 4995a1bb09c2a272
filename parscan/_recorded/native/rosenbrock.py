"""Rodas5P in machine code around a recorded right-hand side and its derivatives: a solver of stiff problems.

The steps and their control are those of Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition,
Springer 1996, sections IV.7 and IV.8; see `rodas5p.py` for the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np

from ..linearised import Linearised
from ..program import Program
from .driver import Fields
from .elimination import Held, Shape
from .expressions import Value
from .implicit import Implicit
from .integrate import Solver, solver
from .members import DENSE, Form
from .numbers_of_systems import Numbers
from .rodas5p import BETWEEN, GAMMA, OF_TIME, ORDER, RIGHT_SIDES, STAGES, STATES, TIMES
from .routine import Routine
from .same_text import structure
from .stage_systems import stage_systems

DEGREE = 4
"""Coefficients of the polynomials."""

MIDDLE, ALLOWED = 0.5, 2.0
"""Where in a step the error of its polynomial is estimated, and how large it may be, in tolerances."""


def weights(as_slopes: bool) -> Any:
    """
    Weights `(4, 8)` of the stages in the polynomials between the ends of a step.

    As slopes, they give the derivative by θ at the nodes of Gauss's quadrature on [0, 1]; else the coefficients of the
    powers θ to θ⁴.
    """
    b = np.array(BETWEEN)
    change = np.array([*STATES[-1], 1.0, 1.0, 1.0])
    powers = np.stack([change + b[0], b[1] - b[0], b[2] - b[1], -b[2]])
    if not as_slopes:
        return powers
    nodes = (np.polynomial.legendre.leggauss(DEGREE)[0] + 1) / 2
    return np.stack([k * nodes ** (k - 1) for k in range(1, DEGREE + 1)], axis=1) @ powers


class Rosenbrock(Implicit):
    """Writes the solver."""

    power = ORDER
    per_attempt = STAGES - 1

    def __init__(
        self, value: Program, linearised: Linearised, form: Form, events: Sequence[Program] = (),
        switches: Program | None = None,
    ) -> None:  # fmt: skip
        numbers = weights(form.log == DENSE).astype(value.arguments[1].dtype)
        super().__init__(value, linearised, form, 2, numbers, DEGREE, events, switches)
        self.systems.module = self.module
        is_small = self._is_brief(value) and self.shape.is_short and self.shape.rows == 1
        self._written_out = self.module.inline(value, self.lanes) if is_small else None
        """The right-hand side in the lines of the driver, with all values in registers."""
        self._held: dict[tuple[str, int], Held] = {}
        self.per_attempt += form.checks_polynomials

    def extend(self, fields: Fields) -> list[Routine]:
        """Stages, and whatever else has a number per component; the functions that solve systems."""
        super().extend(fields)
        self.shape = shape = Shape(self.n, self.lanes, self.width, self.dtype)
        fields.add("stages", self.dtype, STAGES, self.chunks, self.width)
        fields.add("right", self.dtype, self.chunks, self.width)
        fields.add("factor", self.dtype, shape.lanes)
        rows, columns = self._linearised.rows, self._linearised.columns
        self.systems = stage_systems(shape, rows, columns, Numbers((1 / GAMMA,)))
        self.systems.extend(fields)
        return self.systems.routines()

    # Memory

    def pieces(self, name: str, number: int = 0) -> Held:
        """A state, or something like it, in the pieces of `Shape`; those of short vectors stay in registers."""
        if (name, number) not in self._held:
            array = self.rows(name, number).of(self.shape.width, self.shape.lanes)
            self._held[name, number] = Held(array, self.shape.is_short)
        return self._held[name, number]

    def each(self) -> Iterator[Any]:
        """The first rows of the pieces."""
        return self.shape.each(self.code)

    def wide_piece(self, value: Value) -> Value:
        """A number per lane, as wide as pieces and in the dtype of states."""
        return value.to(self.dtype).wide(self.shape.width)

    def total(self, term: Callable[[Any], Value]) -> Value:
        """Sum of the terms of all pieces, per lane."""
        code, shape = self.code, self.shape
        if shape.is_short:
            found = reduce(lambda one, other: one + other, [term(row) for row in self.each()])
        else:
            kept = code.variable(0.0, self.dtype, shape.width)
            for row in self.each():
                kept.set(kept.get() + term(row))
            found = kept.get()
        return found if shape.rows == 1 else code.sum(found)

    # A step

    def attempt(self, t: Value, h: Value) -> Value:
        """The stages and the error; before the first step of a member, the derivatives."""
        code = self.code
        self.linearise_first(t)
        self._held = {}
        self.systems.factorise(h.to(self.dtype))
        fails = self._stages(t, h)
        error = self._error()
        if self.form.checks_polynomials:
            error = code.maximum(error, self._error_between(t, h) / ALLOWED)
        return code.where(fails, np.inf, error)

    def _stages(self, t: Value, h: Value) -> Value:
        """The stages, and the state at the end; whether systems could not be solved."""
        code, fails = self.code, self.code.number(False, bool, self.lanes)
        length, square = self.wide_piece(h), self.wide_piece(h * h)
        trial, right, by_time, end = (self.pieces(name) for name in ("trial", "right", "by time", "end"))
        for i in range(STAGES):
            if i:
                self._trial(i)
                self._evaluate(code.fma(h, TIMES[i], t))
            slope = self.pieces("slopes", min(i, 1))
            for row in self.each():
                found = self.code.number(0.0, self.dtype, self.shape.width)
                if self.reads_time[0] and OF_TIME[i]:
                    found = square * OF_TIME[i] * by_time[row]
                found = self._weighted(RIGHT_SIDES[i], row, found)
                right[row] = code.fma(length, slope[row], found)  # at the end, as the slope is known last
            result = self.pieces("stages", i)
            self.systems.solve(right, result)
            fails = fails if i else self.systems.fails(right, result)
        last = self.pieces("stages", STAGES - 1)
        for row in self.each():
            end[row] = trial[row] + last[row]
        return fails

    def _evaluate(self, t: Value) -> None:
        """The slope of the row "trial", as the second row of slopes."""
        trial, slope = self.pieces("trial"), self.pieces("slopes", 1)
        if self._written_out is None:
            written = self.rows("slopes", 1)
            self.evaluate(t, self.rows("trial"), written)
            slope.forget()
            if self.shape.padded == self.shape.rows:
                slope.hold(0, self.recent(written, 0))
            return
        time = self.time(t).register if self.reads_time[0] else ""
        state = [trial[row].register for row in range(self.n)]
        found = self._written_out([time], state, *self._parameter_values())[0]
        for row, register in enumerate(found):
            slope.hold(row, Value(self.code, register, self.dtype, self.lanes))

    def _trial(self, i: int) -> None:
        """The state at which a stage evaluates the function."""
        trial, state = self.pieces("trial"), self.pieces("state")
        for row in self.each():
            if i < len(STATES):
                trial[row] = self._weighted(STATES[i], row, state[row])
            else:
                trial[row] = trial[row] + self.pieces("stages", i - 1)[row]

    def _weighted(self, weights: Sequence[float], row: Any, found: Value) -> Value:
        """Something plus weighted stages."""
        for k, weight in enumerate(weights):
            found = self.code.fma(self.pieces("stages", k)[row], weight, found)
        return found

    def _error(self) -> Value:
        """Error of the state at the end in tolerances: the last stage."""
        return self._size(self.pieces("stages", STAGES - 1))

    def _error_between(self, t: Value, h: Value) -> Value:
        """
        Error of the polynomial in the middle of the step, in tolerances.

        The defect `h (f(y(θ)) - y'(θ))` is turned into an error as right-hand sides are turned into stages: the matrix
        divides its stiff components by their large rates.
        """
        code, length = self.code, self.wide_piece(h)
        trial, right, slope = self.pieces("trial"), self.pieces("right"), self.pieces("slopes", 1)
        powers = np.arange(1, DEGREE + 1)
        state = (MIDDLE**powers @ weights(False)).tolist()
        change = (-powers * MIDDLE ** (powers - 1.0) @ weights(False)).tolist()
        for row in self.each():
            trial[row] = self._weighted(state, row, self.pieces("state")[row])
        self._evaluate(code.fma(h, MIDDLE, t))
        for row in self.each():
            right[row] = self._weighted(change, row, length * slope[row])
        self.systems.solve(right, trial)
        return self._size(trial)

    def _size(self, vector: Held) -> Value:
        """Root of the mean square of a vector in tolerances."""
        code, lanes = self.code, self.lanes
        last, state, end = vector, self.pieces("state"), self.pieces("end")
        width, stride = (1, 1) if lanes > 1 else (self.shape.width, 1)
        rtol, atol = (self.fields.array(code, name, width, stride) for name in ("tolerances", "limits"))

        def term(row: Any) -> Value:
            size = code.maximum(code.abs(state[row]), code.abs(end[row]))
            ratio = last[row] / code.fma(size, rtol[row], atol[row])
            return ratio * ratio

        return code.sqrt(self.total(term) / self.n)

    # Polynomials

    def coefficients(self, t: Value, h: Value) -> None:
        """Weighted stages: see `weights`."""
        code, target = self.code, self.rows("coefficients")
        table = code.array("%table", self.dtype)
        factor = self.wide(1.0 / h) if self.form.log == DENSE else None
        with code.for_(DEGREE) as number:
            row = table.after(number * STAGES)

            def write(chunk: Any, number: Value = number) -> None:
                total = code.number(0.0, self.dtype, self.width)
                for k in range(STAGES):
                    total = code.fma(self.rows("stages", k)[chunk], row[k], total)
                target[number * self.chunks + chunk] = total if factor is None else total * factor

            self.chunkwise(write)

    def value_at(self, theta: Value, place: Value) -> Value:
        """Horner's rule."""
        rows, size = self.rows("coefficients").of(1), self.chunks * self.width
        total = self.code.number(0.0, self.dtype)
        for k in reversed(range(DEGREE)):
            total = (total + rows[place + k * size]) * theta
        return total + self.rows("state").of(1)[place]


def rosenbrock(
    value: Program, linearised: Linearised, form: Form | None = None, events: Sequence[Program] = (),
    switches: Program | None = None,
) -> Solver:  # fmt: skip
    """
    The compiled solver of a right-hand side with its derivatives, with events and modes.

    Programs that differ in constants share its code.

    Raises
    ------
    UnsupportedError
        If there is no machine code for it.
    """
    form, watched = form or Form(), [*events, *([] if switches is None else [switches])]
    programs = [value, linearised.program, *watched]
    places = linearised.rows.tobytes(), linearised.columns.tobytes()
    key = *map(structure, programs), places, form
    return solver(key, programs, partial(Rosenbrock, value, linearised, form, events, switches))

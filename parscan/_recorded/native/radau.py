"""Radau IIA in machine code around a recorded right-hand side: a solver of stiff problems for tight tolerances.

The stages by simplified Newton iterations, their begin and their end, the error and the control of steps are those of
the codes RADAU5 and RADAU: Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition, Springer 1996,
section IV.8. Each step has a new Jacobian, which is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..linearised import Derived, Linearised
from ..program import Program
from .driver import Fields
from .elimination import IN_REGISTERS, Held, Shape, each
from .expressions import WHOLE, Array, Value, Variable
from .implicit import LINEARISED, Implicit
from .integrate import Solver, solver
from .members import DENSE, SAFETY, Form
from .memory import SHARED, UNIT
from .numbers_of_systems import Numbers
from .pairs import Pair, Pairs, pair
from .radau_iia import coefficients
from .routine import Routine, routine
from .same_text import structure
from .stage_systems import stage_systems
from .text import UnsupportedError

STAGES = 7
"""Vectors have a place for each stage, and one more: a power of two."""

MOST = 17
"""Largest number of iterations."""

LOOSEST = 0.01
"""Largest error of the iterations, in tolerances."""

STALLED, FALLEN = 0.3, 1e-2
"""
Changes that are taken for rounding, where it is known to be large, if they do not become smaller: in tolerances, and as
a share of the first ones.
"""

FARTHEST = 2.0
"""Ratio of steps up to which the polynomial of the step before begins the iterations."""

SLOW, HALF = 0.99, 0.5
"""Ratio of successive changes from which on the iterations are given up, and what the step is multiplied by then."""

FAILED = 1e9
"""Error of a step without stages."""

GOES_ON, CONVERGED, DIVERGED = 0, 1, 2
"""What is known of the iterations."""

AT_STAGES = "at_stages"
"""Name of a routine."""

LANES, PAIRS = STAGES + 1, (STAGES + 1) // 2
"""Numbers of a component at the stages, with one that is for nothing; and systems."""

FIRSTS, SECONDS = [0, *range(1, STAGES, 2)], [0, *range(2, STAGES, 2)]
"""Places of the real numbers and of the pairs in transformed vectors."""


class Radau(Implicit):
    """
    Writes the solver, for one member at a time. Methods that begin with `of_` are those that other equations change.

    Lanes of vectors are the stages, or the systems, as which all those of an iteration are solved at once: the real
    one, too, as a complex one.
    """

    names: tuple[str, ...] = ("fun", LINEARISED, AT_STAGES)
    power, per_attempt = STAGES + 1, 0
    loosest = LOOSEST
    by_pattern = True
    """Whether systems may be solved without changes of rows."""
    is_rounded = False
    """Whether iterations that stall may end as they are, if changes are small."""
    has_mass = False
    """Whether systems have a matrix in place of the identity."""
    vectors = 2
    """Arguments of the function that differ from stage to stage; those behind are the same."""

    def __init__(
        self, value: Program, linearised: Derived, form: Form, events: Sequence[Program] = (),
        switches: Program | None = None,
    ) -> None:  # fmt: skip
        if form.lanes > 1:
            raise UnsupportedError("is solved in several lanes")
        self.method = coefficients(STAGES)
        super().__init__(value, linearised, form, 2, self.constants(value), STAGES, events, switches)
        self.systems.module = self.module

    def constants(self, value: Program) -> Any:
        """Numbers that the code reads."""
        return np.zeros(0, value.arguments[1].dtype)

    def _routine(self, name: str, program: Program, modes: list[str]) -> Routine:
        if name != AT_STAGES:
            return super()._routine(name, program, modes)
        parameters = [SHARED] * (len(program.arguments) - self.vectors)
        return routine(name, program, LANES, [UNIT] * self.vectors + parameters + [UNIT] * len(program.results))

    def extend(self, fields: Fields) -> list[Routine]:
        """Stages; complex vectors and matrices as two planes; functions that solve systems."""
        super().extend(fields)
        fields.add("times", self.program.arguments[0].dtype, LANES)
        for name in ("trials", "stages", "at stages", "beyond"):
            fields.add(name, self.dtype, self.n, LANES)
        fields.add("scale", self.dtype, self.n)
        fields.add("factor", self.dtype, 1)
        for name in ("trust", "newton"):
            fields.add(name, np.float64, 1, 1)
        begin, numbers = fields.size, Numbers((self.method.real, *self.method.pairs), has_mass=self.has_mass)
        for name in ("transformed", "right", "change"):
            fields.add(name, self.dtype, self.n, PAIRS)
        rows, columns = self._linearised.rows, self._linearised.columns
        shape = Shape(self.n, PAIRS, 1, self.dtype)
        self.systems = stage_systems(shape, rows, columns, numbers, by_pattern=self.by_pattern)
        self.systems.extend(fields)
        numbers.plane = fields.size - begin
        fields.add("imaginary parts", np.uint8, numbers.plane)
        return self.systems.routines()

    def _begin(self) -> None:
        """How far the iterations go."""
        super()._begin()
        self.begin_iterations()

    def begin_iterations(self) -> None:
        """Before the first step of a member."""
        code, rtol = self.code, self.fields.array(self.code, "tolerances")
        least = code.variable(np.inf)
        with code.for_(self.n) as k:
            least.set(code.minimum(rtol[k].to(np.float64), least.get()))
        eps = 10 * float(np.finfo(self.dtype).eps)
        self.lane("newton")[0] = code.maximum(eps / least.get(), self.loosest)
        self.lane("trust")[0] = 1.0

    # Vectors

    def at_stages(self, name: str) -> Array:
        """The numbers of each component at the stages."""
        return self.fields.array(self.code, name, LANES)

    def scalars(self, name: str, number: int = 0) -> Array:
        """A row, component by component."""
        return self.rows(name, number).of(1)

    @property
    def pairs(self) -> Pairs:
        """Writes lines with complex numbers."""
        found = self.systems.numbers.code(self.code)
        assert isinstance(found, Pairs)
        return found

    def complex(self, name: str) -> Held:
        """The complex numbers of each component in the systems."""
        return Held(self.fields.array(self.pairs, name, PAIRS), self.n <= IN_REGISTERS)

    def components(self) -> Iterator[Any]:
        """Numbers of the components."""
        return each(self.code, self.n, 0, 1, self.n <= IN_REGISTERS)

    def _total(self, add: Callable[[Any, Value], Value], width: int) -> Value:
        """Sum of what is added for each component."""
        code = self.code
        if self.n <= IN_REGISTERS:
            found = code.number(0.0, self.dtype, width)
            for k in range(self.n):
                found = add(k, found)
            return code.sum(found)
        kept = code.variable(0.0, self.dtype, width)
        with code.for_(self.n) as place:
            kept.set(add(place, kept.get()))
        return code.sum(kept.get())

    def _mixed(self, values: Sequence[Value], weights: Any) -> Value:
        """Sums of weighted numbers; a column of the weights belongs to each of them, and a row to each lane."""
        found = None
        for value, column in zip(values, weights.T.tolist(), strict=True):
            factors = self.code.vector(column, self.dtype)
            found = value * factors if found is None else self.code.fma(value, factors, found)
        assert found is not None
        return found

    def _of_stages(self, values: Sequence[Value], weights: Any) -> Value:
        """Such sums for each stage."""
        return self._mixed(values, np.append(weights, np.zeros((1, weights.shape[1])), axis=0))

    def _of_systems(self, values: Sequence[Value], weights: Any) -> Pair:
        """Such sums for each system: of `T⁻¹` times the weights, the numbers `w_1 - i w_2`."""
        weights = self.method.inverse @ weights
        imaginary = -weights[SECONDS]
        imaginary[0] = 0.0
        return pair(self.pairs, self._mixed(values, weights[FIRSTS]), self._mixed(values, imaginary))

    # A step

    def attempt(self, t: Value, h: Value) -> Value:
        """The stages and the error."""
        code = self.code
        self.linearise_first(t)
        self.systems.factorise(h.to(self.dtype))
        self._predict(t, h)
        self._iterate(h)
        end, state, stages = self.scalars("end"), self.scalars("state"), self.at_stages("stages")
        for k in self.components():
            end[k] = state[k] + stages[k].element(STAGES - 1)
        error = self._error(t, h)
        return code.where(self._failed & code.is_finite(error), FAILED, error)

    def _predict(self, t: Value, h: Value) -> None:
        """First iterates: the polynomial of the step before, beyond its end, or zeros; times, and scales of errors."""
        code, method = self.code, self.method
        ratio = code.abs(h) / self.lane("length before")[0]
        ratio = code.where((self.lane("accepted")[0] > 0) & (ratio <= FARTHEST), ratio, 0.0).to(self.dtype)
        powers = [ratio]
        for _ in range(STAGES - 1):
            powers.append(powers[-1] * ratio)
        factors = code.joined([*powers, code.number(0.0, self.dtype)])
        times = code.fma(h, code.vector([*method.c, 0.0]), t)
        self.fields.array(code, "times", LANES)[0] = self.time(times)
        weights = method.c[:, None] ** np.arange(1, STAGES + 1)
        stages, beyond, transformed = self.at_stages("stages"), self.at_stages("beyond"), self.complex("transformed")
        rtol, atol, scale = (self.fields.array(code, name) for name in ("tolerances", "limits", "scale"))
        state = self.scalars("state")
        for k in self.components():
            terms = self._elements(beyond[k] * factors)
            stages[k] = self._of_stages(terms, weights)
            transformed[k] = self._of_systems(terms, weights)
            scale[k] = self.of_scale(k, h, code.fma(code.abs(state[k]), rtol[k], atol[k]))

    def of_scale(self, k: Any, h: Value, tolerance: Value) -> Value:
        """One over what an error of a component may be in a step."""
        return 1.0 / tolerance

    def _elements(self, values: Value) -> list[Value]:
        return [values.element(k) for k in range(STAGES)]

    def _iterate(self, h: Value) -> None:
        """Newton's iterations for the stages: transformed, they are linear systems of their own."""
        code = self.code
        state, count, factor = code.variable(GOES_ON, WHOLE), code.variable(0, WHOLE), code.variable(HALF)
        sizes = [code.variable(0.0) for _ in range(3 if self.is_rounded else 2)]
        trust = self.lane("trust")
        trust[0] = code.pow(code.maximum(trust[0], float(np.finfo(np.float64).eps)), 0.8)
        with code.while_(lambda: state.get().equals(GOES_ON)):
            self.of_stages(h)
            self._judge(self._change(h), state, count, sizes, factor)
        self._passages, self._shorter = count.get(), factor.get()
        self._failed = state.get().equals(DIVERGED)
        counted = self.lane("evaluations")
        counted[0] = counted[0] + self._passages * STAGES

    def of_stages(self, h: Value) -> None:
        """The slopes at all stages."""
        code, state = self.code, self.scalars("state")
        trials, stages = self.at_stages("trials"), self.at_stages("stages")
        for k in self.components():
            trials[k] = state[k] + stages[k]
        parameters = self.fields.array(code, "parameters")
        given = [code.load_pointer(parameters.at(k)) for k in range(len(self.program.arguments) - 2)]
        times = self.fields.array(code, "times").pointer
        self.module.call(AT_STAGES, times, trials.pointer, *given, self.at_stages("at stages").pointer)

    def _change(self, h: Value) -> Value:
        """Solve the systems and change the stages; return the size of the change in tolerances."""
        code, length = self.code, h.to(self.dtype)
        slopes, stages = self.at_stages("at stages").of(1), self.at_stages("stages")
        transformed, right, change = (self.complex(name) for name in ("transformed", "right", "change"))
        identity = np.eye(STAGES)
        for k in self.components():
            found = self._of_systems([slopes[k * LANES + j] for j in range(STAGES)], identity)
            right[k] = self.of_systems(found, length, transformed[k])
        self.systems.solve(right, change)
        scale, weights = self.fields.array(code, "scale"), self.method.T
        weights = np.concatenate([weights[:, FIRSTS], -weights[:, SECONDS[1:]]], axis=1)

        def add(k: Any, total: Value) -> Value:
            step = change[k]
            transformed[k] = now = transformed[k] + step
            assert isinstance(step, Pair)
            assert isinstance(now, Pair)
            parts = [now.real.element(j) for j in range(PAIRS)], [now.imaginary.element(j) for j in range(1, PAIRS)]
            stages[k] = self._of_stages([*parts[0], *parts[1]], weights)
            size = code.fma(step.real, step.real, step.imaginary * step.imaginary)
            return code.fma(size, scale[k] * scale[k], total)

        return code.sqrt(self._total(add, PAIRS) / (self.n * STAGES)).to(np.float64)

    def of_systems(self, found: Pair, length: Value, transformed: Value) -> Value:
        """Right-hand sides of a component, of what the function gave at the stages."""
        diagonal = -self.systems.numbers.diagonal(self.pairs, self.systems.shape)
        return self.pairs.fma(found, length, diagonal * transformed)

    def _judge(
        self, size: Value, state: Variable, count: Variable, sizes: Sequence[Variable], factor: Variable
    ) -> None:
        """Whether the iterations have converged, or will not."""
        code, most, limit, trust = self.code, MOST, self.lane("newton")[0], self.lane("trust")
        before, last, *_ = sizes
        passed = count.get() + 1
        count.set(passed)
        ratio = size / before.get()
        mean = code.where(passed.equals(2), ratio, code.sqrt(ratio * last.get()))
        is_later = passed > 1
        trust[0] = code.where(is_later & (mean < SLOW), mean / (1.0 - mean), trust[0])
        fits = trust[0] * size <= limit
        ends = passed >= most
        left = trust[0] * size / limit * self._power(mean, most - 1 - passed)
        is_slow = is_later & (~(mean < SLOW))
        is_late = is_later & (left >= 1.0) & ~ends
        bad = is_slow | ~code.is_finite(size)
        fails = bad | (is_late | (ends & ~fits))
        if self.is_rounded:
            first = sizes[2]
            first.set(code.where(passed.equals(1), size, first.get()))
            rounded = fails & (size <= code.minimum(first.get() * FALLEN, STALLED))
            fits, fails = fits | rounded, fails & ~rounded
            is_late = is_late & ~rounded
        state.set(code.where(fails, DIVERGED, code.where(fits, code.number(CONVERGED, WHOLE), GOES_ON)))
        with code.if_(is_late & ~bad):
            wanted = code.minimum(code.maximum(left, 1e-4), 20.0)
            factor.set(0.8 * code.pow(wanted, -1.0 / (3 + most - passed).to(np.float64)))
        before.set(code.maximum(size, float(np.finfo(np.float64).eps)))
        last.set(ratio)

    def _power(self, base: Value, exponent: Value) -> Value:
        """A power with a small integer, which is not negative; negative ones are taken as 0."""
        code, found, bit = self.code, self.code.number(1.0), 1
        exponent = code.maximum(exponent, 0)
        while bit < MOST:
            found = code.where((exponent & bit).differs(0), found * base, found)
            base, bit = base * base, 2 * bit
        return found

    def _error(self, t: Value, h: Value) -> Value:
        """Error of the state at the end in tolerances; where it is too large in a doubtful step, smoothed again."""
        code, found = self.code, self.code.variable(self._estimate(h))
        is_doubtful = self.lane("accepted")[0].equals(0) | self.lane("shrunk")[0].differs(0)
        with code.if_((found.get() >= 1.0) & is_doubtful & ~self._failed):
            trial, state, change = self.scalars("trial"), self.scalars("state"), self.complex("change")
            for k in self.components():
                trial[k] = state[k] + self._first(change[k])
            self.of_begin(t)
            self._count(code.number(True, bool), "evaluations")
            found.set(self._estimate(h, 1))
        return found.get()

    def of_begin(self, t: Value) -> None:
        """What the function gives at the begin, with the row "trial" as the state there."""
        self.evaluate(t, self.rows("trial"), self.rows("slopes", 1))

    def _estimate(self, h: Value, number: int = 0) -> Value:
        """Solve for the error with a slope at the begin; its size in tolerances."""
        code, right, change = self.code, self.complex("right"), self.complex("change")
        zero, of_error = code.number(0.0, self.dtype), self.of_error(h.to(self.dtype), number)
        for k in self.components():
            right[k] = code.joined([of_error(k)] + [zero] * (PAIRS - 1))
        self.systems.solve(right, change)
        scale = self.fields.array(code, "scale")

        def add(k: Any, total: Value) -> Value:
            ratio = self._first(change[k]) * scale[k]
            return code.fma(ratio, ratio, total)

        return code.sqrt(self._total(add, 1) / self.n).to(np.float64)

    def of_error(self, length: Value, number: int) -> Callable[[Any], Value]:
        """Right-hand sides of the error: the slope of a number at the begin, and weighted stages."""
        code, slope, stages = self.code, self.scalars("slopes", number), self.at_stages("stages")
        weights = code.vector([*self.method.error, 0.0], self.dtype)
        return lambda k: code.fma(slope[k], length, code.sum(stages[k] * weights))

    def _first(self, value: Value) -> Value:
        """The number of the real system."""
        assert isinstance(value, Pair)
        return value.real.element(0)

    def safety(self) -> Value:
        """Less where the iterations were many."""
        return SAFETY * (1.0 + 2 * MOST) / (self._passages + 2 * MOST).to(np.float64)

    def factor(self, error: Value, accepts: Value, h: Value) -> Value:
        """As errors of two steps predict it; where the iterations failed, as they tell."""
        return self.code.where(self._failed, self._shorter, super().factor(error, accepts, h))

    def complete(self, accepts: Value, t: Value, h: Value) -> None:
        """The slope and the derivatives at the end; the polynomial for the next step."""
        super().complete(accepts, t, h)
        stages, beyond = self.at_stages("stages"), self.at_stages("beyond")
        for k in self.components():
            beyond[k] = self._of_stages(self._elements(stages[k]), self.method.beyond)

    def restart(self) -> None:
        """The next iterations begin with zeros."""
        self.lane("length before")[0] = float(np.finfo(np.float64).tiny)

    # Polynomials

    def coefficients(self, t: Value, h: Value) -> None:
        """Slopes at Gauss's nodes, or the coefficients of Newton's form."""
        is_dense, stages = self.form.log == DENSE, self.at_stages("stages")
        middles = (np.polynomial.legendre.leggauss(STAGES)[0] + 1) / 2
        weights = self.method.slopes(middles) if is_dense else self.method.nested
        target, size = self.rows("coefficients").of(1), self.chunks * self.width
        for k in self.components():
            found = self._of_stages(self._elements(stages[k]), weights)
            found = found / h.to(self.dtype) if is_dense else found
            for number, value in enumerate(self._elements(found)):
                target[number * size + k] = value

    def value_at(self, theta: Value, place: Value) -> Value:
        """Newton's form of the polynomial."""
        code, rows, size = self.code, self.rows("coefficients").of(1), self.chunks * self.width
        total = code.number(0.0, self.dtype)
        for k in reversed(range(STAGES)):
            total = code.fma(total, theta - float(self.method.c[k]), rows[place + k * size])
        return code.fma(total, theta, self.rows("state").of(1)[place])


def radau(
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
    programs = [value, linearised.program, value, *watched]
    places = linearised.rows.tobytes(), linearised.columns.tobytes()
    key = "Radau", *map(structure, programs[:2]), places, form, *map(structure, watched)
    return solver(key, programs, partial(Radau, value, linearised, form, events, switches))

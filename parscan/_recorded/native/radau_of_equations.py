"""Radau IIA in machine code for recorded equations `F(t, y, y') = 0`: mass matrices, and algebraic equations.

The stages `y + z_i` have the derivatives `Σ_j (A⁻¹)_ij z_j / h`, for which the equations hold. Newton's iterations, the
error `(λ ∂F/∂y' + h ∂F/∂y)⁻¹ ∂F/∂y' (h y' + Σ_i e_i z_i)` and the scales of components of higher index are those of the
codes RADAU5 and RADAU: Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition, Springer 1996,
sections IV.8, VI.1 and VII.4. As the last stage is the end of a step, algebraic equations hold there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..implicit_equations import RATE, Pencil
from ..program import Program
from .driver import Fields
from .elimination import each
from .expressions import Array, Code, Value
from .implicit import LINEARISED
from .integrate import Solver, solver
from .members import Form
from .pairs import Pair
from .radau import AT_STAGES, LANES, Radau
from .routine import Routine
from .same_text import structure
from .sparse_elimination import Tables, internal
from .stage_systems import WRITTEN_OUT

MULTIPLY = "multiply"
"""Name of a routine."""

LOOSEST = 1e-5
"""
Largest error of the iterations, in tolerances, with components of the index 2 or 3: such a component has to undo errors
of the constraint in a step, and so they are divided by its length.
"""

FLOOR = 1e5
"""
Rounding of the state in the errors of components of the index 2 or 3, before it is divided by lengths of steps: weights
of stages, and twice their derivatives.
"""

FIRST_SHARE = 0.01
"""Change of the state in the first step, as a share of its size in tolerances, as the first slopes tell it."""

SHORT = 1e-6
"""First step where they do not."""


class RadauOfEquations(Radau):
    """
    Writes the solver. The first parameter of members is the derivative with which they begin.

    The row "slopes" has the derivative at the begin of a step.

    Parameters
    ----------
    pencil : Pencil
        The equations and their Jacobians.
    form : Form
    index : tuple of int
        The index of each component: 0 or 1, or 2 or 3, whose errors count less in short steps.
    by_pattern : bool
        Whether systems may be solved without changes of rows, where entries of the diagonal may be zero.
    """

    has_mass, vectors = True, 3
    is_rounded = True
    """Rounding of algebraic equations is divided by the lengths of steps, or their squares."""

    shares_rest = True
    """So are errors of the constraints, in components of higher index at the end of a very short last step."""

    def __init__(self, pencil: Pencil, form: Form, index: Sequence[int], by_pattern: bool) -> None:
        self.by_pattern = by_pattern
        self._pencil, self._index = pencil, tuple(index)
        self._is_higher = max(index, default=1) >= RATE
        if self._is_higher:
            self.loosest = LOOSEST
        super().__init__(pencil.equations, pencil, form)

    def constants(self, value: Program) -> Any:
        """The index of each component."""
        return np.array(self._index, value.arguments[1].dtype)

    def extend(self, fields: Fields) -> list[Routine]:
        """Derivatives at the stages; the other Jacobian, and products with it."""
        fields.add("masses", self.dtype, max(self._pencil.rows.size, 1))
        fields.add("rates", self.dtype, self.n, LANES)
        for name in ("moved", "forces", "residual"):
            fields.add(name, self.dtype, self.n)
        return [*super().extend(fields), self._multiplier()]

    def _multiplier(self) -> Routine:
        """The product of `∂F/∂y'` with a vector."""
        code, names, pencil = Code(), ("masses", "vector", "product"), self._pencil
        masses, vector, product = (code.array(f"%{name}", self.dtype) for name in names)
        count, written_out = pencil.rows.size, pencil.rows.size <= WRITTEN_OUT
        tables = Tables(code, written_out)
        rows, columns = map(tables.add, (pencil.rows, pencil.columns))
        sums: Any = {} if written_out else product
        for row in each(code, self.n, 0, 1, written_out):
            sums[row] = code.number(0.0, self.dtype)
        for k in each(code, count, 0, 1, written_out):
            sums[rows[k]] = code.fma(masses[k], vector[columns[k]], sums[rows[k]])
        for row in range(self.n) if written_out else ():
            product[row] = sums[row]
        return internal(code, MULTIPLY, names, tables.bytes())

    def plain(self, name: str) -> Array:
        """A number for each component."""
        return self.fields.array(self.code, name)

    # The equations

    def _given(self) -> list[str]:
        """Pointers to parameters."""
        parameters = self.fields.array(self.code, "parameters")
        return [self.code.load_pointer(parameters.at(k)) for k in range(1, len(self.program.arguments) - RATE)]

    def _call(self, function: int, t: Value, state: Array, *results: Array) -> None:
        """Evaluate a program of the equations with the derivative at the begin of a step."""
        time = self.lane("time")
        if self.reads_time[function]:
            time[0] = self.time(t)
        pointers = [time.pointer, state.pointer, self.rows("slopes").pointer, *self._given()]
        self.module.call(self.names[function], *pointers, *[one.pointer for one in results])

    def _linearise(self, t: Value, state: Array) -> None:
        self._call(self.names.index(LINEARISED), t, state, self.plain("entries"), self.plain("masses"))

    # A step

    def _begin(self) -> None:
        """The first derivatives, which are given, and first steps."""
        code, fresh, h = self.code, self.lane("fresh"), self.lane("step")
        with code.if_(code.any(fresh[0].differs(0))):
            given = code.array(code.load_pointer(self.fields.array(code, "parameters").at(0)), self.dtype)
            slopes = self.scalars("slopes")
            with code.for_(self.n) as k:
                slopes[k] = given[k]
            chooses = self.lane("given")[0].equals(0)
            with code.if_(chooses):
                h[0] = self.first_step(self.lane("now")[0])
            fresh[0] = 0
        self.begin_iterations()

    def first_step(self, t: Value) -> Value:
        """A step in which states change by a share of their size (Hairer, Nørsett and Wanner 1993, section II.4)."""
        code, state, slope = self.code, self.row("state"), self.row("slopes")
        longest = code.minimum(code.abs(self.lane("goal")[0] - t), self.lane("limit")[0])

        def sizes(k: Any, totals: list[Value]) -> list[Value]:
            scale = self.scale(k, code.abs(state[k]))
            terms = state[k] * scale, slope[k] * scale
            return [code.fma(one, one, total) for one, total in zip(terms, totals, strict=True)]

        size, rate = (code.sqrt(one / self.n).to(np.float64) for one in self.sums(2, sizes))
        h = code.where((size < 1e-5) | (rate < 1e-5), SHORT, FIRST_SHARE * size / rate)
        return code.minimum(h, longest)

    def _predict(self, t: Value, h: Value) -> None:
        """The size of the state, besides."""
        if self._is_higher:
            code, state = self.code, self.scalars("state")
            largest = code.variable(0.0, self.dtype)
            for k in self.components():
                largest.set(code.maximum(largest.get(), code.abs(state[k])))
            self._floor = largest.get() * (FLOOR * float(np.finfo(self.dtype).eps))
        super()._predict(t, h)

    def of_scale(self, k: Any, h: Value, tolerance: Value) -> Value:
        """Errors of components of the index `i` count `h^(i - 1)` times as much, at most, and not their rounding."""
        code, levels, one = self.code, sorted(set(self._index)), 1.0 / tolerance
        if not self._is_higher:
            return one
        size, other = code.minimum(code.abs(h), 1.0).to(self.dtype), 1.0 / (tolerance + self._floor)
        found = {level: (one, other * size, other * size * size)[max(level, 1) - 1] for level in levels}
        if isinstance(k, int):
            return found[self._index[k]]
        index, chosen = self.code.array("%table", self.dtype)[k], found[levels[0]]
        for level in levels[1:]:
            chosen = code.where(index >= float(level), found[level], chosen)
        return chosen

    def of_stages(self, h: Value) -> None:
        """The equations at all stages."""
        code, state = self.code, self.scalars("state")
        trials, stages, rates = (self.at_stages(name) for name in ("trials", "stages", "rates"))
        inverse, per_time = np.linalg.inv(self.method.A), (1.0 / h).to(self.dtype)
        for k in self.components():
            trials[k] = state[k] + stages[k]
            rates[k] = self._of_stages(self._elements(stages[k]), inverse) * per_time
        times = self.fields.array(code, "times").pointer
        found = self.at_stages("at stages").pointer
        self.module.call(AT_STAGES, times, trials.pointer, rates.pointer, *self._given(), found)

    def of_systems(self, found: Pair, length: Value, transformed: Value) -> Value:
        """The equations, negative."""
        return found * -length

    def of_begin(self, t: Value) -> None:
        """The equations with another state at the begin."""
        self._call(0, t, self.rows("trial"), self.plain("residual"))

    def of_error(self, length: Value, number: int) -> Callable[[Any], Value]:
        """See the formula above; and the equations at the begin, if their number is 1."""
        code, slope, stages = self.code, self.scalars("slopes"), self.at_stages("stages")
        weights = code.vector([*self.method.error, 0.0], self.dtype)
        moved, forces, residual = (self.plain(name) for name in ("moved", "forces", "residual"))
        for k in self.components():
            moved[k] = code.fma(slope[k], length, code.sum(stages[k] * weights))
        self.module.call(MULTIPLY, self.plain("masses").pointer, moved.pointer, forces.pointer)
        return lambda k: code.fma(residual[k], -length, forces[k]) if number else forces[k]

    def coefficients(self, t: Value, h: Value) -> None:
        """Derivatives at the stages, which define the polynomial."""
        target, stages, per_time = self.rows("coefficients").of(1), self.at_stages("stages"), (1.0 / h).to(self.dtype)
        inverse, size = np.linalg.inv(self.method.A), self.chunks * self.width
        for k in self.components():
            found = self._of_stages(self._elements(stages[k]), inverse) * per_time
            for number, value in enumerate(self._elements(found)):
                target[number * size + k] = value

    def complete(self, accepts: Value, t: Value, h: Value) -> None:
        """The derivative at the end, first: the Jacobians there depend on it."""
        weights = self.code.vector([*np.linalg.inv(self.method.A)[-1], 0.0], self.dtype)
        slopes, stages, per_time = self.scalars("slopes"), self.at_stages("stages"), (1.0 / h).to(self.dtype)
        for k in self.components():
            slopes[k] = self.code.sum(stages[k] * weights) * per_time
        super().complete(accepts, t, h)


def radau_of_equations(
    pencil: Pencil, form: Form | None = None, index: Sequence[int] = (), *, by_pattern: bool = True
) -> Solver:  # fmt: skip
    """
    The compiled solver of equations with their Jacobians; the index of components is 1 where none is given.

    The first of the parameters that its runs get is the derivative with which they begin.

    Raises
    ------
    UnsupportedError
        If there is no machine code for it.
    """
    value = pencil.equations
    form, index = form or Form(), tuple(index) or (1,) * value.results[0].size
    programs, places = [value, pencil.program, value], (pencil.rows.tobytes(), pencil.columns.tobytes())
    key = "Radau of equations", *map(structure, programs[:2]), places, form, index, by_pattern
    return solver(key, programs, partial(RadauOfEquations, pencil, form, index, by_pattern))

"""Taylor series in machine code: steps of adaptive length from the coefficients of the solution, with dense output.

The length of a step follows from the last two coefficients, as by Jorba and Zou, "A software package for the numerical
integration of ODEs by means of high-order Taylor methods", Experimental Mathematics 14 (2005). The defect of the
polynomial at its end tells whether the series was long enough: what is ahead of a step may not show in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..program import Program
from ..series import RULES, Series
from .driver import Fields
from .expressions import Array, Value
from .integrate import Solver, solver
from .members import DENSE, Form, Members, Row
from .routine import Routine
from .same_text import structure
from .stiffness import seems_stiff

ORDERS = 8, 12, 16, 20
"""Orders of methods."""

LAST = 0.1
"""Size of the last terms of the series at the end of a step, in tolerances."""

LONGER, SHORTER = 1e4, 0.2
"""Largest ratio of a step to that in which the series was developed; and that where it is not finite."""

WRITTEN_OUT = 1200
"""Products in a step that are written out one by one; more are taken in loops."""

GROUP = 12
"""Sums of products in a loop."""

STIFF_RATIO = 0.38
"""
Ratio of the last two terms of the series at the end of a step above which it is stability that limits the step.

The terms of a decay `exp(λt)` have the ratio `λh/p`, and stability of a method of order `p` ends at about 0.4 to 0.5.
Of other solutions, it is below 0.3: the terms fall to the tolerance from the first to the last.
"""

NODES, PARTS = 7, 4
"""Gauss's nodes in a part of a step with dense output, where polynomials of lower degree are as good as the series; and
the number of such parts."""

Coefficient = Value | float
"""Of a series; a float is zero."""


class Taylor(Members):
    """Writes the solver of a right-hand side `fun(t, y, *parameters)`."""

    names = "fun", "values"
    tests_stiffness = foresees_steps = True
    has_own_polynomials = True
    power, last = 8, 1
    per_step = per_polynomial = 0

    def __init__(self, program: Program, found: Series, form: Form, events: Sequence[Program] = ()) -> None:
        self.found, self.order = found, form.order
        self.per_attempt = form.order + 1
        slopes = _slopes(form.order) if form.log == DENSE else np.zeros((1, 1))
        constants = slopes.astype(program.arguments[1].dtype)
        super().__init__([program, found.program], form, 2, constants, slopes.shape[0], events)

    # Memory

    @property
    def _states(self) -> int:
        """Places for components of states in a row of coefficients."""
        return self.chunks * self.width // self.lanes

    @property
    def _is_looped(self) -> bool:
        return len(self.found.sums) * self.order**2 // 2 > WRITTEN_OUT

    @property
    def _row(self) -> int:
        """Places in a row of coefficients."""
        others = self.found.size - len(self.found.slopes) if self._is_looped else 0
        return self._states + others

    def _place(self, slot: int) -> int:
        """Place of a series in a row."""
        n = len(self.found.slopes)
        return slot if slot < n else self._states + slot - n

    def extend(self, fields: Fields) -> list[Routine]:
        """Coefficients, values, and the unit of time."""
        fields.add("values", self.dtype, self.found.program.results[0].size, self.lanes)
        fields.add("series", self.dtype, self.order + 1, self._row, self.lanes)
        fields.add("sums", self.dtype, max(len(self.found.sums), 1), self.lanes)
        for name in ("unit", "taken", "valued at"):
            fields.add(name, np.float64, 1, self.lanes)
        fields.add("stale", np.int64, 1, self.lanes)
        return super().extend(fields)

    def _coefficients(self, order: Value | int, width: int) -> Array:
        """All coefficients of an order, of states first."""
        row = self.fields.array(self.code, "series", self.lanes).after(order * self._row)
        return row.of(width)

    def _values(self) -> Array:
        return self.fields.array(self.code, "values", self.lanes)

    @property
    def _keeps_values(self) -> bool:
        """
        Whether the values at the end of a step are those at the begin of the next one.

        They are not where the function may be another one from there on, and not where it tells more than slopes.
        """
        form = self.form
        return not (form.has_stretches or form.events or form.watches or self._notes_switches)

    # The series

    def start(self, is_fresh: Value) -> None:
        """The first series is developed in the first step."""
        taken = self.lane("taken")
        first = self.lane("direction")[0] * self.lane("step")[0]
        taken[0] = self.code.where(is_fresh, first, taken[0])
        stale = self.lane("stale")
        stale[0] = self.code.where(is_fresh, 1, stale[0])

    def prepare(self, begin: Value) -> None:
        """
        The series at the state, and the step that it allows.

        It is developed in the step before; if that was rejected, in what its error allows. This is a branch, so that
        processors begin with the series before the error is known.
        """
        code, step, unit, shrunk = self.code, self.lane("step"), self.lane("unit"), self.lane("shrunk")
        with code.if_(code.any(shrunk[0].differs(0))):
            taken = self.lane("taken")
            taken[0] = code.where(shrunk[0].differs(0), self.lane("direction")[0] * step[0], taken[0])
        unit[0] = self.lane("taken")[0]
        self._evaluate(begin)
        state, first = self.rows("state"), self._coefficients(0, self.width)
        self.chunkwise(lambda k: first.__setitem__(k, state[k]))
        length = unit[0].to(self.dtype)
        if self._is_looped:
            self._in_loops(length)
        else:
            self._written_out(length)
        is_first = self.lane("given")[0].differs(0) & self.lane("accepted")[0].equals(0)
        found = self._share() * code.abs(unit[0])
        step[0] = code.where(is_first | shrunk[0].differs(0), code.minimum(found, step[0]), found)

    def _evaluate(self, begin: Value) -> None:
        """The values at the state, if they are not known from the defect of the step that ended there."""
        code, state, values = self.code, self.rows("state"), self._values()
        if not self._keeps_values:
            self.evaluate(begin, state, values, function=1)
            return
        stale, at = self.lane("stale"), self.lane("valued at")
        is_stale = stale[0].differs(0) | self.lane("shrunk")[0].differs(0)
        with code.if_(code.any(is_stale)):  # other lanes get the same values again
            self.evaluate(code.where(is_stale, begin, at[0]), state, values, function=1)
            stale[0] = 0

    def _share(self) -> Value:
        """The step that the last two coefficients allow, in units of time."""
        code, p = self.code, self.order
        rows, state = [self._coefficients(p - k, self.width) for k in (0, 1)], self.rows("state")

        def terms(chunk: Any, totals: list[Value]) -> list[Value]:
            scale = self.scale(chunk, code.abs(state[chunk]))
            sizes = [row[chunk] * scale for row in rows]
            return [code.fma(size, size, total) for size, total in zip(sizes, totals, strict=True)]

        tightness = self.lane("tightness")[0] * (1.0 / LAST)
        found = code.number(LONGER, width=self.lanes)
        for number, square in enumerate(self.sums(2, terms)):
            size = (square / self.n).to(np.float64) * tightness * tightness
            share = code.rough_power(size, -0.5 / (p - number))
            found = code.where(size < np.inf, code.minimum(share, found), SHORTER)
        return found

    def _written_out(self, length: Value) -> None:
        """The recurrence for all orders, line by line."""
        code, found, values, lanes = self.code, self.found, self._values(), self.lanes
        known = [values[k] for k in range(found.program.results[0].size)]
        n = len(found.slopes)
        rows: list[list[Coefficient]] = [[0.0] * found.size for _ in range(self.order + 1)]
        for k in range(1, self.order + 1):
            row, before, share = rows[k], rows[k - 1], length * (1.0 / k)
            target = self._coefficients(k, lanes)
            for number, (slot, value) in enumerate(found.slopes):
                slope: Coefficient = known[value] if k == 1 else before[slot] if slot >= 0 else 0.0
                row[number] = slope * share if isinstance(slope, Value) else 0.0
                target[number] = row[number]
            if k == self.order:
                return
            row[n] = length if k == 1 else 0.0
            sums: dict[int, Coefficient] = {}
            for term in found.terms:
                own = [row[slot] for slot in term.series]
                for one in term.sums:
                    if one >= 0 and one not in sums:
                        sums[one] = self._sum(rows, k, *found.sums[one])
                products = [sums[one] if one >= 0 else 0.0 for one in term.sums]
                if any(isinstance(one, Value) for one in (*own, *products)):
                    row[term.slot] = RULES[term.rule](code, k, own, [known[one] for one in term.values], products)

    def _sum(self, rows: list[list[Coefficient]], k: int, one: int, other: int) -> Coefficient:
        """A sum of products, the last of which have the factors that were known last."""
        total: Coefficient = 0.0
        is_square = one == other
        for j in sorted(range(1, k), key=lambda j: max(j, k - j)):
            a, b = rows[j][one], rows[k - j][other]
            if not (isinstance(a, Value) and isinstance(b, Value)) or (is_square and 2 * j > k):
                continue
            factor = a + a if is_square and 2 * j < k else a
            total = self.code.fma(factor, b, total) if isinstance(total, Value) else factor * b
        return total

    def _in_loops(self, length: Value) -> None:
        """The recurrence in loops over orders."""
        code, found, lanes, n = self.code, self.found, self.lanes, len(self.found.slopes)
        values, first = self._values(), self._coefficients(1, lanes)
        for number, (_, value) in enumerate(found.slopes):
            first[number] = values[value] * length
        time = self._place(n)
        first[time] = length
        size, base = self._row, self.fields.array(code, "series", lanes)
        with code.for_(self.order, 1) as k:
            row = base.after(k * size)
            inverse = 1.0 / k.to(self.dtype)
            with code.if_(k > 1):
                row[time] = 0.0
            sums = self._sums_in_loops(k, base, size)
            order = k.to(self.dtype).wide(lanes)
            for term in found.terms:
                own = [row[self._place(slot)] for slot in term.series]
                products = [sums[one] if one >= 0 else 0.0 for one in term.sums]
                given = [values[one] for one in term.values]
                row[self._place(term.slot)] = RULES[term.rule](code, _Order(order, inverse), own, given, products)
            following, share = row.after(size), length * (1.0 / (k + 1).to(self.dtype))
            for number, (slot, _) in enumerate(found.slopes):
                following[number] = row[self._place(slot)] * share if slot >= 0 else 0.0

    def _sums_in_loops(self, k: Value, base: Array, size: int) -> Array:
        """All sums of products, some in a loop."""
        code, found, lanes = self.code, self.found, self.lanes
        zero = code.number(0.0, self.dtype, lanes)
        kept = self.fields.array(code, "sums", lanes)
        for begin in range(0, len(found.sums), GROUP):
            some = found.sums[begin : begin + GROUP]
            totals = [code.variable(zero) for _ in some]
            with code.for_(k, 1) as j:
                one, other = base.after(j * size), base.after((k - j) * size)
                for (a, b), total in zip(some, totals, strict=True):
                    total.set(code.fma(one[self._place(a)], other[self._place(b)], total.get()))
            for number, total in enumerate(totals, begin):
                kept[number] = total.get()
        return kept

    # The step

    def attempt(self, t: Value, h: Value) -> Value:
        """The polynomial at its end; and its defect there, as an error of the step."""
        code, p = self.code, self.order
        self.lane("taken")[0] = h
        theta = self.wide(h / self.lane("unit")[0])
        state, end, slope = self.row("state"), self.row("end"), self.row("trial")
        rows = [self._coefficients(k, self.width) for k in range(p + 1)]

        def write(chunk: Any) -> None:
            total = rows[p][chunk]
            derivative = total
            for k in reversed(range(1, p)):
                total = code.fma(total, theta, rows[k][chunk])
                derivative = code.fma(derivative, theta, total)
            end[chunk] = code.fma(total, theta, state[chunk])
            slope[chunk] = derivative * theta

        self.chunkwise(write)
        found = self.row("slopes", 1)
        self._slope_at(t + h, found)
        length = self.wide(h)

        def terms(chunk: Any, totals: list[Value]) -> list[Value]:
            new = end[chunk]
            scale = self.scale(chunk, code.maximum(code.abs(state[chunk]), code.abs(new)))
            nothing = 0.0 * new  # NaN where the state is not finite
            defect = code.fma(code.fma(self.recent(found, chunk), length, -slope[chunk]), scale, nothing)
            return [code.fma(defect, defect, totals[0])]

        return code.sqrt(self.sums(1, terms)[0] / (self.n * (p + 1) ** 2))

    def _slope_at(self, t: Value, found: Row) -> None:
        """The slope at the end of the step; with all values there, if the next step takes them."""
        if not self._keeps_values:
            self.evaluate(t, self.row("end"), found)
            return
        self.evaluate(t, self.rows("end"), self._values(), function=1)
        self.lane("valued at")[0] = t
        values, numbers = self._values(), self.rows("slopes", 1).of(self.lanes)
        for number, (_, value) in enumerate(self.found.slopes):
            numbers[number] = values[value]

    def factor(self, error: Value, accepts: Value, h: Value) -> Value:
        """What the error of a rejected step allows; the series gives the step after one that is accepted."""
        shorter = 0.9 * self.code.rough_power(error, -1.0 / (self.order + 1))
        return self.code.where(accepts, 1.0, self.code.minimum(shorter, 0.7))

    def complete(self, accepts: Value, t: Value, h: Value) -> None:
        """Nothing: the attempt has evaluated the slope."""

    def is_stiff(self, accepts: Value, h: Value) -> Value:
        """Count steps whose last terms fall as slowly as those of decays at the limit of stability."""
        code, p = self.code, self.order
        rows, state = [self._coefficients(p - k, self.width) for k in (0, 1)], self.row("state")

        def terms(chunk: Any, totals: list[Value]) -> list[Value]:
            scale = self.scale(chunk, code.abs(state[chunk]))
            one, other = (row[chunk] * scale for row in rows)
            pairs = (one, one), (other, other), (one, other)
            return [code.fma(a, b, total) for (a, b), total in zip(pairs, totals, strict=True)]

        last, before, both = self.sums(3, terms)
        share = (h / self.lane("unit")[0]).to(self.dtype)
        limits = (last * share * share > STIFF_RATIO**2 * before) & (both * share < 0.0)
        return seems_stiff(self, limits, accepts)

    # Between the ends of steps

    def coefficients(self, t: Value, h: Value) -> None:
        """The series in shares of the step; and its slopes at Gauss's nodes, if they are logged."""
        code, unit = self.code, self.lane("unit")
        ratio = self.wide(h / unit[0])
        power = code.variable(ratio)
        with code.for_(self.order + 1, 1) as k:
            row = self._coefficients(k, self.width)
            self.chunkwise(lambda chunk: row.__setitem__(chunk, row[chunk] * power.get()))
            power.set(power.get() * ratio)
        unit[0] = h
        if self.form.log == DENSE:
            self._slopes(h)

    def _slopes(self, h: Value) -> None:
        """Slopes of the polynomial at Gauss's nodes."""
        code, p = self.code, self.order
        weights, target = code.array("%table", self.dtype), self.rows("coefficients")
        inverse = 1.0 / self.wide(h)
        with code.for_(self.degree) as node:
            row = weights.after(node * p)

            def write(chunk: Any, node: Value = node) -> None:
                total = code.number(0.0, self.dtype, self.width)
                for k in reversed(range(p)):
                    total = code.fma(self._coefficients(k + 1, self.width)[chunk], row[k], total)
                target[node * self.chunks + chunk] = total * inverse

            self.chunkwise(write)

    def value_at(self, theta: Value, place: Value) -> Value:
        """The series."""
        rows = self.fields.array(self.code, "series")
        size = self._row * self.lanes
        total = rows[place + self.order * size]
        for k in reversed(range(self.order)):
            total = self.code.fma(total, theta, rows[place + k * size])
        return total


class _Order:
    """An order of coefficients that is known in loops only."""

    def __init__(self, order: Value, inverse: Value) -> None:
        self._order, self._inverse = order, inverse

    def __rtruediv__(self, one: float) -> Value:
        return self._inverse

    def __mul__(self, other: Value) -> Value:
        return other * self._order


def _slopes(order: int) -> Any:
    """Weights of coefficients in the slopes at Gauss's nodes of all parts of a step."""
    nodes = (np.polynomial.legendre.leggauss(NODES)[0] + 1) / 2
    places = (np.arange(PARTS)[:, None] + nodes).ravel() / PARTS
    powers = np.arange(1, order + 1)
    return powers * places[:, None] ** (powers - 1)


def taylor(program: Program, found: Series, form: Form, events: Sequence[Program] = ()) -> Solver:
    """
    The compiled solver of a right-hand side, with events; programs that differ in constants share its code.

    Raises
    ------
    UnsupportedError
        If there is no machine code for it.
    """
    key = "Taylor", structure(program), structure(found.program), found.key, form, *map(structure, events)
    products = min(len(found.sums) * form.order**2 / 2, WRITTEN_OUT)
    write = partial(Taylor, program, found, form, events)
    return solver(key, [program, found.program, *events], write, operations=products + len(found.terms) * form.order)

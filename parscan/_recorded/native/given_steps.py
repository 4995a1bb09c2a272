"""
Radau IIA on given steps in machine code: the solution to all digits, and its adjoint or tangents, exact of these steps.

With the stages `Z_i = y + h Σ_j a_ij f(t_j, Z_j)` of a step, the last of which is the next state, and the blocks
`M_ij = δ_ij I - h a_ij J_j`, a gradient `g` by the stages becomes, by the one linear system `Mᵀ w = g`,

    λ = Σ_i w_i  for the state,      Σ_j (∂f/∂θ at Z_j)ᵀ h Σ_i a_ij w_i  for parameters.

Changes of the state `S` and of parameters `dθ` before a step become those of its stages by the system itself,

    M Z' = S + h A (∂f/∂θ) dθ,      the last of which are those after it.

(Hager, "Runge-Kutta methods in optimal control and the transformed adjoint system", Numerische Mathematik 87, 2000.)
No second derivatives enter: the stages are solved by Newton's method until rounding is all that is left.

Steps of stiff problems are long beside the fastest rates, and elimination rounds large entries beside small ones. Rows
of the system are in the order of components, each at all stages: in the order of stages, with all components of each,
gradients of Van der Pol's oscillation with μ = 1000 had errors of 1e-7, now they have 1e-9. In the adjoint, one step of
iterative refinement makes the error that of small relative changes of each entry (Skeel, "Iterative refinement implies
numerical stability for Gaussian elimination", Mathematics of Computation 35, 1980), which takes that of the problem E5
from 1e-7 to 1e-10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..budget import OF_SOLVER, SOLVER, pay
from ..linearised import Linearised
from ..program import Program
from .driver import Driver, Fields, Machine, Module
from .elimination import Elimination, Shape, each
from .expressions import WHOLE, Array, Code, Value, Variable
from .kept_drivers import driver
from .layout import address
from .libm import vector_bytes
from .members import Facts, Form
from .memory import SHARED, UNIT
from .radau import FARTHEST, LANES, STAGES
from .radau_iia import coefficients
from .routine import Routine, routine
from .same_text import structure
from .sparse_elimination import Tables, internal
from .text import UnsupportedError

MOST_ROWS = 280
"""Rows of the linear system of a step, at most: it is a full one."""

WRITTEN_OUT = 16
"""Entries of a Jacobian up to which no loop writes their blocks."""

MOST = 20
"""Newton's iterations of a step, at most."""

SLOW = 0.02
"""Ratio of successive changes above which the next one has new derivatives."""

SETTLED, STALLED = 0.1, 0.1
"""Size of changes, in tolerances, that is taken for rounding if new derivatives made them fall to no less than a share
of the change before."""

ROUNDINGS = 4
"""Roundings that are left when the iterations end."""

GROWS, TRIED = 2.0, 4
"""Ratio of changes with which iterations are given up, after the first few."""

GOES_ON, CONVERGED, DIVERGED = 0, 1, 2
"""What is known of the iterations."""

TIMES, STATES, KEPT, SEEDS, GIVEN, ADJOINT, FIRST = range(7)
"""Pointers: to times and states of nodes, the stages, gradients by them and by nodes, and the adjoint of nodes; then to
parameters."""

CHANGES, AT_STAGES = SEEDS, GIVEN
"""Where tangents are wanted: those of nodes, and of stages."""

LINEARISED, PULLED, FORCED = "linearised", "pulled", "forced"
FILL, TURN, FACTORISE, SOLVE = "fill", "turn", "factorise", "solve"
"""Names of routines: `turn` writes the transposed matrix."""

FACTORS = "upper", "lower", "inverse", "order"


class Tangents(NamedTuple):
    """
    Tangents by some parameters, and by the initial state.

    Attributes
    ----------
    forced : tuple of Linearised
        `(t, y, *parameters) -> (f, entries of ∂f/∂a)` for each of the parameters `a`.
    width : int
        Number of the tangents: those by all numbers of the parameters come first.
    sizes : tuple of int
        Numbers of each parameter.
    """

    forced: tuple[Linearised, ...]
    width: int
    sizes: tuple[int, ...] = ()


class GivenSteps:
    """
    Writes the driver.

    Parameters
    ----------
    linearised : Linearised
        `(t, y, *parameters) -> (f, entries of ∂f/∂y)`.
    pulled : Program or Tangents
        `(t, y, *parameters, bar) -> (bar ∂f/∂a, ...)` for some parameters; or for which tangents are wanted instead.
    """

    def __init__(self, linearised: Linearised, pulled: Program | Tangents) -> None:
        program = linearised.program
        self._linearised, self._arguments = linearised, program.arguments
        self._tangents = pulled if isinstance(pulled, Tangents) else Tangents((), 0)
        self._pulled = () if isinstance(pulled, Tangents) else tuple(ids.size for ids in pulled.results)
        self.n, self.dtype = int(np.prod(program.arguments[1].shape)), program.arguments[1].dtype
        if any(one.dtype != np.float64 for one in program.arguments[:2]):
            raise UnsupportedError("works on other numbers than doubles")
        rows, self._method = STAGES * self.n, coefficients(STAGES)
        if rows > MOST_ROWS:
            raise UnsupportedError(f"has {self.n} components, too many for full systems of all stages")
        self._shape = Shape(rows, 1, vector_bytes() // self.dtype.itemsize, self.dtype)
        self.facts = Facts(Form(), self.n, self.dtype, STAGES)
        fields = self._fields()
        parameters = [SHARED] * (len(program.arguments) - 2)
        routines = [
            routine(LINEARISED, program, LANES, [UNIT, UNIT, *parameters, UNIT, UNIT]),
        ]
        if isinstance(pulled, Program):
            results = [UNIT] * len(pulled.results)
            routines.append(routine(PULLED, pulled, LANES, [UNIT, UNIT, *parameters, UNIT, *results]))
        for k, one in enumerate(self._tangents.forced):
            routines.append(routine(f"{FORCED}{k}", one.program, LANES, [UNIT, UNIT, *parameters, UNIT, UNIT]))
        routines += [self._filling(FILL), self._filling(TURN), self._factorising(), self._solving()]
        self._module = Module(np.zeros(0), routines, fields)
        self._code = self._module.code

    def _fields(self) -> Fields:
        fields, dtype, shape = Fields(), self.dtype, self._shape
        fields.add("pointers", np.int64, FIRST + len(self._arguments) - 2)
        fields.add("failed", np.int64, 1)
        fields.add("enough", dtype, 1)
        for name in ("tolerances", "limits", "scale"):
            fields.add(name, dtype, self.n)
        fields.add("times", self._arguments[0].dtype, LANES)
        for name in ("trials", "changes", "slopes", "beyond", "bar"):
            fields.add(name, dtype, self.n, LANES)
        fields.add("entries", dtype, max(self._linearised.rows.size, 1), LANES)
        for k, size in enumerate(self._pulled):
            fields.add(f"product {k}", dtype, max(size, 1), LANES)
            fields.add(f"sum {k}", dtype, max(size, 1), LANES)
        for k, one in enumerate(self._tangents.forced):
            fields.add(f"{FORCED} {k}", dtype, max(one.rows.size, 1), LANES)
        if self._tangents.width:
            fields.add("driving", dtype, self.n * self._tangents.width, LANES)
        for name in ("matrix", "upper", "lower"):
            fields.add(name, dtype, shape.n * shape.size + LANES)
        for name in ("inverse", "right", "rest", "found", "more"):
            fields.add(name, dtype, shape.size + LANES)
        fields.add("order", WHOLE, shape.n)
        fields.add("factor", dtype, 1)
        return fields

    # Functions of the matrix

    def _filling(self, name: str) -> Routine:
        """Writes the matrix `M`, or `Mᵀ`, column by column; rows of a component at the stages are neighbours."""
        code, shape, weights = Code(), self._shape, np.zeros((LANES, LANES))
        weights[:STAGES, :STAGES] = self._method.A
        entries = code.array("%entries", self.dtype, LANES)
        factor, matrix = code.array("%factor", self.dtype)[0], code.array("%matrix", self.dtype)
        rows, columns = self._linearised.rows, self._linearised.columns
        rows, columns = (rows, columns) if name == FILL else (columns, rows)
        written_out = len(rows) <= WRITTEN_OUT
        tables = Tables(code, written_out)
        places = tables.add(STAGES * (columns * shape.padded + rows))
        pieces = shape.pieces(code, "%matrix")
        for row in each(code, shape.n * shape.padded, 0, shape.rows, False):
            pieces[row] = 0.0
        for k in each(code, len(rows), 0, 1, written_out):
            own = entries[k] * factor
            for j in range(STAGES):
                column = weights[:, j] if name == FILL else weights[j]
                values = (own.element(j) if name == FILL else own) * code.vector(column.tolist(), self.dtype)
                block = matrix.after(places[k]).of(LANES, 1)
                block[j * shape.padded] = block[j * shape.padded] + values  # behind the stages, the last one adds 0
        for k in each(code, shape.n, 0, 1, False):
            matrix[k * (shape.padded + 1)] = matrix[k * (shape.padded + 1)] + 1.0
        return internal(code, name, ("entries", "factor", "matrix"), tables.bytes())

    def _factorising(self) -> Routine:
        code = Code()
        Elimination(code, self._shape, *(f"%{name}" for name in FACTORS)).factorise()
        return internal(code, FACTORISE, FACTORS)

    def _solving(self) -> Routine:
        code = Code()
        Elimination(code, self._shape, *(f"%{name}" for name in FACTORS)).solve("%right", "%result")
        return internal(code, SOLVE, (*FACTORS, "right", "result"))

    # Memory

    def _field(self, name: str, width: int = 1) -> Array:
        return self._module.fields.array(self._code, name, width)

    def _given(self, number: int, width: int = 1) -> Array:
        """An array that Python gives."""
        pointer = self._code.load_pointer(self._field("pointers").at(number))
        return self._code.array(pointer, self.dtype, width)

    def _components(self) -> Iterator[Any]:
        return each(self._code, self.n, 0, 1, self.n <= 2)

    def _at_stages(self, name: str, component: Any) -> Any:
        """The numbers of a component at the stages, in a vector of the system, and one that belongs to others."""
        return self._field(name).after(component * STAGES).of(LANES)

    def _mixed(self, values: Value, weights: Any) -> Value:
        """Sums of the numbers at the stages for each stage, which has a row of weights."""
        square = np.zeros((LANES, STAGES))
        square[:STAGES] = weights
        found = None
        for j in range(STAGES):
            factors = self._code.vector(square[:, j].tolist(), self.dtype)
            found = values.element(j) * factors if found is None else self._code.fma(values.element(j), factors, found)
        assert found is not None
        return found

    def _only_stages(self, values: Value) -> Value:
        """Numbers at the stages, with 0 in place of that of others."""
        is_stage = self._code.vector([*range(STAGES), -1.0], np.float64) > -0.5
        return self._code.where(is_stage, values, 0.0)

    # Text

    def driver(self) -> Driver:
        """The driver, which takes so many steps forwards, and the same ones backwards unless tangents are wanted."""
        code, count = self._code, self._code.argument("steps")
        failed = code.array(self._field("failed").pointer, WHOLE)
        before = code.variable(0.0)
        with code.for_(count) as step, code.if_(failed[0].equals(0)):
            self._forwards(step, before, failed)
            if self._tangents.width:
                with code.if_(failed[0].equals(0)):
                    self._carry(step)
        if self._tangents.width:
            return self._module.driver()
        with code.if_(failed[0].equals(0)), code.for_(count) as place:
            self._backwards(count - 1 - place)
        return self._module.driver()

    def _begin(self, step: Value) -> tuple[Value, Array, Array]:
        """The length of a step, with its times; the state at its begin, and the changes up to its stages."""
        code, times = self._code, self._given(TIMES)
        t, end = times[step], times[step + 1]
        h = end - t
        self._field("times", LANES)[0] = code.fma(h, code.vector([*self._method.c, 0.0]), t)
        self._field("factor")[0] = -h
        return h, self._given(STATES).after(step * self.n), self._given(KEPT, LANES).after(step * self.n)

    def _linearise(self, state: Array, changes: Array) -> None:
        """The function and its derivatives at the stages."""
        trials = self._field("trials", LANES)
        for k in self._components():
            trials[k] = changes[k] + state[k]
        results = [self._field(name).pointer for name in ("slopes", "entries")]
        self._module.call(LINEARISED, self._field("times").pointer, trials.pointer, *self._parameters(), *results)

    def _parameters(self) -> list[str]:
        pointers = self._field("pointers")
        return [self._code.load_pointer(pointers.at(FIRST + k)) for k in range(len(self._arguments) - 2)]

    def _pointers(self, *names: str) -> list[str]:
        return [self._field(name).pointer for name in names]

    def _factorise(self, name: str, *, keeps: bool) -> None:
        """Write a matrix and factorise it; if it is kept, in "matrix"."""
        self._module.call(name, *self._pointers("entries", "factor", "matrix" if keeps else "upper"))
        if keeps:
            source, target = (self._shape.pieces(self._code, one) for one in self._pointers("matrix", "upper"))
            for row in each(self._code, self._shape.n * self._shape.padded, 0, self._shape.rows, False):
                target[row] = source[row]
        self._module.call(FACTORISE, *self._pointers(*FACTORS))

    def _solve(self, right: str, found: str) -> None:
        self._module.call(SOLVE, *self._pointers(*FACTORS, right, found))

    def _forwards(self, step: Value, before: Variable, failed: Array) -> None:
        """The stages of a step, beginning with the polynomial of the step before; the state at its end."""
        code = self._code
        h, state, changes = self._begin(step)
        self._predict(h, before, state, changes)
        known, count, is_old = (code.variable(first, WHOLE) for first in (GOES_ON, 0, 0))
        last = code.variable(np.inf)
        with code.while_(lambda: known.get().equals(GOES_ON)):
            self._linearise(state, changes)
            with code.if_(is_old.get().equals(0)):
                self._factorise(FILL, keeps=False)
            size = self._change(h, changes)
            passed = count.get() + 1
            ratio = size / last.get()
            is_rounding = is_old.get().equals(0) & (size <= SETTLED) & (ratio > STALLED)
            left = size * code.where(passed > 1, code.minimum(ratio, 1.0), 1.0)  # the next change, as far as is known
            fits = (left <= self._field("enough")[0]) | is_rounding
            fails = ~code.is_finite(size) | (passed >= MOST) | ((ratio > GROWS) & (passed > TRIED))
            found = code.where(fits, code.number(CONVERGED, WHOLE), GOES_ON)
            known.set(code.where(fails & ~fits, DIVERGED, found))
            is_old.set(code.where(ratio <= SLOW, code.number(1, WHOLE), 0))
            count.set(passed)
            last.set(size)
        with code.if_(known.get().equals(DIVERGED)):
            failed[0] = step + 1
        following, beyond = state.after(self.n), self._field("beyond", LANES)
        for k in self._components():
            following[k] = state[k] + changes[k].element(STAGES - 1)
            beyond[k] = self._mixed(changes[k], self._method.beyond)
        before.set(h)

    def _predict(self, h: Value, before: Variable, state: Array, changes: Array) -> None:
        """The changes up to the stages by the polynomial of the step before; if it is far from it, along a line."""
        code, method = self._code, self._method
        ratio = h / before.get()
        follows = code.is_finite(ratio) & (code.abs(ratio) <= FARTHEST)
        powers = [code.where(follows, ratio, 0.0)]
        for _ in range(STAGES - 1):
            powers.append(powers[-1] * powers[0])
        factors = code.joined([*powers, code.number(0.0)])
        weights = method.c[:, None] ** np.arange(1, STAGES + 1)
        line, following = code.vector([*method.c, 0.0]), state.after(self.n)
        beyond, scale = self._field("beyond", LANES), self._field("scale")
        for k in self._components():
            straight = line * (following[k] - state[k])
            changes[k] = code.where(follows, self._mixed(beyond[k] * factors, weights), straight)
            scale[k] = 1.0 / code.fma(
                code.maximum(code.abs(state[k]), code.abs(following[k])),
                self._field("tolerances")[k], self._field("limits")[k],
            )  # fmt: skip

    def _change(self, h: Value, changes: Array) -> Value:
        """A correction by Newton's method; its size in tolerances."""
        code, slopes, scale = self._code, self._field("slopes", LANES), self._field("scale")
        for k in self._components():
            self._at_stages("right", k)[0] = h * self._mixed(slopes[k], self._method.A) - changes[k]
        self._solve("right", "found")
        total = code.variable(0.0)
        for k in self._components():
            change = self._only_stages(self._at_stages("found", k)[0])
            changes[k] = changes[k] + change
            size = change * scale[k]
            total.set(total.get() + code.sum(size * size))
        return code.sqrt(total.get() / (STAGES * self.n))

    def _backwards(self, step: Value) -> None:
        """The adjoint of a step."""
        code = self._code
        h, state, changes = self._begin(step)
        self._linearise(state, changes)
        self._factorise(TURN, keeps=True)
        after = self._given(ADJOINT).after((step + 1) * self.n)
        adjoint, given = (self._given(one).after(step * self.n) for one in (ADJOINT, GIVEN))
        seeds, last = self._given(SEEDS, LANES).after(step * self.n), code.vector([*[0.0] * (STAGES - 1), 1.0, 0.0])
        for k in self._components():
            self._at_stages("right", k)[0] = seeds[k] + last * after[k]
        self._solve_finely()
        bar = self._field("bar", LANES)
        for k in self._components():
            own = self._only_stages(self._at_stages("found", k)[0])
            adjoint[k] = given[k] + code.sum(own)
            bar[k] = h * self._mixed(own, self._method.A.T)
        self._add_products()

    def _carry(self, step: Value) -> None:
        """The tangents of a step: of its stages, the last of which are those after it."""
        code, width = self._code, self._tangents.width
        h, state, changes = self._begin(step)
        self._linearise(state, changes)
        self._factorise(FILL, keeps=True)
        driving = self._field("driving", LANES)
        first = 0
        for k, (one, size) in enumerate(zip(self._tangents.forced, self._tangents.sizes, strict=True)):
            own = self._field(f"{FORCED} {k}", LANES)
            given = [*self._pointers("times", "trials"), *self._parameters(), *self._pointers("slopes")]
            self._module.call(f"{FORCED}{k}", *given, own.pointer)
            for entry, (row, column) in enumerate(zip(one.rows.tolist(), one.columns.tolist(), strict=True)):
                driving[row * width + first + column] = own[entry]
            first += size
        tangents = self._given(CHANGES).after(step * (self.n * width))
        following = tangents.after(self.n * width)
        stages = self._given(AT_STAGES, LANES).after(step * (self.n * width))
        with code.for_(width) as column:
            for k in self._components():
                place = k * width + column
                change = h * self._mixed(driving[place], self._method.A) + tangents[place]
                self._at_stages("right", k)[0] = self._only_stages(change)
            self._solve_finely()
            for k in self._components():
                found, place = self._only_stages(self._at_stages("found", k)[0]), k * width + column
                stages[place] = found
                following[place] = found.element(STAGES - 1)

    def _solve_finely(self) -> None:
        """Solve the system, and improve the solution by that for the residual."""
        code, shape = self._code, self._shape
        self._solve("right", "found")
        right, rest, matrix, found, more = (
            shape.pieces(code, pointer) for pointer in self._pointers("right", "rest", "matrix", "found", "more")
        )
        for row in each(code, shape.padded, 0, shape.rows, False):
            rest[row] = right[row]
        numbers = self._field("found")
        for column in each(code, shape.n, 0, 1, False):
            factor = -numbers[column]
            for row in each(code, shape.padded, 0, shape.rows, False):
                rest[row] = code.fma(factor, matrix[column * shape.padded + row], rest[row])
        self._solve("rest", "more")
        for row in each(code, shape.padded, 0, shape.rows, False):
            found[row] = found[row] + more[row]

    def _add_products(self) -> None:
        """Products of the gradients by slopes with derivatives by parameters, added to their sums."""
        names = [f"product {k}" for k in range(len(self._pulled))]
        given = [*self._pointers("times", "trials"), *self._parameters(), self._field("bar").pointer]
        self._module.call(PULLED, *given, *self._pointers(*names))
        for k, size in enumerate(self._pulled):
            total, product = (self._field(f"{name} {k}", LANES) for name in ("sum", "product"))
            for row in each(self._code, size, 0, 1, size <= 2):
                total[row] = total[row] + product[row]


class Found(NamedTuple):
    """
    What the steps give.

    Attributes
    ----------
    states : array, shape (N + 1, n)
        At the nodes.
    adjoint : array, shape (N + 1, n)
        Gradients by the states there.
    sums : array, shape (k,)
        Those by parameters.
    """

    states: Any
    adjoint: Any
    sums: Any


class OnSteps:
    """
    A recorded function on given steps, compiled. Several threads may use it at the same time.

    Parameters
    ----------
    linearised : Linearised
    pulled : Program
        As `GivenSteps` takes them.

    Raises
    ------
    UnsupportedError
        If there is no machine code for it.
    """

    def __init__(self, linearised: Linearised, pulled: Program) -> None:
        programs = [linearised.program, pulled]
        places = linearised.rows.tobytes(), linearised.columns.tobytes()
        self._numbers = [prod(ids.shape) for ids in pulled.results]
        made, _ = driver(("given steps", *map(structure, programs), places), partial(_written, linearised, pulled))
        self._machine, self._arguments = Machine(made, programs), linearised.program.arguments

    def __call__(
        self, t: Any, y: Any, parameters: Sequence[Any], tolerances: tuple[Any, Any], times: Any, gradients: Any
    ) -> Found | None:  # fmt: skip
        """
        The solution, and its adjoint; None if a step has no solution.

        Parameters
        ----------
        t : array, shape (N + 1,)
            Nodes.
        y : array, shape (N + 1, n)
            The initial state, then states near those at the other nodes.
        parameters : sequence of numbers and arrays
        tolerances : tuple of two numbers or arrays (n,)
            Relative and absolute ones of the solution, as units of what counts as rounding.
        times, gradients : arrays, shapes (m,) and (m, n)
            Gradients by the states at some times; between nodes, by those of the collocation polynomials.
        """
        steps, n = len(t) - 1, y.shape[1]
        states, adjoint, kept = np.array(y, float), np.empty((steps + 1, n)), np.empty((steps, n, LANES))
        seeds, given = _spread(t, times, gradients)
        adjoint[-1] = given[-1]
        views = _run(self._machine, self._arguments, [t, states, kept, seeds, given, adjoint], parameters, tolerances)
        if views is None:
            return None
        sums = [views[f"sum {k}"][:size, :STAGES].sum(axis=1) for k, size in enumerate(self._numbers)]
        return Found(states, adjoint, np.concatenate([np.empty(0), *sums]))


class TangentsOnSteps:
    """
    Tangents of a recorded function on given steps, compiled. Several threads may use it at the same time.

    Parameters
    ----------
    linearised : Linearised
    tangents : Tangents
        As `GivenSteps` takes them.

    Raises
    ------
    UnsupportedError
        If there is no machine code for it.
    """

    def __init__(self, linearised: Linearised, tangents: Tangents) -> None:
        every = (linearised, *tangents.forced)
        programs = [one.program for one in every]
        places = tuple((one.rows.tobytes(), one.columns.tobytes()) for one in every)
        key = "given tangents", *map(structure, programs), places, tangents.width, tangents.sizes
        made, _ = driver(key, partial(_written, linearised, tangents))
        self._machine, self._arguments = Machine(made, programs), programs[0].arguments
        self._width, self._sizes = tangents.width, tangents.sizes

    def __call__(
        self, t: Any, y: Any, parameters: Sequence[Any], tolerances: tuple[Any, Any], times: Any
    ) -> tuple[Any, Any] | None:
        """
        States at the nodes `(N + 1, n)`, and tangents at some times `(m, n, width)`; None if a step has no solution.

        Those by the initial state are the last ones, if there are more than the parameters have numbers. Arguments are
        those of `OnSteps`.
        """
        steps, n = len(t) - 1, y.shape[1]
        states, kept = np.array(y, float), np.empty((steps, n, LANES))
        changes, stages = np.zeros((steps + 1, n, self._width)), np.empty((steps, n, self._width, LANES))
        by_start = self._width - sum(self._sizes)
        changes[0, :, self._width - by_start :] = np.eye(n)[:, :by_start]
        views = _run(
            self._machine, self._arguments, [t, states, kept, changes, stages, np.empty(0)], parameters, tolerances
        )
        if views is None:
            return None
        way = 1.0 if t[-1] > t[0] else -1.0
        nodes = np.searchsorted(way * t, way * times)
        found = changes[nodes]
        inner = t[nodes] != times
        if inner.any():
            place = nodes[inner] - 1
            weights = weights_between((times[inner] - t[place]) / (t[place + 1] - t[place]))
            own = np.einsum("mj,mnkj->mnk", weights, stages[place][..., :STAGES])
            found[inner] = own + (1 - weights.sum(axis=1))[:, None, None] * changes[place]
        return states, found


def _run(
    machine: Machine, arguments: Sequence[Any], arrays: Sequence[Any], parameters: Sequence[Any],
    tolerances: tuple[Any, Any],
) -> dict[str, Any] | None:  # fmt: skip
    """What is in memory after the steps; None if one has no solution."""
    others = [
        np.ascontiguousarray(one, dtype=argument.dtype) for one, argument in zip(parameters, arguments[2:], strict=True)
    ]
    given = [np.ascontiguousarray(arrays[0], dtype=float), *arrays[1:], *others]
    memory = machine.memory()
    views = machine.views(memory)
    views["pointers"][:] = [address(one) for one in given]
    views["tolerances"][:], views["limits"][:] = tolerances
    views["enough"][0] = ROUNDINGS * np.finfo(float).eps / np.min(tolerances[0])
    machine.run(memory, len(given[0]) - 1)
    return None if views["failed"][0] else views


def _written(linearised: Linearised, pulled: Program | Tangents) -> GivenSteps:
    programs = [one.program for one in pulled.forced] if isinstance(pulled, Tangents) else [pulled]
    operations = linearised.program.operations + sum(one.operations for one in programs)
    pay("solver", SOLVER + OF_SOLVER * operations)
    return GivenSteps(linearised, pulled)


def _spread(t: Any, times: Any, gradients: Any) -> tuple[Any, Any]:
    """Gradients by the stages `(N, n, LANES)` and by nodes `(N + 1, n)`, of those by states at some times."""
    steps, n = len(t) - 1, gradients.shape[1]
    seeds, given, way = np.zeros((steps, n, LANES)), np.zeros((steps + 1, n)), 1.0 if t[-1] > t[0] else -1.0
    nodes = np.searchsorted(way * t, way * times)
    is_node = t[nodes] == times
    np.add.at(given, nodes[is_node], gradients[is_node])
    if not is_node.all():
        own, place = gradients[~is_node], nodes[~is_node] - 1
        weights = weights_between((times[~is_node] - t[place]) / (t[place + 1] - t[place]))
        np.add.at(seeds[..., :STAGES], place, own[:, :, None] * weights[:, None, :])
        np.add.at(given, place, own * (1 - weights.sum(axis=1))[:, None])
    return seeds, given


def weights_between(theta: Any) -> Any:
    """Weights `(m, STAGES)` of the stages in the states at shares `theta` (m,) of steps; the begin has the rest."""
    nodes = np.append(0.0, coefficients(STAGES).c)
    apart = nodes[:, None] - nodes + np.eye(STAGES + 1)
    factors = (theta[:, None, None] - nodes) / apart  # (m, j, other)
    factors[:, np.eye(STAGES + 1, dtype=bool)] = 1.0
    return np.prod(factors, axis=2)[:, 1:]

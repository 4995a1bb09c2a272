"""The right-hand side as machine code on a whole mesh: values and Jacobians at all of its points by one call."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import Array, array_namespace
from ..._functions.code import Code
from ..._functions.evaluators import ONE_BY_ONE, STACKED
from ..._functions.right_hand_side import RightHandSide
from ..._recorded.budget import COMPILING, PER_OPERATION, NoCodeError, pay
from ..coarse.steps import CoarseSolution
from ..core.evaluation import Evaluation
from ..core.mesh import union
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from .accuracy import LeftError
from .corners import places_in
from .ensemble import agrees_at_start, contradicts, sample, some_members
from .march import March, Output
from .members import Members, record_members
from .parts import as_parts, from_parts, wide
from .recorded import Recorded, record_right_hand_side

if TYPE_CHECKING:
    from ..._recorded.linearised import Curved, Linearised
    from ..._recorded.native.evaluate import Evaluator
    from ..._recorded.program import Program


MOST = 64
"""Intervals of a piece of a solution, about, that are compared with the function."""


KEPT = 64
"""Programs whose code is known to be at hand."""

MOST_BREAKS = 1000
"""Largest number of breakpoints of a mesh that the user did not ask for."""

MOST_STEPS = 20_000
"""Largest number of steps of a coarse solution; the next one begins where it ends."""

TIGHT = 1e-8
"""
Smallest relative tolerance of a coarse solution by machine code, unless the problem's is larger: as it takes little
time, it need not be coarse. From a good one, Newton's method needs one or two iterations on a mesh, and one window.
"""

ByCode = Callable[..., CoarseSolution]
"""`by_code(span, y0, rtol=, atol=, max_step=)` makes a coarse solution; raises `LeftError` where it cannot."""


class OnMesh(Protocol):
    """
    A right-hand side as machine code, and whether it is that of the user.

    Attributes
    ----------
    told : tuple of str
        Sentences for the results.
    """

    @property
    def told(self) -> tuple[str, ...]: ...

    @property
    def coarse(self) -> ByCode | None:
        """Makes coarse solutions; None if the usual solvers do."""

    @property
    def breaks(self) -> Array | None:
        """Breakpoints: the user's, and the corners in time that the recorded function shows."""

    def right_hand_side(self) -> RightHandSide:
        """The right-hand side of the user's problem with the machine code."""

    def is_contradicted(self, pieces: list[PiecewisePolynomial]) -> bool:
        """Whether the function has other values than the machine code on a solution."""


def code_on_mesh(problem: Problem, evaluation: Evaluation, vectorized: bool | None) -> OnMesh:
    """
    Record a right-hand side and compile it with its Jacobian, which was demanded, or else has paid off.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded or compiled, or is contradicted near the initial state.
    """
    if problem.batch:
        return _OfBatch(problem, evaluation)
    return _OfOne(problem, evaluation, vectorized)


class _OfOne:
    """The machine code of a single problem."""

    told: tuple[str, ...] = ()

    def __init__(self, problem: Problem, evaluation: Evaluation, vectorized: bool | None) -> None:
        self._problem, self._evaluation, self._vectorized = problem, evaluation, vectorized
        self._recorded = record_right_hand_side(problem)
        if obstacle := self._recorded.contradiction(evaluation, vectorized):
            raise NoCodeError(obstacle)
        shared = tuple(range(2, 2 + len(self._recorded.parameters)))
        notes = self._recorded.notes
        self._code = MachineCode(
            evaluator_of(notes, "on mesh", lambda: self._recorded.value, shared),
            partial(_derivatives, notes, self._derive, shared),
            lambda calls: self._recorded.parameters,
        )

    def _derive(self) -> Linearised:
        return self._recorded.derived(with_time=False)

    @property
    def breaks(self) -> Array | None:
        """See `breaks_of`."""
        return breaks_of(self._problem, self._recorded)

    def right_hand_side(self) -> RightHandSide:
        """The functions; where there is no `jac`, nothing has to be found out about them."""
        stacks = self._recorded.notes["stacks", self._vectorized]
        problem, evaluation = self._problem, self._evaluation
        if problem.jac is not None:
            return evaluation.right_hand_side().by(self._code)
        made = problem.right_hand_side(STACKED if stacks else ONE_BY_ONE, raised=evaluation.raised)
        return made.by(self._code)

    def coarse(self, span: tuple[float, float], y0: Array, **options: Any) -> CoarseSolution:
        """See `coarse_of`."""
        return coarse_of(self._problem, self._recorded, span, y0, **options)

    def is_contradicted(self, pieces: list[PiecewisePolynomial]) -> bool:
        """A sample of the states is compared, and one of them where the same problem was solved before."""
        t, states = places_on(pieces)
        slopes = self._code.values(t, states)
        return self._recorded.is_contradicted(self._problem, self._vectorized, t, states, slopes)


def breaks_of(problem: Problem, recorded: Recorded) -> Array | None:
    """Breakpoints at which compiled steps end, unless they are too many for a mesh."""
    places = places_in(problem, recorded)
    every = union(places.breaks, places.stops)
    return every if every is None or every.shape[0] <= MOST_BREAKS else problem.breaks


def coarse_of(
    problem: Problem, recorded: Recorded, span: tuple[float, float], y0: Array, *, rtol: float, atol: Array,
    max_step: float,
) -> CoarseSolution:  # fmt: skip
    """The steps of a march by compiled solvers, with their polynomials; raises `LeftError` where it cannot."""
    tight = max(TIGHT, problem.rtol)
    bounds = {"rtol": tight, "rtols": tight, "atol": atol * (tight / rtol), "max_step": max_step}
    march = March(replace(problem, span=span, y0=y0, **bounds), recorded, Output(is_dense=True), 0.0, None, MOST_STEPS)
    course = march.run(1.0)
    march.end()
    if course.failed not in ("", "TOO_MANY_STEPS") or not course.path.steps:
        raise LeftError(f"left the solution at t = {course.t!r}: {course.failed}")
    if course.slid:
        raise LeftError(f"stays on a switch from t = {course.slid[0]!r} on, which no mesh follows")
    path = course.polynomial
    return CoarseSolution(path.t, path.evaluate, group=1)


class _OfBatch:
    """The machine code of the members of a batch."""

    coarse = None
    told: tuple[str, ...] = ()

    def __init__(self, problem: Problem, evaluation: Evaluation) -> None:
        self._problem, self._evaluation = problem, evaluation
        self._members = members = record_members(problem, partial(agrees_at_start, problem))
        self._code = MachineCode(
            evaluator_of(members.notes, "on mesh", lambda: members.program, ()),
            partial(_derivatives, members.notes, members.derived, ()),
            partial(repeated, problem, members),
        )

    @property
    def breaks(self) -> Array | None:
        """The user's: corners of members differ."""
        return self._problem.breaks

    def right_hand_side(self) -> RightHandSide:
        """The functions."""
        return self._evaluation.right_hand_side().by(self._code)

    def is_contradicted(self, pieces: list[PiecewisePolynomial]) -> bool:
        """A sample of the states is compared."""
        t, states = places_on(pieces)
        rows = self._problem.xp.asarray(sample(self._problem, t.shape[0]))
        return contradicts(self._problem, self._members, t[rows], states[rows, ...], some_members(self._problem))


def repeated(problem: Problem, members: Members, times: int) -> tuple[Array, ...]:
    """What is each member's own, for all members at so many times."""
    xp = problem.xp
    return tuple(xp.reshape(xp.broadcast_to(one, (times, *one.shape)), (-1, *one.shape[1:]))
                 for one in members.arguments(slice(None)))  # fmt: skip


@dataclass(frozen=True)
class MachineCode(Code):
    """
    A right-hand side and its Jacobian as machine code.

    Parameters
    ----------
    evaluator : callable
        Evaluates the values for many arguments, as an `Evaluator` does.
    derivatives : callable
        It returns what evaluates the values and entries of Jacobians, with their places.
    parameters : callable
        Further arguments of the programs, for all members at so many times.
    low, high : float
        Limits to which times are clipped.
    curvature : callable, optional
        It returns what evaluates entries of second derivatives, with their places, or None.
    """

    evaluator: Callable[..., Any]
    derivatives: Callable[[], tuple[Callable[..., Any], Linearised]]
    parameters: Callable[[int], tuple[Array, ...]]
    low: float = -inf
    high: float = inf
    curvature: Callable[[], tuple[Callable[..., Any], Curved] | None] = lambda: None

    def within(self, low: float, high: float) -> MachineCode:
        """The same with times clipped to these limits."""
        return replace(self, low=low, high=high)

    def values(self, t: Array, states: Array) -> Array:
        """Values `(m, *batch, n)`."""
        (found,) = self.evaluator(*self._arguments(t, states))
        return self._states(found, states)

    def linearise(self, t: Array, states: Array) -> tuple[Array, Array]:
        """Values, and Jacobians `(m, *batch, n, n)`."""
        evaluator, places = self.derivatives()
        found, entries = evaluator(*self._arguments(t, states))
        return self._states(found, states), self._matrices(entries, places, states)

    def second(self, t: Array, states: Array) -> Array | None:
        """Derivatives `(m, *batch, n, n, n)` of Jacobians of real states; None if they are not known."""
        known = None if is_complex(states) else self.curvature()
        if known is None:
            return None
        evaluator, places = known
        (entries,) = evaluator(*self._arguments(t, states))
        xp, n = array_namespace(states), states.shape[-1]
        found = xp.zeros((entries.shape[0], n, n, n), dtype=entries.dtype)
        found[:, places.rows, places.columns, places.others] = entries
        return xp.astype(xp.reshape(found, (*states.shape, n, n)), states.dtype, copy=False)

    def _arguments(self, t: Array, states: Array) -> tuple[Array, ...]:
        """Arguments of the program, with a row for each member at each time."""
        xp = array_namespace(states)
        if self.low > -inf or self.high < inf:
            t = xp.clip(t, self.low, self.high)
        m, *batch, n = states.shape
        if batch:
            t = xp.broadcast_to(xp.reshape(t, (m, *(1,) * len(batch))), (m, *batch))
        parts = as_parts(wide(xp.reshape(states, (-1, n))))
        return xp.reshape(t, (-1,)), parts, *self.parameters(m)

    def _states(self, found: Array, states: Array) -> Array:
        """Values in the shape and the precision of states."""
        xp = array_namespace(states)
        size = states.shape[-1] * (1 + is_complex(states))
        numbers = from_parts(xp.reshape(found, (found.shape[0], size)), states)
        return xp.astype(xp.reshape(numbers, states.shape), states.dtype, copy=False)

    def _matrices(self, entries: Array, places: Linearised, states: Array) -> Array:
        """
        Jacobians of their entries.

        For complex states, entries are derivatives of the parts by parts, of which those by the real parts suffice:
        they are the real and imaginary parts of the derivatives of a function that has complex ones.
        """
        xp, n = array_namespace(states), states.shape[-1]
        size = n * (1 + is_complex(states))
        if entries.shape[-1] == size * size:
            found = entries
        else:
            found = xp.zeros((entries.shape[0], size * size), dtype=entries.dtype)
            found[:, places.rows * size + places.columns] = entries
        found = xp.reshape(found, (-1, size, size))
        if is_complex(states):
            found = found[:, 0::2, 0::2] + 1j * found[:, 1::2, 0::2]
        return xp.astype(xp.reshape(found, (*states.shape, n)), states.dtype, copy=False)


_bought: OrderedDict[Any, None] = OrderedDict()
"""Programs, up to their constants, whose code was made, and is at hand."""


def evaluator_of(
    notes: dict[Any, Any], key: str, program: Callable[[], Program], shared: tuple[int, ...]
) -> Evaluator:  # fmt: skip
    """
    The machine code of a program, which is kept in the notes.

    It has to be paid, unless a program with other constants was. That would otherwise be by machine code or not as time
    goes by, and results differ by errors within the tolerance.
    """
    found: Evaluator | None = notes.get(key)
    if found is None:
        from ..._recorded.native.evaluate import Evaluator  # noqa: PLC0415 - slow to import
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

        wanted = program()
        kind = wanted.skeleton, shared
        bought(kind, key, COMPILING + PER_OPERATION * wanted.written)
        try:
            found = notes[key] = Evaluator(wanted, shared=shared)
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        note_bought(kind)
    return found


def bought(kind: Any, name: str, price: float) -> None:
    """Pay for code, unless such was bought."""
    if kind not in _bought:
        pay(name, price)


def note_bought(kind: Any) -> None:
    """Note that code was made."""
    _bought[kind] = None
    while len(_bought) > KEPT:
        _bought.popitem(last=False)


def _derivatives(
    notes: dict[Any, Any], derive: Callable[[], Linearised], shared: tuple[int, ...]
) -> tuple[Evaluator, Linearised]:  # fmt: skip
    """The machine code of values and entries of the Jacobian, with the places of these."""
    places: Linearised | None = notes.get("derived")
    if places is None:
        places = notes["derived"] = derive()
    return evaluator_of(notes, "Jacobians on mesh", lambda: places.program, shared), places


def places_on(pieces: list[PiecewisePolynomial]) -> tuple[Array, Array]:
    """Times and states in the middle of intervals, as the function may have two values at nodes."""
    xp, parts = pieces[0].xp, [_middles(one) for one in pieces]
    return parts[0] if len(parts) == 1 else (xp.concat([t for t, _ in parts]), xp.concat([y for _, y in parts]))


def _middles(piece: PiecewisePolynomial) -> tuple[Array, Array]:
    apart = max(1, piece.intervals // MOST)
    t = piece.times(0.5)[piece.intervals % apart :: apart]
    return t, piece.evaluate(t)

"""Functions of the user's that give something else for the same arguments: by a memory, or by random numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from ..._arrays.namespace import Array, array_namespace, copy, machine_epsilon, quiet, random_signs, to_numpy
from ..._functions.agreement import response
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..core.status import IvpStatus
from ..output.monitor import Event
from .result import IvpResult

FEWEST, MOST = 2, 8
"""States of a solution that the functions are called for again."""

PAIRS = 4
"""Pairs of states on either side of a solution that are tried in between, at most."""

BEYOND = 1.0
"""How far they are beyond it, as a share of the range of a component: attempts at steps may have gone as far."""

CALLS = 40
"""Calls of a solution for which there is one of these."""

ROUNDINGS = 16
"""Roundings that may come of the place of an array in memory, for example."""

LARGEST = 1 << 20
"""Numbers of a Jacobian that is called for again, at most."""


@dataclass(frozen=True)
class Contradiction:
    """A function, the time at which its answers differ most, by how much, and by how many tolerances of the solution.

    What differs by more than one makes the solution worthless.
    """

    name: str
    t: float
    difference: float
    off: float

    def __str__(self) -> str:
        """In words, with what to do."""
        return (
            f" `{self.name}` contradicts itself: called twice with the same values at t = {self.t!r}, it gave answers "
            f"that differ by {self.difference:.2g}. It keeps a memory of earlier calls, or draws random numbers: take "
            "them out, or make them part of the state."
        )


Row = tuple[float, Array]
"""A time, and a state with its components last."""

Function = Callable[[float, Array], Array]
"""What it is at one time and state."""


class Witness:
    """Asks `fun`, `jac` and events twice for the initial state, and twice for some states of the solution."""

    def __init__(self, problem: Problem, events: tuple[Event, ...]) -> None:
        self._problem = problem
        rhs = RightHandSide(problem.fun, problem.jac, problem.args, problem.y0, stacks=False, jac_stacks=False)
        self._functions: dict[str, Function] = {"fun": rhs.sequential() if problem.is_plain else _of_batch(rhs)}
        if callable(problem.jac) and problem.y0.size * problem.y0.shape[-1] <= LARGEST:
            self._functions["jac"] = _of_one(lambda t, states: rhs.jacobian(t, states, states))
        for index, event in enumerate(events):
            self._functions[f"events[{index}]"] = _of_event(event, problem)
        start = [(problem.span[0], problem.y0)] * 2
        self._first = {name: self._answers(name, start) for name in self._functions}

    def contradictions(self, found: IvpResult) -> list[Contradiction]:
        """What the functions contradict themselves in."""
        nodes, worth = _nodes(found), found.npoints // CALLS
        rows = [(self._problem.span[0], self._problem.y0), *_rows(*nodes, min(max(FEWEST, worth), MOST))]
        step = abs(rows[-1][0] - rows[0][0]) / max(1, found.mesh.shape[0] - 1)
        xp, told = array_namespace(self._problem.y0), []
        ends = _ends(*nodes, min(1 + worth // MOST, PAIRS))
        for name, first in self._first.items():
            pairs = [(rows[0], first[0], first[1])]
            for low, high in ends:
                given = self._answers(name, [low, *rows, high, rows[0], high, *rows[::-1]])  # each comes after another
                there, again, back = given[1 : len(rows) + 1], given[len(rows) + 2], given[: -len(rows) - 1 : -1]
                pairs += [
                    (rows[0], first[0], there[0]),
                    (rows[0], there[0], again),
                    *zip(rows, there, back, strict=True),
                ]
            known = [pair for pair in pairs if pair[1] is not None and pair[2] is not None]
            ones, others = ([pair[k] for pair in known] for k in (1, 2))
            if not known or bool(xp.all(xp.stack(ones) == xp.stack(others))):  # all that is asked of an accelerator
                continue
            met = [self._compare(name, *pair, step) for pair in known]
            if differing := [contradiction for contradiction in met if contradiction is not None]:
                told.append(max(differing, key=lambda contradiction: contradiction.off))
        return told

    def _answers(self, name: str, rows: list[Row]) -> list[Array | None]:
        """What a function gives for one state after the other; None where it raises."""
        function, answers = self._functions[name], []
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of states that a solver may never visit
            for t, state in rows:
                try:
                    answers.append(function(t, state))
                except KeyboardInterrupt:
                    raise
                except BaseException:  # a solver may never call it there; if one does, the user sees it
                    answers.append(None)
        return answers

    def _compare(self, name: str, row: Row, one: Array, other: Array, step: float) -> Contradiction | None:
        """How two answers for one state differ, if that is more than rounding."""
        xp = array_namespace(one)
        with quiet():
            same = (one == other) | (xp.isnan(one) & xp.isnan(other))
            distance = xp.where(same, xp.zeros_like(xp.abs(one)), xp.abs(one - other))
            distance = xp.where(xp.isnan(distance), xp.full_like(distance, inf), distance)
            granted = ROUNDINGS * machine_epsilon(one.dtype)
            if not bool(xp.any(~same & ~(distance <= granted * xp.abs(one)))):
                return None
            moved = response(_one_by_one(self._functions[name]), *_stacked([row]))[0, ...]
            if not bool(xp.any(~same & ~(distance <= granted * moved))):
                return None
            off = self._off(name, row, distance, step)
        return Contradiction(name, row[0], float(xp.max(distance)), off)

    def _off(self, name: str, row: Row, distance: Array, step: float) -> float:
        """The difference in units of the tolerance: as an error of a step, or of what an event makes of one."""
        xp, (t, state) = array_namespace(distance), row
        if name == "jac":  # it changes how fast Newton's method converges, and not to what
            return 0.0
        tolerance = self._problem.atol + self._problem.rtols * xp.abs(state)
        if name == "fun":
            error = step * distance
            return float(xp.max(xp.where(error > 0, error / tolerance, xp.zeros_like(error))))
        near = (t + step * self._problem.rtol, state + tolerance)
        here, there = self._answers(name, [row, near])
        change = 0.0 if here is None or there is None else float(abs(there - here))
        return float(distance) / change if change else inf


def _stacked(rows: list[Row]) -> tuple[Array, Array]:
    """Times `(m,)` and states `(m, *batch, n)`."""
    xp = array_namespace(rows[0][1])
    return xp.asarray([t for t, _ in rows], dtype=xp.float64), xp.stack([state for _, state in rows])


def reported(found: IvpResult, told: list[Contradiction]) -> IvpResult:
    """The result with what is known of contradictions: no success where they are larger than the tolerance."""
    message = found.message + "".join(map(str, told))
    if not found.success or not any(contradiction.off > 1 for contradiction in told):
        return replace(found, message=message)
    status = IvpStatus.NONDETERMINISTIC
    message = message.replace(found.status.text, status.text, 1)
    return replace(found, status=status, success=False, message=message)


def _nodes(found: IvpResult) -> tuple[Array, Array]:
    """Times of the output, or of the mesh if that is longer, and states with time last."""
    if isinstance(found.continuous, PiecewisePolynomial) and found.t.shape[0] <= FEWEST:
        return found.continuous.t, found.continuous.nodes
    return found.t, found.y


def _rows(t: Array, y: Array, wanted: int) -> list[Row]:
    """So many of the times and states of a solution."""
    xp, count = array_namespace(y), int(t.shape[0])
    places = sorted({(k + 1) * (count - 1) // wanted for k in range(wanted)}) if count else []
    states = xp.permute_dims(y, (*range(1, y.ndim), 0))
    times = to_numpy(t).tolist()
    return [(times[k], states[k, ...]) for k in places]


def _ends(t: Array, y: Array, most: int) -> list[tuple[Row, Row]]:
    """Pairs of states on either side of all of the solution: a switch with hysteresis is thrown there, and back.

    What it gives between its thresholds depends on which of them was met last. Components are all larger in one of a
    pair and smaller in the other; in further ones, of which there are at most so many, by random signs.
    """
    if y.size == 0:
        return []
    low, high = _bounds(y)
    with quiet():
        middle, reach, t = low / 2 + high / 2, (0.5 + BEYOND) * (high - low), float(t[t.shape[0] // 2])
    pairs = []
    for seed in range(most):
        way = reach * random_signs(tuple(reach.shape), middle, seed=seed) if seed else reach
        with quiet():
            pairs.append(((t, middle - way), (t, middle + way)))
    return pairs


def _bounds(y: Array) -> tuple[Array, Array]:
    """Smallest and largest components `(*batch, n)` of states `(n, *batch, m)`, and so of their parts."""
    xp = array_namespace(y)
    if xp.isdtype(y.dtype, "complex floating"):
        parts = zip(_bounds(xp.real(y)), _bounds(xp.imag(y)), strict=True)
        low, high = (xp.astype(real, y.dtype) + 1j * imaginary for real, imaginary in parts)
        return low, high
    low, high = xp.min(y, axis=-1), xp.max(y, axis=-1)
    return (low, high) if y.ndim == 2 else (xp.moveaxis(low, 0, -1), xp.moveaxis(high, 0, -1))


def _of_batch(rhs: RightHandSide) -> Function:
    """The right-hand side for one state `(*batch, n)`."""

    def fun(t: float, state: Array) -> Array:
        xp = array_namespace(state)
        return xp.moveaxis(rhs.at(t, copy(xp.moveaxis(state, -1, 0))), 0, -1)

    return fun


def _of_one(evaluate: Callable[[Array, Array], Array]) -> Function:
    """A function of stacked times and states for one of them."""
    return lambda t, state: evaluate(*_stacked([(t, state)]))[0, ...]


def _of_event(event: Event, problem: Problem) -> Function:
    """An event, whose value is an array without axes."""
    xp, dtype = array_namespace(problem.y0), array_namespace(problem.y0).abs(problem.y0).dtype
    return lambda t, state: xp.asarray(float(event.function(t, copy(state), *problem.args)), dtype=dtype)


def _one_by_one(function: Function) -> Callable[[Array, Array], Array]:
    """A function of one time and state for stacked ones."""

    def values(t: Array, states: Array) -> Array:
        found = [function(time, states[k, ...]) for k, time in enumerate(to_numpy(t).tolist())]
        return array_namespace(states).stack(found)

    return values

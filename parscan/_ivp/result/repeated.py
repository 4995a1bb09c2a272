"""Detects user's functions that give different values for equal arguments, from a memory or random numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from ..._arrays.namespace import Array, array_namespace, copy, library, quiet, random_signs, to_numpy
from ..._functions.response import relative_response
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import distances, repeats
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..output.monitor import Event
from .result import IvpResult, IvpStatus

FEWEST, MOST = 4, 12
"""Least and largest number of states of a path that are within the range of the solution."""

PATHS = 4
"""Largest number of paths."""

BEYOND = 1.0
"""A path begins and ends beyond this range, by this share of it: rejected steps may have gone as far."""

CALLS = 40
"""For this many calls by the solver, the check makes about one more."""

APART = 10.0
"""Tolerances of an estimated error from which on contradictions count, however small they are."""

LARGEST = 1 << 20
"""Largest number of entries of a Jacobian that is checked."""


@dataclass(frozen=True)
class Contradiction:
    """A function, the time at which its answers differ most, their difference, and `off`, the difference in tolerances.

    The solution is worthless if `off` exceeds 1.
    """

    name: str
    t: float
    difference: float
    off: float

    def __str__(self) -> str:
        """The contradiction in words, with a remedy."""
        return (
            f" `{self.name}` contradicts itself: called twice with the same values at t = {self.t!r}, it gave answers "
            f"that differ by {self.difference:.2g}. It keeps a memory of earlier calls, or draws random numbers: take "
            "them out, or make them part of the state."
        )


Row = tuple[float, Array]
"""A time, and a state with its components last."""

Function = Callable[[float, Array], Array]
"""A function of one time and state."""


class RepeatedCalls:
    """
    Calls `fun`, `jac` and events twice for the initial state, and twice for some states of the solution.

    Events that are recorded are left out: they repeat their values.

    `only_events`: the others are known to repeat their values, as they were recorded.
    """

    def __init__(self, problem: Problem, events: tuple[Event, ...], *, only_events: bool = False) -> None:
        self._problem, self._functions = problem, dict[str, Function]()
        rhs = problem.right_hand_side()
        if not only_events:
            self._functions["fun"] = rhs.sequential() if problem.is_plain else _of_batch(rhs)
        if not only_events and callable(problem.jac) and problem.y0.size * problem.y0.shape[-1] <= LARGEST:
            self._functions["jac"] = _of_one(lambda t, states: rhs.jacobian(t, states, states))
        for index, event in enumerate(events):
            if event.values is None:
                self._functions[f"events[{index}]"] = _of_event(event, problem)
        start = [(problem.span[0], problem.y0)] * 2
        self._first = {name: self._answers(name, start) for name in self._functions}

    @property
    def slope(self) -> Array | None:
        """The value of `fun` for the initial state; None if it raised."""
        return self._first["fun"][0]

    def contradictions(self, found: IvpResult) -> list[Contradiction]:
        """For each function that contradicts itself, the largest contradiction."""
        if not self._functions:
            return []
        nodes, worth = _nodes(found), found.nfev // CALLS
        rows = [(self._problem.span[0], self._problem.y0), *_rows(*nodes)]
        step = abs(rows[-1][0] - rows[0][0]) / max(1, found.mesh.shape[0] - 1)
        largest: list[Contradiction] = []
        between = min(max(FEWEST, worth // 3), MOST)
        paths = _paths(*nodes, between, min(max(1, worth // (2 * between)), PATHS))
        later = _later(rows)
        for name, first in self._first.items():
            turns = [row for path in paths for row in (*path, *rows, *path[::-1], *rows[::-1])]
            given = iter(self._answers(name, [*later, *later, *turns]))
            one, other = ([next(given) for _ in later] for _ in range(2))
            pairs = [(rows[0], first[0], first[1]), *zip(later, one, other, strict=True)]
            for path in paths:
                there = [next(given) for _ in (*path, *rows)]
                back = [[next(given) for _ in some][::-1] for some in (path, rows)]
                pairs.append((rows[0], first[0], there[len(path)]))
                pairs += zip((*path, *rows), there, (*back[0], *back[1]), strict=True)
            known = [pair for pair in pairs if pair[1] is not None and pair[2] is not None]
            if _are_the_same(known):
                continue
            met = [self._compare(name, *pair, step) for pair in known]
            if differing := [contradiction for contradiction in met if contradiction is not None]:
                largest.append(max(differing, key=lambda contradiction: contradiction.off))
        return largest

    def _answers(self, name: str, rows: list[Row]) -> list[Array | None]:
        """Values of a function for one state after the other; None where it raises."""
        function, answers = self._functions[name], []
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the solver may never have visited these states
            for t, state in rows:
                try:
                    answers.append(function(t, state))
                except KeyboardInterrupt:
                    raise
                except BaseException:  # if the solver calls the function there, the user sees the exception then
                    answers.append(None)
        return answers

    def _compare(self, name: str, row: Row, one: Array, other: Array, step: float) -> Contradiction | None:
        """The contradiction of two answers for one state; None if they differ by rounding at most."""

        def response() -> Array:
            return relative_response(_one_by_one(self._functions[name]), *_stacked([row]))[0, ...]

        with quiet():
            if repeats(one, other, response):
                return None
            distance = distances(one, other)
            off = self._off(name, row, distance, step)
        return Contradiction(name, row[0], float(array_namespace(one).max(distance)), off)

    def _off(self, name: str, row: Row, distance: Array, step: float) -> float:
        """The difference in tolerances of the state: as an error of a step, or as a shift of an event."""
        xp, (t, state) = array_namespace(distance), row
        if name == "jac":  # it affects the speed of Newton's method, not the solution
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


def reported(found: IvpResult, contradictions: list[Contradiction]) -> IvpResult:
    """The result with the contradictions in its message; no success if one of them exceeds the tolerance.

    Nor is it one if there are any, and two solves were apart: each of them had its own answers.
    """
    message = found.message + "".join(map(str, contradictions))
    are_apart = bool(contradictions) and found.error_estimate > APART
    is_worthless = are_apart or any(contradiction.off > 1 for contradiction in contradictions)
    if not is_worthless or not (found.success or found.status is IvpStatus.INACCURATE):
        return replace(found, message=message)
    status = IvpStatus.NONDETERMINISTIC
    message = message.replace(found.status.text, status.text, 1)
    return replace(found, status=status, success=False, message=message)


def _are_the_same(pairs: list[tuple[Row, Array, Array]]) -> bool:
    """Whether both answers of every pair are identical; the only wait for an accelerator."""
    if not pairs or library(pairs[0][1]) == "numpy":
        return all(one.tobytes("A") == other.tobytes("A") for _, one, other in pairs)  # in the order of both
    xp = array_namespace(pairs[0][1])
    return bool(xp.all(xp.stack([one for _, one, _ in pairs]) == xp.stack([other for _, _, other in pairs])))


def _nodes(found: IvpResult) -> tuple[Array, Array]:
    """Times of the output, or of the mesh if the output has few of them, and the states there, components first."""
    if isinstance(found._polynomial, PiecewisePolynomial) and found.t.shape[0] <= FEWEST:
        return found._polynomial.t, found._polynomial.nodes
    return found.t, found.y


def _rows(t: Array, y: Array) -> list[Row]:
    """The middle and the end of a solution."""
    xp, count = array_namespace(y), int(t.shape[0])
    places = sorted({(count - 1) // 2, count - 1}) if count else []
    states = xp.permute_dims(y, (*range(1, y.ndim), 0))
    return [(float(t[k]), states[k, ...]) for k in places]


def _later(rows: list[Row]) -> list[Row]:
    """Two states of the solution, at times two durations and one duration of the solution after its end.

    A function that looks up its own earlier calls (a delay that is read from a list of times and states) then finds
    different ones when it is called again, although all calls of one solve may have found the same.
    """
    (begin, start), (end, _) = rows[0], rows[-1]
    return [(end + 2 * (end - begin), rows[len(rows) // 2][1]), (end + (end - begin), start)]


def _paths(t: Array, y: Array, between: int, most: int) -> list[list[Row]]:
    """Paths of states through the range of every component of the solution, from below the range to above it.

    A switch with hysteresis gives different answers between its thresholds on the way there and on the way back. All
    components rise along the first path; along further paths each component rises or falls, by random signs.
    """
    if y.size == 0:
        return []
    xp, (low, high), t = array_namespace(y), _bounds(y), float(t[t.shape[0] // 2])
    inner = [(2 * k + 1) / between - 1 for k in range(between)]
    paths = []
    with quiet():
        middle, half = low / 2 + high / 2, high / 2 - low / 2
        shares = xp.asarray([-1 - 2 * BEYOND, *inner, 1 + 2 * BEYOND], dtype=half.dtype)
        shares = xp.reshape(shares, (-1, *(1,) * half.ndim))
        for seed in range(most):
            way = half * random_signs(tuple(half.shape), middle, seed=seed) if seed else half
            states = shares * way
            states += middle
            paths.append([(t, states[k, ...]) for k in range(between + 2)])
    return paths


def _bounds(y: Array) -> tuple[Array, Array]:
    """Smallest and largest value of each component, `(*batch, n)`, for states `(n, m, *batch)`.

    Real and imaginary parts of complex states count as components.
    """
    xp = array_namespace(y)
    if xp.isdtype(y.dtype, "complex floating"):
        parts = zip(_bounds(xp.real(y)), _bounds(xp.imag(y)), strict=True)
        low, high = (xp.astype(real, y.dtype) + 1j * imaginary for real, imaginary in parts)
        return low, high
    return xp.moveaxis(xp.min(y, axis=1), 0, -1), xp.moveaxis(xp.max(y, axis=1), 0, -1)


def _of_batch(rhs: RightHandSide) -> Function:
    """The right-hand side for one state `(*batch, n)`."""

    def fun(t: float, state: Array) -> Array:
        xp = array_namespace(state)
        return xp.moveaxis(rhs.at(t, copy(xp.moveaxis(state, -1, 0))), 0, -1)

    return fun


def _of_one(evaluate: Callable[[Array, Array], Array]) -> Function:
    """A function of one time and state, from a function of stacked ones."""
    return lambda t, state: evaluate(*_stacked([(t, state)]))[0, ...]


def _of_event(event: Event, problem: Problem) -> Function:
    """The function of an event, with an array without axes as its value."""
    xp, dtype = problem.xp, problem.xp.abs(problem.y0).dtype
    return lambda t, state: xp.asarray(float(event.function(t, copy(state), *problem.args)), dtype=dtype)


def _one_by_one(function: Function) -> Callable[[Array, Array], Array]:
    """A function of stacked times and states, from a function of single ones."""

    def values(t: Array, states: Array) -> Array:
        found = [function(time, states[k, ...]) for k, time in enumerate(to_numpy(t).tolist())]
        return array_namespace(states).stack(found)

    return values

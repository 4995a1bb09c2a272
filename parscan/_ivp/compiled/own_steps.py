"""Adjoints and tangents of compiled stiff solutions: those of Radau IIA on their steps, exactly, by machine code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, all_finite, array_namespace
from ..._functions.at_points import CODES, LARGEST
from ..._recorded.budget import OF_SOLVER, SOLVER, NoCodeError
from ..coarse.steps import Steps
from ..core.problem import Problem
from ..sensitivities.layers import graded, rates_of
from ..sensitivities.recorded_gradient import entering
from .discrete_adjoint import FAR, MOST, MOST_NUMBERS, Backwards, kinks_of, shorter
from .parts import wide
from .recorded import STATE

if TYPE_CHECKING:
    from ..._recorded.native.given_steps import OnSteps, TangentsOnSteps
    from ..._recorded.record import Recording

OTHERWISE = 0.02
"""Seconds that an adjoint takes without machine code, about."""

PER_CUBE = 2e-10
"""Seconds of a step for the third power of the rows of its linear system, about: it has all stages in one."""

PER_TANGENT = 0.2
"""Time that each tangent takes, as a share of that."""

SHORT, LONGEST = 0.005, 0.1
"""
Seconds that all steps may take by this estimate: where variational equations of few parameters, and where solutions on
a mesh take over. Those use that entries of Jacobians are zero, and have smaller systems.
"""

SHIFT = 0.1
"""Largest difference from the solution at the end of a step, as a share of the changes in the steps beside it."""

STAGES = 7

LEAST = 1e-300
"""Absolute tolerance in place of 0."""


def on_own_steps(
    problem: Problem, recording: Recording, parameters: tuple[Any, ...], numbers: tuple[int, ...], steps: Steps,
    parts: int, solution: tuple[Array, Array], grad_y: Array, longest: float = LONGEST,
) -> Backwards:  # fmt: skip
    """
    The adjoint of a solution with the gradient `(n, N)` by its states at some times.

    On the `steps` of the solution, each in so many `parts`, Radau IIA with seven stages solves the problem again, to
    all digits.

    Parameters
    ----------
    problem : Problem
    recording : Recording
        Of its right-hand side.
    parameters : tuple
        The further arguments of the recording.
    numbers : tuple of int
        Of arguments of the recording whose gradient is wanted.
    steps : Steps
    parts : int
    solution : tuple of arrays, shapes (N,) and (n, N)
    longest : float
        Seconds that it may take by an estimate.

    Raises
    ------
    NoCodeError
        If there is no machine code, or it does not pay, or takes long, or the solution passes a kink.
    """
    xp, (times, _), n = problem.xp, solution, steps.y.shape[1]
    width = sum(recording.arguments[number].size for number in numbers)
    _reject_long(parts * (steps.t.shape[0] - 1), n, width, (STAGES + 1) * n, longest)
    code = _code(recording, numbers)
    given, places = _followed(problem, recording, parameters, steps, parts, times)
    _reject_long(given[0].shape[0] - 1, n, width, (STAGES + 1) * n, longest)
    gradients = xp.astype(xp.permute_dims(grad_y, (1, 0)), xp.float64)
    found = code(*given, times, gradients)
    if found is None:
        raise NoCodeError("has another solution on these steps")
    _reject_others(problem, recording, steps, given, found.states, places)
    if not (all_finite(found.adjoint) and all_finite(found.sums)):
        raise NoCodeError("has an adjoint that is not finite")
    return Backwards(given[0], found.adjoint, found.sums)


def tangents_on_own_steps(
    problem: Problem, recording: Recording, parameters: tuple[Any, ...], numbers: tuple[int, ...], steps: Steps,
    parts: int, times: Array, longest: float, *, by_start: bool,
) -> Array:  # fmt: skip
    """
    Derivatives `(m, n, k)` of the states at some times by arguments, and by the initial state, on the same steps.

    It is for what `on_own_steps` is for, and raises the same.
    """
    n = steps.y.shape[1]
    width = sum(recording.arguments[number].size for number in numbers) + n * by_start
    numbers_of = (STAGES + 1) * n * (width + 1)
    _reject_long(parts * (steps.t.shape[0] - 1), n, width, numbers_of, longest / (1 + PER_TANGENT * width))
    code = _code(recording, numbers, "by start" if by_start else "tangents")
    given, places = _followed(problem, recording, parameters, steps, parts, times)
    _reject_long(given[0].shape[0] - 1, n, width, numbers_of, longest / (1 + PER_TANGENT * width))
    found = code(*given, times)
    if found is None:
        raise NoCodeError("has another solution on these steps")
    states, tangents = found
    _reject_others(problem, recording, steps, given, states, places)
    if not all_finite(tangents):
        raise NoCodeError("has tangents that are not finite")
    made: Array = tangents
    return made


def _reject_long(count: int, n: int, width: int, numbers: int, longest: float) -> None:
    """Raise if so many steps, with so many numbers each, take long or much memory."""
    for reason, is_so in {
        "has no steps": count < 1,
        "has too many parameters": width > MOST,
        "has too many steps": count * numbers > MOST_NUMBERS,
        "has large systems": count * (STAGES * n) ** 3 * PER_CUBE > longest,
    }.items():
        if is_so:
            raise NoCodeError(reason)


def _rate(recording: Recording, t: Array, y: Array, parameters: tuple[Any, ...]) -> float:
    """A bound of the eigenvalues of the Jacobian."""
    linearised, xp, n = recording.notes[LINEARISED], array_namespace(y), y.shape[0]
    arguments = t, y, *(xp.asarray(one, dtype=xp.float64) for one in parameters)
    entries = linearised.program(*(one[None, ...] for one in arguments))[1][0, :]
    matrix = xp.zeros((n, n))
    for row, column, entry in zip(linearised.rows, linearised.columns, entries, strict=True):
        matrix[row, column] += entry
    return float(rates_of(matrix[None, ...])[0])


def _followed(
    problem: Problem, recording: Recording, parameters: tuple[Any, ...], steps: Steps, parts: int, times: Array
) -> tuple[tuple[Any, ...], Array]:
    """
    What code on given steps takes: times, states, parameters, and tolerances; and which nodes the steps have.

    Where changes of the solution are faster than itself, there are further nodes.
    """
    xp, nodes = problem.xp, shorter(steps.t, parts)
    states, places = _filled(_from_start(problem, steps), parts), xp.arange(0, nodes.shape[0], parts)
    rate = _rate(recording, nodes[0], states[0, :], parameters)
    more = graded(nodes, times, xp.abs(nodes[:-1] - nodes[0]), xp.full(nodes.shape[0] - 1, rate))
    if more is not None:
        way = 1.0 if bool(nodes[-1] > nodes[0]) else -1.0
        begins = xp.clip(xp.searchsorted(way * nodes, way * more, side="right") - 1, 0, nodes.shape[0] - 2)
        left, right = xp.take(nodes, begins), xp.take(nodes, begins + 1)
        shares, begin = ((more - left) / (right - left))[:, None], xp.take(states, begins, axis=0)
        states = begin + shares * (xp.take(states, begins + 1, axis=0) - begin)
        places = xp.searchsorted(way * more, way * xp.take(nodes, places))
        nodes = more
    atol = xp.maximum(xp.asarray(problem.atol, dtype=xp.float64), xp.asarray(LEAST))
    return (nodes, states, parameters, (problem.rtols, atol)), places


def _from_start(problem: Problem, steps: Steps) -> Array:
    """States of the steps in double precision."""
    states = problem.xp.astype(wide(steps.y), problem.xp.float64, copy=True)
    states[0, :] = wide(problem.y0)
    return states


def _reject_others(
    problem: Problem, recording: Recording, steps: Steps, given: tuple[Any, ...], states: Array, places: Array
) -> None:
    """Raise if states are those of another solution at some nodes, or pass a kink."""
    from ..._recorded.state_switches import passes_kinks  # noqa: PLC0415 - slow to import

    nodes, _, parameters, _ = given
    if _differ(problem, problem.xp.take(states, places, axis=0), _from_start(problem, steps)):
        raise NoCodeError("has another solution on these steps")
    kinks = kinks_of(recording)
    if kinks is not None and passes_kinks(kinks, parameters, nodes, states):
        raise NoCodeError("passes a kink")


def _filled(states: Array, parts: int) -> Array:
    """States at the ends of parts of steps, on lines."""
    xp, (_, n) = array_namespace(states), states.shape
    shares = (xp.arange(parts) / parts)[None, :, None]
    inner = states[:-1, None, :] + shares * (states[1:, :] - states[:-1, :])[:, None, :]
    return xp.concat([xp.reshape(inner, (-1, n)), states[-1:, :]])


def _differ(problem: Problem, found: Array, expected: Array) -> bool:
    """
    Whether states at the nodes are those of another solution.

    Where the solution is fast, a small shift in time is a large change of states, but small beside those of the steps.
    """
    xp, nothing = problem.xp, problem.xp.zeros_like(expected[:1, :])
    changes = xp.abs(expected[1:, :] - expected[:-1, :])
    beside = xp.concat([nothing, changes]) + xp.concat([changes, nothing])
    allowed = FAR * (problem.atol + problem.rtols * xp.abs(expected)) + SHIFT * beside
    return not bool(xp.all(xp.abs(found - expected) <= allowed))


def _code(recording: Recording, numbers: tuple[int, ...], kind: str = "adjoint") -> Any:
    """The machine code, kept with the recording; raises `NoCodeError` if it cannot be had, or does not pay."""
    notes, key = recording.notes, ("own steps", numbers, kind)
    if key not in notes:
        try:
            notes[key] = _made(recording, numbers, kind)
        except NoCodeError as error:
            if PAYS_LATER in error.args:
                raise
            notes[key] = str(error)
    found = notes[key]
    if isinstance(found, str):
        raise NoCodeError(found)
    return found


LINEARISED = "own steps, linearised"
"""The note of values and Jacobians."""

PAYS_LATER = "does not pay yet"


def _made(recording: Recording, numbers: tuple[int, ...], kind: str) -> OnSteps | TangentsOnSteps:
    from ..._recorded.linearised import values_and_entries  # noqa: PLC0415 - slow to import
    from ..._recorded.native.given_steps import OnSteps, Tangents, TangentsOnSteps  # noqa: PLC0415
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415
    from ..._recorded.pullbacks import moves_jumps, pulled_back  # noqa: PLC0415
    from ..._recorded.state_switches import state_switches  # noqa: PLC0415
    from ..._recorded.switches import switches  # noqa: PLC0415

    if any(one.char != "d" for one in (recording.dtype, *recording.dtypes)):
        raise NoCodeError("works on other numbers than doubles")
    if moves_jumps(recording, numbers) or switches(recording.program) or state_switches(recording.program):
        raise NoCodeError("jumps, or has a kink")
    if not CODES.buys(("own steps", numbers, kind, recording.program.kinds), _price(recording), OTHERWISE):
        raise NoCodeError(PAYS_LATER)
    derived: Any
    with entering():
        linearised = recording.notes[LINEARISED] = values_and_entries(recording)
        if kind == "adjoint":
            derived = pulled_back(recording, numbers)
            programs = [derived]
        else:
            forced = tuple(values_and_entries(recording, number) for number in numbers)
            own = tuple(recording.arguments[number].size for number in numbers)
            width = sum(own) + (recording.arguments[STATE].size if kind == "by start" else 0)
            derived, programs = Tangents(forced, width, own), [one.program for one in forced]
    if max(one.written for one in (linearised.program, *programs)) > LARGEST:
        raise NoCodeError("has too many operations with its derivatives")
    try:
        return OnSteps(linearised, derived) if kind == "adjoint" else TangentsOnSteps(linearised, derived)
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error


def _price(recording: Recording) -> float:
    """Seconds that compiling takes, about: derivatives have several times the operations."""
    return SOLVER + 4 * OF_SOLVER * recording.program.operations

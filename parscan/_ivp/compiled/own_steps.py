"""Adjoints of compiled stiff solutions: those of Radau IIA on their steps, exactly, by machine code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, all_finite, array_namespace
from ..._functions.at_points import CODES, LARGEST
from ..._recorded.budget import OF_SOLVER, SOLVER, NoCodeError
from ..coarse.steps import Steps
from ..core.problem import Problem
from ..sensitivities.recorded_gradient import entering
from .discrete_adjoint import FAR, MOST, MOST_NUMBERS, Backwards, kinks_of, shorter
from .parts import wide

if TYPE_CHECKING:
    from ..._recorded.native.given_steps import OnSteps
    from ..._recorded.record import Recording

OTHERWISE = 0.02
"""Seconds that an adjoint takes without machine code, about."""

PER_CUBE = 2e-10
"""Seconds of a step for the third power of the rows of its linear system, about: it has all stages in one."""

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
    from ..._recorded.state_switches import passes_kinks  # noqa: PLC0415 - slow to import

    xp, (times, _), n = problem.xp, solution, steps.y.shape[1]
    count = parts * (steps.t.shape[0] - 1)
    width = sum(recording.arguments[number].size for number in numbers)
    for reason, is_so in {
        "has no steps": count < 1,
        "has too many parameters": width > MOST,
        "has too many steps": count * n * (STAGES + 1) > MOST_NUMBERS,
        "has large systems": count * (STAGES * n) ** 3 * PER_CUBE > longest,
    }.items():
        if is_so:
            raise NoCodeError(reason)
    code, t = _code(recording, numbers), shorter(steps.t, parts)
    states = xp.astype(wide(steps.y), xp.float64, copy=True)
    states[0, :] = wide(problem.y0)
    gradients = xp.astype(xp.permute_dims(grad_y, (1, 0)), xp.float64)
    atol = xp.maximum(xp.asarray(problem.atol, dtype=xp.float64), xp.asarray(LEAST))
    found = code(t, _filled(states, parts), parameters, (problem.rtols, atol), times, gradients)
    if found is None or _differ(problem, found.states[::parts, :], states):
        raise NoCodeError("has another solution on these steps")
    kinks = kinks_of(recording)
    if kinks is not None and passes_kinks(kinks, parameters, t, found.states):
        raise NoCodeError("passes a kink")
    if not (all_finite(found.adjoint) and all_finite(found.sums)):
        raise NoCodeError("has an adjoint that is not finite")
    return Backwards(t, found.adjoint, found.sums)


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


def _code(recording: Recording, numbers: tuple[int, ...]) -> OnSteps:
    """The machine code, kept with the recording; raises `NoCodeError` if it cannot be had, or does not pay."""
    notes, key = recording.notes, ("own steps", numbers)
    if key not in notes:
        try:
            notes[key] = _made(recording, numbers)
        except NoCodeError as error:
            if PAYS_LATER in error.args:
                raise
            notes[key] = str(error)
    found = notes[key]
    if isinstance(found, str):
        raise NoCodeError(found)
    code: OnSteps = found
    return code


PAYS_LATER = "does not pay yet"


def _made(recording: Recording, numbers: tuple[int, ...]) -> OnSteps:
    from ..._recorded.linearised import values_and_entries  # noqa: PLC0415 - slow to import
    from ..._recorded.native.given_steps import OnSteps  # noqa: PLC0415
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415
    from ..._recorded.pullbacks import moves_jumps, pulled_back  # noqa: PLC0415
    from ..._recorded.state_switches import state_switches  # noqa: PLC0415
    from ..._recorded.switches import switches  # noqa: PLC0415

    if any(one.char != "d" for one in (recording.dtype, *recording.dtypes)):
        raise NoCodeError("works on other numbers than doubles")
    if moves_jumps(recording, numbers) or switches(recording.program) or state_switches(recording.program):
        raise NoCodeError("jumps, or has a kink")
    if not CODES.buys(("own steps", numbers, recording.program.kinds), _price(recording), OTHERWISE):
        raise NoCodeError(PAYS_LATER)
    with entering():
        linearised, pulled = values_and_entries(recording), pulled_back(recording, numbers)
    if max(linearised.program.written, pulled.written) > LARGEST:
        raise NoCodeError("has too many operations with its derivatives")
    try:
        return OnSteps(linearised, pulled)
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error


def _price(recording: Recording) -> float:
    """Seconds that compiling takes, about: derivatives have several times the operations."""
    return SOLVER + 4 * OF_SOLVER * recording.program.operations

"""Adjoints of compiled explicit solutions: those of DOP853's steps, exactly, by a loop of machine code backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.namespace import Array, all_finite, array_namespace
from ..._functions.at_points import CODES, LARGEST
from ..._recorded.budget import COMPILING, PER_OPERATION, NoCodeError
from ..core.mesh import union
from ..core.problem import Problem
from ..sensitivities.looks import allowed
from ..sensitivities.recorded_gradient import entering
from .parts import wide
from .recorded import STATE
from .unresolved import are_too_long
from .waves import misses_waves

if TYPE_CHECKING:
    from ..._recorded.program import Program
    from ..._recorded.record import Recording

MOST, MOST_NUMBERS = 4096, 1 << 24
"""Largest number of parameters, and of numbers that the loop backwards writes."""

DIVISIONS = 8
"""How often steps that are too long for the adjoint are halved."""

FAR = 300.0
"""Difference from the solution, in tolerances, above which the problem must have changed."""

OTHERWISE = 0.02
"""Seconds that an adjoint takes without machine code, about."""


class Backwards(NamedTuple):
    """
    What the adjoint found.

    Attributes
    ----------
    nodes : array, shape (m,)
        Times of the nodes: ends of steps, and times of the output.
    states : array, shape (m, n)
        Gradients with respect to the states there.
    sums : array, shape (k,)
        The gradient with respect to parameters.
    """

    nodes: Array
    states: Array
    sums: Array


def backwards(
    problem: Problem, recording: Recording, parameters: tuple[Any, ...], numbers: tuple[int, ...],
    solution: tuple[Array, Array], mesh: Array, grad_y: Array,
) -> Backwards:  # fmt: skip
    """
    The adjoint of a solution with the gradient `(n, N)` by its states.

    The steps are those of the solution, divided at the times of the output, and where the adjoint changes too fast for
    them; on them DOP853 solves the problem again.

    Parameters
    ----------
    problem : Problem
    recording : Recording
        Of its right-hand side.
    parameters : tuple
        The further arguments of the recording.
    numbers : tuple of int
        Of arguments of the recording whose gradient is wanted.
    solution : tuple of arrays, shapes (N,) and (n, N)
    mesh : array
        Ends of its steps.

    Raises
    ------
    NoCodeError
        If there is no machine code, or it does not pay, or the solution passes a kink, where stages may lie; or if the
        adjoint changes too fast for steps nearly as long as those of the solution.
    """
    step, back = programs(recording, numbers)
    times, _ = solution
    way = 1.0 if problem.span[1] > problem.span[0] else -1.0
    nodes = union(way * mesh, way * times)
    if nodes is None:
        raise NoCodeError("has no steps")
    nodes = way * nodes
    error = allowed(problem.rtol)
    for _ in range(DIVISIONS):
        found, states, given = _on_nodes(problem, recording, parameters, (step, back), solution, nodes, grad_y)
        if not are_too_long(found.states, given, states, error):
            if misses_waves(recording, parameters, numbers, (nodes, states), problem.rtol):
                break
            if not (all_finite(found.states) and all_finite(found.sums)):
                raise NoCodeError("has an adjoint that is not finite")
            return found
        nodes, error = shorter(nodes, 2), problem.rtol
    raise NoCodeError("has derivatives that change faster than its steps")


def _on_nodes(
    problem: Problem, recording: Recording, parameters: tuple[Any, ...], loops: tuple[Program, Program],
    solution: tuple[Array, Array], nodes: Array, grad_y: Array,
) -> tuple[Backwards, Array, Array]:  # fmt: skip
    """The adjoint on given nodes, the states there, and the gradients by these that are due to output there."""
    from ..._recorded.native.loop import compiled_loop  # noqa: PLC0415 - LLVM is slow to load
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415
    from ..._recorded.state_switches import passes_kinks  # noqa: PLC0415

    xp, (times, y), (step, back) = problem.xp, solution, loops
    way = 1.0 if problem.span[1] > problem.span[0] else -1.0
    steps, n, width = nodes.shape[0] - 1, y.shape[0], back.arguments[0].shape[0]
    if steps < 1 or width - n > MOST or steps * width > MOST_NUMBERS:
        raise NoCodeError("has too many parameters")
    rows = [nodes[:-1], nodes[1:] - nodes[:-1]]
    rows += [xp.broadcast_to(one, (steps, *one.shape)) for one in map(xp.asarray, parameters)]
    states, given = xp.empty((steps + 1, n)), xp.zeros((steps + 1, n))
    states[0, :] = wide(problem.y0)
    places = way * nodes
    places = xp.searchsorted(places, way * times)
    given[places, :] = xp.astype(xp.permute_dims(grad_y, (1, 0)), xp.float64)
    adjoint = xp.empty((steps + 1, width))
    adjoint[-1, :n], adjoint[-1, n:] = given[-1, :], 0.0
    try:
        is_finite = compiled_loop(step).run(states[0, :], rows, states[1:, :], 0, steps)
        if not is_finite or is_far(problem, states[places, :], xp.permute_dims(y, (1, 0))):
            raise NoCodeError("has another solution on these steps")
        kinks = kinks_of(recording)
        if kinks is not None and passes_kinks(kinks, parameters, nodes, states):
            raise NoCodeError("passes a kink")
        turned = [one[::-1, ...] for one in (states[:-1, :], *rows, given[:-1, :])]
        compiled_loop(back).run(adjoint[-1, :], turned, adjoint[:-1, :][::-1, :], 0, steps)
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error
    return Backwards(nodes, adjoint[:, :n], adjoint[0, n:]), states, given


def shorter(mesh: Array, parts: int) -> Array:
    """A mesh with intervals that are divided; its own nodes are the same to the last bit."""
    xp = array_namespace(mesh)
    shares = xp.arange(parts) / parts
    inner = mesh[:-1, None] + shares * (mesh[1:] - mesh[:-1])[:, None]
    return xp.concat([xp.reshape(inner, (-1,)), mesh[-1:]])


def is_far(problem: Problem, found: Array, expected: Array) -> bool:
    """Whether states are not those that are expected: the problem must have changed."""
    xp = array_namespace(expected)
    return bool(xp.any(xp.abs(found - expected) > FAR * (problem.atol + problem.rtols * xp.abs(expected))))


def kinks_of(recording: Recording) -> Program | None:
    """What decides on which side of a kink states are."""
    from ..._recorded.state_switches import state_kinks  # noqa: PLC0415 - slow to import

    notes = recording.notes
    if "state kinks" not in notes:
        notes["state kinks"] = state_kinks(recording.program)
    found: Program | None = notes["state kinks"]
    return found


def programs(
    recording: Recording, numbers: tuple[int, ...], otherwise: float = OTHERWISE
) -> tuple[Program, Program]:  # fmt: skip
    """
    The step, and its adjoint; raises `NoCodeError` if they cannot be had, or do not pay.

    Other ways take `otherwise` seconds.
    """
    notes, key = recording.notes, ("backwards", numbers)
    if key not in notes:
        try:
            notes[key] = _derived(recording, numbers)
        except NoCodeError as error:
            notes[key] = str(error)
    found = notes[key]
    if isinstance(found, str):
        raise NoCodeError(found)
    step, back = found
    if ("paid", *key) not in notes:
        price = COMPILING + PER_OPERATION * (step.written + back.written)
        if not CODES.buys(("backwards", back.kinds), price, otherwise):
            raise NoCodeError("does not pay yet")
        notes["paid", *key] = True
    return step, back


def _derived(recording: Recording, numbers: tuple[int, ...]) -> tuple[Program, Program]:
    from ..._recorded.native.one_step import FIRST, one_step, step_backwards  # noqa: PLC0415 - slow to import
    from ..._recorded.pullbacks import moves_jumps  # noqa: PLC0415
    from ..._recorded.state_switches import state_switches  # noqa: PLC0415
    from ..._recorded.switches import switches  # noqa: PLC0415

    if any(one.char != "d" for one in (recording.dtype, *recording.dtypes)):
        raise NoCodeError("works on other numbers than doubles")
    if moves_jumps(recording, numbers) or switches(recording.program) or state_switches(recording.program):
        raise NoCodeError("jumps, or has a kink")
    if 3 * 12 * recording.program.written > LARGEST:
        raise NoCodeError("has too many operations with its derivatives")
    with entering():
        step = one_step(recording)
        back = step_backwards(step, [number - STATE - 1 + FIRST for number in numbers])
    if back.written > LARGEST:
        raise NoCodeError("has too many operations with its derivatives")
    return step.program, back

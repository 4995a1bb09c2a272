"""Derivatives of all states by few parameters: sweeps forwards, by machine code of the step with its derivatives."""

from __future__ import annotations

from contextlib import suppress
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace, contiguous, quiet
from ..._functions.at_points import CODES, LARGEST, pairs
from ..._functions.columns import ByRecord, by_differences, chosen_columns, sizes, split, starts
from ..._functions.moved_jumps import warn_of_moved_jumps
from ..._functions.opened import as_example
from ..._functions.parameters import START, Chosen, Tree, leaves
from ..._functions.points import stretches
from ..._functions.verify import apart
from ..._recorded.budget import COMPILING, PER_OPERATION, NoCodeError
from .jacobians import COUPLED, Jacobians
from .recorded import arguments, as_states, entered, noted
from .recorded_gradient import ByParameters, by_parameters
from .solution import Solution
from .sweeps import tangent

if TYPE_CHECKING:
    from ..._recorded.program import Program
    from ..._recorded.record import Recording

OF_AN_ENTRY = 2e-8
"""Seconds that a scan takes for each step and entry of a matrix, or of its columns, about."""

MOST = 1024
"""Largest number of components of the state and of its derivatives together."""

COMPARED = 4
"""Steps at which machine code is compared with NumPy."""

STATE = 0
"""Number of the argument of the recorded step."""


def jacobian(solution: Solution, params: Any) -> Tree:
    """Derivatives of all states; see :meth:`parscan.RecurrenceResult.jacobian`."""
    step, n = solution.step, solution.y0.shape[-1]
    chosen = chosen_columns(params, step.function, step.args, step.x)
    with suppress(NoCodeError):
        return split(chosen, step.args, _by_code(solution, chosen), n)
    if START in chosen.keys and solution.y0.ndim > 1 and Jacobians(solution).are_together:
        raise RuntimeError(COUPLED)
    forcing = forcing_by(solution, chosen)
    start = starts(chosen, step.args, solution.y0)
    xp, y0 = array_namespace(start), solution.y0
    start = xp.broadcast_to(start.T, (*y0.shape, start.shape[0]))
    return split(chosen, step.args, tangent(solution, forcing, start), n)


def _by_code(solution: Solution, chosen: Chosen) -> Array:
    """All columns by one loop of machine code, if that is at hand or pays; raises `NoCodeError`."""
    from ..._recorded.native.loop import compiled_loop  # noqa: PLC0415 - LLVM is slow to load
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

    y0, steps, step = solution.y0, solution.trajectory.shape[0], solution.step
    xp, n = array_namespace(y0), y0.shape[-1]
    keys = [int(key) for key in chosen.keys if key != START]
    is_plain = y0.ndim == 1 and xp.isdtype(y0.dtype, "real floating") and solution.steps == steps
    if not is_plain or step.has_jacobian or not steps or len(set(chosen.keys)) < len(chosen.keys):
        raise NoCodeError("works on other states")
    if not keys:
        raise NoCodeError("has no parameters")
    keys.sort()
    width = sum(sizes(chosen, step.args, n))
    if n * (1 + width) > MOST:
        raise NoCodeError("has too many components with its derivatives")
    recorded, own = by_parameters(solution, keys), _own(solution, keys)
    recording, by_start = recorded.recording, START in chosen.keys
    first = len(recording.arguments) - len(own)
    numbers = range(first, len(recording.arguments))
    program: Program = noted(
        recording.notes, ("variational", by_start), lambda: _derived(recording, numbers, by_start=by_start)
    )
    seconds = steps * OF_AN_ENTRY * (n * n + n * width)
    price = COMPILING + PER_OPERATION * program.written
    if program.written > LARGEST or not CODES.pays_loading(seconds):
        raise NoCodeError("does not pay")
    if solution.compiles is None and not CODES.buys(("jacobian", program.kinds), price, seconds):
        raise NoCodeError("does not pay")
    given = arguments(solution, y0[None, ...], slice(0, steps))[1:]
    given += [xp.broadcast_to(one, (steps, *one.shape)) for one in own]
    state = xp.zeros((n, 1 + width), dtype=y0.dtype)
    if by_start:
        state[:, 1 + width - n :] = xp.eye(n)
    state = xp.concat([y0, xp.reshape(state[:, 1:], (-1,))])
    out = xp.empty((steps, state.shape[0]), dtype=y0.dtype)
    try:
        is_finite = compiled_loop(program).run(state, given, out, 0, steps)
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error
    if not is_finite or _differs(program, state, given, out):
        raise NoCodeError("gave other values than its recorded operations")
    found = xp.reshape(out[:, n:], (steps, n, width))
    return _in_order(chosen, keys, found, dict(zip(chosen.keys, sizes(chosen, step.args, n), strict=True)))


def _in_order(chosen: Chosen, keys: list[int], found: Array, widths: dict[int | str, int]) -> Array:
    """Columns in the order of the chosen parameters; they are in that of the arguments, those of the start last."""
    places, place = dict[int | str, slice](), 0
    every: list[int | str] = [*keys, START]
    for key in every:
        places[key] = slice(place, place + widths.get(key, 0))
        place += widths.get(key, 0)
    return array_namespace(found).concat([found[..., places[key]] for key in chosen.keys], axis=-1)


def _own(solution: Solution, keys: list[int]) -> list[Array]:
    own = [leaf for key in keys for leaf in leaves("", solution.step.args[key]).values()]
    given = [pairs(as_example(leaf, solution.y0)) for leaf in own]
    if any(one.dtype != solution.y0.dtype for one in given):
        raise NoCodeError("has parameters of another precision than its states")
    return given


def _derived(recording: Recording, numbers: range, *, by_start: bool) -> Program:
    from ..._recorded.variational import variational  # noqa: PLC0415 - slow to import

    return entered(lambda: variational(recording, numbers, STATE, by_start=by_start).program)


def _differs(program: Program, state: Array, given: list[Array], out: Array) -> bool:
    """Whether NumPy gives other states at a few steps."""
    xp, count = array_namespace(out), out.shape[0]
    places = xp.arange(0, count, max(1, count // COMPARED))
    before = xp.stack([out[place - 1, ...] if place else state for place in places.tolist()])
    with quiet():
        expected = program(before, *(one[places, ...] for one in given))[0]
        return bool(xp.any(apart(xp, out[places, ...], expected)))


def forcing_by(solution: Solution, chosen: Chosen) -> Array:
    """The derivatives `(T, *batch, n, k)` of all steps by the parameters; zero for the start."""
    y, step = solution.trajectory, solution.step
    xp, parts = array_namespace(y), []
    for key, size in zip(chosen.keys, sizes(chosen, step.args, y.shape[-1]), strict=True):
        if key == START or not y.size or not solution.steps:
            parts.append(xp.zeros((*y.shape, size), dtype=y.dtype))
            continue
        try:
            parts.append(_columns(solution, by_parameters(solution, [int(key)]), int(key)))
        except NoCodeError:
            points, checked = solution.points(), Chosen((key,), chosen.alone, chosen.own)
            warn_of_moved_jumps(points, xp.ones_like(y), checked, in_time=False)
            parts.append(by_differences(points, int(key), y))
    return xp.concat(parts, axis=-1)


def _columns(solution: Solution, recorded: ByParameters, key: int) -> Array:
    """Exact derivatives by an argument; raises `NoCodeError`."""
    y, recording = solution.trajectory, recorded.recording
    xp, own = array_namespace(y), leaves("", solution.step.args[key]).values()
    given = [pairs(as_example(leaf, solution.y0)) for leaf in own]
    first = len(recording.arguments) - len(given)
    numbers = range(first, len(recording.arguments))
    derived: ByRecord = noted(recording.notes, "columns", lambda: entered(lambda: ByRecord(recording, numbers)))
    derived.code.prepare(solution.steps)
    width, rows = sum(one.size for one in given), []
    if not width:
        return xp.zeros((*y.shape, 0), dtype=y.dtype)
    for begin, end in stretches(solution.y0, y.shape[0], width * prod(y.shape[1:]), stacks=True):
        found = derived(*arguments(solution, solution.before(begin, end), slice(begin, end)), *given)
        like = y[begin:end, ...]
        parts = [as_states(contiguous(part), like) for part in found]
        rows.append(xp.astype(xp.stack(parts, axis=-1), y.dtype, copy=False))
    return xp.concat(rows)

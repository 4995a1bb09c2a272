"""
Adjoint states at the joints of segments, found one step after the other, for adjoints that do not forget their past.

Sums over all steps are the larger part of a gradient: once it is known with which adjoint states segments begin, they
are added up in all of them at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..._arrays.namespace import Array, array_namespace
from ..._functions.at_points import CODES
from ..._recorded.budget import COMPILING, PER_OPERATION, NoCodeError
from .recorded import entered, noted

if TYPE_CHECKING:
    from ..._recorded.ahead import Ahead
    from ..._recorded.program import Program
    from ..._recorded.record import Recording

OVERWRITTEN = 1 << 20
"""Bytes of adjoint states that are in memory at a time: they stay in a cache."""


def chain(recording: Recording, numbers: range, given: Sequence[Array], seconds: float) -> Program:
    """
    The program `(λ_t, y, ..., g) -> λ_{t-1}` for values of the parameters, the arguments of these numbers.

    Without its code, the adjoint takes so many `seconds`. Raises `NoCodeError` if it does not pay.
    """
    found: Ahead = noted(recording.notes, "chain", lambda: _derived(recording, numbers))
    program = found.rest(given)
    price = COMPILING + PER_OPERATION * program.written
    if not CODES.buys(("chain", program.kinds), price, seconds):
        raise NoCodeError("does not pay yet")
    return program


def _derived(recording: Recording, numbers: range) -> Ahead:
    from ..._recorded.ahead import Ahead  # noqa: PLC0415 - slow to import
    from ..._recorded.pullbacks import backwards  # noqa: PLC0415

    return Ahead(entered(lambda: backwards(recording)), range(numbers.start + 1, numbers.stop + 1))


def states_at(program: Program, start: Array, rows: Sequence[Array], places: Sequence[int]) -> Array:
    """
    States after so many steps, ascending, in rows of numbers.

    Parameters
    ----------
    program : Program
        Of a step.
    start : array
        The first state.
    rows : sequence of arrays, shapes (T, *shape)
        The other arguments of all steps.
    places : sequence of int
    """
    from ..._recorded.native.lanes import compiled_lanes  # noqa: PLC0415 - LLVM is slow to load
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

    lanes, shape, last = compiled_lanes(program, several=False), program.arguments[0].shape, places[-1]
    state = array_namespace(start).reshape(start, shape)
    most, found, xp = max(OVERWRITTEN // state.nbytes, 1), list[Array](), array_namespace(state)
    out = xp.empty((min(most, last) + 1, 1, *shape), dtype=state.dtype)
    out[0, 0, ...] = state
    try:
        for begin in range(0, last, most):
            end = min(begin + most, last)
            given = [one[begin:end, None, ...] for one in rows]
            lanes.run(out[0, ...], given, [out[1 : end - begin + 1, ...]], 0, end - begin)
            own = [place - begin for place in places[len(found) :] if place <= end]
            found += [xp.reshape(xp.asarray(out[place, 0, ...], copy=True), (-1,)) for place in own]
            out[0, ...] = out[end - begin, ...]
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error
    return xp.stack(found)

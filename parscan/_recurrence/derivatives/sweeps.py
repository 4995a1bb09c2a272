"""Tangent and adjoint of a solved recurrence: one scan forwards, one scan backwards.

The Jacobians of a stretch of time are evaluated in one call, scanned, and discarded; the next stretch continues from
the last state. Therefore the memory is that of the result and of one stretch, however long the trajectory is. Machine
code of the recorded step gives the adjoint without matrices.
"""

from __future__ import annotations

import math
from typing import Any

from ..._arrays.namespace import Array, array_namespace
from ..._functions.adjoint import Adjoint
from ..._functions.cotangents import as_forcing, as_gradient
from ..._kernels.dispatch import affine_scan
from ..._linalg.structure import Structure
from .compiled_adjoint import compiled_adjoint
from .jacobians import Jacobians
from .solution import Solution


def tangent(solution: Solution, forcing: Any, y0: Any) -> Array:
    """Evaluate `δ_t = J_t δ_{t-1} + forcing_t`, `δ_{-1} = y0`; see :meth:`parscan.RecurrenceResult.tangent`."""
    y = solution.trajectory
    drive = as_forcing(forcing, y0, y)
    xp, many = array_namespace(y), () if drive.count is None else (drive.count,)
    result = xp.empty((*y.shape, *many), dtype=y.dtype)
    if math.prod(result.shape) == 0:
        return result
    jacobians = Jacobians(solution)
    nothing = xp.zeros((1, *y.shape[1:], *many), dtype=y.dtype)
    state = None
    if drive.start is not None:
        start = drive.start if drive.start.ndim == nothing.ndim - 1 else drive.start[..., None]
        state = _rows(_together(jacobians, (start + nothing[0, ...])[None, ...]), many)[0, ...]
    for begin, end in jacobians.stretches(y.shape[0], drive.count or 1):
        forced = nothing if drive.steps is None else drive.steps[begin:end, ...]
        found = _scan(
            jacobians.structure, jacobians.of_steps(begin, end), _rows(_together(jacobians, forced), many), state, many
        )
        result[begin:end, ...] = xp.reshape(_rows(found, many), (end - begin, *result.shape[1:]))
        state = found[-1, ...]
    return result


def adjoint(solution: Solution, grad_y: Any) -> Adjoint:
    """Evaluate `λ_t = g_t + J_{t+1}ᴴ λ_{t+1}`; see :meth:`parscan.RecurrenceResult.adjoint`."""
    y = solution.trajectory
    gradient = as_gradient(grad_y, y)
    xp = array_namespace(y)
    states = xp.empty_like(y)
    if math.prod(y.shape) == 0:
        return Adjoint(states, xp.zeros_like(solution.y0))
    if found := compiled_adjoint(solution, gradient):
        return found
    jacobians = Jacobians(solution)
    structure, steps = jacobians.structure, y.shape[0]
    states[steps - 1, ...] = gradient[steps - 1, ...]
    state = _together(jacobians, gradient[steps - 1 :, ...])[0, ...]
    # The stretches are those of `tangent`, since the step may round differently in others.
    for begin, end in reversed(jacobians.stretches(steps, 1)):
        matrices = structure.conjugate_transpose(jacobians.of_steps(begin, end))
        before = gradient[max(begin - 1, 0) : end - 1, ...]
        if not begin:  # the start has no gradient of its own
            before = xp.concat([xp.zeros_like(gradient[:1, ...]), before])
        found = _scan(structure, matrices, _together(jacobians, before), state, reverse=True)
        rows = xp.reshape(found, before.shape)
        states[max(begin - 1, 0) : end - 1, ...] = rows if begin else rows[1:, ...]
        state = found[0, ...]
    return Adjoint(states, xp.reshape(state, solution.y0.shape))


def _together(jacobians: Jacobians, vectors: Array) -> Array:
    """Vectors `(k, *batch, n, ...)` as the Jacobians take them: in one vector, if members depend on each other."""
    if not jacobians.are_together:
        return vectors
    many = vectors.shape[1 + jacobians.ndim :]
    return array_namespace(vectors).reshape(vectors, (vectors.shape[0], *jacobians.shape, *many))


def _rows(vectors: Array, many: tuple[int, ...]) -> Array:
    """Components and forcings, the last two axes, exchanged if there are many forcings."""
    return array_namespace(vectors).matrix_transpose(vectors) if many else vectors


def _scan(
    structure: Structure,
    matrices: Array,
    vectors: Array,
    state: Array | None,
    many: tuple[int, ...] = (),
    *,
    reverse: bool = False,
) -> Array:
    """Carry the vectors through one stretch, from a state; `many` vectors share each matrix."""
    if many:
        matrices = array_namespace(matrices).expand_dims(matrices, axis=vectors.ndim - 2)
    A, b = structure.operands(matrices, vectors)
    start = None if state is None else structure.operands(matrices[:1, ...], state[None, ...])[1][0, ...]
    return structure.from_scan(affine_scan(A, b, start, reverse=reverse))

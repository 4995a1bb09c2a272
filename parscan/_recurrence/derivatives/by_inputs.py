"""Products of vectors with the derivatives of the step by its inputs, by differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from ..._arrays.elementwise import real
from ..._arrays.namespace import Array, array_namespace, conjugate, copy, machine_epsilon, quiet
from ..._functions.differences import LITTLE, POWER, ROUNDINGS, SHORTER, curved, shortenings, step_sizes
from ..._functions.entries import size_of, units
from ..._functions.parameters import Tree, leaves, like, noting_integers
from .solution import Solution


def of_inputs(solution: Solution, states: Array) -> Tree:
    """Products of `states` with the derivatives of the step by every entry of the inputs, time by time."""
    x = solution.step.x
    parts = list(leaves("x", x).values())
    found = [array_namespace(part).zeros_like(part) for part in parts]
    numbers = math.prod(states.shape[1:]) + sum(math.prod(part.shape[1:]) for part in parts)
    for begin, end in solution.stretches(states.shape[0], numbers):
        times = slice(begin, end)
        for position in range(len(parts)):
            with quiet(), noting_integers("x", x):
                found[position][times, ...] = _of_input(solution, states[times, ...], parts, position, times)
    return like(x, iter(found))


def _of_input(solution: Solution, states: Array, parts: list[Array], position: int, times: slice) -> Array:
    """Products for one array of inputs over one stretch of time."""
    step, xp = solution.step, array_namespace(states)
    y, pieces = solution.before(times.start, times.stop), [part[times, ...] for part in parts]
    piece = pieces[position]
    flat = xp.reshape(piece, (piece.shape[0], math.prod(piece.shape[1:])))
    result, sizes, largest = xp.zeros_like(flat), step_sizes(flat, power=POWER), size_of(y)
    larger = xp.maximum(sizes, xp.full_like(sizes, 0.1 * largest * machine_epsilon(y.dtype) ** POWER))

    adjoint, share, base = conjugate(states), curved(machine_epsilon(y.dtype)), solution.after[times, ...]

    def slopes(column: int, unit: complex, size: Array) -> tuple[Array, Callable[[], Array], Array]:
        after, ends = [], []
        for sign in (1, -1):
            moved = copy(flat)
            moved[:, column] = flat[:, column] + sign * unit * size
            pieces[position] = xp.reshape(moved, piece.shape)
            after.append(step.varied(y, like(step.x, iter(pieces)), step.args, times))
            ends.append(moved[:, column])
        change, added = after[0] - after[1], xp.abs(ends[0] - ends[1])
        found = _over_state(real(xp, adjoint * change)) / added
        after[1] += after[0]
        after[1] -= base
        after[1] -= base
        bends, sizes = xp.abs(_over_state(real(xp, adjoint * after[1]))) / added, xp.abs(found)

        def noise() -> Array:
            roundings = xp.abs(states) * xp.abs(after[0]) * (ROUNDINGS * machine_epsilon(y.dtype))
            return _over_state(roundings) / added

        bent = bends > share * xp.maximum(sizes, xp.mean(sizes))
        return found, noise, bent & (bends > noise()) if bool(xp.any(bent)) else bent

    for column, unit in itertools.product(range(flat.shape[1]), units(flat)):
        found, noise, bent = slopes(column, unit, sizes[:, column])
        if size_of(flat[:, column]) < LITTLE * largest:  # its changes may be lost in the rounding of the states
            try:
                far, _, _ = slopes(column, unit, larger[:, column])
            except Exception:  # the step may reject such inputs
                far = found
            found = xp.where(xp.abs(far - found) <= noise(), far, found)
        size = sizes[:, column]
        if bool(xp.any(bent)):
            base = step.varied(y, like(step.x, iter([part[times, ...] for part in parts])), step.args, times)
            bent = slopes(column, unit, size)[2]
        for _ in range(shortenings(machine_epsilon(y.dtype))):  # as for Jacobians: smaller changes where the step bends
            if not bool(xp.any(bent)):
                break
            size = size * SHORTER
            nearer, _, still = slopes(column, unit, size)
            found, bent = xp.where(bent & ~still, nearer, found), bent & still
        result[:, column] = result[:, column] + unit * xp.astype(found, flat.dtype)
    return xp.reshape(result, piece.shape)


def _over_state(products: Array) -> Array:
    """Sums over all but time."""
    return array_namespace(products).sum(products, axis=tuple(range(1, products.ndim)))

"""Tangents and adjoints of recurrences with several lags: linear recurrences with the same lags.

The tangent is `δ_t = Σ_lag J_t,lag δ_{t-lag} + f_t`. The adjoint is such a recurrence in the reverse of time,
`λ_t = g_t + Σ_lag J_{t+lag},lagᴴ λ_{t+lag}`, which goes on beyond the first step to the states before it. So both are
marched as any other recurrence with lags is, and no matrix is larger than that of one lag.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from .._arrays.memory import check_fits
from .._arrays.namespace import Array, Namespace, array_namespace, conjugate, random_signs, smallest_normal
from .._functions.adjoint import Adjoint
from .._functions.step import Step
from .arguments import DENSE, as_tolerance
from .derivatives.jacobians import Jacobians
from .derivatives.solution import Solution
from .lagged_march import Lagged, march_whole
from .lags import Companion, Lags
from .task import Arrays, Options

STRETCH, LONGEST = 1024, 1 << 16
"""Steps after which changes are scaled, at first and at most: fewer if they grow or decay fast."""


@dataclass(frozen=True, eq=False)
class _Linear:
    """A linear step of states `(..., n k)`, `k` columns each: its inputs are the matrices of all lags, and offsets."""

    n: int
    columns: int
    xp: Namespace

    def __call__(self, states: tuple[Array, ...], x: tuple[Array, Array]) -> Array:
        matrices, total = x
        for k, state in enumerate(states):
            many = self.xp.reshape(state, (*state.shape[:-1], self.n, self.columns))
            total = total + self.xp.reshape(matrices[..., k, :, :] @ many, state.shape)
        return total


def blocks(solution: Solution, lags: Lags) -> Array | None:
    """Derivatives of all steps by the states of each lag, `(T, *batch, lags, n, n)`; None if members are coupled."""
    jacobians, count = Jacobians(solution), len(lags)
    if jacobians.are_together:
        return None
    xp, steps = array_namespace(solution.y0), solution.trajectory.shape[0]
    n = solution.y0.shape[-1] // count
    shape = (*solution.y0.shape[:-1], count, n, n)
    check_fits(steps, shape, solution.y0)
    found = xp.empty((steps, *shape), dtype=solution.y0.dtype)
    for begin, end in jacobians.stretches(steps, 1):
        rows = jacobians.structure.to_dense(jacobians.of_steps(begin, end))[..., :n, :]
        parts = [rows[..., k * n : (k + 1) * n] for k in range(count)]
        found[begin:end, ...] = xp.stack(parts, axis=-3)
    return found


def tangent(matrices: Array, lags: Lags, forcing: Array | None, start: Array | None, compiles: bool | None) -> Array:
    """
    Evaluate `δ_t = Σ_lag J_t,lag δ_{t-lag} + forcing_t`, from the changes `start` of the first states.

    The last axes are those of components, and of many changes, if there are some.
    """
    xp, rows, state = array_namespace(matrices), max(lags), (*matrices.shape[1:-3], matrices.shape[-1])
    axes = 1 + len(state)
    many = next((one.shape[axes:] for one in (forcing, start) if one is not None and one.ndim > axes), ())
    if forcing is None:
        forcing = xp.zeros((matrices.shape[0], *state, *many), dtype=matrices.dtype)
    if start is None:
        start = xp.zeros((rows, *state, *many), dtype=matrices.dtype)
    elif start.ndim < axes + len(many):
        start = xp.broadcast_to(start[..., None], (*start.shape, *many))
    found = _marched(matrices, lags, forcing, start, compiles)
    return xp.reshape(found, (matrices.shape[0], *state, *many))


def adjoint(matrices: Array, lags: Lags, gradient: Array, compiles: bool | None) -> Adjoint:
    """Evaluate `λ_t = gradient_t + Σ_lag J_{t+lag},lagᴴ λ_{t+lag}` for all steps, and for the first states."""
    xp, rows, steps = array_namespace(matrices), max(lags), matrices.shape[0]
    turned = conjugate(xp.matrix_transpose(matrices))
    backwards = xp.zeros((steps + rows, *matrices.shape[1:]), dtype=matrices.dtype)
    for k, lag in enumerate(
        lags
    ):  # row `r` belongs to the step `steps - 1 - r`, and reads the matrix `lag` steps later
        backwards[lag : steps + lag, ..., k, :, :] = xp.flip(turned[..., k, :, :], axis=0)
    nothing = xp.zeros((rows, *gradient.shape[1:]), dtype=gradient.dtype)
    found = xp.flip(
        _marched(backwards, lags, xp.concat([xp.flip(gradient, axis=0), nothing]), nothing, compiles), axis=0
    )
    return Adjoint(xp.asarray(found[rows:, ...], copy=True), xp.asarray(found[:rows, ...], copy=True))


def growth(matrices: Array, lags: Lags, compiles: bool | None) -> float:
    """Logarithm of the growth per step of a random change of the first states, the largest of the batch.

    It is that of almost all changes, but for a constant over the number of steps.
    """
    xp, steps, rows = array_namespace(matrices), matrices.shape[0], max(lags)
    state = random_signs((rows, *matrices.shape[1:-3], matrices.shape[-1]), matrices, seed=0)
    least, total, begin, length = smallest_normal(matrices.dtype) ** 0.5, 0.0, 0, STRETCH
    while begin < steps:
        end = min(begin + length, steps)
        nothing = xp.zeros((end - begin, *state.shape[1:]), dtype=state.dtype)
        found = _marched(matrices[begin:end, ...], lags, nothing, state, compiles)
        last = xp.concat([state, xp.reshape(found, nothing.shape)])[-rows:, ...]
        sizes = xp.max(xp.abs(last), axis=(0, -1), keepdims=True)
        if length > 1 and not bool(xp.all((sizes > least) & xp.isfinite(sizes))):
            length //= 2
            continue
        if not bool(xp.all(sizes > 0)):
            return -inf
        total, state = total + xp.log(sizes), last / sizes
        begin, length = end, min(2 * length, LONGEST)
    return float(xp.max(total)) / steps


def _marched(matrices: Array, lags: Lags, offsets: Array, start: Array, compiles: bool | None) -> Array:
    """The linear recurrence, `(T, *batch, n k)`."""
    xp, steps, rows, n = array_namespace(matrices), matrices.shape[0], max(lags), matrices.shape[-1]
    batch = matrices.shape[1:-3]
    columns = offsets.shape[-1] if offsets.ndim == len(batch) + 3 else 1
    flat = (*batch, n * columns)
    check_fits(steps + rows, flat, matrices)
    first, given = xp.reshape(start, (rows, *flat)), xp.reshape(offsets, (steps, *flat))
    extended = xp.concat([first, xp.empty((steps, *flat), dtype=first.dtype)])
    x = (matrices, given)
    companion = Companion(_Linear(n, columns, xp), lags, n * columns, xp)
    step = Step(companion, x, (), None, DENSE, xp)
    arrays = Arrays(xp, first[-1, ...], first[-1, ...], x, None, steps)
    options = Options("sequential", 1, compiles)
    task = Lagged(companion, step, arrays, extended, as_tolerance(None, None, first.dtype), options)
    reached = march_whole(task)
    if reached < steps:
        extended[rows + reached + 1 :, ...] = float("nan")
    return task.trajectory

"""A solved trajectory, looked at again: its residual, its sensitivity, and whether the step stands by it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ._arrays import Array, array_namespace, copy, quiet
from ._check_step import rows_apart
from ._growth import scaled_product
from ._tolerance import Tolerance
from .jacobians import differentiate
from .systems import Step

CHUNK_NUMBERS = 2**18
"""Numbers of states, or of their Jacobians, that are evaluated at once."""

SAMPLE = 64
"""Steps that are evaluated twice more after a solve."""


class Solution:
    """The first `steps` of a trajectory, all finite, with the step function and the state that they came from.

    `stacks` says whether the step may be called on several states.
    """

    def __init__(self, step: Step, y0: Array, trajectory: Array, steps: int, *, stacks: bool) -> None:
        self._step = step
        self._y0 = y0
        self._trajectory = trajectory
        self._steps = steps if y0.size else 0  # an empty batch has nothing to look at
        self._stacks = stacks

    def residual(self) -> float:
        """Largest `|step(y_{t-1}, x_t) - y_t|`; NaN without steps."""
        with quiet():
            return max((self._off(before, times) for times, before in self._chunks(self._numbers)), default=math.nan)

    def lyapunov(self) -> float:
        """Logarithm of the growth of a small change per step, the largest of the batch; NaN without steps."""
        structure, product, total = self._step.structure, None, 0.0
        matrix = math.prod(structure.shape(self._y0.shape[-1])) * math.prod(self._y0.shape[:-1])
        for times, before in self._chunks(max(matrix, self._numbers)):
            jacobians = self._jacobians(before, times)
            xp = array_namespace(jacobians)
            jacobians = jacobians if product is None else xp.concat([product[None, ...], jacobians])
            product, logarithm = scaled_product(structure, jacobians)
            total = total + logarithm
        if product is None:
            return float("nan")
        return float(array_namespace(total).max(total)) / self._steps

    def nondeterminism(self, tolerance: Tolerance) -> tuple[int, float] | None:
        """A step that gives other values when it is evaluated again, and by how many tolerances; None if all agree.

        Some steps all over the time are evaluated on the trajectory. Where they are off it, they are evaluated once
        more: a step that contradicts itself is not the recurrence it was taken for. Nor is one that is far off in many
        places: it wrote to what it had returned before, for example.
        """
        stride = max(1, self._steps // SAMPLE)
        times = slice(stride, self._steps, stride)
        if not self._stacks or self._steps <= stride:
            return None
        before = self._trajectory[stride - 1 : self._steps - 1 : stride, ...]
        try:
            with quiet():
                after = copy(self._step(copy(before), times))
                found = self._trajectory[times, ...]
                row, off = _furthest(tolerance, after, found)
                if off <= 1:
                    return None
                if rows_apart(after, found) <= found.shape[0] // 4:
                    row, off = _furthest(tolerance, copy(self._step(copy(before), times)), after)
        except Exception:  # it may reject these states with one another's inputs; then there is nothing to compare
            return None
        return (stride * (1 + row), off) if off > 1 else None

    def _off(self, before: Array, times: slice) -> float:
        """Largest difference between the trajectory and what the step makes of the states before."""
        off = self._step(before, times) - self._trajectory[times, ...]
        xp = array_namespace(off)
        return float(xp.max(xp.abs(off)))

    @property
    def _numbers(self) -> int:
        """Numbers per state."""
        return math.prod(self._y0.shape)

    def _chunks(self, numbers: int) -> Iterator[tuple[slice, Array]]:
        """Times, and the states before them, in memory of their own; `numbers` are worked on per step."""
        xp = array_namespace(self._y0)
        size = max(1, CHUNK_NUMBERS // max(1, numbers)) if self._stacks else 1
        for begin in range(0, self._steps, size):
            end = min(begin + size, self._steps)
            head = self._trajectory[begin - 1, ...] if begin else self._y0
            yield slice(begin, end), xp.concat([head[None, ...], self._trajectory[begin : end - 1, ...]])

    def _jacobians(self, states: Array, times: slice) -> Array:
        """Jacobians of the step at stacked states."""
        with quiet():
            if self._step.has_jacobian:
                return self._step.with_jacobian(states, times)[1]
            return differentiate(lambda y: copy(self._step(copy(y), times)), states, self._step.structure)


def _furthest(tolerance: Tolerance, one: Array, other: Array) -> tuple[int, float]:
    """Row (first axis) in which two arrays differ most, and by how many tolerances of a column's largest entry."""
    xp = array_namespace(one)
    size = xp.max(xp.abs(other), axis=tuple(range(other.ndim - 1)), keepdims=True)
    off = xp.reshape(tolerance.relative(one - other, xp.broadcast_to(size, other.shape)), (one.shape[0], -1))
    rows = xp.max(off, axis=1)
    row = int(xp.argmax(rows))
    return row, float(rows[row])

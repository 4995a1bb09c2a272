"""Jumps that parameters move: the gradient by these parameters, and what they add at nodes."""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace
from ..._functions.parameters import Tree
from .fixed_modes import Fixed, fixed_along
from .followed import with_crossings
from .jumping import Jumping, sampled
from .recorded_gradient import ByParameters, given_of
from .trajectory import Trajectory, node_at


@dataclass(frozen=True, eq=False)
class Moving:
    """
    A trajectory with nodes at all crossings that depend on the state or parameters, and what parameters add there.

    `fixed` is the right-hand side with the modes that depend on them fixed; `shifts` are changes of the states right
    after nodes, `(*batch, n, p)`, by all numbers of the parameters in a row.
    """

    found: Jumping
    trajectory: Trajectory
    fixed: Fixed
    shifts: dict[int, Array]

    def gradient(self, times: Array, states: Array, adjoint: Array, after: Array) -> dict[int, Tree]:
        """
        The gradient by the arguments, from adjoint forcings at points and gradients `(N, B, n)` right after nodes.

        Raises
        ------
        NoCodeError
            If there are no derivatives.
        """
        recorded = self._recorded
        total = recorded.total(times, states, adjoint, self.fixed.rows)
        xp = array_namespace(after)
        for node, shift in self.shifts.items():
            bar = xp.reshape(after[node, ...], shift.shape[:-1])[..., None]
            terms = xp.real(xp.conj(bar) * shift) if shift.dtype.kind == "c" else bar * shift
            total = total + xp.sum(terms, axis=tuple(range(terms.ndim - 1)))
        return recorded.trees(total)

    @cached_property
    def _recorded(self) -> ByParameters:
        """The right-hand side with fixed modes; raises `NoCodeError` if differences contradict its derivatives."""
        rhs, keys = self.found.rhs, self.found.keys
        some, y = sampled(self.trajectory.solution)
        ByParameters(rhs, keys, self.found.recording).compare(some, y, 0 * y + 1)
        return ByParameters(rhs, keys, self.fixed.modes.fixed)

    def columns(self, times: Array, states: Array) -> Array:
        """Derivatives `(m, *batch, n, p)` of the right-hand side by all numbers; raises `NoCodeError`."""
        return self._recorded.columns(times, states, self.fixed.rows)

    @cached_property
    def places(self) -> dict[int, slice]:
        """Where the numbers of each argument are among all."""
        found, begin = dict[int, slice](), 0
        for key in self.found.keys:
            size = sum(one.size for one in given_of(self.found.rhs, (key,)))
            found[key], begin = slice(begin, begin + size), begin + size
        return found


def moving(found: Jumping, trajectory: Trajectory) -> Moving:
    """The trajectory with nodes where parameters move jumps or kinks, and by how much they move it there."""
    trajectory, every = with_crossings(found, trajectory)
    xp, shifts = trajectory.solution.xp, dict[int, Array]()
    for one in every:
        for leap, (_, by_parameters) in one.moves:
            node = node_at(trajectory.solution, one.time)
            shifts[node] = shifts.get(node, 0.0) + leap[..., None] * xp.astype(by_parameters, leap.dtype)
    fixed = fixed_along(found, every, found.matters, trajectory.solution)
    return Moving(found, trajectory, fixed, shifts)

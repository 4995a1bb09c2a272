"""Random probes: a part of the propagators from fewer marches than there are components."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, copy, random_signs
from ..._engine.system import Propagator
from ..._functions.differences import step_sizes
from ..._functions.step import Step
from ..._linalg.structure import Structure
from .propagation import Propagation

Carry = tuple[Array, Array]


class Probing(Propagation[Carry]):
    """States beside copies of them, all of whose components start perturbed with random signs.

    With signs `v` and perturbations `h`, the response `r` of a copy has the mean `E[r_i v_j / h_j] = A_ij`:
    Hutchinson's estimate (1990), by Bekas, Kokiopoulou and Saad (2007) for diagonals. A single probe of a coupled step
    is not its diagonal: the other entries of a row come in with random signs, and average out as one over the root of
    the number of probes.
    """

    def __init__(self, step: Step, structure: Structure, probes: int) -> None:
        self._step = step
        self._structure = structure
        self._probes = probes
        self._sweeps = 0

    def width(self, n: int) -> int:
        """A state, its copies and their perturbations, before and after a step."""
        return 2 + 3 * self._probes

    def start(self, states: Array) -> Carry:
        """Copies and perturbations, `(1 + probes, k, *batch, n)`; the first copy is not perturbed."""
        xp = array_namespace(states)
        sizes = step_sizes(states)
        self._sweeps += 1  # other signs in each sweep, but the same in every run
        shifted = states + random_signs((self._probes, *states.shape), sizes, seed=self._sweeps) * sizes
        return xp.concat([copy(states)[None, ...], shifted]), shifted - states

    def advance(self, carry: Carry, times: slice) -> Carry:
        """One step of all copies."""
        copies, added = carry
        xp = array_namespace(copies)
        flat = xp.reshape(copies, (-1, *copies.shape[2:]))
        return xp.reshape(self._step(flat, times, copies.shape[0]), copies.shape), added

    def states(self, carry: Carry) -> Array:
        """The unperturbed copy."""
        return carry[0][0, ...]

    def shorten(self, carry: Carry, k: int) -> Carry:
        """Leading segments of every copy."""
        copies, added = carry
        return copies[:, :k, ...], added[:, :k, ...]

    def propagator(self, carry: Carry) -> Propagator:
        """Mean over the probes."""
        copies, added = carry
        xp = array_namespace(copies)
        responses = copies[1:, ...] - copies[:1, ...]
        return Propagator(self._structure, xp.mean(self._structure.outer(responses, 1 / added), axis=0))

"""Linearisations whose corrections stay small."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from ..._arrays.namespace import Array, array_namespace, quiet
from ..._engine.linearisation import Linearisation, Propagator

FIRST_WEIGHT = 1e-2
"""First Levenberg–Marquardt weight."""

LIGHTER = 0.1
"""Factor on the weight after a step that reduced the defects."""

HEAVIER = 8.0
"""Factor on the weight after a step that did not reduce them."""

WEIGHTS = (1e-14, 1e6)
"""Smallest weight, below which the steps are Newton's, and largest weight."""


class Damping(ABC):
    """A change of linearisations that keeps corrections small; one object for one solve."""

    @abstractmethod
    def damp(self, line: Linearisation, finish: Callable[[Array], Array]) -> Linearisation:
        """The linearisation to scan; `finish(z)` sweeps once more from the nodes `z` and returns targets."""


@dataclass(frozen=True)
class Clipping(Damping):
    """Bound the singular values of the propagators by `bound`, so that no correction grows from one node to the next.

    For recurrences that are locally unstable, but stable on average, such as noise between the wells of a potential:
    there Newton's first corrections grow without limit, but clipped ones do not.

    Parameters
    ----------
    bound : float
        Largest singular value, positive.

    Raises
    ------
    TypeError, ValueError
        If `bound` is no number, or not positive.

    Examples
    --------
    >>> import parscan
    >>> parscan.Clipping()
    Clipping(bound=1.0)
    """

    bound: float = 1.0

    def __post_init__(self) -> None:
        bound: Any = self.bound
        if isinstance(bound, bool) or not isinstance(bound, Real):
            raise TypeError(f"`bound` of Clipping must be a number, got {bound!r}.")
        if not self.bound > 0:
            raise ValueError(f"`bound` of Clipping must be positive, got {self.bound!r}.")

    def __call__(self, propagator: Propagator) -> Propagator:
        """The propagator with clipped matrices."""
        return replace(propagator, matrices=propagator.structure.clip(propagator.matrices, self.bound))

    def damp(self, line: Linearisation, finish: Callable[[Array], Array]) -> Linearisation:
        """The linearisation with clipped propagators."""
        if line.propagator is None:
            return line
        with quiet():
            return replace(line, propagator=self(line.propagator))


class LevenbergMarquardt(Damping):
    """Corrections that minimise the squares of the linearised defects plus a weight times their own squares.

    ELK (Gonzalez, Warrington, Smith and Linderman, NeurIPS 2024). The weight decreases after a step that reduced the
    sum of squared defects, and increases after one that did not (Levenberg 1944, Marquardt 1963). A step that
    increased the sum is rejected, except for the exact nodes: their number still grows by one in every iteration, so
    that the method ends with the trajectory after as many iterations as there are nodes, as without damping.
    """

    def __init__(self) -> None:
        self._weight = FIRST_WEIGHT
        self._best: Linearisation | None = None
        self._norm = float("inf")

    def damp(self, line: Linearisation, finish: Callable[[Array], Array]) -> Linearisation:
        """The linearisation about the new nodes if they are better, else about the old ones, with the next weight."""
        norm = norm_of_defects(line)
        if self._best is not None:
            self._weight = min(self._weight * (LIGHTER if norm <= self._norm else HEAVIER), WEIGHTS[1])
            old = rebase(self._best, line)
            if (norm_before := norm_of_defects(old)) < norm:
                # One more sweep: the states between the nodes are still those of the rejected step.
                line, norm = replace(old, targets=finish(old.nodes)), norm_before
        self._best, self._norm = line, norm
        if line.propagator is None:
            return line
        weight = self._weight if self._weight >= WEIGHTS[0] else 0.0
        return replace(line, propagator=replace(line.propagator, weight=weight))


def rebase(old: Linearisation, new: Linearisation) -> Linearisation:
    """The old linearisation, with the exact nodes of the new one in front."""
    xp = array_namespace(new.nodes)
    later = new.targets.shape[0]
    first = new.nodes.shape[0] - 1 - later
    passed = old.targets.shape[0] - later
    nodes = xp.concat([new.nodes[: first + 1, ...], old.nodes[first + 1 :, ...]])
    targets = xp.concat([new.targets[:1, ...], old.targets[passed + 1 :, ...]])
    propagator = old.propagator and replace(old.propagator, matrices=old.propagator.matrices[passed:, ...])
    return Linearisation(nodes, propagator, targets)


def norm_of_defects(line: Linearisation) -> float:
    """Root of the sum of the squares of all defects; infinite if one is not finite."""
    xp = array_namespace(line.nodes)
    with quiet():
        size = xp.abs(line.targets - line.nodes[line.nodes.shape[0] - line.targets.shape[0] :, ...])
        largest = float(xp.max(size)) if size.size else 0.0
        if not 0 < largest < float("inf"):
            return 0.0 if largest == 0 else float("inf")
        return largest * float(xp.linalg.vector_norm(size / largest))

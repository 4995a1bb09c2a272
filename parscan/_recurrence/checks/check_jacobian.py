"""Checks of a Jacobian at a few states: it must be the derivative of the step, and fit into the structure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..._arrays.cached import cached_property
from ..._arrays.elementwise import rows_of
from ..._arrays.namespace import Array, copy, machine_epsilon, quiet, random_signs
from ..._functions.differences import ROUNDINGS, forward, step_sizes
from ..._functions.response import response
from ..._functions.step import Step
from ..._functions.verify import EXPLAINED, beyond
from ..._linalg.structure import apply

COLUMNS = 8
"""Number of columns of the Jacobian that are compared with differences."""

MOST_DENSE = 64
"""Largest number of components for which the transpose of a wrong Jacobian is tried, as a full matrix."""

SHARES = (1.0, 1e-4, 1e-8)
"""Perturbations of a component that is zero at all states, as shares of the largest one: its scale is unknown."""

LITTLE, ENOUGH = 0.01, 0.1
"""A component below the first share of the largest may be lost in the rounding of sums with others. Larger
perturbations are tried, too, up to those of a component that is the second share of the largest."""

STACKED = 2**16
"""Most numbers of states that are evaluated together."""

LADDER, RUNG = 5, 1e3
"""Largest number of larger perturbations, and the least factor between two of them."""

DIGITS = 0.1
"""Largest uncertain share of a quotient that can show whether a derivative is right."""


def check_jacobian(step: Step, states: Array) -> None:
    """Raise unless the given Jacobian agrees with differences of the step at most of the stacked `states`."""
    family, n = step.structure, states.shape[-1]
    xp, columns = step.xp, sorted({int(j) for j in np.linspace(0, n - 1, min(n, COLUMNS))})
    with quiet():
        jacobian = copy(step.jacobian(copy(states), slice(0, states.shape[0])))
        differences = _Differences(step, states)
        units = [differences.unit(j) for j in columns]
        given = [apply(family, jacobian, unit) for unit in units]
        if differences.surely_agree(columns, units, given):
            return
        patterns = [apply(family, xp.ones_like(jacobian), unit) != 0 for unit in units]
        if not any(map(differences.contradict, columns, given, patterns)):
            return
        rows = family.to_dense(jacobian) if n <= MOST_DENSE else None
        swapped = given if rows is None else [rows[..., j, :] for j in columns]
        transposed = not any(map(differences.contradict, columns, swapped, patterns))
    hint = "it looks transposed" if transposed else "check its formula, layout and scaling"
    raise ValueError(
        f"`jac` disagrees with finite differences of `step` near the start: {hint}. Expected "
        f"∂step_i/∂y_j in the layout of {family}, with trailing axes {family.shape(n)}."
    )


def structure_covers(step: Step, states: Array) -> bool:
    """Whether the step's structure contains its whole derivative, judged by a change along one direction.

    Differences give matrices within the structure. Their product with a change of random signs is compared with the
    change of the values. The two differ if the step couples components that are uncoupled in the structure.
    """
    family = step.structure
    if family.is_full(states.shape[-1]):
        return True
    differences = _Differences(step, states)
    try:
        with quiet():
            matrices = forward(differences.evaluate, states, family)
            change = step_sizes(states) * random_signs(states.shape, states, seed=0)
            predicted = apply(family, matrices, change)
            found = differences.evaluate(states + change) - differences.values
            off = beyond(step.xp, predicted, found, 0.01, differences.few_roundings)
            if bool(step.xp.any(off)):
                off = beyond(step.xp, predicted, found, 0.01, differences.roundings)
    except Exception:  # a step may reject states beside its trajectory
        return False
    return not bool(step.xp.any(off))


class _Differences:
    """Difference quotients of a step at stacked states, and their uncertainty."""

    def __init__(self, step: Step, states: Array) -> None:
        self._step = step
        self._xp = step.xp
        self._states = states

    def evaluate(self, states: Array) -> Array:
        """A copy of the step's values."""
        return self._step.together(range(states.shape[0]), states)

    @property
    def _share(self) -> float:
        """Largest difference of a right derivative from a quotient, as a share."""
        return float(200 * machine_epsilon(self._states.dtype) ** 0.5)

    @cached_property
    def values(self) -> Array:
        """Values at the states themselves."""
        return self.evaluate(self._states)

    @cached_property
    def few_roundings(self) -> Array:
        """Rounding errors of values as large as the largest value of their component."""
        largest = self._xp.max(self._xp.abs(self.values), axis=0, keepdims=True)
        return ROUNDINGS * machine_epsilon(self._states.dtype) * largest

    @cached_property
    def roundings(self) -> Array:
        """Rounding errors of the values and of their terms, which may be larger than the value, their sum."""
        return self.few_roundings + EXPLAINED * response(self._step, self._states, slice(0, self._states.shape[0]))

    def surely_agree(self, columns: list[int], units: list[Array], given: list[Array]) -> bool:
        """Whether all derivatives `given` by some components are those of one call for all of these.

        False does not say that some are wrong: `contradict` finds that out, which takes several times as long.
        """
        xp, states = self._xp, self._states
        largest = xp.max(xp.abs(xp.reshape(states, (-1, states.shape[-1]))), axis=0)
        if len(units) * states.size > STACKED or not bool(xp.all(largest > LITTLE * xp.max(largest))):
            return False
        added = (states + machine_epsilon(states.dtype) ** 0.5 * largest) - states  # after rounding of the sum
        shifted = xp.stack([states + added * unit for unit in units])
        try:
            together = xp.reshape(shifted, (-1, *states.shape[1:]))
            after = copy(self._step(together, slice(0, states.shape[0]), len(units)))
        except Exception:  # a step may reject states beside its trajectory, or so many together
            return False
        h = xp.stack([added[..., j : j + 1] for j in columns])
        quotients, uncertain = (xp.reshape(after, shifted.shape) - self.values) / h, self.few_roundings / xp.abs(h)
        return not bool(xp.any(beyond(xp, xp.stack(given), quotients, self._share, uncertain)))

    def contradict(self, j: int, given: Array, pattern: Array) -> bool:
        """Whether the `given` derivatives by component `j` are wrong at half of the states or more.

        An entry is right if it agrees for one perturbation, and wrong if it agrees for none. An entry below the
        rounding error is neither right nor wrong.
        """
        xp = self._xp
        right, wrong = xp.zeros_like(pattern), xp.zeros_like(pattern)
        for size in self._sizes(j):
            try:
                off, clear = self._compare(j, given, pattern, size)
            except Exception:  # a step may reject states beside its trajectory; then no comparison is possible
                continue
            right, wrong = right | (clear & ~off), wrong | off
            if not bool(xp.any(pattern & ~right)):
                break
        return len(rows_of(xp, pattern & wrong & ~right)) >= max(1, given.shape[0] // 2)

    def _compare(self, j: int, given: Array, pattern: Array, size: Array) -> tuple[Array, Array]:
        """Entries that differ from the given derivatives, and entries whose quotients have at least one right digit."""
        xp, precision = self._xp, self._share
        column, h = self._quotient(j, size)
        uncertain = self.few_roundings / xp.abs(h)
        off = pattern & beyond(xp, given, column, precision, uncertain)
        if bool(xp.any(off)):  # further calls show whether the step bends, or rounding is the cause
            column, bend = self._central(j, size, column)
            nearer, _ = self._central(j, size / 2)
            noise = self.roundings / xp.abs(h)
            uncertain = bend + xp.abs(column - nearer) + noise
            # If the step is not linear over the perturbation, that is too large.
            is_linear = xp.abs(column - nearer) <= DIGITS * xp.abs(column) + 2 * noise
            off = pattern & is_linear & beyond(xp, given, column, precision, uncertain)
        return off, uncertain <= DIGITS * xp.maximum(xp.abs(given), xp.abs(column))

    def _quotient(self, j: int, size: Array) -> tuple[Array, Array]:
        """Difference quotient by component `j`, and the perturbation after rounding of the sum."""
        shifted = self._states + size * self.unit(j)
        h = (shifted - self._states)[..., j : j + 1]
        return (self.evaluate(shifted) - self.values) / h, h

    def _central(self, j: int, size: Array, ahead: Array | None = None) -> tuple[Array, Array]:
        """Central quotient, from the forward quotient if that is known; and the difference of forward and backward."""
        ahead = self._quotient(j, size)[0] if ahead is None else ahead
        behind, _ = self._quotient(j, -size)
        return (ahead + behind) / 2, self._xp.abs(ahead - behind)

    @cached_property
    def _usual_sizes(self) -> Array:
        """Perturbations of all components by their own sizes."""
        return self._xp.abs(step_sizes(self._states))

    def _sizes(self, j: int) -> Iterator[Array]:
        """Perturbations of component `j`: by its own size, and larger ones if this may be too small or unknown."""
        xp, states = self._xp, self._states
        sizes = self._usual_sizes
        own, largest = sizes[..., j : j + 1], float(xp.max(xp.abs(states)))
        yield own
        if not bool(xp.any(states[..., j] != 0)):
            yield from (xp.abs(step_sizes(states, share))[..., j : j + 1] for share in SHARES[1:])
        elif float(xp.max(xp.abs(states[..., j]))) < LITTLE * largest:
            low, top = float(xp.max(own)), ENOUGH * float(xp.max(sizes))
            factor = max(RUNG, (top / low) ** (1 / LADDER))
            for rung in range(1, LADDER + 1):
                if low * factor ** (rung - 1) < top:
                    yield xp.maximum(own, xp.full_like(own, min(low * factor**rung, top)))

    def unit(self, j: int) -> Array:
        """Unit vectors along component `j`, one for each of the states."""
        xp, states = self._xp, self._states
        return xp.zeros_like(states) + xp.astype(xp.arange(states.shape[-1]) == j, states.dtype)

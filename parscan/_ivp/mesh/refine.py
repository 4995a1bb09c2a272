"""A mesh on which the errors of the intervals are equal."""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays.namespace import Array, quiet
from ..core.mesh import Mesh

TARGET = 0.3
"""Error per interval, in tolerances, that a new mesh is made for."""

FEW = 0.25
"""If the share of bad intervals is at most this, good intervals are kept and only bad ones are divided."""

DENSER, COARSER = 20.0, 4.0
"""Largest local factors of refinement and of coarsening: an error says little about much longer or shorter steps."""


SHORTER, SLOW = 1.5, 0.5
"""The observed power of an error counts where intervals became shorter by the first factor; it is slow where it is
less than the second share of the method's power."""


@dataclass(frozen=True, eq=False)
class Assessed:
    """A mesh, the errors `(N,)` of its intervals, in tolerances, and the power of the length that they fall with."""

    mesh: Mesh
    error: Array
    power: float

    def broken_at(self, times: Array) -> Assessed:
        """The assessed mesh with further breakpoints.

        The error of an interval says nothing about its two parts beside a breakpoint inside it. It is set to zero, so
        that the parts become as long as the neighbouring intervals allow.
        """
        xp = self.mesh.xp
        error = xp.where(self.mesh.containing(times), xp.zeros_like(self.error), self.error)
        return Assessed(self.mesh.broken_at(times), error, self.power)

    def equidistributed(self, power: Array | None = None) -> Mesh:
        """A mesh whose intervals have about `TARGET` tolerances of error each.

        `power` `(N,)` is given where that of the intervals differs.
        """
        fall = self.power if power is None else power
        ratio = self._smoothed(self.mesh.xp.clip(self._parts(fall), 1 / COARSER, DENSER))
        return self.mesh.denser(ratio)

    def refined(self, most: float, before: Assessed | None = None) -> Mesh:
        """A better mesh: a new one or, if only few intervals have an error above `most`, this one with those divided.

        Where errors fell more slowly than expected since the mesh `before`, the observed power is used.
        """
        xp = self.mesh.xp
        bad = self.error > most
        power = xp.where(bad, self._powers(before), xp.full_like(self.error, self.power))
        if float(xp.mean(xp.astype(bad, self.error.dtype))) > FEW:
            return self.equidistributed(power)
        parts = xp.where(bad, xp.ceil(xp.clip(self._parts(power), 2.0, DENSER)), 1.0)
        return self.mesh.split(xp.astype(parts, xp.int64)).with_breaks()

    def _parts(self, power: Array | float) -> Array:
        """Number of intervals, `(N,)`, that would have an error of `TARGET` in place of each."""
        return (self.error / TARGET) ** (1 / power)

    def _powers(self, before: Assessed | None) -> Array:
        """Powers `(N,)` of the length with which errors fall: the method's, or the observed ones if these are slow."""
        xp, t, direction = self.mesh.xp, self.mesh.t, self.mesh.direction
        usual = xp.full_like(self.error, self.power)
        if before is None:
            return usual
        old = before.mesh.t
        place = xp.searchsorted(direction * old, direction * (t[1:] + t[:-1]) / 2) - 1
        place = xp.clip(place, 0, before.error.shape[0] - 1)
        with quiet():
            shorter = xp.take(old[1:] - old[:-1], place) / (t[1:] - t[:-1])
            seen = xp.log(xp.take(before.error, place) / self.error) / xp.log(shorter)
            slow = (shorter > SHORTER) & (seen < SLOW * self.power)
            return xp.where(slow, xp.astype(xp.clip(seen, 1.0, None), self.error.dtype), usual)

    def _smoothed(self, ratio: Array) -> Array:
        """The ratios, each raised to at least half of the larger one of its neighbours."""
        xp = self.mesh.xp
        if ratio.shape[0] < 2:
            return ratio
        ahead = xp.concat([ratio[1:], ratio[-1:]])
        behind = xp.concat([ratio[:1], ratio[:-1]])
        return xp.maximum(ratio, 0.5 * xp.maximum(ahead, behind))

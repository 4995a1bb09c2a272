"""What implicit solvers share: the function with its derivatives at each step, and the control of steps.

The control is that of Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition, Springer 1996,
section IV.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..linearised import Derived
from ..program import Program
from .driver import Fields
from .expressions import Array, Value
from .members import SAFETY, Form, Members
from .routine import Routine

SMALLEST = 1e-10
"""Errors below it are taken as this one by the control of steps."""

LIMIT = 2.5
"""Accepted errors below `LIMIT ** -power` are taken as this by the prediction of later ones."""

LINEARISED = "linearised"
"""Name of a routine."""


class Implicit(Members):
    """
    Writes a solver.

    Parameters
    ----------
    value : Program
        `(t, y, *parameters) -> f`.
    linearised : Derived
        The same function with its derivatives.
    form : Form
    rows : int
        Slopes that a step works with.
    constants : array
        The method's numbers.
    degree : int
        Coefficients of its polynomials.
    events : sequence of Program
        Functions whose zeros are looked for.
    switches : Program, optional
        What is compared, if the form has modes.
    """

    names: tuple[str, ...] = ("fun", LINEARISED)
    last, per_step, per_polynomial = 0, 1, 0

    def __init__(
        self, value: Program, linearised: Derived, form: Form, rows: int, constants: Any, degree: int,
        events: Sequence[Program] = (), switches: Program | None = None,
    ) -> None:  # fmt: skip
        self._linearised = linearised
        programs = [value, linearised.program, *[value] * len(self.names[2:])]
        super().__init__(programs, form, rows, constants, degree, events, switches)

    def extend(self, fields: Fields) -> list[Routine]:
        """Derivatives, and what the control of steps remembers."""
        fields.add("by time", self.dtype, self.chunks, self.width)
        fields.add("entries", self.dtype, max(self._linearised.rows.size, 1), self.lanes)
        for name in ("length before", "ease before"):
            fields.add(name, np.float64, 1, self.lanes)
        return []

    def elements(self, name: str) -> Array:
        """Numbers in memory, in each lane."""
        return self.fields.array(self.code, name, self.lanes, self.lanes)

    def linearise_first(self, t: Value) -> None:
        """Before the first step of a member: the derivatives."""
        code = self.code
        is_first = (self.lane("accepted")[0] + self.lane("rejected")[0]).equals(0)
        with code.if_(code.any(is_first)):
            self._linearise(t, self.rows("state"))
            self._count(is_first, "evaluations")

    def safety(self) -> Value | float:
        """Safety factor of the steps that follow this one."""
        return SAFETY

    def factor(self, error: Value, accepts: Value, h: Value) -> Value:
        """Ratio of the next step to this one: as errors of two accepted steps predict it (Gustafsson 1994)."""
        code, length, ease = self.code, self.lane("length before"), self.lane("ease before")
        found = code.pow(code.where(error < SMALLEST, SMALLEST, error), -1 / self.power)
        before, size = length[0], code.abs(h)
        predicted = code.minimum(found, found * found * size / (before * ease[0]))
        ratio = self.safety() * code.where(accepts & (self.lane("accepted")[0] > 0), predicted, found)
        length[0] = code.where(accepts, size, before)
        ease[0] = code.where(accepts, code.minimum(found, LIMIT), ease[0])
        return ratio

    def complete(self, accepts: Value, t: Value, h: Value) -> None:
        """The slope and the derivatives at the end; where a step was rejected, those at its begin again."""
        code, state, end, trial = self.code, self.rows("state"), self.rows("end"), self.rows("trial")
        if self.lanes == 1:
            self._linearise(t, end)
            return
        self.chunkwise(lambda row: trial.__setitem__(row, code.where(accepts, end[row], state[row])))
        self._linearise(code.where(accepts, t, self.lane("now")[0]), trial)

    def renew(self, some: Value) -> None:
        """The slope and the derivatives where a stretch begins; in other lanes, the same again."""
        self._linearise(self.lane("now")[0], self.rows("state"))

    def _linearise(self, t: Value, state: Array) -> None:
        self.evaluate(t, state, self.rows("slopes"), self.elements("entries"), self.rows("by time"), function=1)

"""When a solver of an explicit method takes a problem for stiff: stability has limited many of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .expressions import Value

if TYPE_CHECKING:
    from .members import Members

STIFF_STEPS, NOT_STIFF_STEPS = 15, 6
"""Number of steps limited by stability that mean stiffness; number of other steps in a row that reset the count."""


def seems_stiff(members: Members, limits: Value, accepts: Value) -> Value:
    """Count a step, if it is accepted and stability limits it; whether there have been enough of them."""
    code, stiff, others = members.code, members.lane("stiff"), members.lane("others")
    calm = code.where(accepts, code.where(limits, 0, others[0] + 1), others[0])
    count = stiff[0] + (limits & accepts).to(np.int64)
    others[0] = calm
    stiff[0] = code.where(calm >= NOT_STIFF_STEPS, 0, count)
    return stiff[0] >= STIFF_STEPS

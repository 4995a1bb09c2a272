"""The compiled solvers of a recorded right-hand side: made when they are first needed, and kept with the recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .recorded import Recorded

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Solver

METHODS = "DOP853", "Rodas5P"
"""In the order in which they are used: the explicit one, and the one that follows where stability limits its steps."""

EXPLICIT = 0
"""Number of the explicit method."""


def solver(recorded: Recorded, method: int, *, is_dense: bool, has_times: bool) -> Solver:
    """
    A solver.

    Parameters
    ----------
    recorded : Recorded
    method : int
        Number of the method.
    is_dense : bool
        Whether it gives polynomials of its steps.
    has_times : bool
        Whether it gives values at times.

    Raises
    ------
    NoCodeError
        If there is no machine code for it.
    """
    key = METHODS[method], is_dense, has_times
    found: Solver | None = recorded.notes.get(key)
    if found is None:
        found = recorded.notes[key] = _made(recorded, method, is_dense, has_times)
    return found


def _made(recorded: Recorded, method: int, is_dense: bool, has_times: bool) -> Solver:

    from ..._recorded.native.explicit import explicit  # noqa: PLC0415

"""The compiled solvers of a recorded right-hand side: made when they are first needed, and kept with the recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._recorded.budget import NoCodeError
from .recorded import Recorded

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Solver
    from ..._recorded.native.members import Form

METHODS = "DOP853", "Rodas5P", "Radau13"
"""The explicit one, and stiff ones that follow where stability limits its steps; Radau13 is Radau IIA of order 13."""

EXPLICIT, ROSENBROCK, RADAU = range(3)
"""Numbers of the methods."""

TIGHT = 5e-6
"""Relative tolerance below which Radau13 is faster than Rodas5P, by longer steps."""


def stiff_method(rtol: float) -> int:
    """Number of the method for stiff problems with a relative tolerance."""
    return RADAU if rtol < TIGHT else ROSENBROCK


def solver(recorded: Recorded, method: int, *, is_dense: bool, has_times: bool, has_stretches: bool) -> Solver:
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
    has_stretches : bool
        Whether it takes stretches, at whose ends steps end.

    Raises
    ------
    NoCodeError
        If there is no machine code for it.
    """
    key = METHODS[method], is_dense, has_times, has_stretches
    found: Solver | None = recorded.notes.get(key)
    if found is None:
        found = recorded.notes[key] = _made(recorded, *key[1:], method)
    return found


def _made(recorded: Recorded, is_dense: bool, has_times: bool, has_stretches: bool, method: int) -> Solver:
    from ..._recorded.native.members import DENSE, STATES, Form  # noqa: PLC0415 - slow to import
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

    shared, log = (True,) * len(recorded.parameters), DENSE if is_dense else STATES
    form = Form(
        shared=shared, log=log, has_times=has_times, checks_polynomials=is_dense or has_times, compares=True,
        has_stretches=has_stretches,
    )  # fmt: skip
    try:
        return MAKERS[method](recorded, form)
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error


def _explicit(recorded: Recorded, form: Form) -> Solver:
    from ..._recorded.native.explicit import explicit  # noqa: PLC0415 - slow to import

    return explicit(recorded.value, form)


def _stiff(recorded: Recorded, form: Form) -> Solver:
    from ..._recorded.native.rosenbrock import rosenbrock  # noqa: PLC0415 - slow to import

    return rosenbrock(recorded.value, recorded.linearised, form)


def _tight(recorded: Recorded, form: Form) -> Solver:
    from ..._recorded.native.radau import radau  # noqa: PLC0415 - slow to import

    return radau(recorded.value, recorded.linearised, form)


MAKERS = _explicit, _stiff, _tight
"""Functions that make the solvers."""

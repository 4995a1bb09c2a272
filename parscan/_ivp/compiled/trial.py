"""Trials of the stiff method where explicit steps are short beside a decay, but stability does not limit them."""

from __future__ import annotations

from ..._arrays.namespace import all_finite, array_namespace
from ..._recorded.budget import NoCodeError, UnpaidError
from .march import Course, March
from .parts import wide
from .recorded import Recorded
from .solvers import solver

MANY = 1000
"""Explicit steps from which on a trial is worth its time: it compiles the stiff method."""

FAST = 0.5
"""Product of a step and the rate of the fastest decay from which on that may be what makes steps short."""

STATES = 9
"""States at which rates are computed."""

LARGEST = 100
"""Most components of a state for which they are."""

GAIN = 0.7
"""Share of the time of the explicit method that the stiff one may take."""


def prefers_stiff(march: March, course: Course, share: float) -> bool:
    """
    Whether the stiff method is much faster than an explicit march was, with the same share of the tolerances.

    The test for stiffness of the explicit method asks whether stability limits its steps. With tight tolerances, it may
    be accuracy: a forced fast decay reduces the order of explicit methods as well (Prothero and Robinson, "On the
    stability and accuracy of one-step methods for solving stiff systems of ordinary differential equations",
    Mathematics of Computation 28 (1974)). Whether implicit steps are better then only their number can tell. Where the
    stiff method was taken later, it may be so from the begin on.
    """
    if len(course.used) == 1 and (course.path.steps < MANY or not _decays(march.recorded, course)):
        return False
    steps = course.path.steps + course.rejected
    other = March(march.problem, march.recorded, march.output, march.first_step, None, most=steps)
    other.method = march.stiff
    try:
        solver(march.recorded, other.method, **march.asked)
        found = other.run(share, course.stop, is_read=False)  # compiled before: its time is that of steps
    except (NoCodeError, UnpaidError):
        return False
    other.end()
    return not found.failed and found.seconds < GAIN * course.seconds


def _decays(recorded: Recorded, course: Course) -> bool:
    """Whether most steps are not short beside the fastest decay there."""
    t, y = course.path.t, course.path.y
    steps, xp = t.shape[0] - 1, array_namespace(t)
    if y.shape[-1] > LARGEST:
        return False
    rows = xp.arange(STATES) * (steps - 1) // (STATES - 1)
    try:
        matrices = recorded.jacobians(xp.take(t, rows), wide(xp.take(y, rows, axis=0)))
    except NoCodeError:
        return False
    if not all_finite(matrices):
        return False
    rates = -xp.min(xp.real(xp.linalg.eigvals(matrices)), axis=-1)
    lengths = xp.abs(xp.take(t, rows + 1) - xp.take(t, rows))
    return 2 * int(xp.sum(rates * lengths > FAST)) > STATES

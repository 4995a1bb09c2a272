"""Whether steps jump to and fro across a switch that the state triggers, without an end in sight."""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import array_namespace
from ..._engine.termination import Failure, Termination
from ..core.pace import OF_JUMPS
from .recorded import Recorded

if TYPE_CHECKING:
    from ..._recorded.program import Program

CHATTERS = "CHATTERS"
"""Name of the status of a march that was given up."""

LAST, SHARE = 256, 1 / 8
"""Steps, the last ones, that are looked at; share of them that cross a switch where a solution stays on it."""

ROW = 32
"""Steps in a row whose share that crosses switches is looked at in a march that ended."""

WORK, FIXED = 1e9, 20
"""Operations of the rest of a march, at the pace of the last steps, from which on it is given up, one second or so;
operations of a step for each evaluation, besides those of the function."""

DEAR = 3
"""Factor of the operations of implicit methods."""


class Chatter:
    """
    Judges marches of a recorded function towards the end of a span.

    Where the slopes on both sides of a switch lead back to it, the solution stays on the switch. Steps then cross it
    again and again, and their length is the tolerance divided by the slope. A solution that passes switches takes ten
    steps or more from one to the next.
    """

    def __init__(self, recorded: Recorded, end: float) -> None:
        self._recorded, self._end = recorded, end

    @property
    def _switches(self) -> Program | None:
        notes = self._recorded.notes
        if "state switches" not in notes:
            from ..._recorded.state_switches import state_switches  # noqa: PLC0415 - slow to import

            notes["state switches"] = state_switches(self._recorded.value)
        found: Program | None = notes["state switches"]
        return found

    def _flips(self, switches: Program, t: Any, states: Any, slopes: Any) -> Any:
        """Whether each step, between times and states with slopes there, crossed a switch."""
        from ..._recorded.state_switches import flips  # noqa: PLC0415 - slow to import

        return flips(switches, self._recorded.parameters, t, states, slopes)

    def crossing(self, t: Any, states: Any, slopes: Any) -> float:
        """Largest share of steps in a row, between the times and states of a march, that crossed switches."""
        switches = self._switches
        if switches is None or t.shape[0] < 2:
            return 0.0
        xp, flips = array_namespace(t), self._flips(switches, t, states, slopes)
        crossed = xp.concat([xp.zeros(1, dtype=xp.int64), xp.cumulative_sum(xp.astype(flips, xp.int64))])
        row = min(ROW, flips.shape[0])
        return float(xp.max(crossed[row:] - crossed[:-row])) / row

    def sees(self, t: Any, states: Any, slopes: Any, evaluations: int) -> Failure | None:
        """Why to give up after steps to times and states that took so many evaluations; None if one should not."""
        count, switches = t.shape[0], self._switches
        if count < LAST or switches is None:
            return None
        passed, last = abs(float(t[-1] - t[0])), abs(float(t[-1] - t[-LAST]))
        rest = abs(self._end - float(t[-1])) if isfinite(self._end) else passed
        needed = evaluations * (rest / passed) if passed else inf
        if needed * (FIXED + self._recorded.value.operations) < WORK:
            return None
        crossings = int(self._flips(switches, t[-LAST:], states[-LAST:, ...], slopes[-LAST:, ...]).sum())
        if crossings < SHARE * LAST:
            return None
        words = (
            f"`fun` jumps to and fro: the last {LAST} steps were of {last / LAST:.2g} each, {last / rest:.2g} of the "
            f"remaining span, and {crossings} of them crossed a switch that the state triggers; {OF_JUMPS}"
        )
        return Failure(Termination.STUCK, words)

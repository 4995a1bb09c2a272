"""What tests of recurrences find, whatever ran before and however busy the machine is: compiler, choices and costs."""

from itertools import count
from types import SimpleNamespace

import pytest

import parscan._recorded.native.compilation  # noqa: F401 - the compiler is loaded
from parscan._engine import system
from parscan._recorded.budget import RECORDING, Ledger, Measurements
from parscan._recurrence import brief, choose, code, compiled_segments, cost, precedent

CALL, STATE, BY_CODE = 1e-5, 2e-8, 1e-8
"""Seconds of a call of the step, what each stacked state adds, and those of a step by machine code."""

KNOWN = {"LEDGER": (code, Ledger), "PACES": (code, Measurements), "MEASURED": (compiled_segments, Measurements)}
"""Where it is kept what loops took, and what was measured."""


@pytest.fixture(autouse=True)
def no_relatives(monkeypatch):
    """Nothing is known of functions that differ in numbers only."""
    monkeypatch.setattr(precedent, "_relatives", type(precedent._relatives)())


@pytest.fixture(autouse=True)
def steady_costs(request, monkeypatch):
    """
    `auto` compares given costs where it would measure them, and no iteration is too late: choices do not depend on the
    machine, on what else it does, nor on what other tests measured.

    Tests of costs and of late iterations ask for `clock`, whose time passes in the calls of their step.
    """

    def run(march, count):
        march(count)
        return BY_CODE * count

    monkeypatch.setattr(code, "_seconds", run)
    for name, (module, make) in KNOWN.items():
        monkeypatch.setattr(module, name, make())
    if "clock" not in request.fixturenames:
        in_time = system.corrected
        monkeypatch.setattr(system, "corrected", lambda *given: in_time(*given[:-1], seconds=0.0))
        monkeypatch.setattr(cost.Stopwatch, "_seconds", lambda self, count: CALL + STATE * count)
        for one in (brief, choose):
            monkeypatch.setattr(one, "time", looked_at(choose.FIRST_STEPS / 2 * CALL))  # each half
        monkeypatch.setattr(code, "time", looked_at(RECORDING))


def looked_at(seconds):
    """A clock that advances whenever it is looked at: what it measures takes so many seconds."""
    looks = count()
    return SimpleNamespace(perf_counter=lambda: seconds * next(looks))

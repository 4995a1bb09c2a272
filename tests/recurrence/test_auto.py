"""The table of auto's decisions, and what it costs against the best that could have been chosen."""

import numpy as np
import pytest
from problems import PROBLEMS, loop

from parscan import solve_recurrence
from parscan._recurrence import choose as _choose
from parscan._recurrence import solve as _solve
from parscan._recurrence.cost import LENGTHS, Cost, sweeps
from parscan._recurrence.decide import DECISIONS, FEW_STEPS, SHORT, Budget, Workload, decide


class Watch:
    """Costs as given instead of measured."""

    def __init__(self, looped=1e-5, call=1e-5, state=2e-8, factor=1.0):
        self.cost, self.looped = Cost(looped, call, state), looped
        self.factor = factor
        self.steps = 0

    def sweeps(self, length):
        return self.factor * sweeps(self.cost, self.steps, length)


class Compiler:
    """In place of the one that compiles, of the code, and of the code for segments."""

    def __init__(self, seconds, program="recorded"):
        self.seconds, self.program = seconds, program

    def length(self, steps):
        return 100

    def code(self, seconds):
        return self


def facts(steps=100_000, copies=4, length=None, loaded=True, spent=0.0, compiled=None, swept=False, recorded=True,
          derived=False, **costs):  # fmt: skip
    watch = Watch(**costs)
    watch.steps = steps
    compiler = None if compiled is None else Compiler(compiled, "recorded" if recorded else None)
    budget = Budget(spent=spent)
    options = {"scans_are_loaded": loaded, "budget": budget, "compiler": compiler}
    options["try_segments"] = lambda code, steps: code if swept else None
    options["try_tangents"] = lambda code, steps: code if derived else None
    return Workload(steps, copies, watch, length, **options)


CASES = [
    ("few steps", facts(steps=FEW_STEPS - 1), ()),
    ("little time", facts(steps=100), ()),
    ("too few steps for sweeps", facts(steps=SHORT - 1, looped=1e-3), ()),
    ("few steps, but segments were chosen by the user", facts(steps=100, call=0, state=1e-5, length=20), ("jacobi",)),
    ("machine code is fast", facts(compiled=1e-8), ()),
    ("machine code of Numba is fast", facts(compiled=1e-8, recorded=False), ()),
    ("machine code is fast on segments", facts(compiled=1e-8, swept=True), ("jacobi",)),
    ("machine code is fast on segments with derivatives", facts(compiled=1e-8, derived=True), ("newton",)),
    ("machine code takes longer than sweeps", facts(compiled=1e-5), ("jacobi", "newton")),
    ("stacking saves nothing", facts(call=0, state=1e-5), ()),
    ("stacking saves little, as a second measurement shows", facts(state=2e-6, factor=3.0), ()),
    ("segments were chosen by the user", facts(call=0, state=1e-5, length=20), ("jacobi",)),
    ("scans would have to be loaded", facts(steps=20_000, loaded=False), ("jacobi",)),
    ("scans would have to be loaded for a long solve", facts(steps=2_000_000, loaded=False), ("jacobi", "newton")),
    ("loops have taken as long as loading", facts(steps=20_000, loaded=False, spent=0.9), ("jacobi", "newton")),
    ("many components", facts(copies=101), ("jacobi",)),
    ("the rest", facts(), ("jacobi", "newton")),
]


@pytest.mark.parametrize(("known", "methods"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_decisions(known, methods):
    assert decide(known).methods == methods


def test_every_decision_is_taken_somewhere():
    assert {decide(known).because for _, known, _ in CASES} == {decision.because for decision in DECISIONS}


def test_nothing_is_measured_for_few_steps():
    class NoWatch:
        @property
        def cost(self):
            raise AssertionError("measured")

    assert decide(Workload(10, 2, NoWatch(), None, scans_are_loaded=True, budget=Budget())).methods == ()


def test_newton_begins_where_its_iterations_repay():
    """Four iterations over so many steps take half of the loop's time."""
    known = facts(looped=1e-5, call=1e-5, state=1e-7, copies=4, length=20)
    segments = known.newton_steps / 20
    assert 4 * known.cost.stacked(20, segments * 20 * 4) == pytest.approx(0.5 * 1e-5 * segments * 20)


CONTRACTIVE = ("gru1", "gru4", "leaky tanh", "blocks", "stable affine")


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2000, 50_000])
@pytest.mark.parametrize("name", CONTRACTIVE)
def test_auto_costs_little_more_than_the_best_choice(name, steps, rng, clock):
    """In the time that steps take on a machine of 10 µs per call and 20 ns per state; measuring is part of it."""
    step, _ = PROBLEMS[name].make(rng, np.float64)
    y0, x = PROBLEMS[name].inputs(rng, steps)

    def cost(**options):
        begin = clock.now
        assert solve_recurrence(clock.timed(step), y0, x, **options).success
        return clock.now - begin

    lengths = [length for length in LENGTHS if 20 <= length <= min(steps // 4, 1000)]
    best = min(cost(method="jacobi", segment_length=length) for length in lengths)
    assert cost() <= 1.3 * best + 30 * clock.call


@pytest.mark.parametrize("name", CONTRACTIVE)
def test_auto_is_right_where_it_is_fast(name, rng, clock):
    step, _ = PROBLEMS[name].make(rng, np.float64)
    y0, x = PROBLEMS[name].inputs(rng, 5000)
    sol = solve_recurrence(clock.timed(step), y0, x)
    assert clock.now <= 0.2 * 5000 * (clock.call + clock.state)
    assert np.abs(sol.y - loop(step, y0, x)).max() <= 1e-12


def test_loops_for_want_of_the_scans_are_kept_account_of(monkeypatch):
    """The scans are loaded by the call with which all loops together would take longer than that."""
    budget = Budget(limit=1e9)
    monkeypatch.setattr(_choose, "is_loaded", lambda y0: False)
    monkeypatch.setattr(_solve, "BUDGET", budget)
    x = np.random.default_rng(0).normal(size=(20_000, 2))

    def leak(y, x):
        return 0.9999 * y + x

    first = solve_recurrence(leak, np.zeros(2), x, compile=False)
    assert first.method == "jacobi, sequential"
    assert "would take longer to load" in first.message
    spent = budget.spent
    assert spent > 0
    assert solve_recurrence(leak, np.zeros(2), x, compile=False).method == "jacobi, sequential"
    assert budget.spent > spent
    budget.limit = budget.spent
    assert "newton" in solve_recurrence(leak, np.zeros(2), x, compile=False).method
    assert solve_recurrence(lambda y, x: 0.1 * y + x, np.zeros(2), x, compile=False).method == "jacobi"

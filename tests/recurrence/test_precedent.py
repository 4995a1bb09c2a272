"""Choices of `auto` that are kept with a recording: later solves take them over, and are checked as ever."""

import numpy as np
import pytest
from problems import loop

from parscan import solve_recurrence
from parscan._recorded.native import loop as _loop
from parscan._recurrence import compiled_segments as _compiled
from parscan._recurrence import precedent as _precedent
from parscan._recurrence import repeat as _repeat
from parscan._recurrence.precedent import ANEW, is_power

T = 20_000
RNG = np.random.default_rng(3)
X = RNG.standard_normal((T, 2))


@pytest.fixture(autouse=True)
def bought(monkeypatch):
    """Compiling costs nothing, and segments are taken however short the loop is."""
    monkeypatch.setattr(_compiled, "WORTH_SWEEPING", 0.0)
    monkeypatch.setattr(_compiled, "GAINS", np.inf)
    monkeypatch.setattr(_compiled, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(_compiled.LANES, "pays", lambda program, seconds: True)


def forgetful(rate):
    """A step that forgets; each call gives a function of its own, which is recorded once."""
    return lambda y, x: np.tanh(rate * y + x)


def chaotic(y, x):
    return 3.9 * y * (1 - y) + 0 * x


@pytest.fixture
def chosen(monkeypatch):
    """Numbers of solves whose choices were taken over, and of all."""
    counts = [0, 0]
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)  # on one core sweeps may not pay
    real = _precedent.recalled

    def counted(task):
        found = real(task)
        counts[0] += found is not None
        counts[1] += 1
        return found

    def again(*arguments):
        found = _repeat.repeated(*arguments)
        counts[0] += found is not None
        counts[1] += found is not None
        return found

    monkeypatch.setattr("parscan._recurrence.choose.recalled", counted)
    monkeypatch.setattr("parscan._recurrence.solve.repeated", again)
    return counts


@pytest.mark.parametrize(("step", "y0"), [(forgetful(0.4103), np.zeros(2)), (chaotic, np.full(2, 0.3))])
def test_a_choice_is_taken_over(step, y0, chosen):
    first, second, third = (solve_recurrence(step, y0, X, compile=True) for _ in range(3))
    assert chosen[0] == 2
    assert first.method == second.method == ("sequential" if step is chaotic else "jacobi")
    assert (first.decisions, first.message, first.looped) == (second.decisions, second.message, second.looped)
    assert first.segment_length == second.segment_length
    assert second.success
    assert second.compiled
    assert second.nfev < 4 < first.nfev
    np.testing.assert_array_equal(second.y, third.y)
    np.testing.assert_allclose(first.y[: 1000 if step is chaotic else None][:40], second.y[:40], rtol=1e-9)
    after = step(second.y[:-1], X[1:])
    np.testing.assert_allclose(second.y[1:], after, rtol=1e-10, atol=1e-11)


def test_a_choice_serves_similar_numbers_of_steps_and_other_inputs(chosen):
    step = forgetful(0.4203)
    for count in (T, T - 1000, T // 4, T // 4 + 10, 100):
        x = RNG.standard_normal((count, 2))
        sol = solve_recurrence(step, np.zeros(2), x, compile=True)
        np.testing.assert_allclose(sol.y, loop(step, np.zeros(2), x), rtol=1e-11, atol=1e-12)
    assert chosen == [2, 5]  # the choice for 20,000 steps is none for a hundred


def test_what_the_step_reads_is_read_again(chosen):
    rates = [0.4, 0.1]

    def step(y, x):
        return np.tanh(rates[0] * y + x) + rates[1]

    for value in (0.4, 0.4, 0.3, 0.3):
        rates[0] = value
        sol = solve_recurrence(step, np.zeros(2), X, compile=True)
        np.testing.assert_allclose(sol.y, loop(step, np.zeros(2), X), rtol=1e-11, atol=1e-12)
    assert chosen == [2, 4]


@pytest.mark.parametrize(
    "options", [{"compile": False}, {"method": "sequential"}, {"segment_length": 100}, {"jac": lambda y, x: 0 * y},
                {"guess": np.zeros((T, 2))}, {"window": 5000}]
)  # fmt: skip
def test_other_options_are_decided_by_themselves(options, chosen):
    step = forgetful(0.4303)
    solve_recurrence(step, np.zeros(2), X, compile=True)
    taken = chosen[0]
    if "jac" in options:
        options = {"jac": lambda y, x: (0.4303 * (1 - step(y, x) ** 2))[..., None] * np.eye(2)}
    sol = solve_recurrence(step, np.zeros(2), X, **{"compile": True, **options})
    assert chosen[0] == taken
    np.testing.assert_allclose(sol.y, loop(step, np.zeros(2), X), rtol=1e-9, atol=1e-10)


def test_sweeps_that_failed_are_not_tried_at_the_next_solve(chosen):
    def step(y, x):
        return 0.05 + 3.6 * x * y * (1 - y)

    start = np.full(2, 0.3)
    quiet, loud = np.full((T, 2), 0.1), np.full((T, 2), 1.05)
    assert [solve_recurrence(step, start, quiet, compile=True).method for _ in range(2)] == ["jacobi"] * 2
    sol = solve_recurrence(step, start, loud, compile=True)
    assert sol.success
    assert sol.looped > 0
    np.testing.assert_array_equal(sol.y[1:], step(sol.y[:-1], loud[1:]))
    assert chosen == [2, 3]
    again = solve_recurrence(step, start, loud, compile=True)
    assert again.method == "sequential"
    assert again.decisions == ("auto: the loop, for the recorded step runs as machine code.",)
    np.testing.assert_array_equal(again.y, sol.y)
    assert chosen == [3, 4]


def logistic(y, x):
    return 0.05 + 3.6 * x * y * (1 - y)


QUIET, LOUD = np.full((T, 2), 0.1), np.full((T, 2), 1.05)
"""Inputs with which `logistic` forgets its start, and others with which it is chaotic."""


def test_a_loop_is_not_kept_for_inputs_with_which_the_recurrence_forgets(chosen):
    step = lambda y, x: logistic(y, x)  # noqa: E731, PLW0108 - recorded by itself
    start = np.full(2, 0.3)
    given = [LOUD, LOUD, QUIET, QUIET, LOUD, QUIET]
    found = [solve_recurrence(step, start, x, compile=True) for x in given]
    methods = ["sequential", "sequential", "jacobi", "jacobi", "jacobi, sequential", "sequential"]
    assert [sol.method for sol in found] == methods  # the last one, because sweeps have failed
    assert chosen == [4, 6]
    for sol, x in zip(found, given, strict=True):
        np.testing.assert_allclose(sol.y[1:], step(sol.y[:-1], x[1:]), rtol=1e-9)


def test_other_inputs_are_tried_seldom(monkeypatch, chosen):
    tried = []
    real = _precedent.may_be_faster
    monkeypatch.setattr(_precedent, "may_be_faster", lambda *given: tried.append(1) or real(*given))
    step = lambda y, x: logistic(y, x[0]) + 0 * x[1]  # noqa: E731
    start, also, counts = np.full(2, 0.3), np.ones((T, 1)), []
    for shift in (0, 0, 1, 1, 2, 3, 3, 3, 3):  # the choice of the eighth solve is made anew
        solve_recurrence(step, start, (LOUD + 0.001 * shift, also), compile=True)
        counts.append(len(tried))
    assert counts == [0, 0, 1, 1, 2, 2, 3, 3, 3]
    solve_recurrence(step, start + 0.01, (LOUD + 0.003, also), compile=True)
    assert len(tried) == 4


@pytest.mark.parametrize("first", [2, 9000])
def test_code_that_fails_later_is_withdrawn(monkeypatch, chosen, first):
    def step(y, x):
        return 3.9 * y * (1 - y) + 1e-3 * np.cos(x) * y

    monkeypatch.setattr(_loop.Loop, "again", lambda *_: None)  # `run`, which is replaced below, serves repeats, too
    start = np.full(2, 0.3)
    for _ in range(2):
        assert solve_recurrence(step, start, X, compile=True).compiled
    run = _loop.Loop.run

    def wrong(self, state, inputs, out, begin, end, report=None):
        run(self, state, inputs, out, begin, end, report)
        out[max(begin, first) : max(end, first), ..., 1] *= 1 + 1e-6

    monkeypatch.setattr(_loop.Loop, "run", wrong)
    sol = solve_recurrence(step, start, X, compile=True)
    assert chosen == [2, 3]
    assert "computed again without it" in sol.decisions[0]
    assert not sol.compiled
    np.testing.assert_array_equal(sol.y, loop(step, start, X))


def test_first_steps_by_code_that_is_withdrawn_are_computed_again(monkeypatch, chosen):
    step, start = forgetful(0.44), np.zeros(2)
    for _ in range(2):
        assert solve_recurrence(step, start, X, compile=True).method == "jacobi"
    run = _loop.Loop.run

    def wrong(self, state, inputs, out, begin, end, report=None):
        run(self, state, inputs, out, begin, end, report)
        out[begin:end, ..., 1] *= 1 + 1e-6

    monkeypatch.setattr(_loop.Loop, "run", wrong)
    monkeypatch.setattr("parscan._recurrence.derivatives.solution.confirms", lambda *_: False)
    monkeypatch.setattr("parscan._recurrence.code.Code.is_contradicted", lambda *_: True)
    sol = solve_recurrence(step, start, X, compile=True)
    assert "computed again without it" in sol.decisions[0]
    np.testing.assert_array_equal(sol.y, loop(step, start, X))


@pytest.mark.parametrize("start", [1e200, 1e70, 1e20])
def test_a_trajectory_that_ends_early_ends_as_ever(chosen, start):
    def step(y, x):
        return 3.9 * y * (1 - y) + 0 * x

    for _ in range(2):
        assert solve_recurrence(step, np.full(2, 0.3), X, compile=True).compiled
    sol, expected = (solve_recurrence(step, np.array([0.3, start]), X, compile=way) for way in (True, False))
    assert chosen[0] == 2
    assert not sol.success
    assert sol.message.partition(".")[0] == expected.message.partition(".")[0]
    np.testing.assert_array_equal(sol.y, expected.y)


def test_first_steps_that_are_not_finite_are_left_to_the_function(chosen):
    def step(y, x):
        return 0.5 * y**2 + 0.1 * x

    solve_recurrence(step, np.zeros(2), np.tanh(X), compile=True)
    sol = solve_recurrence(step, np.full(2, 1e100), np.tanh(X), compile=True)
    assert chosen[0] == 1
    assert not sol.success
    assert np.isfinite(sol.y[0]).all()
    assert np.isnan(sol.y[3:]).all()


def test_integers_are_checked_at_every_solve(chosen):
    def step(y, x):
        return (2 * y + x) % 1001

    x = RNG.integers(0, 9, (T, 2))
    for _ in range(3):
        solve_recurrence(step, np.zeros(2, int), x, compile=True)
    assert chosen == [0, 0]


def forgetful_of_own_kind(rate):
    """Operations of no other test: no code for segments of them is compiled yet."""
    return lambda y, x: np.sin(np.cos(rate * y) - 2.0 * x) * rate


@pytest.mark.parametrize("are_many", [False, True], ids=["one step", "other numbers"])
def test_the_loop_serves_until_segments_are_bought(are_many, monkeypatch, chosen):
    paid = []
    monkeypatch.setattr(_compiled.LANES, "pays", lambda program, seconds: paid.append(seconds) or len(paid) >= 5)
    steps = [forgetful_of_own_kind(0.4 + 0.001 * k) for k in range(9)] if are_many else [forgetful(0.4375)] * 9
    found = [solve_recurrence(step, np.zeros(2), X, compile=True) for step in steps[:4]]
    assert [sol.method for sol in found] == ["sequential"] * 4
    assert chosen == [3, 4]
    assert len(paid) == 4  # once by each solve
    assert min(paid) > 0
    assert [sol.nfev < 4 for sol in found] == [False, True, True, True]
    methods = [solve_recurrence(step, np.zeros(2), X, compile=True).method for step in steps[4:]]
    assert "jacobi" in methods[:2]
    assert methods[-1] == "jacobi"


def test_other_inputs_are_not_tried_before_segments_are_bought(monkeypatch, chosen):
    monkeypatch.setattr(_compiled.LANES, "pays", lambda program, seconds: False)
    monkeypatch.setattr(_precedent, "may_be_faster", lambda *_: pytest.fail("tried"))
    step = forgetful(0.4376)
    for k in range(6):
        assert solve_recurrence(step, np.zeros(2), X + k, compile=True).method == "sequential"
    assert chosen == [5, 6]


def test_choices_are_made_anew_now_and_then(chosen):
    step, found = forgetful(0.4403), []
    for _ in range(ANEW**2):
        before = chosen[0]
        solve_recurrence(step, np.zeros(2), X[:2000], compile=True)
        found.append(chosen[0] == before)
    assert [number for number, anew in enumerate(found, 1) if anew] == [1, ANEW, ANEW**2]
    assert [number for number in range(2, 600) if is_power(number)] == [8, 64, 512]


def test_choices_for_few_steps_are_not_made_anew(chosen):
    """They took as long as twenty solves: see `SHORT`."""
    step = forgetful(0.4404)
    for k in range(ANEW**2 + 2):
        assert solve_recurrence(step, np.zeros(2), X[k : k + 100], compile=True).compiled
    assert chosen[0] == ANEW**2 + 1  # of all solves but the first

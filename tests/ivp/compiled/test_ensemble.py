"""Batches by machine code of one member, against solves of the members and the usual methods."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipys

from parscan import solve_ivp
from parscan._ivp.compiled import account, all_members, ensemble, members, solvers
from parscan._ivp.compiled.accuracy import ANEW
from parscan._recorded import memo
from parscan._recorded.native import ready_members

RATES = np.linspace(0.5, 2.0, 6)


def lotka_volterra(t, y, rates=RATES):
    a, b = y
    return np.stack([rates * a - a * b, -3.0 * b + a * b + 0.1 * np.sin(t)])


def start(*batch):
    return np.stack([np.linspace(2.0, 4.0, np.prod(batch)).reshape(batch), np.ones(batch)])


def solve(fun, span, y0, times=None, rtol=1e-7, atol=1e-9, **options):
    return solve_ivp(fun, span, y0, t_eval=times, rtol=rtol, atol=atol, compile=True, **options)


def exact(k, span, y0, t_eval):
    return scipys(lotka_volterra, span, y0, "DOP853", t_eval, rtol=1e-12, atol=1e-13, args=(RATES[k],)).y


@pytest.mark.parametrize("span", [(0.0, 8.0), (3.0, 1.0)])
def test_members_are_solved_within_the_tolerance(span):
    times, y0 = np.linspace(*span, 13), start(6)
    sol = solve(lotka_volterra, span, y0, times=times)
    assert sol.success
    assert sol.compiled
    assert sol.y.shape == (2, 13, 6)
    np.testing.assert_array_equal(sol.t, times)
    assert "machine code of `fun` for one member" in sol.message
    for k in range(6):
        expected = exact(k, span, y0[:, k], times)
        np.testing.assert_allclose(sol.y[..., k], expected, rtol=1e-5, atol=1e-6)
        apart = np.abs(sol.y[:, -1, k] - expected[:, -1])
        assert (apart <= 10 * (1e-9 + 1e-7 * np.abs(expected[:, -1]))).all()
    assert 0 < sol.error_estimate <= 1


def test_times_of_a_member_without_others():
    sol = solve(lotka_volterra, (0.0, 5.0), start(6))
    assert sol.t[0] == 0.0
    assert sol.t[-1] == 5.0
    assert len(sol.t) > 10
    for k in (0, 5):
        np.testing.assert_allclose(sol.y[..., k], exact(k, (0.0, 5.0), start(6)[:, k], sol.t), rtol=1e-5, atol=1e-6)
    only = solve(lotka_volterra, (0.0, 5.0), start(6), times=[5.0])
    np.testing.assert_allclose(only.y[:, -1], sol.y[:, -1], rtol=1e-7)  # no polynomials limit its steps
    assert only.mesh.tolist() == [0.0, 5.0]
    none = solve(lotka_volterra, (0.0, 5.0), start(6), times=[])
    assert none.compiled
    assert none.y.shape == (2, 0, 6)


def test_two_axes_and_args():
    rates = np.linspace(0.5, 2.0, 12).reshape(4, 3)
    sol = solve(lotka_volterra, (0.0, 4.0), start(4, 3), times=[0.0, 4.0], args=(rates,))
    usual = solve_ivp(lotka_volterra, (0.0, 4.0), start(4, 3), t_eval=[0.0, 4.0], args=(rates,), rtol=1e-10, atol=1e-12)
    assert sol.y.shape == (2, 2, 4, 3)
    np.testing.assert_array_equal(sol.y[:, 0], start(4, 3))
    np.testing.assert_allclose(sol.y, usual.y, rtol=2e-6, atol=1e-7)


def test_members_that_need_tighter_tolerances():
    """Errors grow in some members only: these are solved again."""
    growth = np.array([-1.0, 0.0, 3.0])
    sol = solve(lambda t, y: growth * (y - np.sin(t)) + np.cos(t), (0.0, 6.0), np.zeros((1, 3)), times=[6.0])
    apart = np.abs(sol.y[0, 0] - np.sin(6.0))
    assert (apart <= 10 * (1e-9 + 1e-7)).all()


def test_single_precision_and_progress():
    shares = []
    sol = solve(
        lotka_volterra, (0.0, 3.0), start(6).astype(np.float32), times=[3.0], rtol=1e-4, atol=1e-5,
        progress=lambda progress: shares.append(progress.done),
    )  # fmt: skip
    assert sol.y.dtype == np.float32
    for k in (0, 5):
        np.testing.assert_allclose(sol.y[:, 0, k], exact(k, (0.0, 3.0), start(6)[:, k], [3.0])[:, 0], rtol=1e-3)
    assert shares
    assert max(shares) == pytest.approx(3.0)


def test_derivatives():
    sol = solve(lotka_volterra, (0.0, 2.0), start(6), times=[1.0, 2.0])
    usual = solve_ivp(lotka_volterra, (0.0, 2.0), start(6), t_eval=[1.0, 2.0], rtol=1e-9, atol=1e-11)
    change = np.stack([np.ones(6), np.zeros(6)])
    np.testing.assert_allclose(sol.tangent(y0=change), usual.tangent(y0=change), rtol=1e-5, atol=1e-6)


def test_results_are_guesses_and_pickled():
    sol = solve(lotka_volterra, (0.0, 2.0), start(6), times=[1.0, 2.0])
    again = solve_ivp(lotka_volterra, (0.0, 2.0), start(6), t_eval=[1.0, 2.0], guess=sol, rtol=1e-8, atol=1e-10)
    assert again.success
    np.testing.assert_allclose(again.y, sol.y, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(sol)).y, sol.y)


def forced(rate, t):
    """The solution of y' = -rate (y - cos t), y(0) = 2."""
    slow = rate * (rate * np.cos(t) + np.sin(t)) / (rate**2 + 1)
    return slow + (2 - rate**2 / (rate**2 + 1)) * np.exp(-rate * t)


def test_stiff_members_go_on_with_an_implicit_method(monkeypatch):
    monkeypatch.setattr(solvers, "SERIES_AT", 0.0)  # single solves by the same methods
    rates = np.geomspace(1.0, 1e6, 13)
    times = np.linspace(0.0, 3.0, 50)
    fun = lambda t, y: -rates * (y - np.cos(t))  # noqa: E731
    sol = solve(fun, (0.0, 3.0), np.full((1, 13), 2.0), times, rtol=1e-5, atol=1e-6)
    assert sol.success
    assert sol.compiled
    assert sol.method == "Rodas5P"
    assert "Rodas5P for" in sol.message
    assert sol.nfev < 100_000
    exact = forced(rates[:, None], times)
    np.testing.assert_allclose(sol.y[0, -1], exact[:, -1], atol=1e-4)
    for k, rate in enumerate(rates):
        one = solve(lambda t, y, rate=rate: -rate * (y - np.cos(t)), (0.0, 3.0), [2.0], times, rtol=1e-5, atol=1e-6)
        errors = [np.abs(y - exact[k]).max() for y in (sol.y[0, :, k], one.y[0])]
        assert errors[0] < 2 * errors[1] + 2e-6


def test_states_between_stiff_steps():
    """Explicit polynomials are bad at the limit of stability: the implicit method gives the states from there on."""
    rates = np.geomspace(10.0, 1e4, 9)
    times = np.linspace(0.0, 1.0, 400)
    sol = solve(lambda t, y: -rates * (y - np.sin(3 * t)), (0.0, 1.0), np.zeros((1, 9)), times, rtol=1e-6, atol=1e-7)
    exact = scipys(
        lambda t, y: -rates * (y - np.sin(3 * t)), (0.0, 1.0), np.zeros(9), "Radau", times, rtol=1e-11, atol=1e-12
    )
    np.testing.assert_allclose(sol.y[0].T, exact.y, atol=5e-5)


def test_times_of_a_stiff_first_member():
    sol = solve(lambda t, y: -1e5 * (y - np.cos(t)), (0.0, 1.0), np.zeros((1, 3)), rtol=1e-5, atol=1e-6)
    assert sol.compiled
    assert sol.t[-1] == 1.0
    assert len(sol.t) < 200
    np.testing.assert_allclose(sol.y[0, -1], np.cos(1.0), rtol=1e-4)


def oscillator(t, y, rate, drive):
    x, v = y
    return [v, -rate * np.sin(x) + drive[0] * np.cos(drive[1] * t)]


def group(count, seed=0):
    random = np.random.default_rng(seed)
    y0 = random.uniform(-2, 2, (2, count))
    return y0, random.uniform(0.5, 2.0, count), random.uniform(0.1, 1.0, (2, count))


SPAN, TIMES = (0.0, 8.0), np.array([0.0, 1.3, 4.0, 7.9])


def test_members_are_as_single_solves():
    y0, rate, drive = group(7)
    sol = solve(oscillator, SPAN, y0, TIMES, args=(rate, drive))
    for k in range(7):
        one = solve(oscillator, SPAN, y0[:, k], TIMES, args=(rate[k], drive[:, k]))
        np.testing.assert_allclose(sol.y[..., k], one.y, rtol=1e-6, atol=1e-7)


@pytest.fixture
def anew(monkeypatch):
    """Solves a batch as if nothing was known of its function."""

    def solved(*arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(memo, "_kept", type(memo._kept)())
            return solve(*arguments, **options)

    return solved


def test_the_order_of_members_and_parts_of_the_batch_do_not_matter(anew):
    y0, rate, drive = group(301)
    whole = anew(oscillator, SPAN, y0, TIMES, args=(rate, drive)).y
    order = np.random.default_rng(1).permutation(301)
    mixed = anew(oscillator, SPAN, y0[:, order], TIMES, args=(rate[order], drive[:, order]))
    np.testing.assert_array_equal(mixed.y, whole[..., order])
    parts = [
        anew(oscillator, SPAN, y0[:, some], TIMES, args=(rate[some], drive[:, some])).y
        for some in (slice(100), slice(100, 301))
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=-1), whole)


def test_members_that_are_solved_in_several_parts(monkeypatch, anew):
    y0, rate, drive = group(100)
    whole = anew(oscillator, SPAN, y0, TIMES, args=(rate, drive)).y
    shares = []
    monkeypatch.setattr(members, "TOGETHER", 33)
    parts = anew(
        oscillator, SPAN, y0, TIMES, args=(rate, drive), progress=lambda progress: shares.append(progress.done)
    )
    np.testing.assert_array_equal(parts.y, whole)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(8.0)


def test_arrays_of_members_in_arguments_need_no_record_of_all():
    """A record of as many members as these would have too many operations; other numbers are no other record."""
    count = 100_000
    y0, rate, drive = group(count)
    sol = solve(oscillator, (0.0, 1.0), y0, [1.0], args=(rate, drive), rtol=1e-5, atol=1e-6)
    assert sol.compiled
    for k in (0, 77_777, count - 1):
        expected = scipys(
            oscillator, (0.0, 1.0), y0[:, k], "DOP853", rtol=1e-10, atol=1e-10, args=(rate[k], drive[:, k])
        )
        np.testing.assert_allclose(sol.y[:, 0, k], expected.y[:, -1], rtol=1e-4, atol=1e-5)


def test_what_differs_between_members_in_other_ways_is_seen():
    """A function that knows the numbers or the count of its members is recorded as a whole."""

    def numbered(t, y, rate):
        return -rate * y * np.arange(2, y.shape[1] + 2)

    def counting(t, y, rate):
        return -rate * y / y.shape[1]

    rate = np.array([1.0, 2.0, 3.0, 0.5, 1.5])
    for fun, rates in ((numbered, rate * np.arange(2, 7)), (counting, rate / 5)):
        for _ in range(2):
            sol = solve(fun, (0.0, 1.0), np.ones((1, 5)), [1.0], args=(rate,))
            np.testing.assert_allclose(sol.y[0, 0], np.exp(-rates), rtol=1e-6)


def dose(t):
    return np.where((t > 2.0) & (t < 3.0), 1.0, 0.0)


def to_a_slice(t, y, rates):
    slopes = -rates * y
    slopes[..., 5:] += dose(t)
    return slopes


UNLIKE = {
    "a slice": to_a_slice,
    "numbers": lambda t, y, rates: dose(t) * (np.arange(y.shape[1]) > 4) - rates * y,
    "many": lambda t, y, rates: dose(t) * (len(rates) > 5) - rates * y,
}


@pytest.mark.parametrize("name", UNLIKE)
def test_members_that_a_function_treats_by_their_numbers(monkeypatch, name):
    """A dose in the middle is given to the sixth member at the earliest: two members, or the ends, do not tell."""
    monkeypatch.setattr(account, "PRICES", account.Prices(0.0, 0.0))
    expected = np.exp(-5 * RATES)
    is_given = np.arange(6) > 4 if name != "many" else np.ones(6, dtype=bool)
    expected += is_given * (np.exp(-2 * RATES) - np.exp(-3 * RATES)) / RATES
    for compiles in (True, None):
        if compiles and name == "a slice":
            continue  # members do different things
        sol = solve_ivp(UNLIKE[name], (0.0, 5.0), np.ones((1, 6)), t_eval=[5.0], args=(RATES,), rtol=1e-7, atol=1e-9,
                        jumps=[2.0, 3.0], compile=compiles)  # fmt: skip
        np.testing.assert_allclose(sol.y[0, 0], expected, rtol=1e-5)


def test_records_of_parts_of_large_batches():
    lengths = members._lengths
    assert lengths((7,), 100) == [7]
    assert lengths((7,), 0) == [2]
    assert lengths((1, 1000), 100) == [1, 100]
    assert lengths((40, 30, 1), 300) == [10, 30, 1]
    assert lengths((4000, 30), 30) == [2, 15]


def test_matrix_products_of_few_and_of_many_members():
    """They are recorded in other ways."""
    weights = np.random.default_rng(0).normal(size=(8, 8)) / 8
    for count in (2, 3, 40):
        gains = np.linspace(0.5, 1.5, count)
        sol = solve(lambda t, y, gain: np.tanh(weights @ y * gain) - y, (0, 3), start_of(count), [3.0], args=(gains,))
        one = solve(lambda t, y: np.tanh(weights @ y * 1.5) - y, (0, 3), start_of(count)[:, -1], [3.0])
        np.testing.assert_allclose(sol.y[..., -1], one.y, rtol=1e-5)


def start_of(count):
    return np.linspace(-1, 1, 8)[:, None] * np.ones(count)


def test_errors_at_the_end_of_thousands_of_members():
    """Two errors of one member in some hundred are large, and equal by chance: another march tells."""
    count, random = 3000, np.random.default_rng(1)
    y0, a, b = random.uniform(1, 5, (2, count)), random.uniform(0.5, 2, count), random.uniform(0.5, 2, count)

    def fun(t, y, a, b):
        return [a * y[0] - b * y[0] * y[1], -3 * y[1] + y[0] * y[1]]

    for rtol in (1e-4, 1e-6):
        sol, tight = (
            solve_ivp(fun, (0.0, 15.0), y0, t_eval=[15.0], args=(a, b), rtol=one, atol=one / 100, compile=True)
            for one in (rtol, 1e-11)
        )
        errors = np.max(np.abs(sol.y - tight.y) / (rtol / 100 + rtol * np.abs(tight.y)), axis=0)[0]
        assert np.count_nonzero(errors > 10) <= 3
        assert errors.max() < 30


@pytest.fixture
def marched(monkeypatch):
    """How many members each call of machine code solved."""
    found = []
    original = all_members.AllMembers._ends

    def ends(self, members, *arguments, **options):
        found.append(members.shape[0])
        return original(self, members, *arguments, **options)

    march = ready_members.ReadyMembers.march

    def prepared(self, *arguments):
        found.append(2 * self.y.shape[0])
        march(self, *arguments)

    monkeypatch.setattr(all_members.AllMembers, "_ends", ends)
    monkeypatch.setattr(ready_members.ReadyMembers, "march", prepared)
    return found


@pytest.mark.parametrize("rtol", [1e-3, 1e-5])
def test_tolerances_that_were_enough_for_each_member(marched, rtol):
    """The next solve begins with them: most members are solved twice, and so they are after small changes."""

    def fun(t, y, rate, drive):  # of which nothing is known from other tests
        return oscillator(t, y, rate, drive)

    y0, rate, drive = group(300)

    def check(factor):
        sol = solve(fun, SPAN, factor * y0, [8.0], rtol, rtol / 100, args=(rate, drive))
        good = solve(oscillator, SPAN, factor * y0, [8.0], 1e-11, 1e-13, args=(rate, drive)).y[:, -1]
        assert (np.abs(sol.y[:, -1] - good) <= 10 * (rtol / 100 + rtol * np.abs(good))).all()
        assert 0 < sol.error_estimate <= all_members.ENOUGH
        return sol

    for _ in range(10):
        sol = check(1.0)
    before, first = marched.copy(), marched.index(600)
    assert before[first + 1] == 300, "all are confirmed, or mended, at the first solve"
    marched.clear()
    again = check(1.0)
    np.testing.assert_array_equal(again.y, sol.y)
    assert marched[:2] == [600, 600], "no more than two marches of each member, before those of the good solution"
    marched.clear()
    check(1.001)
    assert sum(marched[1 : marched.index(600, 1)]) < 0.5 * 300


def test_tolerances_of_other_members_before(marched):
    """If members have other errors than before, all small ones are confirmed."""

    def fun(t, y, rate, drive):
        return oscillator(t, y, rate, drive)

    y0, rate, drive = group(300)
    for _ in range(3):
        solve(fun, SPAN, 0.01 * y0, [8.0], 1e-6, 1e-8, args=(rate, drive))
    marched.clear()
    sol = solve(fun, SPAN, 3.0 * y0[:, ::-1], [8.0], 1e-6, 1e-8, args=(rate[::-1].copy(), drive[:, ::-1].copy()))
    assert marched[:2] == [600, 300]
    good = solve(oscillator, SPAN, 3.0 * y0[:, ::-1], [8.0], 1e-11, 1e-13, args=(rate[::-1], drive[:, ::-1])).y
    assert (np.abs(sol.y - good)[:, -1] <= 10 * (1e-8 + 1e-6 * np.abs(good[:, -1]))).all()


@pytest.mark.parametrize("solves", [0, 3])
def test_errors_that_are_equal_by_chance(monkeypatch, anew, solves):
    """Where two marches say nothing of the error, the third one does: whether anything is known of members or not."""
    original = all_members.AllMembers._ends

    def ends(self, members, starts, shares, *arguments, **options):
        found = original(self, members, starts, shares, *arguments, **options)
        if members.shape[0] == 80:
            found.y[40:] = found.y[:40]
        return found

    y0, rate, drive = group(40)

    def fun(t, y, rate, drive):
        return oscillator(t, y, rate, drive)

    good = anew(oscillator, SPAN, y0, TIMES, 1e-11, 1e-13, args=(rate, drive)).y
    for _ in range(solves):
        solve(fun, SPAN, y0, TIMES, 1e-4, 1e-6, args=(rate, drive))
    monkeypatch.setattr(all_members.AllMembers, "_ends", ends)
    sol = solve(fun, SPAN, y0, TIMES, 1e-4, 1e-6, args=(rate, drive))
    assert 0 < sol.error_estimate <= all_members.ENOUGH
    assert (np.abs(sol.y - good)[:, -1] <= 10 * (1e-6 + 1e-4 * np.abs(good[:, -1]))).all()


@pytest.mark.parametrize("shape", [(40,), (8, 5)])
def test_repeated_solves_with_other_numbers(shape, anew):
    """Results do not depend on what is known of solves before, but for the tolerances that follow from it."""
    random, begin, others = np.random.default_rng(3), 0.0, {}
    rate, drive, y0 = random.uniform(0.5, 2, shape), random.uniform(0.1, 1, (2, *shape)), np.ones((2, *shape))
    for change in ({}, {"y0": 1.5 * y0}, {"rate": 1.2 * rate}, {"span": (1.0, 6.0)}, {"rtol": 1e-4}, {"drive": -drive}):
        others |= change
        own = {"rate": rate, "drive": drive, "y0": y0, "span": (begin, 8.0), "rtol": 1e-7} | others

        def solved(solve=solve, rtol=None, own=own):
            args, span = (own["rate"], own["drive"]), own["span"]
            return solve(oscillator, span, own["y0"], [span[1]], rtol or own["rtol"], args=args)

        tight = solved(anew, 1e-11).y
        tolerance = 1e-9 + own["rtol"] * np.abs(tight)
        for sol in (solved(), solved(), solved(anew)):
            assert (np.abs(sol.y - tight) <= 10 * tolerance).all()
            assert 0 < sol.error_estimate <= all_members.ENOUGH


def test_states_that_are_compared_at_repeated_solves(monkeypatch):
    """At first all of the sample, later the last one and another one; the function must agree with all of these."""
    compared, ends = [], []
    original, at_end = ensemble.contradicts, ensemble._contradicts_at_end

    def contradicts(problem, members, t, states, some):
        compared.append((t.tolist(), states[..., 0].tolist()))
        return original(problem, members, t, states, some)

    def contradicts_at_end(problem, found, t, state):
        ends.append(t)
        np.testing.assert_allclose(found.rates, -(RATES[:, None] * state)[found.of_rates], rtol=1e-12)
        return at_end(problem, found, t, state)

    monkeypatch.setattr(ensemble, "contradicts", contradicts)
    monkeypatch.setattr(ensemble, "_contradicts_at_end", contradicts_at_end)

    def fun(t, y, rate):  # of which nothing is known from other tests
        return -rate * y

    for times, few in (([1.0], 2), (np.linspace(0.1, 1.0, 10), 6)):
        solve(fun, (0.0, 1.0), np.ones((1, 6)), times, args=(RATES,))
        compared.clear()
        ends.clear()
        for _ in range(ANEW):
            solve(fun, (0.0, 1.0), np.ones((1, 6)), times, args=(RATES,))
        assert ends == [1.0] * (ANEW - 1)
        assert sum(len(t) == few for t, _ in compared) == 1
        assert sorted({len(t) for t, _ in compared}) == ([2] if few == 2 else [1, 6])
        for t, states in compared:
            np.testing.assert_allclose(states, np.exp(-np.outer(t, RATES)), rtol=1e-6)
        if few == 6:
            assert len({t[0] for t, _ in compared}) == few - 1


@pytest.mark.parametrize("member", [0, 3])
def test_one_member_of_a_repeated_solve_that_is_not_as_recorded(monkeypatch, member):
    """All members are compared at the end."""
    is_other = []

    def fun(t, y, rate):
        return -rate * y

    def solved():
        return solve(fun, (0.0, 1.0), np.ones((1, 6)), [1.0], args=(RATES,))

    solved()
    assert solved().compiled
    original = ensemble._contradicts_at_end

    def contradicts(problem, found, t, state):
        rates = found.rates.copy()
        rates[found.of_rates == member] *= 1.01
        is_other.append(original(problem, replace(found, rates=rates), t, state))
        return original(problem, found, t, state)

    monkeypatch.setattr(ensemble, "_contradicts_at_end", contradicts)
    assert solved().compiled
    assert is_other == [True]


def test_a_function_that_is_another_one_is_noticed_by_repeated_solves():
    """What it reads is compared at every solve."""
    state = {"factor": 1.0}

    def fun(t, y, rate):
        return -rate * y * np.asarray(state["factor"])

    for factor in (1.0, 1.0, 2.0, 0.5):
        state["factor"] = factor
        sol = solve(fun, (0.0, 1.0), np.ones((1, 6)), [1.0], args=(RATES,))
        np.testing.assert_allclose(sol.y[0, 0], np.exp(-factor * RATES), rtol=1e-6)


def test_jumps():
    rate = np.linspace(0.5, 2.0, 5)

    def fun(t, y, rate):
        return -rate * y + np.where(t < 1.0, 0.0, 5.0)

    for times in ([0.5, 1.0, 1.5, 2.0], None):
        sol = solve(fun, (0.0, 2.0), np.ones((1, 5)), times, args=(rate,), jumps=[1.0])
        assert sol.compiled
        late = np.maximum(sol.t - 1.0, 0.0)[:, None]
        exact = np.exp(-rate * sol.t[:, None]) + 5 / rate * (1 - np.exp(-rate * late))
        np.testing.assert_allclose(sol.y[0], exact, rtol=1e-6)


def test_branches_on_the_time():
    rate = np.linspace(0.5, 2.0, 5)
    sol = solve(
        lambda t, y, rate: -rate * y if t < 1.0 else rate * y, (0.0, 2.0), np.ones((1, 5)), [1.0, 2.0], args=(rate,)
    )
    assert sol.compiled
    np.testing.assert_allclose(sol.y[0, 0], np.exp(-rate), rtol=1e-5)
    np.testing.assert_allclose(sol.y[0, 1], 1.0, rtol=1e-5)


def test_steps_end_on_corners_that_members_have_in_common():
    """A pulse that steps would pass over; stiff members begin another method between corners."""
    rate = np.geomspace(0.5, 3e4, 12)

    def fun(t, y, rate):
        return -rate * y + rate * np.where((t > 6.0) & (t < 6.001), 500.0, 0.0)

    sol = solve(fun, (0.0, 8.0), np.ones((1, 12)), [5.0, 6.0005, 8.0], args=(rate,))
    assert sol.compiled
    assert sol.method == "Rodas5P"
    before, within = np.exp(-6.0 * rate), 500 * (1 - np.exp(-rate * 0.001))
    exact = [
        np.exp(-5.0 * rate),
        before * np.exp(-0.0005 * rate) + 500 * (1 - np.exp(-rate * 0.0005)),
        (before * np.exp(-0.001 * rate) + within) * np.exp(-rate * 1.999),
    ]
    np.testing.assert_allclose(sol.y[0], exact, rtol=1e-5, atol=1e-5)


def test_corners_of_each_member():
    """They are where the steps find them."""
    dose = np.linspace(0.5, 1.5, 9)
    sol = solve(lambda t, y, dose: -y + np.where(t < dose, 1.0, 0.0), (0.0, 2.0), np.zeros((1, 9)), [2.0], args=(dose,))
    np.testing.assert_allclose(sol.y[0, 0], (1 - np.exp(-dose)) * np.exp(dose - 2), rtol=1e-5)


@pytest.mark.parametrize("span", [(0.0, 5.0), (5.0, 0.0)])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_member_passes_a_pole_at_a_corner(own, span):
    """Principal values are no solutions; singularities that have an integral are passed."""
    at = np.linspace(1.0, 3.0, 6) if own else np.full(6, 2.0)

    def pole(t, y, at, power):
        return [np.where(t > at, 1 / np.abs(t - at) ** power, 0.0) + 0 * y[0]]

    found = solve_ivp(pole, span, np.ones((1, 6)), args=(at, 1), compile=True, t_eval=span[1:])
    assert not found.success
    assert not found.compiled
    assert "it has a pole there" in " ".join(found.decisions)
    found = solve_ivp(pole, span, np.ones((1, 6)), args=(at, 0.5), compile=True, t_eval=span[1:], rtol=1e-5)
    assert found.success
    assert found.compiled
    np.testing.assert_allclose(found.y[0, -1], 1 + np.sign(span[1] - span[0]) * 2 * np.sqrt(5 - at), rtol=1e-4)


def test_complex_states():
    rate = np.array([0.5, 1.0, 2.0]) + 1j * np.array([3.0, -1.0, 0.2])
    sol = solve(lambda t, y: (rate * 1j) * y, (0.0, 3.0), np.full((1, 3), 1 + 1j), [1.0, 3.0])
    assert sol.compiled
    assert sol.y.dtype == np.complex128
    np.testing.assert_allclose(sol.y[0], (1 + 1j) * np.exp(1j * rate * sol.t[:, None]), rtol=1e-6)


def test_a_batch_of_one_and_two_axes():
    y0, rate, drive = group(6)
    flat = solve(oscillator, SPAN, y0, TIMES, args=(rate, drive)).y
    for shape in ((3, 2), (1, 6), (6, 1)):
        given = rate.reshape(shape), drive.reshape(2, *shape)
        sol = solve(oscillator, SPAN, y0.reshape(2, *shape), TIMES, args=given)
        np.testing.assert_array_equal(sol.y, flat.reshape(2, 4, *shape))
    one = solve(oscillator, SPAN, y0[:, :1], TIMES, args=(rate[:1], drive[:, :1]))
    np.testing.assert_allclose(one.y, flat[..., :1], rtol=1e-6, atol=1e-8)


def test_a_member_that_fails():
    """The usual methods say how far the solution goes."""
    rate = np.array([0.1, 2.0])
    sol = solve(lambda t, y: rate * y * y, (0.0, 1.0), np.ones((1, 2)))
    assert not sol.success
    assert not sol.compiled
    assert "left the solution of member 1 of the batch at t = 0.5" in sol.message


REFUSED = {
    "coupled": (lambda t, y: y - y.sum(axis=1, keepdims=True), {}, "depend on each other"),
    "dense": (lotka_volterra, {"dense_output": True}, "batch of shape"),
    "branch": (lambda t, y: y if y[0, 0] > 0 else -y, {}, "cannot be compiled"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    fun, options, match = REFUSED[name]
    with pytest.raises(TypeError, match=match):
        solve(fun, (0.0, 2.0), start(6), **options)


def test_other_numbers_need_no_other_code():
    """The values of closures are read again at every solve."""
    numbers = np.array([1.0, 2.0, 3.0])

    def fun(t, y):
        return -numbers * y

    for factor in (1.0, 0.5):
        numbers *= factor
        sol = solve(fun, (0.0, 1.0), np.ones((1, 3)), times=[1.0])
        np.testing.assert_allclose(sol.y[0, 0], np.exp(-numbers), rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 2, 8])
def test_kinks_leave_no_large_errors_by_chance(seed):
    """A soft wall: where steps end at the kink is a matter of chance, and so is the distance of two marches.

    It is solved three times, with other members each time: what is known of those before says little of these.
    """

    def wall(t, y, a, b):
        return [y[1], -a * y[0] - 5 * b * np.maximum(y[0] - 0.5, 0)]

    rng = np.random.default_rng(seed)
    for _ in range(3):
        args = tuple(rng.uniform(0.7, 1.3, (2, 200)))
        y0 = np.stack([rng.uniform(0.9, 1.1, 200), np.zeros(200)])
        options = {"args": args, "t_eval": [25], "compile": True}
        found = solve_ivp(wall, (0, 25), y0, rtol=1e-8, atol=1e-10, **options).y
        exact = solve_ivp(wall, (0, 25), y0, rtol=1e-12, atol=1e-14, **options).y
        assert np.all(np.abs(found - exact) <= 10 * (1e-10 + 1e-8 * np.abs(exact)))

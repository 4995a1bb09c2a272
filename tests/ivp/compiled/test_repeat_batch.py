"""Solves of batches that repeat an earlier one: they leave out all that is the same, and none of the checks."""

import gc
import pickle
import weakref
from collections import OrderedDict
from dataclasses import fields
from types import FunctionType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parscan import solve_ivp
from parscan._functions.at_points import CODES
from parscan._ivp import solve as _solve
from parscan._ivp.compiled import ensemble, members
from parscan._ivp.compiled import repeat as _repeat
from parscan._ivp.compiled.all_members import AllMembers
from parscan._ivp.compiled.ends_of_members import EndsOfMembers
from parscan._ivp.compiled.repeat_batch import RepeatedBatch
from parscan._recorded import memo

SPAN, COUNT = (0.0, 4.0), 20
RATES = np.linspace(0.5, 2.0, COUNT)
STRENGTH = 1.0


NUMBERS = "residual", "lyapunov", "error_estimate"
"""Fields that may be NaN."""


def make():
    """A function of which nothing is known."""
    return lambda t, y, rate, drive, power=1.0: [y[1], -rate * np.sin(y[0]) ** power + STRENGTH * drive * np.cos(t)]


@pytest.fixture(autouse=True)
def _anew(monkeypatch):
    """Nothing is known of functions with the same code."""
    monkeypatch.setattr(members, "_of_all", OrderedDict())


@pytest.fixture
def repeats(monkeypatch):
    """Whether each solve was a repetition."""
    found = []

    def noted(*arguments):
        sol = _repeat.solve_again(*arguments)
        found.append(sol is not None)
        return sol

    monkeypatch.setattr(_solve, "solve_again", noted)
    monkeypatch.setattr(memo, "_kept", OrderedDict())
    return found


def start(*batch):
    return np.stack([np.linspace(-1.0, 1.5, np.prod(batch)).reshape(batch), np.zeros(batch)])


def solved(fun, span=SPAN, y0=None, args=(RATES, 0.3), rtol=1e-7, atol=1e-9, **options):
    y0 = start(COUNT) if y0 is None else y0
    return solve_ivp(fun, span, y0, args=args, rtol=rtol, atol=atol, **{"compile": True, **options})


@pytest.mark.parametrize("times", [None, np.linspace(0, 4, 9), [3.0, 4.0], [4.0]])
@pytest.mark.parametrize("args", [(RATES, 0.3), (1.5, RATES), (0.7, 0.2)])
def test_the_next_solve_is_repeated(times, args, repeats, monkeypatch):
    fun = make()
    solved(fun, t_eval=times, args=args)
    again = [solved(fun, t_eval=times, args=args) for _ in range(3)]
    assert repeats == [False, True, True, True]
    monkeypatch.setattr(_solve, "solve_again", lambda *_: None)
    usual = solved(fun, t_eval=times, args=args)
    for field in fields(usual):
        one, other = (getattr(sol, field.name) for sol in (again[-1], usual))
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        elif not field.name.startswith("_"):
            assert one == other, field.name
    assert not np.shares_memory(again[0].y, again[1].y)
    monkeypatch.setattr(CODES, "buys", lambda *_: False)  # both tangents are found in the same way
    np.testing.assert_allclose(again[0].tangent(y0=start(COUNT)), usual.tangent(y0=start(COUNT)))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again[0])).y, usual.y)


FUN = make()


@given(
    st.integers(0, 100), st.floats(0.6, 5.0), st.booleans(), st.sampled_from([1e-3, 1e-5, 1e-8]),
    st.sampled_from([None, 1, 4]), st.sampled_from([(COUNT,), (5, 4)]),
)  # fmt: skip
def test_members_of_repeated_solves_are_single_solves(seed, end, turns, rtol, count, shape):
    """With other states, arguments, spans, tolerances and times than before."""
    random = np.random.default_rng(seed)
    span, atol = (end, 0.5) if turns else (0.0, end), rtol / 100
    y0, rate = random.uniform(-1, 1, (2, *shape)), random.uniform(0.5, 2.0, shape)
    times = None if count is None else np.linspace(*span, 1 + count)[1:]
    sol = solved(FUN, span, y0, (rate, 0.3), rtol, atol, t_eval=times)
    member = tuple(random.integers(0, length) for length in shape)
    own = slice(None), *member
    one = solved(FUN, span, y0[own], (float(rate[member]), 0.3), rtol, atol, t_eval=span[1:])
    apart = np.abs(sol.y[:, -1][own] - one.y[:, -1])
    assert (apart <= 10 * (atol + rtol * np.abs(one.y[:, -1]))).all()


def test_other_numbers_and_other_kinds(repeats):
    fun = make()
    solved(fun)
    changes = [
        ({"y0": 0.5 * start(COUNT)}, True),
        ({"args": (2 * RATES, 0.3)}, True),
        ({"args": (RATES, 0.4)}, False),  # which is a constant of the record
        ({"args": (0.3, RATES)}, False),
        ({"args": (RATES, 0.3, 2.0)}, False),
        ({"span": (1.0, -2.0)}, True),
        ({"rtol": 1e-3, "atol": 1e-5}, True),
        ({"atol": [1e-9, 1e-8]}, False),
        ({"y0": start(4, 5), "args": (RATES.reshape(4, 5), 0.3)}, False),
        ({"y0": start(COUNT).astype(np.float32), "rtol": 1e-4, "atol": 1e-5}, False),
        ({"max_step": 1.0}, False),
        ({"jumps": [1.0]}, False),
        ({}, True),
    ]
    for change, is_repeated in changes:
        repeats.clear()
        solved(fun)
        sol = solved(fun, **change)
        assert repeats[-1] is is_repeated, change
        expected = solve_ivp(
            fun, change.get("span", SPAN), change.get("y0", start(COUNT)).astype(float), rtol=1e-10, atol=1e-11,
            args=change.get("args", (RATES, 0.3)), compile=False,
        ).y[:, -1]  # fmt: skip
        rtol, atol = change.get("rtol", 1e-7), np.max(change.get("atol", 1e-9))
        np.testing.assert_allclose(sol.y[:, -1], expected, rtol=10 * rtol, atol=10 * atol)


def test_what_the_function_reads_has_changed(repeats, monkeypatch):
    fun = make()
    one, other = (solved(fun, t_eval=[4.0]).y for _ in range(2))
    np.testing.assert_array_equal(one, other)
    monkeypatch.setitem(globals(), "STRENGTH", 2.0)
    found = solved(fun, t_eval=[4.0]).y
    assert repeats == [False, True, False]
    assert np.abs(found - one).max() > 0.01
    monkeypatch.setattr(_solve, "solve_again", lambda *_: None)
    np.testing.assert_array_equal(solved(fun, t_eval=[4.0]).y, found)


def test_arguments_are_not_changed_and_results_are_the_users(repeats):
    fun, y0, rates = make(), start(COUNT), RATES.copy()
    for _ in range(2):
        sol = solved(fun, y0=y0, args=(rates, 0.3), t_eval=[0.0, 4.0])
        np.testing.assert_array_equal(sol.y[:, 0], start(COUNT))
        sol.y[...] = 7.0
        np.testing.assert_array_equal(y0, start(COUNT))
        np.testing.assert_array_equal(rates, RATES)
    assert repeats == [False, True]


def test_wrong_arguments_are_refused_as_ever(repeats):
    fun = make()
    solved(fun)
    y0 = start(COUNT)
    y0[0, 0] = np.nan
    for change, match in (
        ({"y0": y0}, "must be finite"),
        ({"t_eval": [5.0]}, "not within"),
        ({"t_eval": [3.0, 1.0]}, "sorted"),
        ({"span": (0.0, np.nan)}, "finite"),
        ({"events": lambda t, y: y[0]}, "events"),
        ({"dense_output": True}, "dense_output"),
    ):
        with pytest.raises((TypeError, ValueError), match=match):
            solved(fun, **change)
    assert not any(repeats)


def test_a_contradiction_is_left_to_those_who_know_what_to_do(repeats, monkeypatch):
    fun = make()
    solved(fun)
    with monkeypatch.context() as patch:
        patch.setattr(ensemble, "contradicts", lambda *_: True)
        assert not solved(fun, compile=None).compiled
        with pytest.raises(TypeError, match="cannot be compiled"):
            solved(fun)
    assert repeats == [False, False, False]
    for _ in range(2):
        solved(fun)
    assert repeats[-1]


def test_members_that_must_be_recorded_whole(repeats, monkeypatch):
    fun = make()
    solved(fun)
    monkeypatch.setattr(members, "_of_all", OrderedDict({fun.__code__: None}))
    solved(fun)
    assert repeats == [False, False]


def test_functions_are_not_kept():
    fun = make()
    gone = weakref.ref(fun)
    for _ in range(2):
        solved(fun)
    memo.forget(next(one.origin.recording for one in _repeat._known.values() if one.function() is fun))
    del fun
    gc.collect()
    assert gone() is None


def test_longest_steps_are_those_of_the_span():
    """Where they limit steps, also if the tolerances of members are as at the solve before, over another span."""

    def steps(spans):
        fun = lambda t, y, rate: [-1e-4 * rate * y[0]]  # noqa: E731
        found = [solved(fun, (0.0, end), np.ones((1, COUNT)), (RATES,), t_eval=[end]) for end in spans]
        return found[-1].nfev

    assert steps([0.5] * 12 + [50.0]) <= 1.5 * steps([50.0] * 13)


def test_members_march_in_vain_if_the_function_is_another_one(repeats, monkeypatch):
    """In several threads; what is solved then, and later, is right."""
    count = 300
    options = {"y0": start(count), "args": (np.linspace(0.5, 2.0, count), 0.3), "t_eval": [SPAN[1]]}
    fun = make()
    before = [solved(fun, **options).y for _ in range(8)][-1]
    repeats.clear()
    monkeypatch.setattr(ensemble, "_is_unlike", lambda *_: False)  # which would see it as well
    monkeypatch.setitem(globals(), "STRENGTH", 2.0)
    other = [solved(fun, **options).y for _ in range(3)]
    assert not repeats[0]
    expected = solved(make(), **options).y
    for one in other:
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7)
    assert np.max(np.abs(other[0] - before)) > 0.01
    monkeypatch.setitem(globals(), "STRENGTH", 1.0)
    np.testing.assert_allclose(solved(fun, **options).y, before, rtol=1e-5, atol=1e-7)


@pytest.fixture
def by_ends(monkeypatch):
    """Of each repeated solve of the ends of members, how it went: prepared, on from prepared marches, or as ever."""
    found, solved_by_ends, go_on = [], EndsOfMembers.solved, AllMembers.go_on

    def noted(self, *arguments):
        found.append("prepared")
        sol = solved_by_ends(self, *arguments)
        if sol is None:
            found[-1] = "as ever"
        return sol

    def gone_on(self, *arguments):
        found[-1] = "on"
        return go_on(self, *arguments)

    monkeypatch.setattr(EndsOfMembers, "solved", noted)
    monkeypatch.setattr(AllMembers, "go_on", gone_on)
    return found


def of_matrix(t, y, rates, drive):
    """With two numbers of each member in one argument."""
    return [y[1], -rates[0] * np.sin(y[0]) + rates[1] * drive * np.cos(t)]


def without_arguments(t, y):
    return [y[1], -np.sin(y[0])]


@pytest.mark.parametrize(
    ("fun", "args"),
    [
        (None, lambda rates: (rates, 0.3)),
        (None, lambda rates: (1.5, rates)),
        (of_matrix, lambda rates: (np.stack([rates, 0.5 * rates]), 0.3)),
        (without_arguments, lambda rates: ()),
    ],
)
@pytest.mark.parametrize("shape", [(3,), (4,), (5, 4), (150,)])
def test_prepared_solves_are_those_that_are_not(fun, args, shape, by_ends, monkeypatch):
    """To the last bit, with other numbers each time, some of which let members march again."""

    def found():
        monkeypatch.setattr(memo, "_kept", OrderedDict())  # with which it is noted what members needed
        random, many = np.random.default_rng(4), []
        one = make() if fun is None else FunctionType(fun.__code__, globals())
        for solve in range(40):
            y0, rates, rtol = start(*shape), np.linspace(0.5, 2.0, np.prod(shape)).reshape(shape), 1e-7
            if solve >= 25:
                y0, rates = y0 * random.uniform(0.5, 1.5, (2, *shape)), random.uniform(0.5, 1.5, shape)
                rtol = 1e-7 if solve % 9 else 1e-4
            span = SPAN if solve % 11 else (1.0, -2.0)
            sol = solved(one, span, y0, args(rates), rtol=rtol, t_eval=[span[1]])
            many.append({name: repr(sol[name]) if name in NUMBERS else sol[name] for name in sol})
        return many

    prepared = found()
    assert {"prepared", "on"} - ({"prepared"} if shape == (3,) else set()) <= {*by_ends}  # few members have no rates
    monkeypatch.setattr(EndsOfMembers, "solved", lambda *_: None)
    for one, other in zip(prepared, found(), strict=True):
        for name, value in one.items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, other[name], strict=True)
            else:
                assert value == other[name], name


def test_prepared_solves_look_at_the_function_at_the_ends(repeats, by_ends, monkeypatch):
    """If nothing else has seen that it is another one."""
    fun = make()
    before = [solved(fun, t_eval=[4.0]).y for _ in range(8)][-1]
    assert by_ends[-1] == "prepared"
    monkeypatch.setattr(RepeatedBatch, "_look", lambda *_: None)
    monkeypatch.setitem(globals(), "STRENGTH", 2.0)
    found = solved(fun, t_eval=[4.0]).y
    assert not repeats[-1]
    expected = solve_ivp(fun, SPAN, start(COUNT), args=(RATES, 0.3), rtol=1e-10, atol=1e-11, compile=False).y[:, -1]
    np.testing.assert_allclose(found[:, -1], expected, rtol=1e-6, atol=1e-8)
    assert np.max(np.abs(found - before)) > 0.01


def test_prepared_solves_of_states_that_are_not_finite(by_ends):
    fun, y0 = make(), start(COUNT)
    for _ in range(8):
        solved(fun, y0=y0, t_eval=[4.0])
    assert by_ends[-1] == "prepared"
    y0[1, 3] = np.inf
    with pytest.raises(ValueError, match="must be finite"):
        solved(fun, y0=y0, t_eval=[4.0])


def test_what_prepared_solves_tell_later_is_of_that_solve(by_ends):
    """Whatever the user did to states and results since, and other solves; arguments that have changed are seen."""
    fun, y0, rates = make(), start(COUNT), RATES.copy()
    sols = [solved(fun, y0=y0, args=(rates, 0.3), t_eval=[4.0]) for _ in range(8)]
    assert by_ends[-1] == "prepared"
    y0[...] = 1.0
    solved(fun, y0=y0, args=(rates, 0.3), t_eval=[4.0])
    direction = np.ones((2, COUNT))
    expected = solved(make(), args=(rates, 0.3), t_eval=[4.0])
    np.testing.assert_allclose(sols[-1].tangent(y0=direction), expected.tangent(y0=direction), rtol=1e-5)
    np.testing.assert_array_equal(sols[-1].mesh, SPAN)
    assert sols[-1].message == sols[-2].message
    kept = pickle.loads(pickle.dumps(sols[-2]))
    assert kept.message == sols[-2].message
    np.testing.assert_array_equal(kept.y, sols[-2].y)
    middle = np.array([2.0])  # between two nodes, whatever solved the batch
    np.testing.assert_allclose(sols[-2]._dense.evaluate(middle), sols[0]._dense.evaluate(middle), rtol=1e-5)
    rates *= 2.0
    with pytest.raises(RuntimeError, match="chang"):
        sols[-2].tangent(y0=direction)


def test_prepared_solves_with_other_numbers_of_threads(by_ends, monkeypatch):
    fun, y0 = make(), start(100)
    options = {"y0": y0, "args": (np.linspace(0.5, 2.0, 100), 0.3), "t_eval": [4.0]}
    found = []
    for threads in ("1", "3", "1"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        found += [solved(fun, **options).y for _ in range(6)]
        assert by_ends[-1] == "prepared"
    for one in found[4:]:
        np.testing.assert_array_equal(one, found[3])

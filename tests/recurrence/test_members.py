"""Batches by machine code of one member: the same trajectories as by the loop of the user's function."""

import threading

import numpy as np
import pytest
from problems import loop

from parscan import solve_recurrence
from parscan._arrays.threads import Threads
from parscan._recorded.record import record
from parscan._recurrence import members as _members
from parscan._recurrence.members import Members, member_of

RNG = np.random.default_rng(3)
T = 400


def bucket(capacity, exponent, rate):
    """A bucket model of soil and ground water; each member of the batch has its own parameters."""

    def step(y, x):
        soil, ground = y[..., 0], y[..., 1]
        rain, demand = x[..., 0], x[..., 1]
        runoff = rain * np.minimum(soil / capacity, 1.0) ** exponent
        soil = soil + rain - runoff
        soil = np.maximum(soil - demand * np.minimum(soil / (0.7 * capacity), 1), 0)
        seepage = 0.05 * rate * soil
        ground = ground + seepage + runoff
        return np.stack([soil - seepage, ground - 0.02 * rate * ground], axis=-1)

    return step


def parameters(batch):
    capacity, rate = np.exp(0.3 * RNG.standard_normal((2, *np.atleast_1d(batch))))
    return 50 * capacity, 1 + RNG.random(batch), rate


def spied(monkeypatch):
    """Programs of members that are used."""
    seen = []

    def member(program, batch):
        seen.append(member_of(program, batch))
        return seen[-1]

    monkeypatch.setattr("parscan._recurrence.code.member_of", member)
    return seen


def check(monkeypatch, step, y0, x=None, length=None, args=(), exact=True, **options):
    """Solve by machine code, and compare; returned is the member's program, or None for the whole batch."""
    seen = spied(monkeypatch)
    options = {"method": "sequential"} | options
    sol = solve_recurrence(step, y0, x, length=length, args=args, compile=True, **options)
    assert sol.success
    assert sol.compiled
    expected = loop(step, y0, x if length is None else length, args)
    assert sol.y.dtype == expected.dtype
    if exact:
        np.testing.assert_array_equal(sol.y, expected)
    else:
        precision = 1000 * np.finfo(expected.dtype).eps
        np.testing.assert_allclose(sol.y, expected, rtol=precision, atol=precision * np.abs(expected).max())
    return seen[-1]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 17, 40, 500])
def test_parameters_of_each_member(monkeypatch, count, threads):
    monkeypatch.setattr(_members, "THREADS", Threads(1, threads))
    x = RNG.random((T, 1, 2)) * [8, 4]
    member = check(monkeypatch, bucket(*parameters(count)), np.full((count, 2), 10.0), x, exact=False)
    assert (member is None) == (count < 8)
    assert member is None or member.program.operations <= 21


@pytest.mark.parametrize("batch", [(3, 5), (2, 3, 4)])
def test_several_axes(monkeypatch, batch):
    x = RNG.random((T, *[1] * len(batch), 2)) * [8, 4]
    assert check(monkeypatch, bucket(*parameters(batch)), np.full((*batch, 2), 10.0), x, exact=False)


INPUTS = {
    "of each member": (9, 2),
    "that all members share": (1, 2),
    "of the component axis alone": (2,),
    "of one number": (1,),
    "of each member, one number": (9, 1),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(monkeypatch, name):
    x = RNG.standard_normal((T, *INPUTS[name]))
    assert check(monkeypatch, lambda y, x: y / (1 + y * y) + 0.1 * x, RNG.random((9, 2)), x)


def test_inputs_of_some_axes(monkeypatch):
    """Places that follow no rule are copied, some steps at a time."""
    monkeypatch.setattr(_members, "COPIED", 8 * 24 * 7)
    y0, gain = RNG.random((4, 3, 2)), RNG.random((4, 1, 1))
    step = lambda y, x: y / (1 + y * y) + gain * x  # noqa: E731
    for shape in [(4, 1, 2), (1, 3, 2), (3, 1), (4, 3, 1), (1, 1, 2)]:
        assert check(monkeypatch, step, y0, RNG.standard_normal((T, *shape)))


def test_inputs_in_any_order(monkeypatch):
    def step(y, x):
        forwards, across = x
        return 0.5 * y + 0.3 * forwards[:, ::-1] + 0.1 * across.swapaxes(1, 2)[..., ::2]

    x = RNG.standard_normal((T, 9, 2)), RNG.standard_normal((T, 4, 9))
    assert check(monkeypatch, step, RNG.random((9, 2)), x)


@pytest.mark.parametrize("kind", ["strided rows", "strided entries", "reversed", "read-only"])
def test_strided_inputs(monkeypatch, kind):
    wide = RNG.standard_normal((2 * T, 9, 4))
    x = {"strided rows": wide[::2, :, :2], "strided entries": wide[:T, :, ::2], "reversed": wide[::-1][:T, :, :2],
         "read-only": np.broadcast_to(wide[0, :, :2], (T, 9, 2))}[kind]  # fmt: skip
    assert check(monkeypatch, lambda y, x: y / (1 + y * y) + 0.1 * x, RNG.random((9, 2)), x)


def test_tuples_of_inputs_of_several_dtypes(monkeypatch):
    x = RNG.standard_normal((T, 9, 1)), RNG.integers(0, 3, (T, 1, 1)), RNG.random((T, 9, 2)) > 0.5

    def step(y, x):
        level, count, flag = x
        return np.where(flag, 0.5 * y + level, 0.9 * y) + 0.01 * count

    assert check(monkeypatch, step, RNG.random((9, 2)), x)


def test_arguments_and_single_precision(monkeypatch):
    gain = RNG.random((20, 1)).astype("f4")
    x = RNG.standard_normal((T, 1, 3)).astype("f4")
    step = lambda y, x, gain: gain * np.float32(0.5) * y + x  # noqa: E731
    assert check(monkeypatch, step, np.zeros((20, 3), "f4"), x, args=(gain,))


def test_a_batch_that_is_coupled_is_a_program_of_the_whole(monkeypatch):
    step = lambda y: 0.5 * y + 0.4 * np.mean(y, axis=1, keepdims=True) + 0.1  # noqa: E731
    assert check(monkeypatch, step, RNG.random((12, 2)), length=T, exact=False) is None


def test_operations_are_those_of_a_member():
    """A batch may have more operations than a step that is compiled."""
    y0 = RNG.random((9000, 2))
    sol = solve_recurrence(bucket(*parameters(9000)), y0, np.ones((60, 1, 2)), method="sequential", compile=True)
    assert sol.compiled
    with pytest.raises(TypeError, match="operations, more than"):
        solve_recurrence(
            lambda y: np.roll(bucket(1.0, 2.0, 0.5)(y, np.ones((1, 1, 2))), 1, axis=1), y0, length=60,
            method="sequential", compile=True,
        )  # fmt: skip


def test_matrices_and_long_states(monkeypatch):
    weights = RNG.standard_normal((9, 12, 12)) / 4
    step = lambda y: np.tanh((weights @ y[..., None])[..., 0])  # noqa: E731
    assert check(monkeypatch, step, RNG.random((9, 12)), length=T, exact=False)
    one = RNG.standard_normal((40, 40)) / 7
    assert check(monkeypatch, lambda y: np.tanh(y @ one), RNG.random((3, 40)), length=T, exact=False)


def test_a_state_of_one_member_that_is_not_finite_ends_the_trajectory():
    start = np.full((9, 1), 0.5)
    start[4] = 1.01
    step = lambda y: y**2  # noqa: E731
    sol = solve_recurrence(step, start, length=T, method="sequential", compile=True)
    expected = solve_recurrence(step, start, length=T, method="sequential", compile=False)
    assert not sol.success
    assert sol.message.startswith(expected.message)
    np.testing.assert_array_equal(sol.y, expected.y)


@pytest.mark.parametrize("method", ["auto", "newton", "sequential"])
def test_methods_guesses_and_windows(method):
    step = lambda y, x: np.tanh(0.8 * y + x)  # noqa: E731
    x, y0 = RNG.standard_normal((3000, 9, 2)), np.zeros((9, 2))
    expected = loop(step, y0, x)
    options = {"method": method, "compile": True}
    for more in ({}, {"guess": expected + 1e-3}, {"window": 700}):
        sol = solve_recurrence(step, y0, x, **options, **(more if method != "sequential" else {}))
        np.testing.assert_allclose(sol.y, expected, rtol=1e-9, atol=1e-9)


def test_progress_and_interrupts():
    seen = []
    step = bucket(*parameters(64))
    x = np.ones((20_000, 1, 2))
    options = {"method": "sequential", "compile": True}
    solve_recurrence(step, np.ones((64, 2)), x, progress=lambda p: seen.append(p.done), **options)
    assert seen == sorted(seen)
    assert seen[-1] == 20_000

    def stop(progress):
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        solve_recurrence(step, np.ones((64, 2)), x, progress=stop, **options)
    assert threading.active_count() == before


def test_later_runs_return_to_python_as_seldom_as_the_pace_allows(monkeypatch):
    from parscan._recorded.native import loop as _loop

    program = record(lambda y: 0.5 * y, [np.zeros((1, 64, 2))]).program
    members, out, asked = Members(member_of(program, (64,)), 64), np.empty((40_000, 64, 2)), []
    real = _loop.portions
    monkeypatch.setattr(_loop, "portions", lambda *args: asked.append(args[-1]) or real(*args))
    for steps in (10, 40_000, 10):
        members.run(np.ones((64, 2)), [], out, 0, steps)
    assert asked[0] == asked[1] == _loop.FIRST
    assert members._pace > 0
    assert asked[2] == int(_loop.PAUSE / members._pace)


def test_wrong_code_is_found(monkeypatch):
    run = Members.run

    def wrong(self, state, inputs, out, begin, end, report=None):
        run(self, state, inputs, out, begin, end, report)
        out[begin:end, 5] *= 1 + 1e-6

    monkeypatch.setattr(Members, "run", wrong)
    step, x = bucket(*parameters(12)), RNG.random((T, 1, 2))
    sol = solve_recurrence(step, np.ones((12, 2)), x, method="sequential", compile=None)
    assert not sol.compiled
    np.testing.assert_array_equal(sol.y, loop(step, np.ones((12, 2)), x))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "sequential"])
def test_parameters_that_change_between_solves(method):
    """In place, one of many; by a new array; by another value that all members share."""
    capacity, _, rate = parameters(64)
    x, y0, drain = RNG.random((1500, 1, 2)) * [8, 4], np.full((64, 2), 10.0), [0.05]

    def step(y, x, scale):
        soil, ground = y[..., 0], y[..., 1]
        soil = np.minimum(soil + x[..., 0], capacity)
        leaving = drain[0] * rate * soil**2 / capacity
        return np.stack([soil - leaving, scale * ground + leaving], axis=-1)

    def check_all(scale):
        for _ in range(3):  # later solves take over what the first ones found out
            sol = solve_recurrence(step, y0, x, args=(scale,), method=method, compile=True)
            assert sol.compiled
            np.testing.assert_array_equal(sol.y, loop(step, y0, x, args=(scale,)))

    scale = np.linspace(0.9, 0.99, 64)
    check_all(scale)
    capacity[63] *= 1.5
    check_all(scale)
    scale[7] = 0.5
    check_all(scale)
    check_all(scale + 1e-3)
    drain[0] = 0.04
    check_all(scale)
    rate = np.ones(64)
    check_all(scale)
    rate = np.ones((1, 64))
    y0 = np.full((64, 2), 11.0)
    x[700] = 0.0
    check_all(scale)


def test_few_members_are_a_program_of_the_whole():
    program = record(np.sin, [np.zeros((1, 3, 2))]).program
    assert member_of(program, (3,)) is None
    assert member_of(program, ()) is None

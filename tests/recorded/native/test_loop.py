"""Compiled steps, one after the other, against the loop in Python: one sequence, and several in lanes."""

import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from parscan._recorded.native.lanes import Lanes
from parscan._recorded.native.layout import address, where
from parscan._recorded.native.loop import Loop
from parscan._recorded.native.watch import NEAR
from parscan._recorded.record import record


def gru(n, dtype=np.float64):
    rng = np.random.default_rng(7)
    matrix = rng.uniform(-1, 1, size=(3 * n, n)).astype(dtype) / np.sqrt(n).astype(dtype)
    offset = rng.uniform(-1, 1, size=n).astype(dtype)

    def step(y, x):
        h = y @ matrix.T
        r, z = (1 / (1 + np.exp(-(x[..., k * n : k * n + n] + h[..., k * n : k * n + n]))) for k in (0, 1))
        c = np.tanh(x[..., 2 * n :] + r * (h[..., 2 * n :] + offset))
        return (1 - z) * c + z * y

    return step


def lorenz(y):
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return np.stack([a + 0.01 * 10 * (b - a), b + 0.01 * (a * (28 - c) - b), c + 0.01 * (a * b - 8 / 3 * c)], -1)


def heat(y):
    inner = y[..., 1:-1] + 0.2 * (y[..., 2:] - 2 * y[..., 1:-1] + y[..., :-2])
    return np.concatenate([y[..., :1], inner, y[..., -1:]], axis=-1)


def ring(y, x):
    return 0.9 * np.roll(y, 1, axis=-1) + 0.05 * np.roll(y, -2, axis=-1) + 0.1 * np.tanh(x)


def schmitt(y, x):
    return np.where(x > 0.5, 1.0, np.where(x < -0.5, 0.0, y))


def bucket(y, x):
    level = np.maximum(y[..., :1] + x - 0.3 * np.sqrt(np.maximum(y[..., :1], 0.0)), 0.0)
    return np.concatenate([np.minimum(level, 2.0), np.maximum(level - 2.0, 0.0)], axis=-1)


def delayed(y):
    """A state whose elements move through, with one computed element."""
    return np.concatenate([np.cos(y[..., -1:]), y[..., :-1]], axis=-1)


def still(y):
    return y


STEPS = {
    "logistic": (lambda y: 3.7 * y * (1 - y), 1, 0), "lorenz": (lorenz, 3, 0), "heat": (heat, 50, 0),
    "ring": (ring, 24, 24), "schmitt": (schmitt, 2, 2), "bucket": (bucket, 2, 1), "delayed": (delayed, 5, 0),
    "long delay": (delayed, 40, 0), "still": (still, 3, 0), "gru 1": (gru(1), 1, 3), "gru 4": (gru(4), 4, 12),
    "gru 8": (gru(8), 8, 24), "gru 32": (gru(32), 32, 96),
}  # fmt: skip


def make(name, dtype=np.float64, steps=700, sequences=None):
    """A step, its program, states, inputs and the trajectories of its loop in Python, with an axis of sequences."""
    step, n, m = STEPS[name]
    rng = np.random.default_rng(3)
    states = rng.uniform(0.1, 0.9, size=(sequences or 1, n)).astype(dtype)
    inputs = [rng.normal(size=(steps, sequences or 1, m)).astype(dtype)] if m else []
    y, rows = states, []
    for t in range(steps):
        y = step(y, *(x[t] for x in inputs))
        rows.append(y)
    program = record(step, [states[:1], *(x[0, :1] for x in inputs)]).program
    return step, program, states, inputs, np.stack(rows)


@pytest.mark.parametrize("name", STEPS)
def test_the_loop_gives_what_python_gives(name):
    chaotic = name in ("lorenz", "logistic")
    _, program, state, inputs, expected = make(name, steps=60 if chaotic else 700)
    out = np.empty_like(expected)
    Loop(program).run(state, inputs, out, 0, len(expected))
    np.testing.assert_allclose(out, expected, rtol=1e-9 if chaotic else 1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["lorenz", "logistic"])
def test_every_step_of_a_chaotic_loop_is_right(name):
    step, program, state, inputs, expected = make(name, steps=2000)
    out = np.empty_like(expected)
    Loop(program).run(state, inputs, out, 0, len(expected))
    np.testing.assert_allclose(out[1:], step(out[:-1]), rtol=1e-14)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("sequences", [1, 2, 5, 8, 19])
@pytest.mark.parametrize("several", [True, None])
def test_lanes_give_what_the_loop_gives(name, sequences, several):
    chaotic = name in ("lorenz", "logistic")
    _, program, states, inputs, expected = make(name, steps=40 if chaotic else 100, sequences=sequences)
    out = np.empty_like(expected)
    Lanes(program, several=several).run(states, inputs, [out], 0, len(expected))
    np.testing.assert_allclose(out, expected, rtol=1e-9 if chaotic else 1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["gru 4", "gru 32", "logistic", "ring"])
def test_single_precision(name):
    step, n, m = STEPS[name]
    step = gru(n, np.float32) if name.startswith("gru") else step
    rng = np.random.default_rng(3)
    states = rng.uniform(0.1, 0.9, size=(17, n)).astype(np.float32)
    inputs = [rng.normal(size=(30, 17, m)).astype(np.float32)] if m else []
    program = record(step, [states[:1], *(x[0, :1] for x in inputs)]).program
    out = np.empty((30, 17, n), np.float32)
    Lanes(program, several=True).run(states, inputs, [out], 0, 30)
    y = states
    for t in range(30):
        y = step(y, *(x[t] for x in inputs))
        assert y.dtype == np.float32
        np.testing.assert_allclose(out[t], y, rtol=2e-5, atol=1e-6)
        y = out[t]
    one = np.empty((30, 1, n), np.float32)
    Loop(program).run(states[:1], [x[:, :1] for x in inputs], one, 0, 30)
    np.testing.assert_allclose(one, out[:, :1], rtol=2e-3, atol=1e-4)


def test_segments_of_one_sequence_in_lanes():
    _, program, _, inputs, expected = make("gru 4", steps=640)
    starts = np.concatenate([np.full((1, 4), 0.5), expected[79:-1:80, 0]])
    x = inputs[0].reshape(8, 80, 12).swapaxes(0, 1)
    found = np.empty((640, 4))
    Lanes(program).run(starts, [x], [found.reshape(8, 80, 4).swapaxes(0, 1)], 0, 80)
    np.testing.assert_allclose(found[80:], expected[80:, 0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.bool_])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 64])
@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("sequences", [2, 9, 16, pytest.param(37, marks=pytest.mark.slow)])
def test_rows_of_sequences_side_by_side_or_with_gaps(sequences, gap, n, dtype):
    def step(y, x):
        return y ^ x[..., ::-1] if dtype is np.bool_ else y * dtype(0.5) + x[..., ::-1]

    def rows(values):
        """The same values, with a gap behind each row of a sequence."""
        wide = np.full((*values.shape[:-1], n + gap), 1, dtype)
        wide[..., :n] = values
        return wide[..., :n]

    rng = np.random.default_rng(3)
    states, x = ((10 * rng.normal(size=size)).astype(dtype) for size in [(sequences, n), (20, sequences, n)])
    program, out = record(step, [states[:1], x[0, :1]]).program, rows(np.ones_like(x))
    Lanes(program, several=True).run(states, [rows(x)], [out], 0, 20)
    y = states
    for t in range(20):
        y = step(y, x[t])
        np.testing.assert_array_equal(out[t], y)
    if gap:
        assert (out.base[..., n:] == dtype(1)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("sequences", "n"), [(1, 1), (1, 7), (9, 1), (16, 2), (37, 7), (1, 90), (9, 90)])
def test_states_that_are_not_finite_are_noticed(sequences, n, dtype, bad):
    """Also where later states are finite again."""

    def step(y, x):
        return dtype(0.5) * np.fmin(np.fmax(y, -1), 1) + x

    states, x = np.zeros((sequences, n), dtype), np.ones((50, sequences, n), dtype)
    out = np.empty_like(x)
    program = record(step, [states[:1], x[0, :1]]).program

    def are_finite():
        march = Lanes(program, several=sequences > 1).march(states, [x], [out], 0)
        for steps in (20, 30):
            march.tasks(steps)[0]()
            march.advance(steps)
        if sequences == 1:
            assert Loop(program).run(states[0], [x], np.empty_like(x), 0, 50) == march.are_finite
        return march.are_finite

    assert are_finite()
    for place in [(0, 0, 0), (49, -1, -1), (19, sequences // 2, n // 2), (20, -1, 0)]:
        x[place] = bad
        assert not are_finite()
        assert not np.isfinite(out[place])
        x[place] = 1.0
    assert are_finite()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 3, 100])
def test_long_loops_look_at_states_while_they_are_in_the_cache(n, dtype):
    """Some steps at a time; they end with those among which a state is not finite."""
    near = NEAR // (n * np.dtype(dtype).itemsize)
    y, x = np.zeros(n, dtype), np.ones((3 * near + 5, n), dtype)
    loop = Loop(record(lambda y, x: np.fmin(np.fmax(y, -1), 1) * dtype(0.5) + x, [y, x[0]]).program)
    expected, out = np.empty_like(x), np.zeros_like(x)
    assert loop.run(y, [x], expected, 0, len(x))
    np.testing.assert_array_equal(expected[1:], np.minimum(expected[:-1], 1) * dtype(0.5) + 1)
    for t in (0, near - 1, near, 2 * near + 1, 3 * near + 4):
        x[t, t % n] = np.inf
        assert not loop.run(y, [x], out, 0, len(x))
        assert np.isinf(out[t, t % n])
        np.testing.assert_array_equal(out[:t], expected[:t])
        assert not out[t + near + 1 :].any()
        assert loop.run(out[t], [x], out, t + 1, len(x))
        x[t, t % n] = 1.0
        out[...] = 0.0


def test_no_steps_write_nothing():
    out = np.full((5, 2), 7.0)
    loop = Loop(record(lambda y: y + 1.0, [np.zeros(2)]).program)
    for begin in (0, 3, 5):
        assert loop.run(np.zeros(2), [], out, begin, begin)
        assert loop.run(np.zeros(2), [], out, begin, begin, lambda _: None)
    assert (out == 7.0).all()


def test_rows_apart_are_not_looked_at():
    wide = np.zeros((40, 2))
    loop = Loop(record(lambda y: y + 1.0, [np.zeros(1)]).program)
    assert not loop.run(np.zeros(1), [], wide[:, :1], 0, 40)
    np.testing.assert_array_equal(wide, np.column_stack([np.arange(1.0, 41), np.zeros(40)]))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("n", "kept", "is_known"), [(40, 0, True), (40, 3, True), (50, 45, True), (40, 40, False)])
def test_parts_of_states_that_are_not_finite_are_noticed(n, kept, is_known, several):
    """Products that are states are never said to be finite."""
    sign = -np.eye(n)

    def step(y, x):
        moved = np.sin(y[..., kept:] + 1.0) if kept < n else y @ sign
        return np.concatenate([y[..., :kept] * x, moved], -1) if kept < n else moved

    program, sequences = record(step, [np.zeros((1, n)), np.ones((1, n))[:, :kept]]).program, 9 if several else 1
    for bad in (None, 0, kept - 1, kept % n, n - 1):
        states, x, out = np.ones((sequences, n)), np.ones((20, sequences, kept)), np.empty((20, sequences, n))
        if bad is not None:
            states[-1, bad] = np.inf
        with np.errstate(invalid="ignore"):
            march = Lanes(program, several=several).march(states, [x], [out], 0)
            march.tasks(20)[0]()
            march.advance(20)
        assert march.are_finite == (is_known and bad is None)
        assert np.isfinite(out).all() == (bad is None)


MIXING = np.random.default_rng(4).uniform(-1, 1, (40, 40)) / 40


@pytest.mark.parametrize(
    "other",
    [
        lambda y, new: y * new,
        lambda y, new: y * (new @ MIXING),
        lambda y, new: y[..., ::-1] * new,
        lambda y, new: y[..., 3:4] * (new @ MIXING),
        lambda y, new: new @ MIXING,
        lambda y, new: y + 0.0 * new,
    ],
)
@pytest.mark.parametrize("sequences", [3, 16])
def test_old_states_are_read_before_new_ones_are_written(other, sequences):
    n = 40
    starts = np.random.default_rng(5).uniform(0.1, 0.9, (2, sequences, n))

    def step(y, s):
        new = np.tanh(0.9 * y + 0.1)
        return np.concatenate([new, 0.5 * s + other(y, new)], axis=-1)

    program = record(step, [starts[0, :1], starts[1, :1]]).program
    (ids,) = program.results
    program = replace(program, results=(ids[..., :n], ids[..., n:]), dtypes=program.dtypes * 2)
    out, last = np.empty((7, sequences, n)), np.empty((sequences, n))
    Lanes(program, chain=2).run(tuple(starts), [], [out, last], 0, 7)
    y, s = starts
    for t in range(7):
        y, s = np.split(step(y, s), 2, axis=-1)
        np.testing.assert_allclose(out[t], y, rtol=1e-14)
    np.testing.assert_allclose(last, s, rtol=1e-13, atol=1e-15)


def test_inputs_that_all_sequences_share():
    step, program, states, inputs, _ = make("bucket", steps=50, sequences=11)
    shared = np.broadcast_to(inputs[0][:, :1], inputs[0].shape)
    out = np.empty((50, 11, 2))
    Lanes(program).run(states, [shared], [out], 0, 50)
    y = states
    for t in range(50):
        y = step(y, shared[t])
        np.testing.assert_allclose(out[t], y, rtol=1e-12)


@pytest.mark.parametrize("runs", [Loop, Lanes])
def test_a_loop_goes_on_in_the_middle_and_reports(runs):
    _, program, states, inputs, expected = make("gru 4", steps=3000)
    out, seen = np.zeros_like(expected), []
    loop = runs(program)
    outs = [out] if runs is Lanes else out
    loop.run(states, inputs, outs, 0, 1000, seen.append)
    loop.run(out[999], inputs, outs, 1000, 3000, seen.append)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-13)
    assert seen == sorted(set(seen))
    assert {1000, 3000} <= set(seen)


def test_nan_and_infinity_go_through():
    _, program, state, inputs, _ = make("bucket", steps=20)
    inputs[0][5] = np.nan
    out = np.empty((20, 1, 2))
    Loop(program).run(state, inputs, out, 0, 20)
    assert np.isfinite(out[:5]).all()
    assert np.isnan(out[5:, 0, 0]).all()


def test_parameters_do_not_compile_again(monkeypatch):
    from parscan._recorded.native import compilation

    def program(a, matrix):
        return record(lambda y: np.tanh(matrix @ (a * y)), [np.zeros(20)]).program

    Loop(program(0.3, np.full((20, 20), 0.1)))
    monkeypatch.setattr(compilation, "_object_code", None)
    matrix = np.random.default_rng(0).normal(size=(20, 20))
    out = np.empty((3, 20))
    Loop(program(0.7, matrix)).run(np.ones(20), [], out, 0, 3)
    y = np.ones(20)
    for t in range(3):
        y = np.tanh(matrix @ (0.7 * y))
        np.testing.assert_allclose(out[t], y, rtol=1e-12)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer")
def test_a_billion_steps_are_interrupted():
    _, program, state, _, _ = make("logistic", steps=1)
    out = np.lib.stride_tricks.as_strided(np.empty((1, 1, 1)), (10**11, 1, 1), (0, 8, 8))

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            Loop(program).run(state, [], out, 0, 10**11)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_threads_run_one_loop():
    _, program, state, inputs, expected = make("gru 32", steps=2000)
    loop, outs = Loop(program), [np.empty_like(expected) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda out: loop.run(state, inputs, out, 0, 2000), outs))
    for out in outs:
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-13)


def test_where_arrays_begin():
    x = np.random.default_rng(0).normal(size=(10, 4))
    fixed = x.copy()
    fixed.flags.writeable = False
    cuts = (x, x[:, :1], x[::-1], x[:, ::2], x[3:, 1:].T, x[:, ::-1], np.broadcast_to(x[0], (3, 4)), x[1, 1:2, None])
    for array in (*cuts, fixed, fixed[:, :1], np.zeros((0, 2))):
        assert where(array) == address(array), array.strides


def test_once_more():
    """What a repeated solve calls: the same states, and nothing where arrays do not fit."""
    x, y0 = np.random.default_rng(1).normal(size=(50, 3)), np.array([0.3, -0.0])
    steps = Loop(record(lambda y, x: np.sin(y) + x[..., 1:], [y0[None], x[:1]]).program)
    expected = np.empty((50, 2))
    assert steps.run(y0, [x], expected, 0, 50)
    for given in (x, np.stack([x, x])[0], np.pad(x, ((0, 0), (2, 1)))[:, 2:5]):
        march = steps.again([given], np.empty((50, 2)))
        for state in (y0, np.stack([y0, y0], 1)[:, 0]):
            found = np.empty((50, 2))
            assert march(state, [given], found)
            np.testing.assert_array_equal(found, expected)
    bad = x.copy()
    bad[20, 2] = np.nan
    assert not steps.again([bad], np.empty((50, 2)))(y0, [bad], np.empty((50, 2)))
    assert steps.again([x.astype(np.float32)], np.empty((50, 2))) is None
    assert steps.again([x], np.empty((50, 3))[:, :2]) is None
    assert steps.again([x], np.empty((0, 2))) is None

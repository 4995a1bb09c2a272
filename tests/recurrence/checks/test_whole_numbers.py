"""Whole numbers as states: exact, or refused, or reported; never rounded in silence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parscan
from parscan import Status, linear_recurrence, solve_ivp, solve_recurrence

METHODS = ["auto", "jacobi", "newton", "sequential"]


def integers(step, y0, steps):
    """The loop, on Python's integers."""
    y, rows = np.array(y0, dtype=object), []
    for _ in range(steps):
        y = step(y)
        rows.append(y)
    return np.array(rows)


EXACT = {
    "generator of 2**32": (lambda y: (1664525 * y + 1013904223) % 2**32, [12345]),
    "counter": (lambda y: y + 1, [0]),
    "small generator": (lambda y: (1664525 * y + 1013904223) % 2**20, [1]),
    "Fibonacci modulo": (lambda y: np.stack([y[..., 1], (y[..., 0] + y[..., 1]) % 1000003], axis=-1), [0, 1]),
    "halving": (lambda y: y // 2, [2**53]),
    "Collatz": (lambda y: np.where(y % 2 == 0, y // 2, 3 * y + 1), [837799]),
    "digits": (lambda y: (y * 10) % 9973, [7]),
    "negative": (lambda y: -3 * y % 1009 - 500, [-5]),
    "batch": (lambda y: (5 * y + 3) % 8191, [[1], [2], [3]]),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", EXACT)
def test_whole_numbers_are_exact(name, method):
    step, y0 = EXACT[name]
    sol = solve_recurrence(step, np.array(y0), length=600, method=method, **quick(method))
    assert sol.success
    assert sol.y.dtype == np.float64
    assert np.array_equal(sol.y, integers(step, y0, 600).astype(float))


def quick(method):
    """Iterations enough for what converges; what does not is looped, with no warning."""
    return {} if method == "sequential" else {"max_iterations": 100}


pytestmark = pytest.mark.filterwarnings("ignore::parscan.warnings.SlowConvergenceWarning")

INEXACT = {
    "generator of 2**31": (lambda y: (1103515245 * y + 12345) % 2**31, [12345]),
    "generator of 2**36": (lambda y: (1664525 * y + 1013904223) % 2**36, [12345]),
    "generator of 2**64": (lambda y: (6364136223846793005 * y + 1442695040888963407) % 2**64, [1]),
    "minimal standard": (lambda y: (48271 * 48271 * 48271 * y) % (2**31 - 1), [1]),
    "Fibonacci": (lambda y: np.stack([y[..., 1], y[..., 0] + y[..., 1]], axis=-1), [0, 1]),
    "powers": (lambda y: 3 * y, [1]),
    "last bits of squares": (lambda y: (y * y) % 4294967291, [4294967]),
    "late": (lambda y: np.where(y < 2**27 - 100, y + 2**18, (y * y) % 134217689), [3]),
    "one of a batch": (lambda y: (y * y) % np.array([[101], [4294967291]]), [[3], [65537 * 3]]),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", INEXACT)
def test_what_float64_cannot_hold_is_no_success(name, method):
    step, y0 = INEXACT[name]
    try:
        sol = solve_recurrence(step, np.array(y0), length=700, method=method, **quick(method))
    except ValueError as error:
        text = str(error)
    else:
        text = sol.message
        assert not sol.success
        assert sol.status is Status.INEXACT
        expected = integers(step, y0, 700)
        whole = np.isfinite(sol.y)
        first = int(np.argmin(whole.reshape(700, -1).all(axis=1)))
        assert not whole[first].any()
        assert np.array_equal(sol.y[:first], expected[:first].astype(float))
        assert not whole[first:].any()
        assert np.isfinite(sol.residual) == (first > 0)  # of the states before
    assert "float64 has all whole numbers up to 2**53" in text


@given(factor=st.integers(1, 2**40), shift=st.integers(0, 2**30), power=st.integers(4, 50), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_generators_are_right_or_refused(factor, shift, power, seed):
    def step(y):
        return (factor * y + shift) % 2**power

    try:
        sol = solve_recurrence(step, np.array([seed]), length=200)
    except ValueError:
        return
    if sol.success:
        assert np.array_equal(sol.y, integers(step, [seed], 200).astype(float))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_the_range_of_an_integer_dtype_counts(dtype):
    """The loop would overflow where float64 does not: that is said."""
    assert solve_recurrence(lambda y: y + 1, np.zeros(1, dtype), length=100).success
    sol = solve_recurrence(lambda y: y + 1, np.zeros(1, dtype), length=300)
    small = np.iinfo(dtype).max < 300
    assert sol.success != small
    if small:
        assert f"integers ({np.dtype(dtype)}) give" in sol.message


def fill(y):
    """What truncates integers, as a loop over them would, without meaning to."""
    new = np.empty_like(y)
    new[..., 0] = 0.99 * y[..., 0] + 0.1 * y[..., 1]
    new[..., 1] = np.cos(y[..., 0])
    return new


ORDINARY = {
    "decay": (lambda y: 0.5 * y, [3, 4]),
    "division": (lambda y: y / 3 + 1, [1, 2]),
    "cast back": (lambda y: (0.7 * y + 1).astype(y.dtype), [5, 6]),
    "filled": (fill, [1, 0]),
    "rounded": (lambda y: np.floor(y * 0.9) + 1, [100, 3]),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ORDINARY)
def test_integers_of_a_recurrence_on_real_numbers_are_as_floats(name, method):
    step, y0 = ORDINARY[name]
    sol = solve_recurrence(step, np.array(y0), length=300, method=method)
    assert sol.success
    expected = solve_recurrence(step, np.array(y0, float), length=300, method=method).y
    assert np.allclose(sol.y, expected, rtol=1e-9, atol=1e-11)  # segments may be of other lengths


def test_bools_become_numbers():
    sol = solve_recurrence(lambda y: 1 - y, np.array([True, False]), length=100)
    assert sol.success
    assert np.array_equal(sol.y[:2], [[0, 1], [1, 0]])


@pytest.mark.parametrize("value", [2**53 + 1, -(2**60), 2**63 - 1])
def test_initial_values_beyond_are_refused(value):
    with pytest.raises(ValueError, match=r"`y0` has whole numbers up to \d+; .* up to 2\*\*53 only"):
        solve_recurrence(lambda y: y // 2, np.array([value]), length=100)
    with pytest.raises(ValueError, match="`y0` has whole numbers up to"):
        solve_ivp(lambda t, y: -y, (0, 1), [value])
    with pytest.raises(ValueError, match="`b` has whole numbers up to"):
        linear_recurrence(0.5, np.array([value, 1]))
    assert solve_recurrence(lambda y: y // 2, np.array([float(value)]), length=100).success


def test_the_largest_are_taken():
    for value in (2**53, -(2**53)):
        assert solve_recurrence(lambda y: 0.5 * y, np.array([value]), length=10).success
        assert solve_ivp(lambda t, y: -y, (0, 1), [value]).success
    assert linear_recurrence(1.0, np.array([2**53, 0]))[1] == 2**53


USED_AS_INTEGERS = {
    "index": (lambda y: TABLE[y], IndexError),
    "exclusive or": (lambda y: y ^ 5, TypeError),
    "shift": (lambda y: (y << 3) % 31, TypeError),
    "invert": (lambda y: ~y, TypeError),
    "and": (lambda y: y & 7, TypeError),
    "range": (lambda y: y + sum(range(int(y[0, 0]))) + TABLE[y], IndexError),
    "take": (lambda y: np.take(TABLE, y), TypeError),
}
TABLE = np.array([3, 1, 4, 1, 5, 9, 2, 6])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", USED_AS_INTEGERS)
def test_a_state_used_as_an_integer_is_noted(name, method):
    step, error = USED_AS_INTEGERS[name]
    for y0 in ([2], [2.0]):
        with pytest.raises(error) as caught:
            solve_recurrence(step, np.array(y0), length=100, method=method)
        assert any("States are float64" in note and "table[y.astype(int)]" in note for note in caught.value.__notes__)


def test_other_errors_have_no_such_note():
    for step in (lambda y: TABLE[100] + y, lambda y, x: y, lambda y: y + "a"):
        with pytest.raises((IndexError, TypeError)) as caught:
            solve_recurrence(step, np.array([2]), length=100)
        assert not any("States are float64" in note for note in caught.value.__notes__)


def test_the_note_is_right():
    sol = solve_recurrence(lambda y: TABLE[y.astype(int)].astype(float) % 8, np.array([2]), length=100)
    assert sol.success
    y = 2
    for t in range(100):
        y = TABLE[y] % 8
        assert sol.y[t, 0] == y


def test_integers_returned_are_refused_with_advice():
    with pytest.raises(TypeError, match=r"returned dtype int64 .*\.astype\(y.dtype\)"):
        solve_recurrence(lambda y: TABLE[y.astype(int)], np.array([2]), length=100)


def test_the_status_is_public():
    assert parscan.Status.INEXACT.value == "The whole numbers are not exact in float64."


@pytest.mark.parametrize("length", [2, 3, 500])
def test_the_whole_number_after_the_last_exact_one_is_not_rounded_to_it(length):
    with pytest.raises(
        ValueError, match=r"at step 1 `step` gives 9007199254740992, where integers .* 9007199254740993"
    ):
        solve_recurrence(lambda y: y + 1, np.array([2**53 - 1]), length=length)
    assert solve_recurrence(lambda y: y + 1, np.array([2**53 - 1]), length=1).y[0, 0] == 2**53

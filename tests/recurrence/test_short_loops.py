"""Loops that `auto` chooses at once: they take little more than a plain loop, and all faults of the step are found."""

import itertools
import sys
import weakref
from math import inf

import numpy as np
import pytest
from problems import loop

from parscan import Diagonal, Status, solve_recurrence
from parscan._functions.step import Step
from parscan._recurrence import brief, choose
from parscan.warnings import NondeterministicStepWarning

RNG = np.random.default_rng(11)
X = 1 + RNG.uniform(0, 1, (100, 2))
W = RNG.standard_normal((2, 2)) / 3


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Whatever the first steps take, the loop is chosen."""
    monkeypatch.setattr(choose, "BRIEF", inf)


def mixing(y, x):
    return np.tanh(y @ W + x)


RIGHT = {
    "inputs": (mixing, np.zeros(2), X),
    "batch": (mixing, np.zeros((3, 2)), RNG.standard_normal((100, 3, 2))),
    "tuple": (lambda y, x: np.where(y > x[0], y - x[1], 1.01 * y + 0.1), np.zeros(2), (X, X[:, :1])),
    "single precision": (mixing, np.zeros(2, np.float32), X.astype(np.float32)),
    "complex": (lambda y, x: 0.9j * y + x, np.zeros(2, complex), X),
    "large states": (lambda y, x: np.sin(y) + x, np.zeros(3000), X[:, :1]),
}


@pytest.mark.parametrize("steps", [1, 2, 9, 63, 100])
@pytest.mark.parametrize("name", RIGHT)
def test_one_call_besides_those_of_the_loop(name, steps):
    step, y0, x = RIGHT[name]
    if name == "single precision":
        step = lambda y, x: np.tanh(y @ W.astype(np.float32) + x)  # noqa: E731
    x = tuple(part[:steps] for part in x) if isinstance(x, tuple) else x[:steps]
    sol = solve_recurrence(step, y0, x, compile=False)
    assert sol.success
    assert sol.status is Status.SEQUENTIAL
    assert sol.nfev == steps + 1
    np.testing.assert_array_equal(sol.y, loop(step, y0, x))


def test_slow_steps_that_are_too_few_for_sweeps(monkeypatch):
    monkeypatch.setattr(choose, "BRIEF", 0.0)
    monkeypatch.setattr(brief, "BRIEF", 0.0)
    sol = solve_recurrence(mixing, np.zeros(2), X, compile=False)
    assert sol.nfev == 101
    assert "sweeps do not pay over fewer than 128 steps" in sol.message


@pytest.mark.parametrize("steps", [1, 8, 9, 100, 128, 129, 300])
def test_one_march_of_the_first_steps_and_those_after_them(monkeypatch, steps):
    marched, march = [], Step.march

    def watched(self, y, start, stop, *others):
        marched.append((start, stop))
        return march(self, y, start, stop, *others)

    monkeypatch.setattr(Step, "march", watched)
    seen, x = [], RNG.standard_normal((steps, 2))
    sol = solve_recurrence(mixing, np.zeros(2), x, compile=False, progress=lambda now: seen.append(now.done))
    ends = [*range(128, steps, 128), steps]
    assert marched == list(zip([0, *ends], ends, strict=False))
    assert seen == ends
    assert (sol.looped, sol.nfev) == (max(steps - 8, 0), steps + 1)
    np.testing.assert_array_equal(sol.y, loop(mixing, np.zeros(2), x))


@pytest.mark.parametrize("slow", [1, 3, 6])
def test_a_pause_in_the_first_steps_is_none_of_theirs(monkeypatch, clock, slow):
    monkeypatch.setattr(choose, "BRIEF", 0.1)
    number = itertools.count()

    def step(y, x):
        clock.now += 1.0 if next(number) == slow else 1e-5
        return mixing(y, x)

    assert solve_recurrence(step, np.zeros(2), X, compile=False).nfev == 101


NOT_BROADCASTING = {
    "sum over all": lambda y, x: 0.5 * y + x / (1 + np.abs(x).sum()),
    "first row": lambda y, x: 0.5 * y + x[:1],
    "growing, mixed rows": lambda y, x: 0.1 * y @ y.T @ x + x,
    "a branch": lambda y, x: 0.5 * y + x if y[..., 0] > 0 else x,
    "one at a time": lambda y, x: 0.5 * y + x.reshape(1, 2),
}


@pytest.mark.parametrize("steps", [2, 8, 40, 100])
@pytest.mark.parametrize("name", NOT_BROADCASTING)
def test_a_step_that_does_not_broadcast(name, steps):
    with pytest.raises(ValueError, match="`step` does not broadcast over leading axes"):
        solve_recurrence(NOT_BROADCASTING[name], np.ones(2), X[:steps])


def test_a_small_component_that_does_not_broadcast():
    def step(y, x):
        small = 1e-12 * (0.5 * y[..., 1] * 1e12 + x[..., 1] - 0.1 * x[..., 1].mean())
        return np.stack([0.9 * y[..., 0] + x[..., 0], small], axis=-1)

    with pytest.raises(ValueError, match="does not broadcast"):
        solve_recurrence(step, np.zeros(2), X)


def test_random_numbers():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="without random numbers or memory"):
        solve_recurrence(lambda y: 0.5 * y + rng.standard_normal(y.shape), np.zeros(1), length=100)


def test_noise_that_begins_late():
    rng, calls = np.random.default_rng(0), []

    def step(y, x):
        calls.append(1)
        return 0.5 * y + x + (rng.standard_normal(y.shape) if 40 < len(calls) <= 101 or len(calls) > 110 else 0)

    with pytest.warns(NondeterministicStepWarning, match="differs by .* tolerances at step"):
        sol = solve_recurrence(step, np.zeros(2), X)
    assert not sol.success


def test_a_wrong_jacobian():
    def jac(y, x):
        return 1 - np.tanh(0.5 * y + x) ** 2

    arguments = (lambda y, x: np.tanh(0.5 * y + x), np.zeros(2), X)
    assert solve_recurrence(*arguments, jac=lambda y, x: 0.5 * jac(y, x), structure=Diagonal).success
    with pytest.raises(ValueError, match="`jac` disagrees with finite differences"):
        solve_recurrence(*arguments, jac=jac, structure=Diagonal)


def test_a_jacobian_takes_two_more_calls_now_and_then():
    def jac(y, x):
        return (1 - np.tanh(y @ W + x) ** 2)[..., None] * W.T

    found = [solve_recurrence(mixing, np.zeros(2), X, jac=jac, compile=False) for _ in range(10)]
    assert [sol.njev for sol in found] == [1, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    assert all(sol.nfev == 101 + 2 * sol.njev for sol in found)


def test_a_jacobian_is_checked_again_with_other_functions_and_arguments():
    def jac(y, x, a, w):
        return np.full(y.shape, 0.5)

    def step(y, x, a, w):
        return a * y + w * x

    def other(y, x, a, w):
        return a * y - w * x

    w, numbers = np.ones(2), []
    for function, args in (
        (step, (0.5, w)), (step, (0.5, w)), (other, (0.5, w)), (step, (0.5, w)), (step, (0.5, np.ones(2)))
    ):  # fmt: skip
        sol = solve_recurrence(function, np.zeros(2), X, jac=jac, structure=Diagonal, args=args, compile=False)
        numbers.append(sol.njev)
    assert numbers == [1, 0, 1, 1, 1]
    for _ in range(2):
        with pytest.raises(ValueError, match="`jac` disagrees with finite differences"):
            solve_recurrence(step, np.zeros(2), X, jac=jac, structure=Diagonal, args=(0.6, w))
    del function
    gone = weakref.ref(other)
    del other
    assert gone() is None
    options = {"length": 9, "jac": True, "structure": Diagonal, "compile": False}
    pair = [solve_recurrence(lambda y: (0.5 * y, 0 * y + 0.5), np.ones(2), **options) for _ in range(2)]
    assert [sol.njev for sol in pair] == [1, 1]


def test_a_jacobian_where_the_step_takes_no_stack_of_many_states():
    def step(y, x):
        if len(y) > 9:
            raise ValueError("too many")
        return np.tanh(0.5 * y + x)

    def jac(y, x):
        return 0.5 * (1 - np.tanh(0.5 * y + x) ** 2)

    arguments = (step, np.zeros(2), X[:9])
    assert solve_recurrence(*arguments, jac=jac, structure=Diagonal).success
    with pytest.raises(ValueError, match="`jac` disagrees with finite differences"):
        solve_recurrence(*arguments, jac=lambda y, x: 0.9 * jac(y, x), structure=Diagonal)


@pytest.mark.parametrize("scale", [1.0, 1e-9], ids=["alike", "one is small"])
def test_a_jacobian_that_is_wrong_for_one_component(scale):
    size = np.array([1.0, scale])

    def jac(y, x):
        return np.cos(0.5 * y / size + x) * np.array([0.5, 0.4])

    arguments = (lambda y, x: size * np.sin(0.5 * y / size + x), np.zeros(2), X)
    with pytest.raises(ValueError, match="`jac` disagrees with finite differences"):
        solve_recurrence(*arguments, jac=jac, structure=Diagonal)


@pytest.mark.parametrize("n", [2, 100])
def test_a_step_that_writes_to_its_argument(n):
    def step(y, x):
        y *= 0.5
        y += x
        return y

    sol = solve_recurrence(step, np.zeros(n), X[:, :1])
    assert sol.success
    np.testing.assert_array_equal(sol.y, loop(lambda y, x: 0.5 * y + x, np.zeros(n), X[:, :1]))


@pytest.mark.parametrize("shape", [(2,), (100,), (3, 2)], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_step_that_returns_its_own_array(order, shape):
    """The same array at every call, or one whose entries lie in another order."""
    kept = {}

    def step(y, x, a):
        found = kept.setdefault(len(y), np.zeros(y.shape, order=order))
        found[...] = a * y + x[0] - x[1]
        return found

    inputs = (RNG.standard_normal((50, *shape)), RNG.standard_normal((50, *shape[:-1], 1)))
    sol = solve_recurrence(step, np.ones(shape), inputs, args=(0.7,), method="sequential", compile=False)
    np.testing.assert_array_equal(sol.y, loop(lambda y, x: 0.7 * y + x[0] - x[1], np.ones(shape), inputs))


@pytest.mark.parametrize("n", [2, 100])
@pytest.mark.parametrize("fault", ["raises", "returns a list"])
def test_a_step_that_fails_in_the_midst(fault, n):
    def step(y, x):
        if x[0, 0] == 57.0:
            if fault == "raises":
                raise OverflowError("too hot")
            return [0.0]
        return 0.5 * y + 1.0

    x = np.arange(100.0)[:, None]
    with pytest.raises((OverflowError, TypeError)) as caught:
        solve_recurrence(step, np.ones(n), x)
    if fault == "raises":
        assert "for the time steps 57:58:1" in caught.value.__notes__[0]
    x[30] = np.nan  # the exception is a consequence of a state that is not finite
    sol = solve_recurrence(lambda y, x: step(y, x) + 0 * x, np.ones(n), x, method="sequential")
    assert "step 30 of 100" in sol.message


def calls(run):
    """Calls of functions of Python and of C in it."""
    counted = [0]

    def count(frame, event, argument):
        counted[0] += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return counted[0]


def test_checks_of_a_short_loop_take_few_calls():
    def jac(y):
        return np.broadcast_to(np.diag([0.5, 0.5]), (*y.shape, 2))

    def solve(**options):
        solve_recurrence(lambda y: 0.5 * y, np.ones(2), length=1, **options)

    for options, most in (({}, 240), ({"jac": jac}, 440)):
        solve(**options)  # loads what is loaded once
        assert calls(lambda options=options: solve(**options)) <= most


def test_states_that_are_not_finite():
    x = X.copy()
    for late in (3, 12, 50):
        x[late] = np.inf
        sol = solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros(2), x)
        assert f"step {late} of 100" in sol.message
        x[late] = 1.0

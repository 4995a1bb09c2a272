"""What steps hand over: the same values as are stored, by fewer operations, up to the first NaN."""

import numpy as np
import pytest

from parscan import solve_recurrence
from parscan._recorded.native.kernel import kernel
from parscan._recorded.native.loop import Loop
from parscan._recorded.record import record

T = 400
RNG = np.random.default_rng(5)


def waiting(y, x):
    return np.maximum(y + x, 0.0)


def from_below(y, x):
    """Another zero, and the sign of the result shows in the other component."""
    a = np.minimum(y[..., :1] + x, -0.0)
    return np.concatenate([a, np.copysign(1.0, y[..., :1])], -1)


def at_a_zero(y, x):
    return np.maximum(y * x, -0.0)


def chosen(y, x):
    """Limits among what conditions choose."""
    a, b = y[..., 0], y[..., 1]
    new = np.where(x[..., 0] > 0.5, np.maximum(a - x[..., 0], 0.0), np.minimum(a + 0.1, 0.0))
    return np.stack([new, np.where(x[..., 0] < 0, -b, np.maximum(b + x[..., 0], 0.0))], -1)


def neuron(y, x):
    """A branch on a value that is waited for, with a limit in one of its arms."""
    v, rest = y[..., 0], y[..., 1]
    grown = np.where(rest > 0.0, 0.0, v + 0.25 * (1.2 + x[..., 0] - v))
    fires = grown > 1.0
    return np.stack([np.where(fires, 0.0, grown), np.where(fires, 2.0, np.maximum(rest - 0.5, 0.0))], -1)


def in_both(y, x):
    """The same limit in both arms of a branch, and beside it."""
    a, b = y[..., 0], y[..., 1]
    least = np.maximum(a * x[..., 0], 0.0)
    high = a * a * a + b * b + a * b > 0.3
    return np.stack([np.where(high, least, np.minimum(b + 0.1, 0.0)), np.where(high, 0.5 * b + 0.2, least)], -1)


def sinking(y, x):
    """Sums that are limited: the second one may be -0.0, as its constant is a zero."""
    return np.maximum(np.concatenate([y[..., :1] - 0.25 + x, y[..., 1:] * x], -1) + LIFTED.astype(y.dtype), 0.0)


LIFTED = np.array([0.125, -0.0])


STEPS = {step.__name__: (step, n) for step, n in
         ((waiting, 1), (from_below, 2), (at_a_zero, 1), (chosen, 2), (neuron, 2), (in_both, 2),
          (sinking, 2))}  # fmt: skip


def inputs(dtype=np.float64):
    """Numbers of both signs with zeros of both signs among them, so that sums and products are zeros, too."""
    x = RNG.standard_normal((T, 1)).astype(dtype)
    x[::7], x[3::7] = 0.0, -0.0
    return x


def trajectories(step, n, x, dtype=np.float64):
    """By code and by the function."""
    y = np.full(n, -0.0, dtype)
    program = record(step, [y[None], x[:1]]).program
    found, expected, state = np.empty((T, n), dtype), np.empty((T, n), dtype), y[None]
    Loop(program).run(y, [x], found, 0, T)
    with np.errstate(all="ignore"):
        for t in range(T):
            expected[t] = state = step(state, x[t : t + 1]).astype(dtype)
    return found, expected


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", STEPS)
def test_states_are_those_of_the_function_with_their_signs(name, dtype):
    step, n = STEPS[name]
    found, expected = trajectories(step, n, inputs(dtype), dtype)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", STEPS)
def test_a_state_that_is_not_finite_is_stored(name, bad):
    """States up to the first one that is not finite are those of the function."""
    step, n = STEPS[name]
    x = inputs()
    x[211] = bad
    found, expected = trajectories(step, n, x)
    wrong = np.flatnonzero(~np.isfinite(expected).all(axis=1))
    end = wrong[0] + 1 if wrong.size else T
    np.testing.assert_array_equal(found[:end], expected[:end])


@pytest.mark.parametrize("name", ["waiting", "neuron"])
def test_a_solve_ends_at_a_nan_as_the_loop_does(name):
    step, n = STEPS[name]
    x = np.abs(inputs()) if name == "waiting" else inputs()
    x[350] = np.nan
    sol, expected = (solve_recurrence(step, np.zeros(n), x, method="sequential", compile=way) for way in (True, False))
    np.testing.assert_array_equal(sol.y, expected.y)
    assert sol.success == expected.success
    assert sol.compiled


def test_one_instruction_is_waited_for():
    """The next step takes the choice, not the number without its sign, which is stored."""
    lines = kernel(record(waiting, [np.zeros((1, 1)), np.zeros((1, 1))]).program, chain=1).text.splitlines()
    [absolute] = [line.split()[0] for line in lines if "call double @llvm.fabs" in line]
    [phi] = [line for line in lines if "%state0 = phi" in line]
    assert any(line.strip().startswith(f"store double {absolute}") for line in lines)
    assert absolute not in phi
    several = kernel(record(waiting, [np.zeros((1, 1)), np.zeros((1, 1))]).program, chain=1, lanes=4)
    assert several.text.count("fcmp ogt") == 1


@pytest.mark.parametrize(("constant", "instructions"), [(0.5, 1), (-0.0, 3)])
def test_sums_with_a_number_other_than_zero_are_limited_by_one_instruction(constant, instructions):
    program = record(lambda y: np.maximum(0.5 * y + constant, 0.0), [np.ones((1, 1))]).program
    text = kernel(program, chain=1).text
    assert text.count("fcmp ogt") + text.count("call double @llvm.fabs") == instructions

"""Short loops of usual arguments leave out checks and layers: they must do and say what all others do."""

import subprocess
import sys
from math import inf

import numpy as np
import pytest
from all_layers import all_of_it, told
from hypothesis import example, given
from hypothesis import strategies as st

import parscan
from parscan._recurrence import choose, code
from parscan._recurrence.solve import _checked_task
from parscan._recurrence.usual import USUAL, usual_task

STATES = {
    "one": np.array([0.5]),
    "two": np.array([0.5, -0.7]),
    "single": np.array([0.5, 0.7], np.float32),
    "complex": np.array([0.5j, 0.7]),
    "single complex": np.array([0.5j, 0.7], np.complex64),
    "batch": np.full((3, 2), 0.3),
    "strided": np.linspace(0, 1, 12).reshape(3, 4).T[:, ::2],
    "empty batch": np.zeros((0, 2)),
    "no components": np.zeros((3, 0)),
    "number": np.array(0.5),
    "NaN": np.array([0.5, np.nan]),
    "whole": np.array([1, 2]),
    "flags": np.array([True, False]),
    "half": np.array([0.5, 0.7], np.float16),
    "long": np.array([0.5, 0.7], np.longdouble),
    "swapped": np.array([0.5, 0.7]).astype(np.dtype("f8").newbyteorder()),
    "with metadata": np.array([0.5, 0.7]).astype(np.dtype("f8", metadata={"unit": "m"})),
    "objects": np.array([0.5, None]),
    "subclass": np.array([0.5, 0.7]).view(np.recarray),
    "masked": np.ma.masked_array([0.5, 0.7], [0, 1]),
    "list": [0.5, 0.7],
    "text": "y",
}
LENGTHS = (None, 0, 1, 2, 9, 100, -1, 2.0, True, np.int64(9))
INPUTS = {
    "none": lambda steps: None,
    "numbers": np.arange,
    "columns": lambda steps: np.linspace(0.0, 1.0, steps)[:, None],
    "single": lambda steps: np.ones((steps, 1), np.float32),
    "flags": lambda steps: np.ones((steps, 1), bool),
    "NaN": lambda steps: np.where(np.arange(steps) == 4, np.nan, 0.1)[:, None],
    "late NaN": lambda steps: np.where(np.arange(steps) == 40, np.nan, 0.1)[:, None],
    "number": lambda steps: np.array(0.5),
    "objects": lambda steps: np.array([None] * steps),
    "tuple": lambda steps: (np.ones((steps, 1)), np.zeros((steps, 1))),
    "uneven tuple": lambda steps: (np.ones((steps, 1)), np.zeros((steps + 1, 1))),
    "tuple of numbers": lambda steps: (np.ones((steps, 1)), np.array(0.5)),
    "tuple with a list": lambda steps: ([[0.1]] * steps, np.ones((steps, 1))),
    "empty tuple": lambda steps: (),
    "list": lambda steps: [[0.1]] * steps,
}


def decaying(y, *given):
    return (0.5 * y).astype(y.dtype)


def forced(y, *given):
    return 0.5 * y + (given[0] if given and not isinstance(given[0], tuple) else 0.1)


def growing(y, *given):
    return 1e30 * y * y


def writing(y, *given):
    y *= 0.5
    return y


def shrinking(y, *given):
    return y[..., :1]


def listing(y, *given):
    return [0.5]


def coupling(y, *given):
    return 0.5 * y + 0.0 * y + 1e-3 * y.sum()


def made_failing():
    calls = []

    def failing(y, *given):
        calls.append(y)
        if len(calls) == 12:
            raise ValueError("the twelfth call")
        return 0.5 * y

    return failing


STEPS = {
    one.__name__: (lambda one=one: one) for one in (decaying, forced, growing, writing, shrinking, listing, coupling)
}
STEPS |= {"failing": made_failing, "no function": lambda: "step"}


@pytest.fixture(autouse=True, scope="module")
def _steady():
    """Whatever the first steps take, the same is chosen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "BRIEF", inf)
        patch.setattr(code, "WORTH_RECORDING", inf)
        patch.setattr(code, "WORTH_RUNNING", inf)
        yield


@given(
    *(st.sampled_from(list(one)) for one in (STATES, INPUTS, LENGTHS, STEPS)),
    st.sampled_from([(), (2.0,), [], None]),
    st.sampled_from([None, False, 1]),
    st.sampled_from([0, 1, 9, 70]),
)
@example("two", "none", 100, "decaying", (), None, 0)
@example("two", "none", 100, "failing", (), None, 0)
@example("two", "columns", None, "failing", (), False, 9)
@example("two", "none", 100, "growing", (), None, 0)
@example("single", "columns", None, "forced", (), None, 70)
@example("two", "NaN", None, "forced", (), None, 70)
@example("two", "late NaN", None, "forced", (), None, 70)
@example("two", "none", 100, "coupling", (), False, 0)
@example("two", "none", 9, "writing", (), False, 0)
@example("with metadata", "none", 9, "decaying", (), False, 0)
@example("two", "number", None, "decaying", (), None, 9)
@example("two", "tuple", None, "forced", (), None, 9)
@example("two", "tuple", 9, "forced", (), None, 9)
@example("two", "uneven tuple", None, "forced", (), None, 9)
@example("two", "empty tuple", None, "forced", (), None, 9)
@example("two", "empty tuple", 9, "forced", (), None, 9)
@example("two", "none", 2.0, "decaying", (), None, 9)
@example("two", "none", 9, "decaying", (), 1, 9)
def test_as_with_all_checks(state, inputs, length, step, args, compiles, steps):
    y0, x = STATES[state], INPUTS[inputs](steps)
    found, expected = (
        one(STEPS[step](), y0, x, length=length, args=args, compile=compiles, residual=step != "writing")
        for one in (told, all_of_it)
    )
    assert found == expected


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("state", STATES)
def test_the_task_is_that_of_all_checks(state, inputs):
    given = decaying, STATES[state], INPUTS[inputs](9), 9 if inputs == "none" else None, (), None, USUAL
    found = usual_task(*given)
    if found is None:
        return
    expected = _checked_task(*given)
    assert found.options == expected.options
    assert found.tolerance == expected.tolerance
    assert type(found.step.x) is type(expected.step.x)
    for name in ("y0", "given", "x", "guess", "steps"):
        one, other = (getattr(task.arrays, name) for task in (found, expected))
        assert type(one) is type(other)
        for part, like in zip(*(each if isinstance(each, tuple) else (each,) for each in (one, other)), strict=True):
            assert type(part) is type(like)
            np.testing.assert_array_equal(part, like)
    one, other = found.arrays, expected.arrays
    assert one.y0.dtype is other.y0.dtype
    assert one.y0.strides == other.y0.strides
    assert not np.shares_memory(one.y0, one.given)
    parts = one.x if isinstance(one.x, tuple) else () if one.x is None else (one.x,)
    assert not any(part.flags.writeable for part in parts)
    assert found.trajectory.shape == expected.trajectory.shape
    assert found.trajectory.dtype is expected.trajectory.dtype


USUAL_ONES = ("one", "two", "single", "complex", "single complex", "batch", "strided", "NaN")


@pytest.mark.parametrize("state", USUAL_ONES)
def test_usual_arguments_are_recognized(state):
    assert usual_task(decaying, STATES[state], None, 9, (), None, USUAL) is not None
    assert usual_task(decaying, STATES[state], np.ones((9, 1)), None, (), False, USUAL) is not None
    assert usual_task(decaying, STATES[state], (np.ones((9, 1)), np.arange(9)), None, (), None, USUAL) is not None


OTHERS = (True, parscan.Diagonal, "jacobi", 0, 1e-3, 1e-3, 7, 5, 5, 0, True)


@pytest.mark.parametrize("place", range(len(OTHERS)))
def test_other_arguments_are_checked(place):
    others = (*USUAL[:place], OTHERS[place], *USUAL[place + 1 :])
    assert usual_task(decaying, STATES["two"], None, 9, (), None, others) is None


def test_too_large_trajectories_are_checked(limit_memory):
    assert usual_task(decaying, STATES["two"], None, 100, (), None, USUAL) is not None
    limit_memory(unasked=1599)
    assert usual_task(decaying, STATES["two"], None, 100, (), None, USUAL) is None
    assert usual_task(decaying, STATES["two"], None, 2**50, (), None, USUAL) is None


WATCHED = """
import sys
seen = set()
sys.setprofile(lambda frame, event, _: seen.add(frame.f_code.co_name))
import parscan
sys.setprofile(None)
assert {"brief_loop", "usual_task", "result_of_loop", "single_rows", "broadcasts"} <= seen
before = set(sys.modules)
from parscan._recurrence.solve import BUDGET, _rehearse
_rehearse()
assert set(sys.modules) == before, set(sys.modules) - before
assert BUDGET.spent == 0
"""


def test_the_rehearsal_takes_the_way_of_short_loops_and_leaves_nothing():
    subprocess.run([sys.executable, "-W", "error", "-c", WATCHED], check=True)

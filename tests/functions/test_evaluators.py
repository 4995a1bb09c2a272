"""Ways of evaluating a user's function: the first that is verified is used, until a solution contradicts it."""

import numpy as np
import pytest

from parscan._functions.evaluators import ONE_BY_ONE, STACKED, Evaluators
from parscan._functions.right_hand_side import RightHandSide
from parscan._functions.step import Step
from parscan._linalg.dense import Dense


class Compiled:
    """As a translation would be: the function is not called."""

    stacks = True

    def __init__(self, translation):
        self.translation = translation

    def values(self, function, points, states):
        return self.translation(points, states)


def decay(t, y):
    return -y


def verifying(function, points, states):
    """A verification against single calls, and the evaluators that were verified."""
    asked = []

    def verify(evaluator):
        asked.append(evaluator)
        expected = ONE_BY_ONE.values(function, points, states)
        return "" if np.allclose(evaluator.values(function, points, states), expected) else "gives other values"

    return verify, asked


T, Y = np.array([0.0, 1.0]), np.array([[1.0, 2.0], [3.0, 4.0]])


def test_the_first_is_used_if_it_is_right():
    compiled = Compiled(lambda t, y: -y)
    verify, asked = verifying(RightHandSide(decay, None, (), Y[0]), T, Y)
    evaluators = Evaluators(verify, compiled, STACKED, ONE_BY_ONE)
    assert asked == []  # until it is needed
    assert evaluators.best is compiled
    assert evaluators.best is compiled
    assert asked == [compiled]


def test_the_next_is_used_if_the_first_is_wrong():
    wrong = Compiled(lambda t, y: y)
    verify, asked = verifying(RightHandSide(decay, None, (), Y[0]), T, Y)
    evaluators = Evaluators(verify, wrong, STACKED, ONE_BY_ONE)
    assert evaluators.best is STACKED
    assert evaluators.obstacle(wrong) == "gives other values"
    assert evaluators.obstacle(STACKED) == ""
    assert asked == [wrong, STACKED]


def test_what_a_solution_contradicts_is_withdrawn_one_by_one():
    compiled = Compiled(lambda t, y: -y)
    evaluators = Evaluators(lambda evaluator: "", compiled, STACKED, ONE_BY_ONE)
    for evaluator, following in ((compiled, STACKED), (STACKED, ONE_BY_ONE)):
        assert evaluators.best is evaluator
        evaluators.withdraw(evaluator, "gives something else on the solution")
        assert evaluators.best is following
    assert evaluators.obstacle(STACKED) == "gives something else on the solution"


def test_the_last_needs_no_verification():
    def verify(evaluator):
        raise AssertionError

    assert Evaluators(verify, ONE_BY_ONE).best is ONE_BY_ONE


def test_a_right_hand_side_by_each_of_them():
    compiled = RightHandSide(decay, None, (), Y[0], evaluator=Compiled(lambda t, y: -y))
    stacked, alone = (RightHandSide(decay, None, (), Y[0], evaluator=evaluator) for evaluator in (STACKED, ONE_BY_ONE))
    for rhs in (compiled, stacked, alone):
        assert np.array_equal(rhs(T, Y), -Y)
    assert [rhs.counts.nfev for rhs in (compiled, stacked, alone)] == [0, 1, 2]
    assert [rhs.counts.npoints for rhs in (stacked, alone)] == [2, 2]


def test_a_jacobian_by_each_of_them():
    seen = []

    def jac(t, y):
        seen.append(y.shape)
        return [[0 * y[0] - 1, 0 * y[0]], [0 * y[0], 0 * y[0] - 1]]

    for evaluator in (STACKED, ONE_BY_ONE):
        rhs = RightHandSide(decay, jac, (), Y[0], jac_evaluator=evaluator)
        assert np.array_equal(rhs.jacobian(T, Y, Y), np.broadcast_to(-np.eye(2), (2, 2, 2)))
        assert rhs.counts.njev == 1
    assert seen == [(2, 2), (2,), (2,)]


@pytest.mark.parametrize(("evaluator", "calls"), [(STACKED, 1), (ONE_BY_ONE, 2)])
def test_a_step_by_both_of_them(evaluator, calls):
    step = Step(lambda y, x: y + x, np.arange(10.0)[:, None], (), None, Dense(), np)
    assert np.array_equal(evaluator.values(step, range(1, 9, 4), Y), Y + np.array([[1.0], [5.0]]))
    assert step.counts.nfev == calls
    assert step.counts.npoints == 2


def test_copies_share_the_counts():
    rhs = RightHandSide(lambda t, y, a: a * y, None, (1.0,), Y[0])
    for other in (rhs, rhs.with_args((2.0,)), rhs.strict(), rhs.within(0.0, 0.5), rhs.without_jacobian()):
        other(T, Y)
    assert rhs.counts.nfev == 5

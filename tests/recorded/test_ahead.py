"""Operations on some arguments alone, evaluated ahead: the rest with constants gives the same values."""

import everyday
import numpy as np
import pytest

from parscan._recorded.ahead import Ahead
from parscan._recorded.graph import CONSTANT, INPUT
from parscan._recorded.record import record

CASES = [case for case in everyday.CASES if case.reason is None and len(case.arguments) > 1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_values_are_those_of_the_program(case, rng):
    arguments = [rng.uniform(0.5, 2, shape) for shape, _, _ in case.arguments]
    program = record(case.function, arguments, case.constants).program
    ahead = Ahead(program, range(1, len(arguments)))
    for _ in range(2):
        expected, found = program(*(one[None] for one in arguments)), None
        found = ahead.rest(arguments[1:])(*(one[None] for one in arguments))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
        arguments = [one + 0.125 for one in arguments]


def test_nothing_that_depends_on_them_alone_is_left():
    def function(y, x, theta):
        gate = 1 / (1 + np.exp(-theta))
        return y * gate @ np.outer(gate, np.tanh(theta)) + x * theta

    arguments = [np.ones(3), np.ones(3), np.arange(3.0)]
    program = record(function, arguments, ()).program
    ahead = Ahead(program, [2])
    rest = ahead.rest([arguments[2]])
    assert {"exp", "tanh", "divide"}.isdisjoint(one.operation for one in rest.blocks)
    assert {"exp", "tanh"} <= {one.operation for one in program.blocks}
    assert not rest.reads(2)
    used = np.zeros(rest.size, dtype=bool)
    for ids in (*rest.results, *(ids for one in rest.blocks for ids in one.operands)):
        used[ids] = True
    assert all(used[one.first : one.first + one.count].any() for one in rest.blocks if one.operation != INPUT)
    assert any(one.operation == CONSTANT for one in rest.blocks)
    assert set(ahead.nodes) <= set(range(program.size))

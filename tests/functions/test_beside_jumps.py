"""Values beyond a jump that is some roundings away, and others."""

import numpy as np
import pytest

from parscan._functions.verify import are_beside_jumps

TIMES = np.array([1.0, 2.0])


def jumping(t, states):
    return np.where(states > t[:, None], 1.0, 2.0) * np.ones(2)


@pytest.mark.parametrize(
    ("apart", "expected"), [(2.0**-52, True), (-(2.0**-52), True), (1e-12, False), (-1e-12, False)]
)
def test_jumps_within_roundings(apart, expected):
    states = np.full((2, 2), TIMES[:, None] * (1 + apart))
    values = jumping(TIMES, states)
    assert are_beside_jumps(values, values, 1e-8, TIMES, states, jumping)
    assert are_beside_jumps(3 - values, values, 1e-8, TIMES, states, jumping) == expected


def test_other_values_are_none_of_the_function():
    states = np.full((2, 2), TIMES[:, None])
    values = jumping(TIMES, states)
    values[1, 0] = 1.5
    assert not are_beside_jumps(values, jumping(TIMES, states), 1e-8, TIMES, states, jumping)

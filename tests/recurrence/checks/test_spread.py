"""The steps of a sample: spread evenly, of every place in a segment, and in no rhythm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parscan._recurrence.checks.spread import PLACES, spread


@given(steps=st.integers(0, 300), count=st.integers(1, 64), length=st.integers(1, 40))
def test_the_steps_are_those_of_the_trajectory_and_every_place_is_there(steps, count, length):
    times = list(spread(steps, count, length))
    assert times == sorted(set(times))
    assert all(0 < t < steps for t in times)
    assert len(times) >= min(steps - 1, max(count, PLACES * length)) // 4
    if steps >= 3 * length * PLACES:
        assert len({t % length for t in times}) >= 0.6 * length


@pytest.mark.parametrize("steps", [3000, 64 * 24 * 10, 2**20])
def test_every_part_has_one(steps):
    gaps = np.diff([0, *spread(steps, 64), steps])
    assert gaps.max() < 2 * steps / 64


@pytest.mark.parametrize("period", [2, 7, 24, 48, 64])
@pytest.mark.parametrize("steps", [64 * 24 * 10, 64 * 7 * 48 * 5, 2**20])
def test_no_phase_of_a_period_is_left_out(steps, period):
    """With one step in each 24 * 10, all steps of the sample would be at the same hour."""
    met = {t % period for t in spread(steps, 64)}
    assert len(met) >= min(period, 64) * 0.4

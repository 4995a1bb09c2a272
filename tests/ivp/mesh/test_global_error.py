"""The growth of errors along a trajectory, and its bound."""

import numpy as np
import pytest

from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.scale import Scale
from parscan._ivp.core.tableaux import radau
from parscan._ivp.mesh.global_error import growth, largest_growth


def trajectory(rng, batch=(), intervals=6, n=3):
    t = np.linspace(0, 1, intervals + 1)
    y = rng.normal(size=(intervals + 1, *batch, n)) * 10.0 ** rng.integers(-9, 9, size=n)
    trial = PiecewisePolynomial(radau(3), t, y, np.zeros((intervals, 3, *batch, n)))
    return trial, rng.normal(size=(intervals, *batch, n, n)) * 10 ** rng.normal()


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("batch", [(), (2,)])
def test_growth_is_bounded(seed, batch):
    trial, propagators = trajectory(np.random.default_rng(seed), batch)
    for scale in (Scale(1e-6, np.asarray(1e-9)), Scale(np.asarray([1e-3, 1e-6, 1e-9]), np.asarray([0.0, 1e-6, 1.0]))):
        bound = largest_growth(propagators, trial, scale)
        assert growth(propagators, trial, scale) <= bound * (1 + 1e-12)


def test_bound_of_numbers_that_are_not_finite():
    trial, propagators = trajectory(np.random.default_rng(0))
    propagators[2, 0, 0] = np.nan
    assert not largest_growth(propagators, trial, Scale(1e-6, np.asarray(0.0))) <= 1e300
    trial.y[-1] = 0.0
    assert not largest_growth(np.ones((6, 3, 3)), trial, Scale(1e-6, np.asarray(0.0))) <= 1e300


def test_a_corrected_trajectory_shares_its_mesh():
    trial, _ = trajectory(np.random.default_rng(1))
    mesh, lengths = trial.mesh, trial.lengths
    other = trial.corrected(trial.y + 1, trial.stages)
    assert other.mesh is mesh
    assert other.lengths is lengths
    assert np.array_equal(other.both_ends.y, trial.y + 1)

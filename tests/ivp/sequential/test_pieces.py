"""Polynomials of the steps of SciPy's solvers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import DOP853

from parscan._ivp.sequential.pieces import Dop853Polynomial


@given(share=st.floats(-0.05, 1.05), scale=st.sampled_from([1e-12, 1.0, 1e12]), sign=st.sampled_from([1.0, -1.0]))
@pytest.mark.parametrize("y0", [[1.0], [1.0, -2.0, 3.0], [1.0 + 2.0j, -1.0j]])
def test_a_step_of_dop853_at_one_time_is_that_of_scipy(y0, share, scale, sign):
    y0 = scale * np.asarray(y0)
    solver = DOP853(lambda t, y: np.cos(t) * y, 3.0, y0, 3.0 + 5.0 * sign, rtol=1e-8, atol=1e-10 * scale)
    for _ in range(2):
        solver.step()
    piece = solver.dense_output()
    t = float(solver.t_old + share * (solver.t - solver.t_old))
    size = 4 * np.spacing(np.abs(piece.y_old).max() + np.abs(piece.F).sum())
    np.testing.assert_allclose(Dop853Polynomial(piece)(t), piece(t), rtol=0, atol=size)
    np.testing.assert_array_equal(Dop853Polynomial(piece)(np.asarray([t, 3.0])), piece(np.asarray([t, 3.0])))

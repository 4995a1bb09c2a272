"""
What is promised of errors by default, on every problem of the tests and from practice.

No success is off by more than a hundred tolerances; without jumps, errors are within ten of them from 1e-4 on.
"""

import warnings

import numpy as np
import pytest
from promised import PROBLEMS
from told import told

from parscan import solve_ivp

pytestmark = pytest.mark.roads("code")

RTOLS = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12)

STRICT, WITHIN, NEVER = 1e-4, 10.0, 100.0


@pytest.mark.few(3)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda one: one.name)
def test_no_success_is_far_off(problem):
    for rtol in RTOLS:
        with told(problem.name, rtol), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            tolerances = {"rtol": rtol, "atol": rtol * problem.scale}
            sol = solve_ivp(problem.make(), problem.span, problem.y0, args=problem.args, **tolerances)
            error = problem.error(sol, rtol) if sol.success else 0.0
            assert error <= NEVER or (problem.is_chaotic and "grow to such errors" in sol.message)
            if rtol <= STRICT and not (problem.jumps or problem.is_chaotic):
                assert sol.success
                assert error <= WITHIN

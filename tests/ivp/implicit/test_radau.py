"""The march on arrays: its order for each index, and its failures."""

from dataclasses import replace

import numpy as np
import pytest

from parscan._ivp.compiled.equations import record_equations
from parscan._ivp.implicit import radau
from parscan._ivp.implicit.mass import as_mass
from parscan._ivp.implicit.prepared import prepared
from parscan._ivp.implicit.problem import ImplicitProblem
from tests.support.implicit import PROBLEMS

ORDERS = {0: (5,), 1: (5,), 2: (5, 3), 3: (5, 3, 2)}
"""Orders of components of the indices 1, 2 and 3: Hairer, Lubich and Roche 1989, table 2.3."""


def errors(problem, parts, tolerance=1e-3):
    """Errors at the end with steps of equal length, the equations of which are solved to rounding."""
    begin, end = problem.span
    y0, h = problem.exact(begin), (end - begin) / parts
    mass = as_mass(problem.mass, y0.shape[0], problem.fun, ())
    made = ImplicitProblem(
        problem.fun, mass, None, (), problem.span, y0, None, tolerance, tolerance, np.asarray(tolerance)
    )
    ready = prepared(replace(made, max_step=h, first_step=h), record_equations(made), moves=True)
    march = radau.Radau(ready.problem, ready.pencils)
    march._enough = 1e-12
    steps = march.run()
    assert steps.failure is None
    assert steps.polynomial.intervals == parts
    return np.abs(steps.polynomial.y[-1] - problem.exact(end))


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_order(problem, monkeypatch):
    monkeypatch.setattr(radau, "ITERATIONS", 40)
    coarse, fine = errors(problem, 20), errors(problem, 40)
    for index, order in enumerate(ORDERS[problem.index], start=1):
        some = np.array(problem.components) == index
        found = np.log2(np.linalg.norm(coarse[some]) / np.linalg.norm(fine[some]))
        assert order - 0.3 <= found <= order + 1.3, (index, found)

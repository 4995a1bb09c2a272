"""The index of implicit problems, and pencils that are singular."""

import numpy as np
import pytest

from parscan._ivp.compiled.equations import record_equations
from parscan._ivp.implicit.index import SingularError, index_of
from parscan._ivp.implicit.mass import as_mass
from parscan._ivp.implicit.pencil import Pencils
from parscan._ivp.implicit.problem import ImplicitProblem
from tests.support.implicit import PROBLEMS
from tests.support.seeds import seeds


def pendulum_pencil(index):
    x, y, u, v, force = 0.6, -0.8, 0.4, 0.3, 1.1
    by_slope = np.diag([1.0, 1.0, 1.0, 1.0, 0.0])
    by_state = np.zeros((5, 5))
    by_state[0, 2] = by_state[1, 3] = -1
    by_state[2, [0, 4]], by_state[3, [1, 4]] = (force, x), (force, y)
    rows = {
        3: [2 * x, 2 * y, 0, 0, 0],
        2: [u, v, x, y, 0],
        1: [-2 * force * x, -2 * force * y - 9.81, 2 * u, 2 * v, -1],
    }
    by_state[4] = rows[index]
    return by_state, by_slope


COMPONENTS = {1: [1, 1, 1, 1, 1], 2: [1, 1, 1, 1, 2], 3: [1, 1, 2, 2, 3]}


@pytest.mark.parametrize("index", [1, 2, 3])
@pytest.mark.parametrize("seed", seeds(3, 20))
def test_the_index_depends_on_no_units_no_order_and_no_combination_of_equations(index, seed):
    rng = np.random.default_rng(seed)
    by_state, by_slope = pendulum_pencil(index)
    found = index_of(by_state, by_slope, is_exact=True)
    assert (found.of_problem, found.of_components.tolist()) == (index, COMPONENTS[index])
    rows, columns = (10 ** rng.uniform(-4, 4, 5) for _ in range(2))
    order = rng.permutation(5)
    scaled = [(rows[:, None] * one * columns)[:, order] for one in (by_state, by_slope)]
    found = index_of(*scaled, is_exact=True)
    assert (found.of_problem, found.of_components.tolist()) == (index, np.array(COMPONENTS[index])[order].tolist())
    mixed = rng.normal(size=(5, 5))
    found = index_of(mixed @ by_state, mixed @ by_slope, is_exact=True)
    assert (found.of_problem, found.of_components.tolist()) == (index, COMPONENTS[index])


def test_a_regular_matrix_at_the_slopes_is_of_index_0():
    assert index_of(np.ones((2, 2)), np.array([[1.0, 2.0], [0.0, 1.0]]), is_exact=True).of_problem == 0


def test_an_index_above_3_is_refused():
    with pytest.raises(SingularError, match=r"index of the equations is above 3.*rows 3"):
        index_of(np.eye(4), np.diag(np.ones(3), 1), is_exact=True)


@pytest.mark.parametrize(
    ("by_state", "by_slope", "words"),
    [
        ([[1, 1], [0, 0]], [1, 0], "singular by their structure.*row 1 of `fun` and component 1 of `y`"),
        ([[1, 0, 0], [1, 0, 0], [0, 1, 1]], [1, 1, 0], "row . of `fun` and component"),
        ([[1, 1], [1, 1]], [0, 0], r"determine no solution.*rows 0, 1 of `fun`, components 0, 1 of `y`"),
    ],
)
def test_singular_pencils_are_named(by_state, by_slope, words):
    """The second one: two equations for a component whose derivative is in both, and one for two components."""
    pair = np.array(by_state, dtype=float), np.diag(np.array(by_slope, dtype=float))
    if words.startswith("row ."):
        pair = pair[0], np.array([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 0]])
    with pytest.raises(SingularError, match=words):
        index_of(*pair, is_exact=True)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_table_of_problems(problem):
    y0 = problem.exact(0.3)
    mass = as_mass(problem.mass, y0.shape[0], problem.fun, ())
    made = ImplicitProblem(problem.fun, mass, None, (), problem.span, y0, None, 1e-6, 1e-6, np.asarray(1e-6))
    for recorded in (record_equations(made), "it is not"):
        pencils = Pencils(made, recorded)
        assert pencils.is_exact == (not isinstance(recorded, str))
        found = index_of(*pencils(0.3, y0, np.zeros_like(y0)), is_exact=pencils.is_exact)
        assert (found.of_problem, tuple(found.of_components.tolist())) == (problem.index, problem.components)

"""Segments, their propagators, and the march from one stage to the next."""

import array_api_strict as xp
import numpy as np
import pytest
from problems import N, each_structure, random_array

from parscan import Dense, Diagonal, solve_recurrence
from parscan._engine.tolerance import Tolerance
from parscan._functions.differences import forward
from parscan._functions.step import Step
from parscan._recurrence import cost as _cost
from parscan._recurrence.systems.propagation import Shooting, States, Tangents
from parscan._recurrence.systems.segments import Segments

TOLERANCE = Tolerance(1e-10, 1e-12)


def turning(rng, steps, n=3):
    """A different matrix at every step, so that the order of products matters; bent by a tanh."""
    x = 0.5 * rng.standard_normal((steps, n, n))

    def step(y, x):
        return np.tanh((x @ y[..., None])[..., 0] + 0.1)

    def jac(y, x):
        return (1 - step(y, x) ** 2)[..., None] * x

    return step, jac, x


def unchanged(matrices):
    return matrices


def into_one_buffer(function):
    """The same function, which overwrites what it returned before."""
    buffers = {}

    def reusing(*arguments):
        value = function(*arguments)
        buffer = buffers.setdefault(value.shape, value)
        buffer[...] = value
        return buffer

    return reusing


@pytest.mark.parametrize("length", [1, 2, 5, 7, 30])
@pytest.mark.parametrize("kind", ["tangents", "tangents into one buffer", "shooting"])
def test_propagators_are_the_derivatives_of_the_ends(kind, length, rng):
    function, jac, x = turning(rng, 30)
    jacobians = {"tangents": jac, "tangents into one buffer": into_one_buffer(jac), "shooting": None}
    step = Step(function, x, (), jacobians[kind], Dense(), np)
    shooting = Shooting(step, Dense(), Dense(), unchanged, 3)
    propagation = shooting if kind == "shooting" else Tangents(step, Dense(), unchanged)
    trajectory = np.empty((30, 3))
    system = Segments(step, propagation, trajectory, 0, 30, length, TOLERANCE)
    z = random_array(rng, (system.nodes, 3), np.float64)
    line = system.linearise(z, 0)
    assert line.nodes is z

    for p in range(system.nodes - 1):

        def march_one(start, p=p):
            y = start
            for t in range(p * length, (p + 1) * length):
                y = function(y, x[t : t + 1])
            return y

        assert np.allclose(line.targets[p], march_one(z[p : p + 1])[0], atol=1e-14)
        if p:  # that of the first is never used
            expected = forward(march_one, z[p : p + 1], Dense())[0]
            assert np.allclose(line.propagator.matrices[p], expected, atol=1e-6)


def test_a_guess_starts_each_segment_where_the_one_before_it_ends(rng):
    guess = rng.standard_normal((20, 2))
    step = Step(lambda y: y, None, (), None, Dense(), np)
    for start, stop, length in ((0, 20, 6), (3, 17, 4), (0, 20, 1), (5, 6, 3)):
        system = Segments(step, States(step), np.empty((20, 2)), start, stop, length, TOLERANCE, guess)
        z = system.guess(np.zeros(2))
        assert z.shape == (system.nodes, 2)
        assert all(np.array_equal(z[p], guess[system.time_of(p) - 1]) for p in range(1, system.nodes))


@each_structure
def test_components_that_pass_zero_beside_large_ones_are_differentiated(structure):
    """Every other component is of size 1e-10 and zero at one of the states; the rest are of size 1e10."""
    states = np.tile(np.array([[1e10, 1e-10], [2e10, 0.0], [1e10, -2e-10]]), N // 2)

    def function(y):
        return np.where(np.arange(N) % 2 == 0, 0.5 * y, 1e-10 * np.sin(1e10 * y))

    found = np.linalg.diagonal(structure.to_dense(forward(function, states, structure)))
    assert np.allclose(found[:, ::2], 0.5)
    assert np.allclose(found[:, 1::2], np.cos(1e10 * states[:, 1::2]), atol=1e-6)


def test_many_components_of_their_own_take_no_more_calls():
    """Segments march together as long as what they carry is small; a full matrix of these would be 500 times it."""
    options = {"jac": lambda y: 0.5 + 0 * y, "structure": Diagonal, "method": "newton", "segment_length": 10}
    few, many = (solve_recurrence(lambda y: 0.5 * y + 1, np.ones(n), length=3000, **options) for n in (1, 1000))
    assert many.njev == few.njev


@pytest.mark.parametrize(("call", "state"), [(1e-5, 1e-8), (1e-5, 1e-6), (1e-3, 1e-5)])
def test_costs_are_measured(call, state, clock):
    clock.call, clock.state = call, state
    cost = _cost.Stopwatch(Step(clock.timed(lambda y: y), None, (), None, Dense(), np), np.ones((8, 3)), 10_000).cost
    assert cost.looped == pytest.approx(call + state)
    assert cost.call == pytest.approx(call)
    assert cost.state == pytest.approx(state)


def test_little_is_spent_on_measuring_a_step_that_gains_nothing(clock):
    clock.call, clock.state = 0.0, 1e-3
    cost = _cost.Stopwatch(Step(clock.timed(lambda y: y), None, (), None, Dense(), np), np.ones((8, 3)), 500).cost
    assert clock.states <= 3 + 8
    assert _cost.sweeps(cost, 500, _cost.best_length(cost, 500)) > 500 * cost.looped


def test_what_a_library_loads_for_a_size_is_not_its_cost(clock):
    """Kernels of a device are compiled, and its libraries loaded, at a first call."""
    sizes = set()

    def loading(y):
        if y.shape[0] not in sizes:
            sizes.add(y.shape[0])
            clock.now += 100.0
        return y

    step = Step(clock.timed(loading), None, (), None, Dense(), xp)
    cost = _cost.Stopwatch(step, xp.ones((8, 3)), 10_000).cost
    assert cost.looped == pytest.approx(clock.call + clock.state)
    assert cost.call == pytest.approx(clock.call)
    assert cost.state == pytest.approx(clock.state)

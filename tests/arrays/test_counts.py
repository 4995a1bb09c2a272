"""Numbers among the arguments: the same mistake is the same error, whatever takes the number."""

import re

import numpy as np
import pytest

from parscan import BlockDiagonal, StackedDiagonal, solve_ivp, solve_recurrence
from parscan._arrays.counts import as_count


def recurrence(**options):
    return solve_recurrence(lambda y: 0.5 * y, np.ones(2), **{"length": 100, **options})


def ode(**options):
    return solve_ivp(lambda t, y: -y, (0, 1), [1.0, 2.0], **options)


def gradient(**options):
    sol = solve_recurrence(lambda y, a: a * y, np.ones(2), length=10, args=(0.5,))
    return sol.gradient(np.ones((10, 2)), (0,), vjp=lambda adjoint, y, a: (np.sum(adjoint * y),), **options)


TAKERS = {
    "`length`": lambda value: recurrence(length=value),
    "`max_iterations`": lambda value: recurrence(max_iterations=value),
    "`segment_length`": lambda value: recurrence(segment_length=value),
    "`window`": lambda value: recurrence(window=value),
    "`window` of an ODE": lambda value: ode(window=value),
    "`stages`": lambda value: ode(stages=value),
    "`steps_per_call`": lambda value: gradient(steps_per_call=value),
    "`size` of BlockDiagonal": BlockDiagonal,
    "`parts` of StackedDiagonal": StackedDiagonal,
}
each = pytest.mark.parametrize("name", TAKERS)


@each
@pytest.mark.parametrize("value", [2.5, 2.0, True, np.True_, np.float64(2), "2", "many", [2], 1j], ids=repr)
def test_the_wrong_kind_is_a_type_error(name, value):
    with pytest.raises(TypeError, match=f"{name.split(' of an')[0]} must be an integer, got {re.escape(repr(value))}"):
        TAKERS[name](value)


@each
def test_the_wrong_value_is_a_value_error(name):
    with pytest.raises(ValueError, match=f"{name.split(' of an')[0]} must be at least [01], got -3"):
        TAKERS[name](-3)


@each
@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2), np.array(2)], ids=repr)
def test_integers_of_any_kind_are_taken(name, value):
    TAKERS[name](value)  # without `assert`: an integer that is refused raises


REALS = {
    "`rtol`": lambda value: recurrence(rtol=value),
    "`atol`": lambda value: recurrence(atol=value),
    "`rtol` of an ODE": lambda value: ode(rtol=value),
    "`atol` of an ODE": lambda value: ode(atol=value),
    "`max_step`": lambda value: ode(max_step=value),
    "`first_step`": lambda value: ode(method="LSODA", first_step=value),
    "`min_step`": lambda value: ode(method="LSODA", min_step=value),
}


@pytest.mark.parametrize("name", REALS)
@pytest.mark.parametrize("value", [True, 1j, np.complex128(1)], ids=repr)
def test_what_is_no_real_number_is_a_type_error(name, value):
    with pytest.raises(TypeError, match=f"{name.split(' of an')[0]} must be a number, got {re.escape(repr(value))}"):
        REALS[name](value)


@pytest.mark.parametrize("name", ["`max_step`", "`first_step`", "`min_step`", "`rtol`", "`atol`"])
def test_nor_is_a_string(name):
    with pytest.raises(TypeError, match=f"{name} must be a number, got 'small'"):
        REALS[name]("small")


@pytest.mark.parametrize("name", ["t_eval", "mesh", "jumps"])
def test_times_are_real(name):
    with pytest.raises(TypeError, match=f"`{name}` must be real times, got complex128"):
        ode(**{name: np.array([0, 1j])})


def test_a_count_is_an_int():
    assert type(as_count("n", np.int64(3))) is int
    assert as_count("n", 0, least=0) == 0
    assert BlockDiagonal(np.int64(2)) == BlockDiagonal(2)
    assert type(BlockDiagonal(np.int64(2)).size) is int

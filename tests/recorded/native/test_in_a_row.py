"""Short steps with branches are copied: the copies are the same steps, for any number of them."""

import numpy as np
import pytest
from problems import loop

from parscan._recorded.native import compilation
from parscan._recorded.native.in_a_row import COPIES
from parscan._recorded.native.kernel import JUMPS, kernel
from parscan._recorded.native.loop import Loop
from parscan._recorded.record import record

RNG = np.random.default_rng(3)


def neuron(y, x):
    v, rest = y[..., 0], y[..., 1]
    grown = np.where(rest > 0.0, 0.0, v + 0.25 * (1.2 + x[..., 0] - v))
    fires = grown > 1.0
    return np.stack([np.where(fires, 0.0, grown), np.where(fires, 2.0, np.maximum(rest - 0.5, 0.0))], -1)


def conditions(y, x):
    """Two of them, and an input that only some of their values need."""
    a, b = y[..., 0], y[..., 1]
    high = a * a + b * b + a * b > 0.3
    low = a * b * b - b > 0.1
    return np.stack([np.where(high, 0.9 * a, b + x[..., 0]), np.where(low, 0.5 * b, a * x[..., 0])], -1)


STEPS = {step.__name__: step for step in (neuron, conditions)}


def program_of(step, n=2):
    return record(step, [np.zeros((1, n)), np.zeros((1, 1))]).program


@pytest.mark.parametrize("steps", [1, 2, COPIES - 1, COPIES, COPIES + 1, 3 * COPIES + 5])
@pytest.mark.parametrize("name", STEPS)
def test_steps_are_those_of_the_function(name, steps):
    x, y0 = RNG.standard_normal((steps, 1)), np.array([0.2, 0.1])
    found = np.full((steps + 1, 2), 7.0)
    assert Loop(program_of(STEPS[name])).run(y0, [x], found[:steps], 0, steps)
    np.testing.assert_array_equal(found[:steps], loop(STEPS[name], y0, x))
    assert (found[steps] == 7.0).all()  # nothing is written behind them


def copies_of(program, **options):
    """Steps in a row, and single ones."""
    text = kernel(program, chain=1, **options).text
    copies = 1 + sum(line.startswith("step_") and line.endswith(":") for line in text.splitlines())
    assert (JUMPS in text) == (copies > 1)
    return copies


@pytest.mark.parametrize("name", STEPS)
def test_what_is_copied(name):
    program = program_of(STEPS[name])
    assert copies_of(program) == COPIES + 1
    assert copies_of(program, watched=True) == 1
    assert "step_1" not in kernel(program, chain=1, lanes=4).text


def test_steps_with_fewer_branches_or_many_operations_are_not_copied():
    def one_branch(y, x):
        return np.where(y * y * y + x > 0.3, 0.5 * y, y + x)

    def many(y, x):
        for _ in range(10):
            y = neuron(y, x)
        return y

    assert copies_of(program_of(one_branch, 1)) == copies_of(program_of(many)) == 1


def test_code_passes_over_known_conditions():
    """After the state was set to 0, no step compares it with 1."""
    text = kernel(program_of(neuron), chain=1).text
    module = compilation.llvm.parse_assembly(text)
    before = str(module)
    compilation._connect_jumps(module)
    assert str(module) != before
    assert compilation._object_code(text) == bytes(compilation._machine().emit_object(module))

"""Text is written once for programs that differ in constants of the table: their kernels are those written anew."""

from dataclasses import replace

import everyday
import numpy as np
import pytest
from seeds import seeds

from parscan._recorded.native import kernel as _kernel
from parscan._recorded.native.evaluate import evaluate
from parscan._recorded.native.kernel import kernel
from parscan._recorded.native.loop import Loop
from parscan._recorded.native.same_text import structure
from parscan._recorded.native.text import UnsupportedError
from parscan._recorded.record import record

RNG = np.random.default_rng(0)
CASES = [case for case in everyday.CASES if case.reason is None]
MODES = ({"chain": 1}, {"chain": 0}, {"chain": 0, "lanes": 4})


@pytest.fixture(autouse=True)
def _empty():
    _kernel._kept.clear()
    yield
    _kernel._kept.clear()


def varied(program, change):
    """A program with other constants; blocks that share a table share the new one."""
    tables = {}

    def vary(block):
        if block.data is None or block.operation == "input" or block.data.dtype.kind != "f":
            return block
        return block._replace(data=tables.setdefault(id(block.data), change(block.data).astype(block.dtype)))

    return replace(program, blocks=tuple(map(vary, program.blocks)), _cache={})


@pytest.mark.parametrize("number", seeds(len(CASES) // 3, len(CASES)), ids=lambda k: f"{k}-{CASES[k].name}")
def test_a_kernel_with_other_constants_is_the_one_that_would_be_written(number):
    case = CASES[number]
    program = record(case.function, [np.zeros(shape) for shape, _, _ in case.arguments], case.constants).program
    for mode in MODES:
        if mode["chain"] and program.arguments[0].shape != program.results[0].shape:
            continue
        for change in (lambda data: 2 * data, lambda data: data * RNG.uniform(1, 1.1, data.shape), np.sqrt):
            with np.errstate(all="ignore"):
                other = varied(program, change)
            try:
                kernel(program, **mode)
                found = kernel(other, **mode)
                _kernel._kept.clear()
                wanted = kernel(other, **mode)
            except UnsupportedError:
                continue
            assert found.text == wanted.text
            assert found.scratch == wanted.scratch
            assert found.external == wanted.external
            np.testing.assert_array_equal(found.table, wanted.table)


def program_of(function):
    return record(function, [np.zeros(3)]).program


def threshold(limit, reset):
    """Two conditions."""

    def step(y):
        fires = y * y * y > limit
        return np.where(fires, reset, np.where(y < -limit, -reset, y + 0.1))

    return step


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [((1.0, 0.0), (3.0, 0.0), False), ((3.0, 0.5), (5.0, 0.7), True), ((3.0, 0.0), (3.0, -0.0), False),
     ((3.0, 2.0), (3.0, 1.0), False)],
)  # fmt: skip
def test_numbers_that_stand_in_the_text_of_short_steps(one, other, equal):
    programs = [record(threshold(*numbers), [np.zeros(1)]).program for numbers in (one, other)]
    texts = [kernel(program, chain=1).text for program in programs]
    assert (texts[0] == texts[1]) == equal
    for program, numbers in zip(programs, (one, other), strict=True):
        found, y = np.empty((50, 1)), np.array([0.7])
        Loop(program).run(y, [], found, 0, 50)
        for state in found:
            y = threshold(*numbers)(y)
            np.testing.assert_array_equal(state, y)
            np.testing.assert_array_equal(np.signbit(state), np.signbit(y))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (lambda y: y * 3.0, lambda y: y * 5.0, True),
        (lambda y: y / 3.0, lambda y: y / 5.0, True),
        (lambda y: y / 3.0, lambda y: y / 4.0, False),
        (lambda y: y / 2.0, lambda y: y / 4.0, False),
        (lambda y: y**1.7, lambda y: y**1.8, True),
        (lambda y: y**1.7, lambda y: y**1.5, False),
        (lambda y: y**2.5, lambda y: y**1.5, False),
        (lambda y: np.maximum(y, 1.0), lambda y: np.maximum(y, 2.0), True),
        (lambda y: np.maximum(y, 1.0), lambda y: np.maximum(y, np.nan), False),
        (lambda y: np.maximum(y - 1.0, 0.0), lambda y: np.maximum(y - 2.0, 0.0), True),
        (
            lambda y: np.maximum(y - np.array([1.0, 2.0, 3.0]), 0.0),
            lambda y: np.maximum(y - np.arange(3.0), 0.0),
            False,
        ),
        (lambda y: np.maximum(np.nan, y), lambda y: np.maximum(2.0, y), False),
        (lambda y: y * 3.0 + 3.0, lambda y: y * 3.0 + 4.0, False),
        (lambda y: np.interp(y, [0.1, 1.5], [2.3, 5.5]), lambda y: np.interp(y, [0.3, 2.5], [2.1, 4.7]), True),
        (lambda y: y * np.arange(3.0), lambda y: y * np.arange(3.0)[::-1], False),
        (lambda y: y * np.array([3.0, 4.0, 5.0]), lambda y: y * np.array([6.0, 7.0, 8.0]), True),
    ],
)
def test_programs_with_the_same_text(one, other, equal):
    one, other = program_of(one), program_of(other)
    assert (structure(one) == structure(other)) == equal
    y = np.array([[0.5, 1.5, 2.5]])
    for program in (one, other, one):
        np.testing.assert_allclose(evaluate(program, y)[0], program(y)[0], rtol=1e-15)


def test_the_number_of_kernels_is_bounded():
    for k in range(_kernel.KEPT + 20):
        kernel(program_of(lambda y, k=k: sum(y[0] * (j + 3.5) for j in range(k + 1)) + y), chain=0)
    assert len(_kernel._kept) <= _kernel.KEPT

"""Programs as functions in other machine code, against their evaluation by NumPy."""

import numpy as np
import pytest

from parscan._recorded.differentiate import jacobian
from parscan._recorded.native.driver import Fields, Machine, Module
from parscan._recorded.native.expressions import Value
from parscan._recorded.native.layout import address
from parscan._recorded.native.memory import SHARED, UNIT
from parscan._recorded.native.routine import routine
from parscan._recorded.record import record

MATRIX = np.random.default_rng(1).normal(size=(24, 24)) / 5


def pendulum(t, y, p):
    return np.array([y[1], -p[0] * np.sin(y[0]) - p[1] * y[1] + 0.1 * np.cos(3.0 * t)])


def coupled(t, y, p):
    return np.tanh(MATRIX @ y) * p[0] - np.roll(y, 1) * np.exp(-t) + p[1]


def long(t, y, p):
    return p[0] * (np.roll(y, -1) - np.roll(y, 2)) * np.roll(y, 1) - y + p[1] * t


ZEROS = [np.zeros(()), np.zeros(2), np.zeros(2)]

PROBLEMS = {"pendulum": (pendulum, 2), "coupled": (coupled, 24), "long": (long, 200)}


def module(programs, lanes, modes, fields):
    """A driver that evaluates each program once on the same arguments."""
    for k, one in enumerate(programs[0].arguments):
        shared = lanes > 1 and modes[k] == SHARED
        fields.add(f"argument{k}", one.dtype, max(int(np.prod(one.shape)), 1), 1 if shared else lanes)
    for number, program in enumerate(programs):
        fields.add(f"result{number}", program.dtypes[0], program.results[0].size, lanes)
    routines = [routine(f"f{number}", program, lanes, modes) for number, program in enumerate(programs)]
    found = Module(np.arange(3.0), routines, fields)
    arguments = [found.code.pointer("%memory", fields.offset(f"argument{k}")) for k in range(3)]
    for number in range(len(programs)):
        found.call(f"f{number}", *arguments, found.code.pointer("%memory", fields.offset(f"result{number}")))
    return found.driver()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
@pytest.mark.parametrize("name", PROBLEMS)
def test_values(name, lanes, dtype):
    """The function and its Jacobian in one module, with parameters per lane or the same for all."""
    fun, n = PROBLEMS[name]
    rng = np.random.default_rng(2)
    given = [rng.uniform(0.2, 1, (lanes, *shape)).astype(dtype) for shape in ((), (n,), (2,))]
    recording = record(fun, [one[0] for one in given])
    programs = [recording.program]
    if n < 50:
        entries = jacobian(recording.graph, recording.result, recording.arguments[1])[2]
        programs.append(recording.extract(entries))
    for parameters in (UNIT, SHARED) if lanes > 1 else (UNIT,):
        fields = Fields()
        driver = module(programs, lanes, [UNIT, UNIT, parameters, UNIT], fields)
        machine = Machine(driver, programs)
        memory = machine.memory()
        views = machine.views(memory)
        arguments = [given[0], given[1], given[2] if parameters == UNIT else given[2][:1]]
        for k, one in enumerate(arguments):
            views[f"argument{k}"][...] = one.reshape(len(one), -1).T
        machine.run(memory, 1)
        arguments[2] = np.broadcast_to(arguments[2], given[2].shape)
        for number, one in enumerate(programs):
            expected = one(*arguments)[0].reshape(lanes, -1).T
            rtol = 1e-13 if dtype is np.float64 else 1e-5
            np.testing.assert_allclose(views[f"result{number}"], expected, rtol=rtol, atol=rtol)


def test_other_constants_need_no_other_code():
    def given(scale):
        return record(lambda t, y, p: scale * y + MATRIX[:2, :2] @ y * scale + t + p[0], ZEROS).program

    programs = [given(0.75), given(-2.5)]
    driver = module(programs[:1], 1, (), Fields())
    for program in programs:
        machine = Machine(driver, [program])
        memory = machine.memory()
        views = machine.views(memory)
        views["argument1"][:, 0] = 1.0, 2.0
        machine.run(memory, 1)
        expected = program(np.zeros(1), np.array([[1.0, 2.0]]), np.zeros((1, 2)))[0][0]
        np.testing.assert_allclose(views["result0"][:, 0], expected, rtol=1e-14)


def test_constants_of_the_driver_come_first():
    program = record(pendulum, ZEROS).program
    driver = module([program], 1, (), Fields())
    np.testing.assert_array_equal(driver.table([program])[:24].view(float), np.arange(3.0))
    assert address(driver.table([program])) % 64 == 0


def many_kinds(t, y, p):
    """Calls of functions beside each other, tables, remainders, conditions, and constants that are results."""
    table = np.interp(t + y[0], np.array([0.0, 0.5, 1.0, 2.0]), np.array([1.0, -1.0, 0.5, 2.0]))
    a, b = np.sin(y), np.where(y[1] > p[0], np.exp(y[1]), np.fmod(y[0], p[1]))
    return np.array([a[0] * table, np.maximum(a[1], 0.25) + b % 0.3, 0.75, p[1] ** 1.5 - y[2] * np.arctan2(y[0], t)])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("lanes", [1, 4])
def test_written_out(lanes, dtype):
    """A program in the lines of the driver, twice, as the same program in a function of its own."""
    rng = np.random.default_rng(3)
    given = [rng.uniform(0.2, 1, (lanes, *shape)).astype(dtype) for shape in ((), (4,), (2,))]
    program = record(many_kinds, [one[0] for one in given]).program
    fields = Fields()
    for k, one in enumerate(given):
        fields.add(f"argument{k}", dtype, max(one[0].size, 1), lanes)
    fields.add("result", program.dtypes[0], 2, 4, lanes)
    module = Module(np.zeros(1), [routine("f", program, lanes)], fields)
    inline, code = module.inline(program, lanes), module.code
    arrays = [fields.array(code, f"argument{k}", lanes) for k in range(3)]
    arguments = [[one[k].register for k in range(size)] for one, size in zip(arrays, (1, 4, 2), strict=True)]
    target = fields.array(code, "result", lanes)
    for k in (0, 1):
        for place, register in enumerate(inline(*arguments)[0]):
            target[4 * k + place] = Value(code, register, program.dtypes[0], lanes)
        arguments[1] = arguments[1][::-1]
    machine = Machine(module.driver(), [program])
    memory = machine.memory()
    views = machine.views(memory)
    for k, one in enumerate(given):
        views[f"argument{k}"][...] = one.reshape(lanes, -1).T
    machine.run(memory, 1)
    for k, y in enumerate((given[1], given[1][:, ::-1])):
        expected = program(given[0], np.ascontiguousarray(y), given[2])[0]
        np.testing.assert_allclose(views["result"][k].T, expected, rtol=1e-13 if dtype is np.float64 else 1e-5)


def test_loops_are_not_written_out():
    program = record(long, [np.zeros(()), np.zeros(200), np.zeros(2)]).program
    assert Module(np.zeros(1), [], Fields()).inline(program, 1) is None

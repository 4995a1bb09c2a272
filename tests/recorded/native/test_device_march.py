"""Kernels of devices that march segments: by the CPU, against the loop, and what they need of a device."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from apart import NONE, is_found, replaced
from cuda_child import needs_toolkit
from device_kernels import Marched, doubles, gru, marched

from parscan._kernels.cuda.cubin import architecture
from parscan._recorded.native.device import ptx
from parscan._recorded.native.device_march import LARGEST, Columns, columns_of, fits_registers, march, written
from parscan._recorded.native.text import UnsupportedError
from parscan._recorded.record import record
from parscan._recorded.tangents import along, with_tangents

DTYPES = [np.float64, np.float32]


def elementwise(dtype, n):
    """A step whose components do not meet, with a whole number as input."""
    factors = np.linspace(0.2, 0.9, n).astype(dtype)

    def step(y, x, k):
        return np.where(k > 2, np.sin(y * factors) + x, dtype(0.5) * y - x)

    return step, [np.ones((1, n), dtype), np.ones((1, n), dtype), np.ones((1, 1), np.int32)]


def case(name, n, dtype):
    """A step, its program, the program with derivatives, and how threads share these."""
    function, examples = (gru if name == "dense" else elementwise)(dtype, n)
    program = record(function, examples).program
    for single in (False, True):
        columns = columns_of(n, dtype, diagonal=name == "diagonal", single=single)
        derived = along(program, columns.count)
        if fits_registers(derived, columns):
            break
    return program, derived, columns


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "n"), [("dense", 1), ("dense", 3), ("dense", 6), ("diagonal", 5)])
@pytest.mark.parametrize(("steps", "length", "sequences"), [(1, 1, 1), (23, 5, 1), (24, 8, 3), (7, 7, 70)])
def test_segments_are_those_of_the_loop(name, n, dtype, steps, length, sequences):
    program, derived, columns = case(name, n, dtype)
    problem = Marched(program, steps, length, sequences)
    problem.check(march(program))
    problem.check(march(derived, columns), columns)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "n"), [("dense", 14), ("dense", 16), ("dense", 32), ("dense", 17), ("diagonal", 60)])
@pytest.mark.parametrize(("steps", "length", "sequences"), [(1, 1, 1), (13, 5, 2)])
def test_large_steps_in_memory(name, n, dtype, steps, length, sequences):
    """Their derivatives do not fit into the registers of a thread."""
    program, derived, columns = case(name, n, dtype)
    assert not fits_registers(derived, columns)
    problem = Marched(program, steps, length, sequences)
    problem.check(march(program))
    problem.check(march(derived, columns), columns)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "n"), [("dense", 1), ("dense", 3), ("diagonal", 5), ("diagonal", 20)])
def test_small_steps_would_do_in_memory(name, n, dtype, monkeypatch):
    monkeypatch.setattr("parscan._recorded.native.device_march.FITS", {"d": (), "f": ()})
    program, derived, columns = case(name, n, dtype)
    problem = Marched(program, 23, 5, 3)
    problem.check(written(program))
    problem.check(written(derived, columns), columns)


def test_a_large_step_of_few_operations_is_in_registers():
    """A coupled map lattice: of sixteen components in double precision, of 32 in single."""
    for n, dtype in ((16, np.float64), (32, np.float32)):
        program = record(lattice(dtype), [np.ones((1, n), dtype)]).program
        columns = columns_of(n, dtype)
        derived = along(program, columns.count)
        assert fits_registers(derived, columns)
        Marched(program, 9, 4, 2).check(march(derived, columns), columns)


def lattice(dtype):
    def step(y):
        f = dtype(3.7) * y * (1 - y)
        return dtype(0.8) * f + dtype(0.1) * (np.roll(f, 1, axis=-1) + np.roll(f, -1, axis=-1))

    return step


@pytest.mark.parametrize("n", [1, 4])
def test_derivatives_along_columns_are_those_of_the_whole_matrix(n):
    function, examples = gru(np.float64, n)
    program, rng = record(function, examples).program, np.random.default_rng(0)
    y, x, S = rng.normal(size=(3, 1, n)), rng.normal(size=(3, 1, n)), rng.normal(size=(3, n, n))
    expected = with_tangents(program, np.arange(n * n).reshape(n, n))(y, S, x)
    for column in range(n):
        after, found = along(program, 1)(y, S[..., column : column + 1], x)
        np.testing.assert_array_equal(after, expected[0])
        np.testing.assert_allclose(found[..., 0], expected[1][..., column], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [3, 12])
@pytest.mark.parametrize("layout", ["time first", "sequences first", "components first", "backwards"])
def test_layouts(layout, n):
    program, derived, columns = case("dense", n, np.float64)
    problem = Marched(program, 19, 6, 4, layout=layout)
    problem.check(march(derived, columns), columns)


def test_ends_alone():
    """States of all steps are written to one place: the last one is left there."""
    program, derived, columns = case("dense", 3, np.float64)
    whole, ends = (marched(march(derived, columns), Marched(program, 19, 6, 4), columns, ends=k) for k in (False, True))
    np.testing.assert_array_equal(ends.ends, whole.ends)
    np.testing.assert_array_equal(ends.products, whole.products)


MASK, SHORTER = (
    ("icmp slt i64 %thread", "icmp sle i64 %thread"),
    (r"select i1 (%\w+), i64 %most", "select i1 true, i64 %most"),
)
FAULTS = {
    "a lane too many": (24, [MASK, SHORTER]),
    "a step too many": (19, [(r"icmp slt i64 (%i\w+), (%v\w+)", r"icmp sle i64 \1, \2")]),
    "no mask of the last segment": (19, [SHORTER]),
    "stride of states": (19, [("%out_sequence", "%out_element")]),
    "stride of products": (19, [("%products_element, 3", "%products_element, 2")]),
    "stride of inputs": (19, [("%x0_step", "%x0_sequence")]),
    "a sign": (19, [("fmul contract double", "fsub contract double")]),
}


def check(steps, changes, n, sequences):
    """A march with changes of its lines."""
    program, derived, columns = case("dense", n, np.float64)
    made, problem = march(derived, columns), Marched(program, steps, 6, sequences)
    lines = replaced(made.kernel.lines, *changes)
    problem.check(replace(made, kernel=replace(made.kernel, lines=lines)), columns)


def check_fault(fault):
    check(*FAULTS.get(fault, (19, [])), 3, 4)


@pytest.mark.parametrize("fault", [NONE, *FAULTS])
def test_faults_are_found(fault):
    assert is_found(__file__, "check_fault", fault) == (fault != NONE)


IN_MEMORY = {
    "a lane too many": [MASK, SHORTER],
    "a step too many": [(r"icmp slt i64 (%i\w+), (%v\w+)", r"icmp sle i64 \1, \2")],
    "no mask of the last segment": [SHORTER],
    "stride of states": [("%out_sequence", "%out_element")],
    "stride of products": [("%products_element", "%products_sequence")],
    "stride of inputs": [("%x0_step", "%x0_sequence")],
    "states that do not advance": [
        (r"(call void @recorded_step\(ptr %table, ptr %\w+), ptr (%\w+)", r"\1, ptr %start")
    ],
}


def check_fault_in_memory(fault):
    check(24 if fault == "a lane too many" else 19, IN_MEMORY.get(fault, []), 12, 3)


@pytest.mark.parametrize("fault", [NONE, *IN_MEMORY])
def test_faults_of_large_steps_are_found(fault):
    assert is_found(__file__, "check_fault_in_memory", fault) == (fault != NONE)


def test_steps_that_are_too_large():
    with pytest.raises(UnsupportedError, match="components"):
        march(case("diagonal", 65, np.float32)[0])
    with pytest.raises(UnsupportedError, match="bytes of memory"):
        march(along(case("dense", 32, np.float64)[0], 8), Columns(32, 8))

    def step(y):
        for k in range(300):
            y = np.sin(y + k)
        return y

    with pytest.raises(UnsupportedError, match="operations"):
        march(record(step, [np.ones((1, 12))]).program)


@needs_toolkit
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gated_unit_of_eight_states_does_not_spill(dtype, monkeypatch):
    does_not_spill(monkeypatch, 8, dtype, (9, 0))


@needs_toolkit
@pytest.mark.slow
@pytest.mark.parametrize("capability", [(7, 5), (8, 6), (10, 0), (12, 0)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 4, 6, 8])
def test_gated_units_do_not_spill(n, dtype, capability, monkeypatch):
    does_not_spill(monkeypatch, n, dtype, capability)


@needs_toolkit
@pytest.mark.slow
@pytest.mark.parametrize("capability", [(7, 5), (9, 0), (12, 0)])
@pytest.mark.parametrize(("n", "dtype", "most"), [(16, np.float32, 0), (32, np.float32, 0), (32, np.float64, 0),
                                                  (16, np.float64, 1024), (9, np.float64, 128)])  # fmt: skip
def test_large_gated_units_in_memory_spill_little(n, dtype, most, capability, monkeypatch):
    """Their memory is that which the kernel asks for, but for few states in double precision, whose loops are short."""
    monkeypatch.syspath_prepend("benchmarks")
    _, derived, columns = case("dense", n, dtype)
    text = ptx(march(derived, columns).kernel, capability)
    found = import_module("_cuda_cubin").assemble(text, architecture(capability))
    print(columns, found.registers, found.stack)
    assert found.spilled <= most
    assert 0 < found.stack <= LARGEST
    assert dtype == np.float64 or not doubles(text)


def does_not_spill(monkeypatch, n, dtype, capability):
    monkeypatch.syspath_prepend("benchmarks")
    cubins = import_module("_cuda_cubin")
    program, derived, columns = case("dense", n, dtype)
    for made in (march(program), march(derived, columns)):
        text = ptx(made.kernel, capability)
        assert dtype == np.float64 or not doubles(text)
        found = cubins.assemble(text, architecture(capability))
        assert (found.spilled, found.stack) == (0, 0), found.registers

"""Kernels of devices that are written in LLVM's language: by the CPU against NumPy, and as PTX."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from cuda_child import needs_toolkit
from device_kernels import calls, doubles, evaluated, evaluating, gru, needs_libdevice
from hypothesis import given, settings
from hypothesis import strategies as st
from of_operations import BOOLEANS, EXACT, pairs, ulps
from random_programs import ANY

from parscan._kernels.cuda.cubin import architecture
from parscan._recorded.array import apply
from parscan._recorded.differentiate import jacobian
from parscan._recorded.native.device import KNOWN, ptx
from parscan._recorded.native.text import UnsupportedError
from parscan._recorded.operations import OPERATIONS
from parscan._recorded.record import record
from parscan._recorded.tangents import along

DTYPES = [np.float64, np.float32]


NAMES, BOOLEAN = tuple(OPERATIONS), tuple(sorted(BOOLEANS))
ARITIES = tuple(OPERATIONS[name].arity for name in NAMES)


def everything(dtype):
    """A program of all operations of the table, on the same three numbers."""

    def function(x):
        found = []
        for name, arity in zip(NAMES, ARITIES, strict=True):
            operands = [x[k] for k in range(arity)]
            if name in BOOLEAN:
                operands = [one > 0.5 for one in operands]
            if name == "where":
                operands[0] = operands[0] > 0.5
            found.append(apply(name, *operands).astype(dtype))
        return np.stack(found)

    return record(function, [np.ones(3, dtype)]).program


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_operation_gives_what_numpy_gives(dtype):
    program = everything(dtype)
    x, y = pairs(dtype)
    rows = np.stack([x, y, x[::-1]], axis=1)
    (expected,) = program(rows)
    (found,) = evaluated(program, rows)
    for k, name in enumerate(OPERATIONS):
        limit = 0.0 if name in EXACT else 16.0 if name == "logaddexp" else 4.0
        assert ulps(found[:, k], expected[:, k]).max() <= limit, name


@needs_libdevice
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_operation_is_compiled_without_calls_of_others(dtype):
    found = ptx(evaluating(everything(dtype)), (7, 5))
    assert not calls(found)
    assert bool(doubles(found)) == (dtype == np.float64)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_in_single_precision(name):
    """Nearly multiples of a quarter turn, angles of all sizes, and no numbers."""
    rng, function = np.random.default_rng(0), getattr(np, name)
    near = (np.rint(10 ** rng.uniform(0, 7, 20_000)) * np.pi / 2).astype(np.float32)
    sizes = 10 ** rng.uniform(-44, 38, 20_000) * rng.choice([-1, 1], 20_000)
    x = np.concatenate([near, -near, sizes.astype(np.float32), pairs(np.float32)[0]])
    program = record(function, [np.ones(1, np.float32)]).program
    (found,) = evaluated(program, x[:, None])
    with np.errstate(all="ignore"):
        expected = function(x.astype(np.float64)).astype(np.float32)  # by a library that knows all digits of pi
    assert ulps(found[:, 0], expected).max() <= (4 if name == "tan" else 2)
    np.testing.assert_array_equal(np.signbit(found[:, 0])[x == 0], np.signbit(expected)[x == 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 3, 12])
def test_a_program_with_products_and_vectors(n, dtype):
    step, examples = gru(dtype, n)
    program = record(step, examples).program
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(7, 1, n)).astype(dtype) for _ in range(2)]
    (found,) = evaluated(program, *rows)
    np.testing.assert_allclose(found, program(*rows)[0], rtol=30 * np.finfo(dtype).eps, atol=10 * np.finfo(dtype).eps)


@settings(max_examples=20)
@given(ANY, st.sampled_from([1, 2, 3, 5, 17]), st.integers(0, 9), st.sampled_from(["float32", "float64"]))
def test_random_programs(function, size, seed, dtype):
    """Values, and derivatives along two directions, against NumPy's of the same program and of its Jacobian."""
    rows = [np.random.default_rng(seed).uniform(-1.5, 1.5, (4, size)).astype(dtype) for _ in range(2)]
    recording = record(function, [one[0] for one in rows])
    program, accuracy = recording.program, 1e-11 if dtype == "float64" else 2e-3
    (expected,) = program(*rows)
    (found,) = evaluated(program, *rows)
    np.testing.assert_allclose(found, expected, rtol=accuracy, atol=accuracy)
    if program.dtypes[0] != dtype or np.shape(expected) != (4, size):
        return
    directions = np.random.default_rng(1).standard_normal((4, size, 2)).astype(dtype)
    places, columns, entries = jacobian(recording.graph, recording.result, recording.arguments[0])
    matrices = np.zeros((4, size, size))
    matrices[:, places, columns] = recording.extract(entries)(*rows)[0]
    _, products = evaluated(along(program, 2), rows[0], directions, rows[1])
    with np.errstate(all="ignore"):
        exact = matrices @ directions
    some = np.isfinite(exact)
    np.testing.assert_allclose(
        products[some], exact[some], rtol=10 * accuracy, atol=10 * accuracy * (1 + np.abs(exact[some]).max(initial=0))
    )


@needs_libdevice
def test_constants_are_parameters_or_in_memory():
    small, large = (evaluating(record(*gru(np.float64, n)).program) for n in (2, 9))
    assert small.is_by_value
    assert not large.is_by_value
    assert f".b8 parscan_kernel_param_0[{small.table.nbytes}]" in ptx(small, (9, 0))
    assert "ld.global" in ptx(large, (9, 0))


def test_many_arguments_leave_no_room_for_constants():
    kernel = evaluating(record(*gru(np.float64, 8)).program)
    assert kernel.is_by_value
    assert not replace(kernel, arguments=tuple(f"i64 %n{k}" for k in range(120))).is_by_value


def test_other_constants_are_the_same_text():
    def program(factor):
        return record(lambda y: y * factor + 0.25, [np.ones(2)]).program

    kernel = evaluating(program(3.0))
    other = kernel.of(program(5.0))
    assert other.text == kernel.text == evaluating(program(5.0)).text
    out = np.empty((1, 2))
    other.host()([0], np.array([[1.0, 2.0]]), out)
    np.testing.assert_array_equal(out, [[5.25, 10.25]])


@pytest.mark.parametrize("capability", KNOWN)
def test_all_architectures_compile(capability):
    found = ptx(evaluating(record(lambda y: y * y + np.floor(y), [np.ones(2)]).program), capability)
    assert f".target sm_{capability[0]}{capability[1]}" in found


def test_ptx_is_kept_on_disk(monkeypatch):
    kernel = evaluating(record(lambda y: y * y + 0.25, [np.ones(2)]).program)
    first = kernel.ptx((8, 0))
    monkeypatch.setattr("parscan._recorded.native.device.ptx", lambda *_: "made again")
    assert kernel.ptx((8, 0)) == first
    assert kernel.ptx((9, 0)) == "made again"


@needs_toolkit
def test_machine_code_for_all_architectures(monkeypatch):
    monkeypatch.syspath_prepend("benchmarks")
    cubins = import_module("_cuda_cubin")
    kernel = evaluating(record(*gru(np.float32, 2)).program)
    for capability in {*KNOWN} & {*cubins.known_capabilities()}:
        assert cubins.assemble(ptx(kernel, capability), architecture(capability)).spilled == 0


def test_devices_that_are_not_known():
    kernel = evaluating(record(lambda y: y + 1, [np.ones(2)]).program)
    assert ".target sm_121" in ptx(kernel, (15, 0))
    with pytest.raises(UnsupportedError, match="5.0"):
        ptx(kernel, (5, 0))


def test_without_libdevice(monkeypatch):
    from parscan._recorded.native import device

    def missing(_):
        raise RuntimeError("none here")

    monkeypatch.setattr("cuda.pathfinder.find_bitcode_lib", missing)
    device._libdevice.cache_clear()
    with pytest.raises(UnsupportedError, match="libdevice"):
        ptx(evaluating(record(lambda y: np.arctan2(y, np.cbrt(y)), [np.ones(2)]).program), (9, 0))

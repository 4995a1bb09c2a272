"""Kernels of devices that evaluate right-hand sides with their Jacobians: by the CPU, against NumPy, and as PTX."""

import re
from dataclasses import replace

import numpy as np
import pytest
from apart import NONE, is_found, replaced
from assembled import assembled
from cuda_child import needs_toolkit
from device_kernels import around, calls, doubles, needs_libdevice

from parscan._recorded.linearised import values_and_entries
from parscan._recorded.native.device import KNOWN, ptx
from parscan._recorded.native.device_points import points, stages
from parscan._recorded.native.text import UnsupportedError
from parscan._recorded.record import record
from parscan._recorded.single import in_single


def ring(t, y, k):
    return -y + np.roll(y, 1) * np.cos(t) - k * np.roll(y, -1) * y


def lorenz(t, y, k):
    a, b, c = y
    return np.array([10.0 * (b - a), a * (k - c) - b, a * b - 8 / 3 * c])


def alone(t, y, k):
    return np.tanh(k * y) - 1.5


def constant(t, y, k):
    return np.stack([y[1], k, 2.0 + 0 * y[0]])


CASES = {
    "ring of 3": (ring, 3),
    "ring of 8": (ring, 8),
    "lorenz": (lorenz, 3),
    "alone": (alone, 5),
    "constant": (constant, 3),
}


class Evaluated:
    """A function with its Jacobian at some points, by NumPy, and arrays for a kernel that computes the same."""

    def __init__(self, name, dtype, moments, members=0, pairs=False):
        fun, n = CASES[name] if isinstance(name, str) else name
        example = np.ones(n, complex) if pairs else np.ones(n)
        self.places = values_and_entries(record(fun, [np.array(0.0), example, np.array(0.5)]))
        self.members, self.pairs, self.dtype, self.n = members, pairs, np.dtype(dtype), n
        if self.dtype == np.float32:
            self.places = replace(self.places, program=in_single(self.places.program))
        rng, count = np.random.default_rng(moments), moments * max(members, 1)
        self.count, self.t = count, rng.uniform(0.0, 2.0, moments)
        self.y = rng.normal(size=(count, n, *(2,) * pairs)).astype(dtype)
        self.k = rng.uniform(0.5, 1.5, max(members, 1)).astype(dtype)

    def kernel(self, *, derived=True):
        return points(
            self.places.program if derived else values_alone(self.places.program), self.places if derived else None,
            of_members=bool(self.members), pairs=self.pairs,
        )  # fmt: skip

    def expected(self):
        each = max(self.members, 1)
        k = np.tile(self.k, self.count // each)
        values, entries = self.places.program(np.repeat(self.t, each), self.y, k)
        size = self.y[0].size
        matrices = np.zeros((self.count, size, size))
        matrices[:, self.places.rows, self.places.columns] = entries
        if self.pairs:
            matrices = np.stack([matrices[:, 0::2, 0::2], matrices[:, 1::2, 0::2]], axis=-1)
        return values.reshape(self.y.shape), matrices

    def check(self, kernel, *, derived=True):
        """Raise unless the kernel writes what NumPy gives, and nothing else, by threads in random order."""
        values, matrices = self.expected()
        given = [self.t, self.y, *(np.empty_like(one, self.dtype) for one in (values, matrices))]
        memories, views = zip(*map(around, given), strict=True)
        t, y, *found = views
        numbers = [self.count, *[self.members] * bool(self.members)]
        order = np.random.default_rng(0).permutation(-(-self.count // 64) * 64)
        kernel.host()(order, *numbers, t, y, self.k, *(found if derived else found[:1]))
        limits = {"rtol": 40 * np.finfo(self.dtype).eps, "atol": 20 * np.finfo(self.dtype).eps}
        np.testing.assert_allclose(found[0], values, **limits)
        if derived:
            np.testing.assert_allclose(found[1], matrices, **limits)
        for memory in memories:
            assert (memory[:30] == 77).all()
            assert (memory[-30:] == 77).all()


def values_alone(program):
    return replace(program, results=program.results[:1], dtypes=program.dtypes[:1], _cache={})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("moments", [1, 64, 131])
@pytest.mark.parametrize("name", CASES)
def test_values_and_jacobians(name, moments, dtype):
    problem = Evaluated(name, dtype, moments)
    problem.check(problem.kernel())
    problem.check(problem.kernel(derived=False), derived=False)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("members", [1, 3, 70])
def test_members_have_parameters_of_their_own(members, dtype):
    problem = Evaluated("lorenz", dtype, 7, members)
    problem.check(problem.kernel())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 3])
def test_complex_states_are_pairs(n, dtype):
    problem = Evaluated((lambda t, y, k: 1j * k * y * np.roll(y, 1) + np.exp(y) * np.cos(t), n), dtype, 20, pairs=True)
    problem.check(problem.kernel())


def at_stages(name, dtype, intervals, count, members=0, pairs=False, change=None):
    """Compare the kernel of stages with NumPy; its memory is surrounded by numbers that must not change."""
    problem = Evaluated(name, dtype, intervals * count, members, pairs)
    each, rng = max(members, 1), np.random.default_rng(count)
    shape = problem.y.shape[1:]
    t = problem.t.reshape(intervals, count)
    y = rng.normal(size=(intervals + 1, each, *shape)).astype(dtype)
    slopes = rng.normal(size=(intervals, count, each, *shape)).astype(dtype)
    lengths, matrix = rng.uniform(0.1, 0.3, intervals).astype(dtype), rng.normal(size=(count, count)).astype(dtype)
    states = y[:-1, None] + lengths.reshape(-1, *[1] * (slopes.ndim - 1)) * np.einsum("ij,pj...->pi...", matrix, slopes)
    problem.y = states.reshape(-1, *shape).astype(dtype)
    values, matrices = problem.expected()
    values = values.reshape(slopes.shape) - slopes
    expected = [
        np.moveaxis(one.reshape(intervals, count, each, *one.shape[rest:]), 2, 1).reshape(-1, count, *one.shape[rest:])
        for one, rest in ((values, 3), (matrices, 1))
    ]
    memories, found = zip(*(around(np.zeros(one.shape, dtype)) for one in expected), strict=True)
    kernel = stages(problem.places.program, problem.places, of_members=bool(members), pairs=pairs)
    kernel = change(kernel) if change else kernel
    points_ = intervals * count * each
    order = np.random.default_rng(0).permutation(-(-points_ // 64) * 64)
    kernel.host()(order, points_, each, count, t, lengths, matrix, y, slopes, problem.k, *found)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=200 * np.finfo(dtype).eps, atol=100 * np.finfo(dtype).eps)
    for memory in memories:
        assert (memory[:30] == 77).all()
        assert (memory[-30:] == 77).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("members", [0, 1, 5])
@pytest.mark.parametrize(("name", "intervals", "count"), [("ring of 3", 1, 1), ("lorenz", 7, 3), ("ring of 8", 5, 4)])
def test_stages_of_intervals(name, intervals, count, members, dtype):
    at_stages(name, dtype, intervals, count, members)


def test_stages_of_complex_states():
    at_stages((lambda t, y, k: 1j * k * y * np.roll(y, 1) + np.exp(y) * np.cos(t), 2), "float64", 4, 3, 2, pairs=True)


OF_STAGES = {
    "the length of another interval": (
        r"getelementptr i8, ptr %lengths, i64 (%\w+)",
        "getelementptr i8, ptr %lengths, i64 0",
    ),
    "a stage too few": (r"icmp slt i64 (%i\w+), %stages", r"icmp slt i64 \1, %members"),
    "not less the slopes": ("fsub double", "fadd double"),
}


def check_fault_of_stages(fault):
    changes = [OF_STAGES[fault]] if fault != NONE else []

    def change(kernel):
        return replace(kernel, lines=replaced(kernel.lines, *changes))

    at_stages("lorenz", "float64", 7, 3, 2, change=change)


@pytest.mark.parametrize("fault", [NONE, *OF_STAGES])
def test_faults_of_stages_are_found(fault):
    assert is_found(__file__, "check_fault_of_stages", fault) == (fault != NONE)


FAULTS = {
    "a point too many": ("icmp slt i64 %thread", "icmp sle i64 %thread", {}),
    "the parameter of another member": (r"mul i64 (%\w+), %members", r"mul i64 \1, %points", {"members": 4}),
    "the time of another point": (r"sdiv i64 %thread, %members", r"add i64 %thread, 0", {"members": 4}),
    "a sign": (r"fsub (\w+ )?double", "fadd double", {}),
    "a place": (r"i64 8$", "i64 16", {}),
}


def check_fault(fault):
    *change, options = FAULTS.get(fault, ({"members": 4},))
    problem = Evaluated("lorenz", "float64", 20, **options)
    kernel = problem.kernel()
    problem.check(replace(kernel, lines=replaced(kernel.lines, *([change] if change else []))))


@pytest.mark.parametrize("fault", [NONE, *FAULTS])
def test_faults_are_found(fault):
    assert is_found(__file__, "check_fault", fault) == (fault != NONE)


def test_functions_that_are_too_large():
    with pytest.raises(UnsupportedError, match="components"):
        Evaluated((alone, 60), "float32", 1).kernel()
    with pytest.raises(UnsupportedError, match="operations"):
        Evaluated((lambda t, y, k: sum(np.sin(y * j + k) for j in range(60)), 20), "float64", 1).kernel()


def test_other_constants_are_the_same_text():
    def decay(rate):
        return lambda t, y, k: -rate * np.roll(y, 1) * k

    one, other = (Evaluated((decay(rate), 3), "float64", 9) for rate in (0.3, 0.7))
    assert one.kernel().text == other.kernel().text
    one.check(one.kernel())
    other.check(other.kernel())


@needs_libdevice
@pytest.mark.parametrize("capability", KNOWN)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_architectures_compile(capability, dtype):
    text = ptx(Evaluated("ring of 3", dtype, 1).kernel(), capability)
    assert not calls(text)


@needs_libdevice
@pytest.mark.parametrize("name", ["lorenz", "alone", "constant"])
def test_nothing_is_in_double_precision_unless_the_time_is_read(name):
    text = ptx(Evaluated(name, "float32", 1).kernel(), (9, 0))
    assert not doubles(text)
    assert doubles(ptx(Evaluated("ring of 3", "float32", 1).kernel(), (9, 0)))


@needs_libdevice
@pytest.mark.parametrize(("dtype", "width"), [("float64", 2), ("float32", 4)])
def test_neighbours_are_written_together(dtype, width):
    """Where rows have an even number of numbers, so that all of them are aligned."""
    problem = Evaluated("ring of 8", dtype, 1)
    for kernel in (problem.kernel(), stages(problem.places.program, problem.places)):
        text = ptx(kernel, (9, 0))
        assert len(re.findall(rf"st\.global\.v{width}", text)) >= 6
        assert len(re.findall(r"st\.global", text)) < 60


@needs_toolkit
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["ring of 8", "lorenz"])
def test_no_register_is_spilled(name, dtype):
    found = assembled(ptx(Evaluated(name, dtype, 1).kernel(), (9, 0)), (9, 0))
    assert found.spills["parscan_kernel"] == 0
    assert found.registers <= 128

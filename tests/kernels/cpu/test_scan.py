"""The CPU scan, through all its kernels and ways of working, against the sequential oracle."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan._arrays.threads import available_threads, run_all, shares
from parscan._kernels.cpu import affine_scan as cpu
from parscan._kernels.cpu.affine_scan import Tuning
from parscan._kernels.dispatch import affine_scan
from parscan._kernels.generic import affine_scan as sequential

pytestmark = pytest.mark.kernels

DTYPES = ["float32", "float64", "complex64", "complex128"]

# Ways of working; all but the first are for long problems, and here made to be used for short ones.
TUNINGS = {
    "as measured": Tuning(),
    "columns": Tuning(threads=1, columns=1000),
    "rows": Tuning(threads=1, columns=0),
    "wide rows": Tuning(threads=1, columns=0, wide=1),
    "pages ahead": Tuning(threads=2, work_per_thread=1, columns=0, wide=1),
    "time chunks": Tuning(threads=3, work_per_thread=1, columns=1000),
    "many time chunks": Tuning(threads=20, work_per_thread=1, columns=1000),
    "shares": Tuning(threads=3, work_per_thread=1, columns=0, channels_per_thread=1),
    "wide shares": Tuning(threads=3, work_per_thread=1, columns=0, channels_per_thread=1, wide=1),
}

# Matrices know only one way, on one thread or several.
WAYS = {f"diagonal, {name}": (False, tuning) for name, tuning in TUNINGS.items()}
WAYS |= {f"dense, {name}": (True, TUNINGS[name]) for name in ("as measured", "shares")}


DIRECTIONS = {"forward": False, "reverse": True}


@pytest.fixture(params=TUNINGS.values(), ids=TUNINGS.keys())
def tuning(request):
    return request.param


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request):
    return request.param


def random(rng, shape, dtype):
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def running_bound(A, h0, h):
    """What the loop rounds, carried on by an elementwise recurrence: m_t = |a_t| m_{t-1} + |a_t h_{t-1}| + |h_t|."""
    m, before = np.zeros_like(h), np.abs(h0)
    for t in range(len(h)):
        m[t] = np.abs(A[t]) * ((m[t - 1] if t else 0) + before) + np.abs(h[t])
        before = np.abs(h[t])
    return m


def assert_same(actual, expected, factor=50.0):
    """Equal up to rounding relative to the largest value, with NaN and infinities in the same places."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(actual), finite)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    if np.dtype(expected.dtype).kind == "f":
        np.testing.assert_array_equal(actual[np.isinf(expected)], expected[np.isinf(expected)])
    if finite.any():
        atol = factor * np.finfo(expected.dtype).eps * np.abs(expected[finite]).max()
        np.testing.assert_allclose(actual[finite], expected[finite], rtol=0, atol=atol)


def problem(rng, shape, dense, dtype):
    """Coefficients of moderate growth, offsets and a start."""
    n = shape[-1]
    A = random(rng, (*shape, n) if dense else shape, dtype) / np.asarray(2 * max(n, 1) ** 0.5 if dense else 1.5)
    return A.astype(dtype), random(rng, shape, dtype), random(rng, shape[1:], dtype)


@pytest.mark.slow
@pytest.mark.pairs(way=WAYS, dtype=DTYPES, reverse=DIRECTIONS, length=[1, 2, 33, 130])
def test_sizes_and_ways_of_working(length, reverse, dtype, way):
    dense, tuning = way
    rng = np.random.default_rng(length)
    # One of each way to hold a state: registers, unrolled, spelt out (8), any order.
    for n in (1, 2, 5, 6, 8, 9) if dense else (1, 3):
        for batch in ((), (2, 2)):
            A, b, h0 = problem(rng, (length, *batch, n), dense, dtype)
            for start in (None, h0):
                expected = sequential.affine_scan(A, b, start, reverse=reverse)
                assert_same(cpu.affine_scan(A, b, start, reverse=reverse, tuning=tuning), expected)


@pytest.mark.slow
@pytest.mark.pairs(
    shape=[(40, 2), (40, 9), (40, 3, 4), (2, 2, 2, 13)],
    dtype=DTYPES,
    reverse=DIRECTIONS,
    steps={"matrices": None, "one matrix": 1},
    threads=[1, 2],
)
def test_matrices_that_stand_as_their_transposes(shape, steps, reverse, threads, dtype):
    """Those of an adjoint are not copied, but taken by columns."""
    rng = np.random.default_rng(5)
    A, b, h0 = problem(rng, shape, True, dtype)
    A = np.swapaxes(A[:steps], -1, -2)
    tuning = Tuning(threads=threads, work_per_thread=1, by_columns=2)
    expected = sequential.affine_scan(A, b, h0, reverse=reverse)
    assert_same(cpu.affine_scan(A, b, h0, reverse=reverse, tuning=tuning), expected)
    assert_same(affine_scan(A, b, h0, reverse=reverse), expected)


@pytest.mark.slow
@pytest.mark.pairs(way=WAYS, ones=range(8), reverse=DIRECTIONS)
def test_axes_of_length_one(ones, reverse, way):
    dense, tuning = way
    rng = np.random.default_rng(ones)
    shape = (70, 3, 4)
    cut = tuple(1 if ones & 1 << axis else length for axis, length in enumerate(shape))
    for A_shape, b_shape in ((cut, shape), (shape, cut), (cut, cut), (cut, (1, 3, 4)), ((1, 3, 4), cut)):
        A_rows = (*A_shape[:-1], 4, 4) if dense else A_shape
        A, b, h0 = rng.normal(size=A_rows) / 4, rng.normal(size=b_shape), rng.normal(size=(1, 4))
        full = np.broadcast_shapes((*A_shape[:-1], 4) if dense else A_shape, b_shape)
        for start in (None, h0 if full[-1] == 4 else None):
            expected = sequential.affine_scan(A, b, start, reverse=reverse)
            assert expected.shape == full
            assert_same(cpu.affine_scan(A, b, start, reverse=reverse, tuning=tuning), expected)


@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 3), (5, 0, 3), (5, 2, 0), (1, 0), (0, 0)])
def test_empty(shape, way):
    dense, tuning = way
    A, b = np.ones((*shape, shape[-1]) if dense else shape), np.ones(shape)
    assert cpu.affine_scan(A, b, tuning=tuning).shape == shape
    assert sequential.affine_scan(A, b).shape == shape


def test_no_steps_and_no_axes():
    assert cpu.affine_scan(np.ones(0), np.ones(0)).shape == (0,)


@pytest.mark.slow
@pytest.mark.pairs(way=WAYS, dtype=["float32", "float64"], growth=[1.0078125, 1.5, 1e5])
def test_an_unstable_fixed_point_stays_exact(growth, dtype, way):
    """Its products overflow or cancel; in the loop, nothing is rounded."""
    dense, tuning = way
    length = 20_000
    A = np.full((length, 1), growth, dtype)
    if dense:
        A = A[..., None] * np.eye(2, dtype=dtype)
    for offset, start in ((0.0, 0.0), (1 - growth, 1.0)):
        b = np.full((length, A.shape[-1]), offset, dtype)
        h = cpu.affine_scan(A, b, np.full(b.shape[1:], start, dtype), tuning=tuning)
        np.testing.assert_array_equal(h, np.full(b.shape, start, dtype))


MAGNITUDES = {
    "on the unit circle": lambda rng, T: rng.choice([-1.0, 1.0], T) * (1 + 1e-3 * rng.normal(size=T)),
    "growth, then decay": lambda rng, T: np.where(np.arange(T) < T // 2, 1.05, 0.9),
    "decay, then growth": lambda rng, T: np.where(np.arange(T) < T // 2, 0.9, 1.05),
    "stretches of growth": lambda rng, T: np.where(rng.random(T // 20 + 1).repeat(20)[:T] < 0.3, 1.3, 0.5),
    "zeros": lambda rng, T: rng.normal(size=T) * (rng.random(T) < 0.7),
    "all zero": lambda rng, T: np.zeros(T),
    "tiny": lambda rng, T: np.full(T, 1e-20),
    "tiny and huge": lambda rng, T: np.where(np.arange(T) % 4 < 2, 1e-9, 1e9),
}


@pytest.mark.slow
@pytest.mark.pairs(tuning=TUNINGS, kind=MAGNITUDES.keys(), dtype=["float32", "float64"])
def test_error_within_the_running_bound(kind, dtype, tuning):
    """The exact answer is that of the next precision; the error is that of a loop, up to a factor."""
    rng = np.random.default_rng(3)
    length = 900
    A = MAGNITUDES[kind](rng, length)[:, None].astype(dtype) * np.ones((1, 2), dtype)
    b, h0 = random(rng, (length, 2), dtype), random(rng, (2,), dtype)
    wider = "float64" if dtype == "float32" else "longdouble"
    for start in (h0, np.zeros_like(h0)):
        exact = sequential.affine_scan(A.astype(wider), b.astype(wider), start.astype(wider))
        h = cpu.affine_scan(A, b, start, tuning=tuning)
        bound = running_bound(A.astype(wider), start, exact)
        assert np.all(np.abs(h - exact) <= 8 * np.finfo(dtype).eps * bound)


def test_products_that_underflow_and_grow_again(tuning):
    """The state is never small, though a product of coefficients alone would vanish."""
    A = np.where(np.arange(400) < 200, 1e-3, 1e3)[:, None]
    b = np.zeros((400, 1))
    for values in (A, A[:, :, None] * np.eye(2)):
        offsets = b if values.ndim == 2 else np.zeros((400, 2))
        h0 = np.full(offsets.shape[1:], 1e305)
        expected = sequential.affine_scan(values, offsets, h0)
        h = cpu.affine_scan(values, offsets, h0, tuning=tuning)
        np.testing.assert_allclose(h[:190], expected[:190], rtol=1e-12, atol=0)
        np.testing.assert_allclose(h[-50:], expected[-50:], rtol=1e-12, atol=0)


@pytest.mark.parametrize("factor", [1e-100, 1e100, 1e-310])
def test_products_out_of_range_within_a_tile(factor, tuning):
    A = np.where(np.arange(64) % 4 < 2, factor, 1 / factor if factor > 1e-300 else 1.0)[:, None]
    for offset, start in ((0.0, 1.0), (0.0, 1e100), (1.0, 0.0), (0.0, 0.0)):
        b, h0 = np.full((64, 1), offset), np.array([start])
        expected = sequential.affine_scan(A, b, h0)
        h = cpu.affine_scan(A, b, h0, tuning=tuning)
        np.testing.assert_allclose(h, expected, rtol=1e-13, atol=0)


@pytest.mark.pairs(way=WAYS, dtype=["float32", "float64"], where=["A", "b", "h0"], value=[np.nan, np.inf, -np.inf])
def test_not_finite_where_the_loop_is_not(value, where, dtype, way):
    dense, tuning = way
    rng = np.random.default_rng(4)
    for position in (0, 1, 2, 3, 40, 41, 42, 43, 150, 299):
        A, b, h0 = problem(rng, (300, 2), dense, dtype)
        A[position + 5 : position + 7 : 2] *= rng.integers(0, 2)  # a zero may swallow an infinity: NaN
        {"A": A[position], "b": b[position], "h0": h0}[where][..., 0] = value
        assert_same(cpu.affine_scan(A, b, h0, tuning=tuning), sequential.affine_scan(A, b, h0))


TINY = {
    "at once": [1e-100] * 4,
    "within a tile": [1e-25] * 16,
    "slowly": [0.1] * 100 + [1e-300],
    "slowly, and back": [0.1] * 100 + [1e-300, 1e300],
}


@pytest.mark.pairs(tuning=TUNINGS, tiny=TINY, start=[0, 1, 2, 3, 250, 260, 300, 333])
def test_a_large_state_survives_products_that_underflow(start, tiny, tuning):
    """The states stay within the normal numbers all the time."""
    A, b, h0 = np.ones((1000, 1)), np.zeros((1000, 1)), np.array([1e305])
    A[start : start + len(tiny)] = np.reshape(tiny, (-1, 1))
    A[start + len(tiny) : start + len(tiny) + 400] = 10.0
    expected = sequential.affine_scan(A, b, h0)
    np.testing.assert_allclose(cpu.affine_scan(A, b, h0, tuning=tuning), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "dense"])
def test_one_compilation_for_any_layout(dense):
    """Read-only, misaligned and strided arrays are other types to Numba; it must not see them."""
    A, b, h0 = problem(np.random.default_rng(7), (9, 3, 6), dense, "float64")
    kernel = cpu.march_dense(6, b.dtype) if dense else cpu.march_rows
    cpu.affine_scan(A, b, h0)
    before = len(kernel.signatures)
    assert before >= 1
    shifted = [np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape) for x in (A, b, h0)]
    fixed = [np.broadcast_to(x, x.shape) for x in (A, b, h0)]
    strided = [np.asfortranarray(x) for x in (A, b, h0)]
    for operands in (shifted, fixed, strided):
        cpu.affine_scan(*operands)
    assert len(kernel.signatures) == before


def test_overflow_where_the_loop_overflows(tuning):
    A, b = np.full((3000, 1), 1.5), np.zeros((3000, 1))
    expected = sequential.affine_scan(A, b, np.ones(1))
    h = cpu.affine_scan(A, b, np.ones(1), tuning=tuning)
    np.testing.assert_array_equal(np.isinf(h), np.isinf(expected))
    np.testing.assert_array_equal(h[:30], expected[:30])


FLEETING = {
    "product": ([1e200, 1e-200], [0, 0], 1e200),
    "sum": ([1, 0.1], [1.5e308, 0], 1e308),
    "growing chunk": ([1e10] * 20 + [1e-10] * 20, [0] * 40, 1e200),
    "hardly growing": ([1.5, 0.1], [0, 0], 1.5e308),
    "offsets": ([1] * 5 + [0.01], [0, 1e308, 1e308, 1e308, 0, 0], 1.0),
}
"""Coefficients, offsets and a start that would leave states in range again after an overflow."""


@pytest.mark.pairs(tuning=TUNINGS, case=FLEETING.keys(), reverse=DIRECTIONS)
def test_an_overflow_is_for_ever(case, reverse, tuning):
    a, b, start = FLEETING[case]
    for position in (1, 2, 3, 4, 40, 53, 63, 90, 99):
        A, offsets = np.ones((140, 1)), np.zeros((140, 1))
        A[position : position + len(a), 0] = a
        offsets[position : position + len(b), 0] = b
        A, offsets = (A[::-1].copy(), offsets[::-1].copy()) if reverse else (A, offsets)
        expected = sequential.affine_scan(A, offsets, np.full(1, start), reverse=reverse)
        assert not np.isfinite(expected[0 if reverse else -1])
        assert_same(cpu.affine_scan(A, offsets, np.full(1, start), reverse=reverse, tuning=tuning), expected)


@pytest.mark.parametrize("pattern", [[1e5, 1e-5], [1e-5, 1e5, 0.5], [2, 3, 1 / 6], [-1e5, 1e-5]], ids=str)
def test_large_factors_of_small_products(pattern, tuning):
    """The states are 1: the loop rounds little more than the offsets, a chunk as often as it has steps."""
    A = np.resize(pattern, (400, 1))
    h = cpu.affine_scan(A, 1 - A, np.ones(1), tuning=tuning)
    atol = 1e-9 if tuning.threads in (3, 20) else 1e-15
    np.testing.assert_allclose(h, sequential.affine_scan(A, 1 - A, np.ones(1)), rtol=0, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("position", [1, 1000, 2250, 2251, 4501, 8999])
def test_a_large_state_that_is_cancelled(position, tuning):
    """Such a state must cost one rounding error, not one for each step of its chunk."""
    A, b, h0 = np.ones((9000, 1)), np.full((9000, 1), 0.2), np.full(1, 1e16)
    b[:position] = 0
    b[position] = -1e16
    exact = sequential.affine_scan(A.astype("longdouble"), b.astype("longdouble"), h0.astype("longdouble"))
    h = cpu.affine_scan(A, b, h0, tuning=tuning)
    assert np.all(np.abs(h - exact) <= 8 * np.finfo(float).eps * running_bound(A, h0, exact))


def test_an_overflow_of_the_product_alone(tuning):
    """The step rounded once would stay finite."""
    A, b, h0 = np.full((50, 1), 10.0), np.full((50, 1), -1e308), np.full(1, 2e307)
    assert_same(cpu.affine_scan(A, b, h0, tuning=tuning), sequential.affine_scan(A, b, h0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_round_as_in_the_loop(dtype, tuning):
    """The offsets cancel the rounded products, not the products."""
    A, h0 = np.random.default_rng(8).uniform(2, 80, (400, 2)).astype(dtype), np.array([5, 0.1], dtype)
    b = h0 - A * h0
    np.testing.assert_array_equal(
        cpu.affine_scan(A, b, h0, tuning=tuning), sequential.affine_scan(A, b, h0), strict=True
    )


def test_states_near_the_largest_number(tuning):
    """Products overflow, the states do not."""
    h = cpu.affine_scan(np.full((500, 1), 1.5), np.full((500, 1), -0.5e308), np.full(1, 1e308), tuning=tuning)
    np.testing.assert_allclose(h[:30], 1e308, rtol=1e-9)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(0, 200),
    n=st.integers(1, 7),
    dense=st.booleans(),
    reverse=st.booleans(),
    name=st.sampled_from(sorted(TUNINGS)),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32 - 1),
)
def test_kernel_is_the_oracle(length, n, dense, reverse, name, dtype, seed):
    A, b, h0 = problem(np.random.default_rng(seed), (length, n), dense, dtype)
    expected = sequential.affine_scan(A, b, h0, reverse=reverse)
    assert_same(cpu.affine_scan(A, b, h0, reverse=reverse, tuning=TUNINGS[name]), expected, 500)


@pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "dense"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_generic_path(dense, reverse):
    """Arrays of another library take the loop, and the loop is the formula."""
    A, b, h0 = problem(np.random.default_rng(5), (6, 2, 3), dense, "float64")
    xp = array_api_strict
    h = affine_scan(xp.asarray(A), xp.asarray(b), xp.asarray(h0), reverse=reverse)
    assert type(h).__module__.startswith("array_api_strict")
    last = h0
    expected = np.empty_like(b)
    for t in range(5, -1, -1) if reverse else range(6):
        last = expected[t] = (np.einsum("bij,bj->bi", A[t], last) if dense else A[t] * last) + b[t]
    np.testing.assert_allclose(np.asarray(h), expected, rtol=1e-12)
    np.testing.assert_allclose(affine_scan(A, b, h0, reverse=reverse), expected, rtol=1e-12)


def test_eight_threads_at_once():
    rng = np.random.default_rng(6)
    problems = [problem(rng, (2000, n), dense, "float64") for n in (1, 2, 3, 4) for dense in (False, True)]
    tuning = TUNINGS["time chunks"]
    expected = [sequential.affine_scan(*operands) for operands in problems]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            results = pool.map(lambda p: cpu.affine_scan(*p, tuning=tuning), problems)
            for h, right in zip(results, expected, strict=True):
                assert_same(h, right, 500)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_after_a_fork():
    program = """
        import os
        import numpy as np
        from parscan._kernels.cpu import affine_scan as cpu
        tuning = cpu.Tuning(threads=3, work_per_thread=1)
        a, b = np.full((1000, 1), 0.5), np.ones((1000, 1))
        before = cpu.affine_scan(a, b, tuning=tuning)
        child = os.fork()
        same = np.array_equal(cpu.affine_scan(a, b, tuning=tuning), before)
        if child == 0:
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert same
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120)


@pytest.mark.slow
def test_kernels_are_kept_on_disk(tmp_path):
    """A second process compiles nothing."""
    program = """
        import numpy as np
        from parscan._kernels.cpu import affine_scan as cpu, dense_kernels as cpu_dense_kernels
        from parscan._kernels.cpu import elementwise_kernels as cpu_kernels
        for n in (1, 3, 6, 9):
            cpu.affine_scan(np.ones((9, n)), np.ones((9, n)))
            cpu.affine_scan(np.ones((9, n, n)), np.ones((9, n)))
        kernels = [cpu_kernels.march_rows, cpu_kernels.march_column, cpu_dense_kernels.march_registers]
        kernels += [cpu_dense_kernels.march_memory(order) for order in (6, cpu_dense_kernels.ANY)]
        print([sum(kernel.stats.cache_misses.values()) for kernel in kernels])
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    misses = [
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()
        for _ in range(2)
    ]
    assert misses == ["[1, 1, 1, 1, 1]", "[0, 0, 0, 0, 0]"]


@pytest.mark.slow
def test_rounding_does_not_depend_on_which_kernel_is_compiled_first(tmp_path):
    """Numba compiles the product of complex numbers once for all kernels of an error model, fused or not."""
    program = """
        import sys
        import numpy as np
        from parscan._kernels.cpu.affine_scan import affine_scan
        parts = np.random.default_rng(0).standard_normal((2, 50, 3, 3))
        matrices = 0.3 * (parts[0] + 1j * parts[1])
        operands = {"matrices": matrices, "numbers": matrices[..., 0]}
        states = {name: affine_scan(operands[name], matrices[..., 1]) for name in sys.argv[1:]}
        print(*(states[name].tobytes().hex() for name in operands))
    """
    found = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), *order],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / order[0])},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for order in (("matrices", "numbers"), ("numbers", "matrices"))
    ]
    assert found[0] == found[1]


def test_number_of_threads_obeys_the_environment(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    assert available_threads() >= 1
    everything = available_threads()
    for value, most in (("1", 1), ("0", 1), ("100000", everything), ("many", everything), ("²", everything)):
        monkeypatch.setenv("NUMBA_NUM_THREADS", value)
        assert available_threads() == most


def test_a_failing_task_is_reported():
    def fail():
        raise RuntimeError("task failed")

    for tasks in ([fail], [fail, int], [int, fail]):
        with pytest.raises(RuntimeError, match="task failed"):
            run_all(tasks)


@pytest.mark.parametrize(("length", "count"), [(10, 3), (3, 3), (2, 3), (0, 1)])
def test_shares_cover_everything_once(length, count):
    assert [i for left, right in shares(length, count) for i in range(left, right)] == list(range(length))

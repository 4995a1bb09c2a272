"""CUDA kernels that read several neighbouring numbers at once, and those that are taken where memory is not aligned."""

import numpy as np
import pytest
from cuda_emulator import ORDERS

from parscan._kernels.cuda import affine_scan as cuda
from parscan._kernels.cuda import choice
from parscan._kernels.cuda import march_kernels as marching
from parscan._kernels.cuda import thread_kernels as threads
from parscan._kernels.cuda.operand import Operand
from parscan._kernels.generic import affine_scan as sequential

DTYPES = ("float32", "float64", "complex64", "complex128")
PLACES = {"aligned": (0, 0), "matrices are not": (1, 0), "vectors are not": (0, 1)}
"""Parts of a number, real or imaginary, by which matrices and vectors begin behind aligned memory."""


def numbers(rng, dtype, *shape):
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else values).astype(dtype)


def placed(x, parts):
    """A copy that begins so many parts of a number behind a multiple of 16 bytes."""
    size = parts * (x.itemsize // 2 if x.dtype.kind == "c" else x.itemsize)
    memory = np.empty(x.nbytes + 32, np.uint8)
    first = -memory.ctypes.data % 16 + size
    copy = memory[first : first + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


@pytest.mark.pairs(
    dtype=DTYPES, n=[1, 2, 3, 4, 6, 14, 16], where=PLACES, order=ORDERS, reverse=[False, True], started=[False, True],
    length=[1, 23, 64],
)  # fmt: skip
def test_scan_is_the_loop(rng, emulator, tune, dtype, n, where, order, reverse, started, length):
    tune(shortest=4)
    emulator.order = order
    of_matrices, of_vectors = where
    A = placed(numbers(rng, dtype, length, 3, n, n) / np.asarray(2 * n**0.5, dtype), of_matrices)
    b, h0 = placed(numbers(rng, dtype, length, 3, n), of_vectors), numbers(rng, dtype, 3, n)
    start, kept = h0 if started else None, (A.copy(), b.copy())
    found = cuda.affine_scan(A, b, start, reverse=reverse)
    expected = sequential.affine_scan(A, b, start, reverse=reverse)
    limit = 200 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=limit, atol=10 * limit)
    np.testing.assert_array_equal(A, kept[0])
    np.testing.assert_array_equal(b, kept[1])
    way = choice.choose(dtype, n, 3, length)
    sizes, part = way.widths(dtype, n), np.finfo(dtype).dtype.itemsize
    is_wide = emulator.wide[-1 - emulator.launched[::-1].index("march")]  # the last one evaluates the sequences
    fits = all(parts * part % size == 0 for parts, size in zip(where, sizes, strict=True))
    assert is_wide == (way.is_wide(dtype, n) and fits)
    if way.name == "threads" and "summarise" in emulator.launched:
        assert emulator.wide[emulator.launched.index("summarise")] == is_wide


def test_broadcast_and_other_layouts(rng, emulator, tune):
    """Matrices of all steps or sequences are read wide, rows that are broadcast are not."""
    tune(shortest=4)
    b = numbers(rng, "float32", 33, 3, 4)
    for shape, is_wide in (((1, 1, 4, 4), True), ((33, 1, 4, 4), True), ((33, 3, 1, 4), False), ((33, 3, 4, 1), False)):
        A = numbers(rng, "float32", *shape) / np.float32(6)
        emulator.wide.clear()
        expected = sequential.affine_scan(np.broadcast_to(A, (33, 3, 4, 4)).copy(), b)
        np.testing.assert_allclose(cuda.affine_scan(A, b), expected, rtol=1e-5, atol=1e-5)
        assert emulator.wide[0] == is_wide


def test_what_is_aligned():
    x = np.zeros(100, "float32")
    for strides, offset, address, size, expected in (
        ((16, 4, 2, 1), 0, 256, 16, True),
        ((16, 2, 2, 1), 0, 256, 16, False),
        ((18, 4, 2, 1), 0, 256, 16, False),
        ((18, 4, 2, 1), 0, 256, 8, True),
        ((-16, 4, 2, 1), 32, 256, 16, True),
        ((-16, 4, 2, 1), 33, 256, 16, False),
        ((16, 4, 2, 1), 1, 256, 16, False),
        ((16, 4, 2, 1), 1, 268, 16, True),
        ((0, 0, 2, 1), 0, 264, 16, False),
    ):
        assert Operand(x, offset, strides).is_aligned(address, size) == expected


def test_widths():
    """The widest access that divides what a thread reads."""
    assert threads.widths("float32", 2) == (16, 8)
    assert threads.widths("float64", 2) == threads.widths("float32", 4) == threads.widths("complex64", 2) == (16, 16)
    assert threads.widths("float32", 3) == (4, 4)
    assert marching.widths("float32", 16) == (16, 4)
    assert marching.widths("float64", 32) == (16, 8)
    assert marching.widths("float32", 62) == (8, 4)
    assert marching.widths("float32", 20) == (4, 4)  # lanes have five columns each
    names = {way.name: way for way in choice.WAYS}
    assert not names["tiles"].is_wide("float32", 1)
    assert [n for n in range(1, 7) if names["threads"].is_wide("float64", n)] == [2, 4, 6]


def test_lanes_have_every_column_once():
    for n in range(5, 63):
        tile = marching.wide_tile("float32", n)
        columns = [
            c * marching.LANES + lane * tile.vector + v
            for lane in range(marching.LANES)
            for c in range(0, tile.classes, tile.vector)
            for v in range(tile.vector)
        ]
        assert sorted(columns) == list(range(tile.threads))
        assert n % tile.vector == 0


def test_chunks_are_counted_by_32_bits():
    chunk = choice.resident(16)
    assert chunk("float32", 7, 10**6, 2**33, 132) == choice.LONGEST == 2**31 - 1
    assert chunk("float32", 7, 1, 2**44, 132) == choice.LONGEST
    assert chunk("float32", 7, 1, 2**33, 132) < choice.LONGEST

"""Compiled elimination of collocation stages, several intervals side by side.

One system is too small to keep a processor's vector units busy. Therefore several intervals are eliminated at once,
each in one lane of vectors of 64 bytes: entry (i, j) of all their matrices `[I - h A⊗J | r | J]` is one vector, the row
`i * columns + j` of the table `W` of shape (vectors, lanes), which is aligned to 64 bytes. The loops over vectors are
written in LLVM: Numba neither keeps a sum of vectors in registers nor knows that rows do not overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..._arrays.namespace import Array
from .compilation import fused_kernel

BYTES = 64
"""Size of the widest vectors of any processor; on other processors LLVM uses two or four narrower vectors."""

COUNT = ir.IntType(types.intp.bitwidth)


class Vectors:
    """The rows of a table `W` as LLVM vectors."""

    def __init__(self, context: Any, builder: Any, W_type: Any, W: Any) -> None:
        scalar = context.get_data_type(W_type.dtype)
        self.builder = builder
        self.type = ir.VectorType(scalar, BYTES // (W_type.dtype.bitwidth // 8))
        self.start = builder.bitcast(context.make_array(W_type)(context, builder, W).data, self.type.as_pointer())
        self.zeros = ir.Constant(self.type, [0.0] * self.type.count)
        self.ones = ir.Constant(self.type, [1.0] * self.type.count)

    def load(self, row: Any) -> Any:
        """Read a row."""
        return self.builder.load(self.builder.gep(self.start, [row]), align=BYTES)

    def store(self, value: Any, row: Any) -> None:
        """Write a row."""
        self.builder.store(value, self.builder.gep(self.start, [row]), align=BYTES)


def subtracting(width: int) -> Any:
    """
    Make `subtract(W, at, apart, f, f_step, x, x_step, count)`, which subtracts `width` sums of products.

    `W[at + w * apart] -= sum(W[f + k * f_step] * W[x + w * apart + k * x_step] for k in range(count))`, w < width. The
    factors `f` are read once for all `w`, and the sums are independent of each other.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def subtract(_: Any, W: Any, at: Any, apart: Any, f: Any, f_step: Any, x: Any, x_step: Any, count: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vectors = Vectors(context, builder, signature.args[0], args[0])
            at, apart, f, f_step, x, x_step, count = args[1:]
            offsets = [builder.mul(apart, COUNT(w)) for w in range(width)]
            sums = [cgutils.alloca_once_value(builder, vectors.load(builder.add(at, offset))) for offset in offsets]
            with cgutils.for_range(builder, count) as loop:
                factor = vectors.load(builder.add(f, builder.mul(loop.index, f_step)))
                row = builder.add(x, builder.mul(loop.index, x_step))
                for total, offset in zip(sums, offsets, strict=True):
                    product = builder.fmul(factor, vectors.load(builder.add(row, offset)), flags=("contract",))
                    builder.store(builder.fsub(builder.load(total), product, flags=("contract",)), total)
            for total, offset in zip(sums, offsets, strict=True):
                vectors.store(builder.load(total), builder.add(at, offset))
            return context.get_dummy_value()

        return types.void(W, *[types.intp] * 7), code

    return subtract


subtract_four, subtract_two, subtract_one = subtracting(4), subtracting(2), subtracting(1)


@intrinsic  # type: ignore[untyped-decorator]
def divide(_: Any, W: Any, at: Any, count: Any, by: Any) -> Any:
    """`W[at:at + count] /= W[by]`, as products with the reciprocal."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = Vectors(context, builder, signature.args[0], args[0])
        at, count, by = args[1:]
        reciprocal = builder.fdiv(vectors.ones, vectors.load(by))
        with cgutils.for_range(builder, count) as loop:
            row = builder.add(at, loop.index)
            vectors.store(builder.fmul(reciprocal, vectors.load(row)), row)
        return context.get_dummy_value()

    return types.void(W, types.intp, types.intp, types.intp), code


@intrinsic  # type: ignore[untyped-decorator]
def find_pivots(_: Any, W: Any, at: Any, step: Any, count: Any, found: Any) -> Any:
    """`found = argmax(abs(W[at + i * step]) for i in range(count))` in each lane; return whether any is not 0."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = Vectors(context, builder, signature.args[0], args[0])
        at, step, count, found = args[1:]
        lanes = vectors.type.count
        indices = ir.VectorType(COUNT, lanes)
        zeros = ir.Constant(indices, [0] * lanes)

        def size(row: Any) -> Any:
            value = vectors.load(row)
            return builder.select(builder.fcmp_ordered("<", value, vectors.zeros), builder.fneg(value), value)

        largest = cgutils.alloca_once_value(builder, size(at))
        index = cgutils.alloca_once_value(builder, zeros)
        with cgutils.for_range_slice(builder, COUNT(1), count, COUNT(1), intp=COUNT) as (row, _):
            candidate, former = size(builder.add(at, builder.mul(row, step))), builder.load(largest)
            larger = builder.fcmp_ordered(">", candidate, former)
            builder.store(builder.select(larger, candidate, former), largest)
            here = builder.insert_element(ir.Constant(indices, ir.Undefined), row, COUNT(0))
            here = builder.shuffle_vector(here, here, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))
            builder.store(builder.select(larger, here, builder.load(index)), index)
        result = context.make_array(signature.args[4])(context, builder, found).data
        builder.store(builder.load(index), builder.bitcast(result, indices.as_pointer()), align=COUNT.width // 8)
        moved = builder.bitcast(builder.icmp_unsigned("!=", builder.load(index), zeros), ir.IntType(lanes))
        return builder.icmp_unsigned("!=", moved, ir.IntType(lanes)(0))

    return types.boolean(W, types.intp, types.intp, types.intp, found), code


@fused_kernel
def subtract(W: Array, at: int, apart: int, f: int, f_step: int, x: int, x_step: int, count: int, width: int) -> None:
    """Subtract any number of sums of products; see `subtracting`."""
    w = 0
    while w + 4 <= width:
        subtract_four(W, at + w * apart, apart, f, f_step, x + w * apart, x_step, count)
        w += 4
    if w + 2 <= width:
        subtract_two(W, at + w * apart, apart, f, f_step, x + w * apart, x_step, count)
        w += 2
    if w < width:
        subtract_one(W, at + w * apart, apart, f, f_step, x + w * apart, x_step, count)


@fused_kernel
def swap_rows(W: Array, columns: int, row: int, found: Array) -> None:
    """In each lane, swap a row of the matrix with the one `found` rows below it."""
    for lane in range(W.shape[1]):
        if found[lane] > 0:
            x, y = np.uintp(row * columns), np.uintp((row + found[lane]) * columns)
            for column in range(columns):
                j = np.uintp(column)
                W[x + j, lane], W[y + j, lane] = W[y + j, lane], W[x + j, lane]


@fused_kernel
def eliminate(W: Array, m: int, columns: int, found: Array) -> None:
    """
    Solve the systems whose matrices are the first `m` columns, with the other columns as right-hand sides.

    In Crout's order, each entry is computed by one sum and then complete. Each lane has its own partial pivoting.
    """
    for p in range(m):
        diagonal = p * columns + p
        subtract(W, diagonal, columns, p, columns, p * columns, 1, p, m - p)
        if find_pivots(W, diagonal, columns, m - p, found):
            swap_rows(W, columns, p, found)
        subtract(W, diagonal + 1, 1, p * columns, 1, p + 1, columns, p, columns - p - 1)
        divide(W, diagonal + 1, columns - p - 1, diagonal)
    for p in range(m - 2, -1, -1):
        right, below = p * columns + p + 1, (p + 1) * columns + m
        subtract(W, p * columns + m, 1, right, 1, below, columns, m - 1 - p, columns - m)


@fused_kernel
def read_sides(W: Array, J: Array, r: Array, first: int, last: int) -> None:
    """Write the right-hand sides `[r | J]` of the intervals `first` to `last` to the table; zeros in unused lanes."""
    _, s, n = r.shape
    m, columns = s * n, s * n + n + 1
    for lane in range(W.shape[1]):
        k = first + lane
        for row in range(m):
            x = np.uintp(row * columns + m)
            i, a = row // n, row % n
            W[x, lane] = r[k, i, a] if k < last else 0
            for c in range(n):
                W[x + np.uintp(1 + c), lane] = J[k, i, a, c] if k < last else 0


@fused_kernel
def form_matrices(W: Array, A: Array, steps: Array, hJ: Array) -> None:
    """Write `I - h A⊗J` to the table, from J in the right-hand sides; `hJ` is workspace for one row of a stage."""
    s, lanes = A.shape[0], W.shape[1]
    n = hJ.shape[0] // lanes
    m, columns = s * n, s * n + n + 1
    numbers = W.reshape(-1)
    for row in range(m):
        side = (row * columns + m + 1) * lanes
        for c in range(n):
            for lane in range(lanes):
                y = np.uintp(c * lanes + lane)
                hJ[y] = steps[lane] * numbers[np.uintp(side) + y]
        for j in range(s):
            factor, x = -A[row // n, j], np.uintp((row * columns + j * n) * lanes)
            for entry in range(n * lanes):
                numbers[x + np.uintp(entry)] = factor * hJ[np.uintp(entry)]
        for lane in range(lanes):
            numbers[np.uintp((row * columns + row) * lanes + lane)] += 1


@fused_kernel
def write_solutions(
    W: Array, b: Array, steps: Array, first: int, last: int, X0: Array, X1: Array, P: Array, g: Array
) -> None:
    """Copy the stages from the table, and sum them over each interval."""
    _, s, n = X0.shape
    m, columns = s * n, s * n + n + 1
    for lane in range(last - first):
        k = first + lane
        for a in range(n):
            for c in range(n + 1):
                total = steps.dtype.type(0)
                for i in range(s):
                    x = W[np.uintp((i * n + a) * columns + m + c), lane]
                    total += b[i] * x
                    if c == 0:
                        X0[k, i, a] = x
                    else:
                        X1[k, i, a, c - 1] = x
                if c == 0:
                    g[k, a] = steps[lane] * total
                else:
                    P[k, a, c - 1] = steps[lane] * total + (1 if a == c - 1 else 0)


@fused_kernel
def condense_groups(
    left: int,
    right: int,
    W: Array,
    J: Array,
    A: Array,
    b: Array,
    h: Array,
    r: Array,
    X0: Array,
    X1: Array,
    P: Array,
    g: Array,
) -> None:
    """Condense groups `left` to `right` of intervals, one interval a lane of `W`; all arrays are C-contiguous."""
    _, s, n = r.shape
    lanes = W.shape[1]
    found, steps, hJ = np.empty(lanes, np.intp), np.empty(lanes, h.dtype), np.empty(n * lanes, h.dtype)
    for group in range(left, right):
        first, last = group * lanes, min((group + 1) * lanes, r.shape[0])
        for lane in range(lanes):
            steps[lane] = h[first + lane] if first + lane < last else 0
        read_sides(W, J, r, first, last)
        form_matrices(W, A, steps, hJ)
        eliminate(W, s * n, s * n + n + 1, found)
        write_solutions(W, b, steps, first, last, X0, X1, P, g)

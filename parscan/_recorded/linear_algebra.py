"""Products of arrays, and linear algebra of small matrices."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy

from .array import RecordingArray, apply, recorded
from .calls import known, recording, records, written
from .graph import PARTS, Graph
from .python_numbers import raises
from .reductions import reduced, squared
from .refusal import Refused
from .results import product

np: Any = numpy  # whose types do not know recording arrays

SMALL = 16
"""A matrix product of at most this many multiplications is recorded as sums of products."""


@records()
def matmul(a: Any, b: Any) -> RecordingArray:
    one, other = recording(a, b), recording(b, a)
    if not one.ndim or not other.ndim:
        raise ValueError("matmul: an operand has no axes")
    dtype = np.result_type(one.dtype, other.dtype)
    one, other = one.astype(dtype, copy=False), other.astype(dtype, copy=False)
    left, right = np.asarray(one.ids), np.asarray(other.ids)
    left = left[None] if one.ndim == 1 else left
    right = right[:, None] if other.ndim == 1 else right
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: operands of shapes {one.shape} and {other.shape} do not fit")
    if left.ndim == right.ndim == 2:
        found = _matrix_product(one.graph, left, right, dtype)
    else:
        lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        left = np.broadcast_to(left, (*lead, *left.shape[-2:]))
        right = np.broadcast_to(right, (*lead, *right.shape[-2:]))
        found = np.empty((*lead, left.shape[-2], right.shape[-1]), dtype=np.intp)
        for place in np.ndindex(*lead):
            found[place] = _matrix_product(one.graph, left[place], right[place], dtype)
    found = found[..., 0] if other.ndim == 1 else found
    found = found[..., 0, :] if one.ndim == 1 and other.ndim > 1 else found[..., 0] if one.ndim == 1 else found
    return RecordingArray(one.graph, found, dtype)


def _matrix_product(graph: Graph, left: Any, right: Any, dtype: Any) -> Any:
    """Nodes of the product of two matrices of nodes."""
    (m, k), n = left.shape, right.shape[1]
    if dtype.kind == "c":
        return _complex_product(graph, left, right, dtype)
    if m * k * n > SMALL and min(m, n) * k > 1:
        if m < n:  # the matrix of a product is the larger operand
            return _matrix_product(graph, right.T, left.T, dtype).T
        return np.stack([product(graph, left, right[:, column], dtype) for column in range(n)], axis=1)
    products = recorded(graph, "multiply", dtype, [left[:, :, None], right[None, :, :]])
    terms = [RecordingArray(graph, products[:, j, :], dtype) for j in range(k)]
    return np.asarray(reduced("add", terms).ids) if terms else np.full((m, n), graph.constant(np.asarray(0, dtype)))


def _complex_product(graph: Graph, left: Any, right: Any, dtype: Any) -> Any:
    """The same of complex numbers, of which the imaginary parts may all be zero."""
    own = PARTS[dtype.char]
    (lr, li), (rr, ri) = graph.parts(left), graph.parts(right)

    def terms(*factors: tuple[Any, Any]) -> list[RecordingArray]:
        kept = [pair for pair in factors if not any(_are_zero(graph, one) for one in pair)]
        return [RecordingArray(graph, _matrix_product(graph, *pair, own), own) for pair in kept]

    zero = RecordingArray(graph, np.full((len(left), right.shape[1]), graph.constant(np.asarray(0, own))), own)
    real = reduce(np.subtract, terms((li, ri)), reduce(np.add, terms((lr, rr)) or [zero]))
    imaginary = reduce(np.add, terms((lr, ri), (li, rr)) or [zero])
    return graph.pair(np.asarray(real.ids), np.asarray(imaginary.ids), dtype)


def _are_zero(graph: Graph, nodes: Any) -> bool:
    """Whether nodes are constants, all zero."""
    known = graph.values(nodes)
    return known is not None and not np.any(known)


@records()
def dot(a: Any, b: Any, out: Any = None) -> Any:
    if out is not None:
        return written(out, dot(a, b))
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return apply("multiply", recording(a, b), b)
    if np.ndim(b) > 2 or np.ndim(a) > 2:
        return np.tensordot(a, b, axes=((-1,), (-1 if np.ndim(b) == 1 else -2,)))
    return matmul(a, b)


@records()
def vdot(a: Any, b: Any) -> Any:
    return matmul(np.ravel(recording(a, b)).conj(), np.ravel(recording(b, a)))


@records()
def inner(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return apply("multiply", recording(a, b), b)
    return np.tensordot(a, b, axes=((-1,), (-1,)))


@records()
def outer(a: Any, b: Any) -> Any:
    return apply("multiply", np.ravel(recording(a, b))[:, None], np.ravel(recording(b, a))[None, :])


@records()
def kron(a: Any, b: Any) -> Any:
    one, other = np.atleast_2d(recording(a, b)), np.atleast_2d(recording(b, a))
    found = (one[:, None, :, None] * other[None, :, None, :]).reshape(
        one.shape[0] * other.shape[0], one.shape[1] * other.shape[1]
    )
    return found.ravel() if np.ndim(a) == np.ndim(b) == 1 else found


@records()
def cross(a: Any, b: Any, axis: int = -1, **options: Any) -> Any:
    one, other = recording(a, b), recording(b, a)
    if options or one.shape[axis] != 3 or other.shape[axis] != 3:
        raise Refused("calls `cross` on vectors that have not three components")
    (a0, a1, a2), (b0, b1, b2) = (np.moveaxis(v, axis, 0) for v in (one, other))
    return np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=axis)


@records()
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    one, other = recording(a, b), recording(b, a)
    if np.ndim(axes) == 0:
        axes = (range(one.ndim - axes, one.ndim), range(axes))
    left, right = ([int(k) % v.ndim for k in np.atleast_1d(part)] for part, v in zip(axes, (one, other), strict=True))
    kept = [k for k in range(one.ndim) if k not in left]
    free = [k for k in range(other.ndim) if k not in right]
    shape = [one.shape[k] for k in kept] + [other.shape[k] for k in free]
    count = int(np.prod([one.shape[k] for k in left], dtype=int))
    rows = one.transpose((*kept, *left)).reshape(-1, count)
    columns = other.transpose((*right, *free)).reshape(count, -1)
    return matmul(rows, columns).reshape(tuple(shape))


@records()
def einsum(subscripts: str, *operands: Any, **options: Any) -> Any:
    if not isinstance(subscripts, str) or set(options) - {"optimize"}:
        raise Refused("calls `einsum` with lists or options")
    arrays = [recording(a, *operands) for a in operands]
    terms, _, output = _spelled(subscripts.replace(" ", ""), arrays).partition("->")
    names = terms.split(",")
    if "->" not in subscripts:
        output = "".join(sorted(c for c in set(terms) - {","} if terms.count(c) == 1))
    for k, (name, array) in enumerate(zip(names, arrays, strict=True)):
        for letter in {c for c in name if name.count(c) > 1}:
            first, second = name.index(letter), name.rindex(letter)
            array = np.diagonal(array, axis1=first, axis2=second)  # noqa: PLW2901
            name = name[:first] + name[first + 1 : second] + name[second + 1 :] + letter  # noqa: PLW2901
        names[k], arrays[k] = name, array
    while len(arrays) > 1:
        later = set("".join(names[2:])) | set(output)
        name, array = _contracted(names[:2], arrays[:2], later)
        names[:2], arrays[:2] = [name], [array]
    summed = tuple(k for k, c in enumerate(names[0]) if c not in output)
    found = np.sum(arrays[0], axis=summed) if summed else arrays[0]
    left = [c for c in names[0] if c in output]
    return np.transpose(found, [left.index(c) for c in output]) if output else found


def _spelled(subscripts: str, arrays: list[RecordingArray]) -> str:
    """Subscripts of `einsum`, with letters instead of an ellipsis."""
    terms, arrow, _ = subscripts.partition("->")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts]
    counts = [array.ndim - len(term) + 3 for term, array in zip(terms.split(","), arrays, strict=True) if "..." in term]
    if not counts:
        return subscripts
    if len(set(counts)) > 1 or not arrow:
        raise Refused("calls `einsum` with an ellipsis of different lengths")
    letters = "".join(free[: counts[0]])
    return subscripts.replace("...", letters)


def _contracted(names: list[str], arrays: list[RecordingArray], later: set[str]) -> tuple[str, RecordingArray]:
    """The product of two operands of `einsum`, summed over the indices that are not needed later."""
    (a, b), (one, other) = names, arrays
    both = [c for c in a if c in b and c in later]
    summed = [c for c in a if c in b and c not in later]
    only_a, only_b = [c for c in a if c not in b], [c for c in b if c not in a]
    x = one.transpose([a.index(c) for c in [*both, *only_a, *summed]])
    y = other.transpose([b.index(c) for c in [*both, *summed, *only_b]])
    count = len(both)
    sums = int(np.prod(x.shape[count + len(only_a) :], dtype=int))
    left = x.reshape((*x.shape[:count], -1, sums)) if x.size else x
    right = y.reshape((*y.shape[:count], sums, -1))
    shape = x.shape[: count + len(only_a)] + y.shape[count + len(summed) :]
    return "".join([*both, *only_a, *only_b]), matmul(left, right).reshape(shape)


@records()
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, **_: Any) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


@records()
def multi_dot(arrays: Any, **_: Any) -> Any:
    return reduce(np.matmul, arrays)


@records()
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # noqa: A002 - as in NumPy
    array = recording(x)
    if axis is None and ord is None:
        return np.sqrt(np.sum(squared(array.ravel()), keepdims=keepdims))
    if ord not in (None, "fro") and (isinstance(axis, tuple) or (axis is None and array.ndim > 1)):
        raise Refused("calls `norm` of matrices")
    if ord in (None, 2, "fro"):
        return np.sqrt(np.sum(squared(array), axis=axis, keepdims=keepdims))
    if ord == 1:
        return np.sum(np.abs(array), axis=axis, keepdims=keepdims)
    if ord in (np.inf, -np.inf):
        reduce_by = np.max if ord > 0 else np.min
        return reduce_by(np.abs(array), axis=axis, keepdims=keepdims)
    raise Refused(f"calls `norm` with ord={ord!r}")


def _minor(a: Any, row: int, column: int) -> Any:
    rows = [k for k in range(a.shape[-1]) if k != row]
    columns = [k for k in range(a.shape[-1]) if k != column]
    return a[..., rows, :][..., :, columns]


LARGEST = 8
"""Largest number of rows of a matrix whose linear algebra is recorded."""


@records()
def det(a: Any) -> Any:
    array = recording(a)
    n = array.shape[-1]
    if n > 3:
        raise Refused("calls `det` of a matrix larger than 3 by 3")
    if n == 1:
        return array[..., 0, 0]
    return sum((-1.0) ** k * array[..., 0, k] * det(_minor(array, 0, k)) for k in range(n))


@records()
def inv(a: Any, **_: Any) -> Any:
    array = recording(a)
    dtype = array.dtype if array.dtype.kind in "fc" else None
    return _eliminated(array, np.broadcast_to(np.eye(array.shape[-1], dtype=dtype), array.shape))


@records()
def solve(a: Any, b: Any, **_: Any) -> Any:
    array, right = recording(a, b), recording(b, a)
    if (matrix := array.constants) is not None and array.shape[-1] > LARGEST:
        return np.matmul(numpy.linalg.inv(matrix), right)
    return _eliminated(array, right) if right.ndim > 1 else _eliminated(array, right[:, None])[..., 0]


def _eliminated(a: RecordingArray, b: Any) -> Any:
    """
    Solution of linear systems by elimination with partial pivoting, in which `where` swaps rows.

    Where a pivot is zero, NumPy raises an exception, and the recorded function gives NaN.
    """
    n = a.shape[-1]
    if n > LARGEST:
        raise Refused(f"calls a function of linear algebra on a matrix larger than {LARGEST} by {LARGEST}")
    whole = np.concatenate([a, b], axis=-1)
    rows = [whole[..., k, :] for k in range(n)]
    for k in range(n):
        for j in range(k + 1, n):
            swap = (np.abs(rows[j][..., k]) > np.abs(rows[k][..., k]))[..., None]
            rows[k], rows[j] = np.where(swap, rows[j], rows[k]), np.where(swap, rows[k], rows[j])
        for j in range(k + 1, n):
            rows[j] = rows[j] - (rows[j][..., k] / rows[k][..., k])[..., None] * rows[k]
    for k in range(n):
        raises(a.graph, np.any(rows[k][..., k] == 0))
    found: list[Any] = [None] * n
    for k in reversed(range(n)):
        rest = rows[k][..., n:]
        for j in range(k + 1, n):
            rest = rest - rows[k][..., j][..., None] * found[j]
        found[k] = rest / rows[k][..., k][..., None]
    return np.stack(found, axis=-2)


@records()
def lu_solve(lu_and_piv: Any, b: Any, **_: Any) -> Any:
    from scipy import linalg  # noqa: PLC0415 - slow to import

    factors = known(lu_and_piv)
    return np.matmul(linalg.lu_solve(factors, np.eye(len(factors[0]))), recording(b))

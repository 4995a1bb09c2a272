"""Inverses of small matrices in registers, in drivers: in one matrix or in one in each lane."""

from __future__ import annotations

from .expressions import Code, Value

Matrix = list[list[Value]]


def inverse(code: Code, matrix: Matrix) -> Matrix:
    """
    The inverse, by Gauss and Jordan's elimination with partial pivoting; not finite if there is none.

    Higham, Accuracy and Stability of Numerical Algorithms (2002), section 14.4. Rows change places without branches,
    so that lanes may choose different rows.
    """
    n = len(matrix)
    one = matrix[0][0]
    unit = [[code.number(float(r == c), one.dtype, one.width) for c in range(n)] for r in range(n)]
    rows = [[*left, *right] for left, right in zip(matrix, unit, strict=True)]
    for k in range(n):
        for other in range(k + 1, n):
            larger = code.abs(rows[other][k]) > code.abs(rows[k][k])
            pairs = list(zip(rows[k], rows[other], strict=True))
            rows[k] = [code.where(larger, after, before) for before, after in pairs]
            rows[other] = [code.where(larger, before, after) for before, after in pairs]
        factor = 1.0 / rows[k][k]
        rows[k] = [value * factor for value in rows[k]]
        for other in range(n):
            if other != k:
                size = -rows[other][k]
                columns = zip(rows[other], rows[k], strict=True)
                rows[other] = [code.fma(size, pivot, value) for value, pivot in columns]
    return [row[n:] for row in rows]


def product(code: Code, matrix: Matrix, vector: list[Value]) -> list[Value]:
    """A matrix times a vector."""
    found = [row[0] * vector[0] for row in matrix]
    for k in range(1, len(vector)):
        found = [code.fma(row[k], vector[k], total) for row, total in zip(matrix, found, strict=True)]
    return found

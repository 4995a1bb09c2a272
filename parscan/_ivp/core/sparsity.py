"""Advice for large Jacobians that are mostly zero."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace

LARGE = 50
"""Fewest components for which the advice is given."""

SPARSE = 0.2
"""Largest share of non-zero entries of a sparse Jacobian."""


def advice(jacobian: Array) -> str:
    """A sentence on solvers that use the zeros of the Jacobian `(n, n)` of some interval; "" if it is not sparse."""
    xp, n = array_namespace(jacobian), jacobian.shape[-1]
    if n < LARGE:
        return ""
    rows, columns = xp.nonzero(jacobian)
    share = rows.shape[0] / (n * n)
    if share > SPARSE or not rows.shape[0]:
        return ""
    lower, upper = (max(0, int(xp.max(x))) for x in (rows - columns, columns - rows))
    banded = f", or `lband={lower}` and `uband={upper}`" if lower + upper < SPARSE * n else ""
    return (
        f" Of its Jacobian, {100 * share:.2g} % of the entries are not zero: with `jac_sparsity`{banded}, SciPy's "
        "sequential solvers would make use of that."
    )

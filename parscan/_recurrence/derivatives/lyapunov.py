"""Growth of a small change along a trajectory."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace
from ..._linalg.growth import scaled_product
from .jacobians import Jacobians
from .solution import Solution


def lyapunov(solution: Solution) -> float:
    """Logarithm of the growth of a small change per step, the largest of the batch; NaN without steps."""
    if not solution.steps:
        return float("nan")
    jacobians, total = Jacobians(solution), 0.0
    product: Array | None = None
    for begin, end in jacobians.stretches(solution.steps, 1):
        matrices = jacobians.of_steps(begin, end)
        xp = array_namespace(matrices)
        matrices = matrices if product is None else xp.concat([product[None, ...], matrices])
        product, logarithm = scaled_product(jacobians.structure, matrices)
        total = total + logarithm
    return float(xp.max(total)) / solution.steps

"""The result of an adjoint run."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays.namespace import Array


@dataclass(frozen=True)
class Adjoint:
    """Gradient of a loss with respect to every state of a trajectory, including the effect on all later states.

    Attributes
    ----------
    states : array, shaped like `y`
        Adjoint states λ: the gradient with respect to a small addition to each state, including its effect on all later
        states. For a differential equation, at the nodes of the mesh: (n, M + 1, *batch).
    y0 : array, shaped like `y0`
        Gradient with respect to the initial state.

    Notes
    -----
    For complex numbers, the gradient g satisfies ``dL = Re(sum(conj(g) * dy))``, so g = ∂L/∂Re y + i ∂L/∂Im y.

    Examples
    --------
    Derivatives of the last state of y_t = 0.5 y_{t-1} + x_t with respect to every input and to the start:

    >>> import numpy as np, parscan
    >>> sol = parscan.solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros(1), np.ones((3, 1)))
    >>> adjoint = sol.adjoint(np.array([[0.0], [0.0], [1.0]]))
    >>> adjoint.states[:, 0], adjoint.y0
    (array([0.25, 0.5 , 1.  ]), array([0.125]))
    """

    states: Array
    y0: Array

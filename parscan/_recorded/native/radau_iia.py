"""Radau IIA: collocation methods of order 2s - 1 with s stages, for stiff problems; their coefficients.

Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition, Springer 1996, sections IV.5 and IV.8, and
"Stiff differential equations solved by Radau methods", Journal of Computational and Applied Mathematics 111 (1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import Legendre, legendre


@dataclass(frozen=True)
class Coefficients:
    """
    Numbers of the method with `s` stages, an odd number.

    The changes `z = h A f` of the state up to the stages are `z = T w`, where the matrix `T⁻¹ A⁻¹ T` has a real number
    and blocks `[[α, β], [-β, α]]` on its diagonal.

    Attributes
    ----------
    c : array (s,)
        Nodes; the last one is 1.
    A : array (s, s)
        Weights of the slopes in the stages.
    T, inverse : arrays (s, s)
        `T`, whose last row is `1, 1, 0, 1, 0, …`, and its inverse.
    real : float
        The real eigenvalue of `A⁻¹`.
    pairs : tuple of complex
        `α + βi`, with positive `β`: one of each pair of complex eigenvalues.
    error : array (s,)
        Weights `e` of the stages in the error `(real - h J)⁻¹ (h f + Σ_i e_i z_i)`, which is of order `s`.
    """

    c: Any
    A: Any
    T: Any
    inverse: Any
    real: float
    pairs: tuple[complex, ...]
    error: Any

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.c)

    @property
    def nested(self) -> Any:
        """
        Weights `(s, s)` of the stages in the coefficients of the polynomial between the ends of a step.

        It is `y + θ (d_1 + (θ - c_1) (d_2 + (θ - c_2) (d_3 + …)))`.
        """
        nodes = np.append(0.0, self.c)
        shapes = [np.prod(self.c[:, None] - nodes[1 : k + 1], axis=1) * self.c for k in range(self.stages)]
        return np.linalg.inv(np.stack(shapes, axis=1))

    @property
    def beyond(self) -> Any:
        """Weights `(s, s)` of the stages in the coefficients of the powers from 1 to `s` of `θ - 1`."""
        shift, nodes, powers = self.c - 1, self.c[:-1] - 1, np.arange(1, self.stages + 1)
        places = np.append(-1.0, nodes)  # the begin, where the change is 0, and the other stages
        solved = np.linalg.inv(places[:, None] ** powers)
        weights = np.zeros((self.stages, self.stages))
        weights[:, :-1] = solved[:, 1:]
        weights[:, -1] -= solved.sum(axis=1)
        assert shift[-1] == 0
        return weights

    def slopes(self, theta: Any) -> Any:
        """Weights `(k, s)` of the stages in the derivatives of that polynomial at some `θ` (k,)."""
        nodes, s = np.append(0.0, self.c), self.stages
        basis = np.stack([legendre.legval(2 * nodes - 1, row) for row in np.eye(s + 1)], axis=1)
        derived = np.stack([2 * Legendre(row).deriv()(2 * theta - 1) for row in np.eye(s + 1)], axis=1)
        return (derived @ np.linalg.inv(basis))[:, 1:]


@cache
def coefficients(stages: int) -> Coefficients:
    """The numbers of the method with some stages."""
    c = nodes(stages)
    x, w = legendre.leggauss(stages)
    x, w = (x + 1) / 2, w / 2
    at = c[:, None] * x
    lagrange = np.stack([np.prod([(at - b) / (a - b) for b in c if b != a], axis=0) for a in c])
    A = np.einsum("ijk,k,j->ji", lagrange, w, c)
    matrix = np.linalg.inv(A)
    values, vectors = np.linalg.eig(matrix)
    (alone,) = np.flatnonzero(values.imag == 0)
    vectors = vectors / vectors[-1]
    columns, pairs = [vectors[:, alone].real], []
    for k in np.argsort(-values.real):
        if values[k].imag > 0:
            columns += [vectors[:, k].real, vectors[:, k].imag]
            pairs.append(complex(values[k]))
    T = np.stack(columns, axis=1)
    real = float(values[alone].real)
    powers = np.arange(stages)
    moments = 1 / (powers + 1.0) - np.where(powers == 0, 1 / real, 0.0)
    other = np.linalg.solve(c ** powers[:, None], moments)
    error = real * (other - A[-1]) @ matrix
    return Coefficients(c, A, T, np.linalg.inv(T), real, tuple(pairs), error)


def nodes(stages: int) -> Any:
    """Roots of the difference of two Legendre polynomials on [0, 1]."""
    series = Legendre(np.append(np.zeros(stages - 1), [-1.0, 1.0]))
    x = np.sort(series.roots().real)
    for _ in range(3):
        x = x - series(x) / series.deriv()(x)
    return np.append((x[:-1] + 1) / 2, 1.0)

"""The index of an implicit problem, of each component too, from its pencil; and pencils that are singular.

The index is the number of times that algebraic rows must be differentiated until `∂F/∂y'` is regular (the shuffle
algorithm of D. G. Luenberger, Automatica 14, 1978). The index of a component is one more than the largest number of
derivatives of a perturbation on which it depends (Hairer, Lubich and Roche, The Numerical Solution of
Differential-Algebraic Systems by Runge-Kutta Methods, 1989): the powers of the nilpotent part of the pencil show it, in
the quasi-Weierstrass form of Berger, Ilchmann and Trenn, Linear Algebra and its Applications 436, 2012.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._arrays.namespace import Array

HIGHEST = 3
"""Highest index that Radau IIA solves."""

ROUNDED, DIFFERENCED = 1e-9, 1e-6
"""Singular values below this share of the largest one are zero, in exact derivatives and in those by differences."""

CANCELLED = 1e-13
"""Rows are zero if less than this share is left of exact rows that were added."""

ENTRY = 10.0
"""Entries of powers of the nilpotent part are not zero above so many times this share."""

ROUNDS = 4
"""Rounds of scaling rows and columns."""

NAMED = 4
"""Most rows or columns that a message names."""


class SingularError(ValueError):
    """A pencil that no solution is determined by, or of too high an index."""


@dataclass(frozen=True)
class Index:
    """The index of a problem, and that of each component, `(n,)`: 1 for those that are not of a higher one."""

    of_problem: int
    of_components: Array

    @property
    def words(self) -> str:
        """The index in a sentence."""
        if self.of_problem == 0:
            return "The matrix at the derivatives is regular: index 0."
        if self.of_problem == 1:
            return "The equations are of index 1."
        parts = [
            f"{places(np.flatnonzero(self.of_components == k))} of index {k}"
            for k in range(2, self.of_problem + 1)
            if np.any(self.of_components == k)
        ]
        return (
            f"The equations are of index {self.of_problem}, components {', '.join(parts)}: the errors of these count "
            "times the step, and its square for index 3."
        )


def index_of(by_state: Array, by_slope: Array, *, is_exact: bool) -> Index:
    """
    The index of the pencil `(∂F/∂y, ∂F/∂y')`.

    Raises
    ------
    SingularError
        If the pencil is singular, or of an index above 3.
    """
    A, E = _scaled(by_state, by_slope)
    share, n = ROUNDED if is_exact else DIFFERENCED, A.shape[0]
    ranks, left, right = list[int](), A, E
    while len(ranks) <= HIGHEST:
        u, sizes, vt = np.linalg.svd(right)
        rank = int(np.sum(sizes > share * max(float(sizes[0]), 1e-300)))
        if rank == n:
            return Index(len(ranks), _of_components(A, E, [n - one for one in ranks], share))
        ranks.append(rank)
        turned = u.T @ left
        added = np.abs(u.T) @ np.linalg.norm(left, axis=1)
        is_left = np.linalg.norm(turned, axis=1) > (CANCELLED if is_exact else ROUNDED) * added
        new = _unit_rows(turned[rank:] * is_left[rank:, None])
        right = np.concatenate([_unit_rows(sizes[:rank, None] * vt[:rank]), new])
        left = np.concatenate([turned[:rank] / sizes[:rank, None], np.zeros_like(new)])
    reject_structure(by_state, by_slope)
    _reject_singular(A, E, share)
    raise SingularError(
        f"the index of the equations is above {HIGHEST}, so that Radau cannot solve them: differentiate the algebraic "
        f"equations, rows {places(_zero_rows(by_slope))}, with respect to time, and pass these instead"
    )


def reject_structure(by_state: Array, by_slope: Array) -> None:
    """Raise if the entries that are not zero make every such pencil singular."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow to import
    from scipy.sparse.csgraph import maximum_bipartite_matching  # noqa: PLC0415

    pattern = (by_state != 0) | (by_slope != 0)
    matched = maximum_bipartite_matching(csr_array(pattern), perm_type="column")
    alone = np.flatnonzero(matched < 0)
    if not alone.size:
        return
    columns = np.setdiff1d(np.arange(pattern.shape[0]), matched)
    raise SingularError(
        f"the equations are singular by their structure: not every component can be determined by an equation of its "
        f"own. Left over are row {places(alone)} of `fun` and component {places(columns)} of `y`"
    )


def singular_places(by_state: Array, by_slope: Array, share: float) -> str:
    """Rows and columns of which a matrix `∂F/∂y + c ∂F/∂y'` is singular, as part of a sentence; "" if it is regular."""
    A, E = _scaled(by_state, by_slope)
    c = float(np.linalg.norm(A) / max(float(np.linalg.norm(E)), 1e-300)) or 1.0
    found = ""
    for factor in (0.7390851, 7.3908513):
        matrix = _unit_rows(A + factor * c * E)
        u, sizes, vt = np.linalg.svd(matrix)
        if sizes[-1] > share * sizes[0]:
            return ""
        found = f"rows {places(_large(u[:, -1]))} of `fun`, components {places(_large(vt[-1]))} of `y`"
    return found


def places(some: Array) -> str:
    """Numbers of rows or components in words."""
    listed = [str(int(each)) for each in some[:NAMED]]
    return ", ".join(listed) + (", …" if some.shape[0] > NAMED else "")


def _reject_singular(A: Array, E: Array, share: float) -> None:
    """Raise if the pencil is singular."""
    if found := singular_places(A, E, share):
        raise SingularError(
            f"the equations determine no solution: their derivatives are linearly dependent, in {found}; is an "
            "equation implied by others, or a component left undetermined?"
        )


def _of_components(A: Array, E: Array, counts: list[int], share: float) -> Array:
    """The index of each component; `counts` are the numbers of chains of the nilpotent part longer than 0, 1, ..."""
    n, index = A.shape[0], len(counts)
    found = np.ones(n, dtype=int)
    if index < 2:
        return found
    nilpotent, finite, size = np.zeros((n, 0)), np.eye(n), 0
    for count in counts:
        size += count
        nilpotent = _solutions(E, A @ nilpotent, nilpotent.shape[1], size)
        finite = _solutions(A, E @ finite, n - size, n - size)
    both = np.linalg.solve(np.concatenate([E @ finite, A @ nilpotent], axis=1), E @ nilpotent)[n - size :]
    power = nilpotent
    for k in range(index):
        entries = np.max(np.abs(power), axis=1, initial=0.0)
        found[entries > ENTRY * share * max(float(np.max(entries)), 1e-300)] = k + 1
        power = power @ both
    return found


def _solutions(matrix: Array, span: Array, dimension: int, size: int) -> Array:
    """A basis, of this size, of the vectors that a matrix takes to a span of this dimension."""
    if dimension:
        q = np.linalg.svd(span)[0][:, :dimension]
        matrix = matrix - q @ (q.T @ matrix)
    if not size:
        return np.zeros((matrix.shape[0], 0))
    found: Array = np.linalg.svd(matrix)[2][-size:].T
    return found


def _scaled(by_state: Array, by_slope: Array) -> tuple[Array, Array]:
    """Both matrices with the same scaling of rows and columns, so that the largest entries at slopes are about 1."""
    A, E = by_state.copy(), by_slope.copy()
    for _ in range(ROUNDS):
        for axis in (1, 0):
            of_slopes, of_states = (np.max(np.abs(one), axis=axis) for one in (E, A))
            size = np.where(of_slopes > 0, of_slopes, np.where(of_states > 0, of_states, 1.0))
            scale = 1 / np.sqrt(size)
            A, E = (one * (scale[:, None] if axis else scale) for one in (A, E))
    return A, E


def _unit_rows(matrix: Array) -> Array:
    """Rows of length 1; those that are zero stay."""
    sizes = np.linalg.norm(matrix, axis=1)
    found: Array = matrix / np.where(sizes > 0, sizes, 1.0)[:, None]
    return found


def _zero_rows(matrix: Array) -> Array:
    return np.flatnonzero(~np.any(matrix != 0, axis=1))


def _large(vector: Array) -> Array:
    """Places of the entries of a vector that are not small."""
    size = np.abs(vector)
    return np.flatnonzero(size > 0.1 * np.max(size))

"""The pencil `(∂F/∂y, ∂F/∂y')` of an implicit problem: by `jac`, exactly by recording `fun`, or by differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ..._arrays.namespace import Array, machine_epsilon, quiet, random_moves
from .problem import ImplicitProblem

STEP = machine_epsilon("float64") ** (1 / 3)
"""Relative step of central differences."""

SHORTEST = 1e-100
"""Spans up to this length tell nothing of how large slopes are."""

LIKE = 1e-7
"""Relative difference of recorded equations and the user's that is accepted."""

SPREAD = 1e-3
"""Relative changes of states at which they are compared."""

FAR, NEAR = 0.1, 1e-3
"""A wrong `jac` differs from differences by more than the first share; turned right, by less than the second."""

Pair = tuple[Array, Array]
"""`∂F/∂y` and `∂F/∂y'`, `(n, n)` both."""


class Recorded(Protocol):
    """The recorded equations, at times `(m,)`, states and slopes `(m, n)`."""

    def residuals(self, t: Array, states: Array, slopes: Array) -> Array:
        """Values `(m, n)`."""

    def jacobians(self, t: Array, states: Array, slopes: Array) -> tuple[Array, Array]:
        """Their derivatives by states and slopes, `(m, n, n)` both."""


class Pencils:
    """
    Evaluates pencils.

    Parameters
    ----------
    problem : ImplicitProblem
    recorded : Recorded, or str
        The recorded equations; or why there are none, as the end of a sentence.

    Attributes
    ----------
    way : str
        How that is done, as a sentence.
    is_exact : bool
        Whether pencils are the user's, or of the recorded equations.
    count, calls : int
        Pencils evaluated, and calls of `fun` for them.
    """

    def __init__(self, problem: ImplicitProblem, recorded: Recorded | str) -> None:
        self._problem, self.count, self.calls = problem, 0, 0
        self.is_exact, self.way, self._pair = self._chosen(recorded)

    def __call__(self, t: float, y: Array, yp: Array) -> Pair:
        """The pencil at a time, state and slopes."""
        self.count += 1
        with quiet():
            return self._pair(t, y, yp)

    def _chosen(self, recorded: Recorded | str) -> tuple[bool, str, Callable[[float, Array, Array], Pair]]:
        problem = self._problem
        if problem.jac is not None:
            return True, "Derivatives of `fun` are those of `jac`.", self._by_jac
        if not isinstance(recorded, str):
            if _agrees(problem, recorded):
                made = recorded

                def exact(t: float, y: Array, yp: Array) -> Pair:
                    by_state, by_slope = made.jacobians(np.full(1, t), y[None, :], yp[None, :])
                    return by_state[0], by_slope[0]

                return True, "Derivatives of `fun` are exact: it was recorded.", exact
            recorded = "it gives something else than its recorded operations"
        words = f"Derivatives of `fun` are taken by differences, as {recorded}; pass `jac` for exact ones."
        return False, words, self.by_differences

    def _by_jac(self, t: float, y: Array, yp: Array) -> Pair:
        """The user's derivatives."""
        problem, n = self._problem, self._problem.n
        if problem.mass is None:
            value = problem.jac(t, y.copy(), yp.copy(), *problem.args)
            try:
                by_state, by_slope = value
            except (TypeError, ValueError):
                raise ValueError(
                    f"`jac` returned {type(value).__name__}; it is to return a pair: the derivatives of `fun` by `y` "
                    "and by `yp`."
                ) from None
            return _matrix(by_state, "∂F/∂y", n), _matrix(by_slope, "∂F/∂yp", n)
        value = problem.jac(t, y.copy(), *problem.args) if callable(problem.jac) else problem.jac
        return self._of_mass(t, y, yp, _matrix(value, "∂f/∂y", n))

    def _of_mass(self, t: float, y: Array, yp: Array, of_fun: Array) -> Pair:
        """The pencil of a mass matrix, of which the derivative by the state is taken by differences."""
        problem, mass = self._problem, self._problem.mass
        assert mass is not None
        if mass.is_constant or not mass.takes_state:
            return -of_fun, mass.matrix(t, y, problem.args)

        def product(state: Array) -> Array:
            found: Array = mass.matrix(t, state, problem.args) @ yp
            return found

        return _central(product, y, problem.sizes(y)) - of_fun, mass.matrix(t, y, problem.args)

    def by_differences(self, t: float, y: Array, yp: Array) -> Pair:
        """The pencil by central differences of `fun`."""
        problem = self._problem
        sizes = problem.sizes(y)

        def of_state(state: Array) -> Array:
            self.calls += 1
            return problem.residual(t, state, yp)

        def of_slopes(slopes: Array) -> Array:
            self.calls += 1
            return problem.residual(t, y, slopes)

        by_state = _central(of_state, y, sizes)
        if problem.mass is not None:
            return by_state, problem.mass.matrix(t, y, problem.args)
        length = abs(problem.span[1] - problem.span[0])
        return by_state, _central(of_slopes, yp, sizes / (length if SHORTEST < length < np.inf else 1.0))

    def reject_mistaken(self, t: float, y: Array, yp: Array) -> None:
        """Raise if the user's derivatives are in the wrong order, transposed, or of the wrong sign."""
        if self._problem.jac is None:
            return
        with quiet():
            given, found = self._pair(t, y, yp), self.by_differences(t, y, yp)
        if _is_far(given[0], found[0]) and _is_near(given[0], found[1]) and _is_near(given[1], found[0]):
            raise ValueError(
                "`jac` returned the derivatives of `fun` by `y` and by `yp` in the wrong order, as differences of "
                "`fun` say: return (∂F/∂y, ∂F/∂yp)."
            )
        for name, one, other in zip(("∂F/∂y", "∂F/∂yp"), given, found, strict=True):
            if _is_far(one, other) and _is_near(one.T, other):
                raise ValueError(
                    f"`jac` is transposed in {name}: entry [i, j] must be the derivative of component i of `fun` by "
                    "component j, and differences of `fun` say that it is the other way round."
                )
            if _is_far(one, other) and _is_near(-one, other):
                raise ValueError(f"`jac` has the wrong sign in {name}, as differences of `fun` say.")


def _is_far(one: Array, other: Array) -> bool:
    """Whether a matrix differs from differences that are not zero."""
    size = np.linalg.norm(other)
    return bool(np.linalg.norm(one - other) > FAR * size > 0)


def _is_near(one: Array, other: Array) -> bool:
    """Whether a matrix is that of differences."""
    return bool(np.linalg.norm(one - other) < NEAR * np.linalg.norm(other))


def _matrix(value: Any, name: str, n: int) -> Array:
    """A matrix that a user gave."""
    if hasattr(value, "toarray"):
        value = value.toarray()
    if np.iscomplexobj(value):
        raise TypeError(f"`jac` returned complex values for {name}; the equations are real.")
    try:
        found = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`jac` returned a value for {name} that cannot be made an array of floats: {error}") from None
    if found.shape != (n, n):
        raise ValueError(f"`jac` returned shape {found.shape} for {name} where {(n, n)} was expected.")
    return found.copy()


def _central(function: Callable[[Array], Array], at: Array, sizes: Array) -> Array:
    """Derivatives of a function by its argument, whose components have these sizes at least."""
    columns, sizes = [], np.maximum(np.abs(at), sizes)
    sizes = np.where(sizes > 0, sizes, np.max(sizes) or 1.0)
    for k in range(at.shape[0]):
        up, down = at.copy(), at.copy()
        step = STEP * float(sizes[k])
        up[k], down[k] = at[k] + step, at[k] - step
        columns.append((function(up) - function(down)) / (up[k] - down[k]))
    return np.stack(columns, axis=1)


def _agrees(problem: ImplicitProblem, recorded: Recorded) -> bool:
    """Whether the recorded equations are those of the user near the begin."""
    n, (begin, end) = problem.n, problem.span
    later = begin + SPREAD * (end - begin if np.isfinite(end) else 1.0)
    slopes = np.zeros(n) if problem.yp0 is None else problem.yp0
    size = np.abs(problem.y0) + (problem.y0 == 0) * 0.1
    rows = list[tuple[float, Array, Array, Array]]()
    for t, seed in ((begin, 0), (later, 1), (begin, 2)):
        y = problem.y0 + SPREAD * seed * size * random_moves((n,), size, seed=seed)
        yp = slopes + seed * random_moves((n,), size, seed=seed + 10)
        try:
            with quiet():
                rows.append((t, y, yp, problem.residual(t, y, yp)))
        except Exception:
            if seed == 0:
                raise
            # states nearby need not be such as the function takes
    times, states, changes, expected = map(np.asarray, zip(*rows, strict=True))
    with quiet():
        found = recorded.residuals(times, states, changes)
        sizes = np.abs(expected) + np.abs(found)
        bound = LIKE * (sizes + np.max(sizes, axis=1, initial=1e-300, keepdims=True))
        near = (np.abs(found - expected) <= bound) | ~np.isfinite(expected)
    return bool(np.all(near))

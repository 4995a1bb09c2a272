"""Exceptions of the user's functions at states that are only guesses: they count as values that are not finite.

A coarse solution, or an iterate of Newton's method, may leave the domain of a function although the solution stays
inside. States at which the function raises are treated like states at which it returns NaN.
"""

from __future__ import annotations

from collections.abc import Callable

from .._arrays.namespace import Array, array_namespace

ADVICE = (
    "parscan found no way past the states at which this is raised. If the solution itself does not reach them, let the "
    'function return NaN beyond its domain, or name a sequential method, such as method="LSODA".'
)


class Raised:
    """The last exception that was ignored, and the time for which the function was called."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.time = float("nan")

    def pass_over(self, error: Exception, time: float) -> None:
        """Remember an exception of the function; raise any other exception again."""
        if isinstance(error, MemoryError):
            raise error
        self.error, self.time = error, time

    def for_user(self) -> Exception:
        """The exception that ended the solve, with advice for the user."""
        assert self.error is not None
        self.error.add_note(ADVICE)
        return self.error

    def rows(self, evaluate: Callable[[Array, Array], Array], t: Array, states: Array, shape: tuple[int, ...]) -> Array:
        """Values of `evaluate(t, states)`, `(m, *shape)`, with NaN for states at which even a single call raises."""
        try:
            return evaluate(t, states)
        except Exception as error:
            self.pass_over(error, float(t[0]))
        xp, m = array_namespace(states), t.shape[0]
        if m < 2:
            return xp.full((m, *shape), float("nan"), dtype=states.dtype)
        some, others = slice(0, m // 2), slice(m // 2, m)
        parts = [self.rows(evaluate, t[part], states[part, ...], shape) for part in (some, others)]
        return xp.concat(parts)

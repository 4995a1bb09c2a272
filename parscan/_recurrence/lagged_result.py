"""The result of a recurrence with several lags: derivatives are those of the companion recurrence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .._arrays.namespace import Array, array_namespace, contiguous
from .._functions.adjoint import Adjoint
from .._functions.cotangents import as_adjoint, as_forcing, as_gradient, as_like
from .._functions.parameters import START, choose, leaves, like
from .derivatives.gradient import gradient
from .derivatives.jacobian import jacobian
from .derivatives.solution import Solution
from .derivatives.sweeps import adjoint, tangent
from .lags import Companion, Lags, apart_again, together, together_many
from .result import RecurrenceResult


@dataclass(frozen=True, repr=False)
class LaggedResult(RecurrenceResult):
    """
    Trajectory of a recurrence with several lags.

    Its fields and methods are those of `RecurrenceResult`, with ``y0`` of shape ``(p, *batch, n)``, `p` the largest
    lag, wherever an initial state is taken or returned. In `jacobian`, the derivative by ``"y0"`` has the shape ``(T,
    *batch, n, p, n)``. `vjp` of `gradient` takes the tuple of states. `lyapunov` is that of the last `p` states
    together.

    Attributes
    ----------
    lags : tuple of int
        As given.
    """

    lags: Lags

    def tangent(self, forcing: Any, y0: Any = None) -> Array:
        """Evaluate the tangent ``δ_t = Σ_lag J_t,lag δ_{t-lag} + forcing_t``; see `RecurrenceResult.tangent`.

        `y0`, the change of the first states, has the shape ``(p, *batch, n)``, with one axis more for many.
        """
        solution = self._differentiable("tangent")
        forced = None if forcing is None else self._as_newest(as_forcing(forcing, None, self.y).steps)
        start = None if y0 is None else self._as_start(y0)
        return self._newest(tangent(solution, forced, start))

    def adjoint(self, grad_y: Any) -> Adjoint:
        """Evaluate the adjoint ``λ_t = grad_y_t + Σ_lag J_{t+lag},lagᴴ λ_{t+lag}``; see `RecurrenceResult.adjoint`."""
        solution = self._differentiable("adjoint")
        found = adjoint(solution, self._as_newest(as_gradient(grad_y, self.y)))
        return Adjoint(self._newest(found.states), apart_again(found.y0, self._rows_of_start))

    def jacobian(self, params: int | str | Sequence[int | str] | None = None) -> Any:
        """Evaluate the derivative of all states by a few parameters; see `RecurrenceResult.jacobian`."""
        solution = self._differentiable("jacobian")
        found = jacobian(solution, params)
        return self._each(solution, params, found, self._newest_by_start, self._newest)

    def gradient(
        self,
        grad_y: Any,
        params: int | str | Sequence[int | str] | None = None,
        vjp: Callable[..., Any] | None = None,
        *,
        steps_per_call: int | None = None,
    ) -> Any:
        """Evaluate the gradient of a loss with respect to parameters; see `RecurrenceResult.gradient`."""
        solution, confirm = self._looked_at("gradient")
        if isinstance(grad_y, Adjoint):
            whole = as_adjoint(grad_y, self.y)
            given: Any = Adjoint(self._as_newest(whole.states), together(whole.y0))
        else:
            given = self._as_newest(as_gradient(grad_y, self.y))
        product = self._product(solution, vjp) if callable(vjp) else vjp
        found = gradient(solution, given, params, product, steps_per_call, confirm)
        return self._each(solution, params, found, lambda z: apart_again(z, self._rows_of_start), None)

    @property
    def _rows_of_start(self) -> int:
        """Number of the first states."""
        return max(self.lags)

    def _as_newest(self, values: Array | None) -> Array:
        """Values of states as those of the companion recurrence: zero for the earlier ones."""
        assert values is not None
        xp, axis, rows = array_namespace(values), self.y.ndim - 1, self._rows_of_start
        shape = list(values.shape)
        shape[axis] *= rows - 1
        return xp.concat([xp.zeros(tuple(shape), dtype=values.dtype), values], axis=axis)

    def _as_start(self, y0: Any) -> Array:
        """Changes of the first states, one or many, as those of a companion state."""
        array, shape = as_like("y0", y0, self.y), (self._rows_of_start, *self.y.shape[1:])
        if array.shape == shape:
            return together(array)
        if array.shape[:-1] == shape:
            return together_many(array)
        raise ValueError(
            f"`y0` has shape {tuple(array.shape)}; it needs that of the first states, {shape}, or one axis more."
        )

    def _newest(self, values: Array) -> Array:
        """The newest states' part of companion values of all steps, `(T, *batch, p n, ...)`."""
        before, n = (slice(None),) * (self.y.ndim - 1), self.y.shape[-1]
        first = values.shape[self.y.ndim - 1] - n
        return contiguous(values[(*before, slice(first, None), ...)])

    def _newest_by_start(self, values: Array) -> Array:
        """Derivatives by the first states: `(T, *batch, n, p, n)` of `(T, *batch, p n, p n)`."""
        found, n = self._newest(values), self.y.shape[-1]
        return array_namespace(found).reshape(found, (*self.y.shape, self._rows_of_start, n))

    def _each(
        self, solution: Solution, params: Any, found: Any, of_start: Callable[[Array], Array],
        of_others: Callable[[Array], Array] | None,
    ) -> Any:  # fmt: skip
        """Derivatives by parameters, those by the first states and the others changed by functions."""
        step = solution.step
        chosen = choose(params, step.function, step.args, step.x, has_start=True)
        if not chosen.keys:
            return found
        trees = [found] if chosen.alone else list(found)
        return chosen.joined([
            of_start(tree) if key == START else tree if of_others is None else _mapped(of_others, tree)
            for key, tree in zip(chosen.keys, trees, strict=True)
        ])  # fmt: skip

    def _product(self, solution: Solution, vjp: Callable[..., Any]) -> Callable[..., Any]:
        """The user's product as one of companion states."""
        companion = cast(Companion, solution.step.function)
        return lambda states, z, *rest: vjp(self._newest(states), companion.states(z), *rest)


def _mapped(function: Callable[[Array], Array], tree: Any) -> Any:
    """A tree with a function applied to its leaves."""
    return like(tree, iter([function(leaf) for leaf in leaves("the derivative", tree).values()]))

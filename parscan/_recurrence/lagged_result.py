"""The result of a recurrence with several lags: derivatives are those of the companion recurrence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from .._arrays.cached import cached_property
from .._arrays.namespace import Array, array_namespace, contiguous
from .._functions.adjoint import Adjoint
from .._functions.columns import chosen_columns, split
from .._functions.cotangents import as_adjoint, as_forcing, as_gradient, as_like
from .._functions.parameters import START, choose, leaves, like, reject_nothing
from .._reporting.result_base import Deferred
from . import lagged_sweeps as sweeps
from .derivatives.gradient import gradient
from .derivatives.jacobian import forcing_by, jacobian
from .derivatives.lyapunov import lyapunov
from .derivatives.solution import Solution
from .derivatives.sweeps import adjoint, tangent
from .lags import Companion, Lags, Narrow, apart_again, together, together_many
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
    _companions: Solution | Deferred[Solution] | None = field(compare=False)

    def tangent(self, forcing: Any, y0: Any = None) -> Array:
        """Evaluate the tangent ``δ_t = Σ_lag J_t,lag δ_{t-lag} + forcing_t``; see `RecurrenceResult.tangent`.

        `y0`, the change of the first states, has the shape ``(p, *batch, n)``, with one axis more for many.
        """
        solution = self._differentiable("tangent")
        if forcing is None and y0 is None:
            as_forcing(forcing, y0, self.y)  # raises
        forced = None if forcing is None else as_forcing(forcing, None, self.y)
        count = None if forced is None else forced.count
        start = None if y0 is None else self._checked_start(y0, count, alone=forced is None)
        steps = None if forced is None else forced.steps
        if (matrices := self._blocks(solution)) is not None:
            return sweeps.tangent(matrices, self.lags, steps, start, solution.compiles)
        many = start is not None and start.ndim > self.y.ndim
        began = None if start is None else (together_many if many else together)(start)
        driven = None if steps is None else self._as_newest(steps)
        return self._newest(tangent(self._of_companions, driven, began))

    def adjoint(self, grad_y: Any) -> Adjoint:
        """Evaluate the adjoint ``λ_t = grad_y_t + Σ_lag J_{t+lag},lagᴴ λ_{t+lag}``; see `RecurrenceResult.adjoint`."""
        return self._adjoint(self._differentiable("adjoint"), as_gradient(grad_y, self.y))

    def jacobian(self, params: int | str | Sequence[int | str] | None = None) -> Any:
        """Evaluate the derivative of all states by a few parameters; see `RecurrenceResult.jacobian`."""
        solution = self._differentiable("jacobian")
        step = solution.step
        chosen = chosen_columns(params, step.function, step.args, step.x)
        if (matrices := self._blocks(solution)) is None:
            found = jacobian(self._of_companions, params)
            trees = [found] if chosen.alone else list(found)
            return chosen.joined([
                self._newest_by_start(tree) if key == START else _mapped(self._newest, tree)
                for key, tree in zip(chosen.keys, trees, strict=True)
            ])  # fmt: skip
        others = replace(chosen, keys=tuple(key for key in chosen.keys if key != START), alone=False)
        found, n, compiles = {}, self.y.shape[-1], solution.compiles
        if others.keys:
            forcing = forcing_by(solution, others)[..., :n, :]
            columns = sweeps.tangent(matrices, self.lags, forcing, None, compiles)
            found = dict(zip(others.keys, split(others, step.args, columns, n), strict=True))
        if START in chosen.keys:
            columns = sweeps.tangent(matrices, self.lags, None, self._all_starts(), compiles)
            found[START] = array_namespace(columns).reshape(columns, (*self.y.shape, self._rows_of_start, n))
        return chosen.joined([found[key] for key in chosen.keys])

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
        step, is_narrow = solution.step, isinstance(solution.step.function, Narrow)
        if isinstance(grad_y, Adjoint):
            whole: Adjoint | None = as_adjoint(grad_y, self.y)
        else:
            grad_y, whole = as_gradient(grad_y, self.y), None
        product = self._product(solution, vjp) if callable(vjp) else vjp
        if is_narrow:
            chosen = choose(params, step.function, step.args, step.x, has_start=True)
            reject_nothing(chosen, vjp)
            confirm()
            whole = whole or self._adjoint(solution, grad_y)
            given = Adjoint(self._padded(whole.states, len(self.lags), is_first=True), whole.y0)
            return gradient(solution, given, params, product, steps_per_call, confirm)
        driven: Any = self._as_newest(grad_y if whole is None else whole.states)
        if whole is not None:
            driven = Adjoint(driven, together(whole.y0))
        found = gradient(solution, driven, params, product, steps_per_call, confirm)
        chosen = choose(params, step.function, step.args, step.x, has_start=True)
        if START not in chosen.keys:
            return found
        trees = [found] if chosen.alone else list(found)
        return chosen.joined([
            apart_again(tree, self._rows_of_start) if key == START else tree
            for key, tree in zip(chosen.keys, trees, strict=True)
        ])  # fmt: skip

    @cached_property
    def lyapunov(self) -> float:
        """Logarithm of the growth of a small change of the last states per step."""
        solution = self._solved("lyapunov")
        if solution.steps == self.y.shape[0] and (matrices := self._blocks(solution)) is not None:
            return sweeps.growth(matrices, self.lags, solution.compiles)
        return lyapunov(self._of_companions)

    def __getstate__(self) -> dict[str, Any]:
        """The state without the user's functions."""
        return {**super().__getstate__(), "_companions": None}

    @property
    def _of_companions(self) -> Solution:
        """The solution with companion states."""
        if isinstance(self._companions, Deferred):
            object.__setattr__(self, "_companions", self._companions.made())
        return cast(Solution, self._companions)

    def _blocks(self, solution: Solution) -> Array | None:
        """Derivatives by the states of each lag; None where those of companion states are to be taken."""
        return sweeps.blocks(solution, self.lags) if isinstance(solution.step.function, Narrow) else None

    def _adjoint(self, solution: Solution, gradient: Array) -> Adjoint:
        """The adjoint of a checked gradient."""
        if (matrices := self._blocks(solution)) is not None:
            return sweeps.adjoint(matrices, self.lags, gradient, solution.compiles)
        found = adjoint(self._of_companions, self._as_newest(gradient))
        return Adjoint(self._newest(found.states), apart_again(found.y0, self._rows_of_start))

    @property
    def _rows_of_start(self) -> int:
        """Number of the first states."""
        return max(self.lags)

    def _as_newest(self, values: Array) -> Array:
        """Values of states as those of the companion recurrence: zero for the earlier ones."""
        return self._padded(values, self._rows_of_start, is_first=False)

    def _padded(self, values: Array, count: int, *, is_first: bool) -> Array:
        """Values of states as those of several states: zero for the others."""
        xp, axis = array_namespace(values), self.y.ndim - 1
        shape = list(values.shape)
        shape[axis] *= count - 1
        parts = [values, xp.zeros(tuple(shape), dtype=values.dtype)]
        return xp.concat(parts if is_first else parts[::-1], axis=axis)

    def _checked_start(self, y0: Any, count: int | None, *, alone: bool) -> Array:
        """Changes of the first states, one or many: as many as there are forcings."""
        array, shape = as_like("y0", y0, self.y), (self._rows_of_start, *self.y.shape[1:])
        if array.shape == shape or (array.shape[:-1] == shape and (alone or array.shape[-1] == count)):
            return array
        raise ValueError(
            f"`y0` has shape {tuple(array.shape)}; it needs that of the first states, {shape}, or one more axis for "
            f"{'many' if alone else 'as many changes as `forcing` has'}."
        )

    def _all_starts(self) -> Array:
        """The identity as changes of the first states: `(p, *batch, n, p n)`."""
        xp, rows, (*batch, n) = array_namespace(self.y), self._rows_of_start, self.y.shape[1:]
        each = xp.reshape(xp.eye(rows * n, dtype=self.y.dtype), (rows, *[1] * len(batch), n, rows * n))
        return xp.broadcast_to(each, (rows, *batch, n, rows * n))

    def _newest(self, values: Array) -> Array:
        """The newest states' part of companion values of all steps, `(T, *batch, p n, ...)`."""
        before, n = (slice(None),) * (self.y.ndim - 1), self.y.shape[-1]
        first = values.shape[self.y.ndim - 1] - n
        return contiguous(values[(*before, slice(first, None), ...)])

    def _newest_by_start(self, values: Array) -> Array:
        """Derivatives by the first states: `(T, *batch, n, p, n)` of `(T, *batch, p n, p n)`."""
        found, n = self._newest(values), self.y.shape[-1]
        return array_namespace(found).reshape(found, (*self.y.shape, self._rows_of_start, n))

    def _product(self, solution: Solution, vjp: Callable[..., Any]) -> Callable[..., Any]:
        """The user's product as one of the solution's states."""
        function, n = cast("Companion | Narrow", solution.step.function), self.y.shape[-1]
        newest = slice(None, n) if isinstance(function, Narrow) else slice(-n, None)
        return lambda states, z, *rest: vjp(contiguous(states[..., newest]), function.states(z), *rest)


def _mapped(function: Callable[[Array], Array], tree: Any) -> Any:
    """A tree with a function applied to its leaves."""
    return like(tree, iter([function(leaf) for leaf in leaves("the derivative", tree).values()]))

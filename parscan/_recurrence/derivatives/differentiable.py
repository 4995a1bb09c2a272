"""The methods of a result of solve_recurrence that differentiate it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._arrays.namespace import Array
from ..._functions.adjoint import Adjoint
from ..._reporting.result_base import Result
from .gradient import gradient, of_parameters
from .jacobian import jacobian
from .jacobians import BY_DIFFERENCES, Jacobians, is_not_differentiable
from .solution import Solution
from .stale_check import at_a_glance, stands
from .sweeps import adjoint, tangent


class Differentiable(Result[Solution]):
    """The derivatives of a solved recurrence."""

    def _differentiable(self, name: str) -> Solution:
        """The solution, for the derivative `name`; raises if it is not whole, or the step no longer gives it."""
        solution, confirm = self._looked_at(name)
        confirm()
        return solution

    def _looked_at(self, name: str) -> tuple[Solution, Callable[[], None]]:
        """The same, before all steps are evaluated; and what does that, and raises, before any result is given out."""
        solution = self._whole(name)
        known = at_a_glance(solution)

        def confirm() -> None:
            if not (stands(solution) if known is None else known):
                raise RuntimeError(
                    f"`{name}` cannot be evaluated: the step no longer gives this trajectory. `x`, `args`, `y` or "
                    "something else that the step reads has been changed since; solve again, or change copies."
                )

        if known is False:
            confirm()
        if is_not_differentiable(solution):
            confirm()
            raise RuntimeError(
                f"`{name}` does not exist: the step is not complex differentiable, as with np.abs(y) or np.conj(y). "
                "Solve for the real and imaginary parts as components of a real state."
            )
        return solution, confirm

    @property
    def derivatives(self) -> str:
        """How the step is differentiated by its state: exactly, by `jac`, or by differences, and then why so.

        It is exact where the step can be recorded (see `trace`), unless the solve had `compile=False`. Parameters in
        `args` with which it cannot be recorded are named. Where conditions of the step depend on parameters, it names
        these: derivatives are those of the branches that were taken, and leave out that a parameter may lead to another
        branch.
        """
        solution = self._differentiable("derivatives")
        source = Jacobians(solution).source
        return source + of_parameters(solution, is_recorded=not source.startswith(BY_DIFFERENCES))

    def tangent(self, forcing: Any, y0: Any = None) -> Array:
        """Evaluate the tangent linear model ``δ_t = J_t δ_{t-1} + forcing_t`` along the trajectory.

        J_t is the derivative of the step at ``y[t-1]``, so δ is the first-order change of the trajectory when every
        step is changed by `forcing`: with ``forcing = ∂step/∂θ``, it is the sensitivity dy/dθ.

        Parameters
        ----------
        forcing : array_like, shape (T, *batch, n) or (T, *batch, n, p), or None
            Changes of the steps; several changes form a last axis. None: only the initial state changes.
        y0 : array_like, shape (*batch, n) or (*batch, n, p), optional
            Change of the initial state; by default zero. With ``forcing=None`` and the identity, the result is the
            derivative of every state with respect to the initial one (the fundamental matrix).

        Returns
        -------
        array, shaped like `forcing`
            The changes δ of the states, (T, *batch, n) or (T, *batch, n, p), in the dtype of `y`.

        Raises
        ------
        RuntimeError
            If the solve did not succeed; if the step no longer gives this trajectory, since `x` or `args` have been
            changed; or if this is a copied or unpickled result, which does not contain its step.
        TypeError, ValueError
            If `forcing` or `y0` is of the wrong shape, dtype or array library.

        Notes
        -----
        The Jacobians are evaluated again on the solution: by `jac`; without `jac`, or if it gives only a part of the
        derivative (quasi-Newton), exactly by the recorded operations of the step, and by central differences where the
        step cannot be recorded: `derivatives` says which. The memory is that of the result and of the Jacobians of one
        block of steps.

        Examples
        --------
        >>> import numpy as np, parscan
        >>> sol = parscan.solve_recurrence(lambda y, x, a: a * y + x, np.zeros(1), np.ones((4, 1)), args=(0.5,))
        >>> before = np.concatenate([np.zeros((1, 1)), sol.y[:-1]])  # ∂step/∂a
        >>> np.round(sol.tangent(before)[:, 0], 9)
        array([0.  , 1.  , 2.  , 2.75])
        """
        return tangent(self._differentiable("tangent"), forcing, y0)

    def jacobian(self, params: int | str | Sequence[int | str] | None = None) -> Any:
        """Evaluate the derivative of all states with respect to a few parameters of the step, as for least squares.

        Parameters
        ----------
        params : int, str, or a tuple of these, optional
            The parameters: indices into `args`, names of the step's arguments, or ``"y0"`` for the initial state; by
            default all of `args`. They may be real numbers, arrays, and nested dicts, lists and tuples of these.
            Parameters that the step has in its closure must become arguments; or else see `tangent`.

        Returns
        -------
        array, dict, list or tuple
            The derivative in the structure of the parameters: an array of shape (T, *batch, n) with the axes of the
            parameter after them, ``y.shape + parameter.shape``, for each number or array; for the initial state, (T,
            *batch, n, n), of each member by its own. For one index or name that of the parameter, otherwise a tuple.

        Raises
        ------
        RuntimeError
            As for `tangent`.
        TypeError, ValueError
            If `params` names no parameter, or the inputs ``"x"``, or a parameter is not a real number.

        Notes
        -----
        It is the derivative of the computed trajectory, to rounding, where the step can be recorded with the parameters
        as variables: by a loop over the step with its derivatives, compiled where that pays, or by a tangent for each
        parameter. Otherwise, the step is differentiated by differences. The cost, and the memory of the result, grow
        with the number of parameters: for many parameters and one loss, use `gradient`.

        Examples
        --------
        >>> import numpy as np, parscan
        >>> sol = parscan.solve_recurrence(lambda y, x, a: a * y + x, np.zeros(1), np.ones((4, 1)), args=(0.5,))
        >>> np.round(sol.jacobian("a")[:, 0], 9)
        array([0.  , 1.  , 2.  , 2.75])
        """
        return jacobian(self._differentiable("jacobian"), params)

    def adjoint(self, grad_y: Any) -> Adjoint:
        """Evaluate the adjoint ``λ_t = grad_y_t + J_{t+1}ᴴ λ_{t+1}``, backwards along the trajectory.

        λ is the gradient of a loss with respect to a change of each state, with its effect on all later states.

        Parameters
        ----------
        grad_y : array_like, shape (T, *batch, n)
            Derivative of a loss L with respect to every state, the others held fixed. For complex states the convention
            is ``dL = Re(sum(conj(grad_y) * dy))``, so ``grad_y = ∂L/∂Re y + i ∂L/∂Im y``.

        Returns
        -------
        Adjoint
            ``states`` λ, shaped like `y`, and ``y0``, the gradient with respect to the initial state.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for `tangent`.

        Notes
        -----
        As for `tangent`. Complex steps must be complex differentiable.

        Examples
        --------
        >>> import numpy as np, parscan
        >>> sol = parscan.solve_recurrence(lambda y, x: np.tanh(y + x), np.zeros(1), np.ones((100, 1)))
        >>> loss = np.sum(sol.y**2)
        >>> adjoint = sol.adjoint(2 * sol.y)
        >>> adjoint.states.shape, adjoint.y0.shape
        ((100, 1), (1,))
        """
        return adjoint(self._differentiable("adjoint"), grad_y)

    def gradient(
        self,
        grad_y: Any,
        params: int | str | Sequence[int | str] | None = None,
        vjp: Callable[..., Any] | None = None,
        *,
        steps_per_call: int | None = None,
    ) -> Any:
        """Evaluate the gradient of a loss with respect to parameters of the step, ``Σ_t (∂step_t/∂θ)ᴴ λ_t``.

        Parameters
        ----------
        grad_y : array_like, shape (T, *batch, n), or Adjoint
            Derivative of the loss with respect to every state, as for `adjoint`; or the result of `adjoint`, which
            saves its computation.
        params : int, str, or a tuple of these, optional
            The parameters: indices into `args`, or names of the step's arguments; ``"x"`` always means the inputs, and
            ``"y0"`` the initial state, unless an argument has this name. By default all of `args`. They may be numbers,
            arrays, and nested dicts, lists and tuples of these.
        vjp : callable, optional
            ``vjp(adjoint, y, x, *args)``, or ``vjp(adjoint, y, *args)`` without inputs: the products of the adjoint
            states `adjoint`, (T, *batch, n), with the derivative of ``step(y, x, *args)`` with respect to the
            parameters, summed over time, in the structure of the parameters (for inputs: not summed). It is called
            once, with the states before all steps in `y`. If the step has no `args`, the result is whatever `vjp`
            returns. By default exact derivatives of the recorded step or, where it cannot be recorded with the
            parameters as variables, central differences with respect to each of their entries.
        steps_per_call : int, optional
            Call `vjp` on blocks of this number of steps and add the results: its temporary arrays are then as long as
            one block, and stay in the processor's cache.

        Returns
        -------
        number, array, dict, list or tuple
            The gradient, in the structure of the parameters: for one index or name that of the parameter, otherwise a
            tuple. The convention for complex parameters is that of `adjoint`.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for `tangent`; and if `params` names no parameter, a parameter is not a number, or `vjp` returns another
            structure.

        Notes
        -----
        A step that can be recorded (see `trace`) is differentiated exactly. Without `adjoint` in between, one sweep of
        machine code gives the gradient of long series that forget their past: ask for all parameters, and for ``"y0"``,
        at once. Differences take two calls of `step` on all states per entry, with the adjoint held fixed; their
        relative error is about 1e-10 in double and 1e-5 in single precision. Then, for more than some dozens of
        entries, write a `vjp`.

        Examples
        --------
        >>> import numpy as np, parscan
        >>> def step(y, x, p):
        ...     return p["decay"] * y + p["gain"] * x
        >>> p = {"decay": 0.5, "gain": 2.0}
        >>> sol = parscan.solve_recurrence(step, np.zeros(1), np.ones((4, 1)), args=(p,))
        >>> gradient = sol.gradient(np.ones_like(sol.y), "p")
        >>> {name: round(value, 6) for name, value in gradient.items()}
        {'decay': 11.5, 'gain': 6.125}
        """
        solution, confirm = self._looked_at("gradient")
        return gradient(solution, grad_y, params, vjp, steps_per_call, confirm)

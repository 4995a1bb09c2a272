"""The methods of a result of solve_ivp that differentiate it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._arrays.namespace import Array
from ..._functions.adjoint import Adjoint
from ..._reporting.result_base import Result
from .derivatives import Derivatives


class Differentiable(Result[Derivatives]):
    """The derivatives of a solved initial value problem."""

    t: Array
    y: Array
    mesh: Array

    @property
    def derivatives(self) -> str:
        """How `fun` is differentiated by its state: by `jac`, exactly, or by differences, and then why so.

        It is exact where `fun` can be recorded (see `trace`), unless the solve had `compile=False`. Parameters in
        `args` with which it cannot be recorded are named: gradients by them take differences. After a compiled solve,
        it also says how machine code found the last gradient or adjoint.
        """
        return self._whole("derivatives").described

    def tangent(self, forcing: Callable[..., Any] | None = None, y0: Any = None, t: Any = None) -> Array:
        """Solve the tangent linear model ``δ' = ∂f/∂y δ + forcing``, ``δ(t0) = y0`` along the solution.

        δ is the first-order change of the solution when the right-hand side f is changed by `forcing` and the initial
        state by `y0`: with ``forcing = ∂f/∂θ``, it is the sensitivity dy/dθ.

        Parameters
        ----------
        forcing : callable, optional
            ``forcing(t, y, *args)``, called like `fun`, for many times at once: `y` is (n, m, *batch), `t` (m, 1, …).
            It returns an array (n, m, *batch), or (n, m, *batch, p) for p parameters at once; or a list of components
            that broadcast, each of which may be a list of p entries. None: only the initial state changes.
        y0 : array_like, shape (n, *batch) or (n, *batch, p), optional
            Change of the initial state, one or as many as forcings; by default zero. With ``y0=np.eye(n)`` and no
            forcing, the result is the derivative with respect to the initial state (the fundamental matrix).
        t : float or array_like, shape (m,), optional
            Times within the solution, in any order; by default those of `y`.

        Returns
        -------
        array, shape (n, N, *batch) or (n, N, *batch, p)
            Changes of the states; without the axis of times for a single `t`.

        Raises
        ------
        RuntimeError
            If the integration did not succeed, or the result was copied or unpickled, and does not contain `fun`.
        TypeError, ValueError
            If an argument, or the value of `forcing`, is of the wrong shape, dtype or array library.

        Notes
        -----
        The result is the derivative of the discrete solution on its mesh, to nearly all digits: the method's equations
        are solved again if their tolerance was loose, and Jacobians come from `jac`, from the recorded operations of
        `fun`, or from fourth-order differences: `derivatives` says from which.
        Times of the mesh and of events are held fixed; those of jumps of a recorded `fun` are not: where the
        solution crosses a threshold at an angle, the shift of the crossing is contained. A `RuntimeError` says
        where it only touches one, slides along one, or crosses several at once. `forcing` holds thresholds
        fixed. If SciPy solved the problem, Radau solves it again from SciPy's steps, with a tenth of the
        tolerances, and the derivative is that of this solution. After a solve by machine code, it is that of
        collocation on the steps of another one, with a tenth of the tolerances and no more than 1e-9, whose steps end
        where thresholds are crossed; a tangent of the initial state alone is that of `jacobian` once making its code
        pays.

        Examples
        --------
        The derivative of the solution exp(-k t) of y' = -k y with respect to k, -t exp(-k t):

        >>> import numpy as np, parscan
        >>> sol = parscan.solve_ivp(lambda t, y, k: -k * y, (0, 2), [1.0], args=(0.5,), rtol=1e-8, atol=1e-10)
        >>> by_k = sol.tangent(lambda t, y, k: -y, t=[1.0, 2.0])
        >>> bool(np.allclose(by_k, [[-np.exp(-0.5), -2 * np.exp(-1.0)]], rtol=1e-7))
        True
        """
        return self._whole("tangent").tangent(self.y, self.t, forcing, y0, t, self.mesh)

    def jacobian(self, params: int | str | Sequence[int | str] | None = None) -> Any:
        """Evaluate the derivative of `y` with respect to a few parameters of `fun`, as for a fit by least squares.

        Parameters
        ----------
        params : int, str, or a tuple of these, optional
            The parameters: indices into `args`, names of arguments of `fun`, or ``"y0"`` for the initial state; by
            default all of `args`. They may be real numbers, arrays, and nested dicts, lists and tuples of these.
            Parameters that `fun` has in its closure must become arguments; or else see `tangent`.

        Returns
        -------
        array, dict, list or tuple
            The derivative in the structure of the parameters: an array of shape (n, N, *batch) with the axes of the
            parameter after them, ``y.shape + parameter.shape``, for each number or array; for the initial state, (n, N,
            *batch, n), of each member by its own. For one index or name that of the parameter, otherwise a tuple.

        Raises
        ------
        RuntimeError
            As for `tangent`.
        TypeError, ValueError
            If `params` names no parameter, or a parameter is not a real number.

        Warns
        -----
        parscan.warnings.DiscontinuousParameterWarning, parscan.warnings.StateJumpWarning
            If a parameter, or the state, moves a jump of `fun`, and `fun` is not recorded: the derivative leaves that
            out.

        Notes
        -----
        After a solve by machine code, the variational equations ``S' = ∂f/∂y S + ∂f/∂θ`` are solved by machine code
        along with those of `y`, with steps of their own, of each member of a batch: the relative tolerance holds for
        `S` as for `y`, and the absolute one for `S` times the parameter (the largest of all members), or times 1 if
        that is 0; both are a tenth of those of the solve, and of what the solve made of them to keep its error within
        the tolerance. The result is the derivative of the exact
        solution, with an error of that size. It is known for other values of the parameters without more compiling.
        Of stiff problems, where that takes a few milliseconds, it is the derivative of Radau IIA of order 13 on the
        steps of the solution, to rounding.
        Otherwise, and where the state switches `fun`, it is the derivative of the discrete solution, as of `tangent`.
        The cost grows with the number of parameters: for many parameters and one loss, use `gradient`.

        Examples
        --------
        A fit by least squares: the residuals, and their exact derivatives, from one solve.

        >>> import numpy as np, parscan
        >>> def solve(k):
        ...     return parscan.solve_ivp(lambda t, y, k: -k * y, (0, 2), [1.0], t_eval=[1.0, 2.0], args=(k,), rtol=1e-8)
        >>> jacobian = solve(0.5).jacobian("k")
        >>> bool(np.allclose(jacobian, [[-np.exp(-0.5), -2 * np.exp(-1.0)]], rtol=1e-6))
        True
        """
        return self._whole("jacobian").jacobian(self.y, self.t, params)

    def adjoint(self, grad_y: Any) -> Adjoint:
        """Solve the adjoint equation ``λ' = -(∂f/∂y)ᴴ λ`` backwards, with the jumps `grad_y` at the times of `y`.

        Parameters
        ----------
        grad_y : array_like, shape (n, N, *batch)
            Derivative of a loss with respect to every entry of `y`. For complex states the convention is
            ``dL = Re(sum(conj(grad_y) * dy))``, so ``grad_y = ∂L/∂Re y + i ∂L/∂Im y``.

        Returns
        -------
        Adjoint
            ``states``, (n, M + 1, *batch), at the nodes of `mesh` (the times `t`, unless `t_eval` was given): the
            gradient with respect to a change of the state there, with its effect at all later times. ``y0``,
            (n, *batch): the gradient with respect to the initial state.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for `tangent`. The adjoint is the exact transpose of the tangent, so the notes of `tangent` apply.

        Examples
        --------
        >>> import numpy as np, parscan
        >>> sol = parscan.solve_ivp(lambda t, y: -y, (0, 2), [1.0], t_eval=[2.0], rtol=1e-8, atol=1e-10)
        >>> bool(np.allclose(sol.adjoint([[1.0]]).y0, np.exp(-2.0), rtol=1e-7))
        True
        """
        return self._whole("adjoint").adjoint(self.y, self.t, self.mesh, grad_y)

    def gradient(
        self,
        grad_y: Any,
        params: int | str | Sequence[int | str] | None = None,
        vjp: Callable[..., Any] | None = None,
        *,
        forcing: Callable[..., Any] | None = None,
    ) -> Any:
        """Evaluate the gradient of a loss with respect to parameters of `fun`: a discrete ``∫ (∂f/∂θ)ᴴ λ dt``.

        Parameters
        ----------
        grad_y : array_like, shape (n, N, *batch)
            Derivative of the loss with respect to every entry of `y`, as for `adjoint`.
        params : int, str, or a tuple of these, optional
            The parameters: indices into `args`, or names of arguments of `fun`; by default all of `args`. They may be
            numbers, arrays, and nested dicts, lists and tuples of these.
        vjp : callable, optional
            ``vjp(adjoint, t, y, *args)``: the products of `adjoint`, (n, m, *batch), with the derivative of ``fun(t, y,
            *args)`` with respect to the parameters, summed over the m times, in the structure of the parameters. It is
            called once, with all stages of the solution. If `fun` has no `args`, the result is whatever `vjp` returns.
            By default exact derivatives of the recorded function or, where it cannot be recorded with the parameters as
            variables, central differences, two calls for every entry of the parameters.
        forcing : callable, optional
            ``forcing(t, y, *args)``, the derivative ``∂f/∂θ`` as for `tangent`, instead of `params` and `vjp`.

        Returns
        -------
        number, array, dict, list or tuple
            The gradient in the structure of the parameters: for one index or name that of the parameter, otherwise a
            tuple. With `forcing` a number, or an array (p,), in the dtype of `y`. A dependence of `y0` on θ is not
            included: see `adjoint`.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for `tangent`; and if `params` names no parameter, a parameter is not a number, or `vjp` returns another
            structure.

        Notes
        -----
        As for `tangent`: the derivative of the discrete solution. After a solve by machine code, and once making more
        of it pays, the gradient by up to 16 numbers, without `vjp` and `forcing`, is the product of `grad_y` with
        `jacobian`, that of the exact solution to the tolerances told there; that by more numbers, as the result of
        `adjoint`, is exact for steps of DOP853, those of the solution, divided at the times of the output. For batches,
        the gradient by more than two numbers of each member is of that kind, unless some members are stiff.

        Examples
        --------
        The derivative of the last value of exp(-k t) with respect to k:

        >>> import numpy as np, parscan
        >>> sol = parscan.solve_ivp(lambda t, y, k: -k * y, (0, 2), [1.0], args=(0.5,), rtol=1e-8, t_eval=[2.0])
        >>> bool(np.isclose(sol.gradient([[1.0]], "k"), -2 * np.exp(-1.0), rtol=1e-7))
        True
        """
        return self._whole("gradient").gradient(self.y, self.t, grad_y, params, vjp, forcing, self.mesh)

"""What solve_ivp returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING, Any

from .._arrays import Array, array_namespace, dtype_name
from ..derivatives._adjoint import Adjoint
from ._dense_output import DenseOutput
from ._status import IvpStatus

if TYPE_CHECKING:
    from ._derivatives import Derivatives


@dataclass(frozen=True, repr=False, eq=False)
class IvpResult(Mapping[str, Any]):
    """Solution of an initial value problem: the fields of SciPy's, and the story of its solution.

    A field is an attribute, ``sol.t``, and an item, ``sol["t"]``, as in SciPy's results.

    Attributes
    ----------
    t : array, shape (N,)
        Times: `t_eval`, or the nodes of the mesh.
    y : array, shape (n, N, *batch)
        States at `t`.
    sol : callable or None
        Continuous solution, with ``dense_output=True``: ``sol(t)`` is ``(n, *batch)`` or ``(n, m, *batch)``.
    t_events, y_events : list of arrays, or None
        Per event its times `(k,)`, and the states then, `(k, n)`.
    nfev, njev, nlu : int
        Calls of `fun` and of `jac`, each for any number of times at once, and factorisations of a sequential solver.
    status : IvpStatus
        0: the end was reached. 1: a terminal event occurred. -1: it could not be continued. -3: a value of `fun` was
        not finite.
    message : str
        The status in words, with what was tried and what to do.
    success : bool
        Whether the end of the span, or a terminal event, was reached.
    method : str
        What was really used.
    npoints : int
        States that `fun` was evaluated on.
    iterations : int
        Newton iterations on all meshes; 0 where SciPy solved the problem.
    history : tuple of float
        Largest correction of each iteration, in units of the tolerance.
    mesh : array, shape (M + 1,)
        Nodes of the last mesh, or the steps of a sequential solver.
    meshes : tuple of int
        Intervals of every mesh that was tried.
    residual : float
        Largest `h * |y' - fun(t, y)|` of the continuous solution, in the units of `y`: `h` is the length of an
        interval, and each has a few times at which it is looked at, those of the stages where there are stages.
        Evaluated when it is first asked for; NaN where SciPy solved the problem.
    lyapunov : float
        Growth of a small change of the state per unit of time, as a logarithm: the largest Lyapunov exponent over this
        solution, and of the batch. With a positive one, the solution is as sensitive as e^(lyapunov · span): chaotic,
        if it stays bounded, and its gradients say little. Evaluated when it is first asked for, as derivatives are.
    """

    t: Array
    y: Array
    sol: Callable[[Any], Array] | None
    t_events: list[Array] | None
    y_events: list[Array] | None
    nfev: int
    njev: int
    nlu: int
    status: IvpStatus
    message: str
    success: bool
    method: str
    npoints: int
    iterations: int
    history: tuple[float, ...]
    mesh: Array
    meshes: tuple[int, ...]
    continuous: DenseOutput | Callable[[], DenseOutput] | None = None
    """The continuous solution, or what makes it: `guess=` starts from it. None where SciPy solved the problem."""

    fun: Callable[[Array, Array], Array] | None = None
    """Right-hand side on stacked states, `(m, *batch, n)` at the times `(m,)`."""

    derivatives: Derivatives | None = None
    """Tangents, adjoints and gradients, as long as `fun` is there."""

    @cached_property
    def dense(self) -> DenseOutput | None:
        """The continuous solution, whether it was asked for or not."""
        continuous = self.continuous
        return continuous if continuous is None or isinstance(continuous, DenseOutput) else continuous()

    @cached_property
    def residual(self) -> float:
        """Largest `h * |y' - fun(t, y)|` of the continuous solution."""
        if self.dense is None or self.fun is None:
            return nan
        times, steps = self.dense.samples()
        xp = array_namespace(steps)
        missed = self.dense.derivative(times) - self.fun(times, self.dense.evaluate(times))
        return float(xp.max(xp.abs(steps) * xp.max(xp.reshape(xp.abs(missed), (times.shape[0], -1)), axis=1)))

    @cached_property
    def lyapunov(self) -> float:
        """Logarithm of the growth of a small change per unit of time."""
        return self._known("lyapunov").lyapunov()

    def tangent(self, forcing: Callable[..., Any] | None = None, y0: Any = None, t: Any = None) -> Array:
        """Solve the tangent linear model ``δ' = ∂f/∂y δ + forcing``, ``δ(t0) = y0`` along the solution.

        δ is the first-order change of the solution when the right-hand side f is changed by `forcing` and the initial
        state by `y0`: with ``forcing = ∂f/∂θ``, it is the sensitivity dy/dθ.

        Parameters
        ----------
        forcing : callable, optional
            ``forcing(t, y, *args)``, called as `fun` is, for many times at once: `y` is (n, m, *batch), `t` (m, 1, …).
            It returns an array (n, m, *batch), or (n, m, *batch, p) for p parameters at once; or a list of components
            that broadcast, each of which may be a list of p entries. None: nothing but `y0` drives the change.
        y0 : array_like, shape (n, *batch) or (n, *batch, p), optional
            Change of the initial state, one or as many as forcings; by default none. With ``y0=np.eye(n)``, and
            nothing else, the result is the derivative by the initial state (the fundamental matrix).
        t : float or array_like, shape (m,), optional
            Times within the solution, in any order; by default those of `y`.

        Returns
        -------
        array, shape (n, N, *batch) or (n, N, *batch, p)
            Changes of the states; without the axis of times for a single `t`.

        Raises
        ------
        RuntimeError
            If the integration did not succeed, or the result was copied or pickled, which leaves `fun` behind.
        TypeError, ValueError
            If an argument, or what `forcing` returns, is of the wrong shape, dtype or array library.

        Notes
        -----
        It is the derivative of the discrete solution on its mesh, to nearly all digits: the equations of the method are
        solved anew if their tolerance was loose, and Jacobians are those of `jac`, or by differences of fourth order.
        Times of the mesh and of events are held fixed. Where SciPy solved the problem, it is solved again by Radau
        from SciPy's steps, with a tenth of the tolerances, and the derivative is that of this solution.

        Examples
        --------
        y' = -k y from 1, by k: -t exp(-k t).

        >>> import numpy as np, parscan
        >>> sol = parscan.solve_ivp(lambda t, y, k: -k * y, (0, 2), [1.0], args=(0.5,), rtol=1e-8, atol=1e-10)
        >>> by_k = sol.tangent(lambda t, y, k: -y, t=[1.0, 2.0])
        >>> bool(np.allclose(by_k, [[-np.exp(-0.5), -2 * np.exp(-1.0)]], rtol=1e-7))
        True
        """
        return self._differentiable("tangent").tangent(self.y, self.t, forcing, y0, t)

    def adjoint(self, grad_y: Any) -> Adjoint:
        """Solve the adjoint equation ``λ' = -(∂f/∂y)ᴴ λ`` backwards, with the jumps `grad_y` at the times of `y`.

        Parameters
        ----------
        grad_y : array_like, shape (n, N, *batch)
            Derivative of a loss by every entry of `y`. For complex states the convention is
            ``dL = Re(sum(conj(grad_y) * dy))``, so ``grad_y = ∂L/∂Re y + i ∂L/∂Im y``.

        Returns
        -------
        Adjoint
            ``states``, (n, M + 1, *batch), at the nodes of `mesh` (the times `t`, unless `t_eval` was given): the
            gradient with respect to what is added to the state there, all later times followed. ``y0``, (n, *batch):
            the gradient with respect to the initial state.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for `tangent`, whose exact adjoint it is: the notes there hold here, too.

        Examples
        --------
        >>> import numpy as np, parscan
        >>> sol = parscan.solve_ivp(lambda t, y: -y, (0, 2), [1.0], t_eval=[2.0], rtol=1e-8, atol=1e-10)
        >>> bool(np.allclose(sol.adjoint([[1.0]]).y0, np.exp(-2.0), rtol=1e-7))
        True
        """
        return self._differentiable("adjoint").adjoint(self.y, self.t, self.mesh, grad_y)

    def gradient(
        self,
        grad_y: Any,
        params: int | str | Sequence[int | str] | None = None,
        vjp: Callable[..., Any] | None = None,
        *,
        forcing: Callable[..., Any] | None = None,
    ) -> Any:
        """Evaluate the gradient of a loss with respect to parameters of `fun`: ``∫ (∂f/∂θ)ᴴ λ dt``, as it is discrete.

        Parameters
        ----------
        grad_y : array_like, shape (n, N, *batch)
            Derivative of the loss by every entry of `y`, as for `adjoint`.
        params : int, str, or a tuple of these, optional
            What to derive by: indices into `args`, or names of arguments of `fun`; by default all of `args`. They may
            be numbers, arrays, and dicts, lists and tuples of them, nested.
        vjp : callable, optional
            ``vjp(adjoint, t, y, *args)``: the products of `adjoint`, (n, m, *batch), with the derivative of ``fun(t, y,
            *args)`` by the parameters, summed over the m times, in the structure of the parameters. It is called once,
            with all points that matter. If `fun` has no `args`, whatever it returns is the result. By default central
            differences of `fun`, two calls on all points for every entry of the parameters.
        forcing : callable, optional
            ``forcing(t, y, *args)``, the derivative ``∂f/∂θ`` as for `tangent`, in place of the other two.

        Returns
        -------
        number, array, dict, list or tuple
            In the structure of the parameters: for one index or name that of the parameter, else a tuple. With
            `forcing` a number, or an array (p,). What depends on θ by way of `y0` is not in it: see `adjoint`.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for `tangent`; and if `params` names none, a parameter is no number, or `vjp` returns another structure.

        Examples
        --------
        The last value of exp(-k t) by k.

        >>> import numpy as np, parscan
        >>> sol = parscan.solve_ivp(lambda t, y, k: -k * y, (0, 2), [1.0], args=(0.5,), rtol=1e-8, t_eval=[2.0])
        >>> bool(np.isclose(sol.gradient([[1.0]], "k"), -2 * np.exp(-1.0), rtol=1e-7))
        True
        """
        return self._differentiable("gradient").gradient(self.y, self.t, grad_y, params, vjp, forcing)

    def _differentiable(self, name: str) -> Derivatives:
        """What derivatives are made from, if the solution is whole."""
        if not self.success:
            raise RuntimeError(
                f"`{name}` needs the whole solution, but the integration did not succeed: {self.message}"
            )
        return self._known(name)

    def _known(self, name: str) -> Derivatives:
        """The same, if it is still there."""
        if self.derivatives is None:
            raise RuntimeError(
                f"`{name}` needs `fun`, which this result does not have: it was copied or pickled, or has no solution."
            )
        return self.derivatives

    def __getitem__(self, name: str) -> Any:
        """A field by its name."""
        if name not in FIELDS:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        """Names of the fields."""
        return iter(FIELDS)

    def __len__(self) -> int:
        """Number of the fields."""
        return len(FIELDS)

    def __getstate__(self) -> dict[str, Any]:
        """All but the user's function, which cannot always be pickled."""
        return {**self.__dict__, "continuous": self.dense, "fun": None, "derivatives": None}

    def __repr__(self) -> str:
        """One aligned line per field; arrays by their shape."""
        names = ("message", "success", "status", "method")
        rows = {
            **{name: self[name] for name in names},
            "t": _brief(self.t),
            "y": _brief(self.y),
            "mesh": f"{self.mesh.shape[0] - 1} intervals",
            "iterations": self.iterations,
            "nfev": f"{self.nfev} calls",
            "npoints": f"{self.npoints} states",
            "njev": f"{self.njev} calls",
        }
        width = max(map(len, rows))
        return "IvpResult\n" + "\n".join(f"{name:>{width}}: {value}" for name, value in rows.items())


def _brief(array: Array) -> str:
    """Dtype and shape."""
    return f"{dtype_name(array.dtype)} {tuple(array.shape)}"


PRIVATE = ("continuous", "fun", "derivatives")
"""Names of fields that are for parscan itself."""

FIELDS = tuple(name for name in IvpResult.__dataclass_fields__ if name not in PRIVATE)
"""Names of the public fields."""

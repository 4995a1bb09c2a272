"""What solve_ivp returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, array_namespace, dtype_name
from ..._reporting.plot import Stretch, draw_convergence, draw_solution
from ..core.polynomial import PiecewisePolynomial
from ..core.status import IvpStatus
from ..sensitivities.differentiable import Differentiable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..sensitivities.derivatives import Derivatives

CURVE_POINTS, POINTS_PER_INTERVAL, CURVE_NUMBERS = 2000, 16, 2**22
"""Points of a curve and of a polynomial of it in a picture, and numbers in all of them, at most; but for the nodes."""


@dataclass(frozen=True, repr=False, eq=False)
class IvpResult(Differentiable, Mapping[str, Any]):
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
        Calls of `fun` and of `jac`, each for any number of times at once, and factorisations of a sequential solver;
        without the few calls before and after that check them.
    status : IvpStatus
        0: the end was reached. 1: a terminal event occurred. -1: it could not be continued. -3: a value of `fun` was
        not finite. -4: `fun` or an event contradicts itself by more than the tolerances.
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
    error_estimate : float
        Largest estimated error of an interval or step, in units of the tolerance: 1 is ``atol + rtol * |y|``, as a root
        mean square over the components. Up to 2 on a mesh that parscan made; on a mesh of yours, and on the times of
        `t_eval` for DEER, of any size, with a warning above 1. NaN where SciPy solved the problem; steps that a
        sequential solver took in place of a window do not count.
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
    error_estimate: float = nan
    continuous: PiecewisePolynomial | Callable[[], PiecewisePolynomial] | None = None
    """The continuous solution, or a function that makes it: `guess=` starts from it. None where SciPy solved."""

    fun: Callable[[Array, Array], Array] | None = None
    """Right-hand side on stacked states, `(m, *batch, n)` at the times `(m,)`."""

    derivatives: Derivatives | None = None
    """Tangents, adjoints and gradients, as long as `fun` is there."""

    stretches: tuple[Stretch, ...] = ()
    """The iterations on each of the meshes, for `plot_convergence`."""

    chatters: bool = False
    """Whether meshes were given up since `fun` jumps to and fro."""

    @cached_property
    def dense(self) -> PiecewisePolynomial | None:
        """The continuous solution, whether it was asked for or not."""
        continuous = self.continuous
        return continuous if continuous is None or isinstance(continuous, PiecewisePolynomial) else continuous()

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

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the components over time, and below them the mesh; needs matplotlib (``pip install 'parscan[plot]'``).

        The curve is the continuous solution, whether it was asked for or not; where a solver of SciPy's left none,
        lines between the output times. The mesh is drawn as the lengths of its intervals, where they are known. At
        most seven components are drawn, spread over all of them. Of a batch, the first member is a line, and the range
        of all members is shaded. Complex components are drawn as real (solid) and imaginary (dashed) parts.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into, without the mesh. By default a new figure, which pyplot does not know of.

        Returns
        -------
        matplotlib.figure.Figure
            To be shown or saved: ``sol.plot().savefig("solution.png")``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is no Axes.

        See Also
        --------
        plot_convergence : How the corrections shrank.

        Examples
        --------
        >>> import parscan
        >>> sol = parscan.solve_ivp(lambda t, y: [y[1], -y[0]], (0, 9), [1.0, 0.0], rtol=1e-8)
        >>> states, mesh = sol.plot().axes
        >>> mesh.get_ylabel()
        'interval length'
        """
        t, y = self._curve()
        known = self.dense is not None or self.sol is not None
        return draw_solution(t, y, self.mesh if known else None, ax)

    def plot_convergence(self, ax: Axes | None = None) -> Figure:
        """Draw `history`: the largest correction of each iteration, in units of the tolerance; needs matplotlib.

        Meshes (dotted) and windows (grey) are marked where they begin, and labelled with the number of their intervals
        if there are few. The iterations on the first mesh of a window are measured by a looser tolerance.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            What to draw into. By default a new figure, which pyplot does not know of.

        Returns
        -------
        matplotlib.figure.Figure
            To be shown or saved.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is no Axes.

        See Also
        --------
        plot : The solution itself.

        Examples
        --------
        >>> import parscan
        >>> sol = parscan.solve_ivp(lambda t, y: [y[1], -y[0]], (0, 9), [1.0, 0.0], rtol=1e-8)
        >>> sol.plot_convergence().axes[0].get_xlabel()
        'iteration'
        """
        return draw_convergence(self.history, self.stretches, f"no iterations: {self.method} went step by step", ax)

    def _curve(self) -> tuple[Array, Array]:
        """Times `(N,)` and states `(N, *batch, n)` that look smooth when they are joined by lines."""
        xp = array_namespace(self.y)
        intervals = self.mesh.shape[0] - 1
        if intervals < 1 or (self.dense is None and self.sol is None):
            return self.t, xp.moveaxis(self.y, 0, -1)
        numbers = max(1, self.y.size // max(1, self.t.shape[0])) * intervals
        parts = max(1, min(POINTS_PER_INTERVAL, CURVE_POINTS // intervals, CURVE_NUMBERS // numbers))
        shares = xp.arange(parts, dtype=self.mesh.dtype) / parts
        begins, lengths = self.mesh[:-1, None], self.mesh[1:, None] - self.mesh[:-1, None]
        t = xp.concat([xp.reshape(begins + lengths * shares[None, :], (-1,)), self.mesh[-1:]])
        if self.dense is not None:
            return t, self.dense.evaluate(t)
        return t, xp.moveaxis(self.sol(t), 0, -1)  # type: ignore[misc]

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
        rows = {
            "message": self.message,
            "success": self.success,
            "status": int(self.status),
            "method": self.method,
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


PRIVATE = ("continuous", "fun", "derivatives", "stretches", "chatters")
"""Names of fields that are for parscan itself."""

FIELDS = tuple(name for name in IvpResult.__dataclass_fields__ if name not in PRIVATE)
"""Names of the public fields."""

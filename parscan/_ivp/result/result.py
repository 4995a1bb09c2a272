"""The result of solve_ivp."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import nan
from typing import TYPE_CHECKING, Any

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace
from ..._engine.termination import Termination
from ..._reporting.plot import Stretch, draw_solution
from ..._reporting.result_base import Deferred, brief
from ..core.polynomial import PiecewisePolynomial
from ..sensitivities.derivatives import Derivatives
from ..sensitivities.differentiable import Differentiable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_POINTS, POINTS_PER_INTERVAL, CURVE_NUMBERS = 2000, 16, 2**22
"""Largest number of points of a curve in a picture, of points on one of its polynomials, and of all numbers."""


class IvpStatus(IntEnum):
    """The end of an integration: SciPy's codes, and three more."""

    FINISHED = 0
    EVENT = 1
    FAILED = -1
    NOT_FINITE = -3
    NONDETERMINISTIC = -4
    INACCURATE = -5

    @property
    def text(self) -> str:
        """The code in words."""
        return TEXTS[self]


TEXTS = {
    IvpStatus.FINISHED: "The solver successfully reached the end of the integration interval.",
    IvpStatus.EVENT: "A termination event occurred.",
    IvpStatus.FAILED: "The integration could not be continued.",
    IvpStatus.NOT_FINITE: "The right-hand side did not stay finite.",
    IvpStatus.NONDETERMINISTIC: "The solution is one of many: the functions contradict themselves.",
    IvpStatus.INACCURATE: "The end was reached, but the error there is far above the tolerances.",
}
"""The codes in words."""


LATER = frozenset({"t", "mesh", "message", "_polynomial", "_errors", "_solution"})
"""Fields of a result that may be made at their first use; they have no value in the class."""


def _none() -> None:
    """The default of a field that has no value in the class."""


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class IvpResult(Differentiable, Mapping[str, Any]):
    """Solution of an initial value problem: the fields of SciPy's result, and further data.

    Every field is an attribute, ``sol.t``, and an item, ``sol["t"]``, as in SciPy's results.

    Attributes
    ----------
    t : array, shape (N,)
        Times: `t_eval`, or the nodes of the mesh.
    y : array, shape (n, N, *batch)
        States at `t`; NaN after the end of a member of a batch that an event ended.
    yp : array, shape (n, N), or None
        Derivatives of the states at `t`, of `solve_dae` and of solves with a mass matrix; otherwise None.
    sol : callable or None
        Continuous solution, with ``dense_output=True``: ``sol(t)`` is ``(n, *batch)`` or ``(n, m, *batch)``.
    t_events, y_events : list of arrays, or None
        For each event its times `(k,)`, and the states at these times, `(k, n)`; of a batch, lists of these for all
        members: ``t_events[event][member]``, or ``t_events[event][i][j]`` in a batch of two axes.
    nfev, njev, nlu : int
        Calls of `fun` and of `jac`, each for any number of times at once, and factorisations of a sequential solver;
        the few calls that check the functions before and after the solve do not count.
    status : IvpStatus
        0: the end was reached. 1: a terminal event occurred. -1: the solution could not be continued. -3: a value of
        `fun` was not finite. -4: values of `fun` or an event, called twice with the same arguments, differ by more
        than the tolerances. -5: the end was reached, but with an estimated error above 100 tolerances, although small
        changes do not grow so far; not on a mesh that was given.
    termination : Termination
        The reason for the end as data, more detailed than the status: `STUCK` for an early end, for example.
    message : str
        The status in words, with the methods tried and a remedy.
    success : bool
        Whether the solution reached the end of the span, or a terminal event.
    method : str
        The method used.
    npoints : int
        Number of states at which `fun` was evaluated.
    iterations : int
        Newton iterations on all meshes; 0 if SciPy solved the problem.
    history : tuple of float
        Largest correction of each iteration, in units of the tolerance.
    mesh : array, shape (M + 1,)
        Nodes of the final mesh, or the steps of a sequential solver.
    meshes : tuple of int
        Intervals of every mesh that was tried.
    error_estimate : float
        Largest estimated error of an interval or step, in units of the tolerance ``atol + rtol * |y|``, as a root mean
        square over the components. On an adaptive mesh, where errors grow along the solution, also the error of the
        last state; mostly at most 3. Not limited on a given mesh, nor on the times of `t_eval` for DEER; a warning is
        given above 1, and where the error of the last state is above 100. Steps that a sequential solver took instead
        of a window do not count. Of a `compiled` solve without a mesh, and of ``"auto"`` by SciPy's solvers, the
        largest estimated error of a component at the end; see `errors` for other times. NaN if a method that was named
        is SciPy's, and where it is not known.
    errors : array, shape (N,)
        Estimated errors of the states at the times `t` of a `compiled` solve of a single problem without a mesh,
        otherwise NaN: the largest one of a component, in units of the tolerance for its largest size there and at both
        ends of the step. Evaluated at the first access if only `t` and `y` were asked for, by one more solve.
    compiled : bool
        Whether machine code of `fun` solved the problem.
    decisions : tuple of str
        Why it did not, if `compile` left that open, and whether methods on a mesh took Jacobians by differences.
    residual : float
        Largest `h * |y' - fun(t, y)|` of the continuous solution, in the units of `y`, where `h` is the length of the
        interval; sampled at the stages of every interval (at interpolation nodes for methods without stages). Evaluated
        at the first access; NaN if SciPy solved the problem.
    lyapunov : float
        Growth of a small change of the state per unit of time, as a logarithm: the largest Lyapunov exponent over this
        solution, and over the members of a batch. If it is positive, a small change grows by about
        e^(lyapunov · span); a bounded solution is then chaotic, and its gradients are of little use. Evaluated at the
        first access, with the equations of the derivatives; as these, it raises `RuntimeError` if the integration did
        not succeed.
    """

    t: Array
    y: Array
    sol: Callable[[Any], Array] | None = None
    t_events: list[Array] | None = None
    y_events: list[Array] | None = None
    nfev: int
    njev: int = 0
    nlu: int = 0
    status: IvpStatus
    termination: Termination
    message: str
    success: bool
    method: str
    npoints: int
    iterations: int = 0
    history: tuple[float, ...] = ()
    mesh: Array
    meshes: tuple[int, ...] = ()
    error_estimate: float = nan
    compiled: bool = False
    decisions: tuple[str, ...] = ()
    yp: Array | None = None
    _polynomial: PiecewisePolynomial | Callable[[], PiecewisePolynomial] | None = field(default_factory=_none)
    """The continuous solution, or a function that makes it, for `guess=`. None if SciPy solved the problem."""

    _errors: Array | Callable[[], Array] | None = field(default_factory=_none)
    """Estimated errors at `t`, or a function that finds them. None if they are not known."""

    _solution: Derivatives | Deferred[Derivatives] | None = field(default_factory=_none)
    _stretches: tuple[Stretch, ...] = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What few results are asked for is made at its first use: `_later` is a function and what it is given."""
            if name not in LATER or "_later" not in self.__dict__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            make, *given = self.__dict__["_later"]
            return self.__dict__.setdefault(name, make(*given, name))

    @cached_property
    def _dense(self) -> PiecewisePolynomial | None:
        """The continuous solution, also without `dense_output`; None if SciPy solved the problem."""
        return self._polynomial() if callable(self._polynomial) else self._polynomial

    @property
    def _fun(self) -> Callable[[Array, Array], Array] | None:
        """Right-hand side on stacked states, `(m, *batch, n)` at the times `(m,)`; None in copies."""
        return self._solution.fun if isinstance(self._solution, Derivatives) else None

    @cached_property
    def errors(self) -> Array:
        """Estimated errors at the times `t`, in tolerances."""
        if self._errors is None:
            xp = array_namespace(self.t)
            return xp.full(self.t.shape, nan)
        return self._errors() if callable(self._errors) else self._errors

    @cached_property
    def residual(self) -> float:
        """Largest `h * |y' - fun(t, y)|` of the continuous solution."""
        if self._dense is None or self._fun is None:
            return nan
        times, steps = self._dense.samples()
        xp = array_namespace(steps)
        missed = self._dense.derivative(times) - self._fun(times, self._dense.evaluate(times))
        return float(xp.max(xp.abs(steps) * xp.max(xp.reshape(xp.abs(missed), (times.shape[0], -1)), axis=1)))

    @cached_property
    def lyapunov(self) -> float:
        """Logarithm of the growth of a small change per unit of time."""
        return self._whole("lyapunov").lyapunov()

    def _draw(self, ax: Axes | None) -> Figure:
        """Draw the states over time, and below them the mesh where it is known."""
        t, y = self._curve()
        known = self._dense is not None or self.sol is not None
        return draw_solution(t, y, self.mesh if known else None, ax)

    @property
    def _no_iterations(self) -> str:
        """The text of a plot of iterations without any."""
        return f"no iterations: {self.method} went step by step"

    def _curve(self) -> tuple[Array, Array]:
        """Times `(N,)` and states `(N, *batch, n)`, so close that lines between them look smooth."""
        xp = array_namespace(self.y)
        intervals = self.mesh.shape[0] - 1
        if intervals < 1 or (self._dense is None and self.sol is None):
            return self.t, xp.moveaxis(self.y, 0, -1)
        numbers = max(1, self.y.size // max(1, self.t.shape[0])) * intervals
        parts = max(1, min(POINTS_PER_INTERVAL, CURVE_POINTS // intervals, CURVE_NUMBERS // numbers))
        shares = xp.arange(parts, dtype=self.mesh.dtype) / parts
        begins, lengths = self.mesh[:-1, None], self.mesh[1:, None] - self.mesh[:-1, None]
        t = xp.concat([xp.reshape(begins + lengths * shares[None, :], (-1,)), self.mesh[-1:]])
        if self._dense is not None:
            return t, self._dense.evaluate(t)
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
        """The state without the user's functions: the continuous solution replaces the function that makes it."""
        known = {"_polynomial": self._dense, "_errors": None if self._errors is None else self.errors}
        state = {**{name: getattr(self, name) for name in LATER}, **super().__getstate__(), **known}
        state.pop("_later", None)
        return state

    def _rows(self) -> dict[str, object]:
        """The counts, and arrays by their shape."""
        return {
            "status": int(self.status),
            "method": self.method,
            "t": brief(self.t),
            "y": brief(self.y),
            "mesh": f"{self.mesh.shape[0] - 1} intervals",
            "iterations": self.iterations,
            "nfev": f"{self.nfev} calls",
            "npoints": f"{self.npoints} states",
            "njev": f"{self.njev} calls",
        }


FIELDS = tuple(name for name in IvpResult.__dataclass_fields__ if not name.startswith("_"))
"""Names of the public fields."""

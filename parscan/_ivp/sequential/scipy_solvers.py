"""Makes SciPy's solvers for a problem: converts functions and tolerances to theirs, and their states back."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, machine_epsilon, quiet, random_signs
from ..._engine.termination import Termination
from ..._functions.right_hand_side import RightHandSide
from ..core.choice import BANDS, Choice
from ..core.pace import Pace
from ..core.problem import Problem
from ..core.stiffness import Stiffness
from ..core.stretches import Stretch
from ..mesh.task import NOTHING
from .course import Reading
from .large import LargeSolver
from .pieces import Converted, Dop853Polynomial, Polynomial, Shifted, from_parts
from .solved import Solved

EXPLICIT = ("RK23", "RK45", "DOP853")
"""SciPy's solvers that need no Jacobian, and warn if they get one."""

IMPLICIT = ("BDF", "Radau")
"""SciPy's solvers that show their Jacobian."""

FAR = 1e4
"""If times are larger than this many lengths of the span, the solver's own times begin at zero: SciPy's solvers take no
steps shorter than the spacing of the numbers."""

CHANGE, ALIKE = 1e-6, 1e-3
"""Change of a state, as a share of its largest component; largest relative difference of two effects that agree."""


def name_of(method: Any) -> str:
    """Name of a solver that is given by its name or its class."""
    return method if isinstance(method, str) else method.__name__


def class_of(method: Any) -> Any:
    """Class of a solver that is given by its name or its class."""
    if not isinstance(method, str):
        return method
    from scipy import integrate  # noqa: PLC0415 - slow to import

    return getattr(integrate, method)


def is_own(choice: Choice) -> bool:
    """Whether the solver is not SciPy's."""
    return isinstance(choice.method, type) and issubclass(choice.method, LargeSolver)


def make(
    choice: Choice, problem: Problem, rhs: RightHandSide, options: dict[str, Any], stretch: Stretch, y0: Array
) -> tuple[Any, Reading]:
    """A solver from the state `y0` at the begin of a stretch, and how to read it."""
    name, span = name_of(choice.method), (stretch.begin, stretch.end)
    rtol = np.maximum(problem.rtols * choice.share, 100 * machine_epsilon(problem.y0.dtype))
    atol = problem.atol * choice.share
    is_flat = rhs.is_flat(stretch.begin, y0)
    fun = rhs.sequential() if is_flat else (lambda t, y: rhs.at(t, y.copy()))
    longest = min(problem.max_step, choice.longest * abs(stretch.end - stretch.begin))
    given, start = {**options, "max_step": longest}, y0
    pace = Pace(fun, span, rtol, atol, is_explicit=name in EXPLICIT)
    if is_own(choice):
        given |= {"jac": _with_args(problem) if callable(problem.jac) else problem.jac, "pattern": choice.pattern}
    elif problem.jac is not None and name not in EXPLICIT:
        given["jac"] = _jacobian(problem, rhs, stretch.begin, y0, is_dense=choice.pairs or name == "LSODA")
    whole = choice.while_analytic and "jac_sparsity" not in options and _is_analytic(fun, stretch.begin, y0)
    pairs = choice.pairs and not whole
    if pairs:
        fun, start, given = _in_parts(fun, y0, given)
        rtol = np.repeat(rtol, 2) if np.ndim(rtol) else rtol
        atol = np.repeat(np.broadcast_to(_positive(atol, rtol, y0), y0.shape), 2)
    # Without any tolerance, a component that stays zero has the error 0/0: SciPy's explicit methods would never end.
    atol = np.maximum(atol, np.finfo(atol.dtype).tiny)
    quick = is_flat and name == "LSODA" and not pairs
    called = rhs.sequential(is_kept=False) if quick else fun
    state: Callable[[Array], Array] = _states if pairs else (lambda y: y)

    def piece(solver: Any) -> Polynomial:
        found = solver.dense_output()
        found = Dop853Polynomial(found) if type(found).__name__ == "Dop853DenseOutput" else found
        return Converted(found, from_parts) if pairs else found

    polynomial: Callable[[Any], Polynomial] = piece
    origin, end = 0.0, stretch.end
    if abs(stretch.begin) > FAR * abs(stretch.end - stretch.begin):
        origin, end, polynomial = stretch.begin, stretch.end - stretch.begin, _shifted(piece, stretch.begin)  # exact
        called, given = _since(called, origin), {**given, **_jacobian_since(given, origin)}
    solver = class_of(choice.method)(called, stretch.begin - origin, start, end, rtol=rtol, atol=atol, **given)
    is_stiff = _Stiff() if Termination.STIFF in choice.otherwise else None
    is_solved = Solved() if name in IMPLICIT and not is_own(choice) else None
    most = inf if choice.while_analytic and not whole else choice.most_steps
    return solver, Reading(
        pace, state, polynomial, is_stiff, is_solved, most, origin, float(np.min(rtol)), choice.starts > 1
    )


def _since(function: Callable[[float, Array], Any], origin: float) -> Callable[[float, Array], Any]:
    """A function of the time since `origin` and the state, from a function of time and state."""
    return lambda t, y: function(origin + t, y)


def _jacobian_since(options: dict[str, Any], origin: float) -> dict[str, Any]:
    """The Jacobian among the options of a solver as a function of the time since `origin`, if it is a function."""
    return {"jac": _since(options["jac"], origin)} if callable(options.get("jac")) else {}


def _shifted(piece: Callable[[Any], Polynomial], origin: float) -> Callable[[Any], Shifted]:
    """The polynomials, as functions of time, of a solver whose own time is the time since `origin`."""
    return lambda solver: Shifted((piece(solver),), (float(solver.t_old), float(solver.t)), origin)


def _jacobian(problem: Problem, rhs: RightHandSide, t: float, y: Array, *, is_dense: bool) -> Any:
    """The user's Jacobian, checked at the start; `is_dense`: as a function with dense values, all that LSODA takes."""
    if not callable(problem.jac):
        return (lambda t, y: _dense(problem.jac)) if is_dense else problem.jac
    rhs.jacobian(np.asarray([t]), y[None, :], y[None, :])
    jac = rhs.sequential_jacobian()
    return (lambda t, y: _dense(jac(t, y))) if is_dense else jac


def _with_args(problem: Problem) -> Callable[[float, Array], Any]:
    """The user's Jacobian as a function of time and state."""
    return lambda t, y: problem.jac(t, y, *problem.args)


def _dense(matrix: Any) -> Array:
    """A dense matrix from one that may be sparse."""
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def _is_analytic(fun: Callable[[float, Array], Array], t: float, y: Array) -> bool:
    """Whether a function of complex states has complex derivatives here, as SciPy's BDF assumes.

    Then a change by i times a direction has i times the effect. If this does not hold elsewhere, Newton's method
    converges slowly or not at all: see `while_analytic` of `Choice`.
    """
    scale = max(float(np.abs(y).max()), 1.0) * CHANGE
    with quiet():
        base = fun(t, y)
        for seed in range(2):
            way = scale * random_signs(y.shape, y.real, seed=seed)
            real, imaginary = fun(t, y + way) - base, fun(t, y + 1j * way) - base
            if not np.abs(imaginary - 1j * real).max() <= ALIKE * np.abs(real).max():
                return False
    return True


def _in_parts(
    fun: Callable[[float, Array], Array], y0: Array, options: dict[str, Any]
) -> tuple[Callable[[float, Array], Array], Array, dict[str, Any]]:
    """The right-hand side, the first state and the options for real and imaginary parts."""
    given = {name: value for name, value in options.items() if name not in ("vectorized", "jac")}
    bands = {name: 2 * given[name] + 1 for name in BANDS if name in given}
    if "jac" in options and not bands:
        jac = options["jac"]
        given["jac"] = lambda t, v: _real(jac(t, _states(v)))

    def parts(t: float, v: Array) -> Array:
        return _parts(fun(t, _states(v)))

    if "jac_sparsity" in options:
        from scipy.sparse import csc_array, kron  # noqa: PLC0415 - slow to import

        given["jac_sparsity"] = kron(csc_array(options["jac_sparsity"]), np.ones((2, 2)))
    return parts, _parts(y0), {**given, **bands}


def _parts(y: Array) -> Array:
    """Real and imaginary parts, alternating, as a new array."""
    return np.array(y, dtype=np.complex128).view(np.float64)


def _states(vector: Array) -> Array:
    """Complex states, from alternating real and imaginary parts."""
    return np.ascontiguousarray(vector).view(np.complex128)


def _real(matrix: Array) -> Array:
    """The Jacobian of real and imaginary parts, from a complex Jacobian `(n, n)`."""
    rows = [[matrix.real, -matrix.imag], [matrix.imag, matrix.real]]
    return np.moveaxis(np.array(rows), (2, 0, 3, 1), (0, 1, 2, 3)).reshape(2 * matrix.shape[0], -1)


def _positive(atol: Array, rtol: Any, y: Array) -> Array:
    """Positive absolute tolerances: otherwise, a zero imaginary part of a large state would have no tolerance."""
    return np.where(atol > 0, atol, NOTHING * np.min(rtol) * (np.abs(y).max() or 1.0))


class _Stiff:
    """Whether stability limits the steps of SciPy's DOP853; called after each step."""

    def __init__(self) -> None:
        self._stiffness = Stiffness()

    def __call__(self, solver: Any) -> bool:
        """Compare the last two stages of the step, which are at the same time."""
        h = solver.t - solver.t_old
        apart = h * ((solver.B - solver.A[-1]) @ solver.K[:-1])
        slopes = solver.K[-1] - solver.K[-2]
        self._stiffness.add(h, float(np.abs(apart).max()), float(np.abs(slopes).max()))
        return self._stiffness.is_stiff

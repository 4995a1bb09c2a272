"""Tangents, adjoints and gradients of a solution of solve_ivp."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace
from ..._functions.adjoint import Adjoint
from ..._functions.columns import chosen_columns, split
from ..._functions.cotangents import as_gradient, as_like
from ..._functions.parameters import START
from ..._functions.right_hand_side import RightHandSide
from ..._linalg.dense import Dense
from ..._linalg.growth import scaled_product
from ..._recorded.budget import NoCodeError
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..methods.discretisation import Discretisation
from ..output.dense_output import as_times
from ..output.observation import Observation
from .beside_breaks import beside_breaks
from .controlled import controlled
from .converge_fully import close_enough, polished, with_nodes
from .followed import beside_crossings, followed, reject_crossings
from .forcing import Forcing
from .gradient import by_forcing, by_parameters, of_parameters
from .in_double import in_double, like
from .jacobian import Forcings
from .jacobian_check import BY_DIFFERENCES, UNLIKE, exactly_linearised
from .jumping import TOUCH, jumping, sampled, touch_of
from .layered import layered
from .moving import Moving, moving
from .recorded_gradient import recording_of
from .resolved import at_corners, resolved, resolving
from .slide import Slide
from .stale_check import SETTLED, has_changed, reject_changed, reject_others
from .state_jumps import Jumps, state_jumps, warn_of_missed
from .trajectory import AdjointSolution, Forced, Kicks, Trajectory
from .with_kinks import warn_of_left, with_kinks


class Variational(Protocol):
    """Derivatives by machine code: variational equations, and adjoints of steps."""

    @property
    def told(self) -> str:
        """How the last gradient was found, as the end of a sentence; empty if others found it."""

    def jacobian(self, y: Array, times: Array, params: Any) -> Any:
        """Derivatives of the states `y` `(n, N, *batch)` at some times by parameters; raises `NoCodeError`."""

    def adjoint(self, y: Array, times: Array, mesh: Array, grad_y: Array) -> Adjoint:
        """Gradients with respect to the states at the nodes `mesh`; raises `NoCodeError`."""

    def gradient(self, y: Array, times: Array, mesh: Array, grad_y: Array, params: Any) -> Any:
        """The gradient for that by states at some times `(n, N, *batch)`, by parameters; raises `NoCodeError`."""

    def tangent(self, solution: tuple[Array, Array], times: Array, start: Array) -> Array:
        """
        Changes `(n, m, *batch, k)` of the states at some times by changes `(B, k, n)` of the start.

        `solution` are times and states of the output. It raises `NoCodeError`.
        """


class Derivatives:
    """Derivatives of the trajectory `find()`, which is made when it is first needed and solved to nearly all digits.

    Before each use, `fun` is checked to still reproduce the trajectory within `scale`, unless `scale` is None, or a
    trajectory that may not have settled did not stand this from the first. `fun` is the right-hand side on stacked
    states where it is known; `variational` solves variational equations instead. There are no derivatives if the
    solution `slides`. Errors of derivatives are not controlled on a mesh that is `given`.
    """

    def __init__(
        self,
        find: Callable[[], Trajectory],
        scale: Scale | None,
        fun: RightHandSide | None = None,
        variational: Variational | None = None,
        *,
        settles: bool = True,
        slides: Slide | None = None,
        given: bool = False,
    ) -> None:
        self._find = find if slides is None else slides.reject
        self._scale, self.fun, self._variational = scale, fun, variational if slides is None else None
        self._refined: Trajectory | None = None
        self._seen: tuple[Trajectory, Array, Trajectory] | None = None
        self._settles = settles
        self._touch = TOUCH if scale is None else touch_of(scale.tightest)
        self._rtol = None if scale is None or given else scale.tightest

    @property
    def source(self) -> str:
        """Where Jacobians come from."""
        return self._linearised[1]

    @property
    def described(self) -> str:
        """The same, by which parameters there are differences only, and how machine code found the last gradient."""
        is_told = self.source.startswith(BY_DIFFERENCES)
        told = "" if self._variational is None or not self._variational.told else f"; {self._variational.told}"
        return self.source + ("" if is_told else of_parameters(self._found.rhs)) + told

    @property
    def _found(self) -> Trajectory:
        return self._linearised[0]

    @cached_property
    def _linearised(self) -> tuple[Trajectory, str]:
        """The trajectory with the best Jacobians, and where they come from."""
        found = self._find()
        linearised = exactly_linearised(found.rhs, found.solution.t, found.solution.y)
        if UNLIKE in linearised.source:  # many nodes may be at a jump
            linearised = exactly_linearised(found.rhs, *sampled(found.solution))
        scale = None if self._settles else self._scale
        if scale is not None and has_changed(linearised.rhs, found.method, found.solution, scale, SETTLED):
            self._scale = None
        return replace(found, rhs=linearised.rhs), linearised.source

    @property
    def _trajectory(self) -> Trajectory:
        found = self._found
        if self._scale is not None:
            reject_changed(found.rhs, found.method, found.solution, self._scale)
        return self._followed[0]

    @cached_property
    def _followed(self) -> tuple[Trajectory, RightHandSide | None]:
        """
        The trajectory, and the right-hand side if its record shows all jumps.

        It has nodes where it crosses thresholds, and where derivatives change and the solution does not.
        """
        trajectory, rhs = self._across
        if self._rtol is None:
            return trajectory, rhs
        if rhs is not None:
            trajectory = at_corners(trajectory, self._rtol)
        return resolved(trajectory, self._rtol), rhs

    @cached_property
    def _across(self) -> tuple[Trajectory, RightHandSide | None]:
        """The trajectory with nodes where it crosses thresholds; the right-hand side if its record shows all jumps."""
        found = self._found
        if self.source.startswith(BY_DIFFERENCES):  # there is no record, or it is contradicted
            return with_kinks(found), None
        try:
            recorded = jumping(found.rhs, (), found.solution, self._touch)
            if recorded is not None:  # single precision has not the digits of times of crossings
                found = in_double(found)
                recorded = replace(recorded, rhs=found.rhs)
            trajectory = found if recorded is None else followed(recorded, found)
        except NoCodeError:
            return with_kinks(found), None
        if recorded is not None and recorded.kept is not None:
            warn_of_left(trajectory)
        if self._scale is not None and self.fun is not None:  # it is the solution itself, on its mesh
            warn_of_missed(self._found.solution, trajectory.solution, self._scale)
        return trajectory, found.rhs

    @property
    def _rhs(self) -> RightHandSide:
        """The right-hand side for states of the trajectory."""
        return self._followed[1] or self._found.rhs

    @cached_property
    def _jumps(self) -> Jumps | None:
        """Jumps that the state triggers, where the function is not recorded."""
        return None if self._followed[1] is not None else state_jumps(self._found.rhs, self._found.solution)

    def tangent(self, y: Array, times: Array, forcing: Any, y0: Any, at: Any, mesh: Array) -> Array:
        """Changes of the states `y` `(n, N, *batch)` at the times of the output, or at the times `at`."""
        _reject_wrong(forcing, y0)
        start, many = _as_start(y0, y)
        if self._variational is not None and forcing is None:
            with suppress(NoCodeError):
                wanted = times if at is None else _as_times(at, mesh)
                found = self._variational.tangent((times, y), array_namespace(y).reshape(wanted, (-1,)), start)
                found = found if many else found[..., 0]
                return found if wanted.ndim else found[:, 0, ...]
        trajectory = self._trajectory
        wanted = times if at is None else _as_times(at, trajectory.solution.t)
        seen = (
            times
            if at is None
            else array_namespace(times).concat([times, wanted[None] if wanted.ndim == 0 else wanted])
        )
        trajectory = self._seen_at(seen, trajectory)  # the same as for all other derivatives, if it can be
        forced = None if forcing is None else Forcing(forcing, trajectory.rhs, start.shape[1] if many else None)
        if forced is not None:
            looked = Forcing(forcing, trajectory.rhs)  # `forced` compares its own first call with single ones
            trajectory = self._seen_at(seen, self._resolving(self._trajectory, looked))
        found, nodes = _changes(trajectory, y, wanted, forced and _aside(forced, trajectory), start)
        if self._jumps is not None and start.size:
            self._jumps.warn_of_changed(trajectory.solution.t, nodes)
        found = found if many or (forced is not None and forced.many) else found[..., 0]
        return found if wanted.ndim else found[:, 0, ...]

    def jacobian(self, y: Array, times: Array, params: Any) -> Any:
        """Derivatives of the states `y` `(n, N, *batch)` at some times by parameters, in their structure."""
        if self._variational is not None:
            with suppress(NoCodeError):
                return self._variational.jacobian(y, times, params)
        rhs = self._rhs
        chosen = chosen_columns(params, partial(rhs.function, None), rhs.args)
        trajectory = self._seen_at(times, self._trajectory)
        course = _Course(trajectory, self._followed[1], y, times, y, self._touch)
        moving = course.moving([int(key) for key in chosen.keys if key != START])
        trajectory = trajectory if moving is None else moving.trajectory
        if moving is None and any(key != START for key in chosen.keys):
            reject_crossings(trajectory)
        forcings = Forcings(rhs, chosen, moving, trajectory.aside is not None)
        start, shifts = forcings.start(trajectory.solution.y), forcings.shifts(rhs.y0.shape[-1])
        forced = forcings if trajectory.aside is None else trajectory.aside.of(forcings)
        found, nodes = _changes(trajectory, y, times, forced, start, shifts)
        if self._jumps is not None and start.size:
            self._jumps.warn_of_changed(trajectory.solution.t, nodes)
        forcings.warn_of_moved_jumps()
        return split(chosen, rhs.args, found, rhs.y0.shape[-1])

    def adjoint(self, y: Array, times: Array, mesh: Array, grad_y: Any) -> Adjoint:
        """Gradients with respect to the states at the nodes `mesh`, and to the initial state."""
        gradient = _as_gradient(grad_y, y)
        if self._variational is not None:
            with suppress(NoCodeError):
                return self._variational.adjoint(y, times, mesh, gradient)
        trajectory = self._seen_at(times, self._with_nodes(mesh))
        solved = _adjoint_solution(trajectory, y, times, gradient, forcings=False)
        if self._jumps is not None and y.size:
            self._jumps.warn_of_felt(trajectory.solution.t, solved.nodes)
        xp, t = array_namespace(y), trajectory.solution.t
        n, _, *batch = y.shape
        states = like(xp.reshape(solved.nodes, (t.shape[0], *batch, n)), y)
        places = Observation(trajectory.solution, mesh).nodes
        return Adjoint(
            xp.moveaxis(xp.take(states, places, axis=0), -1, 0),
            xp.asarray(xp.moveaxis(states[0, ...], -1, 0), copy=True),
        )

    def gradient(
        self,
        y: Array,
        times: Array,
        grad_y: Any,
        params: Any,
        vjp: Callable[..., Any] | None,
        forcing: Callable[..., Any] | None,
        mesh: Array,
    ) -> Any:
        """Gradient of a loss with respect to parameters of the right-hand side."""
        _reject_two(params, vjp, forcing)
        gradient = _as_gradient(grad_y, y)
        if self._variational is not None and vjp is None and forcing is None:
            with suppress(NoCodeError):
                return self._variational.gradient(y, times, mesh, gradient, params)
        trajectory = self._trajectory
        if forcing is not None:
            trajectory = self._resolving(trajectory, Forcing(forcing, self._rhs))
        trajectory = self._seen_at(times, trajectory)
        course = _Course(trajectory, self._followed[1], y, times, gradient, self._touch)
        found = (
            by_parameters(self._rhs, course, params, vjp)
            if forcing is None
            else like(by_forcing(self._rhs, course, forcing), y)
        )
        if self._jumps is not None and y.size:
            self._jumps.warn_of_felt(trajectory.solution.t, course.nodes)
        return found

    def _resolving(self, trajectory: Trajectory, forcing: Forcing) -> Trajectory:
        """The trajectory with further nodes where a forcing changes and the solution does not."""
        return trajectory if self._rtol is None else resolving(trajectory, forcing, self._rtol)

    def _with_nodes(self, mesh: Array) -> Trajectory:
        """The trajectory with further nodes at the times `mesh`."""
        trajectory = self._trajectory
        if self._refined is None:
            self._refined = with_nodes(trajectory, mesh)
        return self._refined

    def _seen_at(self, times: Array, trajectory: Trajectory) -> Trajectory:
        """The trajectory with further nodes where derivatives at these times need them; the last one is kept."""
        flat = array_namespace(times).reshape(times, (-1,))
        if self._seen is None or self._seen[0] is not trajectory or not _are_same(self._seen[1], flat):
            found = layered(trajectory, flat)
            found = found if self._rtol is None else controlled(found, flat, self._rtol)
            self._seen = trajectory, flat, found
        return self._seen[2]

    def lyapunov(self) -> float:
        """Logarithm of the growth of a small change per unit of time."""
        trajectory = self._trajectory
        product, total = None, 0.0
        for window in trajectory.windows() if trajectory.solution.y.size else ():
            matrices = trajectory.propagators(window)
            xp = array_namespace(matrices)
            matrices = matrices if product is None else xp.concat([product[None, ...], matrices])
            product, logarithm = scaled_product(Dense(), matrices)
            total = total + logarithm
        if product is None:
            return math.nan
        t = trajectory.solution.t
        span = abs(float(t[-1] - t[0]))
        return float(array_namespace(total).max(total)) / span if span else math.nan


class _Course:
    """The adjoint equations along a trajectory; `rhs` is the right-hand side where its record shows all jumps."""

    def __init__(
        self, trajectory: Trajectory, rhs: RightHandSide | None, y: Array, times: Array, gradient: Array, touch: float
    ) -> None:
        self._trajectory, self._rhs, self._given, self._touch = trajectory, rhs, (y, times, gradient), touch
        self.nodes = trajectory.solution.y
        """Gradients with respect to the nodes, once the equations are solved."""

    def moving(self, keys: Sequence[int]) -> Moving | None:
        """Of the arguments with these indices, those that the function can be recorded with; None if nothing moves."""
        if self._rhs is None or not keys or not self._trajectory.solution.y.size:
            return None
        try:
            found = jumping(self._rhs, keys, self._trajectory.solution, self._touch)
        except NoCodeError:
            if len(keys) == 1:
                return None
            return self.moving([key for key in keys if _is_recorded(self._rhs, key)])
        return None if found is None else moving(found, self._trajectory)

    def solved(self, moving: Moving | None = None) -> tuple[AdjointSolution, Trajectory]:
        """Their solution, on the trajectory of parameters that move jumps if there are any, and the trajectory."""
        trajectory = self._trajectory if moving is None else moving.trajectory
        solved = _adjoint_solution(trajectory, *self._given, forcings=True)
        if trajectory.aside is not None and solved.points:
            solved = replace(solved, points=trajectory.aside.spread(*solved.points))
        self.nodes = solved.nodes
        return solved, trajectory

    def beside(self, adjoint: Array) -> Array:
        """Adjoint forcings, those at breakpoints moved to other stages, for parameters that may move a kink."""
        if self._trajectory.aside is not None:
            return adjoint
        return beside_breaks(self._trajectory.method, self._trajectory.solution, adjoint)


def _is_recorded(rhs: RightHandSide, key: int) -> bool:
    """Whether the function can be recorded with an argument as a variable."""
    try:
        recording_of(rhs, (key,))
    except NoCodeError:
        return False
    return True


def _aside(forcing: Forcing, trajectory: Trajectory) -> Callable[[Array, Array], Array]:
    """A forcing, called a little aside of crossings."""
    if trajectory.aside is not None:
        return trajectory.aside.of(forcing)
    return lambda times, states: forcing(times, beside_crossings(trajectory, times, states))


def of_mesh(
    rhs: RightHandSide,
    method: Discretisation,
    make: Callable[[], PiecewisePolynomial],
    scale: Scale,
    *,
    even: bool,
    exact: bool = False,
    given: bool = False,
) -> Derivatives:
    """Derivatives of the solution `make()`.

    `even`: all of it was solved by the method, to its tolerance. `exact`: the equations hold to rounding already.
    `given`: the mesh is the user's.
    """

    def find() -> Trajectory:
        solution = make()
        if not even:
            found = polished(rhs, method, solution)
            reject_others(rhs, method, solution, found.solution, scale)
            return found
        reject_changed(rhs, method, solution, scale)
        done = exact or close_enough(solution, scale)
        return Trajectory(rhs, method, solution) if done else polished(rhs, method, solution)

    return Derivatives(find, scale, rhs, settles=even, given=given)


def _are_same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(array_namespace(one).all(one == other))


def _changes(
    trajectory: Trajectory, y: Array, times: Array, forced: Forced | None, start: Array, shifts: Kicks | None = None
) -> tuple[Array, Array]:  # fmt: skip
    """Changes `(n, N, *batch, k)` of the states `y` at some times by forcings and of the start, and those of nodes."""
    xp, (_, *batch, n) = array_namespace(y), trajectory.solution.y.shape
    observed = Observation(trajectory.solution, xp.reshape(times, (-1,)))
    if start.size:
        start = like(start, trajectory.solution.y)
        nodes, begins, slopes = trajectory.tangent(forced, start, inside=observed.inside, shifts=shifts)
        found = like(observed.of(nodes, begins, slopes), y)
    else:
        found = nodes = xp.zeros((observed.count, *start.shape), dtype=y.dtype)
    return xp.moveaxis(xp.reshape(found, (found.shape[0], *batch, found.shape[2], n)), -1, 0), nodes


def _adjoint_solution(
    trajectory: Trajectory, y: Array, times: Array, gradient: Array, *, forcings: bool
) -> AdjointSolution:
    """The adjoint solution for the gradient with respect to the output `y` `(n, m, *batch)`."""
    xp, (n, m, *batch) = array_namespace(y), y.shape
    rows = like(xp.reshape(xp.moveaxis(gradient, 0, -1), (m, math.prod(batch), n)), trajectory.solution.y)
    if math.prod(rows.shape[1:]) == 0:
        nothing = xp.zeros_like(trajectory.solution.y)
        return AdjointSolution(nothing, (trajectory.solution.t, nothing, nothing))
    observed = Observation(trajectory.solution, times)
    return trajectory.adjoint(observed, rows, forcings=forcings)


def _reject_wrong(forcing: Any, y0: Any) -> None:
    """Raise if neither argument drives a tangent, or `forcing` is no function."""
    if forcing is None and y0 is None:
        raise ValueError("neither `forcing` nor `y0` is given; pass `∂f/∂θ`, or a change of the initial state.")
    if forcing is not None and not callable(forcing):
        raise TypeError(
            f"`forcing` must be callable as forcing(t, y), got {type(forcing).__name__}: its values between the nodes "
            "matter, too."
        )


def _as_gradient(grad_y: Any, y: Array) -> Array:
    """The derivative of a loss by the states of the output."""
    if isinstance(grad_y, Adjoint):
        raise TypeError(
            "`grad_y` is an Adjoint, which holds gradients by the nodes of the mesh alone; pass the derivative of the "
            "loss by `y`."
        )
    return as_gradient(grad_y, y)


def _reject_two(params: Any, vjp: Any, forcing: Any) -> None:
    """Raise for functions that cannot be called, and for `forcing` together with `params` or `vjp`."""
    for name, function, call in (("vjp", vjp, "adjoint, t, y"), ("forcing", forcing, "t, y")):
        if function is not None and not callable(function):
            raise TypeError(f"`{name}` must be callable as {name}({call}), got {type(function).__name__}.")
    if forcing is not None and (params is not None or vjp is not None):
        raise ValueError("`forcing` is the derivative by all parameters itself; pass it without `params` and `vjp`.")


def _as_start(y0: Any, y: Array) -> tuple[Array, bool]:
    """Changes of the initial state, `(B, k, n)`, and whether the user gave them with an axis of many."""
    xp = array_namespace(y)
    n, _, *batch = y.shape
    if y0 is None:
        return xp.zeros((math.prod(batch), 1, n), dtype=y.dtype), False
    given = as_like("y0", y0, y)
    many = given.ndim == y.ndim
    rows = given if many else given[..., None]
    fits = rows.ndim == y.ndim and all(a in (1, b) for a, b in zip(rows.shape, (n, *batch), strict=False))
    if not fits:
        raise ValueError(
            f"`y0` has shape {tuple(given.shape)}; it needs that of the initial state, {(n, *batch)}, or one more axis "
            "for many of them."
        )
    rows = xp.broadcast_to(rows, (n, *batch, rows.shape[-1]))
    return xp.reshape(xp.moveaxis(rows, 0, -1), (math.prod(batch), rows.shape[-1], n)), many


def _as_times(t: Any, mesh: Array) -> Array:
    """Times within the mesh: one, or `(m,)` in any order."""
    times, xp = as_times(t, mesh), array_namespace(mesh)
    low, high = sorted((float(mesh[0]), float(mesh[-1])))
    if not bool(xp.all((times >= low) & (times <= high))):
        raise ValueError(f"`t` has times outside of the solution, which reaches from {low} to {high}.")
    return times

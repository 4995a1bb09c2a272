"""Derivatives of compiled solutions by few parameters: variational equations, marched in one call of machine code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.namespace import Array, all_finite, array_namespace
from ..._functions.adjoint import Adjoint
from ..._functions.at_points import CODES
from ..._functions.columns import chosen_columns, in_structure, sizes
from ..._functions.opened import in_structure_of
from ..._functions.parameters import START, Chosen, Leaf, Tree, choose, leaves
from ..._recorded.budget import OF_SOLVER, SOLVER, NoCodeError
from ..coarse.steps import Steps
from ..core.problem import Problem
from ..sensitivities.recorded_gradient import by_parameters, entering
from ..sensitivities.stale_check import CHANGED
from .corners import places_in
from .discrete_adjoint import Backwards, backwards, shorter
from .march import BUSY, FEWEST, FINISHED, ORDER, least_of
from .march import FIRST as ATTEMPTS
from .own_steps import LONGEST, SHORT, on_own_steps, tangents_on_own_steps
from .parts import wide
from .recorded import FIRST, STATE, Recorded
from .solvers import EXPLICIT, MAKERS, RADAU, ROSENBROCK, stiff_method

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Run, Solver
    from ..._recorded.record import Recording

MOST, MOST_STIFF, MOST_COLUMNS, LARGEST = 4000, 400, 64, 10_000
"""Largest number of components of the state and of its derivatives together, also of stiff ones, whose matrices are as
large; of parameters, and of operations."""

BY_STEPS = "DOP853", "Radau IIA of order 13"
"""Methods on the steps of solutions that are not stiff, and that are."""

FEW = 16
"""Entries of parameters up to which gradients are by variational equations; those by more are by adjoints."""

OTHERWISE = 0.01
"""Seconds that a derivative takes without machine code, about."""

BEYOND = "STEPS"
"""The status after too many steps."""

UNKNOWN = object()
"""In place of parameters that cannot be compared."""

STEPS, MORE = 4096, 16
"""Steps that the variational equations may take, and as many times those of the solution more: rounding may keep a
solver from meeting tight tolerances on derivatives, with steps that shrink on and on."""

TIGHTER = 0.1
"""Factor on the tolerances of the solution: errors of derivatives grow along it."""

TIGHTER_STIFF, TIGHT = 0.01, 1e-10
"""The same of stiff ones, which grow more, and cost few steps less by methods of high order; but no relative tolerance
becomes smaller than this for it: rounding errors of large rates would be next."""


class Variational:
    """
    The variational equations of a solved problem.

    Parameters
    ----------
    problem : Problem
    recorded : Recorded
        Its right-hand side, with the parameters as they were in the solve.
    share : float
        Share of the tolerances that the solution needed.
    steps : Steps
        Those of the solution.
    is_stiff : bool
        Whether it took a stiff method.
    parts : int
        In which steps are divided for adjoints: see `parts_of`.
    """

    def __init__(
        self, problem: Problem, recorded: Recorded, share: float, steps: Steps, *, is_stiff: bool, parts: int = 1
    ) -> None:  # fmt: skip
        self._problem, self._recorded, self._share, self._is_stiff = problem, recorded, share, is_stiff
        self._steps, self._most, self._parts = steps, STEPS + MORE * steps.t.shape[0], parts
        self.told = ""

    def jacobian(self, y: Array, times: Array, params: Any) -> Any:
        """Derivatives of the states `y` `(n, N)` at some times by parameters; raises `NoCodeError`."""
        args = self._problem.args
        plan = self._plan(params, lambda: chosen_columns(params, partial(self._problem.fun, None), args))
        xp, found = array_namespace(y), self._forwards(plan, times)
        found = xp.astype(xp.permute_dims(found, (1, 0, 2)), y.dtype)
        return in_structure(plan.chosen, args, [found[..., some] for some in plan.columns])

    def gradient(self, y: Array, times: Array, mesh: Array, grad_y: Array, params: Any) -> Any:
        """
        The gradient for that by states at some times, by parameters in their structure; raises `NoCodeError`.

        Of stiff solutions, the adjoint of their steps gives it, where that has machine code and is quick; otherwise few
        parameters have variational equations.
        """
        self.told, why = "", ""
        plan = None if self._is_stiff else self._known(_key("gradient", params))
        if plan is None:
            sought = self._sought(params)
            is_few = sum(sizes(sought.chosen, self._problem.args, 0)) <= FEW
            if self._is_stiff or not is_few:
                try:
                    return self._by_adjoint(sought, y, times, mesh, grad_y, SHORT if is_few else LONGEST)
                except NoCodeError as refusal:
                    if not is_few:
                        raise
                    why = f": for the adjoint of the steps, it {refusal}"
            plan = self._known(_key("gradient", params)) or self._planned(_key("gradient", params), sought.chosen)
        plan.system.buy()
        xp, found = array_namespace(grad_y), self._solved(plan, times)
        self.told = f"the last gradient by variational equations{why}"
        sums = xp.tensordot(xp.astype(xp.permute_dims(grad_y, (1, 0)), xp.float64), found, axes=2)
        return self._joined(Sought(plan.chosen, None, plan.columns), sums)

    def _sought(self, params: Any) -> Sought:
        """The parameters of a gradient, as before if they can be compared; raises `NoCodeError`."""
        key, notes = _key("sought", params), self._recorded.notes
        found: Sought | None = notes.get(key)
        if found is None or not self.stands():
            chosen = of_gradient(params, self._problem)
            resolved = _resolved(self._problem, self._recorded, chosen)
            found = Sought(chosen, resolved, _columns(chosen, resolved.keys, self._problem.args, 0))
            if resolved.given is None and key[1] is not UNKNOWN:
                notes[key] = found
        return found

    def _by_adjoint(
        self, sought: Sought, y: Array, times: Array, mesh: Array, grad_y: Array, longest: float
    ) -> Any:  # fmt: skip
        """The gradient by the adjoint of the steps, which may take so many seconds; raises `NoCodeError`."""
        assert sought.resolved is not None
        return self._joined(sought, self._backwards(sought.resolved, y, times, mesh, grad_y, longest).sums)

    def _joined(self, sought: Sought, sums: Array) -> Any:
        """A gradient in the structure of its parameters."""
        chosen, args = sought.chosen, self._problem.args
        return chosen.joined(
            [as_tree(args[int(key)], sums[some]) for key, some in zip(chosen.keys, sought.columns, strict=True)]
        )

    def adjoint(self, y: Array, times: Array, mesh: Array, grad_y: Array) -> Adjoint:
        """Gradients with respect to the states at the nodes `mesh`; raises `NoCodeError`."""
        resolved = Resolved(self._recorded.recording, (), None, ())
        found = self._backwards(resolved, y, times, mesh, grad_y, LONGEST)
        xp, way = array_namespace(y), -1.0 if self._problem.span[1] < self._problem.span[0] else 1.0
        places = xp.searchsorted(way * found.nodes, way * mesh)
        states = xp.astype(xp.permute_dims(xp.take(found.states, places, axis=0), (1, 0)), y.dtype)
        return Adjoint(states, xp.asarray(states[:, 0], copy=True))

    def _backwards(
        self, resolved: Resolved, y: Array, times: Array, mesh: Array, grad_y: Array, longest: float
    ) -> Backwards:  # fmt: skip
        """The adjoint of the steps; raises `NoCodeError`."""
        problem, self.told = self._problem, ""
        if problem.breaks is not None or not self.stands():
            raise NoCodeError("has other steps")
        parameters = self._recorded.parameters if resolved.given is None else resolved.given
        recording, numbers, solution = resolved.recording, resolved.numbers, (times, y)
        if self._is_stiff:
            steps = self._steps, self._parts
            found = on_own_steps(problem, recording, parameters, numbers, *steps, solution, grad_y, longest)
        else:
            nodes = mesh if self._parts == 1 else shorter(mesh, self._parts)
            found = backwards(problem, recording, parameters, numbers, solution, nodes, grad_y)
        self.told = f"the last gradient by the adjoint of {BY_STEPS[self._is_stiff]} on the steps of the solution"
        return found

    def tangent(self, solution: tuple[Array, Array], times: Array, start: Array) -> Array:
        """Changes `(n, m, k)` of states at some times by changes `(1, k, n)` of the start; raises `NoCodeError`."""
        plan = self._plan(START, lambda: Chosen((START,), True, {}))
        (_, y), xp = solution, array_namespace(times)
        order = xp.argsort(times)
        way = self._problem.span[1] < self._problem.span[0]
        order = xp.flip(order) if way else order
        found = self._forwards(plan, xp.take(times, order), buys=True) @ xp.astype(start[0, ...].T, xp.float64)
        found = xp.take(found, xp.argsort(order), axis=0)
        return xp.astype(xp.permute_dims(found, (1, 0, 2)), y.dtype)

    def _plan(self, params: Any, choose_all: Callable[[], Chosen]) -> Plan:
        """How the derivative by some parameters is found: as before, or for those that are chosen now."""
        key = _key("variational", params)
        return self._known(key) or self._planned(key, choose_all())

    def _known(self, key: Any) -> Plan | None:
        """How a derivative was found before; raises `NoCodeError` if the problem may have been changed."""
        if not self.stands():
            raise NoCodeError("may have been changed")
        plan: Plan | None = self._recorded.notes.get(key)
        return plan

    def _planned(self, key: Any, chosen: Chosen) -> Plan:
        """How it is found by the parameters that are chosen, noted if these can be compared."""
        plan = _planned(self._problem, self._recorded, chosen)
        if plan.given is None and key[1] is not UNKNOWN:
            self._recorded.notes[key] = plan
        return plan

    def _solved(self, plan: Plan, times: Array) -> Array:
        """Derivatives `(m, n, k)` at times in order; raises `NoCodeError`."""
        parameters = self._recorded.parameters if plan.given is None else plan.given
        return plan.system.solved(self._problem, parameters, times, self._share, self._most, is_stiff=self._is_stiff)

    def _forwards(self, plan: Plan, times: Array, *, buys: bool = False) -> Array:
        """
        The same, of stiff solutions of their own steps, where that has machine code and is quick.

        Otherwise making a solver may have to pay.
        """
        system = plan.system
        if self._is_stiff and self._problem.breaks is None and self.stands():
            given = self._recorded.parameters if plan.given is None else plan.given
            wanted = self._steps, self._parts, times, SHORT
            with suppress(NoCodeError):
                return tangents_on_own_steps(
                    self._problem, system.function, given, system.numbers, *wanted, by_start=system.by_start
                )
        if buys:
            system.buy()
        return self._solved(plan, times)

    def stands(self) -> bool:
        """
        Whether all that the function reads is known to be as it was in the solve.

        Raises
        ------
        RuntimeError
            If it is known to have changed.
        """
        recorded, args = self._recorded, self._problem.args
        if recorded.captured:
            return False
        if "witness" not in recorded.notes:
            from ..._recorded.memo import witness_of  # noqa: PLC0415 - slow to import

            recorded.notes["witness"] = witness_of(recorded.recording)
        witness, own = recorded.notes["witness"], recorded.parameters
        if witness is None:
            return False
        if not all(map(_is_same, own, args)) or not witness.holds(self._problem.fun, args[len(own) :]):
            raise RuntimeError(CHANGED)
        return True


def _key(name: str, params: Any) -> tuple[str, Any]:
    """Under which a plan for some parameters is noted."""
    parts = params if type(params) is tuple else (params,)
    return name, params if all(type(one) in (int, str, NoneType) for one in parts) else UNKNOWN


def of_gradient(params: Any, problem: Problem) -> Chosen:
    """The parameters of a gradient; raises `NoCodeError` for those that others deal with, or refuse."""
    chosen = choose(params, partial(problem.fun, None), problem.args)
    trees = [problem.args[int(key)] for key in chosen.keys]
    for name, tree in zip(chosen.names, trees, strict=True):
        if any(
            isinstance(leaf, complex) or "complex" in str(getattr(leaf, "dtype", ""))
            for leaf in leaves(name, tree).values()
        ):
            raise NoCodeError("has complex parameters")
    if not chosen.keys:
        raise NoCodeError("has no parameters")
    return chosen


def as_tree(tree: Tree, sums: Array) -> Tree:
    """A gradient in the structure of its parameter."""
    own = list(leaves("", tree).values())
    return in_structure_of([tree], own, [() if isinstance(leaf, float) else leaf.shape for leaf in own], sums)[0]


def _is_same(one: Any, other: Any) -> bool:
    """Whether a parameter is as it was kept."""
    return bool(one == other) if isinstance(one, float) else one.tobytes() == other.tobytes()


@dataclass(frozen=True)
class Plan:
    """
    How the derivative by some parameters is found.

    Parameters
    ----------
    chosen : Chosen
    system : System
    columns : tuple of slice
        Those of each of the parameters.
    given : tuple of arrays, optional
        The numbers that the system takes, if they are not those of the solve.
    """

    chosen: Chosen
    system: System
    columns: tuple[slice, ...]
    given: tuple[Any, ...] | None


class Sought(NamedTuple):
    """
    Parameters of a gradient.

    Attributes
    ----------
    chosen : Chosen
    resolved : Resolved, optional
        The recording with them as arguments.
    columns : tuple of slice
        Those of each of them.
    """

    chosen: Chosen
    resolved: Resolved | None
    columns: tuple[slice, ...]


def _planned(problem: Problem, recorded: Recorded, chosen: Chosen) -> Plan:
    """The plan for some parameters of a solved problem; raises `NoCodeError`."""
    found = _resolved(problem, recorded, chosen)
    system = _system(found.recording, found.numbers, by_start=START in chosen.keys)
    columns = _columns(chosen, found.keys, problem.args, problem.y0.shape[-1])
    return Plan(chosen, system, columns, found.given)


class Resolved(NamedTuple):
    """
    A recording with some parameters as arguments.

    Attributes
    ----------
    recording : Recording
    numbers : tuple of int
        Those of the arguments.
    given : tuple of arrays, optional
        Its further arguments, if they are not those of the solve.
    keys : tuple of int
        Indices of the parameters in `args`, in the order of the arguments.
    """

    recording: Recording
    numbers: tuple[int, ...]
    given: tuple[Any, ...] | None
    keys: tuple[int, ...]


def _resolved(problem: Problem, recorded: Recorded, chosen: Chosen) -> Resolved:
    """A recording that has the chosen parameters as arguments; raises `NoCodeError`."""
    keys = sorted({int(key) for key in chosen.keys if key != START})
    if all(key < len(recorded.parameters) for key in keys):
        return Resolved(recorded.recording, tuple(FIRST + key for key in keys), None, tuple(keys))
    opened = by_parameters(problem.right_hand_side(), keys)
    own = [leaf for key in keys for leaf in leaves("", problem.args[key]).values()]
    if not all(map(is_double, own)):
        raise NoCodeError("has parameters in single precision")
    given = tuple(opened.given)
    return Resolved(opened.recording, tuple(FIRST + k for k in range(len(given))), given, tuple(keys))


def _columns(chosen: Chosen, keys: tuple[int, ...], args: tuple[Any, ...], n: int) -> tuple[slice, ...]:
    """The columns of each chosen parameter; they are in the order of the arguments, those of the start last."""
    widths = dict(zip(chosen.keys, sizes(chosen, args, n), strict=True))
    places, place = dict[int | str, slice](), 0
    every: list[int | str] = [*keys, START]
    for key in every:
        places[key] = slice(place, place + widths.get(key, 0))
        place += widths.get(key, 0)
    return tuple(places[key] for key in chosen.keys)


def is_double(leaf: Leaf) -> bool:
    return isinstance(leaf, float) or leaf.dtype == array_namespace(leaf).float64


def _system(recording: Recording, numbers: tuple[int, ...], *, by_start: bool) -> System:
    """The system for some arguments of a recorded function, kept with it; raises `NoCodeError`."""
    key = "variational system", numbers, by_start
    found = recording.notes.get(key)
    if found is None:
        try:
            found = _made(recording, numbers, by_start=by_start)
        except NoCodeError as error:
            found = str(error)
        recording.notes[key] = found
    if isinstance(found, str):
        raise NoCodeError(found)
    made: System = found
    return made


def _made(recording: Recording, numbers: tuple[int, ...], *, by_start: bool) -> System:
    n = recording.arguments[STATE].size
    width = sum(recording.arguments[number].size for number in numbers) + n * by_start
    found = equations(recording, numbers, by_start=by_start)
    return System(found, recording, n, width, numbers, by_start=by_start)


def equations(recording: Recording, numbers: tuple[int, ...], *, by_start: bool) -> Recording:
    """The variational equations for some arguments of a recorded function; raises `NoCodeError`."""
    from ..._recorded.pullbacks import moves_jumps  # noqa: PLC0415 - slow to import
    from ..._recorded.state_switches import state_switches  # noqa: PLC0415
    from ..._recorded.variational import variational  # noqa: PLC0415

    n = recording.arguments[STATE].size
    width = sum(recording.arguments[number].size for number in numbers) + n * by_start
    for reason, is_so in {
        "works on complex numbers": recording.dtype.kind == "c",
        f"has more than {MOST_COLUMNS} parameters": width > MOST_COLUMNS,
        f"has more than {MOST} components with its derivatives": n * (1 + width) > MOST,
    }.items():
        if is_so:
            raise NoCodeError(reason)
    if moves_jumps(recording, numbers):
        raise NoCodeError("has parameters that move a jump or a kink")
    if state_switches(recording.program) is not None:
        raise NoCodeError("is switched by its state")
    with entering():
        found = variational(recording, numbers, STATE, by_start=by_start)
    if found.program.written > LARGEST:
        raise NoCodeError(f"has more than {LARGEST} operations with its derivatives")
    return found


class System:
    """
    The variational equations of a recorded function, and their solvers.

    Parameters
    ----------
    recording, function : Recording
        Of them, with the parameters of the function; and of the function.
    n, width : int
        Components of the state, and columns of its derivative.
    numbers : tuple of int
        Of the arguments with columns.
    by_start : bool
        Whether the last columns are of the initial state.
    """

    def __init__(
        self, recording: Recording, function: Recording, n: int, width: int, numbers: tuple[int, ...], *, by_start: bool
    ) -> None:  # fmt: skip
        self._recording, self.function, self.n, self.width = recording, function, n, width
        self.numbers, self.by_start = numbers, by_start
        self._is_stiff, self._has_no_radau, self._is_made, self._too_tight = False, False, False, 0.0
        self._attempts = max(FEWEST, min(ATTEMPTS, BUSY // max(recording.program.operations, 1)))

    def buy(self) -> None:
        """Pay for a solver, unless there is one; raises `NoCodeError` if other ways take less time so far."""
        if not self._is_made:
            program = self._recording.program
            if not CODES.buys(("variational", program.kinds), SOLVER + OF_SOLVER * program.operations, OTHERWISE):
                raise NoCodeError("does not pay yet")

    def solved(
        self, problem: Problem, parameters: tuple[Any, ...], times: Array, share: float, most: int, *, is_stiff: bool
    ) -> Array:  # fmt: skip
        """Derivatives `(m, n, width)` at some times in order, by `most` steps or few more; raises `NoCodeError`."""
        xp, n, m = problem.xp, self.n, times.shape[0]
        y0 = wide(problem.y0)
        start = xp.zeros((n, 1 + self.width))
        if self.by_start:
            start[:, self.width + 1 - n :] = xp.eye(n)
        if not m or float(times[-1]) == problem.span[0]:
            return xp.broadcast_to(start[None, :, 1:], (m, n, self.width))
        own = Recorded(self._recording, parameters)
        state = xp.concat([y0, xp.reshape(start[:, 1:], (-1,))])
        rtol = problem.rtol * share
        if rtol <= self._too_tight:
            raise NoCodeError("has variational equations whose tolerances are too tight")
        march = partial(self._marched, problem, own, most, times=times, state=state)
        self._is_stiff = self._is_stiff or is_stiff
        status, values = "STIFF", None
        if not self._is_stiff:
            status, values = march(EXPLICIT, share=share * TIGHTER)
            self._is_stiff = status == "STIFF"
        if self._is_stiff:
            if n * (1 + self.width) > MOST_STIFF:
                raise NoCodeError(f"is stiff, with more than {MOST_STIFF} components with its derivatives")
            share *= min(TIGHTER, max(TIGHTER_STIFF, TIGHT / rtol))
            method = ROSENBROCK if self._has_no_radau else stiff_method(own, problem.rtol * share)
            status, values = march(method, share=share)
            if status != FINISHED and method == RADAU:
                self._has_no_radau = True
                status, values = march(ROSENBROCK, share=share)
        if status == BEYOND:
            self._too_tight = max(self._too_tight, rtol)
        if status != FINISHED or values is None or not all_finite(values):
            raise NoCodeError(f"has variational equations whose solver ended early: {status}")
        return xp.reshape(values[:, n:], (m, n, self.width))

    def _tolerances(
        self, problem: Problem, y0: Array, parameters: tuple[Any, ...], share: float
    ) -> tuple[float | Array, float | Array]:  # fmt: skip
        """Relative and absolute tolerances; the latter are for derivatives times their parameters."""
        xp = problem.xp
        parts = [xp.reshape(xp.asarray(parameters[number - FIRST]), (-1,)) for number in self.numbers]
        sizes_of = xp.abs(xp.concat([*parts, *([y0] if self.by_start else [])]))
        sizes_of = xp.where(sizes_of == 0, xp.ones_like(sizes_of), sizes_of)
        atol = xp.broadcast_to(xp.asarray(problem.atol, dtype=xp.float64), (self.n,)) * share
        own = xp.concat([atol, xp.reshape(atol[:, None] / sizes_of[None, :], (-1,))])
        rtols = problem.rtols
        if isinstance(rtols, float):
            return rtols * share, own
        return xp.concat([rtols, xp.repeat(rtols, self.width)]) * share, own

    def _marched(
        self, problem: Problem, own: Recorded, most: int, method: int, *, times: Array, state: Array, share: float
    ) -> tuple[str, Array | None]:  # fmt: skip
        """The status at the end, and states at the times."""
        (begin, _), end, places = problem.span, float(times[-1]), places_in(problem, own)
        stretches = places.stretches(begin, end)
        has_stretches = stretches is not None or own.switches is not None
        made = self._solver(own, method, has_stretches=has_stretches)
        rtol, atol = self._tolerances(problem, state[: self.n], own.parameters, share)
        clip = max if isinstance(rtol, float) else problem.xp.maximum
        longest = min(problem.max_step, abs(end - begin) / FEWEST) * share ** (1 / ORDER)
        run: Run = made.lend()
        try:
            run.begin(
                begin, end, state, rtol=clip(rtol, least_of(method)), atol=atol, max_step=longest,
                parameters=own.parameters, times=times, stretches=stretches,
            )  # fmt: skip
            attempts = min(self._attempts, most)
            while run.advance(attempts):
                most -= attempts
                if most <= 0:
                    return BEYOND, None
            return run.names[int(run.counts[0, 0])], None if run.values is None else run.values[0, ...]
        finally:
            made.give_back(run)

    def _solver(self, own: Recorded, method: int, *, has_stretches: bool) -> Solver:
        """The solver of a method; raises `NoCodeError`."""
        key, notes = ("variational", method, has_stretches), own.notes
        if key not in notes:
            from ..._recorded.native.members import Form  # noqa: PLC0415 - slow to import
            from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

            shared = (True,) * len(own.parameters)
            form = Form(shared=shared, has_times=True, checks_polynomials=True, has_stretches=has_stretches)
            try:
                notes[key] = MAKERS[method](own, form, ())
            except UnsupportedError as error:
                raise NoCodeError(str(error)) from error
        found: Solver = notes[key]
        self._is_made = True
        return found

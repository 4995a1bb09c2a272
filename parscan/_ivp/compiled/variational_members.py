"""Derivatives of compiled batches: variational equations of all members in lanes, or adjoints of the steps of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import prod
from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import Array, all_finite, array_namespace
from ..._arrays.threads import available_threads
from ..._functions.adjoint import Adjoint
from ..._functions.at_points import CODES
from ..._functions.columns import chosen_columns, in_structure
from ..._functions.opened import as_example, is_plain, opened
from ..._functions.parameters import BRANCHES, START, Chosen, leaves
from ..._recorded.budget import OF_SOLVER, SOLVER, NoCodeError
from ..core.mesh import union
from ..core.problem import Problem
from ..sensitivities.recorded_gradient import entering
from ..sensitivities.stale_check import CHANGED
from .adjoints_of_members import Adjoints, Backwards
from .all_members import LEAST_RELATIVE, Alone
from .corners import Places, places_in, stretches_of_members
from .discrete_adjoint import is_far
from .march import FEWEST, ORDER
from .members import NUMBERS, Members, Opened, record_opened
from .parts import wide
from .recorded import MOST_NODES
from .variational import MOST_STIFF, TIGHTER, as_tree, equations, is_double, of_gradient

if TYPE_CHECKING:
    from ..._recorded.native.ensemble import Ends
    from ..._recorded.record import Recording

OTHERWISE, OF_MEMBER = 0.02, 2e-4
"""Seconds that a derivative takes without this machine code, about: of a batch, and of each of its members."""

FEW = 2
"""Numbers in the parameters of a member up to which gradients are by variational equations rather than by adjoints."""

LARGEST = 1 << 27
"""Most numbers in a Jacobian that has zeros for the parameters of other members."""


class VariationalMembers:
    """
    The derivatives of a solved batch.

    Parameters
    ----------
    problem : Problem
    members : Members
        As they were solved.
    shares : array, shape (members,)
        Shares of the tolerances that they needed.
    methods : array of int, shape (members,)
        Numbers of the methods that ended them.
    agrees : callable
        Whether a record of members gives the values of the function.
    kept : sequence, optional
        What `snapshot` gave of the arguments when the batch was solved; by default, it is solved just now.
    """

    def __init__(
        self, problem: Problem, members: Members, shares: Array, methods: Array, agrees: Callable[[Members], bool],
        kept: Sequence[Any] | None = None,
    ) -> None:  # fmt: skip
        self._problem, self._members, self._shares, self._methods = problem, members, shares, methods
        self._agrees = agrees
        self._kept = list(snapshot(problem.args) if kept is None else kept)
        self.told = ""

    def jacobian(self, y: Array, times: Array, params: Any) -> Any:
        """Derivatives of the states `y` `(n, N, *batch)` at some times by parameters; raises `NoCodeError`."""
        problem, xp = self._problem, array_namespace(y)
        plan = self._plan(chosen_columns(params, partial(problem.fun, None), problem.args))
        n, N, *batch = y.shape
        if n * N * prod(batch) * sum(plan.sizes.values()) > LARGEST:
            raise NoCodeError("has a Jacobian that is too large")
        parts = {key: xp.zeros((n, N, prod(batch), size)) for key, size in plan.sizes.items()}
        for some, found in self._solved(plan, times, (times, y)):
            columns, rows = xp.permute_dims(found, (2, 1, 0, 3)), xp.arange(some.start, some.stop)[:, None]
            for key, first, places, own in plan.columns(some):
                parts[key][:, :, rows, first + places] = columns[..., own]
        shaped = {key: xp.reshape(xp.astype(one, y.dtype), (n, N, *batch, -1)) for key, one in parts.items()}
        return in_structure(plan.chosen, problem.args, [shaped[key] for key in plan.chosen.keys])

    def gradient(self, y: Array, times: Array, mesh: Array, grad_y: Array, params: Any) -> Any:
        """The gradient for that by states at some times, by parameters in their structure; raises `NoCodeError`."""
        problem, xp = self._problem, array_namespace(y)
        plan = self._plan(of_gradient(params, problem))
        sums = {key: xp.zeros(size) for key, size in plan.sizes.items()}
        for some, products in self._products(plan, y, times, grad_y):
            for key, first, places, own in plan.columns(some):
                entries, size = xp.reshape(first + places, (-1,)), plan.sizes[key]
                sums[key] += xp.bincount(entries, xp.reshape(products[:, own], (-1,)), size)
        return plan.chosen.joined([as_tree(problem.args[int(key)], sums[key]) for key in plan.chosen.keys])

    def adjoint(self, y: Array, times: Array, mesh: Array, grad_y: Array) -> Adjoint:
        """Gradients with respect to the states at the nodes `mesh`; raises `NoCodeError`."""
        xp, (n, _, *batch), way = array_namespace(y), y.shape, self._way
        states = xp.zeros((mesh.shape[0], self._count, n))
        places = xp.searchsorted(way * mesh, way * times)
        for found in self._backwards(self._plan(Chosen((), True, {})), y, times, grad_y):
            states[0, found.some, :] = found.y0
            states[places, found.some, :] = found.states
        states = xp.astype(xp.reshape(xp.moveaxis(states, -1, 0), (n, mesh.shape[0], *batch)), y.dtype)
        return Adjoint(states, xp.asarray(states[:, 0, ...], copy=True))

    def tangent(self, solution: tuple[Array, Array], times: Array, start: Array) -> Array:
        """
        Changes `(n, m, *batch, k)` of the states at some times by changes `(B, k, n)` of the start.

        It raises `NoCodeError`.
        """
        plan = self._plan(Chosen((START,), True, {}))
        self._buy(plan)
        (given, y), xp = solution, array_namespace(times)
        way = self._way
        every = union(way * given, way * times)
        if every is None:
            raise NoCodeError("has no times")
        places = xp.searchsorted(every, way * times)
        parts = []
        for some, found in self._solved(plan, way * every, solution):
            changes = xp.astype(xp.matrix_transpose(start[some, ...]), xp.float64)
            parts.append(xp.take(found, places, axis=1) @ changes[:, None, ...])
        whole = xp.permute_dims(xp.concat(parts), (2, 1, 0, 3))
        shape = (*whole.shape[:2], *self._problem.batch, whole.shape[-1])
        return xp.astype(xp.reshape(whole, shape), y.dtype)

    def _products(self, plan: Plan, y: Array, times: Array, grad_y: Array) -> Iterator[tuple[slice, Array]]:
        """Products `(b, width)` of gradients with derivatives by parameters, of members; raises `NoCodeError`."""
        xp = array_namespace(y)
        if plan.width > FEW:
            with suppress(NoCodeError):  # variational equations pass kinks, and know stiff members
                yield from [(one.some, one.sums) for one in self._backwards(plan, y, times, grad_y)]
                return
        self._buy(plan)
        bar = xp.astype(xp.reshape(xp.moveaxis(grad_y, 0, 1), (-1, self._count)).T, xp.float64)
        for some, found in self._solved(plan, times, (times, y)):
            yield some, (bar[some, None, :] @ xp.reshape(found, (found.shape[0], -1, plan.width)))[:, 0, :]

    def _backwards(self, plan: Plan, y: Array, times: Array, grad_y: Array) -> Iterator[Backwards]:
        """The adjoints of the steps of members; raises `NoCodeError`."""
        problem, xp, members = self._problem, array_namespace(y), plan.record.members
        if problem.breaks is not None or bool(xp.any(self._methods > 0)):
            raise NoCodeError("has other steps")
        solution, bar = (xp.reshape(one, (y.shape[0], -1, self._count)) for one in (y, grad_y))
        adjoints = Adjoints(problem, _recording(members), plan.record.numbers, OTHERWISE + OF_MEMBER * self._count)
        yield from adjoints.solved(self._meshes(), members.arguments(slice(None)), times, solution, bar)

    def _meshes(self) -> list[Array]:
        """Ends of the steps of each member, from the begin on; raises `NoCodeError`."""
        from ..._recorded.native.members import STATES, Form  # noqa: PLC0415 - slow to import
        from ..._recorded.native.status import Status  # noqa: PLC0415
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

        problem, xp, members = self._problem, self._problem.xp, self._members
        begin, end = problem.span
        longest = min(problem.max_step, abs(end - begin) / FEWEST) * self._shares ** (1 / ORDER)
        try:
            run = members.solvers()[0](Form(shared=members.shared, log=STATES)).start(
                begin, end, wide(xp.reshape(problem.y0, (self._count, -1))), rtol=problem.rtols, atol=problem.atol,
                share=self._shares, max_step=longest, parameters=members.arguments(slice(None)),
                threads=min(available_threads(), max(1, self._count // 2)),
            )  # fmt: skip
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        logs, left = [(xp.arange(self._count), xp.full(self._count, begin))], 1
        while left:
            left = run.advance(1000)
            logs.append(run.log[:2])
        if bool(xp.any(run.counts[:, 0] != int(Status.FINISHED))):
            raise NoCodeError("has steps that end early")
        numbers, t = map(xp.concat, zip(*logs, strict=True))
        t = t[xp.argsort(numbers, stable=True)]
        ends = xp.cumulative_sum(xp.bincount(numbers, None, self._count))
        return [t[first:last] for first, last in pairwise([0, *ends.tolist()])]

    @property
    def _way(self) -> float:
        return 1.0 if self._problem.span[1] > self._problem.span[0] else -1.0

    @property
    def _count(self) -> int:
        return prod(self._problem.batch)

    def _plan(self, chosen: Chosen) -> Plan:
        """How the derivative by some parameters is found; raises `NoCodeError`."""
        problem, xp = self._problem, self._problem.xp
        if list(snapshot(problem.args)) != self._kept:
            raise RuntimeError(CHANGED)
        if is_complex(problem.y0):
            raise NoCodeError("works on complex numbers")
        by_start, n = START in chosen.keys, problem.y0.shape[-1]
        keys = sorted({int(key) for key in chosen.keys if key != START})
        own = {key: list(leaves("", problem.args[key]).values()) for key in keys}
        every = [leaf for part in own.values() for leaf in part]
        if not all(map(is_double, every)):
            raise NoCodeError("has parameters in single precision")
        record = self._recorded(keys, [as_example(leaf, wide(problem.y0)) for leaf in every])
        entries, place, numbered = list[Columns](), 0, iter(record.places)
        sizes = dict[int | str, int]()
        for key in keys:
            sizes[key] = 0
            for leaf in own[key]:
                places = next(numbered)
                own_columns = slice(place, place + places.shape[1])
                entries.append(Columns(key, sizes[key], places, own_columns))
                place, sizes[key] = own_columns.stop, sizes[key] + (1 if isinstance(leaf, float) else leaf.size)
        if by_start:
            sizes[START] = n
            every_member = xp.broadcast_to(xp.arange(n), (self._count, n))
            entries.append(Columns(START, 0, every_member, slice(place, place + n)))
        return Plan(chosen, record, place + n * by_start, tuple(entries), sizes, by_start)

    def _recorded(self, keys: Sequence[int], examples: Sequence[Array]) -> Opened:
        """The members with some parameters as arguments; raises `NoCodeError`."""
        problem = self._problem
        if not keys:
            return Opened(self._members, (), ())
        trees = [problem.args[key] for key in keys]
        if not all(map(is_plain, trees)):
            raise NoCodeError("has parameters in containers of other types than dict, list and tuple")
        fun = opened(problem.fun, 2, tuple(keys), trees, len(problem.args))
        others = [one for key, one in enumerate(problem.args) if key not in keys]
        return record_opened(problem, fun, [*examples, *others], len(examples), self._agrees)

    def _buy(self, plan: Plan) -> None:
        """Pay for a solver, unless there is one; raises `NoCodeError` if other ways take less time so far."""
        program = plan.members.program
        price = SOLVER + OF_SOLVER * program.operations
        otherwise = OTHERWISE + OF_MEMBER * self._count
        if not CODES.buys(("variational members", program.kinds), price, otherwise):
            raise NoCodeError("does not pay yet")

    def _solved(self, plan: Plan, times: Array, solution: tuple[Array, Array]) -> Iterator[tuple[slice, Array]]:
        """Derivatives `(b, m, n, width)` at times in order, of some members after the other; raises `NoCodeError`."""
        problem, xp = self._problem, self._problem.xp
        n, m, width = problem.y0.shape[-1], times.shape[0], plan.width
        y0 = wide(xp.reshape(problem.y0, (-1, n)))
        slopes = xp.zeros((n, width))
        if plan.by_start:
            slopes[:, width - n :] = xp.eye(n)
        size = max(1, NUMBERS // max(1, m * n * (1 + width)))
        expected = xp.reshape(xp.moveaxis(solution[1], 0, 1), (-1, n, self._count))
        way = self._way
        places = xp.searchsorted(way * times, way * solution[0])
        for first in range(0, self._count, size):
            some = slice(first, min(first + size, self._count))
            count = some.stop - some.start
            if not m or float(times[-1]) == problem.span[0]:
                yield some, xp.broadcast_to(slopes, (count, m, n, width))
                continue
            flat = xp.broadcast_to(xp.reshape(slopes, (1, -1)), (count, n * width))
            values = self._marched(plan, some, times, xp.concat([y0[some, :], flat], axis=1))
            own = xp.permute_dims(expected[..., some], (2, 0, 1))
            if is_far(problem, xp.take(values, places, axis=1)[..., :n], own):
                raise NoCodeError("has another solution")
            yield some, xp.reshape(values[..., n:], (count, m, n, width))

    def _marched(self, plan: Plan, some: slice, times: Array, states: Array) -> Array:
        """States with derivatives of some members, at times; raises `NoCodeError`."""
        from ..._recorded.native.ensemble import integrate_members  # noqa: PLC0415 - slow to import
        from ..._recorded.native.status import Status  # noqa: PLC0415
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

        problem, xp, members = self._problem, self._problem.xp, plan.members
        begin, end = problem.span[0], float(times[-1])
        shares = xp.maximum(self._shares[some] * TIGHTER, LEAST_RELATIVE / problem.rtol)
        longest = min(problem.max_step, abs(end - begin) / FEWEST) * shares ** (1 / ORDER)
        is_small = states.shape[1] <= MOST_STIFF
        rtol, atol = self._tolerances(plan)
        try:
            ends: Ends = integrate_members(
                members.solvers() if is_small else members.solvers()[:1], begin, end, states,
                rtol=rtol, atol=atol, share=shares, max_step=longest,
                parameters=members.arguments(some), shared=members.shared, times=times,
                first_methods=self._methods[some] if is_small else None,
                stretches=_stretches(replace(problem, span=(begin, end)), members, some),
            )  # fmt: skip
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        if bool(xp.any(ends.counts[:, 0] != int(Status.FINISHED))) or not all_finite(ends.values):
            raise NoCodeError("has variational equations whose solver ended early")
        return ends.values

    def _tolerances(self, plan: Plan) -> tuple[float | Array, Array]:
        """Relative and absolute tolerances; the latter are for derivatives times the largest of their parameters."""
        problem, xp = self._problem, self._problem.xp
        n = problem.y0.shape[-1]
        given = [xp.reshape(plan.record.members.own[number - 2], (self._count, -1)) for number in plan.record.numbers]
        given += [wide(xp.reshape(problem.y0, (-1, n)))] if plan.by_start else []
        sizes = xp.concat([xp.max(xp.abs(one), axis=0) for one in given])
        sizes = xp.where(sizes == 0, xp.ones_like(sizes), sizes)
        atol = xp.broadcast_to(xp.asarray(problem.atol, dtype=xp.float64), (n,))
        own = xp.concat([atol, xp.reshape(atol[:, None] / sizes[None, :], (-1,))])
        rtols = problem.rtols
        return (rtols if isinstance(rtols, float) else xp.concat([rtols, xp.repeat(rtols, plan.width)])), own


class Columns(NamedTuple):
    """
    Columns of the derivative by one array.

    Attributes
    ----------
    key : int or str
        The parameter that it is part of.
    first : int
        Entries of this parameter before it.
    places : array of int, shape (members, size)
        Which of its entries the members have.
    own : slice
        The columns of these.
    """

    key: int | str
    first: int
    places: Array
    own: slice


class Plan(NamedTuple):
    """
    How the derivative by some parameters is found.

    Attributes
    ----------
    chosen : Chosen
    record : Opened
        The members, with these parameters as arguments.
    width : int
        Columns of the derivative of each.
    entries : tuple of Columns
    sizes : dict
        Number of entries of each parameter.
    by_start : bool
        Whether the last columns are of the initial state.
    """

    chosen: Chosen
    record: Opened
    width: int
    entries: tuple[Columns, ...]
    sizes: dict[int | str, int]
    by_start: bool

    @property
    def members(self) -> Members:
        """The variational equations of the members; raises `NoCodeError`."""
        return _equations(self.record, by_start=self.by_start)

    def columns(self, some: slice) -> Iterator[Columns]:
        """The columns of some members."""
        return (one._replace(places=one.places[some, :]) for one in self.entries)


def snapshot(tree: Any) -> Iterator[Any]:
    """What arrays and numbers in containers are now."""
    if isinstance(tree, BRANCHES):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from snapshot(part)
    elif hasattr(tree, "tobytes"):
        yield tree.tobytes()
    elif isinstance(tree, Number):
        yield repr(tree)


def _equations(record: Opened, *, by_start: bool) -> Members:
    """The variational equations of members, kept with them; raises `NoCodeError`."""
    members, numbers = record.members, record.numbers
    key = "variational members", numbers, by_start
    if key not in members.notes:
        try:
            members.notes[key] = equations(_recording(members), numbers, by_start=by_start).program, {}
        except NoCodeError as error:
            members.notes[key] = str(error), {}
    program, notes = members.notes[key]
    if isinstance(program, str):
        raise NoCodeError(program)
    return Members(program, members.own, notes)


def _recording(members: Members) -> Recording:
    """The program of members as a recording, kept with them; raises `NoCodeError`."""
    from ..._recorded.replay import replayed  # noqa: PLC0415 - slow to import

    if "recording" not in members.notes:
        with entering():
            members.notes["recording"] = replayed(members.program, MOST_NODES)
    found: Recording = members.notes["recording"]
    return found


def _stretches(problem: Problem, members: Members, some: slice) -> Array | None:
    """Stretches between the jumps and corners in time of some members."""
    switches, (begin, end) = members.switches, problem.span
    if switches is None:
        return Places(problem.breaks).stretches(begin, end)
    if switches.depends:
        return stretches_of_members(problem, switches, members.arguments(some))[0]
    return places_in(problem, Alone(members.arguments(0), switches)).stretches(begin, end)

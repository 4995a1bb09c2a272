"""Batches by machine code of one member: every member with steps of its own, in lanes of vectors and in threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isfinite, prod
from typing import TYPE_CHECKING

from ..._arrays.namespace import Array, all_finite, library, quiet
from ..._functions.evaluators import ONE_BY_ONE
from ..._functions.verify import agree, share_of
from ..._recorded.budget import NoCodeError
from ..._reporting.progress import Report
from ..coarse.steps import Steps
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from ..core.scale import Scale
from ..result.report import build_result
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from ..sensitivities.trajectory import Trajectory
from ..sequential.ensemble import solve_ensemble
from ..sequential.on_mesh import retrace
from .accuracy import GAIN, HOPELESS, LEAST, LOOSER, MARCHES, SPARE, WANTED, LeftError
from .march import FEWEST, ORDER
from .recorded import FEW, MOST_NODES, UNLIKE

if TYPE_CHECKING:
    from ..._recorded.batch import Member
    from ..._recorded.native.ensemble import Ends
    from ..._recorded.program import Program


def solve_batch(
    problem: Problem,
    first_step: float,
    times: Array | None,
    evaluation: Evaluation,
    report: Report | None = None,
) -> IvpResult:
    """
    Solve a batch by machine code.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded or compiled, or members depend on each other; `LeftError` if the usual
        methods must solve the problem.
    """
    batch = _Batch(problem, first_step, *_recorded(problem, evaluation))
    xp, (begin, end) = problem.xp, problem.span
    t = batch.pilot() if times is None else times
    found = batch.solved(t, report)
    values = xp.reshape(found.values, (*problem.batch, t.shape[0], problem.y0.shape[-1]))
    inner = (t > min(begin, end)) & (t < max(begin, end))
    nodes = xp.concat([xp.asarray([begin]), t[inner], xp.asarray([end])])
    last = xp.reshape(found.y, (1, *problem.y0.shape))
    states = xp.concat([problem.y0[None, ...], xp.moveaxis(values[..., inner, :], -2, 0), last])
    if batch.is_contradicted(nodes, states):
        raise NoCodeError(UNLIKE)
    dtype = problem.y0.dtype
    follow = partial(_trajectory, problem, evaluation, nodes, xp.astype(states, dtype, copy=False))
    return build_result(
        "DOP853",
        t,
        xp.moveaxis(xp.astype(values, dtype, copy=False), (-1, -2), (0, 1)),
        nodes,
        _done(found),
        nfev=int(found.evaluations),
        npoints=int(found.evaluations),
        error_estimate=found.error,
        compiled=True,
        _polynomial=lambda: follow().solution,
        _solution=Derivatives(follow, Scale(problem.rtols, problem.atol)),
    )


def _trajectory(problem: Problem, evaluation: Evaluation, nodes: Array, states: Array) -> Trajectory:
    """The solution with steps that all members take together; if there are none, by another method from the nodes."""
    usual = solve_ensemble(problem, evaluation.right_hand_side, None, dense_output=False)
    if usual is None or usual._solution is None:
        return retrace(evaluation, Steps(nodes, states))
    return usual._solution._find()


def _recorded(problem: Problem, evaluation: Evaluation) -> tuple[Program, Member]:
    """The program of the whole batch, compared with the function near the start, and that of one member."""
    from ..._recorded.batch import decoupled  # noqa: PLC0415 - slow to import
    from ..._recorded.memo import remembered  # noqa: PLC0415
    from ..._recorded.record import NotRecordedError  # noqa: PLC0415

    xp = problem.xp
    if library(problem.y0) != "numpy":
        raise NoCodeError("works on arrays of another library than NumPy")
    if problem.is_complex or problem.breaks is not None:
        raise NoCodeError(f"works on a batch of shape {problem.batch} with complex states or jumps")
    state = xp.astype(xp.moveaxis(problem.y0, -1, 0), xp.float64)
    try:
        recording = remembered(problem.fun, [xp.zeros(()), state], problem.args, MOST_NODES)
    except NotRecordedError as error:
        raise NoCodeError(error.reason + (f" ({error.place})" if error.place else "")) from error
    if recording.shape != state.shape or recording.dtype != state.dtype:
        raise NoCodeError(f"returns {recording.dtype} of the shape {recording.shape} when it is recorded")
    if "member" not in recording.notes:
        axes = tuple(range(1, state.ndim))
        recording.notes["member"] = decoupled(recording.program, [(), axes], [axes])
    member: Member | None = recording.notes["member"]
    if member is None:
        raise NoCodeError("has members that depend on each other, or do different things")
    some = evaluation.near_start
    if some.refused is None and not _agrees(problem, recording.program, some.t, some.states, some.values):
        raise NoCodeError(UNLIKE)
    return recording.program, member


def _agrees(problem: Problem, program: Program, t: Array, states: Array, expected: Array) -> bool:
    """Whether the recorded operations of the whole batch give the expected values, shapes `(m, *batch, n)`."""
    xp, alone = problem.xp, problem.right_hand_side(ONE_BY_ONE)
    with quiet():
        found = program(t, xp.moveaxis(xp.astype(states, xp.float64), -1, 1))[0]
    share = share_of(problem.rtol, problem.y0)
    return agree(xp.moveaxis(found, 1, -1), expected, share, t, states, alone)


@dataclass
class _Found:
    """
    What is known of all members.

    That is states `(members, n)` at the end, values at the times `(members, m, n)`, steps, the estimated errors at the
    end in tolerances, and the number of evaluations.
    """

    y: Array
    values: Array
    steps: Array
    errors: Array
    evaluations: int

    @property
    def error(self) -> float:
        """The largest one."""
        return float(self.errors.max())


class _Batch:
    """The members of a batch, to be solved with any share of the tolerances."""

    def __init__(self, problem: Problem, first_step: float, program: Program, member: Member) -> None:
        self.problem, self._program, self._member, self._first_step = problem, program, member, first_step
        xp = problem.xp
        self._y0 = xp.astype(xp.reshape(problem.y0, (prod(problem.batch), -1)), xp.float64)
        self._atol = xp.broadcast_to(xp.asarray(problem.atol), self._y0.shape[-1:])

    def pilot(self) -> Array:
        """Times of the steps that the first member takes, which are the output if the user asks for no times."""
        from ..._recorded.native.explicit import explicit  # noqa: PLC0415 - slow to import
        from ..._recorded.native.members import STATES, Form  # noqa: PLC0415

        problem, xp = self.problem, self.problem.xp
        run = explicit(self._member.program, Form(shared=self._shared, log=STATES)).start(
            problem.span[0], problem.span[1], self._y0[:1, :], rtol=problem.rtols, atol=problem.atol,
            max_step=self._longest(1.0), first_step=self._first_step,
            parameters=[table[:1, ...] for table in self._member.tables],
        )  # fmt: skip
        t, left = [xp.asarray([problem.span[0]])], 1
        while left:
            left = run.advance(1000)
            t.append(run.log[1])
        if run.t[0] != problem.span[1]:
            raise LeftError(f"left the solution of a member at t = {float(run.t[0])!r}: {run.status.name}")
        return xp.concat(t)

    def solved(self, times: Array, report: Report | None) -> _Found:
        """All members, until the estimated errors at the end are at most the tolerances, if that can be done."""
        xp, tell = self.problem.xp, None if report is None else self._reporter(report)
        everybody = xp.arange(self._y0.shape[0])
        one, other = self._ends(everybody, 1.0, times, tell), self._ends(everybody, LOOSER, None, None)
        evaluations = one.counts[:, 3].sum() + other.counts[:, 3].sum()
        found = _Found(one.y, one.values, one.counts[:, 1], self._distances(one.y, other.y) / GAIN, int(evaluations))
        shares, hopeful = xp.ones(everybody.shape), found.errors > WANTED
        for _ in range(MARCHES):
            left = everybody[hopeful]
            if not left.shape[0]:
                break
            wanted = self._tighter(shares[left], found.errors[left])
            for share in sorted(set(wanted.tolist())):
                some = left[wanted == share]
                hopeful[some] = share < shares[some] / 2
                some = some[hopeful[some]]
                if some.shape[0]:
                    self._again(found, some, share, times, hopeful)
                    shares[some] = share
        return found

    def _tighter(self, shares: Array, errors: Array) -> Array:
        """Shares of the tolerances that further solves of members need: powers of the square root of ten."""
        xp = self.problem.xp
        with quiet():
            wanted = xp.where(xp.isfinite(errors), SPARE * WANTED / errors, xp.ones_like(errors))
            wanted = xp.floor(2 * xp.log10(shares * xp.minimum(wanted, xp.asarray(1 / LOOSER)))) / 2
        return xp.maximum(10.0**wanted, xp.asarray(LEAST / self.problem.rtol))

    def _again(self, found: _Found, members: Array, share: float, times: Array, hopeful: Array) -> None:
        """Solve some members with a smaller share of the tolerances, and enter them."""
        again = self._ends(members, share, times, None)
        errors = self._distances(again.y, found.y[members]) / GAIN
        found.y[members], found.steps[members] = again.y, again.counts[:, 1]
        found.values[members] = again.values
        found.evaluations += int(again.counts[:, 3].sum())
        hopeful[members] = (errors > WANTED) & (errors <= HOPELESS * found.errors[members])
        found.errors[members] = errors

    def is_contradicted(self, t: Array, states: Array) -> bool:
        """Whether the function has other values than its recorded operations on a sample of the solution."""
        xp, count = self.problem.xp, t.shape[0]
        rows = xp.asarray(sorted({k * (count - 1) // (FEW - 1) for k in range(FEW)}))
        t, states = t[rows], xp.astype(states[rows, ...], self.problem.y0.dtype, copy=False)
        try:
            expected = self.problem.right_hand_side(ONE_BY_ONE)(t, states)
        except Exception:  # the usual way of solving will raise it
            return True
        return not (all_finite(expected) and _agrees(self.problem, self._program, t, states, expected))

    @property
    def _shared(self) -> tuple[bool, ...]:
        return (False,) * len(self._member.tables)

    def _longest(self, share: float) -> float:
        begin, end = self.problem.span
        longest = min(self.problem.max_step, abs(end - begin) / FEWEST if isfinite(end) else inf)
        return float(longest * share ** (1 / ORDER))

    def _ends(self, members: Array, share: float, times: Array | None, tell: Callable[[int], object] | None) -> Ends:
        """Some members, with a share of the tolerances."""
        from ..._recorded.native.ensemble import integrate_members  # noqa: PLC0415 - slow to import
        from ..._recorded.native.explicit import explicit  # noqa: PLC0415
        from ..._recorded.native.members import Status  # noqa: PLC0415
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

        problem, xp = self.problem, self.problem.xp
        relative, least = problem.rtols * share, 100 * 2.0**-52
        try:
            found = integrate_members(
                [partial(explicit, self._member.program)], *problem.span, self._y0[members],
                rtol=max(relative, least) if isinstance(relative, float) else xp.clip(relative, least, None),
                atol=self._atol * share, max_step=self._longest(share), first_step=self._first_step,
                parameters=[table[members] for table in self._member.tables], shared=self._shared, times=times,
                report=tell,
            )  # fmt: skip
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error
        status = found.counts[:, 0]
        if not bool((status == Status.FINISHED).all()):
            bad = int(xp.argmax(xp.astype(status != Status.FINISHED, xp.int8)))
            name = Status(int(status[bad])).name
            raise LeftError(f"left the solution of a member at t = {float(found.t[bad])!r}: {name}")
        return found if found.values is not None else replace(found, values=self._y0[:0, None, :])

    def _distances(self, one: Array, other: Array) -> Array:
        """Largest differences of components of members, in tolerances."""
        xp = self.problem.xp
        with quiet():
            apart = xp.abs(one - other)
            relative = apart / (self._atol + self.problem.rtols * xp.abs(one))
            return xp.max(xp.where(apart == 0, xp.zeros_like(apart), relative), axis=-1)

    def _reporter(self, report: Report) -> Callable[[int], object]:
        """Tell the share of members that have ended, as a share of the span."""
        length, count = abs(self.problem.span[1] - self.problem.span[0]), self._y0.shape[0]
        return lambda ended: report(length * ended / count, method="DOP853", window=0)


def _done(found: _Found) -> str:
    """The method, the steps and the error."""
    steps = f"{float(found.steps.mean()):.0f} of its own for every member, on average"
    far = ", although tighter tolerances were tried" if found.error > WANTED else ""
    return (
        f"By machine code of `fun` for one member: DOP853; steps: {steps}. The largest estimated error at the end is "
        f"{found.error:.2g} tolerances{far}."
    )

"""Solves of a problem on meshes: by calls of `fun`, or by its machine code."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

from .._arrays.namespace import Array
from .._engine.termination import Failure, Termination
from .._functions.right_hand_side import RightHandSide
from .._recorded.budget import NoCodeError
from .._reporting.progress import Report
from ..warnings import CoarseMeshWarning, JacobianWarning, PointByPointWarning
from .compiled.accuracy import LeftError
from .compiled.mesh_on_device import code_on_device, has_kernels
from .compiled.on_mesh import OnMesh, code_on_mesh
from .compiled.recorded import UNLIKE
from .core.evaluation import Evaluation
from .core.mesh import union
from .core.polynomial import PiecewisePolynomial, joined
from .core.problem import Problem
from .core.watched import reached_by
from .mesh.accuracy import is_coarse, of_coarse_mesh
from .mesh.global_error import BAD
from .mesh.march import Record, solve
from .mesh.task import discretise, make_task
from .mesh.window import Task
from .output.monitor import Event
from .result.report import mesh_result
from .result.result import IvpResult
from .sensitivities.hidden import missed

LOOKS = 4
"""How often the solution is searched for ranges of the state that it passes over: some lie behind others."""

MOVED, SPARE, LEAST, ROUNDED = 10.0, 0.5, 1e-6, 1e-13
"""
Largest change of the state, in tolerances, that is accepted where errors move the time of a jump; the share of it that
a further solve aims at by tighter tolerances; the smallest share of the user's tolerances; and the smallest relative
tolerance.
"""

PASSED_OVER = Failure(
    Termination.INACCURATE, "the mesh passed over a short range of the state in which `fun` has other values"
)
GRAZES = (
    " The solution only just passes a threshold of `fun`, or only just misses it: rounding decides which, and may "
    "change the result by many tolerances."
)

POINT_BY_POINT = (
    "`fun` {obstacle}, so it is called point by point, which is slow. Let it work on y[i] of shape (m,) and t of shape "
    "(m,): elementwise operations, `A @ y`; no `if` on values, but np.where; no math.sin, but np.sin; no np.zeros(n) "
    "to fill, but np.zeros_like(y)."
)

JACOBIAN = (
    "`jac` is more than a hundred times as large as differences of `fun` say, so these are used in its place: check "
    "its formula, layout and scaling, or leave it out."
)


@dataclass(frozen=True)
class OnMeshes:
    """
    A problem, and what is wanted of its solution.

    Parameters
    ----------
    problem : Problem
    evaluation : Evaluation
        Of its functions.
    vectorized : bool or None
        The user's option.
    known : tuple
        The solution that is the guess, and the mesh, or None in place of either.
    times : array or None
        Of the output.
    events : tuple of Event, or None
    stages, window : int or None
        The user's options.
    dense_output : bool
    """

    problem: Problem
    evaluation: Evaluation
    vectorized: bool | None
    known: tuple[PiecewisePolynomial | None, Array | None]
    times: Array | None
    events: tuple[Event, ...] | None
    stages: Any
    window: int | None
    dense_output: bool

    def by_calls(self, method: str, report: Report | None) -> IvpResult | None:
        """The result, or None where the solution contradicts the way in which `fun` and `jac` were evaluated."""
        evaluation = self.evaluation
        if not evaluation.stacks and self.vectorized is not False:
            words = POINT_BY_POINT.format(obstacle=evaluation.obstacle)
            warnings.warn(words, PointByPointWarning, stacklevel=5)
        self._warn_of_jacobian()
        rhs = evaluation.right_hand_side()
        task, solved = self._solved(rhs, method, report)
        if evaluation.withdraw_contradicted(rhs, solved.pieces):
            return None
        return self._result(task, solved, method)

    def by_code(self, method: str, report: Report | None) -> IvpResult:
        """
        The result by machine code, which was demanded, or else has paid off.

        Raises
        ------
        NoCodeError
            If there is none, or `fun` contradicts it; `LeftError` if there is no solution: the record of `fun` may lack
            some of its branches.
        """
        code = self._code()
        while True:
            self._warn_of_jacobian()
            rhs = code.right_hand_side()
            task, solved = self._solved(rhs, method, report, code)
            if solved.pieces and code.is_contradicted(solved.pieces):
                raise NoCodeError(UNLIKE)
            if not self.evaluation.withdraws_jacobian(rhs, solved.pieces):
                break
        found = self._result(task, solved, method)
        if not found.success and found.termination is not Termination.STUCK:
            reached = float(found.mesh[-1]) if found.mesh.shape[0] else self.problem.span[0]
            raise LeftError(f"left the solution at t = {reached!r}")
        return replace(found, decisions=(*found.decisions, *code.told)) if code.told else found

    def _code(self) -> OnMesh:
        """The machine code, of this processor or of the device of the arrays."""
        if has_kernels(self.problem):
            return code_on_device(self.problem, self.evaluation)
        return code_on_mesh(self.problem, self.evaluation, self.vectorized)

    def _solved(
        self, rhs: RightHandSide, method: str, report: Report | None, code: OnMesh | None = None
    ) -> tuple[Task, Record]:  # fmt: skip
        """The task with this right-hand side and perhaps with its machine code, and its solution."""
        problem, discrete = self.problem, discretise(method, self.problem, self.stages)
        is_given = self.known[1] is not None or (self.times is not None and discrete.is_on_output)
        if code is not None and not is_given:
            problem = replace(problem, breaks=code.breaks)
        between, by_code = self.dense_output or bool(self.events), None if code is None else code.coarse
        known = (*self.known, self.times, self.window)
        reached = reached_by(method, problem.span[0], report)
        share, number, passed = 1.0, 0, None
        while True:
            task = make_task(problem, rhs, discrete, *known, between=between, by_code=by_code, share=share)
            found = solve(task, problem.span, problem.y0, reached, share)
            if found.failure or not found.pieces or task.fixed:
                return task, found
            what = missed(rhs, joined(found.pieces), task.scale, share)
            least = max(LEAST, ROUNDED / task.scale.tightest)
            number += 1
            if number <= LOOKS and what.moved > MOVED and share > least:
                share = max(least, share * (SPARE * MOVED / what.moved) ** 2)
            elif not what.times.shape[0] or number > LOOKS:
                if what.times.shape[0]:
                    found.failure, found.failed_at = PASSED_OVER, float(what.times[0])
                elif what.moved > BAD:
                    found.remark = GRAZES
                found.pieces = [one.without_breaks(passed) for one in found.pieces]
                return task, found
            passed = union(passed, what.times)
            problem = replace(problem, breaks=union(problem.breaks, passed))

    def _result(self, task: Task, solved: Record, method: str) -> IvpResult:
        """The result; with a warning if the given mesh is too coarse for the tolerances."""
        described = self.problem, task.rhs.strict(), task, solved, self.times, self.events, method
        found = mesh_result(*described, dense_output=self.dense_output)
        if found.success and is_coarse(task, found.error_estimate):
            warnings.warn(of_coarse_mesh(task, found.error_estimate), CoarseMeshWarning, stacklevel=6)
        return found

    def _warn_of_jacobian(self) -> None:
        """Warn if `jac` does not fit."""
        if not self.evaluation.jac_fits:
            warnings.warn(JACOBIAN, JacobianWarning, stacklevel=6)

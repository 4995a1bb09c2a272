"""
The right-hand side as kernels of a device on a whole mesh: values and Jacobians at all of its points by one launch.

`fun` is recorded with NumPy in place of the library of its arrays. Kernels are compared with it on the device. Of
single problems, the solution from which Newton's method starts is marched on the host: it is one number after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, prod
from typing import TYPE_CHECKING, Any

from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import (
    Array,
    all_finite,
    array_namespace,
    contiguous,
    is_single,
    library,
    quiet,
    to_numpy,
)
from ..._functions.code import Code, OfStages
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree, are_beside_jumps, share_of
from ..._kernels.dispatch import Condensed, CorrectedMesh, affine_scan, correct_mesh
from ..._recorded.budget import NoCodeError
from ..coarse.steps import CoarseSolution
from ..core.evaluation import Evaluation
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from .alike import sample_of
from .ensemble import agrees_at_start, sample
from .members import record_members
from .on_device import DEVICES, on_host
from .on_mesh import ByCode, OnMesh, bought, breaks_of, coarse_of, note_bought, places_on
from .recorded import UNLIKE, record_right_hand_side

if TYPE_CHECKING:
    from ..._recorded.linearised import Linearised
    from ..._recorded.native.device import DeviceKernel
    from ..._recorded.native.on_device import Launch
    from ..._recorded.program import Program

A_KERNEL, PER_OPERATION = 0.2, 3e-4
"""Seconds to compile and load a kernel of a small function, and what each operation adds."""

TOLD = "`fun` and its exact Jacobian are evaluated by a kernel of the device: a thread for each stage of each interval."


def has_kernels(problem: Problem) -> bool:
    """Whether the arrays of a problem are on a device that runs kernels of its right-hand side on a mesh."""
    return library(problem.y0) in DEVICES


def code_on_device(problem: Problem, evaluation: Evaluation) -> OnMesh:
    """
    Record a right-hand side and compile it for a device, which was demanded, or else has paid off.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded or compiled, or is contradicted near the initial state.
    """
    return _OnDevice(problem, evaluation)


@dataclass(frozen=True)
class Parts:
    """
    A recorded right-hand side.

    Parameters
    ----------
    notes : dict
        What is kept for later solves.
    program : Program
    derive : callable
        It returns the program with its Jacobian.
    parameters : tuple
        NumPy arrays and numbers: further arguments, those of each member if there are some.
    coarse, breaks
        See `OnMesh`; `breaks` are NumPy's.
    """

    notes: dict[Any, Any]
    program: Program
    derive: Callable[[], Linearised]
    parameters: tuple[Any, ...]
    coarse: ByCode | None
    breaks: Array | None


class _OnDevice:
    """Kernels of a problem."""

    told = (TOLD,)

    def __init__(self, problem: Problem, evaluation: Evaluation) -> None:
        self._problem, self._evaluation = problem, evaluation
        parts = _of_members(problem) if problem.batch else _of_one(problem)
        xp = problem.xp
        self.coarse = parts.coarse
        self.breaks = None if parts.breaks is None else xp.asarray(parts.breaks)
        self._code = Kernels(partial(_loaded, problem, parts), tuple(map(partial(_given, problem), parts.parameters)))
        some = evaluation.near_start
        if some.refused is None and not self._agrees(some.t, some.states, some.values):
            raise NoCodeError(UNLIKE)

    def right_hand_side(self) -> RightHandSide:
        """The functions."""
        return self._evaluation.right_hand_side().by(self._code)

    def is_contradicted(self, pieces: list[PiecewisePolynomial]) -> bool:
        """A sample of the states is compared."""
        problem = self._problem
        t, states = places_on(pieces)
        count = int(t.shape[0])
        if problem.batch:
            rows = problem.xp.asarray(sample(problem, count))
            t, states = problem.xp.take(t, rows), problem.xp.take(states, rows, axis=0)
        else:
            some = sample_of(count, stacks=self._evaluation.stacks)
            t, states = t[some], states[some, ...]
        try:
            expected = self._evaluation.right_hand_side()(t, states)
        except Exception:  # the usual way of solving will raise it
            return True
        return not (all_finite(expected) and self._agrees(t, states, expected))

    def _agrees(self, t: Array, states: Array, expected: Array) -> bool:
        """Whether the kernel has the values of the function, apart from roundings."""
        share, rhs = share_of(self._problem.rtol, self._problem.y0), self._evaluation.right_hand_side()
        found = self._code.values(t, states)
        with quiet():
            return agree(found, expected, share, t, states, rhs) or are_beside_jumps(
                found, expected, share, t, states, rhs
            )


def _of_one(problem: Problem) -> Parts:
    host = on_host(problem)
    recorded = record_right_hand_side(host)
    xp = problem.xp

    def coarse(span: tuple[float, float], y0: Array, **options: Any) -> CoarseSolution:
        options["atol"] = to_numpy(options["atol"])
        found = coarse_of(host, recorded, span, to_numpy(y0), **options)
        return CoarseSolution(xp.asarray(found.t), lambda t: xp.asarray(found.states(to_numpy(t))), group=found.group)

    derive = partial(recorded.derived, with_time=False)
    return Parts(recorded.notes, recorded.value, derive, recorded.parameters, coarse, breaks_of(host, recorded))


def _of_members(problem: Problem) -> Parts:
    host = on_host(problem)
    members = record_members(host, partial(agrees_at_start, host))
    return Parts(members.notes, members.program, members.derived, members.own, None, host.breaks)


def _given(problem: Problem, value: Any) -> Array:
    """A parameter on the device."""
    xp = problem.xp
    return contiguous(xp.asarray(value, dtype=xp.float32 if is_single(problem.y0.dtype) else xp.float64))


VALUES, JACOBIANS, STAGES = "values", "Jacobians", "stages"
"""Kernels of a right-hand side: of values, with Jacobians, and with these at the stages of intervals."""


def _loaded(problem: Problem, parts: Parts, name: str) -> Launch:
    """A kernel of a right-hand side, ready to be started."""
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

    key = "on a mesh of the device", name, is_single(problem.y0.dtype), bool(problem.batch)
    try:
        if key not in parts.notes:
            parts.notes[key] = _kernel(problem, parts, name)
        return DEVICES[library(problem.y0)]().load(parts.notes[key])
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error


def _kernel(problem: Problem, parts: Parts, name: str) -> DeviceKernel:
    from ..._recorded.native.device_points import points, stages  # noqa: PLC0415 - slow to import
    from ..._recorded.single import in_single  # noqa: PLC0415

    program, places = parts.program, None
    if name != VALUES:
        if "derived" not in parts.notes:
            parts.notes["derived"] = parts.derive()
        places = parts.notes["derived"]
        program = places.program
    what = f"{name} on a mesh of the device"
    kind = program.skeleton, what, problem.y0.dtype, bool(problem.batch)
    bought(kind, what, A_KERNEL + PER_OPERATION * program.operations)
    if is_single(problem.y0.dtype):
        program = in_single(program)
        places = places and replace(places, program=program)
    options = {"of_members": bool(problem.batch), "pairs": is_complex(problem.y0)}
    found = stages(program, places, **options) if name == STAGES else points(program, places, **options)
    note_bought(kind)
    return found


class Kernels(Code):
    """
    A right-hand side and its Jacobian as kernels.

    Parameters
    ----------
    load : callable
        `load(name)` makes a kernel of the right-hand side.
    parameters : tuple of arrays
        On the device.
    low, high : float
        Limits to which times are clipped.
    """

    def __init__(self, load: Callable[..., Launch], parameters: tuple[Array, ...]) -> None:
        self._load, self._parameters = load, parameters
        self._low, self._high = -inf, inf
        self._launches: dict[str, Launch] = {}

    def within(self, low: float, high: float) -> Kernels:
        """The same with times clipped to these limits."""
        other = Kernels(self._load, self._parameters)
        other._low, other._high, other._launches = low, high, self._launches
        return other

    def values(self, t: Array, states: Array) -> Array:
        """Values `(m, *batch, n)`, by one launch."""
        return self._run(t, states)[0]

    def linearise(self, t: Array, states: Array) -> tuple[Array, Array]:
        """Values, and Jacobians `(m, *batch, n, n)`, by one launch."""
        values, jacobians = self._run(t, states, (int(states.shape[-1]),))
        return values, jacobians

    def second(self, t: Array, states: Array) -> Array | None:
        """They are not known."""
        return None

    @property
    def of_stages(self) -> OfStages:
        """Kernels of whole intervals."""
        return Stages(self)

    def _run(self, t: Array, states: Array, *more: tuple[int, ...]) -> list[Array]:
        """Values and, with `more` axes, Jacobians."""
        xp, (m, *batch, _) = array_namespace(states), states.shape
        found = [xp.empty((*states.shape, *axes), dtype=states.dtype) for axes in ((), *more)]
        points = m * prod(batch)
        numbers = [points, *[prod(batch)] * bool(batch)]
        self.launch(JACOBIANS if more else VALUES, points, *numbers, self.times(t), contiguous(states), results=found)
        return found

    def times(self, t: Array) -> Array:
        """Times as kernels take them, within the limits."""
        xp = array_namespace(t)
        if self._low > -inf or self._high < inf:
            t = xp.clip(t, self._low, self._high)
        return contiguous(xp.astype(t, xp.float64, copy=False))

    def launch(self, name: str, threads: int, *arguments: Any, results: Sequence[Array]) -> None:
        """Start a kernel of the right-hand side; its parameters come before the results."""
        if name not in self._launches:
            self._launches[name] = self._load(name)
        started(self._launches[name], threads, *arguments, *self._parameters, *results)


def started(launch: Launch, threads: int, *arguments: Any) -> None:
    """Start a kernel, if it has something to do; raises `NoCodeError`."""
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

    try:
        if threads:
            launch(threads, *arguments)
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error


class Stages(OfStages):
    """
    Kernels of whole intervals: states of stages are formed where the function is evaluated.

    Around the scan, numbers are passed once each. Those of complex states are corrected by operations on arrays.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def linearise(self, A: Any, t: Array, h: Array, y: Array, K: Array) -> tuple[Array, Array]:
        """See `OfStages`."""
        xp, (N, s, B, n) = array_namespace(y), K.shape
        residuals = xp.empty((N * B, s, n), dtype=y.dtype)
        jacobians = xp.empty((N * B, s, n, n), dtype=y.dtype)
        weights, points = xp.asarray(A, dtype=h.dtype), N * s * B
        self._kernels.launch(
            STAGES, points, points, B, s, self._kernels.times(t), *map(contiguous, (h, weights, y, K)),
            results=(residuals, jacobians),
        )  # fmt: skip
        return residuals, jacobians

    def correct(
        self, condensed: Condensed, b: Any, h: Array, y: Array, K: Array, rtol: float | Array, atol: Array
    ) -> CorrectedMesh:  # fmt: skip
        """See `correct_mesh`."""
        from ..._recorded.native.device_correct import corrected, ends  # noqa: PLC0415 - slow to import

        if is_complex(y):
            return correct_mesh(condensed, b, h, y, K, rtol, atol)
        xp, (N, s, B, n) = array_namespace(y), K.shape
        before, after = (_of_all(y, one) for one in (ends, corrected))
        sizes = N * B, B, s, n
        h, y, K = map(contiguous, (h, y, K))
        distances, offsets = xp.empty((N, B, n), dtype=y.dtype), contiguous(condensed.offsets)
        started(before, N * B, *sizes, xp.asarray(b, dtype=y.dtype), h, y, K, offsets, distances)
        corrections = contiguous(affine_scan(xp.reshape(condensed.propagators, (N, B, n, n)), distances))
        limits = [xp.astype(xp.asarray(one), y.dtype, copy=False) for one in (rtol, atol)]
        found = [xp.empty(shape, dtype=y.dtype) for shape in (y.shape, K.shape, (N, B))]
        started(
            after, N * B, *sizes, *(one.ndim for one in limits), *limits, h, y, K, corrections,
            contiguous(condensed.X0), contiguous(condensed.X1), *found,
        )  # fmt: skip
        states, slopes, errors = found
        return CorrectedMesh(states, slopes, errors[:, 0] if B == 1 else xp.max(errors, axis=1))


def _of_all(like: Array, kernel: Callable[[Any], DeviceKernel]) -> Launch:
    """A kernel that all right-hand sides have, ready to be started."""
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415 - slow to import

    try:
        return DEVICES[library(like)]().load(kernel("float32" if is_single(like.dtype) else "float64"))
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error

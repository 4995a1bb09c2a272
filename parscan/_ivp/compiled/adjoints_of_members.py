"""Adjoints of compiled explicit solutions of batches: exact ones of DOP853's steps, backwards in lanes and threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.namespace import Array, all_finite, array_namespace
from ..._arrays.threads import Threads, run_all
from ..._recorded.budget import NoCodeError
from ..core.problem import Problem
from .discrete_adjoint import MOST, is_far, kinks_of, programs
from .members import NUMBERS
from .parts import wide

if TYPE_CHECKING:
    from ..._recorded.program import Program
    from ..._recorded.record import Recording

THREADS = Threads(work_per_thread=1 << 19)
"""Operations for which another thread is worth starting."""


class Backwards(NamedTuple):
    """
    What the adjoints of some members found.

    Attributes
    ----------
    some : slice
        The members.
    y0 : array, shape (b, n)
        Gradients with respect to their initial states.
    states : array, shape (m, b, n)
        Those with respect to the states at times of the output.
    sums : array, shape (b, k)
        Those with respect to parameters.
    """

    some: slice
    y0: Array
    states: Array
    sums: Array


class Adjoints:
    """
    The adjoints of the steps of members: those of their solutions, divided at the times of the output.

    Members with fewer steps than others have steps of no length at their ends, which change nothing.

    Parameters
    ----------
    problem : Problem
    recording : Recording
        Of the right-hand side of a member.
    numbers : tuple of int
        Of the arguments of the recording whose gradient is wanted.
    otherwise : float
        Seconds that other ways take, about.

    Raises
    ------
    NoCodeError
        If there is no machine code, or it does not pay.
    """

    def __init__(self, problem: Problem, recording: Recording, numbers: tuple[int, ...], otherwise: float) -> None:
        self._problem, self._kinks = problem, kinks_of(recording)
        self._step, self._back = programs(recording, numbers, otherwise)
        self._width = self._back.arguments[0].shape[0]
        if self._width - problem.y0.shape[-1] > MOST:
            raise NoCodeError("has too many parameters")

    def solved(
        self, meshes: Sequence[Array], parameters: tuple[Array, ...], times: Array, y: Array, grad_y: Array
    ) -> Iterator[Backwards]:  # fmt: skip
        """
        The adjoints, of some members after the other; raises `NoCodeError`.

        Parameters
        ----------
        meshes : sequence of arrays
            Ends of the steps of each member, from the begin on.
        parameters : tuple of arrays, shape (B, ...)
            The further arguments of the recording.
        times, y, grad_y : arrays, shapes (m,), (n, m, B) and (n, m, B)
            Of the output.
        """
        longest = max(one.shape[0] for one in meshes) + times.shape[0]
        size = max(1, NUMBERS // (longest * self._width))
        for first in range(0, len(meshes), size):
            some = slice(first, min(first + size, len(meshes)))
            own = tuple(one[some, ...] for one in parameters)
            yield self._of_some(some, meshes[some], own, times, y[..., some], grad_y[..., some])

    def _of_some(
        self, some: slice, meshes: Sequence[Array], parameters: tuple[Array, ...], times: Array, y: Array, grad_y: Array
    ) -> Backwards:  # fmt: skip
        problem, xp, (n, _, count) = self._problem, array_namespace(y), y.shape
        t, places = _nodes(problem, meshes, times)
        steps, every = t.shape[0] - 1, xp.arange(count)
        rows = [t[:-1, :], t[1:, :] - t[:-1, :]]
        rows += [xp.broadcast_to(one[None, ...], (steps, *one.shape)) for one in parameters]
        states, given = xp.empty((steps + 1, count, n)), xp.zeros((steps + 1, count, n))
        states[0, ...] = wide(xp.reshape(problem.y0, (-1, n)))[some, :]
        given[places, every, :] = xp.permute_dims(grad_y, (1, 2, 0))
        is_finite = _march(self._step, states[0, ...], rows, states[1:, ...])
        if not is_finite or is_far(problem, states[places, every, :], xp.permute_dims(y, (1, 2, 0))):
            raise NoCodeError("has another solution on these steps")
        self._reject_kinks(parameters, t, states)
        adjoint = xp.empty((steps + 1, count, self._width))
        adjoint[-1, :, :n], adjoint[-1, :, n:] = given[-1, ...], 0.0
        turned = [one[::-1, ...] for one in (states[:-1, ...], *rows, given[:-1, ...])]
        _march(self._back, adjoint[-1, ...], turned, adjoint[:-1, ...][::-1, ...])
        if not all_finite(adjoint):
            raise NoCodeError("has an adjoint that is not finite")
        return Backwards(some, adjoint[0, :, :n], adjoint[places, every, :n], adjoint[0, :, n:])

    def _reject_kinks(self, parameters: tuple[Array, ...], t: Array, states: Array) -> None:
        """Raise if a member passes a kink, where stages may lie."""
        from ..._recorded.state_switches import passes_kinks  # noqa: PLC0415 - slow to import

        if self._kinks is None:
            return
        for b in range(t.shape[1]):
            if passes_kinks(self._kinks, [one[b, ...] for one in parameters], t[:, b], states[:, b, :]):
                raise NoCodeError("passes a kink")


def _nodes(problem: Problem, meshes: Sequence[Array], times: Array) -> tuple[Array, Array]:
    """Nodes `(S + 1, b)` of members, and the places `(m, b)` of the times of the output among them."""
    xp, (begin, end) = problem.xp, problem.span
    way, most = 1.0 if end > begin else -1.0, max(one.shape[0] for one in meshes)
    t = xp.full((most + times.shape[0], len(meshes)), end)
    for b, mesh in enumerate(meshes):
        t[: mesh.shape[0], b] = mesh
    t[most:, :] = times[:, None]
    order = xp.argsort(way * t, axis=0, stable=True)
    return xp.take_along_axis(t, order, axis=0), xp.argsort(order, axis=0, stable=True)[most:, :]


def _march(program: Program, states: Array, rows: Sequence[Any], out: Array) -> bool:
    """Evaluate the steps of all members, and say whether all states were found to be finite; raises `NoCodeError`."""
    from ..._recorded.native.lanes import compiled_lanes  # noqa: PLC0415 - LLVM is slow to load
    from ..._recorded.native.loop import portions  # noqa: PLC0415
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

    steps, count = out.shape[:2]
    operations = program.operations * count
    try:
        march = compiled_lanes(program).march(states, rows, [out], 0, THREADS.worthwhile(operations * steps, count))
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error
    for some in portions(0, steps, operations, None):
        run_all(march.tasks(some, THREADS.worthwhile(operations * some, march.groups)))
        march.advance(some)
    return march.are_finite

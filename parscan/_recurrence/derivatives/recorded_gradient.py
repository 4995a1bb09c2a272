"""Gradients by the recorded step: products of the adjoint states with its exact derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace, library
from ..._functions.at_points import AtPoints, pairs
from ..._functions.opened import as_example, in_structure_of, is_plain, opened
from ..._functions.parameters import Leaf, Tree, has_integers, leaves, like
from ..._functions.points import stretches
from ..._recorded.budget import NoCodeError
from ..systems.recorded_step import recorded_member, recorded_step
from .compiled_gradient import compiled_gradient
from .gradient_of_members import gradient_of_members
from .recorded import MOST, arguments, as_states, compare, entered, noted, recording_of
from .solution import SAMPLE, Solution

if TYPE_CHECKING:
    from ..._recorded.pullbacks import Pullback
    from ..._recorded.record import Recording

LONGER = 4
"""Machine code has stretches longer by this factor than calls of NumPy, so that they are worth another thread."""

INDICES = "may use integers among its parameters as indices"


@dataclass(frozen=True)
class ByParameters:
    """
    The gradient by some of the further arguments of the step.

    Parameters
    ----------
    solution : Solution
    keys : tuple of int
        Their indices, ascending.
    recording : Recording
        Of the step, with their numbers as arguments.
    """

    solution: Solution
    keys: tuple[int, ...]
    recording: Recording

    @property
    def _first(self) -> int:
        """Number of the first parameter among the arguments."""
        x = self.solution.step.x
        return 1 + (0 if x is None else len(x) if isinstance(x, tuple) else 1)

    def moves_jumps(self, key: int) -> bool:
        """Whether jumps of the step depend on an argument."""
        place, counts = self.keys.index(key), list(map(len, self._each))
        first = self._first + sum(counts[:place])
        return self._jumps(range(first, first + counts[place]))

    def _jumps(self, numbers: range) -> bool:
        """Whether jumps of the step depend on arguments of these numbers."""
        return bool(noted(self.recording.notes, ("jumps", numbers), lambda: jump(self.recording, numbers)))

    def gradient(self, states: Array) -> dict[int, Tree]:
        """Sums over time of products of `states` with the derivatives by the arguments."""
        solution, notes, given = self.solution, self.recording.notes, self._given
        derived: Pullback
        derived, code = noted(notes, "by parameters", lambda: _derived(self.recording, self._numbers))
        code.prepare(solution.steps)
        total = derived.nothing()
        width = sum(prod(ids.shape) for ids in derived.program.results) + 2 * prod(solution.y0.shape)
        for begin, end in stretches(solution.y0, states.shape[0], -(-width // LONGER), stacks=True):
            times = slice(begin, end)
            first = arguments(solution, solution.before(begin, end), times)
            total = total + derived.summed(*code(*first, *given, pairs(states[times, ...])))
        return self._as_trees(total)

    def in_one_sweep(self, gradient: Array) -> tuple[dict[int, Tree], Array, bool] | None:
        """
        The same, and the gradient by the initial state, of the derivatives of a loss by all states: if that pays.

        The flag says that all steps still give the trajectory; without it, they may.
        """
        found = None
        if self.solution.y0.ndim > 1:
            found = gradient_of_members(self.solution, self._of_member, self._numbers, self._given, gradient)
        if found is None:
            found = compiled_gradient(self.solution, self.recording, self._numbers, self._given, gradient)
        if found is None:
            return None
        y0 = as_states(found.y0[None, ...], self.solution.y0)
        return self._as_trees(found.total), y0, found.stands

    def _of_member(self) -> Recording:
        """The same recording of a member of a batch."""
        solution = self.solution
        return recorded_member(solution.step, solution.y0[None, ...], *_opened(solution, self.keys))

    @cached_property
    def _each(self) -> list[list[Leaf]]:
        """The leaves of each argument."""
        return [_leaves(self.solution, key) for key in self.keys]

    @property
    def _own(self) -> list[Leaf]:
        return [leaf for one in self._each for leaf in one]

    @cached_property
    def _given(self) -> list[Array]:
        """Values of the parameters, as programs take them."""
        return [pairs(as_example(leaf, self.solution.y0)) for leaf in self._own]

    @property
    def _numbers(self) -> range:
        """Those of the parameters among the arguments."""
        return range(self._first, self._first + len(self._own))

    def _as_trees(self, total: Array) -> dict[int, Tree]:
        """All numbers in a row, as the arguments are."""
        trees, shapes = [self.solution.step.args[key] for key in self.keys], [one.shape for one in self._given]
        return dict(zip(self.keys, in_structure_of(trees, self._own, shapes, total), strict=True))


def opened_step(solution: Solution, keys: tuple[int, ...]) -> Callable[..., Any]:
    """The step with the numbers in some further arguments as arguments."""
    step = solution.step
    return opened(step.value, 1 + (step.x is not None), keys, [step.args[key] for key in keys], len(step.args))


def _opened(
    solution: Solution, keys: tuple[int, ...]
) -> tuple[Callable[..., Any], tuple[Array, ...], tuple[Any, ...]]:  # fmt: skip
    """The same, with examples of these numbers, and the other arguments."""
    examples = tuple(as_example(leaf, solution.y0) for key in keys for leaf in _leaves(solution, key))
    others = tuple(one for key, one in enumerate(solution.step.args) if key not in keys)
    return opened_step(solution, keys), examples, others


def by_parameters(solution: Solution, keys: Sequence[int]) -> ByParameters:
    """The recorded step with the numbers in some arguments as its arguments; raises `NoCodeError`."""
    keys = tuple(sorted(set(keys)))
    if not any(_leaves(solution, key) for key in keys):
        raise NoCodeError("has no parameters")
    if solution.compiles is False:
        raise NoCodeError("is not recorded, as `compile=False` asks")
    step, y0 = solution.step, solution.y0
    if not all(is_plain(step.args[key]) for key in keys):
        raise NoCodeError("has parameters in containers of other types than dict, list and tuple")
    own = [leaf for key in keys for leaf in _leaves(solution, key)]
    if any(not isinstance(leaf, float | complex) and library(leaf) != "numpy" for leaf in own):
        raise NoCodeError("has parameters of another library than NumPy")
    recording = recorded_step(step, y0[None, ...], *_opened(solution, keys))
    values = noted(recording.notes, "at points", lambda: AtPoints(recording.program, _shared(recording, len(own))))
    values.prepare(SAMPLE)
    given = [pairs(as_example(leaf, y0)) for leaf in own]
    compare(solution, lambda states, times: values(*arguments(solution, states, times), *given)[0])
    gradient = ByParameters(solution, keys, recording)
    if any(has_integers(step.args[key]) and gradient.moves_jumps(key) for key in keys):
        raise NoCodeError(INDICES)
    return gradient


def of_inputs_recorded(solution: Solution, states: Array) -> Tree:
    """Products of `states` with the derivatives by the inputs, time by time; raises `NoCodeError`."""
    recording, x = recording_of(solution), solution.step.x
    own = list(leaves("x", x).values())
    if has_integers(x) and jump(recording, range(1, len(recording.arguments))):
        raise NoCodeError(INDICES)
    code = noted(recording.notes, "by inputs", lambda: _by_inputs(recording))
    code.prepare(solution.steps)
    found = [array_namespace(part).zeros_like(part) for part in own]
    width = sum(prod(part.shape[1:]) for part in own) + 2 * prod(states.shape[1:])
    for begin, end in stretches(solution.y0, states.shape[0], -(-width // LONGER), stacks=True):
        times = slice(begin, end)
        first = arguments(solution, solution.before(begin, end), times)
        for part, result in zip(found, code(*first, pairs(states[times, ...])), strict=True):
            part[times, ...] = as_states(result, part[times, ...])
    return like(x, iter(found))


def jump(recording: Recording, numbers: range) -> bool:
    """Whether jumps of the step depend on some of its arguments."""
    from ..._recorded.pullbacks import moves_jumps  # noqa: PLC0415 - slow to import

    return moves_jumps(recording, numbers)


def _leaves(solution: Solution, key: int) -> list[Leaf]:
    return list(leaves(f"args[{key}]", solution.step.args[key]).values())


def _shared(recording: Recording, count: int) -> tuple[int, ...]:
    """Numbers of the parameters, the last arguments."""
    last = len(recording.arguments)
    return tuple(range(last - count, last))


def _derived(recording: Recording, numbers: range) -> tuple[Pullback, AtPoints]:
    from ..._recorded.pullbacks import pullback  # noqa: PLC0415 - slow to import

    found = entered(lambda: pullback(recording, numbers))
    if found.program.operations > MOST:
        raise NoCodeError(f"has {found.program.operations} operations with its derivatives")
    return found, AtPoints(found.program, tuple(numbers))


def _by_inputs(recording: Recording) -> AtPoints:
    from ..._recorded.pullbacks import pulled_back  # noqa: PLC0415 - slow to import

    return AtPoints(entered(lambda: pulled_back(recording, range(1, len(recording.arguments)))))

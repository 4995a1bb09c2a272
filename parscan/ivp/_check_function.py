"""Whether the user's functions can be called for many times at once."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays import Array, array_namespace, machine_epsilon, quiet
from .._extremes import extreme_rows
from ._agreement import Evaluate, agree
from ._arguments import Problem
from ._function import RightHandSide
from ._near_start import sample

LATER = 5
"""States from all over a solved trajectory that are looked at again, beside the extreme ones."""

OTHERWISE = "gives something else for many times at once than for each alone"


def functions_stack(make: Callable[[bool, bool], RightHandSide], problem: Problem, share: float) -> tuple[str, bool]:
    """Why `fun` cannot be called for a few states at once, "" if it can; and whether `jac` can.

    `make(stacks, jac_stacks)` makes a right-hand side, `share` is the relative difference that is always granted. What
    a call on the initial state raises is the user's to see.
    """
    alone, together = make(False, False), make(True, True)
    some = sample(alone, problem.span, problem.y0, problem.atol)
    if some.refused is not None:
        obstacle = f"takes no other state near `y0`: it {_raised(some.refused)}"
    else:
        obstacle = _obstacle(together, alone, some.t, some.states, some.values, share)
    if problem.jac is None:
        return obstacle, not obstacle
    matrices = alone.jacobian(some.t, some.states, some.values)
    second = slice(1, 2)  # no component is zero there, unless all that the function takes has it so
    _reject_transposed(alone, some.t[second], some.states[second, ...], some.values[second, ...], matrices[second, ...])
    if not callable(problem.jac):
        return obstacle, True
    one, many = (lambda t, states, rhs=rhs: rhs.jacobian(t, states, states) for rhs in (alone, together))
    return obstacle, not _obstacle(many, one, some.t, some.states, matrices, share)


def trajectory_stacks(rhs: RightHandSide, alone: RightHandSide, t: Array, states: Array, share: float) -> bool:
    """Whether `fun` gives the same for all states of a solved trajectory as for some of them alone.

    At the start it did; a branch on all the times or states shows only later, and best at the extremes.
    """
    xp, count = array_namespace(states), t.shape[0]
    some = xp.asarray(sorted({*(k * (count - 1) // (LATER - 1) for k in range(LATER)), *extreme_rows(states)}))
    together = xp.take(rhs(t, states), some, axis=0)
    times, places = xp.take(t, some), xp.take(states, some, axis=0)
    return not _obstacle(lambda t, states: together, alone, times, places, alone(times, places), share)


def _reject_transposed(rhs: RightHandSide, t: Array, states: Array, values: Array, matrices: Array) -> None:
    """Raise if `jac` is right only when its rows and columns change places."""
    try:
        differences = rhs.differences(t, states)
    except Exception:  # a function may reject states so near to the edge of where it is defined
        return
    xp = array_namespace(states)
    swapped = xp.matrix_transpose(matrices)
    sizes = xp.abs(states)[..., None, :]
    if _close(swapped, differences, sizes, values) and not _close(matrices, differences, sizes, values):
        raise ValueError(
            "`jac` is transposed: entry [i, j] must be the derivative of component i of `fun` by component j of `y`, "
            "and differences of `fun` say that it is the other way round."
        )


def _close(matrices: Array, differences: Array, sizes: Array, values: Array) -> bool:
    """Whether Jacobians agree as well as differences do: row by row, in the units of the values and the components."""
    xp = array_namespace(matrices)
    precision = 100 * machine_epsilon(matrices.dtype) ** 0.5
    with quiet():
        largest = xp.max(xp.abs(differences) * sizes, axis=-1, keepdims=True)
        bound = precision * xp.maximum(largest, xp.abs(values)[..., None])
        return bool(xp.all(xp.abs(matrices - differences) * sizes <= bound))


def _obstacle(together: Evaluate, alone: Evaluate, t: Array, states: Array, expected: Array, share: float) -> str:
    """Why a call on all states does not do for single calls, which gave what is expected; "" if it does."""
    try:
        found = together(t, states)
    except Exception as error:  # a function that was written for one state may do anything with many
        return f"{_raised(error)} when it was called for many times at once"
    return "" if agree(found, expected, share, t, states, alone) else OTHERWISE


def _raised(error: Exception) -> str:
    """What a function raised, in one line."""
    text = " ".join(str(error).split())
    return f"raised {type(error).__name__}: {text}" if text else f"raised {type(error).__name__}"

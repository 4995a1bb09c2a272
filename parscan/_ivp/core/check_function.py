"""Whether the user's functions can be called for many times at once."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace
from ..._functions.extremes import extreme_rows
from ..._functions.response import Evaluate
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import agree
from .near_start import Sample

LATER = 5
"""States from all over a solved trajectory that are looked at again, beside the extreme ones."""

OTHERWISE = "gives something else for many times at once than for each alone"


def obstacle_of_fun(together: RightHandSide, alone: RightHandSide, some: Sample, share: float) -> str:
    """Why `fun` cannot be called for a few states at once, "" if it can; `share` is a relative difference granted."""
    if some.refused is not None:
        return f"takes no other state near `y0`: it {_raised(some.refused)}"
    return _obstacle(together, alone, some.t, some.states, some.values, share)


def jacobians_stack(together: RightHandSide, alone: RightHandSide, some: Sample, matrices: Array, share: float) -> bool:
    """Whether `jac` can be called for a few states at once; the `matrices` are what it gave for each alone."""
    one, many = (lambda t, states, rhs=rhs: rhs.jacobian(t, states, states) for rhs in (alone, together))
    return not _obstacle(many, one, some.t, some.states, matrices, share)


def trajectory_stacks(rhs: RightHandSide, alone: RightHandSide, t: Array, states: Array, share: float) -> bool:
    """Whether `fun` gives the same for all states of a solved trajectory as for some of them alone.

    At the start it did; a branch on all the times or states shows only later, and best at the extremes.
    """
    xp, count = array_namespace(states), t.shape[0]
    some = xp.asarray(sorted({*(k * (count - 1) // (LATER - 1) for k in range(LATER)), *extreme_rows(states)}))
    together = xp.take(rhs(t, states), some, axis=0)
    times, places = xp.take(t, some), xp.take(states, some, axis=0)
    return not _obstacle(lambda t, states: together, alone, times, places, alone(times, places), share)


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

"""Gradients with respect to parameters: products of the adjoint states with the step's derivative by them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..._arrays.counts import as_count
from ..._arrays.namespace import Array, array_namespace, copy
from ..._functions.adjoint import Adjoint
from ..._functions.by_parameters import of_argument
from ..._functions.cotangents import as_adjoint, as_gradient
from ..._functions.moved_jumps import warn_of_moved_jumps
from ..._functions.parameters import (
    INPUTS,
    START,
    Chosen,
    Tree,
    arguments_with_leaves,
    as_same_structure,
    choose,
    leaves,
    like,
    reject_nothing,
    told_of_differences,
)
from ..._recorded.budget import NoCodeError
from .by_inputs import of_inputs
from .recorded_gradient import ByParameters, by_parameters, of_inputs_recorded
from .repeated_gradient import note, recalled
from .solution import Solution
from .sweeps import adjoint

Product = Callable[..., Any]


Confirm = Callable[[], None]
"""Raises if the step no longer gives the trajectory: it evaluates all steps, if no sweep found them near."""


def gradient(
    solution: Solution, grad_y: Any, params: Any, vjp: Product | None, steps_per_call: int | None, confirm: Confirm
) -> Tree:
    """Gradient of a loss; see :meth:`parscan.RecurrenceResult.gradient`."""
    step, y = solution.step, solution.trajectory
    if vjp is None and steps_per_call is None and (known := recalled(solution, params)) is not None:
        return _gradient(solution, grad_y, known[0], dict.fromkeys(known[1].keys, known[1]), confirm)
    chosen = choose(params, step.function, step.args, step.x, has_start=True)
    if vjp is not None and not callable(vjp):
        raise TypeError(f"`vjp` must be callable as vjp(adjoint, y, x, *args), got {type(vjp).__name__}.")
    reject_nothing(chosen, vjp)
    if steps_per_call is not None:
        steps_per_call = as_count("steps_per_call", steps_per_call)
    if steps_per_call is not None and vjp is None:
        raise ValueError("`steps_per_call` is for `vjp`; without it, stretches are chosen.")
    for name, tree in zip(chosen.names, chosen.trees(step.x, step.args, solution.y0), strict=True):
        leaves(name, tree)  # raises for parameters without gradients, before any work is done
    if vjp is not None:
        confirm()
        whole = _adjoint(solution, grad_y)
        return _by_products(solution, whole, chosen, vjp, steps_per_call or max(1, y.shape[0]))
    exact = _recorded(solution, chosen)
    if (together := next(iter(exact.values()), None)) is not None and set(together.keys) == _arguments(chosen):
        note(solution, params, chosen, together)
    return _gradient(solution, grad_y, chosen, exact, confirm)


def _gradient(
    solution: Solution, grad_y: Any, chosen: Chosen, exact: dict[Any, ByParameters], confirm: Confirm
) -> Tree:
    """The same by some parameters, with which the step is recorded as far as it can be."""
    if not isinstance(grad_y, Adjoint):
        grad_y = as_gradient(grad_y, solution.trajectory)
        if (found := _in_one_sweep(chosen, exact, grad_y, confirm)) is not None:
            return chosen.joined(found)
    confirm()
    return chosen.joined(_by_recording_or_differences(solution, _adjoint(solution, grad_y), chosen, exact))


def of_parameters(solution: Solution, *, is_recorded: bool) -> str:
    """
    What to say of parameters: by which there are differences only, and on which conditions of the step depend.

    Empty if there are none. If the step `is_recorded` with none of them either, the first is said already.
    """
    step = solution.step
    chosen = choose(None, step.function, step.args, step.x)
    conditions, differences = list[str](), dict[str, list[str]]()
    for key, name in arguments_with_leaves(chosen, step.args):
        try:
            if by_parameters(solution, [key]).moves_jumps(key):
                conditions.append(name)
        except NoCodeError as refusal:
            differences.setdefault(str(refusal), []).append(name)
    parts = told_of_differences("the step", differences) if is_recorded else []
    if conditions:
        parts.append(f"conditions depend on {', '.join(conditions)}: derivatives are those of the branches taken")
    return "".join(f"; {part}" for part in parts)


def _adjoint(solution: Solution, grad_y: Any) -> Adjoint:
    """The adjoint, unless it is given."""
    return as_adjoint(grad_y, solution.trajectory) if isinstance(grad_y, Adjoint) else adjoint(solution, grad_y)


def _in_one_sweep(
    chosen: Chosen, exact: dict[int, ByParameters], gradient: Array, confirm: Confirm
) -> list[Tree] | None:  # fmt: skip
    """The gradient by each parameter by machine code that needs no adjoint states, if all are recorded together."""
    every = list({id(one): one for one in exact.values()}.values())
    keys = [key for key in chosen.keys if key != START]
    if len(every) != 1 or set(every[0].keys) != set(keys) or any(every[0].moves_jumps(int(key)) for key in keys):
        return None
    both = every[0].in_one_sweep(gradient)
    if both is None:
        return None
    by_arguments, by_y0, do_stand = both
    if not do_stand:
        confirm()
    found: dict[Any, Tree] = {**by_arguments, START: by_y0}
    return [found[key] for key in chosen.keys]


def _by_recording_or_differences(
    solution: Solution, whole: Adjoint, chosen: Chosen, exact: dict[int, ByParameters]
) -> list[Tree]:
    """The gradient by each parameter: exact where the step can be recorded with it, otherwise by differences."""
    states, found = whole.states, dict[Any, Tree]()
    jumpy = replace(chosen, keys=tuple(k for k in chosen.keys if k not in exact or exact[k].moves_jumps(int(k))))
    points = solution.points()
    moving = warn_of_moved_jumps(points, states, jumpy, in_time=False)
    for one in {id(one): one for one in exact.values()}.values():
        found |= one.gradient(states)
    for key in chosen.keys:
        if key == START:
            found[key] = whole.y0
        elif key == INPUTS:
            try:
                found[key] = of_inputs_recorded(solution, states)
            except NoCodeError:
                found[key] = of_inputs(solution, states)
        elif key not in found:
            found[key] = of_argument(points, states, int(key), moving, chosen.own_name(key))
    return [found[key] for key in chosen.keys]


def _arguments(chosen: Chosen) -> set[int]:
    """Those of the parameters that are further arguments."""
    return {int(key) for key in chosen.keys if key not in (INPUTS, START)}


def _recorded(solution: Solution, chosen: Chosen) -> dict[Any, ByParameters]:
    """What evaluates the gradient by each of the arguments with which the step can be recorded: all, or one by one."""
    keys = sorted(_arguments(chosen))
    if not keys or not solution.steps:
        return {}
    try:
        return dict.fromkeys(keys, by_parameters(solution, keys))
    except NoCodeError:
        found = {}
        for key in keys if len(keys) > 1 else ():
            with suppress(NoCodeError):
                found[key] = by_parameters(solution, [key])
        return found


def _by_products(solution: Solution, whole: Adjoint, chosen: Chosen, vjp: Product, size: int) -> Tree:
    """The gradient by the user's vector-Jacobian product, called on blocks of `size` steps."""
    if START in chosen.keys:  # which needs no product
        rest = replace(chosen, keys=tuple(key for key in chosen.keys if key != START), alone=False)
        others = iter(_by_products(solution, whole, rest, vjp, size) if rest.keys else ())
        return chosen.joined([whole.y0 if key == START else next(others) for key in chosen.keys])
    states, steps = whole.states, whole.states.shape[0]
    found: list[list[Tree]] = [[] for _ in chosen.keys or (0,)]
    for begin in range(0, max(1, steps), size):
        products = _products(solution, states, chosen, vjp, slice(begin, min(begin + size, steps)))
        for trees, product in zip(found, products, strict=True):
            trees.append(product)
        for trees, key in zip(found, chosen.keys or (0,), strict=True):
            if key != INPUTS:
                trees[:] = [_together(trees, sum)]
    joined = [_together(trees, _end_to_end) for trees in found]
    return chosen.joined(joined) if chosen.keys else joined[0]


def _products(solution: Solution, states: Array, chosen: Chosen, vjp: Product, times: slice) -> list[Tree]:
    """Values of the user's product for some steps, one tree per parameter; without parameters, its unchecked value."""
    step, x = solution.step, solution.step.inputs(times)
    y = solution.before(times.start, times.stop)
    value = vjp(copy(states[times, ...]), y, *(() if x is None else (x,)), *step.args)
    if not chosen.keys:
        return [value]
    name = chosen.names[0] if chosen.alone else "params"
    value = as_same_structure(name, value, chosen.joined(chosen.trees(x, step.args)))
    return [value] if chosen.alone else list(value)


def _together(trees: list[Tree], join: Callable[[list[Any]], Any]) -> Tree:
    """One tree, with the leaves of several trees of the same structure joined."""
    if len(trees) == 1:
        return trees[0]
    flat = [leaves("the result", tree).values() for tree in trees]
    return like(trees[0], iter([join(list(parts)) for parts in zip(*flat, strict=True)]))


def _end_to_end(parts: list[Array]) -> Array:
    """Stretches of time joined in order."""
    return array_namespace(parts[0]).concat(parts)

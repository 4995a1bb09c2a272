"""The choice of methods: the user's functions are checked on the first steps, and their cost is measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import inf
from typing import Any, NamedTuple

from .._arrays.namespace import Array
from .._engine.march import PlannedMethod, Record
from .._functions.evaluators import ONE_BY_ONE, STACKED
from .._functions.step import Outcome
from .._kernels.dispatch import is_loaded
from .._linalg.dense import Dense
from .._linalg.structure import Structure
from .._recorded.budget import NoCodeError
from .checks.check_jacobian import check_jacobian, structure_covers
from .checks.check_step import check_broadcasting
from .checks.whole_numbers import WholeNumbers
from .code import Code, Compiler, may_have_code
from .compiled_segments import CompiledSegments, faster_segments, segments_of
from .compiled_tangents import SWEEPS, TangentCode, faster_tangents, note_outcome, prepared_tangents
from .cost import Stopwatch, best_length, sweeps
from .decide import BRIEF, FEW, FEW_STEPS, LITTLE, SHORT, TOO_SHORT, Budget, Decision, Workload, decide
from .derivatives.solution import Solution
from .device_code import ON_DEVICE, DeviceCode, device_code, is_on_device
from .device_record import note_made, was_made
from .loop import first_not_finite, loop_in_stages
from .methods import DAMPED, METHODS, Planner
from .precedent import Precedent, precedent_of, recalled
from .ready_kernels import ready_kernels
from .task import Task

FIRST_STEPS = 8
"""Number of steps that the loop evaluates first: their states serve for the checks and measurements."""

LONG = 1.0
"""Seconds of a loop at the end of which it would be late to learn that the step does not broadcast."""

CALL, WARM = 1e-6, 0.75
"""Seconds by which a call that is timed alone may take longer than one of the first steps, and least time of a later
step as a share of that of the first ones."""


SWEPT = 4
"""Sweeps that methods on arrays need, about, over segments of about as many steps as there are segments."""

FEWEST_ON_DEVICE = 64
"""Steps below which a kernel's loop is as fast as anything."""


@dataclass(frozen=True)
class Choice:
    """Methods in the order of their trial (none for the loop), their segment length, and the first step left to them.

    `reason` is the sentence of `auto` about its choice. `wanting` is the time of one step of the loop, in seconds, if
    the loop is chosen because the compiled scans are not loaded; else 0. `code` is the step as machine code.
    `in_methods`: the methods use it, too. `precedent` is kept for later solves if this one succeeds. `is_checked`: a
    call on stacked states was compared with calls on single ones; if not, it is compared with the trajectory at the
    end. `uncounted`: steps after `start` that results do not count, since they do not count the first ones either.
    `is_as_before`: it was taken over from an earlier solve. `begun` is the record of the steps before `start` that the
    loop evaluated because it was chosen; if it ended there, `start` is the number of all steps.
    """

    methods: tuple[PlannedMethod, ...] = ()
    length: int = 0
    start: int = 0
    reason: str = ""
    wanting: float = 0.0
    code: Code | None = None
    in_methods: bool = False
    precedent: Precedent | None = None
    is_checked: bool = True
    uncounted: int = 0
    is_as_before: bool = False
    begun: Record | None = None


class First(NamedTuple):
    """
    The first steps of a loop, and all others if it was chosen meanwhile.

    `evaluated` steps took `seconds` each; `reached` is the first one whose state is not finite, or `evaluated`.
    `choice` is the loop, if it was chosen. `found` is its solution, if checks of that were made.
    """

    evaluated: int
    reached: int
    seconds: float
    choice: Choice | None
    found: Solution | None = None


def choose(task: Task, whole: WholeNumbers | None, budget: Budget, first: First | None = None) -> Choice:
    """Choose as before, or check the user's functions on the first steps, which may be evaluated already."""
    if first is not None:
        is_open = first.choice is None and first.reached == first.evaluated
        return (_as_before(task) if is_open else None) or _choose_after(task, whole, first, budget)
    steps = task.arrays.steps
    if steps * task.arrays.y0.size == 0 or (task.options.method == "sequential" and task.options.compiles is False):
        return Choice()
    return (None if whole else _as_before(task)) or _choose_anew(task, whole, budget)


def _choose_anew(task: Task, whole: WholeNumbers | None, budget: Budget) -> Choice:
    """Evaluate the first steps by the loop, and all of them if it is certainly chosen, or choose otherwise."""
    if whole is None and (choice := _by_ready_kernels(task)):
        return choice
    return _choose_after(task, whole, _first_steps(task, whole), budget)


def resumed(task: Task, begun: First, outcome: Outcome | None) -> First:
    """The same after a loop of these steps, which has the `outcome` of the next one if that was out of the ordinary."""
    if outcome is not None:
        return _first_steps(task, None, begun, outcome)
    return begun._replace(reached=first_not_finite(task.trajectory, 0, begun.evaluated))


def _first_steps(
    task: Task, whole: WholeNumbers | None, begun: First | None = None, outcome: Outcome | None = None
) -> First:
    """Evaluate the first steps by the loop, and all of them if it is certainly chosen."""
    start, _, seconds, choice, _ = begun or First(0, 0, 0.0, None)
    first = min(FIRST_STEPS, task.arrays.steps)

    def stages(rows: Iterator[Any]) -> Iterator[Iterator[Any]]:
        nonlocal choice, seconds
        if choice is not None:
            yield rows
            return
        each = []
        for count in (first // 2, first - first // 2):
            begin = time.perf_counter()
            yield islice(rows, count)
            each.append((time.perf_counter() - begin) / count if count else inf)
        seconds = min(each)
        choice = at_once(task, first, seconds) if whole is None else None
        if choice is not None:
            yield rows

    count, reached = loop_in_stages(task.step, task.state(start), task.trajectory, stages, start, outcome)
    return First(count, reached, seconds, choice)


def _choose_after(task: Task, whole: WholeNumbers | None, begun: First, budget: Budget) -> Choice:
    """The loop if it was chosen during the first steps, or a choice by checks of the user's functions on these."""
    steps, reached, choice = task.arrays.steps, begun.reached, begun.choice
    first = min(FIRST_STEPS, steps)
    if reached < first:
        return Choice()
    if choice is not None:
        return _begun(
            choice, reached if reached == begun.evaluated else steps, Record(looped=reached - first, reached=reached)
        )
    if task.options.method == "sequential":
        states = _first_states(task, first)
        choice, remark = _on_device(task, states, begun.seconds)
        return choice or (Choice(start=first, reason=remark) if remark else _sequential(task, states, begun.seconds))
    return _choose_by_checks(task, whole, _first_states(task, first), budget, begun.seconds)


def _begun(choice: Choice, start: int, begun: Record) -> Choice:
    """The same choice, with the record of the steps before `start`."""
    found = object.__new__(Choice)
    found.__dict__.update(choice.__dict__, start=start, begun=begun)
    return found


def _first_states(task: Task, count: int) -> Array:
    """The states from which the first steps start."""
    return task.arrays.xp.stack([task.state(t) for t in range(count)])


def at_once(task: Task, first: int, seconds: float) -> Choice | None:
    """The loop, if `auto` certainly chooses it; the first steps took some `seconds` each.

    The step is then not called for checks and measurements at the start, which would take as long as many steps of the
    loop.
    """
    options, left = task.options, task.arrays.steps - first
    least, looped = WARM * seconds * left, (seconds + CALL) * left
    if options.method != "auto" or options.compiles or looped >= LONG or _may_have_code(task, least):
        return None
    if left < FEW_STEPS:
        return FEW_LEFT
    if options.segment_length is not None or options.window is not None:
        return None
    return LITTLE_LEFT if looped < BRIEF else _TOO_SHORT if left < SHORT else None


def _is_guided(task: Task) -> bool:
    """Whether the user chose segments or windows."""
    return task.options.segment_length is not None or task.options.window is not None


def _may_have_code(task: Task, looped: float) -> bool:
    """Whether a loop of some seconds may run as machine code."""
    if task.options.compiles is False or task.arrays.guess is not None:
        return False
    left = task.arrays.steps - FIRST_STEPS
    return may_have_code(task.step, task.arrays.y0[None, ...], looped, saves=left >= FEW_STEPS and not _is_guided(task))


def _choose_by_checks(
    task: Task, whole: WholeNumbers | None, states: Array, budget: Budget, seconds: float
) -> Choice:  # fmt: skip
    """
    Check the user's functions on the first `states`, measure their cost, and choose; a step took some `seconds`.

    Kernels of a device were compared with a call on many states: if they agree, `step` broadcasts.
    """
    choice, remark = _on_device(task, states, seconds)
    if choice is None:
        check_broadcasting(task.step, states, task.steps)
    if whole:
        _check_whole_numbers(task, whole, states)
    if task.step.has_jacobian:
        check_jacobian(task.step, states)
    return choice or _choose_by_measurements(task, states, budget, remark)


def _choose_by_measurements(task: Task, states: Array, budget: Budget, remark: str) -> Choice:
    """Choose by the cost of calls; a `remark` is added to the reasons."""
    choice = _measured_choice(task, states, budget)
    return replace(choice, reason=f"{choice.reason} {remark}".strip()) if remark else choice


def _measured_choice(task: Task, states: Array, budget: Budget) -> Choice:
    stopwatch = Stopwatch(task.step, states, task.steps)
    if task.options.method == "auto":
        return _choose_automatically(task, states, stopwatch, budget)
    by_code = _compiled_jacobi if task.options.method == "jacobi" else _compiled_newton
    if choice := by_code(task, states, stopwatch):
        return choice
    length = task.options.segment_length or best_length(stopwatch.cost, task.steps)
    planned = _planner(task, states, task.steps, length).named()
    code = _compiler(task, states).code(inf) if task.options.compiles else None  # for steps that the method leaves
    return Choice((planned,), length, code=code)


def _on_device(task: Task, states: Array, seconds: float) -> tuple[Choice | None, str]:
    """
    The choice of methods by kernels of a device; None where there are none, with a sentence why that is so.

    A step of the loop took some `seconds`: a call on many states takes as long.
    """
    method, wanted = task.options.method, task.options.compiles
    if wanted is False or not is_on_device(states) or method not in ("auto", "newton", "jacobi", "sequential"):
        return None, ""
    try:
        evaluator = ONE_BY_ONE if method == "sequential" else STACKED
        calls = task.steps if method in ("auto", "sequential") else SWEPT * (1 + task.arrays.n) * task.steps**0.5
        after, seconds = task.trajectory[: states.shape[0], ...], inf if wanted else calls * seconds
        if (code := device_code(task.step, states, after, evaluator, seconds)) is None:
            return None, ""
        if method == "newton" and code.marches.products is None:
            raise NoCodeError(code.marches.refusal)
    except NoCodeError as refusal:
        if wanted:
            raise TypeError(f"`step` cannot be compiled, as `compile=True` asks: it {refusal}.") from refusal
        return None, f"The step is no kernel of the device: it {refusal}."
    note_made(task.step, states)
    return _by_kernels(task, states, code, states.shape[0] if method in ("auto", "sequential") else 0), ""


def _by_ready_kernels(task: Task) -> Choice | None:
    """
    Methods by kernels of a device that certainly are the choice, from the first step on; None otherwise.

    The function is called twice; with the first steps by the loop, it takes a dozen calls, each of many launches.
    """
    options, y0 = task.options, task.arrays.y0
    if not is_on_device(y0) or options.compiles is False or options.method not in ("auto", "newton", "jacobi"):
        return None
    if task.step.has_jacobian or not (options.compiles or was_made(task.step, y0[None, ...])):
        return None
    code = ready_kernels(task.step, y0, task.trajectory, wanted=bool(options.compiles))
    if code is None or (options.method == "newton" and code.marches.products is None):
        return None
    note_made(task.step, y0[None, ...])
    return _by_kernels(task, y0[None, ...], code, 0)


def _by_kernels(task: Task, states: Array, code: DeviceCode, start: int) -> Choice:
    """
    Methods by kernels for the steps from `start` on.

    `auto` takes the loop for wide batches, otherwise Newton's method, then the loop.
    """
    options, method = task.options, task.options.method
    steps = task.steps - start
    if method == "sequential":
        return Choice((), 0, start, f"{ON_DEVICE[0].upper()}{ON_DEVICE[1:]}.", code=code)
    if method == "auto" and (code.is_wide or code.marches.products is None or steps < FEWEST_ON_DEVICE):
        refusal = code.marches.refusal
        more = f" Newton's method has no kernel: the step {refusal}." if refusal and not code.is_wide else ""
        reason, uncounted = f"auto: the loop, for {ON_DEVICE}.{more}", FIRST_STEPS if start == 0 else 0
        return Choice((), 0, start, reason, code=code, uncounted=uncounted)
    length = options.segment_length or -(-steps // code.segments(min(steps, options.window or steps)))
    planner = _planner(task, states, steps, length)
    march = code.propagation(None if method == "jacobi" else task.step.structure)
    if method != "auto":
        reason = f"{ON_DEVICE[0].upper()}{ON_DEVICE[1:]}; segments of {length} steps."
        return Choice((planner.named(march),), length, reason=reason, code=code, in_methods=True)
    reason = f"auto: newton, then the loop, for {ON_DEVICE}; segments of {length} steps."
    return Choice((planner.newton_on_device(march),), length, start, reason, code=code, in_methods=True)


def _compiled_jacobi(task: Task, states: Array, stopwatch: Stopwatch) -> Choice | None:
    """Jacobi by machine code of the step, if there is some."""
    compiler, options = _compiler(task, states), task.options
    seconds = sweeps(stopwatch.cost, task.steps, options.segment_length or best_length(stopwatch.cost, task.steps))
    seconds = inf if options.compiles else seconds
    code = compiler.code(seconds)
    if code is None or code.program is None or not (segments := segments_of(code)).pay(seconds):
        return None
    try:
        segments = segments.prepared(states, compiler.after, task.steps)
    except NoCodeError:
        return None
    length = options.segment_length or segments.length(min(task.steps, options.window or task.steps))
    planned = _planner(task, states, task.steps, length).named(segments.states(must_gain=False))
    return Choice((planned,), length, code=code, in_methods=True)


def _compiled_newton(task: Task, states: Array, stopwatch: Stopwatch) -> Choice | None:
    """Newton's method, or quasi-Newton, by machine code of the step with its exact derivatives, if there is some."""
    compiler, options, n = _compiler(task, states), task.options, task.arrays.n
    kept = METHODS[options.method].kept(task.step.structure)
    if kept is None or options.method not in DAMPED or options.compiles is False:
        return None
    # As on arrays: products of all entries, of which some are kept, unless the user gave a Jacobian, perhaps of those.
    structure = kept if task.step.has_jacobian or options.method == "newton" else Dense()
    length = options.segment_length or best_length(stopwatch.cost, task.steps)
    copies = 1 + task.step.structure.colours(n)
    seconds = inf if options.compiles else SWEEPS * stopwatch.cost.stacked(length, copies * task.steps)
    code = compiler.code(seconds)
    try:
        tangents = code and prepared_tangents(code, structure, kept, states, compiler.after, task.steps, seconds)
    except NoCodeError:
        return None
    if not tangents:
        return None
    length = options.segment_length or tangents.length(min(task.steps, options.window or task.steps))
    planned = _planner(task, states, task.steps, length).named(tangents.march())
    return Choice((planned,), length, code=code, in_methods=True)


def _try_segments(compiler: Compiler, code: Code, steps: int) -> CompiledSegments | None:
    """Code for segments, if sweeps over this many steps are faster than the compiled loop."""
    try:
        return faster_segments(code, compiler.states, compiler.after, steps)
    except NoCodeError as refusal:
        compiler.remark = f" Segments are not marched by machine code: it {refusal}."
        return None


def _try_tangents(compiler: Compiler, structure: Structure, code: Code, steps: int) -> TangentCode | None:
    """Code for segments with derivatives, if Newton's method is expected to be faster than the compiled loop."""
    try:
        return faster_tangents(code, structure, compiler.states, compiler.after, steps)
    except NoCodeError as refusal:
        if code.program:
            note_outcome(code.program, faster=False)
        compiler.remark = f" Segments are not marched by machine code: it {refusal}."
        return None


def _compiler(task: Task, states: Array) -> Compiler:
    """The compiler of the step; its machine code is compared with the function on the first `states`."""
    after = task.trajectory[: states.shape[0], ...]
    return Compiler(task.step, states, after, task.steps, task.options.compiles)


def _sequential(task: Task, states: Array, seconds: float) -> Choice:
    """The loop, as machine code if that pays; `seconds` is the time of a step without machine code."""
    compiler = _compiler(task, states)
    code = compiler.code(seconds * (task.steps - states.shape[0]))
    reason = f"{code.description[0].upper()}{code.description[1:]}." if code else compiler.remark.strip()
    return Choice((), 0, states.shape[0], reason, code=code)


def _check_whole_numbers(task: Task, whole: WholeNumbers, states: Array) -> None:
    """Raise if integers do not give the first stacked `states` and the state after them."""
    count = states.shape[0]
    after = task.arrays.xp.concat([states[1:, ...], task.state(count)[None, ...]])
    if whole.are(after) and (found := whole.first_inexact(states, after, slice(0, count))):
        raise ValueError(f"{found}")


def _planner(task: Task, states: Array, steps: int, length: int) -> Planner:
    """Plans methods for the last steps; the first `states` show whether the structure holds all of the Jacobian."""
    return Planner(task, steps, length, structure_covers(task.step, states))


def _choose_automatically(task: Task, states: Array, stopwatch: Stopwatch, budget: Budget) -> Choice:
    """The methods of `auto` for the steps after the first `states`."""
    start, options = states.shape[0], task.options
    copies = 1 + task.step.structure.colours(task.arrays.n)
    steps, loaded = task.steps - start, is_loaded(task.arrays.y0)
    compiler = _compiler(task, states)
    is_guided = not (options.segment_length is None and options.window is None and task.arrays.guess is None)
    compiles = options.compiles or not is_guided  # a user who chooses segments wants a parallel method
    facts = Workload(
        steps,
        copies,
        stopwatch,
        options.segment_length,
        scans_are_loaded=loaded,
        budget=budget,
        compiler=compiler if compiles else None,
        window=options.window,
        try_segments=partial(_try_segments, compiler),
        try_tangents=partial(_try_tangents, compiler, task.step.structure),
    )
    decision = decide(facts)
    segments = facts.segments if decision.methods else None
    if not decision.methods or segments:
        return _settled(task, decision, start, facts.code, segments, compiler.remark)
    planner = _planner(task, states, steps, facts.length)
    wanting = facts.cost.looped if decision.for_now else 0.0
    reason = f"{_reason(decision, facts.length)}{compiler.remark}"
    return Choice(planner.auto(decision, facts), facts.length, start, reason, wanting, facts.code,
                  in_methods=facts.tangents is not None)  # fmt: skip


def _settled(
    task: Task, decision: Decision, start: int, code: Code | None, segments: CompiledSegments | None, remark: str = "",
    precedent: Precedent | None = None,
) -> Choice:  # fmt: skip
    """The loop, or Jacobi's sweeps over segments by machine code; `precedent`: as they were chosen before."""
    is_as_before, uncounted = precedent is not None, FIRST_STEPS if precedent and segments is None else 0
    if precedent is None and not remark:
        precedent = precedent_of(decision, code, segments)
    if segments is None:
        reason = f"{_reason(decision)}{remark}"
        return Choice((), 0, start, reason, code=code, precedent=precedent, uncounted=uncounted,
                      is_as_before=is_as_before)  # fmt: skip
    if not task.options.window:
        start = _evenly(task, start, segments)
    steps = task.steps - start
    length = segments.length(min(steps, task.options.window or steps))
    methods = (Planner(task, steps, length, covered=True).compiled_jacobi(segments),)
    reason = f"{_reason(decision, length)}{remark}"
    return Choice(methods, length, start, reason, code=code, in_methods=True, precedent=precedent,
                  is_as_before=is_as_before)  # fmt: skip


def _evenly(task: Task, start: int, segments: CompiledSegments) -> int:
    """
    The step from which on all segments have the same length; the steps up to it are evaluated by the loop.

    A shorter segment would end before the others, and all arrays would be prepared again for those.
    """
    first = start + _left_over(task.steps - start, segments)
    if first > start and segments.code.march(task.state(start), task.trajectory, start, first) < first:
        return start
    return first


def _left_over(steps: int, segments: CompiledSegments) -> int:
    """Steps that are left over if all segments have the same length."""
    return steps % segments.count(steps)


def _reason(decision: Decision, length: int = 0) -> str:
    """The sentence of `auto` about its choice; `length` is that of segments, if there are some."""
    methods = ", then ".join([*decision.methods, "the loop"])
    return f"auto: {methods}, for {decision.because}{f'; segments of {length} steps' if length else ''}."


FEW_LEFT, LITTLE_LEFT, _TOO_SHORT = (Choice(reason=_reason(one), is_checked=False) for one in (FEW, LITTLE, TOO_SHORT))
"""The loop for the steps after the first ones: made now, since a short loop takes as long as a few functions."""


def _as_before(task: Task) -> Choice | None:
    """The choice of an earlier solve; None if there is none, or if one of the first steps is not finite."""
    if (precedent := recalled(task)) is None:
        return None
    code = precedent.code(task.step)
    if (segments := precedent.segments(code)) is None:  # a loop from the start, if the code is withdrawn, too
        return _settled(task, precedent.decision, 0, code, None, precedent=precedent)
    start = _left_over(task.steps, segments)
    if start and code.march(task.arrays.y0, task.trajectory, 0, start) < start:
        return None
    return _settled(task, precedent.decision, start, code, segments, precedent=precedent)

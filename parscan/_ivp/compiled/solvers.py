"""The compiled solvers of a recorded right-hand side: made when they are first needed, and kept with the recording."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..._recorded.budget import NoCodeError
from .recorded import Recorded

if TYPE_CHECKING:
    from ..._recorded.frozen import Frozen
    from ..._recorded.linearised import Linearised
    from ..._recorded.native.integrate import Solver
    from ..._recorded.native.members import Form
    from ..._recorded.program import Program
    from ..._recorded.series import Series
    from .watched import Watched

METHODS = "DOP853", "Rodas5P", "Radau13", "Taylor"
"""
The explicit one, and stiff ones that follow where stability limits its steps; Radau13 is Radau IIA of order 13. Taylor
series of the solution are explicit as well.
"""

EXPLICIT, ROSENBROCK, RADAU, TAYLOR = range(4)
"""Numbers of the methods."""

NONSTIFF = EXPLICIT, TAYLOR
"""Methods that are not for stiff problems."""

ORDERS = ((1e-4, 12), (3e-10, 16), (0.0, 18))
"""Least relative tolerances, and the orders of Taylor series for them."""

SERIES_AT = 1e-5
"""Largest relative tolerance with which `auto` begins with Taylor series."""

TIGHT_SERIES, PAYS, PAYS_WELL = 1e-9, 0.9, 0.75
"""The largest share of the time of DOP853 that they may take by the estimate, with relative tolerances up to the first
number, and with others. Where errors grow along the solution, marches need far tighter tolerances than were asked for,
which makes series the better choice; the estimate does not know of that."""

STEPS, FEWER_STEPS = 0.46, 0.06
"""Number of steps of Taylor series with the relative tolerance 1e-9, for one of DOP853 with the same error, and with
which power of the tolerance that falls: as for a pendulum, an oscillator with a force, and the equations of
Lotka–Volterra, Van der Pol, Lorenz, Kepler and others."""

STEP, OF_ORDER, OF_PRODUCT, OF_FUNCTION = 50.0, 4.0, 0.27, 5.0
"""Nanoseconds of a step of the series, apart from what follows: for each order, each product in their sums, and each
function that is called."""

OTHER_STEP, STAGES, OF_OPERATION, OF_CALL, OF_ANGLE = 85.0, 12, 0.25, 6.0, 11.0
"""Nanoseconds of a step of DOP853 with its share of steps that are rejected, apart from what follows; stages; and
nanoseconds of an operation there, of a function that is called, and of one of angles."""

ANGLES = frozenset(["sin", "cos", "tan"])
"""Such functions."""

CHEAP = frozenset(["input", "constant", "add", "subtract", "multiply", "negative", "divide", "sqrt", "absolute"])
"""Operations that take few nanoseconds; others are calls."""

FEW_OPERATIONS, MOST_PRODUCTS = 100, 1000
"""Operations of a function, and products in a step, up to which `auto` begins with Taylor series: more take too long to
compile."""

MOST_TERMS = 2000
"""Largest number of operations in Taylor series, with those of derivatives."""

LONGEST = 10_000
"""
Lines of a program with derivatives that can be compiled within seconds, each an operation on one or on many numbers.
The time grows faster than their number: three times as many take half a minute.
"""

TIGHT = 5e-6
"""Relative tolerance from which on Radau13 may be faster than Rodas5P, by longer steps."""

PARTS = ((1e-7, 3), (3e-10, 2), (0.0, 1))
"""Least relative tolerances, and in how many parts steps of Radau13 are divided for adjoints: errors of gradients of
HIRES, Oregonator, and Van der Pol's equation were then a tenth of the tolerance or less, or rounding."""

KEPT = 32
"""Solvers with events of a right-hand side."""

FEW = 4
"""Components up to which systems are solved in registers."""

FEWER, POWER = 3.0, 0.19
"""Ratio of the numbers of steps with the relative tolerance 1e-6, and with which power of it the ratio falls."""

BESIDE = 8, 32, 0, 8
"""
Components up to which both marches of the methods go on side by side, if neither polynomials nor events are wanted.

They are in the lanes of vectors then, which are better used by two marches than by the components of one: what takes
the time of short steps is that each operation waits for the one before. Radau13 has other uses for lanes.
"""

APART = "marches apart"
"""Noted of functions of which no two marches go on side by side."""

ROSENBROCK_WORK, SPARSE_WORK, FULL_WORK = (1, 8, 8), (4, 18, 5), (10, 36, 5)
"""Factorisations, solutions and evaluations of a step of Rodas5P, and of Radau13 with sparse and with full matrices, in
the time of one of a real matrix and of one state: four complex matrices are worked on in the lanes of vectors, full
real ones in vectors, too."""


def stiff_method(recorded: Recorded, rtol: float) -> int:
    """
    Number of the method that is probably the faster one for a stiff problem with a relative tolerance.

    A step of Radau13 has four complex factorisations. For many components, all of which depend on each other, they take
    most of the time; with few components, or with few of them in each rate, a step takes two or three times as long as
    one of Rodas5P.
    """
    if rtol >= TIGHT:
        return ROSENBROCK
    if "work" not in recorded.notes:
        recorded.notes["work"] = _work(recorded)
    return RADAU if recorded.notes["work"] < FEWER * (1e-6 / max(rtol, 1e-16)) ** POWER else ROSENBROCK


def _work(recorded: Recorded) -> float:
    """Work of a step of Radau13, divided by that of one of Rodas5P."""
    from ..._recorded.native.stage_systems import work  # noqa: PLC0415 - slow to import

    linearised, n = recorded.linearised, recorded.value.results[0].size
    if n <= FEW:
        return 1.0
    *parts, is_sparse = work(linearised.rows, linearised.columns, n)
    parts.append(recorded.value.operations)
    one, other = (
        sum(count * part for count, part in zip(counts, parts, strict=True)) + linearised.program.operations
        for counts in (SPARSE_WORK if is_sparse else FULL_WORK, ROSENBROCK_WORK)
    )
    return one / other


def solver(
    recorded: Recorded, method: int, *, is_dense: bool, has_times: bool, has_stretches: bool,
    watched: Watched | None = None, switch: tuple[int, float] | None = None, order: int = 0,
) -> Solver:  # fmt: skip
    """
    A solver.

    Parameters
    ----------
    recorded : Recorded
    method : int
        Number of the method.
    is_dense : bool
        Whether it gives polynomials of its steps.
    has_times : bool
        Whether it gives values at times.
    has_stretches : bool
        Whether it takes stretches, at whose ends steps end.
    watched : Watched, optional
        Events that it looks for.
    switch : tuple of int and float, optional
        Number of the switch that the solution stays on, and the way of the time.
    order : int, optional
        Of Taylor series; other methods have but one.

    Raises
    ------
    NoCodeError
        If there is no machine code for it.
    """
    notes, order = recorded.notes, order if method == TAYLOR else 0
    key = METHODS[method], is_dense, has_times, has_stretches, recorded.modes is not None, APART in notes, switch, order
    if watched is None:
        found: Solver | None = notes.get(key)
        if found is None:
            found = notes[key] = _made(recorded, *key[1:4], method, None, switch, order)
        return found
    kept = notes.setdefault("with events", OrderedDict())
    some = *key, watched.key
    if some not in kept:
        kept[some] = (
            _made(recorded, *key[1:4], method, watched, switch, order),
            watched.recordings,
        )  # which the key means
        while len(kept) > KEPT:
            kept.popitem(last=False)
    watching: Solver = kept[some][0]
    return watching


def march_apart(recorded: Recorded) -> bool:
    """
    Make one march of a function follow the other from now on; return whether they may have gone on side by side.

    Vectors of sines and other functions have a few roundings more than single ones, which matters where their
    differences are multiplied by large numbers.
    """
    before, recorded.notes[APART] = APART in recorded.notes, True
    return not before and recorded.value.results[0].size <= max(BESIDE)


def _made(
    recorded: Recorded, is_dense: bool, has_times: bool, has_stretches: bool, method: int,
    watched: Watched | None, switch: tuple[int, float] | None, order: int,
) -> Solver:  # fmt: skip
    from ..._recorded.native.members import DENSE, STATES, Form  # noqa: PLC0415 - slow to import
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415
    from ..._recorded.sliding import EXITS  # noqa: PLC0415

    shared, log = (True,) * len(recorded.parameters), DENSE if is_dense else STATES
    events = () if watched is None else watched.programs
    modes = recorded.modes if switch is None else recorded.on_switch(*switch)
    if switch is not None and modes is None:
        raise NoCodeError("stays on a switch")
    is_apart = is_dense or bool(events) or modes is not None or APART in recorded.notes
    most = 0 if is_apart else BESIDE[method]
    form = Form(
        lanes=2 if recorded.value.results[0].size <= most else 1, shared=shared, log=log,
        has_times=has_times and not is_dense,
        checks_polynomials=is_dense or has_times or bool(events) or modes is not None, compares=True,
        has_stretches=has_stretches, events=len(events), has_modes=modes is not None,
        exits=0 if switch is None else EXITS, order=order,
    )  # fmt: skip
    try:
        given = recorded if modes is None else Recorded(modes.recording, recorded.parameters)
        return MAKERS[method](given, form, events, modes)
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error


def _explicit(recorded: Recorded, form: Form, events: Sequence[Program], modes: Frozen | None = None) -> Solver:
    from ..._recorded.native.explicit import explicit  # noqa: PLC0415 - slow to import

    return explicit(modes.both if modes else recorded.value, form, events, modes and modes.switches)


def _stiff(recorded: Recorded, form: Form, events: Sequence[Program], modes: Frozen | None = None) -> Solver:
    from ..._recorded.native.rosenbrock import rosenbrock  # noqa: PLC0415 - slow to import

    return rosenbrock(recorded.value, _derived(recorded), form, events, modes and modes.switches)


def _tight(recorded: Recorded, form: Form, events: Sequence[Program], modes: Frozen | None = None) -> Solver:
    from ..._recorded.native.radau import radau  # noqa: PLC0415 - slow to import

    return radau(recorded.value, _derived(recorded), form, events, modes and modes.switches)


def _derived(recorded: Recorded) -> Linearised:
    """The function with its derivatives, if it is not too long to be compiled."""
    lines = len(recorded.linearised.program.blocks)
    if lines > LONGEST:
        raise NoCodeError(f"is stiff, and its derivatives are {lines} lines of code, more than {LONGEST}")
    return recorded.linearised


def order_for(rtol: float) -> int:
    """The order of Taylor series for a relative tolerance."""
    return next(order for least, order in ORDERS if rtol >= least)


def parts_of(method: int, rtol: float) -> int:
    """
    Parts of a step for adjoints.

    Those of Taylor series are then about as long as steps of DOP853. Those of Radau13 are as long as the solution
    allows; for derivatives, shorter ones make errors smaller by the power 13 of the parts.
    """
    if method == TAYLOR:
        return 4
    return next(parts for least, parts in PARTS if rtol >= least) if method == RADAU else 1


def begins_with(recorded: Recorded, rtol: float, *, is_plain: bool) -> int:
    """
    Number of the method that begins under `auto`: Taylor series, where they are likely to take much less time.

    `is_plain`: only states at the ends of steps, or at given times, are wanted.
    """
    if rtol > SERIES_AT or not is_plain:
        return EXPLICIT
    key = "begins with", rtol
    found: int | None = recorded.notes.get(key)
    if found is None:
        found = recorded.notes[key] = TAYLOR if _series_pays(recorded, rtol) else EXPLICIT
    return found


def _series_pays(recorded: Recorded, rtol: float) -> bool:
    """Whether a step of the series takes so little time beside one of DOP853 that the smaller number of them pays."""
    if recorded.switches is not None or recorded.modes is not None or recorded.value.operations > FEW_OPERATIONS:
        return False
    try:
        found = series_of(recorded)
    except NoCodeError:
        return False
    order = order_for(rtol)
    products = len(found.sums) * order**2 / 2
    if products > MOST_PRODUCTS:
        return False
    calls, more = (
        [block for block in program.blocks if block.operation not in CHEAP]
        for program in (recorded.value, found.program)
    )
    step = STEP + OF_ORDER * order + OF_PRODUCT * products + OF_FUNCTION * sum(one.count for one in (*calls, *more))
    stage = OF_OPERATION * recorded.value.operations
    stage += sum((OF_ANGLE if one.operation in ANGLES else OF_CALL) * one.count for one in calls)
    other = OTHER_STEP + STAGES * stage
    most = PAYS if rtol <= TIGHT_SERIES else PAYS_WELL
    return step * STEPS * (rtol / 1e-9) ** FEWER_STEPS < most * other


def _series(recorded: Recorded, form: Form, events: Sequence[Program], modes: Frozen | None = None) -> Solver:
    from ..._recorded.native.taylor import taylor  # noqa: PLC0415 - slow to import

    if modes is not None:
        raise NoCodeError("compares states, and has no Taylor series where the comparison changes")
    return taylor(recorded.value, series_of(recorded), form, events)


def series_of(recorded: Recorded) -> Series:
    """The recurrence of Taylor series; raises `NoCodeError`."""
    from ..._recorded.graph import TooLarge  # noqa: PLC0415 - slow to import
    from ..._recorded.refusal import Refused  # noqa: PLC0415
    from ..._recorded.series import series  # noqa: PLC0415

    found: Series | str | None = recorded.notes.get("series")
    if found is None:
        try:
            found = series(recorded.value, 10 * MOST_TERMS)
            if len(found.terms) > MOST_TERMS:
                found = f"has {len(found.terms)} operations in its Taylor series, more than {MOST_TERMS}"
        except Refused as error:
            found = str(error)
        except TooLarge:
            found = f"has more than {MOST_TERMS} operations in its Taylor series"
        recorded.notes["series"] = found
    if isinstance(found, str):
        raise NoCodeError(found)
    return found


MAKERS = _explicit, _stiff, _tight, _series
"""Functions that make the solvers."""

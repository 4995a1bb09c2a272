"""The step as kernels of a device: the loop with a thread for each sequence, and segments with exact derivatives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from .._arrays.namespace import Array, array_namespace, copy, itemsize, library, machine_epsilon, quiet
from .._functions.evaluators import Evaluator
from .._functions.step import Step
from .._functions.verify import alike
from .._kernels.cuda import written
from .._linalg.dense import Dense
from .._linalg.diagonal import Diagonal
from .._linalg.structure import Structure
from .._recorded.budget import Ledger, NoCodeError
from .checks.check_step import check_broadcasting
from .code import Code, are_apart, changed, unlike_function
from .device_record import MOST_TOGETHER, Input, Recorded, recorded_alone, recorded_together, with_refusals
from .loop import first_not_finite
from .systems.compiled import CompiledStates, CompiledTangents
from .systems.propagation import SegmentMarch, Span

if TYPE_CHECKING:
    from .._recorded.native.device_march import Columns, March
    from .._recorded.program import Program

LIBRARIES = {"cupy"}
"""Libraries whose arrays are on a device; tests add another one."""

ON_DEVICE = "the recorded step runs as a kernel of the device"
"""What results say."""

RESIDENT = 256
"""Threads that keep a multiprocessor busy, given their registers. No device has confirmed it."""

SHORTEST = 16
"""Least steps of a segment: with more segments, the scan over their ends takes longer than they do."""

ENOUGH = 4
"""Sequences are enough for the loop if there are as many as one such part of the threads that keep a device busy."""


PIECE = 4_000_000
"""Operations of a launch of the loop, one after the other: some hundredths of a second. Some drivers end launches of
more than two seconds."""

A_KERNEL, PER_OPERATION = 0.2, 3e-4
"""Seconds to compile and load a kernel of a small step, and what each operation adds."""

KEPT = 32
"""Programs that are kept with their derivatives."""

LEDGER = Ledger()
"""Time of solves without kernels, by programs."""

_kept: OrderedDict[Any, tuple[Program | None, str]] = OrderedDict()


@dataclass(frozen=True)
class Marches:
    """
    Launches of a recorded step.

    Parameters
    ----------
    states : March
        States alone.
    products : March or None
        States with products of derivatives.
    refusal : str
        Why there are none.
    inputs : tuple of Input
    batch : tuple of int
        Shape of the batch.
    row : int
        Bytes of a state of one sequence.
    element : int
        Bytes of a real number.
    first : array or None
        The product before the first step.
    """

    states: March
    products: March | None
    refusal: str
    inputs: tuple[Input, ...]
    batch: tuple[int, ...]
    row: int
    element: int
    first: Array | None = None

    @property
    def sequences(self) -> int:
        """Number of sequences."""
        return prod(self.batch)

    def run(
        self, starts: Array, trajectory: Array, span: Span, first: int, last: int, products: Array | None = None
    ) -> None:
        """Local steps `first` to `last` of all segments of a span, by one launch; `products` are written."""
        begin, length, sequences = span.begin + first, span.length, self.sequences
        march = self.states if products is None else self.products
        if march is None or begin >= span.end or first >= last:
            return
        segments, step = span.segments(first), sequences * self.row
        given: list[Any] = [span.end - begin, length, last - first, segments, sequences]
        given += [] if products is None else [self.first]
        given += [trajectory[begin : span.end, ...], step, length * step, self.row, self.element]
        given += [_in_order(starts[:segments, ...]), step, self.row, self.element]
        if products is not None:
            size = prod(products.shape[1 + len(self.batch) :]) * self.element
            given += [products, sequences * size, size, self.element]
        for one in self.inputs:
            given += one.arguments(begin, span.end, length)
        written.LAUNCHER.launch(march.kernel, march.threads(segments, sequences), *given)


class StatesOnDevice(CompiledStates):
    """States alone, by kernels."""

    is_on_device = True


class TangentsOnDevice(CompiledTangents):
    """States and products, by kernels, which have the identity already."""

    is_on_device = True

    def _first(self, starts: Array) -> Array:
        """Memory that kernels write products to."""
        return self._room(starts)


class DeviceLoop:
    """The loop over a batch; used like a `Loop`."""

    def __init__(self, marches: Marches, operations: int) -> None:
        self.marches, self.operations = marches, operations

    def run(
        self, state: Array, inputs: Sequence[Array], out: Array, begin: int, end: int,
        report: Callable[[int], object] | None = None,
    ) -> bool:  # fmt: skip
        """Evaluate the steps `begin` to `end`; whether states are finite is not found out."""
        most = max(1, PIECE // max(self.operations, 1))
        for first in range(begin, end, most):
            last = min(first + most, end)
            self.marches.run(state[None, ...], out, Span(first, last, last - first), 0, last - first)
            state = out[last - 1, ...]
            if report is not None:
                report(last)
        return False


class DeviceCode(Code):
    """Kernels of the step, used like its machine code."""

    loop: Any

    @property
    def description(self) -> str:
        """A clause for the results."""
        return ON_DEVICE

    def march(
        self, state: Array, trajectory: Array, begin: int, end: int, report: Callable[[int], None] | None = None
    ) -> int:
        """Evaluate steps: see `Code.march`."""
        self.loop.run(state, (), trajectory, begin, end, report)
        return first_not_finite(trajectory, begin, end)

    @property
    def marches(self) -> Marches:
        """The kernels."""
        found: Marches = self.loop.marches
        return found

    def segments(self, steps: int) -> int:
        """Segments of so many steps that keep the device busy, with all sequences."""
        parts = 1 if self.marches.products is None else self.marches.products.parts
        wanted = -(-RESIDENT * written.LAUNCHER.processors() // (self.marches.sequences * parts))
        return max(1, min(wanted, steps // SHORTEST))

    @property
    def is_wide(self) -> bool:
        """Whether there are enough sequences for the loop."""
        return ENOUGH * self.marches.sequences >= RESIDENT * written.LAUNCHER.processors()

    def propagation(self, structure: Structure | None) -> SegmentMarch:
        """A way to march segments: with derivatives in a structure, or states alone."""
        marches = self.marches

        def march_states(trajectory: Array, span: Span) -> Callable[[Array, int, int], bool]:
            def run(starts: Array, first: int, last: int) -> bool:
                marches.run(starts, trajectory, span, first, last)
                return False

            return run

        def march_products(starts: Array, products: Array, trajectory: Array, span: Span) -> None:
            marches.run(starts, trajectory, span, 0, span.rounds, products)

        if structure is None:
            return StatesOnDevice(march_states)
        return TangentsOnDevice(march_products, structure, march_states, None)


def device_code(
    step: Step, states: Array, after: Array, evaluator: Evaluator, seconds: float
) -> DeviceCode | None:  # fmt: skip
    """
    Kernels of a step, compared with it on the first `states` and the ones `after` them; None if they do not pay yet.

    The `evaluator` calls the step: a call on many states takes as many launches as one on a single state. `seconds` is
    what the solve takes without kernels; infinite for kernels at any price.

    Raises
    ------
    NoCodeError
        If there can be none, or they are wrong.
    """

    def compared(recorded: Recorded) -> DeviceCode | None:
        code = made(step, states, evaluator, seconds, recorded)
        if code is not None:
            _compare(code, states, after)
        return code

    def make() -> DeviceCode | None:
        try:
            return compared(recorded_alone(step, states))
        except NoCodeError as refusal:  # members may differ by constants
            if not 1 < prod(states.shape[1:-1]) <= MOST_TOGETHER:
                raise
            try:
                return compared(recorded_together(step, states))
            except NoCodeError as other:
                if str(other) == str(refusal):
                    raise refusal from None
                raise NoCodeError(f"{refusal}; recorded with all members, it {other}") from None

    found: DeviceCode | None = with_refusals(step, states, seconds, make)
    return found


def made(
    step: Step, states: Array, evaluator: Evaluator, seconds: float, recorded: Recorded
) -> DeviceCode | None:  # fmt: skip
    """Kernels of a recorded step, for states of this shape; None if they do not pay yet. Raises `NoCodeError`."""
    from .._recorded.native.device_march import march  # noqa: PLC0415 - LLVM is slow to load
    from .._recorded.native.text import UnsupportedError  # noqa: PLC0415

    program, columns, refusal = _derived(recorded, step.structure, int(states.shape[-1]))
    operations = recorded.program.operations + (program.operations if program else 0)
    if not LEDGER.buys(recorded.program.kinds, (1 + bool(program)) * A_KERNEL + PER_OPERATION * operations, seconds):
        return None
    first: Array | None = None
    try:
        loop, products = march(recorded.program), None
        _prepare(loop)
    except UnsupportedError as error:
        raise NoCodeError(str(error)) from error
    if program:
        try:
            products = march(program, columns)
            _prepare(products)
            identity = columns.identity(int(states.shape[-1])) if columns else []
            first = array_namespace(states).asarray(identity, dtype=states.dtype)
        except (UnsupportedError, NoCodeError) as error:
            products, refusal = None, str(error)
    batch, kind = tuple(states.shape[1:-1]), recorded.program.arguments[0].dtype
    row = int(states.shape[-1]) * itemsize(states.dtype)
    marches = Marches(loop, products, refusal, recorded.inputs, batch, row, kind.itemsize, first)
    looped: Any = DeviceLoop(marches, recorded.program.operations)
    return DeviceCode(step, None, looped, evaluator=evaluator)


def _prepare(march: March) -> None:
    """Compile and load a kernel, or say why the device does not take it."""
    try:
        written.LAUNCHER.prepare(march.kernel)
    except RuntimeError as error:
        raise NoCodeError(f"cannot be loaded by the device ({error})") from error


def _derived(recorded: Recorded, structure: Structure, n: int) -> tuple[Program | None, Columns | None, str]:
    """The program with derivatives, and how threads share them, or why there is none."""
    from .._recorded.native.device_march import columns_of, fits_registers  # noqa: PLC0415 - slow to import

    diagonal = isinstance(structure, Diagonal)
    if recorded.is_complex:
        return None, None, "has complex states"
    if not (diagonal or isinstance(structure, Dense)):
        return None, None, f"has derivatives in the structure {type(structure).__name__}"
    for single in (False, True):
        columns = columns_of(n, recorded.program.arguments[0].dtype, diagonal=diagonal, single=single)
        program, refusal = _derived_once(recorded.program, columns, diagonal=diagonal)
        if program is None or fits_registers(program, columns):
            break
    return program, columns, refusal


def _derived_once(program: Program, columns: Columns, *, diagonal: bool) -> tuple[Program | None, str]:
    key = program.fingerprint, columns
    if (found := _kept.pop(key, None)) is None:
        found = _derived_along(program, columns, diagonal=diagonal)
    _kept[key] = found
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return found


def _derived_along(program: Program, columns: Columns, *, diagonal: bool) -> tuple[Program | None, str]:
    from .._recorded.graph import TooLarge  # noqa: PLC0415 - slow to import
    from .._recorded.refusal import Refused  # noqa: PLC0415
    from .._recorded.tangents import along, is_diagonal  # noqa: PLC0415

    try:
        if diagonal and not is_diagonal(program):
            return None, "couples components, which is not what `structure` says"
        return along(program, columns.count), ""
    except Refused as error:
        return None, str(error)
    except TooLarge:
        return None, "has too many operations with its derivatives"


def _in_order(array: Array) -> Array:
    """The array in C order, copied if it is not, or if the library does not tell."""
    if getattr(getattr(array, "flags", None), "c_contiguous", False):
        return array
    found = array_namespace(array).empty(array.shape, dtype=array.dtype)
    found[...] = array
    return found


def _compare(code: DeviceCode, states: Array, after: Array) -> None:
    """
    Raise unless the kernel gives what the function gives, for the first states of all members and changed ones.

    It is a `ValueError` if the function does not broadcast, so that it cannot tell.
    """
    xp, times = array_namespace(states), list(range(states.shape[0]))
    share = machine_epsilon(states.dtype) ** 0.5
    for given in (states, changed(states)):
        found = xp.empty_like(states)
        try:
            code.marches.run(given, found, Span(0, len(times), 1), 0, 1)
        except RuntimeError as error:  # of the driver
            raise NoCodeError(f"is not started by the device ({error})") from error
        if _are_alike(code, times, given, found, share) and (given is not states or alike(xp, found, after, share)):
            continue
        if given is states:
            check_broadcasting(code.step, given, len(times), code.evaluator)
        if unlike_function(code.step, times, given, found, code.evaluator) or (
            given is states and are_apart(code.step, times, given, found, after)
        ):
            raise NoCodeError("gave other values than its recorded operations, for the members of its batch")


def _are_alike(code: DeviceCode, times: list[int], before: Array, found: Array, share: float) -> bool:
    """A quick test: whether the function gives these values, for all states to a share of their size."""
    with quiet():
        try:
            expected = code.evaluator.values(code.step, times, copy(before))
        except Exception:
            return False
        return alike(array_namespace(found), found, expected, share)


def is_on_device(states: Array) -> bool:
    """Whether arrays are on a device whose kernels can be written."""
    return library(states) in LIBRARIES

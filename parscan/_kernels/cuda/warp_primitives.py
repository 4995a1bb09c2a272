"""Operations that the threads of a warp perform together, in a few instructions each.

They must be short: the compiler unrolls only short loops, and in other loops it no longer knows that the threads of a
warp have converged. Each function makes a device function; see :mod:`parscan._kernels.cuda.primitives`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic

from .primitives import COMPONENTS, CONSTRAINT, REAL


@cache
def stepper(dtype: str) -> Any:
    """`step(factor, state, offset)`: `factor * state + offset`, with the same rounding in every kernel.

    If the state is zero, the result is the offset, even if the factor, a product of coefficients, has overflowed.
    """
    component, count = COMPONENTS[dtype]
    real, zero = REAL[component], REAL[component](0)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        factor, state, offset = ([*_parts(builder, number, count), zero] for number in arguments)
        moves = builder.or_(*(builder.fcmp_unordered("!=", state[i], zero) for i in (0, 1)))
        forth, back = (builder.select(moves, factor[i], zero) for i in (0, 1))
        parts = [builder.fma(forth, state[i], offset[i]) for i in range(count)]
        if count > 1:
            parts = [
                builder.fma(builder.fsub(real(-0.0), back), state[1], parts[0]),
                builder.fma(back, state[0], parts[1]),
            ]
        return _joined(builder, parts, arguments[0].type)

    def step(typing: Any, factor: Any, state: Any, offset: Any) -> Any:
        number = getattr(types, dtype)
        return number(number, number, number), generate

    return intrinsic(step)


@cache
def shufflers(dtype: str, lanes: int) -> tuple[Any, Any]:
    """Exchange of numbers within a warp; `lanes` has a bit for each of its threads.

    `before(number, distance, first)` returns the number of the thread `distance` places before this one, or `first` if
    there is no such thread; `other(number, lane)` returns the number of the thread `lane`.
    """
    number = getattr(types, dtype)
    up, idx = _shuffle(dtype, "up", 0, lanes), _shuffle(dtype, "idx", lanes.bit_length() - 1, lanes)

    def before(typing: Any, shown: Any, distance: Any, first: Any) -> Any:
        return number(number, types.int32, number), up

    def other(typing: Any, shown: Any, lane: Any) -> Any:
        return number(number, types.int32), idx

    return intrinsic(before), intrinsic(other)


def _shuffle(dtype: str, mode: str, clamp: int, lanes: int) -> Any:
    """Code of the exchange: an instruction for each 32 bits, in one piece of assembly."""
    component, count = COMPONENTS[dtype]
    kind, real, result = CONSTRAINT[component], REAL[component], _joined_type(dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, place, *first = arguments
        shown = _parts(builder, number, count)
        otherwise = _parts(builder, first[0], count) if first else shown
        constraints = ",".join((*(f"=&{kind}",) * count, *(kind,) * 2 * count, "r"))
        places = ((i, count + i, 2 * count + i, 3 * count) for i in range(count))
        code = " ".join(_SHUFFLE[component].format(mode, *place, clamp, lanes) for place in places)
        function = ir.FunctionType(result, [*[real] * 2 * count, ir.IntType(32)])
        asm = ir.InlineAsm(function, code, constraints, side_effect=True)
        moved = builder.call(asm, [*shown, *otherwise, place], attrs=("convergent",))
        return _joined(builder, _parts(builder, moved, count), number.type)

    return generate


_SHUFFLE = {
    "float32": "{{ .reg .pred there; "
    "shfl.sync.{0}.b32 ${1}|there, ${2}, ${4}, {5}, {6}; @!there mov.b32 ${1}, ${3}; }}",
    "float64": "{{ .reg .pred there; .reg .b32 low, high; mov.b64 {{low, high}}, ${2}; "
    "shfl.sync.{0}.b32 low|there, low, ${4}, {5}, {6}; shfl.sync.{0}.b32 high|there, high, ${4}, {5}, {6}; "
    "mov.b64 ${1}, {{low, high}}; @!there mov.b64 ${1}, ${3}; }}",
}
"""Instructions that exchange a real number: mode, target, source, number if there is no source, place, clamp, lanes."""


def _parts(builder: Any, number: Any, count: int) -> list[Any]:
    """Real and imaginary part, or the one part of a real number."""
    return [builder.extract_value(number, i) for i in range(count)] if count > 1 else [number]


def _joined(builder: Any, parts: list[Any], kind: Any) -> Any:
    """The number with these parts."""
    if len(parts) == 1:
        return parts[0]
    number = kind(ir.Undefined)
    for i, part in enumerate(parts):
        number = builder.insert_value(number, part, i)
    return number


def _joined_type(dtype: str) -> Any:
    """LLVM's type of the parts of a number as inline assembly returns them."""
    component, count = COMPONENTS[dtype]
    return ir.LiteralStructType([REAL[component]] * count) if count > 1 else REAL[component]

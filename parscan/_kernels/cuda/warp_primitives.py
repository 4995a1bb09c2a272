"""What the threads of a warp do to their numbers together, each an instruction or few to the compiler.

The compiler unrolls only short loops, and in others it loses sight of the threads of a warp being together. Each
function makes a device function; see :mod:`parscan._kernels.cuda.primitives`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .primitives import COMPONENTS, CONSTRAINT, llvm, numba_for_intrinsics, real_type


@cache
def stepper(dtype: str) -> Any:
    """`step(factor, state, offset)`: a state after steps that are composed to one, rounded the same everywhere.

    From a state of zero nothing is left but the offset, even if the product of the factors is infinite.
    """
    numba = numba_for_intrinsics()
    real, count = real_type(COMPONENTS[dtype][0]), COMPONENTS[dtype][1]
    zero = real(0)

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
        number = getattr(numba.types, dtype)
        return number(number, number, number), generate

    return numba.intrinsic(step)


@cache
def shufflers(dtype: str, lanes: int) -> tuple[Any, Any]:
    """What another thread of the warp, of which `lanes` has a bit for each thread, has in the place of a number.

    `before(number, distance, first)` is that of the thread so many before, or `first` where there is none, and
    `other(number, lane)` that of a thread.
    """
    numba = numba_for_intrinsics()
    number = getattr(numba.types, dtype)
    up, idx = _shuffle(dtype, "up", 0, lanes), _shuffle(dtype, "idx", lanes.bit_length() - 1, lanes)

    def before(typing: Any, shown: Any, distance: Any, first: Any) -> Any:
        return number(number, numba.types.int32, number), up

    def other(typing: Any, shown: Any, lane: Any) -> Any:
        return number(number, numba.types.int32), idx

    return numba.intrinsic(before), numba.intrinsic(other)


def _shuffle(dtype: str, mode: str, clamp: int, lanes: int) -> Any:
    """Code of an instruction for each 32 bits; to the compiler, which unrolls short loops only, it is but one."""
    ir = llvm()
    component, count = COMPONENTS[dtype]
    kind, real, result = CONSTRAINT[component], real_type(component), _joined_type(dtype)

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
"""Instructions that shuffle a real number: mode, where to, from where, what else, place, clamp, threads."""


def _parts(builder: Any, number: Any, count: int) -> list[Any]:
    """The real numbers that a number is made of."""
    return [builder.extract_value(number, i) for i in range(count)] if count > 1 else [number]


def _joined(builder: Any, parts: list[Any], kind: Any) -> Any:
    """The number that is made of real numbers."""
    if len(parts) == 1:
        return parts[0]
    number = kind(llvm().Undefined)
    for i, part in enumerate(parts):
        number = builder.insert_value(number, part, i)
    return number


def _joined_type(dtype: str) -> Any:
    """LLVM's type of what inline assembly returns of a number."""
    component, count = COMPONENTS[dtype]
    return llvm().LiteralStructType([real_type(component)] * count) if count > 1 else real_type(component)

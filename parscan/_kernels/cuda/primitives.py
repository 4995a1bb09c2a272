"""Wide accesses to memory, which Numba does not offer to CUDA kernels.

Each function makes a device function, as LLVM code.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic

from ..._arrays.namespace import itemsize

WIDE = 16
"""Bytes of the widest access of a thread."""

COMPONENTS = {
    "float32": ("float32", 1),
    "float64": ("float64", 1),
    "complex64": ("float32", 2),
    "complex128": ("float64", 2),
}
"""Real dtype of the parts of a number, and the number of its parts."""

REAL = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
"""LLVM's types of real numbers."""

CONSTRAINT = {"float32": "f", "float64": "d"}
"""Letter of the registers of a type in inline assembly."""


@cache
def alignment(dtype: str) -> Any:
    """`is_wide(memory, index, step)`: whether wide accesses from `index` on are contiguous and aligned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory, index, step = arguments
        forwards = builder.icmp_signed("==", step, step.type(1))
        backwards = builder.icmp_signed("==", step, step.type(-1))
        address = builder.ptrtoint(builder.gep(memory, [_lowest(dtype, builder, index, forwards)]), ir.IntType(64))
        aligned = builder.icmp_unsigned("==", builder.and_(address, address.type(WIDE - 1)), address.type(0))
        return builder.and_(builder.or_(forwards, backwards), aligned)

    def is_wide(typing: Any, memory: Any, index: Any, step: Any) -> Any:
        return types.boolean(memory, index, step), generate

    return intrinsic(is_wide)


@cache
def fetcher(dtype: str) -> Any:
    """`fetch(memory, index, step, registers, place)`: read the numbers of one wide access, `step` (1 or -1) apart."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, places, sources, forwards = _access(dtype, context, builder, signature, arguments)
        vector = builder.load(wide, align=WIDE)
        numbers = [builder.extract_element(vector, ir.IntType(32)(lane)) for lane in range(len(places))]
        for place, number, source in zip(places, numbers, sources, strict=True):
            builder.store(builder.select(forwards, number, numbers[source]), place)
        return context.get_dummy_value()

    def fetch(typing: Any, memory: Any, index: Any, step: Any, registers: Any, place: Any) -> Any:
        return types.void(memory, index, step, registers, place), generate

    return intrinsic(fetch)


@cache
def putter(dtype: str) -> Any:
    """`put(memory, index, step, registers, place)`: write the numbers of one wide access, as `fetch` reads them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, places, sources, forwards = _access(dtype, context, builder, signature, arguments)
        numbers = [builder.load(place) for place in places]
        vector = wide.type.pointee(ir.Undefined)
        for lane, source in enumerate(sources):
            number = builder.select(forwards, numbers[lane], numbers[source])
            vector = builder.insert_element(vector, number, ir.IntType(32)(lane))
        builder.store(vector, wide, align=WIDE)
        return context.get_dummy_value()

    def put(typing: Any, memory: Any, index: Any, step: Any, registers: Any, place: Any) -> Any:
        return types.void(memory, index, step, registers, place), generate

    return intrinsic(put)


def _lowest(dtype: str, builder: Any, index: Any, forwards: Any) -> Any:
    """Index of the number at the lowest address of an access."""
    return builder.select(forwards, index, builder.sub(index, index.type(WIDE // itemsize(dtype) - 1)))


def _access(dtype: str, context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any, Any, Any]:
    """Pointers to memory and to registers, the order of registers in a backward access, and whether it is forward."""
    memory, index, step, registers, place = arguments
    component, count = COMPONENTS[dtype]
    real = REAL[component]
    lanes = WIDE // itemsize(component)
    # Hidden from the compiler, which would otherwise generate all code twice, once for each direction.
    hidden = ir.InlineAsm(ir.FunctionType(step.type, [step.type]), "mov.b64 $0, $1;", "=l,l")
    forwards = builder.icmp_signed(">", builder.call(hidden, [step]), step.type(0))
    lowest = builder.gep(memory, [_lowest(dtype, builder, index, forwards)])
    own = builder.gep(context.make_array(signature.args[3])(context, builder, registers).data, [place])
    own = builder.bitcast(own, real.as_pointer())
    places = [builder.gep(own, [ir.IntType(64)(lane)]) for lane in range(lanes)]
    mirrored = [lanes - count - lane // count * count + lane % count for lane in range(lanes)]
    return builder.bitcast(lowest, ir.VectorType(real, lanes).as_pointer()), places, mirrored, forwards

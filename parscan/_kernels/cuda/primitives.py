"""Wide accesses to memory, which Numba does not offer to CUDA kernels.

Each function makes a device function, as LLVM code.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def width(dtype: str, count: int) -> int:
    """Bytes of the widest accesses by which `count` neighbouring numbers can be read, if the first one is aligned."""
    size = count * itemsize(dtype)
    return min(WIDE, size & -size)


def narrow(dtype: str) -> int:
    """Bytes of accesses to which every number is aligned: those of its parts."""
    return itemsize(COMPONENTS[dtype][0])


@cache
def reader(dtype: str, count: int, wide: int) -> Any:
    """`read(memory, index, registers, place)`: read `count` neighbouring numbers, by accesses of `wide` bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for piece, places in _pieces(dtype, count, wide, context, builder, signature, arguments):
            vector = builder.load(piece, align=wide)
            for lane, place in enumerate(places):
                number = vector if len(places) == 1 else builder.extract_element(vector, ir.IntType(32)(lane))
                builder.store(number, place)
        return context.get_dummy_value()

    def read(typing: Any, memory: Any, index: Any, registers: Any, place: Any) -> Any:
        return types.void(memory, index, registers, place), generate

    return intrinsic(read)


@cache
def writer(dtype: str, count: int, wide: int) -> Any:
    """`write(memory, index, registers, place)`: write `count` neighbouring numbers, as `read` reads them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for piece, places in _pieces(dtype, count, wide, context, builder, signature, arguments):
            numbers = [builder.load(place) for place in places]
            vector = numbers[0] if len(places) == 1 else piece.type.pointee(ir.Undefined)
            for lane, number in enumerate(numbers if len(places) > 1 else []):
                vector = builder.insert_element(vector, number, ir.IntType(32)(lane))
            builder.store(vector, piece, align=wide)
        return context.get_dummy_value()

    def write(typing: Any, memory: Any, index: Any, registers: Any, place: Any) -> Any:
        return types.void(memory, index, registers, place), generate

    return intrinsic(write)


def _pieces(
    dtype: str, count: int, wide: int, context: Any, builder: Any, signature: Any, arguments: Any
) -> Iterator[tuple[Any, list[Any]]]:
    """For each access of `wide` bytes, pointers to memory and to the registers of its parts."""
    memory, index, registers, place = arguments
    component, parts = COMPONENTS[dtype]
    real, lanes = REAL[component], wide // itemsize(component)
    memory = _pointer(context, builder, signature.args[0], memory)
    first = builder.bitcast(builder.gep(memory, [index]), real.as_pointer())
    own = builder.gep(_pointer(context, builder, signature.args[2], registers), [place])
    own = builder.bitcast(own, real.as_pointer())
    for begin in range(0, count * parts, lanes):
        piece = builder.gep(first, [ir.IntType(64)(begin)])
        if lanes > 1:
            piece = builder.bitcast(piece, ir.VectorType(real, lanes).as_pointer())
        yield piece, [builder.gep(own, [ir.IntType(64)(begin + lane)]) for lane in range(lanes)]


def _pointer(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Pointer to the numbers of a pointer, or of an array in shared or local memory."""
    return value if isinstance(kind, types.CPointer) else context.make_array(kind)(context, builder, value).data


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

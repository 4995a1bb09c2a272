"""Words of memory that blocks share. Part of the single-pass scan, which is off until a GPU has judged it.

Each function makes a device function; see :mod:`parscan._kernels.cuda.primitives`. An access of 128 bits is atomic:
other blocks see the whole word or nothing of it.

References
----------
NVIDIA, *Parallel Thread Execution ISA*: `ld.relaxed`, `st.relaxed`, `atom`, and the memory consistency model.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic

from ..._arrays.namespace import itemsize
from .primitives import CONSTRAINT, REAL


@cache
def poster(dtype: str) -> Any:
    """`post(words, index, stamp, registers, place)`: write a stamp and 8 bytes of real numbers as one word."""
    lanes, kind = 8 // itemsize(dtype), CONSTRAINT[dtype]
    payload = ", ".join(f"${2 + lane}" for lane in range(lanes))
    code = (
        "{ .reg .b64 low, high; .reg .b128 word; mov.b64 low, $1; "
        f"mov.b64 high, {_bracketed(payload, lanes)}; "
        "mov.b128 word, {low, high}; st.relaxed.gpu.b128 [$0], word; }"
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words, index, stamp, registers, place = arguments
        own = context.make_array(signature.args[3])(context, builder, registers).data
        numbers = [builder.load(builder.gep(own, [builder.add(place, place.type(lane))])) for lane in range(lanes)]
        address = builder.ptrtoint(builder.gep(words, [index]), ir.IntType(64))
        kinds = [address.type, stamp.type, *(number.type for number in numbers)]
        constraints = f"l,l,{','.join(kind for _ in numbers)},~{{memory}}"
        asm = ir.InlineAsm(ir.FunctionType(ir.VoidType(), kinds), code, constraints, side_effect=True)
        builder.call(asm, [address, stamp, *numbers])
        return context.get_dummy_value()

    def post(typing: Any, words: Any, index: Any, stamp: Any, registers: Any, place: Any) -> Any:
        signature = types.void(words, types.int64, types.int64, registers, types.int64)
        return signature, generate

    return intrinsic(post)


@cache
def peeker(dtype: str) -> Any:
    """`peek(words, index, registers, place)`: read a word that `post` wrote; return its stamp, fill the registers."""
    lanes, kind = 8 // itemsize(dtype), CONSTRAINT[dtype]
    payload = ", ".join(f"${1 + lane}" for lane in range(lanes))
    code = (
        f"{{ .reg .b64 low, high; .reg .b128 word; ld.relaxed.gpu.b128 word, [${1 + lanes}]; "
        f"mov.b128 {{low, high}}, word; mov.b64 $0, low; mov.b64 {_bracketed(payload, lanes)}, high; }}"
    )
    real = REAL[dtype]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words, index, registers, place = arguments
        own = context.make_array(signature.args[2])(context, builder, registers).data
        address = builder.ptrtoint(builder.gep(words, [index]), ir.IntType(64))
        result = ir.LiteralStructType([ir.IntType(64), *[real] * lanes])
        constraints = f"=l,{','.join('=' + kind for _ in range(lanes))},l,~{{memory}}"
        asm = ir.InlineAsm(ir.FunctionType(result, [address.type]), code, constraints, side_effect=True)
        word = builder.call(asm, [address])
        for lane in range(lanes):
            place_of_lane = builder.gep(own, [builder.add(place, place.type(lane))])
            builder.store(builder.extract_value(word, 1 + lane), place_of_lane)
        return builder.extract_value(word, 0)

    def peek(typing: Any, words: Any, index: Any, registers: Any, place: Any) -> Any:
        return types.int64(words, types.int64, registers, types.int64), generate

    return intrinsic(peek)


@cache
def adder() -> Any:
    """`add(words, index, value)`: add to a shared word of 64 bits; return its former value."""
    return _atomic("add.u64")


@cache
def raiser() -> Any:
    """`lift(words, index, value)`: raise a shared word of 64 bits to at least a value; return its former value."""
    return _atomic("max.s64")


def _atomic(operation: str) -> Any:
    """An atomic operation on 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words, index, value = arguments
        address = builder.ptrtoint(builder.gep(words, [index]), ir.IntType(64))
        function = ir.FunctionType(value.type, [address.type, value.type])
        asm = ir.InlineAsm(function, f"atom.relaxed.gpu.{operation} $0, [$1], $2;", "=l,l,l,~{memory}", True)
        return builder.call(asm, [address, value])

    def atomic(typing: Any, words: Any, index: Any, value: Any) -> Any:
        return types.int64(words, types.int64, types.int64), generate

    return intrinsic(atomic)


def _bracketed(registers: str, count: int) -> str:
    """One register, or a vector of several, in assembly."""
    return registers if count == 1 else f"{{{registers}}}"

"""What CUDA kernels need of the hardware and Numba does not offer: wide accesses, and words that blocks share.

Each function here makes a device function. Numba's simulator cannot run them: the tests put others in their place.

References
----------
NVIDIA, *Parallel Thread Execution ISA*: vectors, `ld.relaxed`, `st.relaxed`, `atom`, and the memory consistency model,
in which an access of 128 bits is one access, seen by others as a whole or not at all.
"""

from __future__ import annotations

from functools import cache
from typing import Any

WIDE = 16
"""Bytes of the widest access of a thread."""

COMPONENTS = {
    "float32": ("float32", 1),
    "float64": ("float64", 1),
    "complex64": ("float32", 2),
    "complex128": ("float64", 2),
}
"""The real numbers that a number is made of, and how many they are."""

BYTES = {"float32": 4, "float64": 8}


def numbers_in(dtype: str, size: int) -> int:
    """How many numbers so many bytes hold."""
    component, count = COMPONENTS[dtype]
    return size // (BYTES[component] * count)


@cache
def alignment(dtype: str) -> Any:
    """`is_wide(memory, index, step)`: whether what starts at `index`, and what follows, can be fetched and put."""
    numba, ir = numba_for_intrinsics(), llvm()

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory, index, step = arguments
        forwards = builder.icmp_signed("==", step, step.type(1))
        backwards = builder.icmp_signed("==", step, step.type(-1))
        address = builder.ptrtoint(builder.gep(memory, [_lowest(dtype, builder, index, forwards)]), ir.IntType(64))
        aligned = builder.icmp_unsigned("==", builder.and_(address, address.type(WIDE - 1)), address.type(0))
        return builder.and_(builder.or_(forwards, backwards), aligned)

    def is_wide(typing: Any, memory: Any, index: Any, step: Any) -> Any:
        return numba.types.boolean(memory, index, step), generate

    return numba.intrinsic(is_wide)


@cache
def fetcher(dtype: str) -> Any:
    """`fetch(memory, index, step, registers, place)`: as many numbers as one access holds, `step` (1 or -1) apart."""
    numba, ir = numba_for_intrinsics(), llvm()

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, places, sources, forwards = _access(dtype, context, builder, signature, arguments)
        vector = builder.load(wide, align=WIDE)
        numbers = [builder.extract_element(vector, ir.IntType(32)(lane)) for lane in range(len(places))]
        for place, number, source in zip(places, numbers, sources, strict=True):
            builder.store(builder.select(forwards, number, numbers[source]), place)
        return context.get_dummy_value()

    def fetch(typing: Any, memory: Any, index: Any, step: Any, registers: Any, place: Any) -> Any:
        return numba.types.void(memory, index, step, registers, place), generate

    return numba.intrinsic(fetch)


@cache
def putter(dtype: str) -> Any:
    """`put(memory, index, step, registers, place)`: what `fetch` reads, written."""
    numba, ir = numba_for_intrinsics(), llvm()

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
        return numba.types.void(memory, index, step, registers, place), generate

    return numba.intrinsic(put)


@cache
def poster(dtype: str) -> Any:
    """`post(words, index, stamp, registers, place)`: a stamp and 8 bytes of real numbers, seen together by all."""
    numba, ir = numba_for_intrinsics(), llvm()
    lanes, kind = 8 // BYTES[dtype], CONSTRAINT[dtype]
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
        types = [address.type, stamp.type, *(number.type for number in numbers)]
        constraints = f"l,l,{','.join(kind for _ in numbers)},~{{memory}}"
        asm = ir.InlineAsm(ir.FunctionType(ir.VoidType(), types), code, constraints, side_effect=True)
        builder.call(asm, [address, stamp, *numbers])
        return context.get_dummy_value()

    def post(typing: Any, words: Any, index: Any, stamp: Any, registers: Any, place: Any) -> Any:
        signature = numba.types.void(words, numba.types.int64, numba.types.int64, registers, numba.types.int64)
        return signature, generate

    return numba.intrinsic(post)


@cache
def peeker(dtype: str) -> Any:
    """`peek(words, index, registers, place)`: the stamp and, in the registers, the numbers that were posted there."""
    numba, ir = numba_for_intrinsics(), llvm()
    lanes, kind = 8 // BYTES[dtype], CONSTRAINT[dtype]
    payload = ", ".join(f"${1 + lane}" for lane in range(lanes))
    code = (
        f"{{ .reg .b64 low, high; .reg .b128 word; ld.relaxed.gpu.b128 word, [${1 + lanes}]; "
        f"mov.b128 {{low, high}}, word; mov.b64 $0, low; mov.b64 {_bracketed(payload, lanes)}, high; }}"
    )
    real = real_type(dtype)

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
        return numba.types.int64(words, numba.types.int64, registers, numba.types.int64), generate

    return numba.intrinsic(peek)


@cache
def adder() -> Any:
    """`add(words, index, value)`: add to a word that all blocks see; what it was before."""
    return _atomic("add.u64")


@cache
def raiser() -> Any:
    """`lift(words, index, value)`: raise such a word to a value, if it is less; what it was before."""
    return _atomic("max.s64")


def _atomic(operation: str) -> Any:
    """An atomic operation on 64 bits."""
    numba, ir = numba_for_intrinsics(), llvm()

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words, index, value = arguments
        address = builder.ptrtoint(builder.gep(words, [index]), ir.IntType(64))
        function = ir.FunctionType(value.type, [address.type, value.type])
        asm = ir.InlineAsm(function, f"atom.relaxed.gpu.{operation} $0, [$1], $2;", "=l,l,l,~{memory}", True)
        return builder.call(asm, [address, value])

    def atomic(typing: Any, words: Any, index: Any, value: Any) -> Any:
        return numba.types.int64(words, numba.types.int64, numba.types.int64), generate

    return numba.intrinsic(atomic)


CONSTRAINT = {"float32": "f", "float64": "d"}
"""Letter of the registers of a type in inline assembly."""


def _bracketed(registers: str, count: int) -> str:
    """One register, or several that are moved together."""
    return registers if count == 1 else f"{{{registers}}}"


def _lowest(dtype: str, builder: Any, index: Any, forwards: Any) -> Any:
    """Index of the number with the lowest address of an access."""
    return builder.select(forwards, index, builder.sub(index, index.type(numbers_in(dtype, WIDE) - 1)))


def _access(dtype: str, context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any, Any, Any]:
    """Pointers to memory and registers, the order of these when the access runs backwards, and if it runs forwards."""
    ir = llvm()
    memory, index, step, registers, place = arguments
    component, count = COMPONENTS[dtype]
    real = real_type(component)
    lanes = WIDE // BYTES[component]
    # Hidden from the compiler, which would else write everything twice, once for each direction.
    hidden = ir.InlineAsm(ir.FunctionType(step.type, [step.type]), "mov.b64 $0, $1;", "=l,l")
    forwards = builder.icmp_signed(">", builder.call(hidden, [step]), step.type(0))
    lowest = builder.gep(memory, [_lowest(dtype, builder, index, forwards)])
    own = builder.gep(context.make_array(signature.args[3])(context, builder, registers).data, [place])
    own = builder.bitcast(own, real.as_pointer())
    places = [builder.gep(own, [ir.IntType(64)(lane)]) for lane in range(lanes)]
    mirrored = [lanes - count - lane // count * count + lane % count for lane in range(lanes)]
    return builder.bitcast(lowest, ir.VectorType(real, lanes).as_pointer()), places, mirrored, forwards


def real_type(component: str) -> Any:
    """LLVM's type of real numbers."""
    return {"float32": llvm().FloatType(), "float64": llvm().DoubleType()}[component]


def llvm() -> Any:
    """LLVM's code, in which intrinsics are written."""
    from llvmlite import ir  # type: ignore[import-untyped]  # noqa: PLC0415 - only where kernels are compiled

    return ir


@cache
def numba_for_intrinsics() -> Any:
    """What intrinsics are made with."""
    from numba import types  # noqa: PLC0415 - only where kernels are compiled
    from numba.cuda.extending import intrinsic  # noqa: PLC0415

    return _Numba(types, intrinsic)


class _Numba:
    """Two names of Numba's."""

    def __init__(self, types: Any, intrinsic: Any) -> None:
        self.types, self.intrinsic = types, intrinsic

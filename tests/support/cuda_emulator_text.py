"""The LLVM text of a CUDA kernel, as Numba hands it to NVIDIA's compiler, made to run on the processor of this machine.

What only a device has becomes calls of `cuda_emulator.c`: numbers of threads, barriers, votes, and the few pieces of
assembly that parscan's kernels contain. Everything else is kept as it is.
"""

import re
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite.ir import types as llvm_types
from numba import types
from numba.cuda import compiler

CAPABILITY = (9, 0)
"""Compute capability that kernels are compiled for; the text depends on it in no more than its header."""

REGISTERS = {"tid.x": "thread", "ntid.x": "threads", "ctaid.x": "block"}
"""Special registers that kernels read, and what they are called in the runtime. Others are zero."""

FUNCTIONS_OF_NUMBERS = {"fabsf": "@llvm.fabs.f32", "fabs": "@llvm.fabs.f64", "expf": "@expf", "tanhf": "@tanhf"}
"""What NVIDIA's functions are called here."""

MOVE = "mov.b64 $0, $1;"
SHUFFLE = {
    "float": re.compile(
        r"\{ \.reg \.pred there; shfl\.sync\.(\w+)\.b32 \$\d\|there, \$\d, \$\d, (\d+), 4294967295; "
        r"@!there mov\.b32 \$\d, \$\d; \}"
    ),
    "double": re.compile(
        r"\{ \.reg \.pred there; \.reg \.b32 low, high; mov\.b64 \{low, high\}, \$\d; "
        r"shfl\.sync\.(\w+)\.b32 low\|there, low, \$\d, (\d+), 4294967295; "
        r"shfl\.sync\.\1\.b32 high\|there, high, \$\d, \2, 4294967295; "
        r"mov\.b64 \$\d, \{low, high\}; @!there mov\.b64 \$\d, \$\d; \}"
    ),
}
"""Exchange of a number within a warp of 32 threads, all of which take part; its mode and its clamp."""

CLAMPS = {"up": "0", "idx": "31"}

DECLARED = """
declare i32 @emulated_thread()
declare i32 @emulated_threads()
declare i32 @emulated_block()
declare ptr @emulated_shared(i32)
declare void @emulated_barrier(i32) convergent
declare i32 @emulated_barrier_or(i32, i32) convergent
declare i64 @emulated_shuffle(i32, i32, i32, i64, i64) convergent
declare i32 @emulated_ballot(i32, i32, i32) convergent
declare i64 @emulated_add(ptr, i64)
declare i64 @emulated_max(ptr, i64)
declare void @emulated_post(ptr, i64, i64)
declare i64 @emulated_peek(ptr, ptr)
"""

FUNCTIONS = re.findall(r"@(\w+)", DECLARED)
"""Functions of the runtime that the text calls."""

ENTRY = "emulated_kernel"


@dataclass(frozen=True)
class Text:
    """
    A kernel for this processor.

    Parameters
    ----------
    code : str
        Text of LLVM, with a function named `ENTRY`, which takes an array of the addresses of the arguments.
    shared : tuple of int
        Bytes of each array in shared memory.
    """

    code: str
    shared: tuple[int, ...]


def text(kernel):
    """The text of a kernel."""
    code, entry = _of_numba(kernel)
    code = "\n".join(line for line in code.splitlines() if not re.match(r'!|@"llvm\.used"|target ', line))
    code = re.sub(r", !\w[\w.]* !\d+", "", code)
    code, shared = _shared(code)
    code = _registers(code)
    code = _waiting(code)
    code, helpers = _assembly(code)
    code = re.sub(r'@"__nv_(\w+)"', lambda match: FUNCTIONS_OF_NUMBERS.get(match[1], match[0]), code)
    if left := re.search(r"\basm\b.*|llvm\.nvvm[\w.]*|__nv_\w+|addrspace.*", code):
        raise NotImplementedError(f"the emulator does not know {left[0]}")
    return Text("\n".join([code, DECLARED, *helpers, _entry(kernel, entry)]), shared)


def _of_numba(kernel):
    """The text that NVIDIA's compiler gets, with pointers that have no types, and the name of the kernel in it."""
    with _opaque_pointers():
        library, _ = compiler._compile_pyfunc_with_fixup(
            kernel.body, kernel.signature, device=False, abi="numba", cc=CAPABILITY
        )
        (code,) = library.llvm_strs
    return code, library._entry_name


@contextmanager
def _opaque_pointers():
    """llvmlite writes pointers without types, as LLVM reads them. Nothing that it has written before is used."""
    llvm_types.ir_layer_typed_pointers_enabled = False
    llvm_types.Type.__str__ = lambda self: self._to_string()
    try:
        yield
    finally:
        del llvm_types.Type.__str__
        llvm_types.ir_layer_typed_pointers_enabled = True


SIZES = {"float": 4, "double": 8, "i32": 4, "i64": 8, "{float, float}": 8, "{double, double}": 16}


def _shared(code):
    """Arrays in shared memory are asked for where their addresses are taken."""
    arrays = re.findall(
        r'^(@"_cudapy_smem_\d+") = addrspace\(3\) global \[(\d+) x (.*?)\] undef.*$', code, re.MULTILINE
    )
    for number, (name, _, _) in enumerate(arrays):
        code = re.sub(
            rf"= addrspacecast ptr addrspace\(3\) {name} to ptr", f"= call ptr @emulated_shared(i32 {number})", code
        )
        code = re.sub(rf"^{name} = .*$", "", code, flags=re.MULTILINE)
    return code, tuple(int(count) * SIZES[kind] for _, count, kind in arrays)


def _registers(code):
    code = re.sub(r'^declare i32 @"llvm\.nvvm\.read\..*$', "", code, flags=re.MULTILINE)
    for register, name in REGISTERS.items():
        code = code.replace(f'@"llvm.nvvm.read.ptx.sreg.{register}"', f"@emulated_{name}")
    return re.sub(r'call i32 @"llvm\.nvvm\.read\.ptx\.sreg\.\w+\.[yz]"\(\)', "add i32 0, 0", code)


def _waiting(code):
    """Barriers and votes, each with the number of its place in the code: all threads must wait at the same one."""
    code = re.sub(r'^declare .*@"llvm\.nvvm\.(barrier0|vote).*$', "", code, flags=re.MULTILINE)
    code = _numbered(code, r'call void @"llvm\.nvvm\.barrier0"\(\)', "call void @emulated_barrier(i32 {site})")
    code = _numbered(
        code, r'call i32 @"llvm\.nvvm\.barrier0\.or"\((.*?)\)', "call i32 @emulated_barrier_or(i32 {site}, {0})"
    )
    ballot = r'%"(\S+)" = call \{i32, i1\} @"llvm\.nvvm\.vote\.sync"\(i32 (\S+), i32 3, i1 (\S+)\)'
    vote = (
        '%"{0}.vote" = zext i1 {2} to i32\n'
        '  %"{0}.all" = call i32 @emulated_ballot(i32 {site}, i32 {1}, i32 %"{0}.vote")\n'
        '  %"{0}" = insertvalue {{i32, i1}} undef, i32 %"{0}.all", 0'
    )
    return _numbered(code, ballot, vote)


def _numbered(code, pattern, replacement):
    """Replace what matches; `{site}` is a number of its own for each match."""
    return re.sub(pattern, lambda match: replacement.format(*match.groups(), site=match.start()), code)


def _assembly(code):
    """Pieces of assembly become calls of functions, whose texts are returned."""
    helpers = {}
    pattern = r'call (?P<result>[^"@]+?) asm +(?:sideeffect )?"(?P<ptx>[^"]*)", "[^"]*"\((?P<given>.*?)\)( convergent)?'

    def call(match):
        result, ptx, given = match["result"], match["ptx"], match["given"]
        kinds = [argument.rsplit(" ", 1)[0] for argument in given.split(", ")]
        name = helpers.setdefault(
            (result, ptx, *kinds), (f"assembly{len(helpers)}", _instructions(ptx, result, kinds))
        )[0]
        return f"call {result} @{name}(i32 {match.start()}, {given})"

    code = re.sub(pattern, call, code)
    texts = [
        f"define internal {result} @{name}(i32 %site, {', '.join(f'{kind} %x{i}' for i, kind in enumerate(kinds))}) "
        f"alwaysinline {{\n{body}\n}}"
        for (result, _, *kinds), (name, body) in helpers.items()
    ]
    return code, texts


def _instructions(ptx, result, kinds):
    """What a piece of assembly does, as the body of a function."""
    if ptx == MOVE:
        return f"  ret {result} %x0"
    if atomic := re.fullmatch(r"atom\.relaxed\.gpu\.(add\.u64|max\.s64) \$0, \[\$1\], \$2;", ptx):
        word = "  %word = inttoptr i64 %x0 to ptr"
        return f"{word}\n  %r = call i64 @emulated_{atomic[1][:3]}(ptr %word, i64 %x1)\n  ret i64 %r"
    if "shfl.sync" in ptx:
        return _exchange(ptx, result, kinds)
    if "st.relaxed.gpu.b128 [$0], word" in ptx:
        return "\n".join(["  %word = inttoptr i64 %x0 to ptr", *_packed(kinds[2:]),
                          "  call void @emulated_post(ptr %word, i64 %x1, i64 %packed)", "  ret void"])  # fmt: skip
    if "ld.relaxed.gpu.b128 word" in ptx:
        return "\n".join(_unpacked(result))
    raise NotImplementedError(f"the emulator does not know the assembly {ptx}")


def _exchange(ptx, result, kinds):
    """Numbers of the threads of a warp: each part of a number is shown by all before one is read."""
    real, count = kinds[0], (len(kinds) - 1) // 2
    whole, bits = ("i64", "i64") if real == "double" else ("i32", "i64")
    modes = SHUFFLE[real].findall(ptx)
    if len(modes) != count or SHUFFLE[real].sub("", ptx).strip() or any(CLAMPS[mode] != clamp for mode, clamp in modes):
        raise NotImplementedError(f"the emulator does not know the exchange {ptx}")
    up, place = int(modes[0][0] == "up"), f"%x{2 * count}"
    lines, value = [], "undef"
    for i in range(count):
        for name, number in (("shown", i), ("otherwise", count + i)):
            lines.append(f"  %{name}{i}.bits = bitcast {real} %x{number} to {whole}")
            lines.append(
                f"  %{name}{i} = zext i32 %{name}{i}.bits to i64"
                if whole != bits
                else f"  %{name}{i} = add i64 %{name}{i}.bits, 0"
            )
        arguments = f"i32 %site, i32 {up}, i32 {place}, i64 %shown{i}, i64 %otherwise{i}"
        lines.append(f"  %read{i} = call i64 @emulated_shuffle({arguments})")
        lines.append(
            f"  %read{i}.bits = " + (f"trunc i64 %read{i} to i32" if whole != bits else f"add i64 %read{i}, 0")
        )
        lines.append(f"  %number{i} = bitcast {whole} %read{i}.bits to {real}")
        if count > 1:
            lines.append(f"  %value{i} = insertvalue {result} {value}, {real} %number{i}, {i}")
            value = f"%value{i}"
    return "\n".join([*lines, f"  ret {result} {value if count > 1 else '%number0'}"])


def _packed(kinds):
    """Instructions that put one number of 8 bytes, or two of 4, into a word."""
    if kinds == ["double"]:
        return ["  %packed = bitcast double %x2 to i64"]
    return [
        "  %low = bitcast float %x2 to i32",
        "  %high = bitcast float %x3 to i32",
        "  %below = zext i32 %low to i64",
        "  %above = zext i32 %high to i64",
        "  %shifted = shl i64 %above, 32",
        "  %packed = or i64 %below, %shifted",
    ]


def _unpacked(result):
    """Instructions that read a word, and return its stamp and the numbers in it."""
    lines = [
        "  %place = alloca i64",
        "  %word = inttoptr i64 %x0 to ptr",
        "  %stamp = call i64 @emulated_peek(ptr %word, ptr %place)",
        f"  %r0 = insertvalue {result} undef, i64 %stamp, 0",
    ]
    if "double" in result:
        return [
            *lines,
            "  %number = load double, ptr %place",
            f"  %r1 = insertvalue {result} %r0, double %number, 1",
            f"  ret {result} %r1",
        ]
    return [
        *lines,
        "  %low = load float, ptr %place",
        "  %next = getelementptr float, ptr %place, i32 1",
        "  %high = load float, ptr %next",
        f"  %r1 = insertvalue {result} %r0, float %low, 1",
        f"  %r2 = insertvalue {result} %r1, float %high, 2",
        f"  ret {result} %r2",
    ]


def _entry(kernel, entry):
    """The function that takes the addresses of all arguments."""
    kinds = ["ptr" if isinstance(kind, types.CPointer) else "i64" for kind in kernel.arguments]
    lines = [f"define void @{ENTRY}(ptr %arguments) {{"]
    for i, kind in enumerate(kinds):
        lines.append(f"  %place{i} = getelementptr ptr, ptr %arguments, i64 {i}")
        lines.append(f"  %address{i} = load ptr, ptr %place{i}")
        lines.append(f"  %value{i} = load {kind}, ptr %address{i}")
    given = ", ".join(f"{kind} %value{i}" for i, kind in enumerate(kinds))
    return "\n".join([*lines, f'  call void @"{entry}"({given})', "  ret void", "}"])

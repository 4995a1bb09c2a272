"""
Kernels of CUDA devices in LLVM's language: one text, which becomes PTX, or runs on the CPU, one thread after the other.

What a thread does is written by `Code`, with recorded programs written out in it by `WrittenOut`. A thread knows its
number, the integer `%thread`, and waits for no other one. So the same lines compute the same on a CPU, apart from the
functions of the C library: a device has those of NVIDIA's libdevice, which is linked as LLVM's code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import llvmlite
import numpy as np

from ..._arrays import disk
from ..._arrays.cached import cached_property
from ..graph import CONSTANT, INPUT, PRODUCT, Block
from ..program import Program
from . import libm
from .compilation import compiled
from .device_angles import DeviceText
from .expressions import Code, Value
from .kernel import NAME, Kernel, fill
from .layout import address
from .routine import Inline
from .text import Register, UnsupportedError, literal, word

BY_VALUE = 7 << 9
"""Bytes of constants up to which they are a parameter of the kernel, where threads read them as fast as registers."""

PARAMETERS = 4000
"""Bytes of all parameters of a kernel; a device takes 4 KB."""

ALIGNED = 16
"""Bytes at which constants begin, and arrays that are said to be aligned."""


class WrittenOut(Inline):
    """
    A program written out in the lines of a kernel, element by element, whatever its arrays are.

    Products of matrices are sums of fused operations. Nothing of it is in memory but constants, at `%table`.

    Parameters
    ----------
    program : Program
    code : Code
        To whose text lines are written.
    table : int
        Bytes of constants of the kernel before those of this program.

    Attributes
    ----------
    then : callable
        Called with the first node and the number of nodes of each block, as soon as their values are known.
    """

    def __init__(self, program: Program, code: Code, table: int = 0) -> None:
        super().__init__(program, 1, code.text, table)
        self.then: Callable[[int, int], object] = lambda first, count: None

    def __call__(self, *arguments: Sequence[Register]) -> list[list[Register]]:
        """Write one evaluation; arguments and results are lists of elements."""
        self.values.clear()
        for block in self.program.blocks:
            if block.operation == INPUT:
                for k, place in enumerate(np.asarray(block.data[1]).tolist()):
                    self.values[block.first + k] = arguments[block.data[0]][place]
            elif block.operation == PRODUCT:
                self._write_product(block)
            elif block.operation != CONSTANT:
                columns = [np.ravel(ids).tolist() for ids in block.operands]
                for k, nodes in enumerate(zip(*columns, strict=True)):
                    self.values[block.first + k] = self._operation(block, list(map(self.value, nodes)), 1)
            self.then(block.first, block.count)
        return [[self.value(node) for node in np.ravel(ids).tolist()] for ids in self.program.results]

    def _write_product(self, block: Block) -> None:
        matrix, vector = block.operands
        kind, factors = word(block.dtype), list(map(self.value, vector.tolist()))
        for row, nodes in enumerate(matrix.tolist()):
            total = literal(0, block.dtype)
            for node, factor in zip(nodes, factors, strict=True):
                total = self.text.term("add", kind, self.text.term("multiply", kind, self.value(node), factor), total)
            self.values[block.first + row] = total


@dataclass(frozen=True)
class DeviceKernel:
    """
    What a thread does.

    Attributes
    ----------
    arguments : tuple of str
        In LLVM's language, pointers, integers of 64 bits and numbers in double precision: `ptr %out`, `i64 %steps`,
        `double %rtol`. The constants are an argument before them.
    lines : tuple of str
        Of the function, from the first to the last one before it returns.
    declarations : dict
        Of functions that it calls, by name.
    external : dict
        Addresses, on the CPU, of those that are not LLVM's own.
    table : array of bytes
        Constants.
    sources : tuple
        Where they come from; see `Kernel`.
    aligned : tuple of str
        Arguments, among those above, that point to the begin of a device's array: it has room for several numbers at
        once there, which are written together where they are neighbours.
    """

    arguments: tuple[str, ...]
    lines: tuple[str, ...]
    declarations: dict[str, str]
    external: dict[str, int]
    table: Any
    sources: tuple[Any, ...] = ()
    aligned: tuple[str, ...] = ()

    def of(self, program: Program) -> DeviceKernel:
        """The kernel of a program that has the same structure and other constants."""
        table = self.table.copy()
        fill(table, self.sources, program)
        return replace(self, table=table)

    @property
    def is_by_value(self) -> bool:
        """Whether constants are a parameter, and not in memory."""
        return bool(self.table.nbytes <= min(BY_VALUE, PARAMETERS - 8 * len(self.arguments)))

    @cached_property
    def text(self) -> str:
        """
        For a device: the entry is called `NAME`.

        Nothing says that constants in memory do not change: loads before a loop would take all registers.
        """
        size = max(self.table.nbytes, 1)
        table = f"ptr byval([{size} x i8]) align {ALIGNED} %table" if self.is_by_value else "ptr %table"
        given = [one.replace(" ", f" align {ALIGNED} ") if one in self.aligned else one for one in self.arguments]
        lines = [
            f'target triple = "{TRIPLE}"',
            *dict.fromkeys([*self.declarations.values(), *THREAD_DECLARED]),
            f"define ptx_kernel void @{NAME}({', '.join([table, *given])}) nounwind {{",
            "entry:",
            *THREAD,
            *self.lines,
            "  ret void",
            "}",
        ]
        return "\n".join(lines) + "\n"

    @property
    def entry(self) -> str:
        """Name of the kernel in PTX."""
        return NAME

    def ptx(self, capability: tuple[int, int]) -> str:
        """PTX for a compute capability, as `ptx` makes it: from disk if a process has made it before."""
        key = f"{llvmlite.__version__} {_architecture(capability)}\n{self.text}"
        name = hashlib.sha256(key.encode()).hexdigest()
        found = disk.load(name)
        if found is None:
            found = ptx(self, capability).encode()
            disk.save(name, found)
        return found.decode()

    @property
    def host_text(self) -> str:
        """For this processor: the same lines, for each number of a thread in an array."""
        names = [one.split() for one in self.arguments]
        loads = [line for k, (kind, name) in enumerate(names) for line in (
            f"  {name}_at = getelementptr i64, ptr %arguments, i64 {k}", f"  {name} = load {kind}, ptr {name}_at",
        )]  # fmt: skip
        return "\n".join([
            *self.declarations.values(),
            f"define internal void @one_thread({', '.join(['i64 %thread, ptr %table', *self.arguments])}) nounwind {{",
            "entry:",
            *self.lines,
            "  ret void",
            "}",
            f"define void @{NAME}(ptr %table, ptr %order, ptr %arguments, i64 %count) nounwind {{",
            "entry:",
            *loads,
            "  br label %more",
            "more:",
            "  %k = phi i64 [ 0, %entry ], [ %next, %more ]",
            "  %thread_at = getelementptr i64, ptr %order, i64 %k",
            "  %thread = load i64, ptr %thread_at",
            f"  call void @one_thread({', '.join(['i64 %thread, ptr %table', *self.arguments])})",
            "  %next = add i64 %k, 1",
            "  %again = icmp ult i64 %next, %count",
            "  br i1 %again, label %more, label %done",
            "done:",
            "  ret void",
            "}",
        ]) + "\n"  # fmt: skip

    def host(self) -> Callable[..., None]:
        """
        The kernel on this processor: `run(order, *arguments, table=None)` with numbers of threads, one after the other.

        Arrays of NumPy are passed by their addresses, which the caller keeps alive. A `table` are other constants.
        """
        code = compiled(Kernel(self.host_text, self.external, None, 0))
        kinds = [one.split()[0] for one in self.arguments]

        def run(order: Any, *arguments: Any, table: Any = None) -> None:
            table = self.table if table is None else table
            order = np.ascontiguousarray(order, dtype=np.int64)
            given = np.zeros(max(len(kinds), 1), dtype=np.int64)
            for k, (kind, one) in enumerate(zip(kinds, arguments, strict=True)):
                if kind == "double":
                    given[k : k + 1].view(np.float64)[0] = one
                else:
                    given[k] = address(one) if isinstance(one, np.ndarray) else int(one)
            if order.size:
                code.function(address(table), address(order), address(given), order.size)

        return run


class CalledKernel(DeviceKernel):
    """What a thread does, by functions that read constants by a pointer: they are in memory."""

    is_by_value = False


def device_kernel(
    code: Code, arguments: Sequence[str], programs: Sequence[WrittenOut] = (), aligned: Sequence[str] = ()
) -> DeviceKernel:  # fmt: skip
    """The kernel whose lines were written to some code, with the constants of one program that is written out in it."""
    if len(programs) > 1:
        raise ValueError("a kernel has one table of constants")
    text = code.text
    lines = (*code.variables, *text.lines)
    table, sources = (programs[0].table, programs[0].sources) if programs else (np.zeros(0, np.uint8), ())
    return DeviceKernel(
        tuple(arguments), lines, text.declarations, text.external, table, sources, tuple(aligned)
    )  # fmt: skip


def device_code() -> Code:
    """Code for what a thread does."""
    return Code(DeviceText())


def thread_of(code: Code) -> Value:
    """The number of the thread."""
    return code.argument("thread")


# PTX

TRIPLE = "nvptx64-nvidia-cuda"

REGISTERS = ("tid", "ctaid", "ntid")

THREAD_DECLARED = [f"declare i32 @llvm.nvvm.read.ptx.sreg.{one}.x()" for one in REGISTERS]

THREAD = [
    *(f"  %{one} = call i32 @llvm.nvvm.read.ptx.sreg.{one}.x()" for one in REGISTERS),
    *(f"  %{one}_wide = zext i32 %{one} to i64" for one in REGISTERS),
    "  %before = mul i64 %ctaid_wide, %ntid_wide",
    "  %thread = add i64 %before, %tid_wide",
]
"""The number of a thread among those of all blocks."""

KNOWN = ((7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (10, 3), (11, 0), (12, 0), (12, 1))
"""Compute capabilities that LLVM writes for; later ones take the PTX of the last one before them."""

LINKED = "__nv_"
"""What NVIDIA's library has before the names of the C library."""


def ptx(kernel: DeviceKernel, capability: tuple[int, int]) -> str:
    """
    PTX of a kernel for a compute capability, (9, 0) for example. Neither a device nor a driver is needed.

    Raises
    ------
    UnsupportedError
        If LLVM is built without devices, if the functions of NVIDIA's library are needed and not installed, or for a
        device that is older than all that are known.
    """
    import llvmlite.binding as llvm  # noqa: PLC0415 - slow to load

    machine = _machine(_architecture(capability))
    try:
        module = llvm.parse_assembly(kernel.text)
        if kernel.external:
            module.link_in(
                llvm.parse_bitcode(_functions(tuple(sorted(kernel.declarations[k] for k in kernel.external))))
            )
        _hide(module, {NAME})
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_unrolling = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        return str(machine.emit_assembly(module))
    except RuntimeError as error:  # of LLVM
        raise UnsupportedError(f"cannot be compiled for a device: {error}") from error


@lru_cache(64)
def _functions(declarations: tuple[str, ...]) -> bytes:
    """Functions of the C library by those of NVIDIA's, with all that they need of it, as LLVM's code."""
    import llvmlite.binding as llvm  # noqa: PLC0415

    module = llvm.parse_assembly("\n".join([f'target triple = "{TRIPLE}"', *map(_by_libdevice, declarations)]))
    wanted = {function.name for function in module.functions if not function.is_declaration}
    module.link_in(llvm.parse_bitcode(_libdevice()))
    _hide(module, wanted)
    manager = llvm.create_new_module_pass_manager()
    manager.add_global_dead_code_eliminate_pass()  # most of the library
    machine = _machine(_architecture(KNOWN[0]))
    manager.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    return bytes(module.as_bitcode())


def _hide(module: Any, wanted: set[str]) -> None:
    """Functions that are called inside of a module only."""
    for function in module.functions:
        if not function.is_declaration and function.name not in wanted:
            function.linkage = "internal"


def _by_libdevice(declaration: str) -> str:
    """The definition of a function of the C library."""
    result, _, rest = declaration.removeprefix("declare ").partition(" @")
    name, _, rest = rest.partition("(")
    kinds = rest[: rest.index(")")].split(", ")
    other, given = LINKED + name.removeprefix(libm.SCALAR), ", ".join(f"{kind} %x{k}" for k, kind in enumerate(kinds))
    return "\n".join([
        f"declare {result} @{other}({', '.join(kinds)})",
        f"define {result} @{name}({given}) alwaysinline nounwind {{",
        f"  %found = call {result} @{other}({given})",
        f"  ret {result} %found",
        "}",
    ])  # fmt: skip


def _architecture(capability: tuple[int, int]) -> str:
    known = [one for one in KNOWN if one <= capability]
    if not known:
        raise UnsupportedError(f"is not compiled for devices of compute capability {'.'.join(map(str, capability))}")
    return "sm_{}{}".format(*known[-1])


@cache
def _machine(architecture: str) -> Any:
    import llvmlite.binding as llvm  # noqa: PLC0415

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        return llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=architecture, opt=3)
    except RuntimeError as error:
        raise UnsupportedError(f"cannot be compiled for a device: {error}") from error


@cache
def _libdevice() -> bytes:
    """NVIDIA's library of functions, as LLVM's code; it comes with the toolkit that numba-cuda installs."""
    try:
        from cuda.pathfinder import find_bitcode_lib  # noqa: PLC0415

        with open(find_bitcode_lib("device"), "rb") as file:
            return file.read()
    except (ImportError, OSError, RuntimeError) as error:
        raise UnsupportedError(f"calls functions of NVIDIA's libdevice, which was not found: {error}") from error

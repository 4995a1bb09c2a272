"""Machine code of kernels: compiled by LLVM, or kept in memory or on disk from an earlier compilation."""

from __future__ import annotations

import copy
import ctypes
import hashlib
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from ..._arrays import disk
from ..._reporting.announce import announced
from . import libm
from .kernel import JUMPS, NAME, Kernel
from .layout import address, aligned
from .text import UnsupportedError

KEPT = 32 << 20
"""Largest total size, in bytes, of object code that is kept in memory, besides kernels in use."""

OLDEST = 17
"""Version of LLVM that the text is written for."""

_lock = threading.RLock()
_kept: OrderedDict[str, Code] = OrderedDict()
_numbers = itertools.count()

if hasattr(os, "register_at_fork"):  # a child must not find the lock taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Code:
    """
    A kernel's code. It is in memory as long as this object.

    Attributes
    ----------
    size : int
        Bytes of object code.
    address : int
        Of the function in memory.
    function : callable
        `function(table, scratch, arrays, steps)`, three addresses and a number. It releases the GIL.
    """

    def __init__(self, object_code: bytes, external: dict[str, int]) -> None:
        builder = llvm.JITLibraryBuilder().add_object_img(object_code).add_current_process().export_symbol(NAME)
        for name, place in external.items():
            builder.import_symbol(name, place)
        self.size = len(object_code)
        self._tracker = builder.link(_jit(), f"parscan{os.getpid()}_{next(_numbers)}")
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self.address = self._tracker[NAME]
        self.function = kind(self.address)


class Compiled:
    """
    A kernel with its code and its constants.

    Attributes
    ----------
    address, table : int
        Of the function, and of its constants, in memory.

    Raises
    ------
    UnsupportedError
        If LLVM is too old, or cannot compile it.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._code, self._scratch = compiled(kernel), kernel.scratch
        self._kept = kernel.table
        self.address, self.table = self._code.address, address(kernel.table)

    def with_table(self, table: Any) -> Compiled:
        """The same code with other constants."""
        other = copy.copy(self)
        other._kept, other.table = table, address(table)
        return other

    def memory(self) -> Any:
        """Memory for intermediate values, for one thread."""
        return aligned(self._scratch) if self._scratch else None

    def __call__(self, memory: Any, arrays: Any, steps: int) -> None:
        """Run the kernel; `arrays` are the integers that `Kernel` describes."""
        self.on(memory)(address(arrays), steps)

    def on(self, memory: Any) -> Callable[[int, int], None]:
        """The kernel with some memory: a function of the address of `arrays`, and of the steps."""
        return partial(self._code.function, self.table, 0 if memory is None else address(memory))

    def task(self, places: Any, steps: int) -> Callable[[], None]:
        """
        Run the kernel for each of some groups of arrays, one after the other, without a return to Python.

        `places` are the integers of each group, shape (groups, arrays, 3), contiguous.
        """
        memory = self.memory()
        scratch = 0 if memory is None else address(memory)
        given = np.array([self.table, scratch, steps, places.strides[0]], dtype=np.int64)
        if len(places) == 1:
            call = partial(self._code.function, self.table, scratch, address(places), steps)
        else:
            call = partial(_for_each().function, self.address, address(given), address(places), len(places))

        def run(_: Any = (memory, given, places)) -> None:  # which are in use until then
            call()

        return run


FOR_EACH = f"""
define void @{NAME}(ptr %kernel, ptr readonly %given, ptr %arrays, i64 %groups) nounwind {{
entry:
  %table = load ptr, ptr %given
  %scratch_ = getelementptr i64, ptr %given, i64 1
  %scratch = load ptr, ptr %scratch_
  %steps_ = getelementptr i64, ptr %given, i64 2
  %steps = load i64, ptr %steps_
  %size_ = getelementptr i64, ptr %given, i64 3
  %size = load i64, ptr %size_
  br label %group
group:
  %k = phi i64 [ 0, %entry ], [ %next, %group ]
  %offset = mul i64 %k, %size
  %one = getelementptr i8, ptr %arrays, i64 %offset
  call void %kernel(ptr %table, ptr %scratch, ptr %one, i64 %steps)
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %groups
  br i1 %more, label %group, label %exit
exit:
  ret void
}}
"""
"""Calls a kernel for each of some groups of arrays: see `Compiled.task`."""


@cache
def _for_each() -> Code:
    return compiled(Kernel(FOR_EACH, {}, None, 0))


def compiled(kernel: Kernel) -> Code:
    """The code of a kernel: kept in memory or on disk, or compiled."""
    key = key_of(kernel)
    with _lock:
        try:
            return known(key, kernel.external) or _keep(key, _made(key, kernel))
        except RuntimeError as error:  # of LLVM
            raise UnsupportedError(f"cannot be compiled: {error}") from error


def key_of(kernel: Kernel) -> str:
    """The name of a kernel's code, the same for all kernels of the same text."""
    if llvm.llvm_version_info[0] < OLDEST:
        raise UnsupportedError(f"needs LLVM {OLDEST}, but llvmlite {llvmlite.__version__} has an older one")
    return hashlib.sha256((machine_name() + kernel.text).encode()).hexdigest()


def known(key: str, external: dict[str, int]) -> Code | None:
    """The code of this name in memory or on disk; None if it has to be compiled."""
    with _lock:
        code = _kept.get(key)
        if code is not None:
            _kept.move_to_end(key)
            return code
        found = disk.load(key)
        return None if found is None else _keep(key, Code(found, external))


def _made(key: str, kernel: Kernel) -> Code:
    """The code of a kernel, compiled, and kept on disk."""
    with announced("making machine code of a function, which is kept for later"):
        found = _object_code(kernel.text)
    code = Code(found, kernel.external)
    disk.save(key, found)
    return code


def _keep(key: str, code: Code) -> Code:
    """Keep code in memory."""
    _kept[key] = code
    size = sum(one.size for one in _kept.values())
    while size > KEPT and len(_kept) > 1:
        size -= _kept.popitem(last=False)[1].size
    return code


def _object_code(text: str) -> bytes:
    """
    Object code by LLVM.

    Its passes over the text are left out: they take as long as all the rest, and find nothing, because vectors, fused
    loops and values that do not change from step to step stand in the text as the processor wants them. Steps in a row
    ask for conditions that are known by the way to them, as some are after a state was set to a constant; there, and
    nowhere else, LLVM connects ways with what follows these conditions.
    """
    module = llvm.parse_assembly(text)
    if JUMPS in text:
        _connect_jumps(module)
    return bytes(_machine().emit_object(module))


def _connect_jumps(module: Any) -> None:
    """Pass over known conditions."""
    passes = llvm.create_new_function_pass_manager()
    passes.add_jump_threading_pass()
    builder = llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options())
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)


@cache
def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=_features(), opt=2, jit=True)


@cache
def _features() -> str:
    return ",".join(f"{'+' if has else '-'}{name}" for name, has in sorted(libm.features().items()))


@cache
def machine_name() -> str:
    """The properties of the machine on which code depends, besides its text."""
    versions = f"{llvmlite.__version__} {llvm.llvm_version_info}"
    return f"{versions} {llvm.get_process_triple()} {llvm.get_host_cpu_name()} {_features()}\n"


@cache
def _jit() -> Any:
    return llvm.create_lljit_compiler(_machine())

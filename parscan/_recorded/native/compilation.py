"""Machine code of kernels, compiled by LLVM, in memory."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import threading
from collections import OrderedDict
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from .kernel import NAME, Kernel

KEPT = 256
"""Kernels that are kept in memory, besides those in use."""

_lock = threading.RLock()
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release) if hasattr(
    os, "register_at_fork"
) else None
_kept: OrderedDict[str, Code] = OrderedDict()
_numbers = itertools.count()


class Code:
    """
    A kernel's code. It is in memory as long as this object.

    Attributes
    ----------
    function : callable
        `function(table, scratch, arrays, steps)`, three addresses and a number. It releases the GIL.
    """

    def __init__(self, object_code: bytes, external: dict[str, int]) -> None:
        builder = llvm.JITLibraryBuilder().add_object_img(object_code).add_current_process().export_symbol(NAME)
        for name, address in external.items():
            builder.import_symbol(name, address)
        self._tracker = builder.link(_jit(), f"parscan{os.getpid()}_{next(_numbers)}")
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self.function = kind(self._tracker[NAME])


def compiled(kernel: Kernel) -> Code:
    """The code of a kernel: kept from before, or compiled."""
    key = hashlib.sha256(kernel.text.encode()).hexdigest()
    with _lock:
        code = _kept.get(key)
        if code is None:
            code = _kept[key] = Code(_object_code(kernel.text), kernel.external)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return code


def _object_code(text: str) -> bytes:
    module = llvm.parse_assembly(text)
    machine = _machine()
    options = llvm.create_pipeline_tuning_options(speed_level=LEVEL)
    options.loop_vectorization = False
    options.slp_vectorization = True
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return machine.emit_object(module)


LEVEL = 2


@cache
def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True)


@cache
def _jit() -> Any:
    return llvm.create_lljit_compiler(_machine())

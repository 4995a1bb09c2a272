"""Kernels of devices that are written in LLVM's language: what tests need to write, run and assemble them."""

import re

import numpy as np
import pytest

from parscan._recorded.native.device import WrittenOut, device_code, device_kernel, thread_of
from parscan._recorded.native.expressions import Value


def _has_libdevice():
    try:
        from cuda.pathfinder import find_bitcode_lib

        return bool(find_bitcode_lib("device"))
    except (ImportError, RuntimeError):
        return False


needs_libdevice = pytest.mark.skipif(not _has_libdevice(), reason="NVIDIA's libdevice is not installed")


def evaluating(program):
    """A kernel whose thread `t` evaluates a program with row `t` of each argument."""
    code = device_code()
    thread, step, given = thread_of(code), WrittenOut(program, code), []
    for k, argument in enumerate(program.arguments):
        size = int(np.prod(argument.shape))
        row = code.reals(f"%a{k}", argument.dtype).after(thread * size)
        given.append([row[i].register for i in range(size)])
    for k, (values, dtype) in enumerate(zip(step(*given), program.dtypes, strict=True)):
        row = code.reals(f"%r{k}", dtype).after(thread * len(values))
        for i, value in enumerate(values):
            row[i] = Value(code, value, np.dtype(dtype), 1)
    names = [*(f"a{k}" for k in range(len(program.arguments))), *(f"r{k}" for k in range(len(program.results)))]
    return device_kernel(code, [f"ptr %{name}" for name in names], [step])


def evaluated(program, *arguments):
    """The results of that kernel, by the CPU."""
    rows = [np.ascontiguousarray(one, given.dtype) for one, given in zip(arguments, program.arguments, strict=True)]
    outs = [
        np.empty((len(rows[0]), *ids.shape), dtype) for ids, dtype in zip(program.results, program.dtypes, strict=True)
    ]
    evaluating(program).host()(np.arange(len(rows[0])), *rows, *outs)
    return outs


def calls(ptx):
    """Functions that a PTX text leaves to others."""
    return re.findall(r"^\.extern.*", ptx, re.MULTILINE)


def doubles(ptx):
    """Instructions on numbers in double precision."""
    return re.findall(r"^.*\.f64.*", ptx, re.MULTILINE)

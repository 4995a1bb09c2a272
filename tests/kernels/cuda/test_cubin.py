"""Kernels compiled without a device: their machine code, and the error where a driver refuses it."""

import cuda_child
import pytest
from cuda_child import needs_toolkit

pytestmark = [pytest.mark.slow, pytest.mark.kernels]

RESOURCES = """
from _cuda_cubin import assemble, compile_ptx
from parscan._kernels.cuda.thread_kernels import march_kernel

kernel = march_kernel("float64", 2)
ptx = compile_ptx(kernel, (8, 0))
cubins = [assemble(ptx, capability) for capability in ((8, 0), (9, 0))]
assert cubins[0].code != cubins[1].code
assert all(cubin.code[:4] == b"\\x7fELF" for cubin in cubins)
assert all(cubin.entry.encode() in cubin.code for cubin in cubins)
print([(cubin.registers > 16, cubin.spilled, cubin.stack, cubin.shared) for cubin in cubins])
"""

FAILURE = """
import sys
from types import ModuleType, SimpleNamespace

from numba import cuda
from parscan._kernels.cuda.launch import NumbaLauncher
from parscan._kernels.cuda.thread_kernels import march_kernel

cupy = sys.modules["cupy"] = ModuleType("cupy")
cupy.cuda = SimpleNamespace(
    runtime=SimpleNamespace(
        getDevice=lambda: 0, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 12090
    ),
)


def refuse(signature, **options):
    raise OSError("no kernel image is available")


kernel = march_kernel("float32", 1)
cuda.jit = refuse
try:
    NumbaLauncher().launch(kernel, 1, 1)
except RuntimeError as error:
    print(error)
"""


@needs_toolkit
def test_what_a_cubin_tells():
    assert cuda_child.run("-c", RESOURCES).strip() == "[(True, 0, 0, 0), (True, 0, 0, 0)]"


@needs_toolkit
def test_what_a_driver_refuses_is_told_with_what_to_do():
    told = cuda_child.run("-c", FAILURE)
    assert "OSError: no kernel image is available" in told
    assert "the driver knows CUDA up to 13.0, and CuPy was built for 12.9" in told
    assert "pip install 'parscan[cuda12]'" in told

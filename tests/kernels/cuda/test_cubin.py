"""What the toolkit tells of kernels that are compiled without a device."""

import json
import sys
from importlib import import_module

import cuda_child
import pytest
from cuda_child import ROOT, needs_toolkit

pytestmark = [pytest.mark.slow, pytest.mark.kernels]

RESOURCES = """
from _cuda_cubin import assemble, compile_ptx
from parscan._kernels.cuda.thread_kernels import march_kernel

kernel = march_kernel("float64", 2)
ptx = compile_ptx(kernel, (8, 0))
cubins = [assemble(ptx, name) for name in ("sm_80", "sm_90")]
assert cubins[0].code != cubins[1].code
assert all(cubin.code[:4] == b"\\x7fELF" for cubin in cubins)
print([(cubin.registers > 16, cubin.spilled, cubin.stack, cubin.shared) for cubin in cubins])
"""


@needs_toolkit
def test_what_a_cubin_tells():
    assert cuda_child.run("-c", RESOURCES).strip() == "[(True, 0, 0, 0), (True, 0, 0, 0)]"


COUNTED = """
import json
from _cuda_cubin import assemble, compile_ptx
from _cuda_sass import per_multiply_add
from parscan._kernels.cuda.column_kernels import ROWS, summarise_kernel
from parscan._kernels.cuda.march_kernels import Tile, march_kernel

for dtype in ("float32", "float64"):
    for n in (16, 32):
        tile = Tile(n)
        for make, sizes in ((summarise_kernel, (n * n, n // ROWS)), (march_kernel, (tile.rows * tile.classes,))):
            cubin = assemble(compile_ptx(make(dtype, n), (9, 0)), "sm_90")
            print(json.dumps([make.__name__, dtype, n, per_multiply_add(cubin.code, *sizes)]))
"""

MOST = 5.0 if sys.version_info < (3, 12) else 6.25
"""
Instructions for each multiply-add of a step, all that a thread does in it.

What Numba makes of the bytecode of newer Pythons has more of them where states are marched with n = 16: 5.6 and 6.1.
"""


@needs_toolkit
def test_instructions_of_the_loops_of_columns(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    if import_module("_cuda_sass").disassembler() is None:
        pytest.skip("needs nvdisasm, which `pip install nvidia-cuda-nvdisasm` brings")
    found = {tuple(kernel): count for *kernel, count in map(json.loads, cuda_child.run("-c", COUNTED).splitlines())}
    print(found)
    assert len(found) == 8
    assert {kernel: count for kernel, count in found.items() if not 1 < count <= MOST} == {}

"""What the toolkit tells of kernels that are compiled without a device."""

import json
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
        for name, kernel, sizes in (
            ("summarise", summarise_kernel(dtype, n), (n * n, n // ROWS)),
            ("march", march_kernel(dtype, n), (tile.rows * tile.classes,)),
            ("wide march", march_kernel(dtype, n, wide=True), (tile.rows * tile.classes,)),
        ):
            cubin = assemble(compile_ptx(kernel, (9, 0)), "sm_90")
            print(json.dumps([name, dtype, n, per_multiply_add(cubin.code, *sizes)]))
"""

MOST = 5.0
"""Instructions for each multiply-add of a step, all that a thread does in it; on every Python."""


@needs_toolkit
def test_instructions_of_the_loops_of_columns(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    if import_module("_cuda_sass").disassembler() is None:
        pytest.skip("needs nvdisasm, which `pip install nvidia-cuda-nvdisasm` brings")
    found = {tuple(kernel): count for *kernel, count in map(json.loads, cuda_child.run("-c", COUNTED).splitlines())}
    print(found)
    assert len(found) == 12
    assert {kernel: count for kernel, count in found.items() if not 1 < count <= MOST} == {}


LOADS = """
import json
from _cuda_cubin import assemble, compile_ptx
from _cuda_sass import instructions
from parscan._kernels.cuda import march_kernels, thread_kernels

for dtype, n in (("float32", 2), ("float64", 2), ("float32", 4), ("float64", 4), ("float32", 16), ("float64", 16)):
    kernels = thread_kernels if n < 8 else march_kernels
    for name in ("summarise", "march") if n < 8 else ("march",):
        for wide in (False, True):
            kernel = getattr(kernels, f"{name}_kernel")(dtype, n, wide=wide)
            found, _ = instructions(assemble(compile_ptx(kernel, (9, 0)), "sm_90").code)
            print(json.dumps([name, dtype, n, sum(" LDG" in " " + one for one in found)]))
"""


@needs_toolkit
def test_wide_kernels_have_half_the_loads(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    if import_module("_cuda_sass").disassembler() is None:
        pytest.skip("needs nvdisasm, which `pip install nvidia-cuda-nvdisasm` brings")
    counts = {}
    for *kernel, count in map(json.loads, cuda_child.run("-c", LOADS).splitlines()):
        counts.setdefault(tuple(kernel), []).append(count)
    print(counts)
    assert len(counts) == 10
    assert {kernel: found for kernel, found in counts.items() if not 0 < found[1] <= 0.6 * found[0]} == {}

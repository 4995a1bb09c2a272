"""Kernels as cubins, and CuPy's launcher of them, up to the calls of CuPy, which a stand-in takes."""

import json

import cuda_child
from cuda_child import needs_toolkit

CUPY = """
import json
import sys
from types import ModuleType, SimpleNamespace

from parscan._kernels.cuda.cubin import CupyLauncher, assemble, compile_ptx
from parscan._kernels.cuda.thread_kernels import march_kernel

loaded, launched = [], []


class Module:
    def load(self, code):
        assert type(code) is bytes and code[:4] == b"\\x7fELF"
        if FAIL:
            raise OSError("no kernel image is available")
        loaded.append(code)
        self.code = code

    def get_function(self, name):
        assert name.encode() in self.code
        return lambda grid, block, arguments: launched.append((grid, block, arguments))


FAIL = False
cupy = ModuleType("cupy")
cupy.cuda = SimpleNamespace(
    Device=lambda number: SimpleNamespace(compute_capability="90", attributes={"MultiProcessorCount": 132}),
    function=SimpleNamespace(Module=Module),
    runtime=SimpleNamespace(
        getDevice=lambda: 0, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 12090
    ),
)
sys.modules["cupy"] = cupy
launcher = CupyLauncher()
"""

LAUNCH = """
kernel = march_kernel("float32", 1)
array = SimpleNamespace(data=SimpleNamespace(ptr=1 << 40))
arguments = [array if str(kind).endswith("*") else 7 for kind in kernel.arguments]
for blocks in (3, 5):
    launcher.launch(kernel, blocks, 128, *arguments)
assert launcher.processors() == 132
print(json.dumps([len(loaded), launched, [str(kind) for kind in kernel.arguments]]))
"""

FAILURE = """
FAIL = True
try:
    launcher.launch(march_kernel("float32", 1), 1, 1)
except RuntimeError as error:
    print(error)
"""

FACTS = """
kernel = march_kernel("float64", 2)
ptx = compile_ptx(kernel, (8, 0))
cubins = [assemble(ptx, capability) for capability in ((8, 0), (9, 0))]
assert cubins[0].code != cubins[1].code
assert all(cubin.entry.encode() in cubin.code for cubin in cubins)
print([(cubin.registers > 16, cubin.spilled, cubin.stack, cubin.shared) for cubin in cubins])
"""


@needs_toolkit
def test_what_a_cubin_tells():
    assert cuda_child.run("-c", CUPY + FACTS).strip() == "[(True, 0, 0, 0), (True, 0, 0, 0)]"


@needs_toolkit
def test_launched_by_cupy_with_addresses():
    """Compiled and loaded once; every argument is an integer, which CuPy passes as 64 bits."""
    loads, launches, kinds = json.loads(cuda_child.run("-c", CUPY + LAUNCH))
    assert loads == 1
    assert [launch[:2] for launch in launches] == [[[3], [128]], [[5], [128]]]
    expected = [1 << 40 if kind.endswith("*") else 7 for kind in kinds]
    assert all(arguments == expected for _, _, arguments in launches)
    assert {kind for kind in kinds if not kind.endswith("*")} == {"int64"}


@needs_toolkit
def test_what_a_driver_refuses_is_told_with_what_to_do():
    told = cuda_child.run("-c", CUPY + FAILURE)
    assert "OSError: no kernel image is available" in told
    assert "the driver knows CUDA up to 13.0, and CuPy was built for 12.9" in told
    assert "pip install 'parscan[cuda12]'" in told

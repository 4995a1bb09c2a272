"""What the toolkit tells of kernels that are compiled without a device."""

import cuda_child
import pytest
from cuda_child import needs_toolkit

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

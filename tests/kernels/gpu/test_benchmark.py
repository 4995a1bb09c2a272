"""The GPU benchmark where there is no GPU: its dry run measures everything, and without it nothing is measured."""

import json

import cuda_child
import pytest
from cuda_child import needs_toolkit
from devices import DEVICES

pytestmark = pytest.mark.slow

CASES = {"scans": 15, "gru": 2, "ensembles": 3}


@needs_toolkit
@pytest.mark.parametrize("part", CASES)
def test_dry_run(tmp_path, part):
    path = tmp_path / "gpu.json"
    printed = cuda_child.run("benchmarks/gpu.py", "--dry-run", "--only", part, "--json", path)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert "dry run" in report["machine"]["gpu"]
    assert "dry run" in printed
    assert len(report["cases"]) == CASES[part]
    for case in report["cases"]:
        assert case["name"] in printed
        deviations = [case["deviation"]] if part == "scans" else [row["deviation"] for row in case["timings"]]
        assert all(deviation < 1e-3 for deviation in deviations if deviation is not None)


@needs_toolkit
def test_every_case_is_kept_at_once(tmp_path):
    """A run that may take no time measures one case of those that were asked for, and keeps it."""
    path = tmp_path / "gpu.json"
    options = ("--dry-run", "--only", "gru", "--states", "2", "3", "--steps", "30", "--json", path)
    assert "is spent after 1 cases" in cuda_child.run("benchmarks/gpu.py", *options, "--budget", "0")
    (case,) = json.loads(path.read_text(encoding="utf-8"))["cases"]
    assert "2" in case["name"]


@needs_toolkit
@pytest.mark.parametrize(("family", "kernel"), [("gru", "march"), ("ensembles", "parscan_kernel")])
def test_the_dry_run_launches_kernels(family, kernel):
    """A program that took another library than CuPy would launch none."""
    code = (
        f"import gpu, sys; sys.argv = ['gpu.py', '--dry-run', '--only', '{family}', '--budget', '0']; gpu.main(); "
        + ("from cupy_device import DEVICE; print(sorted({name for name, _, _ in DEVICE.launched}))")
    )
    assert f"'{kernel}'" in cuda_child.run("-c", code).splitlines()[-1]


@pytest.mark.skipif(DEVICES > 0, reason="there is a device")
def test_without_a_device_nothing_is_measured(tmp_path):
    path = tmp_path / "gpu.json"
    assert cuda_child.run("benchmarks/gpu.py", "--quick", "--json", path).startswith("nothing is measured: CuPy")
    assert not path.exists()


SEQUENTIAL = """
import sys

sys.path.insert(0, "benchmarks")
from _gpu_gru import sequential_kernel
from parscan._kernels.cuda.cubin import compile_ptx

for n in (1, 32):
    print(compile_ptx(sequential_kernel(n), (8, 0)).count(".f64"))
"""


@needs_toolkit
def test_the_sequential_kernel_is_single_precision():
    """parscan is compared with a compiled loop that is worth it."""
    assert cuda_child.run("-c", SEQUENTIAL).split() == ["0", "0"]

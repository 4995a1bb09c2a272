"""All CUDA kernels, compiled and assembled without a device: what they take, against the committed record."""

import json
from importlib import import_module

import cuda_child
import pytest
from cuda_child import ROOT, needs_toolkit

RECORD = ROOT / "benchmarks" / "results" / "cuda_kernels.json"
PAGE = ROOT / "docs" / "cuda-kernels.md"
COMMITTED = json.loads(RECORD.read_text(encoding="utf-8"))
NAMES = list(COMMITTED["kernels"])

OTHER_TOOLKIT = 16
"""Registers that another version of the compiler may take more than the one of the record."""


@pytest.fixture
def command(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return import_module("cuda_kernels")


def test_the_record_is_of_all_kernels(command):
    assert [entry.name for entry in command.catalogue()] == NAMES
    assert len(set(NAMES)) == len(NAMES)


def test_the_page_is_of_the_record(command):
    assert PAGE.read_text(encoding="utf-8") == command.page(COMMITTED)


def test_the_record_is_of_all_architectures(command):
    names = {name for group in command.ARCHITECTURES.values() for name in group}
    assert names == {"sm_75", "sm_80", "sm_86", "sm_90", "sm_90a", "sm_100", "sm_120"}
    assert all(set(kernel["registers"]) == names for kernel in COMMITTED["kernels"].values())


def faults(name, kernel, allowance=0):
    """What is the matter with a kernel, beside the committed record."""
    before = COMMITTED["kernels"][name]["registers"]
    told = {
        "narrow loads": kernel["narrow"] == 0,
        "spills": not kernel["hot"] or (kernel["spilled"], kernel["stack"]) == (0, 0),
        "more registers": all(
            registers <= before[architecture] + allowance for architecture, registers in kernel["registers"].items()
        ),
        "shared memory": kernel["shared"] <= 48 << 10,
    }
    is_single = kernel["dtype"] in ("float32", "complex64")
    told["double precision"] = kernel["double"] == 0 if is_single else kernel["double"] > 0 or name.startswith("spoil")
    return [fault for fault, holds in told.items() if not holds]


def test_no_kernel_of_the_record_has_a_fault():
    wrong = {name: faults(name, kernel) for name, kernel in COMMITTED["kernels"].items()}
    assert {name: told for name, told in wrong.items() if told} == {}


@pytest.mark.slow
@needs_toolkit
def test_kernels_are_those_of_the_record(tmp_path, command):
    """
    All are compiled for one architecture if their source or the toolkit is not that of the record; else a few: the
    record was made by the same compiler from the same source.

    One test, for all are compiled by one command, and workers of pytest would each do it.
    """
    path, is_same_toolkit = tmp_path / "record.json", command.toolkit() == COMMITTED["toolkit"]
    is_unchanged = is_same_toolkit and command.source() == COMMITTED["source"]
    options = ("--check", "--quick") if is_unchanged else ("--check",)
    cuda_child.run("benchmarks/cuda_kernels.py", *options, "--json", path)
    found = json.loads(path.read_text(encoding="utf-8"))["kernels"]
    assert len(found) >= (len(NAMES) // command.QUICK if is_unchanged else len(NAMES))
    assert set(found) <= set(NAMES)
    wrong = {name: faults(name, kernel, 0 if is_same_toolkit else OTHER_TOOLKIT) for name, kernel in found.items()}
    assert {name: told for name, told in wrong.items() if told} == {}


ONE_KERNEL = """
import re
from _cuda_cubin import assemble, compile_ptx
from cuda_kernels import ARCHITECTURES
from parscan._kernels.cuda.thread_kernels import march_kernel

texts = {capability: compile_ptx(march_kernel("float32", 1), capability) for capability in ((7, 5), (9, 0), (10, 0))}
plain = [re.sub(r"\\.target sm_\\d+|_ZN\\w+|smem_\\d+", "", texts[capability]) for capability in ((7, 5), (9, 0))]
print(plain[0] == plain[1])
for capability, names in ARCHITECTURES.items():
    for name in names:
        cubin = assemble(texts[capability], name)
        print(name, cubin.spilled, cubin.stack, cubin.code[:4] == b"\\x7fELF")
"""


@pytest.mark.slow
@needs_toolkit
def test_one_kernel_on_every_architecture():
    """The PTX of an old one is that of those after it, so that it may stand for them."""
    alike, *lines = cuda_child.run("-c", ONE_KERNEL).splitlines()
    assert alike == "True"
    assert lines == [f"{name} 0 0 True" for name in ("sm_75", "sm_80", "sm_86", "sm_90", "sm_90a", "sm_100", "sm_120")]


DETECTION = """
from numba import cuda

from _cuda_cubin import assemble, compile_ptx
from parscan._kernels.cuda.kernel import INTEGER, Kernel, pointer, scalar_type


def promoting(x, n):
    for i in range(n):
        x[i] = x[i] * 0.1


def crowded(x, n):
    numbers = cuda.local.array(600, scalar)
    for i in range(600):
        numbers[i] = x[i * n] * x[i + n]
    for k in range(n):
        for i in range(600):
            numbers[i] = numbers[599 - i] * x[k] + numbers[(i * k) % 600]
    for i in range(600):
        x[i] = numbers[i]


scalar = scalar_type("float32")
for body in (promoting, crowded):
    ptx = compile_ptx(Kernel(body, (pointer("float32"), INTEGER)), (7, 5))
    print(ptx.count(".f64") > 0, assemble(ptx, "sm_75").stack > 0)
"""


@pytest.mark.slow
@needs_toolkit
def test_promotions_and_stacks_would_be_seen():
    assert cuda_child.run("-c", DETECTION).split() == ["True", "False", "False", "True"]

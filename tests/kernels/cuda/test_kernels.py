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


def faults(name, kernel, allowance):
    """What is the matter with a kernel, beside the committed record."""
    before = COMMITTED["kernels"][name]["registers"]
    told = {
        "an architecture is missing": {"sm_75", "sm_80", "sm_90"} <= set(kernel["registers"]),
        "narrow loads": kernel["narrow"] == 0,
        "spills": not kernel["hot"] or (kernel["spilled"], kernel["stack"]) == (0, 0),
        "more registers": all(
            registers <= before.get(architecture, 255) + allowance
            for architecture, registers in kernel["registers"].items()
        ),
        "shared memory": kernel["shared"] <= 48 << 10,
    }
    is_single = kernel["dtype"] in ("float32", "complex64")
    told["double precision"] = kernel["double"] == 0 if is_single else kernel["double"] > 0 or name.startswith("spoil")
    return [fault for fault, holds in told.items() if not holds]


@pytest.mark.slow
@needs_toolkit
def test_all_kernels(tmp_path):
    """One test, for all are compiled by one command, and workers of pytest would each do it."""
    path = tmp_path / "record.json"
    cuda_child.run("benchmarks/cuda_kernels.py", "--check", "--json", path)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert set(found["kernels"]) >= set(NAMES)
    allowance = 0 if found["toolkit"] == COMMITTED["toolkit"] else OTHER_TOOLKIT
    wrong = {name: faults(name, found["kernels"][name], allowance) for name in NAMES}
    assert {name: told for name, told in wrong.items() if told} == {}
    newest = [kernel for kernel in found["kernels"].values() if len(kernel["registers"]) > 3]
    assert len(newest) >= len(NAMES) // 4


COMPARISON = """
import re
from _cuda_catalogue import catalogue
from _cuda_cubin import compile_ptx

for entry in catalogue()[::20]:
    texts = set()
    for capability in ((7, 5), (8, 0), (9, 0)):
        text = compile_ptx(entry.make(), capability)
        text = re.sub(r"\\.target sm_\\d+", "", text)
        texts.add(re.sub(r"_ZN\\w+|smem_\\d+", "name", text))
    print(entry.name, len(texts), sep=": ")
"""


@pytest.mark.slow
@needs_toolkit
def test_older_architectures_have_one_ptx():
    """What is made for sm_75 may thus stand for those that it is assembled for."""
    lines = cuda_child.run("-c", COMPARISON).splitlines()
    assert len(lines) >= 5
    assert all(line.endswith(": 1") for line in lines)


OTHERS = """
from _cuda_catalogue import catalogue
from _cuda_cubin import assemble, compile_ptx, known_capabilities

for entry in catalogue()[::30]:
    for capability, names in (((7, 5), ("sm_86", "sm_89", "sm_90a")), ((10, 0), ("sm_100", "sm_120"))):
        if capability in known_capabilities():
            text = compile_ptx(entry.make(), capability)
            print(entry.name, [assemble(text, name).spilled for name in names], sep=": ")
"""


@pytest.mark.slow
@needs_toolkit
def test_architectures_between_those_of_the_record():
    lines = cuda_child.run("-c", OTHERS).splitlines()
    assert len(lines) >= 4
    assert all(line.endswith((": [0, 0, 0]", ": [0, 0]")) for line in lines)


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

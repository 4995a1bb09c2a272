"""The GPU benchmark where there is no GPU: its dry run has every case, and without it nothing is measured."""

import json
import re
import shlex

import cuda_child
import pytest
from cuda_child import ROOT, needs_toolkit
from devices import DEVICES

pytestmark = pytest.mark.slow

PARTS = ("families", "scans", "peers", "gru", "ensembles", "tuning", "stress")
OTHERS = ("torch", "jax", "diffrax")
"""Packages that need not be there."""


def listed(*options):
    """Part, name and contenders of every case that is run on a device."""
    lines = cuda_child.run("benchmarks/gpu.py", "--list", *options).splitlines()
    return [(part, name, set(contenders)) for part, name, *contenders in (line.split("\t") for line in lines)]


def test_all_parts_are_tried():
    assert {part for part, _, _ in listed()} == set(PARTS)


@needs_toolkit
@pytest.mark.parametrize("part", PARTS)
def test_dry_run(tmp_path, part):
    path = tmp_path / "gpu.json"
    printed = cuda_child.run("benchmarks/gpu.py", "--dry-run", "--only", part, "--json", path)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert "dry run" in report["machine"]["gpu"]
    assert "dry run" in printed
    took_part = [
        (case["part"], case["name"], {row["contender"] for row in case["rows"]} | set(case["left_out"]))
        for case in report["cases"]
    ]
    assert took_part == listed("--only", part)
    for case in report["cases"]:
        assert f"{part}: {case['name']}" in printed
        assert not case["failed"]
        assert not any(row["is_wrong"] for row in case["rows"])
        for contender, reason in case["left_out"].items():
            assert reason.endswith("is not installed")
            assert any(package in contender for package in OTHERS)


@needs_toolkit
def test_every_case_is_kept_at_once(tmp_path):
    """A run that may take no time measures one contender of one case, and keeps it."""
    path = tmp_path / "gpu.json"
    options = ("--dry-run", "--only", "gru", "--states", "2", "3", "--steps", "30", "--json", path)
    printed = cuda_child.run("benchmarks/gpu.py", *options, "--budget", "0")
    assert "is spent after 1 cases; 1 are left" in printed
    (case,) = json.loads(path.read_text(encoding="utf-8"))["cases"]
    assert "2" in case["name"]
    assert len(case["rows"]) == 1
    assert set(case["left_out"].values()) == {"the budget was spent"}


CASE = """
import sys
from math import nan

sys.path.insert(0, "benchmarks")
import numpy as np
from _gpu_case import AbsentError, Contender, Entry, Prepared, measure
from _gpu_platform import Platform
from _harness import Target

platform, names = Platform(np, {}, lambda: None, lambda: 1e9), tuple("abcde")


def absent():
    raise AbsentError("not here")


def broken():
    raise ValueError("too bad")


one = np.ones(9)
makers = dict(zip(names, (
    lambda: Contender(lambda: one, bytes=72.0), absent, lambda: Contender(broken), lambda: Contender(lambda: 2 * one),
    lambda: Contender(lambda: nan * one),
)))
entry = Entry("part", "case", names, lambda platform: Prepared(makers), (Target("d", ("b", "a"), 1.0),))
record = measure(entry, platform, 3, float("inf"))
print([(row.contender, row.is_wrong, row.share is None) for row in record.rows])
print(record.left_out, record.failed, [one["slow"] for one in record.targets], record.is_clean)
print(record.table())
"""


def test_a_contender_that_fails_ends_no_other():
    first, second, *table = cuda_child.run("-c", CASE).splitlines()
    assert first == "[('a', False, False), ('d', True, True), ('e', True, True)]"
    assert second == "{'b': 'not here'} {'c': 'ValueError: too bad'} ['b, a'] False"
    assert any(re.match(r"  d .*WRONG", line) for line in table)


@needs_toolkit
@pytest.mark.parametrize(("part", "kernel"), [("gru", "march"), ("ensembles", "parscan_kernel")])
def test_the_dry_run_launches_kernels(part, kernel):
    """A program that took another library than CuPy would launch none."""
    code = (
        f"import gpu; sizes = ['--states', '2', '--steps', '9']; "
        f"gpu.run(gpu.parser().parse_args(['--dry-run', '--only', '{part}', *sizes])); "
        "from cupy_device import DEVICE; print(sorted({name for name, _, _ in DEVICE.launched}))"
    )
    assert f"'{kernel}'" in cuda_child.run("-c", code).splitlines()[-1]


@pytest.mark.skipif(DEVICES > 0, reason="there is a device")
@pytest.mark.parametrize("option", ["--quick", "--small"])
def test_without_a_device_nothing_is_measured(tmp_path, option):
    path = tmp_path / "gpu.json"
    assert cuda_child.run("benchmarks/gpu.py", option, "--json", path).startswith("nothing is measured: CuPy")
    assert not path.exists()


def commands():
    """Those of the first sitting, as the page of the GPU lists them."""
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    block = re.search(r"four commands;[^\n]*\n\n((?:    [^\n]*\n)+)", page)[1]
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def test_there_are_four_commands():
    starts = [command[0] for command in commands()]
    assert starts == ["python", "pytest", "python", "compute-sanitizer"]


@needs_toolkit
@pytest.mark.parametrize("number", range(4))
def test_a_command_of_the_first_sitting(tmp_path, number):
    """It runs here, as far as it can without a device and in no time: one case, or the tests that are found."""
    words = commands()[number]
    if words[0] == "pytest":
        assert "::" in cuda_child.run("-m", *words, "--collect-only", "-q")
        return
    words = words[words.index("python") + 1 :]
    words = [tmp_path / word if word.endswith(".json") else word for word in words]
    assert "0 of 1 cases failed" in cuda_child.run(*words, "--dry-run", "--budget", "0")


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

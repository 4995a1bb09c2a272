"""What the README promises: its examples print what it shows, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n((?:^    [^\n]*\n)+)", re.DOTALL | re.MULTILINE)
COUNTED = re.compile(r"^ *(nfev|npoints|history|mesh):|steps\. The estimated error")
"""What depends on the machine: calls that are only repeated while they are fast; steps and errors, by rounding."""

EVEN = """
import itertools, time
time.perf_counter = map(1e-5.__mul__, itertools.count()).__next__
"""
"""All that is measured takes as long: on a busy machine, a sweep may take longer than the loop is expected to."""


def test_there_is_an_example_of_either_kind():
    examples = [example.group(1) for example in EXAMPLE.finditer(README)]
    assert ["solve_ivp" in code for code in examples] == [False, True]


@pytest.mark.slow
@pytest.mark.docs
@pytest.mark.parametrize("example", list(EXAMPLE.finditer(README)), ids=["recurrence", "ode"])
def test_the_examples_print_what_is_shown(example):
    """Line by line, but for what is counted."""
    code, shown = example.groups()
    run = subprocess.run([sys.executable, "-W", "error", "-c", EVEN + code], capture_output=True, text=True, check=True)
    printed, expected = run.stdout.splitlines(), [line[4:].rstrip() for line in shown.splitlines()]
    assert len(printed) == len(expected)
    for got, want in zip(printed, expected, strict=True):
        if not COUNTED.match(want):
            assert got.rstrip() == want


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"

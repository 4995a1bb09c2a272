"""Single-pass scans on a GPU again and again, in processes of their own, which are stopped if tiles wait for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from _gpu_case import Contender, Entry, Prepared
from _gpu_platform import Platform

PART = "stress"
COUNTS = {"launches": (10_000, 12), "streams": (2000, 3)}
"""Scans on a device, and in a small problem."""

SECONDS = 130
"""Time after which blocks are taken to wait for ever."""

ROOT = Path(__file__).parents[1]


def _prepared(what: str, platform: Platform) -> Prepared:
    script = ROOT / "tests" / "support" / "gpu_stress.py"
    command = [sys.executable, str(script), what, str(platform.size(*COUNTS[what]))]
    if platform.dry:
        command.append("--dry-run")

    def run() -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-400:])

    return Prepared({what: lambda: Contender(run)})


def entries() -> Iterator[Entry]:
    """One after another beside other work; and two streams at once."""
    for what, (count, _) in COUNTS.items():
        yield Entry(PART, f"single pass, {count} {what}", (what,), partial(_prepared, what))

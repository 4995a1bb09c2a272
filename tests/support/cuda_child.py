"""A Python process of its own, in which CUDA kernels are compiled."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

needs_toolkit = pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs numba-cuda and the CUDA toolkit")


def run(*arguments):
    """What it prints; arguments are those of the interpreter."""
    path = os.pathsep.join(filter(None, (str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0", "PYTHONPATH": path}
    command = [sys.executable, *map(str, arguments)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)
    assert process.returncode == 0, process.stderr[-4000:]
    return process.stdout

"""Batches of very many members: memory for more than the result is for a part of them at a time."""

import json
import subprocess
import sys

import pytest

MEMBERS, LIMIT = 1_000_000, 2.0**31

CHILD = """
import json, resource, sys
import numpy as np
from parscan import solve_ivp

def lorenz(t, y, rho):
    a, b, c = y
    return [10.0 * (b - a), a * (rho - c) - b, a * b - 8.0 / 3.0 * c]

def solve(count):
    y0 = np.array([1.0, 0.0, 0.0])[:, None] * np.ones(count)
    return solve_ivp(lorenz, (0.0, 5.0), y0, args=(np.linspace(0.5, 20.0, count),), t_eval=[5.0], rtol=1e-5, atol=1e-5)

solve(100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sol = solve(int(sys.argv[1]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([sol.compiled, sol.success, sol.y.shape, 1024 * (after - before) - sol.y.nbytes]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="others count the memory of a process in other units")
def test_ends_of_a_million_members():
    command = [sys.executable, "-W", "error", "-c", CHILD, str(MEMBERS)]
    compiled, success, shape, memory = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert compiled
    assert success
    assert shape == [3, 1, MEMBERS]
    assert memory < LIMIT

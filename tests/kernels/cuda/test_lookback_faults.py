"""Faults put by hand into the kernels of the single pass: the tests of these kernels find each of them.

Blocks that wait for others may wait for ever, and messages at wrong places may be written anywhere. So the tests run
with each fault in a process of their own, whose exit code tells.
"""

import json
import os
import subprocess
import sys

import pytest
from apart import NONE
from changed_source import VARIABLE
from cuda_child import ROOT
from cuda_emulator import MISSING

pytestmark = [pytest.mark.slow, pytest.mark.emulator, pytest.mark.skipif(MISSING is not None, reason=MISSING or "")]

SUPPORT = str(ROOT / "tests" / "support")

SECONDS = 300
"""After which a process is ended: its tests wait for ever."""

PASSED, FAILED = 0, 1
"""Exit codes of pytest. Others tell that tests could not run, and negative ones that the system ended the process."""

NEAREST, BLOCKS, WAITS, FIRST = (
    f"({name} and float64)"
    for name in ("nearest_state", "blocks_at_the_same_time", "waits_for_missing", "before_the_first_tile")
)
HALF, NEXT = "half_of_a_state", "ready_for_the_next"
"""Tests of the single pass, as pytest selects them."""

FAULTS = {
    NONE: ("lookback_words", "WINDOW = 128", 1, "WINDOW = 128", f"{FIRST} or {WAITS} or {HALF}"),
    "a tile waits for itself": (
        "lookback_words", "number - window + place\n", 1, "number - window + place + 1\n", FIRST
    ),
    "messages of another launch count": ("lookback_words", "- stamp\n", 1, "% 4\n", WAITS),
    "half of a state counts": ("lookback_words", "states == state_words", 1, "states > 0", HALF),
    "half of a map counts": ("lookback_words", "maps == words", 1, "maps > 0", HALF),
    "no mask of the tiles before the first": ("lookback_words", "place >= 0 and earlier >= 0", 1, "place >= 0", FIRST),
    "a state further away counts": (
        "lookback_words", "range(first_warp, warps)", 1, "range(warps - 1, first_warp - 1, -1)", NEAREST
    ),
    "a map too many": ("lookback_kernels", "range(nearest + 1, window)", 1, "range(nearest, window)", NEAREST),
    "a message too far": ("lookback_words", "2 * (number * words + word), stamp, numbers", 1,
                          "2 * ((number + 1) * words + word), stamp, numbers", BLOCKS),
    "nothing is made ready for the next launch": (
        "lookback_kernels", "workspace[TICKETS], workspace[BROKEN] = 0, 0", 1, "workspace[BROKEN] = 0", NEXT
    ),
    "no mask of the last steps": (
        "tiles", "begin <= first + i < end else filler", 1, "begin <= first + i else filler", NEXT
    ),
}  # fmt: skip


def outcome(folder, module, *change):
    """Exit code of the tests that a word selects, with the fault, and what they printed; None if they do not end."""
    *change, tests = change
    environment = {
        **os.environ,
        VARIABLE: json.dumps([f"parscan._kernels.cuda.{module}", *change]),
        "PARSCAN_CACHE_DIR": str(folder),  # machine code is named by the files of the package, which are as they were
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), SUPPORT, os.environ.get("PYTHONPATH")))),
    }
    command = [sys.executable, "-m", "pytest", "-p", "changed_source", "-n", "0", "-q", "-x", "-p", "no:cacheprovider",
               "tests/kernels/cuda/test_lookback.py", "-k", tests]  # fmt: skip
    try:
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(tmp_path, fault):
    code, printed = outcome(tmp_path, *FAULTS[fault])
    print(code, printed[-1500:])
    if fault == NONE:
        assert code == PASSED
    else:
        assert code is None or code < 0 or (code == FAILED and " failed" in printed)

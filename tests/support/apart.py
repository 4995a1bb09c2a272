"""Tests that may end their process, or never end: they run in a process of their own, and its exit code tells.

    python tests/support/apart.py FILE FUNCTION [ARGUMENT …]

calls a function of a file with tests. A kernel with a fault put in by hand may write anywhere, and wait for what never
comes.
"""

import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).parents[2]

NOTHING, FOUND = 0, 3
"""Exit codes: the function returned; one of its assertions failed. A negative one is the signal that ended it."""

ENDLESS = "no end"
"""In the place of an exit code, where a process did not end in time."""


NONE = "none"
"""Of the names of faults, that of no fault: nothing may be found."""


def exit_code(file, function, *arguments, seconds=60):
    """How a process of its own ends, and what it printed."""
    command = [sys.executable, __file__, str(file), function, *arguments]
    paths = (str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return ENDLESS, ""
    return done.returncode, done.stdout + done.stderr


def is_found(file, function, *arguments, seconds=60):
    """Whether a fault is found: an assertion fails, or the process is ended by the system, or does not end in time."""
    code, printed = exit_code(file, function, *arguments, seconds=seconds)
    print(code, printed[-2000:])
    assert code in (NOTHING, FOUND, ENDLESS) or code < 0, printed[-4000:]
    return code != NOTHING


def replaced(lines, *changes):
    """Lines of a kernel with a fault: in all of them, patterns are replaced. Each must be somewhere."""
    for right, wrong in changes:
        before, lines = lines, tuple(re.sub(right, wrong, line) for line in lines)
        if lines == before:
            raise ValueError(f"{right!r} is nowhere in the kernel")  # an assertion would say that a fault was found
    return lines


def main():
    file, function, *arguments = sys.argv[1:]
    spec = spec_from_file_location("of_tests", file)
    tests = module_from_spec(spec)
    sys.modules["of_tests"] = tests
    spec.loader.exec_module(tests)
    try:
        getattr(tests, function)(*arguments)
    except AssertionError as error:
        print(error)
        sys.exit(FOUND)


if __name__ == "__main__":
    main()

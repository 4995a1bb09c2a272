"""Kernels are kept on disk where that is possible, and work where it is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from parscan._kernels.cpu.compilation import compiled

@compiled
def double(x):
    return 2 * x
"""

CALLS = """
import sys, warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    {before}
    import doubling
    value = doubling.double(21)
print(value, *(warning.category.__name__ for warning in said))
"""

NO_FOLDER = "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []"
FULL_DISK = """from numba.core.caching import IndexDataCacheFile
    def save(self, *_):
        raise OSError(28, "No space left on device")
    IndexDataCacheFile.save = save"""


@pytest.fixture
def doubled(tmp_path):
    """What a process of its own gets from a kernel, and the warnings it gets; kernels are kept in `tmp_path`."""
    (tmp_path / "doubling.py").write_text(MODULE)

    def run(before="pass"):
        root = str(Path(__file__).parents[3])
        paths = os.pathsep.join([str(tmp_path), root])
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONPATH": paths}
        script = CALLS.format(before=before)
        ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.split()

    run.files = lambda: sorted((tmp_path / "kept").rglob("*.nb?"))
    return run


def test_kernels_are_kept(doubled):
    assert doubled() == ["42"]
    files = doubled.files()
    assert len(files) == 2
    before = [path.stat().st_mtime_ns for path in files]
    assert doubled() == ["42"]
    assert [path.stat().st_mtime_ns for path in doubled.files()] == before


@pytest.mark.parametrize("before", [NO_FOLDER, FULL_DISK], ids=["no folder", "full disk"])
def test_kernels_work_where_nothing_can_be_written(doubled, before):
    assert doubled(before) == ["42", "KernelCacheWarning"]
    assert doubled.files() == []


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "cut"])
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_damaged_files_are_no_harm(doubled, content, ending):
    doubled()
    for path in doubled.files():
        if path.suffix == f".{ending}":
            path.write_bytes(path.read_bytes()[:-50] if content is None else content)
    assert doubled() == ["42"]
    files = doubled.files()
    assert all(len(path.read_bytes()) > 50 for path in files)
    before = [path.stat().st_mtime_ns for path in files]
    assert doubled() == ["42"]
    assert [path.stat().st_mtime_ns for path in doubled.files()] == before  # what was damaged has been replaced


def test_a_front_door_warns_once_and_names_the_variable(tmp_path):
    script = f"""
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    {NO_FOLDER}
    import numpy as np, parscan
    for _ in range(2):
        h = parscan.linear_recurrence(0.5, np.array([1.0, 0.0, 4.0]))
print(*h, *(str(warning.message) for warning in said), sep="|")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    *numbers, message = ran.stdout.strip().split("|")
    assert numbers == ["1.0", "0.5", "4.25"]
    assert "NUMBA_CACHE_DIR" in message

"""Kernels are kept on disk where that is possible, and work where it is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.kernels]

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


class Doubling:
    """A kernel in a module of its own, kept in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "doubling.py").write_text(MODULE)

    def run(self, before="pass"):
        """What a process of its own gets from the kernel, and the warnings it gets."""
        paths = os.pathsep.join([str(self.folder), str(Path(__file__).parents[3])])
        env = {**os.environ, "NUMBA_CACHE_DIR": str(self.folder / "kept"), "PYTHONPATH": paths}
        script = CALLS.format(before=before)
        ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.split()

    def files(self):
        return sorted((self.folder / "kept").rglob("*.nb?"))

    def times(self):
        return [path.stat().st_mtime_ns for path in self.files()]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A kernel that is kept."""
    doubling = Doubling(tmp_path_factory.mktemp("kept"))
    assert doubling.run() == ["42"]
    return doubling


def test_kernels_are_kept(kept):
    assert len(kept.files()) == 2
    before = kept.times()
    assert kept.run() == ["42"]
    assert kept.times() == before


@pytest.mark.parametrize("before", [NO_FOLDER, FULL_DISK], ids=["no folder", "full disk"])
def test_kernels_work_where_nothing_can_be_written(tmp_path, before):
    doubling = Doubling(tmp_path)
    assert doubling.run(before) == ["42", "KernelCacheWarning"]
    assert doubling.files() == []


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "cut"])
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_damaged_files_are_no_harm(kept, content, ending):
    (damaged,) = [path for path in kept.files() if path.suffix == f".{ending}"]
    damaged.write_bytes(damaged.read_bytes()[:-50] if content is None else content)
    assert kept.run() == ["42"]
    assert all(len(path.read_bytes()) > 50 for path in kept.files())
    before = kept.times()
    assert kept.run() == ["42"]
    assert kept.times() == before  # what was damaged has been replaced


def test_a_front_door_warns_once_and_names_the_variable(tmp_path):
    script = f"""
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    {NO_FOLDER}
    import numpy as np, parscan
    for _ in range(2):
        h = parscan.linear_recurrence(0.5, np.resize([1.0, 0.0, 4.0], 200_000))[:3]  # so long that kernels pay
print(*h, *(str(warning.message) for warning in said), sep="|")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    *numbers, message = ran.stdout.strip().split("|")
    assert numbers == ["1.0", "0.5", "4.25"]
    assert "NUMBA_CACHE_DIR" in message

"""Where machine code comes from and how long it stays: memory, disk, threads, forks."""

import gc
import os
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from parscan._arrays import disk
from parscan._recorded.native import compilation
from parscan._recorded.native.evaluate import Evaluator
from parscan._recorded.record import record


def program(k):
    """A program of its own for every number."""

    def function(y):
        for _ in range(k):
            y = np.tanh(y) * 0.5 + y
        return y

    return record(function, [np.zeros(3)]).program


def check(one):
    y = np.linspace(-1, 1, 15).reshape(5, 3)
    np.testing.assert_allclose(Evaluator(one)(y)[0], one(y)[0], rtol=1e-13)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PARSCAN_CACHE_DIR", str(tmp_path / "codes"))
    monkeypatch.setattr(compilation, "_kept", type(compilation._kept)())
    return tmp_path / "codes"


@pytest.fixture
def count(monkeypatch):
    """How often something is compiled."""
    calls, original = [], compilation._object_code

    def counted(text):
        calls.append(text)
        return original(text)

    monkeypatch.setattr(compilation, "_object_code", counted)
    return calls


def test_code_is_kept_in_memory_and_on_disk(own_folder, count):
    check(program(1))
    check(program(1))
    assert len(count) == 1
    compilation._kept.clear()
    check(program(1))
    assert len(count) == 1
    (file,) = own_folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(own_folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: content[:100], lambda content: content[:-1] + b"x",
    lambda content: b"nonsense" * 1000, lambda content: content + b"more",
])  # fmt: skip
def test_a_damaged_file_is_compiled_again_and_replaced(own_folder, count, damage):
    check(program(1))
    (file,) = own_folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    compilation._kept.clear()
    check(program(1))
    assert len(count) == 2
    assert len(file.read_bytes()) == len(whole)


def test_code_that_others_can_write_is_not_run(own_folder, count):
    check(program(1))
    (file,) = own_folder.iterdir()
    file.chmod(0o666)
    compilation._kept.clear()
    check(program(1))
    assert len(count) == 2


def test_code_of_another_key_is_not_run(own_folder, count):
    check(program(1))
    (file,) = own_folder.iterdir()
    other = disk.load(file.stem)
    disk.save("0" * 64, other)
    assert disk.load("0" * 64) == other
    (own_folder / f"{'1' * 64}.o").write_bytes(file.read_bytes())
    (own_folder / f"{'1' * 64}.o").chmod(0o600)
    assert disk.load("1" * 64) is None


@pytest.mark.parametrize("place", ["/dev/null/nowhere", "/proc/nowhere"])
def test_no_folder_is_fine(monkeypatch, count, place):
    monkeypatch.setenv("PARSCAN_CACHE_DIR", place)
    check(program(1))
    compilation._kept.clear()
    check(program(1))
    assert len(count) == 2


def test_no_home_is_fine(monkeypatch):
    monkeypatch.delenv("PARSCAN_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(disk.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert disk.folder() is None
    check(program(1))


def test_a_full_disk_is_fine(monkeypatch, own_folder):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    check(program(1))
    assert list(own_folder.iterdir()) == []


def test_many_files_are_removed(monkeypatch, own_folder):
    monkeypatch.setattr(disk, "MOST", 3)
    monkeypatch.setattr(os, "urandom", bytes)
    for k in range(6):
        disk.save(str(k), b"code")
    assert len(list(own_folder.iterdir())) <= 4


@pytest.mark.slow
def test_memory_is_bounded_and_code_in_use_stays(monkeypatch):
    monkeypatch.setattr(compilation, "KEPT", 1)
    one = Evaluator(program(1))
    for k in range(2, 6):
        check(program(k))
    assert len(compilation._kept) == 1
    gc.collect()
    y = np.ones((2, 3))
    np.testing.assert_allclose(one(y)[0], one.program(y)[0], rtol=1e-13)


def test_eight_threads_compile_at_once(count):
    programs = [program(1 + k % 4) for k in range(8)]
    failures = []

    def work(one):
        try:
            check(one)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(count) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_after_compiling_runs_and_compiles():
    one = Evaluator(program(2))
    y = np.ones((2, 3))
    expected = one(y)[0]
    child = os.fork()
    if not child:
        status = 1
        try:
            np.testing.assert_array_equal(one(y)[0], expected)
            check(program(3))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.slow
def test_two_processes_write_the_same_entry(own_folder):
    script = (
        "import numpy as np\n"
        "from parscan._recorded.native.evaluate import Evaluator\n"
        "from parscan._recorded.record import record\n"
        "e = Evaluator(record(lambda y: np.sin(y) + 1, [np.zeros(3)]).program)\n"
        "print(e(np.ones((1, 3)))[0][0, 0])\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [float(child.communicate(timeout=120)[0]) for child in children]
    np.testing.assert_allclose(outputs, np.sin(1.0) + 1)
    assert len(list(own_folder.iterdir())) == 1


OLDER = """
import sys
import numpy as np
from parscan._recorded.native import libm
known = libm.features()
without = sys.argv[1].split(",")
features = {name: has and not any(name.startswith(one) for one in without) for name, has in known.items()}
libm.features = lambda: features
from parscan._recorded.native.evaluate import Evaluator
from parscan._recorded.native.lanes import Lanes
from parscan._recorded.record import record
matrix = np.random.default_rng(0).normal(size=(19, 19)) / 19

def function(y):
    z = matrix @ np.tanh(y) + np.exp(-y) * np.maximum(y, 0.2) + np.arctan2(y, 2.0)
    return np.concatenate([z, z[:3] * np.sin(y[4:7]) % 0.7, np.floor(z[:9]), np.rint(y[:1]), np.cumsum(y[:8])])

for dtype in (np.float64, np.float32):
    program = record(function, [np.zeros(19, dtype)]).program
    y = np.random.default_rng(1).normal(size=(9, 19)).astype(dtype)
    expected = program(y)[0]
    out = np.empty((1, *expected.shape), expected.dtype)
    Lanes(program, chain=0).run(None, [y[None]], [out], 0, 1)
    for found in (Evaluator(program)(y)[0], out[0]):
        np.testing.assert_allclose(found, expected, rtol=1e-12 if dtype == np.float64 else 1e-4, atol=1e-5)
print(libm.vector_bytes())
"""


@pytest.mark.parametrize(
    ("without", "size"),
    [
        pytest.param("avx512", 32, marks=pytest.mark.slow),
        pytest.param("avx,fma", 16, marks=pytest.mark.slow),
        ("avx,fma,sse4,sse3,ssse3", 16),
    ],
)
def test_older_processors(without, size):
    found = subprocess.run(
        [sys.executable, "-c", OLDER, without], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(found.stdout) <= size


def test_no_functions_on_vectors(monkeypatch):
    from parscan._recorded.native import libm

    monkeypatch.setattr(libm, "vector_symbol", lambda *_: "")
    one = record(lambda y: np.sin(np.exp(y)) + np.cbrt(y), [np.zeros(20)]).program
    y = np.linspace(-1, 1, 40).reshape(2, 20)
    np.testing.assert_allclose(Evaluator(one)(y)[0], one(y)[0], rtol=1e-13)


def test_a_function_that_the_machine_lacks(monkeypatch):
    from parscan._recorded.native import libm
    from parscan._recorded.native.text import UnsupportedError

    monkeypatch.setattr(libm, "address", lambda _: 0)
    monkeypatch.setattr(libm, "vector_symbol", lambda *_: "")
    with pytest.raises(UnsupportedError, match="calls `cbrt`, which"):
        Evaluator(record(np.cbrt, [np.zeros(2)]).program)


def test_an_old_llvm(monkeypatch):
    from parscan._recorded.native.text import UnsupportedError

    monkeypatch.setattr(compilation, "OLDEST", 1000)
    with pytest.raises(UnsupportedError, match="needs LLVM"):
        check(program(1))

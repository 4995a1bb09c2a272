"""Launches through CuPy, of which a stand-in records what it gets; machine code that is kept on disk."""

import sys
from types import SimpleNamespace

import pytest
from cuda_child import needs_toolkit

from parscan._arrays import disk
from parscan._kernels.cuda import cubin, launch
from parscan._kernels.cuda.thread_kernels import march_kernel

pytestmark = [needs_toolkit, pytest.mark.slow, pytest.mark.kernels]

SM_90, SM_100 = (9, 0), (10, 0)
KERNEL = march_kernel("float32", 1)


class Function:
    """A loaded kernel."""

    def __init__(self, entry, launched):
        self.entry, self.launched = entry, launched

    def __call__(self, grid, block, arguments):
        self.launched.append((self.entry, grid, block, arguments))


class Cupy:
    """Of CuPy, what a launch needs; two devices of different capability."""

    def __init__(self):
        self.current, self.refused, self.loaded, self.launched = 0, None, [], []
        runtime = SimpleNamespace(
            getDevice=lambda: self.current, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 12090
        )
        self.cuda = SimpleNamespace(
            runtime=runtime,
            Device=lambda number: SimpleNamespace(compute_capability=("90", "100")[number]),
            function=SimpleNamespace(Module=lambda: self),
        )

    def load(self, code):
        if self.refused:
            raise self.refused
        self.loaded.append(code)

    def get_function(self, entry):
        assert isinstance(entry, str)
        assert entry.encode() in self.loaded[-1]
        return Function(entry, self.launched)


@pytest.fixture
def cupy(monkeypatch):
    stand_in = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    launch._loaded.cache_clear()
    yield stand_in
    launch._loaded.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PARSCAN_CACHE_DIR", str(tmp_path / "codes"))
    return tmp_path / "codes"


@pytest.fixture
def compiled(monkeypatch):
    """How often a kernel is compiled."""
    calls, original = [], cubin.compile_ptx

    def counted(kernel, capability):
        calls.append(capability)
        return original(kernel, capability)

    monkeypatch.setattr(cubin, "compile_ptx", counted)
    return calls


def test_kernels_get_addresses_and_numbers(cupy):
    array = SimpleNamespace(data=SimpleNamespace(ptr=4096))
    for _ in range(2):
        launch.CupyLauncher().launch(KERNEL, 3, 128, array, 7, -1)
    ((entry, *first), second) = cupy.launched
    assert first == [(3,), (128,), (4096, 7, -1)]
    assert second == (entry, *first)
    assert len(cupy.loaded) == 1
    assert cupy.loaded[0][:4] == b"\x7fELF"


def test_each_device_has_code_of_its_own(cupy, compiled, folder):
    for cupy.current in (0, 1, 0):
        launch.CupyLauncher().launch(KERNEL, 1, 1)
    assert compiled == [SM_90, SM_100]
    assert len(set(cupy.loaded)) == 2


def test_capabilities_of_two_and_of_three_digits():
    assert launch._capability("90") == SM_90
    assert launch._capability("120") == (12, 0)


def test_what_a_driver_refuses_is_told_with_what_to_do(cupy):
    cupy.refused = OSError("no kernel image is available")
    with pytest.raises(RuntimeError, match="OSError: no kernel image is available") as raised:
        launch.CupyLauncher().launch(KERNEL, 1, 1)
    assert "the driver knows CUDA up to 13.0, and CuPy was built for 12.9" in str(raised.value)
    assert "pip install 'parscan[cuda12]'" in str(raised.value)


def test_a_toolkit_without_its_compiler_is_told_with_what_to_do(cupy, monkeypatch, folder):
    from cuda import pathfinder

    def missing(name):
        raise pathfinder.DynamicLibNotFoundError(f"no {name} here")

    monkeypatch.setattr("cuda.pathfinder.load_nvidia_dynamic_lib", missing)
    cubin._toolkit.cache_clear()
    with pytest.raises(RuntimeError, match="DynamicLibNotFoundError: no nvvm here") as raised:
        launch.CupyLauncher().launch(KERNEL, 1, 1)
    assert "pip install 'parscan[cuda12]'" in str(raised.value)


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, compiled):
    """What is there is read, and nothing else is kept."""
    monkeypatch.setenv("PARSCAN_CACHE_DIR", str(tmp_path))
    first = cubin.cubin(KERNEL, SM_90)
    monkeypatch.setattr("tempfile.mkstemp", _refused)
    assert cubin.cubin(KERNEL, SM_90) == first
    assert cubin.cubin(KERNEL, SM_100).code[:4] == b"\x7fELF"
    assert compiled == [SM_90, SM_100]
    assert len(list(tmp_path.iterdir())) == 1


def _refused(*_, **__):
    raise PermissionError("read-only file system")


def test_code_is_kept_for_other_processes(compiled, folder):
    first, second = (cubin.cubin(KERNEL, SM_90) for _ in range(2))
    assert compiled == [SM_90]
    assert first == second
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-1] + b"x"])
def test_a_damaged_file_is_compiled_again(compiled, folder, damage):
    cubin.cubin(KERNEL, SM_90)
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    again = cubin.cubin(KERNEL, SM_90)
    assert again.entry.encode() in again.code
    assert len(compiled) == 2
    assert cubin.cubin(KERNEL, SM_90) == again
    assert len(compiled) == 2


def test_a_kept_text_without_a_name_is_no_code(compiled, folder):
    disk.save(cubin.key(KERNEL, SM_90), b"no line ends here")
    assert cubin.cubin(KERNEL, SM_90).code[:4] == b"\x7fELF"
    assert len(compiled) == 1


@pytest.mark.parametrize("place", ["/dev/null/nowhere", "/proc/nowhere"])
def test_no_folder_is_fine(monkeypatch, compiled, place):
    monkeypatch.setenv("PARSCAN_CACHE_DIR", place)
    for _ in range(2):
        assert cubin.cubin(KERNEL, SM_90).code[:4] == b"\x7fELF"
    assert len(compiled) == 2


def test_keys_tell_everything_apart(monkeypatch):
    """The kernel, its numbers, the architecture, constants of the source, the source, versions."""
    from parscan._kernels.cuda import mend_kernels, tiles
    from parscan._kernels.cuda.tile_kernels import march_kernel as tiled

    keys = [cubin.key(KERNEL, SM_90), cubin.key(KERNEL, SM_100), cubin.key(march_kernel("float32", 2), SM_90)]
    keys += [cubin.key(march_kernel("float64", 1), SM_90), cubin.key(tiled("float32", 1), SM_90)]
    keys.append(cubin.key(tiled("float32", 1, tile=tiles.Tile(32, 4, 2, 4)), SM_90))
    spoil = mend_kernels.spoil_kernel("float32", 1)
    keys.append(cubin.key(spoil, SM_90))
    monkeypatch.setattr(mend_kernels, "THREADS", 64)
    keys.append(cubin.key(spoil, SM_90))
    for name in ("_source", "_toolkit"):
        monkeypatch.setattr(cubin, name, lambda: "another")
        keys.append(cubin.key(KERNEL, SM_90))
    assert len(set(keys)) == len(keys)
    assert cubin.key(KERNEL, SM_90) == keys[-1]

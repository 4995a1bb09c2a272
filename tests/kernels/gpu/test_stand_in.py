"""The stand-in for CuPy: it refuses what CuPy refuses, launches what is given to it, and counts what it does."""

from importlib import import_module
from importlib.util import find_spec
from threading import Thread

import cupy_surface
import numpy as np
import pytest
from cupy_arrays import COUNTS, own_names
from cupy_device import DEVICE, SIGNATURES
from cupy_stand_in import CUPY, CUPYX, installed, memory

import parscan


@pytest.fixture
def cupy():
    """Without kernels."""
    with installed() as stand_in:
        yield stand_in


HOST = np.ones(3)

REFUSED = {
    "addition of NumPy's": lambda cp, x: x + HOST,
    "addition to NumPy's": lambda cp, x: HOST + x,
    "comparison with NumPy's": lambda cp, x: x < HOST,
    "function of single numbers": lambda cp, x: cp.maximum(x, HOST),
    "NumPy's function of both": lambda cp, x: np.add(x, HOST),
    "joining both": lambda cp, x: cp.concatenate([x, HOST]),
    "joining numbers": lambda cp, x: cp.stack([x[0], 1.0]),
    "product with NumPy's": lambda cp, x: x @ HOST,
    "a choice of NumPy's": lambda cp, x: cp.where(x > 0, x, HOST),
    "assignment of NumPy's": lambda cp, x: x.__setitem__(slice(1, 3), HOST[:2]),
    "becoming NumPy's": lambda cp, x: np.asarray(x),
    "becoming NumPy's in a list": lambda cp, x: np.array([x, x]),
    "becoming an index": lambda cp, x: [1, 2, 3][cp.ones((), int)],
    "unknown keyword": lambda cp, x: cp.sum(x, axis=0, where=x > 0),
    "unknown keyword of a single number": lambda cp, x: cp.exp(x, where=x > 0),
    "unknown keyword of a method": lambda cp, x: x.sum(initial=0),
    "too many arguments": lambda cp, x: x.copy("C", "F"),
    "keyword by place": lambda cp, x: cp.reshape(x, (3, 1), "C", True),
    "complex numbers where there are none": lambda cp, x: cp.floor(x + 1j),
    "unknown option of a stream": lambda cp, x: cp.cuda.Stream(blocking=True),
    "unknown option of a module": lambda cp, x: cp.RawModule(code="", flags=()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(cupy, name):
    with pytest.raises(TypeError):
        REFUSED[name](cupy, cupy.ones(3))


def test_other_refusals(cupy):
    x = cupy.ones(3)
    with pytest.raises(AttributeError):
        cupy.sum(1.0)
    with pytest.raises(AttributeError):
        cupy.where(True, x, x)
    with pytest.raises(IndexError):
        x[x]
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cupy.asarray(["text"])
    with cupy.cuda.Device(1), pytest.raises(ValueError, match="same as the current device"):
        x + 1
    with pytest.raises(AttributeError):
        cupy.errstate()


def test_results_without_axes_are_arrays(cupy):
    x = cupy.arange(3.0)
    for number in (x[1], x.sum(), cupy.max(x), x[0] + 1, cupy.linalg.norm(x)):
        assert isinstance(number, cupy.ndarray)
        assert number.shape == ()
    assert x.device == cupy.cuda.Device(0)
    assert type(x).__module__ == "cupy"


def test_singular_systems_raise_nothing(cupy):
    matrices = cupy.asarray([[[1.0, 0.0], [0.0, 0.0]], [[2.0, 0.0], [0.0, 2.0]]])
    solved = cupy.asnumpy(cupy.linalg.solve(matrices, cupy.ones((2, 2, 1))))
    assert not np.isfinite(solved[0]).all()
    np.testing.assert_array_equal(solved[1], 0.5)


def test_new_memory_holds_nothing(cupy):
    assert np.isnan(cupy.asnumpy(cupy.empty((2, 3)))).all()
    assert np.isnan(cupy.asnumpy(cupy.empty_like(cupy.ones(3, order="F")))).all()


def test_reads_and_launches_are_counted(cupy):
    x = cupy.ones((4, 4))
    before = sum(COUNTS.launches.values())
    y = cupy.exp(x) + x
    assert sum(COUNTS.launches.values()) == before + 2
    cupy.reshape(y[:2].T, (-1, 1))  # the first two are views, the third has to copy
    x.astype(float, copy=False)
    assert sum(COUNTS.launches.values()) == before + 3
    assert not COUNTS.reads
    assert float(y[0, 0]) > bool(x[0, 0])
    y[x > 0], cupy.nonzero(x)
    assert COUNTS.reads == {"float": 1, "bool": 1, "mask": 1, "nonzero": 1}
    with CUPYX.allow_synchronize(False), pytest.raises(RuntimeError, match="synchronization"):
        y.get()


def test_launches_of_provided_code(cupy, tmp_path):
    """What is compiled elsewhere than by Numba is launched in the same ways, and run by whoever provides it."""

    def run(grid, block, arguments):
        address, count, factor = arguments
        memory(address)[:count] *= factor * grid[0] * block[0]

    file = tmp_path / "code.ptx"
    file.write_text("some text")
    x, module = cupy.ones((2, 3)), cupy.cuda.function.Module()
    DEVICE.provide("some text", "scale", run)
    module.load(b"some text")
    functions = [
        module.get_function("scale"),
        cupy.RawModule(path=str(file)).get_function("scale"),
        cupy.RawModule(code="some text").get_function("scale"),
        cupy.RawKernel("some text", "scale"),
    ]
    for function in functions:
        function((1,), (2,), (x.data.ptr, 4, 0.5))
        function((1,), (1,), (x, 6, 2.0))
    np.testing.assert_array_equal(cupy.asnumpy(x), 2**4)
    assert DEVICE.launched == 4 * [("scale", (1,), (2,)), ("scale", (1,), (1,))]


def test_bad_launches(cupy):
    DEVICE.provide("text", "nothing", lambda *_: None)
    function = cupy.RawKernel("text", "nothing")
    for grid, block in (((0,), (1,)), ((1, 70_000), (1,)), ((1,), (2048,)), ((2**31,), (1,))):
        with pytest.raises(ValueError, match="invalid"):
            function(grid, block, ())
    for arguments in ([1], (np.ones(2),), ("text",)):
        with pytest.raises(TypeError):
            function((1,), (1,), arguments)
    for load in (cupy.cuda.function.Module().load, lambda code: cupy.RawModule(code=code).get_function("nothing")):
        with pytest.raises(RuntimeError, match="NO_BINARY"):
            load(b"another")
    with pytest.raises(RuntimeError, match="NOT_FOUND"):
        cupy.RawModule(code="text").get_function("another")
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        memory(12345)


def test_a_stream_is_that_of_its_thread(cupy):
    current, seen = cupy.cuda.get_current_stream, []
    with cupy.cuda.Stream(non_blocking=True) as stream:
        other = Thread(target=lambda: seen.append(current()))
        other.start()
        other.join()
        assert current() is stream
    assert seen == [cupy.cuda.Stream.null]
    assert current() is cupy.cuda.Stream.null


def test_it_leaves_nothing_behind(monkeypatch):
    sys = import_module("sys")
    before = {name: module for name, module in sys.modules.items() if "cupy" in name.split(".")}
    with installed() as stand_in:
        assert import_module("cupy") is stand_in is CUPY
        assert type(parscan.linear_recurrence(stand_in.ones((0, 2)), stand_in.ones((0, 2)))) is stand_in.ndarray
    assert {name: module for name, module in sys.modules.items() if "cupy" in name.split(".")} == before


@pytest.mark.skipif(find_spec("cupy") is None, reason="needs CuPy, but no device")
class TestBesideCupy:
    """The record, and what can be called without a device."""

    @pytest.fixture
    def real(self):
        return import_module("cupy")

    def test_the_record_is_of_this_cupy(self, real):
        found, kept = cupy_surface.surface(real), cupy_surface.recorded()
        if found.pop("version") != kept.pop("version"):
            pytest.skip("the record is of another version of CuPy")
        for part, names in kept.items():
            if isinstance(names, dict):  # of functions, those that another NumPy has may be missing
                assert {name: found[part].get(name, text) for name, text in names.items()} == names
            else:
                assert found[part] == names
        assert set(found["functions"]) <= set(kept["functions"])
        assert {"asarray", "concatenate", "where", "linalg.solve"} < set(found["functions"])

    def test_arrays_have_no_name_of_their_own(self, real):
        assert own_names() <= set(dir(real.ndarray))

    @pytest.mark.parametrize("options", [{"foo": 1}, {"where": None}])
    def test_unknown_keywords_of_single_numbers(self, real, options):
        for library in (real, CUPY):
            with pytest.raises(TypeError, match="Wrong arguments"):
                library.add(1, 2, **options)
            with pytest.raises(TypeError, match="Wrong number of arguments for 'cupy_maximum'"):
                library.maximum(1)

    def test_arrays_of_numpy(self, real):
        """Functions that refuse them before they ask for a device."""
        for library in (real, CUPY):
            for call in (
                lambda cp: cp.matmul(HOST, HOST),
                lambda cp: cp.stack([HOST, HOST]),
                lambda cp: cp.moveaxis(HOST, 0, 0),
                lambda cp: cp.broadcast_to(HOST, (2, 3)),
                lambda cp: cp.nonzero(HOST),
            ):
                with pytest.raises(TypeError):
                    call(library)

    def test_unknown_options_of_modules(self, real):
        assert set(SIGNATURES) == set(cupy_surface.surface(real)["cuda"])
        for library in (real, CUPY):
            with pytest.raises(TypeError):
                library.RawModule(code="", flags=())

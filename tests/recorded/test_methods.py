"""Methods and attributes of arrays that record."""

import numpy as np
import pytest

from parscan._recorded.array import OTHERWISE, RecordingArray
from parscan._recorded.node_array import NodeArray
from parscan._recorded.record import NotRecordedError, record

METHODS = {
    "sum": (), "mean": (), "std": (), "var": (), "prod": (), "max": (), "min": (), "any": (), "all": (), "trace": (),
    "ravel": (), "cumsum": (), "cumprod": (), "squeeze": (), "diagonal": (), "clip": (-0.5, 0.5), "round": (),
    "repeat": (2,), "take": ([1, 0],), "swapaxes": (0, 1), "dot": (np.eye(3),),
}  # fmt: skip
Y = np.random.default_rng(0).standard_normal((3, 3))


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_functions_of_numpy(name):
    def step(y):
        return 1.0 * getattr(y, name)(*METHODS[name])

    program = record(step, [Y]).program
    np.testing.assert_allclose(program(Y[None])[0][0], step(Y), rtol=1e-14)


def test_every_function_that_is_a_method_of_arrays_is_one():
    for name in dir(np.ndarray):
        if not name.startswith("_") and hasattr(np, name) and name not in OTHERWISE:
            assert hasattr(RecordingArray, name), name


def test_attributes_are_read_without_a_function():
    """With one for other attributes, Python reads each of them five times as slowly, which is a third of all time."""
    for kind in (RecordingArray, NodeArray):
        assert "__getattr__" not in vars(kind)
        assert "__getattribute__" not in vars(kind)


@pytest.mark.parametrize("name", ["tofile", "compress", "nothing"])
def test_other_attributes(name):
    reason = f"raises AttributeError on arrays that record: arrays that record have no attribute '{name}'"
    with pytest.raises(NotRecordedError, match=reason):
        record(lambda y: getattr(y, name)(3), [Y])
    record(lambda y: y if not hasattr(y, name) else 2 * y, [Y])


def test_entries_of_long_arrays():
    """They are read and written one by one, and parts share memory with the array."""

    def step(y):
        y = y.copy()
        y[2], y[-1] = y[1] * y[-2], 5.0
        part = y[3:5]
        part[0] = y[0] + part[1]
        y[..., 7] = part[0]
        y[8:10] = part
        return y

    y = np.random.default_rng(1).standard_normal(40)
    program = record(step, [y]).program
    np.testing.assert_array_equal(program(y[None])[0][0], step(y))
    for place in (40, -41):
        with pytest.raises(NotRecordedError, match="raises IndexError on arrays that record: index"):
            record(lambda y, place=place: y[place], [y])


def test_new_operations_on_constants():
    """They are simplified where that is exact, and computed where all operands are constants."""

    def step(y):
        zero, half = np.zeros(3)[1], np.full(3, 0.5)[0]
        return np.stack([y[0] * 1.0, y[1] + zero, half * half * y[2], half + half - y[0] / 1.0])

    program = record(step, [Y[0]]).program
    np.testing.assert_array_equal(program(Y[:1])[0][0], step(Y[0]))
    assert [block.operation for block in program.blocks if block.operation not in ("input", "constant")] == [
        "add", "multiply", "subtract",
    ]  # fmt: skip

"""The copy of a function that is recorded: what it uses is copied, and nothing of the user's changes."""
# ruff: noqa: PLW0108, PLC3002 - the lambdas are what is tested

import abc
import builtins
import collections
import dataclasses
import enum
import functools
import importlib
import itertools
import math
import math as m
import operator
import random
import sys
import threading
from logging import info
from math import pi, sin
from time import perf_counter
from time import time as now
from types import SimpleNamespace
from typing import ClassVar
from unittest import mock
from warnings import warn

import everyday_helpers
import numpy
import numpy as np
import numpy.linalg as linear_algebra
import pytest
from numpy import exp, zeros
from numpy.linalg import norm
from numpy.random import Generator
from scipy.special import expit

from parscan._recorded.copies import Copies
from parscan._recorded.graph import Graph
from parscan._recorded.origins import HUGE
from parscan._recorded.record import NotRecordedError, record

Y = np.random.default_rng(2).uniform(0.1, 1.0, (7, 3))


def check(function, *constants, examples=Y, rtol=1e-14):
    found = record(function, [examples[0]], constants).program(examples)[0]
    wanted = np.array([function(y.copy(), *constants) for y in examples], dtype=float)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-15)


def refused(function, reason, *constants):
    with pytest.raises(NotRecordedError, match=reason) as caught:
        record(function, [Y[0]], constants)
    return caught.value


TABLE = np.array([1.0, 2.0, 4.0])
NESTED = {"a": [1.0, {"b": np.array([3.0, 2.0, 1.0])}], "f": np.sin, "g": lambda v: np.array([v[2], v[0], 1.0])}


@pytest.mark.parametrize(
    "function",
    [
        lambda y: numpy.array([y[0], sin(y[1]), m.cos(y[2]) + pi]),
        lambda y: exp([y[0], y[1], 0.0]) + zeros(3),
        lambda y: [norm([y[0], y[1]]), linear_algebra.norm(y), expit(y[2])],
        lambda y: everyday_helpers.reactions(y),
        lambda y: TABLE * NESTED["a"][1]["b"] + NESTED["f"](NESTED["g"](y)),
        lambda y, table=TABLE, *, shift=TABLE[::-1]: [table[0] * y[0], shift @ y, 1.0],
        lambda y: list(map(np.sqrt, y)),
        lambda y: list(map(float, y)),
        lambda y: [v * k for k, v in enumerate(y)],
        lambda y: [a + b for a, b in itertools.pairwise(y)],
        lambda y: functools.reduce(operator.mul, y) * np.ones(2),
        lambda y: np.array([*(float(v) for v in y), len(y), max(y), min(y), sum(y), abs(y[0])]),
        lambda y: y * (y.dtype == np.float64) + np.finfo(float).eps + np.finfo(np.float64).max * 0,
        lambda y: np.zeros(3, dtype=float) + np.zeros(3, np.float64) + y.astype(np.float64).astype(float),
        lambda y: np.float64(y[0]) + np.float64(3.0) + float("2.5") + float.fromhex("0x1p1"),
        lambda y: y + (type(len(y) / 2) is float) + (type(y[0]) is np.float64) + (type(float(y[0])) is float),
        lambda y: y + (type(y) is np.ndarray) + (type(np.float32(1)) is np.float32) + isinstance(float, type),
        lambda y: y * type("Made", (), {"rate": 2.0}).rate + (type(type) is type) + type(y[0])(0.5),
        lambda y: y + isinstance(1.0, float) + isinstance(2, (int, float)) + issubclass(bool, int),
        lambda y: y * int(3.7) + int("4") + np.zeros(3, dtype=int) + y.astype(int) + isinstance(len(y), int),
        lambda y: [int(3 * y[0]), int(y[1] > 0) * y[2], 1.0 / (1 + int(y[2]) ** 2), min(int(5 * y[0]), 2) * 0.5],
        lambda y: np.array([4.0, 5.0, 6.0, 7.0])[[int(abs(y[0])) % 4, math.floor(y[1]) % 4, math.ceil(y[2]) % 4][0]],
        lambda y: np.array([4.0, 5.0, 6.0, 7.0])[math.floor(y[1]) % 4] + issubclass(np.float64, float) + y,
        lambda y: SimpleNamespace(a=y).a * 2,
        lambda y: (lambda f: f(f, y, 4))(lambda f, v, k: v if k == 0 else f(f, np.array([v[1], v[2], v[0]]), k - 1)),
        lambda y: np.random.default_rng(3).normal(size=3) * y,
        lambda y: np.vectorize(math.tanh)(y),
        lambda y: y[np.array([True, False, True])][::-1],
        lambda y: dict(zip("abc", y, strict=True))["b"] * np.ones(2),
        np.sin,
        np.cumsum,
        TABLE.__mul__,
        functools.partial(np.multiply, TABLE),
        operator.neg,
    ],
)
def test_what_a_function_uses(function):
    check(function)


def even(y, n):
    return y if n == 0 else odd(np.array(y) * 2, n - 1)


def odd(y, n):
    return even(np.array([y[1], y[0], y[2]]), n - 1)


def test_functions_that_call_each_other():
    check(lambda y: even(y, 6))


def test_functions_in_functions_keep_their_cells():
    def outer(y):
        total = np.zeros(3)

        def add(k):
            nonlocal total
            total = total + k * y
            return total

        class Local:
            scale = np.array([1.0, 2.0, 3.0])

            def __call__(self):
                return self.scale * add(2)

        add(1)
        return Local()()

    check(outer)


@dataclasses.dataclass(frozen=True)
class Frozen:
    gain: float = 2.0
    matrix: np.ndarray = dataclasses.field(default_factory=lambda: np.eye(3))

    def apply(self, y):
        return self.gain * self.matrix @ np.array([y[0], y[1], 1.0])


@dataclasses.dataclass(slots=True)
class Slotted:
    inner: Frozen
    __private: float = 3.0

    def apply(self, y):
        return dataclasses.replace(self.inner, gain=self.__private).apply(y) + self.inner.apply(y)


class Named(collections.namedtuple("Named", ["a", "b"])):
    __slots__ = ()

    def apply(self, y):
        return np.array([self.a * y[0], self.b * y[1]])


class Base(abc.ABC):
    weights = np.array([1.0, 2.0, 3.0])
    registry: ClassVar[list] = []

    def __init__(self):
        self.calls = [self.first, self.second]

    @abc.abstractmethod
    def first(self, y): ...

    def second(self, y):
        return np.array([y[2], y[1], y[0]]) * self.weights

    @functools.cached_property
    def constant(self):
        return np.array([1.0, 1.0, 2.0])

    @classmethod
    def scaled(cls, y):
        return np.asarray([cls.weights[0] * v for v in y])

    @staticmethod
    def shifted(y):
        return np.array([y[0], 0.0, 0.0])

    def __call__(self, y):
        return sum(call(y) for call in self.calls) * self.constant


class Derived(Base):
    weights = 2.0

    def first(self, y):
        return np.append(y[1:], 0.0) + self.scaled(y) + self.shifted(y) if isinstance(self, Base) else None

    def second(self, y):
        return super().second(y) + super().shifted(y)

    @classmethod
    def scaled(cls, y):
        return np.array([cls.weights * v for v in y])


class Fancy(enum.Enum):
    A = 1
    B = 2


def test_objects_and_their_classes():
    check(Frozen().apply)
    check(Slotted(Frozen()).apply)
    check(Named(2.0, 3.0).apply)
    check(Derived())
    check(Derived().second)
    check(Base.second.__get__(Derived()))
    check(lambda y: Derived()(y))
    check(lambda y: Frozen(gain=y[0]).apply(y))
    check(lambda y, mode: y if mode is Fancy.A else -y, Fancy.B)
    check(lambda y, p, q, r: p["k"] * q.apply(y) + r.apply(y)[0], {"k": TABLE}, Frozen(), Named(1.0, 2.0))


def decorated(function):
    @functools.wraps(function)
    def wrapper(y, *args):
        return np.array([function(y, *args), 1.0])

    return wrapper


@decorated
@functools.cache
def cached(y):
    return np.sqrt([y[0], 1.0]).sum()


def test_decorators():
    found = record(cached, [Y[0]]).program(Y)[0]
    np.testing.assert_allclose(found[:, 0], 1 + np.sqrt(Y[:, 0]), rtol=1e-15)


class Buffered:
    def __init__(self):
        self.buffer = np.zeros(3)
        self.history = []
        self.count = 0

    def fills(self, y):
        self.buffer[:] = 2.0
        self.buffer[0] = y[1]
        return self.buffer * y

    def counts(self, y):
        self.count += 1
        return self.count * y

    def remembers(self, y):
        self.buffer += y
        return self.buffer

    def collects(self, y):
        self.history.append(y[0])
        return np.array(self.history)


def calls(y):
    calls.number += 1
    return y * calls.number


calls.number = 0


def test_comparisons_with_none_are_those_of_the_entries():
    check(lambda y: np.where(~(y == None) & (y != None), 2 * y, y))  # noqa: E711 - that is tested


def test_buffers_are_filled_and_states_are_found():
    buffered = Buffered()
    check(buffered.fills)
    buffered = Buffered()
    for function in (buffered.counts, buffered.remembers, buffered.collects, calls):
        refused(function, "does something else when it is called again")
    cell = 0

    def nonlocal_counter(y):
        nonlocal cell
        cell += 1
        return y * cell

    refused(nonlocal_counter, "does something else when it is called again")
    assert (buffered.count, buffered.history, calls.number, cell) == (0, [], 0, 0)
    assert buffered.buffer.tolist() == [0.0] * 3


class SlottedCounter:
    __slots__ = ("count",)

    def __init__(self):
        self.count = 0

    def step(self, y):
        self.count += 1
        return y * (1 + (self.count % 1000 == 0))


def test_states_in_slots_are_found():
    slotted = SlottedCounter()
    refused(slotted.step, "counts its calls")
    assert slotted.count == 0


@functools.lru_cache
def kept():
    return np.zeros(3)


def test_a_result_in_a_cache_may_be_changed():
    def sums(y):
        total = kept()
        total += y
        return total * 0.5

    def fills(y):
        buffer = kept()
        buffer[:] = y
        return buffer * 0.5

    refused(sums, "does something else when it is called again")
    check(fills)
    kept.cache_clear()


@functools.lru_cache
def halved(value):
    return value / 2


class WithCache:
    @functools.lru_cache  # noqa: B019 - the object lives as long as the test
    def factor(self, k):
        return np.full(3, 0.3 * k)

    def step(self, y):
        return y * self.factor(2) + self.factor(k=1)


def test_no_recorded_value_gets_into_a_cache():
    halved.cache_clear()
    check(lambda y: np.array([halved(y[0]), halved(3.0), y[1]]))
    before = halved.cache_info()
    record(lambda y: np.array([halved(y[0]), halved(y[1]), halved(3.0)]), [Y[0]])
    assert halved.cache_info() == before
    check(WithCache().step)
    refused(lambda y: y * halved.cache_info().hits, "counts its calls")

    def clears(y):
        halved.cache_clear()
        return y * halved(3.0)

    check(clears)


LOCAL, MOCK = threading.local(), mock.Mock(return_value=0.5)
NORMAL = np.random.default_rng(0).normal


def writes_to_thread(y):
    LOCAL.number = getattr(LOCAL, "number", 0) + 1
    return y


class Registered:
    known: ClassVar = []

    def __init_subclass__(cls):
        Registered.known.append(cls)


class Member(Registered):
    def step(self, y):
        return 2 * y


class Counting(type):
    made = 0

    def __call__(cls, *args):
        Counting.made += 1
        return super().__call__(*args)


class Counted(metaclass=Counting):
    def step(self, y):
        return 2 * y


class Listing(type):
    known: ClassVar = []

    def __init__(cls, *args):
        Listing.known.append(cls.__name__)
        super().__init__(*args)


class Listed(metaclass=Listing):
    factor = np.array([1.0, 2.0, 3.0])

    def step(self, y):
        return np.array([y[0], 0.0, y[1]]) * self.factor


def test_a_metaclass_does_not_learn_of_the_copy():
    check(lambda y: Listed().step(y))
    check(Listed().step)
    assert Listing.known == ["Listed"]


def test_nothing_is_told_of_the_recording():
    refused(writes_to_thread, "which recording might change")
    refused(lambda y: y * MOCK(y), "which the call might change")
    refused(lambda y: Member().step(y), "is told of each class")
    refused(lambda y: Counted().step(y), "is told of each class")
    assert (vars(LOCAL), MOCK.mock_calls, Registered.known, Counting.made) == ({}, [], [Member], 0)


def yields(y):
    yield y


async def awaits(y):
    return y


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (yields, "is a generator"),
        (awaits, "is asynchronous"),
        (lambda y: print(y), "prints"),
        (lambda y: y * RNG.normal(), "draws random numbers"),
        (lambda y: y * random.random(), "draws random numbers"),
        (lambda y: y * NORMAL(), "draws random numbers"),
        (lambda y: y * functools.partial(NORMAL, 0.0)(), "draws random numbers"),
        (lambda y: y * Generator.normal(RNG), "draws random numbers"),
        (lambda y, draw=Generator.normal: y * draw(np.random.default_rng(0)), "draws random numbers"),
        (lambda y: y * Generator(np.random.PCG64(1)).normal(), "draws random numbers"),
        (lambda y: y + (now() > 1e12), "asks for the time"),
        (lambda y: (warn("now", stacklevel=2), y)[1], "warns"),
        (lambda y: (info("now"), y)[1], "writes a log"),
        (lambda y: (builtins.print("now"), y)[1], "prints"),
        (lambda y: (sys.stdout.write("now"), y)[1], "uses `sys.stdout`"),
        (lambda y: (setattr(sys.modules["math"], "new", 1), y)[1], "uses `sys.modules`"),
        (lambda y: (setattr(importlib.import_module("math"), "new", 1), y)[1], "uses `importlib.import_module`"),
        (lambda y: y * sys.unheard_of, "has no attribute 'unheard_of'"),
        (lambda y: y + (perf_counter() > 1e12), "asks for the time"),
        (lambda y: y * np.random.default_rng().normal(), "draws random numbers"),
        (lambda y: list(range(int(y[0]))), "indexes by a value"),
        (lambda y: y * (3 if y[0] > 0 else 2), "branches on a value"),
        (lambda y: y.nonexistent, "no attribute 'nonexistent'"),
        (lambda y: y[7], "raises IndexError"),
        (lambda y: y.tobytes(), "attribute"),
        (lambda y: y.astype(int) << 1, "works on the bits of integers"),
        (lambda y: 1 >> y.astype(int), "works on the bits of integers"),
        (lambda y: np.asarray(np.matrix(y)), "makes an array of the type `matrix`"),
        (lambda y: complex("1j") * y.astype(np.clongdouble), "calculates with complex"),
        (lambda y: float(y[0] * 1j), "makes real numbers of complex ones"),
        (lambda y: "text", "calculates with <U4"),
        (lambda y: math.gamma(y[0]), "calls `math.gamma`"),
    ],
)
def test_why_not(function, reason):
    error = refused(function, reason)
    if function not in (yields, awaits) and error.reason != "calculates with <U4":
        assert error.place.startswith("test_stand_in.py:")


def test_numbers_of_python_have_double_precision():
    for function in (lambda y: [math.sin(y[0])], lambda y: y * float(y[0])):
        with pytest.raises(NotRecordedError, match="float32"):
            record(function, [np.zeros(3, np.float32)])
    assert record(lambda y: y * math.sin(0.5), [np.zeros(3, np.float32)]).result.dtype == np.float32


def test_large_tables_are_indexed():
    table = np.sin(np.arange(HUGE + 1.0))

    def looks_up(y):
        return table[np.floor(1000 * y).astype(int)] + table[3] + table[1:4]

    check(looks_up)
    refused(lambda y: table.__setitem__(0, y[0]), "writes to a large array")
    refused(lambda y: np.add(table, 1.0, table)[:3] * y, "read-only")
    matrix = table[: 3 * 3000].reshape(3, 3000).repeat(2, axis=1)
    check(lambda y: matrix @ matrix.T @ y + matrix[0, 1] + matrix[:, 2] * y, rtol=1e-12)


def test_a_division_by_zero_is_one_of_numpy():
    program = record(lambda y: 1 / (y - y), [Y[0]]).program
    assert np.isinf(program(Y)[0]).all()


def test_eight_threads_record_at_once():
    errors = []

    def work():
        try:
            for _ in range(5):
                check(Derived())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_globals_are_read_again():
    namespace = {"np": np, "k": 2.0}
    exec("def function(y):\n    return np.array([k * y[0], k])", namespace)
    assert record(namespace["function"], [Y[0]]).program(Y)[0][0, 1] == 2.0
    namespace["k"] = 3.0
    assert record(namespace["function"], [Y[0]]).program(Y)[0][0, 1] == 3.0


def test_only_what_is_read_is_copied():
    def function(y, read=False):
        return TABLE * y if read else np.array([y])

    copy = Copies(Graph()).value(function)
    copy(1.0)
    assert "np" in copy.__globals__
    assert "TABLE" not in copy.__globals__
    copy(1.0, read=True)
    assert "TABLE" in copy.__globals__
    assert "NESTED" not in copy.__globals__


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("operation", [
    lambda y: y * 1.0, lambda y: 1.0 * y, lambda y: y / 1.0, lambda y: y - 0.0, lambda y: y**1, lambda y: +y,
    np.positive, np.conj, np.copy, np.nan_to_num, lambda y: np.clip(y, None, None), lambda y: np.round(y, 9) ** 1.0,
    lambda y: np.where(True, y, 0.0), lambda y: np.eye(len(y)) @ y, lambda y: np.sum(y[None], axis=0),
])  # fmt: skip
def test_a_result_is_an_array_of_its_own(operation, count):
    def step(y):
        found = operation(y)
        found[0] = 5.0
        return y + found

    check(step, examples=np.random.default_rng(3).uniform(0.1, 1.0, (7, count)))


def test_of_many_arrays_in_a_list_only_those_that_are_used_become_constants():
    arrays = [np.full(200, float(k)) for k in range(2000)]
    given = {"list": arrays, "dict": dict(enumerate(arrays)), "tuple": tuple(arrays)}
    for many in given.values():
        found = record(lambda y, many=many: y * many[7][:3] + many[1000] @ many[3], [Y[0]], limit=20_000)
        np.testing.assert_array_equal(found.program(Y)[0], 7.0 * Y + 200 * 3000.0)

    def writes(y):
        arrays[3][0] += 1
        return y

    refused(writes, "writes to a large array")
    check(lambda y: np.stack(arrays[:150])[7, :3] * y)  # few of them are used at once


class Memory:
    """Something that a call changes and leaves as it was."""

    def __init__(self):
        self.last = 1.0

    def step(self, y, x):
        self.last = 2.0
        found = self.last * y + x[0] * x[1]
        self.last = 1.0
        return found


def test_tuples_of_inputs_are_no_memory():
    """A second call gets another tuple, with other nodes."""
    program = record(Memory().step, [np.ones((1, 2)), (np.ones((1, 2)), np.ones((1, 2)))]).program
    np.testing.assert_array_equal(program(*np.full((3, 1, 1, 2), 3.0))[0], [[[15.0, 15.0]]])

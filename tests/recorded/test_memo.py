"""Recordings that are kept: never one of a function that reads something else now."""

import contextlib
import functools
import gc
import itertools
import os
import sys
import threading
import types
import weakref
from collections import namedtuple
from dataclasses import dataclass, field

import everyday
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import interpolate, sparse

from parscan import solve_recurrence
from parscan._recorded import memo
from parscan._recorded.origins import HUGE
from parscan._recorded.record import NotRecordedError, recorded
from parscan._recorded.witness import Witness
from parscan._recurrence import code as _code

LIMIT = 10_000
STATE = np.array([[0.5, 0.25]])


@pytest.fixture(autouse=True)
def _empty():
    memo._kept.clear()
    yield
    memo._kept.clear()


def remembered(function, *constants):
    return memo.remembered(function, [STATE], constants, LIMIT)


def is_kept(function, *constants):
    """Whether the second recording is the first one."""
    return remembered(function, *constants) is remembered(function, *constants)


def value(function, *constants):
    return remembered(function, *constants).program(STATE[None])[0][0]


GAIN, TABLE, LIST = 0.5, np.array([1.0, 2.0]), [1.0, [2.0, 3.0]]
CONFIG, SPACE = {"rate": 0.5, 1: {"deep": np.ones(2)}}, types.SimpleNamespace(rate=0.5)
HELPERS = types.ModuleType("helpers_of_the_user")
exec("import numpy as np\nFACTOR = 2.0\ndef double(y): return FACTOR * y", HELPERS.__dict__)
POINT = namedtuple("Point", "x y")
POINTS = POINT(1.0, np.ones(2))


def helper(y):
    return GAIN * y


class Model:
    scale = 2.0

    def __init__(self):
        self.rate, self.matrix, self.inner = 0.5, np.eye(2), types.SimpleNamespace(depth=1.0)

    def step(self, y):
        return self.scale * self.rate * y @ self.matrix + self.inner.depth + self.offset + self.fixed()

    def __call__(self, y):
        return self.step(y)

    @property
    def offset(self):
        return self.rate

    @staticmethod
    def fixed():
        return GAIN

    @functools.cached_property
    def later(self):
        return 1.0


@dataclass
class Parameters:
    rate: float = 0.5
    weights: list = field(default_factory=lambda: [1.0, 2.0])

    def step(self, y):
        return self.rate * y + self.weights[0]


@dataclass(frozen=True)
class Fixed:
    rate: float = 0.5

    def step(self, y):
        return self.rate * y


class Slotted:
    __slots__ = ("rate",)

    def __init__(self):
        self.rate = 0.5

    def step(self, y):
        return self.rate * y


MODEL, PARAMETERS, SLOTTED = Model(), Parameters(), Slotted()
MATRIX = sparse.csr_array(np.array([[1.0, 2.0], [0.0, 3.0]]))
LINE, POLYNOMIAL = interpolate.interp1d(np.arange(3.0), np.ones(3)), np.polynomial.Polynomial([1.0, 2.0])
SPLINE = interpolate.CubicSpline(np.linspace(0, 1, 5), np.array([0.0, 1.0, 0.5, 2.0, 1.0]))


def uses_global(y):
    return GAIN * y


def uses_helper(y):
    return helper(y) + np.exp(y)


def uses_array(y):
    return TABLE * y


def uses_list(y):
    return LIST[1][0] * y


def uses_dict(y):
    return CONFIG["rate"] * y + CONFIG[1]["deep"]


def uses_space(y):
    return SPACE.rate * y


def uses_module(y):
    return HELPERS.double(y)


def uses_default(y, weights=[0.5, 2.0], *, table={"a": 1.0}):  # noqa: B006
    return weights[0] * y + table["a"]


def uses_point(y):
    return POINTS.x * y + POINTS.y


def uses_sparse(y):
    return (MATRIX @ y[0])[None]


def uses_spline(y):
    return SPLINE(y)


def uses_builtin(y):
    return abs(y) + len(LIST)


@functools.lru_cache
def cached(k):
    return GAIN + k


def uses_cache(y):
    return cached(1) * y


def closure(gain):
    def step(y):
        return gain * y

    return step


def uses_import(y):
    import everyday_helpers

    return everyday_helpers.hill(np.abs(y), 1.0, 2) if hasattr(everyday_helpers, "hill") else y


def added(base, y):
    return base + y


FUNCTIONS = {
    "global": uses_global, "helper": uses_helper, "array": uses_array, "list": uses_list, "dict": uses_dict,
    "space": uses_space, "module": uses_module, "default": uses_default, "point": uses_point, "sparse": uses_sparse,
    "spline": uses_spline, "builtin": uses_builtin, "cache": uses_cache, "closure": closure(2.0),
    "import": uses_import, "method": MODEL.step, "callable": MODEL, "dataclass": PARAMETERS.step,
    "frozen dataclass": Fixed().step,
    "slots": SLOTTED.step, "partial": functools.partial(added, np.ones(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_reads_the_same_is_not_recorded_again(name):
    assert is_kept(FUNCTIONS[name])


def here():
    return sys.modules[__name__]


def mutate(set_to):
    """Set an item of a container."""
    container, key, found = set_to

    def change(patch):
        if isinstance(container, np.ndarray):
            before = container.copy()
            patch.callback(lambda: container.__setitem__(..., before))
            container[key] = found
        else:
            patch.item(container, key, found)

    return change


class Patch:
    """Changes that are undone."""

    def __init__(self, monkeypatch):
        self.monkeypatch, self._undo = monkeypatch, []

    def callback(self, undo):
        self._undo.append(undo)

    def item(self, container, key, found):
        before = container[key]
        self.callback(lambda: container.__setitem__(key, before))
        container[key] = found

    def undo(self):
        for undo in self._undo:
            undo()


def attribute(owner, name, found):
    return lambda patch: patch.monkeypatch.setattr(owner() if callable(owner) and owner is here else owner, name, found)


def redefined(function, source):
    """The code of a function, as after it was executed again in a notebook."""

    def change(patch):
        space = {}
        exec(source, {}, space)
        (new,) = space.values()
        patch.monkeypatch.setattr(function, "__code__", new.__code__)

    return change


def scaled(factor):
    def step(y):
        return factor * helper(y) * TABLE + np.sin(y)

    return step


STEP = scaled(2.0)

CHANGES = {
    "cell": (STEP, attribute(STEP.__closure__[0], "cell_contents", 5.0)),
    "array of a closure": (STEP, mutate((TABLE, 1, 5.0))),
    "helper of a closure": (STEP, attribute(here, "helper", lambda y: 3 * y)),
    "code of the helper of a closure": (STEP, redefined(helper, "def helper(y): return 4 * y")),
    "function of NumPy in a closure": (STEP, attribute(np, "sin", np.cos)),
    "global rebound": (uses_global, attribute(here, "GAIN", 0.75)),
    "global of another type": (uses_global, attribute(here, "GAIN", np.float32(0.3))),
    "global with another sign of zero": (lambda y: np.copysign(y, ZERO), attribute(here, "ZERO", -0.0)),
    "global of a helper": (uses_helper, attribute(here, "GAIN", 0.75)),
    "helper rebound": (uses_helper, attribute(here, "helper", lambda y: 3 * y)),
    "helper redefined": (uses_helper, redefined(helper, "def helper(y): return 4 * y")),
    "NumPy's function replaced": (uses_helper, attribute(np, "exp", np.sin)),
    "array in place": (uses_array, mutate((TABLE, 1, 5.0))),
    "array of NaN": (uses_array, mutate((TABLE, 1, np.nan))),
    "array rebound": (uses_array, attribute(here, "TABLE", np.array([3.0, 4.0]))),
    "array of another dtype": (uses_array, attribute(here, "TABLE", np.array([1, 3]))),
    "array of another shape": (uses_array, attribute(here, "TABLE", np.array([[1.0, 2.0]]).T)),
    "list entry": (uses_list, mutate((LIST[1], 0, 7.0))),
    "dictionary entry": (uses_dict, mutate((CONFIG, "rate", 0.25))),
    "array in a dictionary": (uses_dict, mutate((CONFIG[1]["deep"], 0, 9.0))),
    "dictionary in a dictionary": (uses_dict, mutate((CONFIG, 1, {"deep": np.zeros(2)}))),
    "namespace": (uses_space, attribute(SPACE, "rate", 2.0)),
    "helper of a module": (uses_module, attribute(HELPERS, "double", lambda y: 3 * y)),
    "global of a module": (uses_module, attribute(HELPERS, "FACTOR", 5.0)),
    "default": (uses_default, mutate((uses_default.__defaults__[0], 0, 8.0))),
    "defaults": (uses_default, attribute(uses_default, "__defaults__", ([3.0],))),
    "keyword default": (uses_default, mutate((uses_default.__kwdefaults__["table"], "a", 2.0))),
    "named tuple": (uses_point, attribute(here, "POINTS", POINT(2.0, np.ones(2)))),
    "array in a named tuple": (uses_point, mutate((POINTS.y, 0, 3.0))),
    "sparse entry": (uses_sparse, mutate((MATRIX.data, 0, 3.0))),
    "table of an interpolant": (lambda y: -LINE(y), mutate((LINE.y, 1, 3.0))),
    "polynomial": (lambda y: -POLYNOMIAL(y), mutate((POLYNOMIAL.coef, 1, 3.0))),
    "spline": (uses_spline, mutate((SPLINE.c, 3, 3.0))),
    "function of Python hidden": (uses_builtin, lambda patch: patch.monkeypatch.setattr(
        here(), "abs", lambda y: y + 10, raising=False)),
    "global of a cached function": (uses_cache, attribute(here, "GAIN", 4.0)),
    "attribute": (MODEL.step, attribute(MODEL, "rate", 0.25)),
    "attribute of a callable": (MODEL, attribute(MODEL, "rate", 0.25)),
    "array of an object": (MODEL.step, mutate((MODEL.matrix, (0, 1), 3.0))),
    "object in an object": (MODEL.step, attribute(MODEL.inner, "depth", 3.0)),
    "class attribute": (MODEL.step, attribute(Model, "scale", 3.0)),
    "class attribute hidden": (MODEL.step, lambda patch: patch.monkeypatch.setitem(MODEL.__dict__, "scale", 9.0)),
    "method": (MODEL, attribute(Model, "step", lambda self, y: 3 * y)),
    "static method": (MODEL, attribute(Model, "fixed", staticmethod(lambda: 3.0))),
    "property": (MODEL, attribute(Model, "offset", property(lambda self: 3.0))),
    "global of a method": (MODEL, attribute(here, "GAIN", 3.0)),
    "field": (PARAMETERS.step, attribute(PARAMETERS, "rate", 3.0)),
    "list in a field": (PARAMETERS.step, mutate((PARAMETERS.weights, 0, 3.0))),
    "slot": (SLOTTED.step, attribute(SLOTTED, "rate", 3.0)),
    "array in a partial": (FUNCTIONS["partial"], mutate((FUNCTIONS["partial"].args[0], 0, 3.0))),
    "code": (uses_global, redefined(uses_global, "def uses_global(y): return 7 * y")),
    "imported function": (uses_import, attribute(sys.modules["everyday_helpers"], "hill", lambda y, *_: 3 * y)),
    "imported module": (uses_import, lambda patch: patch.monkeypatch.setitem(
        sys.modules, "everyday_helpers", types.ModuleType("everyday_helpers"))),
}  # fmt: skip

ZERO = 0.0


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_read_again(monkeypatch, name):
    function, change = CHANGES[name]
    patch = Patch(monkeypatch)
    before, _ = value(function), value(function)  # the second time, it is compared at a glance where that is possible
    try:
        change(patch)
        found = value(function)
        expected = recorded(function, [STATE])[0].program(STATE[None])[0][0]
        np.testing.assert_array_equal(found, expected)
        assert found.tobytes() != before.tobytes()
    finally:
        patch.undo()


def test_arguments_are_compared():
    assert is_kept(added, np.ones(2))
    np.testing.assert_array_equal(value(lambda y, a: a * y, 2.0), 2 * STATE)
    assert remembered(added, np.ones(2)) is remembered(added, np.ones(2))
    assert remembered(added, np.ones(2)) is not remembered(added, np.full(2, 1 + 1e-16 * 3))
    assert remembered(added, 1) is not remembered(added, True)
    assert remembered(added, 1) is not remembered(added, 1.0)
    assert remembered(added, np.nan) is remembered(added, np.float64(np.nan).item())


def test_a_closure_that_is_made_again_is_the_same_function():
    assert remembered(closure(2.0)) is remembered(closure(2.0))
    assert remembered(closure(2.0)) is not remembered(closure(3.0))


def test_shapes_and_dtypes_of_the_state_count():
    one = memo.remembered(uses_global, [STATE], (), LIMIT)
    assert memo.remembered(uses_global, [STATE.astype(np.float32)], (), LIMIT) is not one
    assert memo.remembered(uses_global, [STATE[:, :1]], (), LIMIT) is not one
    assert memo.remembered(uses_global, [STATE + 1], (), LIMIT) is one


def test_one_array_under_two_names_is_not_two_arrays():
    def make(one, other):
        def step(y):
            one[...] = y
            return other + 1

        return step

    shared = np.zeros((1, 2))
    np.testing.assert_array_equal(value(make(shared, shared)), STATE + 1)
    np.testing.assert_array_equal(value(make(np.zeros((1, 2)), np.zeros((1, 2)))), np.ones((1, 2)))
    np.testing.assert_array_equal(value(make(shared, shared)), STATE + 1)


def test_parts_that_contain_each_other():
    loop = [1.0]
    loop.append(loop)

    def step(y):
        return loop[1][1][0] * y

    assert is_kept(step)
    loop[0] = 3.0
    np.testing.assert_array_equal(value(step), 3 * STATE)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: lambda y: y + np.loadtxt(path),
        lambda path: lambda y: y + (id(path) % 2),
        lambda path: lambda y: y + len(os.environ),
        lambda path: lambda y: y + hash(path) % 2,
        lambda path: lambda y: y + path.__hash__() % 2,
        lambda path: lambda y: y + hash(Fixed(path)) % 2,
        lambda path: lambda y: y + eval("1"),
    ],
)
def test_what_depends_on_more_than_its_arguments_is_recorded_again(tmp_path, make):
    path = tmp_path / "table.txt"
    path.write_text("1.0")
    function = make(str(path))
    assert not is_kept(function)


def test_a_file_is_read_again(tmp_path):
    path = str(tmp_path / "table.txt")

    def step(y):
        return y + np.loadtxt(path)

    for number in (1.0, 2.0):
        np.savetxt(path, [number])
        np.testing.assert_array_equal(value(step), STATE + number)


def test_functions_with_a_state_are_refused_every_time():
    calls = itertools.count()
    seen = []

    def counting(y):
        return y + next(calls)

    def keeping(y):
        seen.append(1)
        return y

    for function in (counting, keeping):
        for _ in range(3):
            with pytest.raises(NotRecordedError):
                remembered(function)


def test_most_everyday_functions_are_kept():
    kept = count = 0
    for case in everyday.CASES:
        if case.reason is None:
            count += 1
            copies = recorded(case.function, [np.zeros(shape) for shape, _, _ in case.arguments], case.constants)[1]
            kept += Witness(case.function, case.constants, copies).holds(case.function, case.constants)
    assert kept == count


def test_arrays_of_the_users_are_not_kept_alive():
    table = np.ones(2)
    reference = weakref.ref(table)

    def make(table):
        return lambda y: y * table

    function = make(table)
    assert is_kept(function)
    del table, function
    gc.collect()  # what was recorded contains itself
    assert reference() is None


def test_large_arrays_are_not_kept():
    table = np.ones(1 << 22)
    assert not is_kept(lambda y: y * table[3])
    few = np.ones(1 << 15)
    assert is_kept(lambda y: y * few[3])


@pytest.mark.parametrize("change", [5.0, np.nan, -0.0])
@pytest.mark.parametrize("layout", ["C", "F", "strided", "bytes"])
def test_every_entry_of_an_array_is_compared(layout, change):
    tables = {"C": np.zeros((90, 90)), "F": np.zeros((90, 90), order="F"), "strided": np.zeros((90, 180))[:, ::2],
              "bytes": np.zeros((91, 91), "i1")}  # fmt: skip
    table = tables[layout]
    step = lambda y: y + table[-1, -1]  # noqa: E731
    if layout == "bytes":
        change = 5
    assert is_kept(step)
    first = remembered(step)
    table[-1, -1] = change
    assert remembered(step) is not first
    np.testing.assert_array_equal(value(step), STATE + table[-1, -1])
    assert is_kept(step)  # a NaN is as before


class Fitted:
    """A model that has its data with it, as many have."""

    shown = None

    def __init__(self):
        self.data, self.shown, self.rate = np.ones(HUGE + 1), np.ones(HUGE + 1), 0.5

    def step(self, y):
        return self.rate * y

    def with_data(self, y):
        return self.rate * y + self.data[2]


READ = {
    "attribute": lambda model, y: model.data[2] * y,
    "getattr": lambda model, y: getattr(model, "da" + "ta")[2] * y,
    "vars": lambda model, y: vars(model)["data"][2] * y,
    "dictionary": lambda model, y: sum(value[2] for name, value in model.__dict__.items() if name == "data") * y,
    "method": lambda model, y: model.with_data(y),
    "twice": lambda model, y: model.data[2] * y + model.data[3],
}
UNREAD = {
    "none": lambda model, y: model.step(y),
    "another": lambda model, y: vars(Plain(model.rate))["rate"] * y,
    "written": lambda model, y: (setattr(model, "other", 1.0), delattr(model, "other"), model.rate * y)[-1],
}


class Plain:
    def __init__(self, rate):
        self.rate = rate


@pytest.mark.parametrize("name", [*READ, *UNREAD])
def test_large_data_of_an_object_is_compared_if_it_is_read(name):
    model = Fitted()
    function = functools.partial((READ | UNREAD)[name], model)
    first = remembered(function)
    assert remembered(function) is first
    model.data[2] = 7.0
    assert (remembered(function) is first) == (name in UNREAD)
    np.testing.assert_allclose(value(function), function(STATE))
    model.data = None
    if name in UNREAD:
        assert remembered(function) is first
    model.rate = 0.25
    with pytest.raises(NotRecordedError) if name in READ else contextlib.nullcontext():
        assert remembered(function) is not first


@pytest.mark.parametrize(
    "function",
    [
        lambda model, y: y * (model.shown is None),
        lambda model, y: y * hasattr(model, "data") + hasattr(model, "nothing") + hasattr(Fitted, "shown"),
        lambda model, y: y * len(model.__dict__) + ("data" in vars(model)),
        lambda model, y: y * getattr(Plain(1.0), "data", 3.0),
        lambda model, y: y * isinstance(model, Fitted) + (type(model) is Fitted),
        lambda model, y: y * (model.data is model.data) + (model.data is vars(model)["data"]),
    ],
)
def test_large_data_looks_as_if_it_were_there(function):
    model = Fitted()
    bound = functools.partial(function, model)
    np.testing.assert_allclose(value(bound), function(model, STATE))


def test_the_number_of_recordings_is_bounded():
    for k in range(50):
        remembered(added, float(k))
    for k in range(200):
        exec(f"def step_{k}(y): return {k} * y", globals())
        remembered(globals().pop(f"step_{k}"))
    assert sum(map(len, memo._kept.values())) <= memo.KEPT
    assert max(map(len, memo._kept.values())) <= memo.ALIKE


def test_threads_may_record_at_once():
    errors = []

    def work(number):
        try:
            for k in range(30):
                gain = float((number + k) % 7)
                np.testing.assert_array_equal(value(lambda y, g: g * y, gain), gain * STATE)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_code_that_was_wrong_is_forgotten(monkeypatch):
    T = 3000
    solve_recurrence(uses_array, np.ones(2), length=T, method="sequential", compile=True)
    assert any(memo._kept.values())
    monkeypatch.setattr(_code, "_unlike", lambda *_: "was spoilt")
    monkeypatch.setattr(_code, "is_worth_running", lambda *_: True)  # however little time the loop takes
    solve_recurrence(uses_array, np.ones(2), length=T, method="sequential", compile=None)
    assert not any(memo._kept.values())


PARTS = st.recursive(
    st.one_of(
        st.integers(-3, 3),
        st.sampled_from([0.0, -0.0, 1.0, np.nan, True, False, None, "a", 1j, np.float64(1), np.float32(1)]),
        st.lists(st.integers(0, 2), max_size=3).map(lambda x: np.array(x, float)),
    ),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.lists(parts, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("abc"), parts, max_size=3),
    ),
    max_leaves=6,
)


def described(part):
    """All that can be read of nested containers, as text."""
    if isinstance(part, np.ndarray):
        return f"array {part.dtype} {part.shape} {part.tobytes()}"
    if isinstance(part, list | tuple):
        return f"{type(part).__name__}[{', '.join(map(described, part))}]"
    if isinstance(part, dict):
        return f"dict[{', '.join(f'{key}: {described(one)}' for key, one in part.items())}]"
    return f"{type(part).__name__} {part!r}"


@given(PARTS, PARTS)
def test_a_witness_holds_for_equal_parts_only(one, other):
    def step(y, part):
        return y if part is y else 2 * y

    copies = recorded(step, [STATE], (one,))[1]
    witness = Witness(step, (one,), copies)
    assert witness.holds(step, (one,))
    if witness.holds(step, (other,)):
        assert described(one) == described(other)


class WithOriginal:
    """A callable object that has a function of its own besides `__wrapped__`."""

    def __init__(self, function, factor):
        self.__wrapped__, self.py_func, self.factor = function, function, factor

    def __call__(self, y):
        return self.factor * self.__wrapped__(y)


def test_objects_that_wrap_a_function_are_called_themselves():
    wrapped = WithOriginal(lambda y: y + 1, 3.0)
    np.testing.assert_array_equal(value(wrapped), 3 * (STATE + 1))
    np.testing.assert_array_equal(value(lambda y: 2 * wrapped(y)), 6 * (STATE + 1))
    wrapped.factor = 2.0
    np.testing.assert_array_equal(value(wrapped), 2 * (STATE + 1))


def test_one_slow_comparison_is_not_held_against_a_recording(monkeypatch):
    def function(y):  # what it reads is not compared at a glance
        return CONFIG["rate"] * y

    recording, worth, times = remembered(function), 1.0, iter([0.0, 5.0, 5.0, 5.1, 5.1, 9.0])

    def recalled():
        return memo.recalled(function, [STATE], (), LIMIT, worth)

    with monkeypatch.context() as patched:
        patched.setattr("time.thread_time", lambda: next(times))
        assert recalled() is recording  # took 5 seconds
        assert recalled() is None
        worth = 6.0
        assert recalled() is recording  # a tenth
        worth = 1.0
        assert recalled() is recording  # 4 seconds, which are not counted
    assert recalled() is recording


GLANCES = {
    "global": (uses_global, 1), "helper": (uses_helper, 1), "array": (uses_array, 1), "closure": (STEP, 1),
    "module": (uses_module, 1), "dict": (uses_dict, 0), "space": (uses_space, 1), "method": (MODEL.step, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", GLANCES)
def test_what_has_not_changed_is_seen_at_a_glance(monkeypatch, name):
    function, count = GLANCES[name]
    recording = remembered(function)
    assert remembered(function) is recording
    walks = []
    monkeypatch.setattr(Witness, "_holds", lambda *_: walks.append(1) or True)
    assert remembered(function) is recording
    assert len(walks) == 1 - count


def test_what_a_function_reads_is_not_kept_alive_by_a_glance():
    def made():
        table = np.ones(2)

        def step(y):
            return step.__name__ == "step" and table * y

        return step, weakref.ref(table)

    function, table = made()
    assert is_kept(function)
    del function
    gc.collect()
    assert table() is None


def test_functions_that_are_made_anew_are_walked_over_without_a_glance(monkeypatch):
    """A glance at one of them would never be used."""

    def made():
        return lambda y: 2 * y

    recording, glances = remembered(made()), []
    monkeypatch.setattr(Witness, "_glimpse", lambda *_: glances.append(1))
    assert remembered(made()) is recording
    assert remembered(made()) is recording
    assert not glances
    same = made()
    assert remembered(same) is recording
    assert remembered(same) is recording
    assert glances == [1]

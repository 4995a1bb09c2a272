"""The quick look whether all that a function reads is as it was: what passes it, and what it leaves to the walk."""

import builtins
import gc
import types
import weakref

import numpy as np
import pytest

from parscan._recorded import memo, parts_of_objects, witness
from parscan._recorded.witness import Witness

STATE = np.array([[0.3, 0.7]])


@pytest.fixture
def walks(monkeypatch):
    """Number of walks over what functions read."""
    found, real = [], Witness._holds
    monkeypatch.setattr(Witness, "_holds", lambda *given: found.append(1) or real(*given))
    return found


def recalled(function, *constants):
    return memo.recalled(function, [STATE], constants, 1000)


def remembered(function, *constants):
    """A recording that a walk and a glance have found to hold."""
    found = memo.remembered(function, [STATE], constants, 1000)
    for _ in range(3):
        assert recalled(function, *constants) is found
    return found


def module(text):
    """A module of the user's, with functions of this text."""
    found = types.ModuleType("of_the_user")
    exec("import numpy as np\n" + text, vars(found))
    return found


def test_the_same_objects_are_not_walked_over(walks):
    own = module("rate = 2.5\ntable = np.ones(2)\ndef helper(y): return abs(y) * rate\n"
                 "def step(y): return np.sin(helper(y)) + table")  # fmt: skip
    found = remembered(own.step)
    count = len(walks)
    assert count == 1
    for _ in range(20):
        assert recalled(own.step) is found
    assert len(walks) == count


@pytest.mark.parametrize("opener", ["of_space", "of_module"])
def test_globals_and_modules_of_many_functions_are_looked_at_once(opener, monkeypatch, walks):
    looks, key = [], getattr(parts_of_objects, opener)
    make = witness.LOOKS[key]

    def counted(*given):
        look = make(*given)
        return lambda one: looks.append(1) or look(one)

    monkeypatch.setitem(witness.LOOKS, key, counted)
    methods = "".join(f" def bent{k}(self, y): return np.sin(y) * rate\n" for k in range(5))
    own = module(f"rate = 2.5\nclass Model:\n{methods} def step(self, y): return self.bent0(self.bent4(y))\n"
                 "model = Model()\nmodel.size = 1")  # fmt: skip
    found, count = remembered(own.model.step), len(walks)
    looks.clear()
    assert recalled(own.model.step) is found
    assert (len(looks), len(walks)) == (1, count)
    own.rate = 2.25
    assert recalled(own.model.step) is not found


CHANGES = {
    "a number": "own.rate = 2.25",
    "an equal number of another type": "own.rate = np.float64(2.5)",
    "the sign of zero": "own.zero = -0.0",
    "an array in place": "own.table[1] = 3",
    "an array": "own.table = np.array([1.0, 4.0])",
    "the shape of an array": "own.table.shape = (1, 2)",
    "a helper": "own.helper = lambda y: y",
    "the code of a helper": "own.helper.__code__ = (lambda y: y).__code__",
    "defaults": "own.helper.__defaults__ = (1,)",
    "keyword defaults": "own.helper.__kwdefaults__ = {'p': 1}",
    "an attribute": "own.helper.gain = 3",
    "a name of Python's": "own.abs = lambda y: 2 * y",
    "a module": "own.np = own.other",
    "the attribute of a module": "own.other.cos = np.sin",
    "a name that is gone": "del own.rate",
    "the function": "own.step.__code__ = (lambda y: y).__code__",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_are_seen(change):
    own = module("import types\nrate, zero, table = 2.5, 0.0, np.ones(2)\nother = types.ModuleType('other')\n"
                 "other.cos, other.sin = np.cos, np.cos\n"
                 "def helper(y): return abs(y) * rate\n"
                 "def step(y): return np.sin(helper(y)) + table + zero + other.cos(y)")  # fmt: skip
    found = remembered(own.step)
    exec(change, {"own": own, "np": np})
    assert recalled(own.step) is not found


def test_closures_are_looked_at(walks):
    def make(rate, table):
        def change(new):
            nonlocal rate
            rate = new

        return (lambda y: rate * y + table), change

    table = np.ones(2)
    step, change = make(2.0, table)
    found = remembered(step)
    before = len(walks)
    assert recalled(step) is found
    assert len(walks) == before
    table[0] = 5
    assert recalled(step) is None
    table[0] = 1
    assert recalled(step) is found
    change(3.0)
    assert recalled(step) is None
    change(float("2.0"))  # another object of the same value
    assert recalled(step) is found


def test_helpers_that_call_themselves(walks):
    rate = 0.5

    def power(k):
        return rate * other(k - 1) if k else 1.0

    def other(k):
        return rate * power(k - 1) if k else 1.0

    def step(y):
        return power(3) * y

    found = remembered(step)
    before = len(walks)
    assert recalled(step) is found
    assert len(walks) == before
    rate = 0.25
    assert recalled(step) is None


def test_a_module_that_is_gone():
    own = module("import types\nother = types.ModuleType('other')\ndef step(y): return y if other is None else 2 * y")
    found = remembered(own.step)
    own.other = None
    gc.collect()
    assert recalled(own.step) is not found


def test_arguments_are_looked_at():
    table = np.ones(2)

    def step(y, a, b, c):
        return a * y + b + (0 if c is None else c)

    found = remembered(step, 2.0, table, None)
    assert recalled(step, float("2.0"), table, None) is found
    assert recalled(step, 2.0, np.ones(2), None) is found
    for a, b, c in [(2, table, None), (-2.0, table, None), (2.0, np.zeros(2), None), (2.0, table, 0)]:
        assert recalled(step, a, b, c) is None
    table[1] = 2
    assert recalled(step, 2.0, table, None) is None


def test_names_of_python(monkeypatch):
    own = module("def step(y): return abs(y)")
    found = remembered(own.step)
    monkeypatch.setattr(builtins, "abs", np.sin)
    assert recalled(own.step) is not found


OTHERS = ["rates = [np.ones(2)]", "rates = {0: 2.0}"]


@pytest.mark.parametrize("text", OTHERS)
def test_other_objects_are_walked_over(text, walks):
    own = module(f"{text}\ndef step(y): return rates[0] * y")
    found = remembered(own.step)
    before = len(walks)
    assert recalled(own.step) is found
    assert len(walks) == before + 1


def test_functions_and_arrays_are_not_kept_alive():
    own = module("table = np.ones(2)\ndef helper(y): return y + table\ndef step(y): return helper(y)")
    remembered(own.step)
    gone = [weakref.ref(one) for one in (own.step, own.helper, own.table, own)]
    del own
    gc.collect()
    assert [one() for one in gone] == [None] * 4


CLASSES = """
from dataclasses import dataclass

class Base:
    gain = 2.0
    def scaled(self, y): return self.gain * y

@dataclass
class Model(Base):
    table: object
    rate: float = 0.5
    unused: float = 1.0

    @property
    def half(self): return 0.5 * self.rate

    @staticmethod
    def bent(y): return np.tanh(y)

    @classmethod
    def shifted(cls, y): return y + cls.shift

    shift = 0.25
    __special__ = [1.0]

    def step(self, y): return self.shifted(self.bent(self.scaled(y @ self.table))) * self.half * self.__special__[0]

model = Model(np.eye(2))
"""

CHANGES_OF_OBJECTS = {
    "an attribute": "own.model.rate = 0.25",
    "an array in place": "own.model.table[0, 1] = 1",
    "an array": "own.model.table = np.ones((2, 2))",
    "an attribute of its own": "own.model.gain = 3.0",
    "a method of its own": "own.model.bent = lambda y: y",
    "an attribute that is gone": "del own.model.rate",
    "an attribute of the class": "own.Model.shift = 0.5",
    "a new attribute of the class": "own.Model.gain = 0.5",
    "an attribute of the base": "own.Base.gain = 0.5",
    "the code of a method": "own.Model.step.__code__ = (lambda self, y: y).__code__",
    "the code of a method of the base": "own.Base.scaled.__code__ = (lambda self, y: y).__code__",
    "a method": "own.Base.scaled = lambda self, y: y",
    "a property": "own.Model.half = property(lambda self: 3.0)",
    "the function of a property": "own.Model.half.fget.__code__ = (lambda self: 3.0).__code__",
    "a static method": "own.Model.bent = staticmethod(np.sin)",
    "what a special attribute holds": "own.Model.__special__[0] = 3.0",
    "the class": "own.model.__class__ = type('Other', (own.Model,), {'shift': 1.0})",
    "the object": "own.model = own.Model(2 * np.eye(2))",
}


@pytest.mark.parametrize("change", CHANGES_OF_OBJECTS.values(), ids=CHANGES_OF_OBJECTS)
def test_changes_of_objects_are_seen(change, walks):
    own = module(CLASSES)
    found = remembered(own.model.step)
    count = len(walks)
    assert recalled(own.model.step) is found
    assert len(walks) == count
    exec(change, {"own": own, "np": np})
    assert recalled(own.model.step) is not found


def test_equal_objects_are_walked_over(walks):
    own = module(CLASSES)
    found, equal = remembered(own.model.step), own.Model(np.eye(2))
    count = len(walks)
    assert recalled(equal.step) is found
    assert len(walks) == count + 1


def test_attributes_of_functions(walks):
    own = module("def step(y): return step.rate * y\nstep.rate = 2.0")
    found = remembered(own.step)
    count = len(walks)
    assert recalled(own.step) is found
    assert len(walks) == count
    own.step.rate = 3.0
    assert recalled(own.step) is not found
    own.step.rate = 2.0
    own.step.other = 2.0
    assert recalled(own.step) is not found

"""What a function keeps from call to call is found, also where another call with the same symbols gives the same."""

import functools
import sys
import types

import numpy as np
import pytest

from parscan._recorded.captured import opened
from parscan._recorded.record import NotRecordedError, Wishes, record

SETTINGS = types.ModuleType("settings_of_this_test")

LARGE = np.zeros(20_000)

BRANCHES = Wishes(branches_on=(0,))


def keeps_the_first():
    first = []

    def step(y):
        if not first:
            first.append(y.copy())
        return y - first[0]

    return step


def keeps_the_first_in_a_variable():
    first = None

    def step(y):
        nonlocal first
        if first is None:
            first = y
        return y - first

    return step


def keeps_the_first_deep_inside():
    kept = {}

    def step(y):
        kept.setdefault("first", ({"state": [0.0, y.copy()]},))
        return y + kept["first"][0]["state"][1]

    return step


def keeps_the_first_in_itself():
    def step(y):
        step.first = getattr(step, "first", y)
        return y - step.first

    return step


def keeps_the_first_in_a_closure():
    made = []

    def relative(start):
        return lambda y: y - start

    def step(y):
        if not made:
            made.append(relative(y.copy()))
        return made[0](y)

    return step


def keeps_the_first_in_a_partial():
    made = []

    def step(y):
        if not made:
            made.append(functools.partial(np.subtract, y.copy()))
        return made[0](y)

    return step


class Relative:
    first = None

    def step(self, y):
        if self.first is None:
            self.first = y.copy()
        return y - self.first


class Held:
    __slots__ = ("held",)

    def step(self, y):
        if not hasattr(self, "held"):
            self.held = Relative()
        return self.held.step(y)


def keeps_the_first_complex():
    first = []

    def step(y):
        if not first:
            first.append(y * 1j)
        return (y - first[0]).real + (y + first[0]).imag

    return step


def keeps_the_first_number():
    scale = []

    def step(y):
        if not scale:
            scale.append(float(y[0]))
        return y * scale[0]

    return step


FIRST = [keeps_the_first, keeps_the_first_in_a_variable, keeps_the_first_deep_inside, keeps_the_first_in_itself,
         keeps_the_first_in_a_closure, keeps_the_first_in_a_partial, lambda: Relative().step, lambda: Held().step,
         keeps_the_first_complex, keeps_the_first_number]  # fmt: skip


@pytest.mark.parametrize("make", FIRST)
def test_first_states_are_not_taken_for_later_ones(make):
    with pytest.raises(NotRecordedError, match="again|history"):
        record(make(), [np.array([0.3, 0.4])])


def latches():
    on = [False]

    def step(y):
        if y[0] > 0.5:
            on[0] = True
        return y + (1.0 if on[0] else 2.0)

    return step


def latches_by_an_exception():
    on = [False]

    def step(y):
        try:
            if y[0] > 0.5:
                raise ValueError
        except ValueError:
            on[0] = True
        return y + (1.0 if on[0] else 2.0)

    return step


def numbers_ways():
    numbers = {}

    def step(y):
        return y + numbers.setdefault(bool(y[0] > 0.5), len(numbers))

    return step


def holds_a_value():
    held = [0.0]

    def step(y):
        if y[0] > 0.5:
            held[0] = y[1]
            return y * 0.5
        return y + held[0]

    return step


def knows_the_first_way():
    ways = []

    def step(y):
        way = "up" if y[0] > 0.5 else "down"
        if way not in ways:
            ways.append(way)
        return y + (1.0 if ways[0] == "up" else 2.0)

    return step


def finds_what_the_second_way_has_left():
    """Only if that was the first call: the first way writes what hides it."""
    memory = [0.0, 0.3]

    def step(y):
        if y[0] > 0.5:
            memory[1] = 1.0
            return y * 0.5 + memory[0]
        memory[0] = 1.0 - memory[1]
        return y * 0.25

    return step


def unlocks():
    """By three ways in a row."""
    open_ = Noting()
    open_.last = open_.rate = 0

    def step(y):
        if y[0] > 0.5:
            open_.last, open_.rate = 1, 0
            return y * 0.5
        if y[0] < -0.5:
            open_.last, open_.rate = 0, open_.last
            return y * 0.25
        found = y + open_.rate
        open_.last = open_.rate = 0
        return found

    return step


WAYS = [
    finds_what_the_second_way_has_left,
    unlocks,
    latches,
    latches_by_an_exception,
    numbers_ways,
    holds_a_value,
    knows_the_first_way,
]


@pytest.mark.parametrize("make", WAYS)
def test_a_way_does_not_find_what_others_have_left(make):
    with pytest.raises(NotRecordedError, match="again|history"):
        record(make(), [np.array([0.3, 0.4])], wishes=BRANCHES)


class Noting:
    last = rate = None

    def step(self, y):
        self.last = y
        if y[0] > 0.5:
            self.rate = "high"
            return y * 0.5
        self.rate = "low"
        return -y


class Buffered:
    buffer = table = None

    def step(self, y):
        if self.buffer is None:
            self.buffer, self.table = np.empty_like(y), {"weights": np.array([0.5, 2.0])}
        self.buffer[:] = y * self.table["weights"]
        self.buffer[0] += y[1]
        return self.buffer


@pytest.mark.parametrize("make", [Noting, Buffered])
def test_what_is_written_before_it_is_read_is_no_memory(make, rng):
    recording = record(make().step, [np.array([0.3, 0.4])], wishes=BRANCHES)
    y = rng.standard_normal((20, 2))
    step = make().step
    np.testing.assert_allclose(recording.program(y)[0], [step(one).copy() for one in y], rtol=1e-15)


def renames_itself(y):
    found = y * len(renames_itself.__name__)
    renames_itself.__name__ = "other"
    return found


def documents_itself(y):
    """Return a state."""
    found = y * len(documents_itself.__doc__)
    documents_itself.__doc__ = "none"
    return found


def annotates_itself(y):
    annotates_itself.__annotations__[str(len(annotates_itself.__annotations__))] = int
    return y * len(annotates_itself.__annotations__)


def of_partial(y, rate=1.0):
    PARTIAL.keywords["rate"] += 1.0
    return y * rate


PARTIAL = functools.partial(of_partial, rate=1.0)


def changes_a_dtype():
    numbers = np.ones(2)

    def step(y):
        found = y * (numbers.dtype == float)
        numbers.dtype = np.int64
        return found

    return step


def deletes_a_global(y):
    global DELETED  # noqa: PLW0603 - that is the point
    try:
        found = DELETED
        del DELETED
    except NameError:
        found = 2.0
    return y * found


DELETED = 1.0


def deletes_a_member(y):
    try:
        found = SETTINGS.rate
        del SETTINGS.rate
    except AttributeError:
        found = 2.0
    return y * found


SETTINGS.rate = 1.0


def writes_to_a_view():
    whole = np.zeros(4)
    part = whole[::2]

    def step(y):
        part[1] = y[0]
        return y + whole[2]

    return step


def reads_a_view():
    whole = np.zeros(4)
    rows = whole.reshape(2, 2)

    def step(y):
        found = y + rows[1, 1]
        whole[3] = 0.5
        return found

    return step


def makes_a_table_writeable(y):
    LARGE.setflags(write=True)
    np.asarray(LARGE)[0] += 1.0
    return y + LARGE[0]


def writes_to_the_base_of_a_table(y):
    whole = LARGE if LARGE.base is None else LARGE.base
    whole[0] += 1.0
    return y + LARGE[0]


def asks_how_errors_are_treated(y):
    found = y * len(np.geterr()["divide"])
    np.seterr(divide="ignore")
    return found


OTHERS = [renames_itself, documents_itself, annotates_itself, PARTIAL, changes_a_dtype(), deletes_a_global,
          deletes_a_member, writes_to_a_view(), reads_a_view(), makes_a_table_writeable, writes_to_the_base_of_a_table,
          asks_how_errors_are_treated, lambda y: y * sys.getrefcount(y)]  # fmt: skip


@pytest.mark.parametrize("function", OTHERS)
def test_other_memories_are_found(function):
    with pytest.raises(NotRecordedError):
        record(function, [np.array([0.3, 0.4])])


def test_tables_remain_as_they_were():
    assert not LARGE.any()
    assert LARGE.flags.writeable


@pytest.mark.parametrize(
    "write",
    [
        lambda a: np.putmask(a, [True, False], 0.5),
        lambda a: np.place(a, np.array([True, False]), [0.5]),
        lambda a: np.put_along_axis(a, np.array([1]), 0.5, 0),
        lambda a: np.nanmax([[1.0, 2.0]], 0, a),
    ],
)
def test_functions_that_write_to_constants_write_to_them_or_are_not_recorded(write):
    def step(y):
        made = np.zeros(2)
        write(made)
        return y + made

    y = np.array([0.3, 0.4])
    try:
        found = record(step, [y]).program(y[None])[0][0]
    except NotRecordedError:
        return
    np.testing.assert_array_equal(found, step(y))


def shares_a_captured_number(rate):
    def grow():
        nonlocal rate
        rate += 0.1

    def fun(t, y):
        grow()
        return -rate * y

    return fun


def changes_its_default(rate):
    def fun(t, y, rate=rate):
        fun.__defaults__ = (rate + 0.1,)
        return -rate * y

    return fun


@pytest.mark.parametrize("make", [shares_a_captured_number, changes_its_default])
def test_captured_numbers_are_no_arguments_if_a_call_changes_them(make):
    given = opened(make(0.5), 2, 2)
    with pytest.raises(NotRecordedError, match="changes a number that it has captured"):
        record(given, [np.zeros(()), np.array([0.3, 0.4]), np.zeros(())])

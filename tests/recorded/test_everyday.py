"""Everyday functions are recorded: they compute what they compute, and their derivatives are right."""

import contextlib
import re
from pathlib import Path

import everyday
import numpy as np
import pytest

from parscan._recorded.differentiate import jacobian
from parscan._recorded.record import NotRecordedError, record

COUNT = 20
CASES = [pytest.param(case, id=f"{k}-{case.name}") for k, case in enumerate(everyday.CASES)]
RECORDED = [case for case in CASES if case.values[0].reason is None]
REFUSED = [case for case in CASES if case.values[0].reason is not None]


def recorded(case):
    return record(case.function, [np.zeros(shape) for shape, _, _ in case.arguments], case.constants, name=case.name)


def draw(case):
    rng = np.random.default_rng(1)
    return [rng.uniform(low, high, (COUNT, *shape)) for shape, low, high in case.arguments]


def test_nine_of_ten_are_recorded():
    assert len(CASES) >= 100
    assert len(RECORDED) >= 0.9 * len(CASES)


@pytest.mark.parametrize("case", RECORDED)
def test_it_computes_what_the_function_computes(case):
    arguments = draw(case)
    found = recorded(case).program(*arguments)[0]
    for k in range(COUNT):
        wanted = np.asarray(case.function(*(array[k].copy() for array in arguments), *case.constants), dtype=float)
        assert found[k].shape == wanted.shape
        np.testing.assert_allclose(found[k], wanted, rtol=1e-13, atol=1e-13 * np.abs(wanted).max())


@pytest.mark.few(40)
@pytest.mark.parametrize("case", RECORDED)
def test_its_derivative_is_that_of_differences(case):
    recording, arguments = recorded(case), draw(case)
    step = 1e-6
    for number, array in enumerate(arguments):
        rows, columns, values = jacobian(recording.graph, recording.result, recording.arguments[number])
        found = np.zeros((COUNT, recording.result.size, array[0].size))
        found[:, rows, columns] = recording.extract(values)(*arguments)[0]
        for column in range(array[0].size):
            up, down = ([one.copy() for one in arguments] for _ in range(2))
            up[number].reshape(COUNT, -1)[:, column] += step
            down[number].reshape(COUNT, -1)[:, column] -= step
            ahead, behind = (recording.program(*given)[0].reshape(COUNT, -1) for given in (up, down))
            wanted = (ahead - behind) / (2 * step)
            tolerance = 1e-6 * (1 + np.abs(wanted).max()) + 1e-15 * np.abs(ahead).max() / step
            np.testing.assert_allclose(found[:, :, column], wanted, atol=tolerance)


@pytest.mark.parametrize("case", REFUSED)
def test_the_reason_is_told_with_its_line(case):
    with pytest.raises(NotRecordedError, match=case.reason) as caught:
        recorded(case)
    source = Path(everyday.__file__).read_text().splitlines()
    if caught.value.place:
        name, line = caught.value.place.split(":")
        assert name == "everyday.py"
        assert source[int(line) - 1].startswith("    ")
    assert re.fullmatch(r"`\w+` cannot be recorded: it .*\.", str(caught.value))
    assert caught.value.place or "called again" in caught.value.reason


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_the_users_is_changed(case):
    objects = [everyday.__dict__[name] for name in ("PARAMETERS", "CONFIG", "MASSES", "calls")]
    before = repr(objects)
    with contextlib.suppress(NotRecordedError):
        recorded(case)
    assert repr(objects) == before
    owner = getattr(case.function, "__self__", case.function)
    for value in getattr(owner, "__dict__", {}).values():
        assert type(value).__module__ != "parscan._recorded.array"

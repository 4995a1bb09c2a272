"""Drivers that are kept in memory and on disk: their text is written once."""

import marshal

import numpy as np
import pytest

from parscan._arrays import disk
from parscan._recorded.native import compilation, kept_drivers
from parscan._recorded.native.explicit import Explicit, explicit
from parscan._recorded.native.members import Form
from parscan._recorded.record import record


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PARSCAN_CACHE_DIR", str(tmp_path / "codes"))
    forget(monkeypatch)
    return tmp_path / "codes"


@pytest.fixture
def written(monkeypatch):
    """The forms of drivers that were written."""
    forms, original = [], Explicit.driver

    def driver(self):
        forms.append(self.form)
        return original(self)

    monkeypatch.setattr(Explicit, "driver", driver)
    return forms


def forget(monkeypatch):
    """As in a new process."""
    for module in (kept_drivers, compilation):
        monkeypatch.setattr(module, "_kept", type(module._kept)())


def solve(factor, form=None):
    """The end of a solve whose right-hand side has constants and calls functions of the C library."""
    matrix = np.array([[0.0, 1.0], [-1.0, factor]])

    def fun(t, y):
        return matrix @ np.sin(y) + factor * np.exp(-t) * np.tan(0.1 * y)

    program = record(fun, [np.zeros(()), np.zeros(2)]).program
    run = explicit(program, form).start(0.0, 2.0, np.ones((3, 2)), rtol=1e-9, atol=1e-9)
    while run.advance(100):
        pass
    return run.y


def test_a_driver_is_written_once(written, monkeypatch):
    for form in (Form(), Form(2)):
        first, other = solve(-0.5, form), solve(-0.75, form)
        assert (first != other).all()
        forget(monkeypatch)
        np.testing.assert_array_equal(solve(-0.75, form), other)
        np.testing.assert_array_equal(solve(-0.5, form), first)
    assert written == [Form(), Form(2)]


def test_other_sources_need_other_drivers(written, monkeypatch):
    solve(-0.5)
    forget(monkeypatch)
    monkeypatch.setattr(kept_drivers, "_sources", lambda: "others")
    solve(-0.5)
    assert len(written) == 2


@pytest.mark.parametrize("lost", ["driver", "code", "function"])
def test_what_is_lost_is_written_again(lost, written, own_folder, monkeypatch):
    first = solve(-0.5)
    for file in own_folder.iterdir():
        content = disk.load(file.stem)
        try:
            marshal.loads(content)
            kind = "driver"
        except (ValueError, EOFError, TypeError):
            kind = "code"
        if lost == kind:
            file.unlink()
    forget(monkeypatch)
    if lost == "function":
        monkeypatch.setattr(kept_drivers.libm, "address_of", lambda name: 0)
    np.testing.assert_array_equal(solve(-0.5), first)
    assert len(written) == 2


def test_no_folder_is_no_hindrance(written, monkeypatch, own_folder):
    own_folder.write_text("a file")
    first = solve(-0.5)
    np.testing.assert_array_equal(solve(-0.5), first)
    assert len(written) == 1

"""Tests of recurrences find the compiler loaded, and no earlier choices: that depends on no test that ran before."""

import pytest

import parscan._recorded.native.compilation  # noqa: F401
from parscan._recurrence import precedent


@pytest.fixture(autouse=True)
def no_relatives(monkeypatch):
    """Nothing is known of functions that differ in numbers only."""
    monkeypatch.setattr(precedent, "_relatives", type(precedent._relatives)())

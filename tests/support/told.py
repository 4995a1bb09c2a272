"""Tests that go over many cases in a loop, where a case takes less time than a test does: failures name the case."""

from contextlib import contextmanager


@contextmanager
def told(*case):
    """What is raised inside is raised with a note of the case."""
    try:
        yield
    except Exception as error:
        error.add_note(f"The case: {', '.join(map(repr, case))}")
        raise

"""Properties that are computed once."""

import threading

from parscan._arrays.cached import cached_property


class Numbers:
    def __init__(self):
        self.calls = 0

    @cached_property
    def number(self):
        """Of the calls."""
        self.calls += 1
        return self.calls


def test_a_property_is_computed_once():
    given = Numbers()
    assert given.number == given.number == given.calls == 1
    assert Numbers.number.__doc__ == "Of the calls."


def test_objects_do_not_wait_for_each_other():
    """With the lock of Python 3.11, the inner thread would wait for the outer property for ever."""
    found = []

    class Waiting:
        @cached_property
        def number(self):
            if threading.current_thread() is threading.main_thread():
                other = threading.Thread(target=lambda: found.append(Waiting().number), daemon=True)
                other.start()
                other.join(10)
            return 1

    assert Waiting().number == 1
    assert found == [1]

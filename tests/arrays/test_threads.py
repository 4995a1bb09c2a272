"""Tasks on threads: whoever called them, and is interrupted, must not go on before all have ended."""

import signal
import threading
import time

import pytest

from parscan._arrays.threads import run_all


@pytest.fixture
def interrupts_raise():
    """SIGINT raises `KeyboardInterrupt`, also in a process that was started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_raise")
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals cannot be sent to threads")
@pytest.mark.parametrize("interrupts", [1, 3])
def test_interrupts_wait_for_all_tasks(interrupts):
    ended = []

    def interrupt():
        for _ in range(interrupts):
            time.sleep(0.05)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        ended.append("interrupt")

    def work():
        time.sleep(0.5)
        ended.append("work")

    with pytest.raises(KeyboardInterrupt):
        run_all([lambda: None, interrupt, work, work])
    assert sorted(ended) == ["interrupt", "work", "work"]

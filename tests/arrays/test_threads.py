"""Tasks on threads: whoever called them, and is interrupted, must not go on before all have ended."""

import os
import select
import signal
import threading
import time

import pytest

from parscan._arrays import threads
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


def test_threads_are_kept():
    """A later call has the threads of an earlier one, without what it did."""
    numbers = []

    def work():
        numbers.append(threading.get_ident())
        time.sleep(0.05)

    run_all([work] * 3)
    first = set(numbers)
    assert len(first) == 3
    numbers.clear()
    run_all([work] * 3)
    assert set(numbers) == first


def test_tasks_that_call_others():
    done = []
    run_all([lambda: run_all([lambda: done.append(1)] * 3)] * 3)
    assert len(done) == 9


def test_exceptions_reach_the_caller():
    """After all tasks; the threads go on."""
    done = []

    def fails():
        raise ValueError("told")

    for _ in range(2):
        with pytest.raises(ValueError, match="told"):
            run_all([lambda: done.append(1), fails, lambda: done.append(2)])
    assert sorted(done) == [1, 1, 2, 2]


def test_there_may_be_too_many_threads(monkeypatch):
    def refused(*arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads._thread, "start_new_thread", refused)
    monkeypatch.setattr(threads, "_idle", [])
    done = []
    run_all([lambda: done.append(1), lambda: done.append(2)])
    assert sorted(done) == [1, 2]


def test_no_more_threads_are_kept_than_some(monkeypatch):
    idle = []
    monkeypatch.setattr(threads, "_idle", idle)
    monkeypatch.setattr(threads, "KEPT", 1)
    run_all([lambda: time.sleep(0.05)] * 4)
    assert len(idle) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_threads_after_a_fork():
    """The child has none of the threads; it starts its own."""
    run_all([lambda: None] * 3)
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        done = []
        run_all([lambda: done.append(1)] * 3)
        os.write(writes, bytes([len(done)]))
        os._exit(0)
    try:
        assert select.select([reads], [], [], 30.0)[0]
        assert os.read(reads, 1) == b"\x03"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

"""What is said on a terminal about work that takes long."""

import io
import sys
import time
from contextlib import redirect_stderr
from importlib import import_module

import numpy as np
import pytest

from parscan._reporting import announce
from parscan._reporting.announce import announced, has_terminal

compilation = import_module("parscan._kernels.cpu.compilation")
native = import_module("parscan._recorded.native.compilation")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(announce, "AFTER", 0.01)


def said_after(seconds, stderr):
    with redirect_stderr(stderr), announced("thinking"):
        begin = time.monotonic()
        while time.monotonic() - begin < seconds and not stderr.getvalue():
            time.sleep(0.001)
    return stderr.getvalue()


def test_only_long_work_is_announced(soon, monkeypatch):
    assert said_after(60, Terminal()) == "parscan: thinking …\n"
    monkeypatch.setattr(announce, "AFTER", 60.0)
    assert said_after(0.05, Terminal()) == ""


def test_only_on_terminals(soon, monkeypatch):
    assert said_after(0.05, io.StringIO()) == ""
    closed = Terminal()
    closed.close()
    closed.isatty = io.StringIO.isatty.__get__(closed)
    for stderr in (None, object(), closed):
        monkeypatch.setattr(sys, "stderr", stderr)
        assert not has_terminal()
        with announced("thinking"):
            pass


@pytest.fixture
def untold():
    compilation.announce_compiling.cache_clear()
    yield
    compilation.announce_compiling.cache_clear()


def test_kernels_are_announced_when_the_first_one_is_compiled(untold, monkeypatch, tmp_path):
    """Once per process, and not if they are read from the disk."""
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def told(argument):
        kernel = compilation.kernel(lambda x: x + 1.5)
        with redirect_stderr(Terminal()) as terminal:
            assert kernel(argument) == 2.5
        return terminal.getvalue()

    assert told(1) == "parscan: compiling kernels, which takes some seconds, once on this machine …\n"
    assert told(1.0) == ""
    compilation.announce_compiling.cache_clear()
    assert told(1.0) == ""  # from the disk


def test_machine_code_is_announced_if_it_takes_long(soon, monkeypatch):
    kernel = native.Kernel("", {}, np.empty(0), 0)
    with redirect_stderr(Terminal()) as terminal:

        def slowly(text):
            begin = time.monotonic()
            while time.monotonic() - begin < 60 and not terminal.getvalue():
                time.sleep(0.001)
            raise RuntimeError(text)

        monkeypatch.setattr(native, "_object_code", slowly)
        with pytest.raises(RuntimeError):
            native._made("key", kernel)
    assert terminal.getvalue() == "parscan: making machine code of a function, which is kept for later …\n"

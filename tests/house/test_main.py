"""python -m parscan."""

import subprocess
import sys

import pytest

from parscan.__main__ import main


def test_report_and_demo(capsys):
    assert main(["--states", "2", "--length", "3000", "--batch", "2"]) == 0
    text = capsys.readouterr().out
    for expected in ("numpy ", "numba ", "processor ", "cores usable", "GPUs ", "speed-up", "largest deviation"):
        assert expected in text
    assert "iterations:" in text


def test_single_precision_and_short(capsys):
    assert main(["--dtype", "float32", "--length", "1"]) == 0
    assert "float32" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--states", "0"], ["--states", "x"], ["--length", "-3"], ["--dtype", "float16"], ["--what"]]
)
def test_bad_options(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert "error:" in text
    assert "_positive" not in text


@pytest.mark.slow
def test_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "parscan", "--length", "500"], capture_output=True, text=True, check=True
    )
    assert "GRU: 4 states, 500 steps" in run.stdout

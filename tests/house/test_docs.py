"""The code in docs/ runs, without warnings, and prints what the comments and the blocks behind it say; tables in the
pages are those of the benchmarks' records. The build of the documentation checks the rest."""

import contextlib
import io
import re
import runpy
import warnings
from pathlib import Path

import pytest
from ode_methods import ON_MESH

from parscan import solve_ivp

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n((?:^    [^\n]*\n)+))?", re.DOTALL | re.MULTILINE)
SHOWN = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)
WITH_CODE = [page for page in sorted(DOCS.glob("*.md")) if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.slow
@pytest.mark.docs
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
@pytest.mark.parametrize("road", ["code"], indirect=True)  # as in a process of one's own
def test_code_prints_what_is_shown(page, road, tmp_path, monkeypatch):
    """All blocks of a page share their names, in order; files that they save are thrown away."""
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    names = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        code, output = block.groups()
        code = code.replace("import cupy as cp", "import numpy as cp")  # the same functions, on any machine
        line = text.count("\n", 0, block.start(1))
        printed = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            warnings.simplefilter("error")
            exec(compile("\n" * line + code, str(page), "exec"), names)
        expected = [row[4:] for row in (output or "").splitlines()] or SHOWN.findall(code)
        assert printed.getvalue().splitlines() == expected, f"{page.name}, the block at line {line}"


def test_there_is_code():
    names = {page.stem for page in WITH_CODE}
    assert {"coming-from-scipy", "first-recurrence", "convergence"} <= names


WITH_METHODS = ["choosing-a-method", "derivatives", "how-ode-solving-works", "papers"]
"""Pages that say something of every method for ODEs."""


@pytest.mark.parametrize("method", ON_MESH)
def test_methods_for_odes_stand_where_all_do(method):
    for page in WITH_METHODS:
        assert re.search(f'`"?{method}"?`', (DOCS / f"{page}.md").read_text(encoding="utf-8")), page
    assert f'``"{method}"``' in (solve_ivp.__doc__ or "")


@pytest.fixture(scope="module")
def tables():
    return runpy.run_path(str(DOCS / "_tables.py"))


def test_tables_say_what_the_records_say(tables):
    """If this fails, run `python docs/_tables.py`."""
    for page in tables["PAGES"]:
        text = page.read_text(encoding="utf-8")
        assert "<!-- table: " in text
        assert tables["filled"](text) == text, page.name


def test_a_table_that_is_out_of_date_is_found(tables):
    page = DOCS / "performance.md"
    text = page.read_text(encoding="utf-8")
    (worst,) = re.findall(r"^At most (\S+) times the time of the plain loop", text, re.MULTILINE)
    assert tables["filled"](text.replace(worst, "1.00")) == text


def test_all_tables_are_shown(tables):
    pages = "".join(page.read_text(encoding="utf-8") for page in tables["PAGES"])
    assert set(re.findall(r"<!-- table: (\w+) -->", pages)) == set(tables["TABLES"])

"""The code in docs/ runs, without warnings, and prints what the comments and the blocks behind it say."""

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n((?:^    [^\n]*\n)+))?", re.DOTALL | re.MULTILINE)
SHOWN = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)
WITH_CODE = [page for page in sorted(DOCS.glob("*.md")) if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_code_prints_what_is_shown(page):
    """All blocks of a page share their names, in order."""
    text = page.read_text(encoding="utf-8")
    names = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        code, output = block.groups()
        line = text.count("\n", 0, block.start(1))
        printed = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            warnings.simplefilter("error")
            exec(compile("\n" * line + code, str(page), "exec"), names)
        expected = [row[4:] for row in (output or "").splitlines()] or SHOWN.findall(code)
        assert printed.getvalue().splitlines() == expected, f"{page.name}, the block at line {line}"


def test_there_is_code():
    assert DOCS / "coming-from-scipy.md" in WITH_CODE

"""Files, folders and names of code that the pages name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PATH = re.compile(r"`([\w.*/-]+(?:/|\.(?:py|md|json|toml|txt)))`")
PLACED = re.compile(r"`(\w+)` in `([\w.*/-]+(?:/|\.py))`")
"""A name, and the file or folder in which it is to be found."""

PLACEHOLDERS = ("docs/NAME.md",)


def files(path):
    """Files or folders that a page means: below the root or in the package; those of a bare name, anywhere in it."""
    places = [ROOT, ROOT / "parscan"]
    found = [file for place in places for file in place.glob(path)]
    return found or ([] if "/" in path.rstrip("/") else list((ROOT / "parscan").rglob(path)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_and_folders_are_there(page):
    named = set(PATH.findall(page.read_text(encoding="utf-8"))) - set(PLACEHOLDERS)
    assert [path for path in sorted(named) if not files(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_are_in_their_files(page):
    for name, path in PLACED.findall(page.read_text(encoding="utf-8")):
        sources = [source for found in files(path) for source in ([found] if found.is_file() else found.rglob("*.py"))]
        assert any(re.search(rf"\b{name}\b", source.read_text(encoding="utf-8")) for source in sources), (name, path)


def test_paths_and_names_are_seen():
    """The expressions find what is there, or the tests above would pass on anything."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {"parscan/_linalg/", "parscan/_ivp/mesh/task.py", "choice.py"} <= set(PATH.findall(text))
    assert ("METHODS", "parscan/_recurrence/methods.py") in PLACED.findall(text)
    assert not files("parscan/solve.py")
    assert not files("nothing.py")

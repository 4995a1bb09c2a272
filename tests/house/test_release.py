"""What stands in several places says the same in all of them: versions of Python and of packages, the release."""

import re
import tomllib
from pathlib import Path

import parscan

ROOT = Path(parscan.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST = dict(re.findall(r"([\w-]+)>=([\d.]+)", "\n".join(PROJECT["dependencies"])))
INSTALLATION = " ".join((ROOT / "docs" / "installation.md").read_text(encoding="utf-8").split())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RUN = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def pythons():
    found = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in PROJECT["classifiers"])
    return [match[1] for match in found if match]


def test_the_version_stands_in_one_place():
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    assert "\nversion" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(parscan.__version__)}\]", CHANGELOG, re.MULTILINE)


def test_the_changelog_keeps_its_form():
    sections = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert sections[0] == "[Unreleased]"
    for section in sections[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", section)
    for section in CHANGELOG.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds]


def test_supported_pythons():
    assert PROJECT["requires-python"] == f">={pythons()[0]}"
    *some, last = pythons()
    assert f"Python {', '.join(some)} or {last}," in INSTALLATION
    first, end = re.search(r"^for version in 3\.\{(\d+)\.\.(\d+)\}; do$", RUN, re.MULTILINE).groups()
    tried = [f"3.{minor}" for minor in range(int(first), int(end) + 1)]
    assert tried[: len(pythons())] == pythons(), "every supported Python is tried, and newer ones"


NAMES = {"numpy": "NumPy", "scipy": "SciPy", "numba": "Numba", "array-api-compat": "array-api-compat"}


def test_oldest_packages():
    pinned = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8")
    assert set(OLDEST) == set(NAMES)
    for name, told in NAMES.items():
        assert f"{told} {OLDEST[name]}" in INSTALLATION
        assert re.search(rf"^{name}=={re.escape(OLDEST[name])}(\.0)?$", pinned, re.MULTILINE)


def test_extras_are_told_of():
    assert set(re.findall(r"`parscan\[(\w+)\]`", INSTALLATION)) == set(PROJECT["optional-dependencies"])


def test_types_are_shipped():
    assert (ROOT / "parscan" / "py.typed").exists()
    assert "Typing :: Typed" in PROJECT["classifiers"]

"""What the README promises: its example prints what it shows, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_prints_what_is_shown():
    """Line by line, but for the count of calls: it includes those that are only repeated while they are fast."""
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    shown = re.search(r"```\n\n((?:    .*\n)+)", README).group(1)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed, expected = run.stdout.splitlines(), [line[4:].rstrip() for line in shown.splitlines()]
    assert len(printed) == len(expected)
    for got, want in zip(printed, expected, strict=True):
        if not re.search(r"nfev|npoints|history", want):
            assert got.rstrip() == want


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"

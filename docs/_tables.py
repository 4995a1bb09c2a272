"""Fills in the tables of the README and of pages in docs/ from benchmarks/results: `python docs/_tables.py`.

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`; what is between them is written by the
function of that name. The tests fail when a page does not say what the records say.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = tuple(ROOT / name for name in ("README.md", *(f"docs/{page}.md" for page in ("performance", "fits", "peers"))))
BLOCK = re.compile(r"(?<=<!-- table: )(\w+)( -->\n).*?(?=<!-- end of table -->)", re.DOTALL)

sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "benchmarks")]

import _derivative_tables  # noqa: E402
import _ivp_tables  # noqa: E402
import _peer_tables  # noqa: E402
import _recurrence_tables  # noqa: E402
from _records import machine, machines, table  # noqa: E402


def summary() -> str:
    """The table of the README."""
    rows = [*_recurrence_tables.summary_rows(), *_ivp_tables.summary_rows()]
    found = table(["problem", "against", "times faster", "error"], rows)
    return f"{found}\n\nMeasured on {machine('ivp')}."


TABLES = {
    function.__name__: function
    for function in (
        summary,
        machines,
        *_recurrence_tables.TABLES,
        *_derivative_tables.TABLES,
        *_ivp_tables.TABLES,
        *_peer_tables.TABLES,
    )
}


def filled(text: str) -> str:
    """The page with its tables as the records have them."""
    return BLOCK.sub(lambda found: f"{found[1]}{found[2]}\n{TABLES[found[1]]()}\n\n", text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")

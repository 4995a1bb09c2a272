"""The committed records of the benchmarks, and how their figures are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"

Row: TypeAlias = Sequence[str]


@cache
def record(name: str) -> dict[str, Any]:
    """A committed record."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def table(header: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def times(ratio: float) -> str:
    """How many times faster."""
    return f"{ratio:.0f}×" if ratio >= 20 else f"{ratio:.1f}×" if ratio >= 0.95 else f"{ratio:.2g}×"


def digits(small: float) -> str:
    """One digit, as one writes it: 1e-9."""
    return f"{small:.0e}".replace("e-0", "e-") if small else "0"


def thousands(number: int) -> str:
    """With spaces, as in 100 000."""
    return f"{number:,}".replace(",", " ")


def milliseconds(seconds: float) -> str:
    """With one digit behind the point where that matters."""
    return f"{seconds * 1e3:.1f}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def briefly(seconds: float) -> str:
    """Milliseconds with two digits."""
    return f"{seconds * 1e3:.0f}" if seconds >= 9.95e-3 else f"{seconds * 1e3:.2g}"


def seconds_of(case: dict[str, Any]) -> dict[str, float]:
    """Best time of each contender."""
    return {timing["contender"]: timing["seconds"] for timing in case["timings"]}


def machine(name: str) -> str:
    """What a record was measured on."""
    found = record(name)["machine"]
    versions = found["versions"]
    packages = ", ".join(f"{label} {versions[key]}" for label, key in PACKAGES.items() if key in versions)
    cores = f"{found['cores']} core{'s' * (found['cores'] > 1)}"
    return f"{cores} of an {found['cpu']}; {packages}"


PACKAGES = {"Python": "python", "NumPy": "numpy", "SciPy": "scipy", "Numba": "numba"}


def machines() -> str:
    """All records of what was timed; kernels are only compiled."""
    names = [path.stem for path in sorted(RESULTS.glob("*.json")) if "machine" in record(path.stem)]
    return table(["record", "measured on"], [[f"`benchmarks/results/{name}.json`", machine(name)] for name in names])

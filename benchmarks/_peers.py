"""What the comparisons with peers share: which are installed, their first calls, and how a case is recorded."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from _harness import Case, measure, table

PARSCAN = "parscan"
ARRAYS = "parscan, on arrays"
"""With `compile=False`: as for functions that cannot be recorded."""

DISTRIBUTIONS = {
    "jax": "jax", "diffrax": "diffrax", "heyoka": "heyoka", "CyRK": "CyRK", "sksundae": "scikit-sundae",
    "pydiffsol": "pydiffsol", "pandas": "pandas",
}  # fmt: skip
"""Modules of the peers that may be missing, and what installs them; all of them: `pip install 'parscan[bench]'`."""


def installed(module: str) -> bool:
    """Whether a peer is there."""
    return find_spec(module) is not None


def told() -> dict[str, str]:
    """Versions of the peers, of those that are there; the others are named on the screen."""
    missing = [name for module, name in DISTRIBUTIONS.items() if not installed(module)]
    if missing:
        print(f"left out, for they are not installed: {', '.join(missing)}; pip install 'parscan[bench]'")
    return {name: version(name) for module, name in DISTRIBUTIONS.items() if installed(module)}


@dataclass(frozen=True)
class Comparison:
    """A case of a group of comparisons; `reference()` is what all should return, by default what the first does."""

    group: str
    problem: str
    contenders: dict[str, Callable[[], Any]]
    reference: Callable[[], Any] | None = None

    def measured(self, repeats: int) -> dict[str, Any]:
        """Seconds of the first call of each, which compiles what is compiled; then best times and deviations."""
        first = {name: seconds(run) for name, run in self.contenders.items()}
        reference = self.reference() if self.reference else None  # after the first calls, for it may compile
        timings = measure(Case(self.problem, self.contenders, reference), repeats)
        print(table(Case(f"{self.group}: {self.problem}", self.contenders), timings, ()) + "\n", flush=True)
        rows = [{**asdict(timing), "first": first[timing.contender]} for timing in timings]
        return {"group": self.group, "problem": self.problem, "timings": rows}


def seconds(run: Callable[[], Any]) -> float:
    """Time of one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


@contextmanager
def quietly() -> Iterator[None]:
    """Peers warn of their own future; failures show in the errors."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield

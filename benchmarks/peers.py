"""parscan against its peers: loops, SciPy, pandas, JAX, diffrax, heyoka and others; both sides in one run, with errors.

python benchmarks/peers.py [--quick] [--json benchmarks/results/peers.json] [linear] [recurrence] [ode] [ensemble]

Without a name, all comparisons. Peers that are not installed are named and left out; `pip install 'parscan[bench]'`
brings them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _harness import begin, save
from _peers import quietly, told
from _peers_ensembles import ensembles
from _peers_odes import odes
from _peers_recurrences import LINEAR, NONLINEAR, comparisons

REPEATS = 9


def recurrences(group: str) -> Callable[[bool], Iterator[dict[str, Any]]]:
    """Those of a group, measured."""

    def measured(quick: bool) -> Iterator[dict[str, Any]]:
        for comparison in comparisons(quick):
            if comparison.group == group:
                with quietly():
                    yield comparison.measured(2 if quick else REPEATS)

    return measured


GROUPS: dict[str, Callable[[bool], Iterator[dict[str, Any]]]] = {
    LINEAR: recurrences(LINEAR),
    NONLINEAR: recurrences(NONLINEAR),
    "ode": odes,
    "ensemble": ensembles,
}


FIRST = """
import time
begin = time.perf_counter()
import numpy as np, parscan
x = np.random.default_rng(0).standard_normal((20_000, 2))
parscan.solve_recurrence(lambda y, x: 0.9 * np.sin(y) + x, np.zeros(2), x, method="newton")
parscan.solve_ivp(lambda t, y: [y[1], -np.sin(y[0])], (0, 20), [1.0, 0.0], rtol=1e-9)
print(time.perf_counter() - begin)
"""


def first_solves() -> dict[str, float]:
    """Seconds of parscan's first solves in a process, with an empty cache of kernels and with the one left behind."""
    with TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        command = [sys.executable, "-c", FIRST]
        found = {}
        for name in ("first solves on a machine", "first solves in a process"):
            run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found[name] = float(run.stdout)
            print(f"{name}: {found[name]:.2f} s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="smaller problems, for a check that all of it runs")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers to this file")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    report = begin(options.quick)
    report.machine["versions"] |= told()
    for name, cases in GROUPS.items():
        if not options.groups or name in options.groups:
            report.cases += cases(options.quick)
    if not options.quick:
        report.figures = first_solves()
    save(report, options.json)


if __name__ == "__main__":
    main()

"""Times at equal achieved error, and achieved errors at equal tolerance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log, nan

from _odes import Ode
from _work_precision import AUTO, OWN, SCIPY, SCIPY_LSODA, SCIPY_RADAU, STRICTEST, Contender, Run

LEVELS = (1e-9, 1e-10, 1e-11, 1e-12)
"""Errors to reach. Those below `SURE` times the error of the reference say nothing."""

SURE = 3
STRICT, ALLOWED = 1e-4, 10
"""At tolerances of `STRICT` and below, to `STRICTEST`, the error shall be no more than `ALLOWED` tolerances."""


@dataclass(frozen=True)
class Verdict:
    """A figure and what it shall be: no less than `bound`, or no more."""

    name: str
    value: float
    bound: float
    at_least: bool = True
    where: str = ""

    @property
    def reached(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def text(self) -> str:
        """One line."""
        sign = ">=" if self.at_least else "<="
        where = f", {self.where}" if self.where else ""
        word = "PASS" if self.reached else "short"
        return f"{word}: {self.name}: {self.value:.3g}{where} (target {sign} {self.bound:g})"


@dataclass(frozen=True)
class Pair:
    """A problem and an error, with the quickest run of each side that reaches it at whatever tolerance."""

    problem: str
    level: float
    own: Run | None
    other: Run | None

    @property
    def ratio(self) -> float:
        """How many times quicker parscan is; NaN if not both reach the error."""
        return self.other.seconds / self.own.seconds if self.own and self.other else nan


@dataclass(frozen=True)
class Comparison:
    """Two groups of methods, each with its best for every pair."""

    name: str
    pairs: Sequence[Pair]

    @property
    def ratios(self) -> list[float]:
        """Of the pairs that both reach."""
        return [pair.ratio for pair in self.pairs if isfinite(pair.ratio)]

    @property
    def mean(self) -> float:
        return geometric_mean(self.ratios)

    @property
    def reach(self) -> str:
        """Who reaches how many pairs."""
        own = sum(pair.other is None and pair.own is not None for pair in self.pairs)
        other = sum(pair.own is None and pair.other is not None for pair in self.pairs)
        neither = sum(pair.own is None and pair.other is None for pair in self.pairs)
        alone = f"{own} by parscan alone, {other} by SciPy alone, {neither} by neither"
        return f"of {len(self.pairs)} errors {len(self.ratios)} reached by both, {alone}"


def geometric_mean(values: Collection[float]) -> float:
    """NaN if there are none."""
    return exp(sum(log(value) for value in values) / len(values)) if values else nan


def quickest(runs: Iterable[Run], contenders: Collection[Contender], level: float) -> Run | None:
    """The quickest run of these contenders with at most this error."""
    names = {contender.name for contender in contenders}
    enough = (run for run in runs if run.counts and run.contender in names and run.error <= level)
    return min(enough, key=lambda run: run.seconds, default=None)


def compare(
    name: str, odes: Sequence[Ode], runs: Sequence[Run], own: Collection[Contender], others: Collection[Contender]
) -> Comparison:
    """All problems and levels for which the digits of the reference are enough."""
    found = []
    for ode in odes:
        here = [run for run in runs if run.problem == ode.name]
        for level in LEVELS:
            if level >= SURE * ode.digits:
                found.append(Pair(ode.name, level, quickest(here, own, level), quickest(here, others, level)))
    return Comparison(name, found)


def comparisons(odes: Sequence[Ode], runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Those with targets first."""
    plain = [run for run in runs if run.rtol >= STRICTEST]
    return (
        compare("parscan auto against SciPy's best", odes, runs, (AUTO,), SCIPY),
        compare("parscan auto against SciPy's Radau", odes, runs, (AUTO,), (SCIPY_RADAU,)),
        compare("best of parscan against SciPy's best", odes, runs, OWN, SCIPY),
        compare(f"parscan auto against SciPy's best, rtol >= {STRICTEST:.0e} alone", odes, plain, (AUTO,), SCIPY),
    )


def in_tolerances(ode: Ode, run: Run) -> float:
    """Achieved error in units of the tolerance, or of the reference's error if that is larger."""
    return run.error / max(run.rtol, ode.digits)


def of(contender: Contender, ode: Ode, runs: Iterable[Run]) -> dict[float, Run]:
    """Runs of one contender on a problem, by tolerance."""
    return {run.rtol: run for run in runs if run.problem == ode.name and run.contender == contender.name}


def strict_errors(odes: Sequence[Ode], runs: Sequence[Run]) -> Verdict:
    """The largest error in tolerances, at strict ones, where there is no chaos."""
    judged = [
        (in_tolerances(ode, run), f"{ode.name} at {rtol:.0e}")
        for ode in odes
        if not ode.chaotic
        for rtol, run in of(AUTO, ode, runs).items()
        if STRICTEST <= rtol <= STRICT
    ]
    worst, where = max(judged, default=(nan, ""))
    missed = sum(value > ALLOWED for value, _ in judged)
    where = f"worst at {where}; {missed} of {len(judged)} above"
    return Verdict(
        f"error / tolerance at rtol {STRICT:.0e} to {STRICTEST:.0e}", worst, ALLOWED, at_least=False, where=where
    )


def loose_errors(odes: Sequence[Ode], runs: Sequence[Run]) -> Verdict:
    """The largest error at loose tolerances, relative to that of SciPy's LSODA at the same, where there is no chaos."""
    judged = []
    for ode in odes:
        theirs = of(SCIPY_LSODA, ode, runs)
        for rtol, run in of(AUTO, ode, runs).items():
            if rtol > STRICT and not ode.chaotic:
                judged.append((run.error / theirs[rtol].error if run.counts else inf, f"{ode.name} at {rtol:.0e}"))
    worst, where = max(judged, default=(nan, ""))
    return Verdict("error / LSODA's error at looser rtol", worst, 1, at_least=False, where=f"worst at {where}")


def verdicts(odes: Sequence[Ode], runs: Sequence[Run]) -> list[Verdict]:
    """All targets of the work-precision run."""
    best, radau, *_ = comparisons(odes, runs)
    return [
        Verdict(f"{best.name} at equal error, geometric mean", best.mean, 2, where=best.reach),
        Verdict(f"{radau.name} at equal error, geometric mean", radau.mean, 10, where=radau.reach),
        strict_errors(odes, runs),
        loose_errors(odes, runs),
    ]


def equal_error_table(comparison: Comparison) -> str:
    """Per problem and level: the quickest of each side, and how many times quicker parscan is."""
    lines = [f"{comparison.name}: quickest of each side with at most that error, ms"]
    for pair in comparison.pairs:
        own = f"{pair.own.seconds * 1e3:8.2f} at {pair.own.rtol:.0e}" if pair.own else "-"
        other = (
            f"{pair.other.seconds * 1e3:9.2f} at {pair.other.rtol:.0e} {pair.other.contender}" if pair.other else "-"
        )
        ratio = f"{pair.ratio:6.2f}x" if isfinite(pair.ratio) else ""
        lines.append(f"  {pair.problem:<24}  {pair.level:.0e}  {own:>17}  {ratio:>7}  {other}".rstrip())
    return "\n".join([*lines, f"  geometric mean {comparison.mean:.2f}x; {comparison.reach}"])


def error_table(odes: Sequence[Ode], runs: Sequence[Run]) -> str:
    """Achieved error of auto in units of the tolerance."""
    rtols = sorted({run.rtol for run in runs}, reverse=True)
    lines = ["error / tolerance of parscan auto", "  " + " " * 24 + "".join(f"{rtol:>9.0e}" for rtol in rtols)]
    for ode in odes:
        mine = of(AUTO, ode, runs)
        cells = (
            f"{in_tolerances(ode, mine[rtol]):9.2g}" if mine[rtol].counts else f"{mine[rtol].status:>9.9}"
            for rtol in rtols
        )
        lines.append(f"  {ode.name:<24}{''.join(cells)}{'  chaotic' if ode.chaotic else ''}")
    return "\n".join(lines)

"""The choice of a method for an initial value problem, among those that are parallel over time and SciPy's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from .._arrays.cached import cached_property
from .._arrays.namespace import dtype_name, library
from .._engine.termination import Termination
from .._functions.raised import Raised
from .._linalg.pattern import Pattern
from .core.choice import BANDS, Choice
from .core.problem import LONG, Problem
from .mesh.task import PARALLEL, TIGHTER
from .sequential.large_bdf import BDF
from .sequential.large_rodas5p import Rodas5P
from .sequential.sparse_jacobian import pattern_of
from .sequential.stiff_pattern import stiff_pattern

JUMPING = "RK45"
"""SciPy's solver that continues where others make no headway at jumps: it needs the fewest calls there."""

HARDLY_TIGHTER = 0.3
"""Factor on the tolerances of DOP853 and BDF, whose errors over all steps add up to a few tolerances."""

WIDE = 24
"""From this number of members on, `auto` steps a batch through time; smaller batches are solved faster on a mesh."""

SEQUENTIAL = ("RK23", "RK45", "BDF", "LSODA")
"""Names of methods that only SciPy has."""

OF_CODE = {"vectorized", "first_step"}
"""Options of sequential solvers that machine code knows, too."""

OF_PATTERNS, RECORDED = {"jac_sparsity", "lband", "uband"}, 2000
"""Options that tell what recorded operations show, too; components up to which these become machine code."""

SPARSE = {"auto": "BDF", "Radau": "Radau"}
"""SciPy's methods that replace parscan's if the zeros of the Jacobian are given."""

WHOLE_STEPS = 500
"""Limit on the steps of BDF on complex states: if `fun` has no complex derivatives after all, its steps become tiny."""

STARTS = 9
"""How often LSODA may start: after a jump its steps may stay short for ever, unless it is restarted."""

ENDLESS = {"auto": "Radau", "Radau": "Radau", "DOP853": "DOP853"}
"""SciPy's methods that replace parscan's if only an event ends the span; not LSODA, whose first step depends on the
end of the span."""

ON_MESH = ("auto", *PARALLEL)
"""Methods for problems with options of meshes."""

SERIES = "Taylor"
"""The method by Taylor series, which only machine code has."""

LARGE = "Rodas5P"
"""The method for large systems with sparse Jacobians."""

NAMES = ("auto", *PARALLEL, *SEQUENTIAL, SERIES, LARGE)
"""All names that `method` may be; it may also be a class of SciPy's solvers."""

LOOSE = 3e-4
"""From this relative tolerance on, the coarse solution would be as accurate as the solution: `auto` takes LSODA."""

MANY = 12
"""With more components, `auto` takes LSODA for a single problem: linear algebra, n³, costs more than calls of `fun`.

Measured on heat equations, Brusselators by lines and chains of oscillators; the crossover is between 8 and 20.
"""

MANY_COMPONENTS = "there are many components (pass `jac_sparsity` if most entries of the Jacobian are zero)"
"""The reason in that case, with a hint at a faster method."""


FOUND = "it is stiff, and most entries of its Jacobian are zero"
"""The reason if the pattern was found."""


def _patient(method: str, because: str, share: float, *, pairs: bool = False) -> Choice:
    """A solver of SciPy's; if `fun` jumps to and fro, an explicit one-step method continues."""
    explicit = Choice(JUMPING, True, "`fun` jumps to and fro")
    starts = STARTS if method == "LSODA" else 1
    otherwise = {Termination.STUCK: explicit}
    return Choice(method, True, because, share, otherwise=otherwise, pairs=pairs, starts=starts, is_checked=True)


def _of_complex(because: str, share: float) -> Choice:
    """DOP853 for complex states; if they are stiff, BDF, first on them and then on real and imaginary parts.

    Of SciPy's implicit solvers, BDF needs the fewest Jacobians.
    """
    share = max(share, HARDLY_TIGHTER)
    pairs = _patient("BDF", "they are stiff", share, pairs=True)
    otherwise = {**pairs.otherwise, Termination.LONG: pairs}
    then = replace(pairs, otherwise=otherwise, most_steps=WHOLE_STEPS, while_analytic=True)
    return replace(_patient("DOP853", because, share), otherwise={**then.otherwise, Termination.STIFF: then})


@dataclass(frozen=True)
class Workload:
    """The facts on which decisions depend.

    Parameters
    ----------
    method : str or class
        The method that the user gave.
    problem : Problem
        The problem, checked.
    options : dict
        The options of sequential solvers that were given.
    on_mesh : bool
        Whether an argument was given that only methods on a mesh take.
    stacks : callable
        `stacks()`: whether `fun` takes many times at once. This calls `fun`, so it is the last fact to be used.
    """

    method: Any
    problem: Problem
    options: dict[str, Any]
    on_mesh: bool
    stacks: Callable[[], bool]

    @property
    def names_scipys(self) -> bool:
        """Whether the user names a solver of SciPy's."""
        return isinstance(self.method, type) or self.method in SEQUENTIAL

    @property
    def is_sparse(self) -> bool:
        """Whether the zeros of the Jacobian are given, and the method may use them."""
        return self.method in SPARSE and "jac_sparsity" in self.options

    @property
    def takes_large(self) -> bool:
        """Whether `auto` may solve the problem by Rodas5P or BDF with a sparse Jacobian."""
        problem = self.problem
        is_free = self.method == "auto" and not self.on_mesh and "min_step" not in self.options
        return is_free and problem.is_plain and not problem.is_complex and problem.y0.size >= LONG

    @property
    def knows_pattern(self) -> bool:
        """Whether zeros of the Jacobian are given, or its bands."""
        return "jac_sparsity" in self.options or self.has_bands or self.problem.has_sparse_jacobian

    @cached_property
    def found(self) -> Pattern | None:
        """The pattern of the Jacobian of a large stiff system; None if it is dense, or the system not stiff."""
        return stiff_pattern(self.problem) if self.takes_large and not self.problem.is_endless else None

    @property
    def is_settled(self) -> bool:
        """Whether the user's arguments determine the method."""
        return self.method not in ("auto", SERIES) or self.on_mesh

    @property
    def is_series(self) -> bool:
        """Whether the user names the method by Taylor series."""
        return bool(self.method == SERIES)

    @property
    def leaves_code(self) -> bool:
        """Whether the user's arguments determine a way of solving that calls `fun`."""
        if self.is_settled:
            return self.names_scipys or self.is_sparse or self.problem.is_endless or self.method not in ON_MESH
        is_short = self.takes_large and self.problem.y0.size <= RECORDED
        return bool(self.options.keys() - (OF_CODE | OF_PATTERNS if is_short else OF_CODE))

    @property
    def is_wide(self) -> bool:
        """Whether the batch has enough members to be stepped through time, unless it is stiff."""
        return not self.problem.is_plain and prod(self.problem.batch) >= WIDE

    @property
    def has_bands(self) -> bool:
        """Whether the bandwidths of the Jacobian are given."""
        return bool(BANDS.intersection(self.options))

    @property
    def is_loose(self) -> bool:
        """Whether the coarse solution would be as accurate as the solution."""
        return self.problem.rtol >= LOOSE

    @property
    def has_many_components(self) -> bool:
        """Whether linear algebra costs more than calls of `fun`."""
        return bool(self.problem.y0.shape[-1] > MANY)


@dataclass(frozen=True)
class Decision:
    """A choice, the fact on which it is made, and the reason that the message gives, if any."""

    applies: Callable[[Workload], bool]
    choice: Callable[[Workload, str], Choice]
    because: str = ""


def choose(work: Workload) -> Choice:
    """The method to use: the first decision that applies."""
    if not isinstance(work.method, type) and work.method not in NAMES:
        names = ", ".join(NAMES)
        raise ValueError(f"`method` must be one of {names} or an OdeSolver class of SciPy, got {work.method!r}.")
    decision = next(decision for decision in DECISIONS if decision.applies(work))
    return decision.choice(work, decision.because)


def _scipys(problem: Problem, choice: Choice) -> Choice:
    """The choice, if SciPy can solve the problem; raises otherwise."""
    if problem.is_plain:
        return choice
    raise ValueError(
        f"`method` {choice.method!r} is SciPy's, which takes NumPy arrays of shape (n,), but `y0` has the shape "
        f"{(problem.y0.shape[-1], *problem.batch)} and is of {library(problem.y0)}; name one of {', '.join(PARALLEL)}."
    )


def _named_scipys(work: Workload, because: str) -> Choice:
    """The solver that the user names."""
    pairs = work.problem.is_complex and work.method == "LSODA"
    return _scipys(work.problem, Choice(work.method, is_sequential=True, pairs=pairs))


def _sparse(work: Workload, because: str) -> Choice:
    """SciPy's solver for sparse Jacobians."""
    choice = Choice(SPARSE[work.method], is_sequential=True, because=because, pairs=work.problem.is_complex)
    return _scipys(work.problem, choice)


def _large(work: Workload, because: str) -> Choice:
    """Rodas5P; its errors are told."""
    problem = work.problem
    if not problem.is_plain or problem.is_complex:
        raise ValueError(
            f"`method` {LARGE!r} takes real NumPy arrays of shape (n,), but `y0` has the shape "
            f"{(problem.y0.shape[-1], *problem.batch)}, is of {library(problem.y0)} and {dtype_name(problem.y0.dtype)}."
        )
    pattern = work.found if because == FOUND else pattern_of(problem, work.options)
    if work.method == LARGE or pattern is None or pattern.order_of_band is not None:
        return Choice(Rodas5P, is_sequential=True, because=because, is_checked=True, pattern=pattern)
    return Choice(BDF, True, f"{because}, and eliminations are expensive", TIGHTER, is_checked=True, pattern=pattern)


def _endless(work: Workload, because: str) -> Choice:
    """SciPy's solver of the same name: without an end there is no mesh."""
    method, problem = work.method, work.problem
    if work.on_mesh or method not in ENDLESS:
        raise ValueError(
            f"`t_span` must be finite for meshes, and for `method` {method!r}, got {problem.span}; "
            f"{' and '.join(ENDLESS)} without `mesh`, `guess`, `stages` and `window` take an end that is infinite."
        )
    share = TIGHTER if method == "auto" else 1.0
    if method == "auto" and problem.is_complex:
        return _scipys(problem, _of_complex(because, share))
    return _scipys(problem, replace(_patient(ENDLESS[method], because, share), is_checked=method == "auto"))


def _parallel(work: Workload, because: str) -> Choice:
    """A method on a mesh: Radau, unless the user names one."""
    return Choice(work.method if work.method in PARALLEL else "Radau")


def _sequential(share: float) -> Callable[[Workload, str], Choice]:
    """LSODA, or DOP853 and BDF for complex states, with this share of the tolerances."""

    def choice(work: Workload, because: str) -> Choice:
        if work.problem.is_complex and not work.has_bands:
            return _of_complex(because, share)
        return _patient("LSODA", because, share, pairs=work.problem.is_complex)

    return choice


def _loose(work: Workload, because: str) -> Choice:
    """LSODA with tighter tolerances, unless it would then refuse the first step that the user wants."""
    return _sequential(1.0 if "first_step" in work.options else TIGHTER)(work, because)


DECISIONS = (
    Decision(lambda work: work.names_scipys, _named_scipys),
    Decision(lambda work: work.method == LARGE, _large),
    Decision(lambda work: work.takes_large and work.knows_pattern, _large, "the pattern of the Jacobian is known"),
    Decision(lambda work: work.is_sparse, _sparse, "`jac_sparsity` was given"),
    Decision(lambda work: work.problem.is_endless, _endless, "`t_span` has no end"),
    Decision(lambda work: work.is_settled, _parallel),
    Decision(lambda work: work.is_wide, lambda work, because: Choice("Radau", tries_ensemble=True)),
    Decision(lambda work: not work.problem.is_plain, _parallel),
    Decision(lambda work: work.has_bands, _sequential(1.0), "the bandwidths of the Jacobian were given"),
    Decision(lambda work: work.found is not None, _large, FOUND),
    Decision(lambda work: work.is_loose, _loose, "the tolerance is loose"),
    Decision(lambda work: work.has_many_components, _sequential(TIGHTER), MANY_COMPONENTS),
    Decision(lambda work: work.problem.is_complex, _sequential(TIGHTER), "states are complex"),
    Decision(lambda work: not work.stacks(), _sequential(TIGHTER), "`fun` cannot be called for many times at once"),
    Decision(lambda work: True, _parallel),
)
"""All decisions; the first one that applies is made."""


def instead_of(work: Workload, raised: Raised, *, chatters: bool) -> Choice | None:
    """The second choice of `auto` if a solution ended early, after an exception or because `fun` jumps to and fro.

    SciPy's solvers may never visit the states for which the functions raised. If the user determined the method, or
    SciPy cannot solve the problem, the exception is raised.
    """
    may_switch = not work.is_settled and work.problem.is_plain
    if raised.error is None and not (chatters and may_switch):
        return None
    if not may_switch:
        raise raised.for_user()
    because = "`fun` jumps to and fro"
    if raised.error is not None:
        because = f"{type(raised.error).__name__} was raised for t = {raised.time!r}, at a state that may be a guess"
    return _of_complex(because, TIGHTER) if work.problem.is_complex else _patient("LSODA", because, TIGHTER)

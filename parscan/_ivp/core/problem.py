"""The initial value problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isinf
from typing import Any

from ..._arrays.cached import cached_property
from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import Array, Namespace, array_namespace, library
from ..._functions.code import Code
from ..._functions.evaluators import ONE_BY_ONE, Evaluator
from ..._functions.raised import Raised
from ..._functions.right_hand_side import RightHandSide

LONG = 100
"""Components from which on a sparse Jacobian is kept sparse."""


@dataclass(frozen=True)
class Problem:
    """The user's problem, checked; `y0` has its components last, `(*batch, n)`.

    `rtol` is the smallest relative tolerance, for decisions; `rtols` are all of them, a number or an array `(n,)`.
    `breaks` are the user's `jumps` within the span or at its ends: see `mesh`. `record` records the right-hand side of
    such a problem, for derivatives; None if that is not wanted.
    """

    fun: Callable[..., Any]
    jac: Any
    args: tuple[Any, ...]
    span: tuple[float, float]
    y0: Array
    rtol: float
    rtols: float | Array
    atol: Array
    max_step: float
    breaks: Array | None = None
    record: Callable[[Problem], Code] | None = None

    @property
    def usual(self) -> Problem:
        """The problem on the arrays that its functions take, where it is on others."""
        return self

    @property
    def xp(self) -> Namespace:
        """The array library."""
        return array_namespace(self.y0)

    def right_hand_side(
        self, fun: Evaluator = ONE_BY_ONE, jac: Evaluator = ONE_BY_ONE, raised: Raised | None = None
    ) -> RightHandSide:
        """The functions with these evaluators."""
        recorder = None if self.record is None else partial(self.record, self)
        return RightHandSide(
            self.fun, self.jac, self.args, self.y0, evaluator=fun, jac_evaluator=jac, raised=raised, recorder=recorder
        )

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return tuple(self.y0.shape[:-1])

    @property
    def is_plain(self) -> bool:
        """Whether it is a single problem on NumPy arrays, as SciPy takes it."""
        return not self.batch and library(self.y0) == "numpy"

    @cached_property
    def first_jacobian(self) -> Any:
        """The user's Jacobian for the initial state."""
        return self.jac(self.span[0], self.y0.copy(), *self.args) if callable(self.jac) else self.jac

    @property
    def has_sparse_jacobian(self) -> bool:
        """Whether the state is long and the user's Jacobian sparse; its function is called for the initial state."""
        is_long = self.is_plain and self.y0.size >= LONG
        return is_long and self.jac is not None and hasattr(self.first_jacobian, "tocsc")

    @property
    def is_empty(self) -> bool:
        """Whether the span has no length, or the state no component."""
        return self.span[0] == self.span[1] or self.y0.size == 0

    @property
    def is_endless(self) -> bool:
        """Whether only an event can end it."""
        return isinf(self.span[1])

    @property
    def is_complex(self) -> bool:
        """Whether the state is complex."""
        return is_complex(self.y0)

"""What is known of the members of a batch that were solved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..._arrays.namespace import Array


@dataclass
class Found:
    """
    What is known of all members; complex states by their parts.

    Parameters
    ----------
    y : array, shape (members, n)
        States at the end.
    values : array, shape (members, m, n)
        At the times of the output.
    errors : array, shape (members,)
        Estimated errors at the end in tolerances.
    steps, methods : arrays of int, shape (members,)
        Of the last march; the number of the method that ended it.
    evaluations : int
        Of the right-hand side, by all marches.
    shares : array, shape (members,), or None
        Shares of the tolerances that they needed.
    rates : array, shape (k, n), or None
        Values of the right-hand side that machine code had at the ends of some members, if it is known of any.
    of_rates : array of int, shape (k,), or None
        Numbers of these members.
    alone : int
        Members that were solved alone.
    doubles : int
        Members that were solved in double precision after single precision.
    bad : sequence of int
        Those of them whose errors are too large for a success.
    slid : dict
        Those of them that slide along thresholds, with the times from which on they do.
    """

    y: Array
    values: Array
    errors: Array
    steps: Array
    methods: Array
    evaluations: int = 0
    shares: Array | None = None
    rates: Array | None = None
    of_rates: Array | None = None
    alone: int = 0
    doubles: int = 0
    bad: Sequence[int] = ()
    slid: dict[int, float] = field(default_factory=dict)

    def enter(self, some: slice | Array, one: Found) -> None:
        """Enter what is known of some members, but for values."""
        self.y[some, :], self.errors[some], self.steps[some], self.methods[some] = (
            one.y, one.errors, one.steps, one.methods,
        )  # fmt: skip
        assert self.shares is not None
        assert one.shares is not None
        self.shares[some] = one.shares
        self.evaluations, self.alone = self.evaluations + one.evaluations, self.alone + one.alone
        self.doubles += one.doubles
        self.bad, self.slid = [*self.bad, *one.bad], self.slid | one.slid

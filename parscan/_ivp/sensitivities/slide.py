"""Solutions that slide along a threshold of the function, which have no derivatives by saltation."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from .crossing import REMEDY


class Slide(NamedTuple):
    """
    That a solution stays on a threshold for a while.

    Parameters
    ----------
    time : float
        From which on it does.
    whose : str
        Which solution.
    """

    time: float
    whose: str = "the solution"

    @property
    def told(self) -> str:
        """What is told of it with the solution."""
        return (
            f" From t = {self.time!r} on, {self.whose} stays on a threshold of `fun`, with the mean of the slopes on "
            "both sides that leads along it (Filippov)."
        )

    def reject(self) -> NoReturn:
        """Raise `RuntimeError`."""
        raise RuntimeError(
            f"from t = {self.time:.6g} on, {self.whose} stays on a threshold of `fun` and slides along it, with a mean "
            f"of the slopes on both sides (Filippov): derivatives of such solutions are not found. {REMEDY}"
        )

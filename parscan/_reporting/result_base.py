"""The base class of all results: printing, plots and copies."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._arrays.namespace import Array, dtype_name
from .plot import Stretch, draw_convergence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Solution = TypeVar("Solution")
"""The type of the object that evaluates derivatives."""


class Deferred(Generic[Solution]):
    """An object with the user's functions that is made when it is needed: few results are asked for derivatives."""

    __slots__ = ("made",)

    def __init__(self, made: Callable[[], Solution]) -> None:
        self.made = made


class Result(ABC, Generic[Solution]):
    """The result of a solve.

    `_solution` holds the user's functions, which cannot always be pickled: it is None in copies and pickles.
    """

    success: bool
    message: str
    history: tuple[float, ...]
    _solution: Solution | Deferred[Solution] | None

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the states over time; needs matplotlib (``pip install 'parscan[plot]'``).

        At most seven components are drawn, spread over all of them. Of a batch, the first member is a line, and the
        range of all members is shaded. Complex components are drawn as real (solid) and imaginary (dashed) parts.
        A long trajectory is drawn as the means and ranges of a thousand pieces.

        For an ODE, the curve is the continuous solution, also with ``dense_output=False``; after a solver of SciPy's
        without dense output, lines join the output times. Below it, the lengths of the intervals of the mesh are drawn.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw into, without the mesh. By default a new figure, which is not registered with pyplot.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, to show or save: ``sol.plot().savefig("solution.png")``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is no Axes.

        See Also
        --------
        plot_convergence : The corrections of all iterations.

        Examples
        --------
        >>> import numpy as np
        >>> import parscan
        >>> sol = parscan.solve_recurrence(lambda y: 0.9 * np.cos(y), np.zeros(2), length=500)
        >>> figure = sol.plot()
        >>> figure.axes[0].get_xlabel()
        'step t'
        >>> sol = parscan.solve_ivp(lambda t, y: [y[1], -y[0]], (0, 9), [1.0, 0.0], rtol=1e-8)
        >>> states, mesh = sol.plot().axes
        >>> mesh.get_ylabel()
        'interval length'
        """
        return self._draw(ax)

    def plot_convergence(self, ax: Axes | None = None) -> Figure:
        """Draw `history`: the largest correction of each iteration, in units of the tolerance; needs matplotlib.

        Lines mark the beginnings of windows (grey), and for ODEs of meshes (dotted); if there are few, labels give
        their steps or intervals. The unit on the first mesh of a window is a looser tolerance.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw into. By default a new figure, which is not registered with pyplot.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, to show or save.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is no Axes.

        See Also
        --------
        plot : The trajectory itself.

        Examples
        --------
        >>> import numpy as np
        >>> import parscan
        >>> sol = parscan.solve_recurrence(lambda y: 0.9 * np.cos(y), np.zeros(2), length=500, method="newton")
        >>> figure = sol.plot_convergence()
        >>> figure.axes[0].get_yscale()
        'log'
        """
        return draw_convergence(self.history, self._stretches, self._no_iterations, ax)

    @abstractmethod
    def _draw(self, ax: Axes | None) -> Figure:
        """Draw the states."""

    @property
    @abstractmethod
    def _stretches(self) -> tuple[Stretch, ...]:
        """Stretches of the history, for `plot_convergence`."""

    @property
    @abstractmethod
    def _no_iterations(self) -> str:
        """The text of `plot_convergence` if there were no iterations."""

    @abstractmethod
    def _rows(self) -> dict[str, object]:
        """Names and contents of the printed lines after the message and the success."""

    def _solved(self, name: str) -> Solution:
        """The object with the user's functions, which the method `name` needs; raises in copies."""
        if self._solution is None:
            raise RuntimeError(
                f"`{name}` needs the functions that were solved, which this result does not have: it was copied or "
                "pickled, or has no solution."
            )
        if isinstance(self._solution, Deferred):
            object.__setattr__(self, "_solution", self._solution.made())
            return self._solved(name)
        return self._solution

    def _whole(self, name: str) -> Solution:
        """The object with the user's functions; also raises if the solve did not succeed."""
        if not self.success:
            raise RuntimeError(f"`{name}` needs the whole solution, and this solve did not succeed: {self.message}")
        return self._solved(name)

    def __getstate__(self) -> dict[str, Any]:
        """The state without the user's functions."""
        return {**self.__dict__, "_solution": None}

    def __repr__(self) -> str:
        """One aligned line per field; arrays by their shape."""
        rows = {"message": self.message, "success": self.success, **self._rows()}
        width = max(map(len, rows))
        rows["message"] = textwrap.fill(self.message, 100, subsequent_indent=" " * (width + 2))
        lines = (f"{name:>{width}}: {content}" for name, content in rows.items())
        return "\n".join([type(self).__name__, *lines])


def brief(array: Array) -> str:
    """Dtype and shape of an array in words."""
    return f"{dtype_name(array.dtype)} {tuple(array.shape)}"

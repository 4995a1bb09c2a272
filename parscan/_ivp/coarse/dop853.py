"""DOP853 for batches: all members take the same steps, so that a wide batch is parallel by itself.

The method, its error estimate and its control of the step are those of Hairer, Nørsett and Wanner, "Solving Ordinary
Differential Equations I", 2nd edition, Springer 1993, sections II.4, II.5 and II.10, and so is the test for stiffness
(II Stiff Problems, 1996, section IV.2). It works on arrays of any library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, isfinite, sqrt, ulp
from typing import TYPE_CHECKING, Any

from ..._arrays.elementwise import is_complex, ratio
from ..._arrays.namespace import Array, array_namespace, copy, fetch, library, quiet, smallest_normal
from ..._engine.termination import Failure, Termination
from ..._functions.right_hand_side import RightHandSide
from ..._recorded.budget import Ledger
from ..core.failures import NOT_FINITE, TOO_SMALL, is_no_step
from ..core.first_step import first_step
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.stiffness import Stiffness
from ..core.watched import Reached
from ..methods.discretisation import Linear
from ..methods.explicit import dop853, weights_within
from .rodas3 import FIRST
from .rows import SLOPES, STATE, errors, stages
from .steps import CoarseSolution, Steps
from .wanted import Wanted

if TYPE_CHECKING:
    from .by_code import Attempts

SAFETY, SLOWEST, FASTEST = 0.85, 0.2, 10.0
"""Step controller: safety factor, and the smallest and largest ratio of successive steps."""

MOST_STEPS = 200_000
"""Steps, taken or rejected, after which to give up, by default."""

COUNTED = 4
"""One step of so many is counted in the test for stiffness, as long as none of them was stiff."""

ORDER = 8
"""The error of a step is proportional to this power of its length."""

LINE = 8
"""Numbers in a line of the cache."""

WIDE = 256
"""Members from which on machine code may do what lies between calls of the function."""

CODE_PRICE, SAVED, SAVED_EACH = 1e-1, 4e-5, 4e-9
"""Seconds to compile that code, and how many it saves in each step, besides those for each number in the state."""

CODES = Ledger()
"""That of this process: time that could have been saved."""

STIFF = Failure(Termination.STIFF, "stability limits the steps")


def by_dop853(
    otherwise: Callable[..., CoarseSolution],
    rhs: RightHandSide,
    span: tuple[float, float],
    y0: Array,
    *,
    rtol: float,
    atol: Array,
    max_step: float = inf,
) -> CoarseSolution:
    """Coarse solution from `y0` `(*batch, n)`; by `otherwise` if stability would limit the steps."""
    scale = Scale(rtol, atol)
    steps = march(rhs, span, y0, scale, max_step)
    if steps.failure == STIFF or not steps.count:
        return otherwise(rhs, span, y0, rtol=rtol, atol=atol, max_step=max_step)
    return CoarseSolution(steps.t, interpolated(rhs, steps, scale).evaluate, steps.failure, group=1)


def interpolated(rhs: RightHandSide, steps: Steps, scale: Scale, breaks: Array | None = None) -> PiecewisePolynomial:
    """The steps with polynomials between them."""
    method = dop853()
    return method.assess(rhs, steps.polynomial(method.output, breaks), Linear(steps.y[:0, ...]), scale)[0]


def march(
    rhs: RightHandSide,
    span: tuple[float, float],
    y0: Array,
    scale: Scale,
    max_step: float = inf,
    reached: Reached | None = None,
    most: int | None = None,
    wanted: Wanted | None = None,
) -> Steps:
    """Steps from `y0` `(*batch, n)` over the span, each with an error of at most the tolerance in every member.

    The march gives up after `most` steps, taken or rejected; by default after `MOST_STEPS`. If some times are `wanted`,
    states are kept at these, and of those at the ends of the steps only the last one is.
    """
    return _March(rhs, span, y0, scale, max_step, wanted).run(reached, MOST_STEPS if most is None else most)


class _March:
    """The state of one march."""

    def __init__(
        self,
        rhs: RightHandSide,
        span: tuple[float, float],
        y0: Array,
        scale: Scale,
        max_step: float,
        wanted: Wanted | None = None,
    ) -> None:
        from scipy.integrate import DOP853  # noqa: PLC0415 - slow to import

        self._rhs, self._end, self._max_step, self._wanted = rhs, span[1], max_step, wanted
        self._xp = xp = array_namespace(y0)
        self._shape = (y0.shape[-1], *y0.shape[:-1])  # components first, as `fun` takes and returns them
        self._real = real = xp.abs(y0[:0, ...]).dtype
        table, (of_errors, some) = stages(), errors()
        self._table = xp.asarray(table.weights, dtype=real)
        self._scaled = xp.zeros_like(self._table)  # the table multiplied by the step
        shares = [*DOP853.C[1 : DOP853.n_stages].tolist(), 1.0]
        self._shares = list(zip(shares[::2], shares[1::2], strict=True))
        self._t, self._y = span[0], xp.moveaxis(y0, -1, 0)
        self._held = held = _rows(xp, self._table.shape[1], y0)
        mean = xp.asarray(of_errors[:, some] / sqrt(self._shape[0]), dtype=real)  # over the components
        self._errors = mean, held[some, :]
        self._slopes = slopes = [xp.reshape(held[i, :], self._shape) for i in SLOPES]
        self._pairs = [
            (self._scaled[2 * k : 2 * k + 2, rows], held[rows, :], slopes[2 * k + 1], slopes[2 * k + 2], between)
            for k, (rows, between) in enumerate(zip(table.rows, table.between, strict=True))
        ]
        self._times, self._states = [self._t], [self._y]
        self._stiffness, self._attempts = Stiffness(), 0
        self._code: Attempts | None = None
        self._worst = 0.0
        self._rtol, self._atol = (
            xp.reshape(xp.broadcast_to(xp.asarray(part, dtype=real), self._shape[:1]), (-1, *(1,) * (y0.ndim - 1)))
            for part in (scale.rtol, scale.atol)
        )
        self._later = self._y  # sizes of the components after an attempt
        self._has_bounds, self._is_complex = bool(xp.all(self._atol > 0)), is_complex(y0)
        self._least = smallest_normal(real)  # so that errors of zero are not divided by zero
        is_plain = library(y0) == "numpy" and y0.dtype == xp.float64
        has_reciprocals = is_plain and bool(xp.all(self._atol >= self._least))
        self._may_have_code = has_reciprocals and y0.size >= WIDE * y0.shape[-1]

    def run(self, reached: Reached | None, most: int) -> Steps:
        """Step to the end, or until a failure or stiffness."""
        self._begin(self._y, self._xp.abs(self._y))
        self._rhs.into(self._slopes[0], self._t, copy(self._y))
        h, grows, failure, finite = self._first_step(), FASTEST, None, True
        for _ in range(most):
            if self._t == self._end or failure or self._stiffness.is_stiff:
                break
            h, t = self._limited(h)
            if not isfinite(h) or (is_no_step(self._t, t) and t != self._end):
                failure = TOO_SMALL if finite else NOT_FINITE
                continue
            with quiet():
                y, error = self._attempt(t, h)
            finite = isfinite(error)
            factor = min(grows, max(SLOWEST, SAFETY * max(error, 1e-12) ** (-1 / ORDER))) if finite else SLOWEST
            grows = FASTEST if error <= 1 else 1.0
            if error <= 1:
                self._worst = max(self._worst, error)
                self._accept(t, h, y)
                if reached is not None:
                    reached(t)
            h *= factor
        else:
            failure = Failure(Termination.LONG, f"DOP853 took more than {most} steps")
        xp, failure = self._xp, STIFF if self._stiffness.is_stiff else failure
        t, y = xp.asarray(self._times, dtype=xp.float64), xp.moveaxis(xp.stack(self._states), 1, -1)
        return Steps(t, y, failure=failure, error=self._worst)

    def _begin(self, y: Array, sizes: Array) -> None:
        """Take the state at the begin of a step, and the sizes of its components."""
        self._y, self._sizes = y, sizes
        self._held[STATE, :] = self._xp.reshape(y, (-1,))

    def _accept(self, t: float, h: float, y: Array) -> None:
        """Enter a step, and the states at the wanted times within it."""
        if self._wanted is None:
            self._states.append(y)
        else:
            self._wanted.enter(self._t, t, y, partial(self._between, h))
            self._states = [y]
        self._times.append(t)
        self._t = t
        if self._code is not None:
            self._y = y
            self._code.accept(y)
            return
        self._begin(y, self._later)
        self._slopes[0][...] = self._slopes[-1]

    def _between(self, h: float, shares: list[float]) -> list[Array]:
        """States at shares of the step that was taken last, by three more stages."""
        from scipy.integrate import DOP853  # noqa: PLC0415 - slow to import

        if self._code is not None:
            self._code.settle()
        xp, flat = self._xp, self._xp.reshape(self._y, (1, -1))
        slopes = [*self._slopes, *(xp.zeros_like(self._slopes[0]) for _ in DOP853.C_EXTRA)]
        K = xp.stack([xp.reshape(slope, (-1,)) for slope in slopes])
        done = len(self._slopes)
        with quiet():
            for i, (row, share) in enumerate(zip(DOP853.A_EXTRA, DOP853.C_EXTRA.tolist(), strict=True), done):
                state = flat + (h * xp.asarray(row[None, :i], dtype=self._real)) @ K[:i, :]
                K[i, :] = self._slope(self._t + share * h, xp.reshape(state, self._shape))
            states = flat + (h * xp.asarray(weights_within(shares), dtype=self._real)) @ K
        return [xp.reshape(states[i, :], self._shape) for i in range(len(shares))]

    def _limited(self, h: float) -> tuple[float, float]:
        """The step, limited by the end and by the longest step, and the time at which it ends."""
        rest = self._end - self._t
        size = min(abs(h), self._max_step)
        if size >= abs(rest):
            return rest, self._end
        t = self._t + (size if rest > 0 else -size)
        return t - self._t, t  # not the size: at large times, the sum is rounded

    def _slope(self, t: float, y: Array) -> Array:
        """Right-hand side as one row."""
        return self._xp.reshape(self._rhs.at(t, y), (-1,))

    def _attempt(self, t: float, h: float) -> tuple[Array, float]:
        """State after a step, and its error in tolerances."""
        self._attempts += 1
        is_counted = self._attempts % COUNTED == 0 or self._stiffness.is_suspected
        if self._code is None and self._may_have_code:
            self._buy_code()
        if self._code is None:
            y, last = self._stages(t, h, is_counted=is_counted)
            error = self._error(y)
        else:
            y, last, error = self._code.attempt(self._t, t, h, is_counted=is_counted)
        if is_counted:
            error = self._test(error, y, last, h)
        size = float(error)
        return y, abs(h) * sqrt(size) if isfinite(size) else inf

    def _buy_code(self) -> None:
        """Have machine code for what lies between calls of the function, if that pays."""
        saved = SAVED + SAVED_EACH * self._y.size
        if not (CODES.pays_loading(saved) and CODES.buys("steps", CODE_PRICE, saved)):
            return
        from .by_code import attempts  # noqa: PLC0415 - slow to import

        self._code = attempts(self._rhs, self._held, self._slopes, self._shares, self._rtol, self._atol)
        self._may_have_code = self._code is not None

    def _stages(self, t: float, h: float, *, is_counted: bool) -> tuple[Array, Array]:
        """State after a step, and that of the last stage."""
        xp, into, begin, both, last = self._xp, self._rhs.into, self._t, (2, *self._shape), self._pairs[-1]
        self._scaled[...] = h * self._table
        self._scaled[:-1, STATE] = 1.0
        for pair, (early, late) in zip(self._pairs, self._shares, strict=True):
            weights, rows, first, second, between = pair
            sums = xp.reshape(weights @ rows, both)
            state, y = sums[0, ...], sums[1, ...]  # `fun` may write to them
            into(first, begin + early * h, copy(state) if is_counted and pair is last else state)
            y += (h * between) * first
            if pair is not last:
                into(second, begin + late * h, y)
        y += self._y  # here and not in the product, so that the sum of all steps is rounded once in each
        into(second, t, copy(y))
        return y, state

    def _test(self, error: Any, y: Array, last: Array, h: float) -> Any:
        """Count the step in the test for stiffness; `last` is the state of the last stage. The error, fetched as well.

        That test reads as much as a stage does: it counts one step of a few, until one of them was stiff.
        """
        xp = self._xp
        differences, change = self._slopes[-1] - self._slopes[-2], y - last
        sizes = xp.max(xp.abs(change)), xp.max(xp.abs(differences))
        error, apart, slopes = (error, *sizes) if self._code is not None else fetch(error, *sizes)
        self._stiffness.add(h, float(apart), float(slopes))
        return error

    def _error(self, y: Array) -> Array:
        """Square of the combined estimate of orders 5 and 3, divided by the step; the largest of the batch."""
        xp = self._xp
        self._later = sizes = xp.abs(y)
        bound = xp.maximum(self._sizes, sizes)
        bound *= self._rtol
        bound += self._atol
        weights, rows = self._errors
        both = xp.reshape(weights @ rows, (2, *self._shape))
        if self._has_bounds:
            both /= bound
        else:
            both = ratio(xp, both, bound)
        sizes = xp.abs(both) if self._is_complex else both
        sizes *= sizes
        squares = xp.sum(sizes, axis=1)
        fifth, all_orders = squares[0, ...], squares[1, ...]
        all_orders += fifth
        all_orders += self._least
        return xp.max(fifth * (fifth / all_orders))

    def _first_step(self) -> float:
        """The signed length of the first step."""
        xp, y = self._xp, self._y
        bound = self._atol + self._rtol * xp.abs(y)
        direction = 1.0 if self._end >= self._t else -1.0
        longest = min(abs(self._end - self._t), self._max_step)

        def size(values: Any) -> float:
            return float(xp.max(xp.abs(ratio(xp, values, bound))))

        with quiet():
            first = self._slopes[0]

            def change(h: float) -> float:
                return size(self._rhs.at(self._t + direction * h, y + direction * h * first) - first)

            h = first_step(size(y), size(first), change, longest, ORDER)
        return direction * min(max(h, FIRST * ulp(self._t)), longest)


def _rows(xp: Any, count: int, like: Array) -> Array:
    """
    Rows of as many numbers as an array has.

    They do not begin at multiples of a power of two, where processors keep few of them at a time.
    """
    lines = -(-like.size // LINE) + 1
    return xp.zeros((count, lines * LINE), dtype=like.dtype)[:, : like.size]

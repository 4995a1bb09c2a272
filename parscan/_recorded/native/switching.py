"""
Functions in modes, in machine code: steps end where a comparison of states changes, and the next one has other modes.

Steps are taken in a mode, in which the function is smooth, also where a step has gone too far. Comparisons are watched
on its polynomial. Where the first one of them changes, the step ends, at a place at which it has changed already; there
the modes become what the state says. Where a number turns before it is zero, as the parabola of three neighbours says,
its extremum is searched: it may pass zero there for a short time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..frozen import EDGES
from ..program import Program
from .between import Between, Frame
from .driver import Fields
from .expressions import Array, Value, Variable
from .routine import Routine, routine
from .text import Register, UnsupportedError

PARTS = 13
"""Parts of a step at whose ends comparisons are watched."""

EARLY = 2.0**-20
"""
Share of a step at whose end they are watched, too. A step may begin where a comparison has just changed. If the slope
there leads back, the solution stays on the switch for a while; later in the step nothing is to be seen of it.
"""

LOOKS = PARTS + 1
"""Places in a step at which comparisons are watched, with its end."""

BRIEF, MANY = 1e-6, 8
"""Share of a step; and number of steps in a row that end before it, after which it is too much: a solution that stays
where a comparison changes makes such steps only."""

SPACES = 4.0
"""Length of the shortest step, in distances of neighbouring numbers at its time."""

TURNS, SECTIONS, GOLDEN = 0.3, 24, 0.3819660112501051
"""
An extremum is searched where the parabola comes nearer to zero than this share of its three numbers, by so many golden
sections, at this share of a bracket.
"""

NEAR = 0.1
"""
Share of the change of a number in a step: if it comes no nearer to zero at the stages, no comparison changes. The
largest distance of stages of DOP853 is 0.27 of a step, so that a parabola which touches zero comes to 0.073.
"""

NAME = "switches"
"""Name of the routine."""

ONE, OTHER = 1.0, -1.0
"""Modes: where comparisons hold, and where they do not."""


class Switching(Between):
    """
    Writes the watch over comparisons into a solver of one lane, whose right-hand side has modes as the last argument.

    Parameters
    ----------
    members : Frame
        The solver.
    program : Program
        `(t, y, *parameters, modes) -> numbers, levels`: comparisons hold where numbers are positive; modes are those of
        comparisons, and levels of stairs behind them. The first two comparisons of each stair have modes that stay.
    is_dense : bool
        Whether coefficients are slopes at Gauss's nodes.
    exits : int
        How many of the comparisons, the last ones, end the member where they hold.
    """

    def __init__(self, members: Frame, program: Program, *, is_dense: bool, exits: int = 0) -> None:
        if members.lanes > 1:
            raise UnsupportedError("has modes, and members in lanes")
        super().__init__(members, "switch", [program], is_dense=is_dense)
        self._program, self._exits = program, exits
        self.count, self._stairs = (ids.size for ids in program.results)
        self._is_nested = program.reads(len(program.arguments) - 1)
        self._extremes: list[tuple[Value, Value, Value]] = []
        """Of each number, the sign that it has in the mode, and the least and the largest value times that."""
        self._last: list[Value] = []

    def routines(self) -> list[Routine]:
        """What is compared."""
        return [routine(NAME, self._program)]

    def extend(self, fields: Fields) -> None:
        """Add memory."""
        super().extend(fields)
        fields.add("modes", np.float64, self.count + self._stairs)
        fields.add("switch levels", np.float64, self._stairs)
        fields.add("switch values", np.float64, LOOKS + 2, self.count)
        for what in ("share", "until"):
            fields.add(f"switch {what}", np.float64, 1)
        for what in ("seen", "turn", "turn value", "turn begin", "turn first"):
            fields.add(f"switch {what}", np.float64, self.count)
        for what in ("crossed", "brief", "which", "left", "turned", "turn number", "turn look"):
            fields.add(f"switch {what}", np.int64, 1)
        if self._is_dense:
            fields.add("switch slopes", self._members.dtype, self._members.degree)

    @property
    def pointer(self) -> Register:
        """Where the modes are."""
        return self.number("modes").pointer

    # What the solver asks

    @property
    def crossed(self) -> Value:
        """Whether the step has ended where a comparison changed."""
        return self.own("crossed")[0].differs(0)

    @property
    def share(self) -> Value:
        """Share of the step up to there, or 1."""
        return self._members.code.where(self.crossed, self.own("share")[0], 1.0)

    @property
    def until(self) -> Value:
        """Time there."""
        return self.own("until")[0]

    @property
    def is_stuck(self) -> Value:
        """Whether steps have been too short too often."""
        return self.own("brief")[0] > MANY

    @property
    def has_left(self) -> Value:
        """Whether a comparison holds that ends the member."""
        return self.own("left")[0].differs(0)

    def reached(self, chunk: Value | int, state: Value) -> Value:
        """A chunk of the state at the end of a step: where it has ended."""
        return self._members.code.where(self.crossed, self.state(self._members.width)[chunk], state)

    # What the solver writes

    def load(self) -> None:
        """A member begins."""
        for what in ("brief", "crossed", "left"):
            self.own(what)[0] = 0

    def settle(self, t: Value, state: Array) -> None:
        """Modes as a state says; those on which others depend come first."""
        code, modes, values = self._members.code, self.number("modes"), self._row(0)
        rounds = self.count if self._is_nested else 1
        with code.for_(rounds):
            self._evaluate(t, state, values)
            with code.for_(self.count) as k:
                modes[k] = code.where(values[k] > 0, ONE, code.number(OTHER))
            levels = self.own("levels")
            for number in range(self._stairs):
                modes[EDGES * number], modes[EDGES * number + 1] = code.number(OTHER), code.number(ONE)
                modes[self.count + number] = levels[number]
        for number in range(self.count - self._exits, self.count):
            with code.if_(modes[number] > 0):
                self.own("left")[0] = 1

    # Numbers at the stages of a step

    def begin_attempt(self) -> None:
        """Note numbers at stages from now on."""
        modes, values = self.number("modes"), self._row(0)
        signs = [modes[k] for k in range(self.count)]
        self._extremes = [(sign, sign * values[k], sign * values[k]) for k, sign in enumerate(signs)]

    def note(self, values: list[Value]) -> None:
        """Note what is compared at a stage, if that is wanted."""
        code = self._members.code
        if self._extremes:
            self._last = values
        for k, (sign, low, high) in enumerate(self._extremes):
            value = sign * values[k]
            self._extremes[k] = sign, code.minimum(low, value), code.maximum(high, value)

    def end_attempt(self) -> Value:
        """Whether a comparison may change in the step, at whose end numbers were noted last."""
        is_near = self._members.code.number(False, bool)
        for _, low, high in self._extremes:
            is_near = is_near | ~(low > NEAR * (high - low))
        self._extremes = []
        return is_near

    def pass_by(self) -> None:
        """No comparison changes in the step."""
        for what in ("crossed", "brief"):
            self.own(what)[0] = 0
        values = self._row(0)
        for number, one in enumerate(self._last):
            values[number] = one

    def look(self, begin: Value, end: Value, h: Value) -> None:
        """Look whether a comparison changes in an accepted step, whose coefficients are known."""
        members, code, modes = self._members, self._members.code, self.number("modes")
        self.begin_step(begin, end, h)
        self.own("crossed")[0] = 0
        changes = code.variable(False, bool)
        known = [modes[k] > 0 for k in range(self.count)]

        def enter(row: Array) -> None:
            for k in range(self.count):
                changes.set(changes.get() | ((row[k] > 0) ^ known[k]))

        with code.for_(LOOKS - 1) as look:
            theta = self._share_of(look + 1)
            self.go_to(theta)
            row = self._row(look + 1)
            self._evaluate(code.fma(h, theta, begin), self.state(), row)
            enter(row)
        self.copy_state("end")
        last = self._row(LOOKS)
        self._evaluate(end, self.state(), last)
        enter(last)
        self._look_for_turns()
        branch = code.if_(changes.get() | self.own("turned")[0].differs(0))
        with branch as other, members.module.function("cross_switch"):
            self._find()
        with code.else_(other):
            self.own("brief")[0] = 0
            values = self._row(0)
            for k in range(self.count):
                values[k] = last[k]

    def _look_for_turns(self) -> None:
        """Search for extrema of numbers between places at which they are watched."""
        code, modes, values, turn = self._members.code, self.number("modes"), self._row(0), self.own("turn")
        self.own("turned")[0] = 0
        with code.for_(self.count) as number:
            turn[number] = np.inf
            sign = modes[number]
            with code.for_(LOOKS, 2) as look:
                left, middle, right = (sign * values[(look + k) * self.count + number] for k in (-1, 0, 1))
                bend, way = left - 2.0 * middle + right, right - left
                are_before = (left > 0) & (middle > 0) & (right > 0)
                turns = (bend > 0) & (code.abs(way) < 2.0 * bend)
                is_near = middle - way * way / (8.0 * bend) < TURNS * code.maximum(left, right)
                with code.if_(are_before & turns & is_near & turn[number].equals(np.inf)):
                    self.own("turn number")[0], self.own("turn look")[0] = number, look
                    with self._members.module.function("turn_switch"):
                        self._turn()

    def _turn(self) -> None:
        """Note where a number has passed zero about an extremum, if it has."""
        code = self._members.code
        number, look = self.own("turn number")[0], self.own("turn look")[0]
        number, look = code.variable(number, np.int64).get(), code.variable(look, np.int64).get()
        is_above = self.number("modes")[number] > 0
        low, high = code.variable(self._share_of(look - 1)), code.variable(self._share_of(look + 1))
        begin, left = low.get(), code.variable(SECTIONS, np.int64)
        near = [code.variable(begin + share * (high.get() - begin)) for share in (GOLDEN, 1 - GOLDEN)]
        far = [code.variable(0.0), code.variable(0.0)]

        def enter(place: Value, into: Variable) -> None:
            share = code.variable(place)
            value = self._at(number, share.get())
            into.set(code.where(is_above, value, -value))
            with code.if_((value > 0) ^ is_above):
                left.set(0)
                self.own("turn")[number], self.own("turn value")[number] = share.get(), value
                self.own("turned")[0] = 1

        enter(near[1].get(), far[1])
        enter(near[0].get(), far[0])
        self.own("turn begin")[number] = begin
        self.own("turn first")[number] = self._row(look - 1)[number]
        with code.while_(lambda: left.get() > 0):
            left.set(left.get() - 1)
            branch = code.if_(far[0].get() < far[1].get())
            with branch as other:
                high.set(near[1].get())
                near[1].set(near[0].get())
                far[1].set(far[0].get())
                near[0].set(low.get() + GOLDEN * (high.get() - low.get()))
                enter(near[0].get(), far[0])
            with code.else_(other):
                low.set(near[0].get())
                near[0].set(near[1].get())
                far[0].set(far[1].get())
                near[1].set(high.get() - GOLDEN * (high.get() - low.get()))
                enter(near[1].get(), far[1])

    def _row(self, look: Value | int) -> Array:
        """What is compared at a place in a step."""
        return self.number("switch values").after(look * self.count)

    def _share_of(self, look: Value) -> Value:
        """The share of the step that is its place."""
        code = self._members.code
        even = (look - 1).to(np.float64) * (1 / PARTS)
        return code.where(look.equals(LOOKS), 1.0, code.where(look.equals(1), EARLY, code.maximum(even, 0.0)))

    def _evaluate(self, t: Value, state: Array, row: Array) -> None:
        members, code, time = self._members, self._members.code, self.own("time")
        time[0] = members.time(t)
        parameters = members.fields.array(code, "parameters")
        given = [code.load_pointer(parameters.at(k)) for k in range(len(self._program.arguments) - 2)]
        members.module.call(NAME, time.pointer, state.pointer, *given, row.pointer, self.own("levels").pointer)

    def _find(self) -> None:
        """End the step where the first comparison changes."""
        code = self._members.code
        best = code.variable(1.0)
        for number in range(self.count):
            self._find_one(number, best)
        begin, whole = self.own("begin")[0], self.own("whole")[0]
        apart = SPACES * 2.0**-52 * code.maximum(code.abs(begin), code.abs(whole))
        least = code.minimum(apart / code.abs(self.own("length")[0]), 1.0)
        theta = code.variable(code.maximum(best.get(), least))
        brief = self.own("brief")
        brief[0] = code.where(theta.get() < BRIEF, brief[0] + 1, 0)
        self.go_to(theta.get(), all_of_it=True)
        self.own("share")[0] = theta.get()
        self.own("until")[0] = code.where(theta.get() < 1.0, self.time_at(theta.get()), whole)
        self.own("crossed")[0] = 1

    def _find_one(self, number: int, best: Variable) -> None:
        """Note where a comparison changes, if it does so before others."""
        code, holds = self._members.code, self.number("modes")[number] > 0
        values = self.number("switch values").after(number)
        first = code.variable(LOOKS + 1, np.int64)
        with code.for_(LOOKS) as k:
            look = LOOKS - k
            changed = (values[look * self.count] > 0) ^ holds
            first.set(code.where(changed, look, first.get()))
        place = first.get()
        last, turn = self._share_of(place - 1), self.own("turn")[number]
        has_turned = turn <= last
        before = code.where(has_turned, self.own("turn begin")[number], last)
        with code.if_(((place <= LOOKS) | has_turned) & (before < best.get())):
            after = code.where(has_turned, turn, self._share_of(place))
            first_value = code.where(has_turned, self.own("turn first")[number], values[(place - 1) * self.count])
            last_value = code.where(has_turned, self.own("turn value")[number], values[place * self.count])
            zero, _ = self.zero(lambda x: self._at(number, x), before, after, first_value, last_value, passes=True)
            with code.if_(zero <= best.get()):
                best.set(zero)
                self.own("which")[0] = number

    def _at(self, number: int | Value, theta: Value) -> Value:
        """What is compared at a share of the step."""
        self.go_to(theta)
        row = self._row(LOOKS + 1)
        self._evaluate(self.time_at(theta), self.state(), row)
        return row[number]

    def shorten(self) -> None:
        """Make the slopes at Gauss's nodes of the step those of its share."""
        members, code, share = self._members, self._members.code, self.own("share")[0]
        degree, size = members.degree, members.chunks * members.width
        nodes = (np.polynomial.legendre.leggauss(degree)[0] + 1) / 2
        powers = [np.polynomial.Polynomial.fromroots(np.delete(nodes, k)) for k in range(degree)]
        shapes = np.array([(one / one(nodes[k])).coef for k, one in enumerate(powers)])
        weights = [
            [code.variable(self._power_sum(share * node, row)) for row in shapes.tolist()] for node in nodes.tolist()
        ]
        slopes, kept = members.rows("coefficients").of(1), self.own("slopes")
        with code.for_(members.n) as place:
            for k in range(degree):
                kept[k] = slopes[place + k * size]
            for j in range(degree):
                total: Any = code.number(0.0)
                for k in range(degree):
                    total = code.fma(weights[j][k].get(), kept[k], total)
                slopes[place + j * size] = total

    def _power_sum(self, x: Value, coefficients: list[float]) -> Value:
        """Horner's rule."""
        total = self._members.code.number(coefficients[-1])
        for one in reversed(coefficients[:-1]):
            total = self._members.code.fma(total, x, one)
        return total

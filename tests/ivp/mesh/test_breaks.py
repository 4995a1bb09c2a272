"""Breakpoints: meshes have them as nodes, and intervals that meet at one see their own side of it."""

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan._ivp.core.mesh import Mesh, inside, union
from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.stretches import stretches
from parscan._ivp.core.tableaux import radau
from parscan._ivp.mesh.refine import Assessed


@pytest.mark.parametrize("begin", [0.0, 0.3, -1e-8, 1.7e9, -1e12])
@pytest.mark.parametrize("length", [1e-3, 1.0, -1.0, 1e4])
def test_times_inside_are_a_few_spacings_away(begin, length):
    ends = np.array([begin]), np.array([begin + length])
    low, high = (float(time[0]) for time in inside(*ends))
    spacing = np.spacing(max(abs(ends[0][0]), abs(ends[1][0])))
    for time, end in ((low, ends[0][0]), (high, ends[1][0])):
        assert abs(time - end) <= max(min(40 * spacing, abs(length) / 200), spacing)
        assert abs(time - end) >= min(4 * spacing, abs(length) / 300) - spacing / 2
    assert (low - ends[0][0]) * length >= 0 >= (high - ends[1][0]) * length


TIMES = st.lists(st.floats(-5, 5), min_size=1, max_size=12)


@given(TIMES, st.integers(2, 30), st.booleans(), st.sampled_from([0.0, 1e-9, 1e6]))
@settings(max_examples=100, deadline=None)
def test_breakpoints_become_nodes(times, count, backwards, offset):
    t = np.linspace(-3, 4, count) + offset
    t = t[::-1] if backwards else t
    breaks = union(np.array(times) + offset)
    mesh = Mesh(t, breaks).with_breaks().t
    steps = np.diff(mesh)
    assert np.all(steps < 0) if backwards else np.all(steps > 0)
    assert (mesh[0], mesh[-1]) == (t[0], t[-1])
    within = breaks[(breaks > t.min()) & (breaks < t.max())]
    assert np.isin(within, mesh).all()
    assert mesh.shape[0] <= count + within.shape[0]
    assert np.array_equal(Mesh(mesh, breaks).with_breaks().t, mesh)
    some = Mesh(mesh, breaks).thinned(3).t
    assert np.isin(within, some).all()
    assert (some[0], some[-1]) == (t[0], t[-1])


@pytest.mark.parametrize("direction", [1, -1])
def test_nodes_beside_a_breakpoint_make_way(direction):
    t = direction * np.array([0.0, 0.3, 1.0, 2.0])
    breaks = direction * np.array([0.1 * 3 + 1e-9])
    assert np.array_equal(Mesh(t, breaks).with_breaks().t, direction * np.array([0.0, 0.1 * 3 + 1e-9, 1.0, 2.0]))
    rounded = direction * np.array([0.1 * 3])
    assert np.array_equal(Mesh(t, rounded).with_breaks(near=0.0).t, direction * np.array([0.0, 0.1 * 3, 1.0, 2.0]))
    assert Mesh(t, breaks).with_breaks(near=0.0).t.shape == (5,)


def test_union_keeps_what_it_is_given():
    breaks = np.array([1.0, 2.0])
    assert union(breaks, None, breaks) is breaks
    assert union(None, np.zeros(0)) is None
    assert np.array_equal(union(np.array([3.0, 1.0, 3.0]), breaks), [1.0, 2.0, 3.0])


@pytest.mark.parametrize("span", [(0.0, 3.0), (3.0, 0.0)])
def test_a_span_falls_into_stretches(span):
    found = stretches(span, np.array([-1.0, 1.0, 2.0, 3.0]))
    ends = [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    assert [(part.begin, part.end) for part in found] == (ends if span[1] else [(b, a) for a, b in ends[::-1]])
    for part in found:
        assert min(part.begin, part.end) <= part.low < part.high <= max(part.begin, part.end)
        assert (0.0 in (part.low, part.high)) == (0.0 in (part.begin, part.end))
        assert not {1.0, 2.0, 3.0} & {part.low, part.high}


def test_the_last_stretch_may_have_no_end():
    first, last = stretches((0.0, np.inf), np.array([5.0]))
    assert (first.end, last.begin, last.end, last.high) == (5.0, 5.0, np.inf, np.inf)
    assert first.high < 5 < last.low < 5 + 1e-13


@pytest.fixture
def trial():
    """A broken line as a trial of Radau's method: slopes 1, -1, 2 between the breakpoints."""
    t = np.array([0.0, 0.4, 1.0, 1.5, 2.0, 3.0])
    slopes = np.array([1.0, 1.0, -1.0, -1.0, 2.0])
    y = np.concatenate([[0.0], np.cumsum(np.diff(t) * slopes)])
    stages = np.broadcast_to(slopes[:, None, None], (5, 3, 1))
    return PiecewisePolynomial(radau(3), t, y[:, None], stages, np.array([1.0, 2.0]))


def broken_line(t):
    return np.interp(t, [0, 1, 2, 3], [0.0, 1.0, 0.0, 2.0])


REFINED = {
    "equidistributed": lambda mesh, error: Assessed(mesh, error, 4).equidistributed(),
    "refined": lambda mesh, error: Assessed(mesh, error, 4).refined(2.0),
    "divided": lambda mesh, error: mesh.divided(50.0, radau(3).order),
    "shortened": lambda mesh, error: mesh.shortened(0.07),
}


@pytest.mark.parametrize("name", REFINED)
@given(st.lists(st.floats(1e-8, 1e4), min_size=5, max_size=5))
@settings(max_examples=30, deadline=None)
def test_refined_meshes_keep_breakpoints(name, errors):
    """And no polynomial is continued beyond one: the broken line stays what it was."""
    t = np.array([0.0, 0.4, 1.0, 1.5, 2.0, 3.0])
    slopes = np.array([1.0, 1.0, -1.0, -1.0, 2.0])
    y = np.concatenate([[0.0], np.cumsum(np.diff(t) * slopes)])
    trial = PiecewisePolynomial(
        radau(3), t, y[:, None], np.broadcast_to(slopes[:, None, None], (5, 3, 1)), np.array([1.0, 2.0])
    )
    better = trial.resampled(REFINED[name](trial.mesh, np.array(errors)))
    assert better.breaks is trial.breaks
    assert np.isin([0.0, 1.0, 2.0, 3.0], better.t).all()
    assert np.allclose(better.y[:, 0], broken_line(better.t), atol=1e-13)
    expected = np.diff(broken_line(better.t)) / np.diff(better.t)
    assert np.allclose(better.stages[..., 0], expected[:, None], atol=1e-7)


def test_ends_are_the_nodes_where_there_is_no_breakpoint(trial):
    smooth = PiecewisePolynomial(radau(3), trial.t, trial.y, trial.stages)
    assert smooth.both_ends.t is smooth.t
    assert np.array_equal(smooth.ends, trial.t[1:])
    assert np.array_equal(smooth.times(1.0), trial.t[:-1] + 1.0 * np.diff(trial.t))


@pytest.mark.parametrize("direction", [1, -1])
def test_stages_at_breakpoints_are_inside(trial, direction):
    turned = PiecewisePolynomial(
        radau(3), direction * trial.t, trial.y, trial.stages, np.sort(direction * trial.breaks)
    )
    times = turned.times(np.array([0.0, 0.5, 1.0])) * direction
    at = np.isin(trial.t, [1.0, 2.0])
    assert np.array_equal(times[:, 0] > trial.t[:-1], at[:-1])
    assert np.array_equal(times[:, 2] < trial.t[1:], at[1:])
    assert np.allclose(times[:, 0], trial.t[:-1], atol=1e-13)
    assert np.array_equal(times[:, 1], trial.t[:-1] + np.diff(trial.t) * 0.5)
    ends = turned.both_ends
    assert np.array_equal(ends.t[ends.left], turned.begins)
    assert np.array_equal(ends.t[ends.right], turned.ends)
    assert np.array_equal(ends.y[ends.right], trial.y[1:])


def test_breakpoints_on_any_array_library(trial):
    alike = PiecewisePolynomial(
        radau(3), *map(strict.asarray, (trial.t, trial.y, np.array(trial.stages), trial.breaks))
    )
    error = np.array([1.0, 30.0, 1e-3, 4.0, 2.0])
    ours, theirs = (
        one.resampled(REFINED["equidistributed"](one.mesh, xp.asarray(error)))
        for one, xp in ((trial, np), (alike, strict))
    )
    assert np.array_equal(ours.t, np.asarray(theirs.t))
    assert np.array_equal(ours.times(radau(3).c), np.asarray(theirs.times(radau(3).c)))
    mesh = Mesh(strict.linspace(0.0, 3.0, 9), alike.breaks).with_breaks()
    assert np.array_equal(np.asarray(mesh.t), Mesh(np.linspace(0, 3, 9), trial.breaks).with_breaks().t)


def test_solutions_hand_on_their_breakpoints(trial):
    assert trial.restrict(1.7).breaks is trial.breaks
    assert trial.part(slice(1, 3)).breaks is trial.breaks
    assert trial.resampled(trial.mesh, radau(5)).breaks is trial.breaks
    assert np.isclose(trial.samples()[0], 1.0, atol=1e-12, rtol=0).any()
    assert 1.0 not in trial.samples()[0]

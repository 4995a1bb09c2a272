"""Pictures: what is drawn are the numbers of the result, whatever its size, batch, dtype, library and ending."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from ode_problems import pendulum

from parscan import solve_ivp, solve_recurrence
from parscan._reporting.plot import COLOURS, MOST_LINES, MOST_POINTS, PIECES, Stretch, draw_convergence

agg = pytest.importorskip("matplotlib.backends.backend_agg", reason="pictures need matplotlib")
strict = pytest.importorskip("array_api_strict", reason="the standard's reference implementation")
Figure = pytest.importorskip("matplotlib.figure").Figure


def jumping(t, y):
    return [1 / (t - 1.5) ** 2]


def growing(y):
    return y * y + 1


RECURRENCES = {
    "converged": lambda: solve_recurrence(lambda y: 0.5 * np.cos(y), np.ones(3), length=500, method="jacobi"),
    "looped": lambda: solve_recurrence(lambda y: 0.5 * y, np.ones(1), length=20),
    "complex": lambda: solve_recurrence(lambda y: 0.9j * y, np.ones(2, complex), length=100),
    "batch": lambda: solve_recurrence(lambda y: 0.9 * y, np.ones((2, 3, 6)), length=300),
    "complex batch": lambda: solve_recurrence(lambda y: 0.9j * y, np.ones((2, 6), complex), length=300),
    "many": lambda: solve_recurrence(lambda y: 0.9 * y, np.ones(50), length=300),
    "not finite": lambda: solve_recurrence(growing, np.ones(2), length=100, method="newton"),
    "not finite at once": lambda: solve_recurrence(lambda y: y / 0, np.ones(2), length=9, method="sequential"),
    "huge": lambda: solve_recurrence(lambda y: 10 * y, np.ones(1), length=308, method="sequential"),
    "huge, single": lambda: solve_recurrence(lambda y: 2 * y, np.ones(1, np.float32), length=127),
    "constant": lambda: solve_recurrence(lambda y: 0 * y, np.ones(1), length=50),
    "no steps": lambda: solve_recurrence(lambda y: y, np.ones(2), length=0),
    "one step": lambda: solve_recurrence(lambda y: y, np.ones(2), length=1),
    "no members": lambda: solve_recurrence(lambda y: y, np.ones((0, 2)), length=5),
    "long": lambda: solve_recurrence(lambda y: 0.5 * y + 1, np.ones(2), length=50_003, method="newton"),
    "strict": lambda: solve_recurrence(lambda y: 0.5 * y, strict.ones(2), length=200, method="newton"),
}

SOLUTIONS = {
    "Radau": lambda: solve_ivp(pendulum, (0, 20), [1.0, 0.0], rtol=1e-8),
    "backwards": lambda: solve_ivp(pendulum, (20, 0), [1.0, 0.0], rtol=1e-8),
    "SciPy": lambda: solve_ivp(pendulum, (0, 20), [1.0, 0.0]),
    "SciPy, dense": lambda: solve_ivp(pendulum, (0, 20), [1.0, 0.0], dense_output=True),
    "output times": lambda: solve_ivp(pendulum, (0, 20), [1.0, 0.0], rtol=1e-8, t_eval=[3, 4, 5]),
    "no output times": lambda: solve_ivp(pendulum, (0, 20), [1.0, 0.0], t_eval=[]),
    "batch": lambda: solve_ivp(lambda t, y: -y, (0, 5), np.ones((2, 3, 4)), rtol=1e-8),
    "wide batch": lambda: solve_ivp(lambda t, y: -y, (0, 5), np.ones((1, 99)), rtol=1e-6),
    "complex": lambda: solve_ivp(lambda t, y: 1j * y, (0, 5), np.ones(2, complex), rtol=1e-8),
    "single": lambda: solve_ivp(lambda t, y: -y, (0, 5), np.ones(2, np.float32), "Radau"),
    "pole": lambda: solve_ivp(jumping, (0, 3), [0.0], "Radau"),
    "windows": lambda: solve_ivp(pendulum, (0, 20), [1.0, 0.0], "Radau", rtol=1e-6, window=5),
    "mesh": lambda: solve_ivp(pendulum, (0, 20), [1.0, 0.0], "RK4", mesh=np.linspace(0, 20, 300)),
    "no time": lambda: solve_ivp(pendulum, (2, 2), [1.0, 0.0]),
    "no components": lambda: solve_ivp(lambda t, y: y, (0, 2), np.ones(0)),
    "strict": lambda: solve_ivp(lambda t, y: -y, (0, 2), strict.ones(2), rtol=1e-8),
}


def drawn(figure):
    """The same figure, after all of it has been drawn: warnings are errors."""
    agg.FigureCanvasAgg(figure)
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 1
    return figure


def labels(axes):
    return axes.get_legend_handles_labels()[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.SlowConvergenceWarning", "ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("make", [*RECURRENCES.values(), *SOLUTIONS.values()], ids=[*RECURRENCES, *SOLUTIONS])
def test_all_results_can_be_drawn(make):
    sol = make()
    for figure in (sol.plot(), sol.plot_convergence()):
        for axes in drawn(figure).axes:
            assert axes.get_xlabel() or "y" in axes.get_ylabel()
            assert all(len(line.get_xdata()) <= MOST_POINTS for line in axes.lines)
            assert len(axes.lines) <= MOST_LINES + 70


def test_lines_are_the_components():
    sol = RECURRENCES["converged"]()
    (axes,) = sol.plot().axes
    assert labels(axes) == ["y[:, 0]", "y[:, 1]", "y[:, 2]"]
    for k, line in enumerate(axes.lines):
        assert np.array_equal(line.get_xdata(), np.arange(500))
        assert np.array_equal(line.get_ydata(), sol.y[:, k])
        assert line.get_color() == COLOURS[k]
    assert len({line.get_linestyle() for line in axes.lines}) == 3


def test_of_many_components_some_are_drawn_from_first_to_last():
    (axes,) = RECURRENCES["many"]().plot().axes
    assert len(axes.lines) == MOST_LINES
    assert [labels(axes)[k] for k in (0, -1)] == ["y[:, 0]", "y[:, 49]"]
    assert axes.get_title() == f"{MOST_LINES} of 50 components"


def test_a_batch_is_its_first_member_and_the_range_of_all(rng):
    sol = solve_recurrence(lambda y: 0.9 * y, rng.standard_normal((5, 2)), length=30)
    (axes,) = sol.plot().axes
    assert labels(axes) == ["y[:, 0, 0]", "y[:, 0, 1]"]
    assert np.array_equal(axes.lines[1].get_ydata(), sol.y[:, 0, 1])
    assert axes.get_title() == "5 members: the first, and the range of all"
    for k, shade in enumerate(axes.collections):
        vertices = shade.get_paths()[0].vertices
        assert vertices[:, 1].min() == sol.y[:, :, k].min()
        assert vertices[:, 1].max() == sol.y[:, :, k].max()


def test_complex_components_are_two_lines():
    sol = RECURRENCES["complex"]()
    (axes,) = sol.plot().axes
    assert labels(axes) == ["Re y[:, 0]", "Im y[:, 0]", "Re y[:, 1]", "Im y[:, 1]"]
    assert np.array_equal(axes.lines[0].get_ydata(), sol.y[:, 0].real)
    assert np.array_equal(axes.lines[3].get_ydata(), sol.y[:, 1].imag)
    assert axes.lines[2].get_color() == axes.lines[3].get_color() != axes.lines[0].get_color()


def test_a_long_trajectory_is_means_and_ranges(rng):
    x = rng.standard_normal((50_003, 1))
    sol = solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros(1), x)
    (axes,) = sol.plot().axes
    size = -(-50_003 // PIECES)
    assert axes.get_title() == f"means over {size} points, and the range"
    (line,) = axes.lines
    assert np.allclose(line.get_ydata()[:-1], sol.y[: 50_003 // size * size, 0].reshape(-1, size).mean(axis=1))
    assert line.get_ydata()[-1] == pytest.approx(sol.y[50_003 // size * size :, 0].mean())
    vertices = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (vertices.min(), vertices.max()) == (sol.y.min(), sol.y.max())


def test_where_it_ends_before_its_time():
    sol = RECURRENCES["not finite"]()
    assert not sol.success
    first = int(np.argmin(np.isfinite(sol.y).all(axis=1)))
    (axes,) = drawn(sol.plot()).axes
    assert labels(axes)[-1] == f"not finite\nfrom step {first} on"
    assert axes.patches[-1].get_x() == first
    assert axes.get_xlim()[1] <= 1.25 * first + 1
    assert axes.get_yscale() == "symlog"
    assert np.array_equal(axes.lines[0].get_ydata()[:first], sol.y[:first, 0])


@pytest.mark.parametrize("name", ["no steps", "no members"])
def test_nothing_is_said_to_be_nothing(name):
    (axes,) = RECURRENCES[name]().plot().axes
    assert [text.get_text() for text in axes.texts] == ["nothing to draw"]


def test_one_step_can_be_seen():
    (axes,) = RECURRENCES["one step"]().plot().axes
    assert axes.lines[0].get_marker() == "o"


def test_a_solution_is_smooth_and_stands_above_its_mesh():
    sol = SOLUTIONS["Radau"]()
    above, below = drawn(sol.plot()).axes
    assert labels(above) == ["y[0]", "y[1]"]
    t, y = above.lines[1].get_data()
    assert len(t) > 4 * len(sol.t)
    assert (t[0], t[-1]) == (0, 20)
    assert (np.diff(t) > 0).all()
    assert np.abs(y - sol._dense.components(t)[1]).max() == 0
    assert np.abs(y[:: (len(t) - 1) // (len(sol.mesh) - 1)] - sol.y[1]).max() <= 1e-12
    (stairs,) = below.patches
    values, edges, _ = stairs.get_data()
    assert np.array_equal(edges, sol.mesh)
    assert np.array_equal(values, np.diff(sol.mesh))
    assert below.get_title() == f"mesh: {len(sol.mesh) - 1} intervals"
    assert below.get_yscale() == "log"


def test_a_mesh_backwards_is_drawn_forwards():
    sol = SOLUTIONS["backwards"]()
    above, below = sol.plot().axes
    values, edges, _ = below.patches[0].get_data()
    assert np.array_equal(edges, sol.mesh[::-1])
    assert (values > 0).all()
    assert above.get_xlim() == (0, 20)


def test_without_polynomials_the_output_is_joined():
    sol = SOLUTIONS["SciPy"]()
    (axes,) = sol.plot().axes
    assert np.array_equal(axes.lines[0].get_xdata(), sol.t)
    assert np.array_equal(axes.lines[0].get_ydata(), sol.y[0])
    dense = SOLUTIONS["SciPy, dense"]()
    above, below = dense.plot().axes
    assert len(above.lines[0].get_xdata()) > 4 * len(dense.t)
    assert np.allclose(above.lines[0].get_ydata(), dense.sol(above.lines[0].get_xdata())[0])
    assert np.array_equal(below.patches[0].get_data().edges, dense.sol.ts)


def test_convergence_is_the_history():
    sol = solve_recurrence(lambda y: 0.9 * np.cos(y), np.ones(2), length=400, method="newton", segment_length=10)
    (axes,) = drawn(sol.plot_convergence()).axes
    shown = axes.lines[0].get_ydata()
    assert np.allclose(shown[np.isfinite(shown)], [size for size in sol.history if size > 0])
    assert "newton" in labels(axes)
    assert [text.get_text() for text in axes.texts] == ["steps 0 to 400"]


def test_stretches_of_a_march_add_up_to_its_history():
    sol = solve_recurrence(lambda y: 0.5 * np.cos(y), np.ones(1), length=3000, method="newton", window=500)
    marks = sol._stretches
    assert sum(stretch.iterations for stretch in marks) == sol.iterations
    assert len({stretch.window for stretch in marks}) == len(marks) >= 6
    (axes,) = sol.plot_convergence().axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[0] == "steps 0 to 500"
    assert len(texts) == len(marks)


def test_meshes_and_windows_are_marked():
    sol = SOLUTIONS["windows"]()
    marks = sol._stretches
    assert [stretch.where for stretch in marks] == [f"{count} interval{'s' * (count != 1)}" for count in sol.meshes]
    assert sum(stretch.iterations for stretch in marks) == sol.iterations
    windows = [stretch.window for stretch in marks]
    assert windows == sorted(windows)
    assert windows[-1] >= 2
    (axes,) = drawn(sol.plot_convergence()).axes
    begins = np.cumsum([stretch.iterations for stretch in marks])[:-1] + 0.5
    lines = [line for line in axes.lines if line.get_zorder() == 0]
    assert np.array_equal([line.get_xdata()[0] for line in lines], begins)
    dotted = [line.get_linestyle() == ":" for line in lines]
    assert dotted == [one == two for one, two in itertools.pairwise(windows)]


def test_each_method_has_its_colour_and_each_window_its_line():
    marks = [Stretch("jacobi", "a", 0, 2), Stretch("newton", "b", 1, 2), Stretch("jacobi", "c", 2, 1)]
    history = [1e5, 1e2, float("inf"), 0.0, 3.0]
    (axes,) = drawn(draw_convergence(history, marks, "", None)).axes
    jacobi, newton, zero, infinite, *_ = axes.lines
    assert np.array_equal(jacobi.get_ydata(), [1e5, 1e2, np.nan, 3.0, np.nan], equal_nan=True)
    assert np.isnan(newton.get_ydata()).all()
    assert jacobi.get_color() != newton.get_color()
    assert labels(axes) == ["jacobi", "newton", "exactly zero", "not finite", "tolerance"]
    assert (list(zero.get_xdata()), list(infinite.get_xdata())) == ([4], [3])


def test_a_long_history_has_no_marks():
    marks = [Stretch("newton", "somewhere", window // 2, 3) for window in range(100)]
    (axes,) = drawn(draw_convergence([1.0, 0.1, 0.01] * 100, marks, "", None)).axes
    assert axes.get_title() == "50 windows"
    assert not axes.texts
    assert axes.lines[0].get_marker() == "None"


@pytest.mark.parametrize("sol", [RECURRENCES["looped"], SOLUTIONS["SciPy"]])
def test_without_iterations_the_picture_says_so(sol):
    (axes,) = drawn(sol().plot_convergence()).axes
    assert axes.texts[0].get_text().startswith("no iterations: ")


@pytest.mark.parametrize("sol", [RECURRENCES["converged"], SOLUTIONS["Radau"]])
def test_own_axes_are_drawn_into(sol):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert sol().plot(ax=left) is figure
    assert sol().plot_convergence(right) is figure
    assert figure.axes == [left, right]
    assert left.get_legend() is not None
    assert right.lines


@pytest.mark.parametrize("sol", [RECURRENCES["converged"], SOLUTIONS["Radau"]])
def test_other_things_are_not(sol):
    for draw in (sol().plot, sol().plot_convergence):
        with pytest.raises(TypeError, match="`ax` is a ndarray; pass one matplotlib Axes"):
            draw(Figure().subplots(2, 1))


@pytest.mark.slow
@pytest.mark.parametrize("sol", [RECURRENCES["converged"], SOLUTIONS["Radau"]])
def test_copies_can_be_drawn(sol):
    for twin in (copy.copy(sol()), pickle.loads(pickle.dumps(sol()))):
        assert len(drawn(twin.plot()).axes[0].lines) > 1
        assert len(drawn(twin.plot_convergence()).axes[0].lines) > 1


@pytest.mark.parametrize("sol", [RECURRENCES["looped"], SOLUTIONS["SciPy"]])
def test_without_matplotlib_plots_say_what_to_install(sol, monkeypatch):
    sol = sol()
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.axes", None)
    for draw in (sol.plot, sol.plot_convergence):
        with pytest.raises(ImportError, match=r"parscan\[plot\]"):
            draw()

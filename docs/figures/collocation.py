"""An interval, drawn: a polynomial that has the slopes of `fun` at the stages."""

import numpy as np
from matplotlib.figure import Figure

import parscan

BLUE, RED, GREY = "#0072B2", "#D55E00", "0.8"


def pendulum(t, y):
    """Angle and velocity."""
    return [y[1], -np.sin(y[0])]


def draw():
    """Three intervals of Radau with three stages, and the slope field at their stages."""
    mesh = np.linspace(0, 7.5, 4)
    sol = parscan.solve_ivp(
        pendulum, (0, 7.5), [2.0, 0.0], "Radau", mesh=mesh, stages=3, dense_output=True, rtol=0.2, atol=0.2
    )
    stages = np.array([(4 - np.sqrt(6)) / 10, (4 + np.sqrt(6)) / 10, 1])
    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    axes = figure.subplots()
    times = np.linspace(0, 7.5, 400)
    exact = parscan.solve_ivp(pendulum, (0, 7.5), [2.0, 0.0], t_eval=times, rtol=1e-10, atol=1e-10)
    axes.plot(times, exact.y[0], color=GREY, linewidth=5, label="solution")
    axes.plot(times, sol.sol(times)[0], color=BLUE, label="polynomials of degree 3")
    points = (mesh[:-1, None] + np.diff(mesh)[:, None] * stages).ravel()
    states = sol.sol(points)
    slopes = pendulum(points, states)[0]
    for number, (time, state, slope) in enumerate(zip(points, states[0], slopes, strict=True)):
        label = {"label": "slopes by fun at the stages"} if not number else {}
        axes.plot([time - 0.25, time + 0.25], [state - 0.25 * slope, state + 0.25 * slope], color=RED, **label)
    axes.plot(mesh, sol.sol(mesh)[0], "o", color=BLUE, label="nodes")
    axes.set(xlabel="time t", ylabel="angle", xlim=(-0.1, 7.6))
    axes.grid(visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return figure

"""The one idea, drawn: segments of a swing marched from guesses, and what Newton's corrections make of them."""

import numpy as np
from matplotlib.figure import Figure

BLUE, RED, GREY = "#0072B2", "#D55E00", "0.8"
STEPS, SEGMENTS, ITERATIONS = 320, 8, 3
LENGTH = STEPS // SEGMENTS
PUSH = 0.75 * np.sin(0.045 * np.arange(STEPS)) + 0.4 * np.sin(0.017 * np.arange(STEPS))


def step(y, push):
    """A pendulum with friction, pushed for 0.05 s: angle and velocity last."""
    velocity = y[..., 1] + 0.05 * (push - np.sin(y[..., 0]) - 0.4 * y[..., 1])
    return np.stack([y[..., 0] + 0.05 * velocity, velocity], axis=-1)


def march(starts):
    """All segments from their starts: `(LENGTH + 1, segments, 2)`."""
    pushes = PUSH.reshape(len(starts), -1).T
    states = [starts]
    for push in pushes:
        states.append(step(states[-1], push))
    return np.stack(states)


def corrected(starts):
    """Newton's iteration: propagators by differences, and the affine recurrence of the corrections."""
    ends = march(starts)[-1]
    propagators = np.stack([(march(starts + shift)[-1] - ends) / 1e-7 for shift in 1e-7 * np.eye(2)], axis=-1)
    better = starts.copy()
    for p in range(1, SEGMENTS):
        better[p] = ends[p - 1] + propagators[p - 1] @ (better[p - 1] - starts[p - 1])
    return better


def draw():
    """Iterations side by side."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    truth = march(np.zeros((1, 2)))[:, 0, 0]
    starts = np.zeros((SEGMENTS, 2))
    for iteration, axes in enumerate(figure.subplots(1, ITERATIONS, sharey=True)):
        states = march(starts)
        axes.plot(truth, color=GREY, linewidth=5, label="trajectory of the loop")
        for p in range(SEGMENTS):
            times = LENGTH * p + np.arange(LENGTH + 1)
            before = states[-1, p - 1, 0] if p else states[0, 0, 0]
            axes.plot([times[0]] * 2, [before, states[0, p, 0]], color=RED, label="defects" if not p else None)
            axes.plot(times, states[:, p, 0], color=BLUE, label="segments, marched together" if not p else None)
            axes.plot(times[0], states[0, p, 0], "o", color=BLUE, markersize=4)
        told = f"{iteration} correction{'s' * (iteration != 1)}" if iteration else "all start at the same state"
        axes.set(xlabel="step", xlim=(0, STEPS), title=told)
        axes.grid(visible=False)
        starts = corrected(starts)
    figure.axes[0].set_ylabel("angle of a pushed pendulum")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure

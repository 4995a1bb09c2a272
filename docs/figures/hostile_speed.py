"""Times on hostile problems, relative to the plain loop, from the record of benchmarks/robustness.py."""

from _records import record, thousands
from matplotlib.figure import Figure


def draw():
    """A dot per problem."""
    found = []
    for case in record("robustness")["cases"]:
        if "steps" in case:
            share = next(target["value"] for target in case["targets"] if target["name"] == "time / plain loop")
            found.append((share, f"{case['name']}, {thousands(case['steps'])}", "sequential" in case["method"]))
    found.sort()
    figure = Figure(figsize=(7.5, 5.6), layout="constrained")
    axes = figure.subplots()
    for looped, colour, marker, label in (
        (False, "#0072B2", "o", "solved in parallel"),
        (True, "#D55E00", "s", "the loop took over"),
    ):
        chosen = [(place, share) for place, (share, _, by_loop) in enumerate(found) if by_loop == looped]
        axes.plot([s for _, s in chosen], [p for p, _ in chosen], marker, color=colour, markersize=5, label=label)
    axes.axvline(1, color="0.2", linewidth=1)
    axes.set_yticks(range(len(found)), [name for _, name, _ in found], fontsize="x-small")
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="time of parscan / time of the plain loop")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(loc="lower left")
    return figure

"""Draws the figures of the pages, and saves those of the gallery.

`python docs/_figures.py` draws the picture of the README anew, the only one that is committed.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure


def scraper(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figure that a block of a gallery script leaves behind under the name `figure`."""
    figure = block_vars["example_globals"].pop("figure", None)
    if not isinstance(figure, Figure):
        return ""
    from sphinx_gallery.scrapers import figure_rst  # noqa: PLC0415 - the other figures do without

    path = next(block_vars["image_path_iterator"])
    figure.savefig(path, dpi=150)
    return figure_rst([path], gallery_conf["src_dir"])


STYLE = {"font.size": 9, "axes.grid": True, "grid.color": "0.9", "axes.axisbelow": True, "legend.frameon": False}
FIGURES = Path(__file__).parent / "figures"


def draw_figures() -> None:
    """Draw all figures: each script in `figures` has a function `draw`, and its picture lies beside it."""
    for script in sorted(FIGURES.glob("[a-z]*.py")):
        draw(script, script.with_suffix(".png"))


def draw(script: Path, path: Path) -> None:
    """Draw one figure."""
    with mpl.rc_context(STYLE):
        runpy.run_path(str(script))["draw"]().savefig(path, dpi=150)


if __name__ == "__main__":
    draw(FIGURES / "one_idea.py", FIGURES.parent / "images" / "one_idea.png")

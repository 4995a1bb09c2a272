"""How the documentation is built: `sphinx-build -W -n docs build/docs`. Nothing is fetched from the network."""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent / "benchmarks")]

from _figures import draw_figures  # noqa: E402

import parscan  # noqa: E402

project = "parscan"
author = "The parscan developers"
version = release = parscan.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery", "figures/*.py"]
default_role = "code"  # in docstrings, single backticks name arguments
nitpicky = True

myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say it, with shapes
autodoc_preserve_defaults = True
autosummary_generate = True
numpydoc_show_class_members = False  # the template lists them
numpydoc_validation_checks = {"all", "ES01", "EX01", "SA01"}
numpydoc_validation_exclude = {
    r"(Result|Status|Adjoint|Attempt|Termination|Traced)$"
}  # made by parscan alone: attributes, no parameters

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "gallery_pages",
    "filename_pattern": r"\.py$",
    "capture_repr": (),
    "image_scrapers": ("_figures.scraper",),
    "show_signature": False,
    "min_reported_time": float("inf"),
    "write_computation_times": False,
    "download_all_examples": False,
    "abort_on_example_error": True,
    "remove_config_comments": True,
}

html_theme = "furo"  # one sidebar with the whole of a small site, in the order in which it is read
html_title = "parscan"
html_show_sourcelink = False


def escape_batch_axes(app, what, name, thing, options, lines):
    # In the type of a parameter, `(*batch, n)` stands without quotes, for the sake of help().
    lines[:] = [re.sub(r"(``.*?``|`.*?`)|\*(?=batch)", lambda match: match[1] or r"\*", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", escape_batch_axes, priority=900)
    app.connect("builder-inited", lambda app: draw_figures())

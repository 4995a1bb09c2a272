"""Progress reports, plots, and the base class of results."""

"""Progress reports, pictures, and the base of results."""

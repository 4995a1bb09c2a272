"""Methods: how an interval of a mesh couples its two ends, and the tangent linear model of this coupling."""

"""Methods for one interval of a mesh: how it couples its two ends, and the tangent linear model of that."""

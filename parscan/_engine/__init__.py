"""Newton's loop for all problems; convergence, windows and the march of rows of nodes."""

"""Newton's loop for all problems; for rows of nodes also convergence, windows and the march over them."""

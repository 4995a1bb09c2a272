"""Systems for Newton's loop: segments of steps, their propagators, damping."""

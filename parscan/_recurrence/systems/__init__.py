"""What of a recurrence is linearised: segments of its steps, their propagators, damping."""

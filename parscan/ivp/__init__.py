"""What only differential equations need: collocation, dense output, events."""

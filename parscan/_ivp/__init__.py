"""What only differential equations need, and their front door."""

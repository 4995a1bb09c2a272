"""What only recurrences need, and their front doors."""

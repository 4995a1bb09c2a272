"""Output of a solution on its mesh: values between the nodes, and events."""

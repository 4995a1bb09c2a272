"""What is told of a solve: progress and drawings."""

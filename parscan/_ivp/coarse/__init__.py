"""What Newton starts from: rough trajectories, step by step or from an earlier solution."""

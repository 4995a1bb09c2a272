"""The user's functions: how they are called, checked, and differentiated."""

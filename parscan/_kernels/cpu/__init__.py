"""What the scans and systems of parscan are on NumPy arrays: kernels by Numba, and LAPACK."""

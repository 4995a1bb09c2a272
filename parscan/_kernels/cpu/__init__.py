"""Operations on NumPy arrays, by kernels that Numba compiles, and by LAPACK."""

"""Operations on CuPy arrays, by kernels that Numba-CUDA compiles."""

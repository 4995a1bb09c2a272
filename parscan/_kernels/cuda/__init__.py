"""What they are on CuPy arrays: CUDA kernels by Numba-CUDA."""

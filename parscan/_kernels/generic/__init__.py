"""Operations on arrays of any library, in the array-API standard alone: the oracles of all kernels."""

"""Operations on arrays, along time or over the intervals of a mesh: implementations for each array library."""

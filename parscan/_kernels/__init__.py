"""Operations along time or over the intervals of a mesh, with implementations for each array library."""

"""Arrays of any library, the memory that they may take, and counts."""

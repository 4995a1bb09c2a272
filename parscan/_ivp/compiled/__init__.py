"""Initial value problems by machine code of recorded right-hand sides."""

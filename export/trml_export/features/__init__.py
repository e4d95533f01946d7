"""Features: what the frozen encoders say of every row, computed once."""

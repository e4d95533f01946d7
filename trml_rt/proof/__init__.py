"""What engines are held against: on which inputs, and within which limits."""

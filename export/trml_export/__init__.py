"""Training side."""

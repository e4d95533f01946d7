"""The frozen text and image encoders."""

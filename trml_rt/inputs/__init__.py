"""What goes in: texts, pictures, videos and rows become tensors."""

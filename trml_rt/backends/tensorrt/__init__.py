"""TensorRT on NVIDIA GPUs, and TensorRT for RTX."""

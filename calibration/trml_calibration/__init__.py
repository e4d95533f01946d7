"""Precision of graphs: FP16 and, later, INT8 forms of the FP32 ONNX graphs of a bundle."""

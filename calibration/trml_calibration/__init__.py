"""FP16 and INT8 graphs from FP32 ones: ranges, the search for an exact enough graph, lint."""

# Importing trml_rt turns ONNX Runtime's telemetry off; so it comes before ONNX Runtime.
import trml_rt.errors as _errors  # noqa: F401

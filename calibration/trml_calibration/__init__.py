"""FP16 and INT8 graphs from FP32 ones: ranges, the search for an exact enough graph, lint."""

import trml_rt as _trml_rt  # noqa: F401 - it turns ONNX Runtime's telemetry off, before any import

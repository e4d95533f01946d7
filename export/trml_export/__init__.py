"""The training side of trml_rt: data sets, the TRML model, training, and export to a bundle.

Needs the extra `[train]`. It meets the runtime at the bundle on disk; see docs/training.md.
"""

# Importing trml_rt turns ONNX Runtime's telemetry off; so it comes before ONNX Runtime.
import trml_rt.errors as _errors  # noqa: F401

"""The training side of trml_rt: data sets, the TRML model, training, and export to a bundle.

Needs the extra `[train]`. It meets the runtime at the bundle on disk; see docs/training.md.
"""

import trml_rt as _trml_rt  # noqa: F401 - it turns ONNX Runtime's telemetry off, before any import

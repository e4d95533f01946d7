"""The training side of trml_rt: data sets, the TRML model, training, and export to a bundle.

Needs the extra `[train]`. It meets the runtime at the bundle on disk; see docs/training.md.
"""

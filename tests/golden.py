"""How far engines are from the golden files, tensor by tensor."""

from __future__ import annotations

import numpy as np

from trml_rt.proof.golden import golden_answers


def largest_differences(bundle, engines):
    """Return the largest absolute difference of every tensor, by `engine set/tensor`."""
    differences = {}
    for case, answer in zip(*golden_answers(bundle), strict=True):
        ((name, golden),) = answer.items()
        given = engines.run_all(case.inputs)[name]
        for tensor in golden.keys() - case.inputs.keys():
            assert given[tensor].shape == golden[tensor].shape
            difference = np.abs(given[tensor].astype(np.float64) - golden[tensor])
            differences[f"{name}/{tensor}"] = float(difference.max())
    return differences

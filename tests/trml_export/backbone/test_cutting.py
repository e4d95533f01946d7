from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from trml_export.backbone.cutting import cutting_is_exact


def test_cutting_is_exact_behind_a_causal_mask_and_behind_a_mask_of_the_padding(clip, hf):
    assert cutting_is_exact(clip)
    assert cutting_is_exact(hf)

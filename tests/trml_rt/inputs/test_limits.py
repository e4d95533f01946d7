"""Limits that make no sense are refused, and what costs more than a limit ends in a sentence."""

from __future__ import annotations

import pytest

from trml_rt.errors import UsageError
from trml_rt.inputs.limits import MediaLimits


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0}, {"seconds": float("nan")}, {"memory_mib": 1.5}, {"memory_mib": True}]
)
def test_a_limit_is_a_number_above_zero(wrong):
    [name] = wrong
    with pytest.raises(UsageError, match=f"^{name}: must be a "):
        MediaLimits(**wrong)

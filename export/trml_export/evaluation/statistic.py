"""Bring numbers of several seeds into one, and cells into a table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Statistic", "table"]


@dataclass(frozen=True)
class Statistic:
    """Mean and standard deviation (n - 1) over seeds; the deviation of one seed is None."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: list[float]) -> Statistic:
        """Return the statistic of one value or more; NaN where one is NaN."""
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), spread)

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "-"
        spread = "" if self.deviation is None else f" ± {self.deviation:.4f}"
        return f"{self.mean:.4f}{spread}"


def table(lines: list[list[str]]) -> str:
    """Return lines of cells, the first a head and the second a rule, as a Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

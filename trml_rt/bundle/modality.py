"""The modalities of a call, as bits that Python, the manifest and C share."""

from __future__ import annotations

import enum
from collections.abc import Iterable

__all__ = ["Modality"]


class Modality(enum.Flag):
    """Which inputs a call has. The values are part of the bundle format and of the C ABI."""

    TEXT = 1
    VIDEO = 2

    @classmethod
    def parse(cls, names: Iterable[str]) -> Modality:
        """Return the flag of `names`, each "text" or "video"; KeyError on another word."""
        present = cls(0)
        for name in names:
            present |= cls[name.upper()]
        return present

    @property
    def names(self) -> list[str]:
        """The single modalities in this flag, in order of their bits, in lower case."""
        return [str(bit.name).lower() for bit in (Modality.TEXT, Modality.VIDEO) if bit in self]

    def __str__(self) -> str:
        return " + ".join(self.names) or "nothing"

"""What one clip may cost: pixels, frames, bytes, seconds and memory."""

from __future__ import annotations

from dataclasses import dataclass, fields

from trml_rt.errors import UsageError

__all__ = ["DEFAULT_LIMITS", "MediaLimits"]

# Pillow, too, finds a picture of more pixels suspicious.
_PIXELS = 89_478_485
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class MediaLimits:
    """What decoding one clip may cost; a clip that costs more is refused, with one sentence.

    Attributes:
        seconds: that decoding may take; a decoder in a process of its own is ended then.
        memory_mib: MiB that the decoder may take; held by the system where it has a process of its
            own.
    """

    seconds: float = 60.0
    memory_mib: int = 2048

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            whole = each.name != "seconds"
            kinds = (int,) if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < 1e15:
                raise UsageError(
                    f"{each.name}: must be a {'whole ' if whole else ''}number above 0, "
                    f"not {value!r}"
                )

    @property
    def memory(self) -> int:
        """The bytes of `memory_mib`."""
        return self.memory_mib * _MEBIBYTE


DEFAULT_LIMITS = MediaLimits()

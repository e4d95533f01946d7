"""What a check of this machine is, for `doctor` and the modules that it asks."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """One finding. A check that is not `ok` makes the machine unfit if it is `required`."""

    name: str
    ok: bool
    found: str
    required: bool = True
    remedy: str | None = None

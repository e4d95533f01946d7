"""What a server does not answer: the status of HTTP, the words, and when to ask again."""

from __future__ import annotations

import json
import math
from typing import Any

from trml_rt.errors import EnvironmentUnfit, InputUnusable, TrmlError, UsageError

__all__ = ["Refused", "error_body", "record_of", "status_of"]

_STATUS: tuple[tuple[type[TrmlError], int], ...] = (
    (InputUnusable, 422),
    (UsageError, 400),
    (EnvironmentUnfit, 503),
)
_OPEN_INFERENCE = "/v2"


class Refused(Exception):
    """A request that is not answered; `reason` is one word for its cause.

    Args:
        status: of HTTP.
        reason: one word, by which refusals are counted.
        message: a sentence that ends in what to do.
        retry_after: seconds after which it may be answered; None: it never will.
    """

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """What the response says beside its body."""
        if self.retry_after is None:
            return {}
        return {"Retry-After": str(max(1, math.ceil(self.retry_after)))}


def status_of(error: TrmlError | Refused) -> int:
    """Return the status of HTTP that belongs to an error."""
    if isinstance(error, Refused):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def record_of(error: TrmlError | Refused) -> dict[str, Any]:
    """Return an error as plain values: `kind`, `message` and, where there is one, `reason`."""
    record = {"kind": type(error).__name__, "message": str(error)}
    reason = getattr(error, "reason", None)
    return record | ({} if reason is None else {"reason": str(reason)})


def error_body(path: str, error: TrmlError | Refused) -> bytes:
    """Return the body of a response; below /v2 an error is a sentence alone, as is stated there."""
    said = str(error) if path.startswith(_OPEN_INFERENCE) else record_of(error)
    return json.dumps({"error": said}).encode()

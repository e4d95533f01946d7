"""The one error tree of trml_rt, and the exit code that belongs to each branch.

A message says what is wrong, where, and what to type next. The command line prints the
message and exits with `exit_code`; a traceback therefore always means a bug.
"""

from __future__ import annotations

__all__ = [
    "ArtefactMismatch",
    "BackendUnavailable",
    "EnvironmentUnfit",
    "InputUnusable",
    "TrmlError",
    "UsageError",
    "VerificationFailed",
]


class TrmlError(Exception):
    """Base of every error that trml_rt raises on purpose."""

    exit_code = 1


class UsageError(TrmlError, ValueError):
    """The call itself makes no sense: no input given, contradicting options."""

    exit_code = 2


class EnvironmentUnfit(TrmlError):
    """The machine or installation lacks something: a package, a device, disk space."""

    exit_code = 3


class BackendUnavailable(EnvironmentUnfit, ImportError):
    """A back end was named whose library is not installed."""


class VerificationFailed(TrmlError):
    """Compiled or exported graphs do not give the reference answers."""

    exit_code = 4


class ArtefactMismatch(TrmlError):
    """A bundle, checkpoint or engine is damaged, of another schema, or made for something else."""

    exit_code = 5


class InputUnusable(TrmlError, ValueError):
    """A text or a video cannot be used; `reason` is the word that the answer would carry.

    With `degrade` the runtime counts the input as missing and reports `reason`.
    """

    exit_code = 6

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

"""The one error tree of trml_rt, and the exit code that belongs to each branch.

A message says what is wrong, where, and what to type next. The command line prints the
message and exits with `exit_code`; a traceback therefore always means a bug.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

__all__ = [
    "ArtefactMismatch",
    "BackendUnavailable",
    "EnvironmentUnfit",
    "InputUnusable",
    "RowsFailed",
    "TrmlError",
    "UsageError",
    "VerificationFailed",
    "blames_machine",
    "cannot_write",
    "closed",
    "forked",
    "import_fault",
    "install_command",
    "lacking",
    "lacks_package",
    "lacks_resource",
    "shell_word",
    "was_interrupted",
]


_WORDY = (OSError, RuntimeError, ImportError)
_SHORTAGE = re.compile(
    "out of memory|can't start new thread|failed to map segment|failed to allocate|bad_?alloc|"
    "resource temporarily unavailable|can't allocate memory|not enough memory",
    re.IGNORECASE,
)


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
    """Compiled or exported graphs do not give the reference answers, or not in time."""

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

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error pass between processes, which a keyword alone would prevent."""
        return partial(type(self), reason=self.reason), self.args, self.__dict__


class RowsFailed(TrmlError):
    """A job has finished, and some of its rows have an error instead of an answer."""

    exit_code = 7


def install_command(extra: str = "") -> str:
    """Return how to install trml-rt with an extra; it is not on PyPI, so a checkout is needed."""
    return f'in the checkout of trml-rt: pip install ".{f"[{extra}]" if extra else ""}"'


def was_interrupted(error: BaseException) -> bool:
    """Say whether Ctrl-C is what `error` began with: some packages make an ImportError of it."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__ or error.__context__ or error
    return isinstance(error, KeyboardInterrupt)


def import_fault(error: ImportError | OSError, package: str) -> str:
    """Say how the import of `package` failed, as the end of a sentence.

    Raises:
        KeyboardInterrupt: Ctrl-C is what made it fail.
    """
    if was_interrupted(error):
        raise KeyboardInterrupt from error
    absent = isinstance(error, ModuleNotFoundError) and error.name == package
    return "is not installed" if absent else f"cannot be loaded ({error})"


def lacks_package(purpose: str, error: ImportError, extra: str) -> EnvironmentUnfit:
    """Return the error for a package that `purpose` needs and that cannot be imported.

    Args:
        purpose: what needs it, as the subject of a sentence: "training".
        error: the failed import.
        extra: the extra of trml-rt that installs the package.

    Raises:
        KeyboardInterrupt: Ctrl-C is what made it fail.
    """
    package = error.name or "of the extra"
    if import_fault(error, package) == "is not installed":
        return EnvironmentUnfit(f"{purpose} needs the package {package}; {install_command(extra)}")
    return EnvironmentUnfit(
        f"{purpose} needs the package {package}, which cannot be loaded ({error}); install it "
        f"again, {install_command(extra)}"
    )


def shell_word(path: str | os.PathLike[str]) -> str:
    """Return a path as a shell takes it for one argument, and no command for an option."""
    text = os.fspath(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def cannot_write(path: str | os.PathLike[str], error: OSError, instead: str) -> EnvironmentUnfit:
    """Return the error for a file or folder that cannot be written.

    Args:
        path: what was to be written.
        error: why it could not.
        instead: what to do unless the disk is full.
    """
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "free some space and try again" if full else instead
    if full and _lacks_inodes(path):
        hint = "the disk has room for bytes, but for no file more; remove some files and try again"
    return EnvironmentUnfit(
        f"{os.fspath(path)}: cannot be written ({error.strerror or error}); {hint}"
    )


def _lacks_inodes(path: str | os.PathLike[str]) -> bool:
    """Say whether the file system of `path` has a number of files, and none of them left."""
    try:
        status = os.statvfs(os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH120
    except (OSError, AttributeError):  # the folder is not there; Windows has no such call
        return False
    return status.f_files > 0 and status.f_favail == 0


def forked() -> UsageError:
    """Return the error for a call on a runtime that was loaded in a parent process."""
    return UsageError(
        "this runtime was loaded before a fork, and its threads stayed in the parent process; load "
        "the bundle in each process, or start processes by spawn"
    )


def lacks_resource(error: BaseException) -> bool:
    """Say whether `error` means that the machine has no memory, thread or open file left."""
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) in (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
        # Pillow, Python's threads, the loader of libraries and OpenVINO tell it by words alone.
        or (isinstance(error, _WORDY) and bool(_SHORTAGE.search(str(error))))
    )


@contextmanager
def blames_machine(subject: str | os.PathLike[str]) -> Iterator[None]:
    """Raise EnvironmentUnfit where the block ends because the machine lacks a resource.

    Handlers within the block let an error pass for which `lacks_resource` holds: the fault of
    a machine is no fault of the input.

    Args:
        subject: what was being read.
    """
    try:
        yield
    except Exception as error:
        if not lacks_resource(error):
            raise
        detail = getattr(error, "strerror", None) or str(error) or "no memory is left"
        raise lacking(f"{os.fspath(subject)}:", "read it", detail) from error


def lacking(subject: str, verb: str, detail: str) -> EnvironmentUnfit:
    """Return the error for work that the machine lacks a resource for.

    Args:
        subject: how the sentence begins.
        verb: what could not be done, such as "read it".
        detail: what the system said.
    """
    return EnvironmentUnfit(
        f"{subject} this machine lacks memory, threads or open files to {verb} ({detail}); close "
        "other programs, or raise the limits of this process"
    )


def closed() -> UsageError:
    """Return the error for a call on a runtime that was closed."""
    return UsageError("this runtime is closed; load the bundle again")

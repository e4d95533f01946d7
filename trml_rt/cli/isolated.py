"""Run a command in a process of its own, with limits of time and memory: for a stranger's bundle.

A graph may loop for ever, unfold to all memory, or crash the library that reads it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from trml_rt.backends.process import python_command
from trml_rt.cli.options import Command, refuse_strangers, typed_words
from trml_rt.errors import ArtefactMismatch, EnvironmentUnfit

__all__ = ["isolated", "isolated_by"]

_SECONDS, _MIB = 600, 8192
_LIMITS = ("--isolate-seconds", "--isolate-mib")
_PATIENCE = 5  # seconds in which an interrupted process may clean up


def isolated_by(flag: str) -> Callable[[Command], Command]:
    """Return what gives the function of a command, which takes a bundle, the option `flag`."""
    name = flag.removeprefix("--").replace("-", "_")

    def give(command: Command) -> Command:
        @functools.wraps(command)
        def run(isolate_seconds: int, isolate_mib: int, **arguments: Any) -> Any:
            if arguments.pop(name):
                code = _run_apart(arguments["bundle"], isolate_seconds, isolate_mib, flag)
                click.get_current_context().exit(code)
            refuse_strangers({"isolate_seconds", "isolate_mib"}, f"without {flag}")
            return command(**arguments)

        return functools.reduce(lambda made, option: option(made), reversed(_options(flag)), run)  # type: ignore[return-value]

    return give


def _options(flag: str) -> Sequence[Callable[[Any], Any]]:
    return [
        click.option(flag, is_flag=True, help="Work in a process of its own, with limits."),
        click.option(
            "--isolate-seconds",
            type=click.IntRange(1),
            default=_SECONDS,
            show_default=True,
            help="The most seconds that it may take.",
        ),
        click.option(
            "--isolate-mib",
            type=click.IntRange(64),
            default=_MIB,
            show_default=True,
            help="The most memory that it may take, in MiB.",
        ),
    ]


isolated = isolated_by("--isolate")


def _run_apart(bundle: Path, seconds: int, mib: int, flag: str) -> int:
    """Run the command that was typed, without `flag`, and return its exit code.

    Raises:
        ArtefactMismatch: it crashed, or was not done in time.
        EnvironmentUnfit: the system killed it, or has no such limits.
    """
    if sys.platform != "linux":
        raise EnvironmentUnfit(f"{flag}: the limits are those of Linux; leave it out")
    import resource

    words = python_command("trml_rt", *_without(flag, typed_words()))
    child = subprocess.Popen(words, start_new_session=True)
    with _never_left_behind(child):
        for kind, most in (
            (resource.RLIMIT_DATA, mib << 20),  # what it allocates; libraries map any size of files
            (resource.RLIMIT_CPU, seconds * (os.cpu_count() or 1)),  # should this process be killed
            (resource.RLIMIT_CORE, 0),
        ):
            resource.prlimit(child.pid, kind, (most, most))
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ArtefactMismatch(
                f"{bundle}: is not done after {seconds} s; if you trust it, allow more with "
                "--isolate-seconds"
            ) from None
    if code >= 0:
        return code
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL:
        raise EnvironmentUnfit(
            f"{bundle}: the process that read it was killed, as by a system that has no memory "
            "left; close other programs, or allow less with --isolate-mib"
        )
    raise ArtefactMismatch(
        f"{bundle}: the process that read it crashed ({name}); do not use the bundle, or export it "
        "again"
    )


@contextlib.contextmanager
def _never_left_behind(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the child, and what it has started, if this process stops waiting for it."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if isinstance(error, KeyboardInterrupt):
                os.killpg(child.pid, signal.SIGINT)
                child.wait(_PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise


def _without(flag: str, words: Sequence[str]) -> list[str]:
    """Return the words of a command without `flag` and its limits."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*kept, word, *rest]
        if word in _LIMITS:
            next(rest, None)
        elif word != flag and not word.startswith(tuple(f"{limit}=" for limit in _LIMITS)):
            kept.append(word)
    return kept

"""The link to the bundle that is in service: it changes in one step, and knows what was before.

    current      -> current.d/2
    current.d/1  -> ../may         was in service before
    current.d/2  -> ../june        is in service

Each bundle has a link with a number. `current` is replaced by one rename, so a kill at any moment
leaves it at the old number or at the new one. What stands above it was never in service, or was
left by a rollback; the next deploy removes it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from trml_rt.bundle.arguments import path_of
from trml_rt.bundle.atomic import check_writable, flush, partial_of
from trml_rt.errors import EnvironmentUnfit, UsageError, cannot_write

__all__ = ["ServiceLink"]

_LOCK = ".lock"
_INSTEAD = "name a link where you may write"


class ServiceLink:
    """One such link, whether it is there yet or not.

    Raises:
        UsageError: `path` is no path, or something else is there or where the numbers belong.
        EnvironmentUnfit: nothing can be written there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        named = path_of("current", path)
        if named.name in ("", ".."):
            raise UsageError(f"{named}: names a folder; name a link in it, such as current")
        self.path = Path(os.path.realpath(named.parent), named.name)
        self._folder = self.path.with_name(f"{named.name}.d")
        try:
            if os.path.lexists(self.path) and not self.path.is_symlink():
                raise UsageError(
                    f"{named}: is no link, so nothing else is put in its place; move it away, or "
                    "name another link"
                )
            if os.path.lexists(self._folder) and not self._folder.is_dir():
                raise UsageError(
                    f"{self._folder}: is no folder, and links to the bundles of {named} belong "
                    "there; move it away, or name another link"
                )
        except OSError as error:  # a name that is too long
            raise UsageError(f"{named}: cannot be read ({error.strerror})") from None
        if self.path.parent.is_dir():  # said before any long work
            check_writable(self.path.parent, _INSTEAD, self.path)

    def target(self) -> Path | None:
        """Return the bundle in service, be it there or gone; None without a link."""
        return Path(os.path.realpath(self.path)) if self.path.is_symlink() else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time change the link.

        Raises:
            EnvironmentUnfit: another process is at work, or nothing can be written there.
        """
        import filelock  # here, because an answer needs no lock, and it takes a while to import

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self._folder / _LOCK, timeout=0):
                yield
        except filelock.Timeout:
            raise EnvironmentUnfit(
                f"{self.path}: another deploy or rollback is at work; wait for it to end"
            ) from None
        except OSError as error:
            raise cannot_write(self.path, error, _INSTEAD) from None

    def put(self, bundle: Path) -> None:
        """Let the link name the folder `bundle`, which has a number of its own from then on."""
        numbers, before = self._numbers(), self.target()
        number = self._number(numbers)
        # A link that somebody made by hand; one that leads nowhere, as in a circle, is forgotten.
        if before is not None and number is None and before.is_dir():
            number = max(numbers, default=0) + 1
            self._add(number, before)
        kept = number or 0
        for left in numbers:
            if left > kept:
                self._entry(left).unlink()
        self._add(kept + 1, bundle)
        self._swap(kept + 1)

    def before(self) -> tuple[int, Path]:
        """Return the number and the folder of the bundle that was in service before.

        Raises:
            UsageError: there was none.
        """
        numbers = self._numbers()
        number = self._number(numbers)
        earlier = [each for each in numbers if number is not None and each < number]
        if not earlier:
            raise UsageError(
                f"{self.path}: no other bundle was in service before; put one in service with "
                "`trml-rt deploy`"
            )
        return earlier[-1], Path(os.path.realpath(self._entry(earlier[-1])))

    def back(self, number: int) -> None:
        """Let the link name what has the number."""
        self._swap(number)

    def _entry(self, number: int) -> Path:
        return self._folder / str(number)

    def _numbers(self) -> list[int]:
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - names alone
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isascii() and name.isdecimal())

    def _number(self, numbers: list[int]) -> int | None:
        """Return the number of what is in service; None if it has none."""
        if not self.path.is_symlink():
            return None
        folder, name = os.path.split(self.path.readlink())
        if folder == self._folder.name and name in map(str, numbers):
            return int(name)
        same = [n for n in numbers if os.path.realpath(self._entry(n)) == str(self.target())]
        return same[-1] if same else None

    def _add(self, number: int, bundle: Path) -> None:
        beside = bundle.is_relative_to(self.path.parent)  # both may move to another place together
        self._entry(number).symlink_to(os.path.relpath(bundle, self._folder) if beside else bundle)
        flush(self._folder)

    def _swap(self, number: int) -> None:
        new = partial_of(self.path)
        new.unlink(missing_ok=True)  # of a run that was killed
        new.symlink_to(os.path.join(self._folder.name, str(number)))  # noqa: PTH118
        new.replace(self.path)
        flush(self.path.parent)

"""Write files and folders whole or not at all.

Everything lands under a temporary name beside its target, is flushed to the disk, and is
renamed last. A folder that replaces another changes names with it in one step, so the old or the
new one is there at every moment. A kill leaves at most a `.partial-*` entry, which no reader opens.
The next writer of the same folder removes it: its own is held by a lock that ends with the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trml_rt.errors import ArtefactMismatch, UsageError, cannot_write

try:
    import fcntl
except ImportError:  # Windows, where what killed writers left stays
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "check_target",
    "check_writable",
    "flush",
    "has_partials",
    "is_partial",
    "partial_of",
    "refuse_links",
    "remove_folder",
    "remove_partials",
    "staged_file",
    "staged_folder",
    "write_bytes",
]

_PREFIX = ".partial-"
_EXISTS = "{}: exists already; name another folder, or pass --force"


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, replacing what is there in one step.

    Raises:
        OSError: the file cannot be written; `filename` is `path`, also where the disk is full.
    """
    with staged_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def staged_file(path: Path) -> Iterator[BinaryIO]:
    """Yield an empty file that replaces `path` in one step when the block ends without an error.

    Raises:
        OSError: the file cannot be written; `filename` is `path`, also where the disk is full.
    """
    try:
        temporary, handle = _new_temporary(path)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(0o644)  # so far it was private to the user
                temporary.replace(path)  # while it is held: the next writer takes no other's
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        flush(path.parent)
    except OSError as error:
        error.filename = str(path)  # not a temporary name; an error of writing has none at all
        raise


def _new_temporary(path: Path) -> tuple[Path, int]:
    """Return an empty file beside `path`, and a descriptor that holds it for this process.

    Its name is always the same, so that the next writer takes over what a killed one left. It is
    another one where a second writer is at work, or where the file system has no locks.
    """
    fixed = path.with_name(_staging_prefix(path).removesuffix("-"))
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: Windows has none of these
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(fixed, flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here, there = os.fstat(handle), fixed.lstat()
            # It may have been renamed between the two; and nobody else may have a name for it.
            if os.path.samestat(here, there) and stat.S_ISREG(here.st_mode) and here.st_nlink == 1:
                os.ftruncate(handle, 0)
                os.fchmod(handle, 0o600)
                return fixed, handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=path.parent)
    return Path(name), handle


def check_target(target: Path, *, marker: str, what: str, replace: bool) -> None:
    """Refuse a folder that may not be made or replaced; call it before any long work.

    Args:
        target: the folder to make.
        marker: the file that a folder of this kind holds.
        what: the kind, for the message, such as "bundle".
        replace: whether an existing folder of this kind may be replaced.

    Raises:
        UsageError: `target` exists and `replace` is not given, or it is something else.
        EnvironmentUnfit: nothing can be written there.
    """
    if target.exists():
        if not replace:
            raise UsageError(_EXISTS.format(target))
        if not target.is_dir() or (any(target.iterdir()) and not (target / marker).is_file()):
            raise UsageError(f"{target}: is not a {what}, so --force does not replace it")
    parent = Path(os.path.realpath(target)).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error, "name another folder") from None
    check_writable(parent, "name another folder", target)


def check_writable(folder: Path, instead: str, target: Path | None = None) -> None:
    """Refuse a folder in which nothing can be written; call it before any long work.

    Args:
        folder: the folder.
        instead: what to do unless the disk is full.
        target: what the message names; None: the folder.

    Raises:
        EnvironmentUnfit: nothing can be written there.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(target or folder, error, instead) from None


def refuse_links(*paths: Path) -> None:
    """Refuse to write below a bundle through a link: it may lead to any folder of the user.

    Raises:
        ArtefactMismatch: one of `paths` is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise ArtefactMismatch(f"{path}: is a link, which no build writes through; remove it")


@contextlib.contextmanager
def staged_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends without an error.

    Args:
        target: the folder to make; its parents are made too.
        replace: whether an existing `target` may be replaced.

    Raises:
        UsageError: `target` exists and may not be replaced, also if it was made meanwhile.
    """
    target = Path(os.path.realpath(target))  # "." and links have no parent to write into
    if target.exists() and not replace:
        raise UsageError(_EXISTS.format(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    staging, handle = _new_staging(target)
    try:
        staging.chmod(0o755)
        yield staging
        for path in sorted(staging.rglob("*"), reverse=True):
            flush(path)
        flush(staging)
        if replace and target.exists():
            _replace_folder(staging, target)
        else:
            _rename_to_absent(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        if handle is not None:
            os.close(handle)
    flush(target.parent)


def _new_staging(target: Path) -> tuple[Path, int | None]:
    """Return a new folder beside `target`, and a descriptor that holds it for this process."""
    while True:
        staging = Path(tempfile.mkdtemp(prefix=_staging_prefix(target), dir=target.parent))
        try:
            return staging, _hold(staging)
        except (BlockingIOError, FileNotFoundError):  # one who cleans up was faster
            continue
        except OSError:  # a file system without such locks, on which nobody cleans up
            return staging, None


def _remove_abandoned(target: Path) -> None:
    """Remove what killed writers of `target` left; what a living one holds stays."""
    for left in target.parent.glob(f"{_staging_prefix(target)}*"):
        with contextlib.suppress(OSError):
            handle = _hold(left)
            try:
                if handle is not None:
                    shutil.rmtree(left)
            finally:
                if handle is not None:
                    os.close(handle)


def _staging_prefix(target: Path) -> str:
    return f"{_PREFIX}{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"


def _hold(folder: Path) -> int | None:
    """Lock a folder until its descriptor is closed, or the process ends; None: no locks here.

    Raises:
        OSError: another process holds it, it is gone, or the file system has no such locks.
    """
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.stat()  # it may have been removed between the two
    except OSError:
        os.close(handle)
        raise
    return handle


def _replace_folder(staging: Path, target: Path) -> None:
    """Put `staging` in the place of the folder `target`, and remove that one."""
    if _exchange(staging, target):
        shutil.rmtree(staging)
        return
    # Two renames, where the system knows no other way: a kill between them leaves the old folder
    # under a name that nobody cleans up.
    old = Path(tempfile.mkdtemp(prefix=".replaced-", dir=target.parent))
    target.replace(old)
    try:
        staging.replace(target)
    except BaseException:
        old.replace(target)
        raise
    shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False: this system or file system cannot."""
    if os.name == "nt":
        return False
    library = ctypes.CDLL(None)
    names = os.fsencode(one), os.fsencode(other)
    if hasattr(library, "renameat2"):  # of Linux
        here, exchange = ctypes.c_int(-100), ctypes.c_uint(2)  # AT_FDCWD, RENAME_EXCHANGE
        return bool(library.renameat2(here, names[0], here, names[1], exchange) == 0)
    if hasattr(library, "renamex_np"):  # of macOS
        return bool(library.renamex_np(*names, ctypes.c_uint(2)) == 0)  # RENAME_SWAP
    return False


def _rename_to_absent(staging: Path, target: Path) -> None:
    """Rename a folder to a name that nobody else may have taken meanwhile."""
    try:
        staging.rename(target)
    except OSError:
        if target.exists():  # a folder is never renamed over a full one, nor over a file
            raise UsageError(_EXISTS.format(target)) from None
        raise


def remove_folder(folder: Path) -> None:
    """Remove a folder that readers may open, all at once; call it only under its parent's lock."""
    gone = folder.with_name(f"{_PREFIX}{folder.name}")  # made by a rename: a disk may be full
    folder.rename(gone)
    shutil.rmtree(gone)


def is_partial(name: str) -> bool:
    """Say whether a file or folder is named as what a writer is at work on."""
    return name.startswith(_PREFIX)


def has_partials(folder: Path) -> bool:
    """Say whether writers have left anything in `folder`, or are at work."""
    return any(folder.glob(f"{_PREFIX}*"))


def partial_of(target: Path) -> Path:
    """Return where work on `target` that may go on later is kept, beside it."""
    return target.with_name(f"{_PREFIX}{target.name}")


def remove_partials(folder: Path) -> None:
    """Remove what killed writers left in `folder`; call it only under the folder's lock."""
    for path in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def flush(path: Path) -> None:
    """Wait until the disk has a file, or which names a folder holds.

    Raises:
        OSError: the disk is full, or at fault.
    """
    if os.name == "nt" and path.is_dir():  # Windows opens no folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

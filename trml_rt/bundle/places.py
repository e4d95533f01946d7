"""Where the engines of a bundle lie: beside it in `engines/`, and in the user's cache.

The cache is for bundles that cannot be written, for signed ones, whose signature tells every file,
and for the one that ships inside the package: an uninstallation would leave engines there. The C++
reader has the same rules (native/src/bundle/places.cpp), which the conformance files prove.
"""

from __future__ import annotations

import os
from pathlib import Path

from trml_rt.bundle.folder import Bundle, default_bundle
from trml_rt.errors import EnvironmentUnfit, UsageError

__all__ = [
    "cache_folder",
    "engine_places",
    "is_kept",
    "own_place",
    "place_to_build",
    "refuse_signed",
]


def cache_folder() -> Path | None:
    """Return the folder of the cache, whether it exists or not; None where nothing names one.

    An empty variable is as one that is not set. Of XDG_CACHE_HOME and HOME only an absolute path
    counts, as the XDG specification has it.
    """
    if named := os.environ.get("TRML_RT_CACHE"):
        return Path(named)
    for variable, below in (("XDG_CACHE_HOME", "trml-rt"), ("HOME", ".cache/trml-rt")):
        named = os.environ.get(variable, "")
        if named.startswith("/"):
            return Path(named, below)
    return None


def own_place(bundle: Bundle) -> Path:
    """Return the folder for engines beside the bundle."""
    return bundle.folder / "engines"


def engine_places(bundle: Bundle) -> list[Path]:
    """Return the folders that may hold engines of `bundle`; the engines of the first win.

    A cache that this user may not enter holds none of theirs, and is left out.
    """
    cache = _place_in_cache(bundle)
    if cache is None or not os.access(cache, os.R_OK | os.X_OK):
        return [own_place(bundle)]
    return [cache, own_place(bundle)]


def place_to_build(bundle: Bundle, key: str) -> Path:
    """Return the place in which a build puts the engines `key`, which win from then on.

    Raises:
        EnvironmentUnfit: they belong into the cache, and nothing names its folder.
    """
    own, cache = own_place(bundle), _place_in_cache(bundle)
    hides = any((place / key).exists() for place in engine_places(bundle) if place == cache)
    written = own if own.is_dir() else bundle.folder
    if not (hides or is_kept(bundle)) and os.access(written, os.W_OK | os.X_OK):
        return own
    if cache is None:
        raise EnvironmentUnfit(
            f"{bundle.folder}: its engines belong into a cache, and HOME names no folder for one; "
            "name a folder with TRML_RT_CACHE"
        )
    return cache


def _place_in_cache(bundle: Bundle) -> Path | None:
    cache = cache_folder()
    return None if cache is None else cache / "engines" / bundle.sha256[:16]


def is_shipped(bundle: Bundle) -> bool:
    """Say whether `bundle` is the one inside the package."""
    return os.path.realpath(bundle.folder) == os.path.realpath(default_bundle())


def is_kept(bundle: Bundle) -> bool:
    """Say whether no command writes into `bundle`: it ships inside the package, or is signed."""
    return is_shipped(bundle) or bundle.signed


def refuse_signed(bundle: Bundle, place: Path) -> None:
    """Refuse to change engines that lie in a signed bundle.

    Raises:
        UsageError: `place` is inside of one.
    """
    if place == own_place(bundle) and bundle.signed:
        raise UsageError(
            f"{place}: lies in a signed bundle, whose signature a change would break; copy the "
            "bundle with `trml-rt bundle copy`, and name the copy with --bundle"
        )

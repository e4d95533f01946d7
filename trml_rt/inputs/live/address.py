"""What a user may name as the source of a stream, and its name without credentials."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from trml_rt.errors import UsageError

__all__ = ["Address", "parse_address"]

Kind = Literal["file", "camera", "rtsp", "http", "pipe", "test"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CAMERA = re.compile(r"/dev/video\d+")
_KINDS: dict[str, Kind] = {
    "http": "http",
    "https": "http",
    "pipe": "pipe",
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "test": "test",
}
_PATTERN = {"rate": ("10", r"[1-9]\d{0,2}"), "size": ("320x240", r"[1-9]\d{0,3}x[1-9]\d{0,3}")}
_PATTERN["frames"] = ("0", r"\d{1,9}")


@dataclass(frozen=True)
class Address:
    """Where frames come from.

    Attributes:
        kind: what it is.
        target: what FFmpeg opens, with credentials.
        name: what messages show.
    """

    kind: Kind
    target: str = field(repr=False)
    name: str

    @property
    def live(self) -> bool:
        """Whether it may go on for ever, so that frames which nobody takes in time are worthless.

        Of an address of http this is known once it is open: a finished playlist is a file.
        """
        return self.kind not in ("file", "pipe")

    @property
    def opens_again(self) -> bool:
        """Whether it can be opened a second time, and then goes on."""
        return self.kind in ("camera", "rtsp", "http", "test")

    def clean(self, text: str) -> str:
        """Return `text` without the credentials of the address, however they are written."""
        text = text.replace(self.target, self.name)
        if self.kind in ("rtsp", "http"):
            for secret in sorted(_secrets(urlsplit(self.target)), key=len, reverse=True):
                text = text.replace(secret, "***")
        return text


def parse_address(source: str | os.PathLike[str]) -> Address:
    """Return what `source` names.

    Args:
        source: `/dev/videoN`; an address of rtsp, rtsps, http or https; `-` or `pipe:` for standard
            input, `pipe:PATH` for a FIFO; `test:` for a pattern, of which
            `test:?rate=10&size=320x240&frames=100` says more; else the path of a file.

    Raises:
        UsageError: it names none of these.
    """
    text = os.fspath(source)
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"video: {text!r} names nothing; name a camera, an address or a file")
    if text == "-":
        return Address("pipe", "-", "standard input")
    scheme = _SCHEME.match(text)
    if scheme is None or os.path.exists(text):  # noqa: PTH110 - of a long one Path would raise
        return Address("camera" if _CAMERA.fullmatch(text) else "file", text, text)
    kind = _KINDS.get(scheme[1].lower())
    return _of_scheme(text, text[scheme.end() :], scheme[1], kind)


def _of_scheme(text: str, rest: str, scheme: str, kind: Kind | None) -> Address:
    if kind == "pipe":
        return Address("pipe", rest, rest) if rest else Address("pipe", "-", "standard input")
    if kind == "test":
        return Address("test", _pattern(rest), text)
    if kind is None and not rest.startswith("//"):
        return Address("file", text, text)
    if kind is None:
        raise UsageError(
            f"video: the scheme {scheme}: is not read; choose rtsp, rtsps, http or https"
        )
    try:
        parts = urlsplit(text)
        known = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known or any(ord(letter) <= 32 for letter in text):
        raise UsageError(f"video: {scheme}: names no host, or no port that there is")
    return Address(kind, text, _named(parts))


def _named(parts: SplitResult) -> str:
    """Return an address without user, password and query, which may hold a token."""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _secrets(parts: SplitResult) -> set[str]:
    """Return what of an address nobody may read, as it is written and as it is meant."""
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    written = [password, parts.query, *(value for _, value in parse_qsl(parts.query))]
    written += [f"{user}:{password}@"] if password else []
    # A user without a password may be a token; a short one would blank innocent words.
    written += [user] if len(user) > 3 else []
    return {text for each in written for text in (each, unquote(each)) if text}


def _pattern(query: str) -> str:
    """Return what FFmpeg makes the pattern of."""
    given = dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True))
    for name, value in given.items():
        if name not in _PATTERN or not re.fullmatch(_PATTERN[name][1], value):
            raise UsageError(
                f"video: test: does not know {name}={value}; "
                "say test:?rate=10&size=320x240&frames=100"
            )
    rate, size, frames = (given.get(name, _PATTERN[name][0]) for name in ("rate", "size", "frames"))
    length = f":duration={int(frames) / int(rate)}" if int(frames) else ""
    return f"testsrc2=rate={rate}:size={size}{length},realtime"

"""Read what a request asks: JSON, or a form with a text and a clip.

Nothing of a request names a file of this machine: a clip comes as its bytes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from trml_rt.answer import Reason
from trml_rt.errors import InputUnusable
from trml_rt.inputs.text import SIZE_LIMIT, read_stream
from trml_rt.serve.desk import Ask
from trml_rt.serve.refusals import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["KEYS", "aside", "ask_of", "bad", "deadline_of", "from_request", "parsed"]

KEYS = ("text", "video", "degrade", "deadline_ms")
"""What a row may say."""

Result = TypeVar("Result")

_LARGE = 1 << 17  # bytes of a body that are read in a thread of their own
_FIELD = 1 << 20  # bytes of a field of a form; a text has at most as many
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def bad(message: str) -> Refused:
    """Return the refusal of a request that makes no sense."""
    return Refused(400, "bad_request", message)


def parsed(body: bytes | str) -> dict[str, Any]:
    """Return the object that a JSON text is.

    Raises:
        Refused: it is none.
    """
    try:
        content = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise bad(f"the body is no JSON ({why}); send an object with text and video") from None
    if not isinstance(content, dict):
        raise bad("the body is JSON, but no object; send one with text and video")
    return content


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


async def aside(size: int, work: Callable[[], Result]) -> Result:
    """Return what `work` on a body gives; a large one is read in a thread, and nobody waits."""
    return work() if size <= _LARGE else await asyncio.to_thread(work)


def ask_of(content: Mapping[str, Any]) -> Ask:
    """Return what an object of JSON asks; its `video` is base64.

    Raises:
        Refused: it makes no sense.
    """
    if unknown := sorted(content.keys() - {*KEYS}):
        raise bad(f"unknown keys {', '.join(unknown)}; a row has {', '.join(KEYS)}")
    text, video = content.get("text"), content.get("video")
    if not isinstance(text, str | None):
        raise bad("text: must be a string")
    if text is not None and len(text) > SIZE_LIMIT:
        raise bad(f"text: has more than {SIZE_LIMIT} characters; send one utterance")
    if not isinstance(video, str | None):
        raise bad("video: must be the bytes of a clip or picture as a base64 string")
    degrade = content.get("degrade", False)
    if not isinstance(degrade, bool):
        raise bad("degrade: must be true or false")
    return Ask(text, _bytes_of(video), degrade, deadline_of(content.get("deadline_ms")))


def deadline_of(value: Any) -> float | None:
    """Return the milliseconds of a deadline.

    Raises:
        Refused: they are no number above 0.
    """
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:
        raise bad("deadline_ms: must be a number of milliseconds above 0")
    return float(value)


def _bytes_of(video: str | None) -> bytes | None:
    if video is None:
        return None
    try:
        return base64.b64decode(video, validate=True)
    except (binascii.Error, ValueError):
        raise bad("video: is no base64; send the bytes of the clip so, or as a form") from None


async def from_request(request: Request) -> Ask:
    """Return what a request of HTTP asks.

    Raises:
        Refused: it makes no sense.
        InputUnusable: its text is no UTF-8.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _from_form(request)
    if kind == "application/json":
        body = await request.body()
        return await aside(len(body), lambda: ask_of(parsed(body)))
    raise Refused(
        415,
        "media_type",
        f"content type {kind or 'missing'}: send application/json or multipart/form-data",
    )


async def _from_form(request: Request) -> Ask:
    from python_multipart.exceptions import FormParserError  # of the extra serve

    try:
        form = await request.form(max_files=2, max_fields=len(KEYS), max_part_size=_FIELD)
    except FormParserError as error:  # which newer versions of Starlette refuse themselves
        raise bad(f"the form is broken ({error}); send multipart/form-data") from None
    names = [name for name, _ in form.multi_items()]
    if unknown := sorted({*names} - {*KEYS}):
        raise bad(f"unknown fields {', '.join(unknown)}; a form has {', '.join(KEYS)}")
    if len(names) != len({*names}):
        raise bad("a field is given twice; give each once")
    text, video = form.get("text"), form.get("video")
    if not isinstance(text, str | None):  # a file, as of `curl -F text=@t.txt`
        text = _read(text.file)
    if isinstance(video, str):
        raise bad("video: must be a file, as of curl -F video=@clip.mp4")
    content: dict[str, Any] = {"text": text}
    if (degrade := form.get("degrade")) is not None:
        content["degrade"] = _WORDS.get(str(degrade).lower(), degrade)
    if (deadline := form.get("deadline_ms")) is not None:
        content["deadline_ms"] = _number(str(deadline))
    ask = ask_of(content)
    return Ask(ask.text, None if video is None else video.file, ask.degrade, ask.deadline_ms)


def _read(file: BinaryIO) -> str:
    try:
        return read_stream(file, "text")
    except InputUnusable as error:
        if error.reason == Reason.EMPTY_TEXT:  # which may count as missing
            return ""
        raise


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

"""Turn text into token ids with the tokenizer.json of a bundle.

Cleaning, splitting, special tokens and truncation are all in the file, so that this reader and
the C++ one have nothing of their own to disagree about. Rows are not padded until `pad`: a text
tower whose mask is causal runs on the tokens alone, which costs a fifth of the whole context.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trml_rt.bundle.files import open_file
from trml_rt.errors import ArtefactMismatch, InputUnusable, UsageError, lacks_resource
from trml_rt.inputs.text import SIZE_LIMIT

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Tokenizer", "Tokens", "few_lengths", "pad"]

_NEXT = "export the bundle again"


@dataclass(frozen=True)
class Tokens:
    """The ids of one text, special tokens included and padding not.

    `ids` is int32 (tokens,); `truncated` says that the text had more tokens than the context.
    `unknown` is the share of the text's own tokens, 0 to 1, that stand for what is not known.
    """

    ids: npt.NDArray[np.int32]
    truncated: bool
    unknown: float = 0.0

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer:
    """Encodes text as the model's training did; share it freely between threads.

    `context` is the largest number of tokens of a text, special tokens included.
    """

    def __init__(self, model: tokenizers.Tokenizer, context: int, name: str) -> None:
        self._model = model
        self._name = name
        unknown = getattr(model.model, "unk_token", None)  # byte-pair models know every byte
        self._unknown_id = None if unknown is None else model.token_to_id(unknown)
        self.context = context

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "tokenizer.json") -> Tokenizer:
        """Read the bytes of a tokenizer.json; `name` is what an error calls it.

        Raises ArtefactMismatch for bytes that are no tokenizer, and for one without truncation.
        """
        import tokenizers

        with _blames_tokenizer(f"{name}: not a tokenizer"):
            model = tokenizers.Tokenizer.from_buffer(data)
            truncation = model.truncation
            # Rows of a fixed length would hide where the text ends.
            model.no_padding()
            special = model.num_special_tokens_to_add(is_pair=False)
        if truncation is None or truncation["direction"] != "right":
            raise ArtefactMismatch(f"{name}: does not cut texts to a context; {_NEXT}")
        context = int(truncation["max_length"])
        if context <= special:  # then the library does not cut at all
            raise ArtefactMismatch(
                f"{name}: not a tokenizer: a context that leaves no room for text; {_NEXT}"
            )
        return cls(model, context, name)

    @classmethod
    def from_file(cls, path: str | Path) -> Tokenizer:
        """Read a tokenizer.json from disk; ArtefactMismatch where that fails."""
        try:
            with open_file(Path(path)) as file:
                data = file.read()
        except OSError as error:
            raise ArtefactMismatch(f"{path}: {error.strerror}; {_NEXT}") from error
        return cls.from_bytes(data, name=str(path))

    def encode(self, text: str) -> Tokens:
        """Return the tokens of `text`, cut to the context.

        Raises InputUnusable with reason "empty_text" for a text without any token of its own,
        "unknown_text" for one of unknown tokens alone, and "undecodable" for one that is too large,
        or has lone surrogates, as a badly decoded command line has them. Raises ArtefactMismatch
        where the tokenizer itself fails.
        """
        try:
            size = len(text if len(text) > SIZE_LIMIT else text.encode())
        except UnicodeEncodeError as error:
            raise InputUnusable(
                f"the text is not valid Unicode at character {error.start}; pass UTF-8",
                reason="undecodable",
            ) from error
        if size > SIZE_LIMIT:  # whose first tokens alone would be kept, after seconds
            raise InputUnusable(
                f"the text is larger than {SIZE_LIMIT // 1_000_000} MB; pass one utterance",
                reason="undecodable",
            )
        with _blames_tokenizer(f"{self._name}: fails on a text"):
            # One text a call, not the library's batch: its thread pool does not survive a fork.
            encoding = self._model.encode(text)
        special, ids = encoding.special_tokens_mask, encoding.ids
        if all(special):
            raise InputUnusable("the text is empty; leave the text out", reason="empty_text")
        unknown = 0.0
        if self._unknown_id in ids:
            own = [token for token, added in zip(ids, special, strict=True) if not added]
            unknown = own.count(self._unknown_id) / len(own)
        if unknown == 1:
            raise InputUnusable(
                "the tokenizer knows no part of the text; write it in the model's language",
                reason="unknown_text",
            )
        return Tokens(np.array(ids, dtype=np.int32), bool(encoding.overflowing), unknown)


@contextlib.contextmanager
def _blames_tokenizer(problem: str) -> Iterator[None]:
    """Raise ArtefactMismatch where the library gives up on what a tokenizer.json says.

    It raises bare exceptions, and panics of Rust, which are no `Exception`.
    """
    try:
        yield
    except BaseException as error:
        panic = type(error).__name__ == "PanicException"
        if not (panic or isinstance(error, Exception)) or lacks_resource(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise ArtefactMismatch(f"{problem}: {reason}; {_NEXT}") from error


def pad(rows: Sequence[Tokens], pad_id: int, length: int | None = None) -> npt.NDArray[np.int32]:
    """Return the rows as one int32 array (batch, tokens), filled up with `pad_id`.

    `length` is the number of tokens, for a text tower that needs its whole context; None takes
    the longest row, which is exact for one that reads its feature at end-of-text.
    """
    if len(rows) == 1 and length is None:
        return rows[0].ids[np.newaxis]  # one text, as most calls have: nothing to fill
    longest = max(map(len, rows), default=0)
    if length is not None and longest > length:
        raise UsageError(f"{longest} tokens do not fit a length of {length}; pass length=None")
    ids = np.full((len(rows), longest if length is None else length), pad_id, dtype=np.int32)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens.ids
    return ids


def few_lengths(context: int) -> list[int]:
    """Return the lengths that texts are padded to for a back end that works by shape.

    They are 8, 16, 24, 32, 48, 64, 96 and so on up to `context`: at most half of a longer text, or
    7 tokens of a short one, is padding.
    """
    steps = (max(8, (1 << (n - 1).bit_length()) // 4) for n in range(1, context + 1))
    return sorted({min(-(-n // step) * step, context) for n, step in enumerate(steps, 1)})

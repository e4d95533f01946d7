"""Turn an open_clip tokenizer into one self-contained tokenizer.json, and prove it equal.

The runtimes know the Hugging Face `tokenizers` format, and nothing of open_clip, ftfy or
transformers. So the file must say all that those do to a text before it becomes ids. The module
`tokenizer_cleaning` lists what the format cannot say of ftfy. That touches none of the 23,703 VADER
sentences and none of the 54,263 GoEmotions comments.

What is written was compared with the tokenizer on `tokenizer_texts.json` before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trml_rt.errors import UsageError, VerificationFailed, lacks_package

from .tokenizer_cleaning import CLEAN_KINDS, cleaning

__all__ = [
    "TokenizerInfo",
    "check_tokenizer",
    "portable_tokenizer",
    "sample_texts",
    "write_tokenizer",
]

# open_clip's pattern; ſ because Python's regex counts it as an s when it ignores case.
_CLIP_WORDS = r"'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class TokenizerInfo:
    """What the manifest says about a tokenizer.json.

    `pad_id` fills a row after its last token. `eos_id` is the token at which the text feature is
    read, or None if the tokenizer has none. `kind` is the model in lower case: bpe, wordpiece...
    """

    context: int
    pad_id: int
    eos_id: int | None
    kind: str


def write_tokenizer(tokenizer: Any, context: int, path: str | Path) -> TokenizerInfo:
    """Write `tokenizer` to `path` as tokenizer.json, or nothing; see `portable_tokenizer`."""
    json_tokenizer, info = portable_tokenizer(tokenizer, context)
    Path(path).write_text(json_tokenizer.to_str(pretty=False), encoding="utf-8")
    return info


def portable_tokenizer(tokenizer: Any, context: int) -> tuple[Any, TokenizerInfo]:
    """Return `tokenizer` (open_clip's SimpleTokenizer or HFTokenizer) as the runtimes read it.

    Texts are cut to `context` tokens as open_clip cuts them: the closing special token stays.

    Raises:
        UsageError: the format cannot carry this tokenizer.
        EnvironmentUnfit: open_clip's packages are not there.
        VerificationFailed: ids differ.
    """
    try:
        from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
    except ImportError as error:
        raise lacks_package("exporting a tokenizer", error, "train") from error

    if isinstance(tokenizer, SimpleTokenizer):
        json_tokenizer, pad_id, eos_id = _from_clip(tokenizer), 0, tokenizer.eot_token_id
    elif isinstance(tokenizer, HFTokenizer):
        json_tokenizer, pad_id, eos_id = _from_hugging_face(tokenizer)
    else:
        raise UsageError(
            f"a {type(tokenizer).__name__} cannot be written as tokenizer.json; "
            "choose a model whose tokenizer is open_clip's SimpleTokenizer or HFTokenizer"
        )
    special = json_tokenizer.num_special_tokens_to_add(is_pair=False)
    if context <= special:
        raise UsageError(
            f"a context of {context} tokens leaves no room for text beside the {special} special "
            f"tokens; pass at least {special + 1}"
        )
    json_tokenizer.enable_truncation(max_length=context)
    json_tokenizer.no_padding()
    kind = type(json_tokenizer.model).__name__.lower()
    info = TokenizerInfo(context=context, pad_id=pad_id, eos_id=eos_id, kind=kind)

    texts = sample_texts()
    if differing := _differing(tokenizer, json_tokenizer, info, texts):
        raise VerificationFailed(
            f"tokenizer.json gives other ids than {type(tokenizer).__name__} for {len(differing)} "
            f"of {len(texts)} sample texts, first {differing[0]!r}; report it with the model's name"
        )
    return json_tokenizer, info


def check_tokenizer(
    tokenizer: Any, path: str | Path, info: TokenizerInfo, texts: Sequence[str]
) -> list[str]:
    """Return those of `texts` for which the file at `path` and `tokenizer` give different ids."""
    from tokenizers import Tokenizer

    return _differing(tokenizer, Tokenizer.from_file(str(path)), info, texts)


def sample_texts() -> list[str]:
    """Return the few hundred tricky texts on which every written tokenizer is checked."""
    file = Path(__file__).with_name("tokenizer_texts.json")
    return list(json.loads(file.read_text(encoding="utf-8")))


def _differing(
    tokenizer: Any, json_tokenizer: Any, info: TokenizerInfo, texts: Sequence[str]
) -> list[str]:
    expected = tokenizer(list(texts), context_length=info.context).tolist()
    differing = []
    for text, row in zip(texts, expected, strict=True):
        ids = json_tokenizer.encode(text).ids
        if ids + [info.pad_id] * (info.context - len(ids)) != row:
            differing.append(text)
    return differing


def _clean_kind(tokenizer: Any) -> str:
    name = getattr(tokenizer.clean_fn, "__name__", "")
    if (kind := name.removeprefix("_clean_")) in CLEAN_KINDS and name != kind:
        return kind
    raise UsageError(
        f"the tokenizer cleans text with {name or 'an unknown function'}, which tokenizer.json "
        f"cannot say; use one of open_clip's: {', '.join(CLEAN_KINDS)}"
    )


def _from_clip(tokenizer: Any) -> Any:
    """Rebuild CLIP's byte-pair encoding out of a SimpleTokenizer's own tables."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, processors
    from tokenizers import pre_tokenizers as pre

    if tokenizer.reduction_fn is not None:
        raise UsageError(
            "the tokenizer drops random words (reduction_mask), which only training wants; "
            "make it without reduction_mask for export"
        )
    kind = _clean_kind(tokenizer)
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    bpe = models.BPE(vocab=tokenizer.encoder, merges=merges, end_of_word_suffix="</w>")
    json_tokenizer = Tokenizer(bpe)
    json_tokenizer.normalizer = normalizers.Sequence(cleaning(kind))
    names = [tokenizer.decoder[i] for i in tokenizer.all_special_ids]
    pattern = "|".join([*map(re.escape, names), _CLIP_WORDS])
    # With "whitespace" the text keeps its capitals, and open_clip's pattern ignores case.
    words = Regex(f"(?i:{pattern})" if kind == "whitespace" else pattern)
    json_tokenizer.pre_tokenizer = pre.Sequence(
        [
            pre.Split(words, behavior="removed", invert=True),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    if kind != "canonicalize":  # that one takes brackets away, so no text holds a special token
        added = [AddedToken(name, normalized=True, special=True) for name in names]
        json_tokenizer.add_special_tokens(added)
    start, end = names[:2]
    json_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, tokenizer.sot_token_id), (end, tokenizer.eot_token_id)],
    )
    return json_tokenizer


def _from_hugging_face(tokenizer: Any) -> tuple[Any, int, int | None]:
    """Take the fast tokenizer inside an HFTokenizer and put open_clip's cleaning before it."""
    from tokenizers import Tokenizer, normalizers

    inner = tokenizer.tokenizer
    name = type(inner).__name__
    faults = []
    if not getattr(inner, "is_fast", False):
        faults.append("it is a slow (Python or sentencepiece) one")
    if tokenizer.tokenizer_mode:
        faults.append(f"tokenizer_mode {tokenizer.tokenizer_mode!r} moves the class token")
    if tokenizer.strip_sep_token:
        faults.append("strip_sep_token blanks the separators")
    if getattr(inner, "padding_side", "right") != "right":
        faults.append("it pads on the left")
    if getattr(inner, "truncation_side", "right") != "right":
        faults.append("it truncates on the left")
    if getattr(inner, "pad_token_id", None) is None:
        faults.append("it has no padding token")
    if faults:
        raise UsageError(
            f"the tokenizer {name} cannot be written as tokenizer.json: {'; '.join(faults)}; "
            "choose a model with a plain fast tokenizer"
        )
    document = json.loads(inner.backend_tokenizer.to_str())
    # The format looks for added tokens in the raw text, but open_clip cleans the text first. There
    # a lower-cased "[CLS]" is no special token. The post-processor has a copy of the ids.
    document["added_tokens"] = [
        token
        for token in document["added_tokens"]
        if tokenizer.clean_fn(token["content"]) == token["content"]
    ]
    json_tokenizer = Tokenizer.from_str(json.dumps(document))
    steps = cleaning(_clean_kind(tokenizer))
    if json_tokenizer.normalizer is not None:
        steps.append(json_tokenizer.normalizer)
    json_tokenizer.normalizer = normalizers.Sequence(steps)
    return json_tokenizer, int(inner.pad_token_id), inner.eos_token_id

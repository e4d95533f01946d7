"""Trim MiniLM's WordPiece vocabulary to what sentiment in English needs.

A word whose token is dropped falls apart into smaller WordPieces by itself. Every single Latin
character is kept, alone and as a continuation, so no Latin word becomes [UNK].
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import torch
from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTEXT = 64  # 99.9 % of the training sentences have 66 tokens or fewer
SEEN_OFTEN = 6  # a token with this many training uses is always kept


def _is_basic(token: str) -> bool:
    """Say whether a token is one Latin letter, digit, mark or symbol, alone or as `##x`."""
    bare = token.removeprefix("##") if len(token) > 2 else token
    if len(bare) != 1:
        return False
    latin = unicodedata.name(bare, "").startswith("LATIN") or bare.isascii()
    return latin or unicodedata.category(bare)[0] in "PS"


def choose(vocab: dict[str, int], counts: Counter, size: int) -> list[str]:
    """Return `size` tokens: special, basic, often seen, then BERT's own frequency order."""
    order = sorted(vocab, key=vocab.__getitem__)
    frequent = sorted((t for t in order if counts[t] >= SEEN_OFTEN), key=lambda t: -counts[t])
    rest = [t for t in order if not t.startswith(("[unused", "##")) and t.isascii()]
    ranked = dict.fromkeys([*SPECIAL, *filter(_is_basic, order), *frequent, *rest])
    chosen = set(list(ranked)[:size])
    return [*SPECIAL, *(t for t in order if t in chosen and t not in SPECIAL)]


def trim(source: Path, target: Path, texts: list[str], size: int) -> list[int]:
    """Write the trimmed tokenizer and config to `target`; return the kept old ids in new order."""
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["padding"] = tokenizer["truncation"] = None
    full = Tokenizer.from_str(json.dumps(tokenizer))
    counts: Counter = Counter()
    for start in range(0, len(texts), 4096):
        for encoded in full.encode_batch(texts[start : start + 4096]):
            counts.update(encoded.tokens)
    vocab = tokenizer["model"]["vocab"]
    tokens = choose(vocab, counts, size)
    new = {token: i for i, token in enumerate(tokens)}
    tokenizer["model"]["vocab"] = new
    for added in tokenizer["added_tokens"]:
        added["id"] = new[added["content"]]
    for name, special in tokenizer["post_processor"]["special_tokens"].items():
        special["ids"] = [new[name]]
    target.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tokenizer, ensure_ascii=False)
    (target / "tokenizer.json").write_text(text, encoding="utf-8")
    (target / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(source / name, target / name)
    settings = json.loads((target / "tokenizer_config.json").read_text())
    settings.update(model_max_length=CONTEXT, name_or_path="text")
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    config = json.loads((source / "config.json").read_text())
    config.update(vocab_size=len(tokens), max_position_embeddings=CONTEXT)
    config.pop("_name_or_path", None)
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return [vocab[token] for token in tokens]


def trim_weights(state: dict[str, torch.Tensor], ids: list[int]) -> dict[str, torch.Tensor]:
    """Keep the embedding rows of `ids` and the first positions; drop BERT's pooler."""
    state = {k: v for k, v in state.items() if not k.startswith("pooler.")}
    state = {k: v for k, v in state.items() if not k.endswith("position_ids")}
    words, places = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
    state[words] = state[words][torch.tensor(ids)].clone()
    state[places] = state[places][:CONTEXT].clone()
    return state
